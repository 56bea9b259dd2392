//! Which kind of input some bytes are, by content and never by name.

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No bytes at all.
    Empty,
    /// A pcap file, any byte order and time unit.
    Pcap,
    /// A pcapng file.
    PcapNg,
    /// A gzip stream: decompress and look again.
    Gzip,
    /// A zstd stream: decompress and look again.
    Zstd,
    /// Something else; the text says what its first bytes look like, for the error message.
    Unknown(&'static str),
}

/// Recognises an input by its first bytes (give at least 512 where there are that many).
pub fn recognise(head: &[u8]) -> Kind {
    let _ = head;
    Kind::Empty
}
