//! Those who are told: people on call, other programs, visitors who asked.
//!
//! - [`plan`]: who is told what and when; [`message`] is what they are told.
//! - [`outbox`]: what has to be sent, until it arrived; durable, since it is written before the first try and goes after the last.
//! - [`channel`]: a message in the form of each service; [`client`] and [`mail`] bring it there.
//! - [`subscribe`] and [`push`]: visitors who ask for mail, and browsers that show news.
//!
//! A receiver is told at least once: what was under way when the program ended is sent again. Each message carries a key that stays the
//! same, so that a receiver can drop what it has.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use sha2::{Digest, Sha256};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify as Wake, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::config::{Config, Notify, NotifyKind};
use super::engine::Writing;
use super::http::{App, Problem};
use crate::args::NotifyArgs;
use crate::tell;

pub(crate) mod channel;
pub(crate) mod client;
mod limit;
pub(crate) mod mail;
pub(crate) mod message;
pub(crate) mod outbox;
pub(crate) mod plan;
pub(crate) mod push;
mod secret;
pub(crate) mod subscribe;

use client::{Answer, Client, Reach, host};
use message::{Kind, Message};
use outbox::{ENTRIES_MAX, Entry, Failure, Fate, OUTBOX, Outbox, Payload, Times};
use plan::{Audience, Due, Planner, Rules, TOLD};

/// Documents that are written at once; reports wait no longer than that takes.
const AT_ONCE: usize = 1_000;
/// How long after a write that failed the next one is tried.
const WRITE_AGAIN: Duration = Duration::from_secs(2);
/// How often it is looked at the settings when nothing happens.
const LOOK: Duration = Duration::from_secs(5);
/// How long it is waited at least.
const STEP: Duration = Duration::from_millis(20);
/// Entries of others that wait to be taken into the outbox.
const NEW_MAX: usize = 10_000;
/// How long what is under way may take when it is told to stop.
const STOP: Duration = Duration::from_secs(1);

/// What others put in the outbox, and what became of all of it; for `/metrics`.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    new: Mutex<Vec<Entry>>,
    wake: Wake,
    pub(crate) delivered: AtomicU64,
    /// Tries that failed, and messages that were given up.
    pub(crate) failed: AtomicU64,
    pub(crate) undelivered: AtomicU64,
    /// Messages for which there was no room.
    pub(crate) dropped: AtomicU64,
    /// Messages that wait.
    pub(crate) waiting: AtomicU64,
}

/// Pages for visitors who want to be told.
pub(crate) fn routes() -> Router<App> {
    subscribe::routes().merge(push::routes())
}

/// The time of the tracker, which never goes back.
fn now_ns(app: &App) -> u64 {
    match app.state.alive_ns.load(Ordering::Relaxed) {
        // The engine has only just begun.
        0 => system_ns(),
        ns => ns,
    }
}

/// The time of the system, for those who compare it with their own.
fn system_ns() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// Puts something in the outbox: it is on the disk when this returns.
async fn post(app: &App, entry: Entry) -> Result<(), Problem> {
    let count = app
        .state
        .letters
        .new
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .len();
    if count >= NEW_MAX {
        return Err(Problem::busy());
    }
    app.write(Writing {
        puts: vec![entry.document()],
        ..Writing::default()
    })
    .await?;
    let letters = &app.state.letters;
    letters
        .new
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(entry);
    letters.wake.notify_one();
    Ok(())
}

/// The receivers of the settings by names that stay the same while they do. Addresses of hooks are secrets, so a name is a hash.
fn receivers(config: &Config) -> Vec<(String, &Notify)> {
    let mut named: Vec<(String, &Notify)> = Vec::new();
    for notify in &config.notify {
        let kind = kind_name(notify.kind);
        let file = notify.secret_file.as_ref().map(|file| file.display().to_string());
        let what = format!(
            "{kind}\n{}\n{}\n{}",
            notify.url,
            notify.to,
            file.unwrap_or_default()
        );
        let hash = &secret::hex(&Sha256::digest(what))[..12];
        let mut name = format!("{kind}-{hash}");
        let same = named.iter().filter(|(known, _)| known.starts_with(&name)).count();
        if same > 0 {
            name = format!("{name}-{}", same + 1);
        }
        named.push((name, notify));
    }
    named
}

fn kind_name(kind: NotifyKind) -> &'static str {
    match kind {
        NotifyKind::Webhook => "webhook",
        NotifyKind::Mail => "mail",
        NotifyKind::Slack => "slack",
        NotifyKind::Discord => "discord",
        NotifyKind::Telegram => "telegram",
        NotifyKind::Teams => "teams",
        NotifyKind::Pagerduty => "pagerduty",
        NotifyKind::Ntfy => "ntfy",
    }
}

/// What the plan needs of the settings.
fn rules(config: &Config) -> Rules {
    let operators = receivers(config).into_iter().map(|(id, notify)| Audience {
        id,
        services: notify.services.clone(),
        is_public: false,
    });
    let visitors = config.service.iter().map(|service| Audience {
        id: format!("visitors:{}", service.slug),
        services: vec![service.slug.clone()],
        is_public: true,
    });
    Rules {
        group_ns: config.alerts.group.0.as_nanos() as u64,
        repeat_ns: config.alerts.repeat.0.as_nanos() as u64,
        audiences: operators.chain(visitors).collect(),
        services: config
            .service
            .iter()
            .map(|service| (service.slug.clone(), service.name.clone()))
            .collect(),
        site: config.site.name.clone(),
        site_url: config.site.url.clone(),
    }
}

/// Something that is to be written.
#[derive(Debug, Default)]
struct Unwritten {
    entry: Option<serde_json::Value>,
    puts: Vec<(&'static str, String, String)>,
    deletes: Vec<(&'static str, String)>,
    /// Entries that are sent once this is written.
    new: Vec<Entry>,
}

/// The task that plans and sends, until it is told to stop.
pub(crate) async fn run(app: App, stop: watch::Receiver<bool>) {
    run_with(app, stop, Times::default()).await;
}

async fn run_with(app: App, mut stop: watch::Receiver<bool>, times: Times) {
    let mut events = app.events.subscribe();
    let client = match Client::new() {
        Ok(client) => client,
        Err(problem) => return tell(&format!("nobody can be told: {problem}")),
    };
    let mut sender = loop {
        match Sender::open(&app, client.clone(), times).await {
            Ok(sender) => break sender,
            Err(problem) => tell(&format!(
                "the messages that wait cannot be read: {}",
                problem.detail
            )),
        }
        tokio::select! {
            _ = stop.changed() => return,
            () = tokio::time::sleep(WRITE_AGAIN) => {}
        }
    };
    sender.look_at_all();
    while !*stop.borrow() {
        sender.work().await;
        let wait = sender.wait();
        tokio::select! {
            changed = stop.changed() => if changed.is_err() { break },
            event = events.recv() => match event {
                Ok(incident) => sender.plan.see(now_ns(&app), &incident),
                // What was missed is seen in how things are.
                Err(RecvError::Lagged(_)) => sender.look_at_all(),
                Err(RecvError::Closed) => break,
            },
            () = app.state.letters.wake.notified() => {}
            Some(done) = sender.flying.join_next_with_id(), if !sender.flying.is_empty() => sender.settle(done),
            () = tokio::time::sleep(wait) => {}
        }
    }
    // What arrives in this moment need not be sent again after the next start.
    let _ = tokio::time::timeout(STOP, async {
        while let Some(done) = sender.flying.join_next_with_id().await {
            sender.settle(done);
        }
    })
    .await;
    sender.flush().await;
}

/// What became of a try.
type Done = Result<(Id, Result<(), Failure>), JoinError>;

struct Sender {
    app: App,
    client: Client,
    times: Times,
    config: Arc<Config>,
    plan: Planner,
    outbox: Outbox,
    /// Messages that were planned and are not yet addressed.
    due: Option<Due>,
    unwritten: VecDeque<Unwritten>,
    write_again_ns: u64,
    flying: JoinSet<Result<(), Failure>>,
    /// What flies: receiver and entry.
    of: HashMap<Id, (String, String)>,
}

impl Sender {
    /// With what was left of the last run.
    async fn open(app: &App, client: Client, times: Times) -> Result<Sender, Problem> {
        let (told, kept) = app
            .read(|read| Ok((read.documents(TOLD)?, read.documents(OUTBOX)?)))
            .await?;
        let config = app.state.config.load_full();
        let mut sender = Sender {
            plan: Planner::load(rules(&config), &told),
            outbox: Outbox::new(times, ENTRIES_MAX),
            app: app.clone(),
            client,
            times,
            config,
            due: None,
            unwritten: VecDeque::new(),
            write_again_ns: 0,
            flying: JoinSet::new(),
            of: HashMap::new(),
        };
        // Those that were put there before this was read are in both places, and are the same.
        for (id, text) in kept {
            match serde_json::from_str::<Entry>(&text) {
                Ok(entry) => sender.take(entry),
                Err(_) => sender.unwritten.push_back(Unwritten {
                    deletes: vec![(OUTBOX, id)],
                    ..Unwritten::default()
                }),
            }
        }
        Ok(sender)
    }

    /// Takes an entry that is written.
    fn take(&mut self, entry: Entry) {
        if let Some(gone) = self.outbox.put(entry) {
            self.app.state.letters.dropped.fetch_add(1, Ordering::Relaxed);
            self.give_up(&gone, "there was no room for more messages");
        }
    }

    fn look_at_all(&mut self) {
        let now_ns = now_ns(&self.app);
        for incident in self.app.state.incidents.load().values() {
            self.plan.see(now_ns, incident);
        }
    }

    /// Everything that can be done now.
    async fn work(&mut self) {
        let config = self.app.state.config.load_full();
        if !Arc::ptr_eq(&config, &self.config) {
            self.config = config;
            if self.plan.configure(now_ns(&self.app), rules(&self.config)) {
                self.look_at_all();
            }
        }
        let new = {
            let mut new = self
                .app
                .state
                .letters
                .new
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *new)
        };
        for entry in new {
            self.take(entry);
        }
        while let Some(done) = self.flying.try_join_next_with_id() {
            self.settle(done);
        }
        self.flush().await;
        // Nothing new is planned while what was planned is not written.
        if self.unwritten.is_empty() {
            if self.due.is_none() {
                let due = self.plan.due(now_ns(&self.app));
                self.due = Some(due).filter(|due| *due != Due::default());
            }
            if let Some(due) = self.due.take() {
                match self.address(&due).await {
                    Ok(entries) => self.write(due, entries),
                    // The engine has more to do; the next time it is.
                    Err(_) => self.due = Some(due),
                }
            }
            self.flush().await;
        }
        self.begin();
        let letters = &self.app.state.letters;
        letters.waiting.store(self.outbox.len() as u64, Ordering::Relaxed);
    }

    /// How long nothing has to be done, if nothing happens.
    fn wait(&self) -> Duration {
        let now_ns = now_ns(&self.app);
        let write = (!self.unwritten.is_empty() || self.due.is_some())
            .then(|| self.write_again_ns.max(now_ns + 100_000_000));
        let plan = self.plan.next_ns().filter(|_| write.is_none());
        let next = [write, plan, self.outbox.next_ns()].into_iter().flatten().min();
        next.map_or(LOOK, |next| {
            // The time moves in steps.
            Duration::from_nanos(next.saturating_sub(now_ns)).clamp(STEP, LOOK)
        })
    }

    /// Each message for each of those who are told.
    async fn address(&self, due: &Due) -> Result<Vec<Entry>, Problem> {
        let now_ns = now_ns(&self.app);
        let kinds: HashMap<String, NotifyKind> = receivers(&self.config)
            .into_iter()
            .map(|(id, notify)| (id, notify.kind))
            .collect();
        let is_public = due
            .messages
            .iter()
            .any(|message| message.audience.starts_with("visitors:"));
        let (mut mails, mut pushes) = (Vec::new(), Vec::new());
        if is_public {
            (mails, pushes) = self
                .app
                .read(|read| {
                    Ok((
                        read.documents(subscribe::SUBSCRIPTION)?,
                        read.documents(push::PUSH)?,
                    ))
                })
                .await?;
        }
        let mut visitors: HashMap<String, Vec<(String, u64)>> = HashMap::new();
        for (id, text) in mails {
            if let Ok(one) = serde_json::from_str::<subscribe::Subscription>(&text) {
                let list = visitors.entry(one.service).or_default();
                list.push((format!("mail:{id}"), one.since_ns));
            }
        }
        for (id, text) in pushes {
            if let Ok(one) = serde_json::from_str::<push::Push>(&text) {
                let list = visitors.entry(one.service).or_default();
                list.push((format!("push:{id}"), one.since_ns));
            }
        }
        let mut entries = Vec::new();
        for message in &due.messages {
            let mut add = |receiver: &str, message: Arc<Message>| {
                let (key, urgency) = (message.key.clone(), message.urgency);
                entries.push(Entry::new(
                    receiver,
                    &key,
                    urgency,
                    Payload::Message(message),
                    now_ns,
                ));
            };
            match message.audience.strip_prefix("visitors:") {
                None => {
                    let kind = kinds.get(&message.audience);
                    if kind.is_some_and(|kind| channel::is_by_incident(*kind)) {
                        for (at, item) in message.items.iter().enumerate() {
                            let one = Message {
                                // Numbers that sort: the order of incidents stays.
                                key: format!("{}-{at:02}", message.key),
                                items: vec![item.clone()],
                                ..message.clone()
                            };
                            add(&message.audience, Arc::new(one));
                        }
                    } else {
                        add(&message.audience, Arc::new(message.clone()));
                    }
                }
                Some(slug) => {
                    let whole = Arc::new(message.clone());
                    for (receiver, since_ns) in visitors.get(slug).into_iter().flatten() {
                        // Who came later was not told that it began, and needs not hear that it is over.
                        if message.items.iter().all(|item| *since_ns <= item.told_ns) {
                            add(receiver, Arc::clone(&whole));
                            continue;
                        }
                        let mut part = message.clone();
                        part.items.retain(|item| *since_ns <= item.told_ns);
                        if !part.items.is_empty() {
                            add(receiver, Arc::new(part));
                        }
                    }
                }
            }
        }
        Ok(entries)
    }

    /// What was planned is written in parts; that it was told, with the last.
    fn write(&mut self, due: Due, mut entries: Vec<Entry>) {
        while entries.len() > AT_ONCE {
            let rest = entries.split_off(AT_ONCE);
            self.unwritten.push_back(Unwritten {
                puts: entries.iter().map(Entry::document).collect(),
                new: std::mem::replace(&mut entries, rest),
                ..Unwritten::default()
            });
        }
        let mut puts: Vec<_> = entries.iter().map(Entry::document).collect();
        puts.extend(due.puts.into_iter().map(|(name, text)| (TOLD, name, text)));
        self.unwritten.push_back(Unwritten {
            puts,
            deletes: due.deletes.into_iter().map(|name| (TOLD, name)).collect(),
            new: entries,
            entry: None,
        });
    }

    /// Writes what is to be written, in order.
    async fn flush(&mut self) {
        if now_ns(&self.app) < self.write_again_ns {
            return;
        }
        while let Some(first) = self.unwritten.front() {
            let writing = Writing {
                entry: first.entry.clone().map(|value| ("undelivered", value)),
                puts: first.puts.clone(),
                deletes: first.deletes.clone(),
            };
            if self.app.write(writing).await.is_err() {
                self.write_again_ns = now_ns(&self.app) + WRITE_AGAIN.as_nanos() as u64;
                return;
            }
            let written = self.unwritten.pop_front().unwrap_or_default();
            for entry in written.new {
                self.take(entry);
            }
        }
    }

    /// Begins to send what is due.
    fn begin(&mut self) {
        while let Some(entry) = self.outbox.begin(now_ns(&self.app)) {
            let key = (entry.receiver.clone(), entry.id.clone());
            let (app, client, times) = (self.app.clone(), self.client.clone(), self.times);
            let handle = self.flying.spawn(async move {
                let telling = deliver(&app, &client, &entry, &times);
                match tokio::time::timeout(times.timeout, telling).await {
                    Ok(told) => told,
                    Err(_) => Err(Failure::passing("there was no answer in time")),
                }
            });
            self.of.insert(handle.id(), key);
        }
    }

    /// Takes note of what became of a try.
    fn settle(&mut self, done: Done) {
        let (id, told) = match done {
            Ok(done) => done,
            Err(error) => (error.id(), Err(Failure::passing("the try broke off"))),
        };
        let Some((receiver, entry)) = self.of.remove(&id) else {
            return;
        };
        let letters = &self.app.state.letters;
        let mut change = Unwritten::default();
        match told {
            Ok(()) => {
                letters.delivered.fetch_add(1, Ordering::Relaxed);
                self.outbox.arrived(&receiver, &entry);
                change.deletes.push((OUTBOX, entry));
            }
            Err(failure) => {
                letters.failed.fetch_add(1, Ordering::Relaxed);
                let random = u64::from_le_bytes(secret::random());
                let now_ns = now_ns(&self.app);
                match self.outbox.failed(&receiver, &entry, &failure, now_ns, random) {
                    Fate::Again(entry) => change.puts.push(entry.document()),
                    Fate::GivenUp(entry) => return self.give_up(&entry, &failure.reason),
                    Fate::Gone => return,
                }
            }
        }
        self.unwritten.push_back(change);
    }

    /// An entry goes without having arrived, which is written down.
    fn give_up(&mut self, entry: &Entry, reason: &str) {
        self.app.state.letters.undelivered.fetch_add(1, Ordering::Relaxed);
        let incidents: Vec<&str> = match &entry.payload {
            Payload::Message(message) => message.items.iter().map(|item| item.incident.as_str()).collect(),
            Payload::Confirm { .. } => Vec::new(),
        };
        tell(&format!("{} was not told: {reason}", entry.receiver));
        self.unwritten.push_back(Unwritten {
            entry: Some(serde_json::json!({
                "receiver": entry.receiver, "incidents": incidents, "tries": entry.tries, "reason": reason,
            })),
            deletes: vec![(OUTBOX, entry.id.clone())],
            ..Unwritten::default()
        });
    }
}

/// Tries to bring an entry to its receiver. One that is not there any more has nothing to be told.
async fn deliver(app: &App, client: &Client, entry: &Entry, times: &Times) -> Result<(), Failure> {
    let config = app.state.config.load_full();
    let busy = |problem: Problem| Failure::passing(problem.detail);
    let message = match &entry.payload {
        Payload::Confirm { email, service } => {
            let (Some(mail), Some(known)) = (
                &config.mail,
                config.service.iter().find(|known| known.slug == *service),
            ) else {
                return Ok(());
            };
            let key = subscribe::key(app).await.map_err(busy)?;
            let site = (config.site.name.as_str(), config.site.url.as_str());
            let letter = subscribe::asking(&key, site, entry, email, service, &known.name);
            return mail::send(mail, &letter, times).await;
        }
        Payload::Message(message) => message,
    };
    if let Some(id) = entry.receiver.strip_prefix("mail:") {
        let of = id.to_owned();
        let kept = app
            .read(move |read| read.document(subscribe::SUBSCRIPTION, &of))
            .await
            .map_err(busy)?;
        let one = kept.and_then(|text| serde_json::from_str::<subscribe::Subscription>(&text).ok());
        let (Some(mail), Some(one)) = (&config.mail, one) else {
            return Ok(());
        };
        let key = subscribe::key(app).await.map_err(busy)?;
        let end = subscribe::unsubscribe(&key, &config.site.url, id);
        let mut letter = mail::letter(message, &one.email, Some(end));
        letter.key = format!("{}-{}", message.key, &id[..id.len().min(12)]);
        return mail::send(mail, &letter, times).await;
    }
    if let Some(id) = entry.receiver.strip_prefix("push:") {
        return deliver_push(app, client, id, message).await;
    }
    match receivers(&config)
        .into_iter()
        .find(|(name, _)| *name == entry.receiver)
    {
        Some((_, notify)) => tell_one(&config, notify, client, message, times).await.map(drop),
        None => Ok(()),
    }
}

async fn deliver_push(app: &App, client: &Client, id: &str, message: &Message) -> Result<(), Failure> {
    let busy = |problem: Problem| Failure::passing(problem.detail);
    let of = id.to_owned();
    let kept = app
        .read(move |read| read.document(push::PUSH, &of))
        .await
        .map_err(busy)?;
    let Some(one) = kept.and_then(|text| serde_json::from_str::<push::Push>(&text).ok()) else {
        return Ok(());
    };
    let key = push::signing_key(app).await.map_err(busy)?;
    let contact = push::contact(&app.state.config.load().site);
    let Some(out) = push::request(
        &one,
        message,
        &key,
        contact.as_deref(),
        system_ns() / 1_000_000_000,
    ) else {
        return Err(Failure::lasting("the browser's keys cannot be used"));
    };
    let answer = client.post(&out, Reach::Public).await.map_err(Failure::passing)?;
    pushed(app, id, &answer, &host(&out.url)).await
}

/// What a push service said of a push to a browser.
async fn pushed(app: &App, id: &str, answer: &Answer, host: &str) -> Result<(), Failure> {
    if !matches!(answer.status, 404 | 410) {
        return judged(answer, host);
    }
    // The browser does not want it any more, and told its push service alone.
    let writing = Writing {
        deletes: vec![(push::PUSH, id.to_owned())],
        ..Writing::default()
    };
    app.write(writing)
        .await
        .map_err(|problem| Failure::passing(problem.detail))
}

/// Whether a server took it.
fn judged(answer: &Answer, host: &str) -> Result<(), Failure> {
    let reason = format!("{host} says HTTP {}", answer.status);
    match answer.status {
        200..300 => Ok(()),
        // The same words would be refused again.
        400 | 413 | 422 => Err(Failure::lasting(reason)),
        _ => Err(Failure {
            retry_after: answer.retry_after,
            ..Failure::passing(reason)
        }),
    }
}

/// The secret of a receiver.
fn secret_of(notify: &Notify) -> Result<Option<String>, Failure> {
    let Some(file) = &notify.secret_file else {
        return Ok(None);
    };
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) => Err(Failure::passing(format!("its secret_file: {}", error.kind()))),
    }
}

/// Tells a receiver of the settings; what came back, in words without secrets.
async fn tell_one(
    config: &Config,
    notify: &Notify,
    client: &Client,
    message: &Message,
    times: &Times,
) -> Result<String, Failure> {
    if notify.kind == NotifyKind::Mail {
        let Some(mail) = &config.mail else {
            return Err(Failure::passing("there is no table [mail]"));
        };
        mail::send(mail, &mail::letter(message, &notify.to, None), times).await?;
        return Ok("the mail server took it".to_owned());
    }
    let secret = secret_of(notify)?;
    let out = channel::request(notify, secret.as_deref(), message, system_ns() / 1_000_000_000)
        .map_err(Failure::passing)?;
    let Some(out) = out else {
        return Ok("has no word for this".to_owned());
    };
    let answer = client
        .post(&out, Reach::Anywhere)
        .await
        .map_err(Failure::passing)?;
    judged(&answer, &host(&out.url))?;
    Ok(format!("HTTP {}", answer.status))
}

/// `epicenter notify --test`: one message to each receiver of the settings.
pub(crate) fn test(args: &NotifyArgs) -> anyhow::Result<ExitCode> {
    let (config, _) = super::server::config(Some(&args.test))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(test_all(&config, &mut std::io::stdout()))
}

async fn test_all(config: &Config, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let client = Client::new().map_err(anyhow::Error::msg)?;
    let times = Times::default();
    let mut is_well = true;
    for (name, notify) in receivers(config) {
        let mut message = Message::test(&name, &config.site.name, &config.site.url, system_ns());
        let telling = tell_one(config, notify, &client, &message, &times);
        let mut told = match tokio::time::timeout(times.timeout, telling).await {
            Ok(told) => told,
            Err(_) => Err(Failure::passing("there was no answer in time")),
        };
        if told.is_ok() && notify.kind == NotifyKind::Pagerduty {
            // Nobody is left with an alarm that was a test.
            message.items[0].kind = Kind::Ends;
            message.key.push_str("-end");
            let telling = tell_one(config, notify, &client, &message, &times);
            told = match tokio::time::timeout(times.timeout, telling).await {
                Ok(told) => told,
                Err(_) => Err(Failure::passing(
                    "there was no answer in time to the end of the test",
                )),
            };
        }
        match told {
            Ok(words) => writeln!(out, "{name}: told ({words})")?,
            Err(failure) => {
                is_well = false;
                writeln!(out, "{name}: not told: {}", failure.reason)?;
            }
        }
    }
    if config.notify.is_empty() {
        writeln!(out, "nobody is to be told: there is no table [[notify]]")?;
    }
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}

#[cfg(test)]
mod tests;
