//! pcap and pcapng files, as a stream of packets.

use crate::flow::Batch;

/// Decodes a capture file that is fed to it piece by piece. It keeps no packet bytes: the caller keeps what was not consumed.
pub struct Capture {
    offset: u64,
}

impl Capture {
    /// A decoder for a file of the given kind ([`Kind::Pcap`](crate::Kind::Pcap) or [`Kind::PcapNg`](crate::Kind::PcapNg)).
    pub fn new(kind: crate::Kind) -> Option<Capture> {
        let _ = kind;
        Some(Capture { offset: 0 })
    }

    /// Decodes whole records from `input` into `batch` until the input holds no further whole record or the batch
    /// [is full](Batch::is_full). Returns how many bytes were consumed: drop them and call again with the rest and more.
    /// Zero consumed and the batch not full means: more bytes are needed (never more than [`Capture::NEEDS_MAX`] in all).
    pub fn decode(&mut self, input: &[u8], batch: &mut Batch) -> usize {
        let _ = (input, batch);
        self.offset += 1;
        0
    }

    /// The input has ended with `rest` not consumed: uses what can be used of it and notes the cut.
    pub fn finish(&mut self, rest: &[u8], batch: &mut Batch) {
        let _ = (rest, batch);
    }

    /// The most bytes that a caller must be able to hold for one record.
    pub const NEEDS_MAX: usize = 1 << 20;
}
