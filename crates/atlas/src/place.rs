//! The place of an address.

use std::fmt;
use std::net::Ipv6Addr;

/// Which announced prefix and network an address belongs to, as a small number of one [`Atlas`](crate::Atlas).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlaceId(pub u32);

/// ISO 3166-1 alpha-2 code, or `ZZ` where none is known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
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

impl Prefix {
    /// The prefix of this length that holds an address.
    pub fn of(address: Ipv6Addr, len: u8) -> Prefix {
        let len = len.min(128);
        let mask = if len == 0 {
            0
        } else {
            u128::MAX << (128 - u32::from(len))
        };
        Prefix {
            base: Ipv6Addr::from_bits(address.to_bits() & mask),
            len,
        }
    }

    /// Whether it holds an address.
    pub fn contains(&self, address: Ipv6Addr) -> bool {
        Prefix::of(address, self.len).base == self.base
    }

    /// Its last address.
    pub fn last(&self) -> Ipv6Addr {
        let rest = if self.len == 0 {
            u128::MAX
        } else {
            (1u128 << (128 - u32::from(self.len))).wrapping_sub(1)
        };
        Ipv6Addr::from_bits(self.base.to_bits() | rest)
    }
}

/// Reads `192.0.2.0/24`, `2001:db8::/32`, or an address alone (a host). The text says what is wrong.
impl std::str::FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Prefix, String> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: std::net::IpAddr = address
            .trim()
            .parse()
            .map_err(|_| format!("`{text}` is no address or prefix (like 192.0.2.0/24)"))?;
        let (mapped, most) = match address {
            std::net::IpAddr::V4(v4) => (v4.to_ipv6_mapped(), 32),
            std::net::IpAddr::V6(v6) => (v6, 128),
        };
        let len: u8 = match len {
            None => most,
            Some(len) => len
                .trim()
                .parse()
                .ok()
                .filter(|len| *len <= most)
                .ok_or_else(|| format!("`{text}`: the length must be 0 to {most}"))?,
        };
        let prefix = Prefix::of(mapped, len + (128 - most));
        if prefix.base != mapped {
            return Err(format!(
                "`{text}` has bits set behind its length; did you mean {prefix}?"
            ));
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.base.to_ipv4_mapped() {
            Some(v4) if self.len >= 96 => write!(f, "{v4}/{}", self.len - 96),
            _ => write!(f, "{}/{}", self.base, self.len),
        }
    }
}

/// What kind of network an address is in. The table of kinds has the largest networks and those that matter most; it is not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Not in the table of kinds: a smaller access network, a company, a university, an authority.
    Unknown,
    /// Provider of fixed lines to homes and offices, also where mobile customers share its number.
    Access,
    /// Mobile operator.
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
    /// All kinds, in the order of their numbers.
    pub const ALL: [Kind; 9] = [
        Kind::Unknown,
        Kind::Access,
        Kind::Mobile,
        Kind::Hosting,
        Kind::Proxy,
        Kind::Tor,
        Kind::Satellite,
        Kind::Anycast,
        Kind::Reserved,
    ];

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_and_written() {
        for text in [
            "192.0.2.0/24",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::/0",
            "10.0.0.1/32",
        ] {
            assert_eq!(text.parse::<Prefix>().unwrap().to_string(), text);
        }
        assert_eq!("10.0.0.1".parse::<Prefix>().unwrap().to_string(), "10.0.0.1/32");
        for wrong in ["10.0.0.1/8", "10.0.0.0/33", "example", "1.2.3.4/x"] {
            assert!(wrong.parse::<Prefix>().is_err(), "{wrong}");
        }
        let prefix: Prefix = "192.0.2.0/24".parse().unwrap();
        assert!(prefix.contains("::ffff:192.0.2.77".parse().unwrap()));
        assert_eq!(prefix.last().to_ipv4_mapped().unwrap().to_string(), "192.0.2.255");
    }
}
