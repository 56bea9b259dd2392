//! The other way: headers of a pcap that this room can read again.

/// Bytes of the header before each packet of a pcap.
pub const RECORD_HEADER: usize = 16;

/// The header of a pcap with nanoseconds, little end first, of packets of this link type (101: raw IP).
pub fn pcap_header(snaplen: u32, link_type: u32) -> [u8; 24] {
    let mut header = [0; 24];
    header[..4].copy_from_slice(&0xa1b2_3c4d_u32.to_le_bytes());
    (header[4], header[6]) = (2, 4);
    header[16..20].copy_from_slice(&snaplen.to_le_bytes());
    header[20..].copy_from_slice(&link_type.to_le_bytes());
    header
}

/// The header of one packet: its time, how many of its bytes follow, and how many it had. Times after 2106 have no room.
pub fn record_header(time_ns: u64, captured: u32, original: u32) -> [u8; RECORD_HEADER] {
    let seconds = u32::try_from(time_ns / 1_000_000_000).unwrap_or(u32::MAX);
    let mut header = [0; RECORD_HEADER];
    header[..4].copy_from_slice(&seconds.to_le_bytes());
    header[4..8].copy_from_slice(&((time_ns % 1_000_000_000) as u32).to_le_bytes());
    header[8..12].copy_from_slice(&captured.to_le_bytes());
    header[12..].copy_from_slice(&original.to_le_bytes());
    header
}

/// The Internet checksum (RFC 1071) of a header whose own field for it is zero.
pub fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_example() {
        // The example header of the Wikipedia article on the IPv4 header checksum, sum left out: b861.
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7,
        ];
        assert_eq!(checksum(&header), 0xb861);
    }
}
