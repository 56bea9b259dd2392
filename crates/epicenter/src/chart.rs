//! Series as a page: one picture for each, without a script, a font or anything from elsewhere.

use std::fmt::Write;

use crate::detect::{budget_words, doubt, number, side_name, size, time};
use crate::detection::{Detection, How, Kind};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 22.0;
/// Points of a line at most: two for each column, its lowest and its highest value.
const COLUMNS: usize = 880;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1a1c20; --soft: #667; --paper: #fff;
  --line: #1f5fa8; --band: #1f5fa826; --bad: #c62828; --badbg: #c6282826; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ee; --soft: #99a; --paper: #15171b;
    --line: #7db4f0; --band: #7db4f033; --bad: #ff7b72; --badbg: #ff7b7233; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 2rem auto; max-width: 1000px; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem; overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; } p { margin: .3rem 0; } .soft { color: var(--soft); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: .5rem 0; }
td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }
.t { white-space: nowrap; } .ok { color: var(--soft); } .bad { color: var(--bad); font-weight: 600; }
";

/// The page.
pub(crate) fn page(detections: &[Detection], how: &How) -> String {
    let affected = detections.iter().filter(|d| !d.incidents.is_empty()).count();
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\n<title>Epicenter: changes</title><style>{STYLE}</style></head><body>\n<h1>{affected} of {} series {} incidents</h1>\n",
        detections.len(),
        if affected == 1 { "has" } else { "have" }
    );
    let _ = writeln!(
        out,
        "<p class=\"soft\">The line is the series, the band what is ordinary for it, red what is not. For counts the budget is {} for each series, if the baseline is right. Times are UTC.</p>",
        budget_words(how.budget_per_day)
    );
    for detection in detections {
        one(&mut out, detection);
    }
    out.push_str("</body></html>\n");
    out
}

fn one(out: &mut String, detection: &Detection) {
    let rows = &detection.series.rows;
    let _ = writeln!(out, "<section><h2>{}</h2>", escaped(&detection.series.name));
    let verdict = match detection.incidents.len() {
        0 => "<span class=\"ok\">nothing wrong</span>".to_owned(),
        1 => "<span class=\"bad\">1 incident</span>".to_owned(),
        n => format!("<span class=\"bad\">{n} incidents</span>"),
    };
    let _ = writeln!(
        out,
        "<p>{verdict} <span class=\"soft\">in {} rows, {}, steps of {} s</span></p>",
        rows.len(),
        detection.kind.name(),
        number(detection.step_s)
    );
    picture(out, detection);
    if !detection.incidents.is_empty() {
        out.push_str("<div class=\"scroll\"><table><tr><th>what</th><th>onset</th><th>told</th><th>end</th><th>size</th><th>doubt</th></tr>\n");
        for incident in &detection.incidents {
            for (n, wave) in incident.waves.iter().enumerate() {
                let what = if n == 0 {
                    side_name(detection.kind, wave.side)
                } else {
                    "its next wave"
                };
                let end = wave.end.map_or("still running".to_owned(), time);
                let doubt = if n == 0 { doubt(incident) } else { String::new() };
                let _ = writeln!(
                    out,
                    "<tr><td class=\"bad\">{what}</td><td class=\"t\">{}</td><td class=\"t\">{}</td><td class=\"t\">{end}</td><td>{}</td><td>{doubt}</td></tr>",
                    time(wave.onset),
                    time(wave.detected),
                    size(detection, wave)
                );
            }
        }
        out.push_str("</table></div>\n");
    }
    for fault in &detection.series.faults {
        let _ = writeln!(out, "<p class=\"soft\">{}</p>", escaped(fault));
    }
    out.push_str("</section>\n");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
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

fn picture(out: &mut String, detection: &Detection) {
    let rows = &detection.series.rows;
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return;
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
        return;
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
    let x = |column: usize| LEFT + (column as f64 + 0.5) / COLUMNS as f64 * (WIDTH - LEFT);
    let y = |value: f64| (1.0 - ((value - low) / size).clamp(0.0, 1.0)) * (HEIGHT - BOTTOM - 8.0) + 8.0;
    let _ = writeln!(
        out,
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}: {} to {}\">",
        escaped(&detection.series.name),
        number(low),
        number(high)
    );
    for wave in detection.incidents.iter().flat_map(|incident| &incident.waves) {
        let at = |time: f64| LEFT + ((time - first.time) / span).clamp(0.0, 1.0) * (WIDTH - LEFT);
        let (from, to) = (at(wave.onset), at(wave.end.unwrap_or(last.time)));
        let _ = writeln!(
            out,
            "<rect x=\"{from:.1}\" y=\"4\" width=\"{:.1}\" height=\"{}\" fill=\"var(--badbg)\"><title>{} from {}</title></rect><line x1=\"{from:.1}\" x2=\"{from:.1}\" y1=\"4\" y2=\"{}\" stroke=\"var(--bad)\"/>",
            (to - from).max(2.0),
            HEIGHT - BOTTOM - 4.0,
            side_name(detection.kind, wave.side),
            time(wave.onset),
            HEIGHT - BOTTOM
        );
    }
    let mut band = String::new();
    for column in &highs {
        let _ = write!(band, "{:.1},{:.1} ", x(column.0), y(column.2));
    }
    for column in lows.iter().rev() {
        let _ = write!(band, "{:.1},{:.1} ", x(column.0), y(column.1));
    }
    let _ = writeln!(
        out,
        "<polygon points=\"{}\" fill=\"var(--band)\"/>",
        band.trim_end()
    );
    let mut points = String::new();
    for (column, lowest, highest) in &line {
        let _ = write!(points, "{:.1},{:.1} ", x(*column), y(*lowest));
        if highest > lowest {
            let _ = write!(points, "{:.1},{:.1} ", x(*column), y(*highest));
        }
    }
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"var(--line)\" stroke-width=\"1.2\"/>",
        points.trim_end()
    );
    for value in [low, low + size / 2.0, high] {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" font-size=\"11\" text-anchor=\"end\" fill=\"var(--soft)\">{}</text>",
            LEFT - 6.0,
            y(value) + 4.0,
            number(value)
        );
    }
    let short = |seconds: f64| {
        time(seconds)
            .chars()
            .take(16)
            .collect::<String>()
            .replace('T', " ")
    };
    for (place, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" font-size=\"11\" text-anchor=\"{anchor}\" fill=\"var(--soft)\">{}</text>",
            LEFT + place * (WIDTH - LEFT),
            HEIGHT - 6.0,
            short(first.time + place * span)
        );
    }
    out.push_str("</svg>\n");
}
