//! The normal users of a target: who they are, and how many of them may be among what was counted as attack.
//!
//! They are learnt from the input itself (who came before the attack, and who got on with the target during it), and from other inputs
//! that are given for this. What was asked for is never counted as attack; but users whom an attacked service no longer answers try
//! again, and their packets look like the attack's.
//!
//! For each cell (country, network, kind) the number of such packets in usual times, for as long as the attack lasted, is known as well as
//! the clients behind it tell (Gamma). Of the usual clients a part `a` was served during the attack and is seen to have been. Each of the
//! others sent between nothing and three times what it usually sends (0: nobody gets through; 3: everybody tries again; SCIENCE 5.4):
//!
//! ```text
//! excess = max(0, counted - s * (1 - a) * usual),   s ~ Uniform(0, 3)
//! ```

use std::net::Ipv6Addr;

use atlas::{Atlas, Country};
use detect::{Attack, Client, Clients, Tally};
use rand_distr::{Distribution, Gamma};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::RngCore;
use statrs::distribution::{Beta, ContinuousCDF};

use crate::share::{Counted, Interval, Spot};

/// Fewest clients that are called an audience.
pub const CLIENTS_MIN: u64 = 20;
/// Seconds of quiet below which no rate is learnt from them.
const QUIET_MIN: f64 = 5.0;
/// How often each user who is not served tries, at most, over what is usual.
const RETRIES_MAX: f64 = 3.0;
const SECOND: f64 = 1e9;

/// Another input, to learn the audience from.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// What was counted of it.
    pub tally: &'a Tally,
    /// How many seconds of traffic it holds, without gaps between files.
    pub seconds: f64,
    /// What it is called in words.
    pub name: &'a str,
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
pub(crate) fn learn(attack: &Attack, past: Option<&Past<'_>>, atlas: &Atlas) -> Option<Usual> {
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
    if let Some(past) = past {
        theirs = detect::audience::clients(past.tally, Some(&attack.hosts), &vectors);
        their_seconds = past.seconds;
        let mut whom = "of the target";
        if theirs.distinct() < CLIENTS_MIN {
            // How often others come says nothing of the target; who they are may.
            theirs = detect::audience::clients(past.tally, None, &[]);
            their_seconds = 0.0;
            whom = "of all services";
        }
        let level = theirs.level + past.tally.conversations().level();
        words.push(format!(
            "{} clients {whom} in {}",
            count(theirs.all.len(), level),
            past.name
        ));
    }
    let their_weight = past.map_or(0.0, |past| {
        (1u64 << (theirs.level + past.tally.conversations().level()).min(63)) as f64
    });
    let (quiet_s, quiet_known) = if quiet_s >= QUIET_MIN {
        (quiet_s, true)
    } else {
        (0.0, false)
    };
    let seconds = quiet_s + their_seconds;
    let longer = if seconds > 0.0 { lasted / seconds } else { 0.0 };

    let mut usual = Usual {
        quiet: (0.0, longer),
        learnt_from: words.join("; "),
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
    (usual.clients >= CLIENTS_MIN as f64).then_some(usual)
}
