//! The time of the tracker: that of the system, without its jumps.
//!
//! Time never goes back, since what was judged cannot be judged again: a clock that was set back is waited for. A clock that was set
//! forward is believed once it has stayed ahead for a while; the time between is one in which nothing was heard.

use std::time::Duration;

/// Differences that are followed without a word: what synchronisation of clocks does.
const SMALL: Duration = Duration::from_secs(2);
/// How long a clock that jumped forward has to stay there.
const SETTLED: Duration = Duration::from_secs(60);

/// The time.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    /// Ours at the start of `since`, in nanoseconds since 1970, and the steady clock then.
    base_ns: u64,
    base: Duration,
    /// Since when the system has been ahead by more than [`SMALL`].
    ahead_since: Option<Duration>,
    last_ns: u64,
}

/// A reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) now_ns: u64,
    /// Time was left out just now: nothing was heard in it.
    pub(crate) jumped: bool,
    /// How far the system is behind ours, in seconds.
    pub(crate) behind_s: u64,
}

impl Clock {
    /// Starts at the system's time, and not before `least_ns`. `steady` is a clock that never jumps.
    pub(crate) fn new(system_ns: u64, steady: Duration, least_ns: u64) -> Clock {
        let base_ns = system_ns.max(least_ns);
        Clock {
            base_ns,
            base: steady,
            ahead_since: None,
            last_ns: base_ns,
        }
    }

    /// The time now.
    pub(crate) fn read(&mut self, system_ns: u64, steady: Duration) -> Reading {
        let own = self.base_ns + steady.saturating_sub(self.base).as_nanos() as u64;
        let small = SMALL.as_nanos() as u64;
        let mut jumped = false;
        if system_ns.abs_diff(own) <= small {
            (self.base_ns, self.base) = (system_ns, steady);
            self.ahead_since = None;
        } else if system_ns > own {
            let since = *self.ahead_since.get_or_insert(steady);
            if steady.saturating_sub(since) >= SETTLED {
                (self.base_ns, self.base) = (system_ns, steady);
                self.ahead_since = None;
                jumped = true;
            }
        } else {
            self.ahead_since = None;
        }
        let now_ns = (self.base_ns + steady.saturating_sub(self.base).as_nanos() as u64).max(self.last_ns);
        self.last_ns = now_ns;
        Reading {
            now_ns,
            jumped,
            behind_s: now_ns.saturating_sub(system_ns) / 1_000_000_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const START: u64 = 1_800_000_000 * S;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn small_differences_are_followed_and_time_never_goes_back() {
        let mut clock = Clock::new(START, at(0), 0);
        assert_eq!(clock.read(START + 10 * S, at(10)).now_ns, START + 10 * S);
        assert_eq!(clock.read(START + 21 * S, at(20)).now_ns, START + 21 * S);
        // A second back: it stands still.
        assert_eq!(clock.read(START + 20 * S, at(20)).now_ns, START + 21 * S);
        assert_eq!(clock.read(START + 25 * S, at(25)).now_ns, START + 25 * S);
    }

    #[test]
    fn an_hour_back_is_waited_for() {
        let mut clock = Clock::new(START, at(0), 0);
        for s in 1..3_700 {
            let reading = clock.read(START + s * S - 3_600 * S, at(s));
            assert_eq!((reading.now_ns, reading.jumped), (START + s * S, false));
            assert_eq!(reading.behind_s, 3_600);
        }
        // As after a restart: not before what was written.
        assert_eq!(
            Clock::new(START - 3_600 * S, at(0), START)
                .read(START - 3_600 * S, at(0))
                .now_ns,
            START
        );
    }

    #[test]
    fn an_hour_ahead_is_believed_once_it_stays() {
        let mut clock = Clock::new(START, at(0), 0);
        for s in 1..=60 {
            assert_eq!(clock.read(START + (3_600 + s) * S, at(s)).now_ns, START + s * S);
        }
        let reading = clock.read(START + (3_600 + 61) * S, at(61));
        assert_eq!((reading.now_ns, reading.jumped), (START + 3_661 * S, true));
        assert!(!clock.read(START + (3_600 + 62) * S, at(62)).jumped);
        // Ahead for a moment alone: nothing happened.
        let mut clock = Clock::new(START, at(0), 0);
        assert_eq!(clock.read(START + 3_601 * S, at(1)).now_ns, START + S);
        assert_eq!(clock.read(START + 2 * S, at(2)).now_ns, START + 2 * S);
        assert!(!clock.read(START + 3_662 * S, at(62)).jumped);
    }
}
