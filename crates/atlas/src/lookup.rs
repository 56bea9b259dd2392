//! The structure that answers: sorted starts, and a table of the first 18 bits that says where to look.
//!
//! A range that is no CIDR block is cut into CIDR blocks when the atlas is loaded, so that a block's start and length give
//! the prefix and the number of the block is the [`PlaceId`].

use std::net::Ipv6Addr;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use crate::file::{About, Error, Parts, Space, Stored};
use crate::place::{Country, Kind, Place, PlaceId, Prefix};

/// The snapshot inside the binary.
static EMBEDDED: &[u8] = include_bytes!("../data/atlas.bin");

/// Bits of the first-level table.
const TOP_BITS: u32 = 18;
const TOP: usize = 1 << TOP_BITS;

/// Prefixes with a kind of the user's own, at most.
pub const OWN_KINDS_MAX: usize = 1_000_000;

/// An address database, immutable once loaded.
#[derive(Debug)]
pub struct Atlas {
    parts: Parts,
    file: std::borrow::Cow<'static, [u8]>,
    about: OnceLock<About>,
    /// AS numbers in order, and the indices of their names.
    named: OnceLock<Vec<(u32, u32)>>,
    space: OnceLock<Vec<Space>>,
    ipv4: Table<u32>,
    ipv6: Table<u128>,
    unusable: f64,
}

/// Blocks of one address family.
#[derive(Debug)]
struct Table<A> {
    starts: Vec<A>,
    /// Index into the places.
    places: Vec<u32>,
    /// Bits that the block fixes.
    lens: Vec<u8>,
    /// For each value of the top bits: the block that holds the first address with it.
    top: Vec<u32>,
}

/// Blocks that a table has room for before it must move: pages that are never written cost nothing.
const ROOM: usize = 1 << 20;

impl<A> Table<A> {
    fn new() -> Table<A> {
        Table {
            starts: Vec::with_capacity(ROOM),
            places: Vec::with_capacity(ROOM),
            lens: Vec::with_capacity(ROOM),
            top: Vec::new(),
        }
    }
}

impl Table<u32> {
    /// Adds a row as CIDR blocks, in order.
    fn add(&mut self, first: u32, last: u32, place: u32) {
        let end = u64::from(last) + 1;
        let mut at = u64::from(first);
        while at < end {
            let bits = at.trailing_zeros().min(32).min((end - at).ilog2());
            self.starts.push(at as u32);
            self.places.push(place);
            self.lens.push((32 - bits) as u8);
            at += 1 << bits;
        }
    }

    #[inline]
    fn find(&self, address: u32) -> u32 {
        let top = (address >> (32 - TOP_BITS)) as usize;
        search(&self.starts, self.top[top], self.top[top + 1], address)
    }
}

/// IPv6 blocks are told apart by the bits behind the first three: all global unicast space begins with 001.
#[inline]
fn ipv6_top(address: u128) -> usize {
    ((address << 3) >> (128 - TOP_BITS)) as usize
}

impl Table<u128> {
    /// Adds a row as CIDR blocks, in order.
    fn add(&mut self, first: u128, last: u128, place: u32) {
        let mut at = first;
        loop {
            // The largest block that begins here and fits: 2^bits <= what is left.
            let fits = (last - at).checked_add(1).map_or(128, |n| n.ilog2());
            let bits = at.trailing_zeros().min(fits);
            self.starts.push(at);
            self.places.push(place);
            self.lens.push((128 - bits) as u8);
            let Some(next) = 1u128.checked_shl(bits).and_then(|size| at.checked_add(size)) else {
                return;
            };
            if next > last {
                return;
            }
            at = next;
        }
    }

    #[inline]
    fn find(&self, address: u128) -> u32 {
        if address >> 125 != 1 {
            return search(&self.starts, 0, self.starts.len() as u32 - 1, address);
        }
        let top = ipv6_top(address);
        search(&self.starts, self.top[top], self.top[top + 1], address)
    }
}

/// The last of `starts[low..=high]` that is not above the address; `starts[low]` is known not to be. The halving has no branch
/// on the comparison, so mispredictions do not add up.
#[inline]
fn search<A: Ord + Copy>(starts: &[A], low: u32, high: u32, address: A) -> u32 {
    let mut base = low as usize;
    let mut size = high as usize - base + 1;
    while size > 1 {
        let half = size / 2;
        base = if starts[base + half] <= address {
            base + half
        } else {
            base
        };
        size -= half;
    }
    base as u32
}

impl Atlas {
    /// The snapshot inside the binary.
    ///
    /// # Panics
    ///
    /// Never: a test reads the same bytes.
    pub fn embedded() -> Atlas {
        Atlas::load(std::borrow::Cow::Borrowed(EMBEDDED)).expect("the snapshot inside the binary is sound")
    }

    /// An atlas from the bytes of a file.
    pub fn from_bytes(file: Vec<u8>) -> Result<Atlas, Error> {
        Atlas::load(std::borrow::Cow::Owned(file))
    }

    fn load(file: std::borrow::Cow<'static, [u8]>) -> Result<Atlas, Error> {
        let (mut ipv4, mut ipv6) = (Table::<u32>::new(), Table::<u128>::new());
        let parts = Parts::read_rows(
            &file,
            &mut |first, last, place| ipv4.add(first, last, place),
            &mut |first, last, place| ipv6.add(first, last, place),
        )?;
        Ok(Atlas::of_tables(parts, file, ipv4, ipv6))
    }

    fn of_parts(parts: Parts, file: std::borrow::Cow<'static, [u8]>) -> Atlas {
        let (mut ipv4, mut ipv6) = (Table::<u32>::new(), Table::<u128>::new());
        for (i, &(start, place)) in parts.ipv4.iter().enumerate() {
            ipv4.add(
                start,
                parts.ipv4.get(i + 1).map_or(u32::MAX, |row| row.0 - 1),
                place,
            );
        }
        for (i, &(start, place)) in parts.ipv6.iter().enumerate() {
            ipv6.add(
                start,
                parts.ipv6.get(i + 1).map_or(u128::MAX, |row| row.0 - 1),
                place,
            );
        }
        Atlas::of_tables(parts, file, ipv4, ipv6)
    }

    fn of_tables(
        parts: Parts,
        file: std::borrow::Cow<'static, [u8]>,
        mut ipv4: Table<u32>,
        mut ipv6: Table<u128>,
    ) -> Atlas {
        ipv4.top = tops(&ipv4.starts, |top| (top as u32) << (32 - TOP_BITS));
        ipv6.top = tops(&ipv6.starts, |top| 1 << 125 | (top as u128) << (125 - TOP_BITS));
        // The last bucket of global unicast ends where that space ends.
        let end = ipv6.starts.partition_point(|start| *start < 2 << 125) as u32;
        ipv6.top[TOP] = end.saturating_sub(1);
        let mut unusable = 0u64;
        for i in 0..ipv4.starts.len() {
            if !parts.places[ipv4.places[i] as usize].routed {
                unusable += 1 << (32 - ipv4.lens[i]);
            }
        }
        Atlas {
            parts,
            file,
            about: OnceLock::new(),
            named: OnceLock::new(),
            space: OnceLock::new(),
            ipv4,
            ipv6,
            unusable: unusable as f64 / 2f64.powi(32),
        }
    }

    /// Adds the user's own prefixes with kinds; where two overlap, the longer prefix wins. Rows are split at the prefixes' ends, so
    /// that lookups need not know of it.
    pub fn with_kinds(self, own: &[(Prefix, Kind)]) -> Atlas {
        // The rows were not kept; the file is sound, for it was read before.
        let mut parts = Parts::read(&self.file).unwrap_or(self.parts);
        let mut own: Vec<(Prefix, Kind)> = own.iter().copied().take(OWN_KINDS_MAX).collect();
        own.sort_by_key(|(prefix, _)| (prefix.base, prefix.len));
        let steps = steps(&own);
        let mut places: std::collections::BTreeMap<Stored, u32> = parts
            .places
            .iter()
            .enumerate()
            .map(|(i, stored)| (*stored, i as u32))
            .collect();
        const MAPPED: u128 = 0xffff_0000_0000;
        let ipv4: Vec<(u128, u32)> = parts
            .ipv4
            .iter()
            .map(|row| (u128::from(row.0) | MAPPED, row.1))
            .collect();
        let ipv4 = overlay(
            &ipv4,
            &steps,
            MAPPED | 0xffff_ffff,
            &mut parts.places,
            &mut places,
        );
        parts.ipv4 = ipv4
            .into_iter()
            .map(|(start, place)| (start as u32, place))
            .collect();
        let ipv6 = std::mem::take(&mut parts.ipv6);
        parts.ipv6 = overlay(&ipv6, &steps, u128::MAX, &mut parts.places, &mut places);
        Atlas::of_parts(parts, self.file)
    }

    /// The bytes of the file that it was read from. [`Atlas::with_kinds`] does not change them.
    pub fn file(&self) -> &[u8] {
        &self.file
    }

    /// The parts of an atlas that says of other addresses what this one says of their own: each block goes where `moved` puts it, which
    /// must permute the addresses of each family and keep prefixes together. Of a block that `named` does not want, only whether it is
    /// announced is kept, or that it is special-purpose; its neighbours of that kind are joined with it. How much space each country has
    /// in all goes along: shares of places rest on it.
    pub fn moved(&self, moved: &mut dyn FnMut(Prefix) -> Prefix, named: &dyn Fn(PlaceId) -> bool) -> Parts {
        let mut parts = Parts {
            built: self.parts.built.clone(),
            attribution: self.parts.attribution.clone(),
            names: vec![String::new()],
            space: self.space().to_vec(),
            ..Parts::default()
        };
        let mut names: std::collections::BTreeMap<u32, u32> = std::collections::BTreeMap::new();
        let mut places: std::collections::BTreeMap<Stored, u32> = std::collections::BTreeMap::new();
        let blocks = self.ipv4.starts.len() + self.ipv6.starts.len();
        // New start, place, and whether it stays a row of its own.
        let mut rows: [Vec<(u128, u32, bool)>; 2] = [Vec::new(), Vec::new()];
        for block in 0..blocks {
            let id = PlaceId(block as u32);
            let prefix = self.place(id).prefix;
            let of_ipv4 = block < self.ipv4.starts.len();
            let stored = match block.checked_sub(self.ipv4.starts.len()) {
                None => self.ipv4.places[block],
                Some(index) => self.ipv6.places[index],
            };
            let mut stored = self.parts.places[stored as usize];
            let own = named(id) && stored.kind != Kind::Reserved;
            if own || stored.kind == Kind::Reserved {
                let name = &self.parts.names[stored.name as usize];
                stored.name = *names.entry(stored.name).or_insert_with(|| {
                    parts.names.push(name.clone());
                    parts.names.len() as u32 - 1
                });
            } else {
                stored = Stored {
                    country: Country::UNKNOWN,
                    kind: Kind::Unknown,
                    asn: 0,
                    name: 0,
                    ..stored
                };
            }
            let place = *places.entry(stored).or_insert_with(|| {
                parts.places.push(stored);
                parts.places.len() as u32 - 1
            });
            let start = moved(prefix).base.to_bits();
            rows[usize::from(!of_ipv4)].push((start, place, own));
        }
        for rows in &mut rows {
            rows.sort_unstable();
            rows.dedup_by(|next, kept| kept.1 == next.1 && !kept.2 && !next.2);
        }
        let [ipv4, ipv6] = rows;
        parts.ipv4 = ipv4
            .into_iter()
            .map(|(start, place, _)| (start as u32, place))
            .collect();
        parts.ipv6 = ipv6.into_iter().map(|(start, place, _)| (start, place)).collect();
        parts
    }

    /// What it is made of. The digest is computed when first asked for.
    pub fn about(&self) -> &About {
        self.about.get_or_init(|| About {
            built: self.parts.built.clone(),
            sha256: Sha256::digest(&self.file)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            attribution: self.parts.attribution.clone(),
            bytes: self.file.len() as u64,
            ranges: [self.ipv4.starts.len() as u64, self.ipv6.starts.len() as u64],
            networks: self.parts.names.len() as u64,
        })
    }

    /// Looks up many addresses (IPv4 as IPv4-mapped), one id each, appended to `out`. The hot path: each lookup is two
    /// dependent reads or little more, and those of neighbouring addresses overlap.
    pub fn lookup_all(&self, addresses: &[Ipv6Addr], out: &mut Vec<PlaceId>) {
        out.extend(addresses.iter().map(|address| PlaceId(self.block(*address))));
    }

    #[inline]
    fn block(&self, address: Ipv6Addr) -> u32 {
        let bits = address.to_bits();
        if bits >> 32 == 0xffff {
            self.ipv4.find(bits as u32)
        } else {
            self.ipv4.starts.len() as u32 + self.ipv6.find(bits)
        }
    }

    /// The place of an id that this atlas gave.
    ///
    /// # Panics
    ///
    /// For an id that this atlas never gave.
    pub fn place(&self, id: PlaceId) -> Place<'_> {
        let index = id.0 as usize;
        let (place, prefix) = match index.checked_sub(self.ipv4.starts.len()) {
            None => {
                let base = std::net::Ipv4Addr::from_bits(self.ipv4.starts[index]).to_ipv6_mapped();
                (
                    self.ipv4.places[index],
                    Prefix {
                        base,
                        len: 96 + self.ipv4.lens[index],
                    },
                )
            }
            Some(index) => {
                let base = Ipv6Addr::from_bits(self.ipv6.starts[index]);
                (
                    self.ipv6.places[index],
                    Prefix {
                        base,
                        len: self.ipv6.lens[index],
                    },
                )
            }
        };
        let Stored {
            country,
            kind,
            routed,
            asn,
            name,
        } = self.parts.places[place as usize];
        Place {
            country,
            asn,
            network: &self.parts.names[name as usize],
            prefix,
            kind,
            routed,
        }
    }

    /// One address.
    pub fn lookup(&self, address: Ipv6Addr) -> Place<'_> {
        self.place(PlaceId(self.block(address)))
    }

    /// The name of a network by its AS number; `None` where none is known. The table is made when it is first asked.
    pub fn network(&self, asn: u32) -> Option<&str> {
        let named = self.named.get_or_init(|| {
            let mut named: Vec<(u32, u32)> = self
                .parts
                .places
                .iter()
                .filter(|place| place.asn != 0 && !self.parts.names[place.name as usize].is_empty())
                .map(|place| (place.asn, place.name))
                .collect();
            named.sort_unstable();
            named.dedup_by_key(|row| row.0);
            named
        });
        let at = named.binary_search_by_key(&asn, |row| row.0).ok()?;
        Some(&self.parts.names[named[at].1 as usize])
    }

    /// Share of all 2^32 IPv4 addresses that are special-purpose or announced by nobody: what a uniform draw would hit.
    pub fn ipv4_unusable_share(&self) -> f64 {
        self.unusable
    }

    /// How much announced space each country's label is on, by country. Counted when first asked for.
    pub fn space(&self) -> &[Space] {
        self.space.get_or_init(|| {
            if !self.parts.space.is_empty() {
                return self.parts.space.clone();
            }
            let mut all: std::collections::BTreeMap<Country, Space> = std::collections::BTreeMap::new();
            let mut add = |place: u32, ipv4: u64, ipv6: u64| {
                let place = &self.parts.places[place as usize];
                if place.routed {
                    let space = all.entry(place.country).or_insert(Space {
                        country: place.country,
                        ipv4: 0,
                        ipv6: 0,
                        ipv6_blocks: 0,
                    });
                    space.ipv4 += ipv4;
                    space.ipv6 = space.ipv6.saturating_add(ipv6);
                    space.ipv6_blocks += u64::from(ipv6 > 0);
                }
            };
            for (place, len) in self.ipv4.places.iter().zip(&self.ipv4.lens) {
                add(*place, 1 << (32 - len), 0);
            }
            for (place, len) in self.ipv6.places.iter().zip(&self.ipv6.lens) {
                add(*place, 0, 1 << 48u8.saturating_sub(*len));
            }
            all.into_values().collect()
        })
    }

    /// Names of networks by AS number, of those of the numbers that this atlas knows.
    pub fn networks(&self, numbers: &[u32]) -> std::collections::BTreeMap<u32, &str> {
        let named = |asn: &u32| Some((*asn, self.network(*asn)?));
        numbers.iter().filter_map(named).collect()
    }

    /// Whether any country is known to this atlas by this code.
    pub fn knows_country(&self, country: Country) -> bool {
        self.parts.places.iter().any(|place| place.country == country)
    }
}

/// Prefixes as steps: from each address on, which kind holds (`None`: none). Prefixes nest or are apart, so a stack does it.
fn steps(own: &[(Prefix, Kind)]) -> Vec<(u128, Option<Kind>)> {
    let mut steps: Vec<(u128, Option<Kind>)> = Vec::new();
    let mut open: Vec<(u128, Kind)> = Vec::new(); // last address, kind
    let close =
        |steps: &mut Vec<(u128, Option<Kind>)>, open: &mut Vec<(u128, Kind)>, before: Option<u128>| {
            while let Some(&(last, _)) = open.last()
                && before.is_none_or(|before| last < before)
            {
                open.pop();
                if let Some(next) = last.checked_add(1) {
                    steps.push((next, open.last().map(|(_, kind)| *kind)));
                }
            }
        };
    for (prefix, kind) in own {
        let first = prefix.base.to_bits();
        close(&mut steps, &mut open, Some(first));
        steps.push((first, Some(*kind)));
        open.push((prefix.last().to_bits(), *kind));
    }
    close(&mut steps, &mut open, None);
    // Several steps at one address: the last one said holds.
    steps.reverse();
    steps.dedup_by_key(|step| step.0);
    steps.reverse();
    steps
}

/// Lays the steps over rows that cover their range up to `last`.
fn overlay(
    rows: &[(u128, u32)],
    steps: &[(u128, Option<Kind>)],
    last: u128,
    places: &mut Vec<Stored>,
    index: &mut std::collections::BTreeMap<Stored, u32>,
) -> Vec<(u128, u32)> {
    let mut out = Vec::with_capacity(rows.len() + steps.len());
    let first = rows.first().map_or(0, |row| row.0);
    let mut step = steps.partition_point(|step| step.0 < first);
    let mut kind = step.checked_sub(1).and_then(|i| steps[i].1);
    let mut with = |place: u32, kind: Option<Kind>| match kind {
        None => place,
        Some(kind) => {
            let stored = Stored {
                kind,
                ..places[place as usize]
            };
            *index.entry(stored).or_insert_with(|| {
                places.push(stored);
                places.len() as u32 - 1
            })
        }
    };
    for (i, &(start, place)) in rows.iter().enumerate() {
        let end = rows.get(i + 1).map_or(last, |row| row.0 - 1);
        if steps.get(step).is_some_and(|step| step.0 == start) {
            kind = steps[step].1;
            step += 1;
        }
        out.push((start, with(place, kind)));
        while let Some(&(at, next)) = steps.get(step)
            && at <= end
        {
            kind = next;
            step += 1;
            out.push((at, with(place, kind)));
        }
    }
    out
}

/// For each value of the top bits, the block that holds its first address; one more entry closes the last bucket.
fn tops<A: Ord + Copy>(starts: &[A], first_of: impl Fn(usize) -> A) -> Vec<u32> {
    let mut tops = Vec::with_capacity(TOP + 1);
    let mut block = 0;
    for top in 0..TOP {
        let first = first_of(top);
        while block + 1 < starts.len() && starts[block + 1] <= first {
            block += 1;
        }
        tops.push(block as u32);
    }
    tops.push(starts.len() as u32 - 1);
    tops
}
