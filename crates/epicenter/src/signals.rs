//! Problem reports and probe results: JSON lines, `epicenter.report/1` and `epicenter.probe/1`, plain or compressed.
//!
//! One object a line, in any order of time. Lines that are neither are counted as faults, and the others are used.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

use atlas::Country;
use incident::case::{InputFault, Signals};
use incident::outage::{News, Probe, Report, Watch};
use serde::Deserialize;

use crate::input::Source;
use crate::series;

/// Reports and probes of all files together.
pub(crate) const SIGNALS_MAX: usize = 20_000_000;
/// Bytes of a line.
const LINE_MAX: usize = 1 << 16;
/// Bytes of a name of a service, symptom or place.
const NAME_MAX: usize = 200;
/// False outages allowed for each service: one a year.
pub(crate) const BUDGET_PER_DAY: f64 = 1.0 / 365.0;
/// How far into a file its kind is looked for.
const HEAD: usize = 4_096;

/// What is read of a line.
#[derive(Deserialize)]
struct Line {
    schema: String,
    at: String,
    service: String,
    #[serde(default)]
    symptom: String,
    #[serde(default)]
    country: String,
    #[serde(default)]
    network: u32,
    #[serde(default)]
    person: serde_json::Value,
    #[serde(default)]
    place: String,
    ok: Option<bool>,
}

/// A report or a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Report(Report),
    Probe(Probe),
}

impl Signal {
    pub(crate) fn at_ns(&self) -> u64 {
        match self {
            Signal::Report(report) => report.at_ns,
            Signal::Probe(probe) => probe.at_ns,
        }
    }
}

/// Whether a source holds reports or probes: by its first line, compressed or not. Standard input is never asked, since what is taken
/// from it is gone.
pub(crate) fn is_signals(source: &Source) -> bool {
    if !source.lasts() {
        return false;
    }
    let Ok(opened) = source.open() else {
        return false;
    };
    let Ok(opened) = series::unpacked(opened) else {
        return false;
    };
    let mut head = Vec::new();
    // A file that cannot be unpacked is told by whoever reads it.
    let _ = opened.take(HEAD as u64).read_to_end(&mut head);
    let first = head
        .split(|byte| *byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty());
    first.is_some_and(|line| {
        line.trim_ascii_start().starts_with(b"{")
            && ["epicenter.report/", "epicenter.probe/"]
                .iter()
                .any(|schema| line.windows(schema.len()).any(|part| part == schema.as_bytes()))
    })
}

/// Reads a source and adds what it holds.
///
/// # Errors
///
/// A line for people, where it cannot be read at all.
pub(crate) fn read(source: &Source, signals: &mut Vec<Signal>) -> Result<Signals, String> {
    let name = source.name.clone();
    let opened = source.open().map_err(|error| format!("{name}: {error}"))?;
    let opened = series::unpacked(opened).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    let mut told = parse(opened, signals);
    told.name = name;
    Ok(told)
}

pub(crate) fn parse(source: impl Read, signals: &mut Vec<Signal>) -> Signals {
    let mut told = Signals::default();
    let mut faults: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    let mut source = BufReader::with_capacity(1 << 18, source);
    let mut line = Vec::new();
    let mut offset = 0u64;
    loop {
        line.clear();
        let read = match source
            .by_ref()
            .take(LINE_MAX as u64 + 1)
            .read_until(b'\n', &mut line)
        {
            Ok(0) => break,
            Ok(read) => read as u64,
            Err(_) => {
                faults.entry("input-broken").or_insert((0, offset)).0 += 1;
                break;
            }
        };
        let began = offset;
        offset += read;
        let mut wrong = |reason: &'static str| faults.entry(reason).or_insert((0, began)).0 += 1;
        if line.len() > LINE_MAX {
            wrong("line-too-long");
            match skip_line(&mut source) {
                Ok(skipped) => offset += skipped,
                Err(_) => break,
            }
            continue;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if signals.len() >= SIGNALS_MAX {
            wrong("too-many-signals");
            break;
        }
        match signal(&line, signals.len() as u64) {
            Ok(signal) => {
                let at_ns = signal.at_ns();
                told.first_ns = Some(told.first_ns.map_or(at_ns, |first| first.min(at_ns)));
                told.last_ns = Some(told.last_ns.map_or(at_ns, |last| last.max(at_ns)));
                match signal {
                    Signal::Report(_) => told.reports += 1,
                    Signal::Probe(_) => told.probes += 1,
                }
                signals.push(signal);
            }
            Err(reason) => wrong(reason),
        }
    }
    told.faults = faults
        .into_iter()
        .map(|(reason, (count, first_offset))| InputFault {
            reason,
            count,
            first_offset,
        })
        .collect();
    told
}

/// Passes over the rest of a line that is too long to keep.
fn skip_line(source: &mut impl BufRead) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Ok(skipped);
        }
        let (used, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        source.consume(used);
        skipped += used as u64;
        if is_end {
            return Ok(skipped);
        }
    }
}

fn signal(line: &[u8], number: u64) -> Result<Signal, &'static str> {
    let line: Line = serde_json::from_slice(line).map_err(|_| "line-malformed")?;
    let at: jiff::Timestamp = line.at.parse().map_err(|_| "time-malformed")?;
    let at_ns = u64::try_from(at.as_nanosecond()).map_err(|_| "time-malformed")?;
    if line.service.is_empty() {
        return Err("service-missing");
    }
    if [&line.service, &line.symptom, &line.place]
        .iter()
        .any(|name| name.len() > NAME_MAX)
    {
        return Err("name-too-long");
    }
    match line.schema.as_str() {
        "epicenter.report/1" => Ok(Signal::Report(Report {
            at_ns,
            service: line.service,
            country: match line.country.as_bytes() {
                [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Country([*a, *b]),
                _ => Country::UNKNOWN,
            },
            network: line.network,
            symptom: line.symptom,
            person: match &line.person {
                // Without a word about who it is, each report is somebody else's.
                serde_json::Value::Null => detect::conversation::mix(number) | 1 << 63,
                person => self::person(&person.to_string()),
            },
        })),
        "epicenter.probe/1" => Ok(Signal::Probe(Probe {
            at_ns,
            service: line.service,
            place: line.place,
            ok: line.ok.ok_or("result-missing")?,
        })),
        _ => Err("schema-unknown"),
    }
}

/// What stands for a person, from how a line names it.
pub(crate) fn person(written: &str) -> u64 {
    written
        .bytes()
        .fold(0, |hash, byte| detect::conversation::mix(hash ^ u64::from(byte)))
}

/// Gives all signals to a watch, in order of time, and judges each minute up to the last.
pub(crate) fn watch(mut signals: Vec<Signal>, news: &mut Vec<News>) -> Watch {
    // Stable: what came first in the files stays first.
    signals.sort_by_key(Signal::at_ns);
    let has_probes = signals.iter().any(|signal| matches!(signal, Signal::Probe(_)));
    let mut watch = Watch::new(has_probes, BUDGET_PER_DAY);
    for signal in &signals {
        watch.step(signal.at_ns(), news);
        match signal {
            Signal::Report(report) => watch.report(report),
            Signal::Probe(probe) => watch.probe(probe),
        }
    }
    if let Some(last) = signals.last() {
        // The minute of the last signal is over as far as anybody knows.
        watch.step(last.at_ns() + 60_000_000_000, news);
    }
    watch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lines_are_used_and_bad_ones_are_counted_by_reason() {
        let long = "x".repeat(LINE_MAX + 10);
        let text = [
            r#"{"schema":"epicenter.report/1","at":"2025-03-10T09:45:00Z","service":"x","symptom":"app","country":"US","network":7922,"person":17}"#,
            "",
            "not JSON",
            r#"{"schema":"epicenter.probe/1","at":"2025-03-10T09:44:00Z","service":"x","place":"ashburn","ok":false,"ms":5000,"error":"timeout"}"#,
            r#"{"schema":"epicenter.probe/1","at":"2025-03-10T09:44:00Z","service":"x","place":"ashburn"}"#,
            r#"{"schema":"epicenter.report/1","at":"yesterday","service":"x"}"#,
            &long,
            r#"{"schema":"epicenter.report/1","at":"2025-03-10T09:46:00+01:00","service":"x","country":"usa"}"#,
            r#"{"schema":"epicenter.report/2","at":"2025-03-10T09:46:00Z","service":"x"}"#,
            r#"{"schema":"epicenter.report/1","at":"2025-03-10T09:46:00Z","service":""}"#,
        ]
        .join("\n");
        let mut signals = Vec::new();
        let told = parse(text.as_bytes(), &mut signals);
        assert_eq!((told.reports, told.probes), (2, 1));
        let faults: Vec<(&str, u64)> = told
            .faults
            .iter()
            .map(|fault| (fault.reason, fault.count))
            .collect();
        assert_eq!(
            faults,
            [
                ("line-malformed", 1),
                ("line-too-long", 1),
                ("result-missing", 1),
                ("schema-unknown", 1),
                ("service-missing", 1),
                ("time-malformed", 1)
            ]
        );
        let Signal::Report(report) = &signals[2] else {
            panic!("{signals:?}")
        };
        assert_eq!(report.country, Country::UNKNOWN);
        assert_eq!(report.at_ns, 1_741_596_360_000_000_000);
    }

    #[test]
    fn persons_by_number_or_word_are_told_apart_and_unknown_ones_are_all_different() {
        let of = |person: &str, number: u64| {
            let line = format!(
                r#"{{"schema":"epicenter.report/1","at":"2025-03-10T09:45:00Z","service":"x"{person}}}"#
            );
            match signal(line.as_bytes(), number) {
                Ok(Signal::Report(report)) => report.person,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(of(r#","person":1"#, 0), of(r#","person":1"#, 5));
        assert_ne!(of(r#","person":1"#, 0), of(r#","person":"one""#, 0));
        assert_ne!(of("", 0), of("", 1));
    }
}
