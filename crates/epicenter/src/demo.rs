//! `epicenter demo`: a day whose truth is known, through the whole pipeline, as it would have looked live.
//!
//! The range makes a day's packets, reports, probes and claims; here they arrive in order of time, packets as the bytes of a capture, and
//! go the way that everything goes: decoded, counted, judged, traced, held against what was claimed. What is printed is what the program
//! found; the truth is asked only at the end, to say how right that was.

use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use atlas::{Atlas, Prefix};
use detect::rails::Stage;
use detect::{Options, Tally};
use incident::Case;
use incident::case::{Incident, Input, Meaning, Signals};
use incident::claim::Claim;
use incident::engine::{Change, Engine, Event};
use incident::outage::{Attacked, News, Watch};
use incident::verdict::Evidence;
use range::{Drill, Scenario};
use trace::Hours;
use wire::{Batch, Capture, Collector, Kind};

use crate::args::DemoArgs;
use crate::case_text::{Style, count, duration, metric, wrapped};
use crate::serve::config::{Config, Net, Service, Site};
use crate::serve::server::Driven;
use crate::serve::traffic::attack;
use crate::signals::{BUDGET_PER_DAY, Signal};
use crate::{case_json, case_text, claims, outages, signals, simulate, tell};

const SECOND: u64 = 1_000_000_000;
/// Seconds of the day between two judgements of the traffic.
const STEP_S: u32 = 20;
/// How often, in seconds of the day, a line tells how things stand while something is going on.
const STATUS_S: u64 = 900;
/// Countries of senders in a line.
const SHOWN: usize = 6;
/// Reasons of a verdict that are shown while the day goes by; the case has all.
const BECAUSE: usize = 2;

/// Runs the command.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let mut page = Page::new(args);
    let atlas = Atlas::embedded();
    let (shown, text) = simulate::text_of(&args.scenario)?;
    let scenario = Scenario::read(&text, &atlas).map_err(|error| anyhow::anyhow!("{shown}: {error}"))?;
    page.line(&format!(
        "{} Simulated with seed {}: none of this traffic is real, and all that is said of it was found by the pipeline.",
        scenario.about, args.seed
    ))?;
    page.line(&format!(
        "{} from {}, in about {} s. Times are UTC.",
        duration(u64::from(scenario.seconds) * SECOND),
        outages::clock(scenario.start_ns()),
        args.seconds
    ))?;
    let mut day =
        Day::new(scenario, args.seed, &atlas).map_err(|problem| anyhow::anyhow!("{shown}: {problem}"))?;
    day.keeps_heard = !args.headless;
    day.learn(&mut page)?;
    if !args.headless {
        day.open(args.listen, &mut page)?;
    }
    page.begin();
    while day.second(&mut page)? {
        page.keep_pace(day.told, day.seconds);
    }
    let case = day.end(&mut page)?;
    page.line("")?;
    if args.full {
        page.line("THE CASE, as `epicenter investigate` prints it")?;
        page.line("")?;
        page.text(&case_text::render(&case, &atlas, page.style))?;
    } else {
        page.line("THE CASE IN SHORT (--full prints it as `epicenter investigate` does)")?;
        in_short(&case, &mut page)?;
    }
    let truth = serde_json::to_value(day.drill.truth())?;
    let json: serde_json::Value = serde_json::from_str(&case_json::render(&case, &atlas)?)?;
    let score = range::score::score(&json, &truth).map_err(|problem| anyhow::anyhow!(problem))?;
    page.line("")?;
    page.line("HOW RIGHT THAT WAS, against the truth that only the simulation knows")?;
    page.text(&simulate::score_in_words(&score))?;
    page.line("")?;
    page.line(&format!(
        "The files of this day: epicenter simulate {} -o day. Your own traffic: epicenter investigate capture.pcap",
        args.scenario
    ))?;
    let failures = failures(&score);
    failures.iter().for_each(|failure| tell(failure));
    if let Some(pages) = &day.pages
        && std::io::stdout().is_terminal()
    {
        page.line(&format!(
            "The pages of this day stay at http://{}/ until Ctrl-C.",
            pages.address
        ))?;
        until_interrupted()?;
    }
    Ok(if failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

/// Waits until somebody has seen enough.
fn until_interrupted() -> anyhow::Result<()> {
    let mut signals =
        signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])?;
    signals.forever().next();
    Ok(())
}

/// The case in a few lines.
fn in_short(case: &Case, page: &mut Page) -> anyhow::Result<()> {
    for outage in &case.outages {
        page.text(&wrapped("  - ", &outages::headline(outage)))?;
    }
    for incident in &case.incidents {
        page.text(&wrapped("  - ", &case_text::headline(incident, ", not over")))?;
        if let Some(line) = from(incident) {
            page.text(&wrapped("    ", &line))?;
        }
    }
    for verdict in &case.verdicts {
        let by = verdict.claim.by.as_deref().unwrap_or("somebody");
        let about = verdict
            .about
            .as_ref()
            .map_or(String::new(), |about| format!(" ({about})"));
        page.text(&wrapped(
            "  - ",
            &format!("\u{201c}{}\u{201d} ({by})", verdict.claim.said),
        ))?;
        page.text(&wrapped("    ", &format!("{}{about}", verdict.words.text())))?;
    }
    Ok(())
}

/// What must not be: a missed or invented attack or outage, or words of a verdict that point the wrong way.
fn failures(score: &range::score::Score) -> Vec<String> {
    let mut failures = Vec::new();
    let outages = &score.outages;
    for (what, missed, invented) in [
        ("attacks", score.missed, score.invented),
        ("outages", outages.missed, outages.invented),
    ] {
        if missed + invented > 0 {
            failures.push(format!("{what}: {missed} missed and {invented} invented"));
        }
    }
    let verdicts = &score.verdicts;
    let wrong = verdicts.likely + verdicts.unlikely - verdicts.likely_right - verdicts.unlikely_right;
    if wrong > 0 {
        failures.push(format!("{wrong} verdicts point the wrong way"));
    }
    failures
}

/// The day as it goes by.
struct Day<'a> {
    atlas: &'a Atlas,
    drill: Drill<'a>,
    made: range::drill::Signals,
    start_ns: u64,
    seconds: u32,
    told: u32,
    collector: Collector,
    capture: Capture,
    batch: Batch,
    /// Judges as it comes; what it holds is bounded by its window.
    engine: Engine,
    /// The whole day, for the case at its end.
    tally: Tally,
    watch: Watch,
    services: BTreeMap<String, Prefix>,
    claims: Vec<Claim>,
    /// Claims that are yet to be made.
    to_come: VecDeque<Claim>,
    incidents: BTreeMap<String, (Incident, bool)>,
    signals: Signals,
    packets: u64,
    octets: u64,
    ends_ns: Option<(u64, u64)>,
    status_ns: u64,
    /// The tracker's pages of this day, and what they have not heard yet.
    pages: Option<Driven>,
    heard: Vec<Signal>,
    keeps_heard: bool,
}

impl<'a> Day<'a> {
    fn now_ns(&self) -> u64 {
        self.start_ns + u64::from(self.told) * SECOND
    }

    /// Opens the pages of a tracker that hears what this day hears.
    fn open(&mut self, listen: std::net::SocketAddr, page: &mut Page) -> anyhow::Result<()> {
        let symptoms = ["app", "website", "login", "connection"]
            .map(str::to_owned)
            .to_vec();
        let service = |(name, prefix): (&String, &Prefix)| Service {
            slug: name.clone(),
            name: name.clone(),
            url: String::new(),
            about: "Of a simulated day: none of this happened.".to_owned(),
            networks: vec![Net(*prefix)],
            symptoms: symptoms.clone(),
            neighbours: Vec::new(),
            claims: None,
            probe: Vec::new(),
        };
        let config = Config {
            site: Site {
                name: "Epicenter demo".to_owned(),
                about: "A simulated day, as a tracker shows it".to_owned(),
                ..Site::default()
            },
            service: self.services.iter().map(service).collect(),
            // What was said that day was said of its first service, or of all alike.
            statements: self
                .services
                .keys()
                .take(1)
                .map(|name| (name.clone(), Arc::new(self.claims.clone())))
                .collect(),
            ..Config::default()
        };
        let has_probes = !self.drill.range().scenario().place.is_empty();
        // It begins with the first thing that was heard, so that it learns what is usual.
        let first_ns = self.heard.first().map_or(self.start_ns, Signal::at_ns);
        let pages = Driven::start(config, Arc::new(Atlas::embedded()), first_ns, listen, has_probes)?;
        page.line(&format!(
            "The tracker's pages of this day: http://{}/",
            pages.address
        ))?;
        self.pages = Some(pages);
        self.show();
        Ok(())
    }

    /// The days before, of which there are reports and probes alone: what is usual. Ends with the first second of the day.
    fn learn(&mut self, page: &mut Page) -> anyhow::Result<()> {
        let mut seconds = 0u64;
        loop {
            if !self.drill.second(&mut self.made) || self.drill.has_begun() {
                break;
            }
            seconds += 1;
        }
        let count_of = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        if seconds > 0 {
            page.line(&format!(
                "Before it, {} of ordinary reports and probes ({} and {}), from which it learns what is usual.",
                duration(seconds * SECOND),
                count(count_of(&self.made.reports)),
                count(count_of(&self.made.probes)),
            ))?;
        }
        page.line("")?;
        self.take(page)
    }

    /// Takes what was made of reports and probes, in order of time.
    fn hear(&mut self) {
        let mut heard = Vec::new();
        for lines in [&self.made.reports, &self.made.probes] {
            let told = signals::parse(lines.as_slice(), &mut heard);
            self.signals.reports += told.reports;
            self.signals.probes += told.probes;
            self.signals.first_ns = [self.signals.first_ns, told.first_ns].into_iter().flatten().min();
            self.signals.last_ns = self.signals.last_ns.max(told.last_ns);
        }
        heard.sort_by_key(Signal::at_ns);
        for signal in &heard {
            if self.told == 0 {
                // News of the days before are for nobody. On the day itself each minute is judged when it ends, in `take`.
                self.watch.step(signal.at_ns(), &mut Vec::new());
            }
            match signal {
                Signal::Report(report) => self.watch.report(report),
                Signal::Probe(probe) => self.watch.probe(probe),
            }
        }
        if self.keeps_heard {
            self.heard.append(&mut heard);
        }
        if self.told.is_multiple_of(60) {
            self.show();
        }
    }

    /// The pages hear what they have not heard yet.
    fn show(&mut self) {
        if let Some(pages) = &self.pages {
            pages.hear(self.now_ns(), std::mem::take(&mut self.heard));
        }
    }

    /// One second of the day; false after the last.
    fn second(&mut self, page: &mut Page) -> anyhow::Result<bool> {
        if !self.drill.second(&mut self.made) {
            return Ok(false);
        }
        self.take(page)?;
        Ok(true)
    }

    /// Everything of the second that was made.
    fn take(&mut self, page: &mut Page) -> anyhow::Result<()> {
        self.decode();
        self.hear();
        self.made.clear();
        self.told += 1;
        let now_ns = self.now_ns();
        if self.told.is_multiple_of(STEP_S) || self.told == self.seconds {
            let mut events = Vec::new();
            self.engine.step(now_ns, self.atlas, &mut events);
            self.tell(events, page)?;
        }
        if self.told.is_multiple_of(60) || self.told == self.seconds {
            let mut news = Vec::new();
            self.watch.step(now_ns, &mut news);
            for one in &news {
                self.news(one, page)?;
            }
            self.status(page)?;
        }
        while self
            .to_come
            .front()
            .is_some_and(|claim| claim.at_ns.is_some_and(|at| at <= now_ns))
        {
            if let Some(claim) = self.to_come.pop_front() {
                self.judge(claim, page)?;
            }
        }
        Ok(())
    }

    /// The packets of a second, as bytes of a capture, into the engine.
    fn decode(&mut self) {
        let mut at = 0;
        while at < self.made.packets.len() {
            self.batch.clear();
            let used = self
                .capture
                .decode(&self.made.packets[at..], &mut self.collector, &mut self.batch);
            at += used;
            for flow in &self.batch.flows {
                self.packets += flow.scaled_packets();
                self.octets += flow.scaled_bytes();
                let (first, last) = self.ends_ns.unwrap_or((flow.first_ns, flow.last_ns));
                self.ends_ns = Some((first.min(flow.first_ns), last.max(flow.last_ns)));
            }
            self.engine.add(&self.batch);
            self.tally.add(&self.batch);
            if used == 0 && self.batch.flows.is_empty() {
                break;
            }
        }
    }

    /// Says what is new in the traffic, and lets the watch know which services are attacked.
    fn tell(&mut self, events: Vec<Event>, page: &mut Page) -> anyhow::Result<()> {
        if let Some(pages) = &self.pages {
            pages.attacks(events.iter().map(attack).collect());
        }
        for event in events {
            let runs = matches!(event.change, Change::Begin | Change::Change);
            let known = self.incidents.contains_key(&event.incident.id);
            match event.change {
                Change::Begin if !known => page.lines(event.at_ns, "ATTACK", &begun(&event.incident))?,
                Change::Begin => {
                    page.lines(event.at_ns, "ATTACK", &[format!("{} goes on", event.incident.id)])?
                }
                Change::Change => page.lines(event.at_ns, "attack", &changed(&event.incident))?,
                Change::End => page.lines(event.at_ns, "attack", &ended(&event.incident))?,
                Change::Withdraw => {
                    let said = format!("{} was none: the target had asked for it", event.incident.id);
                    page.lines(event.at_ns, "attack", &[said])?;
                }
            }
            if event.change == Change::Withdraw {
                self.incidents.remove(&event.incident.id);
            } else {
                self.incidents
                    .insert(event.incident.id.clone(), (event.incident, runs));
            }
        }
        for (name, prefix) in &self.services {
            let attacked = self.incidents.values().any(|(incident, runs)| {
                *runs && (prefix.contains(incident.target.base) || incident.target.contains(prefix.base))
            });
            self.watch.attacked(name, attacked);
        }
        Ok(())
    }

    fn news(&self, news: &News, page: &mut Page) -> anyhow::Result<()> {
        let (reports, expected) = news.last_15;
        let places = match news.failing {
            (_, 0) => String::new(),
            (0, places) => format!("; all {places} places reach it"),
            (failing, places) => format!("; {failing} of {places} places cannot reach it"),
        };
        let usual = outages::times(reports, expected);
        let (word, said) = match news.stage {
            Stage::Suspected => (
                "suspected",
                format!("{} reports in 15 minutes, {usual}{places}", count(reports)),
            ),
            Stage::Confirmed => (
                "DOWN",
                format!(
                    "in trouble since {}: {} reports in 15 minutes, {usual}{places}",
                    hour(news.since_ns),
                    count(reports)
                ),
            ),
            Stage::Recovering => (
                "better",
                format!("{} reports in 15 minutes{places}", count(reports)),
            ),
            Stage::Resolved => (
                "RESOLVED",
                format!("well again since {}{places}", hour(news.since_ns)),
            ),
            Stage::Closed => ("closed", "no wave for six hours: it is over".to_owned()),
            Stage::Quiet => ("quiet", "it came to nothing".to_owned()),
        };
        page.lines(news.at_ns, word, &[format!("{}: {said}", news.service)])
    }

    /// Every quarter of an hour while something is wrong: how it stands.
    fn status(&mut self, page: &mut Page) -> anyhow::Result<()> {
        let now_ns = self.now_ns();
        let names: Vec<String> = self.services.keys().cloned().collect();
        page.bar(&self.bar_text(&names));
        if now_ns < self.status_ns {
            return Ok(());
        }
        self.status_ns = now_ns + STATUS_S * SECOND;
        for name in &names {
            let (reports, expected) = self.watch.last_15(name);
            if reports as f64 > 5.0 * expected.max(4.0) {
                let said = format!(
                    "{name}: {} reports in 15 minutes, {}",
                    count(reports),
                    outages::times(reports, expected)
                );
                page.lines(now_ns, "reports", &[said])?;
            }
        }
        Ok(())
    }

    fn bar_text(&self, names: &[String]) -> String {
        let reports: Vec<String> = names
            .iter()
            .map(|name| format!("{name} {} reports/15 min", count(self.watch.last_15(name).0)))
            .collect();
        let running = self.incidents.values().filter(|(_, runs)| *runs).count();
        format!(
            "{}  {}  {} attacks running  {} packets seen",
            hour(self.now_ns()),
            reports.join("  "),
            running,
            count(self.packets)
        )
    }

    fn judge(&mut self, claim: Claim, page: &mut Page) -> anyhow::Result<()> {
        let at_ns = claim.at_ns.unwrap_or_else(|| self.now_ns());
        let by = claim.by.clone().unwrap_or_else(|| "somebody".to_owned());
        let said = claim.said.clone();
        let incidents: Vec<Incident> = self
            .incidents
            .values()
            .map(|(incident, _)| incident.clone())
            .collect();
        let case = self.case(incidents);
        let verdict = incident::judge(&[claim], &case.incidents, &Evidence::of(&case))
            .into_iter()
            .next()
            .context("a claim has a verdict")?;
        let mut lines = vec![format!("{by}: \u{201c}{said}\u{201d}")];
        let about = verdict
            .about
            .as_ref()
            .map_or(String::new(), |about| format!(" ({about})"));
        lines.push(format!(
            "What the evidence says so far{about}: {}.",
            verdict.words.text()
        ));
        // Which attack it was held against is plain here, and the case says it.
        let reasons = verdict
            .because
            .iter()
            .filter(|reason| !reason.starts_with("It was "));
        lines.extend(reasons.take(BECAUSE).cloned());
        page.lines(at_ns, "CLAIM", &lines)
    }
}

impl<'a> Day<'a> {
    fn new(scenario: Scenario, seed: u64, atlas: &'a Atlas) -> Result<Day<'a>, String> {
        let text = range::claims::toml(&scenario);
        let mut claims = match &text {
            Some(text) => claims::parse("its claims", text.as_bytes(), &claims::Beside::NOTHING)?,
            None => Vec::new(),
        };
        claims.sort_by_key(|claim| claim.at_ns);
        let (start_ns, seconds, has_probes) =
            (scenario.start_ns(), scenario.seconds, !scenario.place.is_empty());
        let drill = Drill::new(scenario, seed, atlas).map_err(|error| error.to_string())?;
        let mut services: BTreeMap<String, Prefix> = BTreeMap::new();
        for (name, prefix) in drill.range().services() {
            services.entry(name).or_insert(prefix);
        }
        let mut collector = Collector::default();
        let mut capture = Capture::new(Kind::Pcap).ok_or("a pcap is no capture")?;
        capture.decode(
            &range::packets::pcap_header(),
            &mut collector,
            &mut Batch::default(),
        );
        Ok(Day {
            atlas,
            drill,
            made: range::drill::Signals::default(),
            start_ns,
            seconds,
            told: 0,
            collector,
            capture,
            batch: Batch::default(),
            engine: Engine::new(Options::default(), Hours::default()),
            tally: Tally::new(),
            watch: Watch::new(has_probes, BUDGET_PER_DAY),
            services,
            to_come: claims
                .iter()
                .filter(|claim| claim.at_ns.is_some())
                .cloned()
                .collect(),
            claims,
            incidents: BTreeMap::new(),
            signals: Signals {
                name: "reports and probes of the simulation".to_owned(),
                ..Signals::default()
            },
            packets: 0,
            octets: 0,
            ends_ns: None,
            status_ns: 0,
            pages: None,
            heard: Vec::new(),
            keeps_heard: false,
        })
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input {
            name: "packets of the simulation".to_owned(),
            kind: "packets",
            bytes: self.octets,
            records: self.packets,
            packets: self.packets,
            octets: self.octets,
            first_ns: self.ends_ns.map(|(first, _)| first),
            last_ns: self.ends_ns.map(|(_, last)| last),
            faults: Vec::new(),
        }]
    }

    /// The case of these incidents and of what people and probes saw so far.
    fn case(&self, incidents: Vec<Incident>) -> Case {
        let attacks: Vec<Attacked> = incidents.iter().map(Attacked::of).collect();
        Case {
            inputs: self.inputs(),
            exporters: Vec::new(),
            outages: self.watch.outages(&attacks, self.ends_ns, &self.services),
            incidents,
            signals: vec![self.signals.clone()],
            scans: Vec::new(),
            verdicts: Vec::new(),
            caveats: Vec::new(),
        }
    }

    /// The case of the whole day, and all claims once more with all evidence.
    fn end(&mut self, page: &mut Page) -> anyhow::Result<Case> {
        let now_ns = self.now_ns();
        let mut events = Vec::new();
        self.engine.finish(now_ns, self.atlas, &mut events);
        self.tell(events, page)?;
        page.clear();
        let found = incident::investigate(&self.tally, self.atlas, &Options::default(), self.inputs());
        let mut case = Case {
            caveats: found.caveats,
            scans: found.scans,
            ..self.case(found.incidents)
        };
        case.verdicts = incident::judge(&self.claims, &case.incidents, &Evidence::of(&case));
        Ok(case)
    }
}

/// What a new attack looks like.
fn begun(incident: &Incident) -> Vec<String> {
    let mut lines = vec![case_text::headline(incident, ", going on")];
    lines.extend(from(incident));
    lines
}

fn changed(incident: &Incident) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: now {} packets/s, {}bit/s at most, {} addresses",
        case_text::target(incident),
        count(incident.peak.packets_per_second as u64),
        metric(incident.peak.bits_per_second),
        count(incident.sources.distinct),
    )];
    lines.extend(from(incident));
    lines
}

fn ended(incident: &Incident) -> Vec<String> {
    let end_ns = incident.end_ns.unwrap_or(incident.start_ns);
    let mut lines = vec![format!(
        "{}: over since {}, after {}: {} packets from {} addresses",
        case_text::target(incident),
        hour(end_ns),
        duration(end_ns.saturating_sub(incident.start_ns)),
        count(incident.packets),
        count(incident.sources.distinct),
    )];
    lines.extend(from(incident));
    lines
}

/// Where it comes from, in a line, with the forged share first.
fn from(incident: &Incident) -> Option<String> {
    let sources = &incident.sources;
    if sources.meaning != Meaning::Senders {
        return None;
    }
    let percent = |x: f64| 100.0 * x;
    let listed: Vec<String> = sources
        .senders
        .countries
        .iter()
        .take(SHOWN)
        .map(|country| {
            let s = country.by_packets;
            format!(
                "{} {:.0} % [{:.0}, {:.0}]",
                country.key.as_str(),
                percent(s.estimate),
                percent(s.low),
                percent(s.high)
            )
        })
        .collect();
    (!listed.is_empty()).then(|| {
        format!(
            "senders: {}, and {} more countries",
            listed.join(", "),
            sources.senders.countries.len().saturating_sub(SHOWN)
        )
    })
}

/// The time of the day, to the minute.
fn hour(ns: u64) -> String {
    case_json::time(ns).get(11..16).unwrap_or("").to_owned()
}

/// What is seen on the terminal.
struct Page {
    style: Style,
    bar: indicatif::ProgressBar,
    began: Instant,
    /// Wall seconds that the day is to take; 0 for as fast as it goes.
    seconds: f64,
}

impl Page {
    fn new(args: &DemoArgs) -> Page {
        let terminal = std::io::stdout().is_terminal() && !args.headless;
        let bar = if terminal {
            let bar = indicatif::ProgressBar::new_spinner();
            let form = indicatif::ProgressStyle::with_template("{spinner} {msg}");
            bar.set_style(form.unwrap_or_else(|_| indicatif::ProgressStyle::default_spinner()));
            bar
        } else {
            indicatif::ProgressBar::hidden()
        };
        Page {
            style: Style::of(std::io::stdout().is_terminal()),
            bar,
            began: Instant::now(),
            seconds: if args.headless {
                0.0
            } else {
                f64::from(args.seconds)
            },
        }
    }

    fn text(&mut self, text: &str) -> anyhow::Result<()> {
        self.bar.suspend(|| {
            let mut out = std::io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        })?;
        Ok(())
    }

    fn line(&mut self, text: &str) -> anyhow::Result<()> {
        self.text(&wrapped("", text))
    }

    /// News: the time, a word for what it is, and lines.
    fn lines(&mut self, at_ns: u64, word: &str, lines: &[String]) -> anyhow::Result<()> {
        for (number, line) in lines.iter().enumerate() {
            let first = if number == 0 {
                format!("{}  {word:<10} ", hour(at_ns))
            } else {
                " ".repeat(18)
            };
            let text = wrapped(&first, line);
            self.text(&text)?;
        }
        Ok(())
    }

    /// The day begins now.
    fn begin(&mut self) {
        self.began = Instant::now();
    }

    fn bar(&self, text: &str) {
        self.bar.set_message(text.to_owned());
        self.bar.tick();
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Waits until it is time for the next second of the day.
    fn keep_pace(&self, told: u32, of: u32) {
        let due = Duration::from_secs_f64(self.seconds * f64::from(told) / f64::from(of.max(1)));
        if let Some(early) = due.checked_sub(self.began.elapsed()) {
            std::thread::sleep(early);
        }
    }
}
