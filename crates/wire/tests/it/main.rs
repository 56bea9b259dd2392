//! `wire` from outside: fixtures with their expected records, laws that hold for any input, and the shared captures against the
//! counts that another tool made of them.
#![allow(
    clippy::disallowed_methods,
    reason = "tests read files and the environment; the room itself does not"
)]

mod captures;
mod exports;
mod fixtures;
mod laws;
mod redact;

use wire::{Batch, Capture, Collector, Faults, Flow};

/// All flows of a capture file, with the batches' details, and its faults.
fn decode(data: &[u8]) -> (Vec<Flow>, Batch, Faults) {
    let mut capture = Capture::new(wire::recognise(data)).expect("a capture");
    let (mut flows, mut details, mut faults) = (Vec::new(), Batch::default(), Faults::default());
    let mut batch = Batch::default();
    let mut at = 0;
    let mut collector = Collector::new();
    loop {
        at += capture.decode(&data[at..], &mut collector, &mut batch);
        let full = batch.is_full();
        if !full {
            capture.finish(&data[at..], &mut collector, &mut batch);
        }
        flows.extend_from_slice(&batch.flows);
        faults.merge(&batch.faults);
        if !full {
            details.dns.append(&mut batch.dns);
            details.names.append(&mut batch.names);
            details.http.append(&mut batch.http);
            details.inner.append(&mut batch.inner);
            return (flows, details, faults);
        }
        batch.clear();
    }
}
