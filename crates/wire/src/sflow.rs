//! sFlow version 5 (sflow.org, July 2004): sampled packets with their first bytes, and counters.
//!
//! A flow sample becomes one record: its raw header is decoded as the packet that it is, and the sampling rate of the sample
//! is applied. Its bytes are the length of the frame, which is what sFlow counts. Counter samples are counted and passed over.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::evidence::{Trial, forget_hops, quiet, write4, write6};
use crate::fault::Reason;
use crate::flow::{Batch, Exported, Flow};
use crate::packet;

/// The header of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) agent: Ipv6Addr,
    pub(crate) sub_agent: u32,
    pub(crate) sequence: u32,
    pub(crate) uptime_ms: u32,
    pub(crate) samples: u32,
    /// Where the first sample starts.
    pub(crate) start: usize,
}

/// What a datagram held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) records: u32,
    pub(crate) counters: u32,
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

/// An address with its type before it: 1 is IPv4, 2 is IPv6. Gives it and where it ends.
fn address(data: &[u8], at: usize) -> Option<(Ipv6Addr, usize)> {
    match be32(data, at)? {
        // Type 0 is "not known", and has no bytes.
        0 => Some((Ipv6Addr::UNSPECIFIED, at + 4)),
        1 => Some((Ipv4Addr::from_bits(be32(data, at + 4)?).to_ipv6_mapped(), at + 8)),
        2 => Some((Ipv6Addr::from(*data.get(at + 4..)?.first_chunk()?), at + 20)),
        _ => None,
    }
}

/// Reads the header.
pub(crate) fn header(data: &[u8]) -> Option<Header> {
    let (agent, at) = address(data, 4)?;
    Some(Header {
        agent,
        sub_agent: be32(data, at)?,
        sequence: be32(data, at + 4)?,
        uptime_ms: be32(data, at + 8)?,
        samples: be32(data, at + 12)?,
        start: at + 16,
    })
}

/// Where the datagram ends by its own samples, or `None` where the bytes end before.
pub(crate) fn end(data: &[u8], header: &Header) -> Option<usize> {
    let mut at = header.start;
    for _ in 0..header.samples {
        let length = be32(data, at + 4)? as usize;
        at = at.checked_add(8)?.checked_add(length)?;
        if at > data.len() {
            return None;
        }
    }
    Some(at)
}

/// A sample of a datagram, or a record of a sample: a kind, a length, and so many bytes.
struct Part {
    kind: u32,
    /// Where its bytes lie, as far as they are there.
    body: Range<usize>,
    /// Whether there are fewer than its length says.
    cut: bool,
}

/// The part at `at`; `None` where not even its kind and length are there.
fn part(data: &[u8], at: usize) -> Option<Part> {
    let (kind, length) = (be32(data, at)?, be32(data, at + 4)? as usize);
    let start = at + 8;
    let there = length.min(data.len() - start);
    Some(Part {
        kind,
        body: start..start + there,
        cut: there < length,
    })
}

/// Decodes the samples behind the header.
pub(crate) fn samples(
    header: &Header,
    data: &[u8],
    time_ns: u64,
    rate: Option<u32>,
    about: &Exported,
    offset: u64,
    batch: &mut Batch,
) -> Held {
    let mut held = Held::default();
    let mut at = header.start;
    for _ in 0..header.samples {
        let Some(part) = part(data, at) else {
            batch.faults.note(Reason::MessageTruncated, offset);
            break;
        };
        at = part.body.end;
        let body = &data[part.body];
        match part.kind {
            1 | 3 => match sample(body, part.kind == 3, time_ns, rate, about, offset, batch) {
                Some(()) => held.records += 1,
                None => batch.faults.note(Reason::SetLength, offset),
            },
            2 | 4 => held.counters += 1,
            _ => {} // an enterprise's own, or one that has come since
        }
        if part.cut {
            batch.faults.note(Reason::MessageTruncated, offset);
            break;
        }
    }
    held
}

/// What a flow sample says before its records.
#[derive(Clone, Copy, PartialEq)]
struct Head {
    rate: u32,
    in_if: u32,
    out_if: u32,
    dropped: bool,
    records: u32,
    /// Where the first record lies.
    start: usize,
}

/// Reads what a flow sample says before its records. `None` where it is too short to be one.
fn head(body: &[u8], expanded: bool) -> Option<Head> {
    // sequence, source id (one word, or type and index), rate, pool, drops, input, output (one word each, or format and value)
    let rate = be32(body, if expanded { 12 } else { 8 })?;
    let interface = |at: usize| -> Option<u32> {
        let word = be32(body, at)?;
        // Two bits of format; 0 is one interface, 1 "dropped, for this reason", 2 "several".
        Some(match word >> 30 {
            0 => word,
            _ => 0,
        })
    };
    let (in_if, out_if, dropped, count_at) = if expanded {
        let value = |at: usize| {
            Some(if be32(body, at)? == 0 {
                be32(body, at + 4)?
            } else {
                0
            })
        };
        (value(24)?, value(32)?, be32(body, 32)? == 1, 40)
    } else {
        (interface(20)?, interface(24)?, be32(body, 24)? >> 30 == 1, 28)
    };
    Some(Head {
        rate,
        in_if,
        out_if,
        dropped,
        records: be32(body, count_at)?,
        start: count_at + 4,
    })
}

/// One flow sample. `None` where it is too short to be one.
fn sample(
    body: &[u8],
    expanded: bool,
    time_ns: u64,
    rate: Option<u32>,
    about: &Exported,
    offset: u64,
    batch: &mut Batch,
) -> Option<()> {
    let head = head(body, expanded)?;
    let mut flow = Flow {
        first_ns: time_ns,
        last_ns: time_ns,
        packets: 1,
        sampling: rate.unwrap_or(head.rate.max(1)),
        has: Flow::IS_PACKET | if head.dropped { Flow::DROPPED } else { 0 },
        ..Flow::EMPTY
    };
    let mut more = Exported {
        // 0x3fffffff is "the device itself".
        in_if: if head.in_if == 0x3fff_ffff { 0 } else { head.in_if },
        out_if: if head.out_if == 0x3fff_ffff {
            0
        } else {
            head.out_if
        },
        ..*about
    };
    let mut best = 0;
    let mut at = head.start;
    for _ in 0..head.records {
        let Some(part) = part(body, at) else { break };
        at = next(&part);
        let record = &body[part.body];
        record_of(part.kind, record, &mut flow, &mut more, &mut best, offset, batch);
        if part.cut {
            batch.faults.note(Reason::SetLength, offset);
            break;
        }
        if at > body.len() {
            break;
        }
    }
    let index = batch.flows.len();
    batch.flows.push(flow);
    if batch.keep_exported {
        batch.exported.resize(index, Exported::EMPTY);
        batch.exported.push(more);
    }
    Some(())
}

/// Where the record behind this one lies: records are padded to words.
fn next(part: &Part) -> usize {
    part.body.start + part.body.len().next_multiple_of(4)
}

/// One record of a flow sample. A raw header says most; the others fill in where there is none.
fn record_of(
    kind: u32,
    data: &[u8],
    flow: &mut Flow,
    more: &mut Exported,
    best: &mut u8,
    offset: u64,
    batch: &mut Batch,
) {
    match kind {
        1 if *best < 3 => {
            let (Some(protocol), Some(length), Some(captured)) =
                (be32(data, 0), be32(data, 4), be32(data, 12))
            else {
                return;
            };
            let rest = data.get(16..).unwrap_or(&[]);
            let header = &rest[..rest.len().min(captured as usize)];
            flow.bytes = u64::from(length);
            let Some(link) = link_of(protocol) else {
                batch.faults.note(Reason::LinkType, offset);
                return;
            };
            match packet::frame(link, header, length, flow, offset, batch) {
                Ok(_) => *best = 3,
                Err(reason) => batch.faults.note(reason, offset),
            }
            flow.bytes = u64::from(length);
            if link == 1
                && let Some(macs) = header.first_chunk::<12>()
            {
                more.dst_mac.copy_from_slice(&macs[..6]);
                more.src_mac.copy_from_slice(&macs[6..]);
            }
        }
        2 if *best < 1 => {
            if let Some(length) = be32(data, 0) {
                flow.bytes = u64::from(length);
                *best = 1;
            }
            if let Some(macs) = data.get(4..24) {
                more.src_mac.copy_from_slice(&macs[..6]);
                more.dst_mac.copy_from_slice(&macs[8..14]);
            }
        }
        3 | 4 if *best < 2 => {
            let wide = kind == 4;
            let ports = if wide { 40 } else { 16 };
            let word = |at: usize| be32(data, at);
            let (Some(length), Some(protocol), Some(src_port), Some(dst_port), Some(flags), Some(tos)) = (
                word(0),
                word(4),
                word(ports),
                word(ports + 4),
                word(ports + 8),
                word(ports + 12),
            ) else {
                return;
            };
            let at = |at: usize| -> Ipv6Addr {
                match (wide, data.get(at..).and_then(|d| d.first_chunk::<16>())) {
                    (true, Some(octets)) => Ipv6Addr::from(*octets),
                    _ => Ipv4Addr::from_bits(word(at).unwrap_or(0)).to_ipv6_mapped(),
                }
            };
            flow.src = at(8);
            flow.dst = at(if wide { 24 } else { 12 });
            flow.bytes = u64::from(length);
            flow.protocol = protocol as u8;
            flow.src_port = src_port as u16;
            flow.dst_port = dst_port as u16;
            flow.tos = tos as u8;
            flow.has |= Flow::HAS_TRANSPORT;
            match protocol {
                6 => {
                    flow.tcp_flags = flags as u8;
                    flow.has |= Flow::HAS_TCP_FLAGS;
                }
                // Type and code stand where the ports are.
                1 | 58 => (flow.icmp_type, flow.icmp_code) = (src_port as u8, dst_port as u8),
                _ => {}
            }
            let headers = match protocol {
                6 => 20,
                1 | 17 | 58 => 8,
                _ => 0,
            } + if wide { 40 } else { 20 };
            flow.payload = length.saturating_sub(headers).min(65_535) as u16;
            *best = 2;
        }
        1001 => {
            let vlan = |at: usize| be32(data, at).map_or(0, |v| (v & 0x0fff) as u16);
            if flow.vlan == 0 {
                flow.vlan = vlan(0);
            }
            more.out_vlan = vlan(8);
        }
        1002 => {
            if let Some((hop, at)) = address(data, 0) {
                more.next_hop = hop;
                more.src_mask = be32(data, at).unwrap_or(0) as u8;
                more.dst_mask = be32(data, at + 4).unwrap_or(0) as u8;
            }
        }
        1003 => {
            let Some((hop, at)) = address(data, 0) else { return };
            more.bgp_next_hop = hop;
            more.src_as = be32(data, at + 4).unwrap_or(0);
            more.dst_as = last_as(data, at + 12).unwrap_or(0);
        }
        _ => {}
    }
}

/// The link type of a raw header: Ethernet, PPP, IPv4, IPv6.
fn link_of(protocol: u32) -> Option<u16> {
    match protocol {
        1 => Some(1),
        7 => Some(9),
        11 | 12 => Some(101),
        _ => None,
    }
}

/// The last autonomous system of a path: that of the destination. A path is segments of (type, length, numbers).
fn last_as(data: &[u8], at: usize) -> Option<u32> {
    let segments = be32(data, at)?;
    let (mut at, mut last) = (at + 4, None);
    for _ in 0..segments {
        let length = be32(data, at + 4)? as usize;
        let end = at.checked_add(8)?.checked_add(length.checked_mul(4)?)?;
        if length > 0 {
            last = Some(be32(data, end - 4)?);
        }
        at = end;
    }
    last
}

/// Writes other addresses into a datagram whose header can be read, and zeros over what is not decoded. The agent is replaced too, next
/// hops and hardware addresses are not kept. False where a packet header in it is not decoded to the same afterwards.
pub(crate) fn redact(
    header: &Header,
    data: &mut [u8],
    trial: &mut Trial,
    address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
) -> bool {
    readdress(data, 4, header.agent, address);
    let mut same = true;
    let mut at = header.start;
    for _ in 0..header.samples {
        let Some(part) = part(data, at) else { break };
        at = part.body.end;
        let body = &mut data[part.body];
        match part.kind {
            1 | 3 => same &= redact_sample(body, part.kind == 3, trial, address),
            _ => body.fill(0),
        }
    }
    if let Some(rest) = data.get_mut(at..) {
        rest.fill(0);
    }
    same
}

/// Writes the address in place of one that has its type before it.
fn readdress(data: &mut [u8], at: usize, old: Ipv6Addr, address: &dyn Fn(Ipv6Addr) -> Ipv6Addr) {
    let kind = be32(data, at);
    let Some(field) = data.get_mut(at + 4..) else {
        return;
    };
    match kind {
        Some(1) => write4(field, address(old)),
        Some(2) => write6(field, address(old)),
        _ => {}
    }
}

fn redact_sample(
    body: &mut [u8],
    expanded: bool,
    trial: &mut Trial,
    address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
) -> bool {
    let Some(head_of) = head(body, expanded) else {
        body.fill(0);
        return true;
    };
    quiet(&mut body[..head_of.start], &mut |bytes| head(bytes, expanded));
    let mut known = (Flow::EMPTY, Exported::EMPTY, 0);
    let mut same = true;
    let mut at = head_of.start;
    for _ in 0..head_of.records {
        let Some(part) = part(body, at) else { break };
        at = next(&part);
        let end = part.body.end;
        let record = &mut body[part.body];
        same &= redact_record(part.kind, record, &known, trial, address);
        let (flow, more, best) = &mut known;
        record_of(part.kind, record, flow, more, best, 0, &mut Batch::default());
        // Padding.
        let behind = at.min(body.len());
        body[end..behind].fill(0);
        if part.cut || at > body.len() {
            break;
        }
    }
    if let Some(rest) = body.get_mut(at..) {
        rest.fill(0);
    }
    same
}

/// One record, behind others that have said `known`.
fn redact_record(
    kind: u32,
    record: &mut [u8],
    known: &(Flow, Exported, u8),
    trial: &mut Trial,
    address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
) -> bool {
    let best = known.2;
    let captured = be32(record, 12).map_or(0, |captured| captured as usize);
    match kind {
        1 if best < 3 && record.len() >= 16 => {
            let (protocol, length) = (be32(record, 0), be32(record, 4).unwrap_or(0));
            let (about, rest) = record.split_at_mut(16);
            // Bytes that were stripped off its end.
            about[8..12].fill(0);
            let (header, rest) = rest.split_at_mut(captured.min(rest.len()));
            rest.fill(0);
            let Some(link) = protocol.and_then(link_of) else {
                header.fill(0);
                return true;
            };
            return trial.frame(link, header, length, address);
        }
        3 | 4 if best < 2 => {
            for (v4, v6) in [(8, 8), (12, 24)] {
                let at = if kind == 4 { v6 } else { v4 };
                match (kind, record.get_mut(at..)) {
                    (3, Some(field)) => {
                        if let Some(octets) = field.first_chunk::<4>() {
                            write4(field, address(Ipv4Addr::from(*octets).to_ipv6_mapped()));
                        }
                    }
                    (_, Some(field)) => {
                        if let Some(octets) = field.first_chunk::<16>() {
                            write6(field, address(Ipv6Addr::from(*octets)));
                        }
                    }
                    (_, None) => {}
                }
            }
        }
        _ => {}
    }
    quiet(record, &mut |bytes| {
        let (mut flow, mut more, mut best) = *known;
        let mut batch = Batch::default();
        record_of(kind, bytes, &mut flow, &mut more, &mut best, 0, &mut batch);
        forget_hops(&mut more);
        (flow, more, best, batch.faults)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    fn decoded(data: &[u8]) -> (Batch, Held) {
        let mut batch = Batch {
            keep_exported: true,
            ..Batch::default()
        };
        let header = header(data).unwrap();
        let held = samples(&header, data, 7, None, &Exported::EMPTY, 0, &mut batch);
        (batch, held)
    }

    #[test]
    fn a_sampled_ipv4_record_is_a_flow() {
        let record = words(&[3, 32, 100, 6, 0x0102_0304, 0x0506_0708, 40_000, 80, 2, 0]);
        let mut sample = words(&[1, 5, 512, 0, 0, 3, 0x4000_0000 | 259, 1]);
        sample.extend(&record);
        let mut data = words(&[5, 1, 0x0a00_0001, 0, 9, 1000, 2, 1, sample.len() as u32]);
        data.extend(&sample);
        data.extend(words(&[2, 4, 0]));
        let (batch, held) = decoded(&data);
        assert_eq!(
            held,
            Held {
                records: 1,
                counters: 1
            }
        );
        let flow = batch.flows[0];
        assert_eq!(
            (
                flow.bytes,
                flow.sampling,
                flow.src_port,
                flow.dst_port,
                flow.tcp_flags
            ),
            (100, 512, 40_000, 80, 2)
        );
        assert_ne!(
            flow.has & Flow::DROPPED,
            0,
            "the output interface says that it was dropped"
        );
        assert_eq!((batch.exported(0).in_if, batch.exported(0).out_if), (3, 0));
        assert_eq!(end(&data, &header(&data).unwrap()), Some(data.len()));
    }

    #[test]
    fn lengths_that_cannot_be_end_the_datagram() {
        let data = words(&[
            5,
            1,
            0x0a00_0001,
            0,
            9,
            1000,
            0xffff_ffff,
            1,
            0xffff_ffff,
            1,
            2,
            3,
        ]);
        let (batch, held) = decoded(&data);
        assert_eq!(held.records, 0);
        assert!(batch.faults.iter().count() > 0);
        assert_eq!(end(&data, &header(&data).unwrap()), None);
        let endless = words(&[5, 1, 0x0a00_0001, 0, 9, 1000, 0xffff_ffff, 9, 0, 9, 0]);
        assert_eq!(decoded(&endless).1.records, 0);
    }

    #[test]
    fn the_path_ends_at_the_destination() {
        let data = words(&[2, 2, 1, 65_001, 1, 2, 65_002, 65_003]);
        assert_eq!(last_as(&data, 0), Some(65_003));
        assert_eq!(last_as(&words(&[1, 2, 0x4000_0000]), 0), None);
    }

    fn other(address: Ipv6Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(address.to_bits() ^ 0x0101)
    }

    #[test]
    fn every_kind_of_record_keeps_what_is_decoded_and_nothing_else() {
        let record = |kind: u32, body: &[u8]| {
            let mut record = words(&[kind, body.len() as u32]);
            record.extend(body);
            record.resize(record.len().next_multiple_of(4), 0xaa);
            record
        };
        let v6 = |last: u32| words(&[0x2a00_1450, 0x4d01_0204, 0x5566_7799, last]);
        // A sampled packet: Ethernet with a VLAN, IPv4, UDP, an answer of DNS.
        let mut frame = vec![
            2, 0x11, 0x22, 0x33, 0x44, 0x55, 2, 0x66, 0x77, 0x88, 0x99, 0xaa, 0x81, 0, 0, 7, 8, 0,
        ];
        let mut dns = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        dns.extend(
            b"\x03www\x07example\x03org\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x4d\x01\x02\x03",
        );
        let length = (28 + dns.len()) as u16;
        frame.extend([0x45, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([
            0, 7, 0, 0, 57, 17, 1, 2, 77, 1, 2, 3, 77, 5, 6, 7, 0, 53, 0x30, 0x39,
        ]);
        frame.extend((length - 20).to_be_bytes());
        frame.extend([9, 9]);
        frame.extend(&dns);
        let mut raw = words(&[1, 90, 4, frame.len() as u32]);
        raw.extend(&frame);
        // ARP, of which nothing is decoded but that it is no IP.
        let mut arp = words(&[1, 60, 4, 42]);
        arp.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 2, 3, 4, 5, 8, 6]);
        arp.extend([
            0, 1, 8, 0, 6, 4, 0, 1, 2, 1, 2, 3, 4, 5, 77, 1, 2, 3, 0, 0, 0, 0, 0, 0, 77, 5, 6, 7,
        ]);
        let ipv6 = [words(&[100, 17]), v6(5), v6(6), words(&[53, 4000, 0, 8, 99])].concat();
        let router = [words(&[1, 0x4d01_0203]), words(&[24, 16])].concat();
        let gateway = words(&[
            1,
            0x4d01_0203,
            65_001,
            65_002,
            65_003,
            1,
            2,
            2,
            65_004,
            65_005,
            2,
            0x4d01_0203,
            0x4d01_0203,
            100,
        ]);
        let named = [words(&[0, 5]), b"alice".to_vec()].concat();
        let sample = |records: &[Vec<u8>]| {
            let mut body = words(&[1, 0x4d01_0203, 512, 7, 7, 3, 4, records.len() as u32]);
            body.extend(records.concat());
            let mut sample = words(&[1, body.len() as u32]);
            sample.extend(body);
            sample
        };
        let mut data = words(&[5, 1, 0x4d01_02c8, 0, 9, 1000, 5]);
        data.extend(sample(&[
            record(1, &raw),
            record(1002, &router),
            record(1003, &gateway),
            record(1004, &named),
        ]));
        data.extend(sample(&[record(1, &arp), record(1001, &words(&[7, 3, 8, 4]))]));
        data.extend(sample(&[
            record(
                2,
                &words(&[90, 0x0211_2233, 0x4455_0000, 0x0266_7788, 0x99aa_0000, 0x0800]),
            ),
            record(4, &ipv6),
        ]));
        data.extend(sample(&[record(
            3,
            &words(&[90, 6, 0x4d01_0203, 0x4d05_0607, 80, 4000, 2, 0, 9]),
        )]));
        data.extend(words(&[2, 8]));
        data.extend(b"Gi0/1-x!");
        data.extend([77, 1, 2, 3]);
        let mut after = data.clone();
        let mut trial = Trial::new();
        assert!(redact(&header(&data).unwrap(), &mut after, &mut trial, &other));
        assert_eq!(after.len(), data.len());
        for left in [
            &[77, 1, 2, 3][..],
            &[77, 5, 6, 7],
            &[77, 1, 2, 0xc8],
            &[0x11, 0x22, 0x33],
            &[0x66, 0x77, 0x88],
            b"alice",
            b"Gi0",
            &65_003u32.to_be_bytes(),
        ] {
            assert!(
                !after.windows(left.len()).any(|window| window == left),
                "{left:?} is left"
            );
        }
        let ((was, held), (is, held_after)) = (decoded(&data), decoded(&after));
        assert_eq!(
            (held, header(&after).unwrap().agent),
            (held_after, other(header(&data).unwrap().agent))
        );
        assert_eq!(was.faults, is.faults);
        assert_eq!((&was.dns, &was.names), (&is.dns, &is.names));
        assert_eq!(was.flows.len(), 4);
        for at in 0..was.flows.len() {
            let moved = Flow {
                src: if at == 1 {
                    was.flows[at].src
                } else {
                    other(was.flows[at].src)
                },
                dst: if at == 1 {
                    was.flows[at].dst
                } else {
                    other(was.flows[at].dst)
                },
                ..was.flows[at]
            };
            assert_eq!(is.flows[at], moved);
            let mut more = *was.exported(at);
            forget_hops(&mut more);
            let mut told = *is.exported(at);
            forget_hops(&mut told);
            assert_eq!(told, more);
        }
        assert_eq!(
            (is.exported(0).dst_as, is.exported(0).src_mask, is.flows[0].vlan),
            (65_005, 24, 7)
        );
        // However it is cut, it is rewritten as far as it goes.
        for end in 28..data.len() {
            let mut cut = data[..end].to_vec();
            redact(&header(&cut).unwrap(), &mut cut, &mut trial, &other);
            assert_eq!(decoded(&cut).0.flows.len(), decoded(&data[..end]).0.flows.len());
            assert_eq!(decoded(&cut).0.faults, decoded(&data[..end]).0.faults, "{end}");
        }
    }
}
