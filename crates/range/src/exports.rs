//! What a router would have exported of the packets: NetFlow v5, sampled where wanted.
//!
//! IPv6 is left out: its records have no room for it. Flows by addresses, ports and protocol, with the timeouts that routers use by
//! custom: a flow is exported when nothing came for fifteen seconds, or after a minute, or when the cache is full. Record and header as
//! in Cisco's "NetFlow Export Datagram Format".

use std::collections::BTreeMap;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;

use crate::packets::Packet;
use crate::world::below;

/// Seconds without a packet after which a flow is over.
pub const INACTIVE_S: u64 = 15;
/// Seconds after which a flow that goes on is exported.
pub const ACTIVE_S: u64 = 60;
/// Flows in the cache of the router.
pub const CACHE: usize = 1 << 18;
/// The largest sampling interval that the header has room for.
pub const SAMPLING_MAX: u32 = 0x3fff;

const SECOND: u64 = 1_000_000_000;
const RECORDS: usize = 30;

/// Source, destination, ports, protocol.
type Key = (u32, u32, u16, u16, u8);

#[derive(Clone, Copy)]
struct Flow {
    first_ns: u64,
    last_ns: u64,
    packets: u32,
    bytes: u32,
    flags: u8,
}

/// The flow cache of one router, and the datagrams that it sends.
pub struct Router {
    sampling: u32,
    random: Pcg64Mcg,
    booted_ns: u64,
    flows: BTreeMap<Key, Flow>,
    sequence: u32,
    records: Vec<(Key, Flow)>,
}

impl Router {
    /// A router that looks at one packet of `sampling`, drawn at random.
    pub fn new(sampling: u32, seed: u64, start_ns: u64) -> Router {
        Router {
            sampling: sampling.clamp(1, SAMPLING_MAX),
            random: Pcg64Mcg::seed_from_u64(seed ^ 0x5eed_0f10_3e57_a11e),
            // It has been up for an hour.
            booted_ns: start_ns.saturating_sub(3_600 * SECOND),
            flows: BTreeMap::new(),
            sequence: 0,
            records: Vec::new(),
        }
    }

    /// Sees the packets of a second, which ends at `now_ns`, and appends the datagrams that it sends then, as pcap records.
    pub(crate) fn see(&mut self, packets: &[Packet], now_ns: u64, out: &mut Vec<u8>) {
        for packet in packets {
            if self.sampling > 1 && below(&mut self.random, u64::from(self.sampling)) != 0 {
                continue;
            }
            if self.flows.len() >= CACHE {
                let all = std::mem::take(&mut self.flows);
                self.records.extend(all);
            }
            let (Some(src), Some(dst)) = (packet.src.to_ipv4_mapped(), packet.dst.to_ipv4_mapped()) else {
                continue;
            };
            let ports = packet.ports();
            let flow = self
                .flows
                .entry((src.to_bits(), dst.to_bits(), ports.0, ports.1, packet.protocol()))
                .or_insert(Flow {
                    first_ns: packet.time_ns,
                    last_ns: packet.time_ns,
                    packets: 0,
                    bytes: 0,
                    flags: 0,
                });
            flow.last_ns = flow.last_ns.max(packet.time_ns);
            flow.packets += 1;
            flow.bytes += u32::from(packet.length());
            flow.flags |= packet.flags();
        }
        let records = &mut self.records;
        self.flows.retain(|key, flow| {
            let is_over = now_ns.saturating_sub(flow.last_ns) >= INACTIVE_S * SECOND
                || now_ns.saturating_sub(flow.first_ns) >= ACTIVE_S * SECOND;
            if is_over {
                records.push((*key, *flow));
            }
            !is_over
        });
        self.send(now_ns, out);
    }

    /// Exports what is left, as when the router's collector asks for it.
    pub(crate) fn finish(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        let all = std::mem::take(&mut self.flows);
        self.records.extend(all);
        self.send(now_ns, out);
    }

    fn send(&mut self, now_ns: u64, out: &mut Vec<u8>) {
        let records = std::mem::take(&mut self.records);
        let up = |ns: u64| (ns.saturating_sub(self.booted_ns) / 1_000_000) as u32;
        for records in records.chunks(RECORDS) {
            let length = (28 + 24 + 48 * records.len()) as u16;
            out.extend(wire::write::record_header(
                now_ns,
                u32::from(length),
                u32::from(length),
            ));
            out.extend([0x45, 0]);
            out.extend(length.to_be_bytes());
            out.extend([
                0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0xc3, 0x50, 0x08, 0x07,
            ]);
            out.extend((length - 20).to_be_bytes());
            out.extend([0, 0, 0, 5]);
            out.extend((records.len() as u16).to_be_bytes());
            for word in [
                up(now_ns),
                (now_ns / SECOND) as u32,
                (now_ns % SECOND) as u32,
                self.sequence,
                // Engine 0; random sampling (mode 2) with its interval.
                if self.sampling > 1 {
                    0x8000 | self.sampling
                } else {
                    0
                },
            ] {
                out.extend(word.to_be_bytes());
            }
            self.sequence = self.sequence.wrapping_add(records.len() as u32);
            for ((src, dst, from, to, protocol), flow) in records {
                for word in [
                    *src,
                    *dst,
                    0,
                    0x0001_0002,
                    flow.packets,
                    flow.bytes,
                    up(flow.first_ns),
                    up(flow.last_ns),
                ] {
                    out.extend(word.to_be_bytes());
                }
                out.extend(from.to_be_bytes());
                out.extend(to.to_be_bytes());
                out.extend([0, flow.flags, *protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
        }
    }
}
