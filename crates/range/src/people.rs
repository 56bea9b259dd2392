//! Who tells that a service fails: reports of people, false ones among them, and probes from places.
//!
//! People report some time after they felt something, in numbers that follow what is felt of the service; a few always report, by the
//! rhythm of day and week. Arrivals are Poisson's, drawn with comparisons, sums and divisions alone, so that every machine draws the
//! same. A report says no address: the country, the network and a number for the person, who has that number in every report.

use std::collections::BTreeMap;

use atlas::{Atlas, Country};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::felt::Felt;
use crate::scenario::{self, Cut, Error, Scenario};
use crate::truth::time;
use crate::world::{Family, Who, World, below, draw, uniform};

/// Longest time before the scenario's start of which there are reports and probes, in seconds.
pub const HISTORY_MAX: u32 = 56 * 86_400;
/// Most services that people use, places that probe, or brigades.
pub const SECTIONS_MAX: usize = 100;
/// Most people who use a service.
pub const USERS_MAX: u64 = 8_000_000_000;
/// Most reports a minute, of each kind.
pub const REPORTS_MAX: f64 = 1e6;
/// Most networks that a brigade comes from.
pub const NETWORKS_MAX: u32 = 1_000;

const SECOND: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// The bin that outage trackers count reports in.
const QUARTER_S: u64 = 900;
/// Of those whose network is cut off one in so many has another way to say so.
const OTHER_WAY: f64 = 1.0 / 3.0;
/// What a probe waits for an answer, in milliseconds.
const PATIENCE_MS: u32 = 10_000;
/// One probe in so many fails although nothing is wrong.
const FLUKE: u64 = 2_000;
/// Draws to find somebody who is cut off, or not.
const SEARCHES: usize = 200;
/// Reports by hour of a user's day, 1000 on average: fewest before dawn, most in the evening. This project's judgement.
const DAY: [u32; 24] = [
    800, 580, 430, 350, 320, 360, 500, 720, 920, 1070, 1150, 1190, 1250, 1230, 1230, 1240, 1270, 1320, 1390,
    1450, 1480, 1430, 1280, 1040,
];
/// Saturday and Sunday against the other days.
const WEEKEND: f64 = 0.85;

/// Whose reports there are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct People {
    /// Seconds before the scenario's start from which on there are reports and probes: what a detector learns from.
    #[serde(default)]
    pub history: u32,
    /// Hours by which the clocks of most users are ahead of UTC.
    #[serde(default)]
    pub clock: i32,
    /// What reports complain of, by weight; by default as on 10 March 2025: the app 56, the website 33.
    #[serde(default = "symptoms")]
    pub symptoms: BTreeMap<String, f64>,
    /// The users of each service.
    pub service: Vec<Users>,
    /// False reports.
    #[serde(default)]
    pub brigade: Vec<Brigade>,
}

/// People who use a service and may report that it fails.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// Name of the service.
    pub name: String,
    /// How many there are.
    pub users: u64,
    /// Share of them who report in a minute in which everything fails.
    pub chance: f64,
    /// Reports a minute while nothing is wrong.
    pub base_per_minute: f64,
    /// By how much the base goes up and down by itself, each ten minutes anew: 0.2 is up to a fifth.
    #[serde(default = "fifth")]
    pub unsteady: f64,
    /// Countries by weight.
    #[serde(default)]
    pub countries: BTreeMap<String, f64>,
    /// AS numbers by weight, instead of countries.
    #[serde(default)]
    pub networks: BTreeMap<String, f64>,
    /// Other services that are blamed for this one's failing, with the share of the reports that name them.
    #[serde(default)]
    pub blamed: BTreeMap<String, f64>,
}

/// People or machines who report what is not so.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brigade {
    /// The service they report.
    pub service: String,
    /// First second.
    pub from: u32,
    /// Second before which they stop.
    pub to: u32,
    /// Their reports a minute.
    pub per_minute: f64,
    /// How many networks they come from.
    pub networks: u32,
    /// How many persons they pretend to be.
    pub persons: u32,
    /// Countries of these networks by weight.
    pub countries: BTreeMap<String, f64>,
}

/// A place that asks each service again and again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Seconds from one probe to the next.
    #[serde(default = "half_minute")]
    pub every: u32,
    /// Milliseconds that a good answer takes.
    #[serde(default = "usual_ms")]
    pub ms: u32,
    /// Seconds, from the first to before the second, in which the place itself is offline.
    #[serde(default)]
    pub offline: Vec<(u32, u32)>,
}

fn symptoms() -> BTreeMap<String, f64> {
    [
        ("app", 56.0),
        ("website", 33.0),
        ("connection", 8.0),
        ("login", 3.0),
    ]
    .map(|(name, weight)| (name.to_owned(), weight))
    .into()
}

fn fifth() -> f64 {
    0.2
}

fn half_minute() -> u32 {
    30
}

fn usual_ms() -> u32 {
    40
}

/// Checks what a scenario says of people and places.
pub(crate) fn check(scenario: &Scenario, atlas: &Atlas) -> Result<(), Error> {
    let wrong = |at: String, what: String| Err(Error(format!("{at}: {what}")));
    let few = |what: &str, count: usize| match count {
        0..=SECTIONS_MAX => Ok(()),
        _ => Err(Error(format!("{what}: {count} are more than {SECTIONS_MAX}"))),
    };
    few("place", scenario.place.len())?;
    for (n, place) in scenario.place.iter().enumerate() {
        let at = |field: &str| format!("place {}: {field}", n + 1);
        if !(1..=3_600).contains(&place.every) {
            return wrong(at("every"), format!("{} is not from 1 to 3600", place.every));
        }
        if place.ms > PATIENCE_MS {
            return wrong(at("ms"), format!("{} is more than {PATIENCE_MS}", place.ms));
        }
        if let Some((from, to)) = place.offline.iter().find(|(from, to)| from >= to) {
            return wrong(at("offline"), format!("{to} is not after {from}"));
        }
    }
    let Some(people) = &scenario.people else {
        return Ok(());
    };
    few("people: service", people.service.len())?;
    few("people: brigade", people.brigade.len())?;
    if people.history > HISTORY_MAX || scenario.start_ns() / SECOND <= u64::from(people.history) {
        return wrong(
            "people: history".to_owned(),
            format!("{} is not from 0 to {HISTORY_MAX}, after 1970", people.history),
        );
    }
    if !(-12..=14).contains(&people.clock) {
        return wrong(
            "people: clock".to_owned(),
            format!("{} is not from -12 to 14", people.clock),
        );
    }
    weights(&people.symptoms).map_err(|what| Error(format!("people: symptoms: {what}")))?;
    for (n, users) in people.service.iter().enumerate() {
        if people.service[..n].iter().any(|other| other.name == users.name) {
            return wrong(
                format!("people: service {}: name", n + 1),
                format!("{:?} is there twice", users.name),
            );
        }
    }
    for (n, users) in people.service.iter().enumerate() {
        let at = |field: &str| format!("people: service {}: {field}", n + 1);
        if !(1..=USERS_MAX).contains(&users.users) {
            return wrong(
                at("users"),
                format!("{} is not from 1 to {USERS_MAX}", users.users),
            );
        }
        if !(0.0..=1.0).contains(&users.chance) || users.users as f64 * users.chance > REPORTS_MAX {
            return wrong(
                at("chance"),
                format!(
                    "{} is not from 0 to 1, or gives more than {REPORTS_MAX} reports a minute",
                    users.chance
                ),
            );
        }
        if !(0.0..=REPORTS_MAX).contains(&users.base_per_minute) {
            return wrong(
                at("base_per_minute"),
                format!("{} is not from 0 to {REPORTS_MAX}", users.base_per_minute),
            );
        }
        if !(0.0..=1.0).contains(&users.unsteady) {
            return wrong(at("unsteady"), format!("{} is not from 0 to 1", users.unsteady));
        }
        match users.networks.is_empty() {
            true => scenario::countries(&users.countries, atlas)
                .map(|_| ())
                .map_err(|what| Error(format!("{}: {what}", at("countries"))))?,
            false => scenario::networks(&users.networks)
                .map(|_| ())
                .map_err(|what| Error(format!("{}: {what}", at("networks"))))?,
        }
        for (name, share) in &users.blamed {
            if *name == users.name || !people.service.iter().any(|other| other.name == *name) {
                return wrong(at("blamed"), format!("{name:?} is no other service with people"));
            }
            if !(0.0..=1.0).contains(share) {
                return wrong(at("blamed"), format!("{share} of {name} is not from 0 to 1"));
            }
        }
        if users.blamed.values().sum::<f64>() > 1.0 {
            return wrong(at("blamed"), "the shares are more than 1 together".to_owned());
        }
    }
    for (n, brigade) in people.brigade.iter().enumerate() {
        let at = |field: &str| format!("people: brigade {}: {field}", n + 1);
        if !people.service.iter().any(|users| users.name == brigade.service) {
            return wrong(
                at("service"),
                format!("{:?} is no service with people", brigade.service),
            );
        }
        if brigade.from >= brigade.to || brigade.to > scenario.seconds {
            return wrong(
                at("to"),
                format!(
                    "{} is not after `from` ({}) and within `seconds` ({})",
                    brigade.to, brigade.from, scenario.seconds
                ),
            );
        }
        if !(brigade.per_minute > 0.0 && brigade.per_minute <= REPORTS_MAX) {
            return wrong(
                at("per_minute"),
                format!("{} is not above 0 and up to {REPORTS_MAX}", brigade.per_minute),
            );
        }
        if !(1..=NETWORKS_MAX).contains(&brigade.networks) {
            return wrong(
                at("networks"),
                format!("{} is not from 1 to {NETWORKS_MAX}", brigade.networks),
            );
        }
        if brigade.persons == 0 {
            return wrong(at("persons"), "0 report nothing".to_owned());
        }
        scenario::countries(&brigade.countries, atlas)
            .map_err(|what| Error(format!("{}: {what}", at("countries"))))?;
    }
    Ok(())
}

/// Names with their shares of the whole.
fn weights(mix: &BTreeMap<String, f64>) -> Result<Vec<(usize, f64)>, String> {
    let sum: f64 = mix.values().sum();
    if mix.is_empty() || !sum.is_finite() || sum <= 0.0 || mix.values().any(|&weight| weight < 0.0) {
        return Err("wanted are names with weights above 0".to_owned());
    }
    Ok(mix
        .values()
        .enumerate()
        .map(|(n, weight)| (n, weight / sum))
        .collect())
}

/// Why a report was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// Somebody always reports.
    Base,
    /// The service fails for this person.
    Outage,
    /// This person's network is cut off.
    CutOff,
    /// Another service fails for this person.
    Neighbour,
    /// It is false.
    Brigade,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    at_ns: u64,
    service: usize,
    symptom: usize,
    country: Country,
    network: u32,
    person: u64,
    why: Why,
}

/// Arrivals by Poisson, at whatever rate.
#[derive(Clone, Copy, Debug)]
struct Arrivals {
    /// Expected arrivals until the next one.
    until: f64,
}

impl Arrivals {
    fn new(random: &mut Pcg64Mcg) -> Arrivals {
        Arrivals {
            until: exponential(random),
        }
    }

    /// The arrivals of a second in which so many are expected, as nanoseconds after its beginning.
    fn second(&mut self, expected: f64, random: &mut Pcg64Mcg, out: &mut Vec<u64>) {
        out.clear();
        let mut left = expected;
        while self.until < left {
            left -= self.until;
            self.until = exponential(random);
            out.push((((1.0 - left / expected) * SECOND as f64) as u64).min(SECOND - 1));
        }
        self.until -= left;
    }
}

/// A number by the exponential distribution of mean 1, after von Neumann: a run of falling uniform numbers has an odd length with
/// probability e^-x, x its first.
fn exponential(random: &mut Pcg64Mcg) -> f64 {
    let mut whole = 0.0;
    loop {
        let first = uniform(random);
        let (mut last, mut odd) = (first, true);
        loop {
            let next = uniform(random);
            if next >= last {
                break;
            }
            (last, odd) = (next, !odd);
        }
        if odd {
            return whole + first;
        }
        whole += 1.0;
    }
}

/// From feeling it to having reported it: a minute times eight factors of 3/4 or 4/3 each, as near to a log-normal distribution as
/// whole numbers get; from 6 seconds to a quarter of an hour.
fn delay_ns(random: &mut Pcg64Mcg) -> u64 {
    let coins = below(random, 256);
    let delay = (0..8).fold(60 * SECOND, |delay, n| {
        if coins >> n & 1 == 1 {
            delay * 4 / 3
        } else {
            delay * 3 / 4
        }
    });
    // Between two steps anything.
    delay * (875 + below(random, 250)) / 1_000
}

/// A number that is fixed for three others.
fn mixed(a: u64, b: u64, c: u64) -> u64 {
    let mut x = a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ c.wrapping_mul(0xd6e8_feb8_6659_fd93);
    for _ in 0..2 {
        x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    }
    x ^ (x >> 32)
}

/// The part of a number that JSON readers keep.
fn token(number: u64) -> u64 {
    number >> 11
}

/// Where users live, with shares.
enum Homes {
    Countries(Vec<(Country, f64)>),
    Networks(Vec<(u32, f64)>),
}

impl Homes {
    fn countries(&self) -> &[(Country, f64)] {
        match self {
            Homes::Countries(countries) => countries,
            Homes::Networks(_) => &[],
        }
    }

    fn networks(&self) -> &[(u32, f64)] {
        match self {
            Homes::Networks(networks) => networks,
            Homes::Countries(_) => &[],
        }
    }
}

struct Service {
    about: Users,
    homes: Homes,
    base: Arrivals,
    outage: Arrivals,
    cut_off: Arrivals,
    /// Other services that are blamed, by number, and the rest, which names this one.
    blamed: Vec<(usize, f64)>,
}

struct Band {
    about: Brigade,
    service: usize,
    homes: Vec<(Country, u32)>,
    arrivals: Arrivals,
    reports: u64,
}

/// Reports and probes of a scenario, second after second, from its history on.
pub struct Voices<'a> {
    world: World<'a>,
    seed: u64,
    random: Pcg64Mcg,
    /// Beginning of the history.
    begin_s: u64,
    /// Seconds told.
    told: u64,
    history: u32,
    clock: i32,
    symptoms: (Vec<String>, Vec<(usize, f64)>),
    services: Vec<Service>,
    bands: Vec<Band>,
    places: Vec<Place>,
    cuts: Vec<Cut>,
    /// Names of all services that are probed; those of people first.
    names: Vec<String>,
    /// Reports that will be made, by second.
    pending: BTreeMap<u64, Vec<Report>>,
    counts: Vec<Reports>,
    times: Vec<u64>,
}

impl<'a> Voices<'a> {
    /// Those of a scenario; none where it has neither people nor places. Places probe all services, those that nobody reports too.
    ///
    /// # Errors
    ///
    /// A country of which no address is known.
    pub fn new(scenario: &Scenario, seed: u64, atlas: &'a Atlas) -> Result<Option<Voices<'a>>, Error> {
        if scenario.people.is_none() && scenario.place.is_empty() {
            return Ok(None);
        }
        let mut random = Pcg64Mcg::seed_from_u64(seed ^ 0x0dd_b1a5_7e11_5a11);
        // Trackers tell a country by the address, as address databases do: their errors are none here.
        let world = World::new(atlas, 0.0, false, &mut random);
        let none = People {
            history: 0,
            clock: 0,
            symptoms: symptoms(),
            service: Vec::new(),
            brigade: Vec::new(),
        };
        let people = scenario.people.as_ref().unwrap_or(&none);
        let mut names: Vec<String> = people.service.iter().map(|users| users.name.clone()).collect();
        for service in &scenario.service {
            if !names.contains(&service.name) {
                names.push(service.name.clone());
            }
        }
        let number = |name: &String| names.iter().position(|known| known == name).unwrap_or(0);
        let mut services = Vec::new();
        for (at, users) in people.service.iter().enumerate() {
            let mut blamed: Vec<(usize, f64)> = users
                .blamed
                .iter()
                .map(|(name, share)| (number(name), *share))
                .collect();
            blamed.push((at, 1.0 - users.blamed.values().sum::<f64>()));
            let homes = match users.networks.is_empty() {
                true => Homes::Countries(scenario::countries(&users.countries, atlas).map_err(Error)?),
                false => Homes::Networks(scenario::networks(&users.networks).map_err(Error)?),
            };
            // One of each, so that what cannot be drawn is known before anything is written.
            for &(country, _) in homes.countries() {
                home(&world, country, &mut random)?;
            }
            for &(asn, _) in homes.networks() {
                home_of(&world, asn, &mut random)?;
            }
            services.push(Service {
                homes,
                base: Arrivals::new(&mut random),
                outage: Arrivals::new(&mut random),
                cut_off: Arrivals::new(&mut random),
                blamed,
                about: users.clone(),
            });
        }
        let mut bands = Vec::new();
        for brigade in &people.brigade {
            let countries = scenario::countries(&brigade.countries, atlas).map_err(Error)?;
            let mut homes: Vec<(Country, u32)> = Vec::new();
            // Large networks come up often: some more draws than networks are wanted, then as many as there are.
            for _ in 0..brigade.networks * 50 {
                let country = draw(&countries, &mut random);
                let home = home(&world, country, &mut random)?;
                if home.1 != 0 && !homes.contains(&home) {
                    homes.push(home);
                }
                if homes.len() == brigade.networks as usize {
                    break;
                }
            }
            if homes.is_empty() {
                return Err(Error(
                    "people: brigade: countries: no network of them was drawn".to_owned(),
                ));
            }
            bands.push(Band {
                service: number(&brigade.service),
                homes,
                arrivals: Arrivals::new(&mut random),
                about: brigade.clone(),
                reports: 0,
            });
        }
        let begin_s = scenario.start_ns() / SECOND - u64::from(people.history);
        let counts = services
            .iter()
            .map(|service| Reports {
                name: service.about.name.clone(),
                users: service.about.users,
                from: time(begin_s * SECOND),
                ..Reports::default()
            })
            .collect();
        Ok(Some(Voices {
            world,
            seed,
            random,
            begin_s,
            told: 0,
            history: people.history,
            clock: people.clock,
            symptoms: (
                people.symptoms.keys().cloned().collect(),
                weights(&people.symptoms).map_err(Error)?,
            ),
            services,
            bands,
            places: scenario.place.clone(),
            cuts: scenario.cut.clone(),
            names,
            pending: BTreeMap::new(),
            counts,
            times: Vec::new(),
        }))
    }

    /// Seconds before the scenario's start.
    pub fn history(&self) -> u32 {
        self.history
    }

    /// Names of the services that are reported and probed, in the order in which [`Voices::second`] wants what is felt of them.
    pub fn services(&self) -> &[String] {
        &self.names
    }

    /// Appends what is told in the next second, the history's first, in which so much is felt of each service: JSON lines
    /// `epicenter.report/1` and `epicenter.probe/1`, each in order of time.
    pub fn second(&mut self, felt: &[Felt], out: &mut Vec<u8>, probes: &mut Vec<u8>) {
        let now_s = self.begin_s + self.told;
        let since_start = self.told.checked_sub(u64::from(self.history));
        let felt = |service: usize| felt.get(service).copied().unwrap_or_default();
        let cuts: Vec<Cut> = self
            .cuts
            .iter()
            .filter(|cut| since_start.is_some_and(|s| (u64::from(cut.from)..u64::from(cut.to)).contains(&s)))
            .cloned()
            .collect();
        let mut times = std::mem::take(&mut self.times);
        for at in 0..self.services.len() {
            let rhythm = rhythm(now_s, self.clock);
            let steady = 1.0
                + self.services[at].about.unsteady
                    * (2.0 * (mixed(self.seed, at as u64, now_s / 600) >> 11) as f64 / (1u64 << 53) as f64
                        - 1.0);
            let about = &self.services[at].about;
            let Felt { failing, cut_off, .. } = felt(at);
            let base = about.base_per_minute / 60.0 * rhythm * steady;
            let all = about.users as f64 * about.chance / 60.0 * rhythm;
            for (why, expected) in [
                (Why::Base, base),
                (Why::Outage, all * (1.0 - cut_off) * failing),
                (Why::CutOff, all * cut_off * OTHER_WAY),
            ] {
                let arrivals = match why {
                    Why::Base => &mut self.services[at].base,
                    Why::Outage => &mut self.services[at].outage,
                    _ => &mut self.services[at].cut_off,
                };
                arrivals.second(expected, &mut self.random, &mut times);
                for &offset in &times {
                    self.says(at, now_s * SECOND + offset, why, &cuts);
                }
            }
            let affected = (about_users(&self.services[at]) * (cut_off + (1.0 - cut_off) * failing)) as u64;
            self.counts[at].affected = self.counts[at].affected.max(affected);
        }
        for at in 0..self.bands.len() {
            let about = &self.bands[at].about;
            if since_start.is_none_or(|s| !(u64::from(about.from)..u64::from(about.to)).contains(&s)) {
                continue;
            }
            let expected = about.per_minute / 60.0;
            self.bands[at]
                .arrivals
                .second(expected, &mut self.random, &mut times);
            for &offset in &times {
                self.lies(at, now_s * SECOND + offset);
            }
        }
        self.times = times;
        let mut reports = self.pending.remove(&now_s).unwrap_or_default();
        reports.sort_unstable_by_key(|report| (report.at_ns, report.service, report.person));
        for report in reports {
            let counts = &mut self.counts[report.service];
            counts.reports += 1;
            *match report.why {
                Why::Base => &mut counts.base,
                Why::Outage | Why::CutOff => &mut counts.outage,
                Why::Neighbour => &mut counts.neighbour,
                Why::Brigade => &mut counts.brigade,
            } += 1;
            let quarter = (self.told / QUARTER_S) as usize;
            counts.per_quarter_hour.resize(quarter + 1, 0);
            counts.per_quarter_hour[quarter] += 1;
            line(
                out,
                &ReportLine {
                    schema: "epicenter.report/1",
                    at: time(report.at_ns),
                    service: &self.names[report.service],
                    symptom: &self.symptoms.0[report.symptom],
                    country: report.country.as_str(),
                    network: report.network,
                    person: report.person,
                },
            );
        }
        self.probe(now_s, since_start, &felt, probes);
        self.told += 1;
    }

    /// Somebody who uses a service decides to report.
    fn says(&mut self, at: usize, decided_ns: u64, why: Why, cuts: &[Cut]) {
        let service = &self.services[at];
        let mut found = None;
        // Of those who are cut off, somebody who is, or after some draws whoever came last; of the others, somebody who is not, or
        // nobody: who is cut off cannot report.
        for _ in 0..SEARCHES {
            let number = below(&mut self.random, service.about.users);
            let person = mixed(self.seed, 1 + at as u64, number);
            // Whoever it is has one home, in every report.
            let mut own = Pcg64Mcg::seed_from_u64(person);
            let home = match &service.homes {
                Homes::Countries(countries) => home(&self.world, draw(countries, &mut own), &mut own),
                Homes::Networks(networks) => home_of(&self.world, draw(networks, &mut own), &mut own),
            };
            let Ok(home) = home else {
                continue;
            };
            let is_cut = cuts.iter().any(|cut| {
                cut.networks.contains(&home.1) || cut.countries.iter().any(|code| *code == home.0.as_str())
            });
            let is_wanted = is_cut == (why == Why::CutOff);
            if is_wanted || why == Why::CutOff {
                found = Some((person, home, own));
            }
            if is_wanted {
                break;
            }
        }
        let Some((person, mut home, mut own)) = found else {
            return;
        };
        if why == Why::CutOff {
            if cuts
                .iter()
                .any(|cut| cut.countries.iter().any(|code| *code == home.0.as_str()))
            {
                return; // there is no other way in a country that is cut off as a whole
            }
            // Another network of their country, which is always the same; where there is none, no other way.
            let other = (0..SEARCHES).find_map(|_| {
                let other = self::home(&self.world, home.0, &mut own).ok()?;
                cuts.iter()
                    .all(|cut| !cut.networks.contains(&other.1))
                    .then_some(other)
            });
            let Some(other) = other else {
                return;
            };
            home = other;
        }
        let (country, network) = home;
        let (named, why) = match why {
            Why::Outage | Why::CutOff => match draw(&service.blamed, &mut self.random) {
                named if named == at => (at, Why::Outage),
                named => (named, Why::Neighbour),
            },
            why => (at, why),
        };
        // Times are told in milliseconds.
        let at_ns = (decided_ns + delay_ns(&mut self.random)) / MS * MS;
        let report = Report {
            at_ns,
            service: named,
            symptom: draw(&self.symptoms.1, &mut self.random),
            country,
            network,
            person: token(person),
            why,
        };
        self.pending.entry(at_ns / SECOND).or_default().push(report);
    }

    /// One of a brigade reports.
    fn lies(&mut self, at: usize, at_ns: u64) {
        let at_ns = at_ns / MS * MS;
        let band = &mut self.bands[at];
        let number = below(&mut self.random, u64::from(band.about.persons));
        let person = mixed(self.seed, u64::MAX - at as u64, number);
        let (country, network) = band.homes[(person % band.homes.len() as u64) as usize];
        band.reports += 1;
        let report = Report {
            at_ns,
            service: band.service,
            symptom: draw(&self.symptoms.1, &mut self.random),
            country,
            network,
            person: token(person),
            why: Why::Brigade,
        };
        self.pending.entry(at_ns / SECOND).or_default().push(report);
    }

    /// The probes of a second.
    fn probe(
        &mut self,
        now_s: u64,
        since_start: Option<u64>,
        felt: &dyn Fn(usize) -> Felt,
        out: &mut Vec<u8>,
    ) {
        let mut lines: Vec<(u64, usize, usize, Option<&str>, u32)> = Vec::new();
        for (p, place) in self.places.iter().enumerate() {
            let is_offline = since_start.is_some_and(|s| {
                place
                    .offline
                    .iter()
                    .any(|(from, to)| (u64::from(*from)..u64::from(*to)).contains(&s))
            });
            for s in 0..self.names.len() {
                let phase = mixed(self.seed, p as u64, s as u64);
                if is_offline || !(now_s + phase % 86_400).is_multiple_of(u64::from(place.every)) {
                    continue;
                }
                let random = &mut self.random;
                let at_ns = (now_s * SECOND + below(random, SECOND)) / MS * MS;
                let failing = felt(s).failing;
                let fails = uniform(random) < failing || below(random, FLUKE) == 0;
                // The nearer to failing altogether, the longer an answer takes.
                let ms = f64::from(place.ms) * (1.0 + uniform(random) / 4.0) / (1.0 - failing).max(0.05);
                let error = match below(random, 10) {
                    _ if !fails => None,
                    0..6 => Some("timeout"),
                    6..9 => Some("http-503"),
                    _ => Some("refused"),
                };
                let ms = if error == Some("timeout") {
                    PATIENCE_MS
                } else {
                    (ms as u32).clamp(1, PATIENCE_MS)
                };
                lines.push((at_ns, p, s, error, ms));
            }
        }
        lines.sort_unstable();
        for (at_ns, p, s, error, ms) in lines {
            line(
                out,
                &ProbeLine {
                    schema: "epicenter.probe/1",
                    at: time(at_ns),
                    service: &self.names[s],
                    place: &self.places[p].name,
                    ok: error.is_none(),
                    ms,
                    error,
                },
            );
        }
    }

    /// The truth about the people so far.
    pub fn truth(&self) -> PeopleTruth {
        PeopleTruth {
            services: self.counts.clone(),
            brigades: self
                .bands
                .iter()
                .map(|band| {
                    let start = self.begin_s + u64::from(self.history);
                    BrigadeTruth {
                        service: band.about.service.clone(),
                        start: time((start + u64::from(band.about.from)) * SECOND),
                        end: time((start + u64::from(band.about.to)) * SECOND),
                        reports: band.reports,
                        networks: band.homes.iter().map(|(_, network)| *network).collect(),
                    }
                })
                .collect(),
        }
    }
}

fn about_users(service: &Service) -> f64 {
    service.about.users as f64
}

/// Country and network of somebody in a country.
fn home(world: &World<'_>, country: Country, random: &mut Pcg64Mcg) -> Result<(Country, u32), Error> {
    world
        .address(country, Who::Home, Family::V4, random)
        .map(|address| (country, world.atlas.lookup(address).asn))
        .ok_or_else(|| Error(format!("no announced address of {country} was drawn")))
}

/// Country and network of somebody in a network.
fn home_of(world: &World<'_>, asn: u32, random: &mut Pcg64Mcg) -> Result<(Country, u32), Error> {
    world
        .address_of(asn, Family::V4, random)
        .map(|address| (world.atlas.lookup(address).country, asn))
        .ok_or_else(|| Error(format!("no announced address of AS{asn} was drawn")))
}

/// How much more or less than on average is reported at a time: by the hour of the users' day, and the day of their week.
fn rhythm(now_s: u64, clock: i32) -> f64 {
    let local = now_s.saturating_add_signed(i64::from(clock) * 3_600);
    let (hour, into) = ((local / 3_600 % 24) as usize, (local % 3_600) as f64 / 3_600.0);
    let (a, b) = (f64::from(DAY[hour]), f64::from(DAY[(hour + 1) % 24]));
    // 1 January 1970 was a Thursday.
    let is_weekend = matches!((local / 86_400 + 4) % 7, 0 | 6);
    (a + (b - a) * into) / 1_000.0 * if is_weekend { WEEKEND } else { 1.0 }
}

#[derive(Serialize)]
struct ReportLine<'a> {
    schema: &'static str,
    at: String,
    service: &'a str,
    symptom: &'a str,
    country: &'a str,
    network: u32,
    person: u64,
}

#[derive(Serialize)]
struct ProbeLine<'a> {
    schema: &'static str,
    at: String,
    service: &'a str,
    place: &'a str,
    ok: bool,
    ms: u32,
    error: Option<&'a str>,
}

fn line(out: &mut Vec<u8>, value: &impl Serialize) {
    // Nothing here can fail to be JSON, and a vector takes everything.
    if serde_json::to_writer(&mut *out, value).is_ok() {
        out.push(b'\n');
    }
}

/// The truth about reports.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PeopleTruth {
    /// Each service.
    pub services: Vec<Reports>,
    /// The false ones.
    pub brigades: Vec<BrigadeTruth>,
}

/// Reports that name a service.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reports {
    /// Its name.
    pub name: String,
    /// How many people use it.
    pub users: u64,
    /// Most people for whom it failed in the same second, or who were cut off.
    pub affected: u64,
    /// All reports.
    pub reports: u64,
    /// Those that there always are.
    pub base: u64,
    /// Those of people for whom it failed.
    pub outage: u64,
    /// Those of people for whom another service failed.
    pub neighbour: u64,
    /// False ones.
    pub brigade: u64,
    /// When the first quarter of an hour begins.
    pub from: String,
    /// Reports in each quarter of an hour since then.
    pub per_quarter_hour: Vec<u64>,
}

/// What a brigade did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct BrigadeTruth {
    /// The service.
    pub service: String,
    /// First second.
    pub start: String,
    /// Second before which it stopped.
    pub end: String,
    /// Its reports.
    pub reports: u64,
    /// AS numbers of its networks.
    pub networks: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"
        name = "two"
        about = "Two services, a brigade and two places."
        start = "2025-03-10T12:00:00Z"
        seconds = 3600
        [people]
        history = 600
        [[people.service]]
        name = "a"
        users = 1_000_000
        chance = 0.0006
        base_per_minute = 0
        countries = { US = 3, DE = 1 }
        blamed = { b = 0.2 }
        [[people.service]]
        name = "b"
        users = 1_000_000
        chance = 0.0006
        base_per_minute = 6
        countries = { US = 1 }
        [[people.brigade]]
        service = "b"
        from = 3000
        to = 3300
        per_minute = 120
        networks = 3
        persons = 100
        countries = { BR = 1 }
        [[place]]
        name = "near"
        [[place]]
        name = "far"
        every = 60
        ms = 200
        offline = [[600, 1200]]
    "#;

    type Lines = Vec<serde_json::Value>;

    /// All lines, where `a` fails for nine of ten from second 1200 to 2400.
    fn told() -> &'static (Lines, Lines, PeopleTruth) {
        static TOLD: std::sync::OnceLock<(Lines, Lines, PeopleTruth)> = std::sync::OnceLock::new();
        TOLD.get_or_init(|| told_by(1))
    }

    fn told_by(seed: u64) -> (Lines, Lines, PeopleTruth) {
        let atlas = Atlas::embedded();
        let scenario = Scenario::read(TWO, &atlas).unwrap();
        let mut voices = Voices::new(&scenario, seed, &atlas).unwrap().unwrap();
        let (mut reports, mut probes) = (Vec::new(), Vec::new());
        for second in 0..600 + 3_600 {
            let mut felt = [Felt::default(); 2];
            if (600 + 1_200..600 + 2_400).contains(&second) {
                felt[0].failing = 0.9;
            }
            voices.second(&felt, &mut reports, &mut probes);
        }
        let lines = |bytes: &[u8]| {
            let text = std::str::from_utf8(bytes).unwrap();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        };
        (lines(&reports), lines(&probes), voices.truth())
    }

    /// Seconds since the scenario's start.
    fn at(line: &serde_json::Value) -> f64 {
        let time: jiff::Timestamp = line["at"].as_str().unwrap().parse().unwrap();
        time.as_millisecond() as f64 / 1e3 - 1_741_608_000.0
    }

    fn of<'a>(lines: &'a [serde_json::Value], key: &str, value: &str) -> Vec<&'a serde_json::Value> {
        lines.iter().filter(|line| line[key] == value).collect()
    }

    #[test]
    fn a_seed_says_the_same_again_and_another_does_not() {
        let again = told_by(1);
        assert_eq!((&told().0, &told().1), (&again.0, &again.1));
        assert_ne!(told().0, told_by(2).0);
    }

    #[test]
    fn nobody_reports_before_it_is_felt_and_most_do_within_minutes() {
        let (reports, _, truth) = told();
        let a = of(reports, "service", "a");
        let times: Vec<f64> = a.iter().map(|line| at(line)).collect();
        assert!(times.iter().all(|&at| at > 1_200.0), "{times:?}");
        assert!(times[0] < 1_260.0, "{}", times[0]);
        assert!(*times.last().unwrap() < 2_400.0 + 900.0);
        assert!(times.is_sorted());
        // 600 a minute if all failed for everybody and the hour were an average one; four of five name the right service.
        let rhythm = f64::from(DAY[12]) / 1_000.0;
        let expected = 20.0 * 600.0 * 0.9 * rhythm * 0.8;
        let sd = 5.0 * expected.sqrt() + 0.03 * expected;
        assert!((a.len() as f64 - expected).abs() < sd, "{} {expected}", a.len());
        let late = times.iter().filter(|&&at| at > 2_400.0 + 300.0).count();
        assert!(late * 50 < a.len(), "{late} of {}", a.len());
        assert_eq!(truth.services[0].outage, a.len() as u64);
        assert_eq!(truth.services[0].affected, 900_000);
    }

    #[test]
    fn a_neighbour_is_blamed_and_somebody_always_reports() {
        let (reports, _, truth) = told();
        let (a, b) = (&truth.services[0], &truth.services[1]);
        let share = b.neighbour as f64 / (a.outage + b.neighbour) as f64;
        assert!((0.18..0.22).contains(&share), "{share}");
        assert_eq!((a.base, a.neighbour, b.outage), (0, 0, 0));
        // 70 minutes of six a minute, by the rhythm of that time of day.
        assert!((380..640).contains(&b.base), "{}", b.base);
        assert_eq!(b.reports, of(reports, "service", "b").len() as u64);
        assert!(reports.iter().any(|line| at(line) < 0.0), "the history is told");
        let apps = of(reports, "symptom", "app").len() as f64 / reports.len() as f64;
        assert!((0.53..0.59).contains(&apps), "{apps}");
    }

    #[test]
    fn a_person_lives_in_one_place_and_a_brigade_in_few_networks() {
        let (reports, _, truth) = told();
        let mut homes = BTreeMap::new();
        for line in reports {
            let home = (line["country"].clone(), line["network"].clone());
            assert!(line.get("address").is_none());
            let known = homes
                .entry(line["person"].as_u64().unwrap())
                .or_insert_with(|| home.clone());
            assert_eq!(*known, home);
        }
        let false_ones = of(reports, "country", "BR");
        assert!((500..700).contains(&false_ones.len()), "{}", false_ones.len());
        assert_eq!(truth.brigades[0].reports, false_ones.len() as u64);
        let networks: std::collections::BTreeSet<u64> = false_ones
            .iter()
            .map(|line| line["network"].as_u64().unwrap())
            .collect();
        assert_eq!(networks.len(), 3);
        assert!(
            false_ones
                .iter()
                .all(|line| (3_000.0..3_300.0).contains(&at(line)))
        );
        let honest: std::collections::BTreeSet<u64> = of(reports, "service", "a")
            .iter()
            .map(|line| line["network"].as_u64().unwrap())
            .collect();
        assert!(honest.len() > 100, "{}", honest.len());
    }

    #[test]
    fn probes_fail_while_it_fails_and_an_offline_place_says_nothing() {
        let (_, probes, _) = told();
        let during = |line: &&serde_json::Value| (1_200.0..2_400.0).contains(&at(line));
        let failed = |lines: &[&serde_json::Value]| lines.iter().filter(|line| line["ok"] == false).count();
        let a = of(probes, "service", "a");
        let (inside, outside): (Vec<_>, Vec<_>) = a.into_iter().partition(during);
        assert_eq!(inside.len(), 40 + 20);
        assert!((48..=60).contains(&failed(&inside)), "{}", failed(&inside));
        assert!(failed(&outside) <= 2);
        assert!(failed(&of(probes, "service", "b")) <= 2);
        for line in probes {
            assert_eq!(line["ok"] == true, line["error"].is_null());
        }
        let far = of(probes, "place", "far");
        assert!(far.iter().all(|line| !(600.0..1_200.0).contains(&at(line))));
        assert_eq!(far.len(), 2 * (70 - 10));
    }

    #[test]
    fn arrivals_are_poisson() {
        let mut random = Pcg64Mcg::seed_from_u64(3);
        let mut arrivals = Arrivals::new(&mut random);
        let mut times = Vec::new();
        let counts: Vec<f64> = (0..20_000)
            .map(|_| {
                arrivals.second(2.5, &mut random, &mut times);
                assert!(times.is_sorted());
                times.len() as f64
            })
            .collect();
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        let variance = counts
            .iter()
            .map(|count| (count - mean) * (count - mean))
            .sum::<f64>()
            / counts.len() as f64;
        assert!((mean - 2.5).abs() < 0.06, "{mean}");
        assert!((variance - 2.5).abs() < 0.15, "{variance}");
    }

    #[test]
    fn a_day_has_its_rhythm_and_is_an_average_day() {
        assert_eq!(DAY.iter().sum::<u32>(), 24_000);
        // Monday 10 March 2025, 17:00 in New York, against 04:00 there and against the Sunday before.
        let monday = 1_741_640_400;
        assert!(rhythm(monday, -4) > 3.0 * rhythm(monday - 13 * 3_600, -4));
        assert!((rhythm(monday - 86_400, -4) / rhythm(monday, -4) - WEEKEND).abs() < 1e-9);
    }

    #[test]
    fn what_is_wrong_with_people_is_named() {
        let atlas = Atlas::embedded();
        for (from, to, says) in [
            (
                "blamed = { b = 0.2 }",
                "blamed = { c = 0.2 }",
                "people: service 1: blamed: \"c\" is no other service",
            ),
            (
                "blamed = { b = 0.2 }",
                "blamed = { b = 1.2 }",
                "1.2 of b is not from 0 to 1",
            ),
            ("chance = 0.0006", "chance = 2", "people: service 1: chance"),
            (
                "to = 3300",
                "to = 9000",
                "people: brigade 1: to: 9000 is not after",
            ),
            (
                "networks = 3",
                "networks = 0",
                "brigade 1: networks: 0 is not from 1",
            ),
            ("every = 60", "every = 0", "place 2: every: 0 is not from 1"),
            (
                "[[600, 1200]]",
                "[[600, 600]]",
                "place 2: offline: 600 is not after 600",
            ),
            ("history = 600", "history = 999999999", "people: history"),
            (
                "name = \"b\"",
                "name = \"a\"",
                "people: service 2: name: \"a\" is there twice",
            ),
        ] {
            assert!(TWO.contains(from), "{from}");
            let error = Scenario::read(&TWO.replacen(from, to, 1), &atlas)
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{to}: {error}");
        }
    }
}
