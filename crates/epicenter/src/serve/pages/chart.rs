//! Shapes of a day: the chart of a service, and the small one of the front page.
//!
//! Styles may not stand in the page, so places are attributes of SVG: shapes in an inner box that stretches, text in an outer one that
//! does not, which keeps its size on a phone. What a bar says when it is pointed at, the script takes from the table below.

use std::fmt::Write;

use maud::{Markup, html};

use super::layout::{clock, moment_text};
use crate::plot::round_steps;
use crate::serve::lang::{Language, plain};
use crate::serve::state::{BIN_S, BINS, Bin, Incident};

const HEIGHT: u32 = 190;

/// Where 95 % of counts lie whose mean is known, when each comes by chance (Poisson).
pub(crate) fn band(mean: f64) -> (u64, u64) {
    if !mean.is_finite() || mean <= 0.0 {
        return (0, 0);
    }
    if mean > 500.0 {
        // The normal law is within one count of it.
        let half = 1.96 * mean.sqrt();
        return ((mean - half).floor().max(0.0) as u64, (mean + half).ceil() as u64);
    }
    let mut term = (-mean).exp();
    let mut sum = term;
    let mut count = 0u64;
    let mut low = None;
    while sum < 0.975 && count < 1_000 {
        if sum >= 0.025 && low.is_none() {
            low = Some(count);
        }
        count += 1;
        term *= mean / count as f64;
        sum += term;
    }
    (low.unwrap_or(count), count)
}

/// Reports that are usual in the whole quarter of an hour, where at least one of its minutes is known.
pub(crate) fn usual(bin: &Bin) -> Option<f64> {
    (bin.minutes_known > 0 && bin.expected.is_finite())
        .then(|| bin.expected * 15.0 / f64::from(bin.minutes_known))
}

/// A quarter of an hour had more reports than chance explains.
pub(crate) fn is_high(bin: &Bin) -> bool {
    usual(bin).is_some_and(|mean| bin.reports > band(mean).1)
}

/// A number as short as SVG allows.
fn short(value: f64) -> String {
    let value = (value * 100.0).round() / 100.0;
    format!("{value}")
}

/// The day in one line, for a list.
pub(crate) fn spark(bins: &[Bin], language: Language) -> Markup {
    let most = bins.iter().map(|bin| bin.reports).max().unwrap_or(0);
    let usual_most = bins.iter().filter_map(usual).fold(0.0, f64::max);
    // One report more than none is no mountain.
    let top = (most as f64).max(usual_most * 2.0).max(5.0);
    let mut d = String::from("M0 24");
    let mut at = 0;
    while at < bins.len() {
        let reports = bins[at].reports;
        let run = bins[at..].iter().take_while(|bin| bin.reports == reports).count();
        let y = (24.0 - 22.0 * reports as f64 / top).round_ties_even();
        // Writing to a string does not fail.
        let _ = write!(d, "V{y}h{run}");
        at += run;
    }
    d.push_str("V24z");
    let about = plain(language.texts().spark, &[("most", &language.number(most))]);
    html! {
        svg.spark viewBox={ "0 0 " (BINS) " 24" } preserveAspectRatio="none" role="img" aria-label=(about) { path d=(d) {} }
    }
}

/// Reports of the last day over what is usual, with the checks below, the times of trouble shaded, and a table of all of it.
pub(crate) fn chart(
    bins: &[Bin],
    past: &[&Incident],
    has_probes: bool,
    now_ns: u64,
    language: Language,
) -> Markup {
    let texts = language.texts();
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else {
        return html! {};
    };
    let (from_s, to_s) = (first.start_s, last.start_s + BIN_S);
    let count = bins.len() as f64;
    let most = bins
        .iter()
        .max_by_key(|bin| (bin.reports, std::cmp::Reverse(bin.start_s)));
    let most_reports = most.map_or(0, |bin| bin.reports);
    let bands: Vec<Option<(u64, u64, f64)>> = bins
        .iter()
        .map(|bin| {
            usual(bin).map(|mean| {
                let (low, high) = band(mean);
                (low, high, mean)
            })
        })
        .collect();
    let highest = bands.iter().flatten().map(|band| band.1).max().unwrap_or(0);
    let mut steps = round_steps((most_reports.max(highest).max(4) as f64) * 1.05, 4.0);
    steps.retain(|step| step.fract() == 0.0);
    let top = steps.last().copied().unwrap_or(1.0);
    let y = |value: f64| short(100.0 - 100.0 * value / top);
    let (mut bars, mut high, mut open) = (String::new(), String::new(), String::new());
    for (n, bin) in bins.iter().enumerate().filter(|(_, bin)| bin.reports > 0) {
        let path = match () {
            () if is_high(bin) => &mut high,
            () if n + 1 == bins.len() => &mut open,
            () => &mut bars,
        };
        let _ = write!(
            path,
            "M{} 100V{}h.8V100z",
            short(n as f64 + 0.1),
            y(bin.reports as f64)
        );
    }
    let (band_path, usual_path) = paths(&bands, &y);
    let seconds = |ns: u64| (ns / 1_000_000_000).clamp(from_s, to_s) - from_s;
    let across = |seconds: u64| seconds as f64 / BIN_S as f64;
    let waves = past
        .iter()
        .flat_map(|incident| &incident.waves)
        .filter_map(|wave| {
            let begin = across(seconds(wave.start_ns));
            let end = across(seconds(wave.end_ns.unwrap_or(now_ns)));
            let is_here = wave.end_ns.is_none_or(|end| end / 1_000_000_000 > from_s);
            is_here.then(|| (short(begin), short((end - begin).max(0.3))))
        });
    let hours = (from_s.div_ceil(10_800)..=to_s / 10_800)
        .map(|n| n * 10_800)
        .filter(|at| *at < to_s)
        // The first would stand on the word before it.
        .filter(|at| across(at - from_s) >= 0.08 * count);
    let ns = |seconds: u64| seconds * 1_000_000_000;
    let mut about = plain(
        texts.chart_about,
        &[
            ("from", &moment_text(ns(from_s), now_ns)),
            ("to", &moment_text(now_ns, now_ns)),
            ("most", &language.number(most_reports)),
            (
                "when",
                &moment_text(ns(most.map_or(from_s, |bin| bin.start_s)), now_ns),
            ),
        ],
    );
    if has_probes {
        // What stands inside an image is not read out: the checks are said of the whole.
        about.push(' ');
        about.push_str(&strip_about(bins, language));
    }
    html! {
        figure {
            svg.day role="img" aria-label=(about) width="100%" height=(HEIGHT + if has_probes { 56 } else { 40 }) {
                svg width="100%" height=(HEIGHT) viewBox={ "0 0 " (count) " 100" } preserveAspectRatio="none" {
                    @for (x, width) in waves { rect.wave x=(x) width=(width) y="0" height="100" {} }
                    @for step in &steps { path.grid d={ "M0 " (y(*step)) "H" (count) } {} }
                    @if !band_path.is_empty() { path.band d=(band_path) {} }
                    @if !bars.is_empty() { path.bars d=(bars) {} }
                    @if !open.is_empty() { path.bars.open d=(open) {} }
                    @if !high.is_empty() { path.bars.high d=(high) {} }
                    @if !usual_path.is_empty() { path.usual d=(usual_path) {} }
                }
                g.labels aria-hidden="true" {
                    @for step in steps.iter().skip(1) {
                        @let at = short(4.0 + f64::from(HEIGHT) * (1.0 - step / top));
                        text x="-6" y=(at) text-anchor="end" { (language.number(*step as u64)) }
                    }
                    @let below = HEIGHT + if has_probes { 30 } else { 14 };
                    text x="-6" y=(below) text-anchor="end" { "UTC" }
                    @for (n, at) in hours.enumerate() {
                        @let x = short(100.0 * across(at - from_s) / count);
                        @let class = if n % 2 == 1 { "hour odd" } else { "hour" };
                        text class=(class) x={ (x) "%" } y=(below) text-anchor="middle" data-at=(at) { (clock(at)) }
                    }
                }
                @if has_probes { (strip(bins)) }
            }
            figcaption {
                (texts.chart_caption)
                @if has_probes {
                    " " span.key { (texts.strip_caption) " " (swatch("ok")) (texts.strip_ok) ", " (swatch("bad")) (texts.strip_bad) ", "
                        (swatch("none")) (texts.strip_none) "." }
                }
            }
        }
        (numbers(bins, &bands, has_probes, language))
    }
}

/// The band with its two sides, and the usual in its middle: one piece for each stretch in which it is known.
fn paths(bands: &[Option<(u64, u64, f64)>], y: &dyn Fn(f64) -> String) -> (String, String) {
    let (mut area, mut line) = (String::new(), String::new());
    let mut at = 0;
    while at < bands.len() {
        let known: Vec<(u64, u64, f64)> = bands[at..].iter().map_while(|band| *band).collect();
        if known.is_empty() {
            at += 1;
            continue;
        }
        for (n, (_, high, mean)) in known.iter().enumerate() {
            let sign = if n == 0 { 'M' } else { 'L' };
            let x = at + n;
            let _ = write!(area, "{sign}{x} {}H{}", y(*high as f64), x + 1);
            let _ = write!(line, "{sign}{x} {}H{}", y(*mean), x + 1);
        }
        for (n, (low, ..)) in known.iter().enumerate().rev() {
            let x = at + n;
            let _ = write!(area, "L{} {}H{x}", x + 1, y(*low as f64));
        }
        area.push('z');
        at += known.len();
    }
    (area, line)
}

/// Shapes of the checks of a quarter of an hour: those of one that failed are tall, of one that worked half as tall, and a line where
/// there is no data.
fn strip_path(kind: &str, x: usize) -> String {
    match kind {
        "bad" => format!("M{x} 0h1v12h-1z"),
        "ok" => format!("M{x} 4h1v4h-1z"),
        _ => format!("M{x} 5.600h1v.8h-1z"),
    }
}

fn strip(bins: &[Bin]) -> Markup {
    let kind = |bin: &Bin| match (bin.tried, bin.failed) {
        (0, _) => "none",
        (_, 0) => "ok",
        _ => "bad",
    };
    let path = |wanted: &str| -> String {
        bins.iter()
            .enumerate()
            .filter(|(_, bin)| kind(bin) == wanted)
            .map(|(n, _)| strip_path(wanted, n))
            .collect()
    };
    html! {
        svg.strip y=(HEIGHT + 4) width="100%" height="12" viewBox={ "0 0 " (bins.len()) " 12" } preserveAspectRatio="none" {
            @for kind in ["none", "ok", "bad"] {
                @let d = path(kind);
                @if !d.is_empty() { path class=(kind) d=(d) {} }
            }
        }
    }
}

/// The checks in words.
fn strip_about(bins: &[Bin], language: Language) -> String {
    let count =
        |wanted: &dyn Fn(&Bin) -> bool| language.number(bins.iter().filter(|bin| wanted(bin)).count() as u64);
    plain(
        language.texts().strip_about,
        &[
            ("failed", &count(&|bin| bin.failed > 0)),
            ("tried", &count(&|bin| bin.tried > 0)),
        ],
    )
}

fn swatch(kind: &str) -> Markup {
    html! { svg.strip.swatch viewBox="0 0 1 12" width="12" height="12" preserveAspectRatio="none" aria-hidden="true" {
        path class=(kind) d=(strip_path(kind, 0)) {}
    } }
}

/// The chart's numbers, for those who do not see it or want to know exactly.
fn numbers(bins: &[Bin], bands: &[Option<(u64, u64, f64)>], has_probes: bool, language: Language) -> Markup {
    let texts = language.texts();
    let mut columns = vec![
        (texts.from, false),
        (texts.reports, true),
        (texts.usual, true),
        (texts.band, true),
    ];
    if has_probes {
        columns.push((texts.checks_failed, true));
    }
    let rows = html! {
        @for (n, bin) in bins.iter().enumerate() {
            tr {
                th scope="row" { (clock(bin.start_s)) @if n + 1 == bins.len() { " (" (texts.not_over) ")" } }
                td.num { (language.number(bin.reports)) }
                @match bands[n] {
                    Some((low, high, mean)) => {
                        td.num { (language.decimal(mean)) }
                        td.num { (language.number(low)) "–" (language.number(high)) }
                    }
                    None => { td.num { (texts.unknown) } td.num { "–" } }
                }
                @if has_probes {
                    td.num { @if bin.tried > 0 { (language.number(bin.failed)) "/" (language.number(bin.tried)) } @else { "–" } }
                }
            }
        }
    };
    let caption = format!("{} (UTC)", texts.chart_title);
    html! {
        details id="numbers" {
            summary { (texts.chart_numbers) }
            (super::layout::table(&caption, &columns, &rows))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_holds_what_chance_gives() {
        // Quantiles 0.025 and 0.975 of Poisson laws, from tables.
        for (mean, low, high) in [
            (0.5, 0, 2),
            (1.0, 0, 3),
            (4.0, 1, 8),
            (10.0, 4, 17),
            (25.0, 16, 35),
            (100.0, 81, 120),
        ] {
            assert_eq!(band(mean), (low, high), "{mean}");
        }
        assert_eq!((band(0.0), band(f64::NAN)), ((0, 0), (0, 0)));
        let (below, above) = (band(499.0), band(501.0));
        assert!(
            above.0.abs_diff(below.0) <= 4 && above.1.abs_diff(below.1) <= 4,
            "{below:?} {above:?}"
        );
    }

    #[test]
    fn a_quarter_of_an_hour_that_is_half_known_is_not_half_usual() {
        let bin = Bin {
            expected: 4.0,
            minutes_known: 5,
            reports: 15,
            ..Bin::default()
        };
        assert_eq!(usual(&bin), Some(12.0));
        assert!(!is_high(&bin) && is_high(&Bin { reports: 20, ..bin }));
        assert_eq!(usual(&Bin::default()), None);
    }

    #[test]
    fn a_sparkline_is_small() {
        let bins: Vec<Bin> = (0..BINS as u64)
            .map(|n| Bin {
                start_s: n * BIN_S,
                reports: n * 7_919 % 40,
                ..Bin::default()
            })
            .collect();
        let wild = spark(&bins, Language::English).into_string();
        let still = spark(&vec![Bin::default(); BINS], Language::English).into_string();
        assert!(
            wild.len() < 1_000 && still.len() < 250,
            "{} {}",
            wild.len(),
            still.len()
        );
        assert!(still.contains("V24h96V24z"));
    }
}
