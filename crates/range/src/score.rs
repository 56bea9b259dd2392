//! How right was a case, against the truth?
//!
//! Both are JSON: `epicenter.case/1`, of this program or another, and `epicenter.truth/1`. An attack of the case belongs to the
//! one of the truth whose target overlaps with its own and whose time does, best to that with the same target; each counts once. An
//! outage of the case belongs to all of the truth's of the same service that it overlaps: waves that follow each other may be one or
//! several. One that the case itself lays to a neighbour or a brigade is right where that is so, though the service had none.
//! A verdict belongs to the claim of the same words.

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
    /// Outages.
    pub outages: Outages,
    /// Verdicts on claims.
    pub verdicts: Verdicts,
    /// Every probability that the case states of something whose truth is known, and whether it is so: of claims, and of countries
    /// to have most of the senders or more than any other.
    pub probabilities: Vec<(f64, bool)>,
}

/// How right a case was about outages; nothing where it had neither reports nor probes to see them in.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct Outages {
    /// Outages of the truth that the case has.
    pub found: u64,
    /// Outages of the truth that it does not have.
    pub missed: u64,
    /// Outages of the case that never were.
    pub invented: u64,
    /// Troubles of the case that were none of the service's, and that it lays to what they were: a neighbour's outage, or a brigade.
    pub seen_through: u64,
    /// What was found, one by one.
    pub list: Vec<OutageMatch>,
}

/// An outage that was found.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct OutageMatch {
    /// The service.
    pub service: String,
    /// Seconds by which the start is too late.
    pub start_error_s: f64,
    /// Seconds by which the end is too late; none where the case has no end.
    pub end_error_s: Option<f64>,
    /// The cause that the case names.
    pub cause: String,
    /// Whether that is one of the causes; none where the case does not know.
    pub cause_is_right: Option<bool>,
}

/// How right verdicts were.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct Verdicts {
    /// Verdicts with a probability, on claims whose truth is known: what the figures below are about.
    pub judged: u64,
    /// Mean square of probability less truth: 0 is best, always saying one half gives 0.25.
    pub brier: Option<f64>,
    /// Verdicts of "likely" or stronger.
    pub likely: u64,
    /// Those of them that were right.
    pub likely_right: u64,
    /// Verdicts of "unlikely" or weaker.
    pub unlikely: u64,
    /// Those of them that were right.
    pub unlikely_right: u64,
    /// Verdicts that the evidence cannot tell, although the truth is known.
    pub declined: u64,
    /// Verdicts on what not even the truth knows.
    pub unknowable: u64,
    /// Claims of the truth without any verdict.
    pub missing: u64,
    /// One by one.
    pub list: Vec<VerdictMatch>,
}

/// A verdict and the truth.
#[derive(Clone, Debug, Default, Serialize, PartialEq)]
pub struct VerdictMatch {
    /// What was claimed.
    pub said: String,
    /// The verdict's words.
    pub words: String,
    /// Its probability.
    pub probability: Option<f64>,
    /// Whether it is so, where that is known.
    pub holds: Option<bool>,
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
    /// Countries of real senders, likewise, where the case tells them apart.
    pub senders_covered: u64,
    /// How many there are.
    pub senders: u64,
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
    let (outages, attacks): (Vec<&Value>, Vec<&Value>) = theirs
        .iter()
        .filter(|incident| incident["kind"] != "connectivity")
        .partition(|incident| incident["kind"] == "outage");
    let mut score = Score::default();
    let mut taken = vec![false; truths.len()];
    for incident in attacks {
        // Where targets lie in one another, as a host in an attacked prefix, the truth with the same target is meant.
        let all = (0..truths.len()).filter(|&at| belongs(incident, &truths[at]));
        let found = all.min_by_key(|&at| (taken[at], !is_same_target(incident, &truths[at])));
        match found {
            Some(at) if !taken[at] => {
                taken[at] = true;
                score.found += 1;
                score.incidents.push(compared(incident, &truths[at]));
                stated(incident, &truths[at], &mut score.probabilities);
            }
            // A second incident for the same attack is one too many.
            _ => score.invented += 1,
        }
    }
    score.missed = taken.iter().filter(|taken| !**taken).count() as u64;
    // Outages are seen in reports and probes: a case that had none was not asked for them.
    if !outages.is_empty() || !rows(&case["signals"]).is_empty() {
        score.outages = outages_compared(&outages, &rows(&truth["outages"]), &truth["people"]);
    }
    score.verdicts = verdicts_compared(&rows(&case["verdicts"]), &rows(&truth["claims"]));
    let judged = score.verdicts.list.iter();
    score
        .probabilities
        .extend(judged.filter_map(|verdict| Some((verdict.probability?, verdict.holds?))));
    Ok(score)
}

/// The values of a list; none where it is no list.
fn rows(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn outages_compared(theirs: &[&Value], truths: &[Value], people: &Value) -> Outages {
    let mut result = Outages::default();
    let mut taken = vec![false; truths.len()];
    for incident in theirs {
        let target = &incident["target"];
        // Names are better than prefixes: a service of unknown address has that of everything.
        let same = |truth: &Value| match target["service"].as_str() {
            Some(name) => truth["service"] == name,
            None => {
                matches!((target["prefix"].as_str().and_then(prefix), truth["target"].as_str().and_then(prefix)),
                (Some(a), Some(b)) if a.contains(b.base) || b.contains(a.base))
            }
        };
        let all: Vec<usize> = (0..truths.len())
            .filter(|&at| !taken[at] && same(&truths[at]) && overlaps(incident, &truths[at]))
            .collect();
        let (Some(&first), Some(&last)) = (all.first(), all.last()) else {
            match is_seen_through(incident, truths, people) {
                true => result.seen_through += 1,
                false => result.invented += 1,
            }
            continue;
        };
        result.found += all.len() as u64;
        for &at in &all {
            taken[at] = true;
        }
        let cause = incident["cause"]["kind"].as_str().unwrap_or("unknown");
        result.list.push(OutageMatch {
            service: truths[first]["service"].as_str().unwrap_or("").to_owned(),
            start_error_s: less(&incident["start"], &truths[first]["start"]).unwrap_or(f64::NAN),
            end_error_s: less(&incident["end"], &truths[last]["end"]),
            cause: cause.to_owned(),
            cause_is_right: is_cause(cause, all.iter().map(|&at| &truths[at])),
        });
    }
    result.missed = taken.iter().filter(|taken| !**taken).count() as u64;
    result
}

/// Whether an outage has the cause that a case names; none where it names none.
fn is_cause<'a>(cause: &str, mut truths: impl Iterator<Item = &'a Value>) -> Option<bool> {
    let real: &[&str] = match cause {
        "unknown" => return None,
        "attack" => &["attack"],
        // Its own audience is too much for it: nobody else's fault.
        "own-fault" => &["fault", "crowd"],
        _ => &[],
    };
    Some(truths.any(|truth| {
        rows(&truth["causes"])
            .iter()
            .any(|cause| real.iter().any(|name| cause == name))
    }))
}

/// Whether an outage of the case is none of the service's, and the case says so rightly.
fn is_seen_through(incident: &Value, truths: &[Value], people: &Value) -> bool {
    let cause = &incident["cause"];
    match cause["kind"].as_str() {
        Some("neighbour") => truths
            .iter()
            .any(|truth| truth["service"] == cause["service"] && overlaps(incident, truth)),
        Some("brigade") => rows(&people["brigades"]).iter().any(|brigade| {
            brigade["service"] == incident["target"]["service"] && overlaps(incident, brigade)
        }),
        _ => false,
    }
}

/// Words of ICD 203 for what is rather so, and for what is rather not.
const LIKELY: [&str; 3] = ["likely", "very likely", "almost certain"];
const UNLIKELY: [&str; 3] = ["unlikely", "very unlikely", "almost no chance"];

fn verdicts_compared(theirs: &[Value], claims: &[Value]) -> Verdicts {
    let mut result = Verdicts::default();
    let mut squares = 0.0;
    for claim in claims {
        let Some(verdict) = theirs
            .iter()
            .find(|verdict| verdict["claim"]["said"] == claim["said"])
        else {
            result.missing += 1;
            continue;
        };
        let is_assessable = verdict["assessable"] == true;
        let one = VerdictMatch {
            said: claim["said"].as_str().unwrap_or("").to_owned(),
            words: verdict["words"].as_str().unwrap_or("").to_owned(),
            probability: verdict["probability"]["estimate"]
                .as_f64()
                .filter(|_| is_assessable),
            holds: claim["holds"].as_bool(),
        };
        match (one.probability, one.holds) {
            (Some(probability), Some(holds)) => {
                result.judged += 1;
                let error = probability - f64::from(u8::from(holds));
                squares += error * error;
                if LIKELY.contains(&one.words.as_str()) {
                    result.likely += 1;
                    result.likely_right += u64::from(holds);
                }
                if UNLIKELY.contains(&one.words.as_str()) {
                    result.unlikely += 1;
                    result.unlikely_right += u64::from(!holds);
                }
            }
            (None, Some(_)) => result.declined += 1,
            (_, None) => result.unknowable += 1,
        }
        result.list.push(one);
    }
    result.brier = (result.judged > 0).then(|| squares / result.judged as f64);
    result
}

/// What an incident states of its senders' countries as a probability, and whether it is so.
fn stated(incident: &Value, truth: &Value, out: &mut Vec<(f64, bool)>) {
    let truths = rows(&truth["senders"]);
    let Some(first) = truths.first() else {
        return;
    };
    for row in rows(&incident["sources"]["senders"]["countries"]) {
        let share = truths.iter().find(|truth| truth["key"] == row["code"]);
        let share = share.and_then(|truth| truth["share"].as_f64()).unwrap_or(0.0);
        // With fewer countries, who is fifth is nobody's to say.
        let top_five = if truths.len() >= 5 {
            &row["top_five"]
        } else {
            &Value::Null
        };
        for (probability, holds) in [
            (&row["majority"], share > 0.5),
            (&row["first"], first["key"] == row["code"]),
            (
                top_five,
                truths.iter().take(5).any(|truth| truth["key"] == row["code"]),
            ),
        ] {
            out.extend(probability.as_f64().map(|probability| (probability, holds)));
        }
    }
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

/// Seconds from the second time to the first.
fn less(a: &Value, b: &Value) -> Option<f64> {
    Some(seconds(a)? - seconds(b)?)
}

fn overlaps(incident: &Value, truth: &Value) -> bool {
    let (Some(start), Some(true_start), Some(true_end)) = (
        seconds(&incident["start"]),
        seconds(&truth["start"]),
        seconds(&truth["end"]),
    ) else {
        return false;
    };
    let end = seconds(&incident["end"]).unwrap_or(f64::INFINITY);
    start <= true_end && end >= true_start
}

fn is_same_target(incident: &Value, truth: &Value) -> bool {
    incident["target"]["prefix"].as_str().and_then(prefix) == truth["target"].as_str().and_then(prefix)
}

fn belongs(incident: &Value, truth: &Value) -> bool {
    let of = |value: &Value| value.as_str().and_then(prefix);
    let (Some(a), Some(b)) = (of(&incident["target"]["prefix"]), of(&truth["target"])) else {
        return false;
    };
    let overlap = a.contains(b.base) || b.contains(a.base);
    overlap && overlaps(incident, truth)
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
    let target = truth["target"].as_str().unwrap_or("");
    let mut result = Match {
        target: target.to_owned(),
        target_is_right: is_same_target(incident, truth),
        start_error_s: less(&incident["start"], &truth["start"]).unwrap_or(f64::NAN),
        end_error_s: less(&incident["end"], &truth["end"]).unwrap_or(f64::NAN),
        packets_ratio: number(&incident["total"]["packets"]) / number(&truth["packets"]).max(1.0),
        ..Match::default()
    };
    let list = rows;
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
    let senders = &sources["senders"];
    if senders.is_object() {
        let said = list(&senders["countries"])
            .iter()
            .filter_map(|row| Some((row["code"].to_string(), interval(&row["by_packets"])?)))
            .collect();
        (result.senders_covered, result.senders) = coverage(&said, &real(&list(&truth["senders"])));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn scored(case: Value, truth: Value) -> Score {
        let mut case = case;
        let mut truth = truth;
        case["schema"] = json!("epicenter.case/1");
        truth["schema"] = json!("epicenter.truth/1");
        for value in [&mut case, &mut truth] {
            if value["incidents"].is_null() {
                value["incidents"] = json!([]);
            }
        }
        score(&case, &truth).unwrap()
    }

    #[test]
    fn verdicts_are_held_against_what_was_said() {
        let verdict = |said: &str, words: &str, probability: Option<f64>| {
            json!({ "claim": { "said": said }, "assessable": probability.is_some(), "words": words,
                "probability": probability.map(|p| json!({ "estimate": p, "low": 0, "high": 1 })) })
        };
        let case = json!({ "verdicts": [
            verdict("a", "very likely", Some(0.9)),
            verdict("b", "likely", Some(0.7)),
            verdict("c", "almost no chance", Some(0.0)),
            verdict("d", "cannot be assessed from this evidence", None),
            verdict("e", "roughly even chance", Some(0.5)),
            verdict("nobody said this", "likely", Some(0.7)),
        ] });
        let claim = |said: &str, holds: Option<bool>| json!({ "said": said, "holds": holds });
        let truth = json!({ "claims": [
            claim("a", Some(true)), claim("b", Some(false)), claim("c", Some(false)), claim("d", Some(true)),
            claim("e", None), claim("f", Some(true)),
        ] });
        let score = scored(case, truth);
        let verdicts = &score.verdicts;
        assert_eq!(
            (
                verdicts.judged,
                verdicts.declined,
                verdicts.unknowable,
                verdicts.missing
            ),
            (3, 1, 1, 1)
        );
        assert!((verdicts.brier.unwrap() - (0.01 + 0.49) / 3.0).abs() < 1e-9);
        assert_eq!((verdicts.likely, verdicts.likely_right), (2, 1));
        assert_eq!((verdicts.unlikely, verdicts.unlikely_right), (1, 1));
        assert_eq!(score.probabilities, [(0.9, true), (0.7, false), (0.0, false)]);
    }

    #[test]
    fn outages_are_found_missed_and_invented() {
        let incident = |service: &str, start: &str, end: Option<&str>| json!({ "kind": "outage", "target": { "prefix": "0.0.0.0/0", "service": service }, "start": start, "end": end });
        let outage =
            |service: &str, start: &str, end: &str| json!({ "service": service, "start": start, "end": end });
        let (t9, t10, t11, t12, t13) = (
            "2025-03-10T09:00:00Z",
            "2025-03-10T10:00:00Z",
            "2025-03-10T11:00:00Z",
            "2025-03-10T12:00:00Z",
            "2025-03-10T13:00:00Z",
        );
        let case = json!({ "incidents": [
            incident("x", "2025-03-10T09:02:00Z", Some("2025-03-10T12:30:00Z")),
            incident("x", t12, None),
            incident("y", t9, None),
        ] });
        let truth = json!({ "outages": [
            outage("x", t9, t10), outage("x", t11, t12), outage("y", t9, t10), outage("z", t12, t13),
        ] });
        let score = scored(case, truth);
        // The first covers both waves; the second says the last of them again.
        assert_eq!(
            (score.outages.found, score.outages.missed, score.outages.invented),
            (3, 1, 1)
        );
        assert_eq!(score.outages.list[0].start_error_s, 120.0);
        assert_eq!(score.outages.list[0].end_error_s, Some(1_800.0));
        assert_eq!(score.outages.list[1].end_error_s, None);
        // An outage is no attack that was invented.
        assert_eq!(score.invented, 0);
    }

    #[test]
    fn causes_are_right_or_wrong_and_what_is_no_outage_may_be_seen_through() {
        let (from, to) = ("2025-03-10T09:00:00Z", "2025-03-10T10:00:00Z");
        let incident = |service: &str, cause: Value| json!({ "kind": "outage", "target": { "prefix": "::/0", "service": service }, "start": from, "end": to, "cause": cause });
        let kind = |kind: &str| json!({ "kind": kind });
        let case = json!({ "incidents": [
            incident("x", kind("attack")),
            incident("fault", kind("attack")),
            incident("crowd", kind("own-fault")),
            incident("dark", kind("unknown")),
            incident("y", json!({ "kind": "neighbour", "service": "x" })),
            incident("z", json!({ "kind": "neighbour", "service": "y" })),
            incident("b", kind("brigade")),
            incident("c", kind("brigade")),
        ] });
        let outage = |service: &str, causes: &[&str]| json!({ "service": service, "start": from, "end": to, "causes": causes });
        let truth = json!({
            "outages": [
                outage("x", &["crowd", "attack"]), outage("fault", &["fault"]), outage("crowd", &["crowd"]), outage("dark", &["cut"]),
            ],
            "people": { "brigades": [{ "service": "b", "start": "2025-03-10T09:10:00Z", "end": "2025-03-10T09:30:00Z" }] },
        });
        let outages = scored(case, truth).outages;
        assert_eq!((outages.found, outages.missed), (4, 0));
        let causes: Vec<Option<bool>> = outages.list.iter().map(|one| one.cause_is_right).collect();
        assert_eq!(causes, [Some(true), Some(false), Some(true), None]);
        // Of z nothing is wrong and of y neither, and nobody lied about c.
        assert_eq!((outages.seen_through, outages.invented), (2, 2));
    }

    #[test]
    fn outages_are_asked_for_where_people_or_probes_told() {
        let truth = || json!({ "outages": [{ "service": "x", "start": "2025-03-10T09:00:00Z", "end": "2025-03-10T10:00:00Z" }] });
        assert_eq!(
            scored(json!({ "signals": [] }), truth()).outages,
            Outages::default()
        );
        assert_eq!(
            scored(json!({ "signals": [{ "reports": 9 }] }), truth())
                .outages
                .missed,
            1
        );
    }

    #[test]
    fn senders_are_held_against_the_real_ones() {
        let times = |mut value: Value| {
            value["start"] = json!("2025-03-10T09:00:00Z");
            value["end"] = json!("2025-03-10T10:00:00Z");
            value
        };
        let row = |code: &str, low: f64, high: f64, majority: f64, first: f64| {
            json!({ "code": code, "by_packets": { "estimate": (low + high) / 2.0, "low": low, "high": high },
                "majority": majority, "first": first })
        };
        let case = json!({ "incidents": [times(json!({
            "kind": "ddos", "target": { "prefix": "192.0.2.1/32" },
            "sources": { "senders": { "countries": [row("VN", 0.5, 0.7, 0.97, 1.0), row("BR", 0.3, 0.35, 0.0, 0.0)] } },
        }))] });
        let truth = json!({ "incidents": [times(json!({
            "target": "192.0.2.1", "senders": [{ "key": "VN", "share": 0.6 }, { "key": "BR", "share": 0.4 }],
        }))] });
        let score = scored(case, truth);
        assert_eq!(
            (score.incidents[0].senders_covered, score.incidents[0].senders),
            (1, 2)
        );
        assert_eq!(
            score.probabilities,
            [(0.97, true), (1.0, true), (0.0, false), (0.0, false)]
        );
    }
}
