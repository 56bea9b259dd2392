//! How often something may happen within an hour: exact, in memory, bounded.

use std::collections::{HashMap, VecDeque};

/// Things that are counted at once.
const KEYS_MAX: usize = 100_000;
const HOUR_S: u64 = 3_600;
/// How often what is old is dropped, when there is no room: to look at all costs time, which whoever fills it would like to take.
const DROP_S: u64 = 60;

/// Times of the last hour by key.
#[derive(Debug)]
pub(super) struct Limit {
    per_hour: usize,
    times: HashMap<u64, VecDeque<u64>>,
    dropped_s: u64,
}

impl Limit {
    pub(super) fn new(per_hour: usize) -> Limit {
        Limit {
            per_hour,
            times: HashMap::new(),
            dropped_s: 0,
        }
    }

    /// Counts it, unless it was counted too often already, or there is no room to count more.
    pub(super) fn takes(&mut self, key: u64, now_s: u64) -> bool {
        let is_old = |at: u64| at + HOUR_S <= now_s;
        if self.times.len() >= KEYS_MAX && !self.times.contains_key(&key) {
            if now_s >= self.dropped_s + DROP_S {
                self.dropped_s = now_s;
                self.times
                    .retain(|_, times| times.back().is_some_and(|at| !is_old(*at)));
            }
            if self.times.len() >= KEYS_MAX {
                return false;
            }
        }
        let times = self.times.entry(key).or_default();
        while times.front().is_some_and(|at| is_old(*at)) {
            times.pop_front();
        }
        if times.len() >= self.per_hour {
            return false;
        }
        times.push_back(now_s);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hour_holds_more_and_memory_is_bounded() {
        let mut limit = Limit::new(3);
        let taken: Vec<bool> = [0, 10, 20, 30, 3_599].map(|at| limit.takes(1, at)).to_vec();
        assert_eq!(taken, [true, true, true, false, false]);
        assert!(limit.takes(2, 30));
        assert!(limit.takes(1, 3_600) && !limit.takes(1, 3_601));
        for key in 0..2 * KEYS_MAX as u64 {
            limit.takes(key, 4_000);
        }
        assert_eq!(limit.times.len(), KEYS_MAX);
        assert!(limit.takes(u64::MAX, 9_000));
        assert_eq!(limit.times.len(), 1);
    }
}
