//! sFlow version 5 (sflow.org, July 2004): sampled packets with their first bytes, and counters.
//!
//! A flow sample becomes one record: its raw header is decoded as the packet that it is, and the sampling rate of the sample
//! is applied. Its bytes are the length of the frame, which is what sFlow counts. Counter samples are counted and passed over.

use std::net::{Ipv4Addr, Ipv6Addr};

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
        let (Some(kind), Some(length)) = (be32(data, at), be32(data, at + 4)) else {
            batch.faults.note(Reason::MessageTruncated, offset);
            break;
        };
        at += 8;
        let rest = &data[at..];
        let body = &rest[..rest.len().min(length as usize)];
        let expanded = kind == 3;
        match kind {
            1 | 3 => match sample(body, expanded, time_ns, rate, about, offset, batch) {
                Some(()) => held.records += 1,
                None => batch.faults.note(Reason::SetLength, offset),
            },
            2 | 4 => held.counters += 1,
            _ => {} // an enterprise's own, or one that has come since
        }
        if body.len() < length as usize {
            batch.faults.note(Reason::MessageTruncated, offset);
            break;
        }
        at += body.len();
    }
    held
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
    // sequence, source id (one word, or type and index), rate, pool, drops, input, output (one word each, or format and value)
    let rate_at = if expanded { 12 } else { 8 };
    let sampled = be32(body, rate_at)?;
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
    let mut flow = Flow {
        first_ns: time_ns,
        last_ns: time_ns,
        packets: 1,
        sampling: rate.unwrap_or(sampled.max(1)),
        has: Flow::IS_PACKET | if dropped { Flow::DROPPED } else { 0 },
        ..Flow::EMPTY
    };
    let mut more = Exported {
        // 0x3fffffff is "the device itself".
        in_if: if in_if == 0x3fff_ffff { 0 } else { in_if },
        out_if: if out_if == 0x3fff_ffff { 0 } else { out_if },
        ..*about
    };
    let mut best = 0;
    let mut at = count_at + 4;
    for _ in 0..be32(body, count_at)? {
        let (Some(kind), Some(length)) = (be32(body, at), be32(body, at + 4)) else {
            break;
        };
        let rest = &body[at + 8..];
        let record = &rest[..rest.len().min(length as usize)];
        record_of(kind, record, &mut flow, &mut more, &mut best, offset, batch);
        if record.len() < length as usize {
            batch.faults.note(Reason::SetLength, offset);
            break;
        }
        // Records are padded to words.
        at += 8 + record.len().next_multiple_of(4);
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
            let link = match protocol {
                1 => 1,
                7 => 9,
                11 | 12 => 101,
                _ => {
                    batch.faults.note(Reason::LinkType, offset);
                    return;
                }
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
}
