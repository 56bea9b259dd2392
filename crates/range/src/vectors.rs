//! What the packets of each vector look like.
//!
//! Sizes and first bytes are those of public protocol documents, named beside each. Where a protocol is its maker's own and no document
//! is public, the payload is zeros, and only port and size are like it.

use rand_pcg::Pcg64Mcg;

use crate::packets::{Data, Options, Part, What};
use crate::world::below;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;
const URG: u8 = 32;

/// Payload of UDP that fits into a packet of 1,500 bytes.
pub(crate) const UDP_MOST: u16 = 1_472;
/// IP payload of a fragment of 1,500 bytes, a multiple of 8.
pub(crate) const FRAGMENT: u16 = 1_480;

/// A flood of single packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flood {
    /// TCP with these flags.
    Tcp(u8),
    Udp,
    UdpNull,
    Quic,
    SourceQuery,
    Dns,
    WaterTorture,
    Icmp,
    Igmp,
    Gre,
    Esp,
    Fragment,
    RandomProtocol,
}

/// Floods that bots send, or that are sent under forged addresses, by the name of the vector.
pub(crate) const FLOODS: &[(&str, Flood)] = &[
    ("syn_flood", Flood::Tcp(SYN)),
    ("ack_flood", Flood::Tcp(ACK)),
    ("psh_ack_flood", Flood::Tcp(PSH | ACK)),
    ("rst_flood", Flood::Tcp(RST)),
    ("fin_flood", Flood::Tcp(FIN)),
    ("xmas_flood", Flood::Tcp(FIN | PSH | URG)),
    ("null_flood", Flood::Tcp(0)),
    ("udp_flood", Flood::Udp),
    ("udp_null_flood", Flood::UdpNull),
    ("quic_flood", Flood::Quic),
    ("vse_flood", Flood::SourceQuery),
    ("dns_flood", Flood::Dns),
    ("dns_water_torture", Flood::WaterTorture),
    ("icmp_flood", Flood::Icmp),
    ("igmp_flood", Flood::Igmp),
    ("gre_flood", Flood::Gre),
    ("esp_flood", Flood::Esp),
    ("ip_fragment_flood", Flood::Fragment),
    ("ip_proto_random_flood", Flood::RandomProtocol),
];

/// Attacks on whole connections, which only machines with an address of their own can make.
pub(crate) const VISITS: &[&str] = &["http_flood", "slowloris", "slow_post"];

/// A service that answers the victim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reflection {
    /// Name of the vector.
    pub(crate) name: &'static str,
    /// The port that it answers from; 0 for one of its own choice each time.
    pub(crate) port: u16,
    /// Bytes of UDP payload of the smallest and largest answers.
    pub(crate) sizes: (u16, u16),
    /// First bytes.
    pub(crate) head: &'static [u8],
}

const fn udp(name: &'static str, port: u16, least: u16, most: u16, head: &'static [u8]) -> Reflection {
    Reflection {
        name,
        port,
        sizes: (least, most),
        head,
    }
}

/// Of TCP, and built apart.
pub(crate) const SYNACK: &str = "synack_reflection";
/// Of TCP, and built apart.
pub(crate) const MIDDLEBOX: &str = "middlebox_reflection";

/// Services that reflect.
pub(crate) const REFLECTIONS: &[Reflection] = &[
    // RFC 1035: an answer to ANY for example.com with twelve records; RFC 6891 allows 4,096 bytes, which come in fragments.
    udp(
        "dns_amplification",
        53,
        1_100,
        4_000,
        b"\x12\x34\x81\x80\0\x01\0\x0c\0\0\0\x01\x07example\x03com\0\0\xff\0\x01\xc0\x0c\0\x10\0\x01\0\0\x0e\x10\0\xb4",
    ),
    // A part of a monlist, mode 7 of ntpd (RFC 1305 appendix B reserves it): response, implementation 3, request 42, six items of 72 bytes.
    udp("ntp_amplification", 123, 440, 440, b"\xd7\0\x03\x2a\0\x06\0\x48"),
    // UPnP Device Architecture 1.1, section 1.3.3.
    udp(
        "ssdp_amplification",
        1900,
        250,
        450,
        b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: upnp:rootdevice\r\nEXT:\r\n",
    ),
    // RFC 1798, RFC 4511: a searchResEntry in BER.
    udp(
        "cldap_amplification",
        389,
        1_400,
        3_000,
        b"\x30\x84\0\0\x05\x8a\x02\x01\x07\x64\x84\0\0\x05\x81\x04\0\x30\x84",
    ),
    // memcached's protocol.txt: the UDP frame header, then a value.
    udp(
        "memcached_amplification",
        11211,
        1_400,
        1_400,
        b"\0\x01\0\0\0\x20\0\0VALUE a 0 45056\r\n",
    ),
    // RFC 3416: a Response of version 2c for community "public".
    udp(
        "snmp_amplification",
        161,
        54,
        1_394,
        b"\x30\x82\x05\x40\x02\x01\x01\x04\x06public\xa2\x82\x05\x31\x02\x01\x07\x02\x01\0\x02\x01\0\x30\x82\x05\x24",
    ),
    // RFC 864: the pattern of the document.
    udp(
        "chargen_amplification",
        19,
        1_020,
        1_472,
        b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n",
    ),
    // RFC 865: any text of fewer than 512 characters.
    udp("qotd_amplification", 17, 80, 511, b"\"Nothing is more common than a quotation.\"\r\n"),
    // WS-Discovery 1.1: ProbeMatches in SOAP.
    udp(
        "wsd_amplification",
        3702,
        600,
        1_900,
        b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\">",
    ),
    udp("arms_amplification", 3283, 1_006, 1_034, b""),
    // RFC 7252, RFC 6690: a 2.05 Content of link format.
    udp(
        "coap_amplification",
        5683,
        300,
        1_200,
        b"\x60\x45\x12\x34\xc1\x28\xff</sensors>;ct=40;title=\"Sensor Index\",</light>;if=\"sensor\"",
    ),
    // RFC 6762: an answer to _services._dns-sd._udp.local.
    udp(
        "mdns_amplification",
        5353,
        100,
        1_400,
        b"\0\0\x84\0\0\0\0\x06\0\0\0\0\x09_services\x07_dns-sd\x04_udp\x05local\0\0\x0c\0\x01\0\0\0\x0a\0\x14",
    ),
    // RFC 1002, section 4.2.18: a node status response.
    udp(
        "netbios_amplification",
        137,
        157,
        265,
        b"\x12\x34\x84\0\0\0\0\x01\0\0\0\0\x20CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\0\x21\0\x01\0\0\0\0",
    ),
    // RFC 5531, RFC 1833: a reply to DUMP.
    udp(
        "rpcbind_amplification",
        111,
        400,
        700,
        b"\x12\x34\x56\x78\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\x86\xa0\0\0\0\x04",
    ),
    // RFC 1350: the first block, from a port chosen for the transfer.
    udp("tftp_amplification", 0, 516, 516, b"\0\x03\0\x01"),
    // Ubiquiti discovery, version 1: command 0, length, then tagged values beginning with the hardware address.
    udp("ubnt_amplification", 10001, 120, 206, b"\x01\0\0\x98\x01\0\x06\x24\xa4\x3c"),
    // Dahua's DHIP header of 32 bytes, then JSON.
    udp(
        "dvr_dhcpdiscover",
        37810,
        640,
        780,
        b"\x20\0\0\0DHIP\0\0\0\0\0\0\0\0\xa8\x02\0\0\0\0\0\0\xa8\x02\0\0\0\0\0\0{\"mac\":\"",
    ),
    // ASHRAE 135 annex J: BVLC original unicast, then a complex acknowledgement.
    udp("bacnet_amplification", 47808, 96, 96, b"\x81\x0a\0\x60\x01\0\x30\x01\x0e\x0c\x02"),
    // RFC 2408 section 3.1: cookies, a security association, version 1.0, main mode, and the length of it all.
    udp(
        "isakmp_reflection",
        500,
        204,
        204,
        b"\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff\x01\x01\x10\x02\0\0\0\0\0\0\0\0\xcc",
    ),
    // RFC 2608: a service reply, version 2, function 2.
    udp("slp_amplification", 427, 500, 1_450, b"\x02\x02\0\x05\x78\0\0\0\0\0\x12\x34\0\x02en\0\0"),
    // MS-RDPEUDP section 2.2.2: sequence number acknowledged, receive window, flags SYN and ACK; padded to 1,232 bytes.
    udp("rdp_amplification", 3389, 1_232, 1_232, b"\0\0\0\x01\0\x40\0\x05\x12\x34\x56\x78\x04\xd0\x04\xd0"),
    udp("tp240_amplification", 10074, 1_184, 1_184, b""),
    // Plex's own answer to a discovery, in the form of HTTP.
    udp(
        "plex_amplification",
        32414,
        200,
        300,
        b"HTTP/1.0 200 OK\r\nContent-Type: plex/media-server\r\nName: home\r\nPort: 32400\r\n",
    ),
    // MS-SQLR section 2.2.5: SVR_RESP.
    udp(
        "mssql_amplification",
        1434,
        120,
        640,
        b"\x05\x74\0ServerName;DB01;InstanceName;MSSQLSERVER;IsClustered;No;Version;15.0.2000.5;tcp;1433;;",
    ),
    // RFC 1058: a response of version 1 with up to 25 routes.
    udp("rip_amplification", 520, 244, 504, b"\x02\x01\0\0\0\x02\0\0\x0a\0\0\0"),
    udp("sentinel_amplification", 5093, 600, 1_400, b""),
    // The answer to getstatus, as id Software released it.
    udp(
        "quake_amplification",
        27960,
        600,
        1_300,
        b"\xff\xff\xff\xffstatusResponse\n\\sv_hostname\\server\\mapname\\q3dm17",
    ),
    // Valve's server queries: a rules response.
    udp("steam_amplification", 27015, 200, 1_200, b"\xff\xff\xff\xff\x45\x20\0sv_gravity\0800\0"),
    // The protocol of OpenVPN: P_CONTROL_HARD_RESET_SERVER_V2, session, acknowledgements, its own number.
    udp("openvpn_amplification", 1194, 26, 54, b"\x40\x12\x34\x56\x78\x9a\xbc\xde\xf0\x01\0\0\0\0"),
    // RFC 3261.
    udp(
        "sip_amplification",
        5060,
        380,
        700,
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\nTo: <sip:1@192.0.2.1>\r\n",
    ),
    // RFC 8489: a binding success response.
    udp("stun_amplification", 3478, 60, 108, b"\x01\x01\0\x58\x21\x12\xa4\x42"),
    // RFC 2661: SCCRP.
    udp("l2tp_amplification", 1701, 80, 140, b"\xc8\x02\0\x65\0\x01\0\0\0\0\0\x01\x80\x08\0\0\0\0\0\x02"),
    udp(SYNACK, 443, 0, 0, b""),
    // What a filter sends instead of the page.
    udp(
        MIDDLEBOX,
        80,
        200,
        1_460,
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<html><head><title>Blocked</title>",
    ),
];

/// Whether a vector exists for IPv4 only: its protocol does, or its reflectors are looked for there.
pub(crate) fn is_ipv4_only(vector: &str) -> bool {
    matches!(vector, "igmp_flood") || REFLECTIONS.iter().any(|reflection| reflection.name == vector)
}

/// A payload that goes into one packet.
fn datagram(ports: (u16, u16), size: u16, data: Data) -> What {
    What::Udp {
        ports,
        payload: size,
        whole: size,
        data,
    }
}

/// How the TCP of a sender looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    pub(crate) options: Options,
    pub(crate) window: u16,
}

impl Flood {
    /// The port that is attacked where the scenario names none.
    pub(crate) fn port(self) -> Option<u16> {
        match self {
            Flood::Quic => Some(443),
            Flood::SourceQuery => Some(27015),
            Flood::Dns | Flood::WaterTorture => Some(53),
            _ => None,
        }
    }

    /// One packet of it.
    pub(crate) fn packet(self, ports: (u16, u16), stack: Stack, random: &mut Pcg64Mcg) -> (Part, What) {
        let what = match self {
            Flood::Tcp(flags) => What::Tcp {
                ports,
                flags,
                seq: below(random, 1 << 32) as u32,
                ack: if flags & ACK != 0 { below(random, 1 << 32) as u32 } else { 0 },
                window: stack.window,
                options: if flags == SYN { stack.options } else { Options::None },
                payload: 0,
                data: Data::Zeros,
            },
            Flood::Udp => {
                let size = 64 + below(random, 1_000) as u16;
                datagram(ports, size, Data::Noise(below(random, u64::MAX)))
            }
            Flood::UdpNull => datagram(ports, 0, Data::Zeros),
            // RFC 9000 section 17.2.2: an Initial of version 1 with a connection id of 8 bytes, padded to 1,200.
            Flood::Quic => {
                let data = Data::Marked(b"\xc3\0\0\0\x01\x08", below(random, u64::MAX));
                datagram(ports, 1_200, data)
            }
            Flood::SourceQuery => datagram(ports, 25, Data::Bytes(b"\xff\xff\xff\xffTSource Engine Query\0")),
            Flood::Dns => query(ports, Name::Known(1), false),
            Flood::WaterTorture => query(ports, Name::Random(below(random, 1 << 60)), false),
            Flood::Icmp => What::Icmp {
                kind: 8,
                code: 0,
                payload: 56,
            },
            // RFC 2236: a general query.
            Flood::Igmp => other(2, 8, Data::Bytes(b"\x11\x64\xee\x9b\0\0\0\0")),
            // RFC 2784: IPv4 inside; an IPv4 header, a UDP header and 512 bytes, as a bot's source code has it.
            Flood::Gre => other(
                47,
                4 + 20 + 8 + 512,
                Data::Bytes(
                    b"\0\0\x08\0\x45\0\x02\x1c\x12\x34\x40\0\x40\x11\0\0\x0a\0\0\x01\x0a\0\0\x02\x30\x39\x00\x50\x02\x08\0\0",
                ),
            ),
            // RFC 4303: an index, a sequence number, and what nobody can read.
            Flood::Esp => other(50, 120 + below(random, 900) as u16, Data::Noise(below(random, u64::MAX))),
            Flood::Fragment => {
                let part = Part::Later {
                    offset: 8 * (1 + below(random, 180) as u16),
                    more: below(random, 2) == 0,
                };
                return (part, other(17, 1_000, Data::Noise(below(random, u64::MAX))));
            }
            // From 100 to 139 stand protocols that hardly anybody uses (IANA, Protocol Numbers).
            Flood::RandomProtocol => other(100 + below(random, 40) as u8, 64, Data::Noise(below(random, u64::MAX))),
        };
        (Part::Whole, what)
    }
}

fn other(protocol: u8, payload: u16, data: Data) -> What {
    What::Other {
        protocol,
        payload,
        data,
    }
}

/// The first label of a DNS name.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name {
    /// One of a site's.
    Known(u8),
    /// Twelve letters drawn at random.
    Random(u64),
}

/// A DNS question, or the answer to it: that there is no such name, or its address.
pub(crate) fn query(ports: (u16, u16), name: Name, is_answer: bool) -> What {
    let data = Data::Dns { name, is_answer };
    let size = data.length();
    datagram(ports, size, data)
}

/// The packets of one UDP answer of this size: one, or the fragments of it.
pub(crate) fn answer(
    ports: (u16, u16),
    size: u16,
    head: &'static [u8],
) -> impl Iterator<Item = (Part, What)> {
    let first = size.min(UDP_MOST);
    let part = if first == size { Part::Whole } else { Part::First };
    let beginning = What::Udp {
        ports,
        payload: first,
        whole: size,
        data: Data::Bytes(head),
    };
    let mut offset = FRAGMENT;
    let rest = std::iter::from_fn(move || {
        let end = size + 8;
        if size == first || offset >= end {
            return None;
        }
        let payload = (end - offset).min(FRAGMENT);
        let part = Part::Later {
            offset,
            more: offset + payload < end,
        };
        offset += payload;
        Some((part, other(17, payload, Data::Zeros)))
    });
    std::iter::once((part, beginning)).chain(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_answer_comes_in_fragments_that_add_up() {
        let parts: Vec<(Part, What)> = answer((53, 4_000), 3_000, b"x").collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[0].0, Part::First);
        assert_eq!(
            (parts[1].0, parts[2].0),
            (
                Part::Later {
                    offset: 1_480,
                    more: true
                },
                Part::Later {
                    offset: 2_960,
                    more: false
                }
            )
        );
        let sizes: Vec<u16> = parts
            .iter()
            .map(|(_, what)| match what {
                What::Udp { payload, whole, .. } => {
                    assert_eq!(*whole, 3_000);
                    8 + payload
                }
                What::Other { payload, .. } => *payload,
                _ => 0,
            })
            .collect();
        assert_eq!(sizes, [1_480, 1_480, 48]);
        assert_eq!(answer((53, 4_000), UDP_MOST, b"x").count(), 1);
        assert_eq!(answer((53, 4_000), UDP_MOST + 1, b"x").count(), 2);
    }

    #[test]
    fn every_head_fits_its_smallest_answer() {
        for reflection in REFLECTIONS {
            let (least, most) = reflection.sizes;
            assert!(least <= most, "{}", reflection.name);
            assert!(
                reflection.name == SYNACK || reflection.head.len() <= usize::from(least),
                "{}",
                reflection.name
            );
        }
    }
}
