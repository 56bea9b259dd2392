//! What must hold for any bytes whatsoever. One function for each fuzz target; `tests/corpus.rs` runs the same functions over the
//! corpora and over seeded mutations of them on the stable toolchain.

use wire::{Batch, Capture, Collector, Faults, Flow};

/// Flows and faults of a whole capture that is fed in pieces of the given size.
fn decode(data: &[u8], piece: usize) -> Option<(Vec<Flow>, Faults)> {
    let mut collector = Collector::new();
    let mut capture = Capture::new(wire::recognise(data))?;
    let (mut batch, mut flows, mut faults) = (Batch::default(), Vec::new(), Faults::default());
    let mut held: Vec<u8> = Vec::new();
    let mut take = |batch: &mut Batch| {
        // Details are numbered within a batch, and batches depend on the pieces.
        flows.extend(batch.flows.iter().map(|flow| Flow {
            detail: Flow::NO_DETAIL,
            ..*flow
        }));
        faults.merge(&batch.faults);
        batch.clear();
    };
    for piece in data.chunks(piece) {
        held.extend_from_slice(piece);
        loop {
            let consumed = capture.decode(&held, &mut collector, &mut batch);
            let full = batch.is_full();
            assert!(consumed <= held.len(), "more was consumed than given");
            held.drain(..consumed);
            take(&mut batch);
            if !full {
                break;
            }
        }
        assert!(
            held.len() <= Capture::NEEDS_MAX + piece.len(),
            "the decoder wants to hold too much"
        );
    }
    capture.finish(&held, &mut collector, &mut batch);
    take(&mut batch);
    Some((flows, faults))
}

/// A capture file: any way of cutting it into pieces gives the same flows and faults.
pub fn capture(data: &[u8]) {
    let Some(whole) = decode(data, data.len().max(1)) else {
        return;
    };
    for piece in [1, 7, 64, 4_099] {
        // Piece by piece is slow for large inputs; small ones find the same mistakes.
        if piece >= 64 || data.len() <= 4_096 {
            let pieces = decode(data, piece);
            assert!(
                pieces.as_ref() == Some(&whole),
                "pieces of {piece} bytes give something else"
            );
        }
    }
    let mut tally = detect::Tally::new();
    tally.add(&Batch {
        flows: whole.0,
        ..Batch::default()
    });
    detect::judge(&tally, &detect::Options::default());
}

/// One packet behind any link type: one flow, or one fault, never both and never neither; details lie inside the batch's lists.
pub fn packet(data: &[u8]) {
    let Some((&[high, low], frame)) = data.split_first_chunk::<2>() else {
        return;
    };
    let mut batch = Batch::default();
    wire::packet::decode(
        u16::from_be_bytes([high, low]),
        frame,
        frame.len() as u32,
        1,
        0,
        &mut batch,
    );
    let faults: u64 = batch.faults.iter().map(|fault| fault.count).sum();
    assert!(
        batch.flows.len() == 1 || (batch.flows.is_empty() && faults == 1),
        "a packet vanished or doubled"
    );
    for flow in &batch.flows {
        if flow.detail != Flow::NO_DETAIL {
            let lists = [batch.dns.len(), batch.http.len(), batch.inner.len()];
            assert!(
                lists.iter().any(|len| (flow.detail as usize) < *len),
                "a detail points nowhere"
            );
        }
    }
    for dns in &batch.dns {
        assert!(dns.name_start as usize + usize::from(dns.name_len) <= batch.names.len());
    }
    let mut tally = detect::Tally::new();
    tally.add(&batch);
}

/// An atlas file: refused, or sound for any address.
pub fn atlas(data: &[u8]) {
    let Ok(atlas) = atlas::Atlas::from_bytes(data.to_vec()) else {
        return;
    };
    for bits in [0, 1, 0xffff_0102_0304, 0xffff_ffff_ffff, 1 << 125, u128::MAX] {
        let address = std::net::Ipv6Addr::from_bits(bits);
        assert!(atlas.lookup(address).prefix.contains(address));
    }
}
