//! What was wrong with the input: counted by reason, never fatal.
//!
//! A decoder that meets bytes it cannot use notes a [`Fault`] and goes on. Reasons are a closed list, so that a hostile
//! input cannot make the counts grow.

/// Why some bytes became no record, or a poorer one. The text form is kebab-case and part of the case format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// The file ends inside a record: it was cut off.
    FileTruncated,
    /// A record's length field cannot be true (larger than any packet); it was skipped.
    RecordLength,
    /// Bytes between records were skipped to find the next plausible record.
    Resynchronised,
    /// A pcapng block is malformed (length, options, section, interface number).
    BlockMalformed,
    /// A timestamp is out of range.
    Timestamp,
    /// The link type is not one that is decoded.
    LinkType,
    /// The link-layer header is cut short or malformed.
    LinkTruncated,
    /// An Ethernet type that is not IP (ARP, LLDP, ...): counted, not an error.
    NotIp,
    /// The IP header is cut short or its lengths cannot be true.
    IpHeader,
    /// An IPv6 packet with IPv4-mapped addresses, which must not appear on the wire.
    MappedAddress,
    /// Too many or malformed IPv6 extension headers.
    ExtensionHeaders,
    /// The transport header is cut short or its lengths cannot be true; addresses and lengths were still used.
    TransportHeader,
    /// Tunnels inside tunnels beyond the limit.
    TunnelDepth,
    /// An export message of a version that is not decoded.
    NoSuchVersion,
    /// An export message is shorter than its header, its records or its length field say.
    MessageTruncated,
    /// A set, sample or record inside an export message has a length that cannot be true.
    SetLength,
    /// A template is malformed: no fields, no length, or more fields than the message holds.
    TemplateMalformed,
    /// Data whose template never came, or not in time.
    TemplateMissing,
    /// An options record is malformed.
    OptionsMalformed,
    /// An exporter, template or waiting record beyond the limits; it was not taken.
    ExportersFull,
    /// Export messages or records that were lost on the way, by their sequence numbers.
    ExportLost,
    /// Records whose exporter has several sampling rates and does not say which applies; they were counted once.
    SamplingUnknown,
    /// An exporter whose clock is more than an hour off the time of capture.
    ExporterClock,
    /// The compressed stream is damaged; what came before it was used.
    Compression,
    /// The input could not be read to its end.
    Read,
}

impl Reason {
    /// All reasons, in order.
    pub const ALL: [Reason; 25] = [
        Reason::FileTruncated,
        Reason::RecordLength,
        Reason::Resynchronised,
        Reason::BlockMalformed,
        Reason::Timestamp,
        Reason::LinkType,
        Reason::LinkTruncated,
        Reason::NotIp,
        Reason::IpHeader,
        Reason::MappedAddress,
        Reason::ExtensionHeaders,
        Reason::TransportHeader,
        Reason::TunnelDepth,
        Reason::NoSuchVersion,
        Reason::MessageTruncated,
        Reason::SetLength,
        Reason::TemplateMalformed,
        Reason::TemplateMissing,
        Reason::OptionsMalformed,
        Reason::ExportersFull,
        Reason::ExportLost,
        Reason::SamplingUnknown,
        Reason::ExporterClock,
        Reason::Compression,
        Reason::Read,
    ];

    /// The name in the case format.
    pub fn name(self) -> &'static str {
        match self {
            Reason::FileTruncated => "file-truncated",
            Reason::RecordLength => "record-length",
            Reason::Resynchronised => "resynchronised",
            Reason::BlockMalformed => "block-malformed",
            Reason::Timestamp => "timestamp",
            Reason::LinkType => "link-type",
            Reason::LinkTruncated => "link-truncated",
            Reason::NotIp => "not-ip",
            Reason::IpHeader => "ip-header",
            Reason::MappedAddress => "mapped-address",
            Reason::ExtensionHeaders => "extension-headers",
            Reason::TransportHeader => "transport-header",
            Reason::TunnelDepth => "tunnel-depth",
            Reason::NoSuchVersion => "export-version",
            Reason::MessageTruncated => "message-truncated",
            Reason::SetLength => "set-length",
            Reason::TemplateMalformed => "template-malformed",
            Reason::TemplateMissing => "template-missing",
            Reason::OptionsMalformed => "options-malformed",
            Reason::ExportersFull => "exporters-full",
            Reason::ExportLost => "export-lost",
            Reason::SamplingUnknown => "sampling-unknown",
            Reason::ExporterClock => "exporter-clock",
            Reason::Compression => "compression",
            Reason::Read => "read",
        }
    }
}

/// One reason, how often it was met, and where first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Why.
    pub reason: Reason,
    /// How often.
    pub count: u64,
    /// Byte offset in the (uncompressed) input of the first one.
    pub first_offset: u64,
}

/// Counts of faults by reason. Merging is commutative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    counts: [u64; Reason::ALL.len()],
    firsts: [u64; Reason::ALL.len()],
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            counts: [0; Reason::ALL.len()],
            firsts: [u64::MAX; Reason::ALL.len()],
        }
    }
}

impl Faults {
    /// Notes one fault at a byte offset of the uncompressed input.
    pub fn note(&mut self, reason: Reason, offset: u64) {
        let i = reason as usize;
        self.counts[i] += 1;
        self.firsts[i] = self.firsts[i].min(offset);
    }

    /// Notes the same fault many times, first at this offset.
    pub fn note_many(&mut self, reason: Reason, count: u64, offset: u64) {
        if count > 0 {
            let i = reason as usize;
            self.counts[i] += count;
            self.firsts[i] = self.firsts[i].min(offset);
        }
    }

    /// Adds the counts of another.
    pub fn merge(&mut self, other: &Faults) {
        for i in 0..self.counts.len() {
            self.counts[i] += other.counts[i];
            self.firsts[i] = self.firsts[i].min(other.firsts[i]);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Faults::default();
    }

    /// The faults that occurred, in the order of [`Reason::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = Fault> + '_ {
        Reason::ALL
            .into_iter()
            .map(|reason| Fault {
                reason,
                count: self.counts[reason as usize],
                first_offset: self.firsts[reason as usize],
            })
            .filter(|fault| fault.count > 0)
    }

    /// How often this reason occurred.
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts[reason as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_counts_and_keeps_the_first_offset() {
        let mut a = Faults::default();
        a.note(Reason::IpHeader, 90);
        let mut b = Faults::default();
        b.note(Reason::IpHeader, 40);
        b.note(Reason::NotIp, 7);
        a.merge(&b);
        let got: Vec<_> = a
            .iter()
            .map(|f| (f.reason.name(), f.count, f.first_offset))
            .collect();
        assert_eq!(got, [("not-ip", 1, 7), ("ip-header", 2, 40)]);
    }

    #[test]
    fn the_list_of_all_reasons_is_in_order() {
        for (i, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
        }
    }
}
