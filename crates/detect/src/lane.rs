//! What reached each target, vector by vector and second by second: the bounded table of lanes.
//!
//! A lane is the traffic of one candidate vector to one destination. It is exact where the table of conversations is
//! sampled, because floods have many sources and few targets. A lane that has seen [`LOOK_AFTER`] packets also counts how
//! its packets look (TTL, length, ports, flags).

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use wire::Flow;

use crate::conversation::{hash_address, mix};
use crate::vector::Vector;

/// Lanes kept. When there are more, the quieter half is forgotten and counted.
pub const MAX_LANES: usize = 400_000;
/// Seconds kept over all lanes, beyond the first of each. When there are more, further ones only count in the totals.
pub const MAX_CELLS: usize = 2_000_000;
/// Lanes whose look is counted.
pub const MAX_LOOKS: usize = 2_048;
/// Packets after which a lane's look is counted.
pub const LOOK_AFTER: u64 = 32;
/// Records of a lane that are all looked at.
pub const LOOK_AT_ALL: u32 = 1 << 15;
/// Distinct values of one field that a look counts; further ones are only counted as "other".
pub const MAX_VALUES: usize = 256;
/// Packets with values that found no room, after which it is asked whether the values are drawn at random.
const SPREAD_AFTER: u64 = 10_000;
/// Seconds over which one record is spread at most; a longer one is spread over this many equal steps.
const MAX_SPREAD: u64 = 3_600;

const NONE: u32 = u32::MAX;

/// One second of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cell {
    /// Seconds since the Unix epoch.
    pub second: u32,
    /// Packets in it.
    pub packets: u64,
    /// Bytes in it.
    pub bytes: u64,
}

/// Counts of a field's values, largest first when read; bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    counts: BTreeMap<u32, u64>,
    /// Packets with values beyond the limit.
    pub other: u64,
    spread: bool,
    last: Option<(u32, u64)>,
}

impl Values {
    #[inline]
    fn add(&mut self, value: u32, packets: u64) {
        // Packets of a flood repeat their values: the last one is kept aside so that most adds touch no tree.
        match &mut self.last {
            Some((last, count)) if *last == value => *count += packets,
            _ => {
                self.settle();
                self.last = Some((value, packets));
            }
        }
    }

    fn settle(&mut self) {
        if let Some((value, packets)) = self.last.take() {
            // Values drawn at random: the tree is full and hardly any of them is in it, so it is no longer asked.
            if self.spread {
                self.other += packets;
            } else if self.counts.len() < MAX_VALUES || self.counts.contains_key(&value) {
                *self.counts.entry(value).or_default() += packets;
            } else {
                self.other += packets;
                if self.other >= SPREAD_AFTER {
                    self.spread = self.other > 4 * self.counts.values().sum::<u64>();
                }
            }
        }
    }

    /// Values with their packets, largest first, ties by value; then how many packets had other values.
    pub fn sorted(&self) -> Vec<(u32, u64)> {
        let mut whole = self.clone();
        whole.settle();
        let mut all: Vec<_> = whole.counts.into_iter().collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        all
    }

    /// Packets counted, with any value.
    pub fn total(&self) -> u64 {
        self.counts.values().sum::<u64>() + self.other + self.last.map_or(0, |(_, packets)| packets)
    }
}

/// How the packets of a lane look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// TTL or hop limit.
    pub ttl: Values,
    /// IP length of a packet.
    pub length: Values,
    /// Source ports.
    pub src_ports: Values,
    /// Destination ports.
    pub dst_ports: Values,
    /// TCP flags, or ICMP type and code (type * 256 + code), or the IP protocol.
    pub flags: Values,
    /// Packets with a payload hint that fits the vector's service.
    pub hinted: u64,
    /// Packets whose payload was captured.
    pub seen: u64,
    /// 1,024 hash bins of destination ports.
    pub dst_port_bins: Vec<u64>,
    /// DNS question types, names and their packets; only for DNS lanes.
    pub names: BTreeMap<u16, BTreeMap<Vec<u8>, u64>>,
    /// 1,024 hash bins of DNS question names.
    pub name_bins: Vec<u64>,
}

/// Words of `dst_port_bins` and `name_bins`: 1,024 bins.
const BIN_WORDS: usize = 16;

/// Traffic of one candidate vector to one destination.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Destination.
    pub dst: Ipv6Addr,
    /// Candidate vector.
    pub vector: Vector,
    /// Packets, sampling applied.
    pub packets: u64,
    /// Bytes, sampling applied.
    pub bytes: u64,
    /// Packets that exporters observed, before sampling is applied.
    pub observed: u64,
    cell: Cell,
    more: Vec<Cell>,
    look: u32,
    records: u32,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Lanes {
    slots: Vec<u32>, // index + 1, 0 is empty
    all: Vec<Lane>,
    looks: Vec<Look>,
    cells: usize,
    /// The lane that was touched last, by vector: during a flood that is nearly always the right one.
    recent: [u32; Vector::ALL.len()],
    max_lanes: usize,
    /// Packets of lanes that were forgotten because the table was full.
    forgotten: u64,
    /// Packets counted in totals but not by second, because [`MAX_CELLS`] was reached.
    untimed: u64,
}

impl Default for Lanes {
    fn default() -> Self {
        Lanes::with_limit(MAX_LANES)
    }
}

impl Lanes {
    /// A table with its own limit (tests use a small one).
    pub fn with_limit(max_lanes: usize) -> Lanes {
        Lanes {
            slots: vec![0; 1 << 12],
            all: Vec::new(),
            looks: Vec::new(),
            cells: 0,
            recent: [NONE; Vector::ALL.len()],
            max_lanes,
            forgotten: 0,
            untimed: 0,
        }
    }

    /// Packets of quiet lanes that were forgotten because the table was full.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Packets that are in totals but in no second, because there were too many seconds.
    pub fn untimed(&self) -> u64 {
        self.untimed
    }

    /// All lanes, in the order of their first record.
    pub fn iter(&self) -> impl Iterator<Item = &Lane> {
        self.all.iter()
    }

    /// How a lane's packets look; `None` for a lane that was too quiet.
    pub fn look(&self, lane: &Lane) -> Option<&Look> {
        self.looks.get(lane.look as usize)
    }

    fn hash(dst: Ipv6Addr, vector: Vector) -> u64 {
        mix(hash_address(dst) ^ (vector as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Brings the lanes of coming records near: all slots are read before any lane is, and all lanes before any of them is added to,
    /// so that the processor waits for memory once for a group and not several times for each record.
    #[inline]
    pub fn approach(&self, coming: impl Iterator<Item = (Ipv6Addr, Vector)> + Clone) {
        const GROUP: usize = 32;
        let mask = self.slots.len() - 1;
        let mut at = [0u32; GROUP];
        for (slot, (dst, vector)) in at.iter_mut().zip(coming) {
            // The lane that was touched last is near already.
            let recent = self.recent[vector as usize];
            let is_recent = self.all.get(recent as usize).is_some_and(|lane| lane.dst == dst);
            if !is_recent {
                *slot = self.slots[Self::hash(dst, vector) as usize & mask];
            }
        }
        let mut near = 0;
        for slot in at.iter().filter(|slot| **slot > 0) {
            let lane = &self.all[*slot as usize - 1];
            near ^= lane.packets;
        }
        std::hint::black_box(near);
    }

    fn index(&mut self, dst: Ipv6Addr, vector: Vector) -> u32 {
        let recent = self.recent[vector as usize];
        if let Some(lane) = self.all.get(recent as usize)
            && lane.dst == dst
        {
            return recent;
        }
        if (self.all.len() + 1) * 2 > self.slots.len() {
            self.rebuild(self.slots.len() * 2);
        }
        if self.all.len() >= self.max_lanes {
            self.forget_quiet();
        }
        let mask = self.slots.len() - 1;
        let mut at = Self::hash(dst, vector) as usize & mask;
        loop {
            match self.slots[at] {
                0 => break,
                slot => {
                    let lane = &self.all[slot as usize - 1];
                    if lane.dst == dst && lane.vector == vector {
                        self.recent[vector as usize] = slot - 1;
                        return slot - 1;
                    }
                }
            }
            at = (at + 1) & mask;
        }
        self.all.push(Lane {
            dst,
            vector,
            packets: 0,
            bytes: 0,
            observed: 0,
            cell: Cell::default(),
            more: Vec::new(),
            look: NONE,
            records: 0,
        });
        self.slots[at] = self.all.len() as u32;
        self.recent[vector as usize] = self.all.len() as u32 - 1;
        self.all.len() as u32 - 1
    }

    fn rebuild(&mut self, size: usize) {
        self.slots.clear();
        self.slots.resize(size, 0);
        let mask = size - 1;
        for (index, lane) in self.all.iter().enumerate() {
            let mut at = Self::hash(lane.dst, lane.vector) as usize & mask;
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = index as u32 + 1;
        }
        self.recent = [NONE; Vector::ALL.len()];
    }

    /// Keeps the louder half of the lanes (by packets, ties by address and vector).
    fn forget_quiet(&mut self) {
        let mut ranks: Vec<_> = self
            .all
            .iter()
            .map(|lane| (lane.packets, lane.dst, lane.vector))
            .collect();
        let middle = ranks.len() / 2;
        let (_, &mut cut, _) = ranks.select_nth_unstable(middle);
        let (mut forgotten, mut cells) = (0, 0);
        self.all.retain(|lane| {
            let keep = (lane.packets, lane.dst, lane.vector) >= cut;
            if keep {
                cells += lane.more.len();
            } else {
                forgotten += lane.packets;
            }
            keep
        });
        self.forgotten += forgotten;
        self.cells = cells;
        self.rebuild(self.slots.len());
    }

    /// Adds one record that has been classified. `name` is the DNS question and its type, where there is one.
    #[inline]
    pub fn add(&mut self, flow: &Flow, vector: Vector, name: Option<(&[u8], u16)>) {
        let (packets, bytes) = (flow.scaled_packets(), flow.scaled_bytes());
        let index = self.index(flow.dst, vector) as usize;
        let lane = &mut self.all[index];
        lane.packets = lane.packets.saturating_add(packets);
        lane.bytes = lane.bytes.saturating_add(bytes);
        lane.observed = lane.observed.saturating_add(flow.packets);
        let first = second_of(flow.first_ns);
        if second_of(flow.last_ns) <= first {
            self.untimed += lane.add_cell(first, packets, bytes, &mut self.cells);
        } else {
            self.untimed += lane.spread(flow, packets, bytes, &mut self.cells);
        }
        if lane.look == NONE && lane.packets >= LOOK_AFTER && self.looks.len() < MAX_LOOKS {
            lane.look = self.looks.len() as u32;
            self.looks.push(Look {
                dst_port_bins: vec![0; BIN_WORDS],
                name_bins: vec![0; BIN_WORDS],
                ..Look::default()
            });
        }
        // How packets look is known well enough from the first ones; later, every sixteenth is looked at and stands for all.
        let records = &mut lane.records;
        *records = records.checked_add(1).unwrap_or(LOOK_AT_ALL);
        if *records < LOOK_AT_ALL {
            if let Some(look) = self.looks.get_mut(lane.look as usize) {
                look.add(flow, packets, name);
            }
        } else if (*records).is_multiple_of(16)
            && let Some(look) = self.looks.get_mut(lane.look as usize)
        {
            look.add(flow, packets * 16, name);
        }
    }
}

/// The second of a time, as seconds since the Unix epoch (good until 2106).
pub fn second_of(time_ns: u64) -> u32 {
    u32::try_from(time_ns / 1_000_000_000).unwrap_or(u32::MAX)
}

impl Lane {
    /// How many packets each observed one stands for, on average: 1 where nothing was sampled.
    pub fn sampling(&self) -> f64 {
        (self.packets as f64 / self.observed.max(1) as f64).max(1.0)
    }

    /// Its seconds in order of time, each once.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::with_capacity(1 + self.more.len());
        cells.push(self.cell);
        cells.extend_from_slice(&self.more);
        cells.sort_unstable_by_key(|cell| cell.second);
        cells.dedup_by(|later, earlier| {
            let same = later.second == earlier.second;
            if same {
                earlier.packets += later.packets;
                earlier.bytes += later.bytes;
            }
            same
        });
        cells
    }

    /// Adds to one second; returns the packets that found no room.
    #[inline]
    fn add_cell(&mut self, second: u32, packets: u64, bytes: u64, cells: &mut usize) -> u64 {
        // The newest second lies in the lane itself, since records come nearly in order of time; the others lie behind it, and the
        // last few of them are looked at. A second that was left and comes back much later gets a second cell; `cells()` joins them.
        if self.cell.second == second || self.cell.packets == 0 {
            self.cell = Cell {
                second,
                packets: self.cell.packets + packets,
                bytes: self.cell.bytes + bytes,
            };
            return 0;
        }
        for cell in self.more.iter_mut().rev().take(4) {
            if cell.second == second {
                cell.packets += packets;
                cell.bytes += bytes;
                return 0;
            }
        }
        if *cells >= MAX_CELLS {
            return packets;
        }
        *cells += 1;
        let new = Cell {
            second,
            packets,
            bytes,
        };
        if second > self.cell.second {
            self.more.push(std::mem::replace(&mut self.cell, new));
        } else {
            self.more.push(new);
        }
        0
    }

    /// Spreads a record that lasts evenly over its seconds, so that a long flow is no burst.
    fn spread(&mut self, flow: &Flow, packets: u64, bytes: u64, cells: &mut usize) -> u64 {
        let (first, last) = (
            u64::from(second_of(flow.first_ns)),
            u64::from(second_of(flow.last_ns)),
        );
        let steps = (last - first + 1).min(MAX_SPREAD);
        // Parts of a whole, so that they add up to it: what is due after a step, less what was due before.
        let due = |total: u64, step: u64| match total.checked_mul(step) {
            Some(product) => product / steps,
            None => (u128::from(total) * u128::from(step) / u128::from(steps)) as u64,
        };
        let (mut packets_before, mut bytes_before) = (0, 0);
        let mut untimed = 0;
        for step in 0..steps {
            let second = first + (last - first) * step / (steps - 1).max(1);
            let (packets_due, bytes_due) = (due(packets, step + 1), due(bytes, step + 1));
            untimed += self.add_cell(
                second as u32,
                packets_due - packets_before,
                bytes_due - bytes_before,
                cells,
            );
            (packets_before, bytes_before) = (packets_due, bytes_due);
        }
        untimed
    }
}

impl Look {
    fn add(&mut self, flow: &Flow, packets: u64, name: Option<(&[u8], u16)>) {
        if flow.has & Flow::HAS_TTL != 0 {
            self.ttl.add(u32::from(flow.ttl), packets);
        }
        self.length
            .add((flow.bytes / flow.packets.max(1)).min(65_535) as u32, packets);
        if flow.has & Flow::HAS_TRANSPORT != 0 {
            match flow.protocol {
                1 | 58 => self.flags.add(
                    u32::from(flow.icmp_type) * 256 + u32::from(flow.icmp_code),
                    packets,
                ),
                6 | 17 => {
                    self.src_ports.add(u32::from(flow.src_port), packets);
                    self.dst_ports.add(u32::from(flow.dst_port), packets);
                    self.flags.add(u32::from(flow.tcp_flags), packets);
                    set_bin(&mut self.dst_port_bins, mix(u64::from(flow.dst_port)));
                }
                _ => {}
            }
        }
        if flow.protocol != 6 && flow.protocol != 17 && flow.protocol != 1 && flow.protocol != 58 {
            self.flags.add(u32::from(flow.protocol), packets);
        }
        if flow.has & Flow::HAS_PAYLOAD != 0 {
            self.seen += packets;
            if flow.hint != wire::Hint::None {
                self.hinted += packets;
            }
        }
        if let Some((name, kind)) = name {
            let hash = name.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &b| {
                (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
            });
            set_bin(&mut self.name_bins, mix(hash));
            let distinct = self.names.values().map(BTreeMap::len).sum::<usize>();
            if let Some(count) = self.names.get_mut(&kind).and_then(|names| names.get_mut(name)) {
                *count += packets;
            } else if distinct < MAX_VALUES && name.len() <= 255 {
                self.names.entry(kind).or_default().insert(name.to_vec(), packets);
            }
        }
    }
}

fn set_bin(bins: &mut [u64], hash: u64) {
    let bin = hash as usize % (bins.len() * 64);
    bins[bin / 64] |= 1 << (bin % 64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(dst: u32, at_ns: u64) -> Flow {
        Flow {
            dst: std::net::Ipv4Addr::from(dst).to_ipv6_mapped(),
            first_ns: at_ns,
            last_ns: at_ns,
            packets: 1,
            bytes: 100,
            ..Flow::EMPTY
        }
    }

    #[test]
    fn seconds_are_exact_in_any_order() {
        const SECOND: u64 = 1_000_000_000;
        let mut lanes = Lanes::default();
        for at in [5, 9, 5, 7, 9, 9, 1] {
            lanes.add(&packet(1, at * SECOND + 3), Vector::UdpFlood, None);
        }
        let lane = lanes.iter().next().unwrap();
        let cells: Vec<_> = lane.cells().iter().map(|c| (c.second, c.packets)).collect();
        assert_eq!(cells, [(1, 1), (5, 2), (7, 1), (9, 3)]);
    }

    #[test]
    fn a_long_flow_is_spread_and_nothing_is_lost() {
        let mut lanes = Lanes::default();
        let flow = Flow {
            first_ns: 10_500_000_000,
            last_ns: 19_900_000_000,
            packets: 101,
            bytes: 5003,
            ..packet(1, 0)
        };
        lanes.add(&flow, Vector::UdpFlood, None);
        let cells = lanes.iter().next().unwrap().cells();
        assert_eq!(cells.len(), 10);
        assert_eq!(cells.iter().map(|c| c.packets).sum::<u64>(), 101);
        assert_eq!(cells.iter().map(|c| c.bytes).sum::<u64>(), 5003);
        assert!(cells.iter().all(|c| c.packets <= 11));
    }

    #[test]
    fn a_full_table_forgets_the_quiet_and_counts_them() {
        let mut lanes = Lanes::with_limit(100);
        for round in 0..50u64 {
            lanes.add(&packet(7, round), Vector::SynFlood, None);
        }
        for dst in 1000..2000 {
            lanes.add(&packet(dst, 1), Vector::SynFlood, None);
        }
        let kept: u64 = lanes.iter().map(|lane| lane.packets).sum();
        assert_eq!(kept + lanes.forgotten(), 1050);
        assert_eq!(
            lanes.iter().map(|lane| lane.packets).max(),
            Some(50),
            "the loud lane is still whole"
        );
        assert!(lanes.iter().count() <= 100);
    }

    #[test]
    fn values_are_counted_and_bounded() {
        let mut values = Values::default();
        for i in 0..1000 {
            values.add(if i % 2 == 0 { 64 } else { i }, 1);
        }
        assert_eq!(values.sorted()[0], (64, 500));
        assert_eq!(values.total(), 1000);
        assert!(values.sorted().len() <= MAX_VALUES);
    }
}
