//! One captured packet, from its link layer to the first bytes of its payload.
//!
//! Every packet that has an IP header becomes exactly one [`Flow`]; everything else is a counted fault. Lengths are those of
//! the IP header (RFC 791 total length, RFC 8200 payload length), never what was captured, and trailing Ethernet padding is
//! not payload. Tunnels are counted as what they are on the wire; the packet inside is a side record.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::collector;
use crate::fault::Reason;
use crate::flow::{Batch, Flow, Fragment, Hint, Inner};
use crate::payload;

/// Link-layer and MPLS headers that are taken off before a packet is given up.
const LINK_DEPTH_MAX: usize = 8;
/// IPv6 extension headers that are followed.
const EXTENSIONS_MAX: usize = 12;
/// Tunnels inside tunnels that are followed.
const TUNNELS_MAX: u32 = 4;

/// Link types (the LINKTYPE_ registry of tcpdump.org).
mod link {
    pub(super) const NULL: u16 = 0;
    pub(super) const ETHERNET: u16 = 1;
    pub(super) const PPP: u16 = 9;
    pub(super) const RAW_BSD: u16 = 12;
    pub(super) const RAW_OPENBSD: u16 = 14;
    pub(super) const PPP_HDLC: u16 = 50;
    pub(super) const PPPOE: u16 = 51;
    pub(super) const RAW: u16 = 101;
    pub(super) const CISCO_HDLC: u16 = 104;
    pub(super) const LOOP: u16 = 108;
    pub(super) const LINUX_SLL: u16 = 113;
    pub(super) const IPV4: u16 = 228;
    pub(super) const IPV6: u16 = 229;
    pub(super) const LINUX_SLL2: u16 = 276;
}

/// Whether packets of this link type are decoded.
pub fn knows(link_type: u16) -> bool {
    use link::*;
    matches!(
        link_type,
        NULL | ETHERNET
            | PPP
            | RAW_BSD
            | RAW_OPENBSD
            | PPP_HDLC
            | PPPOE
            | RAW
            | CISCO_HDLC
            | LOOP
            | LINUX_SLL
            | IPV4
            | IPV6
            | LINUX_SLL2
    )
}

#[inline]
fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[inline]
fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Decodes one captured packet into `batch`: one flow, or one fault.
///
/// `data` are the captured bytes, `original` the length on the wire, `offset` where the record lies in the input. Returns where
/// in `data` a UDP payload lies that begins like an export message; the caller may decode it in place of the packet.
#[inline]
pub fn decode(
    link_type: u16,
    data: &[u8],
    original: u32,
    time_ns: u64,
    offset: u64,
    batch: &mut Batch,
) -> Option<usize> {
    let mut flow = Flow {
        first_ns: time_ns,
        last_ns: time_ns,
        packets: 1,
        has: Flow::IS_PACKET,
        ..Flow::EMPTY
    };
    match frame(link_type, data, original, &mut flow, offset, batch) {
        Ok(transport) => {
            batch.flows.push(flow);
            let is_export = flow.protocol == 17
                && flow.hint == Hint::None
                && flow.detail == Flow::NO_DETAIL
                && data
                    .get(transport + 8..transport + 12)
                    .is_some_and(collector::begins_like_export);
            is_export.then_some(transport + 8)
        }
        Err(reason) => {
            batch.faults.note(reason, offset);
            None
        }
    }
}

/// Fills a flow from a frame whose time, sampling and packet count the caller has set; side records go to the batch. Returns where
/// the transport header starts.
#[inline]
pub(crate) fn frame(
    link_type: u16,
    data: &[u8],
    original: u32,
    flow: &mut Flow,
    offset: u64,
    batch: &mut Batch,
) -> Result<usize, Reason> {
    let start = unwrap_link(link_type, data, flow)?;
    let wire_length = original.saturating_sub(start as u32);
    Ok(start + ip(&data[start..], wire_length, flow, batch, offset)?)
}

/// Where the IP header of a captured packet starts, `None` where it has none.
pub(crate) fn ip_start(link_type: u16, data: &[u8]) -> Option<usize> {
    unwrap_link(link_type, data, &mut Flow::EMPTY.clone()).ok()
}

/// Takes off the link layer. Gives where the IP header starts.
#[inline]
fn unwrap_link(link_type: u16, data: &[u8], flow: &mut Flow) -> Result<usize, Reason> {
    use link::*;
    match link_type {
        ETHERNET => {
            // Plain Ethernet with IPv4 or IPv6 is nearly everything.
            match be16(data, 12).ok_or(Reason::LinkTruncated)? {
                0x0800 | 0x86dd => Ok(14),
                ether_type => ether(ether_type, data, 14, flow),
            }
        }
        RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 => Ok(0),
        NULL | LOOP => {
            let family = data.first_chunk::<4>().ok_or(Reason::LinkTruncated)?;
            // The family is in the byte order of the machine that captured; IPv6 has a different number on each BSD.
            let family = u32::from_le_bytes(*family).min(u32::from_be_bytes(*family));
            if matches!(family, 2 | 10 | 23 | 24 | 28 | 30) {
                Ok(4)
            } else {
                Err(Reason::NotIp)
            }
        }
        LINUX_SLL => ether(be16(data, 14).ok_or(Reason::LinkTruncated)?, data, 16, flow),
        LINUX_SLL2 => ether(be16(data, 0).ok_or(Reason::LinkTruncated)?, data, 20, flow),
        PPP | PPP_HDLC => {
            let start = if data.starts_with(&[0xff, 0x03]) { 2 } else { 0 };
            ppp(data, start, flow)
        }
        PPPOE => ether(0x8864, data, 0, flow),
        CISCO_HDLC => ether(be16(data, 2).ok_or(Reason::LinkTruncated)?, data, 4, flow),
        _ => Err(Reason::LinkType),
    }
}

/// Follows Ethernet types through VLAN tags, MPLS labels, PPPoE and LLC/SNAP to an IP header.
fn ether(mut ether_type: u16, data: &[u8], mut at: usize, flow: &mut Flow) -> Result<usize, Reason> {
    for _ in 0..LINK_DEPTH_MAX {
        match ether_type {
            0x0800 | 0x86dd if at <= data.len() => return Ok(at),
            // 802.1Q, 802.1ad and the older numbers for stacked tags.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
                let tag = be16(data, at).ok_or(Reason::LinkTruncated)?;
                if flow.vlan == 0 {
                    flow.vlan = tag & 0x0fff;
                }
                ether_type = be16(data, at + 2).ok_or(Reason::LinkTruncated)?;
                at += 4;
            }
            // MPLS label stack: the bottom of the stack does not say what follows; its first nibble does (RFC 4928).
            0x8847 | 0x8848 => loop {
                let label = be32(data, at).ok_or(Reason::LinkTruncated)?;
                at += 4;
                if label & 0x100 != 0 {
                    return match data.get(at).ok_or(Reason::LinkTruncated)? >> 4 {
                        4 | 6 => Ok(at),
                        // A pseudowire control word, then Ethernet (RFC 4448).
                        0 => {
                            let inner = at + 4;
                            ether_type = be16(data, inner + 12).ok_or(Reason::LinkTruncated)?;
                            at = inner + 14;
                            ether_plain(ether_type, data, at)
                        }
                        _ => Err(Reason::NotIp),
                    };
                }
            },
            // PPPoE session (RFC 2516).
            0x8864 => {
                be16(data, at + 4).ok_or(Reason::LinkTruncated)?;
                return ppp(data, at + 6, flow);
            }
            // 802.3 length with LLC/SNAP (RFC 1042).
            length if length < 0x0600 => {
                if data.get(at..at + 6) != Some(&[0xaa, 0xaa, 0x03, 0, 0, 0]) {
                    return Err(Reason::NotIp);
                }
                ether_type = be16(data, at + 6).ok_or(Reason::LinkTruncated)?;
                at += 8;
            }
            _ => return Err(Reason::NotIp),
        }
    }
    Err(Reason::LinkTruncated)
}

fn ether_plain(ether_type: u16, data: &[u8], at: usize) -> Result<usize, Reason> {
    match ether_type {
        0x0800 | 0x86dd if at <= data.len() => Ok(at),
        0x8100 | 0x88a8 => match be16(data, at + 2) {
            Some(0x0800 | 0x86dd) => Ok(at + 4),
            _ => Err(Reason::NotIp),
        },
        _ => Err(Reason::NotIp),
    }
}

/// PPP protocol field: two bytes, or one where it was compressed (RFC 1661 section 6.5).
fn ppp(data: &[u8], at: usize, _flow: &mut Flow) -> Result<usize, Reason> {
    let first = *data.get(at).ok_or(Reason::LinkTruncated)?;
    let (protocol, start) = if first & 1 == 1 {
        (u16::from(first), at + 1)
    } else {
        (be16(data, at).ok_or(Reason::LinkTruncated)?, at + 2)
    };
    match protocol {
        0x0021 | 0x0057 => Ok(start),
        _ => Err(Reason::NotIp),
    }
}

/// What an IP header says.
struct Ip {
    src: Ipv6Addr,
    dst: Ipv6Addr,
    protocol: u8,
    /// Length of the packet by its header.
    length: u32,
    /// Where the transport header starts.
    transport: usize,
    ttl: u8,
    tos: u8,
    fragment: Fragment,
    fragment_id: u32,
    fragment_offset: u16,
    options: bool,
}

fn ip(
    data: &[u8],
    wire_length: u32,
    flow: &mut Flow,
    batch: &mut Batch,
    offset: u64,
) -> Result<usize, Reason> {
    let header = ip_header(data, wire_length)?;
    flow.src = header.src;
    flow.dst = header.dst;
    flow.bytes = u64::from(header.length);
    flow.protocol = header.protocol;
    flow.ttl = header.ttl;
    flow.tos = header.tos;
    flow.fragment = header.fragment;
    flow.fragment_id = header.fragment_id;
    flow.fragment_offset = header.fragment_offset;
    flow.has |= Flow::HAS_TTL | if header.options { Flow::HAS_IP_OPTIONS } else { 0 };
    if header.fragment == Fragment::Later {
        return Ok(header.transport);
    }
    // What lies behind the packet's own end is padding.
    let end = (header.length as usize).min(data.len());
    let transport = data.get(header.transport..end).unwrap_or(&[]);
    let by_header = header.length.saturating_sub(header.transport as u32);
    if !decode_transport(transport, by_header, flow, batch) {
        batch.faults.note(Reason::TransportHeader, offset);
    }
    if let Some(inside) = tunnel_start(flow, transport).and_then(|start| transport.get(start..)) {
        match inner(inside, 1) {
            Ok(inner) => {
                flow.detail = batch.inner.len() as u32;
                batch.inner.push(inner);
            }
            Err(Reason::TunnelDepth) => batch.faults.note(Reason::TunnelDepth, offset),
            Err(_) => {} // not a tunnel after all, or cut short: the outer packet is counted all the same
        }
    }
    Ok(header.transport)
}

#[inline]
fn ip_header(data: &[u8], wire_length: u32) -> Result<Ip, Reason> {
    match data.first().ok_or(Reason::IpHeader)? >> 4 {
        4 => ipv4(data, wire_length),
        6 => ipv6(data, wire_length),
        _ => Err(Reason::IpHeader),
    }
}

#[inline]
fn ipv4(data: &[u8], wire_length: u32) -> Result<Ip, Reason> {
    let fixed = data.first_chunk::<20>().ok_or(Reason::IpHeader)?;
    let header = usize::from(fixed[0] & 15) * 4;
    if header < 20 {
        return Err(Reason::IpHeader);
    }
    // Segmentation offload leaves the total length zero: then the length on the wire is all there is.
    let total = match u32::from(u16::from_be_bytes([fixed[2], fixed[3]])) {
        0 => wire_length,
        total if (total as usize) < header => return Err(Reason::IpHeader),
        total => total,
    };
    let place = u16::from_be_bytes([fixed[6], fixed[7]]);
    let (more, position) = (place & 0x2000 != 0, place & 0x1fff);
    let fragment = match (more, position) {
        (_, 1..) => Fragment::Later,
        (true, 0) => Fragment::First,
        (false, 0) => Fragment::None,
    };
    let id = u32::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    Ok(Ip {
        src: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]).to_ipv6_mapped(),
        dst: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]).to_ipv6_mapped(),
        protocol: fixed[9],
        length: total,
        transport: header,
        ttl: fixed[8],
        tos: fixed[1],
        fragment,
        fragment_id: if fragment == Fragment::None { 0 } else { id },
        fragment_offset: position,
        options: header > 20,
    })
}

fn ipv6(data: &[u8], wire_length: u32) -> Result<Ip, Reason> {
    let fixed = data.first_chunk::<40>().ok_or(Reason::IpHeader)?;
    let address = |at: usize| {
        let mut raw = [0; 16];
        raw.copy_from_slice(&fixed[at..at + 16]);
        Ipv6Addr::from(raw)
    };
    let (src, dst) = (address(8), address(24));
    if src.to_ipv4_mapped().is_some() || dst.to_ipv4_mapped().is_some() {
        return Err(Reason::MappedAddress);
    }
    let payload = u32::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    // Payload length zero with extension headers is a jumbogram (RFC 2675) or segmentation offload.
    let length = if payload == 0 && wire_length > 40 && fixed[6] != 59 {
        wire_length
    } else {
        40 + payload
    };
    let mut ip = Ip {
        src,
        dst,
        protocol: fixed[6],
        length,
        transport: 40,
        ttl: fixed[7],
        tos: (fixed[0] & 15) << 4 | fixed[1] >> 4,
        fragment: Fragment::None,
        fragment_id: 0,
        fragment_offset: 0,
        options: false,
    };
    for _ in 0..EXTENSIONS_MAX {
        let size = match ip.protocol {
            // Hop-by-hop, routing, destination options, mobility, HIP, shim6 (RFC 8200 section 4; RFC 6564).
            0 | 43 | 60 | 135 | 139 | 140 => data
                .get(ip.transport + 1)
                .map(|&units| (usize::from(units) + 1) * 8),
            51 => data
                .get(ip.transport + 1)
                .map(|&units| (usize::from(units) + 2) * 4),
            44 => Some(8),
            _ => return Ok(ip),
        };
        let Some(size) = size else { return Ok(ip) }; // cut off here: the protocol of the header that is missing stands
        if ip.protocol == 44 {
            let (Some(place), Some(id)) = (be16(data, ip.transport + 2), be32(data, ip.transport + 4)) else {
                return Ok(ip);
            };
            ip.fragment_id = id;
            ip.fragment_offset = place >> 3;
            ip.fragment = match (place & 1 != 0, place & 0xfff8) {
                (_, 1..) => Fragment::Later,
                (true, 0) => Fragment::First,
                (false, 0) => Fragment::None, // an atomic fragment (RFC 6946) is whole
            };
        } else if ip.protocol == 0 || ip.protocol == 60 {
            ip.options = true;
        }
        let Some(&next) = data.get(ip.transport) else {
            return Ok(ip);
        };
        ip.protocol = next;
        ip.transport += size;
        if ip.fragment == Fragment::Later {
            return Ok(ip);
        }
    }
    Err(Reason::ExtensionHeaders)
}

/// Fills the transport fields. False where the header is cut short or its lengths cannot be true.
#[inline]
fn decode_transport(bytes: &[u8], by_header: u32, flow: &mut Flow, batch: &mut Batch) -> bool {
    match flow.protocol {
        6 => {
            let Some(fixed) = bytes.first_chunk::<20>() else {
                // Ports and perhaps flags of a cut-off segment are still worth having.
                if let Some(ports) = bytes.first_chunk::<4>() {
                    flow.src_port = u16::from_be_bytes([ports[0], ports[1]]);
                    flow.dst_port = u16::from_be_bytes([ports[2], ports[3]]);
                    flow.has |= Flow::HAS_TRANSPORT;
                }
                if let Some(&flags) = bytes.get(13) {
                    flow.tcp_flags = flags;
                    flow.has |= Flow::HAS_TCP_FLAGS;
                }
                return false;
            };
            flow.src_port = u16::from_be_bytes([fixed[0], fixed[1]]);
            flow.dst_port = u16::from_be_bytes([fixed[2], fixed[3]]);
            flow.tcp_flags = fixed[13];
            flow.tcp_window = u16::from_be_bytes([fixed[14], fixed[15]]);
            flow.has |= Flow::HAS_TRANSPORT | Flow::HAS_TCP_FLAGS;
            let header = usize::from(fixed[12] >> 4) * 4;
            if header < 20 || header as u32 > by_header {
                return false;
            }
            flow.has |= Flow::HAS_TCP_HEADER;
            if header > 20 {
                flow.tcp_options = tcp_options(&bytes[20..header.min(bytes.len())]);
            }
            flow.payload = (by_header - header as u32).min(65_535) as u16;
            if let Some(payload @ [_, ..]) = bytes.get(header..) {
                flow.has |= Flow::HAS_PAYLOAD;
                payload::tcp(payload, flow, batch);
            }
            true
        }
        17 => {
            let Some(fixed) = bytes.first_chunk::<8>() else {
                if let Some(ports) = bytes.first_chunk::<4>() {
                    flow.src_port = u16::from_be_bytes([ports[0], ports[1]]);
                    flow.dst_port = u16::from_be_bytes([ports[2], ports[3]]);
                    flow.has |= Flow::HAS_TRANSPORT;
                }
                return false;
            };
            flow.src_port = u16::from_be_bytes([fixed[0], fixed[1]]);
            flow.dst_port = u16::from_be_bytes([fixed[2], fixed[3]]);
            flow.has |= Flow::HAS_TRANSPORT;
            let said = u32::from(u16::from_be_bytes([fixed[4], fixed[5]]));
            // A first fragment carries the length of the whole datagram; zero is a jumbogram or offload.
            let whole = flow.fragment == Fragment::First || said == 0 || (8..=by_header).contains(&said);
            let length = if said >= 8 { said } else { by_header };
            flow.payload = length.saturating_sub(8).min(65_535) as u16;
            let end = bytes.len().min(length.max(8) as usize);
            if end > 8 {
                flow.has |= Flow::HAS_PAYLOAD;
                payload::udp(&bytes[8..end], flow, batch);
            }
            whole
        }
        1 | 58 => {
            let Some(&[icmp_type, icmp_code]) = bytes.first_chunk::<2>() else {
                return false;
            };
            flow.icmp_type = icmp_type;
            flow.icmp_code = icmp_code;
            flow.payload = by_header.saturating_sub(8).min(65_535) as u16;
            flow.has |= Flow::HAS_TRANSPORT;
            true
        }
        _ => {
            flow.payload = by_header.min(65_535) as u16;
            true
        }
    }
}

/// Which TCP options are there (RFC 9293 section 3.1). Bounded by the header's 40 bytes.
fn tcp_options(mut bytes: &[u8]) -> u8 {
    let mut seen = 0;
    while let [kind, rest @ ..] = bytes {
        match kind {
            0 => break,
            1 => {
                bytes = rest;
                continue;
            }
            2 => seen |= Flow::OPT_MSS,
            3 => seen |= Flow::OPT_WINDOW_SCALE,
            4 | 5 => seen |= Flow::OPT_SACK,
            8 => seen |= Flow::OPT_TIMESTAMPS,
            _ => seen |= Flow::OPT_OTHER,
        }
        let Some(&length) = rest.first() else { break };
        let Some(next) = bytes.get(usize::from(length.max(2))..) else {
            break;
        };
        bytes = next;
    }
    seen
}

/// Where the packet inside a tunnel starts, if this is a tunnel.
fn tunnel_start(flow: &Flow, transport: &[u8]) -> Option<usize> {
    match flow.protocol {
        4 | 41 => Some(0),
        47 => gre(transport),
        17 if flow.dst_port == 4789
            && flow.has & Flow::HAS_PAYLOAD != 0
            && flow.detail == Flow::NO_DETAIL =>
        {
            // VXLAN (RFC 7348): flags with the I bit, then Ethernet.
            (transport.get(8)? & 0x08 != 0).then_some(())?;
            let frame = transport.get(16..)?;
            let mut scratch = Flow::EMPTY;
            unwrap_link(link::ETHERNET, frame, &mut scratch)
                .ok()
                .map(|start| 16 + start)
        }
        _ => None,
    }
}

/// GRE (RFC 2784, RFC 2890; version 1 is PPTP, RFC 2637). Gives where the IP header inside starts.
fn gre(bytes: &[u8]) -> Option<usize> {
    let flags = be16(bytes, 0)?;
    let protocol = be16(bytes, 2)?;
    let mut start = 4;
    if flags & 7 == 1 {
        start += 4;
        start += if flags & 0x1000 != 0 { 4 } else { 0 };
        start += if flags & 0x0080 != 0 { 4 } else { 0 };
        let skip = if bytes.get(start..)?.starts_with(&[0xff, 0x03]) {
            2
        } else {
            0
        };
        return ppp(bytes, start + skip, &mut Flow::EMPTY.clone()).ok();
    }
    start += if flags & 0xc000 != 0 { 4 } else { 0 };
    start += if flags & 0x2000 != 0 { 4 } else { 0 };
    start += if flags & 0x1000 != 0 { 4 } else { 0 };
    match protocol {
        0x0800 | 0x86dd => Some(start),
        // Transparent Ethernet bridging.
        0x6558 => unwrap_link(link::ETHERNET, bytes.get(start..)?, &mut Flow::EMPTY.clone())
            .ok()
            .map(|n| start + n),
        _ => None,
    }
}

/// The innermost packet of a tunnel, at most [`TUNNELS_MAX`] deep.
fn inner(data: &[u8], depth: u32) -> Result<Inner, Reason> {
    let header = ip_header(data, data.len() as u32)?;
    let transport = data.get(header.transport..).unwrap_or(&[]);
    if header.fragment != Fragment::Later && matches!(header.protocol, 4 | 41 | 47) {
        let start = if header.protocol == 47 {
            gre(transport)
        } else {
            Some(0)
        };
        if let Some(start) = start
            && let Some(deeper) = transport.get(start..)
        {
            if depth >= TUNNELS_MAX {
                return Err(Reason::TunnelDepth);
            }
            return inner(deeper, depth + 1);
        }
    }
    let ports = matches!(header.protocol, 6 | 17) && header.fragment != Fragment::Later;
    Ok(Inner {
        src: header.src,
        dst: header.dst,
        bytes: header.length,
        src_port: if ports { be16(transport, 0).unwrap_or(0) } else { 0 },
        dst_port: if ports { be16(transport, 2).unwrap_or(0) } else { 0 },
        protocol: header.protocol,
        tcp_flags: if header.protocol == 6 {
            transport.get(13).copied().unwrap_or(0)
        } else {
            0
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(link_type: u16, data: &[u8]) -> Batch {
        let mut batch = Batch::default();
        decode(link_type, data, data.len() as u32, 5, 0, &mut batch);
        batch
    }

    /// A minimal IPv4 packet around a transport part.
    fn v4(protocol: u8, place: u16, transport: &[u8]) -> Vec<u8> {
        let mut packet = vec![
            0x45, 0, 0, 0, 0, 7, 0, 0, 61, protocol, 0, 0, 1, 2, 3, 4, 10, 0, 0, 1,
        ];
        packet[2..4].copy_from_slice(&((20 + transport.len()) as u16).to_be_bytes());
        packet[6..8].copy_from_slice(&place.to_be_bytes());
        packet.extend_from_slice(transport);
        packet
    }

    fn syn() -> Vec<u8> {
        let mut tcp = vec![
            0x30, 0x39, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0,
        ];
        tcp.extend([2, 4, 5, 0xb4]);
        tcp
    }

    fn ethernet(ether_type: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(ether_type);
        frame.extend_from_slice(rest);
        frame
    }

    #[test]
    fn every_link_type_leads_to_the_same_packet() {
        let packet = v4(6, 0, &syn());
        let with = |head: &[u8]| [head, &packet].concat();
        let mut sll = vec![0; 14];
        sll.extend([0x08, 0x00]);
        let mut sll2 = vec![0x08, 0x00];
        sll2.resize(20, 0);
        let frames: Vec<(&str, u16, Vec<u8>)> = vec![
            ("raw", 101, packet.clone()),
            ("raw bsd", 12, packet.clone()),
            ("ipv4", 228, packet.clone()),
            ("ethernet", 1, ethernet(&[8, 0], &packet)),
            ("vlan", 1, ethernet(&[0x81, 0, 0, 5, 8, 0], &packet)),
            (
                "qinq",
                1,
                ethernet(&[0x88, 0xa8, 0, 5, 0x81, 0, 0, 9, 8, 0], &packet),
            ),
            (
                "mpls",
                1,
                ethernet(&[0x88, 0x47, 0, 1, 0, 64, 0, 1, 1, 64], &packet),
            ),
            (
                "pppoe",
                1,
                ethernet(&[0x88, 0x64, 0x11, 0, 0, 1, 0, 46, 0, 0x21], &packet),
            ),
            (
                "snap",
                1,
                ethernet(&[0, 60, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &packet),
            ),
            ("null le", 0, with(&[2, 0, 0, 0])),
            ("null be", 0, with(&[0, 0, 0, 2])),
            ("loop", 108, with(&[0, 0, 0, 2])),
            ("sll", 113, with(&sll)),
            ("sll2", 276, with(&sll2)),
            ("ppp", 9, with(&[0xff, 3, 0, 0x21])),
            ("chdlc", 104, with(&[0x0f, 0, 8, 0])),
        ];
        for (name, link_type, frame) in frames {
            let batch = decoded(link_type, &frame);
            let [flow] = batch.flows[..] else {
                panic!("{name}: {:?}", batch.faults)
            };
            assert_eq!(
                (flow.src_port, flow.dst_port, flow.tcp_flags, flow.ttl, flow.bytes),
                (12345, 80, 2, 61, 44),
                "{name}"
            );
            assert_eq!(flow.tcp_options, Flow::OPT_MSS, "{name}");
            assert_eq!(
                flow.vlan,
                if matches!(name, "vlan" | "qinq") { 5 } else { 0 },
                "{name}"
            );
        }
    }

    #[test]
    fn ethernet_padding_is_no_payload() {
        let mut frame = ethernet(&[8, 0], &v4(17, 0, &[0, 53, 0, 99, 0, 8, 0, 0]));
        frame.resize(60, 0xaa);
        let batch = decoded(1, &frame);
        assert_eq!((batch.flows[0].bytes, batch.flows[0].payload), (28, 0));
        assert_eq!(batch.flows[0].has & Flow::HAS_PAYLOAD, 0);
    }

    #[test]
    fn fragments_keep_their_place() {
        let first = decoded(101, &v4(17, 0x2000, &[0, 53, 0, 99, 0x10, 0, 0, 0, 1, 2, 3]));
        assert_eq!(first.flows[0].fragment, Fragment::First);
        assert_eq!((first.flows[0].src_port, first.flows[0].payload), (53, 4088));
        assert!(
            first.faults.iter().next().is_none(),
            "the datagram's length is that of the whole train"
        );
        let later = decoded(101, &v4(17, 0x2000 | 185, &[0, 53, 0, 99]));
        assert_eq!(later.flows[0].fragment, Fragment::Later);
        let later = later.flows[0];
        assert_eq!(
            (later.src_port, later.fragment_id, later.fragment_offset),
            (0, 7, 185)
        );
    }

    #[test]
    fn ipv6_extension_headers_are_followed_and_bounded() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, 0, 55];
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend("2001:db8::9".parse::<Ipv6Addr>().unwrap().octets());
        let mut good = packet.clone();
        good[6] = 0;
        good.extend([44, 0, 5, 2, 0, 0, 0, 0]); // hop-by-hop
        good.extend([17, 0, 0, 1, 0, 0, 0, 9]); // fragment header, first
        good.extend([0, 53, 0, 99, 0, 12, 0, 0, 1, 2, 3, 4]);
        let length = (good.len() - 40) as u16;
        good[4..6].copy_from_slice(&length.to_be_bytes());
        let batch = decoded(229, &good);
        let flow = batch.flows[0];
        assert_eq!(
            (flow.protocol, flow.src_port, flow.fragment, flow.fragment_id),
            (17, 53, Fragment::First, 9)
        );
        assert_ne!(flow.has & Flow::HAS_IP_OPTIONS, 0);
        assert!(flow.is_ipv6());
        let mut endless = packet.clone();
        endless[6] = 60;
        for _ in 0..40 {
            endless.extend([60, 0, 1, 4, 0, 0, 0, 0]);
        }
        endless[5] = 0xff;
        assert_eq!(decoded(229, &endless).faults.count(Reason::ExtensionHeaders), 1);
        let mut mapped = packet;
        mapped[8..24].copy_from_slice(&Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets());
        assert_eq!(decoded(229, &mapped).faults.count(Reason::MappedAddress), 1);
    }

    #[test]
    fn tunnels_are_counted_outside_and_shown_inside() {
        let inside = v4(6, 0, &syn());
        let gre = v4(47, 0, &[&[0, 0, 8, 0][..], &inside].concat());
        let ipip = v4(4, 0, &inside);
        let mut vxlan = vec![0, 99, 0x12, 0xb5];
        vxlan.extend(((16 + 14 + inside.len()) as u16).to_be_bytes());
        vxlan.extend([0, 0, 8, 0, 0, 0, 0, 0, 1, 0]);
        vxlan.extend(ethernet(&[8, 0], &inside));
        for packet in [gre, ipip, v4(17, 0, &vxlan)] {
            let batch = decoded(101, &packet);
            assert_eq!(batch.flows[0].bytes, packet.len() as u64);
            let inner = batch.inner[batch.flows[0].detail as usize];
            assert_eq!(
                (inner.src_port, inner.dst_port, inner.tcp_flags, inner.bytes),
                (12345, 80, 2, 44)
            );
        }
        let mut nest = inside;
        for _ in 0..6 {
            nest = v4(4, 0, &nest);
        }
        assert_eq!(decoded(101, &nest).faults.count(Reason::TunnelDepth), 1);
    }

    #[test]
    fn a_tunnel_header_longer_than_its_packet_is_no_tunnel() {
        for transport in [
            &[0xb0, 0, 8, 0][..],
            &[0xb0, 0, 0x86, 0xdd, 0, 0],
            &[0x30, 0x81, 0x88, 0x0b],
        ] {
            let batch = decoded(101, &v4(47, 0, transport));
            assert_eq!((batch.flows.len(), batch.inner.len()), (1, 0));
        }
    }

    #[test]
    fn short_packets_are_used_as_far_as_they_go() {
        let frame = ethernet(&[8, 0], &v4(6, 0, &syn()));
        for cut in 0..frame.len() {
            let mut batch = Batch::default();
            decode(1, &frame[..cut], frame.len() as u32, 5, 0, &mut batch);
            let faults: u64 = batch.faults.iter().map(|f| f.count).sum();
            assert!(batch.flows.len() as u64 + faults >= 1, "cut at {cut} vanished");
            if cut >= 14 + 20 {
                assert_eq!(batch.flows.len(), 1);
                assert_eq!(
                    batch.flows[0].bytes, 44,
                    "the length is the header's, not the capture's"
                );
            }
        }
    }
}
