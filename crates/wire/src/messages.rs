//! Files of bare export messages, one after the other: IPFIX files (RFC 5655), and datagrams' payloads as collectors store them.

use crate::collector::{self, Collector, MESSAGE_MAX, Origin};
use crate::fault::Reason;
use crate::flow::{Batch, Raw};

/// Decodes a file of export messages that is fed to it piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    /// Offset of the first byte not yet consumed.
    offset: u64,
    /// Bytes are being passed over since this offset.
    lost_since: Option<u64>,
}

impl Messages {
    /// The most bytes that a caller must be able to hold.
    pub const NEEDS_MAX: usize = 2 * MESSAGE_MAX;

    /// A decoder at the start of a file.
    pub fn new() -> Messages {
        Messages::default()
    }

    /// Decodes whole messages until the input holds no further whole one or the batch is full. Returns how many bytes were consumed:
    /// drop them and call again with the rest and more.
    pub fn decode(&mut self, input: &[u8], collector: &mut Collector, batch: &mut Batch) -> usize {
        self.run(input, false, collector, batch)
    }

    /// The input has ended with `rest` not consumed. Returns how many bytes were consumed; call again while the batch was full.
    pub fn finish(&mut self, rest: &[u8], collector: &mut Collector, batch: &mut Batch) -> usize {
        let used = self.run(rest, true, collector, batch);
        if used < rest.len() && !batch.is_full() {
            batch.faults.note(Reason::FileTruncated, self.offset);
            return rest.len();
        }
        if used == rest.len()
            && let Some(since) = self.lost_since.take()
        {
            batch.faults.note(Reason::Resynchronised, since);
        }
        used
    }

    fn run(&mut self, input: &[u8], last: bool, collector: &mut Collector, batch: &mut Batch) -> usize {
        let mut at = 0;
        while at < input.len() && !batch.is_full() {
            let rest = &input[at..];
            let used = if self.lost_since.is_some() {
                self.search(rest, last, batch)
            } else {
                self.message(rest, last, collector, batch)
            };
            let Some(used) = used else { break };
            at += used;
            self.offset += used as u64;
        }
        at
    }

    fn message(
        &mut self,
        rest: &[u8],
        last: bool,
        collector: &mut Collector,
        batch: &mut Batch,
    ) -> Option<usize> {
        if rest.len() < 4 {
            return None;
        }
        if collector::format_of(rest).is_none() {
            self.lost_since = Some(self.offset);
            return Some(0);
        }
        let length = collector::message_length(rest, last)?;
        let from = Origin {
            address: std::net::Ipv6Addr::UNSPECIFIED,
            port: 0,
        };
        let first = batch.flows.len();
        collector.datagram(from, 0, &rest[..length], self.offset, batch);
        if batch.keep_raw {
            let raw = Raw {
                link_type: None,
                start: 0,
                len: 0,
                original: length as u32,
                time_ns: 0,
                first,
                export: true,
            };
            batch.keep(raw, &rest[..length]);
        }
        Some(length)
    }

    /// Passes over bytes until a message begins. It waits until it holds as much as a message may need, so that the pieces in which a
    /// file comes do not matter.
    fn search(&mut self, rest: &[u8], last: bool, batch: &mut Batch) -> Option<usize> {
        for at in 0..rest.len() {
            if !last && rest.len() - at < MESSAGE_MAX {
                return (at > 0).then_some(at);
            }
            let here = &rest[at..];
            if here.len() >= 4
                && collector::begins_like_export(&here[..4])
                && collector::message_length(here, last)
                    .is_some_and(|length| collector::looks_like_export(&here[..length], length, 0))
            {
                let since = self.lost_since.take().unwrap_or(self.offset);
                batch.faults.note(Reason::Resynchronised, since);
                return Some(at);
            }
        }
        Some(rest.len())
    }
}
