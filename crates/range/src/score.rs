//! How right was a case, against the truth?
//!
//! Both are JSON: `epicenter.case/1`, of this program or another, and `epicenter.truth/1`. An incident of the case belongs to the
//! first one of the truth whose target overlaps with its own and whose time does; each of the truth's counts once.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use atlas::Prefix;
use serde::Serialize;
use serde_json::Value;

/// Shares of the truth below this are not asked for: a case lists no more than it can tell.
const ASKED_FROM: f64 = 0.005;
/// Shares of vectors from which on a vector must be named.
const NAMED_FROM: f64 = 0.05;
/// Printed numbers are rounded.
const ROUNDING: f64 = 1e-4;

/// How right a case was.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct Score {
    /// Incidents of the truth that the case has.
    pub found: u64,
    /// Incidents of the truth that it does not have.
    pub missed: u64,
    /// Incidents of the case that never were.
    pub invented: u64,
    /// What was found, one by one.
    pub incidents: Vec<Match>,
}

/// An incident that was found.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct Match {
    /// The truth's target.
    pub target: String,
    /// Whether the case has exactly this target.
    pub target_is_right: bool,
    /// Seconds by which the start is too late.
    pub start_error_s: f64,
    /// Seconds by which the end is too late.
    pub end_error_s: f64,
    /// Packets of the case over those of the truth.
    pub packets_ratio: f64,
    /// Vectors that are right.
    pub vectors_right: u64,
    /// Vectors that are missing.
    pub vectors_missing: u64,
    /// Vectors that never were.
    pub vectors_invented: u64,
    /// The estimate of the forged share less the true one.
    pub forged_error: f64,
    /// Whether the truth is in its interval.
    pub forged_covered: bool,
    /// Width of that interval.
    pub forged_width: f64,
    /// The same for the reflected share.
    pub reflected_error: f64,
    /// Whether the truth is in its interval.
    pub reflected_covered: bool,
    /// Countries with half a percent or more whose true share is in its interval; an interval that is not given covers nothing.
    pub countries_covered: u64,
    /// How many there are.
    pub countries: u64,
    /// Half the sum of the differences of all countries' shares.
    pub countries_distance: f64,
    /// Networks, likewise.
    pub networks_covered: u64,
    /// How many there are.
    pub networks: u64,
}

/// Scores a case.
///
/// # Errors
///
/// What is missing in the case or in the truth.
pub fn score(case: &Value, truth: &Value) -> Result<Score, String> {
    let list = |value: &Value, what: &str| -> Result<Vec<Value>, String> {
        let schema = value["schema"].as_str().unwrap_or("none");
        if schema != what {
            return Err(format!("the schema is {schema:?}, wanted is {what:?}"));
        }
        value["incidents"]
            .as_array()
            .cloned()
            .ok_or_else(|| format!("{what}: there are no `incidents`"))
    };
    let theirs = list(case, "epicenter.case/1").map_err(|problem| format!("the case: {problem}"))?;
    let truths = list(truth, "epicenter.truth/1").map_err(|problem| format!("the truth: {problem}"))?;
    let mut score = Score::default();
    let mut taken = vec![false; truths.len()];
    for incident in &theirs {
        let found = truths.iter().position(|truth| belongs(incident, truth));
        match found {
            Some(at) if !taken[at] => {
                taken[at] = true;
                score.found += 1;
                score.incidents.push(compared(incident, &truths[at]));
            }
            // A second incident for the same attack is one too many.
            _ => score.invented += 1,
        }
    }
    score.missed = taken.iter().filter(|taken| !**taken).count() as u64;
    Ok(score)
}

fn prefix(text: &str) -> Option<Prefix> {
    let host = text
        .parse::<std::net::Ipv4Addr>()
        .map(|v4| Prefix::of(v4.to_ipv6_mapped(), 128));
    let host = host.or_else(|_| text.parse::<Ipv6Addr>().map(|v6| Prefix::of(v6, 128)));
    host.ok().or_else(|| text.parse().ok())
}

fn seconds(value: &Value) -> Option<f64> {
    let time: jiff::Timestamp = value.as_str()?.parse().ok()?;
    Some(time.as_nanosecond() as f64 / 1e9)
}

fn belongs(incident: &Value, truth: &Value) -> bool {
    let of = |value: &Value| value.as_str().and_then(prefix);
    let (Some(a), Some(b)) = (of(&incident["target"]["prefix"]), of(&truth["target"])) else {
        return false;
    };
    let overlap = a.contains(b.base) || b.contains(a.base);
    let (Some(start), Some(true_start), Some(true_end)) = (
        seconds(&incident["start"]),
        seconds(&truth["start"]),
        seconds(&truth["end"]),
    ) else {
        return false;
    };
    let end = seconds(&incident["end"]).unwrap_or(f64::INFINITY);
    overlap && start <= true_end && end >= true_start
}

/// Estimate, low and high of a share in a case.
fn interval(value: &Value) -> Option<[f64; 3]> {
    Some([
        value["estimate"].as_f64()?,
        value["low"].as_f64()?,
        value["high"].as_f64()?,
    ])
}

fn covers(interval: [f64; 3], truth: f64) -> bool {
    (interval[1] - ROUNDING..=interval[2] + ROUNDING).contains(&truth)
}

fn compared(incident: &Value, truth: &Value) -> Match {
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let less = |a: &Value, b: &Value| seconds(a).zip(seconds(b)).map_or(f64::NAN, |(a, b)| a - b);
    let target = truth["target"].as_str().unwrap_or("");
    let mut result = Match {
        target: target.to_owned(),
        target_is_right: incident["target"]["prefix"].as_str().and_then(prefix) == prefix(target),
        start_error_s: less(&incident["start"], &truth["start"]),
        end_error_s: less(&incident["end"], &truth["end"]),
        packets_ratio: number(&incident["total"]["packets"]) / number(&truth["packets"]).max(1.0),
        ..Match::default()
    };
    let empty = Vec::new();
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_else(|| empty.clone());
    let said: Vec<String> = list(&incident["vectors"])
        .iter()
        .filter_map(|vector| vector["name"].as_str().map(str::to_owned))
        .collect();
    let real: Vec<(String, f64)> = list(&truth["vectors"])
        .iter()
        .map(|vector| {
            (
                vector["name"].as_str().unwrap_or("").to_owned(),
                number(&vector["share"]),
            )
        })
        .collect();
    for (name, share) in &real {
        match said.contains(name) {
            true => result.vectors_right += 1,
            false if *share >= NAMED_FROM => result.vectors_missing += 1,
            false => {}
        }
    }
    result.vectors_invented = said
        .iter()
        .filter(|name| real.iter().all(|(real, _)| real != *name))
        .count() as u64;
    let sources = &incident["sources"];
    if let Some(forged) = interval(&sources["forged"]) {
        let real = number(&truth["forged"]);
        result.forged_error = forged[0] - real;
        result.forged_covered = covers(forged, real);
        result.forged_width = forged[2] - forged[1];
    }
    if let Some(reflected) = interval(&sources["reflected"]) {
        let real = number(&truth["reflected"]);
        result.reflected_error = reflected[0] - real;
        result.reflected_covered = covers(reflected, real);
    }
    let shares = |rows: &[Value], key: &str| -> BTreeMap<String, [f64; 3]> {
        rows.iter()
            .filter_map(|row| Some((row[key].to_string(), interval(&row["share"])?)))
            .collect()
    };
    let real = |rows: &[Value]| -> BTreeMap<String, f64> {
        rows.iter()
            .map(|row| (row["key"].to_string(), number(&row["share"])))
            .collect()
    };
    let coverage = |said: &BTreeMap<String, [f64; 3]>, real: &BTreeMap<String, f64>| -> (u64, u64) {
        let asked = real.iter().filter(|(_, share)| **share >= ASKED_FROM);
        asked.fold((0, 0), |(covered, all), (key, share)| {
            let is_covered = said.get(key).is_some_and(|interval| covers(*interval, *share));
            (covered + u64::from(is_covered), all + 1)
        })
    };
    let (said, true_shares) = (
        shares(&list(&sources["countries"]), "code"),
        real(&list(&truth["countries"])),
    );
    (result.countries_covered, result.countries) = coverage(&said, &true_shares);
    let keys: std::collections::BTreeSet<&String> = said.keys().chain(true_shares.keys()).collect();
    result.countries_distance = keys
        .iter()
        .map(|key| {
            (said.get(*key).map_or(0.0, |s| s[0]) - true_shares.get(*key).copied().unwrap_or(0.0)).abs()
        })
        .sum::<f64>()
        / 2.0;
    let (said, true_shares) = (
        shares(&list(&sources["networks"]), "asn"),
        real(&list(&truth["networks"])),
    );
    (result.networks_covered, result.networks) = coverage(&said, &true_shares);
    result
}
