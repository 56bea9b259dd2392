//! What is to happen: TOML, checked before anything is generated.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use atlas::{Atlas, Country, Prefix};
use serde::Deserialize;

use crate::army::DEVICES;
use crate::packets::{SNAPLEN, SNAPLEN_MAX};
use crate::vectors::{self, FLOODS, REFLECTIONS, VISITS};

/// The scenarios that come with the program, by name.
pub const LIBRARY: &[(&str, &str)] = &[
    ("botnet-syn", include_str!("../scenarios/botnet-syn.toml")),
    ("botnet-udp", include_str!("../scenarios/botnet-udp.toml")),
    ("brigade", include_str!("../scenarios/brigade.toml")),
    ("cache-busting", include_str!("../scenarios/cache-busting.toml")),
    ("carpet", include_str!("../scenarios/carpet.toml")),
    ("crawler", include_str!("../scenarios/crawler.toml")),
    ("flash-crowd", include_str!("../scenarios/flash-crowd.toml")),
    ("forged-one-way", include_str!("../scenarios/forged-one-way.toml")),
    ("forged-world", include_str!("../scenarios/forged-world.toml")),
    ("gre-mirai", include_str!("../scenarios/gre-mirai.toml")),
    ("half-forged", include_str!("../scenarios/half-forged.toml")),
    ("http-flood", include_str!("../scenarios/http-flood.toml")),
    ("ipv6-botnet", include_str!("../scenarios/ipv6-botnet.toml")),
    ("login-flood", include_str!("../scenarios/login-flood.toml")),
    ("low-and-slow", include_str!("../scenarios/low-and-slow.toml")),
    ("march-10", include_str!("../scenarios/march-10.toml")),
    (
        "march-10-minutes",
        include_str!("../scenarios/march-10-minutes.toml"),
    ),
    ("middlebox", include_str!("../scenarios/middlebox.toml")),
    ("nat-office", include_str!("../scenarios/nat-office.toml")),
    (
        "one-prefix-forged",
        include_str!("../scenarios/one-prefix-forged.toml"),
    ),
    ("pulse", include_str!("../scenarios/pulse.toml")),
    ("quiet", include_str!("../scenarios/quiet.toml")),
    ("quiet-week", include_str!("../scenarios/quiet-week.toml")),
    (
        "really-one-country",
        include_str!("../scenarios/really-one-country.toml"),
    ),
    ("reflected-dns", include_str!("../scenarios/reflected-dns.toml")),
    ("reflected-mix", include_str!("../scenarios/reflected-mix.toml")),
    (
        "several-at-once",
        include_str!("../scenarios/several-at-once.toml"),
    ),
    ("slow-leak", include_str!("../scenarios/slow-leak.toml")),
    ("slowloris", include_str!("../scenarios/slowloris.toml")),
    ("spill-over", include_str!("../scenarios/spill-over.toml")),
    ("starlink-off", include_str!("../scenarios/starlink-off.toml")),
    (
        "syn-ack-reflection",
        include_str!("../scenarios/syn-ack-reflection.toml"),
    ),
    ("water-torture", include_str!("../scenarios/water-torture.toml")),
    ("weak-generator", include_str!("../scenarios/weak-generator.toml")),
];

/// Longest scenario, in seconds.
pub const SECONDS_MAX: u32 = 7 * 86_400;
/// Largest rate of one attack, packets a second.
pub const RATE_MAX: f64 = 2e6;
/// Largest rate of new connections of one attack or sessions of one audience, a second.
pub const CONNECTIONS_MAX: f64 = 1e5;
/// Most bots or reflectors of one attack.
pub const SOURCES_MAX: u32 = 2_000_000;
/// Most services, audiences, attacks, faults and cuts, of each.
pub const SECTIONS_MAX: usize = 1_000;

/// An incident that is to be generated.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Short name.
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// When it begins, RFC 3339.
    pub start: String,
    /// How long it lasts.
    pub seconds: u32,
    /// Only packets to the services were captured, none from them.
    #[serde(default)]
    pub one_way: bool,
    /// Bytes of each packet that are captured.
    #[serde(default = "snaplen")]
    pub snaplen: u16,
    /// Share of the packets towards the services that are lost on their way, 0 to 1.
    #[serde(default)]
    pub path_loss: f64,
    /// How often address databases are wrong, as a multiple of what studies found; 0 for never.
    #[serde(default = "one")]
    pub database_errors: f64,
    /// Services, by name.
    #[serde(default)]
    pub service: Vec<Service>,
    /// Who uses the services.
    #[serde(default)]
    pub audience: Vec<Audience>,
    /// What attacks.
    #[serde(default)]
    pub attack: Vec<Attack>,
    /// Who reports that a service fails.
    pub people: Option<crate::people::People>,
    /// From where the services are probed.
    #[serde(default)]
    pub place: Vec<crate::people::Place>,
    /// What exports flows or samples of the traffic.
    #[serde(default)]
    pub exporter: Vec<crate::exports::Exporter>,
    /// What is said of the incident.
    #[serde(default)]
    pub claim: Vec<crate::claims::Claim>,
    /// Faults of a service's own.
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// Networks or countries that are cut off from everything.
    #[serde(default)]
    pub cut: Vec<Cut>,
}

/// A service that people use.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its address of the other family, IPv6.
    pub address6: Option<String>,
    /// Its port.
    #[serde(default = "https")]
    pub port: u16,
    /// What it bears.
    #[serde(default)]
    pub capacity: Capacity,
    /// Names of services that people take it for, or blame instead.
    #[serde(default)]
    pub neighbours: Vec<String>,
}

/// What a service bears; without a limit where none is given. Beyond a limit, what is too much is not answered.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Packets a second to it and to the attacked prefixes around it, which share its line.
    pub packets_per_second: Option<f64>,
    /// New connections a second.
    pub connections_per_second: Option<f64>,
    /// Connections open at a time.
    pub open_connections: Option<f64>,
    /// Requests a second; one for something expensive counts twenty times.
    pub requests_per_second: Option<f64>,
}

/// People who use a service, or programs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// Name or address of the service.
    pub service: String,
    /// Its port; that of the service by default, or 443.
    pub port: Option<u16>,
    /// How they use it.
    #[serde(default)]
    pub habit: Habit,
    /// New sessions a second, at the daily peak.
    pub sessions_per_second: f64,
    /// First second.
    #[serde(default)]
    pub from: u32,
    /// Second before which they stop; the end of the scenario by default.
    pub to: Option<u32>,
    /// Seconds in which their number grows from nothing, faster and faster.
    #[serde(default)]
    pub rise: u32,
    /// Seconds in which it falls to nothing before `to`.
    #[serde(default)]
    pub fall: u32,
    /// Countries by weight.
    #[serde(default)]
    pub countries: BTreeMap<String, f64>,
    /// AS numbers by weight, instead of countries.
    #[serde(default)]
    pub networks: BTreeMap<String, f64>,
    /// They share so many addresses (an office or a carrier behind NAT, a crawler); 0 for a new one with each session.
    #[serde(default)]
    pub addresses: u32,
    /// Share that comes by IPv6, where the service has an address of it, 0 to 1.
    #[serde(default)]
    pub ipv6: f64,
    /// HTTP in the clear instead of TLS.
    #[serde(default)]
    pub plain: bool,
    /// How much less there is in the small hours than at the peak, 0 to 1.
    #[serde(default)]
    pub night: f64,
    /// Hour of the daily peak, UTC.
    #[serde(default = "evening")]
    pub peak_hour: f64,
    /// Saturdays and Sundays against other days.
    #[serde(default = "one")]
    pub weekend: f64,
}

/// How a service is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Habit {
    /// Sessions of a few requests, with pauses.
    #[default]
    People,
    /// Long sessions of many requests, evenly.
    Crawler,
    /// DNS questions of resolvers, for names that are there.
    Resolver,
}

/// An attack.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// Name of the vector, as the case names it.
    pub vector: String,
    /// Name of a service, host, or prefix of hosts that are attacked evenly.
    pub target: String,
    /// Attacked port; random for reflection where absent.
    pub port: Option<u16>,
    /// First second.
    pub from: u32,
    /// Second before which it stops.
    pub to: u32,
    /// Packets a second while it runs: floods and reflection.
    #[serde(default)]
    pub packets_per_second: f64,
    /// New connections a second while it runs: `http_flood`, `slowloris`, `slow_post`.
    #[serde(default)]
    pub connections_per_second: f64,
    /// Requests on each connection of an `http_flood`.
    #[serde(default = "once")]
    pub requests: u32,
    /// What an `http_flood` asks for.
    #[serde(default)]
    pub style: Style,
    /// Seconds of traffic and of pause, over and over.
    pub pulse: Option<(u32, u32)>,
    /// How many command the bots; each has an equal part of them.
    #[serde(default = "once")]
    pub controllers: u32,
    /// Seconds from one controller's command to the next one's.
    #[serde(default = "gap")]
    pub controller_gap: u32,
    /// Seconds within which the bots of one controller begin.
    #[serde(default = "two")]
    pub start_spread: f64,
    /// Seconds within which the bots stop, before `to`.
    #[serde(default = "one")]
    pub stop_spread: f64,
    /// Who sends.
    pub sources: Sources,
}

/// What an HTTP flood asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// The first page, again and again.
    #[default]
    Get,
    /// Pages with a random query, which no cache has.
    CacheBusting,
    /// Log-ins with other names.
    Login,
    /// Searches, which cost the service much.
    Expensive,
}

/// Who sends an attack's packets, and what the packets say of that.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum Sources {
    /// Machines that send under their own addresses.
    Direct {
        /// How many.
        bots: u32,
        /// Name of the botnet: attacks that name the same one have the same bots, the first ones of it where they have fewer.
        botnet: Option<String>,
        /// Countries by weight.
        countries: BTreeMap<String, f64>,
        /// How unevenly they send: 0 for evenly; at 0.9 the fastest sends ten times what the slowest does, at 0.99 a hundred times.
        #[serde(default)]
        uneven: f64,
        /// Classes of devices by weight; cameras, routers, recorders, few servers and PCs by default.
        #[serde(default)]
        devices: BTreeMap<String, f64>,
        /// Addresses of its /64 that each uses in turn, where the target is IPv6.
        #[serde(default = "once")]
        addresses: u32,
    },
    /// Addresses drawn at random for each packet.
    Forged {
        /// Machines that really send.
        #[serde(default = "once")]
        senders: u32,
        /// Only addresses that are announced and not special, as careful tools do.
        #[serde(default)]
        avoid_bogons: bool,
        /// The TTL is drawn at random too.
        #[serde(default)]
        random_ttl: bool,
        /// Addresses of this prefix only.
        within: Option<String>,
        /// Addresses after which a weak generator begins again; 0 for never.
        #[serde(default)]
        pool: u32,
    },
    /// Third machines that answer forged questions.
    Reflected {
        /// How many.
        reflectors: u32,
        /// Countries by weight.
        countries: BTreeMap<String, f64>,
    },
}

/// A fault of a service's own, without any attack.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Name of the service.
    pub service: String,
    /// First second.
    pub from: u32,
    /// Second before which it is over.
    pub to: u32,
    /// Share of what is tried that fails, 0 to 1.
    pub failing: f64,
    /// Seconds in which that share grows from nothing, evenly.
    #[serde(default)]
    pub rise: u32,
}

/// Networks and countries whose people reach nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// AS numbers.
    #[serde(default)]
    pub networks: Vec<u32>,
    /// Countries.
    #[serde(default)]
    pub countries: Vec<String>,
    /// First second.
    pub from: u32,
    /// Second before which they are back.
    pub to: u32,
}

fn https() -> u16 {
    443
}

fn once() -> u32 {
    1
}

fn one() -> f64 {
    1.0
}

fn two() -> f64 {
    2.0
}

fn gap() -> u32 {
    20
}

fn evening() -> f64 {
    19.0
}

fn snaplen() -> u16 {
    SNAPLEN
}

/// What is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// The line of the value that an error is about: errors begin with its place, as in `attack 2: sources: bots: 0 is not ...`. What is
/// absent has the line of what it is absent from.
fn line(text: &str, error: &str) -> Option<usize> {
    use toml::de::{DeTable, DeValue};
    let root = DeTable::parse(text).ok()?;
    let mut start = None;
    let mut at = DeValue::Table(root.into_inner());
    for step in error.split(": ") {
        let (name, number) = match step.split_once(' ') {
            Some((name, number)) => (name, number.parse::<usize>().ok()),
            None => (step, None),
        };
        let DeValue::Table(mut table) = at else {
            break;
        };
        let Some(mut value) = table.remove(name) else {
            break;
        };
        if let (Some(number), DeValue::Array(_)) = (number, value.get_ref()) {
            let DeValue::Array(array) = value.into_inner() else {
                break;
            };
            value = array.into_iter().nth(number.checked_sub(1)?)?;
        }
        start = Some(value.span().start);
        at = value.into_inner();
    }
    let before = &text.as_bytes()[..start?.min(text.len())];
    Some(1 + before.iter().filter(|byte| **byte == b'\n').count())
}

type Checked = Result<(), Error>;

fn wrong(field: &str, what: impl std::fmt::Display) -> Checked {
    Err(Error(format!("{field}: {what}")))
}

fn within(field: &str, value: f64, least: f64, most: f64) -> Checked {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    wrong(field, format!("{value} is not from {least} to {most}"))
}

fn at_field<T>(field: &str, result: Result<T, String>) -> Result<T, Error> {
    result.map_err(|what| Error(format!("{field}: {what}")))
}

impl Scenario {
    /// Reads a scenario and checks everything in it.
    ///
    /// # Errors
    ///
    /// The line and field that is wrong, and what is allowed.
    pub fn read(text: &str, atlas: &Atlas) -> Result<Scenario, Error> {
        let scenario: Scenario =
            toml::from_str(text).map_err(|error| Error(error.to_string().trim_end().to_owned()))?;
        scenario
            .check(atlas)
            .map_err(|error| match line(text, &error.0) {
                Some(line) => Error(format!("line {line}: {error}")),
                None => error,
            })?;
        Ok(scenario)
    }

    /// Start in nanoseconds since the epoch.
    pub fn start_ns(&self) -> u64 {
        let start: Option<jiff::Timestamp> = self.start.parse().ok();
        start
            .and_then(|start| u64::try_from(start.as_nanosecond()).ok())
            .unwrap_or(0)
    }

    /// The service of a name, with its number.
    pub fn service(&self, name: &str) -> Option<(usize, &Service)> {
        self.service
            .iter()
            .enumerate()
            .find(|(_, service)| service.name == name)
    }

    /// The host or prefix that an attack aims at: of a service where it names one.
    pub(crate) fn aim(&self, target: &str) -> Result<Prefix, String> {
        match self.service(target) {
            Some((_, service)) => self::target(&service.address),
            None => self::target(target),
        }
    }

    /// Whether anything in it is IPv6.
    pub(crate) fn has_ipv6(&self) -> bool {
        let addresses = self
            .service
            .iter()
            .flat_map(|s| [Some(&s.address), s.address6.as_ref()]);
        let addresses = addresses
            .flatten()
            .chain(self.audience.iter().map(|audience| &audience.service))
            .chain(self.attack.iter().map(|attack| &attack.target));
        addresses
            .filter_map(|text| target(text).ok())
            .any(|prefix| prefix.base.to_ipv4_mapped().is_none())
    }

    fn check(&self, atlas: &Atlas) -> Checked {
        if self.start.parse::<jiff::Timestamp>().is_err() || self.start_ns() == 0 {
            return wrong(
                "start",
                format!("{:?} is no time like 2025-03-10T09:45:00Z after 1970", self.start),
            );
        }
        if self.start_ns() / 1_000_000_000 + u64::from(SECONDS_MAX) > u64::from(u32::MAX) {
            return wrong("start", "captures have no times after 2105");
        }
        if !(1..=SECONDS_MAX).contains(&self.seconds) {
            return wrong(
                "seconds",
                format!("{} is not from 1 to {SECONDS_MAX}", self.seconds),
            );
        }
        within("snaplen", f64::from(self.snaplen), 64.0, f64::from(SNAPLEN_MAX))?;
        within("path_loss", self.path_loss, 0.0, 1.0)?;
        within("database_errors", self.database_errors, 0.0, 4.0)?;
        for (name, count) in [
            ("service", self.service.len()),
            ("audience", self.audience.len()),
            ("attack", self.attack.len()),
            ("fault", self.fault.len()),
            ("cut", self.cut.len()),
        ] {
            if count > SECTIONS_MAX {
                return wrong(name, format!("{count} of them; {SECTIONS_MAX} are the most"));
            }
        }
        let mut names = BTreeSet::new();
        for (n, service) in self.service.iter().enumerate() {
            if !names.insert(&service.name) {
                return wrong(
                    &format!("service {}: name", n + 1),
                    format!("{:?} has another service already", service.name),
                );
            }
        }
        for (n, service) in self.service.iter().enumerate() {
            self.check_service(&format!("service {}", n + 1), service)?;
        }
        for (n, audience) in self.audience.iter().enumerate() {
            self.check_audience(&format!("audience {}", n + 1), audience, atlas)?;
        }
        for (n, attack) in self.attack.iter().enumerate() {
            self.check_attack(&format!("attack {}", n + 1), attack, atlas)?;
        }
        for (n, fault) in self.fault.iter().enumerate() {
            let at = format!("fault {}", n + 1);
            self.named(&format!("{at}: service"), &fault.service)?;
            self.check_times(&at, fault.from, fault.to)?;
            within(&format!("{at}: failing"), fault.failing, 0.0, 1.0)?;
        }
        for (n, cut) in self.cut.iter().enumerate() {
            let at = format!("cut {}", n + 1);
            self.check_times(&at, cut.from, cut.to)?;
            if cut.networks.is_empty() && cut.countries.is_empty() {
                return wrong(&at, "wanted are `networks` (AS numbers) or `countries`");
            }
            for code in &cut.countries {
                at_field(&format!("{at}: countries"), country(code, atlas))?;
            }
        }
        crate::exports::check(self)?;
        crate::people::check(self, atlas)?;
        crate::claims::check(self, atlas)
    }

    /// That a name is one of a service.
    fn named(&self, field: &str, name: &str) -> Checked {
        if self.service(name).is_some() {
            return Ok(());
        }
        let names: Vec<&str> = self.service.iter().map(|service| service.name.as_str()).collect();
        wrong(
            field,
            format!("{name:?} is no service; there are: {}", names.join(", ")),
        )
    }

    /// That something begins before it ends, and ends with the scenario at the latest.
    fn check_times(&self, at: &str, from: u32, to: u32) -> Checked {
        if from < to && to <= self.seconds {
            return Ok(());
        }
        wrong(
            &format!("{at}: to"),
            format!(
                "{to} is not after `from` ({from}) and within `seconds` ({})",
                self.seconds
            ),
        )
    }

    fn check_service(&self, at: &str, service: &Service) -> Checked {
        let field = |name: &str| format!("{at}: {name}");
        if service.name.is_empty() || host(&service.name).is_ok() {
            return wrong(
                &field("name"),
                format!("{:?} is no name; an address is not one either", service.name),
            );
        }
        let address = at_field(&field("address"), host(&service.address))?;
        if let Some(address6) = &service.address6 {
            let address6 = at_field(&field("address6"), host(address6))?;
            if address6.to_ipv4_mapped().is_some() || address.to_ipv4_mapped().is_none() {
                return wrong(
                    &field("address6"),
                    "wanted is an IPv6 address, beside an IPv4 one in `address`",
                );
            }
        }
        let capacity = &service.capacity;
        for (name, value) in [
            ("packets_per_second", capacity.packets_per_second),
            ("connections_per_second", capacity.connections_per_second),
            ("open_connections", capacity.open_connections),
            ("requests_per_second", capacity.requests_per_second),
        ] {
            within(
                &field(&format!("capacity: {name}")),
                value.unwrap_or(1.0),
                1e-3,
                1e12,
            )?;
        }
        for name in &service.neighbours {
            self.named(&field("neighbours"), name)?;
        }
        Ok(())
    }

    fn check_audience(&self, at: &str, audience: &Audience, atlas: &Atlas) -> Checked {
        let field = |name: &str| format!("{at}: {name}");
        if self.service(&audience.service).is_none() {
            at_field(&field("service"), host(&audience.service))
                .map_err(|error| Error(format!("{error}, nor the name of a service")))?;
        }
        within(
            &field("sessions_per_second"),
            audience.sessions_per_second,
            0.0,
            CONNECTIONS_MAX,
        )?;
        let to = audience.to.unwrap_or(self.seconds);
        if audience.from >= to {
            return wrong(
                &field("to"),
                format!("{to} is not after `from` ({})", audience.from),
            );
        }
        if u64::from(audience.rise) + u64::from(audience.fall) > u64::from(to - audience.from) {
            return wrong(
                &field("rise"),
                format!(
                    "with `fall` it is longer than from `from` to `to`, {} s",
                    to - audience.from
                ),
            );
        }
        for (name, value, most) in [
            ("ipv6", audience.ipv6, 1.0),
            ("night", audience.night, 1.0),
            ("peak_hour", audience.peak_hour, 24.0),
            ("weekend", audience.weekend, 10.0),
        ] {
            within(&field(name), value, 0.0, most)?;
        }
        if audience.ipv6 > 0.0
            && self
                .service(&audience.service)
                .is_none_or(|(_, s)| s.address6.is_none())
        {
            return wrong(&field("ipv6"), "the service has no `address6`");
        }
        if audience.addresses > SOURCES_MAX {
            return wrong(
                &field("addresses"),
                format!("{} is not from 0 to {SOURCES_MAX}", audience.addresses),
            );
        }
        match (audience.countries.is_empty(), audience.networks.is_empty()) {
            (false, false) => wrong(&field("networks"), "either `countries` or `networks`, not both"),
            (true, false) => at_field(&field("networks"), networks(&audience.networks)).map(|_| ()),
            _ => at_field(&field("countries"), countries(&audience.countries, atlas)).map(|_| ()),
        }
    }

    fn check_attack(&self, at: &str, attack: &Attack, atlas: &Atlas) -> Checked {
        let field = |name: &str| format!("{at}: {name}");
        let source = |name: &str| format!("{at}: sources: {name}");
        let target = at_field(&field("target"), self.aim(&attack.target))?;
        let is_ipv4 = target.base.to_ipv4_mapped().is_some();
        self.check_times(at, attack.from, attack.to)?;
        if attack.pulse.is_some_and(|(on, off)| on == 0 || off == 0) {
            return wrong(&field("pulse"), "both numbers must be 1 or more");
        }
        let vector = attack.vector.as_str();
        let names = |reflected: bool, visits: bool| -> Vec<&str> {
            let floods = FLOODS.iter().map(|(name, _)| *name).filter(|_| !reflected);
            let visits = VISITS.iter().copied().filter(|_| visits);
            let reflections = REFLECTIONS.iter().map(|r| r.name).filter(|_| reflected);
            floods.chain(visits).chain(reflections).collect()
        };
        let (is_reflected, is_direct) = match attack.sources {
            Sources::Reflected { .. } => (true, false),
            Sources::Direct { .. } => (false, true),
            Sources::Forged { .. } => (false, false),
        };
        let allowed = names(is_reflected, is_direct);
        if !allowed.contains(&vector) {
            return wrong(
                &field("vector"),
                format!("{vector:?} is none of {}", allowed.join(", ")),
            );
        }
        if !is_ipv4 && vectors::is_ipv4_only(vector) {
            return wrong(
                &field("vector"),
                format!("{vector:?} is not made for IPv6 targets"),
            );
        }
        if VISITS.contains(&vector) {
            within(
                &field("connections_per_second"),
                attack.connections_per_second,
                0.01,
                CONNECTIONS_MAX,
            )?;
            within(&field("requests"), f64::from(attack.requests), 1.0, 1e4)?;
            if attack.packets_per_second != 0.0 {
                return wrong(
                    &field("packets_per_second"),
                    format!("{vector} is measured by `connections_per_second`"),
                );
            }
        } else {
            within(
                &field("packets_per_second"),
                attack.packets_per_second,
                1.0,
                RATE_MAX,
            )?;
            if attack.connections_per_second != 0.0 {
                return wrong(
                    &field("connections_per_second"),
                    format!("{vector} is measured by `packets_per_second`"),
                );
            }
        }
        if vector != "http_flood" && attack.style != Style::Get {
            return wrong(&field("style"), "only an http_flood has one");
        }
        let long = f64::from(attack.to - attack.from);
        within(&field("start_spread"), attack.start_spread, 0.0, long)?;
        within(&field("stop_spread"), attack.stop_spread, 0.0, long)?;
        if attack.controllers == 0
            || u64::from(attack.controllers - 1) * u64::from(attack.controller_gap)
                >= u64::from(attack.to - attack.from)
        {
            return wrong(
                &field("controllers"),
                "wanted is 1 or more, and the last one's command (each is `controller_gap` seconds later) before `to`",
            );
        }
        let count = |name: &str, count: u32| match count {
            1..=SOURCES_MAX => Ok(()),
            _ => wrong(&source(name), format!("{count} is not from 1 to {SOURCES_MAX}")),
        };
        match &attack.sources {
            Sources::Direct {
                bots,
                botnet,
                countries: mix,
                uneven,
                devices,
                addresses,
            } => {
                count("bots", *bots)?;
                if botnet.is_some() {
                    self.check_botnet(&source("botnet"), &attack.sources)?;
                }
                within(&source("uneven"), *uneven, 0.0, 1.0)?;
                at_field(&source("countries"), countries(mix, atlas))?;
                at_field(&source("devices"), self::devices(devices))?;
                within(&source("addresses"), f64::from(*addresses), 1.0, 65_536.0)?;
                if *addresses > 1 && is_ipv4 {
                    return wrong(&source("addresses"), "bots have one IPv4 address each");
                }
            }
            Sources::Forged {
                senders,
                within: inside,
                pool,
                ..
            } => {
                count("senders", *senders)?;
                if !is_ipv4 && inside.is_none() {
                    return wrong(at, "forged IPv6 addresses need a prefix, in `sources.within`");
                }
                if let Some(inside) = inside {
                    let inside = at_field(&source("within"), self::target(inside))?;
                    if inside.base.to_ipv4_mapped().is_some() != is_ipv4 {
                        return wrong(&source("within"), "is of another family than the target");
                    }
                }
                if *pool > SOURCES_MAX {
                    return wrong(&source("pool"), format!("{pool} is not from 0 to {SOURCES_MAX}"));
                }
            }
            Sources::Reflected {
                reflectors,
                countries: mix,
            } => {
                count("reflectors", *reflectors)?;
                at_field(&source("countries"), countries(mix, atlas))?;
            }
        }
        Ok(())
    }

    /// That a botnet is the same one wherever it is named.
    fn check_botnet(&self, at: &str, sources: &Sources) -> Checked {
        let of = |sources: &Sources| match sources {
            Sources::Direct {
                botnet: Some(name),
                countries,
                devices,
                uneven,
                ..
            } => Some((name.clone(), (countries.clone(), devices.clone(), *uneven))),
            _ => None,
        };
        let Some((name, what)) = of(sources) else {
            return Ok(());
        };
        let mut named = self.attack.iter().filter_map(|attack| of(&attack.sources));
        match named.find(|(other, _)| *other == name) {
            Some((_, first)) if first != what => wrong(
                at,
                format!("{name:?} has other `countries`, `devices` or `uneven` in an attack before"),
            ),
            _ => Ok(()),
        }
    }
}

/// A host.
pub(crate) fn host(text: &str) -> Result<Ipv6Addr, String> {
    let address: Result<std::net::IpAddr, _> = text.parse();
    match address {
        Ok(std::net::IpAddr::V4(v4)) => Ok(v4.to_ipv6_mapped()),
        Ok(std::net::IpAddr::V6(v6)) => Ok(v6),
        Err(_) => Err(format!("{text:?} is no address")),
    }
}

/// A host or prefix.
pub(crate) fn target(text: &str) -> Result<Prefix, String> {
    let prefix = host(text).map(|address| Prefix::of(address, 128)).or_else(|_| {
        text.parse::<Prefix>()
            .map_err(|_| format!("{text:?} is no address or prefix"))
    })?;
    if prefix.base.to_ipv4_mapped().is_some() && prefix.len < 96 {
        return Err(format!("{text:?} holds both families"));
    }
    Ok(prefix)
}

fn weighted<K>(
    mix: &BTreeMap<String, f64>,
    of: impl Fn(&str) -> Result<K, String>,
    like: &str,
) -> Result<Vec<(K, f64)>, String> {
    if let Some((key, _)) = mix.iter().find(|(_, weight)| **weight < 0.0 || weight.is_nan()) {
        return Err(format!("{key} has a weight below 0"));
    }
    let sum: f64 = mix.values().sum();
    if mix.is_empty() || !sum.is_finite() || sum <= 0.0 {
        return Err(format!("wanted are {like}"));
    }
    mix.iter()
        .map(|(key, &weight)| Ok((of(key)?, weight / sum)))
        .collect()
}

/// A country that has addresses.
pub(crate) fn country(code: &str, atlas: &Atlas) -> Result<Country, String> {
    let country = match code.as_bytes() {
        [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Country([*a, *b]),
        _ => return Err(format!("{code:?} is no country code of two capital letters")),
    };
    if !atlas.knows_country(country) {
        return Err(format!("no address of {code} is known"));
    }
    Ok(country)
}

/// Countries with their shares of the whole.
pub(crate) fn countries(mix: &BTreeMap<String, f64>, atlas: &Atlas) -> Result<Vec<(Country, f64)>, String> {
    weighted(
        mix,
        |code| country(code, atlas),
        "countries with weights above 0, as in { US = 40, BR = 20 }",
    )
}

/// Networks with their shares of the whole.
pub(crate) fn networks(mix: &BTreeMap<String, f64>) -> Result<Vec<(u32, f64)>, String> {
    weighted(
        mix,
        |asn| asn.parse().map_err(|_| format!("{asn:?} is no AS number")),
        "AS numbers with weights above 0, as in { 14593 = 1 }",
    )
}

/// Classes of devices with their shares of the whole, as positions in the list of them.
pub(crate) fn devices(mix: &BTreeMap<String, f64>) -> Result<Vec<(u8, f64)>, String> {
    if mix.is_empty() {
        return devices(
            &DEVICES
                .iter()
                .map(|device| (device.name.to_owned(), device.usual))
                .collect(),
        );
    }
    weighted(
        mix,
        |name| {
            let at = DEVICES.iter().position(|device| device.name == name);
            at.map(|at| at as u8).ok_or_else(|| {
                let names: Vec<&str> = DEVICES.iter().map(|device| device.name).collect();
                format!("{name:?} is none of {}", names.join(", "))
            })
        },
        "classes with weights above 0, as in { camera = 3, router = 1 }",
    )
}
