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

/// Any host of the Internet, and any of our own networks, to be asked who bears witness of it.
const INTERNET: &str = "";
const INSIDE: &str = "0.0.0.0";

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
    /// Nothing was reached since it was found that nothing can be: of the Internet, of our own networks. Others are not asked again
    /// and again meanwhile.
    offline: [bool; 2],
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
            offline: [false; 2],
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
        if failure.is_none() && !matches!(outcome.verdict, Verdict::NoData(_)) {
            for (of, offline) in [INTERNET, INSIDE].into_iter().zip(&mut self.offline) {
                *offline &= !offline::is_witness(&host, of);
            }
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
            let side = usize::from(offline::is_inside(&held.host));
            let from = (held.began, Arc::from(""));
            let since = self.recent.range(from..).map(|(at, host)| Seen {
                host,
                at: *at,
                reached: self.hosts.get(host).is_some_and(|(_, reached)| *reached),
            });
            let whose = offline::judge(failure, held.others, since, check, self.offline[side]);
            // Of what was down before, and of what nobody answered, it is said again without asking others.
            let asks = self.entries.get(&held.id).is_some_and(|entry| !entry.down);
            match (whose, held.until) {
                (Whose::Ours(why), _) => {
                    self.offline[side] |= held.others > 0;
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::serve::config::Span;

    const FINE: Check = Check {
        route: true,
        resolvers: Some(true),
    };

    fn tcp(host: &str, every_ms: u64) -> Probe {
        Probe::Tcp {
            address: format!("{host}:80"),
            every: Span(Duration::from_millis(every_ms)),
            timeout: Span(Duration::from_millis(500)),
        }
    }

    fn service(slug: &str, probe: Vec<Probe>) -> Service {
        Service {
            slug: slug.to_owned(),
            name: slug.to_owned(),
            url: String::new(),
            about: String::new(),
            networks: Vec::new(),
            symptoms: Vec::new(),
            neighbours: Vec::new(),
            claims: None,
            probe,
        }
    }

    fn down(code: Code) -> Outcome {
        Outcome::bare(Verdict::Down(Reason::new(code, "")))
    }

    /// Runs probes for a while, and gives what came of them.
    async fn kept<Run, Ran>(list: Vec<Service>, ms: u64, run: Run, check: Check) -> Vec<Finding>
    where
        Run: Fn(Arc<Probe>) -> Ran,
        Ran: Future<Output = Outcome> + Send + 'static,
    {
        let (_keep, services) = watch::channel(Arc::new(list));
        let (sink, mut results) = mpsc::channel(100_000);
        let stop = tokio::time::sleep(Duration::from_millis(ms));
        keep_with(
            services,
            "here".to_owned(),
            run,
            move || async move { check },
            sink,
            stop,
        )
        .await;
        let mut all = Vec::new();
        while let Some(result) = results.recv().await {
            all.push(result);
        }
        all
    }

    #[test]
    fn turns_are_spread_and_jitter_around_a_fixed_beat() {
        let start = Instant::now();
        let every = Duration::from_secs(600);
        let rhythm = |number| Rhythm::new("here", &(Arc::from("shop"), number), every, start);
        let mut spread: Vec<f64> = (0..200)
            .map(|number| (rhythm(number).nominal(0) - start).as_secs_f64())
            .collect();
        spread.sort_by(f64::total_cmp);
        assert!(
            spread[0] < 30.0 && spread[199] > 570.0 && spread[199] <= 600.0,
            "{spread:?}"
        );
        let widest = spread.windows(2).map(|two| two[1] - two[0]).fold(0.0, f64::max);
        assert!(widest < 40.0, "{widest}");
        let one = rhythm(3);
        let offsets: Vec<f64> = (1..200)
            .map(|turn| {
                one.at(turn).saturating_duration_since(start).as_secs_f64()
                    - (one.nominal(turn) - start).as_secs_f64()
            })
            .collect();
        assert!(offsets.iter().all(|offset| offset.abs() <= 60.0), "{offsets:?}");
        let (least, most) = offsets
            .iter()
            .fold((0.0_f64, 0.0_f64), |(a, b), x| (a.min(*x), b.max(*x)));
        assert!(least < -50.0 && most > 50.0, "{least} {most}");
        // The same every time, another at another place.
        assert_eq!(rhythm(3).at(7), one.at(7));
        assert_ne!(
            Rhythm::new("there", &(Arc::from("shop"), 3), every, start).at(7),
            one.at(7)
        );
        // First results do not wait for an hour.
        assert!((0..200).all(|number| rhythm(number).first() <= start + FIRST_WITHIN));
    }

    #[test]
    fn turns_that_were_missed_are_not_made_up_for() {
        let start = Instant::now();
        let every = Duration::from_secs(60);
        let rhythm = Rhythm::new("here", &(Arc::from("shop"), 0), every, start);
        let mut turn = 0;
        // Each probe takes a second: every turn is taken.
        for expected in 1..50 {
            let began = rhythm.at(turn);
            turn = rhythm.turn_after(turn, began, began + Duration::from_secs(1));
            assert_eq!(turn, expected);
        }
        let began = rhythm.at(turn);
        assert_eq!(
            rhythm.turn_after(turn, began, began + every * 10 + every / 2),
            turn + 11
        );
        // A probe out of turn, shortly before it, takes its place; long before it, it does not.
        let close = rhythm.nominal(turn) - Duration::from_secs(2);
        assert_eq!(rhythm.turn_after(turn, close, close), turn + 1);
        let far = rhythm.nominal(turn) - Duration::from_secs(40);
        assert_eq!(rhythm.turn_after(turn, far, far), turn);
    }

    #[tokio::test]
    async fn probes_come_at_their_interval_and_never_twice_at_once() {
        let running = Arc::new(Mutex::new(BTreeMap::<String, (usize, usize)>::new()));
        let seen = Arc::clone(&running);
        let run = move |probe: Arc<Probe>| {
            let running = Arc::clone(&running);
            async move {
                let host = super::super::host(&probe);
                let slow = host == "slow.example";
                {
                    let mut running = running.lock().unwrap();
                    let (now, most) = running.entry(host.clone()).or_default();
                    *now += 1;
                    *most = (*most).max(*now);
                }
                tokio::time::sleep(Duration::from_millis(if slow { 450 } else { 1 })).await;
                running.lock().unwrap().get_mut(&host).unwrap().0 -= 1;
                Outcome::bare(Verdict::Up)
            }
        };
        let list = vec![service(
            "a",
            vec![tcp("a.example", 100), tcp("slow.example", 100)],
        )];
        let results = kept(list, 2_000, run, FINE).await;
        let count = |number: usize| results.iter().filter(|result| result.probe == number).count();
        assert!((15..=21).contains(&count(0)), "{}", count(0));
        assert!((3..=5).contains(&count(1)), "{}", count(1));
        assert!(seen.lock().unwrap().values().all(|(_, most)| *most == 1));
        let first = &results[0];
        assert_eq!(
            (first.service.as_str(), first.place.as_str(), first.kind),
            ("a", "here", Kind::Tcp)
        );
        assert!(
            results
                .windows(2)
                .all(|two| two[0].at_ns.abs_diff(two[1].at_ns) < 1_000_000_000)
        );
    }

    #[tokio::test]
    async fn no_more_than_the_limit_run_at_once() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let run = move |_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(100)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                Outcome::bare(Verdict::Up)
            }
        };
        let list = (0..20)
            .map(|n| service(&format!("s{n}"), vec![tcp("a.example", 50); 16]))
            .collect();
        let results = kept(list, 700, run, FINE).await;
        assert_eq!(seen.load(Ordering::SeqCst), AT_ONCE);
        // All of them get their turn.
        let probed: BTreeSet<_> = results
            .iter()
            .map(|result| (&result.service, result.probe))
            .collect();
        assert_eq!(probed.len(), 320);
    }

    #[tokio::test]
    async fn another_list_takes_its_place_at_once() {
        let (change, services) =
            watch::channel(Arc::new(vec![service("old", vec![tcp("old.example", 100)])]));
        let (sink, mut results) = mpsc::channel(1_000);
        let run = |probe: Arc<Probe>| async move {
            // Still running when the list changes.
            let slow = super::super::host(&probe) == "old.example";
            tokio::time::sleep(Duration::from_millis(if slow { 300 } else { 1 })).await;
            Outcome::bare(Verdict::Up)
        };
        let changing = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            // The same slug and number, another probe; and one more.
            let new = vec![
                service("old", vec![tcp("new.example", 100)]),
                service("more", vec![tcp("more.example", 100)]),
            ];
            change.send_replace(Arc::new(new));
            tokio::time::sleep(Duration::from_millis(800)).await;
            change.send_replace(Arc::new(Vec::new()));
            tokio::time::sleep(Duration::from_millis(300)).await;
        };
        keep_with(
            services,
            "here".to_owned(),
            run,
            || async { FINE },
            sink,
            changing,
        )
        .await;
        let mut all = Vec::new();
        while let Some(result) = results.recv().await {
            all.push(result);
        }
        // What ended under the new list was of the old one; it is told to nobody.
        let counts = |slug: &str| all.iter().filter(|result| result.service == slug).count();
        assert!((3..=9).contains(&counts("old")), "{}", counts("old"));
        assert!((5..=9).contains(&counts("more")), "{}", counts("more"));
    }

    #[tokio::test]
    async fn one_that_fails_among_many_is_down_and_all_at_once_is_us() {
        let hosts = ["a.example", "b.example", "c.example", "d.example", "e.example"];
        let list = || -> Vec<Service> {
            hosts
                .iter()
                .map(|host| service(&host[..1], vec![tcp(host, 1_000)]))
                .collect()
        };
        let one = |probe: Arc<Probe>| async move {
            match super::super::host(&probe).as_str() {
                "c.example" => down(Code::ConnectTimeout),
                "d.example" => down(Code::WrongStatus),
                _ => Outcome::bare(Verdict::Up),
            }
        };
        let results = kept(list(), 2_500, one, FINE).await;
        let verdicts = |slug: &str| -> Vec<&Verdict> {
            let of = results.iter().filter(|result| result.service == slug);
            of.map(|result| &result.outcome.verdict).collect()
        };
        assert!(!verdicts("c").is_empty() && !verdicts("d").is_empty());
        for verdict in verdicts("c").into_iter().chain(verdicts("d")) {
            assert!(matches!(verdict, Verdict::Down(_)), "{verdict:?}");
        }
        assert!(verdicts("a").iter().all(|verdict| **verdict == Verdict::Up));
        let none = |_| async { down(Code::ConnectTimeout) };
        let results = kept(list(), 2_500, none, FINE).await;
        assert!(results.len() >= 5, "{}", results.len());
        for result in &results {
            let offline =
                matches!(&result.outcome.verdict, Verdict::NoData(reason) if reason.code == Code::Offline);
            assert!(offline, "{result:?}");
        }
    }

    #[tokio::test]
    async fn when_the_network_is_back_failures_are_theirs_again() {
        let start = Instant::now();
        let run = move |probe: Arc<Probe>| async move {
            let back = start.elapsed() > Duration::from_millis(1_200);
            match super::super::host(&probe).as_str() {
                "c.example" => down(Code::ConnectTimeout),
                _ if back => Outcome::bare(Verdict::Up),
                _ => down(Code::ConnectTimeout),
            }
        };
        let list = ["a", "b", "c"].map(|slug| service(slug, vec![tcp(&format!("{slug}.example"), 500)]));
        let results = kept(list.to_vec(), 3_000, run, FINE).await;
        let verdicts = |slug: &str| -> Vec<&Verdict> {
            let of = results.iter().filter(|result| result.service == slug);
            of.map(|result| &result.outcome.verdict).collect()
        };
        for slug in ["a", "b", "c"] {
            assert!(
                matches!(verdicts(slug)[0], Verdict::NoData(_)),
                "{:?}",
                verdicts(slug)
            );
        }
        assert!(
            matches!(verdicts("c").last(), Some(Verdict::Down(_))),
            "{:?}",
            verdicts("c")
        );
        assert_eq!(verdicts("a").last(), Some(&&Verdict::Up));
    }

    #[tokio::test]
    async fn of_one_host_the_machine_decides() {
        let list = || vec![service("a", vec![tcp("a.example", 1_000)])];
        let fails = |_| async { down(Code::ConnectTimeout) };
        let results = kept(list(), 1_300, fails, FINE).await;
        assert!(!results.is_empty());
        assert!(
            results
                .iter()
                .all(|result| matches!(result.outcome.verdict, Verdict::Down(_))),
            "{results:?}"
        );
        let cut = Check { route: false, ..FINE };
        let results = kept(list(), 1_300, fails, cut).await;
        assert!(!results.is_empty());
        assert!(
            results
                .iter()
                .all(|result| matches!(result.outcome.verdict, Verdict::NoData(_))),
            "{results:?}"
        );
    }

    #[tokio::test]
    async fn the_first_failure_of_many_asks_others_before_their_turn() {
        // The network goes after the first round; only one probe is due soon.
        let asked = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&asked);
        let run = move |probe: Arc<Probe>| {
            let asked = Arc::clone(&asked);
            async move {
                if super::super::host(&probe) != "a.example" {
                    asked.fetch_add(1, Ordering::SeqCst);
                }
                down(Code::ConnectTimeout)
            }
        };
        let mut list = vec![service("a", vec![tcp("a.example", 1_000)])];
        // Their first turns are spread over half a minute; the two of them are far in it.
        let far = |slug: &String| {
            let rhythm = Rhythm::new(
                "here",
                &(Arc::from(slug.as_str()), 0),
                FIRST_WITHIN,
                Instant::now(),
            );
            rhythm.first() > Instant::now() + Duration::from_secs(15)
        };
        let slugs = (0..100).map(|n| format!("far-{n}")).filter(far).take(2);
        list.extend(slugs.map(|slug| service(&slug, vec![tcp(&format!("{slug}.example"), 600_000)])));
        let results = kept(list, 2_500, run, FINE).await;
        assert_eq!(seen.load(Ordering::SeqCst), 2);
        let own = |result: &Finding| matches!(result.outcome.verdict, Verdict::NoData(_));
        assert!(results.iter().all(own), "{results:?}");
        assert_eq!(
            results
                .iter()
                .map(|result| &result.service)
                .collect::<BTreeSet<_>>()
                .len(),
            3
        );
    }

    #[tokio::test]
    async fn a_probe_that_breaks_is_no_data_and_comes_again() {
        let run = |_| async { panic!("on purpose") };
        let results = kept(vec![service("a", vec![tcp("a.example", 200)])], 1_000, run, FINE).await;
        assert!(results.len() >= 3, "{}", results.len());
        for result in results {
            assert!(
                matches!(&result.outcome.verdict, Verdict::NoData(reason) if reason.code == Code::Internal)
            );
        }
    }
}
