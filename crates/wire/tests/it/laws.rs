//! Laws: cutting a file into pieces changes nothing, cutting its end off leaves a prefix, and every record is a flow or a fault.

use proptest::prelude::*;
use wire::{Batch, Capture, Collector, Faults, Flow};

/// A pcap file of raw IP packets with these lengths and contents.
fn file(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![
        0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101, 0, 0, 0,
    ];
    for (i, packet) in packets.iter().enumerate() {
        bytes.extend((1_700_000_000 + i as u32).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend((packet.len() as u32).to_le_bytes());
        bytes.extend((packet.len() as u32).to_le_bytes());
        bytes.extend(packet);
    }
    bytes
}

/// Packets that are mostly IPv4, with random bytes behind the first header fields.
fn packet() -> impl Strategy<Value = Vec<u8>> {
    (
        prop::sample::select(vec![1u8, 6, 17, 47, 4, 58]),
        prop::collection::vec(any::<u8>(), 0..80),
        any::<bool>(),
    )
        .prop_map(|(protocol, rest, whole)| {
            let mut packet = vec![
                0x45, 0, 0, 0, 0, 1, 0, 0, 60, protocol, 0, 0, 9, 9, 9, 9, 8, 8, 8, 8,
            ];
            packet.extend(rest);
            let length = packet.len() as u16 + if whole { 0 } else { 700 };
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            packet
        })
}

fn in_pieces(data: &[u8], cuts: &[usize]) -> (Vec<Flow>, Faults) {
    let mut collector = Collector::new();
    let mut capture = Capture::new(wire::recognise(data)).expect("a capture");
    let (mut held, mut batch, mut flows, mut faults) =
        (Vec::new(), Batch::default(), Vec::new(), Faults::default());
    let mut at = 0;
    for &cut in cuts.iter().chain([&data.len()]) {
        let cut = cut.clamp(at, data.len());
        held.extend_from_slice(&data[at..cut]);
        at = cut;
        let used = capture.decode(&held, &mut collector, &mut batch);
        held.drain(..used);
    }
    capture.finish(&held, &mut collector, &mut batch);
    flows.append(&mut batch.flows);
    faults.merge(&batch.faults);
    (flows, faults)
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(7), ..ProptestConfig::with_cases(500) })]

    #[test]
    fn pieces_do_not_matter(packets in prop::collection::vec(packet(), 1..20), mut cuts in prop::collection::vec(0usize..3000, 0..12)) {
        let data = file(&packets);
        cuts.sort_unstable();
        prop_assert_eq!(in_pieces(&data, &cuts), in_pieces(&data, &[]));
    }

    #[test]
    fn a_cut_file_gives_a_prefix(packets in prop::collection::vec(packet(), 1..20), at in 24usize..3000) {
        let data = file(&packets);
        let cut = at.min(data.len());
        let whole = in_pieces(&data, &[]).0;
        let (part, faults) = in_pieces(&data[..cut], &[]);
        // The last one may be of a packet that was cut, and know less.
        let same = part.len().saturating_sub(1);
        prop_assert_eq!(&part[..same], &whole[..same]);
        prop_assert!(part.len() <= whole.len() + 1);
        // A file that ends between two records shows no cut; any other does.
        let mut ends = vec![24];
        for packet in &packets {
            ends.push(ends[ends.len() - 1] + 16 + packet.len());
        }
        prop_assert!(ends.contains(&cut) || faults.count(wire::Reason::FileTruncated) == 1);
    }

    #[test]
    fn every_record_is_a_flow_or_a_fault(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..30)) {
        let (flows, faults) = in_pieces(&file(&packets), &[]);
        let lost: u64 = [wire::Reason::IpHeader, wire::Reason::MappedAddress, wire::Reason::ExtensionHeaders]
            .iter().map(|reason| faults.count(*reason)).sum();
        prop_assert_eq!(flows.len() as u64 + lost, packets.len() as u64);
    }
}
