//! Export messages without their addresses: records before and after differ in addresses only, and no address is left.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use wire::redact::Message;
use wire::{Batch, Capture, Collector, Exported, Faults, Flow, Messages, Redactor};

/// A message as it lies in an input.
struct Lain {
    link_type: Option<u16>,
    original: u32,
    time_ns: u64,
    bytes: Vec<u8>,
    /// The addresses of the records that it gave at once.
    addresses: Vec<Ipv6Addr>,
}

/// The export messages of a file.
fn messages(data: &[u8]) -> Vec<Lain> {
    let mut found = Vec::new();
    let mut collector = Collector::new();
    let mut batch = Batch {
        keep_raw: true,
        ..Batch::default()
    };
    let (mut capture, mut bare) = (Capture::new(wire::recognise(data)), Messages::new());
    let mut at = 0;
    loop {
        let before = at;
        batch.clear();
        at += match &mut capture {
            Some(capture) => capture.decode(&data[at..], &mut collector, &mut batch),
            None => bare.decode(&data[at..], &mut collector, &mut batch),
        };
        if !batch.is_full() {
            match &mut capture {
                Some(capture) => {
                    capture.finish(&data[at..], &mut collector, &mut batch);
                    at = data.len();
                }
                None => at += bare.finish(&data[at..], &mut collector, &mut batch),
            }
        }
        for (i, raw) in batch.raw.iter().enumerate().filter(|(_, raw)| raw.export) {
            let end = batch.raw.get(i + 1).map_or(batch.flows.len(), |next| next.first);
            found.push(Lain {
                link_type: raw.link_type,
                original: raw.original,
                time_ns: raw.time_ns,
                bytes: batch.raw_bytes[raw.start..raw.start + raw.len].to_vec(),
                addresses: batch.flows[raw.first..end]
                    .iter()
                    .flat_map(|flow| [flow.src, flow.dst])
                    .collect(),
            });
        }
        if at >= data.len() || at == before && !batch.is_full() {
            return found;
        }
    }
}

/// What messages are decoded to, in packets or bare, one after the other.
fn decoded<'a>(messages: impl Iterator<Item = (Option<u16>, u32, u64, &'a [u8])>) -> (Batch, Faults) {
    let mut collector = Collector::new();
    let mut batch = Batch {
        keep_exported: true,
        ..Batch::default()
    };
    feed(messages, &mut collector, &mut batch);
    collector.give_up(&mut batch);
    batch.exported.resize(batch.flows.len(), Exported::EMPTY);
    let faults = batch.faults.clone();
    (batch, faults)
}

fn feed<'a>(
    messages: impl Iterator<Item = (Option<u16>, u32, u64, &'a [u8])>,
    collector: &mut Collector,
    batch: &mut Batch,
) {
    let mut bare = Vec::new();
    for (link_type, original, time_ns, bytes) in messages {
        match link_type {
            Some(link_type) => {
                collector.packet(link_type, bytes, original, time_ns, 0, batch);
                batch.exported.resize(batch.flows.len(), Exported::EMPTY);
            }
            None => bare.extend_from_slice(bytes),
        }
    }
    let mut reader = Messages::new();
    let mut at = 0;
    let mut part = Batch {
        keep_exported: batch.keep_exported,
        ..Batch::default()
    };
    while at < bare.len() {
        at += reader.decode(&bare[at..], collector, &mut part);
        if !part.is_full() {
            at += reader.finish(&bare[at..], collector, &mut part);
        }
        part.exported.resize(part.flows.len(), Exported::EMPTY);
        batch.flows.append(&mut part.flows);
        batch.exported.append(&mut part.exported);
        batch.faults.merge(&part.faults);
        part.clear();
    }
}

/// Another address: another one for each, of the same family; none for none.
fn other(address: Ipv6Addr) -> Ipv6Addr {
    if address.is_unspecified() || address == Ipv4Addr::UNSPECIFIED.to_ipv6_mapped() {
        return address;
    }
    match address.to_ipv4_mapped() {
        Some(v4) => Ipv4Addr::from_bits(v4.to_bits() ^ 0x00a5_5ac3).to_ipv6_mapped(),
        None => Ipv6Addr::from_bits(address.to_bits() ^ 0x5a5a_a5a5_c3c3),
    }
}

fn redacted(lain: &[Lain], address: &dyn Fn(Ipv6Addr) -> Ipv6Addr) -> Vec<Message> {
    let mut redactor = Redactor::new();
    let read = |collector: &mut Collector| -> Result<(), Infallible> {
        let all = lain
            .iter()
            .map(|m| (m.link_type, m.original, m.time_ns, &m.bytes[..]));
        feed(all, collector, &mut Batch::default());
        Ok(())
    };
    let learned = redactor.learn(Collector::new(), read).unwrap();
    if learned.is_late() {
        let mut informed = Collector::new();
        informed.load(&learned.save(), 0);
        redactor.learn(informed, read).unwrap();
    }
    lain.iter()
        .map(|m| {
            redactor
                .message(m.link_type, &m.bytes, m.original, m.time_ns, address)
                .expect("an export message")
        })
        .collect()
}

/// Records without what is not kept of them.
fn plain(batch: &Batch, address: impl Fn(Ipv6Addr) -> Ipv6Addr) -> Vec<(Flow, Exported)> {
    batch
        .flows
        .iter()
        .zip(&batch.exported)
        .map(|(flow, more)| {
            let mut flow = *flow;
            let mut more = *more;
            for one in [
                &mut flow.src,
                &mut flow.dst,
                &mut more.exporter,
                &mut more.nat_src,
                &mut more.nat_dst,
            ] {
                *one = address(*one);
            }
            flow.detail = Flow::NO_DETAIL;
            (more.next_hop, more.bgp_next_hop) = (Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
            (more.src_mac, more.dst_mac) = ([0; 6], [0; 6]);
            (flow, more)
        })
        .collect()
}

/// Whether the octets of an address would hardly be in a message by chance.
fn is_distinctive(octets: &[u8]) -> bool {
    let mut seen: Vec<u8> = octets.iter().copied().filter(|byte| *byte > 2).collect();
    seen.sort_unstable();
    seen.dedup();
    seen.len() >= 4
}

/// The octets of an address, four or sixteen.
fn octets(address: Ipv6Addr) -> Vec<u8> {
    match address.to_ipv4_mapped() {
        Some(v4) => v4.octets().to_vec(),
        None => address.octets().to_vec(),
    }
}

/// Holds a file to the law. Gives messages, records, and messages that could not be kept the same.
fn hold(name: &str, data: &[u8]) -> (usize, usize, usize) {
    let lain = messages(data);
    let after = redacted(&lain, &other);
    for (before, after) in lain.iter().zip(&after) {
        if before.link_type.is_none() {
            assert_eq!(before.bytes.len(), after.bytes.len(), "{name}");
        }
        let told: Vec<Vec<u8>> = before
            .addresses
            .iter()
            .map(|address| octets(other(*address)))
            .collect();
        for address in &before.addresses {
            let octets = octets(*address);
            if is_distinctive(&octets) && !told.contains(&octets) {
                let left = after.bytes.windows(octets.len()).any(|window| window == octets);
                assert!(!left, "{name}: {address} is left");
            }
        }
    }
    let changed = after.iter().filter(|message| !message.same).count();
    let (was, faults_were) = decoded(
        lain.iter()
            .map(|m| (m.link_type, m.original, m.time_ns, &m.bytes[..])),
    );
    let (is, faults_are) = decoded(
        after
            .iter()
            .zip(&lain)
            .map(|(m, lain)| (m.link_type, m.original, lain.time_ns, &m.bytes[..])),
    );
    if changed == 0 {
        let count = |faults: &Faults| -> Vec<_> {
            let counted = faults.iter().map(|fault| (fault.reason, fault.count));
            counted
                .filter(|(reason, _)| *reason != wire::Reason::TunnelDepth)
                .collect()
        };
        assert_eq!(count(&faults_are), count(&faults_were), "{name}");
        let (was, is) = (plain(&was, other), plain(&is, |address| address));
        assert_eq!(was.len(), is.len(), "{name}");
        for (was, is) in was.iter().zip(&is) {
            assert_eq!(was, is, "{name}");
        }
    }
    (lain.len(), was.flows.len(), changed)
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out);
        } else {
            out.push(path);
        }
    }
}

#[test]
fn fixtures_keep_their_records_and_lose_their_addresses() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/export");
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    let mut held = (0, 0, 0);
    for path in paths
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "pcap"))
    {
        let one = hold(&path.display().to_string(), &std::fs::read(path).unwrap());
        held = (held.0 + one.0, held.1 + one.1, held.2 + one.2);
    }
    assert!(held.0 > 30 && held.1 > 40, "{held:?}");
    assert_eq!(held.2, 0, "messages that are not the same");
}

#[test]
fn what_real_exporters_send_keeps_its_records_and_loses_its_addresses() {
    let Some(root) = super::captures::data() else {
        return;
    };
    let mut paths = Vec::new();
    files(&root.join("exporter"), &mut paths);
    paths.sort();
    let mut held = (0, 0, 0);
    for path in &paths {
        let data = std::fs::read(path).unwrap();
        let kind = wire::recognise(&data);
        if Capture::new(kind).is_none() && kind != wire::Kind::Messages {
            continue;
        }
        let one = hold(&path.display().to_string(), &data);
        held = (held.0 + one.0, held.1 + one.1, held.2 + one.2);
    }
    assert!(held.0 > 500 && held.1 > 5_000, "{held:?}");
    assert!(held.2 * 100 <= held.0, "{held:?}");
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

/// An IPFIX message around sets.
fn ipfix(sets: &[u8]) -> Vec<u8> {
    let mut message = words(&[10, 16 + sets.len() as u16, 0x6500, 0, 0, 0, 0, 7]);
    message.extend(sets);
    message
}

fn bare(messages: &[Vec<u8>]) -> Vec<Lain> {
    messages
        .iter()
        .map(|bytes| Lain {
            link_type: None,
            original: bytes.len() as u32,
            time_ns: 0,
            bytes: bytes.clone(),
            addresses: Vec::new(),
        })
        .collect()
}

#[test]
fn data_before_its_template_is_rewritten_by_it_or_blanked() {
    let record = [77, 1, 2, 3, 192, 0, 2, 9, 0, 0, 0, 5];
    let data = ipfix(&[&words(&[300, 16])[..], &record].concat());
    let template = ipfix(&words(&[2, 20, 300, 3, 8, 4, 12, 4, 2, 4]));
    let after = redacted(&bare(&[data.clone(), template]), &other);
    let other4 = octets(other(Ipv4Addr::new(77, 1, 2, 3).to_ipv6_mapped()));
    assert_eq!(after[0].bytes[20..24], other4[..]);
    assert_eq!(after[0].bytes[28..32], [0, 0, 0, 5]);
    let never = redacted(&bare(std::slice::from_ref(&data)), &other);
    assert_eq!(never[0].bytes[20..], [0; 12]);
    // The reading that is informed takes the definition that came last for data that the first reading decoded by another: neither is sure.
    let two = ipfix(&words(&[2, 20, 300, 3, 8, 4, 2, 4, 12, 4]));
    let options = ipfix(&words(&[3, 18, 400, 2, 1, 149, 4, 34, 4, 400, 12, 0, 7, 0, 100]));
    let one = ipfix(&words(&[2, 20, 300, 3, 8, 4, 12, 4, 2, 4]));
    let after = redacted(&bare(&[data, one, two, options]), &other);
    assert_eq!(after[0].bytes[20..], [0; 12]);
    assert!(!after[0].same);
}

#[test]
fn text_options_and_lengths_that_do_not_fit() {
    // sourceIPv4Address, userName of variable length, octetDeltaCount.
    let template = words(&[2, 20, 300, 3, 8, 4, 371, 0xffff, 1, 4]);
    let mut records = vec![77, 1, 2, 3, 5];
    records.extend(b"alice");
    records.extend([0, 0, 0, 9, 77, 1, 2, 4, 255, 0, 3]);
    records.extend(b"bob");
    records.extend([0, 0, 0, 8, 77, 1, 2, 5, 200, 77, 1, 2, 5, 9]);
    let mut set = words(&[300, 4 + records.len() as u16]);
    set.extend(&records);
    // Scope observationDomainId, samplingInterval, interfaceName.
    let options = words(&[3, 22, 400, 3, 1, 149, 4, 34, 4, 82, 0xffff]);
    let mut told = vec![0, 0, 0, 7, 0, 0, 0, 100, 4];
    told.extend(b"eth0");
    let mut options_set = words(&[400, 4 + told.len() as u16]);
    options_set.extend(&told);
    let message = ipfix(&[template, set, options, options_set].concat());
    let (records, _, changed) = hold("made", &message);
    assert_eq!((records, changed), (1, 0));
    let after = redacted(&bare(std::slice::from_ref(&message)), &other);
    for word in [&b"alice"[..], b"bob", b"eth0", &[77, 1, 2]] {
        assert!(
            !after[0].bytes.windows(word.len()).any(|window| window == word),
            "{word:?}"
        );
    }
    assert!(after[0].bytes.ends_with(&[0, 0, 0, 100, 4, 0, 0, 0, 0]));
    // The same with the end cut off anywhere, and with any set that claims more than there is.
    for end in 16..message.len() {
        hold("cut", &message[..end]);
    }
}

#[test]
fn exporters_that_become_one_address_stay_apart() {
    // Two routers of one block, one port and one source id, that mean different things by template 300.
    let packet = |host: u8, payload: &[u8]| {
        let mut packet = vec![
            0x45, 0, 0, 0, 0, 1, 0, 0, 60, 17, 0, 0, 77, 1, 2, host, 198, 51, 100, 7,
        ];
        packet.extend(words(&[2055, 2055, 8 + payload.len() as u16, 0]));
        packet.extend(payload);
        let length = (packet.len() as u16).to_be_bytes();
        packet[2..4].copy_from_slice(&length);
        Lain {
            link_type: Some(101),
            original: packet.len() as u32,
            time_ns: 1,
            bytes: packet,
            addresses: Vec::new(),
        }
    };
    let v9 = |sets: &[u8]| [&words(&[9, 1, 0, 1, 0x6500, 0, 0, 1, 0, 9])[..], sets].concat();
    let one = v9(&words(&[0, 20, 300, 3, 8, 4, 12, 4, 2, 4]));
    let two = v9(&words(&[0, 20, 300, 3, 12, 4, 8, 4, 1, 4]));
    let data = v9(&[&words(&[300, 16])[..], &[77, 9, 9, 1, 77, 9, 9, 2, 0, 0, 0, 5]].concat());
    let lain = [
        packet(3, &one),
        packet(4, &two),
        packet(3, &data),
        packet(4, &data),
    ];
    let cut = |address: Ipv6Addr| Ipv6Addr::from_bits(address.to_bits() & !0xff);
    let after = redacted(&lain, &cut);
    let all = |messages: &[Message]| {
        let each = messages
            .iter()
            .map(|m| (m.link_type, m.original, 1, &m.bytes[..]));
        decoded(each).0.flows
    };
    let flows = all(&after);
    assert_eq!(
        (flows.len(), flows[0].packets, flows[1].packets, flows[1].bytes),
        (2, 5, 0, 5)
    );
    // The first keeps its port, the second has the next.
    let port = |message: &Message| u16::from_be_bytes([message.bytes[20], message.bytes[21]]);
    assert_eq!([0, 1, 2, 3].map(|i| port(&after[i])), [2055, 2056, 2055, 2056]);
}

/// Bytes that begin like a message and go on as they please, or are those of a fixture with some of them changed.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let heads = prop::sample::select(vec![
        vec![0u8, 1, 0, 2],
        vec![0, 5, 0, 2],
        vec![0, 7, 0, 2],
        vec![0, 9, 0, 2],
        vec![0, 10, 0, 60],
        vec![0, 0, 0, 5],
    ]);
    (
        heads,
        prop::collection::vec(prop_oneof![0u8..5, any::<u8>()], 0..200),
    )
        .prop_map(|(head, rest)| [head, rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(11), ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn any_bytes_keep_their_length_and_records(parts in prop::collection::vec(hostile(), 1..4)) {
        let after = redacted(&bare(&parts), &other);
        for (before, after) in parts.iter().zip(&after) {
            prop_assert_eq!(before.len(), after.bytes.len());
        }
        hold("hostile", &parts.concat());
    }
}
