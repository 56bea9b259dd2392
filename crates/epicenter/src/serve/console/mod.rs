//! The operators' side: a login, and behind it what they need to know and can do.
//!
//! - [`session`]: who somebody is, and how often they may try.
//! - [`pages`]: what is shown; [`comments`]: what people wrote, which an operator reads before anybody else.
//! - [`api`]: deeds of programs; [`command`]: users and tokens at the command line, the first operator above all.
//!
//! Pages need no script. Who may do something is asked where it is done ([`Seat::posted`]), whatever the page showed. Every change is
//! an entry of the journal; what is in the journal stays there, so passwords, tokens and people's comments are never in it.

pub(crate) mod api;
pub(crate) mod command;
pub(crate) mod comments;
pub(crate) mod pages;
pub(crate) mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use serde_json::json;
use store::Entry;
use store::file::{Archive, Read};

use super::engine::{Ask, Deed, Look, Writing};
use super::http::{App, Problem, client};
use super::state::{Incident, View};
use session::{Desk, Role, Scope, Seat, Session, Token, User};

/// Characters of an update or a post-mortem.
pub(crate) const TEXT_MAX: usize = 10_000;
/// Entries of a page of the journal.
pub(crate) const ENTRIES: usize = 50;
/// Entries of an incident's journal that are shown.
pub(crate) const OF_INCIDENT_MAX: usize = 1_000;
/// Tokens of one tracker.
const TOKENS_MAX: usize = 1_000;
/// How long a reader of the whole file waits for its turn.
const TURN: Duration = Duration::from_secs(10);

pub(crate) fn routes() -> Router<App> {
    let desk = Arc::new(Desk::new());
    let console = Router::new()
        .route("/console", get(overview))
        .route("/console/", get(|| async { Redirect::permanent("/console") }))
        .route("/console/login", get(login_page).post(login))
        .route("/console/logout", post(logout))
        .route("/console/services/{slug}", get(service))
        .route("/console/incidents", get(incidents))
        .route("/console/incidents/{id}", get(incident))
        .route("/console/incidents/{id}/{deed}", post(deed))
        .route("/console/journal", get(journal))
        .route("/console/comments", get(comments::waiting))
        .route("/console/comments/{decision}", post(comments::decide))
        .route("/console/users", get(users))
        .route("/console/users/{change}", post(change_user))
        .route("/console/tokens", get(tokens))
        .route("/console/tokens/add", post(add_token))
        .route("/console/tokens/revoke", post(revoke_token))
        .route("/console/password", get(password_page).post(own_password))
        .route("/console/console.css", get(style))
        .layer(axum::middleware::map_response(is_private));
    console
        .route("/s/{slug}/comments", get(comments::public))
        .merge(api::routes())
        .layer(Extension(desk))
}

/// Nothing of the console stays in a cache: after signing out, the way back shows nothing.
async fn is_private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
    response
}

/// A refusal, as a page.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    words: String,
    retry_after_s: Option<u32>,
}

impl Refused {
    pub(crate) fn new(status: StatusCode, words: impl Into<String>) -> Refused {
        Refused {
            status,
            words: words.into(),
            retry_after_s: None,
        }
    }

    fn invalid(words: impl Into<String>) -> Refused {
        Refused::new(StatusCode::UNPROCESSABLE_ENTITY, words)
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        Refused {
            status: problem.status,
            words: problem.detail,
            retry_after_s: problem.retry_after_s,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = (self.status, pages::refused(self.status, &self.words)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

type Shown = Result<Html<String>, Refused>;
type Done = Result<Response, Refused>;

/// Back to a page, which says what was done.
fn done(to: &str, what: &str) -> Response {
    Redirect::to(&format!("{to}?done={what}")).into_response()
}

/// What a page says was done: one of these and nothing else, since anybody can write an address.
pub(crate) fn told(done: Option<&str>) -> Option<&'static str> {
    Some(match done? {
        "acknowledge" => "You have it in hand.",
        "update" => "Published.",
        "post-mortem" => "The post-mortem is published.",
        "cause" => "The cause is named.",
        "merge" => "Merged.",
        "publish" => "The comment is published.",
        "reject" => "The comment is deleted.",
        "withdraw" => "The comment is withdrawn and deleted.",
        "user" => "Done. The journal says so.",
        "token" => "The token is revoked.",
        "password" => "Your password is changed. All other sessions of yours are over.",
        _ => return None,
    })
}

/// Asks the file beside the engine, for what takes long: the engine goes on.
pub(crate) async fn archive<T: Send + 'static>(
    app: &App,
    desk: &Desk,
    question: impl FnOnce(Read<'_>) -> Result<T, store::Error> + Send + 'static,
) -> Result<T, Problem> {
    let unreadable = |what: String| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable", what);
    let path = app
        .read(|read| Ok(read.path()))
        .await?
        .ok_or_else(|| unreadable("There is no data file.".to_owned()))?;
    let permit = tokio::time::timeout(TURN, Arc::clone(&desk.reading).acquire_owned())
        .await
        .map_err(|_| Problem::busy())?
        .map_err(|_| Problem::busy())?;
    tokio::task::spawn_blocking(move || {
        // Held here, so that who hangs up makes no room while the work goes on.
        let _permit = permit;
        let archive = Archive::open(&path)?;
        question(archive.read())
    })
    .await
    .map_err(|_| Problem::busy())?
    .map_err(|error| unreadable(error.to_string()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    done: Option<String>,
    next: String,
    q: String,
    before: Option<u64>,
    kind: String,
}

async fn style() -> impl IntoResponse {
    (
        [(header::CONTENT_TYPE, "text/css; charset=utf-8")],
        include_str!("../../../data/console.css"),
    )
}

/// Where somebody goes after signing in: to a page of the console, and nowhere else.
fn next(to: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_graphic() && !"\\\"'<>@".contains(c);
    let is_ours = to == "/console" || to.starts_with("/console/") || to.starts_with("/console?");
    if is_ours && to.chars().all(is_plain) && to.len() <= 300 && !to.starts_with("/console/login") {
        to
    } else {
        "/console"
    }
}

async fn login_page(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Done {
    if session::seat(&app, &desk, &headers).await?.is_some() {
        return Ok(Redirect::to(next(&asked.next)).into_response());
    }
    Ok(pages::login(&app, next(&asked.next), None).into_response())
}

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

async fn login(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    info: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Done {
    if !session::is_same_site(&app, &headers) {
        return Err(Refused::new(
            StatusCode::FORBIDDEN,
            "This login came from another site's page.",
        ));
    }
    let form: Login =
        serde_urlencoded::from_bytes(&body).map_err(|_| Refused::invalid("The form cannot be read."))?;
    let (_, network) = client(&app, &info, &headers).hashes(&desk.key);
    let given = form.name.trim();
    if let Err(seconds) = desk.admit(given, network, session::now_ns(&app)) {
        return Err(Refused {
            retry_after_s: Some(seconds),
            ..Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                format!(
                    "There were too many attempts. The next one is looked at in {}.",
                    crate::case_text::counted(u64::from(seconds).div_ceil(60), "minute", "minutes")
                ),
            )
        });
    }
    let user = match session::name(given) {
        Ok(name) => session::user(&app, name).await?,
        Err(_) => None,
    };
    let is_right = desk.is_password(user.as_ref(), form.password).await?;
    if let Some(user) = user.filter(|_| is_right)
        && let Some(token) = session::begin(&app, &desk, &headers, given, &user).await?
    {
        desk.knows(given, network);
        let cookie = [(header::SET_COOKIE, session::cookie(&app, &token))];
        return Ok((cookie, Redirect::to(next(&form.next))).into_response());
    }
    let page = pages::login(&app, next(&form.next), Some("The name or the password is wrong."));
    Ok((StatusCode::UNAUTHORIZED, page).into_response())
}

#[derive(Deserialize)]
struct Nothing {}

async fn logout(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    seat: Seat,
    body: Bytes,
) -> Done {
    let Nothing {} = seat.posted(&body, Role::Viewer)?;
    let _changing = desk.changing.lock().await;
    app.write(Writing {
        entry: Some(("login", json!({ "who": seat.name, "do": "logout" }))),
        deletes: vec![("session", seat.session)],
        ..Writing::default()
    })
    .await?;
    let cookie = [(header::SET_COOKIE, session::cookie(&app, ""))];
    Ok((cookie, Redirect::to("/console/login")).into_response())
}

async fn overview(State(app): State<App>, seat: Seat, Query(asked): Query<Asked>) -> Shown {
    let look: Look = app.ask(|answer| Ask::Look(String::new(), answer)).await?;
    let bytes = app.read(|read| read.bytes()).await?;
    Ok(pages::overview(&app, &seat, &look, bytes, asked.q.trim()))
}

/// What one network sent about a service within a day, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reporting {
    pub(crate) network: u32,
    pub(crate) reports: u64,
    /// Of all reports.
    pub(crate) share: f64,
    /// What the detector lets count of them, at most.
    pub(crate) counted: f64,
    /// Its usual share, where one is known.
    pub(crate) usual: Option<f64>,
}

impl Reporting {
    /// A surge from one network, of which most is not counted.
    pub(crate) fn is_brigade(&self) -> bool {
        self.reports >= 20 && self.share >= 0.2 && self.counted < 0.5 * self.reports as f64
    }
}

/// Networks of those who reported within the last day, the largest first.
pub(crate) fn reporting(view: &View, usual: &BTreeMap<u32, f64>) -> Vec<Reporting> {
    let mut sums: BTreeMap<u32, (u64, f64)> = BTreeMap::new();
    for bin in &view.bins {
        let counted = incident::outage::counted(&bin.networks, usual, super::state::BIN_S as f64 / 60.0);
        for (network, reports) in &bin.networks {
            let sum = sums.entry(*network).or_default();
            sum.0 += reports;
            sum.1 += counted.get(network).copied().unwrap_or(0.0);
        }
    }
    let all = sums.values().map(|(reports, _)| reports).sum::<u64>().max(1) as f64;
    let mut found: Vec<Reporting> = sums
        .into_iter()
        .map(|(network, (reports, counted))| Reporting {
            network,
            reports,
            share: reports as f64 / all,
            counted,
            usual: usual.get(&network).copied(),
        })
        .collect();
    found.sort_by(|a, b| b.reports.cmp(&a.reports).then(a.network.cmp(&b.network)));
    found
}

async fn service(State(app): State<App>, seat: Seat, Path(slug): Path<String>) -> Shown {
    let slot = app.state.services.load().get(slug.as_str()).cloned();
    let view = slot
        .ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "There is no such service."))?
        .view
        .load_full();
    let look: Look = app.ask(|answer| Ask::Look(slug, answer)).await?;
    Ok(pages::service(
        &app,
        &seat,
        &view,
        &look,
        &reporting(&view, &look.usual),
    ))
}

async fn incidents(State(app): State<App>, seat: Seat) -> Shown {
    Ok(pages::incidents(&app, &seat))
}

async fn incident(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    seat: Seat,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Shown {
    let found = app.state.incidents.load().get(&id).cloned();
    let incident = found.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "There is no such incident."))?;
    let entries = archive(&app, &desk, move |read| of_incident(read, &id)).await?;
    Ok(pages::incident(
        &app,
        &seat,
        &incident,
        &entries,
        told(asked.done.as_deref()),
    ))
}

/// What the journal says of an incident, oldest first.
fn of_incident(read: Read<'_>, id: &str) -> Result<Vec<Entry>, store::Error> {
    let mut found = Vec::new();
    for kind in ["incident", "deed"] {
        read.entries_of(kind, 1, &mut |entry| {
            let body = entry.body.as_deref().unwrap_or_default();
            let is_of = serde_json::from_slice::<serde_json::Value>(body)
                .is_ok_and(|body| body["incident"] == id || body["deed"]["into"] == id);
            if is_of {
                found.push(entry);
            }
            found.len() < OF_INCIDENT_MAX
        })?;
    }
    found.sort_by_key(|entry| entry.seq);
    Ok(found)
}

/// Text that an operator writes.
///
/// # Errors
///
/// It is empty or too long.
pub(crate) fn prose(text: &str) -> Result<String, String> {
    let text = text.trim().replace("\r\n", "\n");
    if text.is_empty() {
        return Err("There is no text.".to_owned());
    }
    if text.chars().count() > TEXT_MAX {
        return Err(format!("The text has more than {TEXT_MAX} characters."));
    }
    Ok(text)
}

/// Does something to an incident.
///
/// # Errors
///
/// There is no such incident, it is done already, or it cannot be.
pub(crate) async fn act(app: &App, who: &str, id: &str, deed: Deed) -> Result<Arc<Incident>, Problem> {
    let known = app.state.incidents.load_full();
    if !known.contains_key(id) {
        return Err(Problem::not_found("There is no such incident."));
    }
    if let Deed::Merge { into } = &deed {
        // A ring of incidents that all belong to each other would belong to none.
        let mut at = Some(into.clone());
        for _ in 0..known.len() + 1 {
            let Some(next) = at else { break };
            if next == id {
                return Err(Problem::invalid(
                    "That incident belongs to this one already, or is this one.",
                ));
            }
            at = known.get(&next).and_then(|one| one.merged_into.clone());
        }
    }
    let (who, of) = (who.to_owned(), id.to_owned());
    match app.ask(|answer| Ask::Deed(who, of, deed, answer)).await? {
        Ok(()) => {}
        Err(words) if words == store::Error::Full.to_string() => return Err(Problem::full()),
        Err(words) if words.contains("in hand already") => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "acknowledged",
                crate::case_text::capitalised(&words) + ".",
            ));
        }
        Err(words) => {
            return Err(Problem::invalid(crate::case_text::capitalised(&words) + "."));
        }
    }
    let now = app.state.incidents.load().get(id).cloned();
    now.ok_or_else(|| Problem::not_found("There is no such incident any more."))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DeedForm {
    text: String,
    cause: String,
    into: String,
}

async fn deed(
    State(app): State<App>,
    seat: Seat,
    Path((id, deed)): Path<(String, String)>,
    body: Bytes,
) -> Done {
    let form: DeedForm = seat.posted(&body, Role::Operator)?;
    let text = || prose(&form.text).map_err(Refused::invalid);
    let doing = match deed.as_str() {
        "acknowledge" => Deed::Acknowledge,
        "update" => Deed::Update { text: text()? },
        "post-mortem" => Deed::PostMortem { text: text()? },
        "cause" => Deed::Cause { cause: form.cause },
        "merge" => Deed::Merge {
            into: form.into.trim().to_owned(),
        },
        _ => return Err(Refused::new(StatusCode::NOT_FOUND, "There is no such deed.")),
    };
    let incident = act(&app, &seat.name, &id, doing).await?;
    // The id as it is known, not as it was asked for.
    Ok(done(&format!("/console/incidents/{}", incident.id), &deed))
}

/// What is shown of an entry of the journal.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) seq: u64,
    pub(crate) at_ns: u64,
    pub(crate) kind: String,
    pub(crate) hash: String,
    pub(crate) who: String,
    pub(crate) what: String,
    /// The beginning of its body, for those who may see it.
    pub(crate) body: Option<String>,
}

/// Characters of a body that are shown.
const BODY_SHOWN: usize = 4_000;

/// What an entry says. Reports are of people: their lines are for operators alone.
pub(crate) fn line(entry: &Entry, role: Role) -> Line {
    let is_lines = ["reports", "probes"].contains(&entry.kind.as_str());
    let body = entry.body.as_deref().map(String::from_utf8_lossy);
    let (mut who, mut shown) = (String::new(), None);
    let what;
    match body {
        None => what = "kept for as long as it was to be; only its hash is left".to_owned(),
        Some(body) if is_lines => {
            what = crate::case_text::counted(body.lines().count() as u64, "line", "lines");
            if entry.kind == "probes" || role >= Role::Operator {
                shown = Some(body.chars().take(BODY_SHOWN).collect());
            }
        }
        Some(body) => match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&body) {
            Ok(mut fields) => {
                let plain = |value: &serde_json::Value| match value {
                    serde_json::Value::String(text) => text.clone(),
                    value => value.to_string(),
                };
                who = fields.remove("who").as_ref().map_or(String::new(), plain);
                if let Some(serde_json::Value::Object(deed)) = fields.remove("deed") {
                    fields.extend(deed);
                }
                let doing = fields.remove("do").as_ref().map(plain);
                let rest = fields
                    .iter()
                    .map(|(key, value)| format!("{key}: {}", plain(value)));
                what = doing.into_iter().chain(rest).collect::<Vec<_>>().join("; ");
            }
            Err(_) => what = format!("{} bytes", body.len()),
        },
    }
    Line {
        seq: entry.seq,
        at_ns: entry.at_ns,
        kind: entry.kind.clone(),
        hash: session::hex(&entry.hash),
        who,
        what,
        body: shown,
    }
}

async fn journal(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    seat: Seat,
    Query(asked): Query<Asked>,
) -> Shown {
    let (role, kind) = (seat.role, asked.kind.clone());
    let (lines, last) = archive(&app, &desk, move |read| {
        let last = read.last_seq()?;
        let before = asked.before.unwrap_or(u64::MAX).min(last + 1);
        let mut lines = Vec::new();
        // One at a time: bodies may be large.
        let kind = Some(asked.kind.as_str()).filter(|kind| !kind.is_empty());
        read.entries_before(kind, before, &mut |entry| {
            lines.push(line(&entry, role));
            lines.len() < ENTRIES
        })?;
        Ok((lines, last))
    })
    .await?;
    Ok(pages::journal(&app, &seat, &lines, last, &kind))
}

async fn users(State(app): State<App>, seat: Seat, Query(asked): Query<Asked>) -> Shown {
    seat.may(Role::Operator)?;
    let (users, sessions) = app
        .read(|read| {
            Ok((
                session::all::<User>(read, "user")?,
                session::all::<Session>(read, "session")?,
            ))
        })
        .await?;
    Ok(pages::users(
        &app,
        &seat,
        &users,
        &sessions,
        told(asked.done.as_deref()),
    ))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UserForm {
    name: String,
    password: String,
    role: Option<Role>,
}

async fn change_user(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    seat: Seat,
    Path(change): Path<String>,
    body: Bytes,
) -> Done {
    let form: UserForm = seat.posted(&body, Role::Operator)?;
    let name = session::name(form.name.trim())
        .map_err(Refused::invalid)?
        .to_owned();
    let password = if ["add", "password"].contains(&change.as_str()) {
        session::password(&form.password).map_err(Refused::invalid)?;
        desk.new_password(form.password).await?
    } else {
        String::new()
    };
    let _changing = desk.changing.lock().await;
    let all: Vec<(String, User)> = app.read(|read| session::all(read, "user")).await?;
    let known = all
        .iter()
        .find(|(of, _)| *of == name)
        .map(|(_, user)| user.clone());
    let unknown = || Refused::new(StatusCode::NOT_FOUND, "There is no such user.");
    let operators = all.iter().filter(|(_, user)| user.role == Role::Operator).count();
    let is_last = known.as_ref().is_some_and(|user| user.role == Role::Operator) && operators < 2;
    let last = || {
        Refused::new(
            StatusCode::CONFLICT,
            "This is the only operator: make another one first.",
        )
    };
    let now_ns = session::now_ns(&app);
    let mut entry = json!({ "who": seat.name, "do": change, "name": name });
    let mut writing = Writing::default();
    match change.as_str() {
        "add" => {
            if known.is_some() {
                return Err(Refused::new(
                    StatusCode::CONFLICT,
                    "There is a user of this name.",
                ));
            }
            if all.len() >= session::USERS_MAX {
                return Err(Refused::invalid("There are as many users as there can be."));
            }
            let role = form.role.ok_or_else(|| Refused::invalid("Choose a role."))?;
            entry["role"] = role.name().into();
            let user = User {
                password,
                role,
                created_ns: now_ns,
                since_ns: now_ns,
            };
            writing.puts.push(("user", name.clone(), session::to_json(&user)));
        }
        "remove" => {
            known.ok_or_else(unknown)?;
            if is_last {
                return Err(last());
            }
            writing.deletes = session::sessions_of(&app, &name).await?;
            writing.deletes.push(("user", name.clone()));
        }
        "role" => {
            let mut user = known.ok_or_else(unknown)?;
            let role = form.role.ok_or_else(|| Refused::invalid("Choose a role."))?;
            if is_last && role != Role::Operator {
                return Err(last());
            }
            entry["role"] = role.name().into();
            user.role = role;
            writing.puts.push(("user", name.clone(), session::to_json(&user)));
        }
        "password" => {
            let mut user = known.ok_or_else(unknown)?;
            (user.password, user.since_ns) = (password, now_ns);
            writing.puts.push(("user", name.clone(), session::to_json(&user)));
            writing.deletes = session::sessions_of(&app, &name).await?;
        }
        _ => return Err(Refused::new(StatusCode::NOT_FOUND, "There is no such change.")),
    }
    writing.entry = Some(("user", entry));
    app.write(writing).await?;
    Ok(done("/console/users", "user"))
}

async fn password_page(State(app): State<App>, seat: Seat, Query(asked): Query<Asked>) -> Shown {
    Ok(pages::password(&app, &seat, told(asked.done.as_deref())))
}

#[derive(Deserialize)]
struct PasswordForm {
    old: String,
    new: String,
    again: String,
}

async fn own_password(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    info: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    seat: Seat,
    body: Bytes,
) -> Done {
    let form: PasswordForm = seat.posted(&body, Role::Viewer)?;
    if form.new != form.again {
        return Err(Refused::invalid(
            "The new password was not written twice in the same way.",
        ));
    }
    session::password(&form.new).map_err(Refused::invalid)?;
    let (_, network) = client(&app, &info, &headers).hashes(&desk.key);
    if let Err(seconds) = desk.admit(&seat.name, network, session::now_ns(&app)) {
        return Err(Refused {
            retry_after_s: Some(seconds),
            ..Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                "There were too many attempts. Try again later.",
            )
        });
    }
    let user = session::user(&app, &seat.name).await?;
    if !desk.is_password(user.as_ref(), form.old).await? {
        return Err(Refused::new(StatusCode::FORBIDDEN, "The old password is wrong."));
    }
    let password = desk.new_password(form.new).await?;
    let changing = desk.changing.lock().await;
    // Looked at again: it may have been removed or changed while the hash was made.
    let kept = session::user(&app, &seat.name).await?;
    let mut user = kept
        .filter(|kept| Some(kept) == user.as_ref())
        .ok_or_else(|| Refused::new(StatusCode::CONFLICT, "Your account was changed meanwhile."))?;
    (user.password, user.since_ns) = (password, session::now_ns(&app));
    app.write(Writing {
        entry: Some((
            "user",
            json!({ "who": seat.name, "do": "password", "name": seat.name }),
        )),
        puts: vec![("user", seat.name.clone(), session::to_json(&user))],
        deletes: session::sessions_of(&app, &seat.name).await?,
    })
    .await?;
    drop(changing);
    match session::begin(&app, &desk, &headers, &seat.name, &user).await? {
        Some(token) => {
            let cookie = [(header::SET_COOKIE, session::cookie(&app, &token))];
            Ok((cookie, done("/console/password", "password")).into_response())
        }
        None => Ok(Redirect::to("/console/login").into_response()),
    }
}

async fn tokens(State(app): State<App>, seat: Seat, Query(asked): Query<Asked>) -> Shown {
    seat.may(Role::Operator)?;
    let tokens: Vec<(String, Token)> = app.read(|read| session::all(read, "token")).await?;
    Ok(pages::tokens(
        &app,
        &seat,
        &tokens,
        None,
        told(asked.done.as_deref()),
    ))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenForm {
    id: String,
    name: String,
    probes: Option<String>,
    read: Option<String>,
    operate: Option<String>,
}

async fn add_token(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    seat: Seat,
    body: Bytes,
) -> Shown {
    let form: TokenForm = seat.posted(&body, Role::Operator)?;
    let name = session::name(form.name.trim()).map_err(Refused::invalid)?;
    let chosen = [&form.probes, &form.read, &form.operate];
    let scopes: Vec<Scope> = Scope::ALL
        .into_iter()
        .zip(chosen)
        .filter(|(_, chosen)| chosen.is_some())
        .map(|(scope, _)| scope)
        .collect();
    if scopes.is_empty() {
        return Err(Refused::invalid("Choose what the token is good for."));
    }
    let _changing = desk.changing.lock().await;
    let mut tokens: Vec<(String, Token)> = app.read(|read| session::all(read, "token")).await?;
    if tokens.iter().any(|(_, token)| token.name == name) {
        return Err(Refused::new(
            StatusCode::CONFLICT,
            "There is a token of this name.",
        ));
    }
    if tokens.len() >= TOKENS_MAX {
        return Err(Refused::invalid("There are as many tokens as there can be."));
    }
    let (shown, id, token) = session::new_token(name, &scopes, &seat.name, session::now_ns(&app));
    let names: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
    app.write(Writing {
        entry: Some((
            "token",
            json!({ "who": seat.name, "do": "add", "name": name, "token": id, "scopes": names }),
        )),
        puts: vec![("token", id.clone(), session::to_json(&token))],
        ..Writing::default()
    })
    .await?;
    tokens.push((id, token));
    Ok(pages::tokens(&app, &seat, &tokens, Some(&shown), None))
}

async fn revoke_token(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    seat: Seat,
    body: Bytes,
) -> Done {
    let form: TokenForm = seat.posted(&body, Role::Operator)?;
    let _changing = desk.changing.lock().await;
    let id = form.id.clone();
    let kept: Option<Token> = session::parse(app.read(move |read| read.document("token", &id)).await?);
    let token = kept.ok_or_else(|| Refused::new(StatusCode::NOT_FOUND, "There is no such token."))?;
    app.write(Writing {
        entry: Some((
            "token",
            json!({ "who": seat.name, "do": "revoke", "name": token.name, "token": form.id }),
        )),
        deletes: vec![("token", form.id)],
        ..Writing::default()
    })
    .await?;
    Ok(done("/console/tokens", "token"))
}
