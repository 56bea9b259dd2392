//! What really happened: `epicenter.truth/1`.

use std::collections::BTreeMap;

use atlas::Country;
use serde::Serialize;

use crate::claims::ClaimTruth;
use crate::people::PeopleTruth;

/// The truth of one generated scenario.
#[derive(Clone, Debug, Serialize)]
pub struct Truth {
    /// `epicenter.truth/1`.
    pub schema: &'static str,
    /// Name of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// Packets of all kinds.
    pub packets: u64,
    /// Packets of the audience and answers to it.
    pub audience_packets: u64,
    /// Attacks, joined by target, in the order of their targets; none in a harmless scenario.
    pub incidents: Vec<Incident>,
    /// What people reported, where the scenario has people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<PeopleTruth>,
    /// What was said, and whether it is so.
    pub claims: Vec<ClaimTruth>,
}

/// All attacks on one target.
#[derive(Clone, Debug, Serialize)]
pub struct Incident {
    /// Host or prefix.
    pub target: String,
    /// First attack packet, RFC 3339.
    pub start: String,
    /// Last attack packet.
    pub end: String,
    /// Attack packets that arrived.
    pub packets: u64,
    /// Their bytes by the IP header.
    pub bytes: u64,
    /// By vector.
    pub vectors: Vec<Vector>,
    /// Share of the packets whose source address is forged.
    pub forged: f64,
    /// Share of the packets that reflectors sent.
    pub reflected: f64,
    /// Countries of the addresses written on the packets, largest first.
    pub countries: Vec<Share<String>>,
    /// Networks of the addresses written on the packets, by AS number, largest first.
    pub networks: Vec<Share<u32>>,
    /// Countries of the machines that sent packets under their own address, largest first; empty where none did.
    pub senders: Vec<Share<String>>,
    /// Attack packets in each second since the scenario's beginning.
    pub per_second: Vec<u64>,
}

/// A vector's part.
#[derive(Clone, Debug, Serialize)]
pub struct Vector {
    /// Its name.
    pub name: String,
    /// Packets of it.
    pub packets: u64,
    /// Share of the incident's packets.
    pub share: f64,
}

/// A share of the packets.
#[derive(Clone, Debug, Serialize)]
pub struct Share<K> {
    /// Of what.
    pub key: K,
    /// From 0 to 1.
    pub share: f64,
}

/// Counts while an incident is generated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) first_ns: Option<u64>,
    pub(crate) last_ns: u64,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) forged: u64,
    pub(crate) reflected: u64,
    pub(crate) vectors: BTreeMap<String, u64>,
    pub(crate) countries: BTreeMap<Country, u64>,
    pub(crate) networks: BTreeMap<u32, u64>,
    pub(crate) senders: BTreeMap<Country, u64>,
    pub(crate) per_second: Vec<u64>,
}

fn shares<K: Ord, T>(counts: &BTreeMap<K, u64>, name: impl Fn(&K) -> T) -> Vec<Share<T>> {
    let total: u64 = counts.values().sum();
    let mut sorted: Vec<(&K, &u64)> = counts.iter().collect();
    sorted.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    sorted
        .into_iter()
        .map(|(key, count)| Share {
            key: name(key),
            share: *count as f64 / total.max(1) as f64,
        })
        .collect()
}

/// A time as RFC 3339.
pub(crate) fn time(ns: u64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map_or_else(|_| ns.to_string(), |time| time.to_string())
}

impl Counts {
    pub(crate) fn incident(&self, target: &str) -> Incident {
        let packets = self.packets.max(1) as f64;
        let mut vectors: Vec<Vector> = self
            .vectors
            .iter()
            .map(|(name, &count)| Vector {
                name: name.clone(),
                packets: count,
                share: count as f64 / packets,
            })
            .collect();
        vectors.sort_by(|a, b| b.packets.cmp(&a.packets).then(a.name.cmp(&b.name)));
        Incident {
            target: target.to_owned(),
            start: time(self.first_ns.unwrap_or(0)),
            end: time(self.last_ns),
            packets: self.packets,
            bytes: self.bytes,
            vectors,
            forged: self.forged as f64 / packets,
            reflected: self.reflected as f64 / packets,
            countries: shares(&self.countries, |country| country.as_str().to_owned()),
            networks: shares(&self.networks, |asn| *asn),
            senders: shares(&self.senders, |country| country.as_str().to_owned()),
            per_second: self.per_second.clone(),
        }
    }
}
