//! The DDoS fingerprint of the NLADC anti-DDoS coalition (NLADC/dissector, fingerprint_format.md), so that existing clearing
//! houses can take what was found. One incident gives one object, several give an array.
//!
//! Megabytes are 10^6 bytes. Fields of that format that this program does not measure are left out.

use std::net::IpAddr;

use detect::{Transport, Vector};
use incident::Case;
use incident::case::{Incident, VectorShare};
use md5::{Digest, Md5};
use serde_json::{Map, Value, json};

use crate::case_json::time;

const SECOND: u64 = 1_000_000_000;

/// Renders the fingerprints of a case.
pub(crate) fn render(case: &Case) -> anyhow::Result<String> {
    let prints: Vec<Value> = case
        .incidents
        .iter()
        .map(fingerprint)
        .collect::<anyhow::Result<_>>()?;
    let value = match <[Value; 1]>::try_from(prints) {
        Ok([one]) => one,
        Err(many) => Value::Array(many),
    };
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn fingerprint(incident: &Incident) -> anyhow::Result<Value> {
    let end = incident.end_ns.unwrap_or(incident.start_ns);
    let seconds = ((end - incident.start_ns) as f64 / SECOND as f64).max(1.0);
    let target = incident.target.to_string();
    let mut print = json!({
        "attack_vectors": incident.vectors.iter().map(|vector| self::vector(vector, incident)).collect::<Vec<_>>(),
        "target": target.strip_suffix("/32").or(target.strip_suffix("/128")).unwrap_or(&target),
        "tags": tags(incident),
        "time_start": time(incident.start_ns),
        "time_end": time(end),
        "duration_seconds": (end - incident.start_ns) / SECOND,
        "total_packets": incident.packets,
        "total_megabytes": incident.bytes / 1_000_000,
        "total_ips": incident.sources.distinct,
        "avg_bps": (incident.bytes as f64 * 8.0 / seconds) as u64,
        "avg_pps": (incident.packets as f64 / seconds) as u64,
        "avg_Bpp": incident.bytes / incident.packets.max(1),
    });
    let key: String = Md5::digest(serde_json::to_vec(&print)?)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    print["key"] = json!(key);
    Ok(print)
}

fn tags(incident: &Incident) -> Vec<&'static str> {
    let vectors = &incident.vectors;
    let mut tags = Vec::new();
    let any = |test: fn(Vector) -> bool| vectors.iter().any(|v| test(v.vector));
    if any(|v| v.is_reflection() && v.transport() == Transport::Udp) {
        tags.push("Amplification attack");
    }
    if vectors.len() > 1 {
        tags.push("Multi-vector attack");
    }
    for (vector, tag) in [
        (Vector::SynFlood, "TCP SYN flag attack"),
        (Vector::SynackReflection, "TCP SYN-ACK flag attack"),
        (Vector::AckFlood, "TCP ACK flag attack"),
        (Vector::RstFlood, "TCP RST flag attack"),
        (Vector::IpFragment, "Fragmentation attack"),
    ] {
        if vectors.iter().any(|v| v.vector == vector) {
            tags.push(tag);
        }
    }
    if incident.target_hosts > 1 {
        tags.push("Carpet bombing attack");
    }
    tags
}

fn protocol(vector: Vector) -> &'static str {
    match (vector, vector.transport()) {
        (_, Transport::Tcp) => "TCP",
        (_, Transport::Udp) => "UDP",
        (Vector::IcmpFlood, _) => "ICMP",
        (Vector::IgmpFlood, _) => "IGMP",
        (Vector::GreFlood, _) => "GRE",
        (Vector::EspFlood, _) => "ESP",
        _ => "IP",
    }
}

fn service(vector: Vector) -> String {
    if vector == Vector::IpFragment {
        return "Fragmented IP packets".to_owned();
    }
    match vector {
        Vector::HttpFlood | Vector::Slowloris | Vector::SlowPost => "HTTP".to_owned(),
        v if v.service_port().is_some() => {
            let name = v
                .name()
                .trim_end_matches("_amplification")
                .trim_end_matches("_reflection");
            name.to_uppercase()
        }
        _ => "Unknown service".to_owned(),
    }
}

/// TCP flags as eight letters, CWR to FIN, with dots for those that are not set.
fn flags(bits: u8) -> String {
    "CEUAPRSF"
        .chars()
        .enumerate()
        .map(|(i, letter)| if bits & (0x80 >> i) != 0 { letter } else { '.' })
        .collect()
}

fn map<T>(values: Option<&Vec<(T, f64)>>, name: impl Fn(&T) -> String) -> Value {
    match values {
        None => json!("random"),
        Some(values) => {
            let fields: Map<String, Value> = values
                .iter()
                .map(|(value, share)| (name(value), json!((share * 1e4).round() / 1e4)))
                .collect();
            Value::Object(fields)
        }
    }
}

fn vector(part: &VectorShare, incident: &Incident) -> Value {
    let look = &part.look;
    let fragments: u64 = incident
        .vectors
        .iter()
        .filter(|v| v.vector == Vector::IpFragment)
        .map(|v| v.packets)
        .sum();
    let named = (incident.packets - fragments).max(1) as f64;
    let mut value = json!({
        "service": service(part.vector),
        "protocol": protocol(part.vector),
        "fraction_of_attack": if part.vector == Vector::IpFragment {
            Value::Null
        } else {
            json!((part.packets as f64 / named * 1e4).round() / 1e4)
        },
        "source_port": part.vector.service_port().or(look.source_port).map_or(json!("random"), |port| json!(port)),
        "destination_ports": map(look.destination_ports.as_ref(), u16::to_string),
        "tcp_flags": if part.vector.transport() == Transport::Tcp {
            map(look.tcp_flags.as_ref(), |bits| flags(*bits))
        } else {
            Value::Null
        },
        "nr_packets": part.packets,
        "nr_megabytes": part.bytes / 1_000_000,
        "time_start": time(part.start_ns),
        "duration_seconds": (part.end_ns - part.start_ns) / SECOND,
        "source_ips": part.sources.iter().map(|ip| IpAddr::V6(*ip).to_canonical().to_string()).collect::<Vec<_>>(),
        "ttl": map(look.ttl.as_ref(), u8::to_string),
    });
    if !look.dns_names.is_empty() {
        let mut names = Map::new();
        let mut types: std::collections::BTreeMap<String, f64> = std::collections::BTreeMap::new();
        for (name, kind, share) in &look.dns_names {
            names.insert(name.clone(), json!((share * 1e4).round() / 1e4));
            *types.entry(query_type(*kind)).or_default() += share;
        }
        value["dns_query_name"] = Value::Object(names);
        value["dns_query_type"] = json!(
            types
                .into_iter()
                .map(|(k, s)| (k, (s * 1e4).round() / 1e4))
                .collect::<std::collections::BTreeMap<_, _>>()
        );
    }
    value
}

/// Names of DNS types (IANA DNS parameters).
fn query_type(kind: u16) -> String {
    match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        43 => "DS",
        46 => "RRSIG",
        48 => "DNSKEY",
        255 => "ANY",
        other => return format!("TYPE{other}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn flags_are_eight_letters() {
        assert_eq!(super::flags(0x02), "......S.");
        assert_eq!(super::flags(0x12), "...A..S.");
        assert_eq!(super::flags(0xff), "CEUAPRSF");
    }
}
