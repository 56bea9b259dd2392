//! What of a packet is evidence: as many bytes as decide what it is decoded to, and the same without its addresses.
//!
//! Neither knows what a decoder looks at: both try, decode what is left, and compare. So they stay right when decoders learn more.

use std::net::Ipv6Addr;

use crate::collector::Origin;
use crate::fault::{Fault, Reason};
use crate::flow::{Batch, Dns, Exported, Flow, Fragment, Http, Inner};
use crate::packet;
use crate::write::checksum;

/// Bytes behind the transport header that are tried. Between them nothing is: a few bytes too many do no harm.
const STEPS: [usize; 32] = [
    0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 16, 18, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128, 192, 256,
    384, 512, 768, 1_024, 1_400,
];
/// Bytes of payload that a packet without addresses keeps as they are, at most. Names of services and marks of protocols lie here.
const KEPT_MAX: usize = 256;
/// Bytes of a link layer, or of a record of sFlow, that are tried one by one.
const QUIET_MAX: usize = 256;
/// What stands in for bytes that nobody needs to see.
const FILLER: u8 = b'x';

/// Everything that one packet is decoded to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Decoded {
    flow: Option<Flow>,
    dns: Option<(Dns, Vec<u8>)>,
    http: Option<Http>,
    inner: Option<Inner>,
    faults: Vec<Fault>,
    /// Where a payload lies that begins like an export message.
    export: Option<usize>,
}

/// Tries packets. It holds the space that this takes, so that trying many allocates little.
#[derive(Clone, Debug, Default)]
pub struct Trial {
    batch: Batch,
    bytes: Vec<u8>,
}

/// A packet without its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redacted<'a> {
    /// It, from its IP header on (link type 101).
    pub bytes: &'a [u8],
    /// Length on the wire, from its IP header on.
    pub original: u32,
    /// Whether it is decoded to the same as before, addresses, VLAN and tunnels' insides aside.
    pub same: bool,
}

impl Trial {
    /// Space for trying.
    pub fn new() -> Trial {
        Trial::default()
    }

    fn decode(&mut self, link_type: u16, data: &[u8], original: u32) -> Decoded {
        self.batch.clear();
        let export = packet::decode(link_type, data, original, 0, 0, &mut self.batch);
        let batch = &self.batch;
        Decoded {
            flow: batch.flows.first().copied(),
            dns: batch.dns.first().map(|dns| (*dns, batch.names.clone())),
            http: batch.http.first().copied(),
            inner: batch.inner.first().copied(),
            faults: batch.faults.iter().collect(),
            export,
        }
    }

    /// How many of a packet's captured bytes decide what it is decoded to: so many from its start give the same record, details and
    /// faults. A packet that begins like an export message is needed whole.
    pub fn needed(&mut self, link_type: u16, data: &[u8], original: u32) -> usize {
        let whole = self.decode(link_type, data, original);
        let Some(header) = header_end(link_type, data, original) else {
            return data.len();
        };
        if whole.export.is_some() {
            return data.len();
        }
        STEPS
            .iter()
            .map(|step| header + step)
            .take_while(|end| *end < data.len())
            .find(|end| self.decode(link_type, &data[..*end], original) == whole)
            .unwrap_or(data.len())
    }

    /// The packet with other addresses, from its IP header on, and with no more of its payload than its record needs: options, checksums
    /// over the addresses and whatever else may hold an address become filler. `None` for a packet that is no record. Not for
    /// export messages, whose addresses lie elsewhere: [`Redactor`](crate::Redactor).
    pub fn redacted(
        &mut self,
        link_type: u16,
        data: &[u8],
        original: u32,
        address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
    ) -> Option<Redacted<'_>> {
        let mut wanted = self.decode(link_type, data, original);
        let flow = wanted.flow?;
        // It may begin like an export message by chance, as random payloads do: it is none, so nothing of that is needed.
        wanted.export = None;
        let mut scratch = Batch::default();
        let mut probe = Flow::EMPTY;
        let transport = packet::frame(link_type, data, original, &mut probe, 0, &mut scratch).ok()?;
        let start = packet::ip_start(link_type, data)?;
        let original = original.saturating_sub(start as u32);
        // By its own length: what lies behind is padding.
        let end = data
            .len()
            .min(start + usize::try_from(flow.bytes).unwrap_or(usize::MAX));
        let ip = data.get(start..end)?;
        let transport = (transport - start).min(ip.len());
        let header = transport + transport_length(&flow, &ip[transport..]);
        let mut bytes = ip.to_vec();
        readdress(&mut bytes, &flow, transport, address)?;
        scrub_transport(&mut bytes[transport..header.min(ip.len())], &flow);
        // What the record is to be: the same, of other addresses.
        forget(&mut wanted);
        if let Some(flow) = &mut wanted.flow {
            (flow.src, flow.dst) = (address(flow.src), address(flow.dst));
        }
        let header = header.min(bytes.len());
        let (head, payload) = bytes.split_at(header);
        let candidates = payloads(payload, &wanted);
        let mut best: Option<(Vec<u8>, bool)> = None;
        for candidate in candidates {
            let mut tried = head.to_vec();
            tried.extend(candidate);
            let mut got = self.decode(RAW, &tried, original);
            forget(&mut got);
            let same = got == wanted;
            if same || best.is_none() {
                best = Some((tried, same));
            }
            if same {
                break;
            }
        }
        let (bytes, same) = best?;
        self.bytes = bytes;
        Some(Redacted {
            bytes: &self.bytes,
            original,
            same,
        })
    }

    /// Writes other addresses into a packet inside an export message, in its place: its length stays, and what does not decide its record
    /// becomes zeros or filler, hardware addresses among it. False where the record is not the same afterwards.
    pub(crate) fn frame(
        &mut self,
        link_type: u16,
        data: &mut [u8],
        original: u32,
        address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
    ) -> bool {
        let (wanted, transport) = self.inside(link_type, data, original);
        let (Some(transport), Some(start)) = (transport, packet::ip_start(link_type, data)) else {
            // No packet; why not is all that there is to it.
            return quiet(data, &mut |bytes| self.inside(link_type, bytes, original).0);
        };
        let Some(mut wanted) = wanted.moved(address) else {
            data.fill(0);
            return false;
        };
        let Some(flow) = self.inside(link_type, data, original).0.flow else {
            data.fill(0);
            return false;
        };
        // By its own length: what lies behind is padding.
        let end = usize::try_from(flow.bytes).map_or(data.len(), |length| data.len().min(start + length));
        data[end..].fill(0);
        let transport = transport.clamp(start, end.max(start));
        let end = end.max(transport);
        let header = (transport + transport_length(&flow, &data[transport..end])).min(end);
        if readdress(&mut data[start..end], &flow, transport - start, address).is_none() {
            data.fill(0);
            return false;
        }
        scrub_transport(&mut data[transport..header], &flow);
        forget_inside(&mut wanted);
        let payload = data[header..end].to_vec();
        let mut same = false;
        for mut candidate in payloads(&payload, &wanted) {
            candidate.resize(payload.len(), FILLER);
            data[header..end].copy_from_slice(&candidate);
            let (got, _) = self.inside(link_type, data, original);
            same = got == wanted;
            if same {
                break;
            }
        }
        if !same {
            // None does: then nothing is kept of it.
            data[header..end].fill(FILLER);
        }
        if start > 0 {
            let mut link = data[..start].to_vec();
            let rest = data[start..].to_vec();
            let mut whole = data.to_vec();
            same &= quiet(&mut link, &mut |bytes| {
                whole[..start].copy_from_slice(bytes);
                whole[start..].copy_from_slice(&rest);
                self.inside(link_type, &whole, original)
            });
            data[..start].copy_from_slice(&link);
        }
        same
    }

    /// What a packet inside an export message is decoded to, and where its transport header starts.
    fn inside(&mut self, link_type: u16, data: &[u8], original: u32) -> (Decoded, Option<usize>) {
        self.batch.clear();
        let mut flow = Flow::EMPTY;
        let transport = match packet::frame(link_type, data, original, &mut flow, 0, &mut self.batch) {
            Ok(transport) => Some(transport),
            Err(reason) => {
                self.batch.faults.note(reason, 0);
                None
            }
        };
        let batch = &self.batch;
        let mut decoded = Decoded {
            flow: Some(flow),
            dns: batch.dns.first().map(|dns| (*dns, batch.names.clone())),
            http: batch.http.first().copied(),
            inner: None,
            faults: batch.faults.iter().collect(),
            export: None,
        };
        forget_inside(&mut decoded);
        (decoded, transport)
    }
}

impl Decoded {
    /// The same of other addresses.
    fn moved(mut self, address: &dyn Fn(Ipv6Addr) -> Ipv6Addr) -> Option<Decoded> {
        let flow = self.flow.as_mut()?;
        (flow.src, flow.dst) = (address(flow.src), address(flow.dst));
        Some(self)
    }
}

/// Makes zeros of all bytes without which `look` sees the same. False where it does not: of a long piece only the beginning is tried byte
/// by byte, and the rest is zero in any case.
pub(crate) fn quiet<T: PartialEq>(bytes: &mut [u8], look: &mut dyn FnMut(&[u8]) -> T) -> bool {
    let wanted = look(bytes);
    let tried = bytes.len().min(QUIET_MAX);
    let old = bytes[..tried].to_vec();
    bytes.fill(0);
    if look(bytes) == wanted {
        return true;
    }
    bytes[..tried].copy_from_slice(&old);
    if look(bytes) != wanted {
        bytes.fill(0);
        return false;
    }
    for at in 0..tried {
        bytes[at] = 0;
        if old[at] != 0 && look(bytes) != wanted {
            bytes[at] = old[at];
        }
    }
    true
}

/// Writes an IPv4 address into a field; zero for one that is none.
pub(crate) fn write4(field: &mut [u8], address: Ipv6Addr) {
    if let Some(field) = field.first_chunk_mut::<4>() {
        *field = address
            .to_ipv4_mapped()
            .map_or([0; 4], |address| address.octets());
    }
}

/// Writes an IPv6 address into a field.
pub(crate) fn write6(field: &mut [u8], address: Ipv6Addr) {
    if let Some(field) = field.first_chunk_mut::<16>() {
        *field = address.octets();
    }
}

/// What an exporter says of a record that is not kept: next hops and hardware addresses are nobody's business, and decide nothing.
pub(crate) fn forget_hops(more: &mut Exported) {
    more.next_hop = Ipv6Addr::UNSPECIFIED;
    more.bgp_next_hop = Ipv6Addr::UNSPECIFIED;
    more.src_mac = [0; 6];
    more.dst_mac = [0; 6];
}

/// The UDP payload of a packet that carries an export message, in a packet from its IP header on (link type 101) with other addresses:
/// the packet, where in it the message lies, its length on the wire, and its sender.
pub(crate) fn redacted_envelope(
    link_type: u16,
    data: &[u8],
    original: u32,
    address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
) -> Option<(Vec<u8>, std::ops::Range<usize>, u32, Origin)> {
    let mut batch = Batch::default();
    let message = packet::decode(link_type, data, original, 0, 0, &mut batch)?;
    let flow = batch.flows.first()?;
    let start = packet::ip_start(link_type, data)?;
    let transport = message.checked_sub(start + 8)?;
    // The collector goes by the length of the datagram, even where that of the packet is another.
    let end = usize::try_from(flow.bytes)
        .ok()?
        .max(message - start + usize::from(flow.payload));
    let mut bytes = data.get(start..data.len().min(start + end))?.to_vec();
    readdress(&mut bytes, flow, transport, address)?;
    scrub_transport(bytes.get_mut(transport..)?, flow);
    let from = Origin {
        address: flow.src,
        port: flow.src_port,
    };
    let message = transport + 8;
    let end = bytes.len().min(message + usize::from(flow.payload));
    // Behind the datagram's own length nothing is decoded.
    bytes.get_mut(end..)?.fill(0);
    let original = original.saturating_sub(start as u32);
    (message <= end).then_some((bytes, message..end, original, from))
}

/// LINKTYPE_RAW: an IP packet and nothing before it.
pub const RAW: u16 = 101;

/// What a packet without addresses need not have, and where details lie.
fn forget(decoded: &mut Decoded) {
    if let Some(flow) = &mut decoded.flow {
        flow.vlan = 0;
    }
    forget_inside(decoded);
}

/// The same for a packet that keeps its link layer.
fn forget_inside(decoded: &mut Decoded) {
    decoded.inner = None;
    // Of a tunnel's inside nothing is kept, so nobody can tell how deep it was.
    decoded.faults.retain(|fault| fault.reason != Reason::TunnelDepth);
    if let Some(flow) = &mut decoded.flow {
        flow.detail = Flow::NO_DETAIL;
    }
    if let Some((dns, name)) = &mut decoded.dns
        && let Some(at) = reverse_name(name)
    {
        // The name of an address is an address. Its length stays.
        dns.name_start = 0;
        name[..at].fill(FILLER);
    }
}

/// Where the transport header of a packet ends, as far as it was captured.
fn header_end(link_type: u16, data: &[u8], original: u32) -> Option<usize> {
    let mut flow = Flow::EMPTY;
    let mut batch = Batch::default();
    let transport = packet::frame(link_type, data, original, &mut flow, 0, &mut batch).ok()?;
    let rest = data.get(transport..).unwrap_or(&[]);
    Some((transport + transport_length(&flow, rest)).min(data.len()))
}

/// Length of a transport header; nothing for a later fragment.
fn transport_length(flow: &Flow, transport: &[u8]) -> usize {
    match flow.protocol {
        _ if flow.fragment == Fragment::Later => 0,
        6 => transport
            .get(12)
            .map_or(20, |offset| usize::from(offset >> 4) * 4)
            .max(20),
        17 | 1 | 58 => 8,
        _ => 0,
    }
}

/// Writes other addresses into an IP header and its options, and the header's checksum anew.
fn readdress(
    ip: &mut [u8],
    flow: &Flow,
    transport: usize,
    address: &dyn Fn(Ipv6Addr) -> Ipv6Addr,
) -> Option<()> {
    let (src, dst) = (address(flow.src), address(flow.dst));
    if let (Some(src), Some(dst)) = (src.to_ipv4_mapped(), dst.to_ipv4_mapped()) {
        ip.get_mut(12..16)?.copy_from_slice(&src.octets());
        ip.get_mut(16..20)?.copy_from_slice(&dst.octets());
        let header = usize::from(ip[0] & 15) * 4;
        let header = header.min(ip.len());
        // Options may record a route: no-operation instead.
        ip.get_mut(20..header)?.fill(1);
        ip[10..12].fill(0);
        let sum = checksum(&ip[..header]);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        return Some(());
    }
    ip.get_mut(8..24)?.copy_from_slice(&src.octets());
    ip.get_mut(24..40)?.copy_from_slice(&dst.octets());
    // Extension headers may hold addresses (routing, home address): what is not their next header and length becomes padding.
    let (mut at, mut next) = (40, ip[6]);
    while at + 8 <= transport.min(ip.len()) {
        let (following, units) = (ip[at], usize::from(ip[at + 1]));
        let size = match next {
            44 => 8,
            51 => (units + 2) * 4,
            _ => (units + 1) * 8,
        };
        let end = (at + size).min(ip.len());
        if next != 44 {
            ip[at + 2..end].fill(0);
        }
        (at, next) = (at + size, following);
    }
    Some(())
}

/// Blanks the checksum, which is a sum over the addresses too, and the values of TCP options, which may name some.
fn scrub_transport(header: &mut [u8], flow: &Flow) {
    let sum = match flow.protocol {
        _ if flow.fragment == Fragment::Later => return,
        6 => 16..18,
        17 => 6..8,
        1 | 58 => 2..8,
        _ => return,
    };
    if let Some(sum) = header.get_mut(sum) {
        sum.fill(0);
    }
    if flow.protocol != 6 {
        return;
    }
    let mut at = 20;
    while at + 1 < header.len() && header[at] != 0 {
        if header[at] == 1 {
            at += 1;
            continue;
        }
        let end = (at + usize::from(header[at + 1]).max(2)).min(header.len());
        if at + 2 < end {
            header[at + 2..end].fill(0);
        }
        at = end;
    }
}

/// Payloads that may do, the most silent first; the first is also what is taken where none does.
fn payloads(payload: &[u8], wanted: &Decoded) -> Vec<Vec<u8>> {
    let mut candidates = Vec::new();
    if wanted.dns.is_some() {
        candidates.extend(question(payload));
    }
    if wanted.http.is_some() {
        candidates.push(http_head(payload));
    }
    let steps = || {
        STEPS
            .iter()
            .copied()
            .filter(|&step| step <= payload.len().min(KEPT_MAX))
    };
    let quiet = |step: usize| {
        let mut kept = payload[..step].to_vec();
        if step > 16 {
            blank_addresses(&mut kept);
        }
        kept
    };
    candidates.extend(steps().map(quiet));
    candidates.extend(steps().map(|step| {
        let mut kept = quiet(step);
        kept.resize(payload.len(), FILLER);
        kept
    }));
    if payload.len() <= 16 {
        candidates.push(payload.to_vec());
    }
    candidates
}

/// A DNS message up to the end of its first question: records behind it hold addresses.
fn question(payload: &[u8]) -> Option<Vec<u8>> {
    let mut at = 12;
    loop {
        match payload.get(at) {
            Some(0) => {
                at += 5;
                break;
            }
            Some(&length) if length < 64 => at += 1 + usize::from(length),
            _ => break,
        }
    }
    let mut kept = payload.get(..at.min(payload.len()))?.to_vec();
    // Labels in the place of their dots: long enough to know the name by its end.
    let name_end = at.saturating_sub(5).min(kept.len());
    if kept.len() > 12 && name_end > 13 {
        let mut dotted: Vec<u8> = kept[13..name_end].to_vec();
        let mut label = usize::from(kept[12]);
        while label < dotted.len() {
            let next = usize::from(dotted[label]);
            dotted[label] = b'.';
            label += 1 + next;
        }
        dotted.make_ascii_lowercase();
        if let Some(end) = reverse_name(&dotted) {
            for (i, byte) in kept[13..13 + end].iter_mut().enumerate() {
                if dotted[i] != b'.' {
                    *byte = FILLER;
                }
            }
        }
    }
    Some(kept)
}

/// Where the part of a reverse name ends that is an address.
fn reverse_name(name: &[u8]) -> Option<usize> {
    [&b".in-addr.arpa"[..], b".ip6.arpa"]
        .iter()
        .find(|end| name.ends_with(end))
        .map(|end| name.len() - end.len())
}

/// An HTTP head: first line, lengths and user agent are kept, the rest is filler of the same form.
fn http_head(payload: &[u8]) -> Vec<u8> {
    let end = payload
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map_or(payload.len(), |at| at + 4);
    let mut kept = payload.to_vec();
    for (number, line) in kept[..end].split_mut(|&byte| byte == b'\n').enumerate() {
        let named = |name: &[u8]| line.len() >= name.len() && line[..name.len()].eq_ignore_ascii_case(name);
        if number == 0 || named(b"user-agent:") || named(b"content-length:") {
            blank_addresses(line);
        } else {
            for byte in line.iter_mut().filter(|byte| **byte != b'\r') {
                *byte = FILLER;
            }
        }
    }
    kept[end..].fill(FILLER);
    kept
}

/// Makes zeros of the digits of written IP addresses: of whatever has three dots between numbers, or two colons between hex digits.
fn blank_addresses(text: &mut [u8]) {
    let part = |byte: u8| byte.is_ascii_hexdigit() || byte == b'.' || byte == b':';
    let mut at = 0;
    while at < text.len() {
        let end = text[at..]
            .iter()
            .position(|byte| !part(*byte))
            .map_or(text.len(), |n| at + n);
        let word = &mut text[at..end];
        let dots = word.iter().filter(|byte| **byte == b'.').count();
        let colons = word.iter().filter(|byte| **byte == b':').count();
        if dots >= 3 || colons >= 2 {
            for byte in word.iter_mut().filter(|byte| byte.is_ascii_hexdigit()) {
                *byte = b'0';
            }
        }
        at = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ipv4(protocol: u8, src: [u8; 4], transport: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 7, 0, 0, 57, protocol, 0, 0];
        packet[2..4].copy_from_slice(&((20 + transport.len()) as u16).to_be_bytes());
        packet.extend(src);
        packet.extend([192, 0, 2, 9]);
        packet.extend(transport);
        packet
    }

    fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
        bytes.extend(((8 + payload.len()) as u16).to_be_bytes());
        bytes.extend([0xab, 0xcd]);
        bytes.extend(payload);
        bytes
    }

    fn tcp(payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![
            0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 2, 0, 0x12, 0x34, 0, 0,
        ];
        bytes.extend(payload);
        bytes
    }

    fn other(address: Ipv6Addr) -> Ipv6Addr {
        if address == Ipv4Addr::new(192, 0, 2, 9).to_ipv6_mapped() {
            return address;
        }
        Ipv6Addr::from_bits(address.to_bits() ^ 0x0101)
    }

    #[test]
    fn bytes_that_decide_nothing_are_not_needed() {
        let mut trial = Trial::new();
        let flood = ipv4(17, [77, 1, 2, 3], &udp(4000, 9999, &[7; 1_000]));
        let needed = trial.needed(RAW, &flood, flood.len() as u32);
        assert!(needed < 60, "{needed}");
        assert_eq!(
            trial.decode(RAW, &flood[..needed], flood.len() as u32),
            trial.decode(RAW, &flood, flood.len() as u32)
        );
        // A head is whole or not: its end decides.
        let get = ipv4(
            6,
            [77, 1, 2, 3],
            &tcp(b"GET / HTTP/1.1\r\nHost: 10.9.8.7\r\n\r\n"),
        );
        assert_eq!(trial.needed(RAW, &get, get.len() as u32), get.len());
        // An export message is needed to its last byte.
        let mut v5 = vec![0, 5, 0, 1];
        v5.resize(24 + 48, 0);
        let export = ipv4(17, [77, 1, 2, 3], &udp(4000, 2055, &v5));
        assert_eq!(trial.needed(RAW, &export, export.len() as u32), export.len());
    }

    #[test]
    fn a_packet_without_addresses_is_decoded_to_the_same() {
        let mut trial = Trial::new();
        let mut answer = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        answer.extend(b"\x03www\x07example\x03org\0\0\x01\0\x01");
        answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x4d\x01\x02\x03");
        let head =
            b"GET /a HTTP/1.1\r\nHost: 77.1.2.3\r\nX-Forwarded-For: 77.1.2.3\r\nUser-Agent: curl\r\n\r\n";
        let mut tftp = vec![0, 3, 0, 1];
        tftp.resize(516, 77);
        for packet in [
            ipv4(17, [77, 1, 2, 3], &udp(53, 4000, &answer)),
            ipv4(6, [77, 1, 2, 3], &tcp(head)),
            ipv4(17, [77, 1, 2, 3], &udp(3000, 4000, &tftp)),
            ipv4(
                17,
                [77, 1, 2, 3],
                &udp(1900, 4000, b"HTTP/1.1 200 OK\r\nLOCATION: http://77.1.2.3/\r\n"),
            ),
            ipv4(
                1,
                [77, 1, 2, 3],
                &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &[77, 1, 2, 3]].concat(),
            ),
        ] {
            let before = trial.decode(RAW, &packet, packet.len() as u32);
            let redacted = trial.redacted(RAW, &packet, packet.len() as u32, &other).unwrap();
            assert!(redacted.same, "{before:?}");
            let bytes = redacted.bytes.to_vec();
            assert!(!bytes.windows(4).any(|w| w == [77, 1, 2, 3]), "{bytes:?}");
            assert!(!bytes.windows(8).any(|w| w == b"77.1.2.3"), "{bytes:?}");
            let after = trial.decode(RAW, &bytes, redacted_original(&packet));
            let (before, after) = (before.flow.unwrap(), after.flow.unwrap());
            assert_eq!(after.src, Ipv4Addr::new(77, 1, 3, 2).to_ipv6_mapped());
            assert_eq!(
                (after.dst, after.bytes, after.payload),
                (before.dst, before.bytes, before.payload)
            );
            assert_eq!(
                checksum(&bytes[..20]),
                0,
                "the header's sum is that of its new addresses"
            );
        }
    }

    fn redacted_original(packet: &[u8]) -> u32 {
        packet.len() as u32
    }

    #[test]
    fn a_random_payload_that_begins_like_an_export_message_is_none() {
        let packet = ipv4(
            17,
            [77, 1, 2, 3],
            &udp(4000, 40_000, &[0, 10, 0x6d, 0x98, 77, 246, 44, 116]),
        );
        let mut trial = Trial::new();
        let redacted = trial.redacted(RAW, &packet, packet.len() as u32, &other).unwrap();
        assert!(redacted.same);
        assert!(!redacted.bytes.windows(2).any(|bytes| bytes == [0x6d, 0x98]));
    }

    #[test]
    fn the_name_of_an_address_is_an_address() {
        let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        query.extend(b"\x013\x012\x011\x0277\x07in-addr\x04arpa\0\0\x0c\0\x01");
        let packet = ipv4(17, [77, 1, 2, 3], &udp(4000, 53, &query));
        let mut trial = Trial::new();
        let bytes = trial
            .redacted(RAW, &packet, packet.len() as u32, &other)
            .unwrap()
            .bytes
            .to_vec();
        let after = trial.decode(RAW, &bytes, packet.len() as u32);
        assert_eq!(after.dns.unwrap().1, b"x.x.x.xx.in-addr.arpa");
        let mut text = b"host=10.1.2.3;v=1.2.3;t=12:30".to_vec();
        blank_addresses(&mut text);
        assert_eq!(text, b"host=00.0.0.0;v=1.2.3;t=12:30");
    }

    #[test]
    fn a_packet_inside_a_message_keeps_its_length() {
        let mut trial = Trial::new();
        // A tunnel, whose inside is nobody's; a first fragment; a header that is cut off; a packet with padding behind it.
        let inside = ipv4(17, [77, 9, 9, 9], &udp(1, 2, &[0; 30]));
        let tunnel = ipv4(4, [77, 1, 2, 3], &inside);
        let mut padded = ipv4(17, [77, 1, 2, 3], &udp(5, 6, b"x"));
        padded.extend([77, 1, 2, 3, 77, 9, 9, 9]);
        let cut = ipv4(6, [77, 1, 2, 3], &tcp(b"GET / HTTP/1.1\r\nHost: 77.1.2.3\r\n"))[..30].to_vec();
        for packet in [tunnel, padded, cut] {
            let (was, _) = trial.inside(RAW, &packet, 100);
            let mut after = packet.clone();
            assert!(trial.frame(RAW, &mut after, 100, &other));
            assert_eq!(after.len(), packet.len());
            for left in [[77, 1, 2, 3], [77, 9, 9, 9]] {
                assert!(!after.windows(4).any(|window| window == left), "{after:?}");
            }
            let (is, _) = trial.inside(RAW, &after, 100);
            assert_eq!(Some(is), was.moved(&other));
        }
        // What is no packet keeps only why it is none.
        let mut strange = vec![0x75, 77, 1, 2, 3, 77, 9, 9, 9];
        assert!(trial.frame(RAW, &mut strange, 9, &other));
        assert_eq!(strange, [0; 9]);
    }

    #[test]
    fn bytes_that_nobody_looks_at_become_zero() {
        let mut bytes = [1, 2, 3, 4];
        assert!(quiet(&mut bytes, &mut |bytes| bytes[1] | bytes[2]));
        assert!(bytes == [0, 2, 3, 0] || bytes == [0, 0, 3, 0]);
        let mut long = vec![1; QUIET_MAX + 1];
        assert!(!quiet(&mut long, &mut |bytes| bytes[QUIET_MAX]));
        assert!(
            long.iter().all(|byte| *byte == 0),
            "what is not tried is not kept"
        );
    }
}
