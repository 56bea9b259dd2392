//! Load against capacity: what a service still does, second by second.

use rand_pcg::Pcg64Mcg;

use crate::felt::Felt;
use crate::scenario::{Capacity, Fault};
use crate::world::uniform;

/// Share of failing tries from which a second counts as an outage, and from which a cause is one.
pub const OUTAGE_FROM: f64 = 0.01;
/// Requests that one for something expensive stands for.
pub(crate) const EXPENSIVE: f64 = 20.0;
/// Share of refused connections that are refused with RST; the others are not answered.
const RESET: f64 = 0.3;

/// What comes to a service in a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) packets: f64,
    pub(crate) connections: f64,
    pub(crate) open: f64,
    pub(crate) requests: f64,
}

impl Load {
    pub(crate) fn plus(self, other: Load) -> Load {
        Load {
            packets: self.packets + other.packets,
            connections: self.connections + other.connections,
            open: self.open + other.open,
            requests: self.requests + other.requests,
        }
    }
}

/// What becomes of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Served,
    /// Nothing comes back.
    Unanswered,
    /// RST.
    Refused,
    /// 503, or in TLS a short answer that says so.
    Sorry,
}

/// A service in a second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct State {
    pub(crate) felt: Felt,
    /// Share of packets that the line drops.
    dropped: f64,
    /// Share of new connections for which there is no room.
    refused: f64,
    /// Share of requests that the service cannot answer.
    sorry: f64,
    /// Causes: an attack, its own audience, a fault of its own, networks that are cut off.
    pub(crate) causes: [bool; 4],
}

/// Names of the causes.
pub(crate) const CAUSES: [&str; 4] = ["attack", "crowd", "fault", "cut"];

/// What is beyond a limit.
fn beyond(load: f64, capacity: Option<f64>) -> f64 {
    match capacity {
        Some(capacity) if load > capacity => 1.0 - capacity / load,
        _ => 0.0,
    }
}

/// Share of tries that fail by this load: dropped, refused, sorry.
fn failing(capacity: &Capacity, load: Load) -> [f64; 3] {
    let connections = beyond(load.connections, capacity.connections_per_second);
    let open = beyond(load.open, capacity.open_connections);
    [
        beyond(load.packets, capacity.packets_per_second),
        1.0 - (1.0 - connections) * (1.0 - open),
        beyond(load.requests, capacity.requests_per_second),
    ]
}

fn any(shares: [f64; 3]) -> f64 {
    1.0 - shares.iter().map(|share| 1.0 - share).product::<f64>()
}

/// The share that a fault makes fail in a second.
pub(crate) fn fault_share(fault: &Fault, second: u32) -> f64 {
    if !(fault.from..fault.to).contains(&second) {
        return 0.0;
    }
    match fault.rise {
        0 => fault.failing,
        rise => fault.failing * (f64::from(second - fault.from + 1) / f64::from(rise)).min(1.0),
    }
}

impl State {
    /// The second's state: what comes of attackers and of the audience, the fault of its own, and who is cut off.
    pub(crate) fn of(
        capacity: &Capacity,
        attack: Load,
        audience: Load,
        fault: f64,
        cut_off: f64,
        tried: f64,
    ) -> State {
        let [dropped, refused, sorry] = failing(capacity, attack.plus(audience));
        let sorry = 1.0 - (1.0 - sorry) * (1.0 - fault);
        let alone = any(failing(capacity, audience));
        let with_attack = any(failing(capacity, attack.plus(audience)));
        State {
            felt: Felt {
                failing: any([dropped, refused, sorry]),
                tried,
                cut_off,
            },
            dropped,
            refused,
            sorry,
            causes: [
                with_attack - alone >= OUTAGE_FROM,
                alone >= OUTAGE_FROM,
                fault >= OUTAGE_FROM,
                cut_off >= OUTAGE_FROM,
            ],
        }
    }

    /// What becomes of one try.
    pub(crate) fn outcome(&self, random: &mut Pcg64Mcg) -> Outcome {
        if self.felt.failing <= 0.0 {
            return Outcome::Served;
        }
        match uniform(random) {
            u if u < self.dropped => Outcome::Unanswered,
            _ if uniform(random) < self.refused => match uniform(random) {
                u if u < RESET => Outcome::Refused,
                _ => Outcome::Unanswered,
            },
            _ if uniform(random) < self.sorry => Outcome::Sorry,
            _ => Outcome::Served,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: Capacity = Capacity {
        packets_per_second: Some(1_000.0),
        connections_per_second: Some(100.0),
        open_connections: None,
        requests_per_second: None,
    };

    fn load(packets: f64, connections: f64) -> Load {
        Load {
            packets,
            connections,
            ..Load::default()
        }
    }

    #[test]
    fn what_is_too_much_fails_and_has_its_cause() {
        let calm = State::of(&CAPACITY, Load::default(), load(300.0, 30.0), 0.0, 0.0, 30.0);
        assert_eq!((calm.felt.failing, calm.causes), (0.0, [false; 4]));
        let attacked = State::of(&CAPACITY, load(3_700.0, 0.0), load(300.0, 30.0), 0.0, 0.0, 30.0);
        assert!((attacked.felt.failing - 0.75).abs() < 1e-9);
        assert_eq!(attacked.causes, [true, false, false, false]);
        let crowd = State::of(&CAPACITY, Load::default(), load(900.0, 200.0), 0.0, 0.0, 200.0);
        assert!((crowd.felt.failing - 0.5).abs() < 1e-9);
        assert_eq!(crowd.causes, [false, true, false, false]);
        let both = State::of(&CAPACITY, load(2_000.0, 300.0), load(0.0, 100.0), 0.5, 0.2, 100.0);
        assert!((both.felt.failing - (1.0 - 0.5 * 0.25 * 0.5)).abs() < 1e-9);
        assert_eq!(both.causes, [true, false, true, true]);
        let none = State::of(
            &Capacity::default(),
            load(1e9, 1e9),
            Load::default(),
            0.0,
            0.0,
            0.0,
        );
        assert_eq!(
            none.felt.failing, 0.0,
            "no capacity is given, so there is no limit"
        );
    }

    #[test]
    fn a_fault_rises_slowly() {
        let fault = Fault {
            service: "x".to_owned(),
            from: 10,
            to: 40,
            failing: 0.5,
            rise: 20,
        };
        let at = |second| fault_share(&fault, second);
        assert_eq!((at(9), at(40)), (0.0, 0.0));
        assert_eq!((at(19), at(29), at(39)), (0.25, 0.5, 0.5));
    }

    #[test]
    fn outcomes_come_as_often_as_the_shares_say() {
        use rand_pcg::rand_core::SeedableRng;
        let random = &mut Pcg64Mcg::seed_from_u64(1);
        let state = State::of(
            &CAPACITY,
            load(1_000.0, 100.0),
            load(1_000.0, 100.0),
            0.2,
            0.0,
            1.0,
        );
        let mut counts = [0; 4];
        for _ in 0..40_000 {
            counts[state.outcome(random) as usize] += 1;
        }
        let served = f64::from(counts[0]) / 40_000.0;
        assert!((served - (1.0 - state.felt.failing)).abs() < 0.01, "{counts:?}");
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
    }
}
