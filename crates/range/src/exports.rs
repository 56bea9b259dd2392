//! What routers and switches would have exported of the packets: NetFlow v5 and v9, IPFIX, sFlow v5, sampled where wanted.
//!
//! Flows are exported when nothing came for a while, after a while, or when the cache is full. Formats: Cisco's "NetFlow Export
//! Datagram Format" (v5), RFC 3954 (v9), RFC 7011 with the elements of IANA (IPFIX), "sFlow Version 5" of sflow.org.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;
use serde::Deserialize;

use crate::flows::{Cache, Flow, Key};
use crate::packets::Packet;
use crate::scenario::{Error, Scenario};
use crate::world::below;

/// Seconds without a packet after which a flow is over, by custom.
pub const INACTIVE_S: u32 = 15;
/// Seconds after which a flow that goes on is exported, by custom.
pub const ACTIVE_S: u32 = 60;
/// Flows in the cache of a router.
pub const CACHE: usize = 1 << 18;
/// The largest sampling interval that the header of NetFlow v5 has room for.
pub const SAMPLING_MAX: u32 = 0x3fff;
/// Most exporters.
pub const EXPORTERS_MAX: usize = 200;
/// Furthest that a clock may be off, in milliseconds.
pub const SKEW_MAX: i64 = 3_600_000;
/// Seconds after which templates are sent again.
const TEMPLATES_S: u64 = 60;

const SECOND: u64 = 1_000_000_000;
/// Records of a NetFlow v5 datagram.
const V5_RECORDS: usize = 30;
/// Bytes of records in a datagram of v9 or IPFIX: what an Ethernet frame carries, less headers and templates.
const ROOM: usize = 1_250;
/// Bytes of a sampled packet that sFlow sends, from the Ethernet header on, and samples in a datagram.
const SFLOW_HEADER: u16 = 128;
const SFLOW_SAMPLES: usize = 6;
/// Input and output interface in records.
const INTERFACES: (u16, u16) = (1, 2);

/// A form of export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// NetFlow v5: IPv4 only.
    Netflow5,
    /// NetFlow v9.
    Netflow9,
    /// IPFIX.
    Ipfix,
    /// sFlow v5: packets' headers, no flows.
    Sflow,
}

impl Format {
    /// Its name in a case.
    pub fn name(self) -> &'static str {
        match self {
            Format::Netflow5 => "netflow5",
            Format::Netflow9 => "netflow9",
            Format::Ipfix => "ipfix",
            Format::Sflow => "sflow",
        }
    }

    /// The UDP port where collectors wait for it.
    pub fn port(self) -> u16 {
        match self {
            Format::Netflow5 | Format::Netflow9 => 2055,
            Format::Ipfix => 4739,
            Format::Sflow => 6343,
        }
    }
}

/// A router or switch that exports.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exporter {
    /// Share of the traffic that it sees, as a weight against the others'.
    #[serde(default = "whole")]
    pub share: f64,
    /// It looks at one packet of so many, drawn at random.
    #[serde(default = "every")]
    pub sampling: u32,
    /// Milliseconds by which its clock is ahead.
    #[serde(default)]
    pub skew_ms: i64,
    /// Seconds after which a flow that goes on is exported.
    #[serde(default = "active")]
    pub active_s: u32,
    /// Seconds without a packet after which a flow is over.
    #[serde(default = "inactive")]
    pub inactive_s: u32,
}

fn whole() -> f64 {
    1.0
}

fn every() -> u32 {
    1
}

fn active() -> u32 {
    ACTIVE_S
}

fn inactive() -> u32 {
    INACTIVE_S
}

impl Default for Exporter {
    fn default() -> Exporter {
        Exporter {
            share: whole(),
            sampling: every(),
            skew_ms: 0,
            active_s: ACTIVE_S,
            inactive_s: INACTIVE_S,
        }
    }
}

/// Checks the exporters of a scenario.
pub(crate) fn check(scenario: &Scenario) -> Result<(), Error> {
    if scenario.exporter.len() > EXPORTERS_MAX {
        return Err(Error(format!(
            "exporter: {} are more than {EXPORTERS_MAX}",
            scenario.exporter.len()
        )));
    }
    for (n, exporter) in scenario.exporter.iter().enumerate() {
        let wrong = |field: &str, what: String| Err(Error(format!("exporter {}: {field}: {what}", n + 1)));
        if !(exporter.share > 0.0 && exporter.share.is_finite()) {
            return wrong("share", format!("{} is not above 0", exporter.share));
        }
        if !(1..=SAMPLING_MAX).contains(&exporter.sampling) {
            return wrong(
                "sampling",
                format!("{} is not from 1 to {SAMPLING_MAX}", exporter.sampling),
            );
        }
        if exporter.skew_ms.abs() > SKEW_MAX {
            return wrong(
                "skew_ms",
                format!("{} is not from -{SKEW_MAX} to {SKEW_MAX}", exporter.skew_ms),
            );
        }
        if !(1..=3_600).contains(&exporter.active_s) {
            return wrong("active_s", format!("{} is not from 1 to 3600", exporter.active_s));
        }
        if !(1..=3_600).contains(&exporter.inactive_s) {
            return wrong(
                "inactive_s",
                format!("{} is not from 1 to 3600", exporter.inactive_s),
            );
        }
    }
    Ok(())
}

/// What an exporter sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// When, by the right clock.
    pub at_ns: u64,
    /// Which exporter, from 0.
    pub exporter: usize,
    /// The payload of the UDP packet.
    pub bytes: Vec<u8>,
}

impl Datagram {
    /// Appends it as a record of a pcap, to a collector at 192.0.2.2.
    pub fn write(&self, format: Format, out: &mut Vec<u8>) {
        let length = 28 + self.bytes.len() as u16;
        out.extend(wire::write::record_header(
            self.at_ns,
            u32::from(length),
            u32::from(length),
        ));
        let start = out.len();
        out.extend([0x45, 0]);
        out.extend(length.to_be_bytes());
        out.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
        out.extend(address(self.exporter).to_be_bytes());
        out.extend([192, 0, 2, 2]);
        let sum = wire::write::checksum(&out[start..]);
        out[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
        out.extend(50_000u16.to_be_bytes());
        out.extend(format.port().to_be_bytes());
        out.extend((length - 20).to_be_bytes());
        // No checksum, as IPv4 allows.
        out.extend([0, 0]);
        out.extend_from_slice(&self.bytes);
    }
}

/// The address of an exporter: 192.0.2.1, and 192.0.2.3 and on, since the collector has the one between.
fn address(exporter: usize) -> u32 {
    0xc000_0200 + if exporter == 0 { 1 } else { 2 + exporter as u32 }
}

/// All exporters of a network, which share its traffic: both directions of a conversation go by the same.
pub struct Exporters {
    format: Format,
    /// Running sums of shares, up to 1, with the exporter.
    routers: Vec<(f64, Router)>,
}

impl Exporters {
    /// Those that are named, at least one.
    pub fn new(format: Format, exporters: &[Exporter], seed: u64, start_ns: u64) -> Exporters {
        let one = [Exporter::default()];
        let exporters = if exporters.is_empty() { &one } else { exporters };
        let total: f64 = exporters.iter().map(|exporter| exporter.share).sum();
        let mut sum = 0.0;
        Exporters {
            format,
            routers: exporters
                .iter()
                .enumerate()
                .map(|(number, exporter)| {
                    sum += exporter.share / total;
                    (sum, Router::new(format, exporter, number, seed, start_ns))
                })
                .collect(),
        }
    }

    /// Their form.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Records that they sent: flows, or samples.
    pub fn records(&self) -> u64 {
        self.routers.iter().map(|(_, router)| router.records).sum()
    }

    /// Flows of IPv6 that NetFlow v5 has no room for.
    pub fn left_out(&self) -> u64 {
        self.routers.iter().map(|(_, router)| router.left_out).sum()
    }

    /// See the packets of a second, which ends at `now_ns`, and append what they send, in order of time.
    pub(crate) fn see(&mut self, packets: &[Packet], now_ns: u64, out: &mut Vec<Datagram>) {
        let before = out.len();
        for packet in packets {
            let at = match self.routers.len() {
                1 => 0,
                all => {
                    let share = by_hosts(packet);
                    self.routers
                        .partition_point(|(sum, _)| *sum <= share)
                        .min(all - 1)
                }
            };
            self.routers[at].1.sees(packet, out);
        }
        for (_, router) in &mut self.routers {
            router.tick(now_ns, out);
        }
        out[before..].sort_by_key(|datagram| datagram.at_ns);
    }

    /// Export what is left, as when they are switched off.
    pub(crate) fn finish(&mut self, now_ns: u64, out: &mut Vec<Datagram>) {
        for (_, router) in &mut self.routers {
            router.finish(now_ns, out);
        }
    }
}

/// A number from 0 to below 1 that is fixed for a pair of hosts.
fn by_hosts(packet: &Packet) -> f64 {
    let fold = |address: std::net::Ipv6Addr| {
        let bits = address.to_bits();
        let x = ((bits >> 64) as u64 ^ bits as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (x ^ x >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93)
    };
    let both = fold(packet.src).wrapping_add(fold(packet.dst));
    ((both ^ both >> 29) >> 11) as f64 / (1u64 << 53) as f64
}

/// One exporter.
struct Router {
    format: Format,
    number: usize,
    sampling: u32,
    skew_ms: i64,
    active_s: u32,
    inactive_s: u32,
    random: Pcg64Mcg,
    /// By its own clock, in milliseconds.
    booted_ms: u64,
    cache: Cache,
    done: Vec<Flow>,
    sequence: u32,
    records: u64,
    left_out: u64,
    /// When templates were sent last.
    templates_ns: Option<u64>,
    /// sFlow: packets that went by, samples, and the samples of the next datagram.
    pool: u32,
    samples: u32,
    sampled: Vec<u8>,
    sampled_count: usize,
}

impl Router {
    fn new(format: Format, about: &Exporter, number: usize, seed: u64, start_ns: u64) -> Router {
        let own = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Router {
            format,
            number,
            sampling: about.sampling.clamp(1, SAMPLING_MAX),
            skew_ms: about.skew_ms,
            active_s: about.active_s,
            inactive_s: about.inactive_s,
            random: Pcg64Mcg::seed_from_u64(seed ^ 0x5eed_0f10_3e57_a11e ^ own),
            // It has been up for an hour.
            booted_ms: (start_ns / 1_000_000)
                .saturating_add_signed(about.skew_ms)
                .saturating_sub(3_600_000),
            cache: Cache::default(),
            done: Vec::new(),
            sequence: 0,
            records: 0,
            left_out: 0,
            templates_ns: None,
            pool: 0,
            samples: 0,
            sampled: Vec::new(),
            sampled_count: 0,
        }
    }

    /// A time by its own clock, in milliseconds.
    fn clock(&self, ns: u64) -> u64 {
        (ns / 1_000_000).saturating_add_signed(self.skew_ms)
    }

    /// Milliseconds since it booted.
    fn up(&self, ns: u64) -> u32 {
        self.clock(ns).saturating_sub(self.booted_ms) as u32
    }

    fn sees(&mut self, packet: &Packet, out: &mut Vec<Datagram>) {
        self.pool = self.pool.wrapping_add(1);
        if self.sampling > 1 && below(&mut self.random, u64::from(self.sampling)) != 0 {
            return;
        }
        if self.format == Format::Sflow {
            self.sample(packet, out);
            return;
        }
        if self.cache.len() >= CACHE {
            self.cache.all(&mut self.done);
        }
        self.cache.add(packet);
    }

    fn tick(&mut self, now_ns: u64, out: &mut Vec<Datagram>) {
        if self.format == Format::Sflow {
            self.send_samples(now_ns, out);
            return;
        }
        self.cache
            .over(now_ns, self.active_s, self.inactive_s, &mut self.done);
        self.send(now_ns, out);
    }

    fn finish(&mut self, now_ns: u64, out: &mut Vec<Datagram>) {
        self.cache.all(&mut self.done);
        self.tick(now_ns, out);
    }

    fn send(&mut self, now_ns: u64, out: &mut Vec<Datagram>) {
        let mut done = std::mem::take(&mut self.done);
        match self.format {
            Format::Netflow5 => {
                let before = done.len();
                done.retain(|flow| flow.key.is_ipv4());
                self.left_out += (before - done.len()) as u64;
                for flows in done.chunks(V5_RECORDS) {
                    let bytes = self.version_5(flows, now_ns);
                    self.push(now_ns, flows.len(), bytes, out);
                }
            }
            _ => {
                let is_ipfix = self.format == Format::Ipfix;
                let (v4, v6): (Vec<Flow>, Vec<Flow>) = done.iter().partition(|flow| flow.key.is_ipv4());
                for (flows, of) in [(v4, V4), (v6, V6)] {
                    let room = ROOM / record_length(of, is_ipfix);
                    for flows in flows.chunks(room) {
                        let bytes = self.templated(flows, of, now_ns);
                        self.push(now_ns, flows.len(), bytes, out);
                    }
                }
            }
        }
        done.clear();
        self.done = done;
    }

    fn push(&mut self, at_ns: u64, records: usize, bytes: Vec<u8>, out: &mut Vec<Datagram>) {
        self.records += records as u64;
        out.push(Datagram {
            at_ns,
            exporter: self.number,
            bytes,
        });
    }

    fn version_5(&mut self, flows: &[Flow], now_ns: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + 48 * flows.len());
        let clock = self.clock(now_ns);
        out.extend([0, 5]);
        out.extend((flows.len() as u16).to_be_bytes());
        for word in [
            self.up(now_ns),
            (clock / 1_000) as u32,
            (clock % 1_000 * 1_000_000) as u32,
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
        self.sequence = self.sequence.wrapping_add(flows.len() as u32);
        for flow in flows {
            let mut record = [0; 48];
            record[..4].copy_from_slice(&(flow.key.src as u32).to_be_bytes());
            record[4..8].copy_from_slice(&(flow.key.dst as u32).to_be_bytes());
            record[12..14].copy_from_slice(&INTERFACES.0.to_be_bytes());
            record[14..16].copy_from_slice(&INTERFACES.1.to_be_bytes());
            record[16..20].copy_from_slice(&flow.packets.to_be_bytes());
            record[20..24].copy_from_slice(&u32::try_from(flow.bytes).unwrap_or(u32::MAX).to_be_bytes());
            record[24..28].copy_from_slice(&self.up(flow.first_ns).to_be_bytes());
            record[28..32].copy_from_slice(&self.up(flow.last_ns).to_be_bytes());
            record[32..34].copy_from_slice(&flow.key.ports.0.to_be_bytes());
            record[34..36].copy_from_slice(&flow.key.ports.1.to_be_bytes());
            (record[37], record[38]) = (flow.flags, flow.key.protocol);
            out.extend(record);
        }
        out
    }

    /// A message of v9 or IPFIX with records of one template.
    fn templated(&mut self, flows: &[Flow], of: Of, now_ns: u64) -> Vec<u8> {
        let is_ipfix = self.format == Format::Ipfix;
        let mut out = Vec::with_capacity(1_500);
        // The headers have whole seconds only; rounded up, so that no flow lies after its export.
        let seconds = self.clock(now_ns).div_ceil(1_000);
        let mut counted = flows.len() as u16;
        out.extend(if is_ipfix { [0, 10, 0, 0] } else { [0, 9, 0, 0] });
        if !is_ipfix {
            out.extend(((seconds * 1_000).saturating_sub(self.booted_ms) as u32).to_be_bytes());
        }
        out.extend((seconds as u32).to_be_bytes());
        out.extend(self.sequence.to_be_bytes());
        out.extend((1 + self.number as u32).to_be_bytes());
        if self
            .templates_ns
            .is_none_or(|sent| now_ns.saturating_sub(sent) >= TEMPLATES_S * SECOND)
        {
            self.templates_ns = Some(now_ns);
            let (records, data) = templates(is_ipfix, self.sampling, &mut out);
            counted += records;
            // Records of options are data too.
            self.sequence = self.sequence.wrapping_add(if is_ipfix { data } else { 0 });
        }
        let set = out.len();
        out.extend(of.template.to_be_bytes());
        out.extend([0, 0]);
        for flow in flows {
            let Key {
                src,
                dst,
                ports,
                protocol,
            } = flow.key;
            if of.bytes == 4 {
                out.extend((src as u32).to_be_bytes());
                out.extend((dst as u32).to_be_bytes());
            } else {
                out.extend(src.to_be_bytes());
                out.extend(dst.to_be_bytes());
            }
            out.extend(ports.0.to_be_bytes());
            out.extend(ports.1.to_be_bytes());
            out.extend([protocol, flow.flags]);
            out.extend(INTERFACES.0.to_be_bytes());
            out.extend(INTERFACES.1.to_be_bytes());
            out.extend(u64::from(flow.packets).to_be_bytes());
            out.extend(flow.bytes.to_be_bytes());
            if is_ipfix {
                out.extend(self.clock(flow.first_ns).to_be_bytes());
                out.extend(self.clock(flow.last_ns).to_be_bytes());
            } else {
                out.extend(self.up(flow.first_ns).to_be_bytes());
                out.extend(self.up(flow.last_ns).to_be_bytes());
            }
        }
        while out.len() % 4 != 0 {
            out.push(0);
        }
        let length = (out.len() - set) as u16;
        out[set + 2..set + 4].copy_from_slice(&length.to_be_bytes());
        if is_ipfix {
            let length = out.len() as u16;
            out[2..4].copy_from_slice(&length.to_be_bytes());
            self.sequence = self.sequence.wrapping_add(flows.len() as u32);
        } else {
            out[2..4].copy_from_slice(&counted.to_be_bytes());
            self.sequence = self.sequence.wrapping_add(1);
        }
        out
    }

    /// Puts a packet's first bytes into the next sFlow datagram.
    fn sample(&mut self, packet: &Packet, out: &mut Vec<Datagram>) {
        self.samples = self.samples.wrapping_add(1);
        let length = packet.length();
        let captured = length.min(SFLOW_HEADER - 14);
        let header = 14 + u32::from(captured);
        let padded = header.next_multiple_of(4);
        for word in [
            // A flow sample: its length, number, source (interface), rate, pool, drops, interfaces, and one record.
            1,
            32 + 8 + 16 + padded,
            self.samples,
            u32::from(INTERFACES.0),
            self.sampling,
            self.pool,
            0,
            u32::from(INTERFACES.0),
            u32::from(INTERFACES.1),
            1,
            // A raw packet header: its length, Ethernet, the frame's length, nothing stripped, the header's length.
            1,
            16 + padded,
            1,
            14 + u32::from(length),
            0,
            header,
        ] {
            self.sampled.extend(word.to_be_bytes());
        }
        let end = self.sampled.len() + padded as usize;
        // Locally administered addresses of two routers.
        self.sampled.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
        self.sampled.extend(if packet.is_ipv4() {
            [0x08, 0x00]
        } else {
            [0x86, 0xdd]
        });
        packet.bytes(captured, &mut self.sampled);
        self.sampled.resize(end, 0);
        self.sampled_count += 1;
        if self.sampled_count == SFLOW_SAMPLES {
            self.send_samples(packet.time_ns, out);
        }
    }

    fn send_samples(&mut self, now_ns: u64, out: &mut Vec<Datagram>) {
        let count = std::mem::take(&mut self.sampled_count);
        if count == 0 {
            return;
        }
        let mut bytes = Vec::with_capacity(28 + self.sampled.len());
        self.sequence = self.sequence.wrapping_add(1);
        for word in [
            5,
            // The agent's IPv4 address; no sub-agent.
            1,
            address(self.number),
            0,
            self.sequence,
            self.up(now_ns),
            count as u32,
        ] {
            bytes.extend(u32::to_be_bytes(word));
        }
        bytes.append(&mut self.sampled);
        self.push(now_ns, count, bytes, out);
    }
}

/// Records of one family: their template, and bytes of an address.
#[derive(Clone, Copy)]
struct Of {
    template: u16,
    bytes: u16,
    addresses: [u16; 2],
}

const V4: Of = Of {
    template: 256,
    bytes: 4,
    addresses: [8, 12],
};
const V6: Of = Of {
    template: 257,
    bytes: 16,
    addresses: [27, 28],
};
/// The options template that tells the sampling.
const SAMPLER: u16 = 258;

/// Elements of a record with their lengths, by their numbers at IANA, which are those of v9 too.
fn fields(of: Of, is_ipfix: bool) -> Vec<(u16, u16)> {
    let mut fields: Vec<(u16, u16)> = of.addresses.map(|id| (id, of.bytes)).into();
    // Ports, protocol, TCP flags, interfaces, packets, octets.
    fields.extend([(7, 2), (11, 2), (4, 1), (6, 1), (10, 2), (14, 2), (2, 8), (1, 8)]);
    // First and last packet: milliseconds since the epoch, or of uptime.
    fields.extend(if is_ipfix {
        [(152, 8), (153, 8)]
    } else {
        [(22, 4), (21, 4)]
    });
    fields
}

fn record_length(of: Of, is_ipfix: bool) -> usize {
    fields(of, is_ipfix)
        .iter()
        .map(|(_, length)| usize::from(*length))
        .sum()
}

/// Appends both templates, and where packets are sampled how. Gives how many records that is, and how many of them are data.
fn templates(is_ipfix: bool, sampling: u32, out: &mut Vec<u8>) -> (u16, u32) {
    let words =
        |out: &mut Vec<u8>, words: &[u16]| words.iter().for_each(|word| out.extend(word.to_be_bytes()));
    let set = out.len();
    words(out, &[if is_ipfix { 2 } else { 0 }, 0]);
    for of in [V4, V6] {
        let fields = fields(of, is_ipfix);
        words(out, &[of.template, fields.len() as u16]);
        for (id, length) in fields {
            words(out, &[id, length]);
        }
    }
    let length = (out.len() - set) as u16;
    out[set + 2..set + 4].copy_from_slice(&length.to_be_bytes());
    if sampling < 2 {
        return (2, 0);
    }
    if is_ipfix {
        // Scope: the selector. One packet is looked at (element 305) for every `sampling` - 1 that are not (306).
        words(out, &[3, 24, SAMPLER, 3, 1, 302, 4, 305, 4, 306, 4, 0]);
        words(out, &[SAMPLER, 16]);
        for word in [1, 1, sampling - 1] {
            out.extend(word.to_be_bytes());
        }
    } else {
        // Scope: the system. Interval (34) and algorithm (35), 2 for random.
        words(out, &[1, 24, SAMPLER, 4, 8, 1, 4, 34, 4, 35, 1, 0]);
        words(out, &[SAMPLER, 16]);
        out.extend([0; 4]);
        out.extend(sampling.to_be_bytes());
        out.extend([2, 0, 0, 0]);
    }
    (4, 1)
}
