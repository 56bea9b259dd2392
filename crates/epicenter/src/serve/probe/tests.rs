//! Probes of real servers on loopback, most of them bad ones.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

use super::config::Probe;
use super::*;

/// Trust in nobody, and the system's resolvers.
pub(super) fn trust() -> Trust {
    authority().1
}

/// So many milliseconds from now.
pub(super) fn soon(ms: u64) -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_millis(ms)
}

/// An authority, and trust in it alone.
fn authority() -> (Issuer<'static, KeyPair>, Trust) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    // Authorities are told apart by their names.
    let name = format!("authority {:?}", Instant::now());
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    (Issuer::new(params, key), Trust::of(roots).unwrap())
}

/// A day that is so many days from now.
fn day(days: i64) -> (i32, u8, u8) {
    let date = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let date = date.saturating_add(jiff::Span::new().days(days));
    (date.year().into(), date.month() as u8, date.day() as u8)
}

/// A certificate for names, from one day to another.
fn certificate(
    by: &Issuer<'_, KeyPair>,
    names: Vec<String>,
    from: i64,
    to: i64,
) -> (CertificateDer<'static>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(names).unwrap();
    let ((y, m, d), (y2, m2, d2)) = (day(from), day(to));
    params.not_before = rcgen::date_time_ymd(y, m, d);
    params.not_after = rcgen::date_time_ymd(y2, m2, d2);
    (params.signed_by(&key, by).unwrap().der().clone(), key)
}

/// A server that does this with every connection.
pub(super) async fn server<F, Done>(handle: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Done + Send + 'static,
    Done: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// An address that keeps silent: its queue is full, and nobody takes from it.
fn silent(at: &str) -> (Vec<socket2::Socket>, SocketAddr) {
    let stream = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = stream();
    listener.bind(&at.parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let socket = stream();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address);
        sockets.push(socket);
    }
    std::thread::sleep(Duration::from_millis(50));
    (sockets, address.as_socket().unwrap())
}

/// A request as text: its head, and as much of a body as it announces.
pub(super) async fn request<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text;
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return text,
            Ok(size) => bytes.extend(&buffer[..size]),
        }
    }
}

type Asked = Arc<Mutex<Vec<String>>>;

/// A server that answers by the number of the request, and what it was asked.
pub(super) async fn answers<A>(answer: A) -> (SocketAddr, Asked)
where
    A: Fn(usize) -> Vec<u8> + Send + Sync + 'static,
{
    let asked = Asked::default();
    let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
    let address = server(move |mut stream| {
        let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
        async move {
            let text = request(&mut stream).await;
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(text);
                seen.len() - 1
            };
            let _ = stream.write_all(&answer(number)).await;
        }
    })
    .await;
    (address, asked)
}

/// An answer of HTTP/1.1.
pub(super) fn ok(headers: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A probe as a configuration has it.
fn probe(text: &str) -> Probe {
    toml::from_str(text).unwrap()
}

/// An `http` probe with a second of time.
fn http(url: &str, more: &str) -> Probe {
    let timeout = if more.contains("timeout") {
        ""
    } else {
        "timeout = \"1s\"\n"
    };
    probe(&format!("kind = \"http\"\nurl = \"{url}\"\n{timeout}{more}"))
}

fn code(outcome: &Outcome) -> Option<Code> {
    match &outcome.verdict {
        Verdict::Up => None,
        Verdict::Down(reason) | Verdict::NoData(reason) => Some(reason.code),
    }
}

fn words(outcome: &Outcome) -> &str {
    match &outcome.verdict {
        Verdict::Up => "",
        Verdict::Down(reason) | Verdict::NoData(reason) => &reason.words,
    }
}

/// Runs a probe and checks that it kept its time.
async fn ran(probe: &Probe, trust: &Trust) -> Outcome {
    let began = Instant::now();
    let outcome = run(probe, trust).await;
    let late = began.elapsed().saturating_sub(probe.times().1);
    assert!(late < Duration::from_secs(1), "{late:?} late: {outcome:?}");
    outcome
}

#[tokio::test]
async fn a_good_answer_is_up_and_says_where_the_time_went() {
    let (address, asked) = answers(|_| {
        ok(
            "x-cache: HIT, from edge\r\n",
            r#"{"status":"ok","n":[1,2.5],"deep":{"on":true}}"#,
        )
    })
    .await;
    let outcome = ran(
        &http(
            &format!("http://me:p%20w@{address}/health?full=1"),
            "method = \"POST\"\nbody = \"hello\"\ncontains = '\"on\":true'\nstatus = [\"204\", \"200-201\"]\n\
             headers = { \"X-Key\" = \"secret\", \"accept\" = \"application/json\" }\nanswer_headers = { X-Cache = \"HIT\" }\n\
             json = { \"/status\" = \"ok\", \"/n\" = [1, 2.5], \"/n/0\" = 1.0, \"/deep\" = { on = true } }",
        ),
        &trust(),
    )
    .await;
    assert_eq!(outcome.verdict, Verdict::Up);
    assert_eq!((outcome.status, outcome.http), (Some(200), Some(Version::Http11)));
    let phases = outcome.phases;
    assert_eq!((phases.dns, phases.tls), (None, None));
    assert!(phases.connect.unwrap() + phases.first_byte.unwrap() <= phases.whole.unwrap());
    let asked = asked.lock().unwrap().concat().to_lowercase();
    assert!(asked.starts_with("post /health?full=1 http/1.1\r\n"), "{asked}");
    for line in [
        &format!("host: {address}\r\n"),
        "accept-encoding: identity\r\n",
        "x-key: secret\r\n",
        "accept: application/json\r\n",
        "user-agent: epicenter/",
        "authorization: basic bwu6ccb3\r\n",
    ] {
        assert!(asked.contains(line), "{line} in {asked}");
    }
    assert!(!asked.contains("*/*") && asked.ends_with("hello"), "{asked}");
}

#[tokio::test]
async fn every_way_to_answer_wrongly_has_its_name() {
    let cases: &[(&[u8], &str, Code, &str)] = &[
        (
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            "",
            Code::WrongStatus,
            "503 Service Unavailable",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "status = [\"201\", \"300-599\"]",
            Code::WrongStatus,
            "200 OK",
        ),
        (
            b"HTTP/1.1 799 What\r\ncontent-length: 0\r\n\r\n",
            "",
            Code::WrongStatus,
            "799",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
            "contains = \"xyz\"",
            Code::BodyLacks,
            "the body lacks `xyz`",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xfe",
            "contains = \"a very long text\"",
            Code::BodyLacks,
            "lacks",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n\xff\xfe",
            "json = { \"/a\" = 1 }",
            Code::BodyNotJson,
            "no JSON",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":2}",
            "json = { \"/a\" = 1 }",
            Code::JsonDiffers,
            "/a is 2 and not 1",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":2}",
            "json = { \"/b\" = 1 }",
            Code::JsonDiffers,
            "nothing at /b",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"a\":\"2\"}",
            "json = { \"/a\" = 2 }",
            Code::JsonDiffers,
            "\"2\"",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "answer_headers = { x-a = \"\" }",
            Code::WrongHeader,
            "no header x-a",
        ),
        (
            b"HTTP/1.1 200 OK\r\nx-a: \xff\r\ncontent-length: 0\r\n\r\n",
            "answer_headers = { x-a = \"b\" }",
            Code::WrongHeader,
            "lacks `b`",
        ),
        (b"", "", Code::AnswerBroken, ""),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "", Code::AnswerBroken, ""),
        (
            b"HTTP/1.1 200 OK\r\nno header at all\r\n\r\n",
            "",
            Code::AnswerBroken,
            "",
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
            "",
            Code::BodyBroken,
            "",
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
            "",
            Code::BodyBroken,
            "",
        ),
        (
            b"HTTP/1.1 302 Found\r\nlocation: ftp://h/\r\ncontent-length: 0\r\n\r\n",
            "",
            Code::RedirectBroken,
            "ftp://h/",
        ),
        (
            b"HTTP/1.1 302 Found\r\nlocation: http://[x/\r\ncontent-length: 0\r\n\r\n",
            "",
            Code::RedirectBroken,
            "",
        ),
        (
            b"HTTP/1.1 302 Found\r\nlocation: \xff\xfe:\r\ncontent-length: 0\r\n\r\n",
            "redirects = 1",
            Code::RedirectLimit,
            "more than 1",
        ),
    ];
    for (answer, more, wanted, text) in cases {
        let (address, _) = answers(|_| answer.to_vec()).await;
        let outcome = ran(&http(&format!("http://{address}/"), more), &trust()).await;
        assert_eq!(
            code(&outcome),
            Some(*wanted),
            "{more} {}: {outcome:?}",
            String::from_utf8_lossy(answer)
        );
        assert!(words(&outcome).contains(text), "{outcome:?}");
        assert!(matches!(outcome.verdict, Verdict::Down(_)), "{outcome:?}");
    }
}

#[tokio::test]
async fn servers_without_end_are_left_in_time_and_with_little() {
    /// Sends the first part once and the second again and again, each after a pause.
    async fn endless(first: &'static [u8], then: &'static [u8], pause: u64) -> SocketAddr {
        server(move |mut stream| async move {
            request(&mut stream).await;
            let mut sent = stream.write_all(first).await;
            while sent.is_ok() {
                if pause > 0 {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                sent = stream.write_all(then).await;
            }
        })
        .await
    }
    let head = b"HTTP/1.1 200 OK\r\n";
    let body = b"HTTP/1.1 200 OK\r\n\r\n";
    let mebibyte: &'static [u8] = vec![b'x'; 1 << 20].leak();
    let header: &'static [u8] = format!("x: {}\r\n", "y".repeat(1_000)).leak().as_bytes();
    let short = "timeout = \"600ms\"\n";
    let lacks = "timeout = \"600ms\"\ncontains = \"z\"";
    let json = "timeout = \"600ms\"\njson = { \"/a\" = 1 }";
    let cases = [
        // Headers without end, many or one.
        (endless(head, header, 0).await, short, Some(Code::AnswerBroken)),
        (
            endless(b"HTTP/1.1 200 OK\r\nx: ", mebibyte, 0).await,
            short,
            Some(Code::AnswerBroken),
        ),
        (
            endless(
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\n",
                0,
            )
            .await,
            short,
            Some(Code::AnswerTimeout),
        ),
        (endless(b"", b"H", 100).await, short, Some(Code::AnswerTimeout)),
        (endless(head, b"x", 100).await, short, Some(Code::AnswerTimeout)),
        (endless(b"", b"", 100).await, short, Some(Code::AnswerTimeout)),
        // A body without end is up as far as nobody asks what is in it.
        (endless(body, mebibyte, 0).await, short, None),
        (endless(body, mebibyte, 0).await, lacks, Some(Code::BodyLacks)),
        (endless(body, mebibyte, 0).await, json, Some(Code::BodyNotJson)),
        (endless(body, b"x", 100).await, short, Some(Code::BodyTimeout)),
    ];
    let trust = trust();
    for (number, (address, more, wanted)) in cases.into_iter().enumerate() {
        let outcome = ran(&http(&format!("http://{address}/"), more), &trust).await;
        assert_eq!(code(&outcome), wanted, "case {number}: {outcome:?}");
    }
}

#[tokio::test]
async fn redirects_are_followed_and_their_ends_seen() {
    let found =
        |to: &str| format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes();
    let (address, asked) = answers(move |number| match number {
        0 => found("../b?c#d"),
        1 => found("//127.0.0.1:1/"),
        _ => ok("", ""),
    })
    .await;
    // Relative to the path; then to a port where nobody is.
    let outcome = ran(
        &http(
            &format!("http://{address}/x/y/"),
            "headers = { x-key = \"secret\" }",
        ),
        &trust(),
    )
    .await;
    assert_eq!(code(&outcome), Some(Code::ConnectRefused), "{outcome:?}");
    let seen = asked.lock().unwrap().clone();
    assert!(
        seen[1].starts_with("GET /x/b?c HTTP/1.1\r\n") && seen[1].contains("x-key: secret"),
        "{}",
        seen[1]
    );
    // What is not followed is judged as it is.
    let (address, _) = answers(move |_| found("/b")).await;
    let outcome = ran(
        &http(
            &format!("http://{address}/a"),
            "redirects = 0\nstatus = [\"302\"]",
        ),
        &trust(),
    )
    .await;
    assert_eq!((code(&outcome), outcome.status), (None, Some(302)));
    let outcome = ran(&http(&format!("http://{address}/a"), ""), &trust()).await;
    assert_eq!(code(&outcome), Some(Code::RedirectLoop), "{outcome:?}");
    // Others see nothing of what is ours.
    let (other, stolen) = answers(|_| ok("", "")).await;
    let to = format!("http://{other}/take?it=1");
    let (address, _) = answers(move |_| found(&to)).await;
    let secret = "headers = { x-key = \"secret\", authorization = \"Bearer t\" }";
    let outcome = ran(&http(&format!("http://a:b@{address}/"), secret), &trust()).await;
    assert_eq!(outcome.verdict, Verdict::Up, "{outcome:?}");
    let stolen = stolen.lock().unwrap().concat().to_lowercase();
    assert!(
        stolen.contains("get /take?it=1") && !stolen.contains("secret") && !stolen.contains("authorization"),
        "{stolen}"
    );
    // A form becomes a question (303); what has to be sent again (307) is not sent to others.
    let (address, asked) = answers(move |number| match number {
        0 => b"HTTP/1.1 303 See Other\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".to_vec(),
        1 => ok("", "done"),
        _ => format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{other}/\r\ncontent-length: 0\r\n\r\n"
        )
        .into_bytes(),
    })
    .await;
    let form = "method = \"POST\"\nbody = \"a=b\"\ncontains = \"done\"";
    let outcome = ran(&http(&format!("http://{address}/"), form), &trust()).await;
    assert_eq!(outcome.verdict, Verdict::Up, "{outcome:?}");
    assert!(asked.lock().unwrap()[1].starts_with("GET / "));
    let outcome = ran(&http(&format!("http://{address}/"), form), &trust()).await;
    assert_eq!(code(&outcome), Some(Code::RedirectRefused), "{outcome:?}");
}

#[tokio::test]
async fn from_the_internet_nobody_is_led_inside() {
    for (ip, public) in [
        ("8.8.8.8", true),
        ("2606:4700::1111", true),
        ("10.1.2.3", false),
        ("169.254.169.254", false),
        ("100.64.0.1", false),
        ("127.0.0.1", false),
        ("0.0.0.0", false),
        ("::1", false),
        ("::ffff:10.0.0.1", false),
        ("fd00::1", false),
        ("fe80::1", false),
    ] {
        assert_eq!(net::is_public(ip.parse().unwrap()), public, "{ip}");
    }
    let (address, asked) = answers(|_| ok("", "")).await;
    let ask = http::Ask {
        method: hyper::Method::GET,
        url: url::Url::parse(&format!("http://{address}/")).unwrap(),
        headers: hyper::HeaderMap::new(),
        body: bytes::Bytes::new(),
        http2: false,
        only_public: true,
    };
    let mut outcome = Outcome::bare(Verdict::Up);
    let reason = http::send(&ask, &trust(), soon(1_000), &mut outcome)
        .await
        .err()
        .unwrap();
    assert_eq!(reason.code, Code::RedirectRefused);
    assert!(asked.lock().unwrap().is_empty());
}

/// A TLS server with a certificate. It speaks HTTP by hyper, in the protocols that it offers.
async fn tls_server(
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
    protocols: &[&str],
    answer: &'static str,
) -> SocketAddr {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = protocols
        .iter()
        .map(|protocol| protocol.as_bytes().to_vec())
        .collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            serve(stream, answer).await;
        }
    })
    .await
}

async fn serve<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    answer: &'static str,
) {
    let service =
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| async move {
            let text = format!("{answer} {:?} {}", request.version(), request.uri());
            let mut response = hyper::Response::new(http_body_util::Full::new(bytes::Bytes::from(text)));
            if let Some(to) = answer.strip_prefix("to ") {
                *response.status_mut() = hyper::StatusCode::FOUND;
                response.headers_mut().insert("location", to.parse().unwrap());
            }
            Ok::<_, std::convert::Infallible>(response)
        });
    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[tokio::test]
async fn http2_is_chosen_demanded_and_missed() {
    let (by, trust) = authority();
    let names = || vec!["127.0.0.1".to_owned()];
    let (chain, key) = certificate(&by, names(), -1, 90);
    let address = tls_server(vec![chain], key, &["h2", "http/1.1"], "hello").await;
    let outcome = ran(
        &http(
            &format!("https://{address}/p?q"),
            "http2 = true\ncontains = \"hello HTTP/2.0 https://127.0.0.1\"",
        ),
        &trust,
    )
    .await;
    assert_eq!(outcome.verdict, Verdict::Up, "{outcome:?}");
    assert_eq!(outcome.http, Some(Version::Http2));
    assert!(outcome.phases.tls.is_some());
    let days = (outcome.certificate_ends.unwrap() - jiff::Timestamp::now().as_second()) / 86_400;
    assert!((89..=90).contains(&days), "{days}");
    let (chain, key) = certificate(&by, names(), -1, 90);
    let old = tls_server(vec![chain], key, &[], "hello").await;
    let outcome = ran(&http(&format!("https://{old}/"), ""), &trust).await;
    assert_eq!((code(&outcome), outcome.http), (None, Some(Version::Http11)));
    let outcome = ran(&http(&format!("https://{old}/"), "http2 = true"), &trust).await;
    assert_eq!(code(&outcome), Some(Code::NotHttp2), "{outcome:?}");
    // Without TLS, nobody asks beforehand.
    let plain = server(|stream| serve(stream, "hello")).await;
    let outcome = ran(
        &http(
            &format!("http://{plain}/"),
            "http2 = true\ncontains = \"HTTP/2.0\"",
        ),
        &trust,
    )
    .await;
    assert_eq!(
        (code(&outcome), outcome.http),
        (None, Some(Version::Http2)),
        "{outcome:?}"
    );
    let (deaf, _) = answers(|_| ok("", "")).await;
    let outcome = ran(&http(&format!("http://{deaf}/"), "http2 = true"), &trust).await;
    assert_eq!(code(&outcome), Some(Code::AnswerBroken), "{outcome:?}");
    // Away from https is allowed, and said.
    let to: &'static str = format!("to http://{plain}/x?token=secret").leak();
    let (chain, key) = certificate(&by, names(), -1, 90);
    let away = tls_server(vec![chain], key, &["h2"], to).await;
    let outcome = ran(&http(&format!("https://{away}/"), ""), &trust).await;
    assert_eq!(outcome.verdict, Verdict::Up, "{outcome:?}");
    let note = outcome.note.unwrap();
    assert!(
        note.contains("from https to http://") && !note.contains("secret"),
        "{note}"
    );
}

#[tokio::test]
async fn certificates_are_judged_by_name() {
    let (by, trust) = authority();
    let (stranger, _) = authority();
    let right = || vec!["127.0.0.1".to_owned()];
    let many = |n: usize| {
        (0..n)
            .map(|n| format!("name-{n}.example"))
            .chain(right())
            .collect::<Vec<_>>()
    };
    let cases = [
        (certificate(&by, right(), -1, 30), None),
        (certificate(&by, many(1_000), -1, 30), None),
        (certificate(&by, right(), -1, 3), Some(Code::CertificateEnds)),
        (certificate(&by, right(), -9, -2), Some(Code::TlsExpired)),
        (certificate(&by, right(), 2, 30), Some(Code::TlsNotYetValid)),
        (
            certificate(&by, vec!["shop.example".to_owned()], -1, 30),
            Some(Code::TlsWrongName),
        ),
        (
            certificate(&stranger, right(), -1, 30),
            Some(Code::TlsUnknownIssuer),
        ),
        // With its chain, more than a handshake may hold.
        (certificate(&by, many(2_000), -1, 30), Some(Code::TlsFailed)),
    ];
    for ((chain, key), wanted) in cases {
        let length = if wanted == Some(Code::TlsFailed) { 3 } else { 1 };
        let address = tls_server(vec![chain; length], key, &[], "hello").await;
        let of_tls = ran(
            &probe(&format!(
                "kind = \"tls\"\naddress = \"{address}\"\ntimeout = \"2s\""
            )),
            &trust,
        )
        .await;
        assert_eq!(code(&of_tls), wanted, "{of_tls:?}");
        // When it ends is known of bad ones too, as soon as there is one.
        assert_eq!(
            of_tls.certificate_ends.is_some(),
            wanted != Some(Code::TlsFailed),
            "{of_tls:?}"
        );
        let of_http = ran(
            &http(
                &format!("https://{address}/"),
                "certificate = \"7d\"\ntimeout = \"2s\"",
            ),
            &trust,
        )
        .await;
        assert_eq!(code(&of_http), wanted, "{of_http:?}");
        assert!(
            wanted != Some(Code::CertificateEnds) || words(&of_http).contains("days"),
            "{of_http:?}"
        );
    }
    // No TLS at all, an end, silence.
    let (plain, _) = answers(|_| b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    let shut = server(|stream| async move { drop(stream) }).await;
    let silent = server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(30)).await;
        drop(stream);
    })
    .await;
    let slow = server(|mut stream| async move {
        // A record that takes for ever.
        while stream.write_all(b"\x16").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    for (address, wanted) in [
        (plain, Code::TlsTimeout),
        (shut, Code::TlsFailed),
        (silent, Code::TlsTimeout),
        (slow, Code::TlsFailed),
    ] {
        let outcome = ran(
            &probe(&format!(
                "kind = \"tls\"\naddress = \"{address}\"\ntimeout = \"2s\""
            )),
            &trust,
        )
        .await;
        assert_eq!(code(&outcome), Some(wanted), "{outcome:?}");
    }
}

#[tokio::test]
async fn connections_are_taken_refused_or_missed() {
    let address = server(|stream| async move { drop(stream) }).await;
    let tcp = |address: &str| {
        probe(&format!(
            "kind = \"tcp\"\naddress = \"{address}\"\ntimeout = \"400ms\""
        ))
    };
    let outcome = ran(&tcp(&address.to_string()), &trust()).await;
    assert_eq!(outcome.verdict, Verdict::Up);
    assert!(outcome.phases.connect.is_some());
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let outcome = ran(&tcp(&closed.to_string()), &trust()).await;
    assert_eq!(code(&outcome), Some(Code::ConnectRefused), "{outcome:?}");
    let (_full, mute) = silent("127.0.0.1:0");
    let outcome = ran(&tcp(&mute.to_string()), &trust()).await;
    assert_eq!(code(&outcome), Some(Code::ConnectTimeout), "{outcome:?}");
    let outcome = ran(&tcp("nowhere"), &trust()).await;
    assert!(
        matches!(&outcome.verdict, Verdict::NoData(reason) if reason.code == Code::Misconfigured),
        "{outcome:?}"
    );
    // A name has several addresses: those that refuse or keep silent do not hide the one that works.
    let mut phase = None;
    let ips = |list: &[&str]| list.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
    let (_full, mute) = silent(&format!("127.0.0.8:{}", address.port()));
    let began = Instant::now();
    let all = ips(&["127.0.0.9", "127.0.0.8", "127.0.0.1"]);
    let stream = net::connect(&all, address.port(), soon(3_000), &mut phase).await;
    assert_eq!(stream.unwrap().peer_addr().unwrap(), address);
    assert!(began.elapsed() < Duration::from_secs(2) && phase.is_some());
    let reason = net::connect(&all[..2], mute.port(), soon(600), &mut phase)
        .await
        .unwrap_err();
    assert_eq!(reason.code, Code::ConnectTimeout);
    let reason = net::connect(&all[..1], mute.port(), soon(600), &mut phase)
        .await
        .unwrap_err();
    assert_eq!(reason.code, Code::ConnectRefused);
}

/// What the hand-made server of names says.
#[derive(Clone, Copy)]
enum Said {
    Records(&'static [(u16, &'static [u8])]),
    Code(u8),
    Garbage,
    Nothing,
}

/// A server of names that says the same to whatever it is asked.
async fn names(said: Said) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((size, from)) = socket.recv_from(&mut buffer).await {
            let asked = &buffer[..size];
            let question = 12 + asked[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let kind = u16::from_be_bytes([asked[question - 4], asked[question - 3]]);
            let (code, records): (u8, Vec<_>) = match said {
                // A server of names knows which type was asked for; an alias comes with any.
                Said::Records(records) => (
                    0,
                    records.iter().filter(|(of, _)| *of == kind || *of == 5).collect(),
                ),
                Said::Code(code) => (code, Vec::new()),
                Said::Garbage => {
                    let _ = socket
                        .send_to(&[asked[0], asked[1], 0x80, 0, 0xff, 0xff, 0xff], from)
                        .await;
                    continue;
                }
                Said::Nothing => continue,
            };
            let mut packet = asked[..2].to_vec();
            packet.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
            packet.extend(&asked[12..question]);
            for (kind, data) in records {
                packet.extend([0xc0, 12]);
                packet.extend(kind.to_be_bytes());
                packet.extend([0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
                packet.extend(*data);
            }
            let _ = socket.send_to(&packet, from).await;
        }
    });
    address
}

fn dns(server: SocketAddr, record: &str, answer: &str) -> Probe {
    probe(&format!(
        "kind = \"dns\"\nname = \"shop.example\"\ntype = \"{record}\"\nserver = \"{server}\"\nanswer = \"{answer}\"\ntimeout = \"900ms\""
    ))
}

#[tokio::test]
async fn names_are_asked_for_and_answers_compared() {
    let trust = trust();
    let said = names(Said::Records(&[
        (1, &[192, 0, 2, 7]),
        (1, &[192, 0, 2, 8]),
        (28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]),
        (15, b"\x00\x0a\x02mx\xc0\x0c"),
        (16, b"\x05hello\x06 world"),
        (2, b"\x02ns\xc0\x0c"),
    ]))
    .await;
    for (record, answer, wanted) in [
        ("A", "", None),
        ("a", "192.0.2.8", None),
        ("A", "192.0.2.9", Some(Code::DnsWrongAnswer)),
        ("AAAA", "2001:db8::0:7", None),
        ("MX", "MX.shop.example", None),
        ("MX", "10 mx.shop.example.", None),
        ("MX", "20 mx.shop.example.", Some(Code::DnsWrongAnswer)),
        ("TXT", "hello world", None),
        ("TXT", "hello", Some(Code::DnsWrongAnswer)),
        ("NS", "ns.shop.example", None),
        ("CNAME", "", Some(Code::DnsNoRecord)),
    ] {
        let outcome = ran(&dns(said, record, answer), &trust).await;
        assert_eq!(code(&outcome), wanted, "{record} {answer}: {outcome:?}");
        assert!(outcome.phases.dns.is_some());
    }
    let outcome = ran(&dns(said, "A", "192.0.2.9"), &trust).await;
    assert_eq!(
        words(&outcome),
        "shop.example A is 192.0.2.7, 192.0.2.8 and not 192.0.2.9"
    );
    let alias = names(Said::Records(&[(5, b"\x03www\xc0\x0c")])).await;
    assert_eq!(
        code(&ran(&dns(alias, "CNAME", "www.shop.example"), &trust).await),
        None
    );
    let closed = UdpSocket::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    for (server, wanted) in [
        (names(Said::Code(3)).await, Code::DnsNoSuchName),
        (names(Said::Code(0)).await, Code::DnsNoRecord),
        (names(Said::Code(2)).await, Code::DnsFailed),
        (names(Said::Code(5)).await, Code::DnsRefused),
        (names(Said::Nothing).await, Code::DnsTimeout),
        (closed, Code::DnsTimeout),
    ] {
        let outcome = ran(&dns(server, "A", ""), &trust).await;
        assert_eq!(code(&outcome), Some(wanted), "{outcome:?}");
    }
    let outcome = ran(&dns(names(Said::Garbage).await, "A", ""), &trust).await;
    assert!(
        matches!(code(&outcome), Some(Code::DnsFailed | Code::DnsTimeout)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn the_time_for_a_name_is_measured_and_limited() {
    let resolvers = |server: SocketAddr| {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        trust().with_resolvers(ResolverConfig::from_parts(None, Vec::new(), vec![server]))
    };
    let (address, asked) = answers(|_| ok("", "")).await;
    let here = resolvers(names(Said::Records(&[(1, &[127, 0, 0, 1])])).await);
    let url = format!("http://shop.example:{}/", address.port());
    let outcome = ran(&http(&url, ""), &here).await;
    assert_eq!(outcome.verdict, Verdict::Up, "{outcome:?}");
    assert!(outcome.phases.dns.is_some());
    assert!(
        asked.lock().unwrap()[0]
            .to_lowercase()
            .contains(&format!("host: shop.example:{}\r\n", address.port()))
    );
    assert_eq!(
        dns::resolvers_answer(&here, Duration::from_millis(500)).await,
        Some(true)
    );
    for (said, wanted) in [
        (Said::Nothing, Code::DnsTimeout),
        (Said::Code(3), Code::DnsNoSuchName),
        (Said::Code(2), Code::DnsFailed),
    ] {
        let trust = resolvers(names(said).await);
        let outcome = ran(&http(&url, ""), &trust).await;
        assert_eq!(code(&outcome), Some(wanted), "{outcome:?}");
        assert_eq!(outcome.phases.connect, None);
        let answers = dns::resolvers_answer(&trust, Duration::from_millis(300)).await;
        assert_eq!(answers, Some(wanted != Code::DnsTimeout));
    }
}

#[test]
fn what_cannot_be_probed_is_known_beforehand() {
    for (text, wanted) in [
        (
            "kind = \"http\"\nurl = \"https://shop.example/\"\nstatus = [\"2xx\"]",
            "2xx",
        ),
        (
            "kind = \"http\"\nurl = \"https://shop.example/\"\nstatus = [\"300-200\"]",
            "300-200",
        ),
        (
            "kind = \"http\"\nurl = \"https://shop.example/\"\nstatus = []",
            "none is well",
        ),
        (
            "kind = \"http\"\nurl = \"https://shop.example/\"\nmethod = \"G T\"",
            "method",
        ),
        (
            "kind = \"http\"\nurl = \"https://shop.example/\"\nheaders = { \"a b\" = \"c\" }",
            "headers",
        ),
        (
            "kind = \"http\"\nurl = \"https://shop.example/\"\nheaders = { a = \"b\\nc\" }",
            "headers",
        ),
        (
            "kind = \"http\"\nurl = \"https://shop.example/\"\nanswer_headers = { \"a b\" = \"\" }",
            "answer_headers",
        ),
        (
            "kind = \"http\"\nurl = \"https://shop.example/\"\njson = { status = \"ok\" }",
            "JSON pointer",
        ),
        ("kind = \"http\"\nurl = \"https://:99999/\"", "url"),
        ("kind = \"tcp\"\naddress = \"shop.example\"", "host and port"),
        ("kind = \"tcp\"\naddress = \"shop.example:0\"", "host and port"),
        ("kind = \"tcp\"\naddress = \"2001:db8::1\"", "host and port"),
        ("kind = \"icmp\"\nhost = \"a b\"", "no host"),
        ("kind = \"dns\"\nname = \"\"", "name"),
        ("kind = \"dns\"\nname = \"shop.example\"\ntype = \"SOA\"", "SOA"),
        (
            "kind = \"dns\"\nname = \"shop.example\"\nserver = \"ns.example\"",
            "server",
        ),
        (
            "kind = \"dns\"\nname = \"shop.example\"\nanswer = \"::1\"",
            "answer",
        ),
    ] {
        let problem = check(&probe(text)).expect_err(text);
        assert!(problem.contains(wanted), "{text}: {problem}");
    }
    for (text, of) in [
        (
            "kind = \"http\"\nurl = \"https://Shop.example:8443/a\"",
            "shop.example",
        ),
        ("kind = \"http\"\nurl = \"http://[2001:db8::1]/\"", "2001:db8::1"),
        ("kind = \"tcp\"\naddress = \"[2001:db8::1]:25\"", "2001:db8::1"),
        ("kind = \"tls\"\naddress = \"shop.example\"", "shop.example"),
        (
            "kind = \"dns\"\nname = \"shop.example\"\nserver = \"192.0.2.1:5353\"",
            "192.0.2.1",
        ),
        ("kind = \"dns\"\nname = \"shop.example\"", ""),
        ("kind = \"icmp\"\nhost = \"shop.example\"", "shop.example"),
    ] {
        let probe = probe(text);
        assert_eq!(check(&probe), Ok(()), "{text}");
        assert_eq!(host(&probe), of);
    }
    // A configuration is refused for the same.
    let text = "[[service]]\nslug = \"shop\"\nname = \"Shop\"\n[[service.probe]]\nkind = \"tcp\"\naddress = \"shop.example\"\n";
    let problem = config::Config::parse(text).unwrap_err();
    assert!(
        problem.contains("`shop`: `shop.example` is no host and port"),
        "{problem}"
    );
}
