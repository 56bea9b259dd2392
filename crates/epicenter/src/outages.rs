//! Outages in their printed forms: JSON as an incident of kind `outage`, and lines for people.

use atlas::Prefix;
use incident::case::Share;
use incident::outage::{Cause, Outage, Wave};
use serde_json::{Value, json};

use crate::case_json::{confidence, round, share, time};
use crate::case_text::{count, duration};

/// An outage as an incident of the case. What only traffic can tell is empty or zero, and a service of unknown address has the
/// prefix of everything with no host in it.
pub(crate) fn incident(outage: &Outage) -> Value {
    let nothing = share(Share::default());
    let target = outage.target.map_or_else(
        || json!({ "prefix": "::/0", "hosts": 0, "service": outage.service, "ports": [] }),
        |prefix: Prefix| json!({ "prefix": prefix.to_string(), "hosts": 0, "service": outage.service, "ports": [] }),
    );
    let last = outage.waves.last();
    json!({
        "id": outage.id,
        "kind": "outage",
        "target": target,
        "start": time(outage.start_ns()),
        "end": outage.end_ns().map(time),
        "ongoing": last.is_some_and(|wave| wave.end_ns.is_none()),
        "peak": {
            "at": time(worst(outage).map_or(outage.start_ns(), |wave| wave.peak_ns)),
            "packets_per_second": 0, "bits_per_second": 0, "requests_per_second": null,
            "reports_per_15_minutes": worst(outage).map_or(0, |wave| wave.peak),
        },
        "total": { "packets": 0, "bytes": 0, "requests": null, "reports": outage.reports, "expected_reports": round(outage.expected) },
        "vectors": [],
        "sources": {
            "distinct": 0, "distinct_exact": true, "forged": nothing, "reflected": nothing,
            "countries": [], "networks": [], "prefixes": [], "kinds": [],
        },
        "audience": null,
        "waves": outage.waves.iter().map(|wave| json!({
            "start": time(wave.start_ns),
            "detected": time(wave.detected_ns),
            "end": wave.end_ns.map(time),
            "reports": wave.reports,
            "expected_reports": round(wave.expected),
            "peak": { "at": time(wave.peak_ns), "reports_per_15_minutes": wave.peak },
        })).collect::<Vec<_>>(),
        "reporters": {
            "limited": round(outage.limited),
            "countries": outage.countries.iter().map(|(country, s)| json!({
                "code": country.as_str(), "share": share(*s),
            })).collect::<Vec<_>>(),
            "networks": outage.networks.iter().map(|(asn, s)| json!({ "asn": asn, "share": share(*s) })).collect::<Vec<_>>(),
            "symptoms": outage.symptoms.iter().map(|(symptom, part)| json!({
                "symptom": symptom, "share": round(*part),
            })).collect::<Vec<_>>(),
        },
        "probes": outage.probed.map(|probed| json!({
            "tried": probed.tried, "failed": probed.failed,
            "failing_places": probed.failing_places, "places": probed.places,
        })),
        "cause": {
            "kind": outage.cause.name(),
            "incidents": match &outage.cause { Cause::Attack(ids) => ids.as_slice(), _ => &[] },
            "service": match &outage.cause { Cause::Neighbour(name) => Some(name), _ => None },
            "network": match outage.cause { Cause::Provider(asn) => Some(asn), _ => None },
            "confidence": confidence(outage.cause_confidence),
            "because": outage.because,
        },
        "timeline": {
            "start": time(outage.timeline.start_ns),
            "step_seconds": 60,
            "reports": outage.timeline.reports,
            "expected_reports": outage.timeline.expected.iter().map(|x| (!x.is_nan()).then(|| round(*x))).collect::<Vec<_>>(),
        },
        "confidence": confidence(outage.confidence),
        "caveats": outage.caveats,
    })
}

/// The wave with the most reports in 15 minutes.
fn worst(outage: &Outage) -> Option<&Wave> {
    outage
        .waves
        .iter()
        .max_by_key(|wave| (wave.peak, std::cmp::Reverse(wave.start_ns)))
}

/// How many times the usual, where the usual is known.
pub(crate) fn times(reports: u64, expected: f64) -> String {
    if expected >= 0.5 {
        format!("{:.0} times the usual", reports as f64 / expected)
    } else {
        "where hardly any were expected".to_owned()
    }
}

/// Why, in a few words.
pub(crate) fn cause(cause: &Cause) -> String {
    match cause {
        Cause::Attack(ids) if ids.len() > 1 => format!("{} attacks on it", ids.len()),
        Cause::Attack(_) => "an attack on it".to_owned(),
        Cause::OwnFault => "a fault of its own".to_owned(),
        Cause::Neighbour(name) => format!("trouble of {name}, for which people blame it too"),
        Cause::Provider(asn) => format!("its network, AS{asn}, which took others down with it"),
        Cause::Brigade => "few networks that complain in concert".to_owned(),
        Cause::Unknown => "unknown".to_owned(),
    }
}

/// The outage in one sentence.
pub(crate) fn headline(outage: &Outage) -> String {
    let waves = outage.waves.len();
    let end = match outage.end_ns() {
        Some(end_ns) => format!(
            "to {} ({})",
            clock(end_ns),
            duration(end_ns.saturating_sub(outage.start_ns()))
        ),
        None => "and it is not over".to_owned(),
    };
    let several = if waves > 1 {
        format!(" in {waves} waves")
    } else {
        String::new()
    };
    format!(
        "{} was in trouble from {} {end}{several}: {} reports, {}. Cause: {}.",
        outage.service,
        clock(outage.start_ns()),
        count(outage.reports),
        times(outage.reports, outage.expected),
        cause(&outage.cause),
    )
}

/// Date and time to the minute, in UTC.
pub(crate) fn clock(ns: u64) -> String {
    let text = time(ns);
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute} UTC"),
        _ => text,
    }
}

/// Lines of the page about one outage: what comes first on the line, and the words.
pub(crate) fn lines(outage: &Outage) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    for wave in &outage.waves {
        let end = wave.end_ns.map_or("not over".to_owned(), |end| {
            format!("{}, {}", clock(end), duration(end.saturating_sub(wave.start_ns)))
        });
        lines.push((
            "  wave        ",
            format!(
                "{} to {end}; {} reports, {}; at most {} in 15 minutes, from {}; known after {}",
                clock(wave.start_ns),
                count(wave.reports),
                times(wave.reports, wave.expected),
                count(wave.peak),
                clock(wave.peak_ns),
                duration(wave.detected_ns.saturating_sub(wave.start_ns)),
            ),
        ));
    }
    if !outage.countries.is_empty() {
        let listed: Vec<String> = outage
            .countries
            .iter()
            .take(6)
            .map(|(country, s)| {
                format!(
                    "{} {:.1} % [{:.1}, {:.1}]",
                    country.as_str(),
                    100.0 * s.estimate,
                    100.0 * s.low,
                    100.0 * s.high
                )
            })
            .collect();
        lines.push(("  reporters   ", format!("people in {}", listed.join(", "))));
    }
    if !outage.symptoms.is_empty() {
        let listed: Vec<String> = outage
            .symptoms
            .iter()
            .take(5)
            .map(|(symptom, part)| format!("{symptom} {:.0} %", 100.0 * part))
            .collect();
        lines.push(("  symptoms    ", listed.join(", ")));
    }
    lines.push((
        "  cause       ",
        format!(
            "{}. {} Confidence in that: {}.",
            cause(&outage.cause),
            outage.because.join(" "),
            confidence(outage.cause_confidence)
        ),
    ));
    lines.push((
        "  evidence    ",
        format!("{} confidence", confidence(outage.confidence)),
    ));
    lines.extend(outage.caveats.iter().map(|caveat| ("  ! ", caveat.clone())));
    lines
}
