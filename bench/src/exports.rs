//! Export packets with known truth, in a pcap as a collector would record them: NetFlow v5, NetFlow v9, IPFIX (24 to 30 records a
//! message) or sFlow (5 samples with 128-byte headers a datagram). Seeded and streaming.
//!
//! Of ten records four are ordinary sessions (20,000 clients, 50 servers, both directions), three a SYN flood by 100,000 bots on one
//! host from second 20 to second 79, three DNS amplification by 4,000 reflectors on the same host at the same time; outside those
//! seconds all are ordinary. All together span 100 seconds.

use std::fs::File;
use std::io::{BufWriter, Write};

use crate::generate::{Random, TARGET, public};

const START: u64 = 1_741_600_000;
const SECONDS: u64 = 100;
/// The exporter started this long before, in milliseconds.
const UPTIME: u64 = 5_000_000;

/// A flow to export.
struct Record {
    src: [u8; 4],
    dst: [u8; 4],
    src_port: u16,
    dst_port: u16,
    protocol: u8,
    flags: u8,
    packets: u32,
    bytes: u32,
    /// Milliseconds since [`START`].
    first: u64,
    last: u64,
}

fn record(n: u64, at_ms: u64, random: &mut Random) -> Record {
    let attack = (20_000..80_000).contains(&at_ms);
    let base = Record {
        src: [0; 4],
        dst: TARGET,
        src_port: 0,
        dst_port: 0,
        protocol: 6,
        flags: 0,
        packets: 1,
        bytes: 40,
        first: at_ms,
        last: at_ms,
    };
    match n % 10 {
        4..=6 if attack => {
            // Bots have addresses all over; the same number is always the same bot.
            let mut bot = Random(random.below(100_000) + 77);
            let src = loop {
                if let Some(ip) = public(bot.next() as u32) {
                    break ip;
                }
            };
            Record {
                src,
                src_port: 1024 + random.below(60_000) as u16,
                dst_port: 443,
                flags: 2,
                ..base
            }
        }
        7..=9 if attack => {
            let reflector = random.below(4_000) as u32;
            Record {
                src: (0x1700_0000u32 + reflector.wrapping_mul(7_919) * 256 + 9).to_be_bytes(),
                src_port: 53,
                dst_port: 12_345,
                protocol: 17,
                packets: 3,
                bytes: 4_200,
                ..base
            }
        }
        _ => {
            let client_number = (n / 2 % 20_000) as u32;
            let client = (0x5100_0000 + client_number * 4_099).to_be_bytes();
            let server = [198, 41, 30, 20 + (client_number % 50) as u8];
            let port = 20_000 + (n / 40_000 % 40_000) as u16;
            let up = n.is_multiple_of(2);
            let packets = 4 + random.below(12) as u32;
            Record {
                src: if up { client } else { server },
                dst: if up { server } else { client },
                src_port: if up { port } else { 443 },
                dst_port: if up { 443 } else { port },
                flags: 0x1b,
                packets,
                bytes: packets * if up { 90 } else { 900 },
                first: at_ms.saturating_sub(random.below(3_000)),
                ..base
            }
        }
    }
}

/// Writes export messages into a pcap.
struct Pcap {
    file: BufWriter<File>,
    port: u16,
}

impl Pcap {
    fn datagram(&mut self, at_ms: u64, payload: &[u8]) -> std::io::Result<()> {
        let mut head = [0u8; 16 + 42];
        let length = 42 + payload.len() as u32;
        head[..4].copy_from_slice(&((START + at_ms / 1_000) as u32).to_le_bytes());
        head[4..8].copy_from_slice(&((at_ms % 1_000 * 1_000_000) as u32).to_le_bytes());
        head[8..12].copy_from_slice(&length.to_le_bytes());
        head[12..16].copy_from_slice(&length.to_le_bytes());
        let frame = &mut head[16..];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14] = 0x45;
        frame[16..18].copy_from_slice(&(28 + payload.len() as u16).to_be_bytes());
        frame[22..24].copy_from_slice(&[64, 17]);
        frame[26..30].copy_from_slice(&[192, 0, 2, 1]);
        frame[30..34].copy_from_slice(&[192, 0, 2, 2]);
        frame[34..36].copy_from_slice(&50_000u16.to_be_bytes());
        frame[36..38].copy_from_slice(&self.port.to_be_bytes());
        frame[38..40].copy_from_slice(&(8 + payload.len() as u16).to_be_bytes());
        self.file.write_all(&head)?;
        self.file.write_all(payload)
    }
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend(word.to_be_bytes());
    }
}

/// Fields of the v9 and IPFIX templates: (element, length).
const FIELDS: [(u16, u16); 20] = [
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 4),
    (14, 4),
    (2, 4),
    (1, 4),
    (7, 2),
    (11, 2),
    (4, 1),
    (6, 1),
    (5, 1),
    (61, 1),
    (16, 4),
    (17, 4),
    (9, 1),
    (13, 1),
    (89, 1),
    (0, 0), // the two times, which the formats have in different forms
    (0, 0),
];

fn template(ipfix: bool) -> Vec<u8> {
    let times = if ipfix {
        [(152, 8), (153, 8)]
    } else {
        [(22, 4), (21, 4)]
    };
    let mut set = Vec::new();
    let fields: Vec<_> = FIELDS[..18].iter().copied().chain(times).collect();
    set.extend(if ipfix { 2u16 } else { 0 }.to_be_bytes());
    set.extend((8 + 4 * fields.len() as u16).to_be_bytes());
    set.extend(300u16.to_be_bytes());
    set.extend((fields.len() as u16).to_be_bytes());
    for (id, length) in fields {
        set.extend(u16::to_be_bytes(id));
        set.extend(u16::to_be_bytes(length));
    }
    set
}

fn templated(out: &mut Vec<u8>, r: &Record, ipfix: bool) {
    out.extend(r.src);
    out.extend(r.dst);
    words(out, &[0xc000_02fe, 3, 4, r.packets, r.bytes]);
    out.extend(r.src_port.to_be_bytes());
    out.extend(r.dst_port.to_be_bytes());
    out.extend([r.protocol, r.flags, 0, 0]);
    words(out, &[64_500, 64_501]);
    out.extend([16, 24, 64]);
    if ipfix {
        out.extend((START * 1_000 + r.first).to_be_bytes());
        out.extend((START * 1_000 + r.last).to_be_bytes());
    } else {
        words(out, &[(UPTIME + r.first) as u32, (UPTIME + r.last) as u32]);
    }
}

fn sample(out: &mut Vec<u8>, r: &Record, number: u32) {
    let size = (r.bytes / r.packets) as u16;
    let mut header = vec![0; 12];
    header.extend([8, 0, 0x45, 0]);
    header.extend(size.to_be_bytes());
    header.extend([0, 9, 0x40, 0, 57, r.protocol, 0, 0]);
    header.extend(r.src);
    header.extend(r.dst);
    header.extend(r.src_port.to_be_bytes());
    header.extend(r.dst_port.to_be_bytes());
    if r.protocol == 6 {
        header.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, r.flags, 0xff, 0xff, 0, 0, 0, 0]);
    } else {
        header.extend((size - 20).to_be_bytes());
        header.extend([0, 0, 0, 1, 0x81, 0x80, 0, 1, 0, 20, 0, 0, 0, 0]);
        header.extend(b"\x07example\x03org\0\0\xff\0\x01");
    }
    header.resize(128, 0);
    words(
        out,
        &[
            1,
            32 + 8 + 16 + 128,
            number,
            3,
            1_000,
            number.wrapping_mul(1_000),
            0,
            3,
            4,
            1,
        ],
    );
    words(out, &[1, 16 + 128, 1, 14 + u32::from(size), 0, 128]);
    out.extend(header);
}

/// Writes `records` records of a format into a pcap.
pub(crate) fn run(format: &str, records: u64, file: &str) -> anyhow::Result<()> {
    let (per_message, port) = match format {
        "netflow5" => (30, 2055),
        "netflow9" => (24, 2055),
        "ipfix" => (20, 4739),
        "sflow" => (6, 6343),
        _ => anyhow::bail!("`{format}` is no export format; there are netflow5, netflow9, ipfix and sflow"),
    };
    let mut pcap = Pcap {
        file: BufWriter::with_capacity(1 << 20, File::create(file)?),
        port,
    };
    let mut header = [0u8; 24];
    header[..4].copy_from_slice(&0xa1b2_3c4du32.to_le_bytes());
    header[4..8].copy_from_slice(&[2, 0, 4, 0]);
    header[16..20].copy_from_slice(&65_535u32.to_le_bytes());
    header[20] = 1;
    pcap.file.write_all(&header)?;
    let mut random = Random(2025);
    let mut message = Vec::new();
    let (mut n, mut messages) = (0u64, 0u32);
    while n < records {
        let at = n * SECONDS * 1_000 / records;
        let count = per_message.min(records - n);
        let seconds = (START + at / 1_000) as u32;
        let nanos = (at % 1_000 * 1_000_000) as u32;
        let with_template = messages.is_multiple_of(1_000) && matches!(format, "netflow9" | "ipfix");
        message.clear();
        let uptime = (UPTIME + at) as u32;
        match format {
            "netflow5" => {
                words(
                    &mut message,
                    &[5 << 16 | count as u32, uptime, seconds, nanos, n as u32, 0],
                );
            }
            "netflow9" => {
                let all = count as u32 + u32::from(with_template);
                // Whole seconds are all that the header has: the uptime is that of the whole second.
                words(
                    &mut message,
                    &[9 << 16 | all, uptime - (at % 1_000) as u32, seconds, messages, 7],
                );
            }
            "ipfix" => words(&mut message, &[10 << 16, seconds, n as u32, 7]),
            _ => words(
                &mut message,
                &[5, 1, 0xc000_0201, 0, messages, uptime, count as u32],
            ),
        }
        if with_template {
            message.extend(template(format == "ipfix"));
        }
        let set = message.len();
        if matches!(format, "netflow9" | "ipfix") {
            message.extend([1, 44, 0, 0]);
        }
        for _ in 0..count {
            let r = record(n, at, &mut random);
            match format {
                "netflow5" => {
                    message.extend(r.src);
                    message.extend(r.dst);
                    words(&mut message, &[0xc000_02fe, 3 << 16 | 4, r.packets, r.bytes]);
                    words(
                        &mut message,
                        &[(UPTIME + r.first) as u32, (UPTIME + r.last) as u32],
                    );
                    message.extend(r.src_port.to_be_bytes());
                    message.extend(r.dst_port.to_be_bytes());
                    message.extend([0, r.flags, r.protocol, 0, 0xfb, 0xf4, 0xfb, 0xf5, 16, 24, 0, 0]);
                }
                "sflow" => {
                    // One packet of the middle of a session, not the flags of all of them.
                    let flags = if r.flags == 0x1b { 0x18 } else { r.flags };
                    sample(&mut message, &Record { flags, ..r }, n as u32);
                }
                _ => templated(&mut message, &r, format == "ipfix"),
            }
            n += 1;
        }
        let length = message.len() - set;
        if matches!(format, "netflow9" | "ipfix") {
            message[set + 2..set + 4].copy_from_slice(&(length as u16).to_be_bytes());
        }
        if format == "ipfix" {
            let length = message.len() as u16;
            message[2..4].copy_from_slice(&length.to_be_bytes());
        }
        pcap.datagram(at, &message)?;
        messages += 1;
    }
    pcap.file.flush()?;
    println!(
        "{file}: {records} records in {messages} messages, {} bytes",
        std::fs::metadata(file)?.len()
    );
    Ok(())
}
