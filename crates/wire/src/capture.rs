//! pcap and pcapng files, as a stream of packets.
//!
//! [`Capture`] is fed pieces of a file and keeps no packet bytes. A pcap file is a 24-byte header and records; its format is
//! draft-ietf-opsawg-pcap. A pcapng file is a chain of blocks; draft-ietf-opsawg-pcapng. Both headers are believed only as
//! far as they can be true: a record longer than [`RECORD_MAX`] is damage, and the decoder looks for the next record whose
//! header is plausible and is followed by another plausible one.

use crate::collector::Collector;
use crate::fault::Reason;
use crate::flow::Batch;
use crate::packet;
use crate::recognise::Kind;

/// Captured bytes of one packet at most (libpcap's MAXIMUM_SNAPLEN).
pub const RECORD_MAX: u32 = 262_144;
/// Interfaces of one pcapng section that are remembered.
pub const INTERFACES_MAX: usize = 4_096;
/// Bytes that are searched for the next record before a damaged file is given up.
pub const RESYNC_MAX: u64 = 64 << 20;

const PCAP_HEADER: usize = 24;
const PCAP_RECORD: usize = 16;
const NANOS: u64 = 1_000_000_000;
/// Type of a section header block, the same in both byte orders.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Byte order of a file or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let raw = [bytes[at], bytes[at + 1]];
        if self == Order::Little {
            u16::from_le_bytes(raw)
        } else {
            u16::from_be_bytes(raw)
        }
    }

    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let raw = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        if self == Order::Little {
            u32::from_le_bytes(raw)
        } else {
            u32::from_be_bytes(raw)
        }
    }
}

/// An interface of a pcapng section.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: u16,
    snap_len: u32,
    /// Units per second: a power of ten or of two.
    units: u128,
    offset_s: i64,
}

#[derive(Clone, Debug)]
enum State {
    /// Nothing read yet.
    Start,
    /// Inside a pcap file.
    Pcap {
        order: Order,
        nanoseconds: bool,
        link_type: u16,
    },
    /// Inside a pcapng file.
    PcapNg {
        order: Order,
        interfaces: Vec<Interface>,
    },
}

/// Decodes a capture file that is fed to it piece by piece.
#[derive(Clone, Debug)]
pub struct Capture {
    kind: Kind,
    state: State,
    /// Offset of the first byte not yet consumed.
    offset: u64,
    /// Bytes of the current block that are still to be skipped.
    skip: u64,
    /// Searching for the next plausible record since this offset.
    lost_since: Option<u64>,
    /// Time of the last packet, for records that have none and for plausibility.
    last_ns: u64,
}

/// What one step did.
enum Step {
    /// Consumed so many bytes.
    Took(usize),
    /// Needs more bytes.
    More,
}

impl Capture {
    /// The most bytes that a caller must be able to hold for one record.
    pub const NEEDS_MAX: usize = 1 << 20;

    /// A decoder for a file of kind [`Kind::Pcap`] or [`Kind::PcapNg`]; `None` for any other kind.
    pub fn new(kind: Kind) -> Option<Capture> {
        matches!(kind, Kind::Pcap | Kind::PcapNg).then_some(Capture {
            kind,
            state: State::Start,
            offset: 0,
            skip: 0,
            lost_since: None,
            last_ns: 0,
        })
    }

    /// Decodes whole records from `input` into `batch`, and through `collector` the export messages that the packets carry, until
    /// the input holds no further whole record or the batch
    /// [is full](Batch::is_full). Returns how many bytes were consumed: drop them and call again with the rest and more.
    /// Zero consumed and the batch not full means that more bytes are needed, never more than [`Capture::NEEDS_MAX`] in all.
    ///
    /// The loop walks records of the one state that the file is in; a packet's bytes are looked at where they lie.
    pub fn decode(&mut self, input: &[u8], collector: &mut Collector, batch: &mut Batch) -> usize {
        let mut at = 0;
        while !batch.is_full() {
            if self.skip > 0 {
                let step = self.skip.min((input.len() - at) as u64);
                self.skip -= step;
                self.offset += step;
                at += step as usize;
                if self.skip > 0 {
                    break;
                }
            }
            match self.step(&input[at..], collector, batch) {
                Step::Took(bytes) => {
                    at += bytes;
                    self.offset += bytes as u64;
                }
                Step::More => break,
            }
        }
        at
    }

    /// The input has ended with `rest` not consumed: uses what can be used of it and notes the cut.
    pub fn finish(&mut self, rest: &[u8], collector: &mut Collector, batch: &mut Batch) {
        if rest.is_empty() && self.skip == 0 {
            return;
        }
        let mut rest = rest;
        if let (
            Some(since),
            State::Pcap {
                order, nanoseconds, ..
            },
            0,
        ) = (self.lost_since, &self.state, self.skip)
        {
            // What waited for its successor has none: the last record may end exactly where the file does.
            let (order, nanoseconds) = (*order, *nanoseconds);
            if let Some(at) = (0..rest.len()).find(|&at| {
                self.plausible(rest, at, order, nanoseconds) == Some(true)
                    && at + PCAP_RECORD + order.u32(rest, at + 8) as usize == rest.len()
            }) {
                batch.faults.note(Reason::Resynchronised, since);
                self.lost_since = None;
                self.offset += at as u64;
                let used = self.decode(&rest[at..], collector, batch);
                rest = &rest[at + used..];
                if rest.is_empty() {
                    return;
                }
            }
        }
        if let Some(since) = self.lost_since.take() {
            batch.faults.note(Reason::Resynchronised, since);
            return;
        }
        batch.faults.note(Reason::FileTruncated, self.offset);
        if self.skip > 0 {
            return;
        }
        // The last record's header is there and its packet is cut: what there is of it is used like a short snap length.
        match &self.state {
            State::Pcap {
                order,
                nanoseconds,
                link_type,
            } if rest.len() > PCAP_RECORD => {
                let (order, nanoseconds, link_type) = (*order, *nanoseconds, *link_type);
                let original = order.u32(rest, 12);
                let time = self.pcap_time(order, nanoseconds, rest, batch);
                collector.packet(
                    link_type,
                    &rest[PCAP_RECORD..],
                    original,
                    time,
                    self.offset,
                    batch,
                );
            }
            State::PcapNg { order, interfaces } if rest.len() > 28 && order.u32(rest, 0) == 6 => {
                if let Some(interface) = interfaces.get(order.u32(rest, 8) as usize).copied() {
                    let ticks = u64::from(order.u32(rest, 12)) << 32 | u64::from(order.u32(rest, 16));
                    let original = order.u32(rest, 24);
                    let time = interface.time(ticks).unwrap_or(self.last_ns);
                    collector.packet(
                        interface.link_type,
                        &rest[28..],
                        original,
                        time,
                        self.offset,
                        batch,
                    );
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, input: &[u8], collector: &mut Collector, batch: &mut Batch) -> Step {
        match self.state {
            State::Start if self.kind == Kind::Pcap => self.pcap_header(input, batch),
            State::Start => {
                self.state = State::PcapNg {
                    order: Order::Little,
                    interfaces: Vec::new(),
                };
                self.block(input, collector, batch)
            }
            State::Pcap {
                order,
                nanoseconds,
                link_type,
            } => self.pcap_record(input, order, nanoseconds, link_type, collector, batch),
            State::PcapNg { .. } => self.block(input, collector, batch),
        }
    }

    fn pcap_header(&mut self, input: &[u8], batch: &mut Batch) -> Step {
        if input.len() < PCAP_HEADER {
            return Step::More;
        }
        let (order, nanoseconds) = match [input[0], input[1], input[2], input[3]] {
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, false),
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, false),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, true),
            _ => (Order::Big, true),
        };
        // The upper bits of the last word hold the length of a frame check sequence, not the link type.
        let link_type = (order.u32(input, 20) & 0xffff) as u16;
        if !packet::knows(link_type) {
            batch.faults.note(Reason::LinkType, 20);
        }
        self.state = State::Pcap {
            order,
            nanoseconds,
            link_type,
        };
        Step::Took(PCAP_HEADER)
    }

    fn pcap_time(&self, order: Order, nanoseconds: bool, record: &[u8], batch: &mut Batch) -> u64 {
        let seconds = u64::from(order.u32(record, 0));
        let fraction = u64::from(order.u32(record, 4));
        let fraction_ns = if nanoseconds { fraction } else { fraction * 1_000 };
        if fraction_ns >= NANOS {
            batch.faults.note(Reason::Timestamp, self.offset);
            return seconds * NANOS + NANOS - 1;
        }
        seconds * NANOS + fraction_ns
    }

    fn pcap_record(
        &mut self,
        input: &[u8],
        order: Order,
        nanoseconds: bool,
        link_type: u16,
        collector: &mut Collector,
        batch: &mut Batch,
    ) -> Step {
        if input.len() < PCAP_RECORD {
            return Step::More;
        }
        let captured = order.u32(input, 8);
        let original = order.u32(input, 12);
        if let Some(since) = self.lost_since {
            return self.search(input, order, nanoseconds, since, batch);
        }
        if captured > RECORD_MAX {
            batch.faults.note(Reason::RecordLength, self.offset);
            self.lost_since = Some(self.offset);
            return Step::Took(1);
        }
        let end = PCAP_RECORD + captured as usize;
        if input.len() < end {
            return Step::More;
        }
        let time = self.pcap_time(order, nanoseconds, input, batch);
        self.last_ns = time;
        collector.packet(
            link_type,
            &input[PCAP_RECORD..end],
            original,
            time,
            self.offset,
            batch,
        );
        Step::Took(end)
    }

    /// Whether a plausible record header is at this place; `None` where too little is there to say.
    fn plausible(&self, input: &[u8], at: usize, order: Order, nanoseconds: bool) -> Option<bool> {
        let header = input.get(at..at + PCAP_RECORD)?;
        let seconds = u64::from(order.u32(header, 0));
        let fraction = u64::from(order.u32(header, 4));
        let captured = order.u32(header, 8);
        let original = order.u32(header, 12);
        let limit = if nanoseconds { NANOS } else { 1_000_000 };
        let near = self.last_ns == 0 || seconds.abs_diff(self.last_ns / NANOS) < 86_400;
        let sizes = (1..=RECORD_MAX).contains(&captured) && captured <= original && original < 1 << 20;
        Some(near && fraction < limit && sizes)
    }

    /// Looks for a record header that is plausible and followed by another one. It waits until it has seen both, so that the pieces
    /// in which a file comes do not matter.
    fn search(
        &mut self,
        input: &[u8],
        order: Order,
        nanoseconds: bool,
        since: u64,
        batch: &mut Batch,
    ) -> Step {
        for at in 0..input.len() {
            let next = match self.plausible(input, at, order, nanoseconds) {
                None => return self.passed_over(at, since),
                Some(false) => continue,
                Some(true) => at + PCAP_RECORD + order.u32(input, at + 8) as usize,
            };
            match self.plausible(input, next, order, nanoseconds) {
                None => return self.passed_over(at, since),
                Some(false) => {}
                Some(true) => {
                    batch.faults.note(Reason::Resynchronised, since);
                    self.lost_since = None;
                    return Step::Took(at);
                }
            }
        }
        self.passed_over(input.len(), since)
    }

    /// Bytes in which nothing was found. After too many of them the rest of the file is passed over as well.
    fn passed_over(&mut self, took: usize, since: u64) -> Step {
        if self.offset + took as u64 - since > RESYNC_MAX {
            self.skip = u64::MAX;
        } else if took == 0 {
            return Step::More;
        }
        Step::Took(took)
    }

    /// One pcapng block.
    fn block(&mut self, input: &[u8], collector: &mut Collector, batch: &mut Batch) -> Step {
        if let Some(since) = self.lost_since {
            return self.next_section(input, since, batch);
        }
        if input.len() < 12 {
            return Step::More;
        }
        let State::PcapNg { order, interfaces } = &mut self.state else {
            return Step::More;
        };
        if input[..4] == SECTION {
            *order = match [input[8], input[9], input[10], input[11]] {
                [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
                [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
                _ => {
                    batch.faults.note(Reason::BlockMalformed, self.offset);
                    self.lost_since = Some(self.offset);
                    return Step::Took(4);
                }
            };
            interfaces.clear();
        }
        let order = *order;
        let kind = order.u32(input, 0);
        let length = order.u32(input, 4);
        if length < 12 || !length.is_multiple_of(4) {
            batch.faults.note(Reason::BlockMalformed, self.offset);
            // Without a length there is no next block; only a section header can be told from other bytes.
            self.lost_since = Some(self.offset);
            return Step::Took(4);
        }
        // Blocks that are of no use are skipped without being held.
        let useful = matches!(kind, 1 | 2 | 3 | 6);
        if !useful {
            self.skip = u64::from(length);
            return Step::Took(0);
        }
        if length as usize > Capture::NEEDS_MAX {
            batch.faults.note(Reason::RecordLength, self.offset);
            self.skip = u64::from(length);
            return Step::Took(0);
        }
        let length = length as usize;
        if input.len() < length {
            return Step::More;
        }
        let body = &input[8..length - 4];
        match kind {
            1 => match Interface::read(order, body) {
                Some(interface) if interfaces.len() < INTERFACES_MAX => {
                    if !packet::knows(interface.link_type) {
                        batch.faults.note(Reason::LinkType, self.offset);
                    }
                    interfaces.push(interface);
                }
                _ => batch.faults.note(Reason::BlockMalformed, self.offset),
            },
            _ => {
                if !self.packet_block(order, kind, body, collector, batch) {
                    batch.faults.note(Reason::BlockMalformed, self.offset);
                }
            }
        }
        Step::Took(length)
    }

    /// Enhanced (6), simple (3) and obsolete (2) packet blocks. False where the block is malformed.
    fn packet_block(
        &mut self,
        order: Order,
        kind: u32,
        body: &[u8],
        collector: &mut Collector,
        batch: &mut Batch,
    ) -> bool {
        let State::PcapNg { interfaces, .. } = &self.state else {
            return false;
        };
        let header = if kind == 3 { 4 } else { 20 };
        if body.len() < header {
            return false;
        }
        let number = match kind {
            6 => order.u32(body, 0) as usize,
            2 => usize::from(order.u16(body, 0)),
            _ => 0,
        };
        let Some(interface) = interfaces.get(number).copied() else {
            return false;
        };
        let (captured, original, time) = if kind == 3 {
            let original = order.u32(body, 0);
            let limit = if interface.snap_len == 0 {
                u32::MAX
            } else {
                interface.snap_len
            };
            // Simple packets have no time: the last one seen stands in for it.
            (
                original.min(limit).min((body.len() - 4) as u32),
                original,
                self.last_ns,
            )
        } else {
            let ticks = u64::from(order.u32(body, 4)) << 32 | u64::from(order.u32(body, 8));
            let Some(time) = interface.time(ticks) else {
                batch.faults.note(Reason::Timestamp, self.offset);
                return true;
            };
            (order.u32(body, 12), order.u32(body, 16), time)
        };
        let Some(data) = body.get(header..header + captured as usize) else {
            return false;
        };
        if kind != 3 {
            self.last_ns = time;
        }
        collector.packet(interface.link_type, data, original, time, self.offset, batch);
        true
    }

    /// Looks for the next section header: its mark, and its byte-order magic eight bytes on.
    fn next_section(&mut self, input: &[u8], since: u64, batch: &mut Batch) -> Step {
        for at in 0..input.len() {
            let Some(head) = input.get(at..at + 12) else {
                return self.passed_over(at, since);
            };
            let magic = matches!(head[8..], [0x4d, 0x3c, 0x2b, 0x1a] | [0x1a, 0x2b, 0x3c, 0x4d]);
            if head[..4] == SECTION && magic {
                batch.faults.note(Reason::Resynchronised, since);
                self.lost_since = None;
                return Step::Took(at);
            }
        }
        self.passed_over(input.len(), since)
    }
}

impl Interface {
    /// Reads an interface description block's body.
    fn read(order: Order, body: &[u8]) -> Option<Interface> {
        if body.len() < 8 {
            return None;
        }
        let mut interface = Interface {
            link_type: order.u16(body, 0),
            snap_len: order.u32(body, 4),
            units: 1_000_000,
            offset_s: 0,
        };
        let mut at = 8;
        while at + 4 <= body.len() {
            let (code, length) = (order.u16(body, at), usize::from(order.u16(body, at + 2)));
            let Some(value) = body.get(at + 4..at + 4 + length) else {
                break;
            };
            match (code, value) {
                (0, _) => break,
                // if_tsresol: a power of two where the top bit is set, else a power of ten.
                (9, [resolution, ..]) => {
                    let exponent = u32::from(resolution & 0x7f);
                    interface.units = if resolution & 0x80 != 0 {
                        1u128.checked_shl(exponent)?
                    } else {
                        10u128.checked_pow(exponent)?
                    };
                }
                (14, value) if value.len() >= 8 => {
                    let (a, b) = (order.u32(value, 0), order.u32(value, 4));
                    let (high, low) = if order == Order::Little { (b, a) } else { (a, b) };
                    interface.offset_s = (u64::from(high) << 32 | u64::from(low)) as i64;
                }
                _ => {}
            }
            at += 4 + length.next_multiple_of(4);
        }
        Some(interface)
    }

    /// A time stamp as nanoseconds since the Unix epoch; `None` where it is before it or after the year 2554.
    fn time(&self, ticks: u64) -> Option<u64> {
        let ns = u128::from(ticks).checked_mul(u128::from(NANOS))? / self.units;
        let shifted = i128::try_from(ns).ok()? + i128::from(self.offset_s) * i128::from(NANOS);
        u64::try_from(shifted).ok()
    }
}
