//! What operators see. All text from outside goes through [`outside`].

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use axum::response::Html;
use maud::{Markup, PreEscaped, html};
use store::Entry;

use super::super::config::Service;
use super::super::engine::Look;
use super::super::http::App;
use super::super::state::{Incident, Standing, View};
use super::comments::{Comment, WAITING_SHOWN};
use super::session::{PASSWORD_MIN, Role, Scope, Seat, Session, Token, User};
use super::{ENTRIES, Line, OF_INCIDENT_MAX, Reporting, TEXT_MAX, line};
use crate::case_json::time;
use crate::case_text::{count, counted, metric};
use crate::page::{clean, numbers, outside, table, words};

/// Services and incidents of a list.
const LISTED: usize = 200;
/// Networks of a service's page.
const NETWORKS: usize = 30;
/// Seconds that clocks may be apart before it is told.
const BEHIND_S: u64 = 5;

/// A page.
fn shell(site: &str, title: &str, seat: Option<&Seat>, body: &Markup) -> Html<String> {
    let page = html! {
        (PreEscaped("<!doctype html>\n"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (clean(title)) " – " (clean(site)) }
                link rel="icon" href="/favicon.svg" type="image/svg+xml";
                link rel="stylesheet" href=(crate::serve::pages::files::STYLE.address());
                link rel="stylesheet" href="/console/console.css";
            }
            body.console {
                a.skip href="#main" { "To the content" }
                @if let Some(seat) = seat { (nav(site, seat)) }
                main #main { (body) }
            }
        }
    };
    Html(page.into_string())
}

fn nav(site: &str, seat: &Seat) -> Markup {
    let mut places = vec![
        ("/console", "Overview"),
        ("/console/incidents", "Incidents"),
        ("/console/comments", "Comments"),
        ("/console/journal", "Journal"),
    ];
    if seat.role >= Role::Operator {
        places.extend([("/console/users", "Users"), ("/console/tokens", "Tokens")]);
    }
    html! {
        header.top {
            nav aria-label="Console" {
                a.site href="/" { (outside(site)) }
                ul { @for (to, name) in places { li { a href=(to) { (name) } } } }
            }
            form method="post" action="/console/logout" {
                (proof(seat))
                a href="/console/password" { (seat.name) } " (" (seat.role.name()) ") "
                button.plain { "Sign out" }
            }
        }
    }
}

fn site(app: &App) -> String {
    app.state.config.load().site.name.clone()
}

/// What every form carries.
fn proof(seat: &Seat) -> Markup {
    html! { input type="hidden" name="form" value=(seat.form); }
}

fn flash(told: Option<&str>) -> Markup {
    html! { @if let Some(told) = told { p.done role="status" { (told) } } }
}

/// A time to the second.
fn at(ns: u64) -> Markup {
    crate::case_html::at(ns - ns % 1_000_000_000)
}

/// A share in whole per cent.
fn percent(share: f64) -> String {
    match share * 100.0 {
        p if p > 0.0 && p < 1.0 => "under 1\u{a0}%".to_owned(),
        p => format!("{p:.0}\u{a0}%"),
    }
}

fn standing(standing: Standing) -> Markup {
    html! { span.standing.trouble[standing.is_trouble()] { (standing.name()) } }
}

/// Text of several lines, as it was written.
fn prose(text: &str) -> Markup {
    html! { @for line in text.lines() { p { (outside(line)) } } }
}

pub(crate) fn refused(status: StatusCode, words: &str) -> Html<String> {
    let title = status.canonical_reason().unwrap_or("Not done");
    let body = html! {
        h1 { (title) }
        p { (outside(words)) }
        p { a href="/console" { "To the console" } }
    };
    shell("Epicenter", title, None, &body)
}

/// A page that asks for itself again, from a page of ours.
pub(crate) fn again() -> Html<String> {
    let head = "<meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0\"><title>Console</title>";
    Html(format!("<!doctype html><html lang=\"en\">{head}"))
}

pub(crate) fn login(app: &App, next: &str, wrong: Option<&str>) -> Html<String> {
    let body = html! {
        h1 { "Sign in" }
        p.soft { "For those who run " (outside(&site(app))) ". Reports need no account." }
        @if let Some(wrong) = wrong { p.wrong role="alert" { (wrong) } }
        form.stack method="post" action="/console/login" {
            input type="hidden" name="next" value=(next);
            label { "Name" input name="name" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus; }
            label { "Password" input name="password" type="password" autocomplete="current-password" required; }
            button { "Sign in" }
        }
    };
    shell(&site(app), "Sign in", None, &body)
}

/// Services in trouble first, then those that learn, then by name.
fn sorted(app: &App, asked: &str) -> Vec<std::sync::Arc<View>> {
    let asked = asked.to_lowercase();
    let mut views: Vec<_> = app
        .state
        .services
        .load()
        .values()
        .map(|slot| slot.view.load_full())
        .filter(|view| {
            view.service.slug.contains(&asked) || view.service.name.to_lowercase().contains(&asked)
        })
        .collect();
    views.sort_by(|a, b| {
        let trouble = |view: &View| (view.standing.is_trouble(), view.standing);
        trouble(b)
            .cmp(&trouble(a))
            .then_with(|| a.service.slug.cmp(&b.service.slug))
    });
    views
}

/// Incidents that last, those that nobody has in hand first, then the newest.
fn open(app: &App) -> Vec<std::sync::Arc<Incident>> {
    let mut open: Vec<_> = app
        .state
        .incidents
        .load()
        .values()
        .filter(|one| one.standing.is_trouble() && one.merged_into.is_none())
        .cloned()
        .collect();
    open.sort_by_key(|one| (one.acknowledged.is_some(), std::cmp::Reverse(one.start_ns)));
    open
}

pub(crate) fn overview(app: &App, seat: &Seat, look: &Look, bytes: (u64, u64), asked: &str) -> Html<String> {
    let config = app.state.config.load();
    let counters = &app.state.counters;
    let views = sorted(app, asked);
    let open = open(app);
    let limit = config.data.size.0;
    let used = bytes.0 as f64 / limit.max(1) as f64;
    let is_full = app.state.is_full.load(Ordering::Relaxed);
    let number = |counter: &std::sync::atomic::AtomicU64| count(counter.load(Ordering::Relaxed));
    let body = html! {
        h1 { "Overview" }
        @if is_full {
            p.wrong role="alert" { "There is no room in the data file: reports are refused. Raise data.size or make room on the disk." }
        }
        @if look.behind_s >= BEHIND_S {
            p.wrong role="alert" {
                "The system's clock is " (counted(look.behind_s, "second", "seconds"))
                " behind: it went back. Time goes on as it was until the clock is there again."
            }
        }
        h2 { "Open incidents" }
        @if open.is_empty() { p.soft { "None." } } @else { (incident_table("Open incidents", &open)) }
        h2 { "Services" }
        form.find method="get" action="/console" {
            label { "Find " input name="q" value=(clean(asked)); } " " button.plain { "Find" }
        }
        (service_table(&views))
        @if views.len() > LISTED { p.soft { (count((views.len() - LISTED) as u64)) " more; find them by name." } }
        h2 { "This tracker" }
        dl.facts {
            dt { "Data file" }
            dd {
                (metric(bytes.0 as f64)) "B of " (metric(limit as f64)) "B (" (percent(used)) "); "
                (metric(bytes.1 as f64)) "B free in it, " (metric(limit.saturating_sub(bytes.0) as f64)) "B may be added"
                @if used >= 0.9 { " " strong.trouble { "nearly full" } }
            }
            dt { "Reports" }
            dd { (number(&counters.accepted)) " counted, " (number(&counters.repeated)) " repeated by the same person, "
                (number(&counters.limited)) " beyond the limit of a network, "
                (number(&counters.honeypot)) " by programs that fill what people do not see, "
                (number(&counters.refused_full)) " refused for want of room, "
                (number(&counters.refused_busy)) " asked in vain while it was busy" }
            dt { "Not counted" }
            dd { (counted(look.uncounted.0, "signal", "signals")) " without room, " (count(look.uncounted.1)) " that came too late" }
            dt { "Requests" }
            dd { (number(&counters.requests)) ", of which " (number(&counters.rejected)) " refused" }
            dt { "Clock" }
            dd { @if look.behind_s < BEHIND_S { "goes on steadily" } @else { (counted(look.behind_s, "second", "seconds")) " behind" } }
        }
        p.soft { "Counts since the start of the program." }
    };
    shell(&config.site.name, "Overview", Some(seat), &body)
}

/// Reports that were to be expected in the last 15 minutes.
fn expected(view: &View) -> String {
    if view.is_learning {
        "–".to_owned()
    } else {
        format!("{:.1}", view.last_15.1)
    }
}

fn service_table(views: &[std::sync::Arc<View>]) -> Markup {
    let rows = html! {
        @for view in views.iter().take(LISTED) {
            tr {
                th scope="row" { a href={ "/console/services/" (view.service.slug) } { (outside(&view.service.name)) } }
                td { (standing(view.standing)) }
                td.num { (count(view.last_15.0)) } td.num { (expected(view)) }
                td.num { (count(view.last_hour.0)) }
                td.num { @if view.failing.1 > 0 { (view.failing.0) " of " (view.failing.1) } @else { "–" } }
            }
        }
    };
    let columns = [
        words("Service"),
        words("Stands"),
        numbers("Reports, 15 min"),
        numbers("Expected"),
        numbers("Reports, 1 h"),
        numbers("Places failing"),
    ];
    table("Services, those in trouble first", &columns, &rows)
}

fn incident_table(caption: &str, incidents: &[std::sync::Arc<Incident>]) -> Markup {
    let rows = html! {
        @for one in incidents.iter().take(LISTED) {
            tr {
                th scope="row" { a href={ "/console/incidents/" (one.id) } { (outside(&one.service)) } }
                td { (at(one.start_ns)) }
                td { (standing(one.standing)) }
                td { @match &one.acknowledged {
                    Some((who, _)) => (outside(who)),
                    None if one.standing.is_trouble() => strong.trouble { "nobody" },
                    None => "–",
                } }
                td { (outside(one.told_cause())) }
                td.num { (count(one.reports)) }
            }
        }
    };
    let columns = [
        words("Service"),
        words("Since"),
        words("Stands"),
        words("In hand of"),
        words("Cause"),
        numbers("Reports"),
    ];
    table(caption, &columns, &rows)
}

pub(crate) fn incidents(app: &App, seat: &Seat) -> Html<String> {
    let mut all: Vec<_> = app.state.incidents.load().values().cloned().collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.start_ns));
    let body = html! {
        h1 { "Incidents" }
        @if all.is_empty() { p.soft { "There was none yet." } } @else { (incident_table("Incidents, newest first", &all)) }
        @if all.len() > LISTED { p.soft { "And " (count((all.len() - LISTED) as u64)) " older ones: the journal names them." } }
    };
    shell(&site(app), "Incidents", Some(seat), &body)
}

/// A network by number and name.
fn network(number: u32, names: &BTreeMap<u32, &str>) -> Markup {
    html! {
        @if number == 0 { "not told apart, or unknown" }
        @else { "AS" (number) @if let Some(name) = names.get(&number) { " " (outside(name)) } }
    }
}

/// A surge from one network, as what it is.
pub(crate) fn brigade(one: &Reporting, names: &BTreeMap<u32, &str>) -> Markup {
    html! {
        strong { (network(one.network, names)) } " sent " (percent(one.share)) " of the reports; the detector counts at most "
        (percent(one.counted / one.reports.max(1) as f64)) " of them."
    }
}

pub(crate) fn service(
    app: &App,
    seat: &Seat,
    view: &View,
    look: &Look,
    networks: &[Reporting],
) -> Html<String> {
    let numbered: Vec<u32> = networks.iter().take(NETWORKS).map(|one| one.network).collect();
    let names = app.atlas.networks(&numbered);
    let brigades: Vec<&Reporting> = networks.iter().filter(|one| one.is_brigade()).collect();
    let all: u64 = networks.iter().map(|one| one.reports).sum();
    let let_in: f64 = networks.iter().map(|one| one.counted).sum();
    let slug = &view.service.slug;
    let rows = html! {
        @for one in networks.iter().take(NETWORKS) {
            tr {
                th scope="row" { (network(one.network, &names)) }
                td.num { (count(one.reports)) }
                td.num { (percent(one.share)) }
                td.num { @match one.usual { Some(usual) => (percent(usual)), None => "–" } }
                td.num { (count(one.counted.round() as u64)) " (" (percent(one.counted / one.reports.max(1) as f64)) ")" }
            }
        }
    };
    let columns = [
        words("Network"),
        numbers("Reports"),
        numbers("Share"),
        numbers("Usual share"),
        numbers("Counted at most"),
    ];
    let body = html! {
        h1 { (outside(&view.service.name)) }
        p { (standing(view.standing)) " · " (count(view.last_15.0)) " reports in 15 minutes, "
            @if view.is_learning { "and what is usual is not known yet" } @else { (expected(view)) " expected" }
            " · " a href={ "/s/" (slug) } { "public page" } }
        @if let Some(incident) = &view.incident {
            p { a href={ "/console/incidents/" (incident.id) } { "The incident since " (at(incident.start_ns)) } }
        }
        h2 { "Networks of those who reported" }
        @if brigades.is_empty() { p.soft { "No network sends more than the detector lets count." } }
        @for one in &brigades { p.brigade { (brigade(one, &names)) } }
        @if networks.is_empty() { p.soft { "Nobody reported within the last day." } } @else {
            (table("The last 24 hours", &columns, &rows))
            p.soft { "Of " (counted(all, "report", "reports")) " of the last day the detector counts " (count(let_in.round() as u64))
                " at most: in a minute one network may add one report and three times its usual share of what counts." }
        }
        p.soft { "Since the start of the program " (counted(look.repeated, "report was", "reports were"))
            " repeated by persons who had reported within half an hour, and " (counted(look.limited, "was", "were"))
            " beyond the limit of a network: none of them counts." }
        (probes(view))
        @if !view.past.is_empty() {
            h2 { "Incidents" }
            (incident_table("Its last incidents", &view.past))
        }
    };
    shell(&site(app), &view.service.name, Some(seat), &body)
}

fn probes(view: &View) -> Markup {
    let rows = html! {
        @for one in &view.probes {
            tr {
                th scope="row" { (outside(&one.place)) }
                td { (outside(&one.kind)) " " (one.probe + 1) }
                td { @match one.ok {
                    Some(true) => "works", Some(false) => strong.trouble { "fails" }, None => "no data",
                } }
                td.says { (outside(&one.reason)) }
                td.num { @if let Some(ms) = one.ms { (format!("{ms:.0} ms")) } @else { "–" } }
                td { @if let Some(ends) = one.certificate_ends_s { (at(ends.saturating_mul(1_000_000_000))) } @else { "–" } }
                td.num { (count(one.failed)) " of " (count(one.tried)) }
                td { (at(one.at_ns)) }
            }
        }
    };
    let columns = [
        words("Place"),
        words("Probe"),
        words("Last"),
        words("Why"),
        numbers("Took"),
        words("Certificate ends"),
        numbers("Failed"),
        words("When"),
    ];
    html! {
        h2 { "Probes" }
        @if view.probes.is_empty() { p.soft { "None has come." } } @else { (table("The last result of each, by place", &columns, &rows)) }
    }
}

pub(crate) fn incident(
    app: &App,
    seat: &Seat,
    one: &Incident,
    entries: &[Entry],
    told: Option<&str>,
) -> Html<String> {
    let numbered: Vec<u32> = one.networks.iter().map(|(network, _)| *network).collect();
    let names = app.atlas.networks(&numbered);
    let share = |[estimate, low, high]: [f64; 3]| {
        format!(
            "{} ({:.0} to {:.0})",
            percent(estimate),
            low * 100.0,
            high * 100.0
        )
    };
    let body = html! {
        h1 { (outside(&one.service)) ": " (standing(one.standing)) }
        (flash(told))
        p { "Since " (at(one.start_ns)) @if let Some(end) = one.end_ns { ", until " (at(end)) }
            " · " a href={ "/console/services/" (one.service) } { "the service" } " · " code { (one.id) } }
        @if let Some(into) = &one.merged_into {
            p { "It belongs to " a href={ "/console/incidents/" (into) } { code { (into) } } "." }
        }
        dl.facts {
            dt { "In hand of" }
            dd { @match &one.acknowledged {
                Some((who, ns)) => { (outside(who)) " since " (at(*ns)) },
                None => strong.trouble[one.standing.is_trouble()] { "nobody" },
            } }
            dt { "Cause" }
            dd {
                @if let Some(named) = &one.named_cause { (outside(named)) ", as an operator says; found was: " }
                (outside(&one.cause.kind)) @if !one.cause.of.is_empty() { " (" (outside(&one.cause.of.join(", "))) ")" }
                ", " (outside(&one.cause.confidence)) " confidence"
                @for why in &one.cause.because { br; (outside(why)) }
            }
            dt { "Reports" }
            dd { (count(one.reports)) ", " (count(one.expected.round() as u64)) " expected"
                @if one.limited > 0.005 { "; " (percent(one.limited)) " of them did not count: more than their networks usually send" } }
            @if let Some(probed) = &one.probed {
                dt { "Probes" }
                dd { (count(probed.failed)) " of " (count(probed.tried)) " failed, at most "
                    (probed.failing_places) " of " (probed.places) " places at once" }
            }
            @if !one.networks.is_empty() {
                dt { "Networks" }
                dd { @for (number, of) in &one.networks { (network(*number, &names)) ": " (share(*of)) br; } }
            }
            @if !one.countries.is_empty() {
                dt { "Countries" }
                dd { @for (country, of) in one.countries.iter().take(10) { (country.as_str()) ": " (share(*of)) br; } }
            }
            @for attack in &one.attacks { dt { "Attack" } dd { (outside(attack)) } }
            @for caveat in &one.caveats { dt { "Not known" } dd { (outside(caveat)) } }
        }
        @if !one.updates.is_empty() {
            h2 { "Updates" }
            @for update in one.updates.iter().rev() {
                article.said { p.soft { (at(update.at_ns)) ", " (outside(&update.who)) } (prose(&update.text)) }
            }
        }
        @if let Some(said) = &one.post_mortem {
            h2 { "Post-mortem" }
            article.said { p.soft { (at(said.at_ns)) ", " (outside(&said.who)) } (prose(&said.text)) }
        }
        @if seat.role >= Role::Operator { (deeds(app, seat, one)) } @else { p.soft { "You are a viewer: operators act here." } }
        h2 { "Its journal" }
        @if entries.is_empty() { p.soft { "Nothing is written down yet." } } @else {
            (lines("What was found and done, oldest first", &entries.iter().map(|entry| line(entry, seat.role)).collect::<Vec<_>>()))
            @if entries.len() >= OF_INCIDENT_MAX { p.soft { "Only the first " (count(OF_INCIDENT_MAX as u64)) " entries are shown." } }
        }
    };
    shell(
        &site(app),
        &format!("{}: incident", one.service),
        Some(seat),
        &body,
    )
}

/// The forms of all deeds.
fn deeds(app: &App, seat: &Seat, one: &Incident) -> Markup {
    let to = |deed: &str| format!("/console/incidents/{}/{deed}", one.id);
    let known = app.state.incidents.load();
    let mut others: Vec<_> = known.values().filter(|other| other.id != one.id).collect();
    others.sort_by_key(|other| (other.start_ns.abs_diff(one.start_ns), other.id.clone()));
    others.truncate(50);
    let causes = [
        "attack",
        "own-fault",
        "provider",
        "neighbour",
        "brigade",
        "unknown",
    ];
    let post_mortem = one.post_mortem.as_ref().map_or("", |said| said.text.as_str());
    html! {
        h2 { "Do" }
        div.deeds {
            @if one.acknowledged.is_none() {
                form method="post" action=(to("acknowledge")) { (proof(seat)) h3 { "Take it in hand" } button { "I have it in hand" } }
            }
            form method="post" action=(to("update")) {
                (proof(seat)) h3 { "Publish an update" }
                label { "What everybody may know" textarea name="text" rows="4" maxlength=(TEXT_MAX) required {} }
                button { "Publish" }
            }
            form method="post" action=(to("cause")) {
                (proof(seat)) h3 { "Name the cause" }
                label { "Cause" select name="cause" {
                    @for cause in causes { option value=(cause) selected[cause == one.told_cause()] { (cause) } }
                } }
                button { "Name it" }
            }
            @if !others.is_empty() {
                form method="post" action=(to("merge")) {
                    (proof(seat)) h3 { "Merge" }
                    label { "It belongs to" select name="into" {
                        @for other in others {
                            @let since_ns = other.start_ns - other.start_ns % 1_000_000_000;
                            option value=(other.id) { (clean(&other.service)) ", " (time(since_ns)) }
                        }
                    } }
                    button { "Merge" }
                }
            }
            form method="post" action=(to("post-mortem")) {
                (proof(seat)) h3 { "Post-mortem" }
                label { "What happened, and what is done about it"
                    textarea name="text" rows="6" maxlength=(TEXT_MAX) required { (post_mortem) } }
                button { "Publish" }
            }
        }
    }
}

/// Entries of the journal.
fn lines(caption: &str, lines: &[Line]) -> Markup {
    let rows = html! {
        @for line in lines {
            tr {
                th.num scope="row" { (line.seq) }
                td { (at(line.at_ns)) }
                td { (outside(&line.kind)) }
                td { (outside(&line.who)) }
                td.says {
                    (outside(&line.what))
                    @if let Some(body) = &line.body {
                        details { summary { "Lines" } pre { @for one in body.lines() { (outside(one)) "\n" } } }
                    }
                }
                td { code title=(line.hash) { (line.hash.get(..16).unwrap_or_default()) "…" } }
            }
        }
    };
    let columns = [
        numbers("No."),
        words("When"),
        words("Kind"),
        words("Who"),
        words("What"),
        words("Hash"),
    ];
    table(caption, &columns, &rows)
}

pub(crate) fn journal(app: &App, seat: &Seat, shown: &[Line], last: u64, kind: &str) -> Html<String> {
    let kinds = [
        "", "incident", "deed", "comment", "user", "token", "login", "reports", "probes",
    ];
    let of = if kinds.contains(&kind) { kind } else { "" };
    let older = shown
        .last()
        .filter(|line| shown.len() >= ENTRIES && line.seq > 1)
        .map(|line| line.seq);
    let body = html! {
        h1 { "Journal" }
        p { (counted(last, "entry", "entries")) ". Each carries the hash of all before it, so that nothing can be changed, "
            "taken out or put in without breaking the chain." }
        p.kinds { @for one in kinds {
            @let name = if one.is_empty() { "all" } else { one };
            @if one == kind { strong { (name) } } @else { a href={ "/console/journal?kind=" (one) } { (name) } } " "
        } }
        @if shown.is_empty() { p.soft { "There are none." } } @else { (lines("Entries, newest first", shown)) }
        @if let Some(older) = older { p { a rel="next" href={ "/console/journal?kind=" (of) "&before=" (older) } { "Older entries" } } }
    };
    shell(&site(app), "Journal", Some(seat), &body)
}

pub(crate) fn comments(
    app: &App,
    seat: &Seat,
    waiting: &[(String, Comment)],
    all: usize,
    published: &[(String, Comment)],
    told: Option<&str>,
) -> Html<String> {
    let is_operator = seat.role >= Role::Operator;
    let button = |decision: &str, name: &str, words: &str| {
        html! {
            form.inline method="post" action={ "/console/comments/" (decision) } {
                (proof(seat)) input type="hidden" name="name" value=(name); button.plain { (words) }
            }
        }
    };
    let body = html! {
        h1 { "Comments" }
        (flash(told))
        @if !app.state.config.load().reports.comments {
            p.soft { "People cannot write comments here, and none is shown: reports.comments is false." }
        }
        h2 { "Waiting" }
        @if waiting.is_empty() { p.soft { "None waits." } }
        @else if all > WAITING_SHOWN { p.soft { "The oldest " (waiting.len()) " of " (count(all as u64)) "." } }
        @for (name, comment) in waiting {
            article.said {
                (of(comment)) (prose(&comment.text))
                @if is_operator { (button("publish", name, "Publish")) " " (button("reject", name, "Delete")) }
            }
        }
        h2 { "Published" }
        @if published.is_empty() { p.soft { "None is." } }
        @for (name, comment) in published {
            article.said {
                (of(comment)) (prose(&comment.text))
                @if is_operator { (button("withdraw", name, "Withdraw and delete")) }
            }
        }
    };
    shell(&site(app), "Comments", Some(seat), &body)
}

/// When it was written, to the second.
fn moment(comment: &Comment) -> Markup {
    let second = comment.at.split(['.', 'Z']).next().unwrap_or_default();
    html! { time.t datetime={ (clean(second)) "Z" } { (clean(&second.replace('T', " "))) " UTC" } }
}

/// Of what, when and from where.
fn of(comment: &Comment) -> Markup {
    html! { p.soft { (outside(&comment.service)) ", " (moment(comment)) ", " (outside(&comment.country)) } }
}

pub(crate) fn public_comments(app: &App, service: &Service, comments: &[Comment]) -> Html<String> {
    let body = html! {
        h1 { "What people say of " (outside(&service.name)) }
        p { a href={ "/s/" (service.slug) } { "How it is" } }
        p.soft { "Comments of people who reported trouble, as they wrote them. They were read before they were "
            "shown; whether they are right was not checked." }
        @if comments.is_empty() { p.soft { "There is none." } }
        @for comment in comments {
            article.said {
                (prose(&comment.text))
                p.soft { (moment(comment)) ", " (outside(&comment.country)) }
            }
        }
    };
    shell(&site(app), &format!("Comments on {}", service.name), None, &body)
}

/// Where a new password is written.
fn new_password(name: &str) -> Markup {
    html! { input type="password" name=(name) minlength=(PASSWORD_MIN) autocomplete="new-password" required; }
}

pub(crate) fn users(
    app: &App,
    seat: &Seat,
    users: &[(String, User)],
    sessions: &[(String, Session)],
    told: Option<&str>,
) -> Html<String> {
    let action = |change: &str| format!("/console/users/{change}");
    let named = |name: &str| html! { (proof(seat)) input type="hidden" name="name" value=(name); };
    let rows = html! {
        @for (name, user) in users {
            @let seen = sessions.iter().filter(|(_, one)| one.user == *name).map(|(_, one)| one.seen_ns).max();
            @let other = if user.role == Role::Operator { Role::Viewer } else { Role::Operator };
            tr {
                th scope="row" { (name) @if *name == seat.name { " (you)" } }
                td { (user.role.name()) }
                td { (at(user.created_ns)) }
                td { @if let Some(seen) = seen { "since " (at(seen)) } @else { "not signed in" } }
                td {
                    details {
                        summary { "Change" }
                        form.inline method="post" action=(action("role")) {
                            (named(name)) input type="hidden" name="role" value=(other.name()); button.plain { "Make " (other.name()) }
                        }
                        form.inline method="post" action=(action("password")) {
                            (named(name))
                            label { "New password " (new_password("password")) }
                            " " button.plain { "Set" }
                        }
                        form.inline method="post" action=(action("remove")) { (named(name)) button.plain { "Remove " (name) } }
                    }
                }
            }
        }
    };
    let columns = [
        words("Name"),
        words("Role"),
        words("Made"),
        words("Active"),
        words(""),
    ];
    let body = html! {
        h1 { "Users" }
        (flash(told))
        (table("Who may sign in", &columns, &rows))
        h2 { "Add a user" }
        form.stack method="post" action=(action("add")) {
            (proof(seat))
            label { "Name" input name="name" autocapitalize="none" spellcheck="false" autocomplete="off" required; }
            label { "Password, " (PASSWORD_MIN) " characters at least" (new_password("password")) }
            label { "Role" select name="role" {
                option value="viewer" { "viewer: reads" }
                option value="operator" { "operator: reads and does" }
            } }
            button { "Add" }
        }
    };
    shell(&site(app), "Users", Some(seat), &body)
}

pub(crate) fn tokens(
    app: &App,
    seat: &Seat,
    tokens: &[(String, Token)],
    new: Option<&str>,
    told: Option<&str>,
) -> Html<String> {
    let rows = html! {
        @for (id, token) in tokens {
            tr {
                th scope="row" { (outside(&token.name)) }
                td { @for scope in &token.scopes { (scope.name()) " " } }
                td { (at(token.created_ns)) ", " (outside(&token.by)) }
                td { code { (id) } }
                td {
                    form.inline method="post" action="/console/tokens/revoke" {
                        (proof(seat)) input type="hidden" name="id" value=(id); button.plain { "Revoke" }
                    }
                }
            }
        }
    };
    let columns = [
        words("Name"),
        words("Good for"),
        words("Made"),
        words("Begins"),
        words(""),
    ];
    let what = |scope| match scope {
        Scope::Probes => "bring results of probes",
        Scope::Read => "read what is not public",
        Scope::Operate => "do what operators do",
    };
    let body = html! {
        h1 { "Tokens" }
        (flash(told))
        @if let Some(new) = new {
            p.done role="status" { "The new token, which is shown this once: " code.token { (new) } }
        }
        p { "A program shows one as " code { "Authorization: Bearer epicenter_…" } "." }
        @if tokens.is_empty() { p.soft { "There is none." } } @else { (table("Tokens in force", &columns, &rows)) }
        h2 { "Make a token" }
        form.stack method="post" action="/console/tokens/add" {
            (proof(seat))
            label { "Name" input name="name" autocapitalize="none" spellcheck="false" autocomplete="off" required; }
            fieldset {
                legend { "Good for" }
                @for scope in Scope::ALL {
                    label.check { input type="checkbox" name=(scope.name()) value="yes"; " " (scope.name()) ": " (what(scope)) }
                }
            }
            button { "Make" }
        }
    };
    shell(&site(app), "Tokens", Some(seat), &body)
}

pub(crate) fn password(app: &App, seat: &Seat, told: Option<&str>) -> Html<String> {
    let body = html! {
        h1 { "Your password" }
        (flash(told))
        form.stack method="post" action="/console/password" {
            (proof(seat))
            label { "The old one" input type="password" name="old" autocomplete="current-password" required; }
            label { "A new one, " (PASSWORD_MIN) " characters at least" (new_password("new")) }
            label { "Again" (new_password("again")) }
            button { "Change it" }
        }
        p.soft { "All your other sessions end with it." }
    };
    shell(&site(app), "Your password", Some(seat), &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brigade_is_named_with_what_counts_of_it() {
        let one = Reporting {
            network: 64_500,
            reports: 830,
            share: 0.83,
            counted: 49.8,
            usual: None,
        };
        assert!(one.is_brigade());
        let names = BTreeMap::from([(64_500, "Example <Net>")]);
        let shown = brigade(&one, &names).into_string();
        assert_eq!(
            shown,
            "<strong>AS64500 <bdi>Example &lt;Net&gt;</bdi></strong> sent 83\u{a0}% of the reports; the detector counts at most \
             6\u{a0}% of them."
        );
        assert_eq!(percent(0.001), "under 1\u{a0}%");
        assert_eq!(percent(0.0), "0\u{a0}%");
    }
}
