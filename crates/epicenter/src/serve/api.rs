//! What is known, for programs: `/api/v1`, and everything else that is not a page.
//!
//! Answers are made from the same views as the pages. Their forms are a promise, written down in [`openapi`](super::openapi): fields may
//! be added, none changes its meaning. Whatever is asked, a refusal is `application/problem+json`.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use atlas::Atlas;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use bytes::Bytes;
use incident::outage::wilson;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::http::{App, Problem};
use super::state::{BIN_S, Incident, Probing, Standing, Update, View};
use crate::case_json::{round, share, time};

/// Things in one answer.
pub(crate) const LIMIT_MAX: usize = 500;
/// Things in one answer where nothing is asked for.
pub(crate) const LIMIT: usize = 100;
/// Quarters of an hour in one answer: a month and a day.
pub(crate) const HISTORY_MAX: u32 = 32 * 96;
/// Characters of what is sought.
pub(crate) const SOUGHT_MAX: usize = 80;
/// Networks and countries that are listed for a service.
const LISTED: usize = 50;

/// Everything for programs.
pub(crate) fn routes() -> Router<App> {
    let api = Router::new()
        .route("/api/v1/services", get(services))
        .route("/api/v1/services/{slug}", get(service))
        .route("/api/v1/services/{slug}/history", get(history))
        .route("/api/v1/incidents", get(incidents))
        .route("/api/v1/incidents/{id}", get(incident))
        .route("/api/{*rest}", any(unknown));
    api.merge(super::openapi::routes())
        .merge(super::statuspage::routes())
        .merge(super::metrics::routes())
        .merge(super::feeds::routes())
        .method_not_allowed_fallback(async |method: Method| not_allowed(&method))
        .layer(axum::middleware::from_fn(open))
}

/// Anybody's page may read what is public; no cookie plays a part in it.
async fn open(request: Request, next: Next) -> axum::response::Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn not_allowed(method: &Method) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        format!("{} cannot be done here; see Allow.", short(method.as_str())),
    )
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(format!("There is nothing at {}; see /api.", short(uri.path())))
}

/// A start of something from outside that is repeated in an answer.
pub(crate) fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// A name in an address. One that cannot be read names nothing.
pub(crate) fn name(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    path.map(|Path(name)| name)
        .map_err(|_| Problem::not_found("Nothing has such a name."))
}

/// The view of a service.
pub(crate) fn view(app: &App, slug: &str) -> Result<std::sync::Arc<View>, Problem> {
    let services = app.state.services.load();
    let slot = services
        .get(slug)
        .ok_or_else(|| Problem::not_found(format!("There is no service `{}`.", short(slug))))?;
    Ok(slot.view.load_full())
}

/// Tells runs of the program apart: versions count from each start.
fn run() -> &'static str {
    static RUN: OnceLock<String> = OnceLock::new();
    RUN.get_or_init(|| {
        let mut bytes = [0; 6];
        // Without random numbers the process has to do; nothing here is a secret.
        if getrandom::fill(&mut bytes).is_err() {
            bytes[..4].copy_from_slice(&std::process::id().to_le_bytes());
        }
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    })
}

/// The tag of something that has a version.
pub(crate) fn tag(of: &str, version: u64) -> String {
    format!("\"{of}-{}-{version}\"", run())
}

/// Whether the asker has what has this tag.
pub(crate) fn has(headers: &HeaderMap, tag: &str) -> bool {
    let named = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    named
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == tag || one == "*")
}

/// An answer that may be kept for some seconds, or word that the asker has it. The body is made only when it is wanted.
pub(crate) fn given(
    headers: &HeaderMap,
    tag: &str,
    kind: &'static str,
    keep_s: u32,
    body: impl FnOnce() -> Bytes,
) -> axum::response::Response {
    let mut response = if has(headers, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(body()));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    };
    let values = [
        (header::ETAG, tag.to_owned()),
        (header::CACHE_CONTROL, format!("public, max-age={keep_s}")),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn json_given(headers: &HeaderMap, tag: &str, value: impl FnOnce() -> Value) -> axum::response::Response {
    given(headers, tag, "application/json", 1, || {
        Bytes::from(value().to_string())
    })
}

/// An answer whose tag is a hash of it.
pub(crate) fn json_hashed(headers: &HeaderMap, value: &Value, keep_s: u32) -> axum::response::Response {
    let text = value.to_string();
    let hash: String = Sha256::digest(&text)
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    given(
        headers,
        &format!("\"{hash}\""),
        "application/json",
        keep_s,
        || Bytes::from(text),
    )
}

fn asked<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query
        .map(|Query(asked)| asked)
        .map_err(|error| Problem::invalid(format!("{}.", error.body_text().trim_end_matches('.'))))
}

fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(LIMIT),
        Some(limit @ 1..=LIMIT_MAX) => Ok(limit),
        Some(_) => Err(Problem::invalid(format!("limit: is not from 1 to {LIMIT_MAX}."))),
    }
}

/// Whether a text may be the slug of a service.
fn is_slug(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=80).contains(&text.len()) && !text.starts_with('-') && text.chars().all(plain)
}

fn slug(key: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if !is_slug(&text) => Err(Problem::invalid(format!(
            "{key}: `{}` is not of small letters, digits and hyphens, 80 at most.",
            short(&text)
        ))),
        text => Ok(text),
    }
}

/// A time, in nanoseconds since 1970. What was before is 0, and what is beyond the numbers that we have is the last of them.
fn at(key: &str, text: Option<&str>) -> Result<Option<u64>, Problem> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(stamp) = text.parse::<jiff::Timestamp>() {
        let ns = stamp.as_nanosecond().clamp(0, i128::from(u64::MAX));
        return Ok(Some(u64::try_from(ns).unwrap_or(u64::MAX)));
    }
    // The last hours of 9999 are times, though no instants of the library.
    let is_last = jiff::fmt::temporal::Pieces::parse(text).is_ok_and(|pieces| {
        pieces.date().year() == 9999 && pieces.time().is_some() && pieces.offset().is_some()
    });
    if is_last {
        return Ok(Some(u64::MAX));
    }
    Err(Problem::invalid(format!(
        "{key}: `{}` is no time as 2025-03-10T09:45:00Z.",
        short(text)
    )))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Services {
    q: Option<String>,
    standing: Option<Standing>,
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn services(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<Services>, QueryRejection>,
) -> Result<axum::response::Response, Problem> {
    let query = asked(query)?;
    let limit = limit(query.limit)?;
    let cursor = slug("cursor", query.cursor)?;
    if query.q.as_ref().is_some_and(|q| q.chars().count() > SOUGHT_MAX) {
        return Err(Problem::invalid(format!(
            "q: is longer than {SOUGHT_MAX} characters."
        )));
    }
    let sought = query.q.map(|q| q.to_lowercase());
    // Before the views are read: what is newer than its tag is asked for again, what is older would be kept.
    let version = *app.state.changed.borrow();
    Ok(json_given(&headers, &tag("services", version), || {
        let services = app.state.services.load();
        let after = cursor.as_deref().unwrap_or("");
        let mut found = Vec::new();
        let mut next = Value::Null;
        for (slug, slot) in
            services.range::<str, _>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded))
        {
            let view = slot.view.load();
            let is_sought = sought.as_ref().is_none_or(|sought| {
                slug.contains(sought.as_str()) || view.service.name.to_lowercase().contains(sought)
            });
            if !is_sought || query.standing.is_some_and(|standing| standing != view.standing) {
                continue;
            }
            if found.len() == limit {
                // More are there: the next answer begins after the last one of this.
                next = found
                    .last()
                    .map_or(Value::Null, |last: &Value| last["slug"].clone());
                break;
            }
            found.push(summary(&view));
        }
        json!({ "services": found, "next": next })
    }))
}

async fn service(
    State(app): State<App>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::response::Response, Problem> {
    let view = view(&app, &name(path)?)?;
    let tag = tag(&view.service.slug, view.version);
    Ok(json_given(&headers, &tag, || whole(&view, &app.atlas)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct History {
    from: Option<String>,
    to: Option<String>,
}

async fn history(
    State(app): State<App>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<History>, QueryRejection>,
) -> Result<axum::response::Response, Problem> {
    let view = view(&app, &name(path)?)?;
    let query = asked(query)?;
    let now_s = app.state.alive_ns.load(Ordering::Relaxed) / 1_000_000_000;
    let to_s = at("to", query.to.as_deref())?.map_or(now_s + 1, |ns| ns.div_ceil(1_000_000_000));
    let from_s = match at("from", query.from.as_deref())? {
        Some(ns) => ns / 1_000_000_000,
        None => to_s.saturating_sub(86_400),
    };
    let slug = view.service.slug.clone();
    let mut bins = app
        .read(move |read| read.bins_between(&slug, from_s, to_s, HISTORY_MAX + 1))
        .await?;
    let next = (bins.len() > HISTORY_MAX as usize)
        .then(|| bins.pop())
        .flatten()
        .map(|bin| stamp(bin.start_s));
    let value = json!({
        "service": view.service.slug,
        "from": stamp(from_s),
        "to": stamp(to_s),
        "bin_seconds": BIN_S,
        "bins": bins.iter().map(|bin| json!({
            "start": stamp(bin.start_s), "reports": bin.reports, "tried": bin.tried, "failed": bin.failed,
        })).collect::<Vec<_>>(),
        "next": next,
    });
    Ok(json_hashed(&headers, &value, 1))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Incidents {
    service: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn incidents(
    State(app): State<App>,
    headers: HeaderMap,
    query: Result<Query<Incidents>, QueryRejection>,
) -> Result<axum::response::Response, Problem> {
    let query = asked(query)?;
    let limit = limit(query.limit)?;
    let service = slug("service", query.service)?;
    let since = at("since", query.since.as_deref())?.unwrap_or(0);
    let cursor = query.cursor.as_deref().map(place_of).transpose()?;
    let known = app.state.incidents.load();
    let mut sorted: Vec<&std::sync::Arc<Incident>> = known
        .values()
        .filter(|incident| service.as_ref().is_none_or(|slug| *slug == incident.service))
        // What is going on counts, whenever it began.
        .filter(|incident| incident.end_ns.is_none_or(|end_ns| end_ns >= since))
        .filter(|incident| {
            cursor
                .as_ref()
                .is_none_or(|(ns, id)| (incident.start_ns, incident.id.as_str()) < (*ns, id))
        })
        .collect();
    sorted.sort_unstable_by(|a, b| (b.start_ns, &b.id).cmp(&(a.start_ns, &a.id)));
    let next = (sorted.len() > limit).then(|| {
        let last = sorted[limit - 1];
        format!("{}.{}", last.start_ns, last.id)
    });
    sorted.truncate(limit);
    let value = json!({
        "incidents": sorted.iter().map(|incident| told(incident, &app.atlas)).collect::<Vec<_>>(),
        "next": next,
    });
    Ok(json_hashed(&headers, &value, 1))
}

/// The place in the list of incidents that a cursor names: the start and the id of the last one that was given.
fn place_of(cursor: &str) -> Result<(u64, &str), Problem> {
    let parts = cursor.split_once('.').and_then(|(ns, id)| {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let digits = ns.len() <= 19 && ns.bytes().all(|byte| byte.is_ascii_digit());
        let named = (1..=80).contains(&id.len()) && id.chars().all(is_plain);
        (digits && named).then_some(())?;
        Some((ns.parse().ok()?, id))
    });
    parts.ok_or_else(|| Problem::invalid("cursor: is none that was given as `next`."))
}

async fn incident(
    State(app): State<App>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::response::Response, Problem> {
    let id = name(path)?;
    let known = app.state.incidents.load().get(&id).cloned();
    let found = match known {
        Some(incident) => Some(incident),
        // Old ones are in the file alone. What can be no id is not sought there.
        None if is_slug(&id) => {
            let sought = id.clone();
            app.read(move |read| read.document("incident", &sought))
                .await?
                .and_then(|text| serde_json::from_str::<Incident>(&text).ok())
                .map(std::sync::Arc::new)
        }
        None => None,
    };
    let incident =
        found.ok_or_else(|| Problem::not_found(format!("There is no incident `{}`.", short(&id))))?;
    Ok(json_hashed(&headers, &told(&incident, &app.atlas), 1))
}

pub(crate) fn stamp(s: u64) -> String {
    time(s.saturating_mul(1_000_000_000))
}

/// Reports and those expected; `null` where that is not known yet.
fn counted(view: &View, (reports, expected): (u64, f64)) -> Value {
    let expected = (!view.is_learning).then(|| round(expected));
    json!({ "reports": reports, "expected": expected })
}

/// A service in a list.
fn summary(view: &View) -> Value {
    json!({
        "slug": view.service.slug,
        "name": view.service.name,
        "url": view.service.url,
        "about": view.service.about,
        "at": time(view.at_ns),
        "standing": view.standing.name(),
        "in_trouble": view.standing.is_trouble(),
        "last_15_minutes": counted(view, view.last_15),
        "last_hour": counted(view, view.last_hour),
        "failing_places": view.failing.0,
        "places": view.failing.1,
        "failing_since": view.failing_since_ns.map(time),
        "attacks_running": view.attacks.len(),
        "incident": view.incident.as_ref().map(|incident| &incident.id),
    })
}

/// All that is known of a service.
fn whole(view: &View, atlas: &Atlas) -> Value {
    let (countries, networks, symptoms) = (view.countries(), view.networks(), view.symptoms());
    let all = |counts: &mut dyn Iterator<Item = u64>| counts.sum::<u64>();
    let by_country = all(&mut countries.iter().map(|(_, n)| *n));
    let by_network = all(&mut networks.iter().map(|(_, n)| *n));
    let by_symptom = all(&mut symptoms.iter().map(|(_, n)| *n));
    let mut value = summary(view);
    let more = json!({
        "symptoms_known": view.service.symptoms,
        "networks_watched": view.service.networks.iter().map(|net| net.0.to_string()).collect::<Vec<_>>(),
        "neighbours": view.service.neighbours,
        "bin_seconds": BIN_S,
        "bins": view.bins.iter().map(|bin| json!({
            "start": stamp(bin.start_s),
            "reports": bin.reports,
            "expected": (bin.minutes_known > 0).then(|| round(bin.expected)),
            "minutes_expected": bin.minutes_known,
            "tried": bin.tried,
            "failed": bin.failed,
        })).collect::<Vec<_>>(),
        "countries": countries.iter().take(LISTED).map(|(country, n)| json!({
            "code": country.as_str(), "reports": n, "share": share(wilson(*n, by_country)),
        })).collect::<Vec<_>>(),
        "networks": networks.iter().take(LISTED).map(|(asn, n)| json!({
            "asn": asn, "name": atlas.network(*asn), "reports": n, "share": share(wilson(*n, by_network)),
        })).collect::<Vec<_>>(),
        "symptoms": symptoms.iter().take(LISTED).map(|(symptom, n)| json!({
            "symptom": symptom, "reports": n, "share": share(wilson(*n, by_symptom)),
        })).collect::<Vec<_>>(),
        "probes": view.probes.iter().map(probing).collect::<Vec<_>>(),
        "attacks": view.attacks.iter().map(|attack| json!({
            "id": attack.attacked.id,
            "target": attack.attacked.target.to_string(),
            "start": time(attack.attacked.start_ns),
            "vectors": attack.vectors,
            "headline": attack.headline,
        })).collect::<Vec<_>>(),
        "open_incident": view.incident.as_ref().map(|incident| told(incident, atlas)),
        "past_incidents": view.past.iter().map(|incident| &incident.id).collect::<Vec<_>>(),
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn probing(probing: &Probing) -> Value {
    json!({
        "place": probing.place,
        "probe": probing.probe,
        "kind": probing.kind,
        "at": time(probing.at_ns),
        "ok": probing.ok,
        "reason": probing.reason,
        "milliseconds": probing.ms.map(round),
        "certificate_ends": probing.certificate_ends_s.map(stamp),
        "tried": probing.tried,
        "failed": probing.failed,
        "failed_share": (probing.tried > 0).then(|| share(wilson(probing.failed, probing.tried))),
    })
}

/// An incident. Who of the operators said something stays among them.
pub(crate) fn told(incident: &Incident, atlas: &Atlas) -> Value {
    let interval = |[estimate, low, high]: [f64; 3]| json!({ "estimate": round(estimate), "low": round(low), "high": round(high) });
    // Of shares that are kept alone, the interval follows from the number of reports.
    let of_reports = |part: f64| {
        share(wilson(
            (part * incident.reports as f64).round() as u64,
            incident.reports,
        ))
    };
    let said = |update: &Update| json!({ "at": time(update.at_ns), "text": update.text });
    json!({
        "id": incident.id,
        "service": incident.service,
        "standing": incident.standing.name(),
        "start": time(incident.start_ns),
        "end": incident.end_ns.map(time),
        "waves": incident.waves.iter().map(|wave| json!({
            "start": time(wave.start_ns),
            "detected": time(wave.detected_ns),
            "end": wave.end_ns.map(time),
            "reports": wave.reports,
            "expected": round(wave.expected),
            "peak_reports": wave.peak,
            "peak_start": time(wave.peak_ns),
        })).collect::<Vec<_>>(),
        "reports": incident.reports,
        "expected": round(incident.expected),
        "limited": of_reports(incident.limited),
        "countries": incident.countries.iter().map(|(country, share)| json!({
            "code": country.as_str(), "share": interval(*share),
        })).collect::<Vec<_>>(),
        "networks": incident.networks.iter().map(|(asn, share)| json!({
            "asn": asn, "name": atlas.network(*asn), "share": interval(*share),
        })).collect::<Vec<_>>(),
        "symptoms": incident.symptoms.iter().map(|(symptom, part)| json!({
            "symptom": symptom, "share": of_reports(*part),
        })).collect::<Vec<_>>(),
        "probes": incident.probed.map(|probed| json!({
            "tried": probed.tried,
            "failed": probed.failed,
            "failed_share": share(wilson(probed.failed, probed.tried)),
            "failing_places": probed.failing_places,
            "places": probed.places,
        })),
        "cause": {
            "kind": incident.told_cause(),
            "named_by_operator": incident.named_cause.is_some(),
            "observed": incident.cause.kind,
            "of": incident.cause.of,
            "confidence": incident.cause.confidence,
            "because": incident.cause.because,
        },
        "confidence": incident.confidence,
        "attacks": incident.attacks,
        "caveats": incident.caveats,
        "acknowledged": incident.acknowledged.as_ref().map(|(_, ns)| time(*ns)),
        "updates": incident.updates.iter().map(said).collect::<Vec<_>>(),
        "post_mortem": incident.post_mortem.as_ref().map(said),
        "merged_into": incident.merged_into,
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::super::openapi::document;
    use super::super::testing::{Bed, NOW_NS, OLD, OPEN, OVER, ask, bed, get as asked};
    use super::*;

    async fn value(bed: &Bed, path: &str) -> Value {
        let answer = asked(routes(), &bed.app, path).await;
        assert_eq!(
            answer.status(),
            StatusCode::OK,
            "{path}: {}",
            String::from_utf8_lossy(answer.body())
        );
        serde_json::from_slice(answer.body()).expect("JSON")
    }

    /// What an answer has to look like; nothing is allowed in it that is not written down.
    fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
        fn strict(value: &mut Value) {
            match value {
                Value::Object(map) => {
                    map.values_mut().for_each(strict);
                    if map.contains_key("properties")
                        && map.contains_key("required")
                        && !map.contains_key("additionalProperties")
                    {
                        map.insert("additionalProperties".to_owned(), Value::Bool(false));
                    }
                }
                Value::Array(list) => list.iter_mut().for_each(strict),
                _ => {}
            }
        }
        let mut whole = schema.clone();
        whole["components"] = json!({ "schemas": document["components"]["schemas"] });
        strict(&mut whole);
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&whole)
            .expect("a schema")
    }

    /// Every documented question, asked of the tracker.
    #[tokio::test]
    async fn every_answer_is_as_the_document_says() {
        let bed = bed();
        let document = document(&bed.app.state.config.load());
        let mut checked = 0;
        for (path, methods) in document["paths"].as_object().expect("paths") {
            // The agents' side is not of this module.
            if path.starts_with("/api/v1/probes") {
                continue;
            }
            let Some(responses) = methods.get("get").map(|operation| &operation["responses"]) else {
                continue;
            };
            let schema = &responses["200"]["content"]["application/json"]["schema"];
            let mut schema = schema.clone();
            if path == "/api/v1/openapi.json" {
                // Of itself it says only what a reader begins with.
                schema["additionalProperties"] = json!(true);
            }
            let holds = validator(&document, &schema);
            for (slug, id) in [("shop", OPEN), ("bank", OVER), ("mail", OLD)] {
                let asked_path = path.replace("{slug}", slug).replace("{id}", id);
                let answer = asked(routes(), &bed.app, &asked_path).await;
                assert_eq!(answer.status(), StatusCode::OK, "{asked_path}");
                assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
                let value: Value = serde_json::from_slice(answer.body()).expect("JSON");
                let wrong: Vec<String> = holds
                    .iter_errors(&value)
                    .map(|error| format!("{}: {error}", error.instance_path))
                    .collect();
                assert!(wrong.is_empty(), "{asked_path}: {wrong:#?}");
                let again =
                    Request::get(&asked_path).header("if-none-match", &answer.headers()[header::ETAG]);
                let again = ask(routes(), &bed.app, again.body(Body::empty()).expect("a request")).await;
                assert_eq!(
                    (again.status(), again.body().len()),
                    (StatusCode::NOT_MODIFIED, 0),
                    "{asked_path}"
                );
                assert!(responses.get("304").is_some());
                checked += 1;
            }
            // The same check refuses an answer with something that is not written down.
            if path == "/api/v1/incidents/{id}" {
                let mut more = value(&bed, &format!("/api/v1/incidents/{OPEN}")).await;
                more["surprise"] = json!(1);
                assert!(!holds.is_valid(&more));
            }
        }
        assert_eq!(checked, 3 * 14);
    }

    #[tokio::test]
    async fn whatever_is_asked_wrongly_is_a_documented_problem() {
        let bed = bed();
        let document = document(&bed.app.state.config.load());
        let holds = validator(&document, &json!({ "$ref": "#/components/schemas/Problem" }));
        for (path, status, documented) in [
            ("/api/v1/services/none", 404, "/api/v1/services/{slug}"),
            ("/api/v1/services/%FF%fe", 404, "/api/v1/services/{slug}"),
            ("/api/v1/services/a%00b", 404, "/api/v1/services/{slug}"),
            ("/api/v1/services?limit=0", 422, "/api/v1/services"),
            ("/api/v1/services?limit=501", 422, "/api/v1/services"),
            ("/api/v1/services?limit=-1", 422, "/api/v1/services"),
            ("/api/v1/services?limit=", 422, "/api/v1/services"),
            ("/api/v1/services?limit=1&limit=2", 422, "/api/v1/services"),
            ("/api/v1/services?standing=down", 422, "/api/v1/services"),
            ("/api/v1/services?cursor=%FF", 422, "/api/v1/services"),
            ("/api/v1/services?no=1", 422, "/api/v1/services"),
            (
                "/api/v1/services/none/history",
                404,
                "/api/v1/services/{slug}/history",
            ),
            (
                "/api/v1/services/%FF/history?from=x",
                404,
                "/api/v1/services/{slug}/history",
            ),
            (
                "/api/v1/services/shop/history?from=yesterday",
                422,
                "/api/v1/services/{slug}/history",
            ),
            (
                "/api/v1/services/shop/history?to=2025-13-01T00:00:00Z",
                422,
                "/api/v1/services/{slug}/history",
            ),
            ("/api/v1/incidents?since=1", 422, "/api/v1/incidents"),
            ("/api/v1/incidents?service=A", 422, "/api/v1/incidents"),
            ("/api/v1/incidents?cursor=1", 422, "/api/v1/incidents"),
            (
                "/api/v1/incidents?cursor=99999999999999999999.a",
                422,
                "/api/v1/incidents",
            ),
            ("/api/v1/incidents/none", 404, "/api/v1/incidents/{id}"),
            ("/api/v1/incidents/%F0%28", 404, "/api/v1/incidents/{id}"),
            ("/api/v1/nothing", 404, ""),
            ("/api/%FF", 404, ""),
            ("/api/v3/%2e%2e/x?%FF", 404, ""),
        ] {
            let answer = asked(routes(), &bed.app, path).await;
            assert_eq!(answer.status().as_u16(), status, "{path}");
            assert_eq!(
                answer.headers()[header::CONTENT_TYPE],
                "application/problem+json",
                "{path}"
            );
            let value: Value = serde_json::from_slice(answer.body()).expect("JSON");
            assert!(holds.is_valid(&value), "{path}: {value}");
            assert_eq!(value["status"], status);
            if !documented.is_empty() {
                let responses = &document["paths"][documented]["get"]["responses"];
                assert!(
                    responses.get(status.to_string()).is_some(),
                    "{path}: {status} is not documented"
                );
            }
        }
        let long = format!("/api/v1/services?q={}", "x".repeat(81));
        assert_eq!(
            asked(routes(), &bed.app, &long).await.status(),
            StatusCode::UNPROCESSABLE_ENTITY
        );
        let post = Request::post("/api/v1/services")
            .body(Body::empty())
            .expect("a request");
        let answer = ask(routes(), &bed.app, post).await;
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()[header::ALLOW], "GET,HEAD");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    /// The same through everything that stands around it in the running program.
    #[tokio::test]
    async fn refusals_of_the_router_say_what_is_allowed() {
        let bed = bed();
        let whole = || super::super::server::router(bed.app.clone()).with_state(());
        for (path, allowed) in [("/api/v1/reports", "POST"), ("/api/v1/services", "GET,HEAD")] {
            let request = Request::delete(path).body(Body::empty()).expect("a request");
            let answer = tower::ServiceExt::oneshot(whole(), request)
                .await
                .expect("infallible");
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(answer.headers()[header::ALLOW], allowed);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        }
    }

    #[tokio::test]
    async fn services_come_in_pages_and_can_be_sought() {
        let bed = bed();
        let slugs = |value: &Value| -> Vec<String> {
            let list = value["services"].as_array().expect("a list");
            list.iter()
                .map(|one| one["slug"].as_str().expect("a slug").to_owned())
                .collect()
        };
        let first = value(&bed, "/api/v1/services?limit=2").await;
        assert_eq!(slugs(&first), ["bank", "mail"]);
        assert_eq!(first["next"], "mail");
        let second = value(&bed, "/api/v1/services?limit=2&cursor=mail").await;
        assert_eq!(slugs(&second), ["shop"]);
        assert_eq!(second["next"], Value::Null);
        // A page that is just full is the last one.
        assert_eq!(value(&bed, "/api/v1/services?limit=3").await["next"], Value::Null);
        assert_eq!(
            slugs(&value(&bed, "/api/v1/services?q=S%C3%96HNE").await),
            ["shop"]
        );
        assert_eq!(
            slugs(&value(&bed, "/api/v1/services?standing=learning").await),
            ["mail"]
        );
        let shop = value(&bed, "/api/v1/services?q=shop").await["services"][0].clone();
        assert_eq!(shop["last_hour"], json!({ "reports": 900, "expected": 31.25 }));
        assert_eq!(
            (&shop["in_trouble"], &shop["incident"]),
            (&json!(true), &json!(OPEN))
        );
        let mail = value(&bed, "/api/v1/services/mail").await;
        assert_eq!(mail["last_hour"]["expected"], Value::Null);
    }

    #[tokio::test]
    async fn a_service_shows_shares_with_intervals_and_names_of_networks() {
        let bed = bed();
        let shop = value(&bed, "/api/v1/services/shop").await;
        assert_eq!(shop["bins"].as_array().map(Vec::len), Some(96));
        assert_eq!(shop["bins"][0]["expected"], Value::Null);
        assert_eq!(shop["bins"][95]["expected"], 2.5);
        let networks = shop["networks"].as_array().expect("a list");
        let named = networks.iter().find(|one| one["asn"] == 3320).expect("AS 3320");
        assert!(
            named["name"]
                .as_str()
                .is_some_and(|name| name.to_lowercase().contains("telekom")),
            "{named}"
        );
        for one in networks {
            let [low, estimate, high] =
                ["low", "estimate", "high"].map(|key| one["share"][key].as_f64().expect("a number"));
            assert!(low < estimate && estimate < high, "{one}");
        }
        // An operator's name stays inside.
        assert!(!shop.to_string().contains("ops@example.org"));
        assert_eq!(
            shop["open_incident"]["updates"][0]["text"],
            "We <filter> & watch \u{1}."
        );
    }

    #[tokio::test]
    async fn incidents_come_in_pages_and_old_ones_from_the_file() {
        let bed = bed();
        let first = value(&bed, "/api/v1/incidents?limit=1").await;
        assert_eq!(first["incidents"][0]["id"], OPEN);
        let next = first["next"].as_str().expect("a cursor");
        let second = value(&bed, &format!("/api/v1/incidents?limit=1&cursor={next}")).await;
        assert_eq!(second["incidents"][0]["id"], OVER);
        assert_eq!(second["next"], Value::Null);
        let since = value(&bed, "/api/v1/incidents?since=2025-03-09T00:00:00Z").await;
        assert_eq!(since["incidents"].as_array().map(Vec::len), Some(1));
        let none = value(&bed, "/api/v1/incidents?service=bank").await;
        assert_eq!(none["incidents"], json!([]));
        assert_eq!(value(&bed, &format!("/api/v1/incidents/{OLD}")).await["id"], OLD);
        let open = value(&bed, &format!("/api/v1/incidents/{OPEN}")).await;
        assert_eq!(open["cause"]["kind"], "attack");
        assert_eq!(open["limited"]["estimate"], 0.125556, "113 of 900");
    }

    #[tokio::test]
    async fn history_comes_from_the_file() {
        let bed = bed();
        let day = value(&bed, "/api/v1/services/shop/history").await;
        let bins = day["bins"].as_array().expect("a list");
        assert_eq!(bins.len(), 96);
        assert_eq!(day["to"], time(NOW_NS + 1_000_000_000));
        assert_eq!(
            bins[95],
            json!({ "start": "2025-03-10T09:45:00Z", "reports": 0, "tried": 15, "failed": 1 })
        );
        let hour = value(
            &bed,
            "/api/v1/services/shop/history?from=2025-03-10T08:00:00Z&to=2025-03-10T10:00:00%2B01:00",
        )
        .await;
        assert_eq!(hour["bins"].as_array().map(Vec::len), Some(4));
        assert_eq!(hour["to"], "2025-03-10T09:00:00Z");
        let none = value(
            &bed,
            "/api/v1/services/shop/history?from=2025-03-11T00:00:00Z&to=0001-01-01T00:00:00Z",
        )
        .await;
        assert_eq!(none["bins"], json!([]));
        let late = value(&bed, "/api/v1/services/shop/history?from=3000-01-01T00:00:00Z").await;
        assert_eq!(late["bins"], json!([]));
        let all = value(
            &bed,
            "/api/v1/services/shop/history?from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z",
        )
        .await;
        assert_eq!(
            (all["bins"].as_array().map(Vec::len), &all["next"]),
            (Some(100), &Value::Null)
        );
    }
}
