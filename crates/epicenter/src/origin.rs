//! What may be said of a source address to other people: whether it sent, was abused as a reflector, or was forged.
//!
//! A case speaks of shares; a report names addresses, and a wrong name accuses somebody. So the rule is one-sided: addresses of a
//! vector are senders or reflectors only where nothing speaks against it. Everything else is forged or undetermined, and the forms
//! that name addresses leave those out.

use atlas::Atlas;
use detect::Vector;
use incident::case::{Incident, Meaning, Origin, TopSource, VectorShare};

/// Clusters of a vector that are smaller than this share of it say nothing of the rest.
const CLUSTER_MIN: f64 = 0.01;
/// At most this share of the packets of the direct vectors may be forged (upper end of the interval) where addresses are named.
const FORGED_MAX: f64 = 0.2;
/// From this share on (best estimate) they are forged.
const FORGED_MIN: f64 = 0.8;

/// What the source addresses of a vector are.
pub(crate) fn origin(part: &VectorShare, incident: &Incident) -> Origin {
    let classes: Vec<_> = incident
        .sources
        .classes
        .iter()
        .filter(|class| class.vector == part.vector)
        .collect();
    if classes.is_empty() {
        return by_shares(part, incident);
    }
    let total: f64 = classes.iter().map(|class| class.share).sum();
    let mut origins = classes
        .iter()
        .filter(|class| class.share >= CLUSTER_MIN * total)
        .map(|class| class.origin);
    // Which address belongs to which cluster is not in the case: clusters that disagree leave all of them undetermined.
    match origins.next() {
        Some(first) if origins.all(|other| other == first) => first,
        _ => Origin::Undetermined,
    }
}

/// The same from the shares of the whole incident, which cannot tell its direct vectors apart.
fn by_shares(part: &VectorShare, incident: &Incident) -> Origin {
    let sources = &incident.sources;
    let of = |reflection: bool| -> f64 {
        let parts = incident.vectors.iter();
        parts
            .filter(|v| v.vector.is_reflection() == reflection)
            .map(|v| v.share)
            .sum()
    };
    let (direct, reflected) = (of(false), of(true));
    if part.vector.is_reflection() {
        return if sources.reflected.estimate >= 0.95 * reflected {
            Origin::Reflector
        } else {
            Origin::Undetermined
        };
    }
    // Hosts that reflect also send what looks like another vector: later fragments of their answers, resets, errors.
    let echo = matches!(
        part.vector,
        Vector::IpFragment | Vector::RstFlood | Vector::IcmpFlood
    );
    match () {
        () if sources.forged.estimate >= FORGED_MIN * direct => Origin::Forged,
        () if echo && reflected > 0.0 => Origin::Undetermined,
        () if sources.forged.high <= FORGED_MAX * direct
            && matches!(sources.meaning, Meaning::Senders | Meaning::Reflectors) =>
        {
            Origin::Direct
        }
        () => Origin::Undetermined,
    }
}

/// Sources of one network.
pub(crate) struct Network<'a> {
    /// AS number, 0 where nobody announces the addresses.
    pub(crate) asn: u32,
    /// Its name, may be empty.
    pub(crate) name: &'a str,
    /// Its sources, most packets first.
    pub(crate) sources: Vec<TopSource>,
}

/// Sources by network, in order of AS numbers.
pub(crate) fn networks<'a>(sources: &[TopSource], atlas: &'a Atlas) -> Vec<Network<'a>> {
    let mut placed: Vec<_> = sources
        .iter()
        .map(|source| (atlas.lookup(source.address), *source))
        .collect();
    placed.sort_by_key(|(place, _)| place.asn);
    placed
        .chunk_by(|(a, _), (b, _)| a.asn == b.asn)
        .map(|of_network| Network {
            asn: of_network[0].0.asn,
            name: of_network[0].0.network,
            sources: of_network.iter().map(|(_, source)| *source).collect(),
        })
        .collect()
}

/// How many of a vector's packets these sources sent, as a share.
pub(crate) fn share_of(sources: &[TopSource], part: &VectorShare) -> f64 {
    let packets: u64 = sources.iter().map(|source| source.packets).sum();
    packets as f64 / part.packets.max(1) as f64
}
