//! The place of an address.

use std::fmt;
use std::net::Ipv6Addr;

/// Which announced prefix and network an address belongs to, as a small number of one [`Atlas`](crate::Atlas).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaceId(pub u32);

/// ISO 3166-1 alpha-2 code, or `ZZ` where none is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Country(pub [u8; 2]);

impl Country {
    /// No country is known.
    pub const UNKNOWN: Country = Country(*b"ZZ");

    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("ZZ")
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A prefix, IPv4 ones as IPv4-mapped (length 96 more than written).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// First address.
    pub base: Ipv6Addr,
    /// Bits that are fixed, 0 to 128 in the mapped form.
    pub len: u8,
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base.to_ipv4_mapped() {
            Some(v4) if self.len >= 96 => write!(f, "{v4}/{}", self.len - 96),
            _ => write!(f, "{}/{}", self.base, self.len),
        }
    }
}

/// What kind of network an address is in. Unknown is the ordinary case: access networks are not listed one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Not in the table of kinds: most often an access network.
    Unknown,
    /// Access network (fixed line), where listed as one.
    Access,
    /// Mobile network.
    Mobile,
    /// Hosting or cloud.
    Hosting,
    /// VPN or proxy exit.
    Proxy,
    /// Tor exit.
    Tor,
    /// Satellite access.
    Satellite,
    /// Anycast service: the address is in many places.
    Anycast,
    /// Special-purpose space (IANA registries): not a source on the public internet.
    Reserved,
}

impl Kind {
    /// The name in the case format.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Unknown => "unknown",
            Kind::Access => "access",
            Kind::Mobile => "mobile",
            Kind::Hosting => "hosting",
            Kind::Proxy => "proxy",
            Kind::Tor => "tor",
            Kind::Satellite => "satellite",
            Kind::Anycast => "anycast",
            Kind::Reserved => "reserved",
        }
    }
}

/// Everything that is known of an address's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Country of the registration or of use, as the source databases say.
    pub country: Country,
    /// AS number that announces it, 0 for none.
    pub asn: u32,
    /// Name of that network, empty for none.
    pub network: &'a str,
    /// The announced (or registered) prefix that the sources list it under.
    pub prefix: Prefix,
    /// Kind of network.
    pub kind: Kind,
    /// Whether some network announced it when the atlas was built. False for special-purpose space too.
    pub routed: bool,
}
