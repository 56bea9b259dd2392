//! Checks of a service from outside: HTTP, TCP, DNS, TLS and ICMP.
//!
//! [`run`] makes one check, [`keep`] makes those of a configuration again and again, [`agent`] does so for a tracker elsewhere.
//!
//! Whoever is probed may be an enemy. So every step ends at the probe's deadline, nothing that is received is kept beyond a named
//! limit, and everything that a probe started ends with it. A probe that could not be made is [`Verdict::NoData`]: it says nothing
//! about the service.

pub(crate) mod agent;
mod dns;
mod http;
mod icmp;
mod keep;
mod net;
mod offline;
pub(crate) mod wire;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::config;
pub(crate) use keep::{AT_ONCE, keep};
pub(crate) use net::Trust;

/// Characters of what is said about an outcome.
const WORDS_MAX: usize = 200;

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) phases: Phases,
    /// The HTTP status of the last answer.
    pub(crate) status: Option<u16>,
    /// When the first of the certificates that were shown ends, in Unix seconds.
    pub(crate) certificate_ends: Option<i64>,
    /// The protocol of the last answer.
    pub(crate) http: Option<Version>,
    /// What is no failure and yet should be known.
    pub(crate) note: Option<String>,
}

/// How the service does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Up,
    Down(Reason),
    /// The probe could not be made, for a reason of ours.
    NoData(Reason),
}

/// Why a service is not up: a code for programs, words for people.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reason {
    pub(crate) code: Code,
    pub(crate) words: String,
}

/// Where the time went. Of several requests (redirects), the sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Phases {
    /// Until the name had addresses.
    pub(crate) dns: Option<Duration>,
    /// Until one of them took the connection.
    pub(crate) connect: Option<Duration>,
    /// The TLS handshake.
    pub(crate) tls: Option<Duration>,
    /// From the request to the head of its answer; of an echo, to its return.
    pub(crate) first_byte: Option<Duration>,
    /// All of it.
    pub(crate) whole: Option<Duration>,
}

/// The protocol of an answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) enum Version {
    #[serde(rename = "1.0")]
    Http10,
    #[serde(rename = "1.1")]
    Http11,
    #[serde(rename = "2")]
    Http2,
}

impl Version {
    /// As in `HTTP/1.1`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        }
    }
}

/// What a probe looks at.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Http,
    Tcp,
    Dns,
    Tls,
    Icmp,
}

impl Kind {
    pub(crate) fn of(probe: &config::Probe) -> Kind {
        match probe {
            config::Probe::Http { .. } => Kind::Http,
            config::Probe::Tcp { .. } => Kind::Tcp,
            config::Probe::Dns { .. } => Kind::Dns,
            config::Probe::Tls { .. } => Kind::Tls,
            config::Probe::Icmp { .. } => Kind::Icmp,
        }
    }

    /// As in a configuration.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::Tcp => "tcp",
            Kind::Dns => "dns",
            Kind::Tls => "tls",
            Kind::Icmp => "icmp",
        }
    }
}

/// Declares the codes with their words in JSON, so that neither is forgotten.
macro_rules! codes {
    ($($(#[$about:meta])* $code:ident $word:literal,)*) => {
        /// Why a probe failed or could not be made. The words are a promise: alerts and metrics are told apart by them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Code {
            $($(#[$about])* $code,)*
        }

        impl Code {
            /// All of them.
            pub(crate) const ALL: &[Code] = &[$(Code::$code,)*];

            /// Small letters and hyphens.
            pub(crate) fn word(self) -> &'static str {
                match self {
                    $(Code::$code => $word,)*
                }
            }
        }
    };
}

codes! {
    /// The name has no addresses, or does not exist.
    DnsNoSuchName "dns-no-such-name",
    /// The name exists and has no record of this type.
    DnsNoRecord "dns-no-record",
    /// The server answered that it would not.
    DnsRefused "dns-refused",
    /// The server answered that it could not, or nonsense.
    DnsFailed "dns-failed",
    DnsTimeout "dns-timeout",
    /// None of the answers is the one that has to be there.
    DnsWrongAnswer "dns-wrong-answer",
    ConnectRefused "connect-refused",
    ConnectTimeout "connect-timeout",
    /// No way there, says the network.
    Unreachable "unreachable",
    ConnectFailed "connect-failed",
    TlsTimeout "tls-timeout",
    /// No common TLS, or no TLS at all.
    TlsFailed "tls-failed",
    TlsUnknownIssuer "tls-unknown-issuer",
    TlsWrongName "tls-wrong-name",
    TlsExpired "tls-expired",
    TlsNotYetValid "tls-not-yet-valid",
    /// The certificate is wrong in some other way.
    TlsBadCertificate "tls-bad-certificate",
    /// It holds, and ends too soon.
    CertificateEnds "certificate-ends",
    AnswerTimeout "answer-timeout",
    /// The connection ended before the answer.
    AnswerBroken "answer-broken",
    BodyTimeout "body-timeout",
    BodyBroken "body-broken",
    WrongStatus "wrong-status",
    WrongHeader "wrong-header",
    /// What has to be in the body is not.
    BodyLacks "body-lacks",
    BodyNotJson "body-not-json",
    JsonDiffers "json-differs",
    NotHttp2 "not-http2",
    RedirectLimit "redirect-limit",
    RedirectLoop "redirect-loop",
    /// There is no address where the next one should be.
    RedirectBroken "redirect-broken",
    /// It leads to where a probe must not be led.
    RedirectRefused "redirect-refused",
    EchoTimeout "echo-timeout",
    /// No data: we are offline.
    Offline "offline",
    /// No data: the system does not let us.
    NotPermitted "not-permitted",
    /// No data: the probe cannot be made as it is configured.
    Misconfigured "misconfigured",
    /// No data: the probe itself broke.
    Internal "internal",
    /// A reason that this version does not know, from a newer agent.
    Other "other",
}

impl Code {
    /// The code of a word; [`Code::Other`] where there is none.
    pub(crate) fn of(word: &str) -> Code {
        let known = Code::ALL.iter().find(|code| code.word() == word);
        known.copied().unwrap_or(Code::Other)
    }

    /// Whether it would look the same if we were offline: nothing came back from where the probe went.
    pub(crate) fn is_reachability(self) -> bool {
        matches!(
            self,
            Code::DnsFailed
                | Code::DnsTimeout
                | Code::ConnectRefused
                | Code::ConnectTimeout
                | Code::Unreachable
                | Code::ConnectFailed
                | Code::EchoTimeout
        )
    }
}

/// What a probe of a service found at a place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Finding {
    /// When the probe began, in Unix nanoseconds.
    pub(crate) at_ns: u64,
    /// Slug of the service.
    pub(crate) service: String,
    /// Number of the probe among those of the service.
    pub(crate) probe: usize,
    pub(crate) kind: Kind,
    /// From where.
    pub(crate) place: String,
    pub(crate) outcome: Outcome,
}

impl Outcome {
    /// One that is nothing but its verdict.
    fn bare(verdict: Verdict) -> Outcome {
        Outcome {
            verdict,
            phases: Phases::default(),
            status: None,
            certificate_ends: None,
            http: None,
            note: None,
        }
    }
}

impl Reason {
    fn new(code: Code, words: impl AsRef<str>) -> Reason {
        Reason {
            code,
            words: clean(words.as_ref()),
        }
    }
}

/// Text that may come from the other side, fit for a line of a terminal, a page or an alert.
fn clean(text: &str) -> String {
    let mut out: String = text
        .chars()
        .take(WORDS_MAX)
        .map(|c| {
            if c.is_control() || is_bidi(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    if text.chars().nth(WORDS_MAX).is_some() {
        out.push('…');
    }
    out
}

/// Marks that turn the direction of what follows, and so what a line seems to say.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Makes a check, within its timeout.
pub(crate) async fn run(probe: &config::Probe, trust: &Trust) -> Outcome {
    if let Err(problem) = check(probe) {
        return Outcome::bare(Verdict::NoData(Reason::new(Code::Misconfigured, problem)));
    }
    let began = Instant::now();
    let until = tokio::time::Instant::from_std(began + probe.times().1);
    let mut outcome = Outcome::bare(Verdict::Up);
    let done = match probe {
        config::Probe::Http { .. } => http::run(probe, trust, until, &mut outcome).await,
        config::Probe::Tcp { address, .. } => net::tcp(address, trust, until, &mut outcome).await,
        config::Probe::Dns {
            name,
            record,
            server,
            answer,
            ..
        } => dns::run(name, record, server, answer, trust, until, &mut outcome).await,
        config::Probe::Tls {
            address, certificate, ..
        } => net::tls_probe(address, certificate.0, trust, until, &mut outcome).await,
        config::Probe::Icmp { host, .. } => icmp::run(host, trust, until, &mut outcome).await,
    };
    if let Err(reason) = done {
        outcome.verdict = match reason.code {
            Code::Offline | Code::NotPermitted | Code::Misconfigured | Code::Internal => {
                Verdict::NoData(reason)
            }
            _ => Verdict::Down(reason),
        };
    }
    outcome.phases.whole = Some(began.elapsed());
    outcome
}

/// Whether a probe can be made as it is configured.
///
/// # Errors
///
/// A phrase for people.
pub(crate) fn check(probe: &config::Probe) -> Result<(), String> {
    match probe {
        config::Probe::Http { .. } => http::check(probe),
        config::Probe::Tcp { address, .. } => net::host_port(address, None).map(drop),
        config::Probe::Tls { address, .. } => net::host_port(address, Some(443)).map(drop),
        config::Probe::Dns {
            name,
            record,
            server,
            answer,
            ..
        } => dns::check(name, record, server, answer),
        config::Probe::Icmp { host, .. } => net::host(host).map(drop),
    }
}

/// The host that a probe asks. Where the system's resolvers are what is asked, it is nobody's.
fn host(probe: &config::Probe) -> String {
    let host = match probe {
        config::Probe::Http { url, .. } => url::Url::parse(url)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned)),
        config::Probe::Tcp { address, .. } | config::Probe::Tls { address, .. } => {
            net::host_port(address, Some(443))
                .ok()
                .map(|(host, _)| host.to_string())
        }
        config::Probe::Dns { server, .. } => dns::server(server)
            .ok()
            .flatten()
            .map(|server| server.ip().to_string()),
        config::Probe::Icmp { host, .. } => Some(host.clone()),
    };
    host.unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
