//! Incidents in the words of DOTS telemetry (RFC 9244, module `ietf-dots-telemetry`): for each a message of `telemetry` as a DOTS
//! client puts it, one a line.
//!
//! JSON as in RFC 7951: 64-bit numbers are strings. Rates are in the unit in which they have four to six digits, so that
//! rounding to whole numbers costs nothing. Peaks are those of the strongest second; percentiles are left out, since they belong to an
//! interval that client and server have agreed upon.

use atlas::Prefix;
use detect::{Transport, Vector};
use incident::Case;
use incident::case::{Incident, Origin, VectorShare};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::args::ShareArgs;
use crate::origin::origin;
use crate::stix::text;

/// Talkers of an attack that are listed: a message should fit into a datagram or few.
const TALKERS: usize = 10;
/// Target ports that are listed.
const PORTS: usize = 8;
const SECOND: u64 = 1_000_000_000;

/// Renders a case.
pub(crate) fn render(case: &Case, share: &ShareArgs) -> String {
    let vendor = share.vendor_id.unwrap_or_default();
    let mut lines = String::new();
    for incident in &case.incidents {
        let message = json!({
            "ietf-dots-telemetry:telemetry": { "pre-or-ongoing-mitigation": [telemetry(incident, vendor)] },
        });
        lines.push_str(&message.to_string());
        lines.push('\n');
    }
    lines
}

fn telemetry(incident: &Incident, vendor: u32) -> Value {
    let mut protocols: Vec<u8> = incident
        .vectors
        .iter()
        .filter_map(|part| protocol(part.vector, incident.target))
        .collect();
    protocols.sort_unstable();
    protocols.dedup();
    let mut ports: Vec<u16> = incident
        .ports
        .iter()
        .take(PORTS)
        .map(|port| port.port)
        .filter(|port| *port != 0)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    let mut target = json!({ "target-prefix": [incident.target.to_string()] });
    if !ports.is_empty() {
        let ranges: Vec<Value> = ports.iter().map(|port| json!({ "lower-port": port })).collect();
        target["target-port-range"] = json!(ranges);
    }
    if !protocols.is_empty() {
        target["target-protocol"] = json!(protocols);
    }
    let mut telemetry = json!({
        "target": target,
        "total-attack-traffic": [
            peak(incident.peak.packets_per_second, PACKETS),
            peak(incident.peak.bits_per_second, BITS),
        ],
        "attack-detail": incident.vectors.iter().map(|part| detail(part, incident, vendor)).collect::<Vec<_>>(),
    });
    if let Some(requests) = incident.peak.requests_per_second {
        telemetry["total-attack-connection-protocol"] = json!([{
            "protocol": 6,
            "request-ps-c": { "peak-g": (requests.round() as u64).to_string() },
        }]);
    }
    telemetry
}

const PACKETS: [&str; 5] = [
    "packet-ps",
    "kilopacket-ps",
    "megapacket-ps",
    "gigapacket-ps",
    "terapacket-ps",
];
const BITS: [&str; 5] = ["bit-ps", "kilobit-ps", "megabit-ps", "gigabit-ps", "terabit-ps"];

/// A peak in the largest unit that leaves at least four digits.
fn peak(value: f64, units: [&str; 5]) -> Value {
    let mut scaled = value.max(0.0);
    let mut unit = 0;
    while scaled >= 1e6 && unit + 1 < units.len() {
        scaled /= 1e3;
        unit += 1;
    }
    json!({ "unit": units[unit], "peak-g": (scaled.round() as u64).to_string() })
}

fn detail(part: &VectorShare, incident: &Incident, vendor: u32) -> Value {
    let talkers: Vec<Value> = part
        .top_sources
        .iter()
        .take(TALKERS)
        .map(|source| {
            let address = text(source.address);
            let length = if address.contains(':') { 128 } else { 32 };
            let mut talker = json!({ "source-prefix": format!("{address}/{length}") });
            let origin = origin(source, part, incident);
            if origin != Origin::Undetermined {
                talker["spoofed-status"] = json!(origin == Origin::Forged);
            }
            if let Some(port) = part.vector.service_port() {
                talker["source-port-range"] = json!([{ "lower-port": port }]);
            }
            talker
        })
        .collect();
    let sources = if incident.vectors.len() == 1 {
        incident.sources.distinct
    } else {
        part.sources.len() as u64
    };
    let mut detail = json!({
        "vendor-id": vendor,
        "attack-id": attack_id(part.vector),
        "description-lang": "en",
        "attack-description": part.vector.label(),
        // How severe it was for the service is not in the traffic.
        "attack-severity": "unknown",
        "start-time": (part.start_ns / SECOND).to_string(),
        "source-count": { "peak-g": sources.to_string() },
    });
    if !talkers.is_empty() {
        detail["top-talker"] = json!({ "talker": talkers });
    }
    if !(incident.ongoing && Some(part.end_ns) == incident.end_ns) {
        detail["end-time"] = json!((part.end_ns / SECOND).to_string());
    }
    detail
}

/// The number of an attack among ours: the first four bytes of the SHA-256 of the vector's name, so that it never changes.
fn attack_id(vector: Vector) -> u32 {
    let digest = Sha256::digest(vector.name().as_bytes());
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// IP protocol number, where the vector has one.
fn protocol(vector: Vector, target: Prefix) -> Option<u8> {
    match (vector, vector.transport()) {
        (_, Transport::Tcp) => Some(6),
        (_, Transport::Udp) => Some(17),
        (Vector::IcmpFlood, _) if target.base.to_ipv4_mapped().is_none() => Some(58),
        (Vector::IcmpFlood, _) => Some(1),
        (Vector::IgmpFlood, _) => Some(2),
        (Vector::GreFlood, _) => Some(47),
        (Vector::EspFlood, _) => Some(50),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_scaled_and_keep_four_digits() {
        assert_eq!(
            peak(999_999.0, BITS),
            json!({ "unit": "bit-ps", "peak-g": "999999" })
        );
        assert_eq!(
            peak(7_142_857.0, BITS),
            json!({ "unit": "kilobit-ps", "peak-g": "7143" })
        );
        assert_eq!(
            peak(3.8e12, BITS),
            json!({ "unit": "gigabit-ps", "peak-g": "3800" })
        );
        assert_eq!(peak(0.0, PACKETS), json!({ "unit": "packet-ps", "peak-g": "0" }));
    }

    #[test]
    fn attacks_have_numbers_of_their_own() {
        let mut ids: Vec<u32> = Vector::ALL.iter().map(|vector| attack_id(*vector)).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Vector::ALL.len());
        assert_eq!(attack_id(Vector::SynFlood), attack_id(Vector::SynFlood));
    }
}
