//! The flow cache of a router: packets become flows, and flows end.
//!
//! Flows lie in the order in which they began; a table of their numbers finds them, by a hash that is the same everywhere.

use crate::packets::Packet;

const SECOND: u64 = 1_000_000_000;
/// A place in the table where no flow is.
const FREE: u32 = u32::MAX;

/// What makes packets one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// IPv4 addresses are IPv4-mapped.
    pub(crate) src: u128,
    pub(crate) dst: u128,
    /// Source and destination port; ICMP type and code as the destination's.
    pub(crate) ports: (u16, u16),
    pub(crate) protocol: u8,
}

/// The upper half of an IPv4-mapped address.
const MAPPED: u128 = 0xffff_0000_0000;

impl Key {
    pub(crate) fn is_ipv4(&self) -> bool {
        self.src >> 32 == MAPPED >> 32 && self.dst >> 32 == MAPPED >> 32
    }

    fn hash(&self) -> u64 {
        let fold = |x: u128| (x >> 64) as u64 ^ x as u64;
        let mut h = fold(self.src).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h = (h.rotate_left(29) ^ fold(self.dst)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let rest = u64::from(self.ports.0) << 32 | u64::from(self.ports.1) << 8 | u64::from(self.protocol);
        h = (h.rotate_left(29) ^ rest).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^ h >> 32
    }
}

/// A flow as far as it has been seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) key: Key,
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
    pub(crate) packets: u32,
    pub(crate) bytes: u64,
    pub(crate) flags: u8,
}

/// Flows that go on.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    flows: Vec<Flow>,
    /// Numbers of flows by the hash of their key, at most half full; its length is a power of two.
    table: Vec<u32>,
}

impl Cache {
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Counts a packet with its flow.
    pub(crate) fn add(&mut self, packet: &Packet) {
        if self.flows.len() * 2 >= self.table.len() {
            self.file();
        }
        let key = Key {
            src: packet.src.to_bits(),
            dst: packet.dst.to_bits(),
            ports: packet.ports(),
            protocol: packet.protocol(),
        };
        let mask = self.table.len() - 1;
        let mut at = key.hash() as usize & mask;
        let flow = loop {
            match self.table[at] {
                FREE => {
                    self.table[at] = self.flows.len() as u32;
                    self.flows.push(Flow {
                        key,
                        first_ns: packet.time_ns,
                        last_ns: packet.time_ns,
                        packets: 0,
                        bytes: 0,
                        flags: 0,
                    });
                    let last = self.flows.len() - 1;
                    break &mut self.flows[last];
                }
                number if self.flows[number as usize].key == key => break &mut self.flows[number as usize],
                _ => at = (at + 1) & mask,
            }
        };
        flow.last_ns = flow.last_ns.max(packet.time_ns);
        flow.packets += 1;
        flow.bytes += u64::from(packet.length());
        flow.flags |= packet.flags();
    }

    /// Moves out the flows that are over: nothing came for `inactive_s`, or they began `active_s` ago.
    pub(crate) fn over(&mut self, now_ns: u64, active_s: u32, inactive_s: u32, out: &mut Vec<Flow>) {
        let before = self.flows.len();
        self.flows.retain(|flow| {
            let is_over = now_ns.saturating_sub(flow.last_ns) >= u64::from(inactive_s) * SECOND
                || now_ns.saturating_sub(flow.first_ns) >= u64::from(active_s) * SECOND;
            if is_over {
                out.push(*flow);
            }
            !is_over
        });
        if self.flows.len() < before {
            self.file();
        }
    }

    /// Moves out all flows.
    pub(crate) fn all(&mut self, out: &mut Vec<Flow>) {
        out.append(&mut self.flows);
        self.file();
    }

    /// Makes the table anew, with room for twice as many flows as there are.
    fn file(&mut self) {
        let room = (self.flows.len() * 4).next_power_of_two().max(1 << 10);
        self.table.clear();
        self.table.resize(room, FREE);
        for (number, flow) in self.flows.iter().enumerate() {
            let mut at = flow.key.hash() as usize & (room - 1);
            while self.table[at] != FREE {
                at = (at + 1) & (room - 1);
            }
            self.table[at] = number as u32;
        }
    }
}
