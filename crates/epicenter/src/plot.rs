//! Shapes of numbers, as SVG and CSS: bars with intervals, and a frame with axes whose labels keep their size on any screen.

use incident::case::Share;
use maud::{Markup, html};

use crate::case_json::time;

/// Side of the square in which shapes are drawn before they are stretched to their place.
pub(crate) const SIDE: f64 = 1000.0;

/// A mark on an axis.
pub(crate) struct Tick {
    /// Where, 0 to 1.
    pub(crate) at: f64,
    /// What is written there.
    pub(crate) label: String,
}

/// Shapes (in a square of [`SIDE`], y downwards) with labels up and across, and marks placed by percent over them. The picture is for
/// the eye: whoever uses it gives its numbers in a table too, and `about` says in words what it shows.
pub(crate) fn frame(about: &str, shapes: &Markup, up: &[Tick], across: &[Tick], marks: &Markup) -> Markup {
    html! {
        div.plot {
            div.up aria-hidden="true" {
                @for tick in up { span style={ "bottom:" (percent(tick.at)) } { i { (tick.label) } } }
            }
            div.area {
                svg viewBox={ "0 0 " (SIDE) " " (SIDE) } preserveAspectRatio="none" role="img" aria-label=(about) {
                    @for tick in up {
                        @let y = place(1.0 - tick.at);
                        line.grid x1="0" x2=(SIDE) y1=(y) y2=(y) {}
                    }
                    (shapes)
                }
                (marks)
            }
            div.across aria-hidden="true" {
                @for (n, tick) in across.iter().enumerate() {
                    @let class = match tick.at { at if at < 0.06 => "first", at if at > 0.94 => "last", _ => "" };
                    span class={ (class) (if n % 2 == 1 && across.len() > 2 { " odd" } else { "" }) } style={ "left:" (percent(tick.at)) } {
                        (tick.label)
                    }
                }
            }
        }
    }
}

/// A place along a side, in the square's units with one decimal.
pub(crate) fn place(at: f64) -> String {
    let at = (at * SIDE * 10.0).round() / 10.0;
    format!("{at}")
}

/// A fraction as CSS wants it.
pub(crate) fn percent(at: f64) -> String {
    format!("{}%", (at * 1e4).round() / 1e2)
}

/// A share with its interval: filled to the estimate, a line with ends over the interval. Its numbers stand beside it.
pub(crate) fn share_bar(share: Share) -> Markup {
    let at = |value: f64| (value.clamp(0.0, 1.0) * 200.0 * 10.0).round() / 10.0;
    let (low, high) = (at(share.low), at(share.high));
    html! {
        svg.bar viewBox="0 0 200 12" preserveAspectRatio="none" aria-hidden="true" {
            rect.fill width=(at(share.estimate)) height="12" {}
            @if high > low { path.reach d={ "M" (low) " 6H" (high) "M" (low) " 2v8M" (high) " 2v8" } {} }
        }
    }
}

/// A fraction that was counted, not estimated.
pub(crate) fn part_bar(part: f64) -> Markup {
    share_bar(Share {
        estimate: part,
        low: part,
        high: part,
    })
}

/// Round numbers from 0 to at least `most`, about `n` of them; the last is the top of the axis.
pub(crate) fn round_steps(most: f64, n: f64) -> Vec<f64> {
    let most = if most.is_finite() && most > 0.0 { most } else { 1.0 };
    let rough = most / n;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|m| m * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power);
    let steps = (most / step).ceil().max(1.0) as u32;
    (0..=steps).map(|i| f64::from(i) * step).collect()
}

/// Marks of a time axis at round times, at most seven; nanoseconds since the epoch.
pub(crate) fn time_ticks(first_ns: u64, last_ns: u64) -> Vec<Tick> {
    const SECOND: u64 = 1_000_000_000;
    const ROUND: [u64; 21] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
        172_800, 604_800, 2_592_000,
    ];
    let span = last_ns.saturating_sub(first_ns).max(1);
    let step = ROUND
        .into_iter()
        .map(|s| s * SECOND)
        .find(|step| span / step <= 6)
        .unwrap_or(span / 6 + 1);
    let form = match step / SECOND {
        0..60 => 11..19,
        60..86_400 => 11..16,
        _ => 0..10,
    };
    let mut ticks = Vec::new();
    let mut next = first_ns.div_ceil(step).checked_mul(step);
    while let Some(at) = next.filter(|at| *at <= last_ns) {
        ticks.push(Tick {
            at: (at - first_ns) as f64 / span as f64,
            label: time(at).get(form.clone()).unwrap_or_default().to_owned(),
        });
        next = at.checked_add(step);
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers() {
        assert_eq!(round_steps(22_322.0, 4.0), [0.0, 10_000.0, 20_000.0, 30_000.0]);
        assert_eq!(round_steps(4.0, 4.0), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(round_steps(0.0, 4.0), [0.0, 0.5, 1.0]);
        assert!(round_steps(f64::NAN, 4.0).len() < 10);
        for most in [1.0, 7.0, 1e3, 123_456.0, 9e12] {
            let steps = round_steps(most, 4.0);
            assert!((3..=7).contains(&steps.len()), "{most}: {steps:?}");
            assert!(steps.last().is_some_and(|top| *top >= most), "{most}: {steps:?}");
        }
    }

    #[test]
    fn time_axes_have_round_times() {
        let start = 1_741_600_003_000_000_000; // 2025-03-10T09:46:43Z
        let labels = |seconds: u64| -> Vec<String> {
            let ticks = time_ticks(start, start + seconds * 1_000_000_000);
            assert!(ticks.iter().all(|tick| (0.0..=1.0).contains(&tick.at)));
            ticks.into_iter().map(|tick| tick.label).collect()
        };
        assert_eq!(labels(20), ["09:46:45", "09:46:50", "09:46:55", "09:47:00"]);
        assert_eq!(
            labels(1800),
            ["09:50", "09:55", "10:00", "10:05", "10:10", "10:15"]
        );
        assert_eq!(labels(4 * 86_400)[0], "2025-03-11");
        assert!(labels(10_000_000_000).len() <= 7);
        assert_eq!(time_ticks(u64::MAX - 5, u64::MAX).len(), 0);
    }
}
