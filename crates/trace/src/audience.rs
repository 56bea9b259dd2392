//! The normal users of a target: who they are, and how many of them may be among what was counted as attack.
//!
//! They are learnt from the input itself (who came before the attack, and who got on with the target during it), from other inputs
//! that are given for this, and from the same hours of the weeks before ([`crate::hours`]). What was asked for is never counted as
//! attack; but users whom an attacked service no longer answers try again, and their packets look like the attack's.
//!
//! For each cell (country, network, kind) the number of such packets in usual times, for as long as the attack lasted, is known as well as
//! the clients behind it tell (Gamma). Of the usual clients a part `a` was served during the attack and is seen to have been. Each of the
//! others sent between nothing and three times what it usually sends (0: nobody gets through; 3: everybody tries again; SCIENCE 5.4):
//!
//! ```text
//! excess = max(0, counted - s * (1 - a) * usual),   s ~ Uniform(0, 3)
//! ```

use std::net::Ipv6Addr;

use atlas::{Atlas, Country, Prefix};
use detect::Vector;
use detect::audience::is_alike;
use detect::{Attack, Client, Clients, Regulars};
use rand_distr::{Distribution, Gamma};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::RngCore;
use statrs::distribution::{Beta, ContinuousCDF};

use crate::hours::{Found, Hours};
use crate::share::{Counted, Interval, Spot};

/// Fewest clients that are called an audience.
pub const CLIENTS_MIN: u64 = 20;
/// Seconds of quiet below which no rate is learnt from them.
const QUIET_MIN: f64 = 5.0;
/// How often each user who is not served tries, at most, over what is usual.
const RETRIES_MAX: f64 = 3.0;
const SECOND: f64 = 1e9;
const HOUR: f64 = 3_600.0;

/// What is known of the audience from elsewhere than the attack's own input.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Clients in other inputs.
    pub regulars: Regulars,
    /// How much time these inputs hold, without gaps between files, nanoseconds.
    pub watched_ns: u64,
    /// What they are called in words.
    pub name: String,
    /// Clients by the hour.
    pub hours: Hours,
}

/// The normal users, as a case has them.
#[derive(Clone, Debug, PartialEq)]
pub struct Audience {
    /// How they were learnt.
    pub learnt_from: String,
    /// Distinct clients.
    pub distinct: u64,
    /// Their countries; shares are of the clients.
    pub countries: Vec<Counted<Country>>,
    /// Share of the senders' packets that are theirs, and were taken out.
    pub taken_out: Interval,
}

/// What one cell of the audience would have sent during the attack.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Expected {
    /// Packets that look like the attack's.
    pub(crate) packets: f64,
    /// Clients that send such packets.
    pub(crate) sources: f64,
    /// Clients that this was learnt from.
    pub(crate) learnt: f64,
    /// All clients known.
    pub(crate) clients: f64,
}

impl std::ops::AddAssign for Expected {
    fn add_assign(&mut self, other: Expected) {
        self.packets += other.packets;
        self.sources += other.sources;
        self.learnt += other.learnt;
        self.clients += other.clients;
    }
}

/// The audience by place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usual {
    pub(crate) cells: Vec<(Spot, Expected)>,
    /// All clients.
    pub(crate) clients: f64,
    /// Clients like the attack that came in its time and were served.
    served: f64,
    /// Clients like the attack that came in quiet times, and how many times as long the attack lasted.
    quiet: (f64, f64),
    learnt_from: String,
}

impl Usual {
    /// Whether some of what was counted as attack may be the audience's.
    pub(crate) fn may_be_inside(&self) -> bool {
        self.quiet.0 > 0.0 && self.quiet.1 > 0.0
    }

    /// Part of the usual clients that was not served, and what each of them sent over what is usual: on average.
    pub(crate) fn unserved_mean(&self) -> f64 {
        if !self.may_be_inside() {
            return 0.0;
        }
        RETRIES_MAX / 2.0 * (1.0 - self.served / (self.quiet.0 * self.quiet.1)).max(0.0)
    }

    /// The same as a draw.
    pub(crate) fn unserved(&self, random: &mut Pcg64Mcg) -> f64 {
        let mut gamma = |n: f64| Gamma::new(n + 0.5, 1.0).map_or(n, |gamma| gamma.sample(random));
        let (served, usual) = (gamma(self.served), gamma(self.quiet.0) * self.quiet.1);
        let retries = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * RETRIES_MAX;
        retries * (1.0 - served / usual.max(1e-9)).max(0.0)
    }

    /// Puts in what hours showed, of which no addresses are known. Their rates join those of the inputs. Whether a client is in both cannot
    /// be told, so who the clients are is told by whichever knows more of them.
    fn add_hours(&mut self, found: &Found, vectors: &[(Vector, bool)], longer: f64, lasted: f64) {
        let per_period = |clients: u64| clients as f64 / found.periods as f64;
        let all = per_period(found.cells.iter().map(|cell| cell.clients).sum());
        let knows_more = all >= self.clients;
        if knows_more {
            self.clients = all;
            self.cells.iter_mut().for_each(|(_, of)| of.clients = 0.0);
        }
        for cell in &found.cells {
            let alike = cell.sent.iter().filter(|sent| is_alike(sent.vector, vectors));
            let mut expected = Expected {
                clients: if knows_more { per_period(cell.clients) } else { 0.0 },
                ..Expected::default()
            };
            let (mut seen, mut most) = (0.0, 0u64);
            for sent in alike {
                expected.packets += sent.packets as f64 * longer;
                seen += sent.seen as f64;
                most = most.max(sent.clients);
            }
            // A client that returns in many windows is one source; in an hour there are no more than came in it.
            expected.sources = (seen * longer).min(per_period(cell.clients) * (lasted / HOUR).max(1.0));
            expected.learnt = per_period(most);
            self.quiet.0 += seen;
            let spot = Spot {
                country: cell.country,
                asn: cell.asn,
                kind: cell.kind,
                // Not kept, and asked of no audience.
                prefix: Prefix::of(Ipv6Addr::UNSPECIFIED, 0),
            };
            self.cells.push((spot, expected));
        }
    }

    /// In the form of a case.
    pub(crate) fn audience(&self, taken_out: Interval) -> Audience {
        let mut by_country: Vec<(Country, f64)> = self
            .cells
            .iter()
            .map(|(spot, expected)| (spot.country, expected.clients))
            .collect();
        by_country.sort_by_key(|(country, _)| *country);
        by_country.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1 += later.1;
            }
            same
        });
        by_country.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let countries = by_country
            .into_iter()
            .map(|(key, clients)| {
                let estimate = clients / self.clients;
                let beta = Beta::new(clients + 0.5, (self.clients - clients).max(0.0) + 0.5);
                let quantile = |q: f64| beta.as_ref().map_or(estimate, |beta| beta.inverse_cdf(q));
                Counted {
                    key,
                    share: Interval {
                        estimate,
                        low: quantile(0.025).min(estimate),
                        high: quantile(0.975).max(estimate),
                    }
                    .clamped(),
                    distinct: clients.round() as u64,
                }
            })
            .collect();
        Audience {
            learnt_from: self.learnt_from.clone(),
            distinct: self.clients.round() as u64,
            countries,
            taken_out,
        }
    }
}

/// Learns who uses an attack's target; `None` where too little shows it.
pub(crate) fn learn(attack: &Attack, past: &Past, atlas: &Atlas) -> Option<Usual> {
    let lasted = (attack.end_ns - attack.start_ns) as f64 / SECOND;
    let is_before = |client: &Client| client.first_ns < attack.start_ns;
    let is_quiet = |client: &Client| is_before(client) || client.first_ns > attack.end_ns;
    let before = attack.start_ns.saturating_sub(attack.input_ns.0) as f64 / SECOND;
    let after = attack.input_ns.1.saturating_sub(attack.end_ns) as f64 / SECOND;
    let quiet_s = before + after.min(60.0);
    let own = &attack.clients;
    let scale = (own.level + attack.level).min(63);
    let own_weight = (1u64 << scale) as f64;

    let vectors = detect::audience::vectors_of(attack);
    let mut words = Vec::new();
    let count = |n: usize, level: u32| (n as u64) << level.min(40);
    let (early, all) = (
        own.all.iter().filter(|client| is_before(client)).count(),
        own.all.len(),
    );
    if all > 0 {
        words.push(format!(
            "{} clients of the target in the input, {} of them before the attack",
            count(all, scale),
            count(early, scale)
        ));
    }
    let mut theirs = Clients::default();
    let mut their_seconds = 0.0;
    let mut their_level = 0;
    if !past.name.is_empty() {
        theirs = past.regulars.clients(&attack.hosts, &vectors);
        their_seconds = past.watched_ns as f64 / SECOND;
        let mut whom = "of the target";
        if theirs.distinct() < CLIENTS_MIN {
            // How often others come says nothing of the target; who they are may.
            theirs = past.regulars.clients_of_any();
            their_seconds = 0.0;
            whom = "of all services";
        }
        their_level = (theirs.level + past.regulars.thinned()).min(63);
        words.push(format!(
            "{} clients {whom} in {}",
            count(theirs.all.len(), their_level),
            past.name
        ));
    }
    let their_weight = (1u64 << their_level) as f64;
    let of_hours = past.hours.usual(&attack.hosts, attack.start_ns, attack.end_ns);
    let hours_seconds = of_hours
        .as_ref()
        .map_or(0.0, |found| found.watched_ns as f64 / SECOND);
    let (quiet_s, quiet_known) = if quiet_s >= QUIET_MIN {
        (quiet_s, true)
    } else {
        (0.0, false)
    };
    let seconds = quiet_s + their_seconds + hours_seconds;
    let longer = if seconds > 0.0 { lasted / seconds } else { 0.0 };

    let mut usual = Usual {
        quiet: (0.0, longer),
        ..Usual::default()
    };
    // One row for each client of each input: its address, whether it counts as another client, what it adds to the rate.
    let mut rows: Vec<(Ipv6Addr, f64, Expected)> = Vec::with_capacity(own.all.len() + theirs.all.len());
    let rate = |client: &Client, weight: f64| Expected {
        packets: client.alike as f64 * weight * longer,
        sources: weight * longer,
        learnt: weight,
        clients: 0.0,
    };
    for client in &own.all {
        let mut expected = Expected::default();
        if client.alike > 0 {
            if is_quiet(client) && quiet_known {
                usual.quiet.0 += own_weight;
                expected = rate(client, own_weight);
            } else if !is_quiet(client) {
                usual.served += own_weight;
            }
        }
        rows.push((client.address, own_weight, expected));
    }
    for client in &theirs.all {
        let mut expected = Expected::default();
        if client.alike > 0 && their_seconds > 0.0 {
            usual.quiet.0 += their_weight;
            expected = rate(client, their_weight);
        }
        rows.push((client.address, their_weight, expected));
    }
    rows.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let addresses: Vec<Ipv6Addr> = rows.iter().map(|row| row.0).collect();
    let mut ids = Vec::with_capacity(addresses.len());
    atlas.lookup_all(&addresses, &mut ids);
    let mut placed: Vec<(atlas::PlaceId, Expected)> = Vec::with_capacity(rows.len());
    let mut last = None;
    for ((address, weight, expected), id) in rows.into_iter().zip(ids) {
        // Who is in both inputs is one client.
        let clients = if last == Some(address) { 0.0 } else { weight };
        last = Some(address);
        usual.clients += clients;
        placed.push((id, Expected { clients, ..expected }));
    }
    placed.sort_by_key(|(id, _)| *id);
    for of_place in placed.chunk_by(|a, b| a.0 == b.0) {
        let mut sum = Expected::default();
        of_place.iter().for_each(|(_, expected)| sum += *expected);
        usual.cells.push((Spot::of(of_place[0].0, atlas), sum));
    }
    if let Some(found) = of_hours {
        usual.add_hours(&found, &vectors, longer, lasted);
        words.push(found.words);
    }
    usual.learnt_from = words.join("; ");
    (usual.clients >= CLIENTS_MIN as f64).then_some(usual)
}
