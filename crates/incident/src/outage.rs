//! Is a service in trouble, as people and probes see it, since when, and why?
//!
//! A [`Watch`] follows services minute by minute. Three kinds of evidence (rails, see [`detect::rails`]) are averaged and never
//! multiplied: problem reports, held against what is usual at that hour ([`Surge`]); probes from several places ([`Probes`]); and
//! attacks on the service's addresses, which alone never make an outage. Waves closer than six hours are one outage.
//!
//! *One network is not the public.* What one network (AS) may add to a minute is limited by its usual share of the reports, so that
//! a brigade from few networks moves the count little: with `n` reports of each network and usual shares `u`, the count that is
//! judged is the largest `N` with `N = sum of min(n, 1 + 3 max(u, 1 %) N)`. Where reports rise everywhere, `N` is their number.
//!
//! *Why it is down* is a matter of what else was seen at the time: an attack on the service, probes that fail without one, a neighbour
//! whose probes fail while those of this service do not. Where nothing tells, the cause is unknown.

use std::collections::{BTreeMap, VecDeque};

use atlas::{Country, Prefix};
use detect::rails::{Probes, Rails, Stage};
use detect::surge::{Event as SurgeEvent, Settings, Side, State, Surge};
use serde::{Deserialize, Serialize};

use crate::case::{Confidence, Incident, Share};

/// Services that are followed.
pub const SERVICES_MAX: usize = 10_000;
/// Networks whose usual share is known, for each service.
pub const NETWORKS_MAX: usize = 4_096;
/// Persons remembered for half an hour, for each service.
pub const PERSONS_MAX: usize = 1 << 18;
/// Symptoms and places that are told apart, for each service.
pub const KINDS_MAX: usize = 64;
/// Minutes of counts that are kept for each service, where a whole recording is looked at.
pub const HISTORY_MIN: usize = 3 * 1_440;
/// Outages that are kept, for each service.
pub const OUTAGES_MAX: usize = 1_000;
/// A report that comes later than this belongs to no minute any more.
pub const LATE_MAX_NS: u64 = 600 * SECOND;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
/// Each network may have so many times its usual share.
const SHARE_TIMES: f64 = 3.0;
/// The usual share of a network of which nothing is known.
const SHARE_LEAST: f64 = 0.01;
/// Days after which half of the usual shares are forgotten.
const USUAL_HALF_DAYS: f64 = 7.0;
/// How the rails count: reports, probes, traffic (SCIENCE 2.5).
const WEIGHTS: [f64; 3] = [0.4, 0.4, 0.2];
/// An attack that begins so long before the outage may be its cause.
const CAUSE_BEFORE_NS: u64 = 1_800 * SECOND;
/// An attack that begins so long after people began to complain did not cause that: reports lag, and so do exporters' clocks.
const CAUSE_AFTER_NS: u64 = 300 * SECOND;
/// Services of one network that begin to fail within this time fail together.
const TOGETHER_NS: u64 = 300 * SECOND;
/// Share of raw reports that the limit on networks takes away, from which on a few networks are named as a brigade.
const BRIGADE: f64 = 0.5;

/// A person says that a service does not work for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// When.
    pub at_ns: u64,
    /// Which service.
    pub service: String,
    /// Where the person is.
    pub country: Country,
    /// AS number of the person's network, 0 where none is known.
    pub network: u32,
    /// What does not work, a short word; may be empty.
    pub symptom: String,
    /// Stands for the person for a day at most: never an address.
    pub person: u64,
}

/// A place tried a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// When.
    pub at_ns: u64,
    /// Which service.
    pub service: String,
    /// From where.
    pub place: String,
    /// Whether it worked.
    pub ok: bool,
}

/// Traffic of an attack on addresses, as far as outages need to know it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attacked {
    /// Id of the incident.
    pub id: String,
    /// Its target.
    pub target: Prefix,
    /// First packet.
    pub start_ns: u64,
    /// Last packet.
    pub end_ns: u64,
}

/// Why a service is in trouble.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// An attack: the ids of its incidents.
    Attack(Vec<String>),
    /// A fault of the service's own: probes fail, traffic was watched, and nothing attacks.
    OwnFault,
    /// Another service is in trouble, and this one's probes are well: people blame the wrong one.
    Neighbour(String),
    /// The network (AS number) that it is in: others there went down with it, and those elsewhere did not.
    Provider(u32),
    /// Few networks report, and nothing else shows trouble.
    Brigade,
    /// Nothing tells.
    Unknown,
}

impl Attacked {
    /// That of an incident.
    pub fn of(incident: &Incident) -> Attacked {
        Attacked {
            id: incident.id.clone(),
            target: incident.target,
            start_ns: incident.start_ns,
            end_ns: incident.end_ns.unwrap_or(u64::MAX),
        }
    }
}

impl Cause {
    /// Its name in output.
    pub fn name(&self) -> &'static str {
        match self {
            Cause::Attack(_) => "attack",
            Cause::OwnFault => "own-fault",
            Cause::Neighbour(_) => "neighbour",
            Cause::Provider(_) => "provider",
            Cause::Brigade => "brigade",
            Cause::Unknown => "unknown",
        }
    }
}

/// A wave of trouble.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Wave {
    /// Since when.
    pub start_ns: u64,
    /// When that was known.
    pub detected_ns: u64,
    /// Until when; `None` while it lasts.
    pub end_ns: Option<u64>,
    /// Reports in it.
    pub reports: u64,
    /// Reports that were to be expected.
    pub expected: f64,
    /// Most reports in 15 minutes.
    pub peak: u64,
    /// When those 15 minutes began.
    pub peak_ns: u64,
}

/// A service was in trouble.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    /// Stable: the same input gives the same id.
    pub id: String,
    /// Which service.
    pub service: String,
    /// Its addresses, where they are known.
    pub target: Option<Prefix>,
    /// Its waves, in order of time; at least one.
    pub waves: Vec<Wave>,
    /// Reports in the waves.
    pub reports: u64,
    /// Reports that were to be expected in them.
    pub expected: f64,
    /// Share of the reports that the limit on networks took away.
    pub limited: f64,
    /// Countries of those who reported, largest first.
    pub countries: Vec<(Country, Share)>,
    /// Their networks, the ten largest.
    pub networks: Vec<(u32, Share)>,
    /// What does not work, by share of the reports.
    pub symptoms: Vec<(String, f64)>,
    /// Probes in the waves, how many of them failed, and places whose own evidence says that it fails, of all places.
    pub probed: Option<Probed>,
    /// Why.
    pub cause: Cause,
    /// How good the evidence for the cause is.
    pub cause_confidence: Confidence,
    /// Why that cause, in sentences.
    pub because: Vec<String>,
    /// How good the evidence for the outage is.
    pub confidence: Confidence,
    /// What is not known, in sentences.
    pub caveats: Vec<String>,
    /// Reports by minute around the outage: first minute, counts, expected counts.
    pub timeline: Timeline,
    /// How it stands at last.
    pub standing: Standing,
}

/// How a service stands at the end of what is known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Until when anything is known.
    pub until_ns: u64,
    /// Evidence that reports are back to usual, as odds; `None` where they never were beyond it.
    pub end_evidence: Option<f64>,
    /// Share of the probes in the last 30 minutes that worked.
    pub probes_ok: Option<f64>,
    /// Places that probe.
    pub places: u32,
}

impl Outage {
    /// Beginning of the first wave.
    pub fn start_ns(&self) -> u64 {
        self.waves.first().map_or(0, |wave| wave.start_ns)
    }

    /// End of the last wave; `None` while it lasts.
    pub fn end_ns(&self) -> Option<u64> {
        self.waves.last().and_then(|wave| wave.end_ns)
    }
}

/// What probes showed in an outage.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Probed {
    /// Probes.
    pub tried: u64,
    /// Failed ones.
    pub failed: u64,
    /// The most places that failed at once.
    pub failing_places: usize,
    /// Places that probe.
    pub places: usize,
}

/// Reports by minute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// Start of the first minute.
    pub start_ns: u64,
    /// Reports in each minute.
    pub reports: Vec<u64>,
    /// What was to be expected; not a number while the detector learns.
    pub expected: Vec<f64>,
}

/// News of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// When it was known.
    pub at_ns: u64,
    /// Which service.
    pub service: String,
    /// Where it stands.
    pub stage: Stage,
    /// Since when, as far as it is dated.
    pub since_ns: u64,
    /// Reports in the last 15 minutes, and those expected.
    pub last_15: (u64, f64),
    /// Places whose probes fail, of all.
    pub failing: (usize, usize),
}

/// How a service is at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Now {
    /// Where it stands.
    pub stage: Stage,
    /// The detector does not know yet what is usual.
    pub is_learning: bool,
    /// Reports in the minute that is not over.
    pub this_minute: u64,
    /// Reports in the 15 minutes before, and those expected.
    pub last_15: (u64, f64),
    /// Reports in the 60 minutes before, and those expected.
    pub last_hour: (u64, f64),
    /// Start of the last whole minute, and the reports expected in it: not a number while the detector learns.
    pub last_minute: Option<(u64, f64)>,
    /// Places whose probes fail, of all.
    pub failing: (usize, usize),
    /// Since when probes fail.
    pub failing_since_ns: Option<u64>,
}

/// Follows services.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Watch {
    services: BTreeMap<String, Service>,
    /// Services that found no room, and reports and probes that came too late.
    refused: u64,
    late: u64,
    has_probes: bool,
    budget_per_day: f64,
    history: usize,
}

/// Says of saved bytes what they are.
const SAVED: &[u8] = b"epicenter.watch/1\n";

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Counted {
    minute_ns: u64,
    reports: u64,
    expected: f64,
    /// Probes of all places, and failed ones.
    tried: u64,
    failed: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Service {
    #[serde(with = "saved_surge")]
    surge: Surge,
    probes: Probes,
    rails: Rails,
    log_threshold: f64,
    /// The minute that is filled.
    minute_ns: u64,
    networks: BTreeMap<u32, u64>,
    others: u64,
    countries: BTreeMap<Country, u64>,
    symptoms: BTreeMap<String, u64>,
    /// Tried and failed by place, in this minute.
    tries: BTreeMap<String, (u32, u32)>,
    places: Vec<String>,
    /// When each person reported last, of those who did in this half hour and in the one before.
    persons: [BTreeMap<u64, u64>; 2],
    half_hour: u64,
    repeated: u64,
    /// Usual weight of each network, in units that grow, and their sum.
    usual: BTreeMap<u32, f64>,
    usual_sum: f64,
    unit: f64,
    history: VecDeque<Counted>,
    onset_ns: Option<u64>,
    failing_since_ns: Option<u64>,
    better_since_ns: Option<u64>,
    /// The last evidence that reports are back to usual.
    end_evidence: Option<f64>,
    /// The outage that is open or may get another wave.
    open: Option<Open>,
    done: Vec<Open>,
    attacked: bool,
    /// Places whose probes fail, of all.
    failing: (usize, usize),
    has_probes: bool,
    /// AS number of the network that it is in, 0 where that is not known.
    provider: u32,
    /// Minutes of history that are kept.
    kept: usize,
}

/// What is gathered of an outage.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Open {
    waves: Vec<Wave>,
    running: bool,
    raw: u64,
    judged: f64,
    countries: BTreeMap<Country, u64>,
    networks: BTreeMap<u32, u64>,
    symptoms: BTreeMap<String, u64>,
    probed: Option<Probed>,
    counts: Vec<Counted>,
    last_ns: u64,
}

impl Watch {
    /// A watch that has seen nothing. `has_probes`: probes will come, so that reports alone are not all there is.
    /// `budget_per_day`: false outages allowed for each service and day.
    pub fn new(has_probes: bool, budget_per_day: f64) -> Watch {
        Watch {
            services: BTreeMap::new(),
            refused: 0,
            late: 0,
            has_probes,
            budget_per_day,
            history: HISTORY_MIN,
        }
    }

    /// The same, with another number of minutes kept for each service than [`HISTORY_MIN`]: at least an hour.
    #[must_use]
    pub fn keeping(self, minutes: usize) -> Watch {
        Watch {
            history: minutes.max(60),
            ..self
        }
    }

    /// Follows a service from `now_ns` on, if it is not followed yet, and says whether probes of it will come.
    pub fn follow(&mut self, service: &str, has_probes: bool, now_ns: u64) {
        let followed = std::mem::replace(&mut self.has_probes, has_probes);
        if let Some(service) = self.service(service, now_ns)
            && service.has_probes != has_probes
        {
            service.has_probes = has_probes;
            service.rails = rails(has_probes, service.log_threshold);
        }
        self.has_probes = followed;
    }

    /// Says in which network a service that is followed is: its AS number, 0 where that is not known.
    pub fn hosted(&mut self, service: &str, provider: u32) {
        if let Some(service) = self.services.get_mut(service) {
            service.provider = provider;
        }
    }

    /// Follows a service no more.
    pub fn leave(&mut self, service: &str) {
        self.services.remove(service);
    }

    /// Goes on at `now_ns` after a time in which nothing could be heard: that silence is no data, neither health nor trouble.
    pub fn resume(&mut self, now_ns: u64) {
        for service in self.services.values_mut() {
            service.minute_ns = service.minute_ns.max(now_ns / MINUTE * MINUTE);
        }
    }

    /// Forgets outages that are closed; they have been told.
    pub fn forget_closed(&mut self) {
        self.services
            .values_mut()
            .for_each(|service| service.done.clear());
    }

    /// How a service is right now; `None` where it is not followed.
    pub fn now(&self, service: &str) -> Option<Now> {
        let service = self.services.get(service)?;
        let last = service.history.back();
        Some(Now {
            stage: service.rails.stage(),
            is_learning: last.is_none_or(|counted| counted.expected.is_nan()),
            this_minute: service.networks.values().sum::<u64>() + service.others,
            last_15: service.last(15),
            last_hour: service.last(60),
            last_minute: last.map(|counted| (counted.minute_ns, counted.expected)),
            failing: service.failing,
            failing_since_ns: service.failing_since_ns,
        })
    }

    /// The whole state.
    pub fn save(&self) -> Vec<u8> {
        // Nothing in it can fail to be written to memory.
        postcard::to_extend(self, SAVED.to_vec()).unwrap_or_default()
    }

    /// A watch from saved bytes; `None` where they are not such.
    pub fn load(saved: &[u8]) -> Option<Watch> {
        postcard::from_bytes(saved.strip_prefix(SAVED)?).ok()
    }

    /// The usual share of each network in a service's reports, as far as it was learned; empty where the service is not followed.
    pub fn usual(&self, service: &str) -> BTreeMap<u32, f64> {
        self.services.get(service).map_or(BTreeMap::new(), |service| {
            let sum = service.usual_sum.max(1.0);
            let share = |(network, weight): (&u32, &f64)| (*network, weight / sum);
            service.usual.iter().map(share).collect()
        })
    }

    /// Reports and probes that were not counted: those of services beyond [`SERVICES_MAX`], and those that came too late.
    pub fn uncounted(&self) -> (u64, u64) {
        (self.refused, self.late)
    }

    /// Counts a report.
    pub fn report(&mut self, report: &Report) {
        let Some(service) = self.service(&report.service, report.at_ns) else {
            return;
        };
        let half_hour = report.at_ns / (1_800 * SECOND);
        if half_hour > service.half_hour {
            let last = std::mem::take(&mut service.persons[0]);
            service.persons[1] = if half_hour == service.half_hour + 1 {
                last
            } else {
                BTreeMap::new()
            };
            service.half_hour = half_hour;
        }
        let known = service.persons.iter().any(|persons| {
            persons
                .get(&report.person)
                .is_some_and(|last| report.at_ns < last + 1_800 * SECOND)
        });
        if known {
            service.repeated += 1;
            return;
        }
        if service.persons[0].len() < PERSONS_MAX {
            service.persons[0].insert(report.person, report.at_ns);
        }
        let room = service.networks.len() < NETWORKS_MAX;
        match service.networks.get_mut(&report.network) {
            Some(count) => *count += 1,
            None if room => {
                service.networks.insert(report.network, 1);
            }
            None => service.others += 1,
        }
        *service.countries.entry(report.country).or_default() += 1;
        let symptom = if service.symptoms.len() < KINDS_MAX || service.symptoms.contains_key(&report.symptom)
        {
            report.symptom.clone()
        } else {
            String::new()
        };
        *service.symptoms.entry(symptom).or_default() += 1;
    }

    /// Counts a probe.
    pub fn probe(&mut self, probe: &Probe) {
        let Some(service) = self.service(&probe.service, probe.at_ns) else {
            return;
        };
        if !service.places.contains(&probe.place) {
            if service.places.len() >= KINDS_MAX {
                return;
            }
            service.places.push(probe.place.clone());
        }
        let (tried, failed) = service.tries.entry(probe.place.clone()).or_default();
        *tried = tried.saturating_add(1);
        *failed = failed.saturating_add(u32::from(!probe.ok));
    }

    /// Says whether an attack on the service's addresses runs now.
    pub fn attacked(&mut self, service: &str, is_attacked: bool) {
        if let Some(service) = self.services.get_mut(service) {
            service.attacked = is_attacked;
        }
    }

    /// The service of a signal, unless there is no room for it or the signal is too late.
    fn service(&mut self, name: &str, at_ns: u64) -> Option<&mut Service> {
        if !self.services.contains_key(name) {
            if self.services.len() >= SERVICES_MAX {
                self.refused += 1;
                return None;
            }
            let minute_ns = at_ns / MINUTE * MINUTE;
            let service = Service::new(self.has_probes, self.budget_per_day, self.history, minute_ns);
            self.services.insert(name.to_owned(), service);
        }
        let service = self.services.get_mut(name)?;
        if at_ns + LATE_MAX_NS < service.minute_ns {
            self.late += 1;
            return None;
        }
        Some(service)
    }

    /// Judges all minutes that ended before `now_ns`, and adds what is new to `news`. Every service gets each minute, also those in
    /// which nobody said anything: silence is data while the watch runs.
    pub fn step(&mut self, now_ns: u64, news: &mut Vec<News>) {
        for (name, service) in &mut self.services {
            while service.minute_ns + MINUTE <= now_ns {
                if let Some(one) = service.minute(name) {
                    news.push(one);
                }
            }
        }
    }

    /// The outages up to now, by service and time. `attacks`: what was found in traffic; `watched`: from when to when traffic was seen;
    /// `addresses`: which addresses a service has.
    pub fn outages(
        &self,
        attacks: &[Attacked],
        watched: Option<(u64, u64)>,
        addresses: &BTreeMap<String, Prefix>,
    ) -> Vec<Outage> {
        let mut outages: Vec<Outage> = self
            .services
            .iter()
            .flat_map(|(name, service)| {
                service
                    .done
                    .iter()
                    .chain(&service.open)
                    .map(move |open| (name, service, open))
            })
            .filter(|(.., open)| !open.waves.is_empty())
            .map(|(name, service, open)| outage(name, service, open, addresses.get(name).copied()))
            .collect();
        let facts: Vec<Fact> = outages.iter().map(Fact::of).collect();
        for (at, outage) in outages.iter_mut().enumerate() {
            let shared = self.shared(&outage.service, &facts[at], &facts);
            explain(outage, at, &facts, attacks, watched, shared);
        }
        outages.sort_by(|a, b| a.start_ns().cmp(&b.start_ns()).then(a.service.cmp(&b.service)));
        outages
    }

    /// The network that went down with a service: three or more probed services in it, two thirds of all there, whose probes began to
    /// fail within minutes of each other, while those of a service elsewhere did not. Returns it, how many failed, and of how many.
    fn shared(&self, service: &str, own: &Fact, facts: &[Fact]) -> Option<(u32, usize, usize)> {
        let provider = self.services.get(service)?.provider;
        let (start, _) = *own.waves.last()?;
        if provider == 0 || !own.probes_fail {
            return None;
        }
        let fell = |name: &str| {
            facts.iter().any(|fact| {
                fact.service == name
                    && fact.probes_fail
                    && fact
                        .waves
                        .iter()
                        .any(|(theirs, _)| theirs.abs_diff(start) <= TOGETHER_NS)
            })
        };
        let probed = self.services.iter().filter(|(_, one)| !one.places.is_empty());
        let (mut fallen, mut there, mut well_elsewhere) = (0, 0, 0);
        for (name, one) in probed {
            match (one.provider == provider, fell(name)) {
                (true, true) => (fallen, there) = (fallen + 1, there + 1),
                (true, false) => there += 1,
                (false, false) => well_elsewhere += 1,
                (false, true) => {}
            }
        }
        (fallen >= 3 && 3 * fallen >= 2 * there && well_elsewhere > 0).then_some((provider, fallen, there))
    }

    /// Reports of a service in the 15 minutes before its open minute, and those expected.
    pub fn last_15(&self, service: &str) -> (u64, f64) {
        self.services
            .get(service)
            .map_or((0, 0.0), |service| service.last(15))
    }
}

impl Service {
    fn new(has_probes: bool, budget_per_day: f64, kept: usize, minute_ns: u64) -> Service {
        let settings = Settings {
            budget_per_day,
            ..Settings::new(60.0)
        };
        let surge = Surge::new(settings);
        let log_threshold = surge.threshold(Side::Up).unwrap_or(13.0);
        Service {
            surge,
            probes: Probes::new(log_threshold),
            rails: rails(has_probes, log_threshold),
            log_threshold,
            minute_ns,
            networks: BTreeMap::new(),
            others: 0,
            countries: BTreeMap::new(),
            symptoms: BTreeMap::new(),
            tries: BTreeMap::new(),
            places: Vec::new(),
            persons: [BTreeMap::new(), BTreeMap::new()],
            half_hour: 0,
            repeated: 0,
            usual: BTreeMap::new(),
            usual_sum: 0.0,
            unit: 1.0,
            history: VecDeque::new(),
            onset_ns: None,
            failing_since_ns: None,
            better_since_ns: None,
            end_evidence: None,
            open: None,
            done: Vec::new(),
            attacked: false,
            failing: (0, 0),
            has_probes,
            provider: 0,
            kept,
        }
    }

    fn last(&self, minutes: usize) -> (u64, f64) {
        let last = self.history.iter().rev().take(minutes);
        last.fold((0, 0.0), |(reports, expected), counted| {
            (
                reports + counted.reports,
                expected
                    + if counted.expected.is_nan() {
                        0.0
                    } else {
                        counted.expected
                    },
            )
        })
    }

    /// Ends the minute that is filled, and says where the service stands if that is new.
    fn minute(&mut self, name: &str) -> Option<News> {
        let began_ns = self.minute_ns;
        let now_ns = began_ns + MINUTE;
        let time = began_ns as f64 / 1e9;
        let raw = self.networks.values().sum::<u64>() + self.others;
        let judged = limited(&self.networks, self.others, &self.usual, self.usual_sum);
        let step = self.surge.step(time, judged.round(), 1.0);
        for event in step.events.into_iter().flatten() {
            match event {
                SurgeEvent::Open { onset, .. } => self.onset_ns = Some((onset.max(0.0) * 1e9) as u64),
                SurgeEvent::Close { end, .. } => self.better_since_ns = Some((end.max(0.0) * 1e9) as u64),
                SurgeEvent::Regime { .. } | SurgeEvent::Gap { .. } => {}
            }
        }
        let results: Vec<(usize, u32, u32)> = self
            .tries
            .iter()
            .filter_map(|(place, (tried, failed))| {
                let at = self.places.iter().position(|known| known == place)?;
                Some((at, *tried, *failed))
            })
            .collect();
        let (tried, failed) = results.iter().fold((0u64, 0u64), |(tried, failed), result| {
            (tried + u64::from(result.1), failed + u64::from(result.2))
        });
        let probed = self.probes.step(&results);
        self.failing = (probed.failing, probed.places);
        self.end_evidence = self.surge.end_evidence(Side::Up).or(self.end_evidence);
        if probed.log_evidence >= 0.5 * self.log_threshold {
            self.failing_since_ns.get_or_insert(began_ns);
        } else {
            self.failing_since_ns = None;
        }
        let is_learning = step.state == State::Learning;
        let reports_are_well = !matches!(step.state, State::Confirmed | State::Suspected);
        let probes_are_well = probed.places == 0 || probed.log_evidence < 0.25 * self.log_threshold;
        let rails = [
            (!is_learning).then_some(step.log_up),
            (probed.places > 0).then_some(probed.log_evidence),
            self.attacked.then_some(0.75 * self.log_threshold),
        ];
        let before = self.rails.stage();
        let stage = self.rails.step(time, &rails, reports_are_well && probes_are_well);
        if stage == Stage::Confirmed && (probed.failing > 0 || self.attacked) {
            // Something else than reports shows it, so it is no lesson about how reports jump by themselves.
            self.surge.confirm();
        }
        let counted = Counted {
            minute_ns: began_ns,
            reports: raw,
            expected: step.expected.unwrap_or(f64::NAN),
            tried,
            failed,
        };
        if self.history.len() >= self.kept {
            self.history.pop_front();
        }
        self.history.push_back(counted);
        let since_ns = self.follow(before, stage, began_ns, now_ns);
        self.gather(judged, probed, counted);
        if matches!(stage, Stage::Quiet | Stage::Closed) && step.score < 0.25 {
            self.learn();
        }
        self.networks.clear();
        self.others = 0;
        self.countries.clear();
        self.symptoms.clear();
        self.tries.clear();
        self.minute_ns = now_ns;
        (stage != before).then(|| News {
            at_ns: now_ns,
            service: name.to_owned(),
            stage,
            since_ns,
            last_15: self.last(15),
            failing: (probed.failing, probed.places),
        })
    }

    /// Opens and closes waves; returns since when the stage holds.
    fn follow(&mut self, before: Stage, stage: Stage, began_ns: u64, now_ns: u64) -> u64 {
        let lasts = |stage: Stage| matches!(stage, Stage::Confirmed | Stage::Recovering);
        if lasts(stage) && !lasts(before) {
            let dated = [self.onset_ns.take(), self.failing_since_ns];
            let start_ns = dated.into_iter().flatten().min().unwrap_or(began_ns);
            let open = self.open.get_or_insert_default();
            // A wave never begins before the last one ended.
            let start_ns = open
                .waves
                .last()
                .and_then(|wave| wave.end_ns)
                .map_or(start_ns, |end| start_ns.max(end));
            open.running = true;
            open.waves.push(Wave {
                start_ns,
                detected_ns: now_ns,
                end_ns: None,
                reports: 0,
                expected: 0.0,
                peak: 0,
                peak_ns: start_ns,
            });
            // What came between the onset and now belongs to it; this minute is gathered by itself.
            let earlier = self
                .history
                .iter()
                .filter(|counted| counted.minute_ns >= start_ns && counted.minute_ns < began_ns);
            open.counts.extend(earlier.copied());
            return start_ns;
        }
        if stage == Stage::Recovering && before == Stage::Confirmed {
            self.better_since_ns.get_or_insert(began_ns);
        }
        if stage == Stage::Confirmed && before == Stage::Recovering {
            self.better_since_ns = None;
        }
        if lasts(before) && !lasts(stage) {
            let end_ns = self.better_since_ns.take().unwrap_or(began_ns);
            if let Some(open) = &mut self.open {
                open.running = false;
                if let Some(wave) = open.waves.last_mut() {
                    wave.end_ns = Some(end_ns.max(wave.start_ns));
                }
            }
            return end_ns;
        }
        if stage == Stage::Closed && before != Stage::Closed {
            if self.done.len() >= OUTAGES_MAX {
                self.done.remove(0);
            }
            self.done.extend(self.open.take());
        }
        began_ns
    }

    fn gather(&mut self, judged: f64, probed: detect::rails::Probed, counted: Counted) {
        let Some(open) = self.open.as_mut().filter(|open| open.running) else {
            return;
        };
        open.raw += counted.reports;
        open.judged += judged;
        open.last_ns = counted.minute_ns + MINUTE;
        open.counts.push(counted);
        for (country, count) in &self.countries {
            *open.countries.entry(*country).or_default() += count;
        }
        for (network, count) in &self.networks {
            if open.networks.len() < NETWORKS_MAX || open.networks.contains_key(network) {
                *open.networks.entry(*network).or_default() += count;
            }
        }
        for (symptom, count) in &self.symptoms {
            if open.symptoms.len() < KINDS_MAX || open.symptoms.contains_key(symptom) {
                *open.symptoms.entry(symptom.clone()).or_default() += count;
            }
        }
        if probed.places > 0 {
            let sum = open.probed.get_or_insert_default();
            sum.tried += counted.tried;
            sum.failed += counted.failed;
            sum.failing_places = sum.failing_places.max(probed.failing);
            sum.places = sum.places.max(probed.places);
        }
    }

    /// Learns the usual shares of the networks. Old counts are not made smaller; new ones weigh more.
    fn learn(&mut self) {
        self.unit *= 0.5f64.powf(-1.0 / (USUAL_HALF_DAYS * 1_440.0));
        for (network, count) in &self.networks {
            if self.usual.len() < NETWORKS_MAX || self.usual.contains_key(network) {
                let weight = *count as f64 * self.unit;
                *self.usual.entry(*network).or_default() += weight;
                self.usual_sum += weight;
            }
        }
        if self.unit > 1e12 {
            self.usual.values_mut().for_each(|weight| *weight /= self.unit);
            self.usual_sum /= self.unit;
            self.unit = 1.0;
        }
    }
}

/// Without probes, reports are all there is to confirm, and need not share the mean with what cannot speak.
fn rails(has_probes: bool, log_threshold: f64) -> Rails {
    Rails::new(if has_probes { &WEIGHTS } else { &[1.0] }, log_threshold)
}

/// A detector has its own form for being saved.
mod saved_surge {
    use detect::surge::Surge;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(surge: &Surge, to: S) -> Result<S::Ok, S::Error> {
        surge.save().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Surge, D::Error> {
        let saved = Vec::<u8>::deserialize(from)?;
        Surge::load(&saved).ok_or_else(|| D::Error::custom("no saved detector"))
    }
}

/// The count of a minute in which no network has more than three times its usual share.
fn limited(networks: &BTreeMap<u32, u64>, others: u64, usual: &BTreeMap<u32, f64>, usual_sum: f64) -> f64 {
    let raw = (networks.values().sum::<u64>() + others) as f64;
    if raw <= 3.0 {
        return raw;
    }
    let allowed: Vec<(f64, f64)> = networks
        .iter()
        .map(|(network, count)| {
            let share = usual
                .get(network)
                .map_or(0.0, |weight| weight / usual_sum.max(1.0));
            (*count as f64, SHARE_TIMES * share.max(SHARE_LEAST))
        })
        .collect();
    largest(&allowed, others as f64, raw, 1.0)
}

/// What the detector lets count, at most, of each network's reports that came within so many minutes. `usual` is what
/// [`Watch::usual`] says.
///
/// It judges by the minute; how the reports were spread over them is not asked for, so it may count less than this.
pub fn counted(
    networks: &BTreeMap<u32, u64>,
    usual: &BTreeMap<u32, f64>,
    minutes: f64,
) -> BTreeMap<u32, f64> {
    let raw = networks.values().sum::<u64>() as f64;
    let times = |network: &u32| SHARE_TIMES * usual.get(network).copied().unwrap_or(0.0).max(SHARE_LEAST);
    let allowed: Vec<(f64, f64)> = networks
        .iter()
        .map(|(network, count)| (*count as f64, times(network)))
        .collect();
    let n = largest(&allowed, 0.0, raw, minutes);
    networks
        .iter()
        .map(|(network, count)| (*network, (*count as f64).min(minutes + times(network) * n)))
        .collect()
}

/// From `raw` down towards the largest `N` with `N = sum of min(count, each + times N)`; each step is at most the one before.
fn largest(allowed: &[(f64, f64)], others: f64, raw: f64, each: f64) -> f64 {
    let mut n = raw;
    for _ in 0..64 {
        let next: f64 = allowed
            .iter()
            .map(|(count, times)| count.min(each + times * n))
            .sum::<f64>()
            + others.min(each + SHARE_TIMES * SHARE_LEAST * n);
        if n - next < 0.5 {
            return next;
        }
        n = next;
    }
    n
}

/// A binomial share with its 95 % interval (Wilson 1927).
pub fn wilson(part: u64, whole: u64) -> Share {
    let (k, n) = (part as f64, (whole as f64).max(1.0));
    let (p, z2) = (k / n, 1.96f64 * 1.96);
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = (z2 * (p * (1.0 - p) / n + z2 / (4.0 * n * n))).sqrt() / (1.0 + z2 / n);
    Share {
        estimate: p,
        low: (middle - half).max(0.0).min(p),
        high: (middle + half).min(1.0).max(p),
    }
}

fn shares<K: Ord + Copy>(counts: &BTreeMap<K, u64>, listed: usize) -> Vec<(K, Share)> {
    let whole: u64 = counts.values().sum();
    let mut sorted: Vec<(K, u64)> = counts.iter().map(|(key, count)| (*key, *count)).collect();
    sorted.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    sorted.truncate(listed);
    sorted
        .into_iter()
        .map(|(key, count)| (key, wilson(count, whole)))
        .collect()
}

fn outage(name: &str, service: &Service, open: &Open, target: Option<Prefix>) -> Outage {
    let mut waves = open.waves.clone();
    let ends: Vec<u64> = waves.iter().map(|wave| wave.end_ns.unwrap_or(u64::MAX)).collect();
    for (wave, end_ns) in waves.iter_mut().zip(ends) {
        let of_wave: Vec<&Counted> = open
            .counts
            .iter()
            .filter(|counted| counted.minute_ns + MINUTE > wave.start_ns && counted.minute_ns < end_ns)
            .collect();
        wave.reports = of_wave.iter().map(|counted| counted.reports).sum();
        wave.expected = of_wave
            .iter()
            .map(|counted| counted.expected)
            .filter(|x| !x.is_nan())
            .fold(0.0, |sum, expected| sum + expected);
        // Fifteen minutes of the clock, as outage trackers draw them.
        let mut bins: BTreeMap<u64, u64> = BTreeMap::new();
        for counted in &of_wave {
            *bins.entry(counted.minute_ns / (15 * MINUTE)).or_default() += counted.reports;
        }
        if let Some((bin, most)) = bins
            .into_iter()
            .max_by_key(|(bin, count)| (*count, std::cmp::Reverse(*bin)))
        {
            (wave.peak, wave.peak_ns) = (most, bin * 15 * MINUTE);
        }
    }
    let reports: u64 = waves.iter().map(|wave| wave.reports).sum();
    let symptoms_sum: u64 = open.symptoms.values().sum();
    let mut symptoms: Vec<(String, f64)> = open
        .symptoms
        .iter()
        .filter(|(symptom, _)| !symptom.is_empty())
        .map(|(symptom, count)| (symptom.clone(), *count as f64 / symptoms_sum.max(1) as f64))
        .collect();
    symptoms.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let start_ns = waves.first().map_or(0, |wave| wave.start_ns);
    let limited = 1.0 - (open.judged / (open.raw as f64).max(1.0)).min(1.0);
    let probes_agree = open
        .probed
        .is_some_and(|probed| probed.places >= 2 && 3 * probed.failing_places >= 2 * probed.places);
    let confidence = match () {
        () if probes_agree && reports > 50 => Confidence::High,
        () if probes_agree || (reports > 50 && limited < BRIGADE) => Confidence::Moderate,
        () => Confidence::Low,
    };
    let mut caveats = vec!["Reports say that people have trouble, and how many said so; they do not say how many people have it.".to_owned()];
    if !service.has_probes || open.probed.is_none() {
        caveats.push("Nothing probed the service: that it was down rests on what people said.".to_owned());
    }
    if service.repeated > 0 {
        caveats.push(format!(
            "{} reports of persons who had reported within half an hour were counted once.",
            service.repeated
        ));
    }
    let margin = open
        .waves
        .first()
        .map_or(0, |wave| wave.start_ns.saturating_sub(60 * MINUTE));
    let around: Vec<&Counted> =
        {
            // The ring first, then what the outage itself kept of older minutes.
            let oldest = service
                .history
                .front()
                .map_or(u64::MAX, |counted| counted.minute_ns);
            let own = open.counts.iter().filter(|counted| counted.minute_ns < oldest);
            own.chain(service.history.iter().filter(|counted| {
                counted.minute_ns >= margin && counted.minute_ns <= open.last_ns + 60 * MINUTE
            }))
            .collect()
        };
    Outage {
        id: id(name, start_ns),
        service: name.to_owned(),
        target,
        reports,
        // Adding to zero: the sum of nothing would be -0.
        expected: waves.iter().fold(0.0, |sum, wave| sum + wave.expected),
        limited,
        countries: shares(&open.countries, usize::MAX),
        networks: shares(&open.networks, 10),
        symptoms,
        probed: open.probed,
        cause: Cause::Unknown,
        cause_confidence: Confidence::Low,
        because: Vec::new(),
        confidence,
        caveats,
        timeline: Timeline {
            start_ns: around.first().map_or(start_ns, |counted| counted.minute_ns),
            reports: around.iter().map(|counted| counted.reports).collect(),
            expected: around.iter().map(|counted| counted.expected).collect(),
        },
        waves,
        standing: standing(service),
    }
}

fn standing(service: &Service) -> Standing {
    let last = service.history.iter().rev().take(30);
    let (tried, failed) = last.fold((0, 0), |sum, counted| {
        (sum.0 + counted.tried, sum.1 + counted.failed)
    });
    Standing {
        until_ns: service.minute_ns,
        end_evidence: service.end_evidence,
        probes_ok: (tried > 0).then(|| 1.0 - failed as f64 / tried as f64),
        places: service.places.len() as u32,
    }
}

fn id(service: &str, start_ns: u64) -> String {
    let hash = service
        .bytes()
        .fold(detect::conversation::mix(start_ns), |hash, byte| {
            detect::conversation::mix(hash ^ u64::from(byte))
        });
    format!("outage-{:010x}", hash & 0xff_ffff_ffff)
}

/// What other outages need to know of one.
struct Fact {
    service: String,
    waves: Vec<(u64, u64)>,
    probes_fail: bool,
    excess: f64,
}

impl Fact {
    fn of(outage: &Outage) -> Fact {
        Fact {
            service: outage.service.clone(),
            waves: outage
                .waves
                .iter()
                .map(|wave| (wave.start_ns, wave.end_ns.unwrap_or(u64::MAX)))
                .collect(),
            probes_fail: probes_fail(outage),
            excess: outage.reports as f64 - outage.expected,
        }
    }
}

/// Enough places say that it fails.
fn probes_fail(outage: &Outage) -> bool {
    outage
        .probed
        .is_some_and(|probed| probed.places > 0 && 2 * probed.failing_places > probed.places)
}

fn explain(
    outage: &mut Outage,
    at: usize,
    facts: &[Fact],
    attacks: &[Attacked],
    watched: Option<(u64, u64)>,
    shared: Option<(u32, usize, usize)>,
) {
    let own = &facts[at];
    let fails = own.probes_fail;
    let probed = outage.probed.unwrap_or_default();
    let said_probes = match outage.probed {
        Some(_) if fails => format!(
            "{} of {} places could not reach it ({} of {} probes failed).",
            probed.failing_places, probed.places, probed.failed, probed.tried
        ),
        Some(_) => format!(
            "The probes stayed well: {} of {} failed, and at most {} of {} places saw trouble.",
            probed.failed, probed.tried, probed.failing_places, probed.places
        ),
        None => "Nothing probed it.".to_owned(),
    };
    // An attack on its addresses that ran when a wave began, or began around then.
    let causes = |attack: &Attacked| {
        let on_it = outage
            .target
            .is_some_and(|own| own.contains(attack.target.base) || attack.target.contains(own.base));
        on_it
            && own.waves.iter().any(|(start, end)| {
                attack.start_ns <= start + CAUSE_AFTER_NS
                    && attack.end_ns + CAUSE_BEFORE_NS >= *start
                    && attack.start_ns < *end
            })
    };
    let guilty: Vec<&Attacked> = attacks.iter().filter(|attack| causes(attack)).collect();
    let neighbour = facts
        .iter()
        .enumerate()
        .filter(|(other, fact)| {
            *other != at && fact.excess > own.excess && (fact.probes_fail || outage.probed.is_none())
        })
        .filter(|(_, fact)| {
            own.waves.iter().all(|(start, _)| {
                fact.waves
                    .iter()
                    .any(|(theirs, end)| *theirs <= start + CAUSE_AFTER_NS && end > start)
            })
        })
        .max_by(|a, b| a.1.excess.total_cmp(&b.1.excess));
    let seen = watched.is_some_and(|(first, last)| {
        outage
            .waves
            .iter()
            .all(|wave| first <= wave.start_ns && last >= wave.start_ns)
    });
    let (cause, confidence, because) = if !guilty.is_empty() && (fails || outage.probed.is_none()) {
        let ids: Vec<String> = guilty.iter().map(|attack| attack.id.clone()).collect();
        let matched = own
            .waves
            .iter()
            .filter(|(start, _)| {
                guilty.iter().any(|attack| {
                    attack.start_ns <= start + CAUSE_AFTER_NS && attack.end_ns + CAUSE_BEFORE_NS >= *start
                })
            })
            .count();
        let said = format!(
            "An attack on its addresses ran when {matched} of {} waves of trouble began.",
            own.waves.len()
        );
        let confidence = if fails && matched == own.waves.len() {
            Confidence::High
        } else {
            Confidence::Moderate
        };
        (Cause::Attack(ids), confidence, said)
    } else if let Some((provider, fallen, there)) = shared {
        let said = format!(
            "The checks of {fallen} of {there} services in AS{provider} began to fail within minutes of each other, and those of services elsewhere did not."
        );
        (Cause::Provider(provider), Confidence::Moderate, said)
    } else if let (false, Some((_, fact))) = (fails, neighbour) {
        let said = format!(
            "{} was in trouble at the same time, with {:.0} reports above the usual against {:.0} here: people blame what they use.",
            fact.service, fact.excess, own.excess
        );
        let confidence = if outage.probed.is_some() {
            Confidence::Moderate
        } else {
            Confidence::Low
        };
        (Cause::Neighbour(fact.service.clone()), confidence, said)
    } else if !fails && outage.limited >= BRIGADE {
        let said = format!(
            "{:.0} % of the reports are more than their networks usually send: few networks complain.",
            100.0 * outage.limited
        );
        let confidence = if outage.probed.is_some() {
            Confidence::Moderate
        } else {
            Confidence::Low
        };
        (Cause::Brigade, confidence, said)
    } else if fails && seen && outage.target.is_some() {
        (
            Cause::OwnFault,
            Confidence::Moderate,
            "Its traffic was watched when each wave began, and no attack on its addresses was in it."
                .to_owned(),
        )
    } else if fails && watched.is_some() {
        (
            Cause::Unknown,
            Confidence::Low,
            "The traffic that was watched does not tell: its addresses are not known (--service), or it was not watched at the time.".to_owned(),
        )
    } else {
        (
            Cause::Unknown,
            Confidence::Low,
            "No traffic of it was watched, and no other service explains it.".to_owned(),
        )
    };
    (outage.cause, outage.cause_confidence) = (cause, confidence);
    outage.because = vec![because, said_probes];
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_741_392_000 * SECOND; // 8 March 2025, 00:00 UTC

    fn report(minute: u64, n: u64, network: u32, service: &str) -> Report {
        Report {
            at_ns: START + minute * MINUTE + (n % 60) * SECOND,
            service: service.to_owned(),
            country: Country(*b"US"),
            network,
            symptom: "app".to_owned(),
            person: minute * 100_000 + n,
        }
    }

    fn probe(minute: u64, place: &str, service: &str, ok: bool) -> Probe {
        Probe {
            at_ns: START + minute * MINUTE + 7 * SECOND,
            service: service.to_owned(),
            place: place.to_owned(),
            ok,
        }
    }

    /// Two and a bit days of two reports a minute from many networks; then what `more` says of each minute.
    fn day(
        service: &str,
        watch: &mut Watch,
        news: &mut Vec<News>,
        minutes: u64,
        more: impl Fn(u64) -> (u64, u32, bool),
    ) {
        for minute in 0..minutes {
            let (extra, networks, fails) = more(minute);
            for n in 0..2 {
                watch.report(&report(
                    minute,
                    n,
                    1_000 + ((minute * 2 + n) * 7 % 97) as u32,
                    service,
                ));
            }
            for n in 0..extra {
                let network = if networks == 97 {
                    1_000 + (n * 7 % 97) as u32
                } else {
                    64_500 + (n % u64::from(networks.max(1))) as u32
                };
                watch.report(&report(minute, 10 + n, network, service));
            }
            for place in ["frankfurt", "ashburn", "singapore"] {
                watch.probe(&probe(minute, place, service, !fails));
            }
            watch.step(START + (minute + 1) * MINUTE, news);
        }
    }

    #[test]
    fn two_waves_are_one_outage_with_its_onset_and_end() {
        let (mut watch, mut news) = (Watch::new(true, 1.0 / 365.0), Vec::new());
        let bad = |minute: u64| (2_900..2_930).contains(&minute) || (3_050..3_100).contains(&minute);
        day("x", &mut watch, &mut news, 3_300, |minute| {
            (if bad(minute) { 100 } else { 0 }, 97, bad(minute))
        });
        let outages = watch.outages(&[], None, &BTreeMap::new());
        assert_eq!(outages.len(), 1, "{news:?}");
        let outage = &outages[0];
        let minutes: Vec<(u64, Option<u64>)> = outage
            .waves
            .iter()
            .map(|wave| {
                (
                    (wave.start_ns - START) / MINUTE,
                    wave.end_ns.map(|end| (end - START) / MINUTE),
                )
            })
            .collect();
        assert_eq!(minutes[0].0, 2_900);
        assert_eq!(minutes[1].0, 3_050);
        assert!((2_930..=2_945).contains(&minutes[0].1.unwrap()), "{minutes:?}");
        assert!((3_100..=3_115).contains(&minutes[1].1.unwrap()), "{minutes:?}");
        assert!(outage.waves[0].detected_ns - outage.waves[0].start_ns <= 4 * MINUTE);
        assert!(
            (3_000..3_300).contains(&outage.waves[0].reports),
            "{:?}",
            outage.waves[0]
        );
        assert_eq!(outage.confidence, Confidence::High);
        assert_eq!(outage.cause, Cause::Unknown, "no traffic was watched");
        let stages: Vec<Stage> = news.iter().map(|one| one.stage).collect();
        assert!(
            stages.contains(&Stage::Confirmed) && stages.contains(&Stage::Resolved),
            "{stages:?}"
        );
    }

    #[test]
    fn a_brigade_of_few_networks_moves_the_count_little_and_is_named() {
        let usual: BTreeMap<u32, f64> = (0..97).map(|n| (1_000 + n, 10.0)).collect();
        let everywhere: BTreeMap<u32, u64> = (0..97).map(|n| (1_000 + n, 3)).collect();
        assert_eq!(limited(&everywhere, 0, &usual, 970.0), 291.0);
        let mut brigade = BTreeMap::new();
        brigade.insert(64_500, 200);
        brigade.insert(64_501, 100);
        brigade.insert(1_005, 2);
        assert!(limited(&brigade, 0, &usual, 970.0) < 6.0);
        let shares: BTreeMap<u32, f64> = usual.iter().map(|(n, weight)| (*n, weight / 970.0)).collect();
        let of_each = counted(&brigade, &shares, 1.0);
        assert!(of_each.values().all(|counted| *counted < 2.0), "{of_each:?}");
        assert_eq!(counted(&everywhere, &shares, 1.0).values().sum::<f64>(), 291.0);
        // A provider that has half of the users may have half of the reports.
        let large: BTreeMap<u32, f64> = BTreeMap::from([(7, 50.0), (8, 50.0)]);
        let both: BTreeMap<u32, u64> = BTreeMap::from([(7, 500), (8, 400)]);
        assert_eq!(limited(&both, 0, &large, 100.0), 900.0);

        let (mut watch, mut news) = (Watch::new(true, 1.0 / 365.0), Vec::new());
        day("x", &mut watch, &mut news, 3_000, |minute| {
            (if minute >= 2_900 { 200 } else { 0 }, 3, false)
        });
        let outages = watch.outages(&[], None, &BTreeMap::new());
        assert!(
            outages.is_empty() || outages[0].cause == Cause::Brigade,
            "{outages:?}"
        );
    }

    #[test]
    fn an_attack_a_fault_and_a_neighbour_are_told_apart() {
        let (mut watch, mut news) = (Watch::new(true, 1.0 / 365.0), Vec::new());
        let bad = |minute: u64| (2_900..2_940).contains(&minute);
        for minute in 0..3_050u64 {
            for (service, extra, fails) in [("bank", 300, true), ("phone", 30, false)] {
                for n in 0..2 {
                    watch.report(&report(
                        minute,
                        n,
                        1_000 + ((minute * 2 + n) * 7 % 97) as u32,
                        service,
                    ));
                }
                for n in 0..if bad(minute) { extra } else { 0 } {
                    watch.report(&report(minute, 10 + n, 1_000 + (n * 7 % 97) as u32, service));
                }
                for place in ["frankfurt", "ashburn", "singapore"] {
                    watch.probe(&probe(minute, place, service, !(fails && bad(minute))));
                }
            }
            watch.step(START + (minute + 1) * MINUTE, &mut news);
        }
        let target: Prefix = "198.51.100.7/32".parse().unwrap();
        let addresses = BTreeMap::from([("bank".to_owned(), target)]);
        let attack = Attacked {
            id: "syn-flood-1".to_owned(),
            target,
            start_ns: START + 2_899 * MINUTE,
            end_ns: START + 2_940 * MINUTE,
        };
        let watched = Some((START, START + 3_050 * MINUTE));
        let causes = |attacks: &[Attacked], watched| -> Vec<(String, Cause)> {
            watch
                .outages(attacks, watched, &addresses)
                .into_iter()
                .map(|outage| (outage.service, outage.cause))
                .collect()
        };
        let phone = ("phone".to_owned(), Cause::Neighbour("bank".to_owned()));
        let mut found = causes(&[attack], watched);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            found,
            [
                ("bank".to_owned(), Cause::Attack(vec!["syn-flood-1".to_owned()])),
                phone.clone()
            ]
        );
        let mut found = causes(&[], watched);
        found.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, [("bank".to_owned(), Cause::OwnFault), phone.clone()]);
        assert!(causes(&[], None).contains(&("bank".to_owned(), Cause::Unknown)));
    }

    #[test]
    fn one_person_counts_once_and_late_reports_are_counted_as_late() {
        let mut watch = Watch::new(false, 1.0 / 365.0);
        let one = report(10, 0, 1, "x");
        for _ in 0..100 {
            watch.report(&one);
        }
        watch.step(START + 11 * MINUTE, &mut Vec::new());
        assert_eq!(watch.last_15("x").0, 1);
        watch.step(START + 60 * MINUTE, &mut Vec::new());
        watch.report(&report(5, 1, 1, "x"));
        assert_eq!(watch.uncounted(), (0, 1));
    }

    #[test]
    fn shares_have_intervals() {
        let share = wilson(20, 1_000);
        assert!(
            (share.low - 0.01298).abs() < 1e-4 && (share.high - 0.03071).abs() < 1e-4,
            "{share:?}"
        );
        assert_eq!(wilson(0, 0).low, 0.0);
    }

    #[test]
    fn a_saved_watch_goes_on_as_the_one_that_was_never_stopped() {
        let bad = |minute: u64| (2_900..2_930).contains(&minute);
        let more = |minute: u64| (if bad(minute) { 100 } else { 0 }, 97, bad(minute));
        let (mut watch, mut news) = (Watch::new(true, 1.0 / 365.0).keeping(420), Vec::new());
        day("x", &mut watch, &mut news, 2_905, more);
        let saved = watch.save();
        assert!(saved.len() < 40_000, "{}", saved.len());
        let mut again = Watch::load(&saved).expect("saved");
        assert_eq!(again.save(), saved);
        assert!(Watch::load(&saved[..saved.len() - 1]).is_none() && Watch::load(b"other").is_none());
        let (mut told, mut retold) = (Vec::new(), Vec::new());
        for watch in [(&mut watch, &mut told), (&mut again, &mut retold)] {
            for minute in 2_905..3_400 {
                let (extra, _, fails) = more(minute);
                (0..2 + extra).for_each(|n| watch.0.report(&report(minute, n, 1_000 + (n % 97) as u32, "x")));
                for place in ["frankfurt", "ashburn"] {
                    watch.0.probe(&probe(minute, place, "x", !fails));
                }
                watch.0.step(START + (minute + 1) * MINUTE, watch.1);
            }
        }
        assert_eq!(told, retold);
        assert!(!told.is_empty());
        let none = BTreeMap::new();
        let outages = watch.outages(&[], None, &none);
        assert_eq!(outages.len(), 1);
        // Debug, since an expected count that is unknown is not equal to itself.
        assert_eq!(
            format!("{outages:?}"),
            format!("{:?}", again.outages(&[], None, &none))
        );
    }

    #[test]
    fn an_hour_without_ears_is_neither_trouble_nor_health() {
        let (mut watch, mut news) = (Watch::new(true, 1.0 / 365.0), Vec::new());
        day("x", &mut watch, &mut news, 2_000, |_| (20, 97, false));
        assert!(news.is_empty(), "{news:?}");
        watch.resume(START + 2_060 * MINUTE);
        for minute in 2_060..2_400 {
            (0..22).for_each(|n| watch.report(&report(minute, n, 1_000 + (n * 7 % 97) as u32, "x")));
            watch.probe(&probe(minute, "frankfurt", "x", true));
            watch.step(START + (minute + 1) * MINUTE, &mut news);
        }
        assert!(news.is_empty(), "{news:?}");
        assert_eq!(watch.now("x").map(|now| now.stage), Some(Stage::Quiet));
        watch.leave("x");
        assert_eq!(watch.now("x"), None);
    }

    #[test]
    fn a_network_that_takes_its_services_down_is_named_and_a_single_fault_is_not() {
        let run = |fails: &dyn Fn(usize) -> bool| {
            let (mut watch, mut news) = (Watch::new(true, 1.0 / 365.0).keeping(420), Vec::new());
            let names = ["a", "b", "c", "d", "e"];
            for (n, name) in names.iter().enumerate() {
                watch.follow(name, true, START);
                watch.hosted(name, if n < 4 { 64_500 } else { 64_501 });
            }
            for minute in 0..400u64 {
                for (n, name) in names.iter().enumerate() {
                    for place in ["frankfurt", "ashburn"] {
                        watch.probe(&probe(minute, place, name, !(minute >= 300 && fails(n))));
                    }
                }
                watch.step(START + (minute + 1) * MINUTE, &mut news);
            }
            let outages = watch.outages(&[], None, &BTreeMap::new());
            outages
                .into_iter()
                .map(|outage| (outage.service, outage.cause))
                .collect::<Vec<_>>()
        };
        let found = run(&|n| n < 3);
        assert_eq!(found.len(), 3);
        assert!(
            found.iter().all(|(_, cause)| *cause == Cause::Provider(64_500)),
            "{found:?}"
        );
        // Two are no network, and where everything fails it may be ourselves.
        for found in [run(&|n| n < 2), run(&|_| true)] {
            assert!(!found.is_empty());
            assert!(
                found.iter().all(|(_, cause)| *cause == Cause::Unknown),
                "{found:?}"
            );
        }
    }
}
