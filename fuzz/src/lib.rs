//! What must hold for any bytes whatsoever. One function for each fuzz target; `tests/corpus.rs` runs the same functions over the
//! corpora and over seeded mutations of them on the stable toolchain.

use wire::{Batch, Capture, Collector, Faults, Flow, Messages, Origin};

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

/// Splits an input into datagrams: a length in two bytes, an exporter in one, then so many bytes.
fn datagrams(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&[high, low, exporter], rest) = data.split_first_chunk::<3>()?;
        let length = usize::from(u16::from_be_bytes([high, low])).min(rest.len());
        let (datagram, rest) = rest.split_at(length);
        data = rest;
        Some((exporter, datagram))
    })
}

/// Export messages without their addresses: as many bytes, and where the redactor says so the same records and faults, of other addresses.
fn redacted(data: &[u8]) {
    let second = 1_000_000_000;
    let other = |address: std::net::Ipv6Addr| {
        if address.is_unspecified() || address.to_bits() == 0xffff_0000_0000 {
            return address;
        }
        std::net::Ipv6Addr::from_bits(address.to_bits() ^ 0x5a5a_a5a5)
    };
    // As if each exporter were a file of its own: bare messages have no sender.
    let of = |exporter: u8| {
        datagrams(data)
            .filter(move |(from, _)| *from == exporter)
            .map(|(_, bytes)| bytes)
    };
    let from = Origin {
        address: std::net::Ipv6Addr::UNSPECIFIED,
        port: 0,
    };
    let mut exporters: Vec<u8> = datagrams(data).map(|(exporter, _)| exporter).collect();
    exporters.sort_unstable();
    exporters.dedup();
    for exporter in exporters {
        let feed = |messages: &mut dyn Iterator<Item = &[u8]>, collector: &mut Collector| {
            let mut batch = Batch::default();
            for (at, bytes) in messages.enumerate() {
                collector.datagram(from, at as u64 * second, bytes, 0, &mut batch);
            }
            collector.give_up(&mut batch);
            (batch.flows, batch.faults)
        };
        let mut redactor = wire::Redactor::new();
        let learned = redactor.learn(Collector::new(), |collector| {
            feed(&mut of(exporter), collector);
            Ok::<(), std::convert::Infallible>(())
        });
        assert!(learned.is_ok());
        let (mut after, mut same) = (Vec::new(), true);
        for (at, bytes) in of(exporter).enumerate() {
            let Some(message) = redactor.message(None, bytes, bytes.len() as u32, at as u64 * second, &other)
            else {
                after.push(bytes.to_vec());
                continue;
            };
            assert_eq!(message.bytes.len(), bytes.len());
            same &= message.same;
            after.push(message.bytes);
        }
        let (was, faults_were) = feed(&mut of(exporter), &mut Collector::new());
        let (is, faults_are) = feed(&mut after.iter().map(Vec::as_slice), &mut Collector::new());
        assert_eq!(was.len(), is.len());
        if same {
            let count = |faults: &Faults| -> Vec<_> {
                faults
                    .iter()
                    .map(|fault| (fault.reason, fault.count))
                    .filter(|(reason, _)| *reason != wire::Reason::TunnelDepth)
                    .collect()
            };
            assert!(count(&faults_were) == count(&faults_are));
            for (was, is) in was.iter().zip(&is) {
                let was = Flow {
                    src: other(was.src),
                    dst: other(was.dst),
                    detail: is.detail,
                    ..*was
                };
                assert!(was == *is, "a record is another one");
            }
        }
    }
}

/// Export messages of several exporters, one after the other, so that templates come before, after and between data: nothing panics,
/// no datagram gives more records than it has bytes, what is said beyond the record fits the record, a second run gives the
/// same, the saved state is a fixed point, and without addresses the records are the same.
pub fn exports(data: &[u8]) {
    redacted(data);
    let run = |keep_exported: bool| {
        let mut collector = Collector::new();
        let mut batch = Batch {
            keep_exported,
            ..Batch::default()
        };
        let (mut flows, mut faults) = (Vec::new(), Faults::default());
        let mut bytes = 0;
        for (at, (exporter, datagram)) in datagrams(data).enumerate() {
            let from = Origin {
                address: std::net::Ipv6Addr::from_bits(u128::from(exporter)),
                port: 9_000,
            };
            collector.datagram(from, at as u64 * 1_000_000_000, datagram, at as u64, &mut batch);
            bytes += datagram.len();
            assert!(batch.exported.len() <= batch.flows.len());
            if keep_exported {
                assert_eq!(batch.exported.len(), batch.flows.len());
            }
            for flow in &batch.flows {
                assert!(flow.first_ns <= flow.last_ns && flow.sampling >= 1);
            }
            // Both directions of a biflow may become a record.
            assert!(
                flows.len() + batch.flows.len() <= 2 * bytes,
                "more records than bytes"
            );
            flows.append(&mut batch.flows);
            faults.merge(&batch.faults);
            batch.clear();
        }
        collector.give_up(&mut batch);
        faults.merge(&batch.faults);
        (collector, flows, faults)
    };
    let (collector, flows, faults) = run(false);
    let (_, again, faults_again) = run(true);
    assert!(
        flows == again && faults == faults_again,
        "what is kept beside the records changes them"
    );
    let saved = collector.save();
    let mut loaded = Collector::new();
    assert!(loaded.load(&saved, 0), "a saved state is not taken back");
    assert!(
        loaded.save() == saved,
        "a state is not the same after saving and loading"
    );
    let mut tally = detect::Tally::new();
    tally.add(&Batch {
        flows,
        ..Batch::default()
    });
    detect::judge(&tally, &detect::Options::default());
}

/// A file of bare export messages: any way of cutting it into pieces gives the same flows and faults.
pub fn messages(data: &[u8]) {
    let run = |piece: usize| {
        let (mut messages, mut collector) = (Messages::new(), Collector::new());
        let (mut batch, mut flows, mut faults) = (Batch::default(), Vec::new(), Faults::default());
        let mut held: Vec<u8> = Vec::new();
        let mut take = |batch: &mut Batch| {
            let full = batch.is_full();
            flows.append(&mut batch.flows);
            faults.merge(&batch.faults);
            batch.clear();
            full
        };
        for piece in data.chunks(piece) {
            held.extend_from_slice(piece);
            loop {
                let used = messages.decode(&held, &mut collector, &mut batch);
                held.drain(..used);
                if !take(&mut batch) {
                    break;
                }
            }
            assert!(
                held.len() <= Messages::NEEDS_MAX + piece.len(),
                "the decoder wants to hold too much"
            );
        }
        while !held.is_empty() {
            let used = messages.finish(&held, &mut collector, &mut batch);
            held.drain(..used);
            assert!(take(&mut batch) || held.is_empty(), "the end is never reached");
        }
        (flows, faults)
    };
    let whole = run(data.len().max(1));
    for piece in [7, 64, 4_099] {
        if piece >= 64 || data.len() <= 4_096 {
            assert!(run(piece) == whole, "pieces of {piece} bytes give something else");
        }
    }
}

/// A saved state of exporters: refused, or taken back as it is.
pub fn state(data: &[u8]) {
    let mut collector = Collector::new();
    collector.load(data, 0);
    let saved = collector.save();
    let mut again = Collector::new();
    assert!(again.load(&saved, 0) && again.save() == saved);
}

/// Lines of an access log: a client is one whatever space stands around the line, and one log more or less before it changes nothing but by
/// the columns that it names.
pub fn access(data: &[u8]) {
    let mut log = wire::access::Log::default();
    for line in data.split(|byte| *byte == b'\n') {
        let before = log;
        let client = log.client(line);
        let padded = [b" \t", line, b"\r "].concat();
        assert_eq!(
            before.clone().client(&padded),
            client,
            "space around a line matters"
        );
        let is_header = line.trim_ascii_start().starts_with(b"#Fields:");
        assert!(is_header || log == before, "a line of data changed the columns");
    }
}
