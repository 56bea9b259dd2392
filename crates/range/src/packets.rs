//! Bytes of IPv4 packets, and the pcap that holds them.

use wire::write;

/// Captured bytes of a packet.
pub const SNAPLEN: usize = 128;

/// A packet before it has bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet {
    pub(crate) time_ns: u64,
    pub(crate) src: u32,
    pub(crate) dst: u32,
    pub(crate) ttl: u8,
    pub(crate) id: u16,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Tcp {
        ports: (u16, u16),
        flags: u8,
        seq: u32,
        ack: u32,
        /// MSS, SACK, timestamps and window scale, as real stacks send them in a SYN.
        options: bool,
        payload: u16,
    },
    Udp {
        ports: (u16, u16),
        payload: u16,
        head: &'static [u8],
    },
    Icmp {
        kind: u8,
        payload: u16,
    },
}

impl Packet {
    /// Length by the IP header.
    pub(crate) fn length(&self) -> u16 {
        20 + match self.what {
            What::Tcp { options, payload, .. } => 20 + if options { 20 } else { 0 } + payload,
            What::Udp { payload, .. } => 8 + payload,
            What::Icmp { payload, .. } => 8 + payload,
        }
    }

    /// Appends a pcap record: link type 101, nanoseconds.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let length = self.length();
        let captured = usize::from(length).min(SNAPLEN);
        out.extend(write::record_header(
            self.time_ns,
            captured as u32,
            u32::from(length),
        ));
        let start = out.len();
        let protocol = match self.what {
            What::Tcp { .. } => 6,
            What::Udp { .. } => 17,
            What::Icmp { .. } => 1,
        };
        out.extend([0x45, 0]);
        out.extend(length.to_be_bytes());
        out.extend(self.id.to_be_bytes());
        out.extend([0x40, 0, self.ttl, protocol, 0, 0]);
        out.extend(self.src.to_be_bytes());
        out.extend(self.dst.to_be_bytes());
        let sum = write::checksum(&out[start..]);
        out[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
        match self.what {
            What::Tcp {
                ports,
                flags,
                seq,
                ack,
                options,
                payload,
            } => {
                out.extend(ports.0.to_be_bytes());
                out.extend(ports.1.to_be_bytes());
                out.extend(seq.to_be_bytes());
                out.extend(ack.to_be_bytes());
                out.extend([if options { 0xa0 } else { 0x50 }, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
                if options {
                    out.extend([2, 4, 5, 0xb4, 4, 2, 8, 10]);
                    out.extend(seq.rotate_left(7).to_be_bytes());
                    out.extend([0, 0, 0, 0, 1, 3, 3, 7]);
                }
                // The header of encrypted data in TLS 1.2 and later.
                if payload >= 5 {
                    out.extend([0x17, 3, 3]);
                    out.extend((payload - 5).to_be_bytes());
                }
            }
            What::Udp { ports, payload, head } => {
                out.extend(ports.0.to_be_bytes());
                out.extend(ports.1.to_be_bytes());
                out.extend((8 + payload).to_be_bytes());
                out.extend([0, 0]);
                out.extend_from_slice(head);
            }
            What::Icmp { kind, .. } => out.extend([kind, 0, 0, 0, 0, 1, 0, 1]),
        }
        // What no template says is zeros: what matters is how much there is.
        out.resize(start + captured, 0);
    }
}

/// The header of a pcap of these packets.
pub fn pcap_header() -> [u8; 24] {
    write::pcap_header(SNAPLEN as u32, 101)
}

/// Size and first bytes of what a reflector sends, by the port of its service.
pub(crate) fn answer(port: u16) -> (u16, &'static [u8]) {
    match port {
        // An answer to ANY for example.com, with an OPT record asked for: header, question, and the first of twelve records.
        53 => (
            1_180,
            b"\x12\x34\x81\x80\0\x01\0\x0c\0\0\0\x01\x07example\x03com\0\0\xff\0\x01\xc0\x0c\0\x10\0\x01\0\0\x0e\x10\0\xb4",
        ),
        // A part of a monlist: response, implementation 3 (XNTPD), request 42, six items of 72 bytes.
        123 => (440, b"\xd7\0\x03\x2a\0\x06\0\x48"),
        1900 => (310, b"HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: upnp:rootdevice\r\n"),
        // A searchResEntry in BER.
        389 => (1_430, b"\x30\x84\0\0\x05\x8a\x02\x01\x07\x64\x84\0\0\x05\x81\x04\0\x30\x84"),
        11211 => (1_400, b"\0\x01\0\0\0\x20\0\0VALUE a 0 45056\r\n"),
        _ => (1_020, b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefg\r\n"),
    }
}
