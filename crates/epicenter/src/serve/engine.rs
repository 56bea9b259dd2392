//! The one thread that writes: it takes what comes in, puts it on the disk, lets the detector judge, and shows what is known.
//!
//! Whoever asks waits for the answer. What waits together is committed together, with one sync of the disk for all of it, so that an
//! answer means that it is on the disk, and thousands of reports a second cost some hundred syncs. The journal holds the reports as
//! the lines that `investigate` reads; the state of the detector is saved every hour, and after a start what the journal holds since
//! then is gone through again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use atlas::{Country, Prefix};
use detect::rails::Stage;
use incident::outage::{Attacked, Probe, Report, Watch};
use incident::verdict::Evidence;
use serde::{Deserialize, Serialize};
use store::{Batch, Store};
use tokio::sync::{oneshot, watch};

use super::cache::Pages;
use super::clock::{Clock, Reading};
use super::config::{Config, Service};
use super::state::{
    Attack, BIN_NETWORKS_MAX, BIN_S, BINS, Bin, INCIDENTS_MAX, Incident, Keys, Probing, Said, Slot, Standing,
    State, Update, View,
};
use crate::case_json::time;
use crate::signals::{self, BUDGET_PER_DAY, Signal};
use crate::tell;

/// Asks that wait; beyond it the answer is that we are busy.
pub(crate) const QUEUE: usize = 16_384;
/// Asks that are answered with one commit.
const GROUP: usize = 8_192;
/// How often the engine looks around when nothing comes.
const TICK: Duration = Duration::from_millis(200);
/// How often a view is made anew at most.
const SHOW: Duration = Duration::from_secs(1);
/// How often the state is saved, and what is old dropped.
const SAVE: Duration = Duration::from_secs(3_600);
/// Minutes that the detector keeps: longer than waves of one incident are apart.
const HISTORY_MIN: usize = 420;
/// One person counts once in it, for each service.
pub(crate) const HALF_HOUR_NS: u64 = 1_800_000_000_000;
/// Persons and services that are remembered, of this half hour and of the one before.
const PERSONS_MAX: usize = 4 << 20;
/// Networks and services whose reports of a minute are counted.
const LIMITS_MAX: usize = 1 << 20;
/// Probings that are shown for each service.
const PROBINGS_MAX: usize = 256;
/// Attacks that are kept.
const ATTACKS_MAX: usize = 1_000;
/// Bodies that are dropped in one go.
const DROPPED: u32 = 20_000;

/// Entries, and bytes of them, that are gone through together after a start.
const REPLAY_ENTRIES: usize = 1_000;
const REPLAY_BYTES: usize = 16 << 20;

const REPORTS: &str = "reports";
const PROBES: &str = "probes";

/// A report as it came: whose it is, is only a hash.
#[derive(Clone, Debug)]
pub(crate) struct NewReport {
    pub(crate) service: String,
    pub(crate) symptom: String,
    pub(crate) comment: String,
    /// Keyed hash of the address.
    pub(crate) person: u64,
    /// Keyed hash of its /24 or /48.
    pub(crate) prefix: u64,
    pub(crate) country: Country,
    pub(crate) network: u32,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is on the disk.
    Counted,
    /// This person has reported this within half an hour.
    Already,
    /// Too many from this network in this minute.
    TooMany,
    /// There is no such service.
    Unknown,
    /// There is no room for it.
    Full,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probed {
    pub(crate) at_ns: u64,
    pub(crate) service: String,
    pub(crate) place: String,
    pub(crate) probe: usize,
    pub(crate) kind: String,
    /// `None`: no data, it could not be tried.
    pub(crate) ok: Option<bool>,
    pub(crate) reason: String,
    pub(crate) ms: Option<f64>,
    pub(crate) certificate_ends_s: Option<u64>,
}

/// What an operator does about an incident.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub(crate) enum Deed {
    Acknowledge,
    Update { text: String },
    PostMortem { text: String },
    Cause { cause: String },
    Merge { into: String },
}

/// Documents that others keep in the file, and an entry of the journal that says so.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub(crate) entry: Option<(&'static str, serde_json::Value)>,
    pub(crate) puts: Vec<(&'static str, String, String)>,
    pub(crate) deletes: Vec<(&'static str, String)>,
}

/// What the engine is asked.
#[derive(Debug)]
pub(crate) enum Ask {
    Report(NewReport, oneshot::Sender<Answer>),
    Probes(Vec<Probed>, oneshot::Sender<Result<(), store::Error>>),
    Attacks(Vec<Attack>),
    Deed(String, String, Deed, oneshot::Sender<Result<(), String>>),
    Write(Writing, oneshot::Sender<Result<(), store::Error>>),
    Read(Question),
    Config(Arc<Config>, oneshot::Sender<()>),
    /// What was heard up to a time, from whoever drives this engine's time: the demo.
    Drive(u64, Vec<Signal>),
    /// How the engine itself is, and what it knows of the networks of a service.
    Look(String, oneshot::Sender<Look>),
    Stop,
}

/// What operators want to know of the engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Look {
    /// Signals for which there was no room, and those that came too late.
    pub(crate) uncounted: (u64, u64),
    /// How far the system's clock is behind ours, in seconds.
    pub(crate) behind_s: u64,
    /// Reports of the service that was named which were not counted since the start: by persons who had reported within half an hour,
    /// and beyond the limit of a network.
    pub(crate) repeated: u64,
    pub(crate) limited: u64,
    /// The usual share of each network in the reports of the service that was named.
    pub(crate) usual: BTreeMap<u32, f64>,
}

/// A question to the file, answered by the thread that has it open.
pub(crate) struct Question(pub(crate) Box<dyn FnOnce(store::file::Read<'_>) + Send>);

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Question")
    }
}

/// An incident as it is now, for those who are told: it is new, it stands elsewhere, or an operator has done something.
pub(crate) type Event = Arc<Incident>;

/// Of a service, what the engine keeps beside the detector's state.
#[derive(Clone, Debug, Default)]
struct Track {
    bins: VecDeque<Bin>,
    probings: BTreeMap<(String, usize), Probing>,
    is_changed: bool,
    version: u64,
    /// Reports that were not counted since the start: by persons who had reported, and beyond the limit of their network.
    repeated: u64,
    limited: u64,
}

/// What is saved of a track.
#[derive(Debug, Deserialize, Serialize)]
struct Saved {
    watch: Vec<u8>,
    bins: BTreeMap<String, Vec<Bin>>,
}

/// Who reported what, in this half hour and in the one before.
#[derive(Debug, Default)]
struct Persons {
    half_hour: u64,
    now: HashMap<(u64, u64), u64>,
    before: HashMap<(u64, u64), u64>,
}

impl Persons {
    /// Remembers the report, unless this person reported this within half an hour.
    fn takes(&mut self, person: u64, service: u64, at_ns: u64) -> bool {
        let half_hour = at_ns / HALF_HOUR_NS;
        if half_hour > self.half_hour {
            let last = std::mem::take(&mut self.now);
            self.before = if half_hour == self.half_hour + 1 {
                last
            } else {
                HashMap::new()
            };
            self.half_hour = half_hour;
        }
        let key = (person, service);
        let known = [&self.now, &self.before]
            .iter()
            .any(|half| half.get(&key).is_some_and(|last| at_ns < last + HALF_HOUR_NS));
        if !known && self.now.len() < PERSONS_MAX {
            self.now.insert(key, at_ns);
        }
        !known
    }

    /// Forgets the report: it was not written.
    fn forget(&mut self, person: u64, service: u64) {
        self.now.remove(&(person, service));
    }
}

/// The engine.
pub(crate) struct Engine {
    store: Store,
    config: Arc<Config>,
    state: Arc<State>,
    watch: Watch,
    tracks: BTreeMap<Arc<str>, Track>,
    persons: Persons,
    /// Reports of this minute by network and service.
    limits: HashMap<(u64, u64), u32>,
    limits_minute: u64,
    incidents: BTreeMap<String, Arc<Incident>>,
    attacks: Vec<Attack>,
    /// Verdicts on what was said, by service.
    said: BTreeMap<String, Vec<Said>>,
    /// Since when and until when exports were heard.
    watched: Option<(u64, u64)>,
    clock: Clock,
    /// The time, where somebody else says what it is.
    driven_ns: Option<u64>,
    began: Instant,
    shown: Instant,
    saved: Instant,
    minute: u64,
    is_full: bool,
    behind_told: bool,
    behind_s: u64,
    events: tokio::sync::broadcast::Sender<Event>,
}

impl Engine {
    /// Opens the file, and brings the detector to where it was.
    ///
    /// # Errors
    ///
    /// The file cannot be used; the words say why.
    ///
    /// `driven_ns`: the time that it begins with where somebody drives it; the system's clock otherwise.
    pub(crate) fn open(
        store: Store,
        config: Arc<Config>,
        events: tokio::sync::broadcast::Sender<Event>,
        driven_ns: Option<u64>,
    ) -> Result<Engine, store::Error> {
        let read = store.read();
        let saved = read.snapshot("engine")?.and_then(|(seq, bytes)| {
            let saved: Saved = postcard::from_bytes(&bytes).ok()?;
            Some((seq, Watch::load(&saved.watch)?, saved.bins))
        });
        let (seq, watch, bins) = saved.unwrap_or_else(|| {
            (
                0,
                Watch::new(false, BUDGET_PER_DAY).keeping(HISTORY_MIN),
                BTreeMap::new(),
            )
        });
        let mut incidents = BTreeMap::new();
        for (id, text) in read.documents("incident")? {
            match serde_json::from_str::<Incident>(&text) {
                Ok(incident) => drop(incidents.insert(id, Arc::new(incident))),
                Err(error) => tell(&format!("incident {id} in the data file cannot be read: {error}")),
            }
        }
        let mut said = BTreeMap::new();
        for (slug, text) in read.documents("said")? {
            // Of another form: judged anew when there is evidence.
            said.insert(slug, serde_json::from_str(&text).unwrap_or_default());
        }
        let tracks = bins
            .into_iter()
            .map(|(slug, bins)| {
                let track = Track {
                    bins: bins.into(),
                    ..Track::default()
                };
                (Arc::from(slug.as_str()), track)
            })
            .collect();
        let began = Instant::now();
        let mut engine = Engine {
            clock: Clock::new(system_ns(), Duration::ZERO, 0),
            state: Arc::new(State {
                config: arc_swap::ArcSwap::new(Arc::clone(&config)),
                services: arc_swap::ArcSwap::default(),
                incidents: arc_swap::ArcSwap::default(),
                changed: watch::Sender::new(0),
                front: arc_swap::ArcSwap::default(),
                keys: arc_swap::ArcSwap::default(),
                counters: super::state::Counters::default(),
                letters: super::notify::Letters::default(),
                is_full: false.into(),
                alive_ns: 0.into(),
            }),
            config,
            watch,
            tracks,
            persons: Persons::default(),
            limits: HashMap::new(),
            limits_minute: 0,
            incidents,
            attacks: Vec::new(),
            said,
            watched: None,
            driven_ns: None,
            began,
            shown: began,
            saved: began,
            minute: 0,
            is_full: false,
            behind_told: false,
            behind_s: 0,
            events,
            store,
        };
        let last_ns = engine.replay(seq)?;
        engine.driven_ns = driven_ns;
        engine.clock = Clock::new(system_ns(), began.elapsed(), last_ns);
        let now_ns = engine.now().now_ns;
        // While we were not there, nothing was heard.
        engine.watch.resume(now_ns);
        engine.configure(Arc::clone(&engine.config), now_ns);
        engine.keys(now_ns)?;
        engine.show(now_ns, true);
        Ok(engine)
    }

    /// What others read.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Goes through the journal from the entry after `seq` on, some entries at a time, so that memory does not grow with what was
    /// written since. Persons are remembered from an hour before now on. Returns when the last entry was written.
    fn replay(&mut self, seq: u64) -> Result<u64, store::Error> {
        let (last, _) = self.store.head();
        let mut news = Vec::new();
        let (mut last_ns, mut next) = (
            0,
            (seq + 1).min(self.first_since(system_ns().saturating_sub(2 * HALF_HOUR_NS))?),
        );
        // That the time does not go back holds also where nothing has to be gone through again.
        self.store.read().entries(last, &mut |entry| {
            last_ns = entry.at_ns;
            false
        })?;
        while next <= last {
            let (mut entries, mut bytes) = (Vec::new(), 0);
            self.store.read().entries(next, &mut |entry| {
                bytes += entry.body.as_ref().map_or(0, Vec::len);
                entries.push(entry);
                bytes < REPLAY_BYTES && entries.len() < REPLAY_ENTRIES
            })?;
            let Some(end) = entries.last() else { break };
            next = end.seq + 1;
            for entry in entries {
                let is_new = entry.seq > seq;
                let mut signals = Vec::new();
                if [REPORTS, PROBES].contains(&entry.kind.as_str()) {
                    signals::parse(entry.body.as_deref().unwrap_or_default(), &mut signals);
                }
                if is_new {
                    self.watch.step(entry.at_ns, &mut news);
                    news.clear();
                }
                for signal in &signals {
                    if let Signal::Report(report) = signal {
                        self.persons
                            .takes(report.person, hash(&report.service), report.at_ns);
                    }
                    if is_new {
                        self.count(signal);
                    }
                }
            }
        }
        Ok(last_ns)
    }

    /// The first entry that was written at a time or later. Entries are in order of time, so it is sought by halving.
    fn first_since(&self, at_ns: u64) -> Result<u64, store::Error> {
        let (mut low, mut high) = (1, self.store.head().0 + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let mut is_before = false;
            self.store.read().entries(middle, &mut |entry| {
                is_before = entry.at_ns < at_ns;
                false
            })?;
            if is_before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Counts a signal in the detector and in the chart.
    fn count(&mut self, signal: &Signal) {
        match signal {
            Signal::Report(report) => {
                self.watch.report(report);
                let bin = bin(&mut self.tracks, &report.service, report.at_ns);
                bin.reports += 1;
                *bin.countries.entry(report.country).or_default() += 1;
                let network =
                    if bin.networks.len() < BIN_NETWORKS_MAX || bin.networks.contains_key(&report.network) {
                        report.network
                    } else {
                        0
                    };
                *bin.networks.entry(network).or_default() += 1;
                *bin.symptoms.entry(report.symptom.clone()).or_default() += 1;
            }
            Signal::Probe(probe) => {
                self.watch.probe(probe);
                let bin = bin(&mut self.tracks, &probe.service, probe.at_ns);
                bin.tried += 1;
                bin.failed += u64::from(!probe.ok);
            }
        }
    }

    fn now(&mut self) -> Reading {
        if let Some(now_ns) = self.driven_ns {
            return Reading {
                now_ns,
                jumped: false,
                behind_s: 0,
            };
        }
        self.clock.read(system_ns(), self.began.elapsed())
    }

    /// Answers until it is told to stop.
    pub(crate) fn run(mut self, asks: &Receiver<Ask>) {
        loop {
            let mut group = match asks.recv_timeout(TICK) {
                Ok(ask) => vec![ask],
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            while group.len() < GROUP
                && let Ok(ask) = asks.try_recv()
            {
                group.push(ask);
            }
            let reading = self.now();
            if reading.jumped {
                tell(
                    "the system's clock went ahead and stayed there: the time between counts as one without data",
                );
                self.watch.resume(reading.now_ns);
            }
            self.behind_s = reading.behind_s;
            if reading.behind_s >= 60 && !self.behind_told {
                tell(&format!(
                    "the system's clock went back by {} s: time goes on as it was until the clock is there again",
                    reading.behind_s
                ));
                self.behind_told = true;
            }
            let is_over = self.take(group, reading.now_ns);
            self.tick(reading.now_ns);
            if is_over {
                break;
            }
        }
        if let Err(error) = self.save() {
            tell(&format!(
                "the state could not be saved: {error}; it is made anew from the journal at the next start"
            ));
        }
    }

    /// Answers a group with one commit; returns whether it was told to stop.
    fn take(&mut self, group: Vec<Ask>, now_ns: u64) -> bool {
        let mut batch = Batch {
            at_ns: now_ns,
            ..Batch::default()
        };
        let mut signals = Vec::new();
        let mut counted: Vec<(oneshot::Sender<Answer>, u64, u64)> = Vec::new();
        let mut waiting = Vec::new();
        let mut deeds = Vec::new();
        let mut is_over = false;
        let at = time(now_ns);
        let (mut reports, mut probes) = (Vec::new(), Vec::new());
        if now_ns / 60_000_000_000 != self.limits_minute {
            self.limits_minute = now_ns / 60_000_000_000;
            self.limits.clear();
        }
        for ask in group {
            match ask {
                Ask::Report(report, answer) => match self.admit(&report, now_ns) {
                    Answer::Counted => {
                        line(&mut reports, &at, &report);
                        if !report.comment.is_empty() && self.config.reports.comments {
                            let name = format!("{now_ns:020}-{:016x}", report.person);
                            let text = serde_json::json!({
                                "at": at, "service": report.service, "country": report.country.as_str(), "text": report.comment,
                            });
                            batch.puts.push(("comment", name, text.to_string()));
                        }
                        let person = person(report.person);
                        counted.push((answer, person, hash(&report.service)));
                        signals.push(Signal::Report(Report {
                            at_ns: now_ns,
                            service: report.service,
                            country: report.country,
                            network: report.network,
                            symptom: report.symptom,
                            person,
                        }));
                    }
                    refused => drop(answer.send(refused)),
                },
                Ask::Probes(results, answer) => {
                    for result in results {
                        self.probed(&result, now_ns, &mut probes, &mut signals);
                    }
                    waiting.push(answer);
                }
                Ask::Attacks(attacks) => self.attacked(attacks, now_ns),
                Ask::Deed(who, id, deed, answer) => match self.deed(&who, &id, deed, now_ns, &mut batch) {
                    Ok(incident) => deeds.push((incident, answer)),
                    Err(problem) => drop(answer.send(Err(problem))),
                },
                Ask::Write(writing, answer) => {
                    batch.entries.extend(
                        writing
                            .entry
                            .map(|(kind, value)| (kind, value.to_string().into_bytes())),
                    );
                    batch.puts.extend(writing.puts);
                    batch.deletes.extend(writing.deletes);
                    waiting.push(answer);
                }
                Ask::Read(question) => (question.0)(self.store.read()),
                Ask::Config(config, answer) => {
                    self.configure(config, now_ns);
                    let _ = answer.send(());
                }
                Ask::Drive(to_ns, heard) => self.drive(to_ns, &heard),
                Ask::Look(service, answer) => {
                    // Who left meanwhile does not want to know any more.
                    let track = self.tracks.get(service.as_str());
                    let _ = answer.send(Look {
                        repeated: track.map_or(0, |track| track.repeated),
                        limited: track.map_or(0, |track| track.limited),
                        uncounted: self.watch.uncounted(),
                        behind_s: self.behind_s,
                        usual: self.watch.usual(&service),
                    });
                }
                Ask::Stop => is_over = true,
            }
        }
        for (kind, body) in [(REPORTS, reports), (PROBES, probes)] {
            if !body.is_empty() {
                batch.entries.push((kind, body));
            }
        }
        batch.bins = bins_of(&signals);
        if batch.is_empty() {
            waiting.into_iter().for_each(|answer| drop(answer.send(Ok(()))));
            return is_over;
        }
        let committed = self.store.commit(&batch);
        self.set_full(matches!(committed, Err(store::Error::Full)));
        match committed {
            Ok(()) => {
                let counters = &self.state.counters;
                counters.commits.fetch_add(1, Ordering::Relaxed);
                counters.journal.store(self.store.head().0, Ordering::Relaxed);
                counters
                    .accepted
                    .fetch_add(counted.len() as u64, Ordering::Relaxed);
                signals.iter().for_each(|signal| self.count(signal));
                for (answer, ..) in counted {
                    // Who left meanwhile has reported all the same.
                    let _ = answer.send(Answer::Counted);
                }
                for (incident, answer) in deeds {
                    let event = Arc::new(incident.clone());
                    self.keep(incident);
                    // Nobody may be listening.
                    let _ = self.events.send(event);
                    let _ = answer.send(Ok(()));
                }
                for answer in waiting {
                    let _ = answer.send(Ok(()));
                }
            }
            Err(error) => {
                if !matches!(error, store::Error::Full) {
                    tell(&error.to_string());
                }
                let words = error.to_string();
                let is_full = matches!(error, store::Error::Full);
                self.state
                    .counters
                    .refused_full
                    .fetch_add(counted.len() as u64, Ordering::Relaxed);
                for (answer, person, service) in counted {
                    self.persons.forget(person, service);
                    let _ = answer.send(Answer::Full);
                }
                for (_, answer) in deeds {
                    let _ = answer.send(Err(words.clone()));
                }
                for answer in waiting {
                    let _ = answer.send(Err(if is_full {
                        store::Error::Full
                    } else {
                        store::Error::Failed(words.clone())
                    }));
                }
            }
        }
        is_over
    }

    /// Says whether probes will come of services whose settings name none.
    pub(crate) fn expect_probes(&mut self, has_probes: bool) {
        let now_ns = self.now().now_ns;
        for service in &self.config.service {
            self.watch.follow(&service.slug, has_probes, now_ns);
        }
    }

    /// Goes on to a time that is told, minute by minute, and counts what was heard on the way. Nothing of it is written: it was made up.
    fn drive(&mut self, to_ns: u64, heard: &[Signal]) {
        for signal in heard {
            if signal.at_ns() / 60_000_000_000 != self.minute {
                self.minute = signal.at_ns() / 60_000_000_000;
                self.judge(signal.at_ns());
            }
            self.count(signal);
        }
        self.driven_ns = Some(to_ns);
    }

    /// Whether a report may be counted.
    fn admit(&mut self, report: &NewReport, now_ns: u64) -> Answer {
        if !self.tracks.contains_key(report.service.as_str()) {
            return Answer::Unknown;
        }
        let service = hash(&report.service);
        let room = self.limits.len() < LIMITS_MAX;
        let key = (report.prefix, service);
        if room || self.limits.contains_key(&key) {
            let so_far = self.limits.entry(key).or_default();
            *so_far = so_far.saturating_add(1);
            if *so_far > self.config.reports.per_network {
                self.state.counters.limited.fetch_add(1, Ordering::Relaxed);
                if let Some(track) = self.tracks.get_mut(report.service.as_str()) {
                    track.limited += 1;
                }
                return Answer::TooMany;
            }
        }
        if self.persons.takes(person(report.person), service, now_ns) {
            Answer::Counted
        } else {
            self.state.counters.repeated.fetch_add(1, Ordering::Relaxed);
            if let Some(track) = self.tracks.get_mut(report.service.as_str()) {
                track.repeated += 1;
            }
            Answer::Already
        }
    }

    /// Takes the result of a probe.
    fn probed(&mut self, result: &Probed, now_ns: u64, lines: &mut Vec<u8>, signals: &mut Vec<Signal>) {
        let Some(track) = self.tracks.get_mut(result.service.as_str()) else {
            return;
        };
        self.state.counters.probes.fetch_add(1, Ordering::Relaxed);
        let key = (result.place.clone(), result.probe);
        if track.probings.len() >= PROBINGS_MAX && !track.probings.contains_key(&key) {
            return;
        }
        track.is_changed = true;
        let last = track.probings.get(&key);
        // A batch whose answer was lost comes twice.
        if last.is_some_and(|last| result.at_ns <= last.at_ns) {
            return;
        }
        let (tried, failed) = last.map_or((0, 0), |last| (last.tried, last.failed));
        let probing = Probing {
            place: result.place.clone(),
            probe: result.probe,
            kind: result.kind.clone(),
            at_ns: result.at_ns,
            ok: result.ok,
            reason: result.reason.clone(),
            ms: result.ms,
            certificate_ends_s: result.certificate_ends_s,
            tried: tried + u64::from(result.ok.is_some()),
            failed: failed + u64::from(result.ok == Some(false)),
        };
        track.probings.insert(key, probing);
        let Some(ok) = result.ok else { return };
        // An agent's clock is not ours: what it found is of now, unless it says that it is older.
        let at_ns = result.at_ns.min(now_ns);
        let text = serde_json::json!({
            "schema": "epicenter.probe/1", "at": time(at_ns), "service": result.service, "place": result.place, "ok": ok,
        });
        lines.extend_from_slice(text.to_string().as_bytes());
        lines.push(b'\n');
        signals.push(Signal::Probe(Probe {
            at_ns,
            service: result.service.clone(),
            place: result.place.clone(),
            ok,
        }));
    }

    /// Takes what the traffic shows now: all attacks that are known.
    fn attacked(&mut self, attacks: Vec<Attack>, now_ns: u64) {
        self.watched = Some((self.watched.map_or(now_ns, |(first, _)| first), now_ns));
        for attack in attacks {
            if attack.is_withdrawn {
                self.attacks
                    .retain(|known| known.attacked.id != attack.attacked.id);
                continue;
            }
            match self
                .attacks
                .iter_mut()
                .find(|known| known.attacked.id == attack.attacked.id)
            {
                Some(known) => *known = attack,
                None => {
                    if self.attacks.len() >= ATTACKS_MAX {
                        self.attacks.remove(0);
                    }
                    self.attacks.push(attack);
                }
            }
        }
        for service in &self.config.service {
            let is_attacked = self
                .attacks
                .iter()
                .any(|attack| attack.is_running && is_on(attack, service));
            self.watch.attacked(&service.slug, is_attacked);
            if let Some(track) = self.tracks.get_mut(service.slug.as_str()) {
                track.is_changed = true;
            }
        }
    }

    /// What an operator does; the incident as it is then, and what is told of it.
    fn deed(
        &mut self,
        who: &str,
        id: &str,
        deed: Deed,
        now_ns: u64,
        batch: &mut Batch,
    ) -> Result<Incident, String> {
        let Some(incident) = self.incidents.get(id) else {
            return Err(format!("there is no incident {id}"));
        };
        let mut incident = Incident::clone(incident);
        let update = |text: &str| Update {
            at_ns: now_ns,
            who: who.to_owned(),
            text: text.to_owned(),
        };
        match &deed {
            Deed::Acknowledge => {
                if let Some((by, _)) = &incident.acknowledged {
                    return Err(format!("{by} has it in hand already"));
                }
                incident.acknowledged = Some((who.to_owned(), now_ns));
            }
            Deed::Update { text } => {
                incident.updates.push(update(text));
            }
            Deed::PostMortem { text } => {
                incident.post_mortem = Some(update(text));
            }
            Deed::Cause { cause } => {
                let known = [
                    "attack",
                    "own-fault",
                    "provider",
                    "neighbour",
                    "brigade",
                    "unknown",
                ];
                if !known.contains(&cause.as_str()) {
                    return Err(format!("`{cause}` is none of {}", known.join(", ")));
                }
                incident.named_cause = Some(cause.clone());
                if incident.standing == Standing::Confirmed && cause != "unknown" {
                    incident.standing = Standing::Identified;
                }
            }
            Deed::Merge { into } => {
                if into == id || !self.incidents.contains_key(into) {
                    return Err(format!("there is no other incident {into}"));
                }
                incident.merged_into = Some(into.clone());
            }
        }
        let entry = serde_json::json!({ "incident": id, "who": who, "deed": deed });
        batch.entries.push(("deed", entry.to_string().into_bytes()));
        batch.puts.push(document(&incident));
        Ok(incident)
    }

    fn keep(&mut self, incident: Incident) {
        if let Some(track) = self.tracks.get_mut(incident.service.as_str()) {
            track.is_changed = true;
        }
        self.incidents.insert(incident.id.clone(), Arc::new(incident));
        while self.incidents.len() > INCIDENTS_MAX {
            let oldest = self
                .incidents
                .values()
                .min_by_key(|one| one.start_ns)
                .map(|one| one.id.clone());
            if let Some(id) = oldest {
                self.incidents.remove(&id);
            }
        }
        self.state.incidents.store(Arc::new(self.incidents.clone()));
    }

    /// Judges minutes that are over, shows what changed, and saves now and then.
    fn tick(&mut self, now_ns: u64) {
        self.state.alive_ns.store(now_ns, Ordering::Relaxed);
        let minute = now_ns / 60_000_000_000;
        if minute != self.minute {
            self.minute = minute;
            self.judge(now_ns);
            if let Err(error) = self.keys(now_ns) {
                tell(&format!("the key of the day: {error}"));
            }
        }
        let began = Instant::now();
        if began.duration_since(self.shown) >= SHOW {
            self.show(now_ns, false);
            self.shown = began;
        }
        if began.duration_since(self.saved) >= SAVE {
            self.saved = began;
            if let Err(error) = self.save().and_then(|()| self.drop_old(now_ns)) {
                self.set_full(matches!(error, store::Error::Full));
                tell(&error.to_string());
            }
        }
    }

    fn set_full(&mut self, is_full: bool) {
        if is_full && !self.is_full {
            tell("the data file is full: reports are refused until there is room; the pages stay up");
        }
        self.is_full = is_full;
        self.state.is_full.store(is_full, Ordering::Relaxed);
    }

    /// One step of the detector, and what it means for incidents.
    fn judge(&mut self, now_ns: u64) {
        let mut news = Vec::new();
        self.watch.step(now_ns, &mut news);
        for (slug, track) in &mut self.tracks {
            let Some(now) = self.watch.now(slug) else { continue };
            let Some((minute_ns, expected)) = now.last_minute else {
                continue;
            };
            let bin = bin_in(&mut track.bins, minute_ns);
            if !expected.is_nan() && bin.minutes_known < 15 {
                bin.expected += expected;
                bin.minutes_known += 1;
            }
            // The chart moves on by itself.
            bin_in(&mut track.bins, now_ns);
            track.is_changed = true;
        }
        let addresses: BTreeMap<String, Prefix> = self
            .config
            .service
            .iter()
            .filter_map(|service| Some((service.slug.clone(), service.networks.first()?.0)))
            .collect();
        let attacked: Vec<Attacked> = self
            .attacks
            .iter()
            .map(|attack| attack.attacked.clone())
            .collect();
        let outages = self.watch.outages(&attacked, self.watched, &addresses);
        self.watch.forget_closed();
        let mut batch = Batch {
            at_ns: now_ns,
            ..Batch::default()
        };
        let mut events = Vec::new();
        for outage in &outages {
            let Some(now) = self.watch.now(&outage.service) else {
                continue;
            };
            let before = self.incidents.get(&outage.id).cloned();
            let incident = Incident::of(outage, standing(now.stage), &self.attacks, before.as_deref());
            if before.as_deref() == Some(&incident) {
                continue;
            }
            let is_news = before.as_ref().is_none_or(|before| {
                before.standing != incident.standing || before.cause.kind != incident.cause.kind
            });
            if is_news {
                let entry = serde_json::json!({
                    "incident": incident.id, "service": incident.service, "standing": incident.standing,
                    "start": time(incident.start_ns), "cause": incident.cause.kind,
                });
                batch.entries.push(("incident", entry.to_string().into_bytes()));
                events.push(incident.id.clone());
            }
            batch.puts.push(document(&incident));
            self.keep(incident);
        }
        self.hold_claims(&outages, now_ns, &mut batch);
        if !batch.is_empty()
            && let Err(error) = self.store.commit(&batch)
        {
            self.set_full(matches!(error, store::Error::Full));
            tell(&format!("incidents could not be written: {error}"));
        }
        for id in events {
            if let Some(incident) = self.incidents.get(&id) {
                // Nobody may be listening.
                let _ = self.events.send(Arc::clone(incident));
            }
        }
    }

    /// Holds what was said against what is known, for as long as there is something to hold it against; verdicts stay when it is gone.
    fn hold_claims(&mut self, outages: &[incident::outage::Outage], now_ns: u64, batch: &mut Batch) {
        let config = Arc::clone(&self.config);
        for service in &config.service {
            let Some(claims) = config.statements.get(&service.slug) else {
                continue;
            };
            let incidents: Vec<incident::case::Incident> = self
                .attacks
                .iter()
                .filter(|attack| is_on(attack, service))
                .filter_map(|attack| attack.incident.as_deref().cloned())
                .collect();
            let outages: Vec<_> = outages
                .iter()
                .filter(|outage| outage.service == service.slug)
                .cloned()
                .collect();
            if incidents.is_empty() && outages.is_empty() {
                continue;
            }
            let made: Vec<_> = claims
                .iter()
                .filter(|claim| claim.at_ns.is_none_or(|at| at <= now_ns))
                .cloned()
                .collect();
            let case = incident::Case {
                inputs: Vec::new(),
                exporters: Vec::new(),
                incidents,
                outages,
                signals: Vec::new(),
                scans: Vec::new(),
                verdicts: Vec::new(),
                caveats: Vec::new(),
            };
            let verdicts = incident::judge(&made, &case.incidents, &Evidence::of(&case));
            let said: Vec<Said> = verdicts.iter().map(|verdict| Said::of(verdict, now_ns)).collect();
            let before = self.said.get(&service.slug);
            // The same words a minute later are no news.
            let is_same = before.is_some_and(|before| {
                before.len() == said.len()
                    && before.iter().zip(&said).all(|(a, b)| {
                        Said {
                            judged_ns: b.judged_ns,
                            ..a.clone()
                        } == *b
                    })
            });
            if is_same {
                continue;
            }
            if let Ok(text) = serde_json::to_string(&said) {
                batch.puts.push(("said", service.slug.clone(), text));
            }
            self.said.insert(service.slug.clone(), said);
        }
    }

    /// Makes the views of all services that changed, and lets those know who wait for them.
    fn show(&mut self, now_ns: u64, all: bool) {
        let services = self.state.services.load();
        let past = by_service(&self.incidents);
        let mut any = false;
        for service in &self.config.service {
            let slug = service.slug.as_str();
            let (Some(track), Some(slot)) = (self.tracks.get_mut(slug), services.get(slug)) else {
                continue;
            };
            if !track.is_changed && !all {
                continue;
            }
            track.is_changed = false;
            track.version += 1;
            any = true;
            let version = track.version;
            let past = past.get(slug).cloned().unwrap_or_default();
            slot.view.store(Arc::new(view(
                service,
                track,
                &self.watch,
                past,
                &self.attacks,
                self.said.get(slug).cloned().unwrap_or_default(),
                now_ns,
            )));
            slot.changed.send_replace(version);
        }
        if any {
            self.state.front.store(Arc::new(Pages::default()));
            self.state.changed.send_modify(|version| *version += 1);
        }
    }

    /// Takes a configuration: services come and go.
    fn configure(&mut self, config: Arc<Config>, now_ns: u64) {
        let slugs: BTreeMap<&str, &Service> = config
            .service
            .iter()
            .map(|service| (service.slug.as_str(), service))
            .collect();
        let gone: Vec<Arc<str>> = self
            .tracks
            .keys()
            .filter(|slug| !slugs.contains_key(&***slug))
            .cloned()
            .collect();
        for slug in gone {
            self.tracks.remove(&slug);
            self.watch.leave(&slug);
        }
        let known = self.state.services.load_full();
        let mut slots: BTreeMap<Arc<str>, Arc<Slot>> = BTreeMap::new();
        for service in &config.service {
            self.watch
                .follow(&service.slug, !service.probe.is_empty(), now_ns);
            let provider = config.providers.get(&service.slug).copied().unwrap_or(0);
            self.watch.hosted(&service.slug, provider);
            let slug: Arc<str> = Arc::from(service.slug.as_str());
            let track = self.tracks.entry(Arc::clone(&slug)).or_default();
            bin_in(&mut track.bins, now_ns);
            track
                .probings
                .retain(|(_, probe), _| *probe < service.probe.len());
            track.is_changed = true;
            let slot = known.get(&slug).cloned().unwrap_or_else(|| {
                let view = view(
                    service,
                    track,
                    &self.watch,
                    Vec::new(),
                    &self.attacks,
                    Vec::new(),
                    now_ns,
                );
                Arc::new(Slot {
                    view: arc_swap::ArcSwap::new(Arc::new(view)),
                    changed: watch::Sender::new(0),
                })
            });
            slots.insert(slug, slot);
        }
        self.state.services.store(Arc::new(slots));
        self.state.incidents.store(Arc::new(self.incidents.clone()));
        self.state.config.store(Arc::clone(&config));
        self.config = config;
        self.show(now_ns, true);
    }

    /// Sees to it that there is a secret for today. Yesterday's is gone for good, and with it who reported.
    fn keys(&mut self, now_ns: u64) -> Result<(), store::Error> {
        let day = now_ns / 86_400_000_000_000;
        if self.state.keys.load().day == day {
            return Ok(());
        }
        let name = format!("{day:08}");
        let kept = self.store.read().documents("key")?;
        let known = kept
            .iter()
            .find(|(of, _)| *of == name)
            .and_then(|(_, text)| unhex(text));
        let key = match known {
            Some(key) => key,
            None => {
                let mut key = [0; 32];
                getrandom::fill(&mut key).map_err(|error| store::Error::Failed(error.to_string()))?;
                let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                self.store.commit(&Batch {
                    at_ns: now_ns,
                    puts: vec![("key", name.clone(), text)],
                    deletes: kept.iter().map(|(old, _)| ("key", old.clone())).collect(),
                    ..Batch::default()
                })?;
                key
            }
        };
        self.state.keys.store(Arc::new(Keys { day, key }));
        Ok(())
    }

    fn save(&mut self) -> Result<(), store::Error> {
        let saved = Saved {
            watch: self.watch.save(),
            bins: self
                .tracks
                .iter()
                .map(|(slug, track)| (slug.to_string(), track.bins.iter().cloned().collect()))
                .collect(),
        };
        let bytes = postcard::to_stdvec(&saved).map_err(|error| store::Error::Failed(error.to_string()))?;
        let at_ns = self.now().now_ns;
        self.store.commit(&Batch {
            at_ns,
            snapshot: Some(("engine", bytes)),
            ..Batch::default()
        })
    }

    fn drop_old(&mut self, now_ns: u64) -> Result<(), store::Error> {
        let keep = self.config.data.keep_reports.0.as_nanos() as u64;
        for kind in [REPORTS, PROBES] {
            while self
                .store
                .drop_bodies(kind, now_ns.saturating_sub(keep), DROPPED)?
                == DROPPED as usize
            {}
        }
        let keep_s = self.config.data.keep_counts.0.as_secs();
        self.store
            .drop_bins((now_ns / 1_000_000_000).saturating_sub(keep_s))
            .map(drop)
    }
}

/// Nanoseconds since 1970.
fn system_ns() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// A number that stands for a slug in tables of this process.
fn hash(slug: &str) -> u64 {
    use std::hash::BuildHasher;
    static SEED: OnceLock<std::hash::RandomState> = OnceLock::new();
    SEED.get_or_init(std::hash::RandomState::new).hash_one(slug)
}

/// A person as the detector names it, which is how it is read from the journal again.
fn person(number: u64) -> u64 {
    signals::person(&number.to_string())
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(key)
}

/// The report as a line that `investigate` reads.
fn line(lines: &mut Vec<u8>, at: &str, report: &NewReport) {
    use std::io::Write;
    // Writing to memory does not fail; slugs and codes need no escapes, symptoms may.
    let symptom = serde_json::Value::from(report.symptom.as_str());
    let _ = writeln!(
        lines,
        r#"{{"schema":"epicenter.report/1","at":"{at}","service":"{}","symptom":{symptom},"country":"{}","network":{},"person":{}}}"#,
        report.service,
        report.country.as_str(),
        report.network,
        report.person,
    );
}

/// The counts that signals add to the file.
fn bins_of(signals: &[Signal]) -> Vec<store::Bin> {
    let mut bins: BTreeMap<(&str, u64), store::Bin> = BTreeMap::new();
    for signal in signals {
        let start_s = signal.at_ns() / 1_000_000_000 / BIN_S * BIN_S;
        let service = match signal {
            Signal::Report(report) => &report.service,
            Signal::Probe(probe) => &probe.service,
        };
        let bin = bins.entry((service, start_s)).or_insert_with(|| store::Bin {
            service: service.clone(),
            start_s,
            ..store::Bin::default()
        });
        match signal {
            Signal::Report(_) => bin.reports += 1,
            Signal::Probe(probe) => {
                bin.tried += 1;
                bin.failed += u64::from(!probe.ok);
            }
        }
    }
    bins.into_values().collect()
}

/// The bin of a service for a time.
fn bin<'a>(tracks: &'a mut BTreeMap<Arc<str>, Track>, service: &str, at_ns: u64) -> &'a mut Bin {
    if !tracks.contains_key(service) {
        tracks.insert(Arc::from(service), Track::default());
    }
    let track = tracks.entry(Arc::from(service)).or_default();
    track.is_changed = true;
    bin_in(&mut track.bins, at_ns)
}

/// The bin for a time; the ring holds one day, without gaps. What is older than the day is counted in its oldest bin.
fn bin_in(bins: &mut VecDeque<Bin>, at_ns: u64) -> &mut Bin {
    let start_s = at_ns / 1_000_000_000 / BIN_S * BIN_S;
    let empty = |start_s| Bin {
        start_s,
        ..Bin::default()
    };
    let last = bins.back().map(|bin| bin.start_s);
    match last {
        Some(last) if last + BINS as u64 * BIN_S > start_s => {
            let mut next = last + BIN_S;
            while next <= start_s {
                bins.push_back(empty(next));
                next += BIN_S;
            }
        }
        _ => {
            bins.clear();
            let first = start_s.saturating_sub((BINS as u64 - 1) * BIN_S);
            bins.extend((0..BINS as u64).map(|n| empty(first + n * BIN_S)));
        }
    }
    while bins.len() > BINS {
        bins.pop_front();
    }
    let first = bins.front().map_or(start_s, |bin| bin.start_s);
    let at = (start_s.saturating_sub(first) / BIN_S) as usize;
    let at = at.min(bins.len() - 1);
    &mut bins[at]
}

fn standing(stage: Stage) -> Standing {
    match stage {
        Stage::Quiet => Standing::Operational,
        Stage::Suspected => Standing::Suspected,
        Stage::Confirmed => Standing::Confirmed,
        Stage::Recovering => Standing::Recovering,
        Stage::Resolved => Standing::Resolved,
        Stage::Closed => Standing::Closed,
    }
}

/// Whether an attack is on one of the networks of a service.
fn is_on(attack: &Attack, service: &Service) -> bool {
    service.networks.iter().any(|own| {
        let target = attack.attacked.target;
        own.0.contains(target.base) || target.contains(own.0.base)
    })
}

fn document(incident: &Incident) -> (&'static str, String, String) {
    let text = serde_json::to_string(incident).unwrap_or_default();
    ("incident", incident.id.clone(), text)
}

fn by_service(incidents: &BTreeMap<String, Arc<Incident>>) -> BTreeMap<&str, Vec<Arc<Incident>>> {
    let mut sorted: BTreeMap<&str, Vec<Arc<Incident>>> = BTreeMap::new();
    for incident in incidents.values() {
        sorted
            .entry(incident.service.as_str())
            .or_default()
            .push(Arc::clone(incident));
    }
    sorted
}

fn view(
    service: &Service,
    track: &Track,
    watch: &Watch,
    mut past: Vec<Arc<Incident>>,
    attacks: &[Attack],
    said: Vec<Said>,
    now_ns: u64,
) -> View {
    let now = watch.now(&service.slug);
    past.sort_by_key(|incident| std::cmp::Reverse(incident.start_ns));
    past.truncate(20);
    let incident = past
        .first()
        .filter(|incident| incident.standing > Standing::Closed)
        .cloned();
    let stage = now.map_or(Standing::Operational, |now| standing(now.stage));
    let is_learning = now.is_none_or(|now| now.is_learning);
    let standing = match (stage, &incident) {
        (Standing::Confirmed, Some(incident)) => incident.standing.max(Standing::Confirmed),
        (Standing::Operational, _) if is_learning => Standing::Learning,
        (stage, _) => stage,
    };
    let this_minute = now.map_or(0, |now| now.this_minute);
    let plus = |(reports, expected): (u64, f64)| (reports + this_minute, expected);
    View {
        version: track.version,
        at_ns: now_ns,
        standing,
        is_learning,
        bins: track.bins.iter().cloned().collect(),
        last_hour: now.map_or((0, 0.0), |now| plus(now.last_hour)),
        last_15: now.map_or((0, 0.0), |now| plus(now.last_15)),
        failing: now.map_or((0, 0), |now| now.failing),
        failing_since_ns: now.and_then(|now| now.failing_since_ns),
        probes: track.probings.values().cloned().collect(),
        attacks: attacks
            .iter()
            .filter(|attack| attack.is_running && is_on(attack, service))
            .cloned()
            .collect(),
        incident,
        past,
        said,
        service: service.clone(),
        pages: Pages::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;
    const START: u64 = 1_741_392_000_000_000_000; // 8 March 2025, 00:00 UTC

    fn engine() -> Engine {
        let config = Config::parse("[[service]]\nslug = \"shop\"\nname = \"Shop\"\n").expect("sound");
        let (events, _) = tokio::sync::broadcast::channel(16);
        Engine::open(
            Store::in_memory().expect("memory"),
            Arc::new(config),
            events,
            Some(START),
        )
        .expect("it opens")
    }

    fn reports(minutes: std::ops::Range<u64>, per_minute: u64) -> Vec<Signal> {
        let one = |minute: u64, n: u64| {
            Signal::Report(Report {
                at_ns: START + minute * MINUTE + n * 1_000_000,
                service: "shop".to_owned(),
                country: Country(*b"US"),
                network: 1_000 + (n * 7 % 97) as u32,
                symptom: "app".to_owned(),
                person: minute * 1_000 + n,
            })
        };
        minutes
            .flat_map(|minute| (0..per_minute).map(move |n| one(minute, n)))
            .collect()
    }

    #[test]
    fn the_first_entry_since_a_time_is_found_by_halving() {
        let mut engine = engine();
        assert_eq!(engine.first_since(0).expect("read"), 1);
        for at_ns in [10, 10, 20, 30, 30, 30, 40] {
            let batch = Batch {
                at_ns,
                entries: vec![("other", Vec::new())],
                ..Batch::default()
            };
            engine.store.commit(&batch).expect("room");
        }
        let found = [0, 10, 11, 20, 25, 30, 31, 40, 41].map(|at_ns| engine.first_since(at_ns).expect("read"));
        assert_eq!(found, [1, 1, 3, 3, 4, 4, 7, 7, 8]);
    }

    #[test]
    fn what_is_usual_is_known_of_every_bin_once_it_is_learnt() {
        let mut engine = engine();
        engine.drive(START + 2_880 * MINUTE, &reports(0..2_880, 4));
        engine.show(START + 2_880 * MINUTE, true);
        let view = engine.state.services.load()["shop"].view.load_full();
        assert_eq!(view.bins.len(), BINS);
        let known = view.bins.iter().filter(|bin| bin.minutes_known == 15).count();
        assert!(known >= BINS - 2, "{known}");
        assert!(
            view.bins[..BINS - 2].iter().all(|bin| bin.reports == 60),
            "{:?}",
            view.bins
        );
    }
}
