//! When which probe is made: each at its interval, spread so that they do not all come at once, and never the same twice at a time.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::offline::{self, Check, Failure, Seen, WITNESSES, Whose};
use super::{Code, Finding, Kind, Outcome, Reason, Trust, Verdict};
use crate::serve::config::{Probe, Service};

/// Probes that are made at once.
pub(crate) const AT_ONCE: usize = 64;
/// All probes of a tracker that starts are made within this time, however long their intervals are.
const FIRST_WITHIN: Duration = Duration::from_secs(30);
/// Part of the interval by which a probe comes early or late.
const JITTER: f64 = 0.1;
/// How often failures that may be ours are looked at again.
const LOOK: Duration = Duration::from_millis(100);

/// Makes the probes of all services until `stop` is ready or nobody takes results any more. Another list takes the place of the first
/// at once; probes that are in both keep their rhythm.
///
/// A failure to reach a host is told when it is known whose it is. Until then it is held: the machine is asked for its way out, and
/// a few other hosts are probed before their turn.
pub(crate) async fn keep(
    services: watch::Receiver<Arc<Vec<Service>>>,
    place: String,
    trust: Arc<Trust>,
    sink: mpsc::Sender<Finding>,
    stop: impl Future<Output = ()>,
) {
    let asked = Arc::clone(&trust);
    let run = move |probe: Arc<Probe>| {
        let trust = Arc::clone(&trust);
        async move { super::run(&probe, &trust).await }
    };
    let check = move || {
        let trust = Arc::clone(&asked);
        async move { offline::check(&trust).await }
    };
    keep_with(services, place, run, check, sink, stop).await;
}

async fn keep_with<Run, Ran, Ask, Asked>(
    mut services: watch::Receiver<Arc<Vec<Service>>>,
    place: String,
    run: Run,
    ask: Ask,
    sink: mpsc::Sender<Finding>,
    stop: impl Future<Output = ()>,
) where
    Run: Fn(Arc<Probe>) -> Ran,
    Ran: Future<Output = Outcome> + Send + 'static,
    Ask: Fn() -> Asked,
    Asked: Future<Output = Check> + Send + 'static,
{
    let mut stop = std::pin::pin!(stop);
    let mut running: JoinSet<Outcome> = JoinSet::new();
    let mut checking: JoinSet<(u64, Check)> = JoinSet::new();
    let mut keeper = Keeper::new(place);
    let list = Arc::clone(&services.borrow_and_update());
    keeper.set(&list, Instant::now());
    let mut listening = true;
    loop {
        let now = Instant::now();
        while running.len() < AT_ONCE
            && let Some((id, probe)) = keeper.take_due(now)
        {
            let task = running.spawn(run(Arc::clone(&probe)));
            keeper.started(task.id(), id, probe, now);
        }
        keeper.settle(now);
        while let Some(result) = keeper.told.pop_front() {
            tokio::select! {
                biased;
                () = &mut stop => return,
                sent = sink.send(result) => if sent.is_err() {
                    return;
                }
            }
        }
        if keeper.needs_check() && checking.is_empty() {
            let (at, asked) = (keeper.clock(now), ask());
            checking.spawn(async move { (at, asked.await) });
        }
        let due = keeper.next_due().filter(|_| running.len() < AT_ONCE);
        let look = (!keeper.held.is_empty()).then(|| now + LOOK);
        let wake = [due, look].into_iter().flatten().min();
        tokio::select! {
            biased;
            () = &mut stop => return,
            changed = services.changed(), if listening => match changed {
                Ok(()) => {
                    let list = Arc::clone(&services.borrow_and_update());
                    keeper.set(&list, Instant::now());
                }
                // Nobody will change the list any more; the last one stays.
                Err(_) => listening = false,
            },
            Some(ended) = running.join_next_with_id() => {
                let (task, outcome) = match ended {
                    Ok(ended) => ended,
                    Err(error) => {
                        let broke = Reason::new(Code::Internal, format!("the probe broke: {error}"));
                        (error.id(), Outcome::bare(Verdict::NoData(broke)))
                    }
                };
                keeper.ended(task, outcome, Instant::now());
            }
            Some(Ok(checked)) = checking.join_next() => keeper.check = Some(checked),
            () = tokio::time::sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
        }
    }
}

/// A probe's service, and its number there.
type Id = (Arc<str>, usize);

/// What is to be done when.
struct Keeper {
    place: String,
    start: Instant,
    entries: BTreeMap<Id, Entry>,
    due: BTreeSet<(Instant, Id)>,
    running: HashMap<tokio::task::Id, Running>,
    busy: BTreeSet<Id>,
    /// The last result of each host, and the hosts by when it came.
    hosts: HashMap<Arc<str>, (u64, bool)>,
    recent: BTreeSet<(u64, Arc<str>)>,
    check: Option<(u64, Check)>,
    held: Vec<Held>,
    told: VecDeque<Finding>,
}

struct Entry {
    probe: Arc<Probe>,
    host: Arc<str>,
    rhythm: Rhythm,
    /// The next turn.
    turn: u64,
    due: Option<Instant>,
    /// The last result that was told was a failure.
    down: bool,
}

struct Running {
    id: Id,
    probe: Arc<Probe>,
    began: Instant,
    at_ns: u64,
}

/// A failure of which it is not known yet whose it is.
struct Held {
    result: Finding,
    id: Id,
    host: Arc<str>,
    reason: Reason,
    began: u64,
    others: usize,
    /// Others were asked, and answer by then.
    until: Option<Instant>,
}

impl Keeper {
    fn new(place: String) -> Keeper {
        Keeper {
            place,
            start: Instant::now(),
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            running: HashMap::new(),
            busy: BTreeSet::new(),
            hosts: HashMap::new(),
            recent: BTreeSet::new(),
            check: None,
            held: Vec::new(),
            told: VecDeque::new(),
        }
    }

    /// Nanoseconds since the start.
    fn clock(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_nanos() as u64
    }

    /// Another list of services.
    fn set(&mut self, services: &[Service], now: Instant) {
        let mut before = std::mem::take(&mut self.entries);
        for service in services {
            let slug: Arc<str> = Arc::from(service.slug.as_str());
            for (number, probe) in service.probe.iter().enumerate() {
                let id = (Arc::clone(&slug), number);
                let entry = match before.remove(&id) {
                    Some(entry) if *entry.probe == *probe => entry,
                    old => {
                        if let Some(due) = old.and_then(|old| old.due) {
                            self.due.remove(&(due, id.clone()));
                        }
                        let rhythm = Rhythm::new(&self.place, &id, probe.times().0, now);
                        // Where the old one is still running, its end brings the new one.
                        let due = (!self.busy.contains(&id)).then(|| rhythm.first());
                        if let Some(due) = due {
                            self.due.insert((due, id.clone()));
                        }
                        Entry {
                            probe: Arc::new(probe.clone()),
                            host: Arc::from(super::host(probe)),
                            rhythm,
                            turn: 0,
                            due,
                            down: false,
                        }
                    }
                };
                self.entries.insert(id, entry);
            }
        }
        for (id, old) in before {
            if let Some(due) = old.due {
                self.due.remove(&(due, id));
            }
        }
        let known: BTreeSet<Arc<str>> = self
            .entries
            .values()
            .map(|entry| Arc::clone(&entry.host))
            .collect();
        self.hosts.retain(|host, _| known.contains(host));
        self.recent.retain(|(_, host)| known.contains(host));
        let entries = &self.entries;
        self.held.retain(|held| entries.contains_key(&held.id));
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    fn take_due(&mut self, now: Instant) -> Option<(Id, Arc<Probe>)> {
        self.due.first().filter(|(due, _)| *due <= now)?;
        let (_, id) = self.due.pop_first()?;
        let entry = self.entries.get_mut(&id)?;
        entry.due = None;
        Some((id, Arc::clone(&entry.probe)))
    }

    fn started(&mut self, task: tokio::task::Id, id: Id, probe: Arc<Probe>, began: Instant) {
        self.busy.insert(id.clone());
        let at_ns = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos() as u64;
        self.running.insert(
            task,
            Running {
                id,
                probe,
                began,
                at_ns,
            },
        );
    }

    fn ended(&mut self, task: tokio::task::Id, outcome: Outcome, now: Instant) {
        let Some(ran) = self.running.remove(&task) else {
            return;
        };
        self.busy.remove(&ran.id);
        let clock = self.clock(now);
        let began = self.clock(ran.began);
        let Some(entry) = self.entries.get_mut(&ran.id) else {
            return;
        };
        let due = if Arc::ptr_eq(&entry.probe, &ran.probe) {
            entry.turn = entry.rhythm.turn_after(entry.turn, ran.began, now);
            entry.rhythm.at(entry.turn)
        } else {
            // It was of another configuration: of the one that is asked for now, it says nothing.
            now
        };
        entry.due = Some(due);
        self.due.insert((due, ran.id.clone()));
        if !Arc::ptr_eq(&entry.probe, &ran.probe) {
            return;
        }
        let host = Arc::clone(&entry.host);
        let failure = match &outcome.verdict {
            Verdict::NoData(_) => None,
            Verdict::Down(reason) if reason.code.is_reachability() => Some(reason.clone()),
            Verdict::Up | Verdict::Down(_) => None,
        };
        if !matches!(outcome.verdict, Verdict::NoData(_)) {
            if let Some((at, _)) = self.hosts.insert(Arc::clone(&host), (clock, failure.is_none())) {
                self.recent.remove(&(at, Arc::clone(&host)));
            }
            self.recent.insert((clock, Arc::clone(&host)));
        }
        let result = Finding {
            at_ns: ran.at_ns,
            service: ran.id.0.to_string(),
            probe: ran.id.1,
            kind: Kind::of(&ran.probe),
            place: self.place.clone(),
            outcome,
        };
        match failure {
            None => self.tell(&ran.id, result),
            Some(reason) => {
                let hosts: BTreeSet<&str> = self.entries.values().map(|entry| &*entry.host).collect();
                let others = hosts
                    .into_iter()
                    .filter(|other| offline::is_witness(other, &host))
                    .count();
                self.held.push(Held {
                    result,
                    id: ran.id,
                    host,
                    reason,
                    began,
                    others,
                    until: None,
                });
            }
        }
    }

    fn tell(&mut self, id: &Id, result: Finding) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.down = matches!(result.outcome.verdict, Verdict::Down(_));
        }
        self.told.push_back(result);
    }

    /// Whether the machine has not been asked since some failing probe began.
    fn needs_check(&self) -> bool {
        let asked = self.check.map(|(at, _)| at);
        self.held
            .iter()
            .any(|held| asked.is_none_or(|at| at < held.began))
    }

    /// Tells the failures of which it is known by now whose they are.
    fn settle(&mut self, now: Instant) {
        let mut waiting = Vec::new();
        for mut held in std::mem::take(&mut self.held) {
            let Some((_, check)) = self.check.filter(|(at, _)| *at >= held.began) else {
                waiting.push(held);
                continue;
            };
            let failure = Failure {
                host: &held.host,
                code: held.reason.code,
                began: held.began,
            };
            let from = (held.began, Arc::from(""));
            let since = self.recent.range(from..).map(|(at, host)| Seen {
                host,
                at: *at,
                reached: self.hosts.get(host).is_some_and(|(_, reached)| *reached),
            });
            let whose = offline::judge(failure, held.others, since, check);
            // Of what was down before, and of what nobody answered, it is said again without asking others.
            let asks = self.entries.get(&held.id).is_some_and(|entry| !entry.down);
            match (whose, held.until) {
                (Whose::Ours(why), _) => {
                    let words = format!("{why}; {}", held.reason.words);
                    held.result.outcome.verdict = Verdict::NoData(Reason::new(Code::Offline, words));
                    self.tell(&held.id, held.result);
                }
                (Whose::Unknown, None) if asks => {
                    held.until = Some(now + self.ask_others(&held, now) + Duration::from_secs(1));
                    waiting.push(held);
                }
                (Whose::Unknown, Some(until)) if now < until => waiting.push(held),
                (Whose::Theirs | Whose::Unknown, _) => self.tell(&held.id, held.result),
            }
        }
        // What came in meanwhile stays.
        waiting.append(&mut self.held);
        self.held = waiting;
    }

    /// Brings some probes of other hosts forward. Returns how long they may take.
    fn ask_others(&mut self, held: &Held, now: Instant) -> Duration {
        let mut asked: BTreeSet<Arc<str>> = BTreeSet::new();
        let mut longest = Duration::ZERO;
        for (id, entry) in &mut self.entries {
            if asked.len() >= WITNESSES {
                break;
            }
            let fresh = self
                .hosts
                .get(&entry.host)
                .is_some_and(|(at, _)| *at >= held.began);
            if fresh || asked.contains(&entry.host) || !offline::is_witness(&entry.host, &held.host) {
                continue;
            }
            // What is running already will do.
            if let Some(due) = entry.due.filter(|due| *due > now) {
                self.due.remove(&(due, id.clone()));
                self.due.insert((now, id.clone()));
                entry.due = Some(now);
            }
            asked.insert(Arc::clone(&entry.host));
            longest = longest.max(entry.probe.times().1);
        }
        longest
    }
}

/// When the turns of a probe are: the same wherever and whenever the same place starts with the same probe.
#[derive(Clone, Copy, Debug)]
struct Rhythm {
    seed: u64,
    every: Duration,
    start: Instant,
}

impl Rhythm {
    fn new(place: &str, id: &Id, every: Duration, start: Instant) -> Rhythm {
        // FNV-1a.
        let mut seed = 0xcbf2_9ce4_8422_2325_u64;
        let number = id.1.to_le_bytes();
        for byte in place
            .bytes()
            .chain([0])
            .chain(id.0.bytes())
            .chain([0])
            .chain(number)
        {
            seed = (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Rhythm { seed, every, start }
    }

    /// The first time, out of turn.
    fn first(&self) -> Instant {
        self.start + self.every.min(FIRST_WITHIN).mul_f64(unit(self.seed))
    }

    /// A turn as it is without jitter.
    fn nominal(&self, turn: u64) -> Instant {
        let turns = u32::try_from(turn).unwrap_or(u32::MAX);
        self.start + self.every.mul_f64(unit(self.seed)) + self.every.saturating_mul(turns)
    }

    /// A turn.
    fn at(&self, turn: u64) -> Instant {
        let by = self
            .every
            .mul_f64(JITTER * unit(self.seed ^ turn.wrapping_add(1).wrapping_mul(0xd6e8_feb8_6659_fd93)));
        // Late by up to twice that, and that earlier on the whole: no subtraction before the start.
        (self.nominal(turn) + by + by)
            .checked_sub(self.every.mul_f64(JITTER))
            .unwrap_or(self.start)
    }

    /// The turn after a probe that began and ended then. Turns that it missed are not made up for.
    fn turn_after(&self, mut turn: u64, began: Instant, ended: Instant) -> u64 {
        // What was just probed is not probed again a moment later.
        let from = ended.max(began + self.every / 4);
        let behind = from.saturating_duration_since(self.nominal(turn));
        turn += (behind.as_nanos() / self.every.as_nanos().max(1)) as u64;
        while self.nominal(turn) < from {
            turn += 1;
        }
        turn
    }
}

/// A number from 0 to 1, from a seed (SplitMix64).
fn unit(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
