//! Abuse reports for the networks whose machines took part: X-ARF 4.2 (xarf.org), one report a line for each network and vector.
//!
//! Machines that sent are reported as `connection` / `ddos`; machines that answered requests in the target's name as `vulnerability`
//! / `open_service`, in words that say that they were abused. Addresses that are forged, or may be, are never reported: their owners
//! have nothing to do with it. Neither are hosts that only completed a handshake (SYN-ACK reflection): there is nothing to mend on
//! them. What is not reported is said.

use std::fmt::Write;

use atlas::Atlas;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use detect::{Transport, Vector};
use incident::Case;
use incident::case::{Incident, TopSource, VectorShare};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::args::ShareArgs;
use crate::case_json::time;
use crate::case_text::{count, counted, metric};
use crate::fingerprint::service_name;
use crate::origin::{self, Network, networks, share_of};
use crate::stix::{NAMESPACE, bare, confidence, text};

/// A source that sent fewer packets is not reported: it may be a stray.
const SENT_MIN: u64 = 10;
/// The same for reflectors, whose answers nobody asked for.
const ANSWERED_MIN: u64 = 2;
const SECOND: u64 = 1_000_000_000;

/// Renders the reports, and says what was not reported and why.
pub(crate) fn render(case: &Case, atlas: &Atlas, share: &ShareArgs) -> anyhow::Result<(String, Vec<String>)> {
    let mut lines = String::new();
    let mut unsaid = Vec::new();
    for incident in &case.incidents {
        for part in &incident.vectors {
            let about = format!("{}, {}", incident.id, part.vector.label());
            let (kind, sources) = match kind(part, incident) {
                Ok(kind) => kind,
                Err(why) => {
                    unsaid.push(format!("{about}: no report, since {why}"));
                    continue;
                }
            };
            let least = match kind {
                Kind::Ddos(_) => SENT_MIN,
                Kind::OpenService(_) => ANSWERED_MIN,
            };
            let (loud, strays): (Vec<TopSource>, Vec<TopSource>) =
                sources.iter().partition(|source| source.packets >= least);
            let (known, nobodys): (Vec<_>, Vec<_>) = networks(&loud, atlas)
                .into_iter()
                .partition(|network| network.asn != 0);
            for network in &known {
                let report = report(&kind, network, part, incident, share);
                writeln!(lines, "{report}")?;
            }
            let named: Vec<TopSource> = known.iter().flat_map(|network| network.sources.clone()).collect();
            unsaid.push(format!(
                "{about}: {} name {} of {}, which sent {:.1} % of its packets; left out are {} with fewer than {least} packets, {} of no known network, {} that may be forged or use the target as well, and {} beyond the {} that sent most",
                counted(known.len() as u64, "report", "reports"),
                count(named.len() as u64),
                counted(part.sources.len() as u64, "source", "sources"),
                100.0 * share_of(&named, part),
                count(strays.len() as u64),
                nobodys.iter().map(|network| network.sources.len()).sum::<usize>(),
                count((part.top_sources.len() - sources.len()) as u64),
                count(part.sources.len().saturating_sub(part.top_sources.len()) as u64),
                count(incident::case::TOP_SOURCES as u64),
            ));
        }
    }
    Ok((lines, unsaid))
}

/// What a report is about.
enum Kind {
    /// Machines that sent: the protocol.
    Ddos(&'static str),
    /// Machines that were abused: the service.
    OpenService(&'static str),
}

/// What the reports on a vector are about and whom they name, or why there are none.
fn kind(part: &VectorShare, incident: &Incident) -> Result<(Kind, Vec<TopSource>), &'static str> {
    let abused = origin::reflectors(part, incident);
    if !abused.is_empty() {
        let service = match part.vector {
            Vector::MiddleboxReflection => Some("TCP middlebox that answers without a handshake"),
            vector if vector.transport() == Transport::Udp => service_name(vector),
            _ => None,
        };
        let service = service.ok_or(
            "its reflectors only answered what looked like a connection: nothing is wrong with them",
        )?;
        return Ok((Kind::OpenService(service), abused));
    }
    let sent = origin::senders(part, incident);
    if sent.is_empty() {
        return Err(if origin::is_forged(part) {
            "its sources are forged"
        } else {
            "of no source it is determined that it sent under its own address"
        });
    }
    let protocol = match (part.vector, part.vector.transport()) {
        (_, Transport::Tcp) => "tcp",
        (_, Transport::Udp) => "udp",
        (Vector::IcmpFlood, _) => "icmp",
        _ => return Err("X-ARF has no word for its protocol"),
    };
    Ok((Kind::Ddos(protocol), sent))
}

fn report(
    kind: &Kind,
    network: &Network,
    part: &VectorShare,
    incident: &Incident,
    share: &ShareArgs,
) -> Value {
    let label = part.vector.label();
    let first = network
        .sources
        .iter()
        .map(|s| s.first_ns)
        .min()
        .unwrap_or(part.start_ns);
    let last = network
        .sources
        .iter()
        .map(|s| s.last_ns)
        .max()
        .unwrap_or(part.end_ns);
    let packets: u64 = network.sources.iter().map(|s| s.packets).sum();
    let bytes: u64 = network.sources.iter().map(|s| s.bytes).sum();
    let email = share.reporter_email.as_deref().unwrap_or_default();
    let contact = json!({
        "org": share.reporter_name,
        "contact": email,
        "domain": email.rsplit_once('@').map_or("", |(_, domain)| domain),
    });
    let name = format!(
        "{}\n{}\n{}\n{}\n{email}",
        incident.id,
        part.vector.name(),
        network.asn,
        first
    );
    let hosts = counted(network.sources.len() as u64, "address", "addresses");
    let said = format!(
        "{} packets ({}B) of an attack on {} ({label}) came from {hosts} of AS{} between {} and {}; the whole attack had up to {} packets/s.",
        count(packets),
        metric(bytes as f64),
        bare(incident.target),
        network.asn,
        time(first),
        time(last),
        count(incident.peak.packets_per_second as u64),
    );
    let mut report = json!({
        "xarf_version": "4.2.0",
        "report_id": Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string(),
        "timestamp": time(first),
        "reporter": contact,
        "sender": contact,
        // The network: the addresses are in the evidence.
        "source_identifier": format!("AS{}", network.asn),
        "evidence_source": "flow_analysis",
        "evidence": [evidence(network)],
        "confidence": f64::from(confidence(incident.confidence)) / 100.0,
    });
    if let Some(port) = part.vector.service_port() {
        report["source_port"] = json!(port);
    }
    match kind {
        Kind::Ddos(protocol) => {
            report["category"] = json!("connection");
            report["type"] = json!("ddos");
            report["description"] = json!(format!(
                "{said} The tests for forged addresses speak against forgery. The machines may be hijacked devices, proxies or addresses that several customers share; the times in the evidence are UTC."
            ));
            report["protocol"] = json!(protocol);
            report["attack_vector"] = json!(part.vector.name());
            report["first_seen"] = json!(time(first));
            report["last_seen"] = json!(time(last));
            report["duration_seconds"] = json!(((last - first) / SECOND).max(1));
            report["total_packets"] = json!(packets);
            report["total_bytes"] = json!(bytes);
            report["tags"] = json!([format!("attack:{}", part.vector.name())]);
            // A prefix is no address; the description names it.
            if incident.target_hosts <= 1 {
                report["destination_ip"] = json!(bare(incident.target));
            }
            let port = part
                .look
                .destination_ports
                .as_ref()
                .and_then(|ports| ports.first());
            if let Some((port @ 1.., _)) = port.filter(|(_, share)| *share >= 0.5) {
                report["destination_port"] = json!(port);
            }
        }
        Kind::OpenService(service) => {
            report["category"] = json!("vulnerability");
            report["type"] = json!("open_service");
            report["service"] = json!(service);
            report["description"] = json!(format!(
                "{said} These machines did not start the attack: they were abused to answer requests that carried the target's address as a forged source. Please close the service to strangers, or limit the rate of its answers."
            ));
            report["tags"] = json!([format!("attack:{}", part.vector.name()), "source:reflector"]);
        }
    }
    report
}

/// The sources as CSV.
fn evidence(network: &Network) -> Value {
    let mut table = "source_ip,packets,bytes,first_seen,last_seen\n".to_owned();
    for source in &network.sources {
        let _ = writeln!(
            table,
            "{},{},{},{},{}",
            text(source.address),
            source.packets,
            source.bytes,
            time(source.first_ns),
            time(source.last_ns)
        );
    }
    let digest = Sha256::digest(table.as_bytes());
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "content_type": "text/csv",
        "description": "Addresses of this network with the attack packets and bytes that came from each, sampling applied, and the times of the first and the last of them",
        "payload": BASE64_STANDARD.encode(&table),
        "hash": format!("sha256:{digest}"),
        "size": table.len(),
    })
}
