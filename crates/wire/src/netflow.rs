//! NetFlow v1, v5 and v7: headers and records of fixed form (Cisco NetFlow Export Datagram Format).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::columns::{Clock, complete};
use crate::evidence::write4;
use crate::flow::{Batch, Exported, Flow, Format};

/// What the header of a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: Format,
    /// Records, as the header says.
    pub(crate) count: u16,
    pub(crate) clock: Clock,
    /// Number of the first flow in this message since the exporter started; v1 has none.
    pub(crate) sequence: Option<u32>,
    /// Engine type and id (v5).
    pub(crate) engine: u32,
    /// One of how many packets is observed (v5), 0 where not said.
    pub(crate) sampling: u32,
}

/// Length of header and record.
pub(crate) fn lengths(format: Format) -> (usize, usize) {
    match format {
        Format::Netflow1 => (16, 52),
        Format::Netflow7 => (24, 52),
        _ => (24, 48),
    }
}

fn be16(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([data[at], data[at + 1]])
}

fn be32(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]])
}

/// Reads the header; `None` where the message is too short for it.
pub(crate) fn header(format: Format, data: &[u8]) -> Option<Header> {
    let (length, _) = lengths(format);
    let data = data.get(..length)?;
    let seconds = u64::from(be32(data, 8));
    let nanos = u64::from(be32(data, 12)).min(999_999_999);
    Some(Header {
        format,
        count: be16(data, 2),
        clock: Clock {
            export_ns: seconds * 1_000_000_000 + nanos,
            uptime_ms: Some(be32(data, 4)),
        },
        sequence: (format != Format::Netflow1).then(|| be32(data, 16)),
        engine: if format == Format::Netflow5 {
            u32::from(be16(data, 20))
        } else {
            0
        },
        // The upper two bits are the mode, which exporters leave at zero even where they sample.
        sampling: if format == Format::Netflow5 {
            u32::from(be16(data, 22) & 0x3fff)
        } else {
            0
        },
    })
}

/// Decodes the records behind the header: as many as the header says and the bytes hold. Returns how many.
///
/// One pass with a fixed stride; every field lies at a place known to the compiler, and nothing is allocated.
pub(crate) fn records(
    header: &Header,
    records: &[u8],
    sampling: u32,
    about: &Exported,
    batch: &mut Batch,
) -> u32 {
    let from = batch.flows.len();
    let count = usize::from(header.count);
    if header.format == Format::Netflow5 {
        let (rows, _) = records.as_chunks::<48>();
        batch.flows.extend(
            rows.iter()
                .take(count)
                .map(|row| flow(row, 37, &header.clock, sampling)),
        );
        if batch.keep_exported {
            batch.exported.resize(from, Exported::EMPTY);
            batch
                .exported
                .extend(rows.iter().take(count).map(|row| exported(row, true, about)));
        }
    } else {
        let flags = if header.format == Format::Netflow1 { 40 } else { 37 };
        let (rows, _) = records.as_chunks::<52>();
        batch.flows.extend(
            rows.iter()
                .take(count)
                .map(|row| flow(row, flags, &header.clock, sampling)),
        );
        if batch.keep_exported {
            let ases = header.format == Format::Netflow7;
            batch.exported.resize(from, Exported::EMPTY);
            batch
                .exported
                .extend(rows.iter().take(count).map(|row| exported(row, ases, about)));
        }
    }
    (batch.flows.len() - from) as u32
}

#[inline(always)]
fn address(row: &[u8], at: usize) -> Ipv6Addr {
    Ipv4Addr::from_bits(be32(row, at)).to_ipv6_mapped()
}

/// One record. The three versions differ only in where the TCP flags lie.
#[inline(always)]
fn flow<const N: usize>(row: &[u8; N], flags: usize, clock: &Clock, sampling: u32) -> Flow {
    let now = clock.uptime_ms.unwrap_or(0);
    let mut flow = Flow {
        src: address(row, 0),
        dst: address(row, 4),
        packets: u64::from(be32(row, 16)),
        bytes: u64::from(be32(row, 20)),
        first_ns: clock.at_uptime(now, be32(row, 24)),
        last_ns: clock.at_uptime(now, be32(row, 28)),
        src_port: be16(row, 32),
        dst_port: be16(row, 34),
        tcp_flags: row[flags],
        protocol: row[38],
        tos: row[39],
        sampling,
        has: Flow::HAS_TRANSPORT | Flow::HAS_TCP_FLAGS,
        ..Flow::EMPTY
    };
    complete(&mut flow, false);
    flow
}

fn exported<const N: usize>(row: &[u8; N], ases: bool, about: &Exported) -> Exported {
    Exported {
        next_hop: address(row, 8),
        in_if: u32::from(be16(row, 12)),
        out_if: u32::from(be16(row, 14)),
        src_as: if ases { u32::from(be16(row, 40)) } else { 0 },
        dst_as: if ases { u32::from(be16(row, 42)) } else { 0 },
        src_mask: if ases { row[44] } else { 0 },
        dst_mask: if ases { row[45] } else { 0 },
        ..*about
    }
}

/// Writes other addresses into the records behind the header of a message, and zeros over what is not decoded. Next hops are not kept.
pub(crate) fn redact(header: &Header, data: &mut [u8], address: &dyn Fn(Ipv6Addr) -> Ipv6Addr) {
    let (start, length) = lengths(header.format);
    // What `flow` and `exported` read behind the addresses.
    let kept: &[std::ops::Range<usize>] = match header.format {
        Format::Netflow1 => &[12..36, 38..41],
        _ => &[12..36, 37..46],
    };
    let Some(body) = data.get_mut(start..) else { return };
    let mut rows = body.chunks_exact_mut(length);
    for row in rows.by_ref().take(usize::from(header.count)) {
        let old = row.to_vec();
        row.fill(0);
        for at in [0, 4] {
            write4(&mut row[at..], address(self::address(&old, at)));
        }
        for place in kept {
            row[place.clone()].copy_from_slice(&old[place.clone()]);
        }
    }
    // What lies behind the records is nobody's.
    let behind = start + length * usize::from(header.count).min(data[start..].len() / length);
    data[behind..].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptimes_become_times_even_across_the_wrap() {
        let clock = Clock {
            export_ns: 1_700_000_000_000_000_000,
            uptime_ms: Some(5_000),
        };
        assert_eq!(clock.at_uptime(5_000, 4_000), 1_699_999_999_000_000_000);
        assert_eq!(clock.at_uptime(5_000, 6_000), 1_700_000_001_000_000_000);
        assert_eq!(
            clock.at_uptime(5_000, u32::MAX - 4_999),
            1_699_999_990_000_000_000
        );
    }

    #[test]
    fn a_record_is_read_field_by_field() {
        let mut message = vec![
            0, 5, 0, 1, 0, 0, 0x27, 0x10, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 0x40, 100,
        ];
        let mut row = vec![
            1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9, 0, 3, 0, 4, 0, 0, 0, 2, 0, 0, 0, 120,
        ];
        row.extend([
            0, 0, 0x23, 0x28, 0, 0, 0x27, 0x10, 0x30, 0x39, 0, 80, 0, 2, 6, 0xb8, 0xfd, 0xe8, 0, 7, 24, 16,
            0, 0,
        ]);
        message.extend(&row);
        let header = header(Format::Netflow5, &message).unwrap();
        assert_eq!(
            (header.count, header.sequence, header.engine, header.sampling),
            (1, Some(9), 0x0102, 100)
        );
        let mut batch = Batch {
            keep_exported: true,
            ..Batch::default()
        };
        assert_eq!(
            records(&header, &message[24..], 100, &Exported::EMPTY, &mut batch),
            1
        );
        let flow = batch.flows[0];
        assert_eq!((flow.packets, flow.bytes, flow.scaled_packets()), (2, 120, 200));
        assert_eq!(
            (
                flow.src_port,
                flow.dst_port,
                flow.tcp_flags,
                flow.protocol,
                flow.tos
            ),
            (12345, 80, 2, 6, 0xb8)
        );
        assert_eq!((flow.first_ns, flow.last_ns), (99_000_000_000, 100_000_000_000));
        let more = batch.exported(0);
        assert_eq!(
            (more.in_if, more.out_if, more.src_as, more.dst_as, more.src_mask),
            (3, 4, 65_000, 7, 24)
        );
    }
}
