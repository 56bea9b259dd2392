//! The whole way: an engine with its file, the task that tells, and small servers on this machine.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Instant;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt;
use store::{Limits, Store};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tower::ServiceExt;

use super::plan::tests::incident;
use super::*;
use crate::serve::engine::{Ask, Engine};
use crate::serve::state::{Incident, Standing};

const QUICK: Times = Times {
    first: Duration::from_millis(40),
    most: Duration::from_millis(160),
    give_up: Duration::from_secs(60),
    timeout: Duration::from_millis(700),
};

/// An engine in a thread, and what handlers work with.
struct Tracker {
    app: App,
    thread: JoinHandle<()>,
}

impl Tracker {
    fn open(folder: &Path, settings: &str) -> Tracker {
        let text = format!(
            "[site]\nname = \"Status\"\nurl = \"https://status.example\"\n[alerts]\ngroup = \"20ms\"\n{settings}\n\
             [[service]]\nslug = \"shop\"\nname = \"Shop\"\n[[service]]\nslug = \"bank\"\nname = \"Bank\"\n"
        );
        let config = Arc::new(Config::parse(&text).expect("settings"));
        let store = Store::open(&folder.join("data.db"), Limits::default()).expect("a store");
        let (events, _) = broadcast::channel(64);
        let engine = Engine::open(store, config, events.clone(), None).expect("an engine");
        let state = engine.state();
        let (asks, asked) = mpsc::sync_channel(64);
        let thread = std::thread::spawn(move || engine.run(&asked));
        let atlas = Arc::new(atlas::Atlas::embedded());
        Tracker {
            app: App {
                state,
                asks,
                atlas,
                events,
            },
            thread,
        }
    }

    /// The task, and what stops it.
    fn tell(&self) -> (watch::Sender<bool>, tokio::task::JoinHandle<()>) {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run_with(self.app.clone(), stopped, QUICK));
        (stop, task)
    }

    fn close(self) {
        let _ = self.app.asks.send(Ask::Stop);
        drop(self.app);
        self.thread.join().expect("the engine ends");
    }

    async fn documents(&self, kind: &'static str) -> Vec<(String, String)> {
        self.app
            .read(move |read| read.documents(kind))
            .await
            .expect("documents")
    }

    async fn journal(&self, kind: &'static str) -> Vec<serde_json::Value> {
        self.app
            .read(move |read| {
                let mut found = Vec::new();
                read.entries(1, &mut |entry| {
                    if entry.kind == kind {
                        let body = entry.body.unwrap_or_default();
                        found.push(serde_json::from_slice(&body).expect("JSON"));
                    }
                    true
                })?;
                Ok(found)
            })
            .await
            .expect("the journal")
    }

    /// News of an incident, until the task has heard them.
    async fn happens(&self, incident: Incident) {
        let event = Arc::new(incident);
        let began = Instant::now();
        while self.app.events.send(event.clone()).is_err() {
            assert!(began.elapsed() < Duration::from_secs(5), "nobody listens");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn ask(&self, request: axum::http::request::Builder, body: &str) -> (StatusCode, String) {
        let mut request = request.body(Body::from(body.to_owned())).expect("a request");
        let peer = SocketAddr::from(([203, 0, 113, 7], 4_000));
        request.extensions_mut().insert(ConnectInfo(peer));
        let router = routes().with_state(self.app.clone());
        let response = router.oneshot(request).await.expect("an answer");
        let status = response.status();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(20), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A server that answers with statuses in turn, the last one again and again; 0 is no answer. It keeps what it was sent.
struct Server {
    address: SocketAddr,
    got: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(statuses: &'static [u16]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let got: Arc<Mutex<Vec<String>>> = Arc::default();
        let keep = Arc::clone(&got);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let keep = Arc::clone(&keep);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let (mut text, mut length) = (String::new(), 0);
                    loop {
                        let at = text.len();
                        if stream.read_line(&mut text).await.unwrap_or(0) == 0 {
                            return;
                        }
                        let line = text[at..].to_ascii_lowercase();
                        if let Some(value) = line.strip_prefix("content-length:") {
                            length = value.trim().parse().expect("a length");
                        }
                        if line.trim().is_empty() {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).await.expect("a body");
                    text.push_str(&String::from_utf8_lossy(&body));
                    let status = {
                        let mut got = keep.lock().expect("no panic");
                        got.push(text);
                        statuses[(got.len() - 1).min(statuses.len() - 1)]
                    };
                    if status == 0 {
                        tokio::time::sleep(Duration::from_secs(60)).await;
                    }
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\nlocation: http://{address}/elsewhere\r\ncontent-length: 2\r\n\r\nok"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Server { address, got }
    }

    fn got(&self) -> Vec<String> {
        self.got.lock().expect("no panic").clone()
    }

    /// Settings of a hook there.
    fn hook(&self) -> String {
        format!(
            "[[notify]]\nkind = \"webhook\"\nurl = \"http://{}/hook/secret\"\n",
            self.address
        )
    }
}

/// The value of a header.
fn header<'a>(request: &'a str, name: &str) -> &'a str {
    request
        .lines()
        .find_map(|line| {
            let (of, value) = line.split_once(':')?;
            of.eq_ignore_ascii_case(name).then(|| value.trim())
        })
        .unwrap_or_else(|| panic!("no {name} in {request}"))
}

/// A mail server that takes everything and keeps what it was told.
async fn mail_server() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let talks: Arc<Mutex<Vec<String>>> = Arc::default();
    let keep = Arc::clone(&talks);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let keep = Arc::clone(&keep);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let (mut talk, mut is_data) = (String::new(), false);
                let _ = stream.write_all(b"220 mx.example.org ready\r\n").await;
                loop {
                    let at = talk.len();
                    if stream.read_line(&mut talk).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let line = talk[at..].trim_end().to_owned();
                    let answer: &[u8] = match line.split([' ', ':']).next().unwrap_or_default() {
                        _ if is_data && line != "." => continue,
                        "." if is_data => {
                            is_data = false;
                            keep.lock().expect("no panic").push(talk.clone());
                            b"250 taken\r\n"
                        }
                        "EHLO" => b"250-mx.example.org\r\n250 8BITMIME\r\n",
                        "DATA" => {
                            is_data = true;
                            b"354 go on\r\n"
                        }
                        "QUIT" => b"221 bye\r\n",
                        _ => b"250 well\r\n",
                    };
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    (address, talks)
}

fn mail_settings(address: SocketAddr) -> String {
    format!("[mail]\nfrom = \"Status <status@example.org>\"\nserver = \"{address}\"\ntls = \"none\"\n")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_is_tried_again_and_told_once() {
    let (folder, server) = (folder(), Server::start(&[500, 503, 200]).await);
    let tracker = Tracker::open(folder.path(), &server.hook());
    let (stop, task) = tracker.tell();
    tracker.happens(incident("a", "shop", Standing::Confirmed)).await;
    until("an empty outbox", async || {
        server.got().len() >= 3 && tracker.documents(OUTBOX).await.is_empty()
    })
    .await;
    // The same news once more are no news.
    tracker.happens(incident("a", "shop", Standing::Confirmed)).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let got = server.got();
    assert_eq!(got.len(), 3, "{got:#?}");
    assert!(got[0].starts_with("POST /hook/secret HTTP/1.1\r\n"), "{}", got[0]);
    assert_eq!(
        header(&got[0], "idempotency-key"),
        header(&got[2], "idempotency-key")
    );
    assert_eq!(header(&got[0], "webhook-id"), header(&got[2], "idempotency-key"));
    assert!(got[2].contains("\"type\":\"incident.begins\""));
    assert_eq!(tracker.app.state.letters.delivered.load(Ordering::Relaxed), 1);
    assert_eq!(tracker.app.state.letters.failed.load(Ordering::Relaxed), 2);
    tracker.happens(incident("a", "shop", Standing::Resolved)).await;
    until("the all-clear", async || server.got().len() == 4).await;
    assert!(server.got()[3].contains("\"type\":\"incident.ends\""));
    assert_ne!(
        header(&server.got()[3], "webhook-id"),
        header(&got[0], "webhook-id")
    );
    stop.send_replace(true);
    task.await.expect("it ends");
    tracker.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_holds_up_nobody_and_is_timed_out() {
    let (folder, hanging, well) = (
        folder(),
        Server::start(&[0, 200]).await,
        Server::start(&[200]).await,
    );
    let tracker = Tracker::open(folder.path(), &format!("{}{}", hanging.hook(), well.hook()));
    let (stop, task) = tracker.tell();
    let began = Instant::now();
    tracker.happens(incident("a", "shop", Standing::Confirmed)).await;
    until("the one that is well", async || well.got().len() == 1).await;
    until("the one that hangs", async || hanging.got().len() == 1).await;
    let failed = || tracker.app.state.letters.failed.load(Ordering::Relaxed);
    assert_eq!(failed(), 0, "told before the other one was given up");
    until("another try", async || hanging.got().len() == 2).await;
    assert!(began.elapsed() >= QUICK.timeout);
    until("an empty outbox", async || {
        tracker.documents(OUTBOX).await.is_empty()
    })
    .await;
    assert_eq!((failed(), well.got().len()), (1, 1));
    stop.send_replace(true);
    task.await.expect("it ends");
    tracker.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_nothing_and_tells_nothing_twice() {
    let (folder, server) = (folder(), Server::start(&[503, 503, 503, 200]).await);
    let confirmed = incident("a", "shop", Standing::Confirmed);
    let tracker = Tracker::open(folder.path(), &server.hook());
    // The engine knows it after the restart, as it would have written it.
    let text = serde_json::to_string(&confirmed).expect("JSON");
    let puts = vec![("incident", "a".to_owned(), text)];
    tracker
        .app
        .write(Writing {
            puts,
            ..Writing::default()
        })
        .await
        .expect("written");
    let (stop, task) = tracker.tell();
    tracker.happens(confirmed).await;
    until("a first try", async || !server.got().is_empty()).await;
    stop.send_replace(true);
    task.await.expect("it ends");
    let kept = tracker.documents(OUTBOX).await;
    assert_eq!(kept.len(), 1);
    assert!(
        !kept[0].1.contains("/hook/secret") && !kept[0].0.contains("secret"),
        "{kept:?}"
    );
    tracker.close();

    let tracker = Tracker::open(folder.path(), &server.hook());
    let (stop, task) = tracker.tell();
    until("an empty outbox", async || {
        tracker.documents(OUTBOX).await.is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let got = server.got();
    assert_eq!(got.len(), 4, "{got:#?}");
    let keys: std::collections::BTreeSet<&str> =
        got.iter().map(|one| header(one, "idempotency-key")).collect();
    assert_eq!(keys.len(), 1, "one message");
    stop.send_replace(true);
    task.await.expect("it ends");
    tracker.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_written_down_and_redirects_are_not_followed() {
    let (folder, refusing, leading) = (
        folder(),
        Server::start(&[400, 200]).await,
        Server::start(&[307, 200]).await,
    );
    let tracker = Tracker::open(folder.path(), &format!("{}{}", refusing.hook(), leading.hook()));
    let (stop, task) = tracker.tell();
    tracker.happens(incident("a", "shop", Standing::Confirmed)).await;
    until("an entry", async || {
        !tracker.journal("undelivered").await.is_empty()
    })
    .await;
    let entry = &tracker.journal("undelivered").await[0];
    assert_eq!(entry["reason"], "127.0.0.1 says HTTP 400");
    assert_eq!(
        (&entry["tries"], &entry["incidents"][0]),
        (&1.into(), &"a".into())
    );
    until("an empty outbox", async || {
        tracker.documents(OUTBOX).await.is_empty()
    })
    .await;
    // The next message goes out all the same.
    tracker.happens(incident("b", "bank", Standing::Confirmed)).await;
    until("the next", async || {
        refusing.got().len() == 2 && leading.got().len() == 3
    })
    .await;
    assert!(
        leading
            .got()
            .iter()
            .all(|one| one.starts_with("POST /hook/secret ")),
        "{:#?}",
        leading.got()
    );
    stop.send_replace(true);
    task.await.expect("it ends");
    tracker.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_to_those_in_the_settings() {
    let (folder, (address, talks)) = (folder(), mail_server().await);
    let notify = "[[notify]]\nkind = \"mail\"\nto = \"ops@example.net\"\nservices = [\"shop\"]\n";
    let tracker = Tracker::open(folder.path(), &format!("{}{notify}", mail_settings(address)));
    let (stop, task) = tracker.tell();
    tracker.happens(incident("a", "shop", Standing::Confirmed)).await;
    tracker.happens(incident("b", "bank", Standing::Confirmed)).await;
    until("a mail", async || !talks.lock().expect("no panic").is_empty()).await;
    until("an empty outbox", async || {
        tracker.documents(OUTBOX).await.is_empty()
    })
    .await;
    let talks = talks.lock().expect("no panic").clone();
    assert_eq!(talks.len(), 1, "{talks:#?}");
    let talk = &talks[0];
    for line in [
        "MAIL FROM:<status@example.org>",
        "RCPT TO:<ops@example.net>",
        "Subject: Shop: people have trouble\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "List-Unsubscribe: <mailto:status@example.org?subject=unsubscribe>\r\n",
        "https://status.example/incidents/a",
    ] {
        assert!(talk.contains(line), "{line} is not in {talk}");
    }
    stop.send_replace(true);
    task.await.expect("it ends");
    tracker.close();
}

/// The first link of a mail that begins so, with its soft line breaks taken out.
fn link(talk: &str, start: &str) -> String {
    let plain = talk.replace("=\r\n", "").replace("=3D", "=");
    let at = plain
        .find(start)
        .unwrap_or_else(|| panic!("no {start} in {plain}"));
    let link: String = plain[at..]
        .chars()
        .take_while(|c| !c.is_whitespace() && *c != '>')
        .collect();
    link.trim_start_matches("https://status.example").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_get_mail_once_they_confirmed_it_and_none_after_they_left() {
    let (folder, (address, talks)) = (folder(), mail_server().await);
    let tracker = Tracker::open(folder.path(), &mail_settings(address));
    let (stop, task) = tracker.tell();
    let mails = || talks.lock().expect("no panic").clone();
    let form = "email=ann%40example.net";
    let subscribe = || Request::post("/s/shop/subscribe");
    let (status, first) = tracker.ask(subscribe(), form).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    until("a mail that asks", async || {
        mails().len() == 1 && tracker.documents(OUTBOX).await.is_empty()
    })
    .await;
    let asking = mails()[0].clone();
    assert!(asking.contains("RCPT TO:<ann@example.net>"), "{asking}");
    assert!(asking.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
    // Nothing is kept of an address that has not confirmed.
    for kind in [subscribe::SUBSCRIPTION, OUTBOX, TOLD] {
        assert_eq!(tracker.documents(kind).await, vec![], "{kind}");
    }
    let confirm = link(&asking, "https://status.example/subscriptions/confirm?token=");
    let (status, page) = tracker.ask(Request::get(confirm.as_str()), "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("<form method=\"post\"") && page.contains("ann@example.net"),
        "{page}"
    );
    assert!(!page.contains("<script") && !page.contains("style="));
    assert_eq!(
        tracker.documents(subscribe::SUBSCRIPTION).await,
        vec![],
        "looking at it is not confirming"
    );
    let (status, _) = tracker.ask(Request::post(format!("{confirm}x")), "").await;
    assert_eq!(status, StatusCode::GONE);
    let (status, _) = tracker.ask(Request::post(confirm.as_str()), "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(tracker.documents(subscribe::SUBSCRIPTION).await.len(), 1);
    // Whether an address is known here is not told.
    let (status, again) = tracker.ask(subscribe(), form).await;
    assert_eq!((status, &again), (StatusCode::ACCEPTED, &first));
    until("it is asked again", async || mails().len() == 2).await;

    tracker.happens(incident("a", "shop", Standing::Confirmed)).await;
    until("a mail about the incident", async || mails().len() == 3).await;
    let told = mails()[2].clone();
    assert!(told.contains("Subject: Shop: people have trouble\r\n"), "{told}");
    let remove = link(&told, "https://status.example/subscriptions/remove?token=");
    let (status, _) = tracker.ask(Request::get(remove.as_str()), "").await;
    assert_eq!(
        (status, tracker.documents(subscribe::SUBSCRIPTION).await.len()),
        (StatusCode::OK, 1)
    );
    let (status, _) = tracker
        .ask(Request::post(remove.as_str()), "List-Unsubscribe=One-Click")
        .await;
    assert_eq!(
        (status, tracker.documents(subscribe::SUBSCRIPTION).await.len()),
        (StatusCode::OK, 0)
    );
    tracker.happens(incident("b", "shop", Standing::Confirmed)).await;
    until("what there was to tell", async || {
        tracker.documents(TOLD).await.len() == 2
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(mails().len(), 3);
    stop.send_replace(true);
    task.await.expect("it ends");
    tracker.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_not_flooded_and_bad_ones_are_refused() {
    let (folder, (address, talks)) = (folder(), mail_server().await);
    let tracker = Tracker::open(folder.path(), &mail_settings(address));
    // One router: what it counts is its own.
    let router = routes().with_state(tracker.app.clone());
    let ask = async |email: &str, peer: [u8; 4], site: &str| {
        let request = Request::post("/s/shop/subscribe").header("sec-fetch-site", site);
        let body = format!("email={email}");
        let mut request = request.body(Body::from(body)).expect("a request");
        request
            .extensions_mut()
            .insert(ConnectInfo(SocketAddr::from((peer, 1))));
        router.clone().oneshot(request).await.expect("an answer").status()
    };
    let (stop, task) = tracker.tell();
    for n in 0..5 {
        assert_eq!(
            ask("ann@example.net", [203, 0, n, 7], "same-origin").await,
            StatusCode::ACCEPTED
        );
    }
    until("three mails", async || talks.lock().expect("no panic").len() == 3).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(talks.lock().expect("no panic").len(), 3, "five were asked for");
    for n in 0..21 {
        let expected = if n < 20 {
            StatusCode::ACCEPTED
        } else {
            StatusCode::TOO_MANY_REQUESTS
        };
        assert_eq!(
            ask(&format!("a{n}@example.net"), [198, 51, 100, n], "same-origin").await,
            expected,
            "{n}"
        );
    }
    assert_eq!(
        ask("bad", [192, 0, 2, 1], "same-origin").await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        ask("a@example.net", [192, 0, 2, 1], "cross-site").await,
        StatusCode::FORBIDDEN
    );
    stop.send_replace(true);
    task.await.expect("it ends");
    tracker.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mail_nobody_can_subscribe() {
    let folder = folder();
    let tracker = Tracker::open(folder.path(), "");
    let (status, body) = tracker
        .ask(Request::post("/s/shop/subscribe"), "email=a%40example.net")
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("urn:epicenter:problem:not-found"), "{body}");
    tracker.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_come_and_go() {
    let folder = folder();
    let tracker = Tracker::open(folder.path(), "");
    let (status, key) = tracker.ask(Request::get("/push/key"), "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        tracker.ask(Request::get("/push/key"), "").await.1,
        key,
        "it stays the same"
    );
    let (status, script) = tracker.ask(Request::get("/push.js"), "").await;
    assert!(status == StatusCode::OK && script.contains("showNotification"));
    let body = |endpoint: &str, auth: &str| {
        serde_json::json!({
            "service": "shop", "endpoint": endpoint, "expirationTime": null,
            "keys": {
                "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", "auth": auth,
            },
        })
        .to_string()
    };
    let (auth, endpoint) = (
        "BTBZMqHH6r4Tts7J_aSIgg",
        "https://updates.push.services.mozilla.com/wpush/v2/abc",
    );
    let subscribe = || Request::post("/push/subscribe");
    for (endpoint, auth) in [
        ("https://169.254.169.254/latest", auth),
        ("https://localhost/", auth),
        (endpoint, "AAAA"),
    ] {
        let (status, _) = tracker.ask(subscribe(), &body(endpoint, auth)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{endpoint}");
    }
    for _ in 0..2 {
        let (status, _) = tracker.ask(subscribe(), &body(endpoint, auth)).await;
        assert_eq!(status, StatusCode::CREATED);
    }
    let kept = tracker.documents(push::PUSH).await;
    assert_eq!(kept.len(), 1, "the same browser");
    // Its push service is busy, then does not know it any more.
    let answer = |status| Answer {
        status,
        ..Answer::default()
    };
    let (id, app) = (&kept[0].0, &tracker.app);
    assert!(
        pushed(app, id, &answer(503), "push.example.org")
            .await
            .is_err_and(|failure| !failure.is_final)
    );
    assert!(pushed(app, id, &answer(201), "push.example.org").await.is_ok());
    assert_eq!(tracker.documents(push::PUSH).await.len(), 1);
    assert!(pushed(app, id, &answer(410), "push.example.org").await.is_ok());
    assert_eq!(tracker.documents(push::PUSH).await.len(), 0);
    let (status, _) = tracker.ask(subscribe(), &body(endpoint, auth)).await;
    assert_eq!(
        (status, tracker.documents(push::PUSH).await.len()),
        (StatusCode::CREATED, 1)
    );
    let (status, _) = tracker
        .ask(Request::post("/push/unsubscribe"), &body(endpoint, auth))
        .await;
    assert_eq!(
        (status, tracker.documents(push::PUSH).await.len()),
        (StatusCode::NO_CONTENT, 0)
    );
    tracker.close();
}

#[tokio::test]
async fn what_a_visitor_names_is_not_reached_on_this_machine() {
    let server = Server::start(&[200]).await;
    let client = Client::new().expect("a client");
    let port = server.address.port();
    for url in [
        format!("https://localhost:{port}/"),
        format!("https://127.0.0.1:{port}/"),
    ] {
        let out = client::Outgoing {
            url,
            headers: Vec::new(),
            body: Vec::new(),
        };
        let problem = client.post(&out, Reach::Public).await.expect_err("refused");
        assert!(problem.ends_with("is no public address"), "{problem}");
    }
    assert_eq!(server.got(), Vec::<String>::new());
}

#[tokio::test]
async fn a_test_reaches_everybody_and_says_who_was_not_reached() {
    let (well, ill) = (Server::start(&[200]).await, Server::start(&[404]).await);
    let folder = folder();
    let secret = folder.path().join("key");
    std::fs::write(&secret, "R0\n").expect("written");
    let duty = format!(
        "[[notify]]\nkind = \"pagerduty\"\nurl = \"http://{}\"\nsecret_file = {:?}\n",
        well.address, secret
    );
    let config = Config::parse(&format!("{}{}{duty}", well.hook(), ill.hook())).expect("settings");
    let mut out = Vec::new();
    let code = test_all(&config, &mut out).await.expect("tried");
    let out = String::from_utf8(out).expect("text");
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(1)));
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].starts_with("webhook-") && lines[0].ends_with(": told (HTTP 200)"),
        "{out}"
    );
    assert!(lines[1].ends_with(": not told: 127.0.0.1 says HTTP 404"), "{out}");
    assert!(
        lines[2].starts_with("pagerduty-") && lines[2].ends_with(": told (HTTP 200)"),
        "{out}"
    );
    assert!(!out.contains("secret") && !out.contains("R0"));
    let got = well.got();
    assert_eq!(got.len(), 3, "{got:#?}");
    assert!(got[0].contains("\"type\":\"incident.test\""));
    assert!(
        got[1].contains("\"event_action\":\"trigger\"") && got[2].contains("\"event_action\":\"resolve\"")
    );
    assert!(got[1].contains("\"routing_key\":\"R0\""));
}
