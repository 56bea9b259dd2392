//! The case as JSON: `epicenter.case/1`, whose schema is `docs/case.schema.json`. This shape is a promise: fields may be added,
//! none changes its meaning. Field order is fixed and numbers are rounded, so that the same case gives the same bytes.

use std::net::IpAddr;

use atlas::Atlas;
use incident::Case;
use incident::case::{Confidence, Incident, Located, Meaning, Origin, Share, Sources, Verdict};
use incident::claim::{Extent, Proposition};
use serde_json::{Value, json};

use crate::outages;

/// Renders a case.
pub(crate) fn render(case: &Case, atlas: &Atlas) -> anyhow::Result<String> {
    let about = atlas.about();
    let value = json!({
        "schema": "epicenter.case/1",
        "engine": {
            "version": env!("CARGO_PKG_VERSION"),
            "atlas": { "built": about.built, "sha256": about.sha256, "attribution": about.attribution },
        },
        "inputs": case.inputs.iter().map(|input| json!({
            "name": input.name,
            "kind": input.kind,
            "bytes": input.bytes,
            "records": input.records,
            "packets": input.packets,
            "octets": input.octets,
            "first": input.first_ns.map(time),
            "last": input.last_ns.map(time),
            "faults": input.faults.iter().map(|fault| json!({
                "reason": fault.reason, "count": fault.count, "first_offset": fault.first_offset,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "signals": case.signals.iter().map(|file| json!({
            "name": file.name,
            "reports": file.reports,
            "probes": file.probes,
            "first": file.first_ns.map(time),
            "last": file.last_ns.map(time),
            "faults": file.faults.iter().map(|fault| json!({
                "reason": fault.reason, "count": fault.count, "first_offset": fault.first_offset,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "exporters": case.exporters.iter().map(|exporter| json!({
            "address": IpAddr::V6(exporter.address).to_canonical().to_string(),
            "port": exporter.port,
            "format": exporter.format.name(),
            "domain": exporter.domain,
            "messages": exporter.messages,
            "records": exporter.records,
            "sampling": exporter.sampling,
            "lost": exporter.losses.lost,
            "lost_unit": if exporter.losses.in_records { "records" } else { "messages" },
            "duplicates": exporter.losses.duplicates,
            "restarts": exporter.losses.restarts,
        })).collect::<Vec<_>>(),
        "incidents": case.incidents.iter().map(incident).chain(case.outages.iter().map(outages::incident)).collect::<Vec<_>>(),
        "verdicts": case.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "scans": case.scans.iter().map(|scan| json!({
            "source": IpAddr::V6(scan.source).to_canonical().to_string(),
            "hosts": scan.hosts,
            "packets": scan.packets,
            "start": time(scan.start_ns),
            "end": time(scan.end_ns),
            "what": scan.what,
        })).collect::<Vec<_>>(),
        "caveats": case.caveats,
    });
    let mut text = serde_json::to_string_pretty(&value)?;
    text.push('\n');
    Ok(text)
}

/// An incident as the case has it.
pub(crate) fn incident(incident: &Incident) -> Value {
    let sources = &incident.sources;
    json!({
        "id": incident.id,
        "kind": "ddos",
        "target": {
            "prefix": incident.target.to_string(),
            "hosts": incident.target_hosts,
            "service": null,
            "ports": incident.ports.iter().map(|port| json!({
                "protocol": port.protocol, "port": port.port, "share": round(port.share),
            })).collect::<Vec<_>>(),
        },
        "start": time(incident.start_ns),
        "end": incident.end_ns.map(time),
        "ongoing": incident.ongoing,
        "peak": {
            "at": time(incident.peak.at_ns),
            "packets_per_second": round(incident.peak.packets_per_second),
            "bits_per_second": round(incident.peak.bits_per_second),
            "requests_per_second": incident.peak.requests_per_second.map(round),
        },
        "total": { "packets": incident.packets, "bytes": incident.bytes, "requests": incident.requests },
        "vectors": incident.vectors.iter().map(|vector| json!({
            "name": vector.vector.name(),
            "share": round(vector.share),
            "packets": vector.packets,
            "bytes": vector.bytes,
            "start": time(vector.start_ns),
            "end": time(vector.end_ns),
            "why": vector.why,
        })).collect::<Vec<_>>(),
        "timeline": {
            "start": time(incident.timeline.start_ns),
            "step_seconds": incident.timeline.step_ns / 1_000_000_000,
            "packets": incident.timeline.packets,
        },
        "sources": {
            "distinct": sources.distinct,
            "distinct_exact": sources.distinct_exact,
            "meaning": meaning(sources.meaning),
            "forged": share(sources.forged),
            "forged_because": sources.forged_because.iter().map(|test| {
                let mut said = json!({ "test": test.test, "says": test.says });
                if let Some(value) = test.value {
                    said["value"] = json!(round(value));
                }
                said
            }).collect::<Vec<_>>(),
            "reflected": share(sources.reflected),
            "countries": sources.countries.iter().map(|c| json!({
                "code": c.country.as_str(), "share": share(c.share), "distinct": c.distinct,
            })).collect::<Vec<_>>(),
            "networks": sources.networks.iter().map(|n| json!({
                "asn": n.asn, "name": n.name, "country": n.country.as_str(), "kind": n.kind.name(),
                "share": share(n.share), "distinct": n.distinct,
            })).collect::<Vec<_>>(),
            "prefixes": sources.prefixes.iter().map(|(prefix, s)| json!({
                "prefix": prefix.to_string(), "share": share(*s),
            })).collect::<Vec<_>>(),
            "kinds": sources.kinds.iter().map(|(kind, s)| json!({
                "kind": kind.name(), "share": share(*s),
            })).collect::<Vec<_>>(),
            "classes": sources.classes.iter().map(|class| json!({
                "vector": class.vector.name(),
                "cluster": class.cluster,
                "share": round(class.share),
                "distinct": class.distinct,
                "origin": origin(class.origin),
                "forged": share(class.forged),
            })).collect::<Vec<_>>(),
            "not_made": sources.not_made.iter().map(|unmade| json!({
                "test": unmade.test, "why": unmade.why,
            })).collect::<Vec<_>>(),
            "senders": senders(sources),
        },
        "audience": incident.audience.as_ref().map(|audience| json!({
            "learnt_from": audience.learnt_from,
            "distinct": audience.distinct,
            "taken_out": share(audience.taken_out),
            "countries": audience.countries.iter().map(|c| json!({
                "code": c.country.as_str(), "share": share(c.share), "distinct": c.distinct,
            })).collect::<Vec<_>>(),
        })),
        "coordination": incident.coordination.as_ref().map(|coordination| json!({
            "probability": round(coordination.probability),
            "start_spread_seconds": round(coordination.start_spread_s),
            "start_together": round(coordination.start_together),
            "stop_together": round(coordination.stop_together),
            "fingerprints": round(coordination.fingerprints),
            "rate_variation": round(coordination.rate_variation),
            "controllers_min": coordination.controllers_min,
            "because": coordination.because,
        })),
        "size": incident.size.iter().map(|standing| json!({
            "what": standing.what,
            "value": round(standing.value),
            "percentile": { "from": round(standing.percentile.0), "to": round(standing.percentile.1) },
            "says": standing.says,
        })).collect::<Vec<_>>(),
        "confidence": confidence(incident.confidence),
        "caveats": incident.caveats,
    })
}

/// Where the machines are that sent under their own address.
fn senders(sources: &Sources) -> Value {
    fn located<K>(row: &Located<K>, key: &str, value: Value) -> Value {
        let mut out = json!({
            key: value,
            "by_packets": share(row.by_packets),
            "by_sources": share(row.by_sources),
            "distinct": row.distinct,
            "majority": round(row.majority),
            "first": round(row.first),
            "top_five": round(row.top_five),
            "rank": { "low": row.rank.0, "high": row.rank.1 },
            "usual": row.usual.map(share),
            "over": row.over.map(share),
        });
        if let Some(network) = &row.network {
            out["name"] = json!(network.name);
            out["country"] = json!(network.country.as_str());
            out["kind"] = json!(network.kind.name());
        }
        out
    }
    let senders = &sources.senders;
    let countries = senders.countries.iter();
    let networks = senders.networks.iter();
    let kinds = senders.kinds.iter();
    json!({
        "share": share(senders.share),
        "distinct": senders.distinct,
        "countries": countries.map(|row| located(row, "code", json!(row.key.as_str()))).collect::<Vec<_>>(),
        "networks": networks.map(|row| located(row, "asn", json!(row.key))).collect::<Vec<_>>(),
        "kinds": kinds.map(|row| located(row, "kind", json!(row.key.name()))).collect::<Vec<_>>(),
    })
}

/// What sources are.
pub(crate) fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Direct => "direct",
        Origin::Reflector => "reflector",
        Origin::Forged => "forged",
        Origin::Undetermined => "undetermined",
    }
}

/// A verdict; what is not known of the claim is left out.
fn verdict(verdict: &Verdict) -> Value {
    let claim = &verdict.claim;
    let mut said = json!({ "said": claim.said });
    let grade = claim.grade.map(|grade| grade.to_string());
    for (key, value) in [
        ("by", claim.by.clone()),
        ("at", claim.at_ns.map(time)),
        ("url", claim.url.clone()),
        ("archived", claim.archived.clone()),
        ("grade", grade),
    ] {
        if let Some(value) = value {
            said[key] = json!(value);
        }
    }
    let mut printed = json!({
        "claim": said,
        "proposition": proposition(&claim.proposition),
        "assessable": verdict.assessable,
        "words": verdict.words.text(),
        "confidence": confidence(verdict.confidence),
        "because": verdict.because,
        "would_change": verdict.would_change,
    });
    if let Some(probability) = verdict.probability {
        printed["probability"] = share(probability);
    }
    if let Some(about) = &verdict.about {
        printed["about"] = json!(about);
    }
    printed
}

/// A proposition with the fields of a claims file, and as a sentence.
fn proposition(proposition: &Proposition) -> Value {
    let extent = |extent: Extent| match extent {
        Extent::Any => "any",
        Extent::Most => "most",
    };
    let mut printed = match proposition {
        Proposition::FromCountries { countries, extent: e } => json!({
            "countries": countries.iter().map(|c| c.as_str()).collect::<Vec<_>>(), "extent": extent(*e),
        }),
        Proposition::FromNetworks { networks, extent: e } => {
            json!({ "networks": networks, "extent": extent(*e) })
        }
        Proposition::ActorState { state: Some(state) } => json!({ "state": state.as_str() }),
        Proposition::ActorGroup { name } | Proposition::Vector { name } => json!({ "name": name }),
        Proposition::Coordinated { large_group } => json!({ "large_group": large_group }),
        Proposition::StartedAt { at_ns, within_s } | Proposition::EndedAt { at_ns, within_s } => {
            json!({ "at": time(*at_ns), "within_s": within_s })
        }
        Proposition::Restored { at_ns } => json!({ "at": time(*at_ns) }),
        Proposition::PeopleAffected { at_least } => json!({ "at_least": at_least }),
        Proposition::ExposedOrigin { prefix } => json!({ "prefix": prefix.to_string() }),
        Proposition::ProviderOff { network, country } => match country {
            Some(country) => json!({ "network": network, "country": country.as_str() }),
            None => json!({ "network": network }),
        },
        Proposition::ActorState { state: None } | Proposition::ManyResources | Proposition::IsAttack => {
            json!({})
        }
    };
    printed["kind"] = json!(proposition.kind());
    printed["sentence"] = json!(proposition.sentence());
    printed
}

/// What the geography of the sources means.
pub(crate) fn meaning(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Senders => "senders",
        Meaning::Reflectors => "reflectors",
        Meaning::Forged => "forged",
        Meaning::Hidden => "hidden",
        Meaning::Undetermined => "undetermined",
    }
}

/// The word for a level of confidence.
pub(crate) fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Low => "low",
        Confidence::Moderate => "moderate",
        Confidence::High => "high",
    }
}

/// Six decimals: more would be noise, and less would lose small countries.
pub(crate) fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

pub(crate) fn share(share: Share) -> Value {
    json!({ "estimate": round(share.estimate), "low": round(share.low), "high": round(share.high) })
}

/// RFC 3339 in UTC, with as many decimals as needed.
pub(crate) fn time(ns: u64) -> String {
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    stamp.to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(super::time(1_741_600_000_000_000_000), "2025-03-10T09:46:40Z");
        assert_eq!(super::time(1_741_600_000_123_000_000), "2025-03-10T09:46:40.123Z");
        assert_eq!(super::time(0), "1970-01-01T00:00:00Z");
    }
}
