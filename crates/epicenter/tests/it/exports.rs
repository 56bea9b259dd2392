//! Export packets with known truth: the same traffic in every format gives the same facts, exactly; and what `decode` prints.

use std::path::Path;

use crate::{case, code, epicenter, err, out};

pub(crate) const START: u32 = 1_741_600_000;
/// Every bot sends this many packets of 60 bytes in one flow record.
pub(crate) const PACKETS: u32 = 20;
/// Attack seconds, from second 30 on.
pub(crate) const SECONDS: u32 = 60;
pub(crate) const BOTS_A_SECOND: u32 = 100;

/// One flow: source, destination, ports, flags, packets, bytes, first and last in milliseconds since [`START`].
pub(crate) type Flow = ([u8; 4], [u8; 4], u16, u16, u8, u32, u32, u32, u32);

/// A UDP-free world: web sessions in both directions throughout, and a SYN flood by 200 bots of two countries' networks.
fn flows() -> Vec<Flow> {
    flows_of(120)
}

/// The same, so many seconds long.
pub(crate) fn flows_of(seconds: u32) -> Vec<Flow> {
    let target = [198, 41, 30, 10];
    let mut flows = Vec::new();
    for second in 0..seconds {
        let at = second * 1_000;
        for n in 0..20u32 {
            let client = [81, 2, (second % 250) as u8, n as u8 + 1];
            let server = [198, 41, 30, 20];
            let port = 30_000 + (second * 20 + n) as u16;
            flows.push((client, server, port, 443, 0x1b, 10, 900, at, at + 700));
            flows.push((server, client, 443, port, 0x1b, 12, 14_000, at, at + 700));
        }
        if (30..30 + SECONDS).contains(&second) {
            for n in 0..BOTS_A_SECOND {
                let bot = (second * BOTS_A_SECOND + n) % 200;
                // Half of the bots in one provider's network in Brazil, half in one in Spain.
                let src = if bot.is_multiple_of(2) {
                    [189, 4, 1 + (bot / 2 % 50) as u8, 7]
                } else {
                    [80, 24, 1 + (bot / 2 % 50) as u8, 9]
                };
                flows.push((
                    src,
                    target,
                    1024 + bot as u16,
                    80,
                    0x02,
                    PACKETS,
                    PACKETS * 60,
                    at,
                    at + 900,
                ));
            }
        }
    }
    flows
}

fn put(out: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| out.extend(word.to_be_bytes()));
}

/// Export messages in a pcap. `sampling` divides the counters and is told to the collector in the format's own way, in an options record
/// that comes after the data where the format has options.
fn pcap(format: &str, sampling: u32) -> Vec<u8> {
    pcap_of(&flows(), format, sampling)
}

fn pcap_of(all: &[Flow], format: &str, sampling: u32) -> Vec<u8> {
    let mut file = vec![
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0,
    ];
    for (seconds, message) in messages_of(all, format, sampling) {
        let length = 28 + message.len();
        file.extend(seconds.to_le_bytes());
        file.extend([0; 4]);
        file.extend((length as u32).to_le_bytes());
        file.extend((length as u32).to_le_bytes());
        file.extend([0x45, 0, (length >> 8) as u8, length as u8, 0, 0, 0, 0]);
        file.extend([64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        file.extend([0xc3, 0x50, 0x08, 0x07]);
        file.extend(((8 + message.len()) as u16).to_be_bytes());
        file.extend([0, 0]);
        file.extend(message);
    }
    file
}

/// Export messages, each with the second in which it is sent.
pub(crate) fn messages_of(all: &[Flow], format: &str, sampling: u32) -> Vec<(u32, Vec<u8>)> {
    let mut sent = Vec::new();
    let uptime = 1_000_000;
    let (mut sequence, mut messages) = (0u32, 0u32);
    for chunk in all.chunks(20) {
        let last = chunk.iter().map(|flow| flow.8).max().unwrap();
        let (seconds, now) = (
            START + last.div_ceil(1_000),
            uptime + last.div_ceil(1_000) * 1_000,
        );
        let mut message = Vec::new();
        match format {
            "netflow5" => {
                put(
                    &mut message,
                    &[
                        5 << 16 | chunk.len() as u32,
                        now,
                        seconds,
                        0,
                        sequence,
                        if sampling > 1 { 0x4000 | sampling } else { 0 },
                    ],
                );
                for &(src, dst, from, to, flags, packets, bytes, first, last) in chunk {
                    message.extend([src, dst, [0; 4]].concat());
                    put(
                        &mut message,
                        &[
                            1 << 16 | 2,
                            packets / sampling,
                            bytes / sampling,
                            uptime + first,
                            uptime + last,
                        ],
                    );
                    put(
                        &mut message,
                        &[
                            u32::from(from) << 16 | u32::from(to),
                            u32::from(flags) << 16 | 6 << 8,
                            0,
                            0,
                        ],
                    );
                }
            }
            _ => {
                let ipfix = format == "ipfix";
                let mut sets = Vec::new();
                if messages == 0 {
                    let times: [u16; 4] = if ipfix { [152, 8, 153, 8] } else { [22, 4, 21, 4] };
                    let fields =
                        [&[8u16, 4, 12, 4, 7, 2, 11, 2, 4, 1, 6, 1, 2, 4, 1, 4][..], &times].concat();
                    let template = [
                        &[
                            if ipfix { 2 } else { 0 },
                            8 + 2 * fields.len() as u16,
                            300,
                            fields.len() as u16 / 2,
                        ][..],
                        &fields,
                    ]
                    .concat();
                    template.iter().for_each(|word| sets.extend(word.to_be_bytes()));
                }
                let mut data = Vec::new();
                for &(src, dst, from, to, flags, packets, bytes, first, last) in chunk {
                    data.extend([src, dst].concat());
                    put(&mut data, &[u32::from(from) << 16 | u32::from(to)]);
                    data.extend([6, flags]);
                    put(&mut data, &[packets / sampling, bytes / sampling]);
                    for at in [first, last] {
                        if ipfix {
                            data.extend((u64::from(START) * 1_000 + u64::from(at)).to_be_bytes());
                        } else {
                            put(&mut data, &[uptime + at]);
                        }
                    }
                }
                sets.extend(300u16.to_be_bytes());
                sets.extend((4 + data.len() as u16).to_be_bytes());
                sets.extend(data);
                if messages == 50 && sampling > 1 {
                    let words: &[u16] = if ipfix {
                        &[3, 18, 500, 2, 1, 149, 4, 34, 4]
                    } else {
                        &[1, 18, 500, 4, 4, 1, 4, 34, 4]
                    };
                    words.iter().for_each(|word| sets.extend(word.to_be_bytes()));
                    put(&mut sets, &[500 << 16 | 12, 0, sampling]);
                }
                if ipfix {
                    put(
                        &mut message,
                        &[10 << 16 | (16 + sets.len() as u32), seconds, sequence, 9],
                    );
                } else {
                    put(
                        &mut message,
                        &[9 << 16 | chunk.len() as u32, now, seconds, messages, 9],
                    );
                }
                message.extend(sets);
                sequence += u32::from(messages == 50 && sampling > 1);
            }
        }
        sequence += chunk.len() as u32;
        messages += 1;
        sent.push((seconds, message));
    }
    sent
}

fn investigated(folder: &Path, args: &[&str]) -> serde_json::Value {
    let output = epicenter(folder, &[&["investigate", "--format", "json"], args].concat());
    assert_eq!(code(&output), 0, "{}", err(&output));
    case(&output)
}

/// Records, attack packets and bytes, start and end, and the shares of the two countries are those that were generated.
fn is_true(case: &serde_json::Value, what: &str) {
    assert_eq!(case["inputs"][0]["records"], flows().len(), "{what}");
    let packets: u64 = flows().iter().map(|flow| u64::from(flow.5)).sum();
    let bytes: u64 = flows().iter().map(|flow| u64::from(flow.6)).sum();
    assert_eq!(case["inputs"][0]["packets"], packets, "{what}");
    assert_eq!(case["inputs"][0]["octets"], bytes, "{what}");
    let incidents = case["incidents"].as_array().unwrap();
    assert_eq!(incidents.len(), 1, "{what}");
    let incident = &incidents[0];
    assert_eq!(incident["target"]["prefix"], "198.41.30.10/32", "{what}");
    assert_eq!(incident["vectors"][0]["name"], "syn_flood", "{what}");
    assert_eq!(
        incident["total"]["packets"],
        SECONDS * BOTS_A_SECOND * PACKETS,
        "{what}"
    );
    assert_eq!(
        incident["total"]["bytes"],
        SECONDS * BOTS_A_SECOND * PACKETS * 60,
        "{what}"
    );
    assert_eq!(incident["start"], "2025-03-10T09:47:10Z", "{what}");
    assert_eq!(incident["end"], "2025-03-10T09:48:09.9Z", "{what}");
    assert_eq!(incident["ongoing"], false, "{what}");
    for country in ["BR", "ES"] {
        let row = incident["sources"]["countries"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["code"] == country)
            .unwrap_or_else(|| panic!("{what}: {country} is missing"));
        let share = row["share"]["estimate"].as_f64().unwrap();
        assert!((share - 0.5).abs() < 0.001, "{what}: {country} {share}");
    }
    assert_eq!(case["exporters"][0]["lost"], 0, "{what}");
    assert_eq!(case["exporters"][0]["address"], "192.0.2.1", "{what}");
}

#[test]
fn every_format_gives_the_same_facts() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["netflow5", "netflow9", "ipfix"] {
        let name = format!("{format}.pcap");
        std::fs::write(folder.path().join(&name), pcap(format, 1)).unwrap();
        let case = investigated(folder.path(), &[&name]);
        assert_eq!(case["inputs"][0]["kind"], format);
        is_true(&case, format);
        let one = epicenter(
            folder.path(),
            &["investigate", "--threads", "1", "--format", "json", &name],
        );
        let two = epicenter(
            folder.path(),
            &["investigate", "--threads", "2", "--format", "json", &name],
        );
        assert_eq!(one.stdout, two.stdout, "{format}: threads change the case");
    }
}

#[test]
fn sampling_is_applied_exactly_once_even_when_it_is_told_late() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["netflow5", "netflow9", "ipfix"] {
        let name = format!("{format}.pcap");
        // Counters are even, so that half of them is exact.
        std::fs::write(folder.path().join(&name), pcap(format, 2)).unwrap();
        is_true(
            &investigated(folder.path(), &[&name]),
            &format!("{format}, one in two"),
        );
    }
    // The user's word wins over the exporter's.
    let doubled = investigated(folder.path(), &["--sampling", "4", "netflow9.pcap"]);
    let packets: u64 = flows().iter().map(|flow| u64::from(flow.5)).sum();
    assert_eq!(doubled["inputs"][0]["packets"], packets * 2);
    let other = investigated(folder.path(), &["--sampling", "192.0.2.99=4", "netflow9.pcap"]);
    assert_eq!(other["inputs"][0]["packets"], packets);
}

#[test]
fn lost_messages_are_in_the_case() {
    let folder = tempfile::tempdir().unwrap();
    let whole = pcap("netflow5", 1);
    // The second message is taken out: 20 records of 48 bytes behind headers of 16, 28 and 24.
    let message = 16 + 28 + 24 + 20 * 48;
    let without = [&whole[..24 + message], &whole[24 + 2 * message..]].concat();
    std::fs::write(folder.path().join("lossy.pcap"), without).unwrap();
    let case = investigated(folder.path(), &["lossy.pcap"]);
    assert_eq!(case["exporters"][0]["lost"], 20);
    assert_eq!(case["exporters"][0]["lost_unit"], "records");
    let faults = case["inputs"][0]["faults"].as_array().unwrap();
    assert!(
        faults
            .iter()
            .any(|fault| fault["reason"] == "export-lost" && fault["count"] == 20)
    );
}

#[test]
fn decode_prints_records_in_three_forms() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("v9.pcap"), pcap("netflow9", 2)).unwrap();
    let json = epicenter(folder.path(), &["decode", "v9.pcap"]);
    assert_eq!(code(&json), 0, "{}", err(&json));
    let lines: Vec<serde_json::Value> = out(&json)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), flows().len());
    assert_eq!(lines[0]["src"], "81.2.0.1");
    assert_eq!(lines[0]["tcp_flags"], 27);
    assert_eq!(lines[0]["first"], "2025-03-10T09:46:40Z");
    let fields = "first,src,dst_port,packets,sampling,ttl";
    let csv = out(&epicenter(
        folder.path(),
        &["decode", "--format", "csv", "--fields", fields, "v9.pcap"],
    ));
    assert_eq!(csv.lines().next(), Some(fields));
    assert_eq!(csv.lines().nth(1), Some("2025-03-10T09:46:40Z,81.2.0.1,443,5,1,"));
    let columns = out(&epicenter(
        folder.path(),
        &["decode", "--format", "columns", "--fields", fields, "v9.pcap"],
    ));
    let groups: Vec<serde_json::Value> = columns
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0]["packets"].as_array().unwrap().len(), flows().len());
    assert_eq!(groups[0]["ttl"][0], serde_json::Value::Null);
    let wrong = epicenter(folder.path(), &["decode", "--fields", "sourceip", "v9.pcap"]);
    assert_eq!(code(&wrong), 1);
    assert!(err(&wrong).contains("--list-fields"), "{}", err(&wrong));
    let listed = out(&epicenter(folder.path(), &["decode", "--list-fields"]));
    assert!(listed.lines().count() > 40, "{listed}");
}

#[test]
fn an_internet_provider_of_2007_had_no_attack() {
    let Some(root) = crate::shared_data() else { return };
    let file = root.join("exporter/overflowd/netflow5_isp_2007_A.pcap");
    let case = investigated(&root, &[file.to_str().unwrap()]);
    assert_eq!(case["inputs"][0]["kind"], "netflow5");
    assert_eq!(case["inputs"][0]["records"], 39_347);
    assert_eq!(case["inputs"][0]["packets"], 1_784_142);
    assert_eq!(case["inputs"][0]["octets"], 1_295_567_624u64);
    assert_eq!(case["incidents"], serde_json::json!([]));
    let restarts: u64 = case["exporters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|exporter| exporter["restarts"].as_u64().unwrap())
        .sum();
    assert_eq!(
        restarts, 0,
        "two cards with their own uptimes share their numbers"
    );
}

/// One packet in a thousand, one direction: what a busy web server gets is no attack, a SYN flood on top of it is one.
#[test]
fn a_sample_of_ordinary_traffic_accuses_nobody_and_a_flood_still_shows() {
    const RATE: u32 = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let server = [198, 41, 30, 10];
    let mut ordinary: Vec<Flow> = Vec::new();
    for n in 0..6_000u32 {
        let client = [81, (n % 200) as u8, (n / 7 % 250) as u8, 9];
        // Mostly acknowledgements, some requests, now and then a SYN or a FIN.
        let (flags, size) = match n % 12 {
            0 => (0x02, 60),
            1 => (0x11, 52),
            2..=4 => (0x18, 400 + n % 700),
            _ => (0x10, 52),
        };
        let at = n * 10;
        ordinary.push((
            client,
            server,
            20_000 + (n % 30_000) as u16,
            443,
            flags,
            RATE,
            RATE * size,
            at,
            at,
        ));
    }
    let mut attacked = ordinary.clone();
    for n in 0..2_000u32 {
        let bot = [189, 4 + (n % 3) as u8, (n * 7 % 250) as u8, (n % 200) as u8];
        let at = 20_000 + n * 10;
        attacked.push((bot, server, 1_024 + n as u16, 443, 0x02, RATE, RATE * 40, at, at));
    }
    attacked.sort_by_key(|flow| flow.8);
    for format in ["netflow5", "ipfix"] {
        std::fs::write(folder.path().join("quiet.pcap"), pcap_of(&ordinary, format, RATE)).unwrap();
        std::fs::write(folder.path().join("flood.pcap"), pcap_of(&attacked, format, RATE)).unwrap();
        let quiet = investigated(folder.path(), &["quiet.pcap"]);
        assert_eq!(quiet["inputs"][0]["packets"], 6_000 * RATE, "{format}");
        assert_eq!(quiet["incidents"], serde_json::json!([]), "{format}");
        let flood = investigated(folder.path(), &["flood.pcap"]);
        let incident = &flood["incidents"][0];
        assert_eq!(incident["target"]["prefix"], "198.41.30.10/32", "{format}");
        assert_eq!(incident["vectors"][0]["name"], "syn_flood", "{format}");
        assert_eq!(incident["sources"]["distinct_exact"], false, "{format}");
        let packets = incident["total"]["packets"].as_u64().unwrap();
        // The clients' own SYNs cannot be told from the bots' in a sample: 500 of 2,500.
        assert!((2_000_000..=2_500_000).contains(&packets), "{format}: {packets}");
        let caveats = incident["caveats"].to_string();
        assert!(caveats.contains("one packet in 1000"), "{format}: {caveats}");
    }
}
