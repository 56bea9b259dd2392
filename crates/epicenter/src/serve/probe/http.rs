//! The `http` probe: one request and those that its redirects ask for, each on a connection of its own, so that every phase is measured.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, Request, StatusCode, Uri, Version as Spoken, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use url::Url;

use super::net::{self, Trust};
use super::{Code, Outcome, Reason, Version, clean};
use crate::serve::config;

/// Bytes of a body that are read.
const BODY_MAX: usize = 1 << 20;
/// Bytes that the head of an answer may have.
const HEAD_MAX: usize = 64 << 10;
/// Headers that an answer may have.
const HEADERS_MAX: usize = 256;
/// Bytes of an address to which a redirect leads.
const LOCATION_MAX: usize = 8 << 10;
/// Who we are to those who read their logs.
const AGENT: &str = concat!("epicenter/", env!("CARGO_PKG_VERSION"), " (probe)");

/// A request that is to be made.
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Nothing but HTTP/2 will do.
    pub(super) http2: bool,
    /// Only addresses of the open Internet are asked.
    pub(super) only_public: bool,
}

/// An answer whose head is there. The connection ends with it.
pub(super) struct Answer {
    pub(super) head: Parts,
    body: Incoming,
    /// Whether the connection went to an address of the open Internet.
    public: bool,
    _tasks: Guard,
}

/// Whether a probe can be made as it is configured.
pub(super) fn check(probe: &config::Probe) -> Result<(), String> {
    let config::Probe::Http {
        status,
        json,
        answer_headers,
        ..
    } = probe
    else {
        return Ok(());
    };
    first(probe)?;
    for range in status {
        self::range(range).ok_or_else(|| format!("status: `{range}` is neither as 200 nor as 200-399"))?;
    }
    if status.is_empty() {
        return Err("status: none is well".to_owned());
    }
    for pointer in json.keys() {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(format!("json: `{pointer}` is no JSON pointer, as /status"));
        }
    }
    for name in answer_headers.keys() {
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("answer_headers: `{name}` is no header"))?;
    }
    Ok(())
}

/// The first request of a probe.
fn first(probe: &config::Probe) -> Result<Ask, String> {
    let config::Probe::Http {
        url,
        method,
        headers,
        body,
        http2,
        ..
    } = probe
    else {
        return Err("is no http probe".to_owned());
    };
    let parsed = Url::parse(url).map_err(|error| format!("url: `{url}`: {error}"))?;
    if !is_web(&parsed) {
        return Err(format!("url: `{url}` is not of http or https"));
    }
    let mut map = HeaderMap::new();
    if let Some(basic) = credentials(&parsed) {
        map.insert(header::AUTHORIZATION, basic);
    }
    for (name, value) in headers {
        let wrong = || format!("headers: `{name}` or its value is no header");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        map.append(name, HeaderValue::from_str(value).map_err(|_| wrong())?);
    }
    let ask = Ask {
        method: Method::from_bytes(method.as_bytes()).map_err(|_| format!("method: `{method}` is none"))?,
        url: parsed,
        headers: map,
        body: Bytes::from(body.clone()),
        http2: *http2,
        only_public: false,
    };
    ask.uri(false)?;
    ask.uri(true)?;
    Ok(ask)
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.host_str().is_some_and(|host| !host.is_empty())
}

/// `https://name:password@host`, as a header.
fn credentials(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = |text: &str| percent_decoded(text);
    let mut both = plain(url.username());
    both.push(b':');
    both.extend(plain(url.password().unwrap_or_default()));
    let mut value = HeaderValue::try_from(format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(both)
    ))
    .ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|hex| std::str::from_utf8(hex).ok());
        match hex
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(|_| bytes[at] == b'%')
        {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

/// `200` or `200-299`.
fn range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    (100 <= from && from <= to && to <= 999).then_some((from, to))
}

/// Makes the probe.
pub(super) async fn run(
    probe: &config::Probe,
    trust: &Trust,
    until: tokio::time::Instant,
    outcome: &mut Outcome,
) -> Result<(), Reason> {
    let config::Probe::Http {
        status,
        contains,
        json,
        answer_headers,
        redirects,
        certificate,
        ..
    } = probe
    else {
        return Err(Reason::new(Code::Internal, "is no http probe"));
    };
    let mut ask = first(probe).map_err(|problem| Reason::new(Code::Misconfigured, problem))?;
    let mut visited = vec![(ask.method.clone(), ask.url.clone())];
    let answer = loop {
        let answer = send(&ask, trust, until, outcome).await?;
        if *redirects == 0 || !is_redirect(&answer.head) {
            break answer;
        }
        if visited.len() > usize::from(*redirects) {
            return Err(Reason::new(
                Code::RedirectLimit,
                format!(
                    "more than {redirects} redirects, the last from {}",
                    shown(&ask.url)
                ),
            ));
        }
        ask = follow(&ask, &answer, outcome)?;
        let next = (ask.method.clone(), ask.url.clone());
        if visited.contains(&next) {
            return Err(Reason::new(
                Code::RedirectLoop,
                format!("redirects lead back to {}", shown(&ask.url)),
            ));
        }
        visited.push(next);
    };
    // The status is known even where the body never ends: an error page may trickle.
    let code = answer.head.status;
    let well =
        |range: &String| self::range(range).is_some_and(|(from, to)| (from..=to).contains(&code.as_u16()));
    if !status.iter().any(well) {
        return Err(Reason::new(
            Code::WrongStatus,
            format!(
                "{} {}",
                code.as_u16(),
                code.canonical_reason().unwrap_or_default()
            )
            .trim_end(),
        ));
    }
    for (name, wanted) in answer_headers {
        let values: Vec<_> = answer.head.headers.get_all(name).iter().collect();
        let has = |value: &&HeaderValue| find(value.as_bytes(), wanted.as_bytes());
        if !values.iter().any(has) {
            let words = match values.first() {
                None => format!("there is no header {name}"),
                Some(value) => format!(
                    "the header {name} lacks `{wanted}`: {}",
                    String::from_utf8_lossy(value.as_bytes())
                ),
            };
            return Err(Reason::new(Code::WrongHeader, words));
        }
    }
    let (body, whole) = answer.read(BODY_MAX, until).await?;
    let part = if whole { "" } else { "the first MiB of " };
    if !contains.is_empty() && !find(&body, contains.as_bytes()) {
        return Err(Reason::new(
            Code::BodyLacks,
            format!("{part}the body lacks `{contains}`"),
        ));
    }
    if !json.is_empty() {
        if !whole {
            return Err(Reason::new(Code::BodyNotJson, "the body has more than 1 MiB"));
        }
        compare(&body, json)?;
    }
    net::certificate_lasts(outcome, certificate.0)
}

/// Makes one request, up to the head of its answer.
pub(super) async fn send(
    ask: &Ask,
    trust: &Trust,
    until: tokio::time::Instant,
    outcome: &mut Outcome,
) -> Result<Answer, Reason> {
    let misconfigured = |problem: String| Reason::new(Code::Misconfigured, problem);
    let host = net::host(ask.url.host_str().unwrap_or_default()).map_err(misconfigured)?;
    let port = ask.url.port_or_known_default().unwrap_or(80);
    let mut addresses = net::resolve(&host, trust, until, &mut outcome.phases.dns).await?;
    if ask.only_public {
        addresses.retain(|ip| net::is_public(*ip));
        if addresses.is_empty() {
            return Err(Reason::new(
                Code::RedirectRefused,
                format!("redirected from the Internet to {host}, which is inside"),
            ));
        }
    }
    let stream = net::connect(&addresses, port, until, &mut outcome.phases.connect).await?;
    // Requests are small, and waiting for more would be measured.
    let _ = stream.set_nodelay(true);
    let public = stream.peer_addr().is_ok_and(|peer| net::is_public(peer.ip()));
    if ask.url.scheme() == "http" {
        return talk(ask, stream, ask.http2, public, until, outcome).await;
    }
    let stream = net::tls(stream, &host, &[b"h2", b"http/1.1"], trust, until, outcome).await?;
    let chosen = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if ask.http2 && !chosen {
        return Err(Reason::new(Code::NotHttp2, format!("{host} speaks no HTTP/2")));
    }
    talk(ask, stream, chosen, public, until, outcome).await
}

/// The request and the head of the answer, on a connection that is there.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    ask: &Ask,
    stream: S,
    http2: bool,
    public: bool,
    until: tokio::time::Instant,
    outcome: &mut Outcome,
) -> Result<Answer, Reason> {
    let request = ask
        .request(http2)
        .map_err(|problem| Reason::new(Code::Misconfigured, problem))?;
    let tasks = Tasks::default();
    let guard = Guard(tasks.clone());
    let began = Instant::now();
    let answered = async {
        let stream = TokioIo::new(stream);
        if http2 {
            let (mut sender, connection) = hyper::client::conn::http2::Builder::new(tasks.clone())
                .initial_stream_window_size(256 << 10)
                .initial_connection_window_size(256 << 10)
                .max_header_list_size(HEAD_MAX as u32)
                .handshake(stream)
                .await?;
            tasks.start(async move { drop(connection.await) });
            sender.send_request(request).await
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
                .max_buf_size(HEAD_MAX)
                .max_headers(HEADERS_MAX)
                .handshake(stream)
                .await?;
            tasks.start(async move { drop(connection.await) });
            sender.send_request(request).await
        }
    };
    let answered = tokio::time::timeout_at(until, answered).await;
    net::add(&mut outcome.phases.first_byte, began);
    let answer = match answered {
        Err(_) => {
            return Err(Reason::new(
                Code::AnswerTimeout,
                "no answer to the request in time",
            ));
        }
        Ok(Err(error)) => return Err(Reason::new(Code::AnswerBroken, told(&error))),
        Ok(Ok(answer)) => answer,
    };
    outcome.status = Some(answer.status().as_u16());
    outcome.http = match answer.version() {
        Spoken::HTTP_10 => Some(Version::Http10),
        Spoken::HTTP_2 => Some(Version::Http2),
        _ => Some(Version::Http11),
    };
    let (head, body) = answer.into_parts();
    Ok(Answer {
        head,
        body,
        public,
        _tasks: guard,
    })
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}

impl Ask {
    /// The whole address for HTTP/2, the path for HTTP/1.
    fn uri(&self, whole: bool) -> Result<Uri, String> {
        let mut text = String::new();
        if whole {
            let host = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
            text = format!("{}://{}", self.url.scheme(), host.unwrap_or(&self.authority()));
        }
        text.push_str(self.url.path());
        if let Some(query) = self.url.query() {
            text.push('?');
            text.push_str(query);
        }
        text.parse()
            .map_err(|_| format!("url: `{}` cannot be asked for", shown(&self.url)))
    }

    /// Host, and the port where it is not the usual one.
    fn authority(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url
            .port()
            .map_or(host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn request(&self, http2: bool) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri(http2)?;
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for name in self.headers.keys() {
            headers.remove(name);
        }
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        if http2 {
            headers.remove(header::HOST);
        } else if !headers.contains_key(header::HOST) {
            let host = HeaderValue::try_from(self.authority()).map_err(|error| error.to_string())?;
            headers.insert(header::HOST, host);
        }
        Ok(request)
    }
}

impl Answer {
    /// The body, and whether this is all of it.
    pub(super) async fn read(
        mut self,
        max: usize,
        until: tokio::time::Instant,
    ) -> Result<(Vec<u8>, bool), Reason> {
        let mut body = Vec::new();
        loop {
            let frame = tokio::time::timeout_at(until, self.body.frame()).await;
            match frame {
                Err(_) => {
                    let words = format!("the body did not end in time; {} bytes came", body.len());
                    return Err(Reason::new(Code::BodyTimeout, words));
                }
                Ok(None) => return Ok((body, true)),
                Ok(Some(Err(error))) => return Err(Reason::new(Code::BodyBroken, told(&error))),
                Ok(Some(Ok(frame))) => {
                    // Trailers are no body.
                    let Some(data) = frame.data_ref() else { continue };
                    let room = max - body.len();
                    body.extend_from_slice(&data[..data.len().min(room)]);
                    if data.len() > room {
                        return Ok((body, false));
                    }
                }
            }
        }
    }
}

fn is_redirect(head: &Parts) -> bool {
    let asks = matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    asks && head.headers.contains_key(header::LOCATION)
}

/// The request that a redirect asks for.
fn follow(ask: &Ask, answer: &Answer, outcome: &mut Outcome) -> Result<Ask, Reason> {
    let broken = |words: String| Reason::new(Code::RedirectBroken, words);
    let location = answer
        .head
        .headers
        .get(header::LOCATION)
        .map_or(&b""[..], HeaderValue::as_bytes);
    if location.len() > LOCATION_MAX {
        return Err(broken(format!(
            "redirected to an address of {} bytes",
            location.len()
        )));
    }
    let text = String::from_utf8_lossy(location);
    let mut url = ask
        .url
        .join(&text)
        .map_err(|error| broken(format!("redirected to `{text}`: {error}")))?;
    // The fragment is for browsers; a password that a stranger names is none of ours.
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if !is_web(&url) {
        return Err(broken(format!(
            "redirected to `{text}`, which is not of http or https"
        )));
    }
    if ask.url.scheme() == "https" && url.scheme() == "http" {
        outcome.note = Some(clean(&format!("redirected from https to {}", shown(&url))));
    }
    let elsewhere = ask.url.origin() != url.origin();
    // What was not to be seen by others stays here: names of headers do not tell which of them are secret.
    let mut headers = if elsewhere {
        HeaderMap::new()
    } else {
        ask.headers.clone()
    };
    let status = answer.head.status;
    let becomes_get = status == StatusCode::SEE_OTHER && ask.method != Method::HEAD
        || matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND) && ask.method == Method::POST;
    let (method, body) = if becomes_get {
        for name in [
            header::CONTENT_TYPE,
            header::CONTENT_LENGTH,
            header::CONTENT_ENCODING,
        ] {
            headers.remove(name);
        }
        (Method::GET, Bytes::new())
    } else {
        (ask.method.clone(), ask.body.clone())
    };
    if elsewhere && !body.is_empty() {
        return Err(Reason::new(
            Code::RedirectRefused,
            format!("is asked to send the body to {}", shown(&url)),
        ));
    }
    let next = Ask {
        method,
        url,
        headers,
        body,
        http2: ask.http2,
        // A stranger does not get us to ask our own network.
        only_public: ask.only_public || answer.public,
    };
    next.uri(true).map_err(broken)?;
    Ok(next)
}

/// An address without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    if url.query().is_some() {
        url.set_query(Some("…"));
    }
    url.to_string().replace("%E2%80%A6", "…")
}

/// Whether one text stands in another. Both may be any bytes.
fn find(hay: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || hay.windows(needle.len()).any(|window| window == needle)
}

/// Whether the values stand where they have to.
fn compare(body: &[u8], wanted: &BTreeMap<String, toml::Value>) -> Result<(), Reason> {
    let parsed: Value = serde_json::from_slice(body)
        .map_err(|error| Reason::new(Code::BodyNotJson, format!("the body is no JSON: {error}")))?;
    for (pointer, wanted) in wanted {
        match parsed.pointer(pointer) {
            None => {
                return Err(Reason::new(
                    Code::JsonDiffers,
                    format!("there is nothing at {pointer}"),
                ));
            }
            Some(found) if !same(found, wanted) => {
                let words = format!("{pointer} is {found} and not {wanted}");
                return Err(Reason::new(Code::JsonDiffers, words));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn same(found: &Value, wanted: &toml::Value) -> bool {
    match (found, wanted) {
        (Value::String(a), toml::Value::String(b)) => a == b,
        (Value::String(a), toml::Value::Datetime(b)) => *a == b.to_string(),
        (Value::Bool(a), toml::Value::Boolean(b)) => a == b,
        (Value::Number(a), toml::Value::Integer(b)) => {
            a.as_i64() == Some(*b) || a.as_f64().is_some_and(|a| a == *b as f64)
        }
        (Value::Number(a), toml::Value::Float(b)) => a.as_f64() == Some(*b),
        (Value::Array(a), toml::Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), toml::Value::Table(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}

/// The tasks of one connection.
#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<JoinSet<()>>>);

impl Tasks {
    fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .spawn(task);
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.start(task);
    }
}

/// Ends the tasks of a connection with its answer. Left to themselves, they would wait for the other side as long as it likes.
struct Guard(Tasks);

impl Drop for Guard {
    fn drop(&mut self) {
        let mut tasks = self.0.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        tasks.abort_all();
    }
}
