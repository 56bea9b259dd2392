//! Export messages: NetFlow v1, v5, v7 and v9, IPFIX and sFlow v5, from many exporters at once.
//!
//! [`Collector`] keeps what the protocols need to be remembered: templates and sampling options, keyed by exporter, transport
//! session and observation domain (RFC 7011 section 3.4.1, RFC 3954 section 5.1), sequence numbers, and data that came before
//! its template. Everything it keeps has a limit, since anybody can send it datagrams from any address.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::sync::Arc;

use crate::columns::{self, Clock, Context, Scratch};
use crate::fault::Reason;
use crate::flow::{Batch, Exported, Format, Raw};
use crate::netflow;
use crate::packet;
use crate::sampling::Sampling;
use crate::sequence::{Losses, Sequence};
use crate::sflow;
use crate::template::{self, Read, Template};

/// Observation domains that are remembered.
pub const DOMAINS_MAX: usize = 16_384;
/// Templates of one observation domain.
pub const TEMPLATES_MAX: usize = 1_024;
/// What all templates may cost, in fields.
pub const FIELDS_MAX: usize = 1 << 21;
/// Bytes of data that wait for their template, over all domains.
pub const WAITING_MAX: usize = 16 << 20;
/// Bytes of data that wait for their template, for one domain.
pub const WAITING_OF_DOMAIN_MAX: usize = 1 << 20;
/// How long data waits for its template: exporters repeat templates every few minutes, half an hour at most.
pub const WAIT_NS: u64 = 30 * 60 * 1_000_000_000;
/// A domain that was silent for this long makes room for a new one when the table is full.
pub const IDLE_NS: u64 = 10 * 60 * 1_000_000_000;
/// Sets that were decoded later than they came, of which a [`Journal`] remembers the template.
pub(crate) const LATE_MAX: usize = 1 << 20;
/// Bytes of one export message at most.
pub const MESSAGE_MAX: usize = 65_535;

/// Ports at which collectors listen by custom: NetFlow, IPFIX (IANA 4739), sFlow (IANA 6343).
const COLLECTOR_PORTS: [u16; 8] = [2055, 2056, 4739, 6343, 9555, 9991, 9995, 9996];
const HOUR_NS: u64 = 3_600 * 1_000_000_000;
/// First bytes of a saved state.
const SAVED: &[u8; 8] = b"EPCEXPT1";

/// Where a datagram came from: the exporter's side of the transport session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Address of the exporter, IPv4 as mapped; unspecified for a file of bare messages.
    pub address: Ipv6Addr,
    /// Its UDP port.
    pub port: u16,
}

/// What tells one stream of export messages from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    address: Ipv6Addr,
    port: u16,
    format: Format,
    domain: u32,
}

/// Data that waits for its template.
#[derive(Clone, Debug)]
struct Waiting {
    template: u16,
    /// Its number, where a journal is kept.
    number: u64,
    received_ns: u64,
    clock: Clock,
    offset: u64,
    body: Vec<u8>,
}

/// What a set of a message was to the collector.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Definitions of templates.
    Templates {
        /// They are options templates.
        options: bool,
    },
    /// Records of this template.
    Records(Arc<Template>),
    /// Data that waits for its template, by a number that counts all that ever waited.
    Waits(u64),
    /// Nothing that is decoded.
    Nothing,
}

/// How the last message was read, for whoever rewrites it, and which data was decoded later than it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    /// The sets of the last message: where each lies, its header included, and what it was.
    pub(crate) sets: Vec<(Range<usize>, What)>,
    waited: u64,
    /// Templates of the sets that waited and were decoded.
    pub(crate) late: BTreeMap<u64, Arc<Template>>,
}

/// A set of a message of NetFlow v9 or IPFIX.
struct Set {
    id: u16,
    /// Where it lies in the message, its header of four bytes included.
    place: Range<usize>,
    /// Whether its length leads out of the message.
    cut: bool,
}

/// The set that begins at `at`, in a message that ends at `end`. `Err` where there is no further one, and whether something else is.
fn set(data: &[u8], at: usize, end: usize) -> Result<Set, bool> {
    let rest = data.get(at..end).unwrap_or(&[]);
    let (Some(id), Some(length)) = (be16(rest, 0), be16(rest, 2).map(usize::from)) else {
        return Err(false);
    };
    if length < 4 {
        // Zeros up to the end are padding.
        return Err(rest.iter().any(|&byte| byte != 0));
    }
    Ok(Set {
        id,
        place: at..at + length.min(rest.len()),
        cut: length > rest.len(),
    })
}

/// What is remembered of one observation domain.
#[derive(Clone, Debug)]
struct Domain {
    key: Key,
    templates: BTreeMap<u16, Arc<Template>>,
    sampling: Sampling,
    sequence: Sequence,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    last_ns: u64,
    messages: u64,
    records: u64,
    rate: u32,
    clock_noted: bool,
}

/// What an exporter sent and what of it was lost, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exporter {
    /// Sender of the datagrams, for sFlow the agent.
    pub address: Ipv6Addr,
    /// UDP port it sent from.
    pub port: u16,
    /// Protocol.
    pub format: Format,
    /// Observation domain, source id, engine or sub-agent.
    pub domain: u32,
    /// Export messages.
    pub messages: u64,
    /// Flow records or samples in them.
    pub records: u64,
    /// What did not arrive.
    pub losses: Losses,
    /// The sampling rate that was applied last.
    pub sampling: u32,
    /// Templates that are known.
    pub templates: u64,
}

/// Sums over everything that a collector was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Export messages by [`Format`].
    pub messages: [u64; Format::ALL.len()],
    /// Flow records by [`Format`].
    pub records: [u64; Format::ALL.len()],
    /// Counter samples of sFlow.
    pub counters: u64,
    /// Options records.
    pub options: u64,
}

/// Decodes the export messages of many exporters.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    index: BTreeMap<Key, usize>,
    domains: Vec<Domain>,
    recent: usize,
    fields: usize,
    waiting_bytes: usize,
    swept_ns: u64,
    totals: Totals,
    rates: Vec<(Option<Ipv6Addr>, u32)>,
    packet_rate: u32,
    late: bool,
    scratch: Scratch,
    journal: Option<Box<Journal>>,
}

/// Whether four bytes can be the beginning of an export message.
#[inline]
pub fn begins_like_export(head: &[u8]) -> bool {
    matches!(head, [0, 1 | 5 | 7 | 9 | 10, ..]) || head == [0, 0, 0, 5]
}

/// The protocol that a message's version number names.
pub fn format_of(data: &[u8]) -> Option<Format> {
    match *data.first_chunk::<4>()? {
        [0, 0, 0, 5] => Some(Format::Sflow),
        [0, 1, ..] => Some(Format::Netflow1),
        [0, 5, ..] => Some(Format::Netflow5),
        [0, 7, ..] => Some(Format::Netflow7),
        [0, 9, ..] => Some(Format::Netflow9),
        [0, 10, ..] => Some(Format::Ipfix),
        _ => None,
    }
}

/// Whether a datagram of `length` bytes, of which `data` were captured, is an export message: its counts and lengths agree with one
/// another. Used where nobody has said that it is one; chance or a flood's random payload does not pass. Sent to a collector's own
/// port, bytes behind the last record and a message that is cut short are forgiven: the decoder counts the fault.
pub fn looks_like_export(data: &[u8], length: usize, to_port: u16) -> bool {
    let to_collector = COLLECTOR_PORTS.contains(&to_port);
    let slack = if to_collector { MESSAGE_MAX } else { 64 };
    let Some(format) = format_of(data) else {
        return false;
    };
    match format {
        Format::Netflow1 | Format::Netflow5 | Format::Netflow7 => {
            let (header, record) = netflow::lengths(format);
            let Some(count) = be16(data, 2).map(usize::from) else {
                return false;
            };
            let needs = header + count * record;
            let nanos_fit = be32(data, 12).is_some_and(|nanos| nanos < 1_000_000_000);
            let fits = (needs..needs + slack).contains(&length) && count <= 100;
            count > 0 && nanos_fit && (fits || to_collector && count <= 1_000)
        }
        Format::Netflow9 => {
            let count = be16(data, 2).unwrap_or(0);
            (1..=4_096).contains(&count) && sets_fit(data, 20, length, slack, |id| !(2..=255).contains(&id))
        }
        Format::Ipfix => {
            let said = be16(data, 2).map_or(0, usize::from);
            (16..=length).contains(&said)
                && sets_fit(data, 16, said, slack, |id| id == 2 || id == 3 || id > 255)
        }
        Format::Sflow => sflow::header(data).is_some_and(|header| {
            let fits = match sflow::end(data, &header) {
                Some(end) => end + slack > data.len(),
                // Cut off by the capture: the first sample at least must fit.
                None => {
                    data.len() < length && be32(data, header.start + 4).is_some_and(|n| (n as usize) < length)
                }
            };
            to_collector || (1..=1_000).contains(&header.samples) && fits
        }),
    }
}

/// Whether a chain of sets runs from `at` to `end`, as far as it was captured.
fn sets_fit(data: &[u8], mut at: usize, end: usize, slack: usize, known: impl Fn(u16) -> bool) -> bool {
    let mut sets = 0;
    while at + 4 <= end {
        let (Some(id), Some(length)) = (be16(data, at), be16(data, at + 2)) else {
            return sets > 0;
        };
        if !known(id) || length < 4 || at + usize::from(length) > end {
            // A collector's port forgives everything but a first set that is none.
            if slack == MESSAGE_MAX && (known(id) || sets > 0) {
                return true;
            }
            return sets > 0 && (end - at < slack || data[at..].iter().all(|&byte| byte == 0));
        }
        sets += 1;
        at += usize::from(length);
    }
    sets > 0 || end == at
}

/// Length of the message at the start of `data`, which holds bare messages one after the other; `None` where more bytes are needed to
/// say. With `last`, no more will come.
pub(crate) fn message_length(data: &[u8], last: bool) -> Option<usize> {
    let enough = last || data.len() >= MESSAGE_MAX;
    let all = data.len().min(MESSAGE_MAX);
    let found = match format_of(data)? {
        Format::Ipfix => be16(data, 2).map(|length| usize::from(length).max(16)),
        format @ (Format::Netflow1 | Format::Netflow5 | Format::Netflow7) => {
            let (header, record) = netflow::lengths(format);
            be16(data, 2).map(|count| header + usize::from(count) * record)
        }
        Format::Sflow => match sflow::header(data) {
            Some(header) => sflow::end(data, &header),
            None if enough => Some(all),
            None => None,
        },
        // No length: sets follow until one begins like the next message. Set id 9 is not used (RFC 3954 section 5.2).
        Format::Netflow9 => {
            let mut at = 20;
            loop {
                match (be16(data, at), be16(data, at + 2)) {
                    _ if at >= all && enough => break Some(all),
                    (Some(9), Some(count)) if (1..=4_096).contains(&count) => break Some(at),
                    // Padding with zeros, which nothing ends: the rest belongs to this message.
                    (Some(_), Some(0..4)) if enough => break Some(all),
                    (Some(_), Some(length @ 4..)) => at += usize::from(length),
                    _ if enough => break Some(all),
                    _ => break None,
                }
            }
        }
    };
    match found {
        Some(length) if length <= data.len() => Some(length),
        _ if enough => Some(all),
        _ => None,
    }
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*data.get(at..)?.first_chunk()?))
}

impl Collector {
    /// A collector that knows no exporter yet.
    pub fn new() -> Collector {
        Collector::default()
    }

    /// Sets the sampling rate of one exporter, or of all with `None`: it wins over what exporters say.
    pub fn set_rate(&mut self, exporter: Option<Ipv6Addr>, rate: u32) {
        self.rates.push((exporter, rate.max(1)));
    }

    /// Says that captured packets are one of so many; 0 and 1 say that they are all.
    pub fn set_packet_rate(&mut self, rate: u32) {
        self.packet_rate = rate;
    }

    /// Decodes one datagram into the batch. `received_ns` is when it was received or captured, 0 where that is not known; `offset`
    /// where it lies in the input, for faults. False where it is no export message of a known version.
    ///
    /// A datagram may hold thousands of records; the batch may grow beyond [`Batch::FULL`] by one datagram.
    pub fn datagram(
        &mut self,
        from: Origin,
        received_ns: u64,
        data: &[u8],
        offset: u64,
        batch: &mut Batch,
    ) -> bool {
        match format_of(data) {
            Some(Format::Sflow) => self.sflow(from, received_ns, data, offset, batch),
            Some(format @ (Format::Netflow9 | Format::Ipfix)) => {
                self.templated(format, from, received_ns, data, offset, batch);
            }
            Some(format) => self.fixed(format, from, received_ns, data, offset, batch),
            None => {
                batch.faults.note(Reason::NoSuchVersion, offset);
                return false;
            }
        }
        true
    }

    /// Decodes one captured packet: if it carries an export message, the records of that message, else the packet itself.
    /// The arguments are those of [`packet::decode`].
    #[inline]
    pub fn packet(
        &mut self,
        link_type: u16,
        data: &[u8],
        original: u32,
        time_ns: u64,
        offset: u64,
        batch: &mut Batch,
    ) {
        let first = batch.flows.len();
        let start = packet::decode(link_type, data, original, time_ns, offset, batch);
        let export =
            start.is_some_and(|start| self.instead_of_packet(&data[start..], time_ns, offset, batch));
        if self.packet_rate > 1
            && !export
            && let Some(flow) = batch.flows.get_mut(first)
        {
            flow.sampling = self.packet_rate;
        }
        if batch.keep_raw && (export || batch.flows.len() > first) {
            let raw = Raw {
                link_type: Some(link_type),
                start: 0,
                len: 0,
                original,
                time_ns,
                first,
                export,
            };
            batch.keep(raw, data);
        }
    }

    /// The last record of the batch is a datagram that begins like an export message: if it is one, its records take its place.
    #[inline(never)]
    fn instead_of_packet(&mut self, payload: &[u8], time_ns: u64, offset: u64, batch: &mut Batch) -> bool {
        let Some(&flow) = batch.flows.last() else {
            return false;
        };
        let length = usize::from(flow.payload);
        let payload = &payload[..payload.len().min(length)];
        // Sent to no address: that is on no wire, but in the recordings that a collector makes of what it took for export messages.
        let recorded = flow.dst == Ipv4Addr::UNSPECIFIED.to_ipv6_mapped() || flow.dst.is_unspecified();
        if !recorded && !looks_like_export(payload, length, flow.dst_port) {
            return false;
        }
        batch.flows.pop();
        let from = Origin {
            address: flow.src,
            port: flow.src_port,
        };
        self.datagram(from, time_ns, payload, offset, batch);
        true
    }

    /// What was decoded since the collector began.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The exporters' domains, in the order of their addresses.
    pub fn exporters(&self) -> impl Iterator<Item = Exporter> + '_ {
        self.index.values().map(|&at| {
            let domain = &self.domains[at];
            Exporter {
                address: domain.key.address,
                port: domain.key.port,
                format: domain.key.format,
                domain: domain.key.domain,
                messages: domain.messages,
                records: domain.records,
                losses: domain.sequence.losses(counts_records(domain.key.format)),
                sampling: domain.rate,
                templates: domain.templates.len() as u64,
            }
        })
    }

    /// Export messages and records lost by all exporters (in the unit that each of them counts).
    pub fn lost(&self) -> u64 {
        self.exporters().map(|exporter| exporter.losses.lost).sum()
    }

    /// Whether a sampling rate came after records that needed it. What was decoded before is too small by that rate; decoding the
    /// input again with the rates kept ([`Collector::save`]) puts it right.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// Gives up data whose template has not come, and counts it.
    pub fn give_up(&mut self, batch: &mut Batch) {
        for domain in &mut self.domains {
            for waiting in domain.waiting.drain(..) {
                batch.faults.note(Reason::TemplateMissing, waiting.offset);
            }
            domain.waiting_bytes = 0;
        }
        self.waiting_bytes = 0;
    }

    /// The place of a domain in the table, new if need be; `None` where the table is full of busy ones.
    fn domain(&mut self, key: Key, received_ns: u64) -> Option<usize> {
        // Messages of one exporter come in runs.
        if self
            .domains
            .get(self.recent)
            .is_some_and(|domain| domain.key == key)
        {
            return Some(self.recent);
        }
        if let Some(&at) = self.index.get(&key) {
            self.recent = at;
            return Some(at);
        }
        let new = Domain {
            key,
            templates: BTreeMap::new(),
            sampling: Sampling::default(),
            sequence: Sequence::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            last_ns: received_ns,
            messages: 0,
            records: 0,
            rate: 1,
            clock_noted: false,
        };
        let at = if self.domains.len() < DOMAINS_MAX {
            self.domains.push(new);
            self.domains.len() - 1
        } else {
            let at = self.idle(received_ns)?;
            let old = std::mem::replace(&mut self.domains[at], new);
            self.index.remove(&old.key);
            self.fields -= old
                .templates
                .values()
                .map(|template| template.cost())
                .sum::<usize>();
            self.waiting_bytes -= old.waiting_bytes;
            at
        };
        self.index.insert(key, at);
        self.recent = at;
        Some(at)
    }

    /// The domain that was silent longest, if it was silent long. Looked for at most once a second, so that many new exporters cannot
    /// make every datagram walk the table.
    fn idle(&mut self, received_ns: u64) -> Option<usize> {
        if received_ns < self.swept_ns.saturating_add(1_000_000_000) {
            return None;
        }
        self.swept_ns = received_ns;
        let (at, domain) = self
            .domains
            .iter()
            .enumerate()
            .min_by_key(|(_, domain)| domain.last_ns)?;
        (received_ns.saturating_sub(domain.last_ns) > IDLE_NS).then_some(at)
    }

    /// The rate that the user gave for this exporter.
    fn given_rate(&self, exporter: Ipv6Addr) -> Option<u32> {
        let of = |wanted: Option<Ipv6Addr>| {
            self.rates
                .iter()
                .rev()
                .find(|(who, _)| *who == wanted)
                .map(|(_, rate)| *rate)
        };
        of(Some(exporter)).or_else(|| of(None))
    }

    fn count(&mut self, at: usize, received_ns: u64, records: u32, rate: Option<u32>) {
        let domain = &mut self.domains[at];
        domain.messages += 1;
        domain.records += u64::from(records);
        domain.last_ns = domain.last_ns.max(received_ns);
        domain.rate = rate.unwrap_or(domain.rate);
        self.totals.messages[domain.key.format as usize] += 1;
        self.totals.records[domain.key.format as usize] += u64::from(records);
    }

    fn fixed(
        &mut self,
        format: Format,
        from: Origin,
        received_ns: u64,
        data: &[u8],
        offset: u64,
        batch: &mut Batch,
    ) {
        let Some(header) = netflow::header(format, data) else {
            batch.faults.note(Reason::MessageTruncated, offset);
            return;
        };
        let key = Key {
            address: from.address,
            port: from.port,
            format,
            domain: header.engine,
        };
        let rate = self.given_rate(from.address).unwrap_or(header.sampling.max(1));
        let about = Exported {
            exporter: from.address,
            domain: header.engine,
            format: Some(format),
            ..Exported::EMPTY
        };
        let (start, _) = netflow::lengths(format);
        let records = netflow::records(&header, &data[start..], rate, &about, batch);
        if records < u32::from(header.count) {
            batch.faults.note(Reason::MessageTruncated, offset);
        }
        let Some(at) = self.domain(key, received_ns) else {
            // Its records are good without anything remembered; only its losses are not followed.
            batch.faults.note(Reason::ExportersFull, offset);
            self.totals.messages[format as usize] += 1;
            self.totals.records[format as usize] += u64::from(records);
            return;
        };
        self.count(at, received_ns, records, Some(rate));
        let domain = &mut self.domains[at];
        domain.check_clock(&header.clock, received_ns, offset, batch);
        if let Some(number) = header.sequence {
            domain
                .sequence
                .message(number, Some(u32::from(header.count)), header.clock.uptime_ms);
        }
    }

    fn sflow(&mut self, from: Origin, received_ns: u64, data: &[u8], offset: u64, batch: &mut Batch) {
        let Some(header) = sflow::header(data) else {
            batch.faults.note(Reason::MessageTruncated, offset);
            return;
        };
        let rate = self
            .given_rate(header.agent)
            .or_else(|| self.given_rate(from.address));
        let about = Exported {
            exporter: header.agent,
            domain: header.sub_agent,
            format: Some(Format::Sflow),
            ..Exported::EMPTY
        };
        let before = batch.flows.len();
        let held = sflow::samples(&header, data, received_ns, rate, &about, offset, batch);
        self.totals.counters += u64::from(held.counters);
        let key = Key {
            address: header.agent,
            port: from.port,
            format: Format::Sflow,
            domain: header.sub_agent,
        };
        let Some(at) = self.domain(key, received_ns) else {
            batch.faults.note(Reason::ExportersFull, offset);
            self.totals.messages[Format::Sflow as usize] += 1;
            self.totals.records[Format::Sflow as usize] += u64::from(held.records);
            return;
        };
        let rate = batch.flows.get(before).map(|flow| flow.sampling);
        self.count(at, received_ns, held.records, rate);
        // Records are numbered by interface, datagrams by agent: only the latter are followed.
        self.domains[at]
            .sequence
            .message(header.sequence, None, Some(header.uptime_ms));
    }

    /// NetFlow v9 and IPFIX: a header and a chain of sets.
    fn templated(
        &mut self,
        format: Format,
        from: Origin,
        received_ns: u64,
        data: &[u8],
        offset: u64,
        batch: &mut Batch,
    ) {
        if let Some(journal) = &mut self.journal {
            journal.sets.clear();
        }
        let ipfix = format == Format::Ipfix;
        let start = header_length(format);
        if data.len() < start {
            batch.faults.note(Reason::MessageTruncated, offset);
            return;
        }
        let word = |at: usize| be32(data, at).unwrap_or(0);
        let (clock, number, id) = if ipfix {
            (
                Clock {
                    export_ns: u64::from(word(4)) * 1_000_000_000,
                    uptime_ms: None,
                },
                word(8),
                word(12),
            )
        } else {
            (
                Clock {
                    export_ns: u64::from(word(8)) * 1_000_000_000,
                    uptime_ms: Some(word(4)),
                },
                word(12),
                word(16),
            )
        };
        let end = message_end(format, data).unwrap_or_else(|| {
            batch.faults.note(Reason::MessageTruncated, offset);
            data.len()
        });
        let key = Key {
            address: from.address,
            port: from.port,
            format,
            domain: id,
        };
        let Some(at) = self.domain(key, received_ns) else {
            batch.faults.note(Reason::ExportersFull, offset);
            self.pass_over(data, start, end);
            return;
        };
        self.domains[at].check_clock(&clock, received_ns, offset, batch);
        let message = Message {
            clock,
            received_ns,
            offset,
            rate: self.given_rate(from.address),
        };
        let (mut records, mut all_known) = (0u32, true);
        let mut next = start;
        let broken = loop {
            let set = match set(data, next, end) {
                Ok(set) => set,
                Err(broken) => break broken,
            };
            if set.cut {
                batch.faults.note(Reason::MessageTruncated, offset);
            }
            next = set.place.end;
            let body = &data[set.place.start + 4..set.place.end];
            let options = match set.id {
                0 if !ipfix => Some(false),
                1 if !ipfix => Some(true),
                2 if ipfix => Some(false),
                3 if ipfix => Some(true),
                _ => None,
            };
            if self.journal.is_some() {
                self.note(at, &set, options);
            }
            match (options, set.id) {
                (Some(options), _) => self.templates(at, body, options, &message, batch),
                (None, 256..) => match self.data(at, set.id, body, &message, batch) {
                    Some(count) => records += count,
                    None => all_known = false,
                },
                (None, _) => batch.faults.note(Reason::SetLength, offset),
            }
        };
        if broken {
            batch.faults.note(Reason::SetLength, offset);
        }
        let domain = &mut self.domains[at];
        domain
            .sequence
            .message(number, all_known.then_some(records), clock.uptime_ms);
        domain.messages += 1;
        domain.last_ns = domain.last_ns.max(received_ns);
        self.totals.messages[format as usize] += 1;
    }

    /// Keeps a journal from now on.
    pub(crate) fn keep_journal(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// The journal, where one is kept.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        self.journal.as_deref()
    }

    /// Notes what a set is to be, before it is read.
    fn note(&mut self, at: usize, set: &Set, options: Option<bool>) {
        let template = self.domains[at].templates.get(&set.id).cloned();
        let Some(journal) = &mut self.journal else { return };
        let what = match (options, template) {
            (Some(options), _) => What::Templates { options },
            (None, _) if set.id < 256 => What::Nothing,
            (None, Some(template)) => What::Records(template),
            (None, None) => What::Waits(journal.waited),
        };
        journal.sets.push((set.place.clone(), what));
    }

    /// Notes that a message is not decoded.
    fn pass_over(&mut self, data: &[u8], start: usize, end: usize) {
        let Some(journal) = &mut self.journal else { return };
        let mut next = start;
        while let Ok(set) = set(data, next, end) {
            next = set.place.end;
            journal.sets.push((set.place, What::Nothing));
        }
    }

    /// Reads the templates of a set, and decodes the data that waited for them.
    fn templates(&mut self, at: usize, body: &[u8], options: bool, message: &Message, batch: &mut Batch) {
        let ipfix = self.domains[at].key.format == Format::Ipfix;
        let mut next = 0;
        while body.len() - next >= 4 {
            match template::read(&body[next..], ipfix, options) {
                Read::Malformed => {
                    if body[next..].iter().any(|&byte| byte != 0) {
                        batch.faults.note(Reason::TemplateMalformed, message.offset);
                    }
                    return;
                }
                Read::Withdrawal(id, used) => {
                    next += used;
                    // 2 and 3 withdraw all templates and all options templates (RFC 7011 section 8.1).
                    let domain = &mut self.domains[at];
                    let fields = &mut self.fields;
                    domain.templates.retain(|_, template| {
                        let gone =
                            template.id == id || id == 2 && !template.options || id == 3 && template.options;
                        *fields -= if gone { template.cost() } else { 0 };
                        !gone
                    });
                }
                Read::Template(template, used) => {
                    next += used;
                    let id = template.id;
                    if !self.keep(at, Template { options, ..template }) {
                        batch.faults.note(Reason::ExportersFull, message.offset);
                        continue;
                    }
                    self.decode_waiting(at, id, batch);
                }
            }
        }
    }

    /// Keeps a template. False where there is no room for it.
    fn keep(&mut self, at: usize, template: Template) -> bool {
        let domain = &mut self.domains[at];
        let old = domain.templates.get(&template.id);
        if old.is_some_and(|old| **old == template) {
            return true;
        }
        let freed = old.map_or(0, |old| old.cost());
        let room = old.is_some() || domain.templates.len() < TEMPLATES_MAX;
        if !room || self.fields - freed + template.cost() > FIELDS_MAX {
            return false;
        }
        self.fields = self.fields - freed + template.cost();
        domain.templates.insert(template.id, Arc::new(template));
        true
    }

    /// Decodes a data set; `None` where its template is missing and it waits.
    fn data(&mut self, at: usize, id: u16, body: &[u8], message: &Message, batch: &mut Batch) -> Option<u32> {
        let domain = &mut self.domains[at];
        let Some(template) = domain.templates.get(&id) else {
            self.wait(at, id, body, message, batch);
            return None;
        };
        if body.len() < template.min_len {
            // Only padding, or a record that is cut off.
            if body.len() >= 4 {
                batch.faults.note(Reason::SetLength, message.offset);
            }
            return Some(0);
        }
        if template.options {
            let (count, late) = columns::options(
                template,
                body,
                &mut domain.sampling,
                message.offset,
                &mut self.scratch,
                &mut batch.faults,
            );
            self.totals.options += u64::from(count);
            self.late |= late && message.rate.is_none();
            return Some(count);
        }
        let before = batch.flows.len();
        let mut context = Context {
            clock: message.clock,
            rate: message.rate,
            about: Exported {
                exporter: domain.key.address,
                domain: domain.key.domain,
                format: Some(domain.key.format),
                template: id,
                ..Exported::EMPTY
            },
            sampling: &mut domain.sampling,
            offset: message.offset,
        };
        let count = columns::decode(template, body, &mut context, &mut self.scratch, batch);
        let format = domain.key.format;
        domain.records += u64::from(count);
        domain.rate = batch.flows.get(before).map_or(domain.rate, |flow| flow.sampling);
        self.totals.records[format as usize] += u64::from(count);
        Some(count)
    }

    /// Keeps data until its template comes, in bounded memory and for a bounded time.
    fn wait(&mut self, at: usize, id: u16, body: &[u8], message: &Message, batch: &mut Batch) {
        let number = self.journal.as_mut().map_or(0, |journal| {
            journal.waited += 1;
            journal.waited - 1
        });
        let domain = &mut self.domains[at];
        let mut freed = 0;
        domain.waiting.retain(|waiting| {
            let keep = message.received_ns.saturating_sub(waiting.received_ns) <= WAIT_NS;
            if !keep {
                freed += waiting.body.len();
                batch.faults.note(Reason::TemplateMissing, waiting.offset);
            }
            keep
        });
        domain.waiting_bytes -= freed;
        self.waiting_bytes -= freed;
        // A set costs more to keep than its bytes.
        let cost = body.len() + 64;
        if self.waiting_bytes + cost > WAITING_MAX || domain.waiting_bytes + cost > WAITING_OF_DOMAIN_MAX {
            batch.faults.note(Reason::TemplateMissing, message.offset);
            return;
        }
        let mut kept = Vec::with_capacity(cost);
        kept.extend_from_slice(body);
        kept.resize(cost, 0);
        domain.waiting_bytes += cost;
        self.waiting_bytes += cost;
        domain.waiting.push(Waiting {
            template: id,
            number,
            received_ns: message.received_ns,
            clock: message.clock,
            offset: message.offset,
            body: kept,
        });
    }

    /// Decodes the data that waited for this template.
    fn decode_waiting(&mut self, at: usize, id: u16, batch: &mut Batch) {
        let domain = &mut self.domains[at];
        if !domain.waiting.iter().any(|waiting| waiting.template == id) {
            return;
        }
        let rate = self.given_rate(self.domains[at].key.address);
        let domain = &mut self.domains[at];
        let all = std::mem::take(&mut domain.waiting);
        let (ready, waiting) = all
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| waiting.template == id);
        domain.waiting = waiting;
        for set in ready {
            self.domains[at].waiting_bytes -= set.body.len();
            self.waiting_bytes -= set.body.len();
            if let Some(journal) = &mut self.journal
                && let Some(template) = self.domains[at].templates.get(&id)
                && journal.late.len() < LATE_MAX
            {
                journal.late.insert(set.number, template.clone());
            }
            let message = Message {
                clock: set.clock,
                received_ns: set.received_ns,
                offset: set.offset,
                rate,
            };
            self.data(at, id, &set.body[..set.body.len() - 64], &message, batch);
        }
    }
}

/// What the sets of one message have in common.
struct Message {
    clock: Clock,
    received_ns: u64,
    offset: u64,
    rate: Option<u32>,
}

impl Domain {
    /// Notes, once, a clock that is far off. Its times are used all the same: they agree with one another.
    fn check_clock(&mut self, clock: &Clock, received_ns: u64, offset: u64, batch: &mut Batch) {
        if !self.clock_noted && received_ns > 0 && clock.export_ns.abs_diff(received_ns) > HOUR_NS {
            self.clock_noted = true;
            batch.faults.note(Reason::ExporterClock, offset);
        }
    }
}

/// Length of the header of a message of NetFlow v9 or IPFIX.
pub(crate) fn header_length(format: Format) -> usize {
    if format == Format::Ipfix { 16 } else { 20 }
}

/// Where a message of NetFlow v9 or IPFIX ends; `None` where it says something that cannot be.
pub(crate) fn message_end(format: Format, data: &[u8]) -> Option<usize> {
    if format != Format::Ipfix {
        return Some(data.len());
    }
    let said = usize::from(be16(data, 2)?);
    (header_length(format)..=data.len())
        .contains(&said)
        .then_some(said)
}

/// Whether the protocol's sequence numbers count records (or messages).
fn counts_records(format: Format) -> bool {
    matches!(format, Format::Netflow5 | Format::Netflow7 | Format::Ipfix)
}

/// Saving and loading, so that a restart knows the templates and rates that were known before.
impl Collector {
    /// Templates and sampling rates as bytes, for [`Collector::load`].
    pub fn save(&self) -> Vec<u8> {
        let mut out = SAVED.to_vec();
        for &at in self.index.values() {
            let domain = &self.domains[at];
            if domain.templates.is_empty() && !domain.sampling.is_known() {
                continue;
            }
            out.extend(domain.key.address.octets());
            out.extend(domain.key.port.to_be_bytes());
            out.push(domain.key.format as u8);
            out.extend(domain.key.domain.to_be_bytes());
            out.extend(domain.sampling.domain.unwrap_or(0).to_be_bytes());
            let (samplers, interfaces) = (&domain.sampling.by_sampler, &domain.sampling.by_interface);
            out.extend((samplers.len() as u32).to_be_bytes());
            for (sampler, rate) in samplers {
                out.extend(sampler.to_be_bytes());
                out.extend(rate.to_be_bytes());
            }
            out.extend((interfaces.len() as u32).to_be_bytes());
            for (interface, rate) in interfaces {
                out.extend(interface.to_be_bytes());
                out.extend(rate.to_be_bytes());
            }
            out.extend((domain.templates.len() as u32).to_be_bytes());
            for template in domain.templates.values() {
                out.push(u8::from(template.options));
                out.extend((template.definition.len() as u32).to_be_bytes());
                out.extend(&template.definition);
            }
        }
        out
    }

    /// Takes templates and rates that were saved, `now_ns` being the time of the first use. Returns false where the bytes are not
    /// such a state or are damaged; what was good before the damage is kept.
    pub fn load(&mut self, saved: &[u8], now_ns: u64) -> bool {
        let Some(mut rest) = saved.strip_prefix(SAVED) else {
            return false;
        };
        while !rest.is_empty() {
            if self.load_domain(&mut rest, now_ns).is_none() {
                return false;
            }
        }
        true
    }

    fn load_domain(&mut self, rest: &mut &[u8], now_ns: u64) -> Option<()> {
        fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
            let (taken, left) = rest.split_at_checked(length)?;
            *rest = left;
            Some(taken)
        }
        fn word(rest: &mut &[u8]) -> Option<u32> {
            Some(u32::from_be_bytes(*take(rest, 4)?.first_chunk()?))
        }
        let address = Ipv6Addr::from(*take(rest, 16)?.first_chunk()?);
        let port = u16::from_be_bytes(*take(rest, 2)?.first_chunk()?);
        let format = *Format::ALL.get(usize::from(take(rest, 1)?[0]))?;
        let domain = word(rest)?;
        let key = Key {
            address,
            port,
            format,
            domain,
        };
        let at = self.domain(key, now_ns)?;
        let mut sampling = Sampling::default();
        let rate = word(rest)?;
        let told = crate::sampling::Told {
            interval: Some(u64::from(rate)),
            ..crate::sampling::Told::default()
        };
        sampling.learn(&told);
        for _ in 0..word(rest)? {
            let sampler = u64::from_be_bytes(*take(rest, 8)?.first_chunk()?);
            sampling.learn(&crate::sampling::Told {
                sampler: Some(sampler),
                interval: Some(u64::from(word(rest)?)),
                ..told
            });
        }
        for _ in 0..word(rest)? {
            let interface = word(rest)?;
            sampling.learn(&crate::sampling::Told {
                interface: Some(interface),
                interval: Some(u64::from(word(rest)?)),
                ..told
            });
        }
        self.domains[at].sampling = sampling;
        for _ in 0..word(rest)? {
            let options = take(rest, 1)?[0] != 0;
            let length = word(rest)? as usize;
            let definition = take(rest, length)?;
            match template::read(definition, format == Format::Ipfix, options) {
                Read::Template(template, used) if used == length => {
                    self.keep(at, Template { options, ..template });
                }
                _ => return None,
            }
        }
        Some(())
    }
}
