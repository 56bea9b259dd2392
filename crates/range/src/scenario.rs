//! What is to happen: TOML, checked before anything is generated.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use atlas::{Atlas, Country, Prefix};
use serde::Deserialize;

/// The scenarios that come with the program, by name.
pub const LIBRARY: &[(&str, &str)] = &[
    ("botnet-syn", include_str!("../scenarios/botnet-syn.toml")),
    ("botnet-udp", include_str!("../scenarios/botnet-udp.toml")),
    ("carpet", include_str!("../scenarios/carpet.toml")),
    ("flash-crowd", include_str!("../scenarios/flash-crowd.toml")),
    ("forged-one-way", include_str!("../scenarios/forged-one-way.toml")),
    ("forged-world", include_str!("../scenarios/forged-world.toml")),
    ("half-forged", include_str!("../scenarios/half-forged.toml")),
    ("march-10", include_str!("../scenarios/march-10.toml")),
    ("pulse", include_str!("../scenarios/pulse.toml")),
    ("quiet", include_str!("../scenarios/quiet.toml")),
    (
        "really-one-country",
        include_str!("../scenarios/really-one-country.toml"),
    ),
    ("reflected-dns", include_str!("../scenarios/reflected-dns.toml")),
    ("reflected-mix", include_str!("../scenarios/reflected-mix.toml")),
];

/// Longest scenario, in seconds.
pub const SECONDS_MAX: u32 = 7 * 86_400;
/// Largest rate of one attack, packets a second.
pub const RATE_MAX: f64 = 2e6;
/// Most bots or reflectors of one attack.
pub const SOURCES_MAX: u32 = 2_000_000;

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
    /// Who uses the service.
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
}

/// People who use a service: TCP connections with requests and answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// Address of the service.
    pub service: String,
    /// Its port.
    #[serde(default = "https")]
    pub port: u16,
    /// New connections a second.
    pub sessions_per_second: f64,
    /// First second.
    #[serde(default)]
    pub from: u32,
    /// Second before which they stop; the end of the scenario by default.
    pub to: Option<u32>,
    /// Countries by weight.
    pub countries: BTreeMap<String, f64>,
}

/// An attack.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attack {
    /// Name of the vector, as the case names it.
    pub vector: String,
    /// Host, or prefix of hosts that are attacked evenly.
    pub target: String,
    /// Attacked port; random for reflection where absent.
    pub port: Option<u16>,
    /// First second.
    pub from: u32,
    /// Second before which it stops.
    pub to: u32,
    /// Packets a second while it runs.
    pub packets_per_second: f64,
    /// Seconds of traffic and of pause, over and over.
    pub pulse: Option<(u32, u32)>,
    /// Who sends.
    pub sources: Sources,
}

/// Who sends an attack's packets, and what the packets say of that.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum Sources {
    /// Machines that send under their own addresses.
    Direct {
        /// How many.
        bots: u32,
        /// Countries by weight.
        countries: BTreeMap<String, f64>,
        /// How unevenly they send: 0 for evenly; at 0.9 the fastest sends ten times what the slowest does, at 0.99 a hundred times.
        #[serde(default)]
        uneven: f64,
    },
    /// Addresses drawn at random for each packet.
    Forged {
        /// Machines that really send.
        #[serde(default = "one")]
        senders: u32,
        /// Only addresses that are announced and not special, as careful tools do.
        #[serde(default)]
        avoid_bogons: bool,
        /// The TTL is drawn at random too.
        #[serde(default)]
        random_ttl: bool,
        /// Addresses of this prefix only.
        within: Option<String>,
    },
    /// Third machines that answer forged questions.
    Reflected {
        /// How many.
        reflectors: u32,
        /// Countries by weight.
        countries: BTreeMap<String, f64>,
    },
}

fn https() -> u16 {
    443
}

fn one() -> u32 {
    1
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

/// Vectors that can be generated directly or forged.
pub const FLOODS: [&str; 4] = ["syn_flood", "ack_flood", "udp_flood", "icmp_flood"];
/// Vectors that can be generated by reflection, with the port of the service.
pub const REFLECTIONS: [(&str, u16); 6] = [
    ("dns_amplification", 53),
    ("ntp_amplification", 123),
    ("ssdp_amplification", 1900),
    ("cldap_amplification", 389),
    ("memcached_amplification", 11211),
    ("chargen_amplification", 19),
];

impl Scenario {
    /// Reads a scenario and checks everything in it.
    ///
    /// # Errors
    ///
    /// The line and field that is wrong, and what is allowed.
    pub fn read(text: &str, atlas: &Atlas) -> Result<Scenario, Error> {
        let scenario: Scenario =
            toml::from_str(text).map_err(|error| Error(error.to_string().trim_end().to_owned()))?;
        scenario.check(atlas)?;
        Ok(scenario)
    }

    /// Start in nanoseconds since the epoch.
    pub fn start_ns(&self) -> u64 {
        let start: Option<jiff::Timestamp> = self.start.parse().ok();
        start
            .and_then(|start| u64::try_from(start.as_nanosecond()).ok())
            .unwrap_or(0)
    }

    fn check(&self, atlas: &Atlas) -> Result<(), Error> {
        let wrong = |field: &str, what: String| Err(Error(format!("{field}: {what}")));
        if self.start.parse::<jiff::Timestamp>().is_err() || self.start_ns() == 0 {
            return wrong(
                "start",
                format!("{:?} is no time like 2025-03-10T09:45:00Z after 1970", self.start),
            );
        }
        if self.start_ns() / 1_000_000_000 + u64::from(SECONDS_MAX) > u64::from(u32::MAX) {
            return wrong("start", "captures have no times after 2105".to_owned());
        }
        if !(1..=SECONDS_MAX).contains(&self.seconds) {
            return wrong(
                "seconds",
                format!("{} is not from 1 to {SECONDS_MAX}", self.seconds),
            );
        }
        for (n, audience) in self.audience.iter().enumerate() {
            let at = |field: &str| format!("audience {}: {field}", n + 1);
            host(&audience.service).map_err(|what| Error(format!("{}: {what}", at("service"))))?;
            if !(0.0..=1e5).contains(&audience.sessions_per_second) {
                return wrong(
                    &at("sessions_per_second"),
                    format!("{} is not from 0 to 100000", audience.sessions_per_second),
                );
            }
            if audience.from >= audience.to.unwrap_or(self.seconds) {
                return wrong(&at("to"), "is not after `from`".to_owned());
            }
            countries(&audience.countries, atlas)
                .map_err(|what| Error(format!("{}: {what}", at("countries"))))?;
        }
        for (n, attack) in self.attack.iter().enumerate() {
            let at = |field: &str| format!("attack {}: {field}", n + 1);
            target(&attack.target).map_err(|what| Error(format!("{}: {what}", at("target"))))?;
            if attack.from >= attack.to || attack.to > self.seconds {
                return wrong(
                    &at("to"),
                    format!(
                        "{} is not after `from` ({}) and within `seconds` ({})",
                        attack.to, attack.from, self.seconds
                    ),
                );
            }
            if !(attack.packets_per_second >= 1.0 && attack.packets_per_second <= RATE_MAX) {
                return wrong(
                    &at("packets_per_second"),
                    format!("{} is not from 1 to {RATE_MAX}", attack.packets_per_second),
                );
            }
            if attack.pulse.is_some_and(|(on, off)| on == 0 || off == 0) {
                return wrong(&at("pulse"), "both numbers must be 1 or more".to_owned());
            }
            let (floods, reflections) = (
                FLOODS.contains(&attack.vector.as_str()),
                reflection(&attack.vector).is_some(),
            );
            let allowed = |names: Vec<&str>| format!("{:?} is none of {}", attack.vector, names.join(", "));
            let all = || REFLECTIONS.iter().map(|(name, _)| *name).collect();
            let count = |field: &str, count: u32| match count {
                1..=SOURCES_MAX => Ok(()),
                _ => Err(Error(format!(
                    "{}: {count} is not from 1 to {SOURCES_MAX}",
                    at(field)
                ))),
            };
            match &attack.sources {
                Sources::Direct {
                    bots,
                    countries: mix,
                    uneven,
                } => {
                    if !floods {
                        return wrong(&at("vector"), allowed(FLOODS.to_vec()));
                    }
                    count("bots", *bots)?;
                    if !(0.0..=1.0).contains(uneven) {
                        return wrong(&at("uneven"), format!("{uneven} is not from 0 to 1"));
                    }
                    countries(mix, atlas).map_err(|what| Error(format!("{}: {what}", at("countries"))))?;
                }
                Sources::Forged { senders, within, .. } => {
                    if !floods {
                        return wrong(&at("vector"), allowed(FLOODS.to_vec()));
                    }
                    count("senders", *senders)?;
                    if let Some(within) = within {
                        target(within).map_err(|what| Error(format!("{}: {what}", at("within"))))?;
                    }
                }
                Sources::Reflected {
                    reflectors,
                    countries: mix,
                } => {
                    if !reflections {
                        return wrong(&at("vector"), allowed(all()));
                    }
                    count("reflectors", *reflectors)?;
                    countries(mix, atlas).map_err(|what| Error(format!("{}: {what}", at("countries"))))?;
                }
            }
        }
        crate::exports::check(self)?;
        crate::people::check(self, atlas)?;
        crate::claims::check(self, atlas)
    }
}

/// The service port of a reflection vector.
pub fn reflection(vector: &str) -> Option<u16> {
    REFLECTIONS
        .iter()
        .find(|(name, _)| *name == vector)
        .map(|(_, port)| *port)
}

/// An IPv4 host.
pub(crate) fn host(text: &str) -> Result<Ipv6Addr, String> {
    let address: Result<std::net::Ipv4Addr, _> = text.parse();
    address
        .map(|address| address.to_ipv6_mapped())
        .map_err(|_| format!("{text:?} is no IPv4 address"))
}

/// An IPv4 host or prefix.
pub(crate) fn target(text: &str) -> Result<Prefix, String> {
    let prefix = host(text).map(|address| Prefix::of(address, 128)).or_else(|_| {
        text.parse::<Prefix>()
            .map_err(|_| format!("{text:?} is no IPv4 address or prefix"))
    })?;
    if prefix.base.to_ipv4_mapped().is_none() || prefix.len < 96 {
        return Err(format!("{text:?} is not IPv4"));
    }
    Ok(prefix)
}

/// Countries with their shares of the whole.
pub(crate) fn countries(mix: &BTreeMap<String, f64>, atlas: &Atlas) -> Result<Vec<(Country, f64)>, String> {
    let sum: f64 = mix.values().sum();
    if mix.is_empty() || !sum.is_finite() || sum <= 0.0 {
        return Err("wanted are countries with weights above 0, as in { US = 40, BR = 20 }".to_owned());
    }
    mix.iter()
        .map(|(code, &weight)| {
            let country = match code.as_bytes() {
                [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Country([*a, *b]),
                _ => return Err(format!("{code:?} is no country code of two capital letters")),
            };
            if !atlas.knows_country(country) {
                return Err(format!("no address of {code} is known"));
            }
            if weight < 0.0 {
                return Err(format!("{code} has a weight below 0"));
            }
            Ok((country, weight / sum))
        })
        .collect()
}
