//! Who uses services at which hour: learnt from traffic that is listened to, and asked when one of them is attacked.
//!
//! An audience has its hours: at four in the morning other countries are awake than at noon, and on Sundays other offices are empty. So
//! what is usual for an attack of a Tuesday noon is what came on the Tuesday noons before it (SCIENCE 5.4); where these are not known
//! yet, what came at noon, and else what came at all.
//!
//! Of each service and hour no client is kept, only how many came from where and what they sent. An hour is counted as it passes, window
//! by window; windows in which a service was attacked are left out for it. The tables have limits, and what did not fit is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use atlas::{Atlas, Country, Kind, Prefix};
use detect::{Regulars, Tally, Vector};

use crate::audience::CLIENTS_MIN;

/// Hours back that are asked and kept: four weeks.
pub const HOURS_KEPT: u64 = 4 * WEEK;
/// Services of one hour: those with the most clients.
pub const SERVICES_MAX: usize = 1_024;
/// Kinds of origin of one service and hour that keep their network.
pub const CELLS_MAX: usize = 128;
/// Cells of all hours together; the least used services are forgotten beyond.
pub const TABLE_MAX: usize = 1 << 19;
const DAY: u64 = 24;
const WEEK: u64 = 7 * DAY;
const HOUR_NS: u64 = 3_600_000_000_000;

/// What clients sent, of one candidate vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which.
    pub vector: Vector,
    /// Packets, sampling applied.
    pub packets: u64,
    /// Clients that sent such packets, each counted once.
    pub clients: u64,
    /// The same, each counted once in every window that it was seen in.
    pub seen: u64,
}

/// The clients of one country, network and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Country.
    pub country: Country,
    /// AS number; 0 where it is not known or not kept.
    pub asn: u32,
    /// Kind of network.
    pub kind: Kind,
    /// Clients, each counted once.
    pub clients: u64,
    /// What they sent, in order of the vectors.
    pub sent: Vec<Sent>,
}

impl Cell {
    fn key(&self) -> (Country, u32, Kind) {
        (self.country, self.asn, self.kind)
    }

    fn join(&mut self, other: &Cell) {
        self.clients += other.clients;
        for sent in &other.sent {
            match self.sent.binary_search_by_key(&sent.vector, |own| own.vector) {
                Ok(at) => {
                    let own = &mut self.sent[at];
                    own.packets = own.packets.saturating_add(sent.packets);
                    own.clients += sent.clients;
                    own.seen += sent.seen;
                }
                Err(at) => self.sent.insert(at, *sent),
            }
        }
    }
}

/// One service in one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// For how long it was watched, nanoseconds.
    pub watched_ns: u64,
    /// Who came, in order of country, network and kind.
    pub cells: Vec<Cell>,
}

/// The hour that is being counted.
#[derive(Clone, Debug)]
struct Now {
    hour: u64,
    watched_ns: u64,
    /// For how long whom of it was attacked.
    attacked: Vec<(Prefix, u64)>,
    regulars: Regulars,
}

/// Who used which service in the past hours.
#[derive(Clone, Debug, Default)]
pub struct Hours {
    past: BTreeMap<(Ipv6Addr, u64), Hour>,
    cells: usize,
    forgotten: u64,
    ended: u64,
    now: Option<Now>,
}

/// What hours say of an attack's targets.
pub(crate) struct Found {
    /// Who came, and what they sent, in all periods together (the attack's hours of a week, of a day, or any hour).
    pub(crate) cells: Vec<Cell>,
    /// How many periods these are.
    pub(crate) periods: u64,
    /// For how long in all.
    pub(crate) watched_ns: u64,
    /// In words.
    pub(crate) words: String,
}

impl Hours {
    /// All hours that are known, by service and hours since the Unix epoch.
    pub fn past(&self) -> impl Iterator<Item = (Ipv6Addr, u64, &Hour)> {
        self.past.iter().map(|(&(service, hour), of)| (service, hour, of))
    }

    /// Services that were forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many hours were counted to their end: another number says that there is something new.
    pub fn ended(&self) -> u64 {
        self.ended
    }

    /// Adds an hour of a service; where it is known, both are put together.
    pub fn add(&mut self, service: Ipv6Addr, hour: u64, of: Hour) {
        let known = self.past.entry((service, hour)).or_default();
        self.cells -= known.cells.len();
        known.watched_ns = known.watched_ns.saturating_add(of.watched_ns).min(HOUR_NS);
        let mut cells = std::mem::take(&mut known.cells);
        cells.extend(of.cells);
        known.cells = together(cells);
        limit(&mut known.cells);
        self.cells += known.cells.len();
        // By number and not by age: one clock that is far ahead must not make all the others old.
        let of_service = (service, 0)..=(service, u64::MAX);
        while self.past.range(of_service.clone()).count() as u64 > HOURS_KEPT {
            let Some((&key, _)) = self.past.range(of_service.clone()).next() else {
                break;
            };
            self.cells -= self.past.remove(&key).map_or(0, |hour| hour.cells.len());
        }
        if self.cells > TABLE_MAX {
            self.forget();
        }
    }

    /// Only what is known of these services, in address order.
    pub fn of(&self, services: &[Ipv6Addr]) -> Hours {
        let mut hours = Hours::default();
        for (service, hour, of) in self.past() {
            if services.binary_search(&service).is_ok() {
                hours.add(service, hour, of.clone());
            }
        }
        hours
    }

    /// Counts a window of traffic: what was `wanted` and not attacked in it.
    pub fn watch(
        &mut self,
        window: &Tally,
        (began_ns, ended_ns): (u64, u64),
        wanted: &[Prefix],
        attacked: &[Prefix],
        atlas: &Atlas,
    ) {
        let hour = began_ns / HOUR_NS;
        if self.now.as_ref().is_some_and(|now| now.hour != hour) {
            self.end_hour(atlas);
        }
        let lasted_ns = ended_ns.saturating_sub(began_ns).min(HOUR_NS);
        let inside = |prefixes: &[Prefix], host| prefixes.iter().any(|prefix| prefix.contains(host));
        let regulars = Regulars::of_services(window, |service| {
            (wanted.is_empty() || inside(wanted, service)) && !inside(attacked, service)
        });
        let now = self.now.get_or_insert_with(|| Now {
            hour,
            watched_ns: 0,
            attacked: Vec::new(),
            regulars: Regulars::default(),
        });
        now.watched_ns += lasted_ns;
        now.attacked
            .extend(attacked.iter().map(|prefix| (*prefix, lasted_ns)));
        now.regulars.join(regulars);
    }

    /// Puts the hour that is being counted to the others, also if it is not over.
    pub fn end_hour(&mut self, atlas: &Atlas) {
        let Some(now) = self.now.take() else { return };
        self.ended += 1;
        let weight = 1u64 << (now.regulars.level() + now.regulars.thinned()).min(40);
        let uses = now.regulars.uses();
        // How many clients each service had, to keep those with most.
        let mut services: Vec<(u64, &[detect::audience::Use])> = uses
            .chunk_by(|a, b| a.service == b.service)
            .map(|of| {
                let clients = of.chunk_by(|a, b| a.client == b.client).count() as u64;
                (clients * weight, of)
            })
            .filter(|(clients, _)| *clients >= CLIENTS_MIN)
            .collect();
        services.sort_by_key(|(clients, of)| (std::cmp::Reverse(*clients), of[0].service));
        services.truncate(SERVICES_MAX);
        let mut ids = Vec::new();
        for (_, of) in services {
            let service = of[0].service;
            let away = now.attacked.iter().filter(|(prefix, _)| prefix.contains(service));
            let away: u64 = away.map(|(_, lasted_ns)| lasted_ns).sum();
            let of_clients: Vec<_> = of.chunk_by(|a, b| a.client == b.client).collect();
            let addresses: Vec<_> = of_clients.iter().map(|of| of[0].client).collect();
            ids.clear();
            atlas.lookup_all(&addresses, &mut ids);
            let cells = of_clients.iter().zip(&ids).map(|(of, id)| {
                let place = atlas.place(*id);
                Cell {
                    country: place.country,
                    asn: place.asn,
                    kind: place.kind,
                    clients: weight,
                    sent: of
                        .iter()
                        .map(|of| Sent {
                            vector: of.vector,
                            packets: of.packets.saturating_mul(weight),
                            clients: weight,
                            seen: u64::from(of.seen) * weight,
                        })
                        .collect(),
                }
            });
            let cells = together(cells.collect());
            let watched_ns = now.watched_ns.saturating_sub(away);
            self.add(service, now.hour, Hour { watched_ns, cells });
        }
    }

    /// What is known of these hosts (in address order) for an attack from `start_ns` to `end_ns`: `None` where that is nobody.
    pub(crate) fn usual(&self, hosts: &[Ipv6Addr], start_ns: u64, end_ns: u64) -> Option<Found> {
        let (start, end) = (start_ns / HOUR_NS, end_ns / HOUR_NS);
        let oldest = start.saturating_sub(HOURS_KEPT);
        let known: Vec<(Ipv6Addr, u64, &Hour)> = hosts
            .iter()
            .flat_map(|host| self.past.range((*host, oldest)..(*host, start)))
            .map(|(&(host, hour), of)| (host, hour, of))
            .collect();
        let slots: BTreeSet<u64> = (start..=end.min(start + WEEK - 1)).collect();
        // An hour belongs to the nearest of the attack's: how many weeks or days, or hours, before it.
        let period = |hour: u64, length: u64| {
            let slot = slots.iter().find(|slot| (**slot - hour).is_multiple_of(length))?;
            Some((slot - hour) / length)
        };
        for (length, what) in [
            (WEEK, ["in the same hours of", "week", "weeks"]),
            (DAY, ["at the same time of", "day", "days"]),
            (1, ["in", "hour", "hours"]),
        ] {
            let mut periods = BTreeSet::new();
            let mut watched: BTreeMap<Ipv6Addr, u64> = BTreeMap::new();
            let mut cells = Vec::new();
            for (host, hour, of) in &known {
                if let Some(period) = period(*hour, length) {
                    periods.insert(period);
                    *watched.entry(*host).or_default() += of.watched_ns;
                    cells.extend(of.cells.iter().cloned());
                }
            }
            let cells = together(cells);
            let n = periods.len() as u64;
            let clients = cells.iter().map(|cell| cell.clients).sum::<u64>() / n.max(1);
            let watched_ns = watched.into_values().max().unwrap_or(0);
            if clients >= CLIENTS_MIN && watched_ns > 0 {
                let [how, one, many] = what;
                let past = if n == 1 {
                    format!("the {one} before")
                } else {
                    format!("{n} past {many}")
                };
                return Some(Found {
                    cells,
                    periods: n,
                    watched_ns,
                    words: format!("{clients} clients of the target {how} {past}"),
                });
            }
        }
        None
    }

    /// Forgets the least used services until an eighth of the table is free.
    fn forget(&mut self) {
        let mut services: BTreeMap<Ipv6Addr, u64> = BTreeMap::new();
        for (service, _, of) in self.past() {
            *services.entry(service).or_default() += of.cells.iter().map(|cell| cell.clients).sum::<u64>();
        }
        let mut services: Vec<(u64, Ipv6Addr)> = services.into_iter().map(|(s, n)| (n, s)).collect();
        services.sort_unstable();
        for (_, service) in services {
            if self.cells <= TABLE_MAX / 8 * 7 {
                return;
            }
            self.past.retain(|(of, _), hour| {
                let is_kept = *of != service;
                if !is_kept {
                    self.cells -= hour.cells.len();
                }
                is_kept
            });
            self.forgotten += 1;
        }
    }
}

/// Cells in order, one for each key.
fn together(mut cells: Vec<Cell>) -> Vec<Cell> {
    cells.sort_by_key(Cell::key);
    cells.dedup_by(|later, earlier| {
        let same = later.key() == earlier.key();
        if same {
            earlier.join(later);
        }
        same
    });
    cells
}

/// Keeps the networks of the [`CELLS_MAX`] heaviest cells; the others are put together by country and kind.
fn limit(cells: &mut Vec<Cell>) {
    if cells.len() <= CELLS_MAX {
        return;
    }
    let mut heaviest: Vec<(u64, usize)> = cells.iter().map(|cell| cell.clients).zip(0..).collect();
    heaviest.sort_by_key(|&(clients, at)| (std::cmp::Reverse(clients), at));
    for &(_, at) in &heaviest[CELLS_MAX..] {
        cells[at].asn = 0;
    }
    *cells = together(std::mem::take(cells));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Ipv6Addr {
        std::net::Ipv4Addr::from_bits(n).to_ipv6_mapped()
    }

    fn cell(country: &[u8; 2], clients: u64) -> Cell {
        Cell {
            country: Country(*country),
            asn: 0,
            kind: Kind::Access,
            clients,
            sent: vec![Sent {
                vector: Vector::SynFlood,
                packets: clients * 10,
                clients,
                seen: clients * 2,
            }],
        }
    }

    fn hour(cells: Vec<Cell>) -> Hour {
        Hour {
            watched_ns: HOUR_NS,
            cells,
        }
    }

    #[test]
    fn the_same_hours_of_the_past_weeks_are_asked_first() {
        let service = address(1);
        let mut hours = Hours::default();
        let noon = 1_000 * WEEK + 36;
        let found = |hours: &Hours, at: u64| {
            hours
                .usual(&[service], at * HOUR_NS + 5, at * HOUR_NS + 1_000)
                .map(|found| {
                    let by: Vec<_> = found
                        .cells
                        .iter()
                        .map(|c| (c.country.to_string(), c.clients))
                        .collect();
                    (found.words, by, found.periods, found.watched_ns)
                })
        };
        assert_eq!(found(&hours, noon), None);
        hours.add(service, noon - 2, hour(vec![cell(b"DE", 100)]));
        let (words, by, ..) = found(&hours, noon).unwrap();
        assert_eq!(words, "100 clients of the target in the hour before");
        assert_eq!(by, [("DE".to_owned(), 100)]);
        hours.add(service, noon - 24, hour(vec![cell(b"FR", 50)]));
        hours.add(service, noon - 72, hour(vec![cell(b"FR", 30), cell(b"AT", 20)]));
        let (words, by, ..) = found(&hours, noon).unwrap();
        assert_eq!(words, "50 clients of the target at the same time of 2 past days");
        assert_eq!(by, [("AT".to_owned(), 20), ("FR".to_owned(), 80)]);
        hours.add(service, noon - WEEK, hour(vec![cell(b"US", 40)]));
        hours.add(service, noon - 2 * WEEK, hour(vec![cell(b"US", 60)]));
        // Too long ago, and to come.
        hours.add(service, noon - 5 * WEEK, hour(vec![cell(b"CN", 9_000)]));
        hours.add(service, noon + WEEK, hour(vec![cell(b"RU", 9_000)]));
        let (words, by, periods, watched) = found(&hours, noon).unwrap();
        assert_eq!(
            words,
            "50 clients of the target in the same hours of 2 past weeks"
        );
        assert_eq!(
            (by, periods, watched),
            (vec![("US".to_owned(), 100)], 2, 2 * HOUR_NS)
        );
        // Another service has its own audience.
        assert!(
            hours
                .usual(&[address(2)], noon * HOUR_NS, noon * HOUR_NS)
                .is_none()
        );
        assert_eq!(hours.of(&[address(2)]).past().count(), 0);
        assert_eq!(hours.of(&[service]).past().count(), hours.past().count());
    }

    #[test]
    fn an_hour_that_is_told_twice_is_one() {
        let mut hours = Hours::default();
        let half = Hour {
            watched_ns: HOUR_NS / 2,
            cells: vec![cell(b"DE", 10)],
        };
        hours.add(address(1), 7, half.clone());
        hours.add(address(1), 7, half);
        let (_, _, of) = hours.past().next().unwrap();
        assert_eq!(*of, hour(vec![cell(b"DE", 20)]));
    }

    #[test]
    fn tables_have_limits() {
        let mut hours = Hours::default();
        let many = (0..1_000u32)
            .map(|asn| Cell {
                asn,
                ..cell(b"DE", u64::from(asn) + 1)
            })
            .collect();
        hours.add(address(1), 7, hour(many));
        let (_, _, of) = hours.past().next().unwrap();
        assert_eq!(of.cells.len(), CELLS_MAX + 1);
        assert_eq!(of.cells.iter().map(|cell| cell.clients).sum::<u64>(), 500_500);
        for at in 0..2 * HOURS_KEPT {
            hours.add(address(1), at, hour(vec![cell(b"DE", 1)]));
        }
        assert_eq!(hours.past().count() as u64, HOURS_KEPT);
        // Wide services until the table is full: the least used are forgotten.
        let wide = |clients| {
            let of = |asn| Cell {
                asn,
                ..cell(b"DE", clients)
            };
            hour((0..CELLS_MAX as u32).map(of).collect())
        };
        let services = (TABLE_MAX / CELLS_MAX) as u32 + 10;
        (2..services).for_each(|n| hours.add(address(n), 7, wide(u64::from(n))));
        assert!(hours.cells <= TABLE_MAX && hours.forgotten() > 0);
        assert_eq!(
            hours.cells,
            hours.past().map(|(_, _, of)| of.cells.len()).sum::<usize>()
        );
        assert!(hours.past().any(|(service, ..)| service == address(services - 1)));
        assert!(!hours.past().any(|(service, ..)| service == address(2)));
    }
}
