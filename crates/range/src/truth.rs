//! What really happened: `epicenter.truth/1`.

use std::collections::{BTreeMap, BTreeSet};

use atlas::{Country, PlaceId};
use serde::Serialize;

use crate::army::{Army, DEVICES};
use crate::claims::ClaimTruth;
use crate::outage::{CAUSES, OUTAGE_FROM, State};
use crate::packets::{NOBODYS, Packet};
use crate::people::PeopleTruth;
use crate::world::World;

/// Prefixes that are listed of an incident, the largest.
pub const PREFIXES_SHOWN: usize = 200;

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
    /// Requests that a server answered, of the audience and of attacks.
    pub requests: u64,
    /// Attacks, joined by target, in the order of their targets; none in a harmless scenario.
    pub incidents: Vec<Incident>,
    /// Times in which a service failed for many, waves apart from each other.
    pub outages: Vec<Trouble>,
    /// What people reported, where the scenario has people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<PeopleTruth>,
    /// What was said, and whether it is so.
    pub claims: Vec<ClaimTruth>,
    /// Services that the scenario names, and what was felt of them.
    pub services: Vec<ServiceTruth>,
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
    /// Countries in which the addresses written on the packets really are, largest first.
    pub countries: Vec<Share<String>>,
    /// The same by what the address database says.
    pub labelled: Vec<Share<String>>,
    /// Networks of the addresses written on the packets, by AS number, largest first.
    pub networks: Vec<Share<u32>>,
    /// Countries in which the machines really are that sent packets under their own address, largest first; empty where none did.
    pub senders: Vec<Share<String>>,
    /// Networks of those machines, by AS number.
    pub sender_networks: Vec<Share<u32>>,
    /// Announced prefixes of those machines, the largest 200.
    pub sender_prefixes: Vec<Share<String>>,
    /// How many of those machines there were.
    pub sender_count: u64,
    /// What those machines are.
    pub devices: Vec<Share<String>>,
    /// How many commanded, of the attack with the most of them.
    pub controllers: u32,
    /// Attack packets in each second since the scenario's beginning.
    pub per_second: Vec<u64>,
    /// Seconds with attack packets, one by one.
    pub seconds: Vec<Second>,
}

/// One second of an incident.
#[derive(Clone, Debug, Serialize)]
pub struct Second {
    /// Seconds since the scenario's beginning.
    pub at: u32,
    /// Attack packets.
    pub packets: u64,
    /// Those whose source address is forged.
    pub forged: u64,
    /// Those that reflectors sent.
    pub reflected: u64,
    /// By vector.
    pub vectors: BTreeMap<String, u64>,
    /// By the country in which the machine really is that sent them under its own address.
    pub senders: BTreeMap<String, u64>,
}

/// A service, and what was felt of it.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceTruth {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Sessions that were tried.
    pub tried: u64,
    /// Those that failed.
    pub failed: u64,
    /// Sessions tried in each second since the scenario's beginning.
    pub tried_per_second: Vec<u32>,
    /// Countries in which those who tried really are.
    pub audience: Vec<Share<String>>,
    /// The same by what the address database says.
    pub audience_labelled: Vec<Share<String>>,
    /// Their networks, by AS number.
    pub audience_networks: Vec<Share<u32>>,
    /// Seconds in which one in a hundred or more of what was tried failed, or of those who use it were cut off.
    pub outage: Vec<Outage>,
    /// Who could not reach it: how many sessions of each country failed, or were never seen because of a cut.
    pub unreached: BTreeMap<String, u64>,
}

/// One second of an outage.
#[derive(Clone, Debug, Serialize)]
pub struct Outage {
    /// Seconds since the scenario's beginning.
    pub at: u32,
    /// Share of what was tried that failed, expected.
    pub failing: f64,
    /// Share of the users who are cut off, expected.
    pub cut_off: f64,
    /// `attack`, `crowd` (its own audience), `fault` (its own), `cut` (of others' networks).
    pub causes: Vec<&'static str>,
}

/// Share of what is tried from which a service fails for many.
pub const TROUBLE_FROM: f64 = 0.05;
/// Seconds of that, at least, that make an outage of their own.
pub const TROUBLE_S: u32 = 10;
/// Seconds without, up to which it is the same outage.
pub const TROUBLE_GAP_S: u32 = 300;

/// A time in which a service failed for many.
#[derive(Clone, Debug, Serialize)]
pub struct Trouble {
    /// The service.
    pub service: String,
    /// Its address.
    pub target: String,
    /// First second in which a twentieth or more of what was tried failed, or of the users were cut off, RFC 3339.
    pub start: String,
    /// End of the last such second.
    pub end: String,
    /// The largest share that failed in a second, or was cut off.
    pub worst: f64,
    /// All causes.
    pub causes: BTreeSet<&'static str>,
}

/// Joins the seconds in which services failed.
pub(crate) fn outages(services: &[ServiceTruth], start_ns: u64) -> Vec<Trouble> {
    let mut all = Vec::new();
    for service in services {
        let bad = |row: &&Outage| row.failing.max(row.cut_off) >= TROUBLE_FROM;
        let rows: Vec<&Outage> = service.outage.iter().filter(bad).collect();
        for rows in rows.chunk_by(|a, b| b.at - a.at <= TROUBLE_GAP_S) {
            if (rows.len() as u32) < TROUBLE_S {
                continue;
            }
            let at = |second: u32| time(start_ns + u64::from(second) * 1_000_000_000);
            all.push(Trouble {
                service: service.name.clone(),
                target: service.address.clone(),
                start: at(rows[0].at),
                end: at(rows[rows.len() - 1].at + 1),
                worst: rows
                    .iter()
                    .fold(0.0, |worst, row| row.failing.max(row.cut_off).max(worst)),
                causes: rows.iter().flat_map(|row| row.causes.iter().copied()).collect(),
            });
        }
    }
    all
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

/// Second, packets, and packets of each of the army's countries.
type Row = (u32, u32, Vec<(u16, u32)>);

/// What one attack did so far.
#[derive(Default)]
pub(crate) struct Deeds {
    first_ns: Option<u64>,
    last_ns: u64,
    packets: u64,
    bytes: u64,
    /// Packets of each machine.
    sent: Vec<u64>,
    /// Packets by the place of a forged address.
    written: BTreeMap<PlaceId, u64>,
    seconds: Vec<Row>,
    /// Of this second.
    addresses: Vec<std::net::Ipv6Addr>,
    nations: Vec<u32>,
    now: u32,
}

impl Deeds {
    pub(crate) fn of(army: &Army) -> Deeds {
        Deeds {
            sent: vec![0; army.machines.len()],
            nations: vec![0; army.nations.len()],
            ..Deeds::default()
        }
    }

    fn count(&mut self, packet: &Packet, army: &Army, is_forged: bool) {
        self.first_ns = Some(
            self.first_ns
                .map_or(packet.time_ns, |first| first.min(packet.time_ns)),
        );
        self.last_ns = self.last_ns.max(packet.time_ns);
        self.now += 1;
        self.bytes += u64::from(packet.length());
        if is_forged {
            self.addresses.push(packet.src);
        } else {
            let number = packet.machine as usize;
            self.sent[number] += 1;
            self.nations[usize::from(army.machines[number].nation)] += 1;
        }
    }

    fn end_second(&mut self, second: u32, world: &World<'_>) {
        if self.now == 0 {
            return;
        }
        self.packets += u64::from(self.now);
        if !self.addresses.is_empty() {
            let mut places: Vec<PlaceId> = Vec::new();
            world.atlas.lookup_all(&self.addresses, &mut places);
            self.addresses.clear();
            // Many packets, fewer places: each place is written down once a second.
            places.sort_unstable();
            for same in places.chunk_by(|a, b| a == b) {
                *self.written.entry(same[0]).or_default() += same.len() as u64;
            }
        }
        let nations = self
            .nations
            .iter_mut()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        let nations = nations
            .map(|(nation, count)| (nation as u16, std::mem::take(count)))
            .collect();
        self.seconds
            .push((second, std::mem::take(&mut self.now), nations));
    }
}

/// Counts a second's packets, each for its attack.
pub(crate) fn count(
    packets: &[Packet],
    second: u32,
    armies: &[Army],
    deeds: &mut [Deeds],
    world: &World<'_>,
) {
    let forged: Vec<bool> = armies.iter().map(Army::is_forged).collect();
    for packet in packets {
        if packet.attack != NOBODYS {
            let number = usize::from(packet.attack);
            deeds[number].count(packet, &armies[number], forged[number]);
        }
    }
    for deeds in deeds {
        deeds.end_second(second, world);
    }
}

/// The attacks on one target.
pub(crate) fn incident(
    target: &str,
    attacks: &[(&Army, &Deeds)],
    seconds: u32,
    world: &World<'_>,
) -> Option<Incident> {
    let packets: u64 = attacks.iter().map(|(_, deeds)| deeds.packets).sum();
    if packets == 0 {
        return None;
    }
    let whole = packets as f64;
    let of = |is: fn(&Army) -> bool| -> f64 {
        let counts = attacks.iter().filter(|(army, _)| is(army));
        counts.map(|(_, deeds)| deeds.packets).sum::<u64>() as f64 / whole
    };
    let mut vectors: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut countries, mut labelled, mut networks) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut senders, mut sender_networks, mut prefixes) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let (mut devices, mut addresses) = (BTreeMap::new(), BTreeSet::new());
    let mut rows: BTreeMap<u32, Second> = BTreeMap::new();
    let mut per_second = vec![0; seconds as usize];
    for (army, deeds) in attacks {
        let is_direct = !army.is_forged() && !army.is_reflected();
        *vectors.entry(&army.about.vector).or_default() += deeds.packets;
        let machines = army
            .machines
            .iter()
            .zip(&deeds.sent)
            .filter(|(_, sent)| **sent > 0);
        let places = deeds.written.iter().map(|(id, count)| (*id, *count));
        for (id, count) in places.chain(machines.clone().map(|(machine, sent)| (machine.place, *sent))) {
            let place = world.atlas.place(id);
            *countries.entry(world.really_in(id)).or_default() += count;
            *labelled.entry(place.country).or_default() += count;
            *networks.entry(place.asn).or_default() += count;
        }
        for (machine, sent) in machines.filter(|_| is_direct) {
            let place = world.atlas.place(machine.place);
            *senders.entry(world.really_in(machine.place)).or_default() += *sent;
            *sender_networks.entry(place.asn).or_default() += *sent;
            *prefixes.entry(place.prefix).or_default() += *sent;
            *devices
                .entry(DEVICES[usize::from(machine.device)].name)
                .or_default() += *sent;
            addresses.insert(machine.address);
        }
        for (at, packets, nations) in &deeds.seconds {
            let packets = u64::from(*packets);
            if let Some(count) = per_second.get_mut(*at as usize) {
                *count += packets;
            }
            let row = rows.entry(*at).or_insert_with(|| Second {
                at: *at,
                packets: 0,
                forged: 0,
                reflected: 0,
                vectors: BTreeMap::new(),
                senders: BTreeMap::new(),
            });
            row.packets += packets;
            row.forged += if army.is_forged() { packets } else { 0 };
            row.reflected += if army.is_reflected() { packets } else { 0 };
            *row.vectors.entry(army.about.vector.clone()).or_default() += packets;
            for (nation, count) in nations.iter().filter(|_| is_direct) {
                let country = army.nations[usize::from(*nation)];
                *row.senders.entry(country.to_string()).or_default() += u64::from(*count);
            }
        }
    }
    let mut vectors: Vec<Vector> = vectors
        .into_iter()
        .filter(|(_, packets)| *packets > 0)
        .map(|(name, packets)| Vector {
            name: name.to_owned(),
            packets,
            share: packets as f64 / whole,
        })
        .collect();
    vectors.sort_by(|a, b| b.packets.cmp(&a.packets).then(a.name.cmp(&b.name)));
    let mut sender_prefixes = shares(&prefixes, ToString::to_string);
    sender_prefixes.truncate(PREFIXES_SHOWN);
    let first = attacks.iter().filter_map(|(_, deeds)| deeds.first_ns).min();
    let last = attacks.iter().map(|(_, deeds)| deeds.last_ns).max();
    Some(Incident {
        target: target.to_owned(),
        start: time(first.unwrap_or(0)),
        end: time(last.unwrap_or(0)),
        packets,
        bytes: attacks.iter().map(|(_, deeds)| deeds.bytes).sum(),
        vectors,
        forged: of(Army::is_forged),
        reflected: of(Army::is_reflected),
        countries: shares(&countries, |country: &Country| country.to_string()),
        labelled: shares(&labelled, |country: &Country| country.to_string()),
        networks: shares(&networks, |asn| *asn),
        senders: shares(&senders, |country: &Country| country.to_string()),
        sender_networks: shares(&sender_networks, |asn| *asn),
        sender_prefixes,
        sender_count: addresses.len() as u64,
        devices: shares(&devices, |name: &&str| (*name).to_owned()),
        controllers: attacks
            .iter()
            .map(|(army, _)| army.about.controllers)
            .max()
            .unwrap_or(1),
        per_second,
        seconds: rows.into_values().collect(),
    })
}

/// What one service went through so far.
#[derive(Default)]
pub(crate) struct Days {
    tried: u64,
    failed: u64,
    tried_per_second: Vec<u32>,
    audience: BTreeMap<Country, u64>,
    labelled: BTreeMap<Country, u64>,
    networks: BTreeMap<u32, u64>,
    unreached: BTreeMap<Country, u64>,
    outage: Vec<Outage>,
}

impl Days {
    /// A session was tried.
    pub(crate) fn tried(&mut self, country: Country, labelled: Country, asn: u32, has_failed: bool) {
        self.tried += 1;
        *self.audience.entry(country).or_default() += 1;
        *self.labelled.entry(labelled).or_default() += 1;
        *self.networks.entry(asn).or_default() += 1;
        if has_failed {
            self.failed += 1;
            *self.unreached.entry(country).or_default() += 1;
        }
    }

    /// Somebody could not even try.
    pub(crate) fn cut_off(&mut self, country: Country) {
        *self.unreached.entry(country).or_default() += 1;
    }

    pub(crate) fn end_second(&mut self, second: u32, tried: usize, state: &State) {
        self.tried_per_second.push(tried as u32);
        let felt = state.felt;
        if felt.failing >= OUTAGE_FROM || felt.cut_off >= OUTAGE_FROM {
            self.outage.push(Outage {
                at: second,
                failing: felt.failing,
                cut_off: felt.cut_off,
                causes: CAUSES
                    .iter()
                    .zip(state.causes)
                    .filter(|(_, is)| *is)
                    .map(|(name, _)| *name)
                    .collect(),
            });
        }
    }

    pub(crate) fn truth(&self, service: &crate::scenario::Service) -> ServiceTruth {
        ServiceTruth {
            name: service.name.clone(),
            address: service.address.clone(),
            port: service.port,
            tried: self.tried,
            failed: self.failed,
            tried_per_second: self.tried_per_second.clone(),
            audience: shares(&self.audience, |country: &Country| country.to_string()),
            audience_labelled: shares(&self.labelled, |country: &Country| country.to_string()),
            audience_networks: shares(&self.networks, |asn| *asn),
            outage: self.outage.clone(),
            unreached: self
                .unreached
                .iter()
                .map(|(country, count)| (country.to_string(), *count))
                .collect(),
        }
    }
}
