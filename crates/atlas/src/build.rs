//! From tables of ranges to an atlas.
//!
//! Rows may overlap and come in any order; where two say something of the same field of the same address, the later row
//! wins. Special-purpose space (the IANA registries) wins over everything, for nobody can be there.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use crate::file::{Parts, Stored};
use crate::place::{Country, Kind, Prefix};

/// Special-purpose address space, as data.
const SPECIAL: &str = include_str!("../data/special.tsv");
/// Kinds of networks, as data.
const KINDS: &str = include_str!("../data/kinds.tsv");

/// What a source says of a range of addresses (IPv4 as IPv4-mapped); absent fields leave what others said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// First address.
    pub first: Ipv6Addr,
    /// Last address.
    pub last: Ipv6Addr,
    /// Country.
    pub country: Option<Country>,
    /// AS number and name; says that the range is announced.
    pub network: Option<(u32, String)>,
    /// Kind.
    pub kind: Option<Kind>,
}

/// A row of the table of kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindRow {
    /// AS number, where the row is for a whole network.
    pub asn: Option<u32>,
    /// Prefix, where it is for a prefix.
    pub prefix: Option<Prefix>,
    /// Kind.
    pub kind: Kind,
    /// Name of the network as the source database has it.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The curated table of kinds.
pub fn kinds() -> Vec<KindRow> {
    table(KINDS)
        .filter_map(|fields| {
            let [key, kind, name, reason] = fields[..] else {
                return None;
            };
            Some(KindRow {
                asn: key.strip_prefix("AS").and_then(|n| n.parse().ok()),
                prefix: key.parse().ok(),
                kind: Kind::from_name(kind)?,
                name: name.to_owned(),
                reason: reason.to_owned(),
            })
        })
        .collect()
}

/// Special-purpose space: prefix and name.
pub fn special() -> Vec<(Prefix, String)> {
    table(SPECIAL)
        .filter_map(|fields| {
            let [prefix, name, document] = fields[..] else {
                return None;
            };
            Some((prefix.parse().ok()?, format!("{name} ({document})")))
        })
        .collect()
}

fn table(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split('\t').collect())
}

/// An atlas in the making.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// Day of the newest source, `YYYY-MM-DD`.
    pub built: String,
    /// Attribution lines that the sources ask for.
    pub attribution: Vec<String>,
    /// What the sources say, the strongest last.
    pub rows: Vec<Row>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Country,
    Network,
    Kind,
    Special,
}

impl Build {
    /// Builds the parts of an atlas file.
    ///
    /// A sweep over the sorted ends of all ranges: between two neighbouring ends nothing changes, so each such piece gets the
    /// strongest value that covers it, field by field; equal neighbours are joined where they are of one row.
    pub fn parts(&self) -> Parts {
        let mut names: BTreeMap<String, u32> = BTreeMap::from([(String::new(), 0)]);
        let kind_rows = kinds();
        let kind_of_asn: BTreeMap<u32, Kind> = kind_rows
            .iter()
            .filter_map(|row| Some((row.asn?, row.kind)))
            .collect();
        let mut spans: Vec<(u128, u128, Field, usize)> = Vec::new();
        for (rank, row) in self.rows.iter().enumerate() {
            let (first, last) = (row.first.to_bits(), row.last.to_bits());
            if first > last {
                continue;
            }
            let fields = [
                (row.country.is_some(), Field::Country),
                (row.network.is_some(), Field::Network),
                (row.kind.is_some(), Field::Kind),
            ];
            spans.extend(
                fields
                    .iter()
                    .filter(|(some, _)| *some)
                    .map(|(_, field)| (first, last, *field, rank)),
            );
        }
        let special = special();
        for (rank, (prefix, _)) in special.iter().enumerate() {
            // `::/3` holds the mapped form of IPv4, which has rows of its own.
            spans.push((
                prefix.base.to_bits(),
                prefix.last().to_bits(),
                Field::Special,
                rank,
            ));
        }
        let base = self.rows.len();
        let by_prefix: Vec<&KindRow> = kind_rows.iter().filter(|row| row.prefix.is_some()).collect();
        for (i, row) in by_prefix.iter().enumerate() {
            if let Some(prefix) = row.prefix {
                spans.push((
                    prefix.base.to_bits(),
                    prefix.last().to_bits(),
                    Field::Kind,
                    base + i,
                ));
            }
        }

        let mut places: BTreeMap<Stored, u32> = BTreeMap::new();
        let mut of_family = |from: u128, to: u128, mapped: bool| -> Vec<(u128, u32)> {
            let mut events: Vec<(u128, bool, usize)> = Vec::new();
            for (i, (first, last, ..)) in spans.iter().enumerate() {
                let inside = *first >= from && *last <= to;
                // The mapped form of IPv4 lies inside the numbers of IPv6, and is not part of it.
                if !inside || mapped != is_mapped(*first) {
                    continue;
                }
                events.push((*first, true, i));
                if *last < to {
                    events.push((*last + 1, false, i));
                }
            }
            events.sort_unstable();
            let ranks: Vec<usize> = spans.iter().map(|span| span.3).collect();
            let mut by_rank: [BTreeMap<usize, usize>; 4] = Default::default();
            let mut rows: Vec<(u128, u32)> = Vec::new();
            let mut last_key = None;
            let mut i = 0;
            let mut at = from;
            loop {
                while i < events.len() && events[i].0 == at {
                    let (_, begins, span) = events[i];
                    let field = spans[span].2 as usize;
                    if begins {
                        by_rank[field].insert(ranks[span], span);
                    } else {
                        by_rank[field].remove(&ranks[span]);
                    }
                    i += 1;
                }
                let top = |field: Field| by_rank[field as usize].last_key_value().map(|(rank, _)| *rank);
                let (country, network, kind, reserved) = (
                    top(Field::Country),
                    top(Field::Network),
                    top(Field::Kind),
                    top(Field::Special),
                );
                let mut name_index = |name: &str| {
                    let next = names.len() as u32;
                    *names.entry(name.to_owned()).or_insert(next)
                };
                let stored = match reserved {
                    Some(rank) => Stored {
                        country: Country::UNKNOWN,
                        kind: Kind::Reserved,
                        routed: false,
                        asn: 0,
                        name: name_index(&special[rank].1),
                    },
                    None => {
                        let network_row = network.and_then(|rank| self.rows[rank].network.as_ref());
                        let asn = network_row.map_or(0, |(asn, _)| *asn);
                        let said = kind.and_then(|rank| match rank.checked_sub(base) {
                            Some(i) => by_prefix.get(i).map(|row| row.kind),
                            None => self.rows[rank].kind,
                        });
                        Stored {
                            country: country
                                .and_then(|rank| self.rows[rank].country)
                                .unwrap_or(Country::UNKNOWN),
                            kind: said
                                .or_else(|| kind_of_asn.get(&asn).copied())
                                .unwrap_or(Kind::Unknown),
                            routed: asn != 0,
                            asn,
                            name: network_row.map_or(0, |(_, name)| name_index(name)),
                        }
                    }
                };
                // Neighbours are joined only inside one row of the network table, so that prefixes stay those announced.
                let key = (stored, network, reserved);
                if last_key != Some(key) {
                    let next = places.len() as u32;
                    let place = *places.entry(stored).or_insert(next);
                    rows.push((at, place));
                    last_key = Some(key);
                }
                match events.get(i) {
                    Some((next, ..)) => at = *next,
                    None => break,
                }
            }
            rows
        };
        const MAPPED: u128 = 0xffff_0000_0000;
        let ipv4 = of_family(MAPPED, MAPPED | 0xffff_ffff, true);
        let ipv6 = of_family(0, u128::MAX, false);
        let mut name_list = vec![String::new(); names.len()];
        for (name, index) in names {
            name_list[index as usize] = name;
        }
        let mut place_list: Vec<(u32, Stored)> = places
            .into_iter()
            .map(|(stored, index)| (index, stored))
            .collect();
        place_list.sort_unstable();
        Parts {
            built: self.built.clone(),
            attribution: self.attribution.clone(),
            names: name_list,
            places: place_list.into_iter().map(|(_, stored)| stored).collect(),
            ipv4: ipv4
                .into_iter()
                .map(|(start, place)| ((start - MAPPED) as u32, place))
                .collect(),
            ipv6,
            space: Vec::new(),
        }
    }
}

fn is_mapped(bits: u128) -> bool {
    bits >> 32 == 0xffff
}
