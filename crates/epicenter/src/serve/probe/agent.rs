//! `epicenter probe`: the probes of a tracker from another place, or those of a configuration once.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use futures_util::StreamExt;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, header};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use url::Url;

use super::{AT_ONCE, Code, Finding, Kind, Outcome, Trust, Verdict, clean, http, keep, offline, wire};
use crate::args::ProbeArgs;
use crate::serve::config::{self, Config, Service};

/// Results that wait to be sent; beyond them, the oldest go.
const QUEUE_MAX: usize = 10_000;
/// How long a result waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// How often is asked whether there is other work.
const REFRESH: Duration = Duration::from_secs(60);
/// How long a request to the tracker may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The shortest and the longest time between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Bytes of work that are read: 10,000 services fit.
const WORK_MAX: usize = 64 << 20;
/// Results are thrown away before the tracker would refuse their whole batch.
const STALE: Duration = Duration::from_secs(wire::AGE_MAX.as_secs() - 30);

/// Runs the command.
pub(crate) fn run(args: &ProbeArgs) -> anyhow::Result<ExitCode> {
    let trust = Arc::new(Trust::system().map_err(|problem| anyhow!(problem))?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match (&args.join, &args.once) {
        (Some(url), _) => {
            let place = args.place.clone().unwrap_or_default();
            wire::place(&place).map_err(|problem| anyhow!(problem))?;
            let token = args
                .token_file
                .as_ref()
                .map(|path| std::fs::read_to_string(path).with_context(|| path.display().to_string()))
                .transpose()?;
            let tracker = Tracker::new(url, token.as_deref(), trust)?;
            runtime.block_on(join(&tracker, place, ended()))?;
            Ok(ExitCode::SUCCESS)
        }
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let config = Config::parse(&text).map_err(|problem| anyhow!("{}: {problem}", path.display()))?;
            let services: Vec<&Service> = match &args.service {
                None => config.service.iter().collect(),
                Some(slug) => {
                    let found: Vec<_> = config
                        .service
                        .iter()
                        .filter(|service| service.slug == *slug)
                        .collect();
                    if found.is_empty() {
                        bail!("{}: there is no service `{slug}`", path.display());
                    }
                    found
                }
            };
            let (table, well) = runtime.block_on(once(&services, &trust));
            std::io::stdout().write_all(table.as_bytes())?;
            Ok(if well {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            })
        }
        (None, None) => bail!("one of --join and --once is needed"),
    }
}

/// Ready when the program is asked to end.
async fn ended() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        let Ok(mut term) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
            return drop(interrupted.await);
        };
        tokio::select! {
            _ = interrupted => {}
            _ = term.recv() => {}
        }
    }
    #[cfg(not(unix))]
    drop(interrupted.await);
}

/// The tracker that is worked for.
struct Tracker {
    base: String,
    token: Option<HeaderValue>,
    trust: Arc<Trust>,
}

/// Why the tracker did not take or give what it should.
enum Refused {
    /// It may do so later.
    Later(String),
    /// It never will.
    Never(String),
}

impl Tracker {
    fn new(url: &str, token: Option<&str>, trust: Arc<Trust>) -> anyhow::Result<Tracker> {
        let base = url.trim_end_matches('/').to_owned();
        let parsed = Url::parse(&base).with_context(|| format!("--join {url}"))?;
        if !matches!(parsed.scheme(), "https" | "http")
            || parsed.query().is_some()
            || parsed.fragment().is_some()
        {
            bail!("--join {url}: is no address of a tracker, as https://status.example.org");
        }
        let token = token.map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .context("--token-file: is no token")?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        let token = token.transpose()?;
        let far = !parsed.host_str().is_some_and(offline::is_self);
        if token.is_some() && parsed.scheme() == "http" && far {
            crate::tell("the token goes over http: whoever is on the way can read it");
        }
        Ok(Tracker { base, token, trust })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
        read: usize,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), String> {
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        let ask = http::Ask {
            method,
            url: Url::parse(&format!("{}{path}", self.base)).map_err(|error| error.to_string())?,
            headers,
            body,
            http2: false,
            only_public: false,
        };
        let until = Instant::now() + PATIENCE;
        let mut outcome = Outcome::bare(Verdict::Up);
        let answer = http::send(&ask, &self.trust, until, &mut outcome)
            .await
            .map_err(|reason| reason.words)?;
        let (status, headers) = (answer.head.status, answer.head.headers.clone());
        let (body, whole) = answer.read(read, until).await.map_err(|reason| reason.words)?;
        if !whole {
            return Err(format!("the answer has more than {read} bytes"));
        }
        Ok((status, headers, body))
    }

    /// The work, where it is other than that of this tag.
    async fn work(
        &self,
        tag: Option<&HeaderValue>,
    ) -> Result<Option<(wire::Work, Option<HeaderValue>)>, String> {
        let mut headers = HeaderMap::new();
        if let Some(tag) = tag {
            headers.insert(header::IF_NONE_MATCH, tag.clone());
        }
        let (status, headers, body) = self
            .ask(Method::GET, "/api/v1/probes", headers, Bytes::new(), WORK_MAX)
            .await?;
        match status {
            StatusCode::OK => {
                let work = serde_json::from_slice(&body)
                    .map_err(|error| format!("the work cannot be read: {error}"))?;
                Ok(Some((work, headers.get(header::ETAG).cloned())))
            }
            StatusCode::NOT_MODIFIED => Ok(None),
            status => Err(said(status, &body)),
        }
    }

    /// Sends results.
    async fn send(&self, batch: &wire::Batch) -> Result<(), Refused> {
        let body = serde_json::to_vec(batch).map_err(|error| Refused::Never(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let (status, _, body) = self
            .ask(
                Method::POST,
                "/api/v1/probes/results",
                headers,
                body.into(),
                64 << 10,
            )
            .await
            .map_err(Refused::Later)?;
        match status.as_u16() {
            200..=299 => Ok(()),
            // The same batch will not be liked better; all else may pass, a wrong token too.
            400 | 413 | 422 => Err(Refused::Never(said(status, &body))),
            _ => Err(Refused::Later(said(status, &body))),
        }
    }
}

fn said(status: StatusCode, body: &[u8]) -> String {
    let words = clean(String::from_utf8_lossy(body).trim());
    let hint = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => " (is --token-file the right one?)",
        _ => "",
    };
    format!("the tracker says {status}{hint}: {words}")
        .trim_end_matches(": ")
        .to_owned()
}

/// Works for a tracker until `stop` is ready.
async fn join(tracker: &Tracker, place: String, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (services, listening) = watch::channel(Arc::new(Vec::new()));
    let (sink, results) = mpsc::channel(1_000);
    let (ending, mut ends) = watch::channel(false);
    let kept = keep(
        listening,
        place.clone(),
        Arc::clone(&tracker.trust),
        sink,
        async move { drop(ends.wait_for(|end| *end).await) },
    );
    crate::tell(&format!("probes for {} from {place}", tracker.base));
    let work = async {
        tokio::select! {
            () = fetch(tracker, &services) => {}
            () = stop => {}
        }
        // The sink closes with the probes, and what is in it is sent yet.
        ending.send_replace(true);
    };
    tokio::join!(kept, deliver(tracker, &place, results), work);
    Ok(())
}

/// Keeps the work up to date. Never ends.
async fn fetch(tracker: &Tracker, services: &watch::Sender<Arc<Vec<Service>>>) {
    let mut tag = None;
    let mut failed = Backoff::default();
    loop {
        let fetched = tracker.work(tag.as_ref()).await.and_then(|work| match work {
            None => Ok(None),
            Some((work, tag)) => Ok(Some((work.services()?, tag))),
        });
        let rest = match fetched {
            Ok(fetched) => {
                failed.over("the tracker gives work again");
                if let Some((list, new)) = fetched {
                    tag = new;
                    services.send_if_modified(|old| {
                        if **old == list {
                            return false;
                        }
                        let probes: usize = list.iter().map(|service| service.probe.len()).sum();
                        crate::tell(&format!("probes to make: {probes}"));
                        *old = Arc::new(list);
                        true
                    });
                }
                REFRESH
            }
            Err(problem) => failed.next(&format!("no work: {problem}")),
        };
        tokio::time::sleep(rest).await;
    }
}

/// Sends results until there are no more.
async fn deliver(tracker: &Tracker, place: &str, mut results: mpsc::Receiver<Finding>) {
    let mut queue = Queue::default();
    let mut failed = Backoff::default();
    let mut states = BTreeMap::new();
    let mut open = true;
    // When the next batch may go.
    let mut at = Instant::now();
    loop {
        // Gather.
        while open
            && (queue.waiting.is_empty()
                || Instant::now() < at && (failed.tries > 0 || queue.waiting.len() < wire::RESULTS_MAX))
        {
            let next = tokio::select! {
                next = results.recv() => next,
                () = tokio::time::sleep_until(at), if !queue.waiting.is_empty() => break,
            };
            match next {
                None => open = false,
                Some(result) => {
                    if queue.waiting.is_empty() {
                        at = at.max(Instant::now() + GATHER);
                    }
                    notice(&mut states, &result);
                    queue.push(result);
                }
            }
        }
        let batch = queue.take(now_ns());
        if batch.is_empty() {
            if !open {
                break;
            }
            continue;
        }
        // Probes go on while a batch is under way.
        let message = wire::Batch::of(place, queue.dropped, &batch);
        let mut sending = std::pin::pin!(tracker.send(&message));
        let sent = loop {
            tokio::select! {
                sent = &mut sending => break sent,
                next = results.recv(), if open => match next {
                    None => open = false,
                    Some(result) => {
                        notice(&mut states, &result);
                        queue.push(result);
                    }
                }
            }
        };
        at = Instant::now();
        match sent {
            Ok(()) => failed.over("the tracker takes results again"),
            Err(Refused::Never(problem)) => {
                queue.dropped += batch.len() as u64;
                crate::tell(&format!("{} results are lost: {problem}", batch.len()));
            }
            Err(Refused::Later(problem)) => {
                queue.back(batch);
                at += failed.next(&format!("{} results wait: {problem}", queue.waiting.len()));
                if !open {
                    // Whoever ends the program does not wait for a tracker that is not there.
                    queue.dropped += queue.waiting.len() as u64;
                    break;
                }
            }
        }
    }
    if queue.dropped > 0 {
        crate::tell(&format!("{} results were lost in all", queue.dropped));
    }
}

/// Says on the terminal when a probe begins or ceases to fail.
fn notice(states: &mut BTreeMap<(String, usize), &'static str>, result: &Finding) {
    let (state, why) = match &result.outcome.verdict {
        Verdict::Up => ("up", ""),
        Verdict::Down(reason) => (reason.code.word(), reason.words.as_str()),
        Verdict::NoData(reason) => (reason.code.word(), reason.words.as_str()),
    };
    let before = states.insert((result.service.clone(), result.probe), state);
    if before != Some(state) {
        let (kind, colon) = (result.kind.word(), if why.is_empty() { "" } else { ": " });
        crate::tell(&format!(
            "{} {} ({kind}): {state}{colon}{why}",
            result.service, result.probe
        ));
    }
}

/// Results that wait.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Finding>,
    /// Those that were thrown away.
    dropped: u64,
}

impl Queue {
    fn push(&mut self, result: Finding) {
        if self.waiting.len() >= QUEUE_MAX {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(result);
    }

    /// The oldest that are not too old.
    fn take(&mut self, now_ns: u64) -> Vec<Finding> {
        let before = self.waiting.len();
        self.waiting
            .retain(|result| now_ns.saturating_sub(result.at_ns) < STALE.as_nanos() as u64);
        self.dropped += (before - self.waiting.len()) as u64;
        let size = self.waiting.len().min(wire::RESULTS_MAX);
        self.waiting.drain(..size).collect()
    }

    /// Puts back what was taken.
    fn back(&mut self, batch: Vec<Finding>) {
        for result in batch.into_iter().rev() {
            if self.waiting.len() >= QUEUE_MAX {
                // It is the oldest by now.
                self.dropped += 1;
            } else {
                self.waiting.push_front(result);
            }
        }
    }
}

/// How long to wait after failures, and that they are told once.
#[derive(Default)]
struct Backoff {
    tries: u32,
    told: String,
}

impl Backoff {
    /// After a failure: how long.
    fn next(&mut self, problem: &str) -> Duration {
        let wait = BACKOFF.0.saturating_mul(1 << self.tries.min(6)).min(BACKOFF.1);
        if self.told != problem {
            crate::tell(&format!("{problem}; again in {} s", wait.as_secs()));
            problem.clone_into(&mut self.told);
        }
        self.tries = self.tries.saturating_add(1);
        // Agents that lost the same tracker do not come back all at once.
        let mut random = [0; 2];
        let _ = getrandom::fill(&mut random);
        wait.mul_f64(0.75 + 0.5 * f64::from(u16::from_le_bytes(random)) / 65_536.0)
    }

    /// After a success.
    fn over(&mut self, words: &str) {
        if self.tries > 0 {
            crate::tell(words);
        }
        *self = Backoff::default();
    }
}

fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_nanos() as u64
}

/// Makes every probe once. Returns the table of them, and whether none failed.
async fn once(services: &[&Service], trust: &Arc<Trust>) -> (String, bool) {
    let probes = services
        .iter()
        .flat_map(|service| service.probe.iter().map(|probe| (service.slug.as_str(), probe)));
    let ran: Vec<(&str, &config::Probe, Outcome)> = futures_util::stream::iter(probes)
        .map(|(slug, probe)| async move { (slug, probe, super::run(probe, trust).await) })
        .buffered(AT_ONCE)
        .collect()
        .await;
    let mut text = table(&ran, now_ns() / 1_000_000_000);
    let out_of_reach = |outcome: &Outcome| match &outcome.verdict {
        Verdict::Down(reason) => reason.code.is_reachability(),
        Verdict::Up | Verdict::NoData(_) => false,
    };
    let failures = ran.iter().filter(|(_, _, outcome)| out_of_reach(outcome)).count();
    if failures > 0 {
        let machine = offline::check(trust).await;
        if !machine.route {
            text.push_str("\nThis machine has no route to the Internet: the failures may be its own.\n");
        } else if machine.resolvers == Some(false) {
            text.push_str("\nThis machine's resolvers do not answer: the failures may be its own.\n");
        }
    }
    (
        text,
        ran.iter().all(|(_, _, outcome)| outcome.verdict == Verdict::Up),
    )
}

/// A row for each probe.
fn table(ran: &[(&str, &config::Probe, Outcome)], now_s: u64) -> String {
    let heads = [
        "SERVICE",
        "PROBE",
        "RESULT",
        "HTTP",
        "DNS",
        "CONNECT",
        "TLS",
        "FIRST BYTE",
        "WHOLE",
        "CERTIFICATE",
    ];
    let mut rows: Vec<Vec<String>> = vec![heads.map(str::to_owned).to_vec()];
    let mut after = vec![String::new()];
    for (slug, probe, outcome) in ran {
        let time = |phase: Option<Duration>| {
            phase.map_or("-".to_owned(), |phase| {
                format!("{:.1} ms", phase.as_secs_f64() * 1_000.0)
            })
        };
        let (result, words) = match &outcome.verdict {
            Verdict::Up => ("up", String::new()),
            Verdict::Down(reason) => ("down", told(reason.code, &reason.words)),
            Verdict::NoData(reason) => ("no data", told(reason.code, &reason.words)),
        };
        let http = match (outcome.status, outcome.http) {
            (Some(status), Some(version)) => format!("{status} {}", version.word()),
            _ => "-".to_owned(),
        };
        let ends = outcome.certificate_ends.map_or("-".to_owned(), |ends| {
            format!("{} d", (ends - now_s as i64).div_euclid(86_400))
        });
        let phases = &outcome.phases;
        rows.push(vec![
            (*slug).to_owned(),
            what(probe),
            result.to_owned(),
            http,
            time(phases.dns),
            time(phases.connect),
            time(phases.tls),
            time(phases.first_byte),
            time(phases.whole),
            ends,
        ]);
        let note = outcome.note.clone().unwrap_or_default();
        let words = [words, note]
            .into_iter()
            .filter(|words| !words.is_empty())
            .collect::<Vec<_>>();
        after.push(words.join("; "));
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut out = String::new();
    for (row, after) in rows.iter().zip(&after) {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            // Numbers stand to the right.
            if (4..9).contains(&column) {
                line.push_str(&format!("{cell:>width$}  "));
            } else {
                line.push_str(&format!("{cell:<width$}  "));
            }
        }
        line.push_str(after);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn told(code: Code, words: &str) -> String {
    format!("{}: {words}", code.word())
}

/// A probe in a few words.
fn what(probe: &config::Probe) -> String {
    let what = match probe {
        config::Probe::Http { url, .. } => match Url::parse(url) {
            Ok(url) => format!("{}{}", url.origin().ascii_serialization(), url.path()),
            Err(_) => url.clone(),
        },
        config::Probe::Tcp { address, .. } | config::Probe::Tls { address, .. } => address.clone(),
        config::Probe::Dns { name, record, .. } => format!("{name} {record}"),
        config::Probe::Icmp { host, .. } => host.clone(),
    };
    let mut cut: String = clean(&what).chars().take(48).collect();
    if what.chars().count() > 48 {
        cut.push('…');
    }
    format!("{} {cut}", Kind::of(probe).word())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::AsyncWriteExt;

    use super::super::tests::{ok, request, server, trust};
    use super::super::{Phases, Reason, Version};
    use super::*;

    fn found(at_ns: u64) -> Finding {
        Finding {
            at_ns,
            service: "shop".to_owned(),
            probe: 0,
            kind: Kind::Tcp,
            place: "Madrid".to_owned(),
            outcome: Outcome::bare(Verdict::Up),
        }
    }

    #[test]
    fn the_queue_drops_the_oldest_and_counts_them() {
        let mut queue = Queue::default();
        let now = 10_000_000_000_000;
        for number in 0..QUEUE_MAX as u64 + 5 {
            queue.push(found(now + number));
        }
        assert_eq!(
            (queue.waiting.len(), queue.dropped, queue.waiting[0].at_ns),
            (QUEUE_MAX, 5, now + 5)
        );
        let batch = queue.take(now);
        assert_eq!((batch.len(), batch[0].at_ns), (wire::RESULTS_MAX, now + 5));
        // What came meanwhile has its place; the oldest of what is put back go.
        for number in 0..10 {
            queue.push(found(now + 20_000 + number));
        }
        queue.back(batch);
        assert_eq!(
            (queue.waiting.len(), queue.dropped, queue.waiting[0].at_ns),
            (QUEUE_MAX, 15, now + 15)
        );
        // What the tracker would refuse is not sent.
        let late = now + 15 + STALE.as_nanos() as u64;
        let batch = queue.take(late);
        assert_eq!((batch[0].at_ns, queue.dropped), (now + 16, 16));
    }

    #[test]
    fn waits_grow_to_a_limit_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<f64> = (0..10).map(|_| backoff.next("gone").as_secs_f64()).collect();
        for (wait, nominal) in waits
            .iter()
            .zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0])
        {
            assert!((0.75 * nominal..1.25 * nominal).contains(wait), "{waits:?}");
        }
        backoff.over("back");
        assert!(backoff.next("gone") < Duration::from_secs(2));
    }

    #[test]
    fn addresses_and_tokens_that_are_none_are_refused() {
        let new = |url: &str, token: Option<&str>| {
            Tracker::new(url, token, Arc::new(trust())).map(|tracker| tracker.base)
        };
        assert_eq!(
            new("https://status.example/", Some("abc\n")).unwrap(),
            "https://status.example"
        );
        assert_eq!(
            new("https://status.example/sub/", None).unwrap(),
            "https://status.example/sub"
        );
        for url in [
            "status.example",
            "ftp://status.example",
            "https://status.example/?a=b",
            "",
        ] {
            assert!(new(url, None).is_err(), "{url}");
        }
        assert!(new("https://status.example", Some("a\nb")).is_err());
    }

    #[tokio::test]
    async fn work_is_fetched_done_and_delivered_whatever_the_tracker_does_meanwhile() {
        let probed = server(|stream| async move { drop(stream) }).await;
        let config = format!(
            "[[service]]\nslug = \"shop\"\nname = \"Shop\"\n[[service.probe]]\nkind = \"tcp\"\naddress = \"{probed}\"\nevery = \"1s\"\n"
        );
        let work = wire::Work::of(&Config::parse(&config).unwrap());
        let work = serde_json::to_string(&work).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        let tracker = server(move |mut stream| {
            let (asked, work) = (Arc::clone(&seen), work.clone());
            async move {
                let text = request(&mut stream).await;
                let posts = {
                    let mut asked = asked.lock().unwrap();
                    asked.push(text.clone());
                    asked.iter().filter(|text| text.starts_with("POST")).count()
                };
                let answer = match text.starts_with("GET") {
                    true => ok("etag: \"1\"\r\n", &work),
                    // First it is busy, then it is gone, then it takes them.
                    false if posts == 1 => b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".to_vec(),
                    false if posts == 2 => Vec::new(),
                    false => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
                };
                let _ = stream.write_all(&answer).await;
            }
        })
        .await;
        let tracker = Tracker::new(&format!("http://{tracker}/"), Some("t0ken"), Arc::new(trust())).unwrap();
        let stop = async {
            let began = Instant::now();
            let posted = || {
                asked
                    .lock()
                    .unwrap()
                    .iter()
                    .filter(|text| text.starts_with("POST"))
                    .count()
            };
            while posted() < 3 && began.elapsed() < Duration::from_secs(20) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        join(&tracker, "Madrid".to_owned(), stop).await.unwrap();
        let asked = asked.lock().unwrap().clone();
        let get = asked[0].to_lowercase();
        assert!(
            get.starts_with("get /api/v1/probes http/1.1\r\n")
                && get.contains("authorization: bearer t0ken\r\n"),
            "{get}"
        );
        let posts: Vec<wire::Batch> = asked
            .iter()
            .filter(|text| text.starts_with("POST /api/v1/probes/results HTTP/1.1\r\n"))
            .map(|text| serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap())
            .collect();
        assert!(posts.len() >= 3, "{}", posts.len());
        // What was not taken comes again, with what came meanwhile behind it.
        assert_eq!(posts[1].results[0], posts[0].results[0]);
        assert_eq!(posts[2].results[0], posts[0].results[0]);
        assert!(posts[2].results.len() > posts[0].results.len());
        let results = posts[2].clone().results(now_ns()).unwrap();
        assert!(
            results
                .iter()
                .all(|result| result.outcome.verdict == Verdict::Up && result.place == "Madrid"),
            "{results:?}"
        );
        assert_eq!(posts[2].dropped, 0);
    }

    #[tokio::test]
    async fn a_batch_that_is_refused_is_not_sent_again_and_what_a_tag_covers_is_not_fetched_again() {
        let tracker = server(|mut stream| async move {
            let text = request(&mut stream).await.to_lowercase();
            let answer = match text {
                text if text.contains("if-none-match: \"7\"") => {
                    b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()
                }
                text if text.starts_with("get") => {
                    b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 6\r\n\r\nno \x1b[m".to_vec()
                }
                _ => b"HTTP/1.1 422 Unprocessable Content\r\ncontent-length: 5\r\n\r\nplace".to_vec(),
            };
            let _ = stream.write_all(&answer).await;
        })
        .await;
        let tracker = Tracker::new(&format!("http://{tracker}"), None, Arc::new(trust())).unwrap();
        assert!(
            tracker
                .work(Some(&HeaderValue::from_static("\"7\"")))
                .await
                .unwrap()
                .is_none()
        );
        let problem = tracker.work(None).await.unwrap_err();
        assert!(
            problem.contains("--token-file") && problem.contains("401") && !problem.contains('\x1b'),
            "{problem}"
        );
        let Err(Refused::Never(problem)) = tracker.send(&wire::Batch::of("x", 0, &[])).await else {
            panic!("taken")
        };
        assert!(problem.ends_with(": place"), "{problem}");
    }

    #[test]
    fn the_table_shows_each_probe_in_a_line() {
        let probe: config::Probe =
            toml::from_str("kind = \"http\"\nurl = \"https://shop.example/health?token=secret\"").unwrap();
        let tcp: config::Probe = toml::from_str("kind = \"tcp\"\naddress = \"shop.example:25\"").unwrap();
        let up = Outcome {
            verdict: Verdict::Up,
            phases: Phases {
                dns: Some(Duration::from_micros(1_250)),
                whole: Some(Duration::from_millis(1_234)),
                ..Phases::default()
            },
            status: Some(204),
            certificate_ends: Some(1_000_000 + 86_400 * 9 + 5),
            http: Some(Version::Http2),
            note: Some("redirected".to_owned()),
        };
        let down = Outcome::bare(Verdict::Down(Reason::new(Code::ConnectRefused, "nobody there")));
        let text = table(&[("shop", &probe, up), ("mail", &tcp, down)], 1_000_000);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(
            lines[1],
            [
                "shop",
                "http https://shop.example/health",
                "up",
                "204 HTTP/2",
                "1.2 ms",
                "-",
                "-",
                "-",
                "1234.0 ms",
                "9 d",
                "redirected"
            ]
        );
        assert_eq!(
            lines[2],
            [
                "mail",
                "tcp shop.example:25",
                "down",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "-",
                "connect-refused: nobody there"
            ]
        );
        assert!(!text.contains("secret"));
    }

    #[tokio::test]
    async fn once_says_whether_all_are_up() {
        let probed = server(|stream| async move { drop(stream) }).await;
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let text = format!(
            "[[service]]\nslug = \"a\"\nname = \"A\"\n[[service.probe]]\nkind = \"tcp\"\naddress = \"{probed}\"\n\
             [[service]]\nslug = \"b\"\nname = \"B\"\n[[service.probe]]\nkind = \"tcp\"\naddress = \"{closed}\"\n"
        );
        let config = Config::parse(&text).unwrap();
        let trust = Arc::new(trust());
        let (table, well) = once(&[&config.service[0]], &trust).await;
        assert!(well && table.lines().count() == 2, "{table}");
        let (table, well) = once(&config.service.iter().collect::<Vec<_>>(), &trust).await;
        assert!(!well && table.contains("connect-refused"), "{table}");
    }
}
