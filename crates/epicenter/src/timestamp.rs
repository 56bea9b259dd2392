//! What a time-stamp token (RFC 3161) says: of which digest it is, and of when. Whether its authority can be believed is left to programs
//! that know certificates.

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, Tagged};

/// id-signedData (RFC 5652).
const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
/// id-ct-TSTInfo (RFC 3161).
const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";
/// id-sha256 (RFC 5754).
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
/// Elements of one sequence that are read.
const ELEMENTS_MAX: usize = 64;

/// The statement of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The digest that was stamped, SHA-256.
    pub(crate) digest: Vec<u8>,
    /// When, as the authority wrote it (GeneralizedTime, `YYYYMMDDhhmmssZ`).
    pub(crate) time: String,
}

/// Reads a token, alone or in the answer of its authority. The text says what is wrong.
pub(crate) fn read(token: &[u8]) -> Result<Stamp, &'static str> {
    parse(token).ok_or("is no time-stamp token with a SHA-256 digest")
}

fn parse(token: &[u8]) -> Option<Stamp> {
    let outer = inside(AnyRef::from_der(token).ok()?)?;
    // An answer is a status and the token; the token begins with the name of its content.
    let content = match outer[..] {
        [status, token, ..] if status.tag() == Tag::Sequence => inside(token)?,
        _ => outer,
    };
    is(content.first()?, SIGNED_DATA).then_some(())?;
    let signed = inside(*inside(*content.get(1)?)?.first()?)?;
    let encapsulated = inside(*signed.get(2)?)?;
    is(encapsulated.first()?, TST_INFO).then_some(())?;
    let octets = *inside(*encapsulated.get(1)?)?.first()?;
    (octets.tag() == Tag::OctetString).then_some(())?;
    let info = inside(AnyRef::from_der(octets.value()).ok()?)?;
    let imprint = inside(*info.get(2)?)?;
    is(inside(*imprint.first()?)?.first()?, SHA256).then_some(())?;
    let time = info.get(4).filter(|time| time.tag() == Tag::GeneralizedTime)?;
    Some(Stamp {
        digest: imprint.get(1)?.value().to_vec(),
        time: std::str::from_utf8(time.value())
            .ok()
            .filter(|time| time.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'Z'))?
            .to_owned(),
    })
}

/// The elements of a sequence, set or tag.
fn inside(value: AnyRef<'_>) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(value.value()).ok()?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        if elements.len() >= ELEMENTS_MAX {
            return None;
        }
        elements.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(elements)
}

fn is(value: &AnyRef<'_>, oid: &str) -> bool {
    value
        .decode_as::<ObjectIdentifier>()
        .is_ok_and(|found| ObjectIdentifier::new(oid).is_ok_and(|oid| oid == found))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element: its tag, its length in the long form, its value.
    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let value = parts.concat();
        let mut bytes = vec![tag];
        match value.len() {
            short @ 0..=127 => bytes.push(short as u8),
            long => bytes.extend([0x82, (long >> 8) as u8, long as u8]),
        }
        // DER wants the shortest length.
        if (128..256).contains(&value.len()) {
            bytes.truncate(1);
            bytes.extend([0x81, value.len() as u8]);
        }
        bytes.extend(value);
        bytes
    }

    fn oid(text: &str) -> Vec<u8> {
        element(6, &[ObjectIdentifier::new(text).unwrap().as_bytes()])
    }

    fn token(digest: &[u8]) -> Vec<u8> {
        let one = element(2, &[&[1]]);
        let algorithm = element(0x30, &[&oid(SHA256)]);
        let imprint = element(0x30, &[&algorithm, &element(4, &[digest])]);
        let time = element(0x18, &[b"20251125190000Z"]);
        let info = element(0x30, &[&one, &oid("1.2.3.4"), &imprint, &one, &time]);
        let encapsulated = element(0x30, &[&oid(TST_INFO), &element(0xa0, &[&element(4, &[&info])])]);
        let signed = element(
            0x30,
            &[&one, &element(0x31, &[]), &encapsulated, &element(0x31, &[])],
        );
        element(0x30, &[&oid(SIGNED_DATA), &element(0xa0, &[&signed])])
    }

    #[test]
    fn a_token_says_what_was_stamped_and_when() {
        let token = token(&[7; 32]);
        let stamp = read(&token).unwrap();
        assert_eq!(
            (&stamp.digest[..], stamp.time.as_str()),
            (&[7; 32][..], "20251125190000Z")
        );
        let answer = element(0x30, &[&element(0x30, &[&element(2, &[&[0]])]), &token]);
        assert_eq!(read(&answer), Ok(stamp.clone()));
        for cut in 0..token.len() {
            assert!(read(&token[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..token.len() * 8 {
            let mut spoilt = token.clone();
            spoilt[bit / 8] ^= 1 << (bit % 8);
            // Whatever comes of it, it is no panic.
            let _ = read(&spoilt);
        }
    }
}
