//! Series as a page: one picture for each.

use std::fmt::Write;

use maud::{Markup, html};

use crate::detect::{budget_words, doubt, number, side_name, size, time};
use crate::detection::{Detection, How, Kind, Wave};
use crate::page::{clean, outside, page, table, words};
use crate::plot::{SIDE, Tick, frame, place};

/// Points of a line at most: two for each column, its lowest and its highest value.
const COLUMNS: usize = 880;

const STYLE: &str = include_str!("../data/series.css");

/// The page.
pub(crate) fn series(detections: &[Detection], how: &How) -> String {
    let affected = detections.iter().filter(|d| !d.incidents.is_empty()).count();
    let body = html! {
        main {
            h1 { (affected) " of " (detections.len()) " series " (if affected == 1 { "has" } else { "have" }) " incidents" }
            p.soft {
                "The line is the series, the band what is ordinary for it, red what is not. For counts the budget is "
                (budget_words(how.budget_per_day)) " for each series, if the baseline is right. Times are UTC."
            }
            @for detection in detections { (one(detection)) }
        }
    };
    page("Epicenter: changes", STYLE, &html! {}, &body)
}

fn one(detection: &Detection) -> Markup {
    let rows = &detection.series.rows;
    let columns = ["what", "onset", "told", "end", "size", "doubt"].map(words);
    html! {
        section {
            h2 { (outside(&detection.series.name)) }
            p {
                @match detection.incidents.len() {
                    0 => span.ok { "nothing wrong" },
                    1 => span.bad { "1 incident" },
                    n => span.bad { (n) " incidents" },
                }
                span.soft { " in " (rows.len()) " rows, " (detection.kind.name()) ", steps of " (number(detection.step_s)) " s" }
            }
            (picture(detection))
            @if !detection.incidents.is_empty() {
                (table("Incidents", &columns, &html! {
                    @for incident in &detection.incidents {
                        @for (n, wave) in incident.waves.iter().enumerate() {
                            (row(detection, wave, if n == 0 { doubt(incident) } else { String::new() }, n == 0))
                        }
                    }
                }))
            }
            @for fault in &detection.series.faults { p.soft { (outside(fault)) } }
        }
    }
}

fn row(detection: &Detection, wave: &Wave, doubt: String, first: bool) -> Markup {
    let what = if first {
        side_name(detection.kind, wave.side)
    } else {
        "its next wave"
    };
    html! {
        tr {
            th.bad scope="row" { (what) }
            td.t { (time(wave.onset)) }
            td.t { (time(wave.detected)) }
            td.t { (wave.end.map_or("still running".to_owned(), time)) }
            td.says { (size(detection, wave)) }
            td.says { (doubt) }
        }
    }
}

/// Lowest and highest value of each column of pixels that has any.
fn columns(values: impl Iterator<Item = (f64, f64)>, first: f64, span: f64) -> Vec<(usize, f64, f64)> {
    let mut columns: Vec<(usize, f64, f64)> = Vec::new();
    for (time, value) in values {
        let column = (((time - first) / span * COLUMNS as f64) as usize).min(COLUMNS - 1);
        match columns.last_mut() {
            Some(last) if last.0 == column => (last.1, last.2) = (last.1.min(value), last.2.max(value)),
            _ => columns.push((column, value, value)),
        }
    }
    columns
}

/// The series with its band and its incidents; nothing where no row has a value.
fn picture(detection: &Detection) -> Markup {
    let rows = &detection.series.rows;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return html! {};
    };
    let span = (last.time - first.time).max(1e-9);
    let line = columns(
        rows.iter()
            .filter(|row| !row.value.is_nan())
            .map(|row| (row.time, row.value)),
        first.time,
        span,
    );
    if line.is_empty() {
        return html! {};
    }
    let of_band = |pick: fn((f64, f64)) -> f64| {
        let band = rows.iter().zip(&detection.rows);
        columns(
            band.filter_map(|(row, judged)| judged.ordinary.map(|ordinary| (row.time, pick(ordinary)))),
            first.time,
            span,
        )
    };
    let (lows, highs) = (of_band(|o| o.0), of_band(|o| o.1));
    // The picture shows all values and, where that does not dwarf them, the band.
    let (mut low, mut high) = line.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), c| {
        (l.min(c.1), h.max(c.2))
    });
    let size = (high - low).max(high.abs() * 1e-3).max(1e-9);
    low = lows.iter().map(|c| c.1).fold(low, f64::min).max(low - 0.3 * size);
    high = highs
        .iter()
        .map(|c| c.2)
        .fold(high, f64::max)
        .min(high + 0.3 * size);
    if detection.kind == Kind::Count {
        low = 0.0;
    }
    let size = (high - low).max(1e-9);
    let x = |column: usize| place((column as f64 + 0.5) / COLUMNS as f64);
    let y = |value: f64| place(1.0 - ((value - low) / size).clamp(0.0, 1.0));
    let mut band = String::new();
    for column in &highs {
        let _ = write!(band, "{},{} ", x(column.0), y(column.2));
    }
    for column in lows.iter().rev() {
        let _ = write!(band, "{},{} ", x(column.0), y(column.1));
    }
    let mut points = String::new();
    for (column, lowest, highest) in &line {
        let _ = write!(points, "{},{} ", x(*column), y(*lowest));
        if highest > lowest {
            let _ = write!(points, "{},{} ", x(*column), y(*highest));
        }
    }
    let across = |time: f64| ((time - first.time) / span).clamp(0.0, 1.0);
    let shapes = html! {
        @for wave in detection.incidents.iter().flat_map(|incident| &incident.waves) {
            @let (from, to) = (across(wave.onset), across(wave.end.unwrap_or(last.time)));
            rect x=(place(from)) width=(place((to - from).max(0.002))) y="0" height=(SIDE) {
                title { (side_name(detection.kind, wave.side)) " from " (time(wave.onset)) }
            }
            line.onset x1=(place(from)) x2=(place(from)) y1="0" y2=(SIDE) {}
        }
        polygon points=(band.trim_end()) {}
        polyline points=(points.trim_end()) {}
    };
    let up = [0.0, 0.5, 1.0].map(|at| Tick {
        at,
        label: number(low + at * size),
    });
    let short = |at: f64| {
        let text = time(first.time + at * span);
        text.chars().take(16).collect::<String>().replace('T', " ")
    };
    let ticks = [0.0, 0.5, 1.0].map(|at| Tick { at, label: short(at) });
    let about = format!("{}: {} to {}", detection.series.name, number(low), number(high));
    frame(&clean(&about), &shapes, &up, &ticks, &html! {})
}
