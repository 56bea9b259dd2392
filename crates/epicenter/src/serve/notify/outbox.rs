//! What has to be sent: in order for each receiver, tried again with growing waits, and bounded. Pure; what has to be written of it is
//! given back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::{Message, Urgency};

/// Kind of the documents.
pub(crate) const OUTBOX: &str = "outbox";
/// Entries at most.
pub(crate) const ENTRIES_MAX: usize = 100_000;
/// Receivers that are spoken with at once.
pub(crate) const AT_ONCE: usize = 32;
/// Of them, those of the settings, mail to visitors, and their browsers. However many visitors there are, and however slow the server
/// that takes their mail is: some are left for those on call.
const LANES: [usize; 3] = [AT_ONCE, 8, 16];

fn lane(receiver: &str) -> usize {
    match receiver.split_once(':') {
        Some(("mail" | "confirm", _)) => 1,
        Some(("push", _)) => 2,
        _ => 0,
    }
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The first wait; each is twice the one before.
    pub(crate) first: Duration,
    /// The longest wait.
    pub(crate) most: Duration,
    /// After this nothing is tried any more.
    pub(crate) give_up: Duration,
    /// How long one try may take.
    pub(crate) timeout: Duration,
}

impl Default for Times {
    fn default() -> Times {
        Times {
            first: Duration::from_secs(5),
            most: Duration::from_secs(3_600),
            give_up: Duration::from_secs(24 * 3_600),
            timeout: Duration::from_secs(15),
        }
    }
}

impl Times {
    /// The wait after so many tries, give or take a fifth: those that failed together do not come back together.
    fn wait_ns(&self, tries: u32, random: u64) -> u64 {
        let doubled = self.first.as_nanos() << tries.saturating_sub(1).min(40);
        let wait = doubled.min(self.most.as_nanos()) as u64;
        // 80 % to 120 % in parts of a thousandth.
        wait / 1_000 * (800 + random % 401)
    }
}

/// What is sent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Payload {
    Message(#[serde(with = "shared")] Arc<Message>),
    /// Somebody, or somebody else in their name, wants mail: is it them?
    Confirm {
        email: String,
        service: String,
    },
}

/// Many receivers share a message in memory; on the disk each has its own.
mod shared {
    use super::{Arc, Deserialize, Message, Serialize};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(message: &Arc<Message>, to: S) -> Result<S::Ok, S::Error> {
        message.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<Message>, D::Error> {
        Message::deserialize(from).map(Arc::new)
    }
}

/// Something that has to be sent to one receiver.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Entry {
    /// Its order among those of a receiver, and its name.
    pub(crate) id: String,
    pub(crate) receiver: String,
    pub(crate) urgency: Urgency,
    pub(crate) payload: Payload,
    pub(crate) made_ns: u64,
    pub(crate) tries: u32,
    pub(crate) next_ns: u64,
}

impl Entry {
    /// Due at once.
    pub(crate) fn new(receiver: &str, key: &str, urgency: Urgency, payload: Payload, now_ns: u64) -> Entry {
        Entry {
            // Times of 20 digits sort as they follow each other.
            id: format!("{now_ns:020} {receiver} {key}"),
            receiver: receiver.to_owned(),
            urgency,
            payload,
            made_ns: now_ns,
            tries: 0,
            next_ns: now_ns,
        }
    }

    /// Its document: kind, name and text.
    pub(crate) fn document(&self) -> (&'static str, String, String) {
        let text = serde_json::to_string(self).unwrap_or_default();
        (OUTBOX, self.id.clone(), text)
    }
}

/// Why something did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// Words without secrets and addresses of people.
    pub(crate) reason: String,
    /// The same will be refused again.
    pub(crate) is_final: bool,
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    /// It may work later.
    pub(crate) fn passing(reason: impl Into<String>) -> Failure {
        Failure {
            reason: reason.into(),
            is_final: false,
            retry_after: None,
        }
    }

    /// It never will.
    pub(crate) fn lasting(reason: impl Into<String>) -> Failure {
        Failure {
            is_final: true,
            ..Failure::passing(reason)
        }
    }
}

/// What becomes of an entry that was not taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    /// It is tried again, and written as it is now.
    Again(Box<Entry>),
    /// It is given up, and its document goes.
    GivenUp(Box<Entry>),
    /// It is not there any more.
    Gone,
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    times: Times,
    /// By receiver, in order. Never an empty one.
    receivers: BTreeMap<String, BTreeMap<String, Entry>>,
    /// When each receiver that is not being spoken with is to be tried next, by lane.
    next: [BTreeSet<(u64, String)>; LANES.len()],
    busy: [BTreeSet<String>; LANES.len()],
    /// All, the ones to be dropped first in front.
    by_urgency: BTreeSet<(Urgency, String, String)>,
    /// Entries for which there was no room.
    pub(crate) dropped: u64,
    most: usize,
}

impl Outbox {
    pub(crate) fn new(times: Times, most: usize) -> Outbox {
        Outbox {
            times,
            most,
            ..Outbox::default()
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_urgency.len()
    }

    /// Takes what is written already. Returns what had to go for it: the oldest of the least urgent.
    pub(crate) fn put(&mut self, entry: Entry) -> Option<Entry> {
        let receiver = entry.receiver.clone();
        self.by_urgency
            .insert((entry.urgency, entry.id.clone(), receiver.clone()));
        self.unschedule(&receiver);
        self.receivers
            .entry(receiver.clone())
            .or_default()
            .insert(entry.id.clone(), entry);
        self.schedule(&receiver);
        if self.len() <= self.most {
            return None;
        }
        let (_, id, receiver) = self.by_urgency.first().cloned()?;
        self.dropped += 1;
        self.remove(&receiver, &id)
    }

    fn head(&self, receiver: &str) -> Option<&Entry> {
        self.receivers.get(receiver)?.values().next()
    }

    fn unschedule(&mut self, receiver: &str) {
        if let Some(head) = self.head(receiver) {
            let key = (head.next_ns, receiver.to_owned());
            self.next[lane(receiver)].remove(&key);
        }
    }

    fn schedule(&mut self, receiver: &str) {
        if self.busy[lane(receiver)].contains(receiver) {
            return;
        }
        if let Some(head) = self.head(receiver) {
            let key = (head.next_ns, receiver.to_owned());
            self.next[lane(receiver)].insert(key);
        }
    }

    fn remove(&mut self, receiver: &str, id: &str) -> Option<Entry> {
        self.unschedule(receiver);
        let list = self.receivers.get_mut(receiver)?;
        let entry = list.remove(id);
        if list.is_empty() {
            self.receivers.remove(receiver);
        }
        if let Some(entry) = &entry {
            self.by_urgency
                .remove(&(entry.urgency, entry.id.clone(), entry.receiver.clone()));
        }
        self.schedule(receiver);
        entry
    }

    /// The lane in which the next one is due, and when.
    fn first(&self) -> Option<(u64, usize)> {
        let all: usize = self.busy.iter().map(BTreeSet::len).sum();
        if all >= AT_ONCE {
            return None;
        }
        (0..LANES.len())
            .filter(|lane| self.busy[*lane].len() < LANES[*lane])
            .filter_map(|lane| Some((self.next[lane].first()?.0, lane)))
            .min()
    }

    /// When the next one is due; `None` while nothing can be begun.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.first().map(|(at, _)| at)
    }

    /// The next one that is due and whose receiver is free; it is being sent from now on.
    pub(crate) fn begin(&mut self, now_ns: u64) -> Option<Entry> {
        let (at, lane) = self.first()?;
        if at > now_ns {
            return None;
        }
        let (_, receiver) = self.next[lane].pop_first()?;
        let entry = self.head(&receiver)?.clone();
        self.busy[lane].insert(receiver);
        Some(entry)
    }

    /// It arrived. Returns whether it was still there.
    pub(crate) fn arrived(&mut self, receiver: &str, id: &str) -> bool {
        self.busy[lane(receiver)].remove(receiver);
        let was = self.remove(receiver, id).is_some();
        self.schedule(receiver);
        was
    }

    /// It did not arrive.
    pub(crate) fn failed(
        &mut self,
        receiver: &str,
        id: &str,
        failure: &Failure,
        now_ns: u64,
        random: u64,
    ) -> Fate {
        self.busy[lane(receiver)].remove(receiver);
        let times = self.times;
        let Some(entry) = self.receivers.get_mut(receiver).and_then(|list| list.get_mut(id)) else {
            self.schedule(receiver);
            return Fate::Gone;
        };
        entry.tries += 1;
        let asked = failure.retry_after.unwrap_or_default().min(times.most).as_nanos() as u64;
        entry.next_ns = now_ns.saturating_add(times.wait_ns(entry.tries, random).max(asked));
        let is_late = entry.next_ns.saturating_sub(entry.made_ns) > times.give_up.as_nanos() as u64;
        if failure.is_final || is_late {
            let gone = self.remove(receiver, id);
            self.schedule(receiver);
            return gone.map_or(Fate::Gone, |entry| Fate::GivenUp(Box::new(entry)));
        }
        let entry = entry.clone();
        self.schedule(receiver);
        Fate::Again(Box::new(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn entry(receiver: &str, key: u64, urgency: Urgency) -> Entry {
        let payload = Payload::Confirm {
            email: "a@example.org".to_owned(),
            service: "shop".to_owned(),
        };
        Entry::new(receiver, &key.to_string(), urgency, payload, key * S)
    }

    fn outbox(most: usize) -> Outbox {
        Outbox::new(Times::default(), most)
    }

    #[test]
    fn waits_double_up_to_an_hour_and_end_after_a_day() {
        let times = Times::default();
        let waits: Vec<u64> = (1..=13).map(|tries| times.wait_ns(tries, 200) / S).collect();
        assert_eq!(
            waits,
            [
                5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600, 3_600
            ]
        );
        assert_eq!((times.wait_ns(1, 0), times.wait_ns(1, 400)), (4 * S, 6 * S));
        assert_eq!(times.wait_ns(u32::MAX, 200), 3_600 * S);
        let mut outbox = outbox(10);
        outbox.put(entry("a", 0, Urgency::High));
        let (mut now, mut tries) = (0, 0);
        let failure = Failure::passing("HTTP 500");
        loop {
            let one = outbox.begin(now).expect("due");
            tries += 1;
            match outbox.failed("a", &one.id, &failure, now, 200) {
                Fate::Again(next) => now = next.next_ns,
                Fate::GivenUp(last) => {
                    assert_eq!(last.tries, tries);
                    break;
                }
                Fate::Gone => panic!("it is there"),
            }
        }
        assert!(now > 22 * 3_600 * S && now <= 24 * 3_600 * S, "{}", now / S);
        assert_eq!((outbox.len(), outbox.next_ns()), (0, None));
    }

    #[test]
    fn one_receiver_is_told_in_order_and_holds_up_nobody() {
        let mut outbox = outbox(10);
        for (receiver, key) in [("a", 2), ("a", 1), ("b", 3)] {
            outbox.put(entry(receiver, key, Urgency::High));
        }
        let first = outbox.begin(9 * S).expect("due");
        assert_eq!((first.receiver.as_str(), first.made_ns), ("a", S));
        assert_eq!(outbox.begin(9 * S).expect("due").receiver, "b");
        assert_eq!(outbox.begin(9 * S), None, "a is being told");
        let later = Failure {
            retry_after: Some(Duration::from_secs(60)),
            ..Failure::passing("HTTP 429")
        };
        assert!(matches!(
            outbox.failed("a", &first.id, &later, 9 * S, 0),
            Fate::Again(_)
        ));
        assert_eq!(
            outbox.next_ns(),
            Some(69 * S),
            "the second one waits behind the first"
        );
        let again = outbox.begin(69 * S).expect("due");
        assert_eq!((again.id.as_str(), again.tries), (first.id.as_str(), 1));
        assert!(outbox.arrived("a", &again.id));
        assert_eq!(outbox.begin(69 * S).expect("due").made_ns, 2 * S);
        let refused = Failure::lasting("HTTP 400");
        let second = entry("a", 2, Urgency::High);
        assert!(matches!(
            outbox.failed("a", &second.id, &refused, 70 * S, 0),
            Fate::GivenUp(_)
        ));
    }

    #[test]
    fn the_oldest_of_the_least_urgent_goes_when_there_is_no_room() {
        let mut outbox = outbox(3);
        assert_eq!(outbox.put(entry("a", 1, Urgency::High)), None);
        assert_eq!(outbox.put(entry("b", 3, Urgency::Low)), None);
        assert_eq!(outbox.put(entry("a", 2, Urgency::Low)), None);
        assert_eq!(
            outbox
                .put(entry("c", 4, Urgency::Normal))
                .map(|gone| gone.made_ns),
            Some(2 * S)
        );
        assert_eq!(
            outbox
                .put(entry("c", 5, Urgency::Normal))
                .map(|gone| gone.made_ns),
            Some(3 * S)
        );
        assert_eq!((outbox.len(), outbox.dropped), (3, 2));
    }

    #[test]
    fn no_more_than_some_are_spoken_with_at_once() {
        let mut outbox = outbox(1_000);
        for n in 0..100 {
            outbox.put(entry(&format!("r{n}"), n, Urgency::High));
        }
        let begun: Vec<_> = std::iter::from_fn(|| outbox.begin(1_000 * S)).collect();
        assert_eq!(begun.len(), AT_ONCE);
        assert!(outbox.arrived(&begun[0].receiver, &begun[0].id));
        assert!(outbox.begin(1_000 * S).is_some());
        assert_eq!(outbox.len(), 99);
    }

    #[test]
    fn visitors_do_not_keep_those_on_call_waiting() {
        let mut outbox = outbox(1_000);
        for n in 0..100 {
            outbox.put(entry(&format!("mail:{n}"), n, Urgency::High));
            outbox.put(entry(&format!("push:{n}"), n, Urgency::High));
        }
        outbox.put(entry("pagerduty-1", 500, Urgency::High));
        let begun: Vec<_> = std::iter::from_fn(|| outbox.begin(1_000 * S)).collect();
        assert_eq!(begun.len(), 8 + 16 + 1);
        assert!(begun.iter().any(|one| one.receiver == "pagerduty-1"));
    }

    proptest! {
        #[test]
        fn everything_put_arrives_once_whatever_fails(deeds in proptest::collection::vec((0..6u8, 0..5u8), 1..200)) {
            let mut outbox = outbox(1_000);
            let (mut now, mut put, mut arrived) = (0, 0, BTreeSet::new());
            let mut flying: Vec<Entry> = Vec::new();
            for (deed, which) in deeds {
                now += S;
                match deed {
                    0 | 1 => {
                        put += 1;
                        outbox.put(entry(&format!("r{which}"), put, Urgency::Normal));
                    }
                    2 | 3 => flying.extend(outbox.begin(now)),
                    _ if flying.is_empty() => {}
                    4 => {
                        let one = flying.remove(which as usize % flying.len());
                        prop_assert!(outbox.arrived(&one.receiver, &one.id));
                        prop_assert!(arrived.insert(one.id));
                    }
                    _ => {
                        let one = flying.remove(which as usize % flying.len());
                        let fate = outbox.failed(&one.receiver, &one.id, &Failure::passing("x"), now, 0);
                        prop_assert!(matches!(fate, Fate::Again(_)));
                    }
                }
                let receivers: BTreeSet<_> = flying.iter().map(|one| &one.receiver).collect();
                prop_assert_eq!(receivers.len(), flying.len(), "one at a time for each");
                prop_assert_eq!(outbox.len() + arrived.len(), put as usize);
            }
            for one in flying {
                prop_assert!(outbox.arrived(&one.receiver, &one.id));
                arrived.insert(one.id);
            }
            while let Some(next) = outbox.next_ns() {
                let one = outbox.begin(next).expect("due");
                prop_assert!(outbox.arrived(&one.receiver, &one.id));
                prop_assert!(arrived.insert(one.id));
            }
            prop_assert_eq!(arrived.len(), put as usize);
        }
    }
}
