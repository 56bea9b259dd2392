//! Who asks, what is refused, and where requests go.
//!
//! Everything from outside is bounded before it is looked at: connections, heads, bodies, and the time that each may take. Refusals say
//! why in the form that the asker reads: a page, or `application/problem+json` (RFC 9457).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use atlas::{Atlas, Prefix};
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use hmac::{Hmac, Mac};
use tokio::sync::oneshot;

use super::config::Net;
use super::engine::{Ask, Question, Writing};
use super::lang::Language;
use super::state::State;

/// Bytes of a body that are read.
pub(crate) const BODY_MAX: usize = 64 << 10;
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// What handlers work with.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) state: Arc<State>,
    pub(crate) asks: SyncSender<Ask>,
    pub(crate) atlas: Arc<Atlas>,
    /// News of incidents, for those who tell others.
    pub(crate) events: tokio::sync::broadcast::Sender<super::engine::Event>,
}

impl App {
    /// Asks the engine and waits for its answer.
    ///
    /// # Errors
    ///
    /// It is busy or has stopped.
    pub(crate) async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, Problem> {
        let (answer, heard) = oneshot::channel();
        match self.asks.try_send(ask(answer)) {
            Ok(()) => heard.await.map_err(|_| Problem::busy()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.state.counters.refused_busy.fetch_add(1, Ordering::Relaxed);
                Err(Problem::busy())
            }
        }
    }

    /// Writes documents, and waits until they are on the disk.
    ///
    /// # Errors
    ///
    /// There is no room, or the engine is busy.
    pub(crate) async fn write(&self, writing: Writing) -> Result<(), Problem> {
        match self.ask(|answer| Ask::Write(writing, answer)).await? {
            Ok(()) => Ok(()),
            Err(_) => Err(Problem::full()),
        }
    }

    /// Asks the file.
    ///
    /// # Errors
    ///
    /// The engine is busy, or the file cannot be read.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(store::file::Read<'_>) -> Result<T, store::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let (answer, heard) = oneshot::channel();
        let asked = Question(Box::new(move |read| drop(answer.send(question(read)))));
        self.asks
            .try_send(Ask::Read(asked))
            .map_err(|_| Problem::busy())?;
        match heard.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "unreadable",
                error.to_string(),
            )),
            Err(_) => Err(Problem::busy()),
        }
    }
}

/// A refusal (RFC 9457).
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// Last part of its type, a stable word.
    pub(crate) kind: &'static str,
    pub(crate) detail: String,
    pub(crate) retry_after_s: Option<u32>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            kind,
            detail: detail.into(),
            retry_after_s: None,
        }
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not-found", what)
    }

    pub(crate) fn invalid(what: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", what)
    }

    /// The engine has more to do than it can.
    pub(crate) fn busy() -> Problem {
        Problem {
            retry_after_s: Some(5),
            ..Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "busy",
                "More is asked for than can be done; ask again in a moment.",
            )
        }
    }

    /// There is no room on the disk.
    pub(crate) fn full() -> Problem {
        Problem {
            retry_after_s: Some(60),
            ..Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "full",
                "There is no room to write this down, so it was not taken. The operators are told.",
            )
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = serde_json::json!({
            "type": format!("urn:epicenter:problem:{}", self.kind),
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // What would be let in (RFC 6750).
        let wanted = match self.kind {
            "token" => Some("Bearer realm=\"epicenter\""),
            "scope" => Some("Bearer realm=\"epicenter\", error=\"insufficient_scope\""),
            _ => None,
        };
        if let Some(wanted) = wanted {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(wanted));
        }
        response
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client(pub(crate) Ipv6Addr);

impl Client {
    /// The address of the one who asks: that of the connection, unless it is a proxy that is trusted; then the last address in
    /// `X-Forwarded-For` that is no such proxy. Others' `X-Forwarded-For` is what anybody can write.
    pub(crate) fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[Net]) -> Client {
        let mapped = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let is_proxy = |address: Ipv6Addr| proxies.iter().any(|proxy| proxy.0.contains(address));
        let mut client = mapped(peer);
        let named: Vec<&str> = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        for name in named.iter().rev().take(16) {
            if !is_proxy(client) {
                break;
            }
            // Some write the port along.
            let address = name
                .parse::<IpAddr>()
                .or_else(|_| name.parse::<SocketAddr>().map(|address| address.ip()));
            match address {
                Ok(address) => client = mapped(address),
                Err(_) => break,
            }
        }
        Client(client)
    }

    /// Keyed hashes of the address (of an IPv6 address its /64, which is one household) and of its /24 or /48.
    pub(crate) fn hashes(self, key: &[u8; 32]) -> (u64, u64) {
        let is_v4 = self.0.to_ipv4_mapped().is_some();
        let (person, near) = if is_v4 { (128, 96 + 24) } else { (64, 48) };
        let hash = |what: &[u8], len| {
            let mut mac = <Hmac<sha2::Sha256> as Mac>::new_from_slice(key).expect("any length is a key");
            mac.update(what);
            mac.update(&Prefix::of(self.0, len).base.octets());
            let tag = mac.finalize().into_bytes();
            // Numbers of 53 bits, which every reader of JSON keeps.
            u64::from_le_bytes(tag[..8].try_into().expect("eight bytes")) >> 11
        };
        (hash(b"person", person), hash(b"prefix", near))
    }
}

/// The address of who asks, from a request.
pub(crate) fn client(app: &App, info: &ConnectInfo<SocketAddr>, headers: &HeaderMap) -> Client {
    Client::of(
        info.0.ip(),
        headers,
        &app.state.config.load().http.trusted_proxies,
    )
}

/// In which language somebody wants to read: what the address says (`?lang=`), what was chosen before, what the browser asks for, what
/// the site speaks.
pub(crate) fn language(app: &App, headers: &HeaderMap, asked: Option<&str>) -> Language {
    let cookie = || {
        let all = headers.get(header::COOKIE)?.to_str().ok()?;
        Language::of(all.split(';').find_map(|one| one.trim().strip_prefix("lang="))?)
    };
    let accepted = || Language::asked(headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?);
    asked
        .and_then(Language::of)
        .or_else(cookie)
        .or_else(accepted)
        .or_else(|| Language::of(&app.state.config.load().site.language))
        .unwrap_or_default()
}

/// What every answer carries, and how long it may take.
pub(crate) async fn guard(
    axum::extract::State(app): axum::extract::State<App>,
    request: Request,
    next: Next,
) -> axum::response::Response {
    app.state.counters.requests.fetch_add(1, Ordering::Relaxed);
    let accept = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok());
    let is_person = accept.is_some_and(|accept| accept.contains("text/html"))
        && !request.uri().path().starts_with("/api/");
    let asked = if is_person {
        request.headers().clone()
    } else {
        HeaderMap::new()
    };
    let mut response = match tokio::time::timeout(ANSWER, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::busy().into_response(),
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        app.state.counters.rejected.fetch_add(1, Ordering::Relaxed);
    }
    // What the router itself refuses says so in plain text, or not at all.
    if response.status().is_client_error() && !speaks(&response) {
        let allowed = response.headers_mut().remove(header::ALLOW);
        let problem = refusal(response.status());
        response = if is_person {
            super::pages::refusal(&app, &asked, &problem)
        } else {
            problem.into_response()
        };
        // RFC 9110, 15.5.6: whoever is told that a method is not allowed is told which ones are.
        if let Some(allowed) = allowed {
            response.headers_mut().insert(header::ALLOW, allowed);
        }
    }
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        (
            "permissions-policy",
            "geolocation=(), camera=(), microphone=(), browsing-topics=()",
        ),
    ] {
        // Where a handler knows better, as the widget that others embed, it has said so.
        if !headers.contains_key(name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// Whether an answer is in one of our forms.
fn speaks(response: &axum::response::Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain"))
}

/// A refusal of the router, in our form.
fn refusal(status: StatusCode) -> Problem {
    let (kind, detail) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ("too-large", format!("The body has more than {BODY_MAX} bytes.")),
        StatusCode::METHOD_NOT_ALLOWED => ("method", "This address does not take that method.".to_owned()),
        StatusCode::NOT_FOUND => ("not-found", "There is nothing at this address.".to_owned()),
        StatusCode::BAD_REQUEST => (
            "bad-request",
            "The address or the body cannot be read.".to_owned(),
        ),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (
            "media-type",
            "The body is of another type than is taken here.".to_owned(),
        ),
        _ => ("refused", "The request cannot be answered.".to_owned()),
    };
    Problem::new(status, kind, detail)
}

/// Scripts and styles from our own files alone, and nobody may frame a page.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Net> {
        texts
            .iter()
            .map(|text| Net(text.parse().expect("a prefix")))
            .collect()
    }

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_str(value).expect("a value"));
        headers
    }

    fn of(peer: &str, value: &str, proxies: &[&str]) -> String {
        Client::of(peer.parse().expect("an address"), &headers(value), &nets(proxies))
            .0
            .to_canonical()
            .to_string()
    }

    #[test]
    fn forwarded_for_is_believed_of_trusted_proxies_alone() {
        assert_eq!(of("198.51.100.7", "203.0.113.9", &[]), "198.51.100.7");
        let proxies = ["127.0.0.0/8", "10.0.0.0/8"];
        assert_eq!(of("198.51.100.7", "203.0.113.9", &proxies), "198.51.100.7");
        assert_eq!(of("127.0.0.1", "203.0.113.9", &proxies), "203.0.113.9");
        // What the client wrote itself stands left of what the proxy saw.
        assert_eq!(
            of("127.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2", &proxies),
            "203.0.113.9"
        );
        assert_eq!(of("127.0.0.1", "nonsense", &proxies), "127.0.0.1");
        assert_eq!(of("127.0.0.1", "[2001:db8::1]:443", &proxies), "2001:db8::1");
    }

    #[test]
    fn a_household_is_one_person_and_the_key_changes_who_it_is() {
        let client = |text: &str| match text.parse().expect("an address") {
            IpAddr::V4(v4) => Client(v4.to_ipv6_mapped()),
            IpAddr::V6(v6) => Client(v6),
        };
        let hashes = |text: &str| client(text).hashes(&[1; 32]);
        assert_eq!(hashes("2001:db8::1").0, hashes("2001:db8::2").0);
        assert_ne!(hashes("2001:db8:0:1::1").0, hashes("2001:db8::1").0);
        assert_eq!(hashes("2001:db8:0:1::1").1, hashes("2001:db8::1").1);
        assert_ne!(hashes("192.0.2.1").0, hashes("192.0.2.2").0);
        assert_eq!(hashes("192.0.2.1").1, hashes("192.0.2.2").1);
        assert_ne!(hashes("192.0.2.1"), client("192.0.2.1").hashes(&[2; 32]));
    }
}
