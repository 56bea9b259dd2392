//! Incidents as they happen: records go in, and events come out when an incident begins, changes or ends.
//!
//! The engine counts into one [`Tally`] at a time. At each [`step`](Engine::step) it judges what was counted so far, exactly as
//! [`investigate`](crate::investigate()) judges a whole input, and compares the attacks with the incidents that it knows. After
//! [`WINDOW_NS`] it goes on with an empty tally, so that memory stays bounded and a short attack does not drown in hours of other
//! traffic; what the windows of one incident show is added up. An input that fits into one window therefore gives the same
//! incidents as `investigate`.
//!
//! Time is an argument: the same records and the same steps give the same events.

use atlas::{Atlas, Prefix};
use detect::{Attack, Options, Tally, Vector};
use wire::Batch;

use crate::case::Incident;
use crate::investigation::{Seen, incident};
use trace::{Hours, Past};

/// Length of a window.
pub const WINDOW_NS: u64 = 300 * SECOND;
/// An incident is over when no attack packet came for this long. Exporters tell of long flows once a minute.
pub const QUIET_NS: u64 = 60 * SECOND;
/// Incidents that are followed at once.
pub const OPEN_MAX: usize = 4_096;
/// Incidents that one step traces and reports; the others wait for the next step, the loudest go first.
pub const REPORTS_PER_STEP: usize = 16;
/// Steps in a row that must show an attack before it is reported: the other direction of an exchange may be in the next datagram.
const CONFIRMED_AFTER: u32 = 2;
/// Steps in a row that must not show it any more before it is withdrawn.
const WITHDRAWN_AFTER: u32 = 4;
const SECOND: u64 = 1_000_000_000;

/// What became of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is seen for the first time, or again after it had ended.
    Begin,
    /// It got another vector, its strongest second at least doubled, or the listening ends while it runs.
    Change,
    /// It is over.
    End,
    /// What came later shows that it was no attack: the target had asked for the traffic.
    Withdraw,
}

impl Change {
    /// Its name in output.
    pub fn name(self) -> &'static str {
        match self {
            Change::Begin => "begin",
            Change::Change => "change",
            Change::End => "end",
            Change::Withdraw => "withdraw",
        }
    }
}

/// News of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When it was noticed, in the time of the records.
    pub at_ns: u64,
    /// What became of it.
    pub change: Change,
    /// All that is known of it now. Its id stays the same from `Begin` on.
    pub incident: Incident,
}

/// What was last told of an incident.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    change: Change,
    peak: u64,
    /// The incident as it was told, without its lists of source addresses.
    incident: Incident,
}

/// An incident that is followed.
#[derive(Clone, Debug)]
struct Open {
    /// Whom it attacks: from its first sight on, also while nothing shows it.
    target: Prefix,
    /// What windows before this one showed of it.
    past: Option<Attack>,
    /// What this window shows of it.
    present: Option<Attack>,
    /// Steps in a row that showed it.
    steps: u32,
    /// Steps in a row since the last that showed it.
    missing: u32,
    told: Option<Told>,
}

/// Follows incidents through a stream of records.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    window: Tally,
    window_began_ns: Option<u64>,
    first_ns: Option<u64>,
    untimed: u64,
    /// Records were counted since the last step.
    is_fresh: bool,
    open: Vec<Open>,
    unfollowed: u64,
    packets: u64,
    bytes: u64,
    /// Who usually uses the services: learnt window by window.
    past: Past,
}

impl Engine {
    /// An engine that has seen no traffic, and knows from before at which hours who used which service. `options.running` is the
    /// engine's own.
    pub fn new(options: Options, hours: Hours) -> Engine {
        Engine {
            options,
            past: Past {
                hours,
                ..Past::default()
            },
            window: Tally::new(),
            window_began_ns: None,
            first_ns: None,
            untimed: 0,
            is_fresh: false,
            open: Vec::new(),
            unfollowed: 0,
            packets: 0,
            bytes: 0,
        }
    }

    /// Counts records.
    pub fn add(&mut self, batch: &Batch) {
        if !batch.flows.is_empty() {
            self.window.add(batch);
            self.is_fresh = true;
        }
    }

    /// The most attacks at once that were not followed because there were more than [`OPEN_MAX`].
    pub fn unfollowed(&self) -> u64 {
        self.unfollowed
    }

    /// Incidents that were told and are not over.
    pub fn running(&self) -> usize {
        self.open.iter().filter_map(Open::running).count()
    }

    /// Packets counted, sampling applied.
    pub fn packets(&self) -> u64 {
        self.packets + self.window.packets()
    }

    /// Bytes counted, sampling applied.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.window.bytes()
    }

    /// Who used which service at which hour.
    pub fn hours(&self) -> &Hours {
        &self.past.hours
    }

    /// What the running window had to bound, in sentences.
    pub fn caveats(&self) -> Vec<String> {
        crate::investigation::caveats(&self.window)
    }

    /// Judges what was counted up to `now_ns`, in the time of the records, and adds what is new to `events`.
    pub fn step(&mut self, now_ns: u64, atlas: &Atlas, events: &mut Vec<Event>) {
        self.judge();
        self.tell(now_ns, atlas, events, REPORTS_PER_STEP);
        let began_ns = *self.window_began_ns.get_or_insert(now_ns);
        // Also when time goes back: one exporter whose clock is far ahead must not stop the windows.
        if now_ns.abs_diff(began_ns) >= WINDOW_NS {
            self.next_window(now_ns, atlas);
        }
    }

    /// Judges and tells a last time: there will be no more records.
    pub fn finish(&mut self, now_ns: u64, atlas: &Atlas, events: &mut Vec<Event>) {
        self.is_fresh = true;
        self.judge();
        for open in &mut self.open {
            let (steps, missing) = match open.present {
                Some(_) => (CONFIRMED_AFTER, 0),
                None => (0, WITHDRAWN_AFTER),
            };
            open.steps = open.steps.max(steps);
            open.missing = open.missing.max(missing);
        }
        self.tell(now_ns, atlas, events, usize::MAX);
        let seen = self.seen();
        for open in self.open.iter_mut().filter(|open| open.running().is_some()) {
            let Some(attack) = open.whole() else { continue };
            let change = if attack.ongoing {
                Change::Change
            } else {
                Change::End
            };
            events.extend(open.report(now_ns, change, &attack, &seen, &self.past, atlas));
        }
        self.learn(now_ns, atlas);
        self.past.hours.end_hour(atlas);
    }

    /// Notes who used the services in this window. Where something may be wrong, it is not what is usual.
    fn learn(&mut self, now_ns: u64, atlas: &Atlas) {
        let Some(began_ns) = self.window_began_ns else {
            return;
        };
        let attacked: Vec<Prefix> = self.open.iter().map(|open| open.target).collect();
        let wanted = &self.options.networks;
        self.past
            .hours
            .watch(&self.window, (began_ns, now_ns), wanted, &attacked, atlas);
    }

    fn seen(&self) -> Seen {
        let of_window = Seen::of(&self.window);
        Seen {
            first_ns: [self.first_ns, of_window.first_ns].into_iter().flatten().min(),
            untimed: self.untimed + of_window.untimed,
        }
    }

    /// Finds the attacks of the window and takes each to the incident that it belongs to.
    fn judge(&mut self) {
        if std::mem::take(&mut self.is_fresh) {
            self.judge_window();
        }
        for open in &mut self.open {
            (open.steps, open.missing) = match open.present {
                Some(_) => (open.steps.saturating_add(1), 0),
                None => (0, open.missing.saturating_add(1)),
            };
        }
    }

    fn judge_window(&mut self) {
        self.options.running.clear();
        for told in self.open.iter().filter_map(Open::running) {
            let target = told.incident.target;
            let vectors = told.incident.vectors.iter().map(|part| (target, part.vector));
            self.options.running.extend(vectors);
        }
        let findings = detect::judge(&self.window, &self.options);
        for open in &mut self.open {
            open.present = None;
        }
        let mut unfollowed = 0;
        for attack in findings.attacks {
            // The incident of the same target; else one of a prefix around it or inside it.
            let found = self
                .open
                .iter()
                .position(|open| open.target == attack.target)
                .or_else(|| {
                    self.open
                        .iter()
                        .position(|open| overlap(open.target, attack.target))
                });
            match found {
                Some(at) => {
                    let open = &mut self.open[at];
                    match &mut open.present {
                        Some(present) => present.continue_with(attack),
                        present => *present = Some(attack),
                    }
                    open.target = open
                        .present
                        .as_ref()
                        .map_or(open.target, |present| present.target);
                }
                None if self.open.len() < OPEN_MAX => self.open.push(Open {
                    target: attack.target,
                    past: None,
                    present: Some(attack),
                    steps: 0,
                    missing: 0,
                    told: None,
                }),
                None => unfollowed += 1,
            }
        }
        self.unfollowed = self.unfollowed.max(unfollowed);
    }

    /// Tells what is new, the loudest incidents first.
    fn tell(&mut self, now_ns: u64, atlas: &Atlas, events: &mut Vec<Event>, most: usize) {
        let seen = self.seen();
        let mut news: Vec<(u64, usize, Change)> = Vec::new();
        for (at, open) in self.open.iter().enumerate() {
            if let Some(change) = open.news(now_ns) {
                news.push((open.packets(), at, change));
            }
        }
        news.sort_by_key(|&(packets, at, _)| (std::cmp::Reverse(packets), at));
        for &(_, at, change) in news.iter().take(most) {
            let open = &mut self.open[at];
            if change == Change::Withdraw {
                events.extend(open.withdraw(now_ns));
            } else if let Some(attack) = open.whole() {
                events.extend(open.report(now_ns, change, &attack, &seen, &self.past, atlas));
            }
        }
        // What was never told and is not there any more is forgotten, and so is what was withdrawn.
        self.open.retain(|open| {
            let withdrawn = open
                .told
                .as_ref()
                .is_some_and(|told| told.change == Change::Withdraw);
            !withdrawn && (open.told.is_some() || open.present.is_some())
        });
    }

    /// Begins an empty window. Incidents that are over are forgotten with the old one, which could have shown them again.
    fn next_window(&mut self, now_ns: u64, atlas: &Atlas) {
        self.learn(now_ns, atlas);
        self.open.retain(|open| open.running().is_some());
        for open in &mut self.open {
            if let Some(present) = open.present.take() {
                match &mut open.past {
                    Some(past) => past.continue_with(present),
                    past => *past = Some(present),
                }
            }
        }
        let seen = self.seen();
        (self.first_ns, self.untimed) = (seen.first_ns, seen.untimed);
        self.packets += self.window.packets();
        self.bytes += self.window.bytes();
        self.window = Tally::new();
        self.window_began_ns = Some(now_ns);
    }
}

fn overlap(a: Prefix, b: Prefix) -> bool {
    a.contains(b.base) || b.contains(a.base)
}

impl Open {
    /// What was told of it, if it was and it is not over.
    fn running(&self) -> Option<&Told> {
        self.told
            .as_ref()
            .filter(|told| matches!(told.change, Change::Begin | Change::Change))
    }

    fn packets(&self) -> u64 {
        [&self.past, &self.present]
            .into_iter()
            .flatten()
            .map(Attack::packets)
            .sum()
    }

    /// All windows together.
    fn whole(&self) -> Option<Attack> {
        let mut all = [&self.past, &self.present].into_iter().flatten();
        let mut whole = all.next()?.clone();
        all.for_each(|later| whole.continue_with(later.clone()));
        Some(whole)
    }

    fn end_ns(&self) -> u64 {
        let ends = [&self.past, &self.present].into_iter().flatten();
        ends.map(|attack| attack.end_ns).max().unwrap_or(0)
    }

    /// What is to be told of it at this time, if anything.
    fn news(&self, now_ns: u64) -> Option<Change> {
        let is_quiet = now_ns.saturating_sub(self.end_ns()) > QUIET_NS;
        let Some(told) = &self.told else {
            return (self.steps >= CONFIRMED_AFTER).then_some(Change::Begin);
        };
        if self.past.is_none() && self.present.is_none() {
            return (self.missing >= WITHDRAWN_AFTER && self.running().is_some()).then_some(Change::Withdraw);
        }
        match told.change {
            Change::End if !is_quiet => Some(Change::Begin),
            Change::End | Change::Withdraw => None,
            _ if is_quiet => Some(Change::End),
            _ => {
                let present = self.present.as_ref()?;
                let is_told = |vector: Vector| told.incident.vectors.iter().any(|told| told.vector == vector);
                let another = present.parts.iter().any(|part| !is_told(part.vector));
                (another || peak(present) >= told.peak.saturating_mul(2)).then_some(Change::Change)
            }
        }
    }

    /// Reports it. The first report gives it its id.
    fn report(
        &mut self,
        now_ns: u64,
        change: Change,
        attack: &Attack,
        seen: &Seen,
        past: &Past,
        atlas: &Atlas,
    ) -> Option<Event> {
        let mut incident = incident(attack, seen, past, atlas);
        incident.ongoing = match change {
            Change::Begin => true,
            Change::Change => attack.ongoing || now_ns.saturating_sub(attack.end_ns) <= QUIET_NS,
            Change::End | Change::Withdraw => false,
        };
        if let Some(told) = &self.told {
            incident.id.clone_from(&told.incident.id);
        }
        let mut told = incident.clone();
        for vector in &mut told.vectors {
            vector.sources = Vec::new();
            vector.top_sources = Vec::new();
        }
        self.told = Some(Told {
            change,
            peak: peak(attack),
            incident: told,
        });
        Some(Event {
            at_ns: now_ns,
            change,
            incident,
        })
    }

    /// Takes back what was told of it.
    fn withdraw(&mut self, now_ns: u64) -> Option<Event> {
        let told = self.told.as_mut()?;
        told.change = Change::Withdraw;
        told.incident.ongoing = false;
        Some(Event {
            at_ns: now_ns,
            change: Change::Withdraw,
            incident: told.incident.clone(),
        })
    }
}

/// The strongest second.
fn peak(attack: &Attack) -> u64 {
    let series: Vec<_> = attack.parts.iter().map(|part| part.cells.as_slice()).collect();
    let cells = detect::judge::sum_cells(&series);
    cells.iter().map(|cell| cell.packets).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use wire::Flow;

    use super::*;

    const START: u64 = 1_741_600_000 * SECOND;

    fn flow(src: u32, dst: u32, at_ns: u64, packets: u64, ports: (u16, u16), flags: u8) -> Flow {
        Flow {
            src: Ipv4Addr::from(src).to_ipv6_mapped(),
            dst: Ipv4Addr::from(dst).to_ipv6_mapped(),
            first_ns: at_ns,
            last_ns: at_ns,
            packets,
            bytes: packets * 60,
            protocol: if flags == 0 { 17 } else { 6 },
            src_port: ports.0,
            dst_port: ports.1,
            tcp_flags: flags,
            has: Flow::HAS_TRANSPORT | Flow::HAS_TCP_FLAGS,
            ..Flow::EMPTY
        }
    }

    const TARGET: u32 = 0xc629_1e0a;

    /// A SYN flood of 1,000 packets a second by 50 sources in the seconds of `from..to`.
    fn flood(second: u64, from: u64, to: u64) -> Vec<Flow> {
        let bots = if (from..to).contains(&second) { 50 } else { 0 };
        (0..bots)
            .map(|bot| {
                flow(
                    0x5100_0000 + bot * 77,
                    TARGET,
                    START + second * SECOND,
                    20,
                    (4000, 80),
                    Flow::SYN,
                )
            })
            .collect()
    }

    /// Steps twice a second through `seconds` seconds, of which `flows` says what they hold.
    fn run(seconds: u64, flows: impl Fn(u64) -> Vec<Flow>) -> Vec<Event> {
        let atlas = Atlas::embedded();
        let mut engine = Engine::new(Options::default(), Hours::default());
        let mut events = Vec::new();
        let mut batch = Batch::default();
        for second in 0..seconds {
            batch.clear();
            batch.flows = flows(second);
            engine.add(&batch);
            for half in 0..2 {
                engine.step(START + second * SECOND + half * SECOND / 2, &atlas, &mut events);
            }
        }
        engine.finish(START + seconds * SECOND, &atlas, &mut events);
        events
    }

    fn told(events: &[Event]) -> Vec<(&'static str, u64)> {
        events
            .iter()
            .map(|event| (event.change.name(), (event.at_ns - START) / (SECOND / 2)))
            .collect()
    }

    #[test]
    fn a_flood_begins_within_a_second_and_ends_after_a_quiet_minute() {
        let events = run(200, |second| flood(second, 20, 50));
        // In half seconds: seen at 20.0, confirmed at 20.5; last seen at 49, quiet for more than 60 at 109.5.
        assert_eq!(told(&events), [("begin", 41), ("end", 219)]);
        let (begin, end) = (&events[0].incident, &events[1].incident);
        assert_eq!((begin.ongoing, end.ongoing), (true, false));
        assert_eq!((begin.packets, end.packets), (1_000, 30_000));
        assert_eq!(begin.id, end.id);
        assert_eq!(end.end_ns, Some(START + 49 * SECOND));
    }

    #[test]
    fn windows_add_up_and_a_second_wave_in_the_same_window_is_the_same_incident() {
        let events = run(1_000, |second| flood(second, 20, 700));
        assert_eq!(told(&events), [("begin", 41), ("end", 2 * (699 + 60) + 1)]);
        let end = &events[1].incident;
        assert_eq!(end.packets, 680_000);
        assert_eq!(
            (end.start_ns, end.end_ns),
            (START + 20 * SECOND, Some(START + 699 * SECOND))
        );
        assert_eq!(end.sources.distinct, 50);
        assert_eq!(end.vectors[0].packets, 680_000);
        let events = run(280, |second| {
            [flood(second, 10, 20), flood(second, 150, 170)].concat()
        });
        let names: Vec<_> = events.iter().map(|event| event.change.name()).collect();
        assert_eq!(names, ["begin", "end", "begin", "end"]);
        assert!(
            events
                .iter()
                .all(|event| event.incident.id == events[0].incident.id)
        );
        assert_eq!(events[3].incident.packets, 30_000);
    }

    #[test]
    fn what_grows_changes() {
        let events = run(200, |second| {
            let mut flows = flood(second, 20, 50);
            if second >= 30 {
                flows.iter_mut().for_each(|flow| flow.packets *= 3);
            }
            if (40..50).contains(&second) {
                let bots = 0..50;
                flows.extend(bots.map(|bot| {
                    flow(
                        0x5200_0000 + bot * 99,
                        TARGET,
                        START + second * SECOND,
                        60,
                        (53, 4444),
                        0,
                    )
                }));
            }
            flows
        });
        let names: Vec<_> = events.iter().map(|event| event.change.name()).collect();
        assert_eq!(names, ["begin", "change", "change", "end"], "{:?}", told(&events));
        assert_eq!(events[2].incident.vectors.len(), 2);
    }

    #[test]
    fn what_turns_out_to_be_asked_for_is_withdrawn() {
        let events = run(40, |second| {
            let server = |n: u32| 0x0808_0000 + n;
            let at = START + second * SECOND;
            match second {
                // Answers from port 53, and for a while nobody knows who asked.
                10..20 => (0..50)
                    .map(|n| Flow {
                        bytes: 20 * 1_200,
                        ..flow(server(n), TARGET, at, 20, (53, 5353), 0)
                    })
                    .collect(),
                // The other direction comes late.
                20 => (0..50)
                    .map(|n| flow(TARGET, server(n), START + 10 * SECOND - 1, 200, (5353, 53), 0))
                    .collect(),
                _ => Vec::new(),
            }
        });
        assert_eq!(told(&events), [("begin", 21), ("withdraw", 43)]);
        assert_eq!(events[0].incident.id, events[1].incident.id);
    }

    /// Sessions of 40 clients, as exporters tell of them.
    fn sessions(clients: u32, at_ns: u64) -> Vec<Flow> {
        (0..40)
            .flat_map(|n| {
                let there = flow(clients + n, TARGET, at_ns, 10, (40_000, 443), 0x1b);
                [there, flow(TARGET, clients + n, at_ns, 12, (443, 40_000), 0x1b)]
            })
            .collect()
    }

    #[test]
    fn an_attack_is_held_against_the_same_hours_of_the_weeks_before() {
        const HOUR: u64 = 3_600 * SECOND;
        let atlas = Atlas::embedded();
        let mut engine = Engine::new(Options::default(), Hours::default());
        let mut events = Vec::new();
        let mut batch = Batch::default();
        let noon = START / HOUR * HOUR;
        let mut at = |engine: &mut Engine, events: &mut Vec<Event>, at_ns: u64, flows: Vec<Flow>| {
            batch.clear();
            batch.flows = flows;
            engine.add(&batch);
            engine.step(at_ns, &atlas, events);
        };
        // Two weeks, noon and midnight, each other people.
        for week in 0..2 {
            for (hour, clients) in [(0, 0x5102_0000), (12, 0x0202_0000)] {
                let begin = noon + (week * 168 + hour) * HOUR;
                for window in 0..12 {
                    let at_ns = begin + window * WINDOW_NS;
                    // The step that begins the window, as the one before it has nothing to count.
                    at(&mut engine, &mut events, at_ns, Vec::new());
                    at(&mut engine, &mut events, at_ns, sessions(clients, at_ns));
                }
            }
        }
        assert_eq!(events, []);
        let attacked = noon + 2 * 168 * HOUR;
        at(&mut engine, &mut events, attacked, Vec::new());
        // What comes while it runs is not learnt.
        for second in 0..20 {
            let mut flows = sessions(0x5102_0000, attacked + second * SECOND);
            flows.extend(flood(second, 5, 20).into_iter().map(|flow| Flow {
                first_ns: attacked + second * SECOND,
                last_ns: attacked + second * SECOND,
                ..flow
            }));
            at(&mut engine, &mut events, attacked + second * SECOND, flows);
        }
        let audience = events[0].incident.audience.clone().unwrap();
        assert!(
            audience
                .learnt_from
                .ends_with("40 clients of the target in the same hours of 2 past weeks"),
            "{}",
            audience.learnt_from
        );
        assert_eq!(audience.distinct, 40);
        let place = |address: u32| atlas.lookup(Ipv4Addr::from(address).to_ipv6_mapped()).country;
        assert_eq!(audience.countries[0].country, place(0x5102_0000));
        assert_ne!(audience.countries[0].country, place(0x0202_0000));
        engine.finish(attacked + 20 * SECOND, &atlas, &mut events);
        let last = attacked / HOUR;
        assert_eq!(engine.hours().past().count(), 4);
        assert!(engine.hours().past().all(|(_, hour, _)| hour < last));
    }

    #[test]
    fn nothing_is_told_of_ordinary_traffic_or_of_a_single_sight() {
        let sessions = |second: u64| {
            (0..200)
                .flat_map(|n| {
                    let (client, at) = (0x5102_0000 + n, START + second * SECOND);
                    let there = flow(client, TARGET, at, 10, (40_000, 443), 0x1b);
                    [there, flow(TARGET, client, at, 12, (443, 40_000), 0x1b)]
                })
                .collect()
        };
        assert_eq!(told(&run(400, sessions)), []);
    }
}
