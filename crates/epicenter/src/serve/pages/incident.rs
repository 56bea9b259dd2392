//! An incident at its permanent address, and the list of all.

use maud::{Markup, html};

use super::Around;
use super::front::encode;
use super::layout::{Frame, badge, confidence, moment, moment_text, page, share_cells, table};
use super::service::{because, network_name, symptom_word};
use crate::page::{clean, outside};
use crate::serve::config::{Config, Service};
use crate::serve::lang::{Language, plain, say};
use crate::serve::state::Incident;

/// Rows of a table.
const ROWS: usize = 20;
/// Incidents on one page of the list.
pub(crate) const PER_PAGE: usize = 50;

/// The page of an incident. Its service may be gone.
pub(crate) fn render(
    incident: &Incident,
    service: Option<&Service>,
    config: &Config,
    around: &Around<'_>,
    now_ns: u64,
    language: Language,
) -> String {
    let texts = language.texts();
    let name = service.map_or(incident.service.as_str(), |service| &service.name);
    let main = html! {
        h1 { (say(texts.incident_title, &[("name", outside(name))])) }
        p.state { (badge(incident.standing, texts)) }
        p.lead { (span(incident, now_ns, language)) " " (counted(incident, language)) }
        @if let Some(into) = &incident.merged_into { p { a href={ "/incidents/" (encode(into)) } { (texts.merged) } "." } }
        @if let Some(service) = service {
            p { a href={ "/s/" (service.slug) } { (say(texts.service_page, &[("name", outside(name))])) } }
        }
        section aria-labelledby="why" {
            h2 id="why" { (texts.why_title) }
            p { @match because(incident, around, language) {
                Some(cause) => { (cause) }
                None => {
                    @let sure = html! { (confidence(&incident.cause.confidence, texts)) };
                    (say(texts.say_cause, &[("cause", html! { (texts.cause_unknown) }), ("confidence", sure)]))
                }
            } }
            @if !incident.cause.because.is_empty() { p lang="en" { (outside(&incident.cause.because.join(" "))) } }
            p { (plain(texts.evidence, &[("confidence", confidence(&incident.confidence, texts))])) }
        }
        @if !incident.attacks.is_empty() {
            section aria-labelledby="traffic" {
                h2 id="traffic" { (texts.traffic_title) }
                ul { @for headline in &incident.attacks { li lang="en" { (outside(headline)) } } }
                p { (texts.say_who) }
            }
        }
        (said(incident, now_ns, language))
        section aria-labelledby="timeline" {
            h2 id="timeline" { (texts.timeline_title) }
            (timeline(incident, false, now_ns, language))
            (waves(incident, now_ns, language))
        }
        (numbers(incident, around, language))
        @if !incident.caveats.is_empty() || incident.limited > 0.0 {
            section aria-labelledby="unsure" {
                h2 id="unsure" { (texts.unsure_title) }
                ul {
                    @if incident.limited > 0.0 { li { (plain(texts.limited, &[("share", &language.percent(incident.limited))])) } }
                    @for caveat in &incident.caveats { li lang="en" { (outside(caveat)) } }
                }
            }
        }
    };
    page(&Frame {
        title: format!(
            "{} · {} · {}",
            plain(texts.incident_title, &[("name", name)]),
            moment_text(incident.start_ns, now_ns),
            config.site.name
        )
        .into(),
        config,
        language,
        live: None,
        query: "",
        is_public: true,
        main,
    })
}

/// From when to when.
fn span(incident: &Incident, now_ns: u64, language: Language) -> Markup {
    let texts = language.texts();
    let from = moment(incident.start_ns, now_ns);
    match incident.end_ns {
        Some(end_ns) => {
            let duration = language.duration(end_ns.saturating_sub(incident.start_ns));
            say(
                texts.incident_over,
                &[
                    ("from", from),
                    ("to", moment(end_ns, now_ns)),
                    ("duration", html! { (duration) }),
                ],
            )
        }
        None => say(texts.incident_open, &[("from", from)]),
    }
}

fn counted(incident: &Incident, language: Language) -> String {
    let texts = language.texts();
    let reports = plain(
        language.form(&texts.counted, incident.reports),
        &[("n", &language.number(incident.reports))],
    );
    plain(
        texts.incident_usual,
        &[
            ("reports", &reports),
            ("usual", &language.decimal(incident.expected)),
        ],
    )
}

/// The incident in a line of a list; with the name of its service where lists are of many.
pub(crate) fn line(incident: &Incident, name: Option<&str>, now_ns: u64, language: Language) -> Markup {
    let texts = language.texts();
    let from = moment(incident.start_ns, now_ns);
    let when = match incident.end_ns {
        Some(end_ns) => say(
            texts.past_from_to,
            &[("from", from), ("to", moment(end_ns, now_ns))],
        ),
        None => say(texts.past_since, &[("from", from)]),
    };
    let reports = plain(
        language.form(&texts.counted, incident.reports),
        &[("n", &language.number(incident.reports))],
    );
    html! {
        li {
            a href={ "/incidents/" (encode(&incident.id)) } { @if let Some(name) = name { (outside(name)) ": " } (when) }
            " " (badge(incident.standing, texts)) " " span.soft { (reports) }
        }
    }
}

/// What happened, in order; `with_said`: also what the operators say of it.
pub(crate) fn timeline(incident: &Incident, with_said: bool, now_ns: u64, language: Language) -> Markup {
    let texts = language.texts();
    let mut events: Vec<(u64, Markup)> = Vec::new();
    // Of many waves, the newest matter.
    for wave in incident.waves.iter().rev().take(8) {
        events.push((wave.start_ns, html! { (texts.timeline_begin) }));
        events.push((wave.detected_ns, html! { (texts.timeline_known) }));
        let peak = plain(texts.timeline_peak, &[("n", &language.number(wave.peak))]);
        events.push((wave.peak_ns, html! { (peak) }));
        if let Some(end_ns) = wave.end_ns {
            events.push((end_ns, html! { (texts.timeline_end) }));
        }
    }
    if let Some((who, at_ns)) = &incident.acknowledged {
        events.push((*at_ns, say(texts.timeline_hand, &[("who", outside(who))])));
    }
    for update in incident.updates.iter().rev().take(if with_said { 20 } else { 0 }) {
        events.push((
            update.at_ns,
            html! { strong { (outside(&update.who)) } ": " (outside(&update.text)) },
        ));
    }
    events.sort_by_key(|(at_ns, _)| *at_ns);
    html! {
        ol.timeline { @for (at_ns, what) in &events { li { (moment(*at_ns, now_ns)) " " span { (what) } } } }
    }
}

fn said(incident: &Incident, now_ns: u64, language: Language) -> Markup {
    let texts = language.texts();
    html! {
        @if !incident.updates.is_empty() {
            section aria-labelledby="said" {
                h2 id="said" { (texts.said_title) }
                @for update in &incident.updates {
                    p { (moment(update.at_ns, now_ns)) " " strong { (outside(&update.who)) } ": " (outside(&update.text)) }
                }
            }
        }
        @if let Some(after) = &incident.post_mortem {
            section aria-labelledby="after" {
                h2 id="after" { (texts.after_title) }
                // What was written in paragraphs is read in paragraphs.
                @for paragraph in after.text.split('\n').filter(|line| !line.trim().is_empty()) { p { (outside(paragraph)) } }
                p.soft { (outside(&after.who)) ", " (moment(after.at_ns, now_ns)) }
            }
        }
    }
}

fn waves(incident: &Incident, now_ns: u64, language: Language) -> Markup {
    let texts = language.texts();
    let columns = [
        (texts.from, false),
        (texts.to, false),
        (texts.reports, true),
        (texts.usual, true),
        (texts.peak, true),
        (texts.known_after, true),
    ];
    let rows = html! {
        @for wave in &incident.waves {
            tr {
                th scope="row" { (moment(wave.start_ns, now_ns)) }
                td { @match wave.end_ns { Some(end_ns) => { (moment(end_ns, now_ns)) } None => { (texts.not_over) } } }
                td.num { (language.number(wave.reports)) }
                td.num { (language.decimal(wave.expected)) }
                td.num { (language.number(wave.peak)) }
                td.num { (language.duration(wave.detected_ns.saturating_sub(wave.start_ns))) }
            }
        }
    };
    table(texts.waves_title, &columns, &rows)
}

/// Who reported what from where, and what the checks found.
fn numbers(incident: &Incident, around: &Around<'_>, language: Language) -> Markup {
    let texts = language.texts();
    let columns = |first| [(first, false), ("", false), (texts.share_interval, true)];
    let countries = html! {
        @for (country, share) in incident.countries.iter().take(ROWS) {
            tr { th scope="row" { (language.country(country.as_str())) } (share_cells(*share, language)) }
        }
    };
    let networks = html! {
        @for (network, share) in incident.networks.iter().take(ROWS) {
            tr {
                th scope="row" { @if *network == 0 { (texts.network_other) } @else { (network_name(*network, around)) } }
                (share_cells(*share, language))
            }
        }
    };
    let symptoms = html! {
        @for (symptom, part) in incident.symptoms.iter().take(ROWS) {
            tr {
                th scope="row" { (symptom_word(&clean(symptom), language)) }
                (share_cells(super::layout::wilson((part * incident.reports as f64).round() as u64, incident.reports), language))
            }
        }
    };
    html! {
        @if let Some(probed) = &incident.probed {
            section aria-labelledby="checks" {
                h2 id="checks" { (texts.checks_title) }
                p { (plain(texts.incident_checks, &[
                    ("failed", &language.number(probed.failed)),
                    ("tried", &language.number(probed.tried)),
                    ("failing", &language.number(probed.failing_places as u64)),
                    ("places", &language.number(probed.places as u64)),
                ])) }
            }
        }
        @if !incident.countries.is_empty() {
            section.bare aria-labelledby="where" {
                h2 id="where" { (texts.where_title) }
                (table(texts.where_title, &columns(texts.country), &countries))
            }
        }
        @if !incident.networks.is_empty() {
            section.bare aria-labelledby="networks" {
                h2 id="networks" { (texts.networks_title) }
                (table(texts.networks_title, &columns(texts.network), &networks))
            }
        }
        @if !incident.symptoms.is_empty() {
            section.bare aria-labelledby="symptoms" {
                h2 id="symptoms" { (texts.symptoms_title) }
                (table(texts.symptoms_title, &columns(texts.symptom), &symptoms))
            }
        }
    }
}

/// The list of all incidents, newest first; `incidents` is the page of this number.
pub(crate) fn list(
    incidents: &[&Incident],
    config: &Config,
    around: &Around<'_>,
    now_ns: u64,
    (number, pages): (usize, usize),
    language: Language,
) -> String {
    let texts = language.texts();
    let main = html! {
        h1 { (texts.incidents) }
        @if incidents.is_empty() { p { (texts.incidents_none) } } @else {
            ul.past { @for incident in incidents {
                @let name = (around.service)(&incident.service).map_or_else(|| incident.service.clone(), |(name, _)| name);
                (line(incident, Some(&name), now_ns, language))
            } }
        }
        @if pages > 1 { (super::front::pager("", number, pages, language)) }
    };
    let query = if number > 1 {
        format!("page={number}")
    } else {
        String::new()
    };
    page(&Frame {
        title: format!("{} · {}", texts.incidents, config.site.name).into(),
        config,
        language,
        live: None,
        query: &query,
        is_public: true,
        main,
    })
}
