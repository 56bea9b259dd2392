//! Outages in the report: what people and probes saw of a service.

use incident::case::Share;
use incident::outage::Outage;
use maud::{Markup, html};

use crate::case_json::{confidence, time};
use crate::case_text::{capitalised, count, duration};
use crate::outages::{cause, clock, times};
use crate::page::{Column, clean, numbers, outside, table, words};
use crate::plot::{SIDE, Tick, frame, part_bar, place, round_steps, share_bar, time_ticks};

/// Reports are drawn in steps of so many minutes, as outage trackers do.
const STEP_MIN: usize = 15;
const MINUTE: u64 = 60_000_000_000;
/// Countries of reporters that are listed.
const COUNTRIES: usize = 12;

/// All that is known of one outage.
pub(crate) fn section(outage: &Outage) -> Markup {
    html! {
        p.lead { (outside(&crate::outages::headline(outage))) }
        (chart(outage))
        (waves(outage))
        h3 { "Why" }
        p { strong { (capitalised(&cause(&outage.cause))) "." } " " (outside(&outage.because.join(" "))) }
        p { "Confidence in that cause is " (confidence(outage.cause_confidence)) ". The evidence for the outage itself is of "
            (confidence(outage.confidence)) " confidence." }
        (reporters(outage))
        ul { @for caveat in &outage.caveats { li { (caveat) } } }
    }
}

/// Reports in steps of a quarter of an hour over what is usual, with the waves shaded.
fn chart(outage: &Outage) -> Markup {
    let line = &outage.timeline;
    if line.reports.is_empty() {
        return html! {};
    }
    let step_ns = STEP_MIN as u64 * MINUTE;
    let from = line.start_ns;
    let sums: Vec<u64> = line
        .reports
        .chunks(STEP_MIN)
        .map(|chunk| chunk.iter().sum())
        .collect();
    let usual: Vec<f64> = line
        .expected
        .chunks(STEP_MIN)
        .map(|chunk| chunk.iter().filter(|x| !x.is_nan()).sum())
        .collect();
    let to = from + sums.len() as u64 * step_ns;
    let across = |ns: u64| ns.saturating_sub(from).min(to - from) as f64 / (to - from).max(1) as f64;
    let starts = |n: usize| from + n as u64 * step_ns;
    let most = sums.iter().copied().max().unwrap_or(0) as f64;
    let scale = round_steps(most.max(1.0) * 1.05, 5.0);
    let top = scale.last().copied().unwrap_or(1.0);
    let up: Vec<Tick> = scale
        .iter()
        .map(|value| Tick {
            at: value / top,
            label: count(value.round() as u64),
        })
        .collect();
    let outline = |values: &mut dyn Iterator<Item = f64>| {
        let mut d = format!("M0 {SIDE}");
        for (n, value) in values.enumerate() {
            d.push_str(&format!(
                "V{}H{}",
                place(1.0 - value / top),
                place(across(starts(n + 1)))
            ));
        }
        d.push_str(&format!("V{SIDE}z"));
        d
    };
    let shapes = html! {
        @for wave in &outage.waves {
            @let (begin, end) = (across(wave.start_ns), across(wave.end_ns.unwrap_or(to)));
            rect.span x=(place(begin)) width=(place((end - begin).max(0.002))) y="0" height=(SIDE) {}
        }
        path.steps d=(outline(&mut sums.iter().map(|n| *n as f64))) {}
        path.usual d=(outline(&mut usual.iter().copied())) {}
        @for (n, sum) in sums.iter().enumerate() {
            rect.hit x=(place(across(starts(n)))) width=(place(across(starts(n + 1)) - across(starts(n)))) y="0" height=(SIDE) {
                title { (clock(starts(n))) ": " (count(*sum)) " reports, " (count(usual[n].round() as u64)) " usual" }
            }
        }
    };
    let about = format!(
        "Problem reports in steps of {STEP_MIN} minutes from {} to {}, at most {}; the waves of trouble are shaded and listed in the table below.",
        time(from),
        time(to),
        count(most as u64)
    );
    html! {
        figure {
            figcaption { "Problem reports in steps of " (STEP_MIN) " minutes, and below them what is usual. Shaded: the waves of trouble. Times are UTC." }
            (frame(&about, &shapes, &up, &time_ticks(from, to), &html! {}))
        }
        details.figures {
            summary { "The numbers of this chart" }
            (table("Problem reports in steps of 15 minutes", &[words("From (UTC)"), numbers("Reports"), numbers("Usual")], &html! {
                @for (n, sum) in sums.iter().enumerate() {
                    tr { th scope="row" { (clock(starts(n))) } td.num { (count(*sum)) } td.num { (count(usual[n].round() as u64)) } }
                }
            }))
        }
    }
}

fn waves(outage: &Outage) -> Markup {
    let columns: [Column; 6] = [
        words("From"),
        words("To"),
        numbers("Reports"),
        words("Against the usual"),
        numbers("Most in 15 minutes"),
        words("Known after"),
    ];
    let rows = html! {
        @for wave in &outage.waves {
            tr {
                th scope="row" { (clock(wave.start_ns)) }
                td { (wave.end_ns.map_or("not over".to_owned(), clock)) }
                td.num { (count(wave.reports)) }
                td { (times(wave.reports, wave.expected)) }
                td.num { (count(wave.peak)) }
                td { (duration(wave.detected_ns.saturating_sub(wave.start_ns))) }
            }
        }
    };
    let probes = outage.probed.map(|probed| {
        format!(
            "{} of {} probes failed in these times; at most {} of {} places could not reach it.",
            count(probed.failed),
            count(probed.tried),
            probed.failing_places,
            probed.places
        )
    });
    html! {
        (table("Waves of trouble", &columns, &rows))
        @if let Some(probes) = probes { p { (probes) } }
    }
}

fn reporters(outage: &Outage) -> Markup {
    if outage.countries.is_empty() {
        return html! {};
    }
    let number = |share: Share| {
        format!(
            "{:.1} % [{:.1}, {:.1}]",
            100.0 * share.estimate,
            100.0 * share.low,
            100.0 * share.high
        )
    };
    let countries = html! {
        @for (country, share) in outage.countries.iter().take(COUNTRIES) {
            tr { th scope="row" { (country.as_str()) } td { (share_bar(*share)) } td.num { (number(*share)) } }
        }
    };
    let symptoms = html! {
        @for (symptom, part) in &outage.symptoms {
            tr { th scope="row" { (outside(&clean(symptom))) } td { (part_bar(*part)) } td.num { (format!("{:.0} %", 100.0 * part)) } }
        }
    };
    html! {
        h3 { "Who reported" }
        (table("Countries of those who reported, with 95 % intervals", &[words("Country"), words(""), numbers("Share")], &countries))
        @if !outage.symptoms.is_empty() {
            (table("What does not work, by share of the reports", &[words("Symptom"), words(""), numbers("Share")], &symptoms))
        }
    }
}
