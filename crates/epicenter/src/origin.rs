//! What may be said of a source address to other people: whether it sent, was abused as a reflector, or was forged.
//!
//! A case speaks of shares; a report names addresses, and a wrong name accuses somebody. So the rule is one-sided: an address is a
//! sender or a reflector only where nothing speaks against it, and the forms that name addresses leave all others out.

use atlas::Atlas;
use detect::Vector;
use incident::case::{Incident, Origin, TopSource, VectorShare};

/// What a source of a vector may be called.
pub(crate) fn origin(source: &TopSource, part: &VectorShare, incident: &Incident) -> Origin {
    // Hosts that reflect also send what looks like another vector: later fragments of their answers, resets, errors.
    let echo = matches!(
        part.vector,
        Vector::IpFragment | Vector::RstFlood | Vector::IcmpFlood
    );
    if echo && incident.vectors.iter().any(|other| other.vector.is_reflection()) {
        return Origin::Undetermined;
    }
    source.origin
}

/// The sources of a vector that may be named as senders, most packets first.
pub(crate) fn senders(part: &VectorShare, incident: &Incident) -> Vec<TopSource> {
    of(Origin::Direct, part, incident)
}

/// The sources of a vector that may be named as reflectors, most packets first.
pub(crate) fn reflectors(part: &VectorShare, incident: &Incident) -> Vec<TopSource> {
    of(Origin::Reflector, part, incident)
}

fn of(wanted: Origin, part: &VectorShare, incident: &Incident) -> Vec<TopSource> {
    part.top_sources
        .iter()
        .filter(|source| origin(source, part, incident) == wanted)
        .copied()
        .collect()
}

/// Whether a vector's sources are forged, as far as they are known: all of the loudest are.
pub(crate) fn is_forged(part: &VectorShare) -> bool {
    !part.top_sources.is_empty()
        && part
            .top_sources
            .iter()
            .all(|source| source.origin == Origin::Forged)
}

/// A sentence on which sources of a vector are listed, and why others are not.
pub(crate) fn listing(shown: &[TopSource], part: &VectorShare, incident: &Incident) -> String {
    let label = part.vector.label();
    let all = part.sources.len();
    if !shown.is_empty() {
        return format!(
            "{label}: {} of {all} sources are listed, those with the most packets that are known to be senders or reflectors; they sent {:.1} % of its packets.",
            shown.len(),
            100.0 * share_of(shown, part)
        );
    }
    let why = if is_forged(part) {
        "they are forged"
    } else if of(Origin::Forged, part, incident).is_empty() {
        "it is not determined whether they are forged"
    } else {
        "some are forged, and of the others it is not determined"
    };
    format!("{label}: none of its {all} source addresses is listed, since {why}.")
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
