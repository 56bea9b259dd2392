//! The `dns` probe: one question to a server, or to the system's resolvers.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};

use super::net::{self, Trust};
use super::{Code, Outcome, Reason};

/// How often a question is asked within the time: datagrams are lost.
const TRIES: u32 = 3;
/// Answers that are named where none is the right one.
const NAMED: usize = 3;

/// Whether a probe can be made as it is configured.
pub(super) fn check(name: &str, record: &str, server: &str, answer: &str) -> Result<(), String> {
    self::name(name)?;
    let record = self::record(record)?;
    self::server(server)?;
    let family = match record {
        RecordType::A => answer.parse::<std::net::Ipv4Addr>().is_ok(),
        RecordType::AAAA => answer.parse::<std::net::Ipv6Addr>().is_ok(),
        _ => true,
    };
    if !answer.is_empty() && !family {
        return Err(format!("answer: `{answer}` is never that of {record}"));
    }
    Ok(())
}

fn name(text: &str) -> Result<Name, String> {
    let mut name = Name::from_utf8(text).map_err(|error| format!("name: `{text}`: {error}"))?;
    if text.is_empty() {
        return Err("name: is empty".to_owned());
    }
    // A whole name: no domain of ours is tried behind it.
    name.set_fqdn(true);
    Ok(name)
}

fn record(text: &str) -> Result<RecordType, String> {
    Ok(match text.to_ascii_uppercase().as_str() {
        "A" => RecordType::A,
        "AAAA" => RecordType::AAAA,
        "CNAME" => RecordType::CNAME,
        "MX" => RecordType::MX,
        "NS" => RecordType::NS,
        "TXT" => RecordType::TXT,
        _ => return Err(format!("type: `{text}` is none of A, AAAA, CNAME, MX, NS, TXT")),
    })
}

/// The server that is asked; none where it is the system's resolvers.
pub(super) fn server(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Some(SocketAddr::new(ip, 53)));
    }
    text.parse()
        .map(Some)
        .map_err(|_| format!("server: `{text}` is no address and port, as 192.0.2.1:53"))
}

/// Makes the probe.
pub(super) async fn run(
    name: &str,
    record: &str,
    server: &str,
    answer: &str,
    trust: &Trust,
    until: tokio::time::Instant,
    outcome: &mut Outcome,
) -> Result<(), Reason> {
    let misconfigured = |problem: String| Reason::new(Code::Misconfigured, problem);
    let whole = self::name(name).map_err(misconfigured)?;
    let record = self::record(record).map_err(misconfigured)?;
    let server = self::server(server).map_err(misconfigured)?;
    let resolver = resolver(
        server,
        trust,
        until.saturating_duration_since(tokio::time::Instant::now()),
    )
    .map_err(|error| Reason::new(Code::Misconfigured, format!("there is nobody to ask: {error}")))?;
    let began = Instant::now();
    let asked = tokio::time::timeout_at(until, resolver.lookup(whole, record)).await;
    net::add(&mut outcome.phases.dns, began);
    let of = format!("{name} {record}");
    let found = match asked {
        Err(_) => {
            return Err(Reason::new(
                Code::DnsTimeout,
                format!("no answer for {of} in time"),
            ));
        }
        Ok(Err(error)) => return Err(refused(&of, server, &error)),
        Ok(Ok(found)) => found,
    };
    let answers: Vec<&RData> = found
        .answers()
        .iter()
        .filter(|answer| answer.record_type() == record)
        .map(|answer| &answer.data)
        .collect();
    if answers.is_empty() {
        return Err(Reason::new(Code::DnsNoRecord, format!("{of}: no such record")));
    }
    if answer.is_empty() || answers.iter().any(|found| is(found, answer)) {
        return Ok(());
    }
    let mut named: Vec<String> = answers
        .iter()
        .take(NAMED)
        .map(|answer| answer.to_string())
        .collect();
    if answers.len() > NAMED {
        named.push(format!("{} more", answers.len() - NAMED));
    }
    Err(Reason::new(
        Code::DnsWrongAnswer,
        format!("{of} is {} and not {answer}", named.join(", ")),
    ))
}

fn refused(of: &str, server: Option<SocketAddr>, error: &NetError) -> Reason {
    match (error, server) {
        (NetError::Io(io), Some(server)) => net::connect_reason(server, io),
        _ => net::dns_reason(of, error),
    }
}

fn resolver(server: Option<SocketAddr>, trust: &Trust, time: Duration) -> Result<TokioResolver, NetError> {
    let mut builder = match server {
        None => trust.resolver()?,
        Some(server) => {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
            let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
            TokioResolver::builder_with_config(
                ResolverConfig::from_parts(None, Vec::new(), vec![server]),
                TokioRuntimeProvider::default(),
            )
        }
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.attempts = TRIES as usize - 1;
    options.timeout = time / TRIES;
    builder.build()
}

/// Whether the system's resolvers say anything at all; `None` where there are none.
pub(super) async fn resolvers_answer(trust: &Trust, time: Duration) -> Option<bool> {
    let resolver = resolver(None, trust, time).ok()?;
    let asked = tokio::time::timeout(time, resolver.lookup(Name::root(), RecordType::NS)).await;
    Some(match asked {
        Ok(Ok(_) | Err(NetError::Dns(_))) => true,
        Ok(Err(_)) | Err(_) => false,
    })
}

/// Whether an answer is the one that was wanted: names in any case and with or without their dot, MX with or without the preference.
fn is(found: &RData, wanted: &str) -> bool {
    let named = |found: &Name, wanted: &str| {
        let found = found.to_string();
        found
            .trim_end_matches('.')
            .eq_ignore_ascii_case(wanted.trim_end_matches('.'))
    };
    match found {
        RData::A(found) => wanted.parse() == Ok(found.0),
        RData::AAAA(found) => wanted.parse() == Ok(found.0),
        RData::CNAME(found) => named(&found.0, wanted),
        RData::NS(found) => named(&found.0, wanted),
        RData::MX(found) => match wanted.split_once(' ') {
            Some((preference, host)) => {
                preference.parse() == Ok(found.preference) && named(&found.exchange, host.trim())
            }
            None => named(&found.exchange, wanted),
        },
        RData::TXT(found) => found.txt_data.concat() == wanted.as_bytes(),
        _ => false,
    }
}
