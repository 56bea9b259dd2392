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

/// The first block of a pcapng (draft-ietf-opsawg-pcapng, section 4.1), little end first, of a section whose length is not said.
pub fn pcapng_section() -> [u8; 28] {
    let mut block = [0; 28];
    block[..4].copy_from_slice(&[0x0a, 0x0d, 0x0d, 0x0a]);
    block[4..8].copy_from_slice(&28u32.to_le_bytes());
    block[8..12].copy_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
    block[12] = 1;
    block[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    block[24..].copy_from_slice(&28u32.to_le_bytes());
    block
}

/// The block of an interface (section 4.2) of this link type, whose times are nanoseconds and whose packets are of any length.
pub fn pcapng_interface(link_type: u16) -> [u8; 32] {
    let mut block = [0; 32];
    block[0] = 1;
    block[4] = 32;
    block[8..10].copy_from_slice(&link_type.to_le_bytes());
    // if_tsresol, one byte: ten to the minus ninth.
    (block[16], block[18], block[20]) = (9, 1, 9);
    block[28] = 32;
    block
}

/// Bytes of a packet's block beside the packet itself and its padding.
pub const PCAPNG_PACKET: usize = 32;

/// An enhanced packet block (section 4.3) without options: interface, time, length on the wire, and the bytes that were kept. A time
/// before 1970 or after 2554 has no room.
pub fn pcapng_packet(interface: u32, time_ns: u64, original: u32, bytes: &[u8], out: &mut Vec<u8>) {
    let padding = bytes.len().wrapping_neg() & 3;
    let length = (PCAPNG_PACKET + bytes.len() + padding) as u32;
    out.extend(6u32.to_le_bytes());
    out.extend(length.to_le_bytes());
    out.extend(interface.to_le_bytes());
    out.extend(((time_ns >> 32) as u32).to_le_bytes());
    out.extend((time_ns as u32).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(original.to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend(&[0; 3][..padding]);
    out.extend(length.to_le_bytes());
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
    fn blocks_of_a_pcapng_are_read_back() {
        let mut file = pcapng_section().to_vec();
        file.extend(pcapng_interface(101));
        let mut packet = vec![0x45, 0, 0, 33, 0, 0, 0, 0, 64, 99, 0, 0, 9, 9, 9, 9, 8, 8, 8, 8];
        packet.extend([1, 2, 3]);
        pcapng_packet(0, 1_741_600_000_123_456_789, 33, &packet, &mut file);
        pcapng_packet(0, 1_741_600_000_123_456_790, 33, &packet[..20], &mut file);
        let mut capture = crate::Capture::new(crate::Kind::PcapNg).unwrap();
        let (mut collector, mut batch) = (crate::Collector::new(), crate::Batch::default());
        batch.keep_raw = true;
        assert_eq!(capture.decode(&file, &mut collector, &mut batch), file.len());
        let times: Vec<u64> = batch.flows.iter().map(|flow| flow.first_ns).collect();
        assert_eq!(times, [1_741_600_000_123_456_789, 1_741_600_000_123_456_790]);
        assert_eq!(batch.flows[1].bytes, 33);
        assert_eq!((batch.raw.len(), &batch.raw_bytes[..23]), (2, &packet[..]));
        assert_eq!(batch.faults.iter().count(), 0);
    }

    #[test]
    fn the_checksum_is_that_of_the_example() {
        // The example header of the Wikipedia article on the IPv4 header checksum, sum left out: b861.
        let header = [
            0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7,
        ];
        assert_eq!(checksum(&header), 0xb861);
    }
}
