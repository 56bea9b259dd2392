//! Where did it come from, and how sure are we?
//!
//! Only attack packets are traced, never the whole capture. The order of work is that of the question: are the sources
//! forged, are they reflectors, and only then where are they.
//!
//! - [`forged`]: the tests on source addresses, and what they say together.
//! - [`share`]: shares by country, network, prefix and kind, with intervals from resampling networks.
#![deny(missing_docs)]

pub mod forged;
pub mod share;

use std::borrow::Cow;

use atlas::Atlas;
use detect::{Attack, Sender};

pub use forged::{Forgery, Test};
pub use share::{Interval, Placement};

/// Where an attack came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Distinct source addresses.
    pub distinct: u64,
    /// Whether each was counted; otherwise the number is an estimate from a sample.
    pub distinct_exact: bool,
    /// Share of the attack packets whose source address is forged.
    pub forged: Interval,
    /// Share of the attack packets that reflectors sent.
    pub reflected: Interval,
    /// The tests behind both.
    pub tests: Vec<Test>,
    /// Where the source addresses are.
    pub placement: Placement,
}

/// Traces an attack.
pub fn trace(attack: &Attack, atlas: &Atlas) -> Trace {
    let total = attack.packets().max(1) as f64;
    let senders: Cow<'_, [Sender]> = match attack.parts.as_slice() {
        [only] => Cow::Borrowed(&only.senders),
        parts => {
            let lists: Vec<_> = parts.iter().map(|part| part.senders.as_slice()).collect();
            Cow::Owned(detect::judge::join_senders(&lists))
        }
    };
    let (mut forged, mut reflected) = (Interval::ZERO, Interval::ZERO);
    let mut tests = Vec::new();
    for part in &attack.parts {
        let weight = part.packets as f64 / total;
        let forgery = forged::examine(part, attack, atlas);
        forged = forged.plus(forgery.forged.times(weight));
        reflected = reflected.plus(forgery.reflected.times(weight));
        // Tests on a small companion vector would only repeat or blur those on the main one.
        if weight >= 0.1 {
            tests.extend(forgery.tests);
        }
    }
    Trace {
        distinct: (senders.len() as u64) << attack.level,
        distinct_exact: attack.level == 0 && attack.sampling() < 1.5,
        forged: forged.clamped(),
        reflected: reflected.clamped(),
        tests,
        placement: share::place(&senders, atlas),
    }
}
