//! What the fields of a template mean: the information elements of the IANA IPFIX registry that become part of a record.
//!
//! NetFlow v9 numbers its fields 1 to 127 as IPFIX does (RFC 7012 section 4; RFC 3954 section 8). Everything that is not in
//! this list is skipped by its length.

/// The enterprise number under which the reverse direction of a biflow is exported (RFC 5103 section 6.1).
pub(crate) const REVERSE: u32 = 29_305;

/// Where a field of a template goes. The order is the order in which columns are applied, so that what is later wins: deltas over
/// totals, IPv6 addresses over empty IPv4 ones, explicit times over derived ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Field {
    Skip,
    // The record itself.
    SrcV4,
    SrcV6,
    DstV4,
    DstV6,
    SrcPort,
    DstPort,
    Protocol,
    TcpFlags,
    Tos,
    Ttl,
    IcmpTypeCode,
    IcmpType,
    IcmpCode,
    FragmentId,
    FragmentOffset,
    FragmentFlags,
    Vlan,
    ForwardingStatus,
    OutPackets,
    PacketsTotal,
    Packets,
    OutBytes,
    BytesTotal,
    Bytes,
    // Times: first those that say little, then those that say it exactly.
    ObservedS,
    ObservedMs,
    ObservedUs,
    ObservedNs,
    InitMs,
    EndUptime,
    StartUptime,
    StartDeltaUs,
    EndDeltaUs,
    StartS,
    EndS,
    StartMs,
    EndMs,
    StartUs,
    EndUs,
    StartNs,
    EndNs,
    DurationMs,
    DurationUs,
    // A packet inside the record.
    FrameSize,
    Frame,
    IpPacket,
    // Sampling.
    Sampler,
    Interval,
    RandomInterval,
    PacketInterval,
    PacketSpace,
    Size,
    Population,
    Probability,
    ScopeInterface,
    // What only `Exported` has.
    InIf,
    OutIf,
    SrcAs,
    DstAs,
    NextHopV4,
    NextHopV6,
    BgpNextHopV4,
    BgpNextHopV6,
    SrcMask,
    DstMask,
    Direction,
    EndReason,
    OutVlan,
    Mpls,
    InVrf,
    OutVrf,
    SrcMac,
    DstMac,
    NatSrcV4,
    NatSrcV6,
    NatDstV4,
    NatDstV6,
    NatSrcPort,
    NatDstPort,
}

impl Field {
    /// Whether only [`Exported`](crate::Exported) has it.
    pub(crate) fn is_extra(self) -> bool {
        self >= Field::InIf
    }

    /// Whether it says at which rate was sampled, or which sampler did.
    pub(crate) fn is_sampling(self) -> bool {
        (Field::Sampler..=Field::ScopeInterface).contains(&self)
    }

    /// Whether it is a time of the first packet.
    pub(crate) fn is_start(self) -> bool {
        use Field::*;
        matches!(
            self,
            StartUptime | StartDeltaUs | StartS | StartMs | StartUs | StartNs
        )
    }

    /// Whether it is a time of the last packet.
    pub(crate) fn is_end(self) -> bool {
        use Field::*;
        matches!(self, EndUptime | EndDeltaUs | EndS | EndMs | EndUs | EndNs)
    }

    /// Whether it counts packets or bytes of one direction of a biflow.
    pub(crate) fn is_count(self) -> bool {
        use Field::*;
        matches!(self, Packets | PacketsTotal | Bytes | BytesTotal)
    }
}

/// The field that an element number means, and whether it belongs to the reverse direction.
pub(crate) fn of(enterprise: u32, id: u16) -> (Field, bool) {
    match enterprise {
        0 => match id {
            // Cisco firewalls count both directions in one record.
            232 => (Field::Bytes, true),
            299 => (Field::Packets, true),
            _ => (standard(id), false),
        },
        REVERSE => (standard(id), true),
        _ => (Field::Skip, false),
    }
}

/// Elements of the IANA registry.
fn standard(id: u16) -> Field {
    use Field::*;
    match id {
        1 | 231 => Bytes,
        2 | 298 => Packets,
        4 => Protocol,
        5 => Tos,
        6 => TcpFlags,
        7 | 180 | 182 => SrcPort,
        11 | 181 | 183 => DstPort,
        8 | 44 => SrcV4,
        12 | 45 => DstV4,
        27 | 170 => SrcV6,
        28 | 169 => DstV6,
        9 | 29 => SrcMask,
        13 | 30 => DstMask,
        10 => InIf,
        14 => OutIf,
        15 => NextHopV4,
        62 => NextHopV6,
        16 => SrcAs,
        17 => DstAs,
        18 => BgpNextHopV4,
        63 => BgpNextHopV6,
        21 => EndUptime,
        22 => StartUptime,
        23 => OutBytes,
        24 => OutPackets,
        32 | 139 => IcmpTypeCode,
        176 | 178 => IcmpType,
        177 | 179 => IcmpCode,
        34 => Interval,
        48 | 302 => Sampler,
        50 => RandomInterval,
        305 => PacketInterval,
        306 => PacketSpace,
        309 => Size,
        310 => Population,
        311 => Probability,
        52 | 192 => Ttl,
        54 => FragmentId,
        88 => FragmentOffset,
        197 => FragmentFlags,
        56 => SrcMac,
        80 => DstMac,
        58 | 243 => Vlan,
        59 | 254 => OutVlan,
        61 => Direction,
        70..=79 => Mpls,
        85 => BytesTotal,
        86 => PacketsTotal,
        89 => ForwardingStatus,
        136 => EndReason,
        150 => StartS,
        151 => EndS,
        152 => StartMs,
        153 => EndMs,
        154 => StartUs,
        155 => EndUs,
        156 => StartNs,
        157 => EndNs,
        158 => StartDeltaUs,
        159 => EndDeltaUs,
        160 => InitMs,
        161 => DurationMs,
        162 => DurationUs,
        225 => NatSrcV4,
        226 => NatDstV4,
        227 => NatSrcPort,
        228 => NatDstPort,
        281 => NatSrcV6,
        282 => NatDstV6,
        234 => InVrf,
        235 => OutVrf,
        322 => ObservedS,
        258 | 323 => ObservedMs,
        324 => ObservedUs,
        325 => ObservedNs,
        103 | 312 => FrameSize,
        104 | 315 => Frame,
        313 => IpPacket,
        _ => Skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_read_and_other_enterprises_are_not() {
        assert_eq!(of(0, 8), (Field::SrcV4, false));
        assert_eq!(of(REVERSE, 2), (Field::Packets, true));
        assert_eq!(of(0, 299), (Field::Packets, true));
        assert_eq!(of(9, 8), (Field::Skip, false));
        assert_eq!(of(0, 32_000), (Field::Skip, false));
    }

    #[test]
    fn deltas_win_over_totals_and_exact_times_over_derived_ones() {
        assert!(Field::Packets > Field::PacketsTotal && Field::PacketsTotal > Field::OutPackets);
        assert!(Field::StartMs > Field::StartUptime && Field::SrcV6 > Field::SrcV4);
    }
}
