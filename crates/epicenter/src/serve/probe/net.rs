//! From a name to a connection: addresses, TCP, TLS. What the HTTP, TCP and TLS probes have in common.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use super::{Code, Outcome, Reason};

/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;
/// After so long without an answer of one address, the next is tried beside it (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);

/// What probes believe, and whom they ask for addresses.
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
    resolvers: Resolvers,
}

/// Whom to ask for the addresses of names.
enum Resolvers {
    /// Those of the system, read anew each time: a machine that changes its network changes them.
    System,
    #[cfg(test)]
    These(hickory_resolver::config::ResolverConfig),
}

impl Trust {
    /// The system's certification authorities and resolvers.
    ///
    /// # Errors
    ///
    /// Where the system has no authority at all, so that no certificate could be believed.
    pub(crate) fn system() -> Result<Trust, String> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let why = found
                .errors
                .first()
                .map_or(String::new(), |error| format!(": {error}"));
            return Err(format!(
                "the system has no certification authorities (SSL_CERT_FILE names a file of them){why}"
            ));
        }
        Trust::of(roots)
    }

    /// These authorities, and the system's resolvers.
    pub(crate) fn of(roots: RootCertStore) -> Result<Trust, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Trust {
            provider,
            verifier,
            resolvers: Resolvers::System,
        })
    }

    /// These resolvers in place of the system's.
    #[cfg(test)]
    pub(super) fn with_resolvers(mut self, config: hickory_resolver::config::ResolverConfig) -> Trust {
        self.resolvers = Resolvers::These(config);
        self
    }

    /// A resolver that asks whom the system asks.
    pub(super) fn resolver(&self) -> Result<ResolverBuilder<TokioRuntimeProvider>, NetError> {
        match &self.resolvers {
            Resolvers::System => TokioResolver::builder_tokio(),
            #[cfg(test)]
            Resolvers::These(config) => Ok(TokioResolver::builder_with_config(
                config.clone(),
                TokioRuntimeProvider::default(),
            )),
        }
    }
}

/// A host as it is written: a name, or an address.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Host {
    Name(String),
    Ip(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(ip) => write!(f, "{ip}"),
        }
    }
}

/// Reads a host; brackets around an address are taken off.
pub(super) fn host(text: &str) -> Result<Host, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bare.unwrap_or(text).parse() {
        return Ok(Host::Ip(ip));
    }
    // Names in other scripts become what DNS knows.
    match url::Host::parse(text) {
        Ok(url::Host::Domain(name)) if name.len() <= 253 => Ok(Host::Name(name)),
        Ok(url::Host::Ipv4(ip)) => Ok(Host::Ip(ip.into())),
        Ok(url::Host::Ipv6(ip)) => Ok(Host::Ip(ip.into())),
        _ => Err(format!("`{text}` is no host")),
    }
}

/// Reads `host:port`; without a port where there is a usual one.
pub(super) fn host_port(text: &str, usual: Option<u16>) -> Result<(Host, u16), String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok((Host::Ip(address.ip()), address.port()));
    }
    let wrong = || format!("`{text}` is no host and port, as example.org:443");
    match text.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.starts_with('[') => {
            let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
            Ok((host(name).map_err(|_| wrong())?, port))
        }
        _ => match usual {
            Some(port) => Ok((host(text).map_err(|_| wrong())?, port)),
            None => Err(wrong()),
        },
    }
}

/// Adds to a phase: redirects go through it more than once.
pub(super) fn add(phase: &mut Option<Duration>, began: Instant) {
    *phase = Some(phase.unwrap_or_default() + began.elapsed());
}

/// The addresses of a host, those of both families in turn.
pub(super) async fn resolve(
    host: &Host,
    trust: &Trust,
    until: tokio::time::Instant,
    dns: &mut Option<Duration>,
) -> Result<Vec<IpAddr>, Reason> {
    let name = match host {
        Host::Ip(ip) => return Ok(vec![*ip]),
        Host::Name(name) => name,
    };
    let began = Instant::now();
    let looked_up = async {
        let mut builder = trust.resolver().map_err(|error| {
            Reason::new(
                Code::Misconfigured,
                format!("the system names no resolver: {error}"),
            )
        })?;
        // Nothing is remembered: what is measured is the way that a new visitor has.
        let options = builder.options_mut();
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = builder
            .build()
            .map_err(|error| Reason::new(Code::Internal, error.to_string()))?;
        resolver
            .lookup_ip(name.as_str())
            .await
            .map_err(|error| dns_reason(name, &error))
    };
    let found = tokio::time::timeout_at(until, looked_up).await;
    add(dns, began);
    let found =
        found.map_err(|_| Reason::new(Code::DnsTimeout, format!("no address of {name} in time")))??;
    let (mut v6, mut v4): (Vec<_>, Vec<_>) = found.iter().partition(|ip| ip.is_ipv6());
    v6.truncate(ADDRESSES_MAX);
    v4.truncate(ADDRESSES_MAX);
    let mut addresses = Vec::new();
    for at in 0..v6.len().max(v4.len()) {
        addresses.extend(v6.get(at));
        addresses.extend(v4.get(at));
    }
    addresses.truncate(ADDRESSES_MAX);
    if addresses.is_empty() {
        return Err(Reason::new(Code::DnsNoRecord, format!("{name} has no address")));
    }
    Ok(addresses)
}

/// Why a question to DNS has no answer.
pub(super) fn dns_reason(name: &str, error: &NetError) -> Reason {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Reason::new(Code::DnsNoSuchName, format!("{name} does not exist")),
            ResponseCode::NoError => Reason::new(Code::DnsNoRecord, format!("{name} has no such record")),
            ResponseCode::Refused => Reason::new(Code::DnsRefused, format!("refused to answer for {name}")),
            code => Reason::new(Code::DnsFailed, format!("{name}: {code}")),
        },
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => {
            Reason::new(Code::DnsRefused, format!("refused to answer for {name}"))
        }
        NetError::Timeout => Reason::new(Code::DnsTimeout, format!("no answer for {name}")),
        error => Reason::new(Code::DnsFailed, format!("{name}: {error}")),
    }
}

/// A connection to the first address that takes one. Addresses that keep silent do not keep the others waiting.
pub(super) async fn connect(
    addresses: &[IpAddr],
    port: u16,
    until: tokio::time::Instant,
    phase: &mut Option<Duration>,
) -> Result<TcpStream, Reason> {
    let began = Instant::now();
    let done = tokio::time::timeout_at(until, race(addresses, port)).await;
    add(phase, began);
    match done {
        Ok(done) => done,
        Err(_) => Err(Reason::new(
            Code::ConnectTimeout,
            format!(
                "nobody at {} took the connection in time",
                listed(addresses, port)
            ),
        )),
    }
}

async fn race(addresses: &[IpAddr], port: u16) -> Result<TcpStream, Reason> {
    let mut waiting = addresses.iter().map(|ip| SocketAddr::new(*ip, port));
    let mut trying = FuturesUnordered::new();
    let mut worst: Option<Reason> = None;
    let mut next_at = tokio::time::Instant::now();
    loop {
        let more = waiting.len() > 0;
        if !more && trying.is_empty() {
            return Err(worst.unwrap_or_else(|| Reason::new(Code::ConnectFailed, "there is no address")));
        }
        tokio::select! {
            biased;
            Some((to, done)) = trying.next() => match done {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    let reason = connect_reason(to, &error);
                    // What the other side did says more than that there is no way to one of its addresses.
                    if worst.as_ref().is_none_or(|worst| rank(reason.code) > rank(worst.code)) {
                        worst = Some(reason);
                    }
                    next_at = tokio::time::Instant::now();
                }
            },
            () = tokio::time::sleep_until(next_at), if more => {
                if let Some(to) = waiting.next() {
                    trying.push(async move { (to, TcpStream::connect(to).await) });
                }
                next_at = tokio::time::Instant::now() + STAGGER;
            }
        }
    }
}

fn rank(code: Code) -> u8 {
    match code {
        Code::Unreachable => 0,
        Code::ConnectTimeout => 1,
        Code::ConnectFailed => 2,
        _ => 3,
    }
}

/// Why there is no connection.
pub(super) fn connect_reason(to: SocketAddr, error: &io::Error) -> Reason {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => Reason::new(Code::ConnectRefused, format!("{to} refuses connections")),
        Kind::TimedOut => Reason::new(Code::ConnectTimeout, format!("{to} does not answer")),
        // Without a route of a family there is no address of ours to come from either.
        Kind::NetworkUnreachable | Kind::HostUnreachable | Kind::NetworkDown | Kind::AddrNotAvailable => {
            Reason::new(Code::Unreachable, format!("no way to {to}: {error}"))
        }
        _ => Reason::new(Code::ConnectFailed, format!("{to}: {error}")),
    }
}

fn listed(addresses: &[IpAddr], port: u16) -> String {
    let first = addresses
        .first()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ip| *ip);
    match addresses.len() {
        0 | 1 => SocketAddr::new(first, port).to_string(),
        n => format!("{} and {} more", SocketAddr::new(first, port), n - 1),
    }
}

/// The `tcp` probe.
pub(super) async fn tcp(
    address: &str,
    trust: &Trust,
    until: tokio::time::Instant,
    outcome: &mut Outcome,
) -> Result<(), Reason> {
    let (host, port) =
        host_port(address, None).map_err(|problem| Reason::new(Code::Misconfigured, problem))?;
    let addresses = resolve(&host, trust, until, &mut outcome.phases.dns).await?;
    connect(&addresses, port, until, &mut outcome.phases.connect)
        .await
        .map(drop)
}

/// The `tls` probe.
pub(super) async fn tls_probe(
    address: &str,
    lasts: Duration,
    trust: &Trust,
    until: tokio::time::Instant,
    outcome: &mut Outcome,
) -> Result<(), Reason> {
    let (host, port) =
        host_port(address, Some(443)).map_err(|problem| Reason::new(Code::Misconfigured, problem))?;
    let addresses = resolve(&host, trust, until, &mut outcome.phases.dns).await?;
    let stream = connect(&addresses, port, until, &mut outcome.phases.connect).await?;
    tls(stream, &host, &[], trust, until, outcome).await?;
    certificate_lasts(outcome, lasts)
}

/// Whether the certificates that were seen last long enough.
pub(super) fn certificate_lasts(outcome: &Outcome, lasts: Duration) -> Result<(), Reason> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    match outcome.certificate_ends {
        Some(ends) if !lasts.is_zero() && ends < (now + lasts).as_secs() as i64 => {
            let left = ends - now.as_secs() as i64;
            let left = if left < 2 * 86_400 {
                format!("{} hours", left / 3_600)
            } else {
                format!("{} days", left / 86_400)
            };
            Err(Reason::new(
                Code::CertificateEnds,
                format!("the certificate ends in {left}"),
            ))
        }
        _ => Ok(()),
    }
}

/// A TLS handshake; when the certificate ends is noted even where the handshake fails because of it.
pub(super) async fn tls(
    stream: TcpStream,
    host: &Host,
    protocols: &[&[u8]],
    trust: &Trust,
    until: tokio::time::Instant,
    outcome: &mut Outcome,
) -> Result<TlsStream<TcpStream>, Reason> {
    let internal = |error: String| Reason::new(Code::Internal, error);
    let name = match host {
        Host::Ip(ip) => ServerName::from(*ip),
        Host::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| {
            Reason::new(
                Code::Misconfigured,
                format!("`{name}` is no name for a certificate"),
            )
        })?,
    };
    let seen = Arc::new(Seen {
        verifier: Arc::clone(&trust.verifier),
        ends: Mutex::new(None),
    });
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&trust.provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| internal(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    // A session that is taken up again shows no certificate.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let began = Instant::now();
    let shaken =
        tokio::time::timeout_at(until, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
    add(&mut outcome.phases.tls, began);
    let ends = *seen.ends.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    outcome.certificate_ends = match (outcome.certificate_ends, ends) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    match shaken {
        Err(_) => Err(Reason::new(
            Code::TlsTimeout,
            format!("no TLS with {host} in time"),
        )),
        Ok(Err(error)) => Err(tls_reason(host, &error)),
        Ok(Ok(stream)) => Ok(stream),
    }
}

fn tls_reason(host: &Host, error: &io::Error) -> Reason {
    let cause = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let (code, words) = match cause {
        Some(rustls::Error::InvalidCertificate(wrong)) => match wrong {
            CertificateError::UnknownIssuer => (
                Code::TlsUnknownIssuer,
                "nobody that is known vouches for the certificate".to_owned(),
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
                Code::TlsWrongName,
                "the certificate is for another name".to_owned(),
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                (Code::TlsExpired, "the certificate has ended".to_owned())
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                (Code::TlsNotYetValid, "the certificate has not begun".to_owned())
            }
            other => (Code::TlsBadCertificate, other.to_string()),
        },
        Some(other) => (Code::TlsFailed, other.to_string()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => (
            Code::TlsFailed,
            "the connection ended in the handshake".to_owned(),
        ),
        None => (Code::TlsFailed, error.to_string()),
    };
    Reason::new(code, format!("{host}: {words}"))
}

/// A judge of certificates that remembers when the one that it saw ends.
#[derive(Debug)]
struct Seen {
    verifier: Arc<WebPkiServerVerifier>,
    ends: Mutex<Option<i64>>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Only that of the server: chains carry old certificates of authorities that nobody needs any more.
        if let Ok((_, certificate)) = x509_parser::parse_x509_certificate(end_entity) {
            let ends = certificate.validity().not_after.timestamp();
            *self.ends.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(ends);
        }
        self.verifier
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// Whether an address is one of the open Internet. Where redirects lead from there to others, they are not followed.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || a == 0
                || a >= 240
                || shared)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || first & 0xfe00 == 0xfc00
                || first & 0xffc0 == 0xfe80)
        }
    }
}
