//! The public pages: made on the server, once for everybody who asks in one language, and useful without a script.
//!
//! - [`front`], [`service`], [`incident`], [`notice`]: what is read, as functions from what is known to text.
//! - [`layout`], [`chart`], [`map`], [`files`]: what they are made of.
//! - here: addresses, caching, and news for those who keep a page open.

mod chart;
pub(crate) mod files;
mod front;
mod incident;
pub(crate) mod layout;
mod live;
mod map;
pub(crate) mod notice;
mod service;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use atlas::Atlas;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use serde::Deserialize;

use super::http::{App, Problem, language};
use super::lang::Language;
use super::state::{Incident, Slot, Standing};
use notice::Outcome;

/// Characters of an incident's id that are looked up.
const ID_MAX: usize = 120;

/// What a page names beside its own subject.
pub(crate) struct Around<'a> {
    /// Name and standing of a service.
    pub(crate) service: &'a dyn Fn(&str) -> Option<(String, Standing)>,
    /// Name of a network by its AS number.
    pub(crate) network: &'a dyn Fn(u32) -> Option<&'a str>,
}

/// What may stand in an address behind the question mark.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    lang: Option<String>,
    q: Option<String>,
    page: Option<usize>,
    r: Option<String>,
    v: Option<String>,
}

/// Addresses with too strange a query get the page without one.
type Asking = Result<Query<Asked>, axum::extract::rejection::QueryRejection>;

fn asked(asking: Asking) -> Asked {
    asking.map(|Query(asked)| asked).unwrap_or_default()
}

/// The addresses of the pages.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/", get(front_page))
        .route("/live", get(live::front))
        .route("/s/{slug}", get(service_page))
        .route("/s/{slug}/reported", get(reported_page))
        .route("/s/{slug}/map.svg", get(map_picture))
        .route("/s/{slug}/live", get(live::service))
        .route("/incidents", get(incidents_page))
        .route("/incidents/{id}", get(incident_page))
        .route("/about", get(about_page))
        .route("/static/{name}", get(static_file))
        .route("/favicon.svg", get(favicon))
        .route("/robots.txt", get(robots))
}

async fn front_page(State(app): State<App>, headers: HeaderMap, asking: Asking) -> Response<Body> {
    let asked = asked(asking);
    let language = language(&app, &headers, asked.lang.as_deref());
    // Read before the page: should it be a newer one, it is only fetched once more.
    let version = *app.state.changed.borrow();
    let make = |query: Option<&str>, number: usize| {
        let services: Vec<_> = app
            .state
            .services
            .load()
            .values()
            .map(|slot| slot.view.load_full())
            .collect();
        front::render(
            &services,
            &app.state.config.load(),
            language,
            query,
            number,
            version,
        )
    };
    let query = asked.q.as_deref().filter(|query| !query.trim().is_empty());
    match (query, asked.page.unwrap_or(1)) {
        (None, 0 | 1) => {
            let tag = tag("front", version, language);
            if asked.lang.is_none() && is_known(&headers, &tag) {
                return unchanged(&tag);
            }
            let front = app.state.front.load_full();
            cached(
                &app,
                front.get(language, || make(None, 1)),
                &tag,
                language,
                &asked,
            )
        }
        (query, number) => html(&app, StatusCode::OK, make(query, number).into(), language, &asked),
    }
}

async fn service_page(
    State(app): State<App>,
    Path(slug): Path<String>,
    headers: HeaderMap,
    asking: Asking,
) -> Response<Body> {
    let asked = asked(asking);
    let language = language(&app, &headers, asked.lang.as_deref());
    let Some(slot) = slot(&app, &slug) else {
        return refusal(&app, &headers, &Problem::not_found(slug));
    };
    let view = slot.view.load();
    let tag = tag(&slug, view.version, language);
    if asked.lang.is_none() && is_known(&headers, &tag) {
        return unchanged(&tag);
    }
    let body = view.pages.get(language, || {
        with_around(&app, |around| {
            service::render(&view, &app.state.config.load(), around, language)
        })
    });
    cached(&app, body, &tag, language, &asked)
}

/// What became of a report. It is a page of its own, so that the page of the service stays the same for all.
async fn reported_page(
    State(app): State<App>,
    Path(slug): Path<String>,
    headers: HeaderMap,
    asking: Asking,
) -> Response<Body> {
    let asked = asked(asking);
    let language = language(&app, &headers, asked.lang.as_deref());
    let outcome = asked.r.as_deref().and_then(Outcome::of);
    match (slot(&app, &slug), outcome) {
        (Some(slot), Some(outcome)) => {
            let text = notice::reported(
                outcome,
                &slot.view.load().service,
                &app.state.config.load(),
                language,
            );
            html(&app, StatusCode::OK, text.into(), language, &asked)
        }
        _ => refusal(&app, &headers, &Problem::not_found(slug)),
    }
}

async fn map_picture(
    State(app): State<App>,
    Path(slug): Path<String>,
    headers: HeaderMap,
    asking: Asking,
) -> Response<Body> {
    let Some(slot) = slot(&app, &slug) else {
        return Problem::not_found(slug).into_response();
    };
    let classes = map::classes(&slot.view.load().countries());
    let version = map::version(&classes);
    let tag = format!("\"{version}\"");
    if is_known(&headers, &tag) {
        return unchanged(&tag);
    }
    // The picture of these very classes never changes; that of the service does.
    let keep = if asked(asking).v.as_deref() == Some(&version) {
        "public, max-age=86400, immutable"
    } else {
        "no-cache"
    };
    let mut response = Response::new(Body::from(map::picture(&classes)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    insert(headers, header::ETAG, &tag);
    insert(headers, header::CONTENT_SECURITY_POLICY, &map::policy());
    response
}

async fn incidents_page(State(app): State<App>, headers: HeaderMap, asking: Asking) -> Response<Body> {
    let asked = asked(asking);
    let language = language(&app, &headers, asked.lang.as_deref());
    let known = app.state.incidents.load_full();
    let mut incidents: Vec<&Incident> = known.values().map(|incident| &**incident).collect();
    incidents.sort_by(|a, b| (b.start_ns, &b.id).cmp(&(a.start_ns, &a.id)));
    let pages = incidents.len().div_ceil(incident::PER_PAGE).max(1);
    let number = asked.page.unwrap_or(1).clamp(1, pages);
    let shown: Vec<&Incident> = incidents
        .into_iter()
        .skip((number - 1) * incident::PER_PAGE)
        .take(incident::PER_PAGE)
        .collect();
    let text = with_around(&app, |around| {
        incident::list(
            &shown,
            &app.state.config.load(),
            around,
            now_ns(),
            (number, pages),
            language,
        )
    });
    html(&app, StatusCode::OK, text.into(), language, &asked)
}

async fn incident_page(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    asking: Asking,
) -> Response<Body> {
    let asked = asked(asking);
    let language = language(&app, &headers, asked.lang.as_deref());
    let incident = match find(&app, &id).await {
        Ok(incident) => incident,
        Err(problem) => return refusal(&app, &headers, &problem),
    };
    let slot = slot(&app, &incident.service);
    let view = slot.map(|slot| slot.view.load_full());
    let text = with_around(&app, |around| {
        let service = view.as_deref().map(|view| &view.service);
        incident::render(
            &incident,
            service,
            &app.state.config.load(),
            around,
            now_ns(),
            language,
        )
    });
    html(&app, StatusCode::OK, text.into(), language, &asked)
}

/// An incident: from what is at hand, else from the file.
async fn find(app: &App, id: &str) -> Result<Arc<Incident>, Problem> {
    if let Some(incident) = app.state.incidents.load().get(id) {
        return Ok(Arc::clone(incident));
    }
    if id.len() > ID_MAX {
        return Err(Problem::not_found("incident"));
    }
    let name = id.to_owned();
    let text = app.read(move |read| read.document("incident", &name)).await?;
    let text = text.ok_or_else(|| Problem::not_found(format!("incident {id}")))?;
    serde_json::from_str(&text)
        .map(Arc::new)
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable", error.to_string()))
}

async fn about_page(State(app): State<App>, headers: HeaderMap, asking: Asking) -> Response<Body> {
    let asked = asked(asking);
    let language = language(&app, &headers, asked.lang.as_deref());
    let text = notice::about(&app.state.config.load(), language);
    html(&app, StatusCode::OK, text.into(), language, &asked)
}

async fn static_file(Path(name): Path<String>, headers: HeaderMap, asking: Asking) -> Response<Body> {
    match files::File::named(&name) {
        Some(file) => send(file, &headers, &asked(asking)),
        None => Problem::not_found(name).into_response(),
    }
}

async fn favicon(headers: HeaderMap) -> Response<Body> {
    send(&files::ICON, &headers, &Asked::default())
}

fn send(file: &files::File, headers: &HeaderMap, asked: &Asked) -> Response<Body> {
    let tag = format!("\"{}\"", file.version());
    if is_known(headers, &tag) {
        return unchanged(&tag);
    }
    let keep = if asked.v.as_deref() == Some(file.version()) {
        "public, max-age=31536000, immutable"
    } else {
        "public, max-age=3600"
    };
    let mut response = Response::new(Body::from(file.bytes()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    insert(headers, header::ETAG, &tag);
    response
}

/// Searches may show all but what is made anew for everyone who asks.
async fn robots() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        "User-agent: *\nDisallow: /live\nDisallow: /s/*/live\nDisallow: /s/*/reported\nDisallow: /*?q=\n",
    )
}

/// A refusal as a page, for those who read one.
pub(crate) fn refusal(app: &App, headers: &HeaderMap, problem: &Problem) -> Response<Body> {
    let language = language(app, headers, None);
    let text = notice::error(problem.status, problem.kind, &app.state.config.load(), language);
    let mut response = html(app, problem.status, text.into(), language, &Asked::default());
    if let Some(seconds) = problem.retry_after_s {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn slot(app: &App, slug: &str) -> Option<Arc<Slot>> {
    app.state.services.load().get(slug).cloned()
}

/// Lets a page name services and networks.
fn with_around<T>(app: &App, make: impl FnOnce(&Around<'_>) -> T) -> T {
    let services = app.state.services.load();
    let names = network_names(&app.atlas);
    make(&Around {
        service: &|slug| {
            let view = services.get(slug)?.view.load();
            Some((view.service.name.clone(), view.standing))
        },
        network: &|network| names.get(&network).map(|name| &**name),
    })
}

/// Names of networks by AS number, from the atlas of this process.
fn network_names(atlas: &Atlas) -> &'static HashMap<u32, Box<str>> {
    static NAMES: OnceLock<HashMap<u32, Box<str>>> = OnceLock::new();
    NAMES.get_or_init(|| {
        // The atlas was read from these bytes before.
        let parts = atlas::file::Parts::read(atlas.file()).unwrap_or_default();
        let mut names = HashMap::new();
        for place in parts.places.iter().filter(|place| place.asn != 0) {
            if let Some(name) = parts
                .names
                .get(place.name as usize)
                .filter(|name| !name.is_empty())
            {
                names.entry(place.asn).or_insert_with(|| name.as_str().into());
            }
        }
        names
    })
}

fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// What stands for a page as it is now. Versions begin anew with the process, so that its start is in it.
fn tag(name: &str, version: u64, language: Language) -> String {
    static START: OnceLock<u64> = OnceLock::new();
    let start = START.get_or_init(now_ns);
    format!("\"{start:x}-{name}-{version}-{}\"", language.code())
}

/// Whether the browser has the page with this tag (RFC 9110, 13.1.2). Not to be asked where the answer has to carry a cookie.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim().trim_start_matches("W/") == tag)
}

fn unchanged(tag: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let headers = response.headers_mut();
    insert(headers, header::ETAG, tag);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language, cookie"));
    response
}

/// A page that is the same for all who ask in this language.
fn cached(app: &App, body: Bytes, tag: &str, language: Language, asked: &Asked) -> Response<Body> {
    let mut response = html(app, StatusCode::OK, body, language, asked);
    insert(response.headers_mut(), header::ETAG, tag);
    response
}

fn html(app: &App, status: StatusCode, body: Bytes, language: Language, asked: &Asked) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_LANGUAGE,
        HeaderValue::from_static(language.code()),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language, cookie"));
    // Who chose a language has it on the next page too.
    if asked.lang.as_deref().and_then(Language::of) == Some(language) {
        let is_https = app.state.config.load().site.url.starts_with("https://");
        let secure = if is_https { "; Secure" } else { "" };
        let cookie = format!(
            "lang={}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly{secure}",
            language.code()
        );
        insert(headers, header::SET_COOKIE, &cookie);
    }
    response
}

/// Sets a header whose value is of plain characters; one that is not is left out.
fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// How many listen to news at once, at most.
pub(crate) const LISTENERS_MAX: u64 = 20_000;

/// One who listens, counted for as long as this lives.
struct Listener(App);

impl Listener {
    /// `None` where too many listen.
    fn new(app: &App) -> Option<Listener> {
        let listeners = &app.state.counters.listeners;
        listeners
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < LISTENERS_MAX).then_some(n + 1)
            })
            .ok()
            .map(|_| Listener(app.clone()))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.state.counters.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}
