//! An audience: who comes when, what they ask for, and that they try again.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use atlas::Country;
use rand_pcg::Pcg64Mcg;

use crate::outage::{Load, Outcome, State};
use crate::packets::{NOBODYS, Options, Packet, Part};
use crate::requests::{CRAWLER, Head, PEOPLE, Page};
use crate::scenario::{self, Audience, Error, Habit, Scenario};
use crate::vectors::{Name, query};
use crate::visits::{Client, Connection, SECOND, Stage};
use crate::world::{Family, Who, World, below, draw, uniform, whole};

/// Visitors of one audience that are about to try again.
const RETRIES_MAX: usize = 1 << 16;
/// Times that somebody tries again.
const TRIES: u8 = 3;
/// Packets and requests of an ordinary session, towards the service.
const SESSION_PACKETS: f64 = 9.0;
const SESSION_REQUESTS: f64 = 2.5;
/// Requests of a crawler's session.
const CRAWLED: u64 = 20;

/// Somebody who comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    pub(crate) address: Ipv6Addr,
    pub(crate) country: Country,
    pub(crate) asn: u32,
    tries: u8,
}

/// An audience with what it needs.
pub(crate) struct Crowd {
    about: Audience,
    /// Number of the service, if it has one.
    pub(crate) service: Option<usize>,
    pub(crate) address: Ipv6Addr,
    address6: Option<Ipv6Addr>,
    port: u16,
    countries: Vec<(Country, f64)>,
    networks: Vec<(u32, f64)>,
    /// The addresses that they share, where they do.
    shared: Vec<Ipv6Addr>,
    retries: BTreeMap<u32, Vec<Visitor>>,
    waiting: usize,
    random: Pcg64Mcg,
}

impl Crowd {
    pub(crate) fn new(
        about: &Audience,
        scenario: &Scenario,
        world: &World<'_>,
        random: Pcg64Mcg,
    ) -> Result<Crowd, Error> {
        let (service, address, address6, port) = match scenario.service(&about.service) {
            Some((at, service)) => (
                Some(at),
                scenario::host(&service.address).map_err(Error)?,
                service
                    .address6
                    .as_deref()
                    .map(scenario::host)
                    .transpose()
                    .map_err(Error)?,
                service.port,
            ),
            None => (None, scenario::host(&about.service).map_err(Error)?, None, 443),
        };
        let mut crowd = Crowd {
            about: about.clone(),
            service,
            address,
            address6,
            port: about.port.unwrap_or(match about.habit {
                Habit::Resolver => 53,
                _ => port,
            }),
            countries: match about.countries.is_empty() {
                true => Vec::new(),
                false => scenario::countries(&about.countries, world.atlas).map_err(Error)?,
            },
            networks: match about.networks.is_empty() {
                true => Vec::new(),
                false => scenario::networks(&about.networks).map_err(Error)?,
            },
            shared: Vec::new(),
            retries: BTreeMap::new(),
            waiting: 0,
            random,
        };
        // One of each, so that what cannot be drawn is known before anything is written.
        let family = Family::of(address);
        for &(country, _) in &crowd.countries {
            world
                .address(country, Who::Anyone, family, &mut crowd.random)
                .ok_or_else(|| Error(format!("no announced address of {country} was drawn")))?;
        }
        for &(asn, _) in &crowd.networks {
            world
                .address_of(asn, family, &mut crowd.random)
                .ok_or_else(|| Error(format!("no announced address of AS{asn} was drawn")))?;
        }
        for _ in 0..about.addresses {
            if let Some(address) = crowd.someone(world) {
                crowd.shared.push(address);
            }
        }
        Ok(crowd)
    }

    fn someone(&mut self, world: &World<'_>) -> Option<Ipv6Addr> {
        let random = &mut self.random;
        let by_v6 = self.about.ipv6 > 0.0 && uniform(random) < self.about.ipv6;
        let family = match by_v6 && self.address6.is_some() {
            true => Family::V6,
            false => Family::of(self.address),
        };
        let who = match self.about.habit {
            Habit::People => Who::Home,
            Habit::Crawler => Who::Server,
            Habit::Resolver => Who::Anyone,
        };
        let drawn = match self.countries.is_empty() {
            true => world.address_of(draw(&self.networks, random), family, random),
            false => world.address(draw(&self.countries, random), who, family, random),
        };
        // Not every network has both families.
        drawn.or_else(|| match self.countries.is_empty() {
            true => world.address_of(draw(&self.networks, random), Family::of(self.address), random),
            false => world.address(
                draw(&self.countries, random),
                who,
                Family::of(self.address),
                random,
            ),
        })
    }

    /// New sessions a second.
    pub(crate) fn rate(&self, second: u32, begin: u64, seconds: u32) -> f64 {
        let about = &self.about;
        let to = about.to.unwrap_or(seconds);
        if !(about.from..to).contains(&second) {
            return 0.0;
        }
        let ramp = |at: u32, long: u32| {
            let part = (f64::from(at + 1) / f64::from(long.max(1))).min(1.0);
            if long == 0 { 1.0 } else { part * part }
        };
        let mut rate = about.sessions_per_second;
        rate *= ramp(second - about.from, about.rise) * ramp(to - 1 - second, about.fall);
        if about.night > 0.0 {
            let hour = (begin / SECOND % 86_400) as f64 / 3_600.0;
            let apart = (hour - about.peak_hour).abs();
            let part = apart.min(24.0 - apart).clamp(0.0, 12.0) / 12.0;
            rate *= 1.0 - about.night * part * part * (3.0 - 2.0 * part);
        }
        // 1 January 1970 was a Thursday.
        if matches!((begin / SECOND / 86_400 + 4) % 7, 0 | 6) {
            rate *= about.weekend;
        }
        rate
    }

    /// Who comes in a second, for the first time or again.
    pub(crate) fn arrivals(
        &mut self,
        second: u32,
        begin: u64,
        seconds: u32,
        world: &World<'_>,
    ) -> Vec<Visitor> {
        let count = whole(self.rate(second, begin, seconds), &mut self.random);
        let mut visitors = self.retries.remove(&second).unwrap_or_default();
        self.waiting -= visitors.len();
        for _ in 0..count {
            let address = match self.shared.len() as u64 {
                0 => self.someone(world),
                shared => Some(self.shared[below(&mut self.random, shared) as usize]),
            };
            let Some(address) = address else {
                continue;
            };
            let id = world.place(address);
            visitors.push(Visitor {
                address,
                country: world.really_in(id),
                asn: world.atlas.place(id).asn,
                tries: 0,
            });
        }
        visitors
    }

    /// What so many visitors ask of the service.
    pub(crate) fn load(&self, visitors: usize) -> Load {
        let (packets, requests) = match self.about.habit {
            Habit::People => (SESSION_PACKETS, SESSION_REQUESTS),
            Habit::Crawler => (4.0 + 2.0 * CRAWLED as f64, CRAWLED as f64),
            Habit::Resolver => (1.0, 1.0),
        };
        let visitors = visitors as f64;
        Load {
            packets: visitors * packets,
            connections: if self.about.habit == Habit::Resolver {
                0.0
            } else {
                visitors
            },
            // A session lasts a few seconds.
            open: visitors * 2.0,
            requests: visitors * requests,
        }
    }

    /// Share of this audience that is cut off.
    pub(crate) fn cut_share(&self, networks: &[u32], countries: &[Country], world: &World<'_>) -> f64 {
        let by_network = self.networks.iter().filter(|(asn, _)| networks.contains(asn));
        let by_country = self.countries.iter().map(|(country, share)| {
            let part = match countries.contains(country) {
                true => 1.0,
                false => world.share_of(*country, networks),
            };
            share * part
        });
        by_network.map(|(_, share)| share).sum::<f64>() + by_country.sum::<f64>()
    }

    /// One visit; whether it failed. Who fails tries again.
    pub(crate) fn visit(
        &mut self,
        visitor: Visitor,
        second: u32,
        state: &State,
        world: &World<'_>,
        stage: &mut Stage,
    ) -> bool {
        let random = &mut self.random;
        let outcome = state.outcome(random);
        let hops = world.hops(visitor.address);
        // Two thirds are phones and Unixes, the others Windows. Crawlers run on servers.
        let is_unix = self.about.habit != Habit::People || below(random, 3) < 2;
        let client = Client {
            address: visitor.address,
            ttl: if is_unix { 64 } else { 128 } - hops,
            options: if is_unix { Options::Unix } else { Options::Windows },
            window: 64_240,
            round_trip_ns: 2_000_000 * u64::from(hops) + below(random, 60_000_000),
            attack: NOBODYS,
            machine: 0,
        };
        let server = match Family::of(visitor.address) {
            Family::V6 => self.address6.unwrap_or(self.address),
            Family::V4 => self.address,
        };
        let time_ns = stage.begin + below(random, SECOND);
        match self.about.habit {
            Habit::Resolver => {
                let ports = (1_024 + below(random, 64_000) as u16, self.port);
                let name = Name::Known(below(random, 40) as u8);
                let mut packet = Packet {
                    time_ns,
                    src: visitor.address,
                    dst: server,
                    ttl: client.ttl,
                    id: below(random, 65_536) as u16,
                    part: Part::Whole,
                    attack: NOBODYS,
                    machine: 0,
                    what: query(ports, name, false),
                };
                stage.up(packet);
                if outcome == Outcome::Served {
                    packet.time_ns += 300_000;
                    (packet.src, packet.dst, packet.ttl) = (server, visitor.address, 64);
                    packet.what = query((ports.1, ports.0), name, true);
                    stage.down(packet);
                }
            }
            habit => {
                let mut connection = Connection::new(client, server, self.port, time_ns, random);
                if connection.open(stage, outcome) {
                    let is_crawler = habit == Habit::Crawler;
                    let agent = if is_crawler {
                        CRAWLER
                    } else {
                        below(random, u64::from(PEOPLE)) as u8
                    };
                    let count = if is_crawler {
                        CRAWLED / 2 + below(random, CRAWLED)
                    } else {
                        1 + below(random, 4)
                    };
                    for request in 0..count {
                        let page = match (is_crawler, request) {
                            (true, 0) => Page::Robots,
                            (true, _) => Page::Article(below(random, 60_000) as u16),
                            (false, 0) if below(random, 2) == 0 => Page::Home,
                            (false, 0) => Page::Article(below(random, 300) as u16),
                            (false, _) => Page::Asset(below(random, 40) as u16),
                        };
                        let head = Head {
                            page,
                            agent,
                            refers: !is_crawler && request > 0,
                        };
                        connection.ask(stage, head, self.about.plain, outcome, random);
                        // People's browsers hurry or wait; a crawler keeps its pace.
                        connection.time_ns += if is_crawler {
                            900_000_000 + below(random, 200_000_000)
                        } else {
                            below(random, 700_000_000)
                        };
                        if outcome == Outcome::Sorry {
                            break;
                        }
                    }
                    connection.close(stage);
                }
            }
        }
        let has_failed = outcome != Outcome::Served;
        if has_failed && visitor.tries < TRIES && self.waiting < RETRIES_MAX {
            self.waiting += 1;
            let again = second + 2 + below(random, 8) as u32;
            self.retries.entry(again).or_default().push(Visitor {
                tries: visitor.tries + 1,
                ..visitor
            });
        }
        has_failed
    }
}
