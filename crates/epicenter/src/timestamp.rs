//! A time-stamp token (RFC 3161): of which digest it is, of when, and whose signature (CMS, RFC 5652) it has. Whether that is an
//! authority to be believed is for whoever names its CA.

use std::time::Duration;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Reader, SliceReader, Tag, Tagged};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use webpki::{EndEntityCert, KeyUsage, ring as algorithms};
use x509_parser::prelude::{FromDer, X509Certificate};

/// id-signedData (RFC 5652).
const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
/// id-ct-TSTInfo (RFC 3161).
const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";
/// id-sha256 (RFC 5754).
const SHA256: &str = "2.16.840.1.101.3.4.2.1";
/// id-contentType, id-messageDigest (RFC 5652 section 11), id-aa-signingCertificateV2 (RFC 5035).
const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
/// See [`CONTENT_TYPE`].
const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";
/// See [`CONTENT_TYPE`].
const SIGNING_CERTIFICATE: &str = "1.2.840.113549.1.9.16.2.47";
/// id-kp-timeStamping (RFC 3161 section 2.3), as DER has it.
const TIME_STAMPING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 8];
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

/// What became of a token's signature that is not broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    /// It is by the key of the certificate of this name, for which nobody was asked.
    By(String),
    /// The same, and the certificate leads to one of the CAs that were given.
    Vouched(String),
    /// It was not checked, and why.
    Unchecked(&'static str),
}

/// The certificates of a PEM file.
pub(crate) fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).take(ELEMENTS_MAX).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err("has no certificate in PEM form"),
    }
}

/// Reads a token, alone or in the answer of its authority. The text says what is wrong.
pub(crate) fn read(token: &[u8]) -> Result<Stamp, &'static str> {
    parse(token).ok_or("is no time-stamp token with a SHA-256 digest")
}

/// Checks the signature of a token that was [`read`]: that the statement is what was signed, by a certificate that is for time stamps and,
/// where CAs are given, that it leads to one of them at the time of the stamp. The text says what is wrong.
pub(crate) fn signature(
    token: &[u8],
    authorities: Option<&[CertificateDer<'_>]>,
) -> Result<Signature, &'static str> {
    const BROKEN: &str = "has a signature that is none";
    let parts = signed_data(token).and_then(signed_parts).ok_or(BROKEN)?;
    let certificates: Vec<CertificateDer<'_>> = parts
        .certificates
        .iter()
        .filter(|certificate| certificate.tag() == Tag::Sequence)
        .map(|certificate| CertificateDer::from(wrapped(0x30, certificate.value())))
        .collect();
    let Some(signer) = certificates.iter().find(|one| parts.is_signer(one)) else {
        return Ok(Signature::Unchecked("its signer's certificate is not in it"));
    };
    // What was signed: the attributes, among them the digest of the statement and, as a rule, that of the certificate.
    let digest = |bytes: &[u8]| digest_by(parts.digest_algorithm, bytes);
    let Some(told) = digest(parts.statement) else {
        return Ok(Signature::Unchecked(
            "its digest is of a kind that is not known here",
        ));
    };
    if parts.attribute(MESSAGE_DIGEST).map(|value| value.value()) != Some(&told[..]) {
        return Err("is signed for another statement");
    }
    if !parts
        .attribute(CONTENT_TYPE)
        .is_some_and(|value| is(&value, TST_INFO))
    {
        return Err("is signed for something else than a time stamp");
    }
    if let Some(named) = parts.attribute(SIGNING_CERTIFICATE)
        && !names(named, signer)
    {
        return Err("is signed in the name of another certificate than its signer's");
    }
    let known = algorithms_of(parts.signature_algorithm, parts.digest_algorithm);
    if known.is_empty() {
        return Ok(Signature::Unchecked(
            "its signature is of a kind that is not known here",
        ));
    }
    let Ok(certificate) = EndEntityCert::try_from(signer) else {
        return Ok(Signature::Unchecked("its signer's certificate cannot be read"));
    };
    let Ok((_, shown)) = X509Certificate::from_der(signer) else {
        return Ok(Signature::Unchecked("its signer's certificate cannot be read"));
    };
    // Signed as the set that they are, not under the tag that they have here (RFC 5652 section 5.4).
    let message = wrapped(0x31, parts.attributes.value());
    let verified = |algorithm: &&dyn SignatureVerificationAlgorithm| {
        certificate
            .verify_signature(*algorithm, &message, parts.signature)
            .is_ok()
    };
    if !known.iter().any(verified) {
        return Err("has a signature that is not by the key of its certificate");
    }
    let for_stamps = shown
        .extended_key_usage()
        .is_ok_and(|usage| usage.is_some_and(|usage| usage.value.time_stamping));
    if !for_stamps {
        return Err("is signed by a certificate that is not for time stamps");
    }
    let name = one_line(&shown.subject().to_string());
    let Some(authorities) = authorities else {
        return Ok(Signature::By(name));
    };
    let time = read(token)
        .ok()
        .and_then(|stamp| seconds(&stamp.time))
        .ok_or(BROKEN)?;
    let anchors: Vec<_> = authorities
        .iter()
        .filter_map(|authority| webpki::anchor_from_trusted_cert(authority).ok())
        .collect();
    certificate
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &certificates,
            UnixTime::since_unix_epoch(Duration::from_secs(time)),
            KeyUsage::required(TIME_STAMPING),
            None,
            None,
        )
        .map_err(
            |_| "is signed by a certificate that does not lead to the given CA, or was not valid then",
        )?;
    Ok(Signature::Vouched(name))
}

/// The parts of a signed statement, by RFC 5652 section 5.
struct Parts<'a> {
    statement: &'a [u8],
    certificates: Vec<AnyRef<'a>>,
    signer: AnyRef<'a>,
    digest_algorithm: ObjectIdentifier,
    attributes: AnyRef<'a>,
    signature_algorithm: ObjectIdentifier,
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The one value of a signed attribute; `None` where there is none, or it is there twice.
    fn attribute(&self, oid: &str) -> Option<AnyRef<'a>> {
        let all = inside(self.attributes)?;
        let mut found = all
            .into_iter()
            .filter_map(inside)
            .filter(|attribute| attribute.first().is_some_and(|name| is(name, oid)));
        let (one, None) = (found.next()?, found.next()) else {
            return None;
        };
        match inside(*one.get(1)?)?[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// Whether the signer says that it is of this certificate: by issuer and number, or by the key's identifier.
    fn is_signer(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, shown)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        if self.signer.tag() != Tag::Sequence {
            return shown.iter_extensions().any(|extension| {
                use x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier;
                let parsed = extension.parsed_extension();
                matches!(parsed, SubjectKeyIdentifier(id) if id.0 == self.signer.value())
            });
        }
        match inside(self.signer).as_deref() {
            Some([issuer, number]) => {
                wrapped(0x30, issuer.value()) == shown.issuer().as_raw()
                    && number.value() == shown.raw_serial()
            }
            _ => false,
        }
    }
}

fn signed_parts(signed: Vec<AnyRef<'_>>) -> Option<Parts<'_>> {
    let octets = *inside(*inside(*signed.get(2)?)?.get(1)?)?.first()?;
    let certificates = signed
        .iter()
        .find(|part| context(part, 0))
        .map_or(Some(Vec::new()), |part| inside(*part))?;
    // One signer, in the last element.
    let [info] = inside(*signed.last()?)?[..] else {
        return None;
    };
    let info = inside(info)?;
    let attributes = *info.get(3).filter(|part| context(part, 0))?;
    let oid = |value: &AnyRef<'_>| inside(*value)?.first()?.decode_as::<ObjectIdentifier>().ok();
    Some(Parts {
        statement: octets.value(),
        certificates,
        signer: *info.get(1)?,
        digest_algorithm: oid(info.get(2)?)?,
        attributes,
        signature_algorithm: oid(info.get(4)?)?,
        signature: info.get(5).filter(|part| part.tag() == Tag::OctetString)?.value(),
    })
}

/// Whether an element has this tag of its context.
fn context(value: &AnyRef<'_>, number: u32) -> bool {
    matches!(value.tag(), Tag::ContextSpecific { number: found, .. } if found.value() == number)
}

/// An element of DER around a value.
fn wrapped(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let short = length
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(length.len() - 1);
    let mut element = vec![tag];
    if value.len() >= 128 {
        element.push(0x80 | (length.len() - short) as u8);
    }
    element.extend(&length[short..]);
    element.extend(value);
    element
}

fn digest_by(algorithm: ObjectIdentifier, bytes: &[u8]) -> Option<Vec<u8>> {
    Some(match algorithm.to_string().as_str() {
        SHA256 => Sha256::digest(bytes).to_vec(),
        "2.16.840.1.101.3.4.2.2" => Sha384::digest(bytes).to_vec(),
        "2.16.840.1.101.3.4.2.3" => Sha512::digest(bytes).to_vec(),
        _ => return None,
    })
}

/// Whether a signing-certificate attribute names this certificate, by SHA-256 or another digest that is known here.
fn names(attribute: AnyRef<'_>, certificate: &CertificateDer<'_>) -> bool {
    let digest = || -> Option<bool> {
        let first = inside(*inside(*inside(attribute)?.first()?)?.first()?)?;
        // The digest's algorithm may be left out: then it is SHA-256.
        let (algorithm, digest) = match first[..] {
            [algorithm, digest, ..] if algorithm.tag() == Tag::Sequence => {
                let oid = inside(algorithm)?.first()?.decode_as::<ObjectIdentifier>();
                (oid.ok()?, digest)
            }
            [digest, ..] => (ObjectIdentifier::new(SHA256).ok()?, digest),
            [] => return None,
        };
        Some(digest_by(algorithm, certificate)? == digest.value())
    };
    digest().unwrap_or(false)
}

/// How a signature of this kind is verified: RSA (PKCS #1 and PSS), ECDSA over P-256 and P-384, Ed25519.
fn algorithms_of(
    signature: ObjectIdentifier,
    digest: ObjectIdentifier,
) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    let (signature, digest) = (signature.to_string(), digest.to_string());
    let bits = match digest.as_str() {
        SHA256 => 256,
        "2.16.840.1.101.3.4.2.2" => 384,
        _ => 512,
    };
    let rsa = |bits: u32| -> Vec<&'static dyn SignatureVerificationAlgorithm> {
        vec![match bits {
            256 => algorithms::RSA_PKCS1_2048_8192_SHA256,
            384 => algorithms::RSA_PKCS1_2048_8192_SHA384,
            _ => algorithms::RSA_PKCS1_2048_8192_SHA512,
        }]
    };
    match signature.as_str() {
        "1.2.840.113549.1.1.1" => rsa(bits),
        "1.2.840.113549.1.1.11" => rsa(256),
        "1.2.840.113549.1.1.12" => rsa(384),
        "1.2.840.113549.1.1.13" => rsa(512),
        "1.2.840.113549.1.1.10" => vec![match bits {
            256 => algorithms::RSA_PSS_2048_8192_SHA256_LEGACY_KEY,
            384 => algorithms::RSA_PSS_2048_8192_SHA384_LEGACY_KEY,
            _ => algorithms::RSA_PSS_2048_8192_SHA512_LEGACY_KEY,
        }],
        "1.2.840.10045.4.3.2" => vec![algorithms::ECDSA_P256_SHA256, algorithms::ECDSA_P384_SHA256],
        "1.2.840.10045.4.3.3" => vec![algorithms::ECDSA_P256_SHA384, algorithms::ECDSA_P384_SHA384],
        "1.3.101.112" => vec![algorithms::ED25519],
        _ => Vec::new(),
    }
}

/// Seconds since 1970 of a GeneralizedTime; fractions are left out.
fn seconds(time: &str) -> Option<u64> {
    let whole = time.get(..14).filter(|_| time.ends_with('Z'))?;
    let civil = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", whole).ok()?;
    let stamp = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    u64::try_from(stamp.as_second()).ok()
}

/// A name of somebody else's for one line of output.
fn one_line(name: &str) -> String {
    name.chars()
        .take(200)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// The elements of the signed data of a token, alone or in the answer of its authority.
fn signed_data(token: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let outer = inside(AnyRef::from_der(token).ok()?)?;
    // An answer is a status and the token; the token begins with the name of its content.
    let content = match outer[..] {
        [status, token, ..] if status.tag() == Tag::Sequence => inside(token)?,
        _ => outer,
    };
    is(content.first()?, SIGNED_DATA).then_some(())?;
    inside(*inside(*content.get(1)?)?.first()?)
}

fn parse(token: &[u8]) -> Option<Stamp> {
    let signed = signed_data(token)?;
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

    const RSA: &[u8] = include_bytes!("../../../fixtures/timestamp/rsa.tsr");
    const P384: &[u8] = include_bytes!("../../../fixtures/timestamp/p384.tsr");
    const SERVER: &[u8] = include_bytes!("../../../fixtures/timestamp/server.tsr");
    const CA: &[u8] = include_bytes!("../../../fixtures/timestamp/ca.pem");
    const OTHER_CA: &[u8] = include_bytes!("../../../fixtures/timestamp/other-ca.pem");

    #[test]
    fn a_signature_is_that_of_a_certificate_for_time_stamps() {
        let (ca, other) = (authorities(CA).unwrap(), authorities(OTHER_CA).unwrap());
        for (token, name) in [(RSA, "Example TSA rsa"), (P384, "Example TSA p384")] {
            let stamp = read(token).unwrap();
            let stamped = include_bytes!("../../../fixtures/timestamp/stamped.txt");
            assert_eq!(stamp.digest, Sha256::digest(stamped).to_vec());
            let Ok(Signature::By(by)) = signature(token, None) else {
                panic!("{:?}", signature(token, None));
            };
            assert!(by.contains(name), "{by}");
            assert_eq!(signature(token, Some(&ca)), Ok(Signature::Vouched(by.clone())));
            assert!(signature(token, Some(&other)).is_err_and(|what| what.contains("does not lead")));
            assert_eq!(signature(token, Some(&[])), signature(token, Some(&other)));
        }
        assert!(signature(SERVER, None).is_err_and(|what| what.contains("not for time stamps")));
        assert!(authorities(b"none").is_err());
        assert_eq!(seconds("19700102000000.5Z"), Some(86_400));
        assert_eq!(seconds("19700102000000"), None);
    }

    #[test]
    fn no_byte_of_what_is_signed_can_be_another() {
        let ca = authorities(CA).unwrap();
        for token in [RSA, P384] {
            let stamp = read(token).unwrap();
            for at in 0..token.len() {
                let mut spoilt = token.to_vec();
                spoilt[at] ^= 1;
                // Either it is seen, or it is a byte that says nothing: the authority's answer around the token, or another certificate.
                if let (Ok(now), Ok(Signature::Vouched(_))) = (read(&spoilt), signature(&spoilt, Some(&ca))) {
                    assert_eq!(now, stamp, "byte {at}");
                }
                let _ = signature(&token[..at], Some(&ca));
            }
            // The statement of another time under the old signature.
            let time = token
                .windows(stamp.time.len())
                .position(|part| part == stamp.time.as_bytes());
            let mut later = token.to_vec();
            later[time.unwrap() + 3] ^= 1;
            assert_ne!(read(&later).unwrap().time, stamp.time);
            assert_eq!(signature(&later, None), Err("is signed for another statement"));
        }
        // A token without any signer is none.
        assert!(signature(&token(&[7; 32]), None).is_err());
    }
}
