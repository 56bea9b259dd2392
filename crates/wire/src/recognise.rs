//! Which kind of input some bytes are, by content and never by name.

use crate::collector;
use crate::flow::Format;

/// A kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No bytes at all.
    Empty,
    /// A pcap file, any byte order and time unit.
    Pcap,
    /// A pcapng file.
    PcapNg,
    /// Bare export messages, one after the other: an IPFIX file (RFC 5655), or payloads of NetFlow or sFlow datagrams.
    Messages,
    /// A gzip stream: decompress and look again.
    Gzip,
    /// A zstd stream: decompress and look again.
    Zstd,
    /// Something else; the text says what its first bytes look like, for the error message.
    Unknown(&'static str),
}

/// Recognises an input by its first bytes (give at least 512 where there are that many).
pub fn recognise(head: &[u8]) -> Kind {
    if head.is_empty() {
        return Kind::Empty;
    }
    if head.starts_with(&[0x1f, 0x8b]) {
        return Kind::Gzip;
    }
    let Some(magic) = head.first_chunk::<4>() else {
        return Kind::Unknown("fewer than four bytes");
    };
    match *magic {
        [0xd4, 0xc3, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0xc3, 0xd4]
        | [0x4d, 0x3c, 0xb2, 0xa1]
        | [0xa1, 0xb2, 0x3c, 0x4d] => {
            return Kind::Pcap;
        }
        [0x0a, 0x0d, 0x0d, 0x0a] => return Kind::PcapNg,
        [0x28, 0xb5, 0x2f, 0xfd] => return Kind::Zstd,
        _ => {}
    }
    if is_messages(head) {
        return Kind::Messages;
    }
    Kind::Unknown(looks_like(head))
}

/// Whether the first message's header can be true: a version, and a length or count that fits it.
fn is_messages(head: &[u8]) -> bool {
    let word = |at: usize| {
        head.get(at..at + 2)
            .map_or(0, |w| u16::from_be_bytes([w[0], w[1]]))
    };
    let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
    let count = word(2);
    match collector::format_of(head) {
        Some(Format::Ipfix) => count >= 16 && (count == 16 || matches!(word(16), 2 | 3 | 256..)),
        Some(Format::Netflow9) => head.len() >= 20 && matches!(word(20), 0 | 1 | 256..),
        Some(Format::Netflow1 | Format::Netflow5 | Format::Netflow7) => {
            head.len() >= 24 && (1..=1_000).contains(&count) && long(12) < 1_000_000_000
        }
        Some(Format::Sflow) => head.len() >= 28 && matches!(long(4), 1 | 2),
        None => false,
    }
}

/// What people hand over by mistake, in words.
fn looks_like(head: &[u8]) -> &'static str {
    const STARTS: &[(&[u8], &str)] = &[
        (b"\x7fELF", "a Linux program (ELF)"),
        (b"MZ", "a Windows program"),
        (b"PK\x03\x04", "a ZIP archive: unpack it first"),
        (b"\xfd7zXZ", "an xz archive: unpack it first"),
        (b"BZh", "a bzip2 archive: unpack it first"),
        (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
        (b"Rar!", "a RAR archive: unpack it first"),
        (b"%PDF", "a PDF document"),
        (b"\x89PNG", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (
            b"snoop\0\0\0",
            "a Solaris snoop capture: convert it with editcap -F pcapng",
        ),
        (b"SQLite format 3", "an SQLite database"),
        (b"\x0c\xa5", "an nfdump file"),
        (b"\xa5\x0c", "an nfdump file"),
        (
            b"version https://git-lfs",
            "a Git LFS pointer, not the file itself",
        ),
    ];
    if let Some((_, words)) = STARTS.iter().find(|(start, _)| head.starts_with(start)) {
        return words;
    }
    if head.get(257..262) == Some(b"ustar") {
        return "a tar archive: unpack it first";
    }
    if head.iter().all(|&byte| byte == 0) {
        return "zeros only";
    }
    let text = head
        .iter()
        .filter(|b| matches!(b, 9 | 10 | 13 | 32..=126 | 128..))
        .count();
    if text * 100 >= head.len() * 98 {
        let first = head.trim_ascii_start();
        if first.starts_with(b"{") || first.starts_with(b"[") {
            return "JSON text";
        }
        if first.starts_with(b"<") {
            return "HTML or XML text";
        }
        let line = head.split(|&b| b == b'\n').next().unwrap_or(head);
        if line.windows(4).any(|w| w == b" IP ") {
            return "tcpdump's printed text: keep packets with tcpdump -w";
        }
        if line.windows(6).any(|w| w == b"HTTP/1" || w == b"HTTP/2") {
            return "an access log";
        }
        return "text";
    }
    "binary data of no known kind"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_first_bytes() {
        assert_eq!(recognise(b""), Kind::Empty);
        assert_eq!(recognise(&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0]), Kind::Pcap);
        assert_eq!(recognise(&[0xa1, 0xb2, 0x3c, 0x4d, 0, 2]), Kind::Pcap);
        assert_eq!(recognise(&[0x0a, 0x0d, 0x0d, 0x0a]), Kind::PcapNg);
        assert_eq!(recognise(&[0x1f, 0x8b, 8]), Kind::Gzip);
        assert_eq!(recognise(&[0x28, 0xb5, 0x2f, 0xfd]), Kind::Zstd);
        for (bytes, word) in [
            (&b"{\"a\": 1}"[..], "JSON"),
            (
                b"10.0.0.1 - - [01/Jan/2025:00:00:00 +0000] \"GET / HTTP/1.1\" 200 1\n",
                "access log",
            ),
            (b"\x7fELF\x02\x01", "ELF"),
            (b"\0\0\0\0\0\0", "zeros"),
            (b"ab", "fewer"),
        ] {
            match recognise(bytes) {
                Kind::Unknown(words) => assert!(words.contains(word), "{words}"),
                other => panic!("{other:?}"),
            }
        }
    }
}
