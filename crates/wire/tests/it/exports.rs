//! Export packets: `fixtures/export/*` with the expected records beside them, the shared exporters' packets against what an independent
//! decoder made of them, and exporters that mean harm.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use wire::collector::{DOMAINS_MAX, WAITING_MAX};
use wire::{Batch, Capture, Collector, Faults, Flow, Messages, Origin, Reason};

/// All records of a file, with what their exporters say.
fn decoded(data: &[u8], collector: &mut Collector) -> (Batch, Faults) {
    let mut all = Batch {
        keep_exported: true,
        ..Batch::default()
    };
    let mut faults = Faults::default();
    let mut capture = Capture::new(wire::recognise(data));
    let mut messages = Messages::new();
    let mut batch = all.clone();
    let mut at = 0;
    loop {
        at += match &mut capture {
            Some(capture) => capture.decode(&data[at..], collector, &mut batch),
            None => messages.decode(&data[at..], collector, &mut batch),
        };
        let full = batch.is_full();
        if !full {
            match &mut capture {
                Some(capture) => capture.finish(&data[at..], collector, &mut batch),
                None => at += messages.finish(&data[at..], collector, &mut batch),
            }
        }
        batch.exported.resize(batch.flows.len(), wire::Exported::EMPTY);
        all.flows.append(&mut batch.flows);
        all.exported.append(&mut batch.exported);
        faults.merge(&batch.faults);
        batch.clear();
        if !full && (capture.is_some() || at >= data.len()) {
            collector.give_up(&mut batch);
            faults.merge(&batch.faults);
            return (all, faults);
        }
    }
}

fn rendered(data: &[u8]) -> String {
    let mut collector = Collector::new();
    let (batch, faults) = decoded(data, &mut collector);
    let mut text = String::new();
    let ip = |address: Ipv6Addr| IpAddr::V6(address).to_canonical();
    for (flow, more) in batch.flows.iter().zip(&batch.exported) {
        let _ = write!(
            text,
            "{}..{} {} -> {} proto {} ports {} {} packets {} bytes {} sampling {} flags {:#04x} icmp {} {} tos {} ttl {} vlan {} payload {}",
            flow.first_ns,
            flow.last_ns,
            ip(flow.src),
            ip(flow.dst),
            flow.protocol,
            flow.src_port,
            flow.dst_port,
            flow.packets,
            flow.bytes,
            flow.sampling,
            flow.tcp_flags,
            flow.icmp_type,
            flow.icmp_code,
            flow.tos,
            flow.ttl,
            flow.vlan,
            flow.payload,
        );
        let dropped = if flow.has & Flow::DROPPED != 0 {
            " dropped"
        } else {
            ""
        };
        let _ = writeln!(text, "{dropped}\n  {more:?}");
    }
    for exporter in collector.exporters() {
        let _ = writeln!(
            text,
            "exporter {} {} domain {} messages {} records {} templates {} {:?}",
            ip(exporter.address),
            exporter.format.name(),
            exporter.domain,
            exporter.messages,
            exporter.records,
            exporter.templates,
            exporter.losses
        );
    }
    for fault in faults.iter() {
        let _ = writeln!(text, "fault {} x{}", fault.reason.name(), fault.count);
    }
    text
}

#[test]
fn every_export_fixture_decodes_as_expected() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/export");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "pcap"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "only {} fixtures", files.len());
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    for path in files {
        let got = rendered(&std::fs::read(&path).unwrap());
        let beside = path.with_extension("pcap.expected");
        if update {
            std::fs::write(&beside, &got).unwrap();
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        assert_eq!(got, expected, "{}", path.display());
    }
}

/// What an independent decoder (tshark 4.0.17) counted: records with addresses, packets and octets before sampling. Left out are the
/// cases in which it and the others disagree by what they support: data before its template, total counters, packets inside
/// records, and files that hold several datagrams.
#[test]
fn the_shared_exporters_are_read_as_another_decoder_reads_them() {
    let Some(root) = super::captures::data() else {
        return;
    };
    let folder = root.join("exporter");
    let cases = std::fs::read_to_string(folder.join("CASES-netflow-shared.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&cases).unwrap();
    let disputed = [
        "logstash-netflow-5-valid-01",
        "logstash-netflow-5-invalid-01",
        "logstash-netflow-9-invalid-01",
        "logstash-netflow-9-cisco-asa",
        "logstash-ipfix",
        "akvorado-datalink",
        "akvorado-juniper-cpid",
        "graylog-nprobe-netflow9-4",
        "graylog-dat-v5-1",
        "graylog-dat-v9-1",
    ];
    let mut compared = 0;
    for case in &cases {
        let id = case["id"].as_str().unwrap();
        let theirs = &case["tshark"];
        if disputed.contains(&id) || theirs["records_with_addresses"].is_null() {
            continue;
        }
        let mut collector = Collector::new();
        let (mut records, mut packets, mut octets) = (0, 0, 0);
        for file in case["files"].as_array().unwrap() {
            let data = std::fs::read(folder.join(file.as_str().unwrap())).unwrap();
            let (batch, _) = decoded(&data, &mut collector);
            for (flow, more) in batch.flows.iter().zip(&batch.exported) {
                // Captures hold other packets too.
                if more.format.is_some() {
                    records += u64::from(!flow.src.is_unspecified());
                    packets += flow.packets;
                    octets += flow.bytes;
                }
            }
        }
        let number = |name: &str| theirs[name].as_u64().unwrap();
        assert_eq!(
            (records, packets, octets),
            (
                number("records_with_addresses"),
                number("sum_packets"),
                number("sum_octets")
            ),
            "{id}: records, packets, octets"
        );
        compared += 1;
    }
    assert!(compared >= 55, "only {compared} cases were compared");
}

/// sFlow against sfcapd 1.7.1, which applies the sampling rate and counts the bytes of the frame.
#[test]
fn shared_sflow_datagrams_add_up_as_another_collector_adds_them() {
    let Some(root) = super::captures::data() else {
        return;
    };
    let folder = root.join("exporter");
    let cases = std::fs::read_to_string(folder.join("CASES-sflow-shared.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&cases).unwrap();
    let mut compared = 0;
    for case in &cases {
        let theirs = if case["sfcapd"].is_null() {
            &case["nfdump"]
        } else {
            &case["sfcapd"]
        };
        let (Some(packets), Some(bytes)) =
            (theirs["sum_in_packets"].as_u64(), theirs["sum_in_bytes"].as_u64())
        else {
            continue;
        };
        let mut collector = Collector::new();
        let (mut our_packets, mut our_bytes) = (0, 0);
        for file in case["files"].as_array().unwrap() {
            let data = std::fs::read(folder.join(file.as_str().unwrap())).unwrap();
            let (batch, _) = decoded(&data, &mut collector);
            for (flow, more) in batch.flows.iter().zip(&batch.exported) {
                if more.format.is_some() {
                    our_packets += flow.scaled_packets();
                    our_bytes += flow.scaled_bytes();
                }
            }
        }
        assert_eq!((our_packets, our_bytes), (packets, bytes), "{}", case["id"]);
        compared += 1;
    }
    assert!(compared >= 10, "only {compared} cases were compared");
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

/// A NetFlow v9 message around sets.
fn v9(domain: u32, sets: &[u8]) -> Vec<u8> {
    let mut message = words(&[9, 1, 0, 1, 0x6500, 0, 0, 1]);
    message.extend(domain.to_be_bytes());
    message.extend(sets);
    message
}

fn from(address: u32) -> Origin {
    Origin {
        address: std::net::Ipv4Addr::from_bits(address).to_ipv6_mapped(),
        port: 2055,
    }
}

#[test]
fn a_hundred_thousand_exporters_are_bounded_and_busy_ones_stay() {
    let mut collector = Collector::new();
    let mut batch = Batch::default();
    let template = v9(1, &words(&[0, 20, 300, 3, 8, 4, 12, 4, 2, 4]));
    let data = v9(
        1,
        &[&words(&[300, 16])[..], &[1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 5]].concat(),
    );
    collector.datagram(from(7), 0, &template, 0, &mut batch);
    for stranger in 0..100_000u32 {
        // A hundred a millisecond, and the honest one in between.
        let now = u64::from(stranger) * 10_000;
        collector.datagram(from(1000 + stranger), now, &template, 0, &mut batch);
        if stranger % 1_000 == 0 {
            collector.datagram(from(7), now, &data, 0, &mut batch);
        }
    }
    assert_eq!(collector.exporters().count(), DOMAINS_MAX);
    assert_eq!(batch.flows.len(), 100, "the honest exporter was heard throughout");
    assert_eq!(
        batch.faults.count(Reason::ExportersFull),
        100_001 - DOMAINS_MAX as u64
    );
}

#[test]
fn a_template_that_changes_with_every_message_costs_one_template() {
    let mut collector = Collector::new();
    let mut batch = Batch::default();
    for round in 0..50_000u16 {
        let set = words(&[0, 20, 300, 3, 8, 4, 12, 4, 1 + round % 400, 4]);
        collector.datagram(from(7), 0, &v9(1, &set), 0, &mut batch);
    }
    assert!(collector.save().len() < 200);
    assert_eq!(batch.faults.iter().count(), 0);
}

#[test]
fn data_without_a_template_waits_in_bounded_memory() {
    let mut collector = Collector::new();
    let mut batch = Batch::default();
    let mut set = words(&[400, 1404]);
    set.resize(1404, 1);
    let (mut kept, sent) = (0, 40_000u32);
    for n in 0..sent {
        let before = batch.faults.count(Reason::TemplateMissing);
        collector.datagram(from(n % 100), 0, &v9(1, &set), 0, &mut batch);
        kept += u64::from(batch.faults.count(Reason::TemplateMissing) == before);
    }
    assert!(kept * 1400 <= WAITING_MAX as u64, "{kept} sets were kept");
    assert!(kept > 1_000);
    // What waited is decoded when the template comes, and counted when it never does.
    let template = v9(1, &words(&[0, 16, 400, 2, 8, 4, 12, 4]));
    collector.datagram(from(1), 0, &template, 0, &mut batch);
    assert!(batch.flows.len() >= 175 && batch.flows.len().is_multiple_of(175));
    collector.give_up(&mut batch);
    let waited = batch.flows.len() as u64 / 175;
    assert_eq!(
        batch.faults.count(Reason::TemplateMissing),
        u64::from(sent) - waited
    );
}

#[test]
fn what_is_known_survives_a_restart() {
    let mut before = Collector::new();
    let mut batch = Batch::default();
    // Template 300, options template 257 (system scope, samplingInterval), and one options record: one in 250.
    let sets = words(&[
        0, 20, 300, 3, 8, 4, 12, 4, 2, 4, 1, 20, 257, 4, 4, 1, 4, 34, 4, 0, 257, 12, 0, 0, 0, 250,
    ]);
    before.datagram(from(7), 0, &v9(1, &sets), 0, &mut batch);
    let mut after = Collector::new();
    assert!(after.load(&before.save(), 0));
    let data = v9(
        1,
        &[&words(&[300, 16])[..], &[1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 5]].concat(),
    );
    after.datagram(from(7), 0, &data, 0, &mut batch);
    assert_eq!(batch.flows.len(), 1);
    assert_eq!(batch.flows[0].scaled_packets(), 1_250);
    // Another exporter's templates are not this one's.
    after.datagram(from(8), 0, &data, 0, &mut batch);
    assert_eq!(batch.flows.len(), 1);
}

#[test]
fn a_rate_that_comes_after_the_data_is_noticed() {
    let mut collector = Collector::new();
    let mut batch = Batch::default();
    let template = words(&[0, 20, 300, 3, 8, 4, 12, 4, 2, 4]);
    let data = [&words(&[300, 16])[..], &[1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 5]].concat();
    let options = words(&[1, 20, 257, 4, 4, 1, 4, 34, 4, 0, 257, 12, 0, 0, 0, 250]);
    collector.datagram(from(7), 0, &v9(1, &template), 0, &mut batch);
    collector.datagram(from(7), 0, &v9(1, &data), 0, &mut batch);
    assert!(!collector.is_late());
    collector.datagram(from(7), 0, &v9(1, &options), 0, &mut batch);
    assert!(collector.is_late());
}

#[test]
fn an_options_record_longer_than_its_set_is_a_fault() {
    let mut collector = Collector::new();
    let mut batch = Batch::default();
    // IPFIX options template 500: scope observationDomainId, interfaceName of variable length; a record that says 200 bytes and has 3.
    let sets = [
        &words(&[3, 18, 500, 2, 1, 149, 4, 82, 0xffff])[..],
        &words(&[500, 12]),
        &[0, 0, 0, 7, 200, 1, 2, 3],
    ]
    .concat();
    let mut message = words(&[10, 16 + sets.len() as u16, 0x6500, 0, 0, 0, 0, 7]);
    message.extend(sets);
    collector.datagram(from(7), 0, &message, 0, &mut batch);
    assert_eq!(batch.faults.count(Reason::OptionsMalformed), 1);
}
