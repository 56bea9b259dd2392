//! The case as a report: one page for a screen, a phone, a printer or a screen reader, that can be mailed and archived.
//!
//! Rules of the page, besides those of `page`: never a share without its interval, no map where places mean nothing, every picture's
//! numbers also in a table, and text from outside is only text.

use std::net::IpAddr;

use atlas::{Atlas, Country, Kind};
use incident::Case;
use incident::case::{
    Audience, Coordination, CountryShare, Incident, Input, Located, Look, Meaning, Origin, Senders, Share,
    Sources, Standing,
};
use maud::{Markup, html};

use crate::case_json::{confidence, time};
use crate::case_text::{
    AT_END, LOOKED_AT, capitalised, count, counted, duration, fault_words, metric, seen, summary, target,
    title,
};
use crate::page::{Column, clean, numbers, outside, page, table, words};
use crate::plot::{SIDE, Tick, frame, part_bar, percent, place, round_steps, share_bar, time_ticks};
use crate::{claim_html, outage_html, world};

/// Incidents that are told in full; the others have a line each.
const IN_FULL: usize = 20;
/// Rows of a list that are seen at once; the others can be unfolded.
const ROWS: usize = 12;
/// Scans and exporters that are listed.
const LISTED: usize = 50;

const STYLE: &str = include_str!("../data/report.css");

/// A part of the page with its heading.
struct Part {
    id: String,
    title: String,
    body: Markup,
}

fn part(id: impl Into<String>, title: impl Into<String>, body: Markup) -> Part {
    Part {
        id: id.into(),
        title: title.into(),
        body,
    }
}

/// Renders a case. `command` is the command line that made it, for those who want to make it again.
pub(crate) fn render(case: &Case, atlas: &Atlas, command: &str) -> String {
    let one = match case.incidents.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    let headline = match (case.incidents.as_slice(), case.outages.as_slice()) {
        ([], [outage]) => format!("{} was in trouble", clean(&outage.service)),
        ([], [_, ..]) => format!("{} outages", case.outages.len()),
        ([], []) => format!("No attack found in {}", seen(&case.inputs)),
        ([one], _) => title(one),
        (many, _) => format!("{} attacks in {}", many.len(), seen(&case.inputs)),
    };
    let mut parts = one.map_or_else(Vec::new, |incident| incident_parts(incident, &case.inputs, 1));
    let many = if one.is_some() {
        &[]
    } else {
        case.incidents.as_slice()
    };
    // What people felt comes first: it is why somebody reads this.
    for (n, outage) in case.outages.iter().take(IN_FULL).enumerate().rev() {
        let title = format!("Trouble with {}", clean(&outage.service));
        parts.insert(
            0,
            part(format!("o{}", n + 1), title, outage_html::section(outage)),
        );
    }
    if !case.verdicts.is_empty() {
        parts.push(part(
            "claims",
            "What was claimed, and what the evidence says",
            claim_html::cards(&case.verdicts),
        ));
    }
    let unknown: Vec<String> = one
        .iter()
        .flat_map(|incident| &incident.caveats)
        .chain(&case.caveats)
        .cloned()
        .collect();
    if !unknown.is_empty() {
        parts.push(part("unknown", "What we do not know", points(&unknown)));
    }
    parts.extend(scans(case));
    parts.push(part("inputs", "What was read", inputs(case)));
    parts.push(part("again", "How to recompute this", again(atlas, command)));
    let body = html! {
        header.top { span { strong { "EPICENTER" } " case report" } @if let Some(span) = span(&case.inputs) { span { (span) } } }
        main {
            h1 { (headline) }
            @if let Some(incident) = one {
                p.lead { (summary(incident, AT_END)) }
                p.never { (NEVER) }
            } @else if case.incidents.is_empty() && case.outages.is_empty() {
                (nothing(case))
            } @else if case.incidents.is_empty() {
                p.lead { "No attack was found in the traffic of this case." }
            } @else {
                (contents_of_many(many))
            }
            @if let Some(incident) = one { (tiles(incident)) (warning(incident)) }
            @if !case.verdicts.is_empty() { h2 { "Claims examined" } (claim_html::in_short(&case.verdicts)) }
            (contents(&parts))
            @if has_map(case) { (world::shapes()) }
            @for part in parts.iter().filter(|part| part.id.starts_with('o')) { (section(part, 2)) }
            @for (n, incident) in many.iter().take(IN_FULL).enumerate() { (one_of_many(incident, &case.inputs, n + 1)) }
            @for part in parts.iter().filter(|part| !part.id.starts_with('o')) { (section(part, 2)) }
        }
        footer {
            p { (atlas.about().attribution.join("; ")) "." }
            @if has_map(case) { p { "Map: Natural Earth (public domain)." } }
        }
    };
    page(
        &format!("{headline} · Epicenter"),
        STYLE,
        &claim_html::reviews(&case.verdicts),
        &body,
    )
}

const NEVER: &str = "Traffic shows where packets came from at most; it never shows who did it.";

fn section(part: &Part, level: u8) -> Markup {
    html! {
        section id=(part.id) aria-labelledby={ (part.id) "-h" } {
            @if level == 2 { h2 id={ (part.id) "-h" } { (part.title) } } @else { h3 id={ (part.id) "-h" } { (part.title) } }
            (part.body)
        }
    }
}

fn contents(parts: &[Part]) -> Markup {
    html! {
        nav aria-label="Contents" { ul { @for part in parts { li { a href={ "#" (part.id) } { (part.title) } } } } }
    }
}

fn contents_of_many(incidents: &[Incident]) -> Markup {
    html! {
        p.never { (NEVER) }
        ol {
            @for (n, incident) in incidents.iter().enumerate() {
                li {
                    @if n < IN_FULL { a href={ "#i" (n + 1) } { (title(incident)) } } @else { (title(incident)) }
                    ": " (summary(incident, AT_END))
                }
            }
        }
        @if incidents.len() > IN_FULL {
            p.soft { "The first " (IN_FULL) " are told in full below; all are in the same command's --format json." }
        }
    }
}

fn one_of_many(incident: &Incident, inputs: &[Input], n: usize) -> Markup {
    let mut parts = incident_parts(incident, inputs, n);
    if !incident.caveats.is_empty() {
        parts.push(part(
            format!("i{n}-unknown"),
            "What we do not know",
            points(&incident.caveats),
        ));
    }
    html! {
        section id={ "i" (n) } aria-labelledby={ "i" (n) "-h" } {
            h2 id={ "i" (n) "-h" } { (n) ". " (title(incident)) }
            p.lead { (summary(incident, AT_END)) }
            (tiles(incident)) (warning(incident))
            @for part in &parts { (section(part, 3)) }
        }
    }
}

fn nothing(case: &Case) -> Markup {
    html! {
        @if case.inputs.iter().all(|input| input.records == 0) {
            p.lead { "There was nothing to examine: no packet could be decoded." }
        } @else {
            p.lead { "Nothing in this input is an attack on a host or a network by the bars of this program." }
            p { (LOOKED_AT) }
        }
    }
}

fn incident_parts(incident: &Incident, inputs: &[Input], n: usize) -> Vec<Part> {
    let id = |name: &str| format!("i{n}-{name}");
    let mut parts = vec![part(
        id("when"),
        "What and when",
        html! { (timeline(incident, inputs)) (facts(incident)) },
    )];
    if !incident.vectors.is_empty() {
        parts.push(part(id("vectors"), "Vectors", vectors(incident)));
    }
    let sources = &incident.sources;
    if sources.distinct > 0 {
        parts.push(part(id("real"), "Are the source addresses real?", real(incident)));
        parts.push(places(sources, id("places")));
        if let Some(networks) = networks(sources) {
            parts.push(part(id("networks"), "Networks", networks));
        }
    }
    if let Some(audience) = &incident.audience {
        parts.push(part(
            id("audience"),
            "The usual audience",
            audience_part(audience),
        ));
    }
    if let Some(coordination) = &incident.coordination {
        parts.push(part(
            id("coordination"),
            "Coordination",
            coordination_part(coordination),
        ));
    }
    if !incident.size.is_empty() {
        parts.push(part(id("size"), "How large that is", size(&incident.size)));
    }
    parts
}

/// Whether any map is drawn, so that its shapes are needed.
fn has_map(case: &Case) -> bool {
    case.incidents
        .iter()
        .take(IN_FULL)
        .any(|incident| incident.sources.distinct > 0 && on_a_map(incident.sources.meaning))
}

/// A map is drawn only of addresses that are known to be those of machines.
fn on_a_map(meaning: Meaning) -> bool {
    matches!(meaning, Meaning::Senders | Meaning::Reflectors)
}

fn tiles(incident: &Incident) -> Markup {
    let tile = |name: &str, large: String, small: String| {
        html! { div { dt { (name) } dd.large { (large) } dd.small { (small) } } }
    };
    let lasted = incident
        .end_ns
        .unwrap_or(incident.start_ns)
        .saturating_sub(incident.start_ns);
    let sources = &incident.sources;
    let about = if sources.distinct_exact { "" } else { "about " };
    html! {
        dl.tiles {
            (tile("Duration", duration(lasted), if incident.ongoing { "still running at the end of the input".to_owned() } else { format!("began {}", moment(incident.start_ns)) }))
            @if incident.packets > 0 {
                (tile("Peak", format!("{} packets/s", count(incident.peak.packets_per_second as u64)), format!("at {}", moment(incident.peak.at_ns))))
                (tile("Bandwidth", format!("{}bit/s", metric(incident.peak.bits_per_second)), "in the strongest second".to_owned()))
            }
            @if let Some(requests) = incident.peak.requests_per_second {
                (tile("Requests", format!("{}/s", count(requests.round() as u64)), "in the strongest second".to_owned()))
            }
            @if sources.distinct > 0 {
                (tile("Source addresses", format!("{about}{}", count(sources.distinct)), meaning_words(sources.meaning).to_owned()))
            }
            (tile("Evidence", capitalised(confidence(incident.confidence)), "confidence in the data".to_owned()))
        }
    }
}

fn meaning_words(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Senders => "machines that sent it",
        Meaning::Reflectors => "reflectors, abused machines",
        Meaning::Forged => "forged",
        Meaning::Hidden => "forged, or reflectors",
        Meaning::Undetermined => "forged or not is undetermined",
    }
}

/// What must be read before any place is.
fn warning(incident: &Incident) -> Markup {
    let text = match incident.sources.meaning {
        _ if incident.sources.distinct == 0 => return html! {},
        Meaning::Senders => return html! {},
        Meaning::Forged => {
            "The source addresses are forged. Countries and networks of the addresses written on the packets mean nothing for who sent them."
        }
        Meaning::Reflectors => {
            "The sources are reflectors: machines that were made to answer. They are victims too; the sender is hidden behind them."
        }
        Meaning::Hidden => {
            "The sources are forged or reflectors: hardly any is a sender. Their places do not say where the attack came from."
        }
        Meaning::Undetermined => {
            "It is not determined whether the sources are forged. Read their places with that in mind."
        }
    };
    html! { div.note role="note" { p { (text) } } }
}

/// Attack packets per step, with the incident shaded and its strongest second marked.
fn timeline(incident: &Incident, inputs: &[Input]) -> Markup {
    let line = &incident.timeline;
    let steps = line.packets.len() as u64;
    if steps == 0 || line.step_ns == 0 || line.packets.iter().all(|packets| *packets == 0) {
        return html! {};
    }
    let last = line.start_ns.saturating_add(steps.saturating_mul(line.step_ns));
    // Some of the quiet before and after, as far as the input reaches: outside the incident there are no attack packets.
    let around = ((last - line.start_ns) / 8).max(line.step_ns);
    let input_first = inputs
        .iter()
        .filter_map(|input| input.first_ns)
        .min()
        .unwrap_or(line.start_ns);
    let input_last = inputs
        .iter()
        .filter_map(|input| input.last_ns)
        .max()
        .unwrap_or(last);
    let from = line
        .start_ns
        .saturating_sub(around)
        .max(input_first)
        .min(line.start_ns);
    let to = last.saturating_add(around).min(input_last).max(last);
    let across = |ns: u64| ns.saturating_sub(from) as f64 / (to - from).max(1) as f64;
    let seconds = line.step_ns as f64 / 1e9;
    let rates: Vec<f64> = line
        .packets
        .iter()
        .map(|packets| *packets as f64 / seconds)
        .collect();
    let most = rates
        .iter()
        .copied()
        .fold(incident.peak.packets_per_second, f64::max);
    let scale = round_steps(most * 1.08, 5.0);
    let top = scale.last().copied().unwrap_or(1.0);
    let up: Vec<Tick> = scale
        .iter()
        .map(|value| Tick {
            at: value / top,
            label: short(*value),
        })
        .collect();
    let starts = |n: usize| line.start_ns + n as u64 * line.step_ns;
    let end = incident.end_ns.unwrap_or(last).max(incident.start_ns);
    let mut outline = format!("M{} {SIDE}", place(across(line.start_ns)));
    for (n, rate) in rates.iter().enumerate() {
        outline.push_str(&format!(
            "V{}H{}",
            place(1.0 - rate / top),
            place(across(starts(n + 1)))
        ));
    }
    outline.push_str(&format!("V{SIDE}z"));
    let shapes = html! {
        rect.span x=(place(across(incident.start_ns))) width=(place((across(end) - across(incident.start_ns)).max(0.002))) y="0" height=(SIDE) {}
        path.steps d=(outline) {}
        @for (n, rate) in rates.iter().enumerate() {
            rect.hit x=(place(across(starts(n)))) width=(place(across(starts(n + 1)) - across(starts(n)))) y="0" height=(SIDE) {
                title { (clock(starts(n), line.step_ns)) ": " (count(rate.round() as u64)) " packets/s" }
            }
        }
    };
    let peak = across(incident.peak.at_ns.max(from));
    let marks = html! {
        div.peak.end[peak > 0.6] aria-hidden="true" style={ "left:" (percent(peak)) ";bottom:" (percent(incident.peak.packets_per_second / top)) } {
            span { "peak " (count(incident.peak.packets_per_second as u64)) " packets/s" }
        }
    };
    let step = duration(line.step_ns);
    let about = format!(
        "Attack packets per second from {} to {}, the strongest second with {} at {}. The numbers are in the table below.",
        moment(line.start_ns),
        moment(last),
        count(incident.peak.packets_per_second as u64),
        moment(incident.peak.at_ns)
    );
    html! {
        figure {
            figcaption {
                "Attack packets per second, mean of each step of " (step) ". Shaded: the incident"
                @if incident.ongoing { ", still running when the input ends" }
                ". Times are UTC, " (days(from, to)) "."
            }
            (frame(&about, &shapes, &up, &time_ticks(from, to), &marks))
        }
        details.figures {
            summary { "The numbers of this chart" }
            (table(&format!("Attack packets, steps of {step}"), &[words("From (UTC)"), numbers("Packets"), numbers("Packets/s")], &html! {
                @for (n, packets) in line.packets.iter().enumerate() {
                    tr { th scope="row" { (moment(starts(n))) } td.num { (count(*packets)) } td.num { (count((*packets as f64 / seconds).round() as u64)) } }
                }
            }))
        }
    }
}

fn facts(incident: &Incident) -> Markup {
    let ports: Vec<String> = incident
        .ports
        .iter()
        .take(ROWS)
        .map(|port| format!("{} {} ({:.1} %)", port.protocol, port.port, port.share * 100.0))
        .collect();
    let row = |name: &str, value: Markup| html! { tr { th scope="row" { (name) } td { (value) } } };
    let end = incident.end_ns.unwrap_or(incident.start_ns);
    html! {
        div.scroll.facts {
            table {
                caption { span { "The incident in numbers" } }
                tbody {
                    (row("Target", html! { (target(incident)) }))
                    @if incident.packets > 0 {
                        (row("Ports", html! { @if ports.is_empty() { "spread too widely to name, or none in this protocol" } @else { (outside(&ports.join(", "))) } }))
                    }
                    (row("Start", at(incident.start_ns)))
                    (row("End", html! {
                        @if let Some(end) = incident.end_ns { (at(end)) }
                        @if incident.ongoing { " still running when the input ends" }
                    }))
                    (row("Duration", html! { (duration(end.saturating_sub(incident.start_ns))) }))
                    @if incident.packets > 0 {
                        (row("Peak", html! {
                            (count(incident.peak.packets_per_second as u64)) " packets/s, " (metric(incident.peak.bits_per_second)) "bit/s"
                            @if let Some(requests) = incident.peak.requests_per_second { ", " (count(requests.round() as u64)) " requests/s" }
                            ", at " (at(incident.peak.at_ns))
                        }))
                        (row("Total", html! {
                            (count(incident.packets)) " packets, " (metric(incident.bytes as f64)) "B"
                            @if let Some(requests) = incident.requests { ", " (count(requests)) " requests" }
                        }))
                    }
                    (row("Evidence", html! { (confidence(incident.confidence)) " confidence" }))
                    (row("Case id", outside(&incident.id)))
                }
            }
        }
    }
}

fn vectors(incident: &Incident) -> Markup {
    let columns = [
        words("Vector"),
        numbers("Share"),
        words(""),
        numbers("Packets"),
        numbers("Bytes"),
        words("First and last (UTC)"),
    ];
    html! {
        (table("Share of the attack's packets, counted", &columns, &html! {
            @for vector in &incident.vectors {
                tr {
                    th scope="row" { strong { (vector.vector.label()) } " " span.code { (vector.vector.name()) } span.why { (outside(&vector.why)) } }
                    td.num { (format!("{:.1} %", vector.share * 100.0)) }
                    td { (part_bar(vector.share)) }
                    td.num { (count(vector.packets)) }
                    td.num { (metric(vector.bytes as f64)) "B" }
                    td.t { (at(vector.start_ns)) br; (at(vector.end_ns)) }
                }
            }
        }))
        details {
            summary { "How its packets look" }
            (table("The commonest values of each field, with their share of the vector's packets", &[words("Vector"), words("Field"), words("Values")], &html! {
                @for vector in &incident.vectors {
                    @for (field, values) in look(&vector.look) { tr { th scope="row" { (vector.vector.label()) } td.t { (field) } td { (outside(&values)) } } }
                }
            }))
        }
    }
}

/// The fields of a look that have something to say.
fn look(look: &Look) -> Vec<(&'static str, String)> {
    fn listed<T>(values: &Option<Vec<(T, f64)>>, show: impl Fn(&T) -> String) -> String {
        match values {
            None => "spread widely, or not seen".to_owned(),
            Some(values) => values
                .iter()
                .map(|(value, part)| format!("{} ({:.0} %)", show(value), part * 100.0))
                .collect::<Vec<_>>()
                .join(", "),
        }
    }
    let mut fields = Vec::new();
    if let Some(port) = look.source_port {
        fields.push(("source port", port.to_string()));
    }
    fields.push((
        "destination port",
        listed(&look.destination_ports, u16::to_string),
    ));
    if look.tcp_flags.is_some() {
        fields.push(("TCP flags", listed(&look.tcp_flags, |flags| flag_names(*flags))));
    }
    fields.push(("TTL", listed(&look.ttl, u8::to_string)));
    fields.push(("length in bytes", listed(&look.length, u16::to_string)));
    if !look.dns_names.is_empty() {
        let names = look
            .dns_names
            .iter()
            .map(|(name, kind, part)| format!("{name} type {kind} ({:.0} %)", part * 100.0));
        fields.push(("DNS questions", names.collect::<Vec<_>>().join(", ")));
    }
    fields
}

fn flag_names(flags: u8) -> String {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> = (0..8)
        .filter(|bit| flags & (1 << bit) != 0)
        .map(|bit| NAMES[bit])
        .collect();
    if set.is_empty() {
        "none".to_owned()
    } else {
        set.join("+")
    }
}

/// Forged, reflected, the audience, and the senders that are left; then why.
fn real(incident: &Incident) -> Markup {
    let sources = &incident.sources;
    let mut rows = vec![
        ("Forged: the address did not send the packet", sources.forged),
        ("Reflected: sent by an abused machine", sources.reflected),
    ];
    if let Some(audience) = &incident.audience {
        rows.push(("The usual audience, caught up in it", audience.taken_out));
    }
    if sources.senders.distinct > 0 || sources.senders.share.high > 0.0 {
        rows.push((
            "Direct: sent under the machine's own address",
            sources.senders.share,
        ));
    }
    html! {
        (table("Share of the attack's packets, with 95 % interval", &[words("What the sources are"), numbers("Share"), words("")], &html! {
            @for (what, share) in rows { tr { th scope="row" { (what) } td.num { (interval(share)) } td { (share_bar(share)) } } }
        }))
        @if !sources.forged_because.is_empty() {
            (table("Tests for forged addresses", &[words("Test"), numbers("Value"), words("What it says")], &html! {
                @for test in &sources.forged_because {
                    tr { th scope="row" { (test.test) } td.num { @if let Some(value) = test.value { (plain(value)) } } td.says { (outside(&test.says)) } }
                }
            }))
        }
        @if !sources.not_made.is_empty() {
            (table("Tests that could not be made", &[words("Test"), words("Why not")], &html! {
                @for test in &sources.not_made { tr { th scope="row" { (test.test) } td.says { (outside(&test.why)) } } }
            }))
        }
        @if !sources.classes.is_empty() {
            (table("Clusters of sources (share of the attack's packets; forged: share of the cluster's packets, with 95 % interval)",
                &[words("Vector"), words("Cluster"), numbers("Share"), numbers("Sources"), words("What they are"), numbers("Forged"), words("")], &html! {
                @for class in &sources.classes {
                    tr {
                        th scope="row" { (class.vector.label()) }
                        td { (outside(&class.cluster)) }
                        td.num { (format!("{:.1} %", class.share * 100.0)) }
                        td.num { (count(class.distinct)) }
                        td { (origin(class.origin)) }
                        td.num { (interval(class.forged)) }
                        td { (share_bar(class.forged)) }
                    }
                }
            }))
        }
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Direct => "machines that sent",
        Origin::Reflector => "reflectors",
        Origin::Forged => "forged",
        Origin::Undetermined => "not determined",
    }
}

/// The senders, where their places are worth telling: below a fifth of the packets they say nothing of where the attack came from.
fn placed(sources: &Sources) -> Option<&Senders> {
    let senders = &sources.senders;
    (!senders.countries.is_empty() && (sources.meaning == Meaning::Senders || senders.share.estimate >= 0.2))
        .then_some(senders)
}

/// Countries: a map where the addresses are those of machines, words where they are not.
fn places(sources: &Sources, id: String) -> Part {
    let (title, body) = match (sources.meaning, placed(sources)) {
        (meaning @ (Meaning::Forged | Meaning::Hidden), senders) => {
            let forged = if meaning == Meaning::Forged {
                "forged"
            } else {
                "forged or those of reflectors"
            };
            let body = html! {
                p { "The source addresses are " (forged) ". The countries and networks written on such packets mean nothing for who sent them, so this report has no map and no list of them." }
                @if let Some(senders) = senders { (apart(senders)) }
            };
            ("Where from: it cannot be told", body)
        }
        (Meaning::Undetermined, senders) => {
            let body = html! {
                p { "Whether the addresses are forged is not determined, so this report draws no map of them." }
                @match senders {
                    Some(senders) => (apart(senders)),
                    None => (countries("Countries of the source addresses, forged or not", "Addresses", &sources.countries)),
                }
            };
            ("Where from: it is not determined", body)
        }
        (Meaning::Reflectors, senders) => {
            let body = html! {
                p { "These are the abused machines that answered. They tell nothing of where the forged requests came from." }
                (country_map("reflectors", "the attack's packets", &sources.countries))
                (countries("Reflectors by country", "Reflectors", &sources.countries))
                @if let Some(senders) = senders { (apart(senders)) }
            };
            ("Reflectors by country", body)
        }
        (Meaning::Senders, None) => {
            let body = html! {
                (country_map("senders", "the attack's packets", &sources.countries))
                (countries("Senders by country", "Senders", &sources.countries))
            };
            ("Senders by country", body)
        }
        (Meaning::Senders, Some(senders)) => {
            let shares: Vec<(&str, Share)> = senders
                .countries
                .iter()
                .map(|c| (c.key.as_str(), c.by_packets))
                .collect();
            let body = html! {
                p {
                    (counted(senders.distinct, "machine", "machines")) " sent " (interval(senders.share))
                    " of the attack's packets under their own address. The shares below are of these packets."
                }
                (map_of("senders", "the senders' packets", &shares))
                (sender_countries(senders))
            };
            ("Senders by country", body)
        }
    };
    part(id, title, body)
}

/// The senders where most sources are something else.
fn apart(senders: &Senders) -> Markup {
    html! {
        p { "A part of the packets, " (interval(senders.share)) ", was sent by machines under their own address. Their countries:" }
        (sender_countries(senders))
    }
}

fn country_map(who: &str, of: &str, countries: &[CountryShare]) -> Markup {
    let shares: Vec<(&str, Share)> = countries.iter().map(|c| (c.country.as_str(), c.share)).collect();
    map_of(who, of, &shares)
}

fn map_of(who: &str, of: &str, shares: &[(&str, Share)]) -> Markup {
    let largest: Vec<String> = shares
        .iter()
        .take(5)
        .map(|(code, share)| format!("{} {}", world::name(code), interval_text(*share)))
        .collect();
    let about = format!(
        "World map of the {who}, share of {of} per country; the largest: {}. All numbers are in the table below.",
        largest.join(", ")
    );
    html! {
        figure {
            figcaption { "Share of " (of) " by country of the " (who) ". A small country is a dot; the intervals are in the table." }
            (world::map(&about, of, shares))
        }
    }
}

/// A list in two pieces: what is seen at once with bars, the rest folded and without.
fn rows<T>(caption: &str, columns: &[Column], list: &[T], row: impl Fn(&T, bool) -> Markup) -> Markup {
    let (first, rest) = list.split_at(list.len().min(ROWS));
    html! {
        @if !first.is_empty() { (table(caption, columns, &html! { @for item in first { (row(item, true)) } })) }
        @if !rest.is_empty() {
            details {
                summary { (counted(rest.len() as u64, "more row", "more rows")) }
                (table(&format!("{caption}, the rest"), columns, &html! { @for item in rest { (row(item, false)) } }))
            }
        }
    }
}

fn countries(caption: &str, who: &'static str, list: &[CountryShare]) -> Markup {
    let caption = format!("{caption}: share of the attack's packets, with 95 % interval");
    rows(
        &caption,
        &[words("Country"), numbers("Share"), words(""), numbers(who)],
        list,
        |c, bar| {
            html! {
                tr {
                    th scope="row" { (country(c.country)) }
                    td.num { (interval(c.share)) }
                    td { @if bar { (share_bar(c.share)) } }
                    td.num { (count(c.distinct)) }
                }
            }
        },
    )
}

fn country(country: Country) -> Markup {
    let code = country.as_str();
    html! { (world::name(code)) @if country != Country::UNKNOWN { " " span.code { (code) } } }
}

fn sender_countries(senders: &Senders) -> Markup {
    located("Senders by country", "Country", &senders.countries, |key| {
        country(*key)
    })
}

/// Senders by country, network or kind: by packets and by machines, how sure the rank is, and against the usual audience.
fn located<K>(
    caption: &str,
    first: &'static str,
    list: &[Located<K>],
    name: impl Fn(&K) -> Markup,
) -> Markup {
    let usual = list.iter().any(|row| row.usual.is_some());
    let mut columns = vec![
        words(first),
        numbers("Of their packets"),
        words(""),
        numbers("Of the machines"),
        numbers("Machines"),
        numbers("More than half"),
        numbers("Largest (rank)"),
    ];
    if usual {
        columns.extend([numbers("Usual share of the audience"), numbers("Times the usual")]);
    }
    let caption = format!(
        "{caption}: shares with 95 % intervals; the probability that it has more than half of the packets, and that it has the most; the 95 % interval of its rank"
    );
    rows(&caption, &columns, list, |row, bar| {
        html! {
            tr {
                th scope="row" { (name(&row.key)) }
                td.num { (interval(row.by_packets)) }
                td { @if bar { (share_bar(row.by_packets)) } }
                td.num { (interval(row.by_sources)) }
                td.num { (count(row.distinct)) }
                td.num { (chance(row.majority)) }
                td.num { (chance(row.first)) " (" (row.rank.0) @if row.rank.1 > row.rank.0 { "–" (row.rank.1) } ")" }
                @if usual {
                    td.num { @if let Some(usual) = row.usual { (interval(usual)) } @else { "not known" } }
                    td.num { @if let Some(over) = row.over { (plain(over.estimate)) " [" (plain(over.low)) ", " (plain(over.high)) "]" } @else { "not known" } }
                }
            }
        }
    })
}

/// Networks, kinds of network and prefixes; nothing where addresses are not those of machines.
fn networks(sources: &Sources) -> Option<Markup> {
    let hidden = matches!(sources.meaning, Meaning::Forged | Meaning::Hidden);
    if let Some(senders) = placed(sources) {
        let name = |asn: &u32| {
            let known = sources.networks.iter().find(|network| network.asn == *asn);
            html! { (network_name(*asn, known.map_or("", |network| network.name.as_str()))) }
        };
        let prefixes = if hidden {
            html! {}
        } else {
            prefixes(sources)
        };
        return Some(html! {
            (located("Senders by network", "Network", &senders.networks, name))
            (located("Senders by kind of network", "Kind", &senders.kinds, |kind| html! { (kind_name(*kind)) }))
            (prefixes)
        });
    }
    if hidden || sources.networks.is_empty() {
        return None;
    }
    let who = match sources.meaning {
        Meaning::Reflectors => "Reflectors",
        Meaning::Senders => "Senders",
        _ => "Source addresses, forged or not,",
    };
    let caption = format!("{who} by network: share of the attack's packets, with 95 % interval");
    let columns = [
        words("Network"),
        numbers("Share"),
        words(""),
        numbers("Addresses"),
        words("Country"),
        words("Kind"),
    ];
    let kinds = format!("{who} by kind of network: share of the attack's packets, with 95 % interval");
    Some(html! {
        (rows(&caption, &columns, &sources.networks, |network, bar| html! {
            tr {
                th scope="row" { (network_name(network.asn, &network.name)) }
                td.num { (interval(network.share)) }
                td { @if bar { (share_bar(network.share)) } }
                td.num { (count(network.distinct)) }
                td { (country(network.country)) }
                td { (kind_name(network.kind)) }
            }
        }))
        (rows(&kinds, &[words("Kind"), numbers("Share"), words("")], &sources.kinds, |(kind, share), bar| html! {
            tr { th scope="row" { (kind_name(*kind)) } td.num { (interval(*share)) } td { @if bar { (share_bar(*share)) } } }
        }))
        (prefixes(sources))
    })
}

fn prefixes(sources: &Sources) -> Markup {
    html! {
        @if !sources.prefixes.is_empty() {
            details {
                summary { "Prefixes" }
                (table("By announced prefix: share of the attack's packets, with 95 % interval", &[words("Prefix"), numbers("Share"), words("")], &html! {
                    @for (prefix, share) in &sources.prefixes { tr { th scope="row" { (prefix) } td.num { (interval(*share)) } td { (share_bar(*share)) } } }
                }))
            }
        }
    }
}

fn network_name(asn: u32, name: &str) -> Markup {
    html! { @if asn == 0 && name.is_empty() { "not announced" } @else { "AS" (asn) " " (outside(name)) } }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Unknown => "not listed: smaller providers, companies, universities",
        Kind::Access => "access: homes and offices",
        Kind::Proxy => "VPN or proxy",
        Kind::Hosting => "hosting or cloud",
        Kind::Reserved => "special-purpose space",
        other => other.name(),
    }
}

fn audience_part(audience: &Audience) -> Markup {
    html! {
        p { "Learnt from " (outside(&audience.learnt_from)) ": " (counted(audience.distinct, "client", "clients")) "." }
        p { "Of the packets counted as attack, " (interval(audience.taken_out)) " are the audience's and were taken out of the senders." }
        (rows("The audience by country: share of its packets, with 95 % interval", &[words("Country"), numbers("Share"), words(""), numbers("Clients")], &audience.countries, |c, bar| html! {
            tr {
                th scope="row" { (country(c.country)) }
                td.num { (interval(c.share)) }
                td { @if bar { (share_bar(c.share)) } }
                td.num { (count(c.distinct)) }
            }
        }))
    }
}

fn coordination_part(seen: &Coordination) -> Markup {
    let row = |name: &str, value: String| html! { tr { th scope="row" { (name) } td.num { (value) } } };
    html! {
        p { "Probability that the senders are under one control or few: " strong { (chance(seen.probability)) } ". Likeness shows one control; it never shows how many people stand behind it." }
        (points(&seen.because))
        (table("How alike the senders behave", &[words("Measure"), numbers("Value")], &html! {
            (row("Began within ten seconds of the commonest moment", format!("{:.1} % of the senders", seen.start_together * 100.0)))
            (row("Stopped within ten seconds of the commonest moment", format!("{:.1} % of the senders", seen.stop_together * 100.0)))
            (row("Median absolute deviation of their first packets", format!("{} s", plain(seen.start_spread_s))))
            (row("Effective number of different looks", plain(seen.fingerprints)))
            (row("Variation of their rates (coefficient)", plain(seen.rate_variation)))
            (row("Controllers, at least", seen.controllers_min.to_string()))
        }))
    }
}

fn size(standings: &[Standing]) -> Markup {
    let value = |standing: &Standing| match standing.what {
        "bits per second" => format!("{}bit/s", metric(standing.value)),
        "duration" => duration((standing.value.max(0.0) * 1e9) as u64),
        _ => count(standing.value.max(0.0).round() as u64),
    };
    let columns = [
        words("What"),
        numbers("Here"),
        numbers("Published attacks that are smaller"),
        words(""),
        words("Compared with"),
    ];
    table(
        "Size against published figures",
        &columns,
        &html! {
            @for standing in standings {
                @let (from, to) = standing.percentile;
                tr {
                    th scope="row" { (capitalised(standing.what)) }
                    td.num { (value(standing)) }
                    td.num { (format!("{:.1} to {:.1} %", from * 100.0, to * 100.0)) }
                    td { (share_bar(Share { estimate: from, low: from, high: to })) }
                    td.says { (outside(&standing.says)) }
                }
            }
        },
    )
}

fn scans(case: &Case) -> Option<Part> {
    if case.scans.is_empty() {
        return None;
    }
    let columns = [
        words("Source"),
        words("What"),
        numbers("Hosts"),
        numbers("Packets"),
        words("First and last (UTC)"),
    ];
    let body = html! {
        p { "Traffic that is notable, and no attack on one target." }
        (table("Scans", &columns, &html! {
            @for scan in case.scans.iter().take(LISTED) {
                tr {
                    th scope="row" { (IpAddr::V6(scan.source).to_canonical()) }
                    td { (outside(&scan.what)) }
                    td.num { (count(scan.hosts)) }
                    td.num { (count(scan.packets)) }
                    td.t { (at(scan.start_ns)) br; (at(scan.end_ns)) }
                }
            }
        }))
        @if case.scans.len() > LISTED { p.soft { "and " (case.scans.len() - LISTED) " more; --format json has them all" } }
    };
    Some(part("scans", "Also seen", body))
}

fn inputs(case: &Case) -> Markup {
    let columns = [
        words("Input"),
        words("Kind"),
        numbers("Size"),
        numbers("Records"),
        numbers("Packets"),
        numbers("On the wire"),
        words("First and last (UTC)"),
    ];
    let faults = case
        .inputs
        .iter()
        .flat_map(|input| input.faults.iter().map(move |fault| (input, fault)));
    html! {
        (table("Inputs", &columns, &html! {
            @for input in &case.inputs {
                tr {
                    th scope="row" { (outside(&input.name)) }
                    td { (input.kind) }
                    td.num { (metric(input.bytes as f64)) "B" }
                    td.num { (count(input.records)) }
                    td.num { (count(input.packets)) }
                    td.num { (metric(input.octets as f64)) "B" }
                    td.t { @if let (Some(first), Some(last)) = (input.first_ns, input.last_ns) { (at(first)) br; (at(last)) } }
                }
            }
        }))
        @if case.inputs.iter().any(|input| !input.faults.is_empty()) {
            (table("Faults of the inputs", &[words("Input"), words("Fault"), numbers("How often"), numbers("First at byte"), words("What that means")], &html! {
                @for (input, fault) in faults {
                    tr {
                        th scope="row" { (outside(&input.name)) }
                        td { (fault.reason) }
                        td.num { (count(fault.count)) }
                        td.num { (count(fault.first_offset)) }
                        td.says { (fault_words(fault.reason)) }
                    }
                }
            }))
        } @else {
            p { "No fault was found in the inputs." }
        }
        (exporters(case))
    }
}

fn exporters(case: &Case) -> Markup {
    let columns = [
        words("Exporter"),
        words("Format"),
        numbers("Domain"),
        numbers("Messages"),
        numbers("Records"),
        numbers("Sampling"),
        numbers("Lost"),
        numbers("Came twice"),
        numbers("Restarts"),
    ];
    html! {
        @if !case.exporters.is_empty() {
            (table("Exporters and their losses, by their sequence numbers", &columns, &html! {
                @for exporter in case.exporters.iter().take(LISTED) {
                    @let losses = &exporter.losses;
                    tr {
                        th scope="row" { (IpAddr::V6(exporter.address).to_canonical()) }
                        td { (exporter.format.name()) }
                        td.num { (exporter.domain) }
                        td.num { (count(exporter.messages)) }
                        td.num { (count(exporter.records)) }
                        td.num { "1 in " (count(u64::from(exporter.sampling))) }
                        td.num { (count(losses.lost)) @if losses.lost > 0 { (if losses.in_records { " records" } else { " messages" }) } }
                        td.num { (count(losses.duplicates)) }
                        td.num { (count(losses.restarts)) }
                    }
                }
            }))
            @if case.exporters.len() > LISTED { p.soft { "and " (case.exporters.len() - LISTED) " more" } }
        }
    }
}

fn again(atlas: &Atlas, command: &str) -> Markup {
    let about = atlas.about();
    html! {
        p { "The same inputs, the same version and the same address data give this page again, to the byte:" }
        pre { code { (clean(command)) } }
        div.scroll.facts {
            table {
                caption { span { "What made this page" } }
                tbody {
                    tr { th scope="row" { "Engine" } td { "Epicenter " (env!("CARGO_PKG_VERSION")) } }
                    tr { th scope="row" { "Address data" } td { "of " (about.built) ", SHA-256 " code { (about.sha256) } } }
                }
            }
        }
        p.soft { "Everything in full, for programs: the same command with --format json." }
    }
}

/// Sentences, one below the other.
pub(crate) fn points(sentences: &[String]) -> Markup {
    html! { @if !sentences.is_empty() { ul { @for sentence in sentences { li { (outside(sentence)) } } } } }
}

/// A share with its interval in percent.
fn interval(share: Share) -> Markup {
    html! { span.t { (interval_text(share)) } }
}

fn interval_text(share: Share) -> String {
    format!(
        "{:.1} % [{:.1}, {:.1}]",
        share.estimate * 100.0,
        share.low * 100.0,
        share.high * 100.0
    )
}

/// A probability in percent, never certain.
fn chance(probability: f64) -> String {
    match probability * 100.0 {
        p if p < 1.0 => "<1 %".to_owned(),
        p if p > 99.0 => ">99 %".to_owned(),
        p => format!("{p:.0} %"),
    }
}

/// A number with about three digits.
fn plain(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}", count(v.round() as u64))
        }
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A number for an axis.
fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v >= 1e9 => (v / 1e9, " G"),
        v if v >= 1e6 => (v / 1e6, " M"),
        v if v >= 1e3 => (v / 1e3, " k"),
        v => (v, ""),
    };
    format!("{}{unit}", (scaled * 100.0).round() / 100.0)
}

/// A time to the second.
fn moment(ns: u64) -> String {
    let text = time(ns - ns % 1_000_000_000);
    format!("{} UTC", text.trim_end_matches('Z').replace('T', " "))
}

/// A time to the millisecond, which is as fine as HTML has it; in full where somebody points at it.
pub(crate) fn at(ns: u64) -> Markup {
    let shown = time(ns - ns % 1_000_000);
    html! { time.t datetime=(shown) title=(time(ns)) { (shown.trim_end_matches('Z').replace('T', " ")) " UTC" } }
}

/// From when to when a step goes, as the time of day.
fn clock(ns: u64, step_ns: u64) -> String {
    let day = |ns: u64| {
        time(ns - ns % 1_000_000_000)
            .get(11..19)
            .unwrap_or_default()
            .to_owned()
    };
    format!("{} to {} UTC", day(ns), day(ns.saturating_add(step_ns)))
}

/// The day, or the days, of a span.
fn days(from_ns: u64, to_ns: u64) -> String {
    let day = |ns: u64| time(ns).get(..10).unwrap_or_default().to_owned();
    let (from, to) = (day(from_ns), day(to_ns));
    if from == to {
        from
    } else {
        format!("{from} to {to}")
    }
}

/// From when to when the inputs reach.
fn span(inputs: &[Input]) -> Option<String> {
    let first = inputs.iter().filter_map(|input| input.first_ns).min()?;
    let last = inputs.iter().filter_map(|input| input.last_ns).max()?;
    Some(format!("{} to {}", moment(first), moment(last)))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use detect::Vector;
    use html5ever::tendril::TendrilSink;
    use html5ever::{ParseOpts, parse_document};
    use incident::case::{
        Class, Confidence, InputFault, NetworkShare, Peak, PortShare, Scan, Test, Timeline, Unmade,
        VectorShare, Verdict, Words,
    };
    use incident::claim::{Claim, Extent, Grade, Proposition};
    use markup5ever_rcdom::{Handle, NodeData, RcDom};

    use super::*;

    const HOSTILE: &str = "</script></title><img src=x onerror=alert(1)>\u{202e}\u{1}&amp;\"'";
    const START: u64 = 1_741_600_000_000_000_000; // 2025-03-10T09:46:40Z
    const SECOND: u64 = 1_000_000_000;

    fn share(estimate: f64, low: f64, high: f64) -> Share {
        Share { estimate, low, high }
    }

    fn country_share(code: &[u8; 2], estimate: f64, distinct: u64) -> CountryShare {
        CountryShare {
            country: Country(*code),
            share: share(estimate, estimate * 0.8, (estimate * 1.2).min(1.0)),
            distinct,
        }
    }

    fn somewhere<K>(key: K, estimate: f64, usual: f64) -> Located<K> {
        Located {
            network: None,
            key,
            by_packets: share(estimate, estimate * 0.7, (estimate * 1.3).min(1.0)),
            by_sources: share(estimate * 0.9, estimate * 0.8, estimate),
            distinct: (estimate * 5_070.0) as u64,
            majority: if estimate > 0.5 { 0.97 } else { 0.0 },
            first: if estimate > 0.2 { 0.81 } else { 0.04 },
            top_five: 0.9,
            rank: (1, 4),
            usual: Some(share(usual, usual * 0.9, usual * 1.1)),
            over: Some(share(
                estimate / usual,
                estimate / usual * 0.7,
                estimate / usual * 1.3,
            )),
        }
    }

    fn incident() -> Incident {
        let packets: Vec<u64> = (0..60u64)
            .map(|i| {
                if (20..24).contains(&i) {
                    0
                } else {
                    4_000 + (i * 7_919) % 9_000
                }
            })
            .collect();
        let total = packets.iter().sum();
        let spread = [
            (b"US", 0.24),
            (b"VN", 0.13),
            (b"BR", 0.12),
            (b"MX", 0.11),
            (b"ES", 0.08),
            (b"IT", 0.07),
            (b"SG", 0.06),
            (b"IN", 0.05),
            (b"ID", 0.04),
            (b"CO", 0.03),
            (b"UA", 0.019),
            (b"HK", 0.015),
            (b"DE", 0.012),
            (b"MT", 0.01),
            (b"ZZ", 0.014),
        ];
        Incident {
            id: "syn-flood-0123456789".to_owned(),
            target: "192.0.2.0/24".parse().unwrap(),
            target_hosts: 180,
            ports: vec![PortShare { protocol: "tcp".to_owned(), port: 443, share: 0.93 }],
            start_ns: START + 300_000_220,
            end_ns: Some(START + 599 * SECOND),
            ongoing: true,
            peak: Peak {
                at_ns: START + 317 * SECOND,
                packets_per_second: 1_900.0,
                bits_per_second: 912_000_000.0,
                requests_per_second: Some(120.0),
            },
            packets: total,
            bytes: total * 60,
            requests: Some(5_000),
            vectors: vec![
                VectorShare {
                    top_sources: Vec::new(),
                    vector: Vector::SynFlood,
                    share: 0.8,
                    packets: total * 8 / 10,
                    bytes: total * 48,
                    start_ns: START,
                    end_ns: START + 599 * SECOND,
                    why: "SYN without an ending handshake".to_owned(),
                    look: Look {
                        tcp_flags: Some(vec![(2, 1.0)]),
                        ttl: Some(vec![(242, 0.6), (243, 0.4)]),
                        ..Look::default()
                    },
                    sources: Vec::new(),
                },
                VectorShare {
                    top_sources: Vec::new(),
                    vector: Vector::DnsWaterTorture,
                    share: 0.2,
                    packets: total / 5,
                    bytes: total * 12,
                    start_ns: START,
                    end_ns: START + 400 * SECOND,
                    why: format!("questions for {HOSTILE}"),
                    look: Look { dns_names: vec![(HOSTILE.to_owned(), 1, 0.9)], ..Look::default() },
                    sources: Vec::new(),
                },
            ],
            timeline: Timeline { start_ns: START, step_ns: 10 * SECOND, packets },
            sources: Sources {
                distinct: 5_070,
                distinct_exact: false,
                forged: share(0.11, 0.04, 0.19),
                forged_because: vec![Test { test: "ttl", value: Some(4.61), says: "many distances".to_owned() }],
                reflected: share(0.02, 0.0, 0.05),
                countries: spread.iter().map(|(code, s)| country_share(code, *s, 100)).collect(),
                networks: vec![NetworkShare {
                    asn: 64_500,
                    name: HOSTILE.to_owned(),
                    country: Country(*b"US"),
                    kind: Kind::Hosting,
                    share: share(0.2, 0.1, 0.3),
                    distinct: 900,
                }],
                prefixes: vec![("198.51.100.0/24".parse().unwrap(), share(0.01, 0.005, 0.02))],
                kinds: vec![(Kind::Hosting, share(0.6, 0.5, 0.7)), (Kind::Unknown, share(0.4, 0.3, 0.5))],
                classes: vec![Class {
                    vector: Vector::SynFlood,
                    cluster: "TTL 242 to 244".to_owned(),
                    share: 0.11,
                    distinct: 8_000,
                    origin: Origin::Forged,
                    forged: share(0.97, 0.9, 0.99),
                }],
                not_made: vec![Unmade { test: "handshake", why: "one direction only".to_owned() }],
                senders: Senders {
                    share: share(0.85, 0.78, 0.91),
                    distinct: 4_400,
                    countries: spread.iter().map(|(code, s)| somewhere(Country(**code), *s, 0.017)).collect(),
                    networks: vec![somewhere(64_500, 0.2, 0.01), somewhere(64_501, 0.1, 0.02)],
                    kinds: vec![somewhere(Kind::Hosting, 0.6, 0.05)],
                },
                meaning: Meaning::Senders,
            },
            audience: Some(Audience {
                learnt_from: "the quiet part of the input, 09:45:00Z to 09:46:00Z".to_owned(),
                distinct: 812,
                countries: vec![country_share(b"US", 0.41, 300), country_share(b"UA", 0.017, 14)],
                taken_out: share(0.02, 0.01, 0.04),
            }),
            coordination: Some(Coordination {
                probability: 0.998,
                start_spread_s: 1.4,
                start_together: 0.91,
                stop_together: 0.77,
                fingerprints: 1.8,
                rate_variation: 0.6,
                controllers_min: 1,
                because: vec!["91 % began within ten seconds".to_owned()],
            }),
            size: vec![Standing {
                what: "bits per second",
                value: 912e6,
                percentile: (0.98, 0.995),
                says: "99 % of the network-layer attacks of the first quarter of 2025 stayed under 1 Gbit/s (Cloudflare)".to_owned(),
            }],
            confidence: Confidence::Moderate,
            caveats: vec![NEVER.to_owned(), "Sampled.".to_owned()],
        }
    }

    fn verdict(said: &str, proposition: Proposition, words: Words, probability: Option<Share>) -> Verdict {
        Verdict {
            about: None,
            claim: Claim {
                details: None,
                infrastructure: None,
                earlier: None,
                by: Some("the owner".to_owned()),
                said: said.to_owned(),
                at_ns: Some(START),
                url: Some("https://example.org/post?a=1&b=2".to_owned()),
                archived: Some("post.html".to_owned()),
                grade: Some(Grade {
                    source: 'C',
                    information: 3,
                }),
                proposition,
            },
            assessable: probability.is_some(),
            probability,
            words,
            confidence: Confidence::Moderate,
            because: vec!["Ukraine has 1.9 % [1.3, 2.5] of the senders' packets".to_owned()],
            would_change: vec!["flows of the origin network".to_owned()],
        }
    }

    /// A case that has everything.
    fn full() -> Case {
        let inputs = vec![Input {
            name: HOSTILE.to_owned(),
            kind: "netflow9",
            bytes: 123_456_789,
            records: 1_000_000,
            packets: 2_000_000,
            octets: 900_000_000,
            first_ns: Some(START - 60 * SECOND),
            last_ns: Some(START + 599 * SECOND),
            faults: vec![InputFault {
                reason: "template-missing",
                count: 12,
                first_offset: 4_096,
            }],
        }];
        let exporter = wire::Exporter {
            address: "2001:db8::1".parse().unwrap(),
            port: 2055,
            format: wire::Format::Netflow9,
            domain: 7,
            messages: 40_000,
            records: 1_000_000,
            losses: Default::default(),
            sampling: 100,
            templates: 3,
        };
        Case {
            outages: Vec::new(),
            signals: Vec::new(),
            inputs,
            exporters: vec![exporter],
            incidents: vec![incident()],
            scans: vec![Scan {
                source: "::ffff:203.0.113.9".parse().unwrap(),
                hosts: 254,
                packets: 254,
                start_ns: START,
                end_ns: START + SECOND,
                what: "a scan: one source tries many hosts".to_owned(),
            }],
            verdicts: vec![
                verdict(
                    "IP addresses originating in the Ukraine area",
                    Proposition::FromCountries {
                        countries: vec![Country(*b"UA")],
                        extent: Extent::Most,
                    },
                    Words::AlmostNoChance,
                    Some(share(0.004, 0.0, 0.02)),
                ),
                verdict(
                    HOSTILE,
                    Proposition::ActorGroup {
                        name: HOSTILE.to_owned(),
                    },
                    Words::CannotBeAssessed,
                    None,
                ),
            ],
            caveats: vec!["More pairs than could be held.".to_owned()],
        }
    }

    fn rendered(case: &Case) -> String {
        static ATLAS: LazyLock<Atlas> = LazyLock::new(Atlas::embedded);
        render(case, &ATLAS, "epicenter investigate a.pcap")
    }

    /// An element with its attributes and the text right inside it.
    struct Element {
        name: String,
        attributes: Vec<(String, String)>,
        text: String,
    }

    impl Element {
        fn attribute(&self, name: &str) -> Option<&str> {
            self.attributes
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        }
    }

    /// All elements of a page, read as a browser reads it; any error of the HTML standard's parser fails.
    fn elements(page: &str) -> Vec<Element> {
        fn walk(node: &Handle, found: &mut Vec<Element>) {
            if let NodeData::Element { name, attrs, .. } = &node.data {
                let children = node.children.borrow();
                let text = children.iter().filter_map(|child| match &child.data {
                    NodeData::Text { contents } => Some(contents.borrow().to_string()),
                    _ => None,
                });
                found.push(Element {
                    name: name.local.to_string(),
                    attributes: attrs
                        .borrow()
                        .iter()
                        .map(|a| (a.name.local.to_string(), a.value.to_string()))
                        .collect(),
                    text: text.collect(),
                });
            }
            for child in node.children.borrow().iter() {
                walk(child, found);
            }
        }
        let mut options = ParseOpts::default();
        options.tokenizer.exact_errors = true;
        options.tree_builder.exact_errors = true;
        let dom = parse_document(RcDom::default(), options).one(page);
        let errors = dom.errors.borrow();
        assert!(errors.is_empty(), "not well-formed: {errors:?}");
        let mut found = Vec::new();
        walk(&dom.document, &mut found);
        found
    }

    /// What holds of every page: nothing from elsewhere, nothing that runs, every reference has its aim, every table its heads.
    fn sound(page: &str) -> Vec<Element> {
        let all = elements(page);
        let ids: Vec<&str> = all.iter().filter_map(|e| e.attribute("id")).collect();
        for (n, id) in ids.iter().enumerate() {
            assert!(!ids[..n].contains(id), "{id} twice");
        }
        for element in &all {
            let name = element.name.as_str();
            assert!(
                ![
                    "img", "iframe", "object", "embed", "form", "base", "image", "audio", "video"
                ]
                .contains(&name),
                "{name}"
            );
            if name == "script" {
                assert_eq!(element.attribute("type"), Some("application/ld+json"));
            }
            for (attribute, value) in &element.attributes {
                assert!(
                    !attribute.starts_with("on") && attribute != "src",
                    "{name} {attribute}"
                );
                if attribute == "href" {
                    let inside = value.strip_prefix('#').is_some_and(|id| ids.contains(&id));
                    let icon = name == "link" && value.starts_with("data:");
                    let link = name == "a" && (value.starts_with("https://") || value.starts_with("http://"));
                    assert!(inside || icon || link, "{name} {value}");
                    if link {
                        assert_eq!(element.attribute("rel"), Some("noreferrer nofollow"));
                    }
                } else {
                    assert!(
                        !value.contains("://") || value.contains("www.w3.org/2000/svg"),
                        "{name} {attribute}={value}"
                    );
                }
                assert!(
                    attribute != "aria-labelledby" || ids.contains(&value.as_str()),
                    "{value}"
                );
            }
            if name == "time" {
                let fraction = element
                    .attribute("datetime")
                    .and_then(|t| t.split('.').nth(1))
                    .unwrap_or("Z");
                assert!(fraction.len() <= 4, "HTML has no time as fine as .{fraction}");
            }
            if name == "th" {
                assert!(
                    element.attribute("scope").is_some(),
                    "a head without scope: {}",
                    element.text
                );
            }
            if name == "svg" {
                let told =
                    element.attribute("role") == Some("img") && element.attribute("aria-label").is_some();
                assert!(
                    told || element.attribute("aria-hidden") == Some("true"),
                    "a picture without words"
                );
            }
        }
        let number = |name: &str| all.iter().filter(|e| e.name == name).count();
        assert_eq!(number("table"), number("caption"), "every table has its caption");
        assert_eq!(number("h1"), 1);
        let policy = all
            .iter()
            .find(|e| e.attribute("http-equiv") == Some("Content-Security-Policy"))
            .unwrap();
        assert!(
            policy
                .attribute("content")
                .unwrap()
                .starts_with("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
        );
        assert!(!page.contains("url("), "no style asks for anything");
        all
    }

    fn headings(all: &[Element]) -> Vec<&str> {
        all.iter()
            .filter(|e| matches!(e.name.as_str(), "h1" | "h2" | "h3"))
            .map(|e| e.text.as_str())
            .collect()
    }

    #[test]
    fn the_full_case_has_every_section() {
        let page = rendered(&full());
        let all = sound(&page);
        assert_eq!(
            headings(&all),
            [
                "SYN flood with DNS water torture on 192.0.2.0/24 (180 hosts)",
                "Claims examined",
                "What and when",
                "Vectors",
                "Are the source addresses real?",
                "Senders by country",
                "Networks",
                "The usual audience",
                "Coordination",
                "How large that is",
                "What was claimed, and what the evidence says",
                "Claim 1: more than half of the attack's traffic came from Ukraine",
                &format!("Claim 2: the group “{}” did it", clean(HOSTILE)),
                "What we do not know",
                "Also seen",
                "What was read",
                "How to recompute this",
            ]
        );
        for words in [
            "1.9 % [1.3, 2.5]",
            "Ukraine: 1.9 %",
            "almost no chance",
            "Confidence in the evidence: moderate",
            "Admiralty grade C3",
            "What would change it",
            "TTL 242 to 244",
            "one direction only",
            "it never shows who did it",
            "epicenter investigate a.pcap",
            "template-missing",
            "2001:db8::1",
            "still running when the input ends",
            "2025-03-10T09:46:40.30000022Z",
            "2025-03-10 09:46:40.3 UTC",
            "912.00 Mbit/s",
            "&gt;99 %",
        ] {
            assert!(page.contains(words), "{words}");
        }
        assert!(page.len() < 250_000, "{} bytes", page.len());
        assert_eq!(page, rendered(&full()), "the same case gives the same bytes");
    }

    #[test]
    fn hostile_text_stays_text() {
        let page = rendered(&full());
        let all = sound(&page);
        // The text is there, as text: in the vector's reason, the look, the network, the input and the claim.
        let shown = all
            .iter()
            .filter(|e| e.name == "bdi" && e.text.contains("<img src=x onerror=alert(1)>"));
        assert!(shown.count() >= 5);
        assert!(!page.contains("<img") && !page.contains('\u{202e}') && !page.contains('\u{1}'));
    }

    #[test]
    fn each_verdict_is_a_claim_review() {
        let case = full();
        let all = sound(&rendered(&case));
        let reviews: Vec<serde_json::Value> = all
            .iter()
            .filter(|e| e.name == "script")
            .map(|e| serde_json::from_str(&e.text).expect("JSON"))
            .collect();
        assert_eq!(reviews.len(), 2);
        assert_eq!(reviews[0]["@type"], "ClaimReview");
        assert_eq!(
            reviews[0]["claimReviewed"],
            "IP addresses originating in the Ukraine area"
        );
        assert_eq!(reviews[0]["reviewRating"]["alternateName"], "almost no chance");
        assert_eq!(
            reviews[0]["itemReviewed"]["datePublished"],
            "2025-03-10T09:46:40Z"
        );
        assert_eq!(reviews[0]["itemReviewed"]["author"]["name"], "the owner");
        assert_eq!(reviews[1]["claimReviewed"], clean(HOSTILE));
        assert!(
            reviews[1]["reviewRating"]["ratingValue"].is_null(),
            "what cannot be assessed has no place on the scale"
        );
        let none = Case {
            verdicts: Vec::new(),
            ..case
        };
        let page = rendered(&none);
        assert!(!page.contains("ClaimReview") && !page.contains("Claims examined"));
    }

    #[test]
    fn likelihood_and_confidence_never_share_a_sentence() {
        let all = sound(&rendered(&full()));
        for element in &all {
            let likely = ["likely", "chance", "certain"]
                .iter()
                .any(|word| element.text.contains(word));
            assert!(
                !(likely && element.text.contains("Confidence in")),
                "{}",
                element.text
            );
        }
    }

    #[test]
    fn every_country_on_the_map_is_in_the_table() {
        let page = rendered(&full());
        let all = sound(&page);
        let on_map: Vec<&str> = all
            .iter()
            .filter(|e| e.name == "title" && e.text.contains("of the senders' packets"))
            .filter_map(|e| e.text.split(':').next())
            .collect();
        assert!(
            on_map.contains(&"Singapore") && on_map.contains(&"Malta") && on_map.len() >= 14,
            "{on_map:?}"
        );
        for country in on_map {
            assert!(
                all.iter().any(|e| e.name == "th" && e.text.trim() == country),
                "{country}"
            );
        }
        assert!(
            page.contains("no country known"),
            "what is on no map is in the table"
        );
    }

    fn with_meaning(meaning: Meaning) -> Case {
        let mut case = full();
        let sources = &mut case.incidents[0].sources;
        sources.meaning = meaning;
        sources.senders = Senders::default();
        case
    }

    #[test]
    fn forged_sources_have_no_map() {
        for meaning in [Meaning::Forged, Meaning::Hidden, Meaning::Undetermined] {
            let page = rendered(&with_meaning(meaning));
            let all = sound(&page);
            assert!(
                !all.iter().any(|e| e
                    .attribute("class")
                    .is_some_and(|c| c.contains("map") || c == "defs")),
                "{meaning:?}"
            );
            if meaning != Meaning::Undetermined {
                assert!(page.contains("mean nothing for who sent them"));
                assert!(headings(&all).contains(&"Where from: it cannot be told"));
                for place in ["Brazil", "AS64500"] {
                    assert!(!page.contains(place), "{meaning:?} {place}");
                }
            } else {
                assert!(headings(&all).contains(&"Where from: it is not determined"));
            }
        }
    }

    #[test]
    fn reflectors_are_called_reflectors() {
        let page = rendered(&with_meaning(Meaning::Reflectors));
        let all = sound(&page);
        assert!(
            headings(&all).contains(&"Reflectors by country")
                && !headings(&all).contains(&"Senders by country")
        );
        assert!(all.iter().any(|e| e.attribute("class") == Some("map")));
        assert!(
            all.iter()
                .filter(|e| e.name == "caption")
                .all(|e| !e.text.contains("Senders")),
            "none is called a sender"
        );
    }

    #[test]
    fn no_attack_is_said_plainly() {
        let case = Case {
            incidents: Vec::new(),
            verdicts: Vec::new(),
            ..full()
        };
        let page = rendered(&case);
        let all = sound(&page);
        assert!(headings(&all)[0].starts_with("No attack found in 2,000,000 packets"));
        assert!(headings(&all).contains(&"Also seen") && headings(&all).contains(&"What was read"));
        let mut empty = case;
        empty.inputs[0].records = 0;
        assert!(rendered(&empty).contains("There was nothing to examine"));
    }

    #[test]
    fn many_incidents_are_listed_and_the_first_told() {
        let mut case = full();
        case.incidents = vec![incident(); IN_FULL + 3];
        let page = rendered(&case);
        let all = sound(&page);
        assert_eq!(
            headings(&all)[0],
            "23 attacks in 2,000,000 packets (1,000,000 records) over 10 min 59 s"
        );
        let told = |e: &&Element| e.name == "h3" && e.text == "Senders by country";
        assert_eq!(all.iter().filter(told).count(), IN_FULL);
        assert_eq!(
            page.matches("id=\"land\"").count(),
            1,
            "the shapes are there once"
        );
    }

    #[test]
    fn an_incident_without_senders_has_no_empty_sections() {
        let mut case = full();
        case.verdicts.clear();
        case.incidents[0] = Incident {
            vectors: Vec::new(),
            ports: Vec::new(),
            packets: 0,
            bytes: 0,
            requests: None,
            peak: Peak {
                at_ns: START,
                packets_per_second: 0.0,
                bits_per_second: 0.0,
                requests_per_second: None,
            },
            timeline: Timeline {
                start_ns: START,
                step_ns: SECOND,
                packets: Vec::new(),
            },
            sources: Sources {
                distinct: 0,
                countries: Vec::new(),
                networks: Vec::new(),
                senders: Senders::default(),
                ..incident().sources
            },
            audience: None,
            coordination: None,
            size: Vec::new(),
            ..incident()
        };
        let page = rendered(&case);
        let all = sound(&page);
        assert_eq!(
            headings(&all)[1..],
            [
                "What and when",
                "What we do not know",
                "Also seen",
                "What was read",
                "How to recompute this"
            ]
        );
    }
}
