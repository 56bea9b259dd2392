//! The case as a page for people: what an engineer wants to read at three in the morning, most important first.
//!
//! Rules of the page: never a share without its interval, never a country before it is said what the addresses are worth,
//! nothing wider than a hundred columns, and no colour or wide character where the terminal may not have them.

use std::net::IpAddr;

use atlas::Atlas;
use detect::Vector;
use incident::Case;
use incident::case::{Incident, Input, Located, Meaning, Origin, Share, Sources};

use crate::case_json::{confidence, origin, time};
use crate::outages;

/// What the reader's terminal can show.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Style {
    /// Escape sequences for bold and colour.
    pub(crate) colour: bool,
    /// Block characters.
    pub(crate) wide: bool,
}

impl Style {
    /// Colours where a terminal shows them and nobody asked for none; wide characters where the locale has them.
    pub(crate) fn of(terminal: bool) -> Style {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        let utf8 = locale.is_some_and(|l| {
            l.to_ascii_lowercase().contains("utf-8") || l.to_ascii_lowercase().contains("utf8")
        });
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style {
            colour: terminal && !no_color,
            wide: utf8,
        }
    }
}

const WIDTH: usize = 98;
pub(crate) const AT_END: &str = ", still running when the input ends";
/// Lines of each list.
const TOP: usize = 10;
const BAR: usize = 30;
/// What was examined where nothing was found.
pub(crate) const LOOKED_AT: &str = "Looked at: what each host got and whether it had asked for it, handshakes that were not completed, unfinished and repeated requests, and the same to whole networks. Slow or small attacks that look like ordinary use, and attacks outside this input, would not be seen.";

/// Renders a case.
pub(crate) fn render(case: &Case, atlas: &Atlas, style: Style) -> String {
    let mut page = Page {
        text: String::new(),
        style,
    };
    page.summary(case);
    for outage in &case.outages {
        page.heading(&format!("TROUBLE WITH {}", outage.service.to_uppercase()));
        for (first, text) in outages::lines(outage) {
            page.wrapped(first, &text);
        }
    }
    for (i, incident) in case.incidents.iter().enumerate() {
        page.incident(incident, (case.incidents.len() > 1).then_some(i + 1));
    }
    page.verdicts(case);
    page.scans(case);
    page.inputs(case);
    page.footer(atlas);
    page.text
}

struct Page {
    text: String,
    style: Style,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn bold(&self, text: &str) -> String {
        if self.style.colour {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn heading(&mut self, text: &str) {
        let heading = self.bold(text);
        self.line("");
        self.line(&heading);
    }

    /// Words broken into lines, the first with `first`, the others indented as far.
    fn wrapped(&mut self, first: &str, text: &str) {
        self.text.push_str(&wrapped(first, text));
    }

    fn summary(&mut self, case: &Case) {
        for outage in &case.outages {
            let headline = self.bold(&outages::headline(outage));
            self.wrapped("", &headline);
        }
        if case.inputs.is_empty() && !case.signals.is_empty() {
            let (reports, probes) = case
                .signals
                .iter()
                .fold((0, 0), |sum, file| (sum.0 + file.reports, sum.1 + file.probes));
            if case.outages.is_empty() {
                let text = self.bold("No outage found");
                self.line(&format!(
                    "{text} in {} reports and {} probes.",
                    count(reports),
                    count(probes)
                ));
            }
            return;
        }
        let seen = seen(&case.inputs);
        match case.incidents.as_slice() {
            [] => {
                let text = self.bold("No attack found");
                self.line(&format!("{text} in {seen}."));
                if case.inputs.iter().all(|input| input.records == 0) {
                    self.line("There was nothing to examine: no packet could be decoded.");
                } else {
                    self.wrapped("", LOOKED_AT);
                }
            }
            [one] => {
                let headline = self.bold(&headline(one, AT_END));
                self.wrapped("", &headline);
            }
            many => {
                let text = self.bold(&format!("{} attacks", many.len()));
                self.line(&format!("{text} in {seen}."));
                for (i, incident) in many.iter().enumerate() {
                    self.wrapped(&format!("{:>3}. ", i + 1), &headline(incident, AT_END));
                }
            }
        }
        for caveat in &case.caveats {
            self.wrapped("  ! ", caveat);
        }
    }

    fn incident(&mut self, incident: &Incident, number: Option<usize>) {
        if let Some(number) = number {
            let title = format!("{}. {} on {}", number, vector_names(incident), target(incident));
            self.line("");
            self.line(&"=".repeat(WIDTH.min(title.chars().count())));
            let title = self.bold(&title);
            self.line(&title);
        }
        self.heading("WHAT AND WHEN");
        self.line(&format!("  target      {}", target(incident)));
        if !incident.ports.is_empty() {
            let ports: Vec<String> = incident
                .ports
                .iter()
                .take(6)
                .map(|p| format!("{} {} ({:.1} %)", p.protocol, p.port, p.share * 100.0))
                .collect();
            self.wrapped("  ports       ", &ports.join(", "));
        } else {
            self.line("  ports       spread too widely to name, or none in this protocol");
        }
        self.line(&format!("  start       {}", time(incident.start_ns)));
        let end = incident.end_ns.map_or("-".to_owned(), time);
        let ongoing = if incident.ongoing {
            "  still running when the input ends"
        } else {
            ""
        };
        self.line(&format!("  end         {end}{ongoing}"));
        let lasted = incident.end_ns.unwrap_or(incident.start_ns) - incident.start_ns;
        self.line(&format!("  duration    {}", duration(lasted)));
        let peak = &incident.peak;
        let requests = peak.requests_per_second.map_or(String::new(), |r| {
            format!(", {} requests/s", count(r.round() as u64))
        });
        self.line(&format!(
            "  peak        {} packets/s, {}bit/s{requests}, at {}",
            count(peak.packets_per_second as u64),
            metric(peak.bits_per_second),
            time(peak.at_ns)
        ));
        let requests = incident
            .requests
            .map_or(String::new(), |r| format!(", {} requests", count(r)));
        self.line(&format!(
            "  total       {} packets, {}B{requests}",
            count(incident.packets),
            metric(incident.bytes as f64)
        ));
        self.line(&format!(
            "  evidence    {} confidence",
            confidence(incident.confidence)
        ));
        self.line(&format!("  case id     {}", incident.id));
        self.chart(incident);

        self.heading("VECTORS (share of the attack's packets)");
        for vector in &incident.vectors {
            self.line(&format!(
                "  {:<28} {:>5.1} %  {} packets",
                vector.vector.name(),
                vector.share * 100.0,
                count(vector.packets)
            ));
            self.wrapped("      ", &vector.why);
        }
        self.size(incident);
        self.sources(incident);
        self.heading("WHAT IS NOT KNOWN");
        for caveat in &incident.caveats {
            self.wrapped("  - ", caveat);
        }
    }

    fn size(&mut self, incident: &Incident) {
        if incident.size.is_empty() {
            return;
        }
        self.heading("HOW LARGE (against published attacks)");
        for standing in &incident.size {
            self.wrapped(
                &format!("  {:<20} ", standing.what),
                &without_addresses(&standing.says),
            );
        }
        self.line("  Where each figure was read: --format json");
    }

    /// Packets over time, one column a step.
    fn chart(&mut self, incident: &Incident) {
        let timeline = &incident.timeline;
        let most = timeline.packets.iter().copied().max().unwrap_or(0);
        if timeline.packets.len() < 3 || most == 0 {
            return;
        }
        let levels: &[char] = if self.style.wide {
            &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        } else {
            &['.', ':', '-', '=', '+', '*', '#', '@']
        };
        let columns: String = resample(&timeline.packets, 84)
            .iter()
            .map(|&packets| {
                if packets == 0 {
                    ' '
                } else {
                    levels[(packets.saturating_mul(levels.len() as u64 - 1) / most.max(1)).min(7) as usize]
                }
            })
            .collect();
        self.line(&format!("  over time   {columns}"));
        self.line(&format!(
            "              {} per step, {} packets in the strongest",
            duration(timeline.step_ns.max(1)),
            count(most)
        ));
    }

    fn sources(&mut self, incident: &Incident) {
        let sources = &incident.sources;
        self.heading("FROM WHERE");
        let (what, warning) = match sources.meaning {
            Meaning::Forged => (
                "addresses written on the packets",
                "THE SOURCES ARE FORGED. Countries and networks below mean nothing for who sent the packets.",
            ),
            Meaning::Reflectors => (
                "reflectors (abused machines)",
                "THE SOURCES ARE REFLECTORS: machines that were made to answer. They are victims too; the sender is hidden behind them.",
            ),
            Meaning::Hidden => (
                "addresses (forged or reflectors)",
                "THE SOURCES ARE FORGED OR REFLECTORS: hardly any is a sender. Countries and networks below do not say where the attack came from.",
            ),
            Meaning::Undetermined => (
                "sources",
                "IT IS NOT DETERMINED whether the sources are forged. Read the places below with that in mind.",
            ),
            Meaning::Senders => ("senders", "The sources are the machines that sent the packets."),
        };
        let warning = self.bold(warning);
        self.wrapped("  ", &warning);
        let about = if sources.distinct_exact { "" } else { "about " };
        self.line(&format!(
            "  distinct    {about}{}",
            counted(sources.distinct, "source address", "source addresses")
        ));
        self.bar("forged", sources.forged, 12);
        self.bar("reflected", sources.reflected, 12);
        self.line("");
        self.line("  Why we think so:");
        for test in &sources.forged_because {
            self.wrapped(&format!("    {:<11} ", test.test), &test.says);
        }
        self.classes(sources);
        if sources.meaning == Meaning::Senders && !sources.senders.countries.is_empty() {
            self.senders(incident);
        } else {
            self.written(sources, what);
            self.senders(incident);
        }
        let prefixes: Vec<_> = sources
            .prefixes
            .iter()
            .map(|(prefix, s)| (prefix.to_string(), *s))
            .collect();
        self.list(&format!("Prefixes of the {what}"), &prefixes, prefixes.len());
        self.coordination(incident);
    }

    /// What the sources are, cluster by cluster, and what could not be tested.
    fn classes(&mut self, sources: &Sources) {
        let told = sources.classes.iter().filter(|class| class.share >= 0.001);
        if told.clone().count() > 1 {
            self.line("");
            self.line("  Taken apart (share of attack packets)");
            for class in told.take(TOP) {
                let forged = match class.origin {
                    Origin::Reflector => String::new(),
                    _ => format!("; forged: {}", interval(class.forged)),
                };
                self.wrapped(
                    &format!("  {:>7.1} %  ", class.share * 100.0),
                    &format!(
                        "{}, {}: {}, {}{forged}",
                        class.vector.label(),
                        class.cluster,
                        counted(class.distinct, "address", "addresses"),
                        origin(class.origin)
                    ),
                );
            }
        }
        if !sources.not_made.is_empty() {
            self.line("");
            self.line("  Could not be tested:");
            for unmade in &sources.not_made {
                self.wrapped(&format!("    {:<11} ", unmade.test), &unmade.why);
            }
        }
    }

    /// Where the machines are that sent under their own address.
    fn senders(&mut self, incident: &Incident) {
        let senders = &incident.sources.senders;
        self.line("");
        if senders.countries.is_empty() {
            let text = format!(
                "WHERE IT CAME FROM CANNOT BE TOLD from source addresses: {} of the packets came from machines under their own address.",
                interval(senders.share)
            );
            let text = self.bold(&text);
            self.wrapped("  ", &text);
            return;
        }
        self.wrapped(
            "  ",
            &format!(
                "{} of the packets came from {} under their own address. Of these packets:",
                interval(senders.share),
                counted(senders.distinct, "machine", "machines")
            ),
        );
        if let Some(audience) = &incident.audience {
            self.wrapped(
                "  usual users  ",
                &format!(
                    "{}; {} of these packets are theirs by their number, and are taken out",
                    audience.learnt_from,
                    interval(audience.taken_out)
                ),
            );
        }
        self.located("Kinds of network of the senders", &senders.kinds, |row| {
            row.key.name().to_owned()
        });
        self.located("Countries of the senders", &senders.countries, |row| {
            row.key.to_string()
        });
        self.located("Networks of the senders", &senders.networks, |row| {
            let name = row.network.as_ref().map_or("", |network| network.name.as_str());
            format!("AS{} {name}", row.key)
        });
    }

    fn located<K>(&mut self, title: &str, rows: &[Located<K>], label: impl Fn(&Located<K>) -> String) {
        if rows.is_empty() {
            return;
        }
        let more = if rows.len() > TOP {
            format!(", the {TOP} largest")
        } else {
            String::new()
        };
        let usual = if rows.iter().any(|row| row.usual.is_some()) {
            "; of your users"
        } else {
            ""
        };
        self.line("");
        self.line(&format!(
            "  {title} (share of their packets, 95 % interval{more}{usual})"
        ));
        for row in rows.iter().take(TOP) {
            let behind = match (row.usual, row.over) {
                (Some(usual), Some(over)) => {
                    format!(" | {:>4.1} % x {}", usual.estimate * 100.0, times(over.estimate))
                }
                _ => String::new(),
            };
            self.bar_with(&label(row), row.by_packets, 24, &behind);
        }
        let by_sources: Vec<String> = rows
            .iter()
            .take(5)
            .map(|row| format!("{} {}", label(row), interval(row.by_sources)))
            .collect();
        self.wrapped("  by number of machines: ", &by_sources.join("; "));
    }

    /// Whether the senders act as one.
    fn coordination(&mut self, incident: &Incident) {
        let Some(coordination) = &incident.coordination else {
            return;
        };
        self.heading("DO THEY ACT AS ONE?");
        self.wrapped(
            "  ",
            &format!(
                "One control or few, with a probability of {:.0} %. First packets deviate by {} from their median; {:.0} % of the senders began and {:.0} % stopped within ten seconds of one moment.",
                coordination.probability * 100.0,
                duration((coordination.start_spread_s * 1e9) as u64),
                coordination.start_together * 100.0,
                coordination.stop_together * 100.0
            ),
        );
        for because in &coordination.because {
            self.wrapped("  - ", because);
        }
    }

    /// Places of the addresses as they are written on the packets.
    fn written(&mut self, sources: &Sources, what: &str) {
        let kinds: Vec<_> = sources
            .kinds
            .iter()
            .map(|(kind, s)| (kind.name().to_owned(), *s))
            .collect();
        self.list(&format!("Kinds of network of the {what}"), &kinds, kinds.len());
        let countries: Vec<_> = sources
            .countries
            .iter()
            .map(|c| (format!("{}  {:>6} addr.", c.country, short(c.distinct)), c.share))
            .collect();
        self.list(&format!("Countries of the {what}"), &countries, countries.len());
        let networks: Vec<_> = sources
            .networks
            .iter()
            .map(|n| {
                let name = if n.asn == 0 && n.name.is_empty() {
                    "not announced"
                } else {
                    &n.name
                };
                (format!("AS{} {name}", n.asn), n.share)
            })
            .collect();
        self.list(&format!("Networks of the {what}"), &networks, networks.len());
    }

    fn list(&mut self, title: &str, rows: &[(String, Share)], total: usize) {
        if rows.is_empty() {
            return;
        }
        self.line("");
        let more = if total > TOP {
            format!(", the {TOP} largest")
        } else {
            String::new()
        };
        self.line(&format!(
            "  {title} (share of attack packets, 95 % interval{more})"
        ));
        for (label, share) in rows.iter().take(TOP) {
            self.bar(label, *share, 32);
        }
    }

    /// A share with its interval, drawn and printed: `=` up to the estimate, `-` over the interval.
    fn bar(&mut self, label: &str, share: Share, room: usize) {
        self.bar_with(label, share, room, "");
    }

    /// The same with something behind it.
    fn bar_with(&mut self, label: &str, share: Share, room: usize, behind: &str) {
        let at = |value: f64| ((value * BAR as f64).round() as usize).min(BAR);
        let (low, estimate, high) = (at(share.low), at(share.estimate), at(share.high));
        let (full, span, point) = if self.style.wide {
            ('█', '─', '┤')
        } else {
            ('=', '-', '|')
        };
        let drawn: String = (0..BAR)
            .map(|i| match () {
                () if i + 1 == estimate && high > low => point,
                () if i < low.min(estimate) => full,
                () if i >= low && i < high => span,
                () => ' ',
            })
            .collect();
        let label: String = label.chars().take(room).collect();
        self.line(&format!(
            "  {label:<room$}  {drawn} {:>5.1} % [{:.1}, {:.1}]{behind}",
            share.estimate * 100.0,
            share.low * 100.0,
            share.high * 100.0
        ));
    }

    /// What was said, and what this evidence says of it. How likely and how good the evidence is stand in lines of their own.
    fn verdicts(&mut self, case: &Case) {
        if case.verdicts.is_empty() {
            return;
        }
        self.heading("CLAIMS (what was said, and what this evidence says of it)");
        for (i, verdict) in case.verdicts.iter().enumerate() {
            let claim = &verdict.claim;
            self.line("");
            let quoted = self.bold(&format!("\"{}\"", one_line(&claim.said)));
            self.wrapped(&format!("{:>3}. ", i + 1), &quoted);
            let source: Vec<String> = [claim.by.clone(), claim.at_ns.map(time), claim.url.clone()]
                .into_iter()
                .flatten()
                .map(|text| one_line(&text))
                .collect();
            if !source.is_empty() {
                self.wrapped("     ", &source.join(", "));
            }
            self.wrapped("     taken as   ", &one_line(&claim.proposition.sentence()));
            let probability = verdict.probability.map_or(String::new(), |p| {
                let percent = |p: f64| format!("{:.0}", p * 100.0);
                let (low, high) = (percent(p.low), percent(p.high));
                if low == high {
                    format!(" ({} %)", percent(p.estimate))
                } else {
                    format!(" ({} % [{low}, {high}])", percent(p.estimate))
                }
            });
            let words = self.bold(verdict.words.text());
            self.wrapped("     verdict    ", &format!("{words}{probability}"));
            if let Some(about) = &verdict.about {
                self.wrapped("                ", &format!("This speaks of {about}."));
            }
            // How good the evidence is stands alone, in a sentence of its own.
            let (good, because): (Vec<&String>, Vec<&String>) = verdict
                .because
                .iter()
                .partition(|sentence| sentence.starts_with("Confidence in this evidence"));
            for sentence in good {
                self.wrapped("     evidence   ", &one_line(sentence));
            }
            for (i, sentence) in because.into_iter().enumerate() {
                let label = if i == 0 {
                    "     because    - "
                } else {
                    "                - "
                };
                self.wrapped(label, &one_line(sentence));
            }
            for (i, sentence) in verdict.would_change.iter().enumerate() {
                let label = if i == 0 {
                    "     would      - "
                } else {
                    "     change it  - "
                };
                let label = if i > 1 { "                - " } else { label };
                self.wrapped(label, &one_line(sentence));
            }
        }
    }

    fn scans(&mut self, case: &Case) {
        if case.scans.is_empty() {
            return;
        }
        self.heading("ALSO SEEN (no attack on one target)");
        for scan in case.scans.iter().take(TOP) {
            let source = IpAddr::V6(scan.source).to_canonical();
            self.wrapped(
                "  - ",
                &format!(
                    "{}: {source}, {} hosts, {} packets, from {} to {}",
                    scan.what,
                    count(scan.hosts),
                    count(scan.packets),
                    time(scan.start_ns),
                    time(scan.end_ns)
                ),
            );
        }
        if case.scans.len() > TOP {
            self.line(&format!(
                "  and {} more; --format json has them all",
                case.scans.len() - TOP
            ));
        }
    }

    fn inputs(&mut self, case: &Case) {
        self.heading("WHAT WAS READ");
        for input in &case.inputs {
            let span = match (input.first_ns, input.last_ns) {
                (Some(first), Some(last)) => format!(", {} to {}", time(first), time(last)),
                _ => String::new(),
            };
            self.wrapped(
                "  ",
                &format!(
                    "{}: {}, {} {}, {}B on the wire{span}",
                    input.name,
                    input.kind,
                    count(input.records),
                    if matches!(input.kind, "packets" | "empty") {
                        "packets".to_owned()
                    } else {
                        format!("records for {} packets", count(input.packets))
                    },
                    metric(input.octets as f64)
                ),
            );
            for fault in &input.faults {
                let words = fault_words(fault.reason);
                self.wrapped(
                    "    ! ",
                    &format!(
                        "{} x {}: {words}; first at byte {}",
                        count(fault.count),
                        fault.reason,
                        fault.first_offset
                    ),
                );
            }
        }
        for file in &case.signals {
            let span = match (file.first_ns, file.last_ns) {
                (Some(first), Some(last)) => format!(", {} to {}", time(first), time(last)),
                _ => String::new(),
            };
            let text = format!(
                "{}: {} reports, {} probes{span}",
                file.name,
                count(file.reports),
                count(file.probes)
            );
            self.wrapped("  ", &text);
            for fault in &file.faults {
                let words = fault_words(fault.reason);
                let text = format!(
                    "{} x {}: {words}; first at byte {}",
                    count(fault.count),
                    fault.reason,
                    fault.first_offset
                );
                self.wrapped("    ! ", &text);
            }
        }
        const EXPORTERS: usize = 10;
        for exporter in case.exporters.iter().take(EXPORTERS) {
            let losses = exporter.losses;
            let unit = if losses.in_records { "records" } else { "messages" };
            let mut text = format!(
                "exporter {} {} domain {}: {} records in {} messages, 1 in {} packets",
                IpAddr::V6(exporter.address).to_canonical(),
                exporter.format.name(),
                exporter.domain,
                count(exporter.records),
                count(exporter.messages),
                exporter.sampling
            );
            if losses.lost > 0 {
                text.push_str(&format!(", {} {unit} lost", count(losses.lost)));
            }
            if losses.duplicates > 0 {
                text.push_str(&format!(", {} came twice", count(losses.duplicates)));
            }
            if losses.restarts > 0 {
                text.push_str(&format!(", {} restarts", count(losses.restarts)));
            }
            self.wrapped("    ", &text);
        }
        if case.exporters.len() > EXPORTERS {
            self.line(&format!(
                "    and {} more exporters",
                case.exporters.len() - EXPORTERS
            ));
        }
    }

    fn footer(&mut self, atlas: &Atlas) {
        let about = atlas.about();
        self.line("");
        self.wrapped(
            "",
            &format!(
                "Address data of {}, sha256 {}...; {}",
                about.built,
                about.sha256.get(..12).unwrap_or(&about.sha256),
                about.attribution.join("; ")
            ),
        );
        self.line("Everything in full, for programs: the same command with --format json");
    }
}

/// Words broken into lines, the first with `first`, the others indented as far.
pub(crate) fn wrapped(first: &str, text: &str) -> String {
    let indent = " ".repeat(first.chars().count());
    let (mut out, mut line) = (String::new(), first.to_owned());
    let mut push = |line: &str| {
        out.push_str(line.trim_end());
        out.push('\n');
    };
    let mut empty = true;
    let room = WIDTH.saturating_sub(indent.len()).max(20);
    for word in text.split_whitespace().flat_map(|word| pieces(word, room)) {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            push(&line);
            line = indent.clone();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(&word);
        empty = false;
    }
    push(&line);
    out
}

/// A word in pieces that fit into a line.
fn pieces(word: &str, room: usize) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    letters.chunks(room).map(|piece| piece.iter().collect()).collect()
}

/// A sentence without the addresses of its sources.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split(", https://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([')', ';', ' ']).unwrap_or(part.len());
        out.push_str(part.get(end..).unwrap_or_default());
    }
    out
}

/// A text of somebody else's without what moves a terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

pub(crate) fn vector_names(incident: &Incident) -> String {
    let labels: Vec<&str> = incident.vectors.iter().map(|v| v.vector.label()).collect();
    match labels.as_slice() {
        [] => "attack".to_owned(),
        [one] => (*one).to_owned(),
        [first, rest @ ..] => format!("{first} with {}", rest.join(", ")),
    }
}

pub(crate) fn target(incident: &Incident) -> String {
    let text = incident.target.to_string();
    let host = text
        .strip_suffix("/32")
        .filter(|_| !text.contains(':'))
        .or(text.strip_suffix("/128"));
    match host {
        Some(host) => host.to_owned(),
        None => format!("{text} ({} hosts)", count(incident.target_hosts)),
    }
}

/// The incident in two sentences; `running` is said of one that is not over.
pub(crate) fn headline(incident: &Incident, running: &str) -> String {
    format!("{}: {}", title(incident), summary(incident, running))
}

/// What happened to whom, in a few words.
pub(crate) fn title(incident: &Incident) -> String {
    format!("{} on {}", capitalised(&vector_names(incident)), target(incident))
}

/// How large it was and what its sources are, in two sentences.
pub(crate) fn summary(incident: &Incident, running: &str) -> String {
    let lasted = incident.end_ns.unwrap_or(incident.start_ns) - incident.start_ns;
    let sources = &incident.sources;
    let about = if sources.distinct_exact { "" } else { "about " };
    let mechanism = match sources.meaning {
        Meaning::Forged => "The sources are forged: countries mean nothing here.",
        Meaning::Reflectors => {
            "The sources are reflectors, abused machines; the sender is hidden behind them."
        }
        Meaning::Hidden => "The sources are forged or reflectors: countries do not say who sent it.",
        Meaning::Undetermined => "Whether the sources are forged is not determined.",
        Meaning::Senders => "The sources are the machines that sent it.",
    };
    let http = incident
        .vectors
        .first()
        .is_some_and(|v| matches!(v.vector, Vector::HttpFlood | Vector::Slowloris | Vector::SlowPost));
    let size = match incident.requests {
        Some(requests) if http => format!(
            "{} requests in {} packets",
            count(requests),
            count(incident.packets)
        ),
        _ => format!("{} packets", count(incident.packets)),
    };
    let ongoing = if incident.ongoing { running } else { "" };
    format!(
        "{size} from {about}{} in {}{ongoing}. {mechanism}",
        counted(sources.distinct, "address", "addresses"),
        duration(lasted),
    )
}

pub(crate) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

pub(crate) fn seen(inputs: &[Input]) -> String {
    let packets: u64 = inputs.iter().map(|input| input.packets).sum();
    let records: u64 = inputs.iter().map(|input| input.records).sum();
    // Export records stand for more packets than there are records.
    let what = if packets == records {
        format!("{} packets", count(packets))
    } else {
        format!("{} packets ({} records)", count(packets), count(records))
    };
    let first = inputs.iter().filter_map(|input| input.first_ns).min();
    let last = inputs.iter().filter_map(|input| input.last_ns).max();
    match (first, last) {
        (Some(first), Some(last)) => format!("{what} over {}", duration(last - first)),
        _ => what,
    }
}

/// Sums steps into at most so many columns.
fn resample(values: &[u64], columns: usize) -> Vec<u64> {
    let per = values.len().div_ceil(columns).max(1);
    values
        .chunks(per)
        .map(|chunk| chunk.iter().copied().max().unwrap_or(0))
        .collect()
}

/// A share in words.
fn interval(share: Share) -> String {
    format!(
        "{:.1} % [{:.1}, {:.1}]",
        share.estimate * 100.0,
        share.low * 100.0,
        share.high * 100.0
    )
}

/// How many times as much, with no more digits than it is worth.
fn times(ratio: f64) -> String {
    match ratio {
        r if r >= 100.0 => "over 100".to_owned(),
        r if r >= 10.0 => format!("{r:.0}"),
        r => format!("{r:.1}"),
    }
}

/// Digits in groups of three.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with the right form of its noun.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// At most six characters.
fn short(n: u64) -> String {
    match n {
        0..=99_999 => n.to_string(),
        100_000..=9_999_999 => format!("{:.0}k", n as f64 / 1e3),
        _ => format!("{:.0}M", n as f64 / 1e6),
    }
}

/// With a decimal prefix, ready for a unit.
pub(crate) fn metric(value: f64) -> String {
    let (scaled, prefix) = match value {
        v if v >= 1e12 => (v / 1e12, "T"),
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => return format!("{v:.0} "),
    };
    format!("{scaled:.2} {prefix}")
}

pub(crate) fn duration(ns: u64) -> String {
    let seconds = ns as f64 / 1e9;
    match seconds {
        s if s < 1e-3 => format!("{:.0} microseconds", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 120.0 => format!("{} s", trimmed(s)),
        // Rounded first, so that there are never 60 seconds or minutes.
        s if s < 7_199.5 => format!("{} min {} s", s.round() as u64 / 60, s.round() as u64 % 60),
        s => {
            let minutes = (s / 60.0).round() as u64;
            format!("{} h {} min", minutes / 60, minutes % 60)
        }
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// What a fault means for the reader.
pub(crate) fn fault_words(reason: &str) -> &'static str {
    match reason {
        "file-truncated" => "the file ends inside a record; everything before it was used",
        "record-length" => "a length that cannot be true",
        "resynchronised" => "bytes were skipped to find the next record",
        "block-malformed" => "a malformed block was skipped",
        "timestamp" => "a time that cannot be true",
        "link-type" => "a link type that is not decoded",
        "link-truncated" => "a frame cut short",
        "not-ip" => "frames that are not IP, such as ARP (ordinary)",
        "ip-header" => "an IP header that is cut short or wrong",
        "mapped-address" => "IPv6 packets with IPv4-mapped addresses, which must not be on a wire",
        "extension-headers" => "too many IPv6 extension headers",
        "transport-header" => "a TCP, UDP or ICMP header cut short or wrong; addresses and sizes were used",
        "tunnel-depth" => "tunnels in tunnels beyond the limit",
        "export-version" => "export messages of a version that is not decoded",
        "message-truncated" => "export messages shorter than they say; what is there was used",
        "set-length" => "a set or sample inside an export message has a length that cannot be true",
        "template-malformed" => "a template that cannot be read",
        "template-missing" => "data whose template never came; it could not be decoded",
        "options-malformed" => "options that cannot be read",
        "exporters-full" => "more exporters or templates than can be held; these were not taken",
        "export-lost" => "lost on the way, by the exporters' sequence numbers (see the exporters below)",
        "sampling-unknown" => {
            "records that do not say which of several sampling rates is theirs; counted once"
        }
        "exporter-clock" => {
            "the exporter's clock is more than an hour off the time of capture; its own times were used"
        }
        "line-malformed" => "lines that are no JSON object with the wanted fields",
        "line-too-long" => "lines longer than 65,536 bytes",
        "time-malformed" => "lines whose `at` is no time like 2025-03-10T09:45:00Z",
        "service-missing" => "lines that name no service",
        "name-too-long" => "lines with a name longer than 200 bytes",
        "result-missing" => "probes that do not say whether it worked (`ok`)",
        "schema-unknown" => "lines that are neither epicenter.report/1 nor epicenter.probe/1",
        "too-many-signals" => "more reports and probes than can be held; the rest was not used",
        "compression" => "the compressed stream is damaged; what came before was used",
        _ => "the input could not be read to its end",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(12), "12");
        assert_eq!(metric(1_500_000.0), "1.50 M");
        assert_eq!(duration(23_680_000_000), "23.7 s");
        assert_eq!(duration(23_500_000), "23.5 ms");
        assert_eq!(duration(3_600_000_000_000), "60 min 0 s");
        assert_eq!(duration(50_399_000_000_000), "14 h 0 min");
        assert_eq!(duration(179_700_000_000), "3 min 0 s");
        assert_eq!(duration(7_199_700_000_000), "2 h 0 min");
    }

    #[test]
    fn nothing_is_wider_than_the_page() {
        let mut page = Page {
            text: String::new(),
            style: Style::default(),
        };
        page.wrapped("  - ", &format!("see {} there", "x".repeat(300)));
        assert!(
            page.text.lines().all(|line| line.chars().count() <= WIDTH),
            "{}",
            page.text
        );
        assert_eq!(page.text.matches('x').count(), 300);
        assert_eq!(
            without_addresses(
                "99 % (Cloudflare, 2025, https://a.example/x?y=1); and (B, https://b.example)."
            ),
            "99 % (Cloudflare, 2025); and (B)."
        );
    }

    #[test]
    fn a_bar_holds_its_interval() {
        let mut page = Page {
            text: String::new(),
            style: Style::default(),
        };
        page.bar(
            "US",
            Share {
                estimate: 0.5,
                low: 0.4,
                high: 0.6,
            },
            4,
        );
        assert!(page.text.contains("50.0 % [40.0, 60.0]"), "{}", page.text);
        assert!(page.text.contains("============--|---"), "{}", page.text);
    }
}
