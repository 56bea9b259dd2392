//! The names of attack vectors.

/// A named kind of attack traffic. The full list is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Vector {
    /// TCP SYN without completed handshake.
    SynFlood,
}

impl Vector {
    /// The name in the case format.
    pub fn name(self) -> &'static str {
        "syn_flood"
    }
}
