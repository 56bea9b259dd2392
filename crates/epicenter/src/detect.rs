//! `epicenter detect`: the change detector alone, on any series.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Context;
use detect::surge::{Side, Sides};
use serde_json::{Value, json};

use crate::args::{DetectArgs, DetectFormat, KindArg, SideArg};
use crate::detection::{Detection, How, Incident, Kind, Wave, judge};
use crate::{chart, series, tell};

/// Columns of a sparkline.
const SPARK: usize = 88;

/// Runs the command.
pub(crate) fn run(args: &DetectArgs) -> anyhow::Result<ExitCode> {
    let how = How {
        kind: match args.kind {
            KindArg::Auto => None,
            KindArg::Count => Some(Kind::Count),
            KindArg::Metric => Some(Kind::Metric),
        },
        sides: match args.side {
            SideArg::Up => Sides::Up,
            SideArg::Down => Sides::Down,
            SideArg::Both => Sides::Both,
        },
        budget_per_day: args.budget,
        step_s: args.step,
    };
    let (mut all, mut unread) = (Vec::new(), 0);
    for path in &args.series {
        match series::read(path, args.step) {
            Ok(read) => all.extend(read),
            Err(problem) => {
                unread += 1;
                tell(&problem);
            }
        }
    }
    let mut detections = Vec::new();
    for judged in judged(all, &how, usize::from(args.threads)) {
        match judged {
            Ok(detection) => detections.push(detection),
            Err(problem) => {
                unread += 1;
                tell(&problem);
            }
        }
    }
    for detection in &detections {
        for fault in &detection.series.faults {
            tell(&format!("{}: {fault}", detection.series.name));
        }
    }
    if !detections.is_empty() {
        let text = match args.format {
            DetectFormat::Text => text(&detections, &how, wide(args)),
            DetectFormat::Json => format!("{:#}\n", json(&detections, &how)),
            DetectFormat::Csv => csv(&detections)?,
            DetectFormat::Html => chart::series(&detections, &how),
        };
        match &args.output {
            Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string())?,
            None => {
                let mut out = std::io::stdout().lock();
                out.write_all(text.as_bytes())?;
                out.flush()?;
            }
        }
    }
    Ok(if unread > 0 {
        ExitCode::from(1)
    } else {
        ExitCode::SUCCESS
    })
}

/// Judges all series on so many threads; the results are in the order of the series, whoever judged them.
fn judged(all: Vec<series::Series>, how: &How, threads: usize) -> Vec<Result<Detection, String>> {
    let jobs: Vec<_> = all
        .into_iter()
        .map(|series| std::sync::Mutex::new(Some(series)))
        .collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let results: std::sync::Mutex<Vec<(usize, Result<Detection, String>)>> =
        std::sync::Mutex::new(Vec::new());
    let work = || {
        loop {
            let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(job) = jobs.get(at) else { return };
            let taken = job
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take();
            if let Some(series) = taken {
                let result = judge(series, how);
                let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                results.push((at, result));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(jobs.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut results = results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// A time as people write it.
pub(crate) fn time(seconds: f64) -> String {
    let nanos = (seconds * 1e3).round() as i128 * 1_000_000;
    jiff::Timestamp::from_nanosecond(nanos).map_or_else(|_| format!("{seconds}"), |time| time.to_string())
}

pub(crate) fn side_name(kind: Kind, side: Side) -> &'static str {
    match (kind, side) {
        (Kind::Count, Side::Up) => "surge",
        (Kind::Count, Side::Down) => "silence",
        (Kind::Metric, Side::Up) => "rise",
        (Kind::Metric, Side::Down) => "fall",
    }
}

/// N false incidents, in words.
pub(crate) fn budget_words(per_day: f64) -> String {
    let a_year = number(per_day * 365.0);
    format!(
        "{a_year} false incident{} a year",
        if a_year == "1" { "" } else { "s" }
    )
}

/// Three digits, and no more zeros than needed.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let text = match () {
        () if value == 0.0 => return "0".to_owned(),
        () if !(1e-4..1e15).contains(&size) => return format!("{value:.2e}"),
        () if size >= 100.0 => return format!("{value:.0}"),
        () if size >= 10.0 => format!("{value:.1}"),
        () if size >= 1.0 => format!("{value:.2}"),
        () => format!("{value:.4}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How sure: in words that name what the number rests on.
pub(crate) fn doubt(incident: &Incident) -> String {
    match incident.by_chance_a_year {
        Some(rate) if rate < 1e-6 => "by chance less than once in a million years".to_owned(),
        Some(rate) if rate < 0.1 => format!("by chance once in {} years at most", number(1.0 / rate)),
        Some(rate) => format!("by chance {} times a year at most", number(rate)),
        None => "no rate of false alarms is known for metrics".to_owned(),
    }
}

pub(crate) fn size(detection: &Detection, wave: &Wave) -> String {
    let peak = &detection.series.rows[wave.peak];
    let expected = usual(detection, wave).unwrap_or(0.0);
    match detection.kind {
        Kind::Count => format!(
            "{} {} than expected; worst {} where {} were expected, at {}",
            number(wave.excess.max(0.0)),
            if wave.side == Side::Up { "more" } else { "fewer" },
            number(peak.value),
            number(expected),
            time(peak.time)
        ),
        Kind::Metric => format!(
            "worst {} where {} is usual, at {}",
            number(peak.value),
            number(expected),
            time(peak.time)
        ),
    }
}

fn wide(args: &DetectArgs) -> bool {
    args.output.is_none()
        && std::io::stdout().is_terminal()
        && ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
            .is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

fn text(detections: &[Detection], how: &How, wide: bool) -> String {
    let mut out = String::new();
    let affected = detections.iter().filter(|d| !d.incidents.is_empty()).count();
    if detections.len() > 1 {
        let _ = writeln!(out, "{affected} of {} series have incidents.\n", detections.len());
    }
    for detection in detections {
        let rows = &detection.series.rows;
        let (first, last) = (
            rows.first().map_or(0.0, |r| r.time),
            rows.last().map_or(0.0, |r| r.time),
        );
        let _ = writeln!(
            out,
            "{}: {} in {} rows ({}, steps of {} s) from {} to {}",
            detection.series.name,
            match detection.incidents.len() {
                0 => "nothing wrong".to_owned(),
                1 => "1 incident".to_owned(),
                n => format!("{n} incidents"),
            },
            rows.len(),
            detection.kind.name(),
            number(detection.step_s),
            time(first),
            time(last)
        );
        if rows.len() < 8 {
            let _ = writeln!(
                out,
                "  too few rows to say anything: the first two hours (six rows at least) are learnt"
            );
        }
        spark(&mut out, detection, wide);
        for incident in &detection.incidents {
            let end = incident.end().map_or("(still running)".to_owned(), time);
            let _ = writeln!(
                out,
                "  {} from {} to {end}: {}",
                side_name(detection.kind, incident.waves[0].side),
                time(incident.onset()),
                doubt(incident)
            );
            for wave in &incident.waves {
                let label = if incident.waves.len() > 1 {
                    "wave at"
                } else {
                    "told at"
                };
                let _ = writeln!(
                    out,
                    "    {label} {}, {} after its onset; {}; {}",
                    time(wave.detected),
                    span(wave.detected - wave.onset),
                    size(detection, wave),
                    wave.how
                );
            }
        }
        let _ = writeln!(out);
    }
    match detections.iter().find_map(|d| d.guard) {
        Some(_) => {
            let _ = writeln!(
                out,
                "Budget: {} for each series, if the baseline is right{}.",
                budget_words(how.budget_per_day),
                if how.sides == Sides::Both {
                    ", both sides together"
                } else {
                    ""
                }
            );
            for detection in detections {
                if let Some(guard) = detection.guard.filter(|guard| *guard > 1.3) {
                    let _ = writeln!(
                        out,
                        "  {}: jumps by itself more than its season explains; only what is above {} times the expected counts now.",
                        detection.series.name,
                        number(guard)
                    );
                }
            }
        }
        None => out.push_str(
            "Metrics have no budget of false incidents: each alarm makes the next one harder to raise.\n",
        ),
    }
    out
}

fn span(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{} s", number(s)),
        s if s < 7_200.0 => format!("{} min", number(s / 60.0)),
        s if s < 172_800.0 => format!("{} h", number(s / 3_600.0)),
        s => format!("{} days", number(s / 86_400.0)),
    }
}

/// The series in one line, and under it where its incidents are.
fn spark(out: &mut String, detection: &Detection, wide: bool) {
    let rows = &detection.series.rows;
    let values = || rows.iter().map(|row| row.value).filter(|value| !value.is_nan());
    let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| {
        (l.min(v), h.max(v))
    });
    if rows.len() < 8 || low > high {
        return;
    }
    let levels: Vec<char> = if wide {
        "▁▂▃▄▅▆▇█"
    } else {
        ".:-=+*#@"
    }
    .chars()
    .collect();
    let columns = SPARK.min(rows.len());
    let (mut line, mut marks) = (String::new(), String::new());
    for column in 0..columns {
        let (from, to) = (column * rows.len() / columns, (column + 1) * rows.len() / columns);
        let part = &rows[from..to];
        let most = part
            .iter()
            .map(|row| row.value)
            .filter(|v| !v.is_nan())
            .fold(f64::NEG_INFINITY, f64::max);
        line.push(if most == f64::NEG_INFINITY {
            ' '
        } else {
            let place = if high > low {
                (most - low) / (high - low)
            } else {
                0.0
            };
            levels[((place * (levels.len() - 1) as f64).round() as usize).min(levels.len() - 1)]
        });
        let inside = detection
            .incidents
            .iter()
            .flat_map(|incident| &incident.waves)
            .any(|wave| {
                let end = wave.end.unwrap_or(f64::INFINITY);
                part.iter().any(|row| (wave.onset..=end).contains(&row.time))
            });
        marks.push(if inside { '^' } else { ' ' });
    }
    let _ = writeln!(out, "  {line}");
    let _ = writeln!(
        out,
        "  {}",
        format!("{marks:<SPARK$}  {} to {}", number(low), number(high)).trim_end()
    );
}

fn csv(detections: &[Detection]) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let many = detections.len() > 1;
    let head = ["timestamp", "value", "expected", "low", "high", "score", "state"];
    let series = many.then_some("series");
    writer.write_record(series.into_iter().chain(head))?;
    let text = |value: Option<f64>| {
        value
            .filter(|v| !v.is_nan())
            .map_or(String::new(), |v| v.to_string())
    };
    for detection in detections {
        for (row, judged) in detection.series.rows.iter().zip(&detection.rows) {
            let (low, high) = (judged.ordinary.map(|o| o.0), judged.ordinary.map(|o| o.1));
            let fields = [
                row.stamp.to_string(),
                text(Some(row.value)),
                text(judged.expected),
                text(low),
                text(high),
                judged.score.to_string(),
                judged.state.to_owned(),
            ];
            let name = many.then(|| detection.series.name.clone());
            writer.write_record(name.into_iter().chain(fields))?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// `epicenter.detection/1`.
fn json(detections: &[Detection], how: &How) -> Value {
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    json!({
        "schema": "epicenter.detection/1",
        "budget_per_year": how.budget_per_day * 365.0,
        "series": detections.iter().map(|detection| {
            let rows = &detection.series.rows;
            let judged = &detection.rows;
            json!({
                "name": detection.series.name,
                "kind": detection.kind.name(),
                "step_seconds": detection.step_s,
                "rows": rows.len(),
                "guard": detection.guard,
                "log_threshold": { "surge": detection.log_thresholds.0, "silence": detection.log_thresholds.1 },
                "faults": detection.series.faults,
                "incidents": detection.incidents.iter().map(|incident| json!({
                    "side": side_name(detection.kind, incident.waves[0].side),
                    "onset": time(incident.onset()),
                    "detected": time(incident.waves[0].detected),
                    "end": incident.end().map(time),
                    "ongoing": incident.end().is_none(),
                    "peak": peak(detection, incident.worst()),
                    "size": incident.waves.iter().map(|wave| wave.excess.max(0.0)).sum::<f64>(),
                    "by_chance_a_year": incident.by_chance_a_year,
                    "waves": incident.waves.iter().map(|wave| json!({
                        "onset": time(wave.onset),
                        "detected": time(wave.detected),
                        "end": wave.end.map(time),
                        "how_it_ended": wave.how,
                        "peak": peak(detection, wave),
                        "size": wave.excess.max(0.0),
                        "log_evidence": finite(wave.log_evidence),
                    })).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
                "steps": {
                    "timestamp": rows.iter().map(|row| &*row.stamp).collect::<Vec<_>>(),
                    "value": rows.iter().map(|row| finite(Some(row.value))).collect::<Vec<_>>(),
                    "expected": judged.iter().map(|row| row.expected).collect::<Vec<_>>(),
                    "low": judged.iter().map(|row| row.ordinary.map(|o| o.0)).collect::<Vec<_>>(),
                    "high": judged.iter().map(|row| row.ordinary.map(|o| o.1)).collect::<Vec<_>>(),
                    "score": judged.iter().map(|row| row.score).collect::<Vec<_>>(),
                    "state": judged.iter().map(|row| row.state).collect::<Vec<_>>(),
                },
            })
        }).collect::<Vec<_>>(),
    })
}

/// What was expected of the row that was farthest off; for a metric, whose mean follows the values, what was expected at its onset.
fn usual(detection: &Detection, wave: &Wave) -> Option<f64> {
    let at = match detection.kind {
        Kind::Count => wave.peak,
        Kind::Metric => detection.series.rows.partition_point(|row| row.time < wave.onset),
    };
    detection.rows.get(at).and_then(|row| row.expected)
}

fn peak(detection: &Detection, wave: &Wave) -> Value {
    let row = &detection.series.rows[wave.peak];
    json!({ "at": time(row.time), "value": row.value, "expected": usual(detection, wave) })
}
