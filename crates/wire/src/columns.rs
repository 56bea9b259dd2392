//! Data sets of NetFlow v9 and IPFIX, decoded column by column.
//!
//! The records of a set lie one after the other with the same layout. For each field that matters one short loop walks down the
//! set and writes that field of every record: what a field means and how long it is, is decided once for a set. The
//! loops read with a fixed stride and allocate nothing. Records whose lengths vary take the same loops, one record at a time.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::evidence::{Trial, write4, write6};
use crate::fault::{Faults, Reason};
use crate::field::Field;
use crate::flow::{Batch, Exported, Flow, Fragment};
use crate::packet;
use crate::sampling::{Sampling, Told};
use crate::template::{Column, Template, VARIABLE, placed};

/// Seconds from 1900, where NTP time begins, to 1970.
const NTP_EPOCH: u64 = 2_208_988_800;
const NANOS: u64 = 1_000_000_000;
const LINK_ETHERNET: u16 = 1;
const LINK_RAW: u16 = 101;

/// When a message was sent, by its exporter's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    /// Export time, nanoseconds since the Unix epoch.
    pub(crate) export_ns: u64,
    /// The exporter's uptime at that time in milliseconds, where the protocol has it (v1 to v9).
    pub(crate) uptime_ms: Option<u32>,
}

impl Clock {
    /// The time of an uptime. It may have wrapped, after 49.7 days, between the flow and its export.
    #[inline]
    pub(crate) fn at_uptime(&self, now_ms: u32, then_ms: u32) -> u64 {
        let ago_ms = now_ms.wrapping_sub(then_ms).cast_signed();
        self.export_ns
            .saturating_add_signed(i64::from(ago_ms) * -1_000_000)
    }
}

/// Where the records of a set come from and how they are to be read.
pub(crate) struct Context<'a> {
    pub(crate) clock: Clock,
    pub(crate) sampling: &'a mut Sampling,
    /// A rate that the user gave: it wins over whatever the exporter says.
    pub(crate) rate: Option<u32>,
    pub(crate) about: Exported,
    /// Where the message lies in the input, for faults.
    pub(crate) offset: u64,
}

/// Working space that is kept between sets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scratch {
    places: Vec<(u16, u16)>,
    /// Columns of one record, put where its fields lie: forward, reverse, sampling, extra.
    parts: [Vec<Column>; 4],
}

/// Decodes the records of a data set into the batch. Returns how many records there were.
pub(crate) fn decode(
    template: &Template,
    body: &[u8],
    context: &mut Context<'_>,
    scratch: &mut Scratch,
    batch: &mut Batch,
) -> u32 {
    if !template.is_variable() {
        let count = body.len() / template.min_len;
        let columns = Columns {
            core: &template.core,
            reverse: &template.reverse,
            sampling: &template.sampling,
            extra: &template.extra,
        };
        rows(
            template,
            columns,
            &body[..count * template.min_len],
            template.min_len,
            context,
            batch,
        );
        return count as u32;
    }
    let (mut at, mut count) = (0, 0);
    while body.len() - at >= template.min_len {
        let Some(length) = template.places(&body[at..], &mut scratch.places) else {
            batch.faults.note(Reason::SetLength, context.offset);
            break;
        };
        // The columns of this one record: those of the template, put where its fields lie.
        let of_template = [
            &template.core,
            &template.reverse,
            &template.sampling,
            &template.extra,
        ];
        for (part, of) in scratch.parts.iter_mut().zip(of_template) {
            placed(of, &scratch.places, part);
        }
        let [core, reverse, sampling, extra] = &scratch.parts;
        let columns = Columns {
            core,
            reverse,
            sampling,
            extra,
        };
        rows(template, columns, &body[at..at + length], length, context, batch);
        at += length;
        count += 1;
    }
    count
}

/// The columns of a set, or of one record.
#[derive(Clone, Copy)]
struct Columns<'a> {
    core: &'a [Column],
    reverse: &'a [Column],
    sampling: &'a [Column],
    extra: &'a [Column],
}

/// Decodes records that lie `stride` apart.
fn rows(
    template: &Template,
    columns: Columns<'_>,
    body: &[u8],
    stride: usize,
    context: &mut Context<'_>,
    batch: &mut Batch,
) {
    let count = body.len() / stride;
    let from = batch.flows.len();
    let blank = Flow {
        first_ns: context.clock.export_ns,
        last_ns: context.clock.export_ns,
        sampling: context.rate.unwrap_or(1),
        has: if template.has_ports || template.has_icmp {
            Flow::HAS_TRANSPORT
        } else {
            0
        },
        ..Flow::EMPTY
    };
    batch.flows.resize(from + count, blank);
    for column in columns.core {
        apply(column, body, stride, template, context, from, batch);
    }
    finish(template, context, &mut batch.flows[from..]);
    if context.rate.is_none() {
        sample(template, columns, body, stride, context, from, batch);
    }
    if batch.keep_exported {
        batch.exported.resize(from, Exported::EMPTY);
        batch.exported.resize(from + count, context.about);
        for column in columns.extra.iter().chain(columns.sampling) {
            extra(column, body, stride, &mut batch.exported[from..]);
        }
        for column in columns.core.iter().filter(|c| c.field == Field::ForwardingStatus) {
            extra(column, body, stride, &mut batch.exported[from..]);
        }
    }
    if !columns.reverse.is_empty() {
        reverse(template, columns, body, stride, context, from, batch);
    }
}

/// Both directions of a biflow become flows: adds the reverse ones behind the forward ones of this set.
fn reverse(
    template: &Template,
    columns: Columns<'_>,
    body: &[u8],
    stride: usize,
    context: &Context<'_>,
    from: usize,
    batch: &mut Batch,
) {
    let to = batch.flows.len();
    batch.flows.extend_from_within(from..to);
    for flow in &mut batch.flows[to..] {
        std::mem::swap(&mut flow.src, &mut flow.dst);
        std::mem::swap(&mut flow.src_port, &mut flow.dst_port);
        flow.packets = 0;
        flow.bytes = 0;
        flow.tcp_flags = 0;
        flow.ttl = 0;
        flow.has &= !(Flow::HAS_TTL | Flow::HAS_TCP_FLAGS | Flow::DROPPED);
    }
    for column in columns.reverse {
        apply(column, body, stride, template, context, to, batch);
    }
    finish(template, context, &mut batch.flows[to..]);
    if batch.keep_exported {
        batch.exported.resize(to, Exported::EMPTY);
        batch.exported.extend_from_within(from..to);
        for exported in &mut batch.exported[to..] {
            std::mem::swap(&mut exported.in_if, &mut exported.out_if);
            std::mem::swap(&mut exported.src_as, &mut exported.dst_as);
            std::mem::swap(&mut exported.src_mask, &mut exported.dst_mask);
            std::mem::swap(&mut exported.src_mac, &mut exported.dst_mac);
            exported.reverse = true;
        }
    }
    // A direction in which nothing went is no flow.
    let mut kept = to;
    for at in to..batch.flows.len() {
        if batch.flows[at].packets > 0 || batch.flows[at].bytes > 0 {
            batch.flows.swap(kept, at);
            if batch.keep_exported {
                batch.exported.swap(kept, at);
            }
            kept += 1;
        }
    }
    batch.flows.truncate(kept);
    batch.exported.truncate(kept);
}

/// Reads a number of any length up to eight bytes from each record and gives it to `set`.
#[inline(always)]
fn numbers<T>(
    column: &Column,
    body: &[u8],
    stride: usize,
    records: &mut [T],
    mut set: impl FnMut(&mut T, u64),
) {
    let at = usize::from(column.offset);
    let rows = body.chunks_exact(stride).zip(records);
    match column.len {
        1 => rows.for_each(|(row, record)| set(record, u64::from(row[at]))),
        2 => {
            rows.for_each(|(row, record)| set(record, u64::from(u16::from_be_bytes([row[at], row[at + 1]]))))
        }
        4 => rows.for_each(|(row, record)| {
            let value = [row[at], row[at + 1], row[at + 2], row[at + 3]];
            set(record, u64::from(u32::from_be_bytes(value)));
        }),
        8 => rows.for_each(|(row, record)| {
            if let Some(value) = row[at..].first_chunk() {
                set(record, u64::from_be_bytes(*value));
            }
        }),
        length @ (3 | 5 | 6 | 7) => rows.for_each(|(row, record)| {
            let value = row[at..at + usize::from(length)]
                .iter()
                .fold(0, |value, &byte| value << 8 | u64::from(byte));
            set(record, value);
        }),
        // No number, or none that the registry knows.
        _ => {}
    }
}

#[inline(always)]
fn addresses4<T>(
    column: &Column,
    body: &[u8],
    stride: usize,
    records: &mut [T],
    mut set: impl FnMut(&mut T, Ipv6Addr),
) {
    if column.len == 4 {
        numbers(column, body, stride, records, |record, value| {
            set(record, Ipv4Addr::from_bits(value as u32).to_ipv6_mapped());
        });
    }
}

#[inline(always)]
fn addresses6<T>(
    column: &Column,
    body: &[u8],
    stride: usize,
    records: &mut [T],
    mut set: impl FnMut(&mut T, Ipv6Addr),
) {
    if column.len != 16 {
        return;
    }
    let at = usize::from(column.offset);
    for (row, record) in body.chunks_exact(stride).zip(records) {
        if let Some(octets) = row[at..].first_chunk::<16>()
            && *octets != [0; 16]
        {
            set(record, Ipv6Addr::from(*octets));
        }
    }
}

/// Nanoseconds since the Unix epoch of an NTP time (RFC 7011 section 6.1.9), or of plain `units` per second, which some exporters
/// write in its place and which no NTP time after 1970 looks like.
#[inline]
fn ntp(value: u64, units: u64) -> u64 {
    match (value >> 32).checked_sub(NTP_EPOCH) {
        Some(seconds) => seconds * NANOS + (((value & 0xffff_ffff) * NANOS) >> 32),
        None => value.saturating_mul(NANOS / units),
    }
}

/// Writes one column into the records from `from` on.
fn apply(
    column: &Column,
    body: &[u8],
    stride: usize,
    template: &Template,
    context: &Context<'_>,
    from: usize,
    batch: &mut Batch,
) {
    let clock = context.clock;
    let export = clock.export_ns;
    if matches!(column.field, Field::Frame | Field::IpPacket) {
        packets(column, body, stride, template, context, from, batch);
        return;
    }
    let flows = &mut batch.flows[from..];
    macro_rules! each {
        (|$flow:ident, $value:ident| $set:expr) => {
            numbers(column, body, stride, flows, |$flow: &mut Flow, $value| $set)
        };
    }
    match column.field {
        Field::SrcV4 => addresses4(column, body, stride, flows, |flow, address| flow.src = address),
        Field::DstV4 => addresses4(column, body, stride, flows, |flow, address| flow.dst = address),
        Field::SrcV6 => addresses6(column, body, stride, flows, |flow, address| flow.src = address),
        Field::DstV6 => addresses6(column, body, stride, flows, |flow, address| flow.dst = address),
        Field::SrcPort => each!(|flow, v| flow.src_port = v as u16),
        Field::DstPort => each!(|flow, v| flow.dst_port = v as u16),
        Field::Protocol => each!(|flow, v| flow.protocol = v as u8),
        Field::TcpFlags => each!(|flow, v| {
            flow.tcp_flags = v as u8;
            flow.has |= Flow::HAS_TCP_FLAGS;
        }),
        Field::Tos => each!(|flow, v| flow.tos = v as u8),
        Field::Ttl => each!(|flow, v| {
            flow.ttl = v as u8;
            flow.has |= if v > 0 { Flow::HAS_TTL } else { 0 };
        }),
        Field::IcmpTypeCode => each!(|flow, v| {
            flow.icmp_type = (v >> 8) as u8;
            flow.icmp_code = v as u8;
        }),
        Field::IcmpType => each!(|flow, v| flow.icmp_type = v as u8),
        Field::IcmpCode => each!(|flow, v| flow.icmp_code = v as u8),
        Field::FragmentId => each!(|flow, v| flow.fragment_id = v as u32),
        Field::FragmentOffset => each!(|flow, v| {
            flow.fragment_offset = v as u16 & 0x1fff;
            if flow.fragment_offset > 0 {
                flow.fragment = Fragment::Later;
            }
        }),
        // Bit 2 is "more fragments" (IANA fragmentFlags, 197); an exporter ORs the flags of all packets.
        Field::FragmentFlags => each!(|flow, v| {
            if v & 0x20 != 0 && flow.fragment == Fragment::None {
                flow.fragment = Fragment::First;
            }
        }),
        Field::Vlan => each!(|flow, v| flow.vlan = v as u16 & 0x0fff),
        Field::ForwardingStatus => each!(|flow, v| {
            flow.has |= if v as u8 >> 6 == 2 { Flow::DROPPED } else { 0 };
        }),
        Field::OutPackets | Field::PacketsTotal | Field::Packets => each!(|flow, v| flow.packets = v),
        Field::OutBytes | Field::BytesTotal | Field::Bytes => each!(|flow, v| flow.bytes = v),
        Field::ObservedS => each!(|flow, v| {
            flow.first_ns = v.saturating_mul(NANOS);
            flow.last_ns = flow.first_ns;
        }),
        Field::ObservedMs => each!(|flow, v| {
            flow.first_ns = v.saturating_mul(1_000_000);
            flow.last_ns = flow.first_ns;
        }),
        Field::ObservedUs => each!(|flow, v| {
            flow.first_ns = ntp(v, 1_000_000);
            flow.last_ns = flow.first_ns;
        }),
        Field::ObservedNs => each!(|flow, v| {
            flow.first_ns = ntp(v, NANOS);
            flow.last_ns = flow.first_ns;
        }),
        // The time of the start of the exporter waits in `first_ns` until the uptimes, which come next, are added to it.
        Field::InitMs => each!(|flow, v| flow.first_ns = v.saturating_mul(1_000_000)),
        Field::EndUptime => match clock.uptime_ms {
            _ if template.has_init => {
                each!(|flow, v| flow.last_ns = flow.first_ns.saturating_add(v.saturating_mul(1_000_000)))
            }
            Some(now) => each!(|flow, v| flow.last_ns = clock.at_uptime(now, v as u32)),
            None => each!(|flow, v| flow.last_ns = v.saturating_mul(1_000_000)),
        },
        Field::StartUptime => match clock.uptime_ms {
            _ if template.has_init => {
                each!(|flow, v| flow.first_ns = flow.first_ns.saturating_add(v.saturating_mul(1_000_000)))
            }
            Some(now) => each!(|flow, v| flow.first_ns = clock.at_uptime(now, v as u32)),
            None => each!(|flow, v| flow.first_ns = v.saturating_mul(1_000_000)),
        },
        Field::StartDeltaUs => {
            each!(|flow, v| flow.first_ns = export.saturating_sub(v.saturating_mul(1_000)))
        }
        Field::EndDeltaUs => each!(|flow, v| flow.last_ns = export.saturating_sub(v.saturating_mul(1_000))),
        Field::StartS => each!(|flow, v| flow.first_ns = v.saturating_mul(NANOS)),
        Field::EndS => each!(|flow, v| flow.last_ns = v.saturating_mul(NANOS)),
        Field::StartMs => each!(|flow, v| flow.first_ns = v.saturating_mul(1_000_000)),
        Field::EndMs => each!(|flow, v| flow.last_ns = v.saturating_mul(1_000_000)),
        Field::StartUs => each!(|flow, v| flow.first_ns = ntp(v, 1_000_000)),
        Field::EndUs => each!(|flow, v| flow.last_ns = ntp(v, 1_000_000)),
        Field::StartNs => each!(|flow, v| flow.first_ns = ntp(v, NANOS)),
        Field::EndNs => each!(|flow, v| flow.last_ns = ntp(v, NANOS)),
        Field::DurationMs => each!(|flow, v| duration(flow, template, v.saturating_mul(1_000_000))),
        Field::DurationUs => each!(|flow, v| duration(flow, template, v.saturating_mul(1_000))),
        // The size of the frame waits in `bytes` for the frame, which comes next.
        Field::FrameSize
            if !template
                .core
                .iter()
                .any(|c| matches!(c.field, Field::Bytes | Field::BytesTotal)) =>
        {
            each!(|flow, v| flow.bytes = v)
        }
        _ => {}
    }
}

/// Completes the time that a duration completes: the end where the start is known, else the start.
fn duration(flow: &mut Flow, template: &Template, ns: u64) {
    if template.has_start && !template.has_end {
        flow.last_ns = flow.first_ns.saturating_add(ns);
    } else if !template.has_start {
        flow.first_ns = flow.last_ns.saturating_sub(ns);
    }
}

/// Decodes the packets inside records (IANA elements 313 and 315, RFC 7133).
fn packets(
    column: &Column,
    body: &[u8],
    stride: usize,
    template: &Template,
    context: &Context<'_>,
    from: usize,
    batch: &mut Batch,
) {
    let link = if column.field == Field::Frame {
        LINK_ETHERNET
    } else {
        LINK_RAW
    };
    let (at, length) = (usize::from(column.offset), usize::from(column.len));
    for (number, row) in body.chunks_exact(stride).enumerate() {
        let mut flow = batch.flows[from + number];
        let size = u32::try_from(flow.bytes).unwrap_or(u32::MAX).max(length as u32);
        let counted = (flow.packets, flow.bytes);
        if let Err(reason) = packet::frame(
            link,
            &row[at..at + length],
            size,
            &mut flow,
            context.offset,
            batch,
        ) {
            batch.faults.note(reason, context.offset);
        }
        if template.has_packets {
            (flow.packets, flow.bytes) = counted;
        } else {
            flow.packets = 1;
            flow.has |= Flow::IS_PACKET;
        }
        batch.flows[from + number] = flow;
    }
}

/// Completes records once all their columns are there.
fn finish(template: &Template, context: &Context<'_>, flows: &mut [Flow]) {
    // Uptimes without anything to say when the exporter started: the newest end of the set is taken for the time of export.
    let uses_uptime = template
        .core
        .iter()
        .any(|c| matches!(c.field, Field::EndUptime | Field::StartUptime));
    let exact = template
        .core
        .iter()
        .any(|c| (c.field.is_start() || c.field.is_end()) && c.field > Field::StartUptime);
    if uses_uptime && !exact && !template.has_init && context.clock.uptime_ms.is_none() {
        let newest = flows.iter().map(|flow| flow.last_ns).max().unwrap_or(0);
        for flow in &mut *flows {
            let shift = |time: u64| {
                context
                    .clock
                    .export_ns
                    .saturating_sub(newest.saturating_sub(time))
            };
            flow.first_ns = shift(flow.first_ns);
            flow.last_ns = shift(flow.last_ns);
        }
    }
    let (has_start, has_end) = (template.has_start, template.has_end);
    for flow in flows {
        if has_start && !has_end && flow.last_ns == context.clock.export_ns && flow.first_ns > flow.last_ns {
            flow.last_ns = flow.first_ns;
        } else if has_end && !has_start {
            flow.first_ns = flow.first_ns.min(flow.last_ns);
        }
        complete(flow, template.has_icmp);
    }
}

/// What every flow record needs at the end: sane order of times, flags that mean something, the size of a packet's payload.
#[inline(always)]
pub(crate) fn complete(flow: &mut Flow, has_icmp: bool) {
    flow.last_ns = flow.last_ns.max(flow.first_ns);
    let headers = match flow.protocol {
        6 => {
            // Flags of zero are those of an exporter that does not look at them.
            if flow.tcp_flags == 0 {
                flow.has &= !Flow::HAS_TCP_FLAGS;
            }
            20
        }
        1 | 58 => {
            // Without fields of their own, type and code are where the destination port would be.
            if !has_icmp && flow.has & Flow::IS_PACKET == 0 {
                flow.icmp_type = (flow.dst_port >> 8) as u8;
                flow.icmp_code = flow.dst_port as u8;
            }
            flow.has &= !Flow::HAS_TCP_FLAGS;
            8
        }
        _ => {
            flow.has &= !Flow::HAS_TCP_FLAGS;
            if flow.protocol == 17 { 8 } else { 0 }
        }
    };
    if flow.has & Flow::IS_PACKET == 0 {
        let headers = headers + if flow.is_ipv6() { 40 } else { 20 };
        let size = match flow.packets {
            0 | 1 => flow.bytes,
            // Most flows fit into 32 bits, whose division is several times quicker.
            packets => match (u32::try_from(flow.bytes), u32::try_from(packets)) {
                (Ok(bytes), Ok(packets)) => u64::from(bytes / packets),
                _ => flow.bytes / packets,
            },
        };
        flow.payload = size.saturating_sub(headers).min(65_535) as u16;
    }
}

/// Applies the exporter's own sampling rates to the records from `from` on.
fn sample(
    template: &Template,
    columns: Columns<'_>,
    body: &[u8],
    stride: usize,
    context: &mut Context<'_>,
    from: usize,
    batch: &mut Batch,
) {
    let flows = &mut batch.flows[from..];
    if columns.sampling.is_empty() && !context.sampling.is_particular() {
        // The rate of the whole domain, or none.
        match context.sampling.domain {
            Some(rate) => flows.iter_mut().for_each(|flow| flow.sampling = rate),
            None => context.sampling.before += flows.len() as u64,
        }
        return;
    }
    let interface = columns.extra.iter().find(|column| column.field == Field::InIf);
    let mut unknown = 0;
    for (row, flow) in body.chunks_exact(stride).zip(flows) {
        let mut told = told(columns.sampling, row);
        if let Some(column) = interface {
            told.interface = Some(number(column, row) as u32);
        }
        match context.sampling.of(&told) {
            Some(rate) => flow.sampling = rate,
            None if context.sampling.is_known() => unknown += 1,
            None => context.sampling.before += 1,
        }
    }
    // Sampler 0 is how many exporters say "not sampled": only records of which several rates could be meant are doubtful.
    if !template
        .sampling
        .iter()
        .any(|column| column.field == Field::Sampler)
    {
        batch
            .faults
            .note_many(Reason::SamplingUnknown, unknown, context.offset);
    }
}

fn number(column: &Column, row: &[u8]) -> u64 {
    let mut value = [0];
    numbers(column, row, row.len(), &mut value, |slot, v| *slot = v);
    value[0]
}

/// The sampling fields of one record.
pub(crate) fn told(columns: &[Column], row: &[u8]) -> Told {
    let mut told = Told::default();
    for column in columns {
        let value = number(column, row);
        match column.field {
            Field::Sampler => told.sampler = Some(value),
            Field::Interval => told.interval = Some(value),
            Field::RandomInterval => told.random_interval = Some(value),
            Field::PacketInterval => told.packet_interval = Some(value),
            Field::PacketSpace => told.packet_space = Some(value),
            Field::Size => told.size = Some(value),
            Field::Population => told.population = Some(value),
            Field::Probability => {
                told.probability = Some(match column.len {
                    4 => f64::from(f32::from_bits(value as u32)),
                    _ => f64::from_bits(value),
                });
            }
            Field::ScopeInterface => told.interface = Some(value as u32),
            _ => {}
        }
    }
    told
}

/// What becomes of a field when addresses are taken out.
enum Fate {
    /// It is a number that is decoded.
    Keep,
    Address4,
    Address6,
    /// It is a packet of this link type.
    Packet(u16),
    /// It is not decoded, or not needed.
    Blank,
}

fn fate(column: &Column) -> Fate {
    use Field::*;
    match (column.field, column.len) {
        (SrcV4 | DstV4 | NatSrcV4 | NatDstV4, 4) => Fate::Address4,
        (SrcV6 | DstV6 | NatSrcV6 | NatDstV6, 16) => Fate::Address6,
        (SrcV4 | DstV4 | NatSrcV4 | NatDstV4 | SrcV6 | DstV6 | NatSrcV6 | NatDstV6, _) => Fate::Blank,
        // Next hops and hardware addresses decide nothing.
        (NextHopV4 | NextHopV6 | BgpNextHopV4 | BgpNextHopV6 | SrcMac | DstMac, _) => Fate::Blank,
        (Frame, _) => Fate::Packet(LINK_ETHERNET),
        (IpPacket, _) => Fate::Packet(LINK_RAW),
        (_, 1..=8) => Fate::Keep,
        _ => Fate::Blank,
    }
}

/// Writes other addresses into the records of a data set, and zeros over every field that is not decoded. Lengths that come with values
/// stay. False where a packet inside is not decoded to the same afterwards.
pub(crate) fn redact(
    template: &Template,
    body: &mut [u8],
    trial: &mut Trial,
    address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
) -> bool {
    let of_template = if template.options {
        [&template.sampling[..], &[], &[], &[]]
    } else {
        [
            &template.core[..],
            &template.reverse,
            &template.sampling,
            &template.extra,
        ]
    };
    let (mut at, mut same) = (0, true);
    let (mut places, mut columns) = (Vec::new(), Vec::new());
    while body.len() - at >= template.min_len {
        if !template.is_variable() {
            let row = &mut body[at..at + template.min_len];
            let old = row.to_vec();
            row.fill(0);
            for columns in of_template {
                same &= put(columns, &old, row, trial, address);
            }
            at += template.min_len;
            continue;
        }
        let Some(length) = template.places(&body[at..], &mut places) else {
            // It does not fit, and has to stay so: the fields that do are blanked, and the length of the one that does not stays.
            let fits = places
                .last()
                .map_or(0, |&(from, len)| usize::from(from) + usize::from(len));
            for &(from, len) in &places {
                body[at + usize::from(from)..][..usize::from(len)].fill(0);
            }
            let varies = template.lens.get(places.len()) == Some(&VARIABLE);
            let prefix = match body.get(at + fits) {
                Some(255) if varies => 3,
                _ if varies => 1,
                _ => 0,
            };
            at = body.len().min(at + fits + prefix);
            break;
        };
        let row = &mut body[at..at + length];
        let old = row.to_vec();
        for &(from, len) in &places {
            row[usize::from(from)..][..usize::from(len)].fill(0);
        }
        for part in of_template {
            placed(part, &places, &mut columns);
            same &= put(&columns, &old, row, trial, address);
        }
        at += length;
    }
    body[at..].fill(0);
    same
}

/// Writes the fields of one record that are kept into a row of zeros.
fn put(
    columns: &[Column],
    old: &[u8],
    row: &mut [u8],
    trial: &mut Trial,
    address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
) -> bool {
    let mut same = true;
    for column in columns {
        let (at, length) = (usize::from(column.offset), usize::from(column.len));
        let (Some(old), Some(field)) = (old.get(at..at + length), row.get_mut(at..at + length)) else {
            continue;
        };
        match fate(column) {
            Fate::Keep => field.copy_from_slice(old),
            Fate::Address4 => {
                if let Some(octets) = old.first_chunk::<4>() {
                    write4(field, address(Ipv4Addr::from(*octets).to_ipv6_mapped()));
                }
            }
            Fate::Address6 => {
                if let Some(octets) = old.first_chunk::<16>()
                    && *octets != [0; 16]
                {
                    write6(field, address(Ipv6Addr::from(*octets)));
                }
            }
            Fate::Packet(link) => {
                field.copy_from_slice(old);
                same &= trial.frame(link, field, length as u32, address);
            }
            Fate::Blank => {}
        }
    }
    same
}

/// Reads the records of an options set into the domain's sampling. Returns how many records there were, and whether a rate came
/// after records that needed it. A record whose lengths do not fit is a fault at `offset`.
pub(crate) fn options(
    template: &Template,
    body: &[u8],
    sampling: &mut Sampling,
    offset: u64,
    scratch: &mut Scratch,
    faults: &mut Faults,
) -> (u32, bool) {
    let (mut at, mut count, mut late) = (0, 0, false);
    let columns = &mut scratch.parts[0];
    while body.len() - at >= template.min_len {
        let length = if template.is_variable() {
            let Some(length) = template.places(&body[at..], &mut scratch.places) else {
                faults.note(Reason::OptionsMalformed, offset);
                break;
            };
            placed(&template.sampling, &scratch.places, columns);
            late |= sampling.learn(&told(columns, &body[at..at + length]));
            length
        } else {
            late |= sampling.learn(&told(&template.sampling, &body[at..at + template.min_len]));
            template.min_len
        };
        at += length;
        count += 1;
    }
    (count, late)
}

/// Writes one column of what only [`Exported`] has.
fn extra(column: &Column, body: &[u8], stride: usize, records: &mut [Exported]) {
    macro_rules! each {
        (|$record:ident, $value:ident| $set:expr) => {
            numbers(
                column,
                body,
                stride,
                records,
                |$record: &mut Exported, $value| $set,
            )
        };
    }
    let mac = |value: u64| {
        let [_, _, mac @ ..] = value.to_be_bytes();
        mac
    };
    match column.field {
        Field::InIf => each!(|record, v| record.in_if = v as u32),
        Field::OutIf => each!(|record, v| record.out_if = v as u32),
        Field::SrcAs => each!(|record, v| record.src_as = v as u32),
        Field::DstAs => each!(|record, v| record.dst_as = v as u32),
        Field::NextHopV4 => addresses4(column, body, stride, records, |record, a| record.next_hop = a),
        Field::NextHopV6 => addresses6(column, body, stride, records, |record, a| record.next_hop = a),
        Field::BgpNextHopV4 => addresses4(column, body, stride, records, |record, a| record.bgp_next_hop = a),
        Field::BgpNextHopV6 => addresses6(column, body, stride, records, |record, a| record.bgp_next_hop = a),
        // A template may have the masks of both families, one of them zero.
        Field::SrcMask => each!(|record, v| record.src_mask = record.src_mask.max(v as u8)),
        Field::DstMask => each!(|record, v| record.dst_mask = record.dst_mask.max(v as u8)),
        Field::Direction => each!(|record, v| record.direction = v as u8),
        Field::ForwardingStatus => each!(|record, v| record.forwarding_status = v as u8),
        Field::EndReason => each!(|record, v| record.end_reason = v as u8),
        Field::OutVlan => each!(|record, v| record.out_vlan = v as u16 & 0x0fff),
        // Sections come in the order of the template, outermost first; zero is "no such label".
        Field::Mpls => each!(|record, v| {
            if v > 0
                && let Some(slot) = record.mpls.iter_mut().find(|slot| **slot == 0)
            {
                *slot = v as u32;
            }
        }),
        Field::InVrf => each!(|record, v| record.in_vrf = v as u32),
        Field::OutVrf => each!(|record, v| record.out_vrf = v as u32),
        Field::SrcMac => each!(|record, v| record.src_mac = mac(v)),
        Field::DstMac => each!(|record, v| record.dst_mac = mac(v)),
        Field::NatSrcV4 => addresses4(column, body, stride, records, |record, a| record.nat_src = a),
        Field::NatSrcV6 => addresses6(column, body, stride, records, |record, a| record.nat_src = a),
        Field::NatDstV4 => addresses4(column, body, stride, records, |record, a| record.nat_dst = a),
        Field::NatDstV6 => addresses6(column, body, stride, records, |record, a| record.nat_dst = a),
        Field::NatSrcPort => each!(|record, v| record.nat_src_port = v as u16),
        Field::NatDstPort => each!(|record, v| record.nat_dst_port = v as u16),
        Field::Sampler => each!(|record, v| record.sampler = v),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Read, read};

    fn template(fields: &[(u16, u16)]) -> Template {
        let mut definition = vec![1, 44];
        definition.extend((fields.len() as u16).to_be_bytes());
        for (id, length) in fields {
            definition.extend(id.to_be_bytes());
            definition.extend(length.to_be_bytes());
        }
        let Read::Template(template, _) = read(&definition, true, false) else {
            panic!("no template");
        };
        template
    }

    fn redacted(template: &Template, body: &[u8]) -> Vec<u8> {
        let mut after = body.to_vec();
        let other = |address: Ipv6Addr| Ipv6Addr::from_bits(address.to_bits() ^ 0x0101);
        assert!(redact(template, &mut after, &mut Trial::new(), &other));
        after
    }

    #[test]
    fn every_field_that_is_decoded_is_kept_and_no_other() {
        // Source, next hop, translated source, exporter, hardware address, bytes, an AS, a field of nobody.
        let of = template(&[
            (8, 4),
            (15, 4),
            (225, 4),
            (130, 4),
            (56, 6),
            (1, 4),
            (16, 4),
            (9_999, 2),
        ]);
        let row = [
            77, 1, 2, 3, 77, 1, 2, 1, 77, 1, 2, 9, 77, 1, 2, 200, 2, 1, 1, 1, 1, 1, 0, 0, 0, 5, 0, 0, 0, 7,
            8, 8,
        ];
        let kept = [
            77, 1, 3, 2, 0, 0, 0, 0, 77, 1, 3, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 7, 0, 0,
        ];
        let body = [&row[..], &row, &[9, 9]].concat();
        assert_eq!(redacted(&of, &body), [&kept[..], &kept, &[0, 0]].concat());
        // An address of a length that no address has is not decoded, and a number of nine bytes is none.
        assert_eq!(redacted(&template(&[(8, 3), (27, 4), (1, 9)]), &[7; 16]), [0; 16]);
        // No IPv6 address stays none.
        let mut v6 = [0; 32];
        v6[31] = 9;
        let after = redacted(&template(&[(27, 16), (28, 16)]), &v6);
        assert_eq!((&after[..30], &after[30..]), (&[0; 30][..], &[1, 8][..]));
    }
}
