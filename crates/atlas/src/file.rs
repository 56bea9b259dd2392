//! The atlas file: compact, checked, and never trusted.
//!
//! ```text
//! "EPCATLAS" version:u8 rest            rest is one zstd frame
//! rest = about names places rows space  numbers are LEB128
//! about   = text(built) text(attribution lines joined by \n)
//! names   = count (text)*               network names
//! places  = count (country:2 bytes, kind:u8, routed:u8, asn, name index)*
//! rows    = for IPv4, then for IPv6: count (length, place index)*
//!           rows cover the whole address space in order; length - 1 is written as
//!           trailing-zero count of the length, then the odd part >> 1
//! space   = nothing, or count (country:2 bytes, ipv4, ipv6, ipv6 blocks)*
//! ```
//!
//! Space is what the rows themselves tell, and so it is left out where they do: it is written where countries were taken out of the
//! rows ([`crate::Atlas::moved`]). A reader that does not know of it ends at the rows.
//!
//! Every count is checked against what the bytes can hold before anything is allocated, every index against its table, and
//! the rows against the size of the address space.

use std::fmt;

use crate::place::{Country, Kind};

/// First bytes of an atlas file.
pub const MAGIC: &[u8; 8] = b"EPCATLAS";
/// Version of the format.
pub const VERSION: u8 = 1;
/// Uncompressed size at most.
pub const SIZE_MAX: usize = 256 << 20;

/// What an atlas is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Day of the newest source, `YYYY-MM-DD`.
    pub built: String,
    /// SHA-256 of the atlas file, lower case hex.
    pub sha256: String,
    /// Attribution lines that its sources ask for.
    pub attribution: Vec<String>,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// CIDR blocks of IPv4 and of IPv6.
    pub ranges: [u64; 2],
    /// Different networks.
    pub networks: u64,
}

/// Why bytes are no atlas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(pub(crate) &'static str);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a usable atlas: {}", self.0)
    }
}

impl std::error::Error for Error {}

/// A place as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// Country.
    pub country: Country,
    /// Kind.
    pub kind: Kind,
    /// Announced by some network.
    pub routed: bool,
    /// AS number.
    pub asn: u32,
    /// Index of the name.
    pub name: u32,
}

/// How much announced space has a country's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Which country's.
    pub country: Country,
    /// Addresses of IPv4.
    pub ipv4: u64,
    /// /48s of IPv6, each part of one as one.
    pub ipv6: u64,
    /// Blocks of IPv6.
    pub ipv6_blocks: u64,
}

/// A file taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Day of the newest source.
    pub built: String,
    /// Attribution lines.
    pub attribution: Vec<String>,
    /// Network names.
    pub names: Vec<String>,
    /// Places.
    pub places: Vec<Stored>,
    /// Rows of IPv4: first address and place index.
    pub ipv4: Vec<(u32, u32)>,
    /// Rows of IPv6.
    pub ipv6: Vec<(u128, u32)>,
    /// Announced space by country, where the rows do not tell it.
    pub space: Vec<Space>,
}

impl Parts {
    /// Writes the file.
    ///
    /// # Panics
    ///
    /// Where rows do not begin at zero or are not in order: they come from [`crate::build`], which makes them so.
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        text(&mut out, &self.built);
        text(&mut out, &self.attribution.join("\n"));
        number(&mut out, self.names.len() as u128);
        for name in &self.names {
            text(&mut out, name);
        }
        number(&mut out, self.places.len() as u128);
        for place in &self.places {
            out.extend(place.country.0);
            out.push(place.kind as u8);
            out.push(u8::from(place.routed));
            number(&mut out, u128::from(place.asn));
            number(&mut out, u128::from(place.name));
        }
        let ipv4: Vec<(u128, u32)> = self
            .ipv4
            .iter()
            .map(|&(start, place)| (u128::from(start), place))
            .collect();
        for (rows, end) in [(&ipv4, 1u128 << 32), (&self.ipv6, 0)] {
            number(&mut out, rows.len() as u128);
            for (i, (start, place)) in rows.iter().enumerate() {
                let next = rows.get(i + 1).map_or(end, |row| row.0);
                let length = next.wrapping_sub(*start);
                assert!(
                    length != 0 || rows.len() == 1,
                    "rows are in order and cover everything"
                );
                // A length of zero stands for the whole of IPv6.
                let zeros = if length == 0 { 128 } else { length.trailing_zeros() };
                out.push(zeros as u8);
                number(&mut out, if length == 0 { 0 } else { (length >> zeros) >> 1 });
                number(&mut out, u128::from(*place));
            }
        }
        if !self.space.is_empty() {
            number(&mut out, self.space.len() as u128);
            for space in &self.space {
                out.extend(space.country.0);
                for value in [space.ipv4, space.ipv6, space.ipv6_blocks] {
                    number(&mut out, u128::from(value));
                }
            }
        }
        let mut file = MAGIC.to_vec();
        file.push(VERSION);
        file.extend(zstd::bulk::compress(&out, 19).expect("compression into memory does not fail"));
        file
    }

    /// Takes a file apart and checks it.
    pub fn read(file: &[u8]) -> Result<Parts, Error> {
        let (mut ipv4, mut ipv6) = (Vec::new(), Vec::new());
        let parts = Parts::read_rows(
            file,
            &mut |start, _, place| ipv4.push((start, place)),
            &mut |start, _, place| ipv6.push((start, place)),
        )?;
        Ok(Parts { ipv4, ipv6, ..parts })
    }

    /// Takes a file apart and gives each row (first address, last address, place) to a function instead of keeping it: an atlas
    /// that is only looked up has no use for the rows, and touching their memory costs more than decoding them.
    pub(crate) fn read_rows(
        file: &[u8],
        ipv4: &mut dyn FnMut(u32, u32, u32),
        ipv6: &mut dyn FnMut(u128, u128, u32),
    ) -> Result<Parts, Error> {
        let rest = file
            .strip_prefix(MAGIC)
            .ok_or(Error("it does not begin like one"))?;
        let (&version, packed) = rest.split_first().ok_or(Error("it is cut short"))?;
        if version != VERSION {
            return Err(Error("its format is of another version"));
        }
        let size = zstd::zstd_safe::get_frame_content_size(packed)
            .ok()
            .flatten()
            .unwrap_or(0);
        let size = usize::try_from(size)
            .ok()
            .filter(|&size| size <= SIZE_MAX)
            .ok_or(Error("it claims to be too large"))?;
        let bytes = zstd::bulk::decompress(packed, size).map_err(|_| Error("it is damaged"))?;
        Reader(&bytes).parts(ipv4, ipv6)
    }
}

fn number(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(out: &mut Vec<u8>, text: &str) {
    number(out, text.len() as u128);
    out.extend(text.as_bytes());
}

fn country(code: [u8; 2]) -> Result<Country, Error> {
    if code.iter().all(u8::is_ascii_uppercase) {
        Ok(Country(code))
    } else {
        Err(Error("a country is no two capital letters"))
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn parts(
        mut self,
        ipv4: &mut dyn FnMut(u32, u32, u32),
        ipv6: &mut dyn FnMut(u128, u128, u32),
    ) -> Result<Parts, Error> {
        let mut parts = Parts {
            built: self.text()?,
            ..Parts::default()
        };
        parts.attribution = self.text()?.lines().map(str::to_owned).collect();
        let names = self.count(1)?;
        parts.names = (0..names).map(|_| self.text()).collect::<Result<_, _>>()?;
        let places = self.count(6)?;
        parts.places.reserve_exact(places);
        for _ in 0..places {
            let head = self.take(4)?;
            let kind = *Kind::ALL
                .get(usize::from(head[2]))
                .ok_or(Error("a kind is unknown"))?;
            let country = country([head[0], head[1]])?;
            let routed = head[3] != 0;
            let asn = u32::try_from(self.number()?).map_err(|_| Error("an AS number is too large"))?;
            let name = self.index(parts.names.len())?;
            parts.places.push(Stored {
                country,
                kind,
                routed,
                asn,
                name,
            });
        }
        let places = parts.places.len();
        let mut at = 0u64;
        for _ in 0..self.count(3)? {
            let length = u64::try_from(self.length()?).map_err(|_| Error("IPv4 rows overrun"))?;
            let next = at
                .checked_add(length)
                .filter(|next| *next <= 1 << 32)
                .ok_or(Error("IPv4 rows overrun"))?;
            if length == 0 {
                return Err(Error("a row is empty"));
            }
            ipv4(at as u32, (next - 1) as u32, self.index(places)?);
            at = next;
        }
        if at != 1 << 32 {
            return Err(Error("IPv4 rows do not cover the address space"));
        }
        let mut at = 0u128;
        let count = self.count(3)?;
        for i in 0..count {
            let length = self.length()?;
            let (next, over) = at.overflowing_add(length);
            let is_end = i + 1 == count && next == 0;
            if (over && !is_end) || (length == 0 && count != 1) {
                return Err(Error("IPv6 rows overrun"));
            }
            ipv6(at, next.wrapping_sub(1), self.index(places)?);
            at = next;
        }
        if at != 0 || count == 0 {
            return Err(Error("IPv6 rows do not cover the address space"));
        }
        if !self.0.is_empty() {
            for _ in 0..self.count(5)? {
                let code = self.take(2)?;
                let country = country([code[0], code[1]])?;
                let mut value = || u64::try_from(self.number()?).map_err(|_| Error("a space is too large"));
                parts.space.push(Space {
                    country,
                    ipv4: value()?,
                    ipv6: value()?,
                    ipv6_blocks: value()?,
                });
            }
        }
        Ok(parts)
    }

    fn take(&mut self, n: usize) -> Result<&[u8], Error> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Error("it is cut short"))?;
        self.0 = rest;
        Ok(head)
    }

    fn number(&mut self) -> Result<u128, Error> {
        // Nearly every number is small.
        if let [byte, rest @ ..] = self.0
            && *byte < 0x80
        {
            self.0 = rest;
            return Ok(u128::from(*byte));
        }
        if let [low, high, rest @ ..] = self.0
            && *high < 0x80
        {
            self.0 = rest;
            return Ok(u128::from(low & 0x7f) | u128::from(*high) << 7);
        }
        let mut value = 0u128;
        for shift in (0..128).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Error("it is cut short"))?;
            self.0 = rest;
            value |= u128::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error("a number does not end"))
    }

    /// A count of things that take at least `least` bytes each: never more than the bytes left can hold.
    fn count(&mut self, least: usize) -> Result<usize, Error> {
        let count = usize::try_from(self.number()?).map_err(|_| Error("a count is too large"))?;
        if count > self.0.len() / least {
            Err(Error("a count is too large"))
        } else {
            Ok(count)
        }
    }

    fn index(&mut self, limit: usize) -> Result<u32, Error> {
        let index = self.number()?;
        if index < limit as u128 {
            Ok(index as u32)
        } else {
            Err(Error("an index is out of its table"))
        }
    }

    fn length(&mut self) -> Result<u128, Error> {
        let zeros = u32::from(self.take(1)?[0]);
        let odd = self.number()?;
        if zeros == 128 && odd == 0 {
            return Ok(0);
        }
        let odd = odd
            .checked_mul(2)
            .map(|odd| odd + 1)
            .ok_or(Error("a length is too large"))?;
        if zeros > 127 || odd.leading_zeros() < zeros {
            return Err(Error("a length is too large"));
        }
        Ok(odd << zeros)
    }

    fn text(&mut self) -> Result<String, Error> {
        let count = self.count(1)?;
        let bytes = self.take(count)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Error("a text is no UTF-8"))
    }
}
