//! `epicenter listen`: export packets from the network, incidents as they happen.
//!
//! Receiving has its own threads ([`crate::socket`]), and so has the disk ([`crate::record`]). This thread decodes and counts what
//! comes through the queue, in its order, and lets the engine judge twice in each second of the records' time. It is one thread,
//! since counting is what costs, and one table of conversations is what gives the same answer as a file.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context;
use atlas::Atlas;
use detect::Options;
use incident::Engine;
use incident::engine::{Change, Event};
use serde_json::{Value, json};
use wire::{Batch, Collector, Faults, Flow};

use crate::args::{EventFormat, ListenArgs};
use crate::case_json::{incident, time};
use crate::case_text::{count, fault_words, headline, metric};
use crate::record::Recorder;
use crate::socket::{Chunk, QUEUE, Shared, Sockets};
use crate::{audience, input, lookup, tell};

/// Time of the records between two judgements.
const STEP_NS: u64 = 500_000_000;
/// How often this thread looks around when nothing comes.
const LOOK_UP: Duration = Duration::from_millis(100);
/// How often the state of the collector is saved.
const SAVE: Duration = Duration::from_secs(60);
/// A clock that goes back by more than this was ahead before: an exporter with a wrong clock, or a recording that is sent again.
const AHEAD_NS: u64 = 60 * 1_000_000_000;
const RUNNING: &str = ", still running";

/// Runs the command.
pub(crate) fn run(args: &ListenArgs) -> anyhow::Result<ExitCode> {
    let atlas = lookup::open(&args.atlas)?;
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends at once, should the first not be heard.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&ended))?;
        signal_hook::flag::register(signal, Arc::clone(&ended))?;
    }
    let mut lines = |events: &[Event]| print(&in_form(args.format, events));
    listen(args, &atlas, &ended, &mut lines)?;
    Ok(ExitCode::SUCCESS)
}

/// Where news go: all of one judgement together, none where nothing is new.
pub(crate) type Sink<'a> = &'a mut (dyn FnMut(&[Event]) -> anyhow::Result<()> + Send);

/// Listens until `ended`, and gives what is new to `sink`.
///
/// # Errors
///
/// The sockets cannot be had, or the sink wants no more.
pub(crate) fn listen(
    args: &ListenArgs,
    atlas: &Atlas,
    ended: &AtomicBool,
    sink: Sink<'_>,
) -> anyhow::Result<()> {
    let collector = args.exports.collector()?;
    let hours = match &args.audience {
        Some(path) => {
            let (hours, damage) = audience::kept(path)?;
            damage
                .words(&path.display().to_string())
                .iter()
                .for_each(|words| tell(words));
            hours
        }
        None => trace::Hours::default(),
    };
    let workers = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let sockets = Sockets::bind(&args.listen, workers)?;
    if sockets.is_small() {
        tell(&format!(
            "the system keeps {}B for each socket, which a burst may fill; `sysctl -w net.core.rmem_max=134217728` gives more",
            metric(sockets.buffer as f64)
        ));
    }
    let shared = Shared::default();
    std::thread::scope(|scope| {
        let recorder = match &args.record {
            Some(directory) => Some(Recorder::start(directory, args.record_size, scope, &shared)?),
            None => None,
        };
        let mut listener = Listener {
            args,
            atlas,
            sink,
            shared: &shared,
            hours_kept: hours.ended(),
            keeping: None,
            engine: Engine::new(
                Options {
                    networks: args.network.clone(),
                    ..Options::default()
                },
                hours,
            ),
            collector,
            batch: Batch::default(),
            clock: Clock::new(),
            recorder,
            faults: Faults::default(),
            datagrams: 0,
            unknown: 0,
            refused: 0,
            step_due_ns: 0,
            rested: Instant::now(),
            events: Vec::new(),
            late_told: false,
        };
        let addresses: Vec<String> = sockets.addresses.iter().map(ToString::to_string).collect();
        tell(&format!("listening on {} (UDP)", addresses.join(", ")));
        if args.format == EventFormat::Json {
            print(&[line(
                &json!({ "schema": SCHEMA, "event": "listen", "addresses": addresses }),
            )])?;
        }
        let (filled, chunks) = mpsc::sync_channel(QUEUE);
        sockets.start(scope, &shared, &filled);
        drop(filled);
        let result = listener.listen(&chunks, ended);
        // The workers are told whatever happened, or they would be waited for without end.
        shared.stop.store(true, Ordering::Relaxed);
        result?;
        listener.end(&chunks)
    })
}

const SCHEMA: &str = "epicenter.event/1";

struct Listener<'a> {
    args: &'a ListenArgs,
    atlas: &'a Atlas,
    sink: Sink<'a>,
    shared: &'a Shared,
    engine: Engine,
    /// How many hours had ended when the audience was kept last, and the thread that writes it: a large table takes seconds.
    hours_kept: u64,
    keeping: Option<std::thread::JoinHandle<()>>,
    collector: Collector,
    batch: Batch,
    clock: Clock,
    recorder: Option<Recorder>,
    faults: Faults,
    datagrams: u64,
    /// Datagrams that are no export messages.
    unknown: u64,
    /// Datagrams of exporters that are not allowed.
    refused: u64,
    /// When, in the time of the records, the next judgement is due.
    step_due_ns: u64,
    /// Not before this instant, while chunks wait.
    rested: Instant,
    events: Vec<Event>,
    late_told: bool,
}

impl Listener<'_> {
    /// Until somebody says that it is enough.
    fn listen(&mut self, chunks: &mpsc::Receiver<Chunk>, ended: &AtomicBool) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut saved = began;
        let mut status = Status::of(self);
        while !ended.load(Ordering::Relaxed)
            && self
                .args
                .seconds
                .is_none_or(|most| began.elapsed() < Duration::from_secs(most))
        {
            match chunks.recv_timeout(LOOK_UP) {
                Ok(chunk) => self.take(chunk),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            self.step()?;
            if self.args.status > 0 && status.at.elapsed() >= Duration::from_secs(self.args.status) {
                let now = Status::of(self);
                tell(&now.since(&status, self.engine.running()));
                status = now;
            }
            if saved.elapsed() >= SAVE {
                saved = Instant::now();
                // A full disk is no reason to stop listening.
                if let Err(error) = self.save() {
                    tell(&format!("{error:#}"));
                }
                self.keep();
            }
        }
        Ok(())
    }

    /// Decodes and counts a chunk, and passes it on to be recorded.
    fn take(&mut self, mut chunk: Chunk) {
        self.shared.queued.fetch_sub(1, Ordering::Relaxed);
        self.datagrams += chunk.datagrams.len() as u64;
        if let (Some(recorder), Some(first)) = (&mut self.recorder, chunk.datagrams.first())
            && recorder.wants_state()
        {
            recorder.segment(first.received_ns, self.collector.save());
        }
        let mut datagrams = std::mem::take(&mut chunk.datagrams);
        let allowed = &self.args.exporter;
        datagrams.retain(|datagram| {
            if !allowed.is_empty()
                && !allowed
                    .iter()
                    .any(|prefix| prefix.contains(datagram.from.address))
            {
                self.refused += 1;
                return false;
            }
            let known = self.collector.datagram(
                datagram.from,
                datagram.received_ns,
                chunk.payload(datagram),
                0,
                &mut self.batch,
            );
            self.unknown += u64::from(!known);
            if self.batch.is_full() {
                self.count();
            }
            known
        });
        chunk.datagrams = datagrams;
        self.count();
        match &mut self.recorder {
            Some(recorder) => recorder.record(chunk, self.shared),
            None => self.shared.give_back(chunk),
        }
        if self.collector.is_late() && !self.late_told {
            self.late_told = true;
            tell(
                "an exporter told its sampling rate after records that needed it: those were counted too small; --state FILE keeps rates over restarts",
            );
        }
    }

    fn count(&mut self) {
        self.clock.observe(&self.batch.flows);
        self.engine.add(&self.batch);
        self.faults.merge(&self.batch.faults);
        self.batch.clear();
    }

    /// Lets the engine judge when it is time: twice in a second of the records' time. While chunks wait, judging takes at most half of
    /// this thread's time, and none when the queue is an eighth full: what is not taken in is lost, what is judged later is not.
    fn step(&mut self) -> anyhow::Result<()> {
        let Some(now_ns) = self.clock.now_ns() else {
            return Ok(());
        };
        let is_due = now_ns >= self.step_due_ns || now_ns + AHEAD_NS < self.step_due_ns;
        let waiting = self.shared.queued.load(Ordering::Relaxed);
        if !is_due || waiting > QUEUE as u64 / 8 || waiting > 0 && Instant::now() < self.rested {
            return Ok(());
        }
        let began = Instant::now();
        self.engine.step(now_ns, self.atlas, &mut self.events);
        self.step_due_ns = now_ns + STEP_NS;
        self.rested = Instant::now() + began.elapsed();
        self.show()
    }

    fn show(&mut self) -> anyhow::Result<()> {
        let told = (self.sink)(&self.events);
        self.events.clear();
        told
    }

    fn save(&self) -> anyhow::Result<()> {
        match &self.args.exports.state {
            Some(path) => save(path, &self.collector.save()),
            None => Ok(()),
        }
    }

    /// Writes the audience down where an hour has ended since it was written.
    fn keep(&mut self) {
        let Some(path) = &self.args.audience else { return };
        let ended = self.engine.hours().ended();
        if ended == self.hours_kept || self.keeping.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        self.hours_kept = ended;
        let (path, hours) = (path.clone(), self.engine.hours().clone());
        let write = move || {
            if let Err(error) = audience::keep(&path, &hours) {
                tell(&format!("{error:#}"));
            }
        };
        self.keeping = std::thread::Builder::new()
            .name("audience".to_owned())
            .spawn(write)
            .ok();
    }

    /// Takes what is still in the queue, judges a last time, and says what came.
    fn end(mut self, chunks: &mpsc::Receiver<Chunk>) -> anyhow::Result<()> {
        // The workers have been told to stop: this ends when the last of them has.
        for chunk in chunks {
            self.take(chunk);
        }
        self.collector.give_up(&mut self.batch);
        self.count();
        if let Some(now_ns) = self.clock.now_ns() {
            self.engine.finish(now_ns, self.atlas, &mut self.events);
        }
        self.show()?;
        let saved = self.save();
        if let Some(thread) = self.keeping.take() {
            let _ = thread.join();
        }
        self.keep();
        if let Some(thread) = self.keeping.take() {
            let _ = thread.join();
        }
        if self.engine.hours().forgotten() > 0 {
            tell(&format!(
                "the audiences of {} services were forgotten: there were more than the table holds",
                count(self.engine.hours().forgotten())
            ));
        }
        self.recorder = None;
        let totals = Status::of(&self);
        let faults = input::faults(&self.faults);
        if self.args.format == EventFormat::Json {
            let faults: serde_json::Map<String, Value> = faults
                .iter()
                .map(|fault| (fault.reason.to_owned(), json!(fault.count)))
                .collect();
            print(&[line(&json!({
                "schema": SCHEMA,
                "event": "stop",
                "datagrams": totals.datagrams,
                "records": totals.records,
                "packets": self.engine.packets(),
                "octets": self.engine.bytes(),
                "dropped_by_kernel": totals.dropped,
                "not_recorded": totals.unrecorded,
                "no_export": self.unknown,
                "not_allowed": self.refused,
                "lost_by_exporters": self.collector.lost(),
                "not_followed": self.engine.unfollowed(),
                "caveats": self.engine.caveats(),
                "faults": faults,
            }))])?;
        }
        tell(&format!(
            "took {} datagrams with {} records of {} packets; the kernel dropped {}",
            count(totals.datagrams),
            count(totals.records),
            count(self.engine.packets()),
            count(totals.dropped)
        ));
        if self.refused > 0 {
            tell(&format!(
                "{} datagrams came from addresses that --exporter does not name",
                count(self.refused)
            ));
        }
        for fault in faults {
            tell(&format!(
                "{} x {}: {}",
                count(fault.count),
                fault.reason,
                fault_words(fault.reason)
            ));
        }
        for caveat in self.engine.caveats() {
            tell(&caveat);
        }
        if self.engine.unfollowed() > 0 {
            tell(&format!(
                "{} attacks at once were too many to follow",
                count(self.engine.unfollowed())
            ));
        }
        saved
    }
}

/// What came up to some instant.
struct Status {
    at: Instant,
    datagrams: u64,
    records: u64,
    dropped: u64,
    unrecorded: u64,
}

impl Status {
    fn of(listener: &Listener<'_>) -> Status {
        Status {
            at: Instant::now(),
            datagrams: listener.datagrams,
            records: listener.collector.totals().records.iter().sum(),
            dropped: listener.shared.dropped.load(Ordering::Relaxed),
            unrecorded: listener.shared.unrecorded.load(Ordering::Relaxed),
        }
    }

    fn since(&self, before: &Status, running: usize) -> String {
        let seconds = (self.at - before.at).as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| count(((now - before) as f64 / seconds).round() as u64);
        let mut text = format!(
            "{} datagrams/s, {} records/s, {} incidents run",
            rate(self.datagrams, before.datagrams),
            rate(self.records, before.records),
            running
        );
        for (now, before, what) in [
            (self.dropped, before.dropped, "dropped by the kernel"),
            (self.unrecorded, before.unrecorded, "not recorded"),
        ] {
            if now > before {
                text.push_str(&format!(", {} datagrams {what}", count(now - before)));
            }
        }
        text
    }
}

/// What time it is for the records: exporters tell of flows some seconds late, and a recording that is sent again lives in its own
/// past. The distance between their time and ours is the largest of the last batches' medians that is not wild, that is, within ten
/// minutes of the median of all of them; between batches our clock goes on. So a few records with wild times move nothing.
struct Clock {
    began: Instant,
    /// Distance of each of the last batches, nanoseconds.
    distances: std::collections::VecDeque<i128>,
    now_ns: u64,
}

impl Clock {
    const BATCHES: usize = 15;
    const RECORDS: usize = 33;
    const WILD_NS: i128 = 600 * 1_000_000_000;

    fn new() -> Clock {
        Clock {
            began: Instant::now(),
            distances: std::collections::VecDeque::with_capacity(Clock::BATCHES + 1),
            now_ns: 0,
        }
    }

    fn observe(&mut self, flows: &[Flow]) {
        if flows.is_empty() {
            return;
        }
        let mut times: Vec<u64> = flows
            .iter()
            .step_by(flows.len().div_ceil(Clock::RECORDS))
            .map(|flow| flow.last_ns)
            .collect();
        let middle = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(middle);
        self.distances
            .push_back(i128::from(median) - self.began.elapsed().as_nanos() as i128);
        if self.distances.len() > Clock::BATCHES {
            self.distances.pop_front();
        }
    }

    /// Never goes back, but for a clock that was far ahead.
    fn now_ns(&mut self) -> Option<u64> {
        let mut sorted: Vec<i128> = self.distances.iter().copied().collect();
        sorted.sort_unstable();
        let middle = sorted.get(sorted.len() / 2)?;
        let sane = sorted
            .iter()
            .rev()
            .find(|&&distance| distance <= middle + Clock::WILD_NS)?;
        let now = sane + self.began.elapsed().as_nanos() as i128;
        let now_ns = u64::try_from(now.max(0)).unwrap_or(u64::MAX);
        if now_ns > self.now_ns || now_ns + AHEAD_NS < self.now_ns {
            self.now_ns = now_ns;
        }
        Some(self.now_ns)
    }
}

fn in_form(format: EventFormat, events: &[Event]) -> Vec<String> {
    let one = |event: &Event| match format {
        EventFormat::Json => line(&json!({
            "schema": SCHEMA,
            "event": event.change.name(),
            "at": time(event.at_ns),
            "incident": incident(&event.incident),
        })),
        EventFormat::Text => words(event),
    };
    events.iter().map(one).collect()
}

/// An event in lines for people.
fn words(event: &Event) -> String {
    let incident = &event.incident;
    let what = match event.change {
        Change::Begin => "BEGIN",
        Change::Change => "CHANGE",
        Change::End => "END",
        Change::Withdraw => "WITHDRAWN: what came later shows that it was no attack.",
    };
    let peak = &incident.peak;
    let mut text = format!(
        "{}  {what}  {}\n    {}\n    since {}, peak {} packets/s and {}bit/s\n",
        time(event.at_ns),
        incident.id,
        headline(incident, RUNNING),
        time(incident.start_ns),
        count(peak.packets_per_second as u64),
        metric(peak.bits_per_second),
    );
    let places: Vec<String> = incident
        .sources
        .countries
        .iter()
        .take(4)
        .map(|country| {
            format!(
                "{} {:.0} % [{:.0}, {:.0}]",
                country.country,
                country.share.estimate * 100.0,
                country.share.low * 100.0,
                country.share.high * 100.0
            )
        })
        .collect();
    if !places.is_empty() {
        text.push_str(&format!("    addresses: {}\n", places.join(", ")));
    }
    text
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn print(lines: &[String]) -> anyhow::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    for line in lines {
        out.write_all(line.as_bytes())?;
    }
    Ok(out.flush()?)
}

/// Writes beside the file first, so that a crash leaves the old state or the new one.
fn save(path: &Path, state: &[u8]) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, state)
        .and_then(|()| std::fs::rename(&beside, path))
        .with_context(|| format!("{}: the state of the exporters cannot be saved", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_times_do_not_move_the_clock() {
        const SECOND: u64 = 1_000_000_000;
        let (now, wild) = (1_700_000_000 * SECOND, 4_000_000_000 * SECOND);
        let at = |time| Flow {
            last_ns: time,
            ..Flow::EMPTY
        };
        let mut clock = Clock::new();
        assert_eq!(clock.now_ns(), None);
        clock.observe(&[]);
        for round in 0..20 {
            clock.observe(&[at(now), at(now - 30 * SECOND), at(now), at(wild), at(0)]);
            if round % 3 == 1 {
                clock.observe(&[at(wild), at(wild)]);
            }
        }
        let read = clock.now_ns().unwrap();
        assert!((now..now + 60 * SECOND).contains(&read), "{read}");
        // All of them ahead, and then back: the clock follows both times.
        for _ in 0..20 {
            clock.observe(&[at(wild)]);
        }
        assert!(clock.now_ns().unwrap() >= wild);
        for _ in 0..20 {
            clock.observe(&[at(now)]);
        }
        assert!(clock.now_ns().unwrap() < now + 60 * SECOND);
    }
}
