//! Bytes of IPv4 and IPv6 packets, and the pcap that holds them.

use std::net::Ipv6Addr;

use wire::write;

use crate::requests::Head;
use crate::vectors::Name;

/// Captured bytes of a packet where the scenario says nothing.
pub const SNAPLEN: u16 = 128;
/// Most captured bytes of a packet that a scenario may ask for.
pub const SNAPLEN_MAX: u16 = 1_500;
/// Payload that is written in full where it is drawn at random; zeros follow.
const NOISE: usize = 96;

/// A packet before it has bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) time_ns: u64,
    /// IPv4 addresses are IPv4-mapped.
    pub(crate) src: Ipv6Addr,
    pub(crate) dst: Ipv6Addr,
    pub(crate) ttl: u8,
    /// Identification of IPv4, and of IPv6 fragments.
    pub(crate) id: u16,
    pub(crate) part: Part,
    /// Which attack sent it, or [`NOBODYS`].
    pub(crate) attack: u16,
    /// Which of its machines.
    pub(crate) machine: u32,
    pub(crate) what: What,
}

/// A packet of the audience, or an answer.
pub(crate) const NOBODYS: u16 = u16::MAX;

/// Which part of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// Its beginning, with the transport header.
    First,
    /// What follows: the offset in bytes, a multiple of 8, and whether more follows.
    Later {
        offset: u16,
        more: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Tcp {
        ports: (u16, u16),
        flags: u8,
        seq: u32,
        ack: u32,
        window: u16,
        options: Options,
        payload: u16,
        data: Data,
    },
    Udp {
        ports: (u16, u16),
        /// Bytes in this packet.
        payload: u16,
        /// Bytes of the datagram: more than in this packet when it is cut into fragments.
        whole: u16,
        data: Data,
    },
    Icmp {
        kind: u8,
        code: u8,
        payload: u16,
    },
    /// Anything else, and later fragments.
    Other {
        protocol: u8,
        payload: u16,
        data: Data,
    },
}

/// TCP options, as stacks write them in a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Options {
    None,
    /// Maximum segment size alone: small stacks and many servers under SYN cookies.
    Mss,
    /// MSS, SACK permitted, timestamps, window scale: Linux, Android, Apple in another order.
    Unix,
    /// MSS, window scale, SACK permitted: Windows.
    Windows,
    /// MSS, SACK permitted, timestamps, window scale of a kernel of the 2.6 series, as cameras and recorders run it.
    Device,
}

impl Options {
    fn length(self) -> u16 {
        match self {
            Options::None => 0,
            Options::Mss => 4,
            Options::Windows => 12,
            Options::Unix | Options::Device => 20,
        }
    }

    fn write(self, clock: u32, out: &mut Vec<u8>) {
        let timed = |scale: u8, out: &mut Vec<u8>| {
            out.extend([2, 4, 5, 0xb4, 4, 2, 8, 10]);
            out.extend(clock.to_be_bytes());
            out.extend([0, 0, 0, 0, 1, 3, 3, scale]);
        };
        match self {
            Options::None => {}
            Options::Mss => out.extend([2, 4, 5, 0xb4]),
            Options::Windows => out.extend([2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2]),
            Options::Unix => timed(7, out),
            Options::Device => timed(2, out),
        }
    }
}

/// What stands in a payload; what it does not fill is zeros.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Data {
    Zeros,
    Bytes(&'static [u8]),
    /// The header of encrypted data in TLS 1.2 and later.
    Tls,
    /// Random bytes of a seed.
    Noise(u64),
    /// These bytes and eight random ones.
    Marked(&'static [u8], u64),
    Dns {
        name: Name,
        is_answer: bool,
    },
    /// The head of an HTTP request, with its form where it has one.
    Head(Head),
    /// The beginning of an HTTP answer.
    Status(u16),
}

/// A DNS message about a name under example.org (RFC 1035): a question, or that there is no such name (RFC 2308), or an address.
fn dns(name: Name, is_answer: bool, out: &mut Vec<u8>) {
    let (label, flags, answers, authority) = match (name, is_answer) {
        (_, false) => (name, [0, 0], 0, 0),
        (Name::Known(_), true) => (name, [0x84, 0], 1, 0),
        (Name::Random(_), true) => (name, [0x84, 3], 0, 1),
    };
    let id = match name {
        Name::Known(n) => u16::from(n).wrapping_mul(0x9e37),
        Name::Random(n) => (n >> 44) as u16,
    };
    out.extend(id.to_be_bytes());
    out.extend(flags);
    out.extend([0, 1, 0, answers, 0, authority, 0, 0]);
    let length_at = out.len();
    out.push(0);
    match label {
        Name::Known(n) => out.extend(format!("www{n}").bytes()),
        Name::Random(mut n) => {
            for _ in 0..12 {
                out.push(b'a' + (n % 26) as u8);
                n /= 26;
            }
        }
    }
    out[length_at] = (out.len() - length_at - 1) as u8;
    out.extend(b"\x07example\x03org\0\0\x01\0\x01");
    if answers > 0 {
        out.extend(b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc6\x33\x64\x01");
    }
    if authority > 0 {
        out.extend(b"\xc0\x19\0\x06\0\x01\0\0\x01\x2c\0\x20\x02ns\xc0\x19\x04root\xc0\x19\0\0\0\x01");
        out.extend(b"\0\0\x1c\x20\0\0\x07\x08\0\x12\x75\0\0\0\x01\x2c");
    }
}

impl Data {
    /// Bytes of it where it is a whole message.
    pub(crate) fn length(self) -> u16 {
        let mut bytes = Vec::new();
        self.write(u16::MAX, &mut bytes);
        bytes.len() as u16
    }

    fn write(self, payload: u16, out: &mut Vec<u8>) {
        match self {
            Data::Zeros => {}
            Data::Bytes(bytes) => out.extend_from_slice(&bytes[..bytes.len().min(usize::from(payload))]),
            Data::Tls if payload >= 5 => {
                out.extend([0x17, 3, 3]);
                out.extend((payload - 5).to_be_bytes());
            }
            Data::Tls => {}
            Data::Marked(head, seed) => {
                out.extend_from_slice(head);
                out.extend(seed.to_le_bytes());
            }
            Data::Dns { name, is_answer } => dns(name, is_answer, out),
            Data::Head(head) => head.write(out),
            Data::Status(status) => {
                let reason = match status {
                    200 => "OK",
                    401 => "Unauthorized",
                    _ => "Service Unavailable",
                };
                let head = format!(
                    "HTTP/1.1 {status} {reason}\r\nServer: example\r\nContent-Type: text/html\r\n\r\n"
                );
                out.extend(head.bytes());
            }
            Data::Noise(seed) => {
                let end = out.len() + usize::from(payload).min(NOISE);
                let mut x = seed | 1;
                while out.len() < end {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    out.extend(x.to_le_bytes());
                }
                out.truncate(end);
            }
        }
    }
}

/// The sum of 16-bit words for the Internet checksum.
fn sum(bytes: &[u8]) -> u64 {
    let mut pairs = bytes.chunks_exact(2);
    let sum: u64 = pairs
        .by_ref()
        .map(|pair| u64::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    sum + pairs.remainder().first().map_or(0, |&last| u64::from(last) << 8)
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

impl Packet {
    pub(crate) fn is_ipv4(&self) -> bool {
        self.dst.to_ipv4_mapped().is_some()
    }

    /// IP protocol number of what it carries.
    pub(crate) fn protocol(&self) -> u8 {
        match self.what {
            What::Tcp { .. } => 6,
            What::Udp { .. } => 17,
            What::Icmp { .. } if self.is_ipv4() => 1,
            What::Icmp { .. } => 58,
            What::Other { protocol, .. } => protocol,
        }
    }

    /// Ports as a flow record has them: ICMP type and code as the destination port, 0 where there are none.
    pub(crate) fn ports(&self) -> (u16, u16) {
        match self.what {
            What::Tcp { ports, .. } | What::Udp { ports, .. } => ports,
            What::Icmp { kind, code, .. } => (0, u16::from(kind) << 8 | u16::from(code)),
            What::Other { .. } => (0, 0),
        }
    }

    /// TCP flags.
    pub(crate) fn flags(&self) -> u8 {
        match self.what {
            What::Tcp { flags, .. } => flags,
            _ => 0,
        }
    }

    /// Length by the IP header, that header included.
    pub(crate) fn length(&self) -> u16 {
        let header = match (self.is_ipv4(), self.part) {
            (true, _) => 20,
            (false, Part::Whole) => 40,
            (false, _) => 48,
        };
        header + self.transport_length()
    }

    fn transport_length(&self) -> u16 {
        match self.what {
            What::Tcp { options, payload, .. } => 20 + options.length() + payload,
            What::Udp { payload, .. } | What::Icmp { payload, .. } => 8 + payload,
            What::Other { payload, .. } => payload,
        }
    }

    /// Appends a pcap record: link type 101, nanoseconds.
    pub(crate) fn write(&self, snaplen: u16, out: &mut Vec<u8>) {
        let length = self.length();
        let captured = length.min(snaplen);
        out.extend(write::record_header(
            self.time_ns,
            u32::from(captured),
            u32::from(length),
        ));
        self.bytes(captured, out);
    }

    /// Appends its first bytes, from the IP header on.
    pub(crate) fn bytes(&self, captured: u16, out: &mut Vec<u8>) {
        let start = out.len();
        let addresses = match (self.src.to_ipv4_mapped(), self.dst.to_ipv4_mapped()) {
            (Some(src), Some(dst)) => {
                let fragment = match self.part {
                    // Do not fragment.
                    Part::Whole => 0x4000,
                    Part::First => 0x2000,
                    Part::Later { offset, more } => (offset / 8) | (u16::from(more) << 13),
                };
                out.extend([0x45, 0]);
                out.extend(self.length().to_be_bytes());
                out.extend(self.id.to_be_bytes());
                out.extend(u16::to_be_bytes(fragment));
                out.extend([self.ttl, self.protocol(), 0, 0]);
                out.extend(src.octets());
                out.extend(dst.octets());
                let checksum = folded(sum(&out[start..]));
                out[start + 10..start + 12].copy_from_slice(&checksum.to_be_bytes());
                sum(&out[start + 12..])
            }
            _ => {
                let next = if self.part == Part::Whole {
                    self.protocol()
                } else {
                    44
                };
                out.extend([0x60, 0, 0, 0]);
                out.extend((self.length() - 40).to_be_bytes());
                out.extend([next, self.ttl]);
                out.extend(self.src.octets());
                out.extend(self.dst.octets());
                let addresses = sum(&out[start + 8..]);
                let fragment = match self.part {
                    Part::Whole => None,
                    Part::First => Some(1),
                    Part::Later { offset, more } => Some((offset & !7) | u16::from(more)),
                };
                if let Some(fragment) = fragment {
                    out.extend([self.protocol(), 0]);
                    out.extend(u16::to_be_bytes(fragment));
                    out.extend([0, 0]);
                    out.extend(self.id.to_be_bytes());
                }
                addresses
            }
        };
        self.transport(addresses, out);
        // What nothing was said of is zeros: what matters is how much there is.
        out.resize(start + usize::from(captured), 0);
    }

    /// The transport header, with its checksum, and what is known of the payload.
    fn transport(&self, addresses: u64, out: &mut Vec<u8>) {
        let start = out.len();
        // Checksums cover the payload too, of which all that is not written is zeros.
        let (at, whole) = match self.what {
            What::Tcp {
                ports,
                flags,
                seq,
                ack,
                window,
                options,
                payload,
                data,
            } => {
                out.extend(ports.0.to_be_bytes());
                out.extend(ports.1.to_be_bytes());
                out.extend(seq.to_be_bytes());
                out.extend(ack.to_be_bytes());
                out.extend([((20 + options.length()) << 2) as u8, flags]);
                out.extend(window.to_be_bytes());
                out.extend([0, 0, 0, 0]);
                options.write(seq.rotate_left(7), out);
                data.write(payload, out);
                (16, self.transport_length())
            }
            What::Udp {
                ports,
                payload,
                whole,
                data,
            } => {
                out.extend(ports.0.to_be_bytes());
                out.extend(ports.1.to_be_bytes());
                out.extend((8 + whole).to_be_bytes());
                out.extend([0, 0]);
                data.write(payload, out);
                (6, 8 + whole)
            }
            What::Icmp { kind, code, .. } => {
                out.extend([kind, code, 0, 0, 0, 1, 0, 1]);
                (2, self.transport_length())
            }
            What::Other { payload, data, .. } => {
                data.write(payload, out);
                return;
            }
        };
        let pseudo = match self.what {
            What::Icmp { .. } if self.is_ipv4() => 0,
            _ => addresses + u64::from(self.protocol()) + u64::from(whole),
        };
        let checksum = folded(pseudo + sum(&out[start..]));
        out[start + at..start + at + 2].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The header of a pcap of these packets.
pub fn pcap_header() -> [u8; 24] {
    write::pcap_header(u32::from(SNAPLEN_MAX), 101)
}
