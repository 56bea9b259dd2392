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
use crate::origin::is_forged;
use crate::stix::bare;

const SECOND: u64 = 1_000_000_000;
/// Values that cover less than this leave others unsaid.
const OTHERS_FROM: f64 = 0.99;

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
    let mut print = json!({
        "attack_vectors": incident.vectors.iter().map(|vector| self::vector(vector, incident)).collect::<Vec<_>>(),
        "target": bare(incident.target),
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

/// Tags as the dissector gives them, in alphabetical order, and one of ours: the format lists source addresses and has no field that
/// says that they are forged.
fn tags(incident: &Incident) -> Vec<String> {
    let mut tags = Vec::new();
    let mut tag = |text: &str| tags.push(text.to_owned());
    let whole = incident.vectors.iter().filter(|v| v.vector != Vector::IpFragment);
    if whole.count() > 1 {
        tag("Multi-vector attack");
    }
    if incident.target_hosts > 1 {
        tag("Carpet bombing attack");
    }
    for part in &incident.vectors {
        let protocol = protocol(part.vector);
        tag(protocol);
        if service_name(part.vector).is_none() && part.vector != Vector::IpFragment {
            tag(&format!("{protocol} flood attack"));
        }
        match part.look.tcp_flags.as_deref() {
            _ if part.vector == Vector::IpFragment => tag("Fragmentation attack"),
            Some([(bits, share)]) if *share >= OTHERS_FROM => tag(&flag_tag(*bits)),
            _ if part.vector.transport() == Transport::Tcp => tag("TCP flag attack"),
            _ if part.vector.is_reflection() => tag("Amplification attack"),
            _ => {}
        }
        if is_forged(part) {
            tag("Spoofed source addresses");
        }
    }
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// What packets with these TCP flags are called.
fn flag_tag(bits: u8) -> String {
    let names = ["FIN", "SYN", "RESET", "PUSH", "ACK", "URGENT"];
    let set: Vec<&str> = names
        .iter()
        .enumerate()
        .filter(|(i, _)| bits >> i & 1 != 0)
        .map(|(_, name)| *name)
        .collect();
    if set.is_empty() {
        "TCP no flag attack".to_owned()
    } else {
        format!("TCP {} flag attack", set.join(" "))
    }
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
    service_name(vector).unwrap_or("Unknown service").to_owned()
}

/// The service that a vector abuses, by the dissector's name where it has one.
pub(crate) fn service_name(vector: Vector) -> Option<&'static str> {
    use Vector as V;
    Some(match vector {
        V::HttpFlood | V::Slowloris | V::SlowPost => "HTTP",
        V::DnsAmplification => "DNS",
        V::NtpAmplification => "NTP",
        V::SsdpAmplification => "SSDP",
        V::CldapAmplification => "LDAP",
        V::MemcachedAmplification => "MEMCACHED",
        V::SnmpAmplification => "SNMP",
        V::ChargenAmplification => "Chargen",
        V::QotdAmplification => "Quote of the Day",
        V::WsdAmplification => "WS-Discovery",
        V::ArmsAmplification => "Apple Remote Desktop",
        V::CoapAmplification => "CoAP",
        V::MdnsAmplification => "mDNS",
        V::NetbiosAmplification => "NetBios",
        // Written so in the dissector's table.
        V::RpcbindAmplification => "TPC",
        V::TftpAmplification => "TFTP",
        V::UbntAmplification => "Ubiquiti discovery",
        V::DvrDhcpdiscover => "DHDiscover",
        V::BacnetAmplification => "BACnet",
        V::IsakmpReflection => "ISAKMP",
        V::SlpAmplification => "SLP",
        V::RdpAmplification => "Windows Remote Desktop",
        V::Tp240Amplification => "Mitel MiColab",
        V::PlexAmplification => "Plex Media",
        V::MssqlAmplification => "MS SQL",
        V::RipAmplification => "RIPv1",
        V::SentinelAmplification => "Sentinel",
        V::QuakeAmplification => "Quake",
        V::SteamAmplification => "Steam",
        V::OpenvpnAmplification => "OpenVPN",
        V::SipAmplification => "SIP",
        V::StunAmplification => "STUN",
        V::L2tpAmplification => "L2TP",
        _ => return None,
    })
}

/// TCP flags as eight letters, CWR to FIN, with dots for those that are not set.
fn flags(bits: u8) -> String {
    "CEUAPRSF"
        .chars()
        .enumerate()
        .map(|(i, letter)| if bits & (0x80 >> i) != 0 { letter } else { '.' })
        .collect()
}

/// Values with their fractions, and what is left of one as `others`; `none` where they are spread too widely to list.
fn map<T>(values: Option<&Vec<(T, f64)>>, none: Value, name: impl Fn(&T) -> String) -> Value {
    let Some(values) = values else {
        return none;
    };
    let mut fields: Map<String, Value> = values
        .iter()
        .map(|(value, share)| (name(value), json!(round(*share))))
        .collect();
    let explained: f64 = values.iter().map(|(_, share)| share).sum();
    if explained < OTHERS_FROM {
        fields.insert("others".to_owned(), json!(round(1.0 - explained)));
    }
    Value::Object(fields)
}

fn round(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
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
            json!(round(part.packets as f64 / named))
        },
        "source_port": part.vector.service_port().or(look.source_port).map_or(json!("random"), |port| json!(port)),
        "destination_ports": map(look.destination_ports.as_ref(), json!("random"), u16::to_string),
        "tcp_flags": if part.vector.transport() == Transport::Tcp {
            map(look.tcp_flags.as_ref(), Value::Null, |bits| flags(*bits))
        } else {
            Value::Null
        },
        "nr_packets": part.packets,
        "nr_megabytes": part.bytes / 1_000_000,
        "time_start": time(part.start_ns),
        "duration_seconds": (part.end_ns - part.start_ns) / SECOND,
        "source_ips": part.sources.iter().map(|ip| IpAddr::V6(*ip).to_canonical().to_string()).collect::<Vec<_>>(),
        "ttl": map(look.ttl.as_ref(), json!("random"), u8::to_string),
    });
    if !look.dns_names.is_empty() {
        let mut names = Map::new();
        let mut types: std::collections::BTreeMap<String, f64> = std::collections::BTreeMap::new();
        for (name, kind, share) in &look.dns_names {
            names.insert(name.clone(), json!(round(*share)));
            *types.entry(query_type(*kind)).or_default() += share;
        }
        value["dns_query_name"] = Value::Object(names);
        value["dns_query_type"] = json!(
            types
                .into_iter()
                .map(|(k, s)| (k, round(s)))
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

    #[test]
    fn flags_have_the_names_of_the_dissector() {
        assert_eq!(super::flag_tag(0x02), "TCP SYN flag attack");
        assert_eq!(super::flag_tag(0x12), "TCP SYN ACK flag attack");
        assert_eq!(super::flag_tag(0x04), "TCP RESET flag attack");
        assert_eq!(super::flag_tag(0), "TCP no flag attack");
    }

    #[test]
    fn what_is_not_listed_is_others() {
        let some = super::map(Some(&vec![(443u16, 0.7)]), super::json!("random"), u16::to_string);
        assert_eq!(some, super::json!({ "443": 0.7, "others": 0.3 }));
        let all = super::map(
            Some(&vec![(443u16, 0.995)]),
            super::json!("random"),
            u16::to_string,
        );
        assert_eq!(all, super::json!({ "443": 0.995 }));
        let none = super::map(None::<&Vec<(u16, f64)>>, super::json!("random"), u16::to_string);
        assert_eq!(none, "random");
    }
}
