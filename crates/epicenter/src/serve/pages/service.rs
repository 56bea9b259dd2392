//! The page of a service: what is known in a sentence, a button for those who have trouble, and what the sentence rests on.

use atlas::Country;
use maud::{Markup, PreEscaped, html};

use super::chart::{self, chart};
use super::layout::{Frame, badge, confidence, moment, page, share_cells, table, wilson};
use super::{Around, incident, map};
use crate::case_text::capitalised;
use crate::page::{clean, link, outside};
use crate::serve::config::Config;
use crate::serve::lang::{Language, Texts, plain, say};
use crate::serve::state::{Incident, Standing, View};

/// Rows of the tables of countries and networks.
const ROWS: usize = 12;
/// Probes that are listed; those that fail come first.
const PROBES: usize = 24;
/// Statements with their verdicts on a page.
const SAID: usize = 12;
/// Reasons of a verdict that are shown.
const REASONS: usize = 8;
/// Incidents of the past that are listed.
const PAST: usize = 10;

/// The page.
pub(crate) fn render(view: &View, config: &Config, around: &Around<'_>, language: Language) -> String {
    let texts = language.texts();
    let service = &view.service;
    let now_ns = view.at_ns;
    let past: Vec<&Incident> = view.past.iter().map(|incident| &**incident).collect();
    let is_open = |incident: &&&Incident| {
        view.incident
            .as_deref()
            .is_some_and(|open| open.id == incident.id)
    };
    let over: Vec<&&Incident> = past
        .iter()
        .filter(|incident| !is_open(incident))
        .take(PAST)
        .collect();
    let total: u64 = view.bins.iter().map(|bin| bin.reports).sum();
    let has_probes = !service.probe.is_empty() || !view.probes.is_empty();
    let main = html! {
        h1 { (outside(&service.name)) }
        @if !service.about.is_empty() { p.soft { (outside(&service.about)) } }
        @if !service.url.is_empty() { p.soft { (link(&service.url)) } }
        p.state data-news { (badge(view.standing, texts)) }
        p.lead.calm[!view.standing.is_trouble()] { (sentences(view, around, language)) }
        @if !view.attacks.is_empty() { p.soft { (texts.say_who) } }
        p.soft { (say(texts.as_of, &[("time", moment(now_ns, now_ns))])) "." }
        (form(view, config, language))
        @if config.reports.comments {
            p { a href={ "/s/" (service.slug) "/comments" } { (texts.comments_link) } }
        }
        section aria-labelledby="day" {
            h2 id="day" { (texts.chart_title) }
            (chart(&view.bins, &past, has_probes, now_ns, language))
        }
        (timeline(view, around, language))
        (said(view, language))
        @if total > 0 {
            (symptoms(view, total, language))
            (places(view, total, language))
            (networks(view, total, around, language))
        }
        (probes(view, language))
        (neighbours(view, around, language))
        section aria-labelledby="past" {
            h2 id="past" { (texts.past_title) }
            @if over.is_empty() { p.soft { (texts.past_none) } } @else {
                ul.past { @for incident in &over { (incident::line(incident, None, now_ns, language)) } }
            }
        }
    };
    let live = format!("/s/{}/live", service.slug);
    page(&Frame {
        title: format!(
            "{}: {} · {}",
            service.name,
            super::layout::standing_word(view.standing, texts),
            config.site.name
        )
        .into(),
        config,
        language,
        live: Some((&live, view.version)),
        query: "",
        is_public: true,
        main,
    })
}

/// What is known, in sentences that say no more.
fn sentences(view: &View, around: &Around<'_>, language: Language) -> Markup {
    let texts = language.texts();
    let number = |n: usize| html! { (language.number(n as u64)) };
    let mut said = vec![html! { (people(view, language)) }];
    let (failing, all) = view.failing;
    if all > 0 {
        said.push(match (failing, view.failing_since_ns) {
            (0, _) => say(
                language.form(&texts.say_reached, all as u64),
                &[("n", number(all))],
            ),
            (failing, Some(since_ns)) => say(
                language.form(&texts.say_failing, all as u64),
                &[
                    ("time", moment(since_ns, view.at_ns)),
                    ("failing", number(failing)),
                    ("n", number(all)),
                ],
            ),
            (failing, None) => say(
                language.form(&texts.say_failing_now, all as u64),
                &[("failing", number(failing)), ("n", number(all))],
            ),
        });
    }
    for attack in view.attacks.iter().filter(|attack| attack.is_running).take(3) {
        said.push(say(
            texts.say_attack,
            &[
                ("time", moment(attack.attacked.start_ns, view.at_ns)),
                ("what", outside(&attack.vectors)),
            ],
        ));
    }
    // Why, while it matters: of what is over, its own page tells.
    if let Some(incident) = view.incident.as_deref().filter(|_| view.standing.is_trouble()) {
        said.extend(because(incident, around, language));
    }
    PreEscaped(
        said.into_iter()
            .map(|sentence| sentence.0)
            .collect::<Vec<_>>()
            .join(" "),
    )
}

/// How many reported, against the usual.
fn people(view: &View, language: Language) -> String {
    let texts = language.texts();
    let (reports, expected) = view.last_hour;
    let clause = plain(
        language.form(&texts.people, reports),
        &[("n", &language.number(reports))],
    );
    let is_known = !view.is_learning && expected.is_finite();
    let times = reports as f64 / expected;
    let phrase = match () {
        () if reports == 0 => texts.say_none,
        () if !is_known => texts.say_learning,
        () if reports <= chart::band(expected).1 => texts.say_usual,
        () if expected < 0.5 => texts.say_rare,
        () if times < 1.5 => texts.say_more,
        () => texts.say_times,
    };
    let factor = if is_known && expected > 0.0 {
        language.decimal(times)
    } else {
        String::new()
    };
    let mut said = plain(phrase, &[("reports", &clause), ("times", &factor)]);
    if reports == 0 && view.is_learning {
        said.push(' ');
        said.push_str(texts.stand_learning);
        said.push('.');
    }
    said
}

/// The cause of an incident where one is known, and how surely.
pub(crate) fn because(incident: &Incident, around: &Around<'_>, language: Language) -> Option<Markup> {
    let texts = language.texts();
    let neighbour = || match incident.cause.of.first() {
        Some(slug) => {
            let name = match (around.service)(slug) {
                Some((name, _)) => html! { a href={ "/s/" (slug) } { (outside(&name)) } },
                None => outside(slug),
            };
            say(texts.cause_neighbour, &[("of", name)])
        }
        None => html! { (texts.cause_neighbour_named) },
    };
    let words = match incident.told_cause() {
        "attack" => html! { (texts.cause_attack) },
        "own-fault" => html! { (texts.cause_own) },
        "neighbour" => neighbour(),
        "brigade" => html! { (texts.cause_brigade) },
        "provider" => html! { (texts.cause_provider) },
        _ => return None,
    };
    Some(if incident.named_cause.is_some() {
        say(texts.say_named, &[("cause", words)])
    } else {
        let sure = html! { (confidence(&incident.cause.confidence, texts)) };
        say(texts.say_cause, &[("cause", words), ("confidence", sure)])
    })
}

/// The button, and the symptoms: each sends the report by itself.
fn form(view: &View, config: &Config, language: Language) -> Markup {
    let texts = language.texts();
    let service = &view.service;
    let bits = config.reports.proof_of_work;
    let work = (bits > 0).then_some(bits);
    html! {
        section.report aria-labelledby="report" {
            h2 id="report" { (texts.report_title) }
            form id="report-form" method="post" action={ "/s/" (service.slug) "/report" } data-work=[work]
                data-ask=[work.map(|_| format!("/s/{}/work", service.slug))] data-wait=[work.map(|_| texts.report_wait)] {
                @if config.reports.comments {
                    details id="comment-box" {
                        summary { (texts.comment) }
                        label for="comment" { (texts.comment) }
                        textarea id="comment" name="comment" rows="3" maxlength="500" aria-describedby="comment-hint" {}
                        p.soft id="comment-hint" { (texts.comment_hint) }
                    }
                }
                p { button.big type="submit" name="symptom" value="" { (texts.report_button) } }
                @if !service.symptoms.is_empty() {
                    p id="choose" { (texts.report_symptoms) }
                    div.choices role="group" aria-labelledby="choose" {
                        @for symptom in &service.symptoms {
                            button type="submit" name="symptom" value=(clean(symptom)) { (symptom_word(symptom, language)) }
                        }
                    }
                }
                // For programs that fill in everything; people neither see it nor get there.
                div.trap aria-hidden="true" {
                    label for="website" { (texts.report_trap) }
                    input id="website" type="text" name="website" tabindex="-1" autocomplete="off";
                }
                @if work.is_some() {
                    input type="hidden" name="work" value="";
                    noscript { p { strong { (texts.report_work) } } }
                }
                p.soft { (texts.report_kept) " " a href="/about" { (texts.about) } }
            }
        }
    }
}

pub(crate) fn symptom_word(symptom: &str, language: Language) -> Markup {
    match language.symptom(symptom) {
        Some(word) => html! { (word) },
        None => outside(symptom),
    }
}

/// What happened in the incident that is open.
fn timeline(view: &View, around: &Around<'_>, language: Language) -> Markup {
    let texts = language.texts();
    let Some(incident) = view.incident.as_deref() else {
        return html! {};
    };
    html! {
        section aria-labelledby="timeline" {
            h2 id="timeline" { (texts.timeline_title) }
            (incident::timeline(incident, true, view.at_ns, language))
            @if !view.standing.is_trouble() && let Some(cause) = because(incident, around, language) { p { (cause) } }
            p { a href={ "/incidents/" (super::front::encode(&incident.id)) } { (texts.incident_link) } }
        }
    }
}

/// What was said of it, each with its verdict; how sure that is stands in a sentence of its own.
fn said(view: &View, language: Language) -> Markup {
    let texts = language.texts();
    html! {
        @if !view.said.is_empty() {
            section aria-labelledby="said" {
                h2 id="said" { (texts.claims_title) }
                @for one in view.said.iter().take(SAID) {
                    blockquote { p { (outside(&one.said)) } }
                    p.soft {
                        @if let Some(by) = &one.by { (outside(by)) }
                        @if let Some(at_ns) = one.at_ns { ", " (moment(at_ns, view.at_ns)) }
                        @if let Some(url) = &one.url { ", " (link(url)) }
                    }
                    p {
                        strong { (say(texts.said_verdict, &[("words", html! { (capitalised(verdict_words(&one.words, texts))) })])) }
                        @if let Some(about) = &one.about { " (" span lang="en" { (outside(about)) } ")" }
                        " "
                        (say(texts.said_confidence, &[("confidence", html! { (confidence(&one.confidence, texts)) })]))
                    }
                    details {
                        summary { (texts.said_why) }
                        ul lang="en" {
                            @for reason in one.because.iter().chain(&one.would_change).take(REASONS) { li { (outside(reason)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The words of a verdict (ICD 203) in a language.
fn verdict_words(words: &str, texts: &Texts) -> &'static str {
    match words {
        "almost no chance" => texts.words_none,
        "very unlikely" => texts.words_very_unlikely,
        "unlikely" => texts.words_unlikely,
        "roughly even chance" => texts.words_even,
        "likely" => texts.words_likely,
        "very likely" => texts.words_very_likely,
        "almost certain" => texts.words_certain,
        _ => texts.words_unknown,
    }
}

fn symptoms(view: &View, total: u64, language: Language) -> Markup {
    let texts = language.texts();
    let columns = [
        (texts.symptom, false),
        (texts.reports, true),
        ("", false),
        (texts.share_interval, true),
    ];
    let rows = html! {
        @for (symptom, n) in view.symptoms().iter().take(ROWS + 2) {
            tr {
                th scope="row" { (symptom_word(symptom, language)) }
                td.num { (language.number(*n)) }
                (share_cells(wilson(*n, total), language))
            }
        }
    };
    html! {
        section aria-labelledby="symptoms" {
            h2 id="symptoms" { (texts.symptoms_title) }
            (table(texts.last_day, &columns, &rows))
        }
    }
}

fn places(view: &View, total: u64, language: Language) -> Markup {
    let texts = language.texts();
    let countries = view.countries();
    let classes = map::classes(&countries);
    let named: Vec<String> = countries
        .iter()
        .filter(|(country, _)| *country != Country::UNKNOWN)
        .take(3)
        .map(|(country, _)| language.country(country.as_str()))
        .collect();
    let about = plain(texts.map_about, &[("countries", &named.join(", "))]);
    let columns = [
        (texts.country, false),
        (texts.reports, true),
        ("", false),
        (texts.share_interval, true),
    ];
    let rows = html! {
        @for (country, n) in countries.iter().take(ROWS) {
            tr {
                th scope="row" { (language.country(country.as_str())) }
                td.num { (language.number(*n)) }
                (share_cells(wilson(*n, total), language))
            }
        }
        (rest(countries.iter().skip(ROWS).map(|(_, n)| *n).sum(), total, language))
    };
    html! {
        section aria-labelledby="where" {
            h2 id="where" { (texts.where_title) }
            @if !classes.is_empty() {
                img.map src={ "/s/" (view.service.slug) "/map.svg?v=" (map::version(&classes)) } alt=(about)
                    width=(crate::world::WIDTH) height=(crate::world::HEIGHT) loading="lazy";
                (map::legend(language))
            }
            (table(texts.last_day, &columns, &rows))
        }
    }
}

/// What a table leaves out.
fn rest(n: u64, total: u64, language: Language) -> Markup {
    html! {
        @if n > 0 {
            tr {
                th scope="row" { (language.texts().others) }
                td.num { (language.number(n)) }
                (share_cells(wilson(n, total), language))
            }
        }
    }
}

fn networks(view: &View, total: u64, around: &Around<'_>, language: Language) -> Markup {
    let texts = language.texts();
    let all = view.networks();
    let (known, unknown): (Vec<_>, Vec<_>) = all.iter().partition(|(network, _)| *network != 0);
    let left: u64 = known.iter().skip(ROWS).chain(&unknown).map(|(_, n)| *n).sum();
    let columns = [
        (texts.network, false),
        (texts.reports, true),
        ("", false),
        (texts.share_interval, true),
    ];
    let rows = html! {
        @for (network, n) in known.iter().take(ROWS) {
            tr {
                th scope="row" { (network_name(*network, around)) }
                td.num { (language.number(*n)) }
                (share_cells(wilson(*n, total), language))
            }
        }
        @if left > 0 {
            tr {
                th scope="row" { (texts.network_other) }
                td.num { (language.number(left)) }
                (share_cells(wilson(left, total), language))
            }
        }
    };
    html! {
        section aria-labelledby="networks" {
            h2 id="networks" { (texts.networks_title) }
            (table(texts.last_day, &columns, &rows))
        }
    }
}

/// The number of a network, and its name where it has one.
pub(crate) fn network_name(network: u32, around: &Around<'_>) -> Markup {
    html! {
        "AS" (network)
        @if let Some(name) = (around.network)(network) { " " (outside(&clean(name).chars().take(60).collect::<String>())) }
    }
}

fn probes(view: &View, language: Language) -> Markup {
    let texts = language.texts();
    let mut probes: Vec<_> = view.probes.iter().collect();
    probes.sort_by_key(|probe| match probe.ok {
        Some(false) => 0,
        None => 1,
        Some(true) => 2,
    });
    let columns = [
        (texts.place, false),
        (texts.check, false),
        (texts.state, false),
        (texts.when, false),
        (texts.took, true),
        (texts.certificate, false),
    ];
    let rows = html! {
        @for probe in probes.iter().take(PROBES) {
            tr {
                th scope="row" { (outside(&probe.place)) }
                td { (outside(&probe.kind)) " " (probe.probe + 1) }
                td {
                    @match probe.ok {
                        Some(true) => { (badge_of("well", "M3 8l2-2 2 2 5-5 2 2-7 7z", texts.state_ok)) }
                        Some(false) => { (badge_of("ill", "M3 5l2-2 3 3 3-3 2 2-3 3 3 3-2 2-3-3-3 3-2-2 3-3z", texts.state_bad)) }
                        None => { (badge_of("dim", "M2 7h12v2H2z", texts.state_none)) }
                    }
                    @if probe.ok != Some(true) && !probe.reason.is_empty() { br; span.soft lang="en" { (outside(&short(&probe.reason))) } }
                }
                td { (moment(probe.at_ns, view.at_ns)) }
                td.num { @match probe.ms { Some(ms) => { (language.number(ms.max(0.0).round() as u64)) " ms" } None => { "–" } } }
                td { @match probe.certificate_ends_s {
                    Some(ends_s) => { (crate::case_json::time(ends_s.saturating_mul(1_000_000_000)).get(..10).unwrap_or_default()) }
                    None => { "–" }
                } }
            }
        }
    };
    html! {
        section aria-labelledby="checks" {
            h2 id="checks" { (texts.checks_title) }
            @if view.service.probe.is_empty() && probes.is_empty() { p.soft { (texts.checks_none) } }
            @else if probes.is_empty() { p.soft { (texts.state_none) "." } }
            @else { (table(texts.checks_title, &columns, &rows)) }
        }
    }
}

fn badge_of(class: &str, sign: &str, word: &str) -> Markup {
    html! { span class={ "badge " (class) } {
        svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" { path d=(sign) {} }
        (word)
    } }
}

/// Reasons come from servers that say what they like, as long as they like.
fn short(reason: &str) -> String {
    let mut text: String = reason.chars().take(160).collect();
    if text.len() < reason.len() {
        text.push('…');
    }
    text
}

fn neighbours(view: &View, around: &Around<'_>, language: Language) -> Markup {
    let texts = language.texts();
    let known: Vec<(&str, String, Standing)> = view
        .service
        .neighbours
        .iter()
        .filter(|slug| **slug != view.service.slug)
        .take(20)
        .filter_map(|slug| {
            let (name, standing) = (around.service)(slug)?;
            Some((slug.as_str(), name, standing))
        })
        .collect();
    html! {
        @if !known.is_empty() {
            section aria-labelledby="neighbours" {
                h2 id="neighbours" { (texts.neighbours_title) }
                ul.past { @for (slug, name, standing) in &known {
                    li { a href={ "/s/" (slug) } { (outside(name)) } " " (badge(*standing, texts)) }
                } }
            }
        }
    }
}
