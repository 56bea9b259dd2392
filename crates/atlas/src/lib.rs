//! Who is this address?
//!
//! An [`Atlas`] maps any IPv4 or IPv6 address to its [`Place`]: country, AS number and name, announced prefix, kind of
//! network, and whether the address is announced at all. A snapshot is inside the binary ([`Atlas::embedded`]).
#![deny(missing_docs)]

pub mod place;

pub use place::{Country, Kind, Place, PlaceId, Prefix};

use std::net::Ipv6Addr;

/// An address database, immutable once loaded.
pub struct Atlas {
    _todo: (),
}

/// What an atlas is made of: printed by `epicenter atlas show` and kept in every case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Day of the newest source, `YYYY-MM-DD`.
    pub built: String,
    /// SHA-256 of the atlas file, lower case hex.
    pub sha256: String,
    /// Attribution lines that its sources ask for.
    pub attribution: Vec<String>,
}

impl Atlas {
    /// The snapshot inside the binary.
    pub fn embedded() -> Atlas {
        Atlas { _todo: () }
    }

    /// What it is made of.
    pub fn about(&self) -> &About {
        unimplemented!()
    }

    /// Looks up many addresses at once (IPv4 as IPv4-mapped), one id each, appended to `out`. The hot path: ids are small
    /// numbers, equal for addresses in the same announced prefix with equal country and kind.
    pub fn lookup_all(&self, addresses: &[Ipv6Addr], out: &mut Vec<PlaceId>) {
        let _ = (addresses, out);
        unimplemented!()
    }

    /// The place of an id.
    pub fn place(&self, id: PlaceId) -> Place<'_> {
        let _ = id;
        unimplemented!()
    }

    /// One address.
    pub fn lookup(&self, address: Ipv6Addr) -> Place<'_> {
        let mut ids = Vec::with_capacity(1);
        self.lookup_all(&[address], &mut ids);
        self.place(ids[0])
    }

    /// Share of all 2^32 IPv4 addresses that are special-purpose (not usable as a source on the public internet) or announced
    /// by nobody: what a uniform draw would hit. In 0 to 1.
    pub fn ipv4_unusable_share(&self) -> f64 {
        unimplemented!()
    }
}
