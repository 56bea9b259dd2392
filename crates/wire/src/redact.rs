//! Export messages without their addresses: the records that they are decoded to are the same, but for the addresses.
//!
//! What is decoded of a message is kept or, where it is an address, replaced; everything else becomes zero, so that nothing has to be known
//! of what exporters may say. Lengths stay, and so do templates. The walk is the collector's own: it keeps a journal of how
//! it read each message, and the message is rewritten by that.
//!
//! Data may come before its template and be decoded later. So the whole input is read once before ([`Redactor::learn`]), and a set that
//! was decoded by a later template is rewritten by that one. A set that was never decoded is blanked.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use crate::collector::{Collector, DOMAINS_MAX, Origin, What, format_of, header_length, message_end};
use crate::evidence::{RAW, Trial, redacted_envelope};
use crate::flow::{Batch, Format};
use crate::template::{self, Read, Template};
use crate::{columns, netflow, sflow};

/// An export message without its addresses, in its packet or bare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Link type of the packet (101: from its IP header on); `None` for a bare message.
    pub link_type: Option<u16>,
    /// Length on the wire.
    pub original: u32,
    /// The packet or message.
    pub bytes: Vec<u8>,
    /// Whether its records are the same, addresses, next hops, hardware addresses and tunnels' insides aside.
    pub same: bool,
}

/// One way of reading the input: with the collector as it was at the start.
#[derive(Clone, Debug)]
struct Reading {
    collector: Collector,
    /// Templates by which data was decoded that had come before them.
    late: Arc<BTreeMap<u64, Arc<Template>>>,
}

/// What becomes of a set.
enum Plan {
    Templates { options: bool },
    Records(Arc<Template>),
    Blank,
}

/// Takes the addresses out of the export messages of an input, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    readings: Vec<Reading>,
    /// Exporters by the address and port that they have now: where two become one address, they stay apart by their ports.
    sessions: BTreeMap<(Ipv6Addr, u16), Origin>,
    ports: BTreeMap<Origin, u16>,
    trial: Trial,
    scratch: Batch,
}

impl Redactor {
    /// One that has learned nothing: it blanks all data of NetFlow v9 and IPFIX.
    pub fn new() -> Redactor {
        Redactor::default()
    }

    /// Learns from one reading of the whole input how its data is decoded. `start` is the collector with which the reading begins; `read`
    /// is to give it all messages. Gives the collector as it is then. An input that is read twice, with the
    /// rates of the first reading known to the second, is to be learned twice: data that the two read by different templates
    /// is blanked.
    ///
    /// # Errors
    ///
    /// That of `read`.
    pub fn learn<E>(
        &mut self,
        mut start: Collector,
        read: impl FnOnce(&mut Collector) -> Result<(), E>,
    ) -> Result<Collector, E> {
        start.keep_journal();
        let mut collector = start.clone();
        read(&mut collector)?;
        let late = collector.journal().map(|journal| journal.late.clone());
        self.readings.push(Reading {
            collector: start,
            late: Arc::new(late.unwrap_or_default()),
        });
        Ok(collector)
    }

    /// The next message of the input with other addresses, captured with this link type or bare. Messages are to be given in the order in
    /// which they were learned. `None` for what is no export message.
    pub fn message(
        &mut self,
        link_type: Option<u16>,
        data: &[u8],
        original: u32,
        time_ns: u64,
        address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
    ) -> Option<Message> {
        let Some(link_type) = link_type else {
            let from = Origin {
                address: Ipv6Addr::UNSPECIFIED,
                port: 0,
            };
            let mut bytes = data.to_vec();
            let same = self.rewrite(from, time_ns, &mut bytes, address)?;
            return Some(Message {
                link_type: None,
                original,
                bytes,
                same,
            });
        };
        let (mut bytes, place, original, from) = redacted_envelope(link_type, data, original, address)?;
        let port = self.port(from, address(from.address));
        let source = place.start.checked_sub(8)?;
        bytes
            .get_mut(source..source + 2)?
            .copy_from_slice(&port.to_be_bytes());
        let same = self.rewrite(from, time_ns, bytes.get_mut(place)?, address)?;
        Some(Message {
            link_type: Some(RAW),
            original,
            bytes,
            same,
        })
    }

    /// The port of an exporter that has another address now: its own, or where another exporter has become the same, the next that is free.
    fn port(&mut self, from: Origin, now: Ipv6Addr) -> u16 {
        if let Some(port) = self.ports.get(&from) {
            return *port;
        }
        let full = self.ports.len() >= DOMAINS_MAX;
        let taken = |port: &u16| self.sessions.contains_key(&(now, *port));
        let free = (0..=u16::MAX)
            .map(|more| from.port.wrapping_add(more))
            .find(|port| !taken(port));
        let port = free.unwrap_or(from.port);
        if !full {
            self.sessions.insert((now, port), from);
            self.ports.insert(from, port);
        }
        port
    }

    /// Rewrites a message in its place. Whether its records stay the same; `None` where its version is not known.
    fn rewrite(
        &mut self,
        from: Origin,
        time_ns: u64,
        data: &mut [u8],
        address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
    ) -> Option<bool> {
        let format = format_of(data)?;
        match format {
            Format::Netflow9 | Format::Ipfix => Some(self.sets(format, from, time_ns, data, address)),
            Format::Sflow => Some(match sflow::header(data) {
                Some(header) => sflow::redact(&header, data, &mut self.trial, address),
                None => {
                    // Its agent is of a type that there is not, or cut off, and stays so.
                    let kind = match data.get(4..8) {
                        Some([0, 0, 0, kind @ 0..=2]) => *kind,
                        _ => 3,
                    };
                    cut(data);
                    if let Some(field) = data.get_mut(7) {
                        *field = kind;
                    }
                    true
                }
            }),
            _ => {
                match netflow::header(format, data) {
                    Some(header) => netflow::redact(&header, data, address),
                    None => cut(data),
                }
                Some(true)
            }
        }
    }

    /// NetFlow v9 and IPFIX.
    fn sets(
        &mut self,
        format: Format,
        from: Origin,
        time_ns: u64,
        data: &mut [u8],
        address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
    ) -> bool {
        let start = header_length(format);
        if data.len() < start {
            cut(data);
            return true;
        }
        let mut same = !self.readings.is_empty();
        let mut plans = Vec::new();
        for (number, reading) in self.readings.iter_mut().enumerate() {
            self.scratch.clear();
            reading
                .collector
                .datagram(from, time_ns, data, 0, &mut self.scratch);
            let sets = reading
                .collector
                .journal()
                .map_or(&[][..], |journal| &journal.sets);
            for (at, (place, what)) in sets.iter().enumerate() {
                let plan = match what {
                    What::Templates { options } => Plan::Templates { options: *options },
                    What::Records(template) => Plan::Records(template.clone()),
                    What::Waits(number) => match reading.late.get(number) {
                        Some(template) => Plan::Records(template.clone()),
                        None => Plan::Blank,
                    },
                    What::Nothing => Plan::Blank,
                };
                // All readings walk the same sets.
                if number == 0 {
                    plans.push((place.clone(), plan));
                } else if let Some((_, first)) = plans.get_mut(at)
                    && !first.agrees(&plan)
                {
                    *first = Plan::Blank;
                    same = false;
                }
            }
        }
        let mut end = start;
        for (place, plan) in plans {
            end = place.end;
            let Some(body) = data.get_mut(place.start + 4..place.end) else {
                continue;
            };
            match plan {
                Plan::Templates { options } => templates(body, format == Format::Ipfix, options),
                Plan::Records(template) => same &= columns::redact(&template, body, &mut self.trial, address),
                Plan::Blank => body.fill(0),
            }
        }
        let behind = message_end(format, data).unwrap_or(data.len());
        data[behind.max(end)..].fill(0);
        if let Some(rest) = data.get_mut(end..behind) {
            end_of_sets(rest);
        }
        same
    }
}

impl Plan {
    /// Whether two plans do the same.
    fn agrees(&self, other: &Plan) -> bool {
        match (self, other) {
            (Plan::Records(one), Plan::Records(other)) => one == other,
            (Plan::Templates { .. }, Plan::Templates { .. }) | (Plan::Blank, Plan::Blank) => true,
            _ => false,
        }
    }
}

/// A message too short for its header: what it is stays, the rest is nobody's.
fn cut(data: &mut [u8]) {
    data.iter_mut().skip(4).for_each(|byte| *byte = 0);
}

/// What lies behind the last set of a message: a header whose length is none, and whatever follows. Where that is no padding, it has to
/// stay so.
fn end_of_sets(rest: &mut [u8]) {
    let (ends, broken) = match rest {
        [_, _, 0, 0..4, ..] => (true, rest.iter().any(|&byte| byte != 0)),
        _ => (false, false),
    };
    rest.iter_mut()
        .skip(if ends { 4 } else { 0 })
        .for_each(|byte| *byte = 0);
    if broken
        && rest.iter().all(|&byte| byte == 0)
        && let Some(last) = rest.last_mut()
    {
        *last = 1;
    }
}

/// Zeros over what is no template in a set of them. Where that is a fault, it stays one.
fn templates(body: &mut [u8], ipfix: bool, options: bool) {
    let mut next = 0;
    while body.len() - next >= 4 {
        match template::read(&body[next..], ipfix, options) {
            Read::Template(_, used) | Read::Withdrawal(_, used) => next += used,
            Read::Malformed => {
                let rest = &mut body[next..];
                let broken = rest.iter().any(|&byte| byte != 0);
                rest.fill(0);
                // One field, and a number that no template has.
                rest[3] = u8::from(broken);
                return;
            }
        }
    }
    body[next..].fill(0);
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn other(address: Ipv6Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(address.to_bits() ^ 0x0101)
    }

    fn ipv4(src: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 7, 0, 0, 57, 17, 0, 0];
        packet[2..4].copy_from_slice(&((28 + payload.len()) as u16).to_be_bytes());
        packet.extend(src);
        packet.extend([192, 0, 2, 9, 0x0f, 0xa0, 8, 7]);
        packet.extend(((8 + payload.len()) as u16).to_be_bytes());
        packet.extend([0xab, 0xcd]);
        packet.extend(payload);
        packet
    }

    #[test]
    fn addresses_of_the_fixed_forms_are_replaced_and_what_is_not_decoded_is_zero() {
        let mut v5 = vec![0, 5, 0, 1];
        v5.resize(24, 0);
        v5.extend([77, 1, 2, 3, 192, 0, 2, 9, 77, 1, 2, 1]);
        v5.resize(24 + 48, 7);
        v5.extend([77, 1, 2, 3]);
        let packet = ipv4([77, 1, 2, 200], &v5);
        let message = Redactor::new()
            .message(Some(RAW), &packet, packet.len() as u32, 0, &other)
            .unwrap();
        assert_eq!(
            (message.link_type, message.original as usize, message.same),
            (Some(RAW), packet.len(), true)
        );
        let bytes = message.bytes;
        assert_eq!(
            (bytes.len(), &bytes[12..16]),
            (packet.len(), &[77, 1, 3, 201][..])
        );
        assert_eq!(bytes[28 + 24..28 + 36], [77, 1, 3, 2, 192, 0, 3, 8, 0, 0, 0, 0]);
        assert_eq!(bytes[28 + 36..28 + 60], [7; 24]);
        // Padding, and what lies behind the records.
        assert_eq!((bytes[28 + 60], &bytes[28 + 70..]), (0, &[0, 0, 0, 0, 0, 0][..]));
        let mut v7 = vec![0, 7, 0, 1];
        v7.resize(24 + 48, 7);
        v7.extend([77, 9, 9, 9]);
        let message = Redactor::new()
            .message(None, &v7, v7.len() as u32, 0, &other)
            .unwrap();
        assert_eq!(
            message.bytes[24 + 46..],
            [0; 6],
            "the router is nobody's business"
        );
        let short = Redactor::new().message(None, &v7[..20], 20, 0, &other).unwrap();
        assert_eq!(short.bytes, [&v7[..4], &[0; 16]].concat());
        assert_eq!(Redactor::new().message(None, &[0, 8, 0, 0], 4, 0, &other), None);
    }

    #[test]
    fn who_has_learned_nothing_keeps_nothing() {
        let message = [
            &[0, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4][..],
            &[1, 44, 0, 12, 77, 1, 2, 3, 192, 0, 2, 9],
        ]
        .concat();
        let after = Redactor::new().message(None, &message, 32, 0, &other).unwrap();
        assert_eq!((&after.bytes[..20], after.same), (&message[..20], false));
        assert_eq!(after.bytes[20..], [0; 12]);
    }

    #[test]
    fn ports_tell_exporters_apart_and_what_is_broken_stays_so() {
        let address = |last| Ipv4Addr::new(77, 1, 2, last).to_ipv6_mapped();
        let mut redactor = Redactor::new();
        let from = |last| Origin {
            address: address(last),
            port: 9,
        };
        let now = address(0);
        assert_eq!(
            [1, 2, 3, 1].map(|last| redactor.port(from(last), now)),
            [9, 10, 11, 9]
        );
        // Id 300 with more fields than there are.
        let mut body = vec![1, 44, 0, 9, 77, 1, 2, 3, 0, 0];
        templates(&mut body, false, false);
        assert_eq!(body, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for (ipfix, options) in [(false, false), (false, true), (true, false), (true, true)] {
            assert!(matches!(template::read(&body, ipfix, options), Read::Malformed));
            assert!(matches!(
                template::read(&body[..4], ipfix, options),
                Read::Malformed
            ));
        }
        let mut rest = [77, 1, 0, 2, 77, 1, 2, 3];
        end_of_sets(&mut rest);
        assert_eq!(rest, [77, 1, 0, 2, 0, 0, 0, 0]);
        let mut rest = [0, 0, 0, 0, 77, 1, 2, 3];
        end_of_sets(&mut rest);
        assert_eq!(rest, [0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
