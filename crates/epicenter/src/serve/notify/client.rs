//! One request to a server of somebody else, over TLS or without.
//!
//! Redirects are not followed: what is sent may carry a secret, and it is for the one who was named. Of an answer only the first
//! kilobytes are read. Words about what went wrong name the host alone, since paths of hooks are secrets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Method, Request, Uri, header};
use base64::Engine;
use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Bytes of an answer that are read.
const ANSWER_MAX: usize = 8 << 10;
/// The longest time that a server can make us wait.
const RETRY_MAX: Duration = Duration::from_secs(3_600);

/// What is sent.
pub(crate) struct Outgoing {
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// Address, headers and body may hold secrets.
impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outgoing to {}", host(&self.url))
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// How long the server wants to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// Its first kilobytes.
    pub(crate) body: String,
}

/// Where a request may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Anywhere: the operator named it.
    Anywhere,
    /// To public addresses alone: a visitor named it, and must not reach what only we can.
    Public,
}

/// Sends requests.
#[derive(Clone)]
pub(crate) struct Client {
    tls: TlsConnector,
}

/// The host of an address, for words.
pub(crate) fn host(url: &str) -> String {
    url.parse::<Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_owned))
        .unwrap_or_else(|| "an address that cannot be read".to_owned())
}

impl Client {
    /// With the certificates that the system trusts.
    pub(crate) fn new() -> Result<Client, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Client {
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// Posts, and reads the answer. How long it may take is up to the caller.
    ///
    /// # Errors
    ///
    /// There was no answer; the words name the host and hold no secret.
    pub(crate) async fn post(&self, out: &Outgoing, reach: Reach) -> Result<Answer, String> {
        let uri: Uri = out
            .url
            .parse()
            .map_err(|_| "the address cannot be read".to_owned())?;
        let named = uri.host().ok_or_else(|| "the address has no host".to_owned())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if reach == Reach::Anywhere => false,
            _ => return Err(format!("{named}: only https is spoken with")),
        };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let plain = named.trim_start_matches('[').trim_end_matches(']');
        let stream = connect(plain, port, reach)
            .await
            .map_err(|problem| format!("{named}: {problem}"))?;
        let request =
            request(out, &uri, named).ok_or_else(|| format!("{named}: the request cannot be made"))?;
        let answer = if is_tls {
            let name =
                ServerName::try_from(plain.to_owned()).map_err(|_| format!("{named}: no name of a host"))?;
            let stream = self
                .tls
                .connect(name, stream)
                .await
                .map_err(|error| format!("{named}: TLS: {error}"))?;
            exchange(stream, request).await
        } else {
            exchange(stream, request).await
        };
        answer.map_err(|problem| format!("{named}: {problem}"))
    }
}

async fn connect(host: &str, port: u16, reach: Reach) -> Result<TcpStream, String> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
        .await
        .map_err(|_| "has no address".to_owned())?
        .collect();
    // What was looked at is what is connected to: a name that changes its address in between gains nothing.
    if reach == Reach::Public && !addresses.iter().all(|address| is_public(address.ip())) {
        return Err("is no public address".to_owned());
    }
    let mut problem = "has no address".to_owned();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => problem = format!("cannot be reached: {}", error.kind()),
        }
    }
    Err(problem)
}

fn request(out: &Outgoing, uri: &Uri, host: &str) -> Option<Request<Full<Bytes>>> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let named = match uri.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, named)
        .header(
            header::USER_AGENT,
            concat!("epicenter/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::CONNECTION, "close");
    let user = uri.authority().and_then(|all| all.as_str().rsplit_once('@'));
    if let Some((user, _)) = user {
        let mut value = HeaderValue::try_from(format!("Basic {}", BASE64.encode(user))).ok()?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    for (name, value) in &out.headers {
        request = request.header(*name, value);
    }
    request.body(Full::new(Bytes::copy_from_slice(&out.body))).ok()
}

const BASE64: base64::engine::GeneralPurpose = base64::engine::general_purpose::STANDARD;

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let talk = std::pin::pin!(async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|_| "broke off before it answered".to_owned())?;
        Ok(read(response).await)
    });
    let connection = std::pin::pin!(connection);
    match select(talk, connection).await {
        Either::Left((answer, _)) => answer,
        // It was closed behind the answer, which may still be on its way to us.
        Either::Right((_, talk)) => talk.await,
    }
}

async fn read(response: axum::http::Response<Incoming>) -> Answer {
    let status = response.status().as_u16();
    let named = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().parse::<u64>().ok())
        .map(Duration::from_secs);
    let mut bytes = Vec::new();
    let mut body = response.into_body();
    // Whatever breaks behind the status does not change it.
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { continue };
        let room = ANSWER_MAX - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if bytes.len() == ANSWER_MAX {
            break;
        }
    }
    let body = String::from_utf8_lossy(&bytes).into_owned();
    Answer {
        status,
        retry_after: named
            .or_else(|| told_in(status, &body))
            .map(|time| time.min(RETRY_MAX)),
        body,
    }
}

/// Telegram and Discord say in the body how long to wait.
fn told_in(status: u16, body: &str) -> Option<Duration> {
    if status != 429 {
        return None;
    }
    let value: serde_json::Value = serde_json::from_str(body).ok()?;
    let seconds = value
        .pointer("/parameters/retry_after")
        .or_else(|| value.get("retry_after"))?
        .as_f64()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whether an address is one of the public Internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a >= 240
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && b & 0xfe == 18))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    let parts = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // Translators lead to the IPv4 address that is written in it.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Teredo, documentation and other special ones.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_every_form() {
        for public in ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2001:db8::1",
            "2001::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().expect("an address")), "{private}");
        }
    }

    #[test]
    fn the_time_to_wait_is_read_from_bodies() {
        let telegram = r#"{"ok":false,"error_code":429,"parameters":{"retry_after":7}}"#;
        assert_eq!(told_in(429, telegram), Some(Duration::from_secs(7)));
        let discord = r#"{"message":"You are being rate limited.","retry_after":0.5,"global":false}"#;
        assert_eq!(told_in(429, discord), Some(Duration::from_millis(500)));
        assert_eq!(told_in(500, telegram), None);
        assert_eq!(told_in(429, r#"{"retry_after":-1}"#), None);
    }

    #[test]
    fn what_is_sent_is_not_shown() {
        let out = Outgoing {
            url: "https://hooks.example/T0/B0/secret".to_owned(),
            headers: vec![("authorization", "Bearer secret".to_owned())],
            body: b"secret".to_vec(),
        };
        assert_eq!(format!("{out:?}"), "Outgoing to hooks.example");
    }
}
