//! Captures with known truth: Ethernet, 96 bytes captured of each packet, nanosecond pcap, about 112 bytes a record. Seeded and
//! streaming: the same arguments give the same bytes, and memory does not grow.
//!
//! `mixed`: a fifth ordinary traffic (clients with complete TCP sessions, DNS questions with answers), half a SYN flood with
//! forged sources on one host, three tenths DNS amplification from 4,000 reflectors, with later fragments.
//! `forged`: a SYN flood in which every packet has another source (a permutation of the address space).

use std::fs::File;
use std::io::{BufWriter, Write};

/// The attacked host.
pub(crate) const TARGET: [u8; 4] = [198, 41, 30, 10];
const SECONDS: u64 = 100;
const CAPTURED: usize = 96;

/// splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

struct Writer {
    file: BufWriter<File>,
    record: Vec<u8>,
}

/// One packet to write.
struct Packet<'a> {
    src: [u8; 4],
    dst: [u8; 4],
    ttl: u8,
    protocol: u8,
    /// Flags and fragment offset of the IP header.
    place: u16,
    /// Transport bytes as far as they are written.
    transport: &'a [u8],
    /// Length of the IP packet on the wire.
    length: u16,
}

impl Writer {
    fn packet(&mut self, at_ns: u64, packet: &Packet<'_>) -> std::io::Result<()> {
        let record = &mut self.record;
        record.clear();
        record.extend([0; 12]);
        record.extend([0x08, 0x00, 0x45, 0]);
        record.extend(packet.length.to_be_bytes());
        record.extend([0, 9]);
        record.extend(packet.place.to_be_bytes());
        record.extend([packet.ttl, packet.protocol, 0, 0]);
        record.extend(packet.src);
        record.extend(packet.dst);
        record.extend(packet.transport);
        let wire = 14 + usize::from(packet.length);
        record.resize(wire.min(CAPTURED), 0);
        let mut header = [0u8; 16];
        header[..4].copy_from_slice(&((at_ns / 1_000_000_000) as u32).to_le_bytes());
        header[4..8].copy_from_slice(&((at_ns % 1_000_000_000) as u32).to_le_bytes());
        header[8..12].copy_from_slice(&(record.len() as u32).to_le_bytes());
        header[12..].copy_from_slice(&(wire as u32).to_le_bytes());
        self.file.write_all(&header)?;
        self.file.write_all(record)
    }
}

fn tcp(from: u16, to: u16, flags: u8, options: bool) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..2].copy_from_slice(&from.to_be_bytes());
    bytes[2..4].copy_from_slice(&to.to_be_bytes());
    bytes[12] = if options { 0x60 } else { 0x50 };
    bytes[13] = flags;
    if options {
        bytes[20..].copy_from_slice(&[2, 4, 5, 0xb4]);
    }
    bytes
}

/// A public address that no special-purpose block holds: what a flood tool that avoids bogons draws.
pub(crate) fn public(bits: u32) -> Option<[u8; 4]> {
    let ip = bits.to_be_bytes();
    let ordinary =
        (1..=223).contains(&ip[0]) && !matches!(ip[0], 10 | 127 | 100 | 169 | 172 | 192 | 198 | 203);
    ordinary.then_some(ip)
}

pub(crate) fn run(kind: &str, packets: u64, file: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        matches!(kind, "mixed" | "forged"),
        "`{kind}` is no capture; there are mixed and forged"
    );
    let mut writer = Writer {
        file: BufWriter::with_capacity(1 << 20, File::create(file)?),
        record: Vec::new(),
    };
    let mut header = [0u8; 24];
    header[..4].copy_from_slice(&0xa1b2_3c4du32.to_le_bytes());
    header[4..8].copy_from_slice(&[2, 0, 4, 0]);
    header[16..20].copy_from_slice(&(CAPTURED as u32).to_le_bytes());
    header[20] = 1;
    writer.file.write_all(&header)?;
    let mut random = Random(2025);
    let mut counter = 0u32;
    for n in 0..packets {
        let at = 1_741_600_000_000_000_000 + n * (SECONDS * 1_000_000_000 / packets);
        if kind == "forged" {
            // An odd multiplier permutes the 32-bit space, so no source comes twice.
            let src = loop {
                counter = counter.wrapping_add(1);
                if let Some(ip) = public(counter.wrapping_mul(2_654_435_761)) {
                    break ip;
                }
            };
            syn(&mut writer, at, src, 242 + (n % 2) as u8 * 2, &mut random)?;
            continue;
        }
        match n % 10 {
            0 | 1 => background(&mut writer, at, n)?,
            2..=6 => {
                let src = loop {
                    if let Some(ip) = public(random.next() as u32) {
                        break ip;
                    }
                };
                syn(&mut writer, at, src, 242 + (n % 2) as u8 * 2, &mut random)?;
            }
            phase => amplified(&mut writer, at, phase, &mut random)?,
        }
    }
    writer.file.flush()?;
    println!(
        "{file}: {packets} packets, {} bytes",
        std::fs::metadata(file)?.len()
    );
    Ok(())
}

fn syn(writer: &mut Writer, at: u64, src: [u8; 4], ttl: u8, random: &mut Random) -> std::io::Result<()> {
    let transport = tcp(1024 + random.below(60_000) as u16, 443, 2, false);
    writer.packet(
        at,
        &Packet {
            src,
            dst: TARGET,
            ttl,
            protocol: 6,
            place: 0x4000,
            transport: &transport[..20],
            length: 40,
        },
    )
}

/// Two packets of an answer and one later fragment in three.
fn amplified(writer: &mut Writer, at: u64, phase: u64, random: &mut Random) -> std::io::Result<()> {
    let reflector = random.below(4_000) as u32;
    let src = (0x1700_0000u32 + reflector.wrapping_mul(7_919) * 256 + 9).to_be_bytes();
    let ttl = 40 + (reflector % 20) as u8;
    if phase == 9 {
        return writer.packet(
            at,
            &Packet {
                src,
                dst: TARGET,
                ttl,
                protocol: 17,
                place: 185,
                transport: &[0; 60],
                length: 700,
            },
        );
    }
    let mut transport = vec![0, 53, 0x30, 0x39, 0x08, 0, 0, 0];
    transport.extend([0, 1, 0x81, 0x80, 0, 1, 0, 20, 0, 0, 0, 0]);
    transport.extend(b"\x07example\x03org\0\0\xff\0\x01");
    writer.packet(
        at,
        &Packet {
            src,
            dst: TARGET,
            ttl,
            protocol: 17,
            place: 0x2000,
            transport: &transport,
            length: 1500,
        },
    )
}

/// Steps of sessions between 2,000 clients and 50 servers, and questions to a resolver.
fn background(writer: &mut Writer, at: u64, n: u64) -> std::io::Result<()> {
    let step = n / 10 * 2 + n % 10;
    let client_number = (step / 16 % 2_000) as u32;
    let client = (0x5100_0000 + client_number * 4_099).to_be_bytes();
    let server = [198, 41, 30, 20 + (client_number % 50) as u8];
    let ttl = 45 + (client_number % 15) as u8;
    let port = 20_000 + (step / 32_000 % 40_000) as u16;
    let (up, down) = ((client, server, ttl), (server, client, 64));
    let ((src, dst, ttl), flags, options, length) = match step % 16 {
        0 => (up, 0x02, true, 44),
        1 => (down, 0x12, true, 44),
        2 => (up, 0x10, false, 40),
        3 => (up, 0x18, false, 400),
        4 | 6 | 8 | 10 => (down, 0x10, false, 1_400),
        5 | 7 | 9 | 11 => (up, 0x10, false, 40),
        12 => (up, 0x11, false, 40),
        13 => (down, 0x11, false, 40),
        _ => {
            // A question (14) and its answer (15).
            let resolver = [8, 8, 4, 4];
            let asks = step % 16 == 14;
            let mut transport = if asks {
                vec![0x40, 0x00, 0, 53]
            } else {
                vec![0, 53, 0x40, 0x00]
            };
            transport[if asks { 0 } else { 2 }] = 0x40 + (client_number % 100) as u8;
            transport.extend(if asks { [0, 37, 0, 0] } else { [0, 53, 0, 0] });
            transport.extend([
                0,
                1,
                if asks { 1 } else { 0x81 },
                0,
                0,
                1,
                0,
                u8::from(!asks),
                0,
                0,
                0,
                0,
            ]);
            transport.extend(b"\x03www\x07example\x03net\0\0\x01\0\x01");
            let (src, dst) = if asks {
                (client, resolver)
            } else {
                (resolver, client)
            };
            let length = if asks { 57 } else { 73 };
            return writer.packet(
                at,
                &Packet {
                    src,
                    dst,
                    ttl,
                    protocol: 17,
                    place: 0,
                    transport: &transport,
                    length,
                },
            );
        }
    };
    let (from, to) = if src == client { (port, 443) } else { (443, port) };
    let header = tcp(from, to, flags, options);
    let transport = if options { &header[..] } else { &header[..20] };
    writer.packet(
        at,
        &Packet {
            src,
            dst,
            ttl,
            protocol: 6,
            place: 0x4000,
            transport,
            length,
        },
    )
}
