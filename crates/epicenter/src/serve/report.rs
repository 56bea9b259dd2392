//! What people send: a tap on a button, or a request of a program.
//!
//! Of the address only keyed hashes are kept, and the country and the network that it is in. The answer is given when the report is on
//! the disk. A report from another site's page is refused (a page could make its visitors report), a field that people do not see and
//! programs fill is answered like a report and not counted, and where the settings want it the browser does some work first.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::config::Service;
use super::engine::{Answer, Ask, NewReport};
use super::http::{App, Client, Problem, client, language};
use super::pages::notice::Outcome;
use super::pages::{self, notice};

/// Characters of a comment.
pub(crate) const COMMENT_MAX: usize = 500;
/// Characters of the proof of work: a challenge, a colon and a number.
pub(crate) const WORK_MAX: usize = 128;
/// A challenge is good in the ten minutes in which it was given and in the next ones.
const CHALLENGE_NS: u64 = 600_000_000_000;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/s/{slug}/report", post(form))
        .route("/s/{slug}/work", get(work))
        .route("/api/v1/reports", post(json))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    symptom: String,
    comment: String,
    /// The field that nobody sees.
    website: String,
    work: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    service: String,
    #[serde(default)]
    symptom: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    work: String,
}

/// From the button of a page.
async fn form(
    State(app): State<App>,
    info: ConnectInfo<SocketAddr>,
    Path(slug): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    // Browsers say where a form stands; one on another site reports in the name of people who do not know.
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        let problem = Problem::new(
            StatusCode::FORBIDDEN,
            "other-site",
            "This report came from another site's page.",
        );
        return pages::refusal(&app, &headers, &problem);
    }
    let Ok(form) = serde_urlencoded::from_bytes::<Form>(&body) else {
        return pages::refusal(&app, &headers, &Problem::invalid("The form cannot be read."));
    };
    let outcome = if form.website.is_empty() {
        let sent = Sent {
            service: slug.clone(),
            symptom: form.symptom,
            comment: form.comment,
            work: form.work,
        };
        match take(&app, client(&app, &info, &headers), sent).await {
            Ok(Answer::Counted) => Outcome::Counted,
            Ok(Answer::Already) => Outcome::Already,
            Ok(_) => Outcome::Limited,
            Err(problem) => match problem.kind {
                "work" => Outcome::NoWork,
                "full" => Outcome::Full,
                "busy" => Outcome::Busy,
                _ => return pages::refusal(&app, &headers, &problem),
            },
        }
    } else {
        app.state.counters.honeypot.fetch_add(1, Ordering::Relaxed);
        Outcome::Counted
    };
    let config = app.state.config.load();
    let service = config.service.iter().find(|service| service.slug == slug);
    match (outcome, service) {
        // Whoever follows no redirects still learns that it was not taken.
        (Outcome::Full | Outcome::Busy, Some(service)) => {
            let page = notice::reported(outcome, service, &config, language(&app, &headers, None));
            let retry = if outcome == Outcome::Full { "60" } else { "5" };
            (
                StatusCode::SERVICE_UNAVAILABLE,
                [(header::RETRY_AFTER, retry)],
                axum::response::Html(page),
            )
                .into_response()
        }
        _ => axum::response::Redirect::to(&outcome.address(&slug)).into_response(),
    }
}

/// From a program.
async fn json(
    State(app): State<App>,
    info: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "Send application/json.",
        ));
    }
    let sent: Sent =
        serde_json::from_slice(&body).map_err(|error| Problem::invalid(format!("The body: {error}.")))?;
    let (status, word) = match take(&app, client(&app, &info, &headers), sent).await? {
        Answer::Counted => (StatusCode::CREATED, "counted"),
        Answer::Already => (StatusCode::OK, "already"),
        _ => {
            return Err(Problem {
                retry_after_s: Some(60),
                ..Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "limit",
                    "Too many reports came from this network within a minute.",
                )
            });
        }
    };
    let body = format!("{{\"status\":\"{word}\"}}");
    Ok((status, [(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// Counted, there already, or too many; anything else is a refusal.
async fn take(app: &App, client: Client, sent: Sent) -> Result<Answer, Problem> {
    let view = {
        let services = app.state.services.load();
        let slot = services
            .get(sent.service.as_str())
            .ok_or_else(|| Problem::not_found(format!("There is no service `{}`.", short(&sent.service))))?;
        slot.view.load_full()
    };
    let service: &Service = &view.service;
    if !sent.symptom.is_empty() && !service.symptoms.contains(&sent.symptom) {
        return Err(Problem::invalid(format!(
            "symptom: `{}` is none of {}.",
            short(&sent.symptom),
            service.symptoms.join(", ")
        )));
    }
    if sent.comment.chars().count() > COMMENT_MAX {
        return Err(Problem::invalid(format!(
            "comment: more than {COMMENT_MAX} characters."
        )));
    }
    if sent.work.chars().count() > WORK_MAX {
        return Err(Problem::invalid(format!(
            "work: more than {WORK_MAX} characters."
        )));
    }
    let keys = app.state.keys.load_full();
    let (person, prefix) = client.hashes(&keys.key);
    let bits = app.state.config.load().reports.proof_of_work;
    if bits > 0 {
        let now_ns = app.state.alive_ns.load(Ordering::Relaxed);
        if !is_done(&sent.work, &keys.key, &sent.service, person, now_ns, bits) {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "work",
                format!(
                    "work: fetch /s/{}/work and solve it, or let a browser with scripts do so.",
                    sent.service
                ),
            ));
        }
    }
    let place = app.atlas.lookup(client.0);
    let report = NewReport {
        country: place.country,
        network: place.asn,
        service: sent.service,
        symptom: sent.symptom,
        comment: sent.comment,
        person,
        prefix,
    };
    match app.ask(|answer| Ask::Report(report, answer)).await? {
        Answer::Unknown => Err(Problem::not_found("There is no such service.")),
        Answer::Full => Err(Problem::full()),
        answer => Ok(answer),
    }
}

/// A start of something from outside that is repeated in an answer.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

/// What has to be solved before a report is taken: a number that, behind the challenge, gives a SHA-256 that begins with so many zero
/// bits.
async fn work(
    State(app): State<App>,
    info: ConnectInfo<SocketAddr>,
    Path(slug): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !app.state.services.load().contains_key(slug.as_str()) {
        return Err(Problem::not_found(format!(
            "There is no service `{}`.",
            short(&slug)
        )));
    }
    let keys = app.state.keys.load_full();
    let (person, _) = client(&app, &info, &headers).hashes(&keys.key);
    let now_ns = app.state.alive_ns.load(Ordering::Relaxed);
    let challenge = challenge(&keys.key, &slug, person, now_ns / CHALLENGE_NS);
    let bits = app.state.config.load().reports.proof_of_work;
    let body = serde_json::json!({ "challenge": challenge, "bits": bits });
    Ok((
        [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        body.to_string(),
    )
        .into_response())
}

/// A challenge for a person, a service and a time, so that what one has solved is of no use to another.
fn challenge(key: &[u8; 32], slug: &str, person: u64, slot: u64) -> String {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("any length is a key");
    mac.update(b"work");
    mac.update(slug.as_bytes());
    mac.update(&[0]);
    mac.update(&person.to_le_bytes());
    mac.update(&slot.to_le_bytes());
    mac.finalize().into_bytes()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn is_done(work: &str, key: &[u8; 32], slug: &str, person: u64, now_ns: u64, bits: u8) -> bool {
    let Some((given, nonce)) = work.split_once(':') else {
        return false;
    };
    let slot = now_ns / CHALLENGE_NS;
    let is_ours = [slot, slot.saturating_sub(1)]
        .iter()
        .any(|slot| challenge(key, slug, person, *slot) == given);
    is_ours && nonce.len() <= 32 && zeros(given, nonce) >= u32::from(bits)
}

/// Zero bits at the beginning of the hash of challenge and nonce.
fn zeros(challenge: &str, nonce: &str) -> u32 {
    let hash = Sha256::new()
        .chain_update(challenge)
        .chain_update(nonce)
        .finalize();
    let first = u64::from_be_bytes(hash[..8].try_into().expect("eight bytes"));
    first.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_of_one_person_service_and_time() {
        let key = [7; 32];
        let now = 1_000 * CHALLENGE_NS;
        let given = challenge(&key, "shop", 5, 1_000);
        let nonce = (0..)
            .map(|n: u32| n.to_string())
            .find(|nonce| zeros(&given, nonce) >= 8)
            .expect("one of some hundreds");
        let work = format!("{given}:{nonce}");
        assert!(is_done(&work, &key, "shop", 5, now, 8));
        assert!(is_done(&work, &key, "shop", 5, now + CHALLENGE_NS, 8));
        assert!(!is_done(&work, &key, "shop", 5, now + 2 * CHALLENGE_NS, 8));
        assert!(!is_done(&work, &key, "shop", 6, now, 8));
        assert!(!is_done(&work, &key, "bank", 5, now, 8));
        assert!(!is_done(&work, &[8; 32], "shop", 5, now, 8));
        assert!(!is_done(&work, &key, "shop", 5, now, 40));
        assert!(!is_done("", &key, "shop", 5, now, 0));
    }
}
