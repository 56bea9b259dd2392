//! What was lost on the way, by the sequence numbers of export messages.
//!
//! v5 and v7 count flows, v9 and sFlow count messages, IPFIX counts data records (RFC 7011 section 3.1); all wrap at 32 bits. Some
//! exporters count otherwise than their protocol says; so both ways of counting are followed, and the one that fits the
//! exporter's own messages better is believed. A message that comes late fills the gap it had left and is no loss; one that
//! comes twice is a duplicate; a jump that cannot be a gap, or an uptime that goes back, is a restart.

/// Gaps that are remembered, for messages that come late.
const GAPS: usize = 32;
/// A jump of more than this, forwards or backwards, is a restart.
const JUMP_MAX: u32 = 1 << 20;
/// A number this far ahead at most goes on from the one before.
const GOES_ON: u32 = 10_000;
/// Uptime may go back by this much, in milliseconds, through reordering.
const UPTIME_SLACK_MS: u32 = 60_000;

/// One way of counting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Track {
    next: Option<u32>,
    /// Messages that came exactly when they were expected.
    fits: u64,
    lost: u64,
    duplicates: u64,
    restarts: u64,
    /// Open gaps: first missing number and how many.
    gaps: Vec<(u32, u32)>,
}

impl Track {
    fn message(&mut self, number: u32, step: u32, restarted: bool) {
        let next = number.wrapping_add(step);
        let Some(expected) = self.next.filter(|_| !restarted) else {
            self.restarts += u64::from(restarted);
            self.gaps.clear();
            self.next = Some(next);
            return;
        };
        let ahead = number.wrapping_sub(expected);
        let behind = expected.wrapping_sub(number);
        if ahead == 0 {
            self.fits += 1;
            self.next = Some(next);
        } else if ahead <= JUMP_MAX {
            self.lost += u64::from(ahead);
            if self.gaps.len() == GAPS {
                self.gaps.remove(0);
            }
            self.gaps.push((expected, ahead));
            self.next = Some(next);
        } else if behind <= JUMP_MAX {
            self.late(number, step);
        } else {
            self.restarts += 1;
            self.gaps.clear();
            self.next = Some(next);
        }
    }

    /// A number from before: it fills a gap, or it came before.
    fn late(&mut self, number: u32, step: u32) {
        let step = step.max(1);
        let found = self
            .gaps
            .iter()
            .position(|&(first, count)| number.wrapping_sub(first) < count);
        let Some(at) = found else {
            self.duplicates += 1;
            return;
        };
        let (first, count) = self.gaps.remove(at);
        let before = number.wrapping_sub(first);
        let filled = step.min(count - before);
        self.lost -= u64::from(filled);
        let after = count - before - filled;
        for (first, count) in [(first, before), (number.wrapping_add(filled), after)] {
            if count > 0 && self.gaps.len() < GAPS {
                self.gaps.push((first, count));
            }
        }
    }
}

/// The sequence of one exporter's observation domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sequence {
    by_messages: Track,
    by_records: Track,
    uptime_ms: Option<u32>,
}

/// What the sequence numbers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Lost export messages or records, see `in_records`.
    pub lost: u64,
    /// Whether the exporter counts records rather than messages.
    pub in_records: bool,
    /// Messages that came twice.
    pub duplicates: u64,
    /// Restarts of the exporter.
    pub restarts: u64,
}

impl Sequence {
    /// Takes a message's number, how many records it held (`None` where that is not known, because a template is missing), and the
    /// exporter's uptime where the protocol has one.
    pub(crate) fn message(&mut self, number: u32, records: Option<u32>, uptime_ms: Option<u32>) {
        let restarted = match (self.uptime_ms, uptime_ms) {
            // Uptime wraps after 49.7 days: from near the top to near zero is no restart.
            (Some(was), Some(is)) => {
                let back = was.wrapping_sub(is);
                // The cards of one chassis may have their own uptimes and share the numbers: what goes on is no restart.
                let goes_on =
                    |track: &Track| track.next.is_none_or(|next| number.wrapping_sub(next) < GOES_ON);
                let continues = goes_on(&self.by_messages) || goes_on(&self.by_records);
                back > UPTIME_SLACK_MS && back < u32::MAX / 2 && !continues
            }
            _ => false,
        };
        if let Some(is) = uptime_ms
            && (restarted
                || self
                    .uptime_ms
                    .is_none_or(|was| is.wrapping_sub(was) < u32::MAX / 2))
        {
            self.uptime_ms = Some(is);
        }
        self.by_messages.message(number, 1, restarted);
        self.by_records.message(number, records.unwrap_or(0), restarted);
        if records.is_none() {
            self.by_records.next = None;
        }
    }

    /// What is known by now. `counts_records` is what the protocol says; an exporter that fits the other way better is believed.
    pub(crate) fn losses(&self, counts_records: bool) -> Losses {
        let (said, other) = if counts_records {
            (&self.by_records, &self.by_messages)
        } else {
            (&self.by_messages, &self.by_records)
        };
        let in_records = counts_records ^ (other.fits > said.fits);
        let track = if in_records {
            &self.by_records
        } else {
            &self.by_messages
        };
        Losses {
            lost: track.lost,
            in_records,
            duplicates: track.duplicates,
            restarts: track.restarts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(messages: &[(u32, u32)], counts_records: bool) -> Losses {
        let mut sequence = Sequence::default();
        for &(number, records) in messages {
            sequence.message(number, Some(records), None);
        }
        sequence.losses(counts_records)
    }

    #[test]
    fn gaps_are_losses_and_late_messages_are_not() {
        let lost = |messages: &[(u32, u32)]| run(messages, true).lost;
        assert_eq!(lost(&[(0, 30), (30, 30), (60, 30)]), 0);
        assert_eq!(lost(&[(0, 30), (60, 30), (90, 30)]), 30);
        assert_eq!(lost(&[(0, 30), (60, 30), (30, 30), (90, 30)]), 0);
        assert_eq!(lost(&[(0, 30), (120, 30), (60, 30), (150, 30)]), 60);
    }

    #[test]
    fn duplicates_and_restarts_are_not_losses() {
        let twice = run(&[(0, 30), (30, 30), (30, 30), (60, 30)], true);
        assert_eq!((twice.lost, twice.duplicates), (0, 1));
        let restarted = run(&[(3_000_000_000, 30), (0, 30), (30, 30)], true);
        assert_eq!((restarted.lost, restarted.restarts), (0, 1));
        let wrapped = run(&[(u32::MAX - 29, 30), (0, 30), (30, 30)], true);
        assert_eq!((wrapped.lost, wrapped.restarts), (0, 0));
    }

    #[test]
    fn an_exporter_that_counts_otherwise_is_understood() {
        let messages: Vec<_> = (0..50).map(|n| (n, 24)).collect();
        let losses = run(&messages, true);
        assert_eq!((losses.lost, losses.in_records), (0, false));
        let records: Vec<_> = (0..50).map(|n| (n * 24, 24)).collect();
        let losses = run(&records, false);
        assert_eq!((losses.lost, losses.in_records), (0, true));
    }

    #[test]
    fn an_uptime_that_goes_back_is_a_restart() {
        let mut sequence = Sequence::default();
        sequence.message(500, Some(1), Some(9_000_000));
        sequence.message(0, Some(1), Some(1_000));
        sequence.message(1, Some(1), Some(2_000));
        let losses = sequence.losses(false);
        assert_eq!((losses.lost, losses.restarts), (0, 1));
        let mut wrapped = Sequence::default();
        wrapped.message(5, Some(1), Some(u32::MAX - 10));
        wrapped.message(6, Some(1), Some(20));
        assert_eq!(wrapped.losses(false).restarts, 0);
    }
}
