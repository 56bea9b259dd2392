//! An append-only list of entries, each of which carries the hash of all before it.
//!
//! The hash of an entry covers the hash of its *body*, not the body itself. A body whose time has come (a report is kept for as long as
//! the operator says, and no longer) can be dropped, and the chain still proves that nothing else was taken away, changed or put in.

use sha2::{Digest, Sha256};

/// SHA-256.
pub type Hash = [u8; 32];

/// What the first entry follows.
pub const GENESIS: Hash = [0; 32];

/// So that no other hash of ours is ever one of these.
const DOMAIN: &[u8] = b"epicenter.journal/1\0";

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 1, without gaps.
    pub seq: u64,
    /// When it was written, nanoseconds since 1970.
    pub at_ns: u64,
    /// What it is.
    pub kind: String,
    /// SHA-256 of the body.
    pub body_hash: Hash,
    /// The body; `None` where it was dropped.
    pub body: Option<Vec<u8>>,
    /// The chain up to here.
    pub hash: Hash,
}

/// Where a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The entry that is expected at this place.
    pub seq: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "entry {} of the journal {}", self.seq, self.what)
    }
}

/// Hash of a body.
pub fn of_body(body: &[u8]) -> Hash {
    Sha256::digest(body).into()
}

/// Hash of an entry that follows another. The length of the kind stands before it, so that no two entries have the same bytes.
pub fn of_entry(before: &Hash, seq: u64, at_ns: u64, kind: &str, body_hash: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(DOMAIN);
    hasher.update(before);
    hasher.update(seq.to_le_bytes());
    hasher.update(at_ns.to_le_bytes());
    hasher.update((kind.len() as u64).to_le_bytes());
    hasher.update(kind.as_bytes());
    hasher.update(body_hash);
    hasher.finalize().into()
}

/// Checks one entry after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Entries so far.
    pub seq: u64,
    /// Hash of the last one.
    pub hash: Hash,
}

impl Default for Chain {
    fn default() -> Chain {
        Chain {
            seq: 0,
            hash: GENESIS,
        }
    }
}

impl Chain {
    /// Takes the next entry.
    ///
    /// # Errors
    ///
    /// [`Broken`] where it does not follow.
    pub fn take(&mut self, entry: &Entry) -> Result<(), Broken> {
        let seq = self.seq + 1;
        let broken = |what| Broken { seq, what };
        if entry.seq != seq {
            return Err(broken("is missing"));
        }
        if entry
            .body
            .as_ref()
            .is_some_and(|body| of_body(body) != entry.body_hash)
        {
            return Err(broken("has another body than when it was written"));
        }
        let hash = of_entry(&self.hash, seq, entry.at_ns, &entry.kind, &entry.body_hash);
        if hash != entry.hash {
            return Err(broken("was changed, or what stands before it"));
        }
        *self = Chain { seq, hash };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(n: u64) -> Vec<Entry> {
        let mut chain = Chain::default();
        (1..=n)
            .map(|seq| {
                let body = vec![seq as u8; seq as usize];
                let body_hash = of_body(&body);
                let hash = of_entry(&chain.hash, seq, seq * 10, "report", &body_hash);
                chain = Chain { seq, hash };
                Entry {
                    seq,
                    at_ns: seq * 10,
                    kind: "report".to_owned(),
                    body_hash,
                    body: Some(body),
                    hash,
                }
            })
            .collect()
    }

    fn check(entries: &[Entry]) -> Result<Chain, Broken> {
        let mut chain = Chain::default();
        entries.iter().try_for_each(|entry| chain.take(entry))?;
        Ok(chain)
    }

    #[test]
    fn bodies_can_go_and_nothing_else_can() {
        let whole = entries(5);
        assert_eq!(check(&whole).map(|chain| chain.seq), Ok(5));
        let mut dropped = whole.clone();
        dropped[2].body = None;
        assert_eq!(check(&dropped), check(&whole));

        let mut changed = whole.clone();
        changed[1].body = Some(b"other".to_vec());
        assert_eq!(check(&changed).map_err(|broken| broken.seq), Err(2));
        let mut retimed = whole.clone();
        retimed[3].at_ns += 1;
        assert_eq!(check(&retimed).map_err(|broken| broken.seq), Err(4));
        let mut renamed = whole.clone();
        renamed[0].kind = "probe".to_owned();
        assert_eq!(check(&renamed).map_err(|broken| broken.seq), Err(1));
        let mut missing = whole.clone();
        missing.remove(1);
        assert_eq!(
            check(&missing),
            Err(Broken {
                seq: 2,
                what: "is missing"
            })
        );
        let mut swapped = whole;
        swapped.swap(1, 2);
        assert!(check(&swapped).is_err());
    }
}
