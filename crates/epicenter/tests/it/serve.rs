//! The tracker from outside: a real server on loopback, stopped, killed and started again.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A server that runs, and is killed when the test is over.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    said: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Server {
    /// Starts it in a folder, with these settings.
    pub(crate) fn start(folder: &Path, config: &str) -> Server {
        fs::write(folder.join("epicenter.toml"), config).expect("written");
        Server::again(folder)
    }

    /// Starts it with the settings that are there.
    pub(crate) fn again(folder: &Path) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_epicenter"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped"));
        let mut first = String::new();
        loop {
            let mut line = String::new();
            let read = lines.read_line(&mut line).expect("it speaks");
            first.push_str(&line);
            assert!(read > 0, "it ended: {first}");
            if line.contains("serving") {
                break;
            }
        }
        let at = first.find("http://").expect("an address") + 7;
        let address = first[at..]
            .split('/')
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("no address: {first}"));
        let said = std::sync::Arc::new(std::sync::Mutex::new(first));
        let heard = std::sync::Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut said = heard.lock().expect("no panic");
                said.push_str(&line);
                said.push('\n');
            }
        });
        Server { child, address, said }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success());
    }

    /// Ends it as a service manager does, and returns what it said.
    pub(crate) fn stop(mut self) -> String {
        self.signal("-TERM");
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}: {}", self.said());
        self.said()
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    fn said(&self) -> String {
        self.said.lock().expect("no panic").clone()
    }

    /// Waits until it has said something.
    fn says(&self, what: &str) {
        let began = Instant::now();
        while !self.said().contains(what) {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "not said: {what}: {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        ask(
            self.address,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            b"",
        )
        .expect("an answer")
    }

    /// A report of a program from an address, as a proxy passes it on.
    fn report(&self, from: &str, service: &str) -> Result<Answer, std::io::Error> {
        let body = format!("{{\"service\":\"{service}\",\"symptom\":\"app\"}}");
        self.post("/api/v1/reports", from, "application/json", body.as_bytes())
    }

    fn post(&self, path: &str, from: &str, kind: &str, body: &[u8]) -> Result<Answer, std::io::Error> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: {from}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        ask(self.address, &head, body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// It is a problem (RFC 9457) of this status.
    fn is_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.head.contains("application/problem+json"), "{}", self.head);
        assert_eq!(self.json()["status"], status);
        assert!(!self.json()["detail"].as_str().expect("words").is_empty());
    }
}

fn ask(address: SocketAddr, head: &str, body: &[u8]) -> Result<Answer, std::io::Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    // A server that refuses early may close before all was sent: what it said counts.
    let sent = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    if bytes.is_empty() {
        sent.and(read)?;
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| std::io::Error::other("no whole answer"))?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| std::io::Error::other("no status"))?;
    Ok(Answer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    })
}

const CONFIG: &str = r#"
[http]
trusted_proxies = ["127.0.0.1"]
[[service]]
slug = "shop"
name = "Shop"
[[service]]
slug = "bank"
name = "Bank"
"#;

/// The reports in the journal: person and service.
fn journal(folder: &Path) -> Vec<(String, String)> {
    let archive = store::Archive::open(&folder.join("epicenter.db")).expect("it opens");
    archive.verify().expect("the chain holds");
    let mut found = Vec::new();
    archive
        .read()
        .entries(1, &mut |entry| {
            if entry.kind == "reports" {
                let body = String::from_utf8(entry.body.expect("not dropped yet")).expect("text");
                for line in body.lines() {
                    let report: Value = serde_json::from_str(line).expect("a report");
                    let service = report["service"].as_str().expect("text").to_owned();
                    found.push((report["person"].to_string(), service));
                }
            }
            true
        })
        .expect("it reads");
    found
}

#[test]
fn a_report_is_counted_once_and_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), CONFIG);
    let answer = server.report("192.0.2.1", "shop").expect("an answer");
    assert_eq!(
        (answer.status, answer.json()["status"].as_str()),
        (201, Some("counted"))
    );
    assert_eq!(server.report("192.0.2.1", "shop").expect("an answer").status, 200);
    assert_eq!(server.report("192.0.2.1", "bank").expect("an answer").status, 201);
    assert_eq!(server.report("192.0.2.2", "shop").expect("an answer").status, 201);
    server
        .report("192.0.2.1", "nothing")
        .expect("an answer")
        .is_problem(404);
    let form = server
        .post(
            "/s/shop/report",
            "192.0.2.3",
            "application/x-www-form-urlencoded",
            b"symptom=login",
        )
        .expect("an answer");
    assert_eq!(form.status, 303);
    assert!(form.head.contains("location: /s/shop/reported"), "{}", form.head);
    // A field that people do not see: thanked, and not counted.
    let robot = server
        .post(
            "/s/shop/report",
            "192.0.2.4",
            "application/x-www-form-urlencoded",
            b"symptom=login&website=http://x",
        )
        .expect("an answer");
    assert_eq!(robot.status, 303);
    let said = server.stop();
    assert!(said.contains("all reports are in the data file"), "{said}");
    assert_eq!(journal(folder.path()).len(), 4);
    // Nobody's address is in the file.
    for file in fs::read_dir(folder.path()).expect("a folder") {
        let bytes = fs::read(file.expect("a file").path()).expect("read");
        assert!(!bytes.windows(8).any(|part| part == b"192.0.2."));
    }

    let server = Server::again(folder.path());
    assert_eq!(server.report("192.0.2.1", "shop").expect("an answer").status, 200);
    assert_eq!(server.report("192.0.2.9", "shop").expect("an answer").status, 201);
    server.stop();
    assert_eq!(journal(folder.path()).len(), 5);
}

/// Posts reports until the server is gone; returns the addresses whose report was acknowledged.
fn flood(address: SocketAddr, round: u32, worker: u32) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let from = format!("10.{round}.{worker}.{n}", n = n % 250);
        let from = if n < 250 {
            from
        } else {
            format!("2001:db8:{round:x}:{n:x}::{worker:x}")
        };
        let body = b"{\"service\":\"shop\"}";
        let head = format!(
            "POST /api/v1/reports HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: {from}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        match ask(address, &head, body) {
            Ok(answer) if answer.status == 201 => acknowledged.push(from),
            Ok(answer) => assert!([200, 429, 503].contains(&answer.status), "{}", answer.body),
            Err(_) => break,
        }
    }
    acknowledged
}

/// Killed at any moment, nothing acknowledged is lost and nothing is counted twice. EPICENTER_KILLS says how often it is killed.
#[test]
fn killed_under_load_it_loses_nothing() {
    let kills = std::env::var("EPICENTER_KILLS")
        .ok()
        .and_then(|text| text.parse().ok());
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!("{CONFIG}[reports]\nper_network = 1000000\n");
    fs::write(folder.path().join("epicenter.toml"), config).expect("written");
    let mut acknowledged = Vec::new();
    for round in 0..kills.unwrap_or(8) {
        let server = Server::again(folder.path());
        let address = server.address;
        let workers: Vec<_> = (0..6)
            .map(|worker| std::thread::spawn(move || flood(address, round, worker)))
            .collect();
        std::thread::sleep(Duration::from_millis(60 + 37 * u64::from(round) % 300));
        server.kill();
        for worker in workers {
            acknowledged.extend(worker.join().expect("no panic"));
        }
    }
    assert!(acknowledged.len() > 100, "{}", acknowledged.len());
    let server = Server::again(folder.path());
    let day = || jiff::Timestamp::now().as_second() / 86_400;
    let today = day();
    let twice: Vec<u16> = acknowledged
        .iter()
        .take(500)
        .map(|from| server.report(from, "shop").expect("an answer").status)
        .collect();
    // At midnight people become others.
    if day() == today {
        let lost = twice.iter().filter(|status| **status != 200).count();
        assert_eq!(lost, 0, "of {}", acknowledged.len());
    }
    server.stop();
    let reports = journal(folder.path());
    let distinct: BTreeSet<_> = reports.iter().collect();
    assert_eq!(distinct.len(), reports.len(), "some are there twice");
    assert!(
        reports.len() >= acknowledged.len(),
        "{} of {}",
        reports.len(),
        acknowledged.len()
    );
}

#[test]
fn what_is_too_much_or_wrong_is_refused_with_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), &format!("{CONFIG}[reports]\nper_network = 3\n"));
    let json = "application/json";
    let post = |kind: &str, body: &[u8]| {
        server
            .post("/api/v1/reports", "198.51.100.1", kind, body)
            .expect("an answer")
    };
    post(json, &vec![b' '; 10 << 20]).is_problem(413);
    post(json, b"{\"service\":\"shop\",\"symptom\":\"no such\"}").is_problem(422);
    post(json, b"{\"service\":\"\xff\xfe\"}").is_problem(422);
    post(json, b"[1").is_problem(422);
    post(json, b"{\"service\":\"shop\",\"other\":1}").is_problem(422);
    post(json, b"{\"service\":\"x'; DROP TABLE journal; --\"}").is_problem(404);
    post("text/plain", b"{\"service\":\"shop\"}").is_problem(415);
    server.get("/api/v1/reports").is_problem(405);
    let path = server.post(
        "/s/%ff%fe/report",
        "198.51.100.1",
        "application/x-www-form-urlencoded",
        b"",
    );
    assert!((400..500).contains(&path.expect("an answer").status));
    // Three of one network in a minute, and another network is not hurt. (A minute may end in between.)
    let statuses: Vec<u16> = (10..30)
        .map(|n| {
            server
                .report(&format!("203.0.113.{n}"), "shop")
                .expect("an answer")
                .status
        })
        .collect();
    assert!(statuses.contains(&429), "{statuses:?}");
    let counted = statuses.iter().filter(|status| **status == 201).count();
    assert!((3..=6).contains(&counted), "{statuses:?}");
    let limited = server.report("203.0.113.99", "shop").expect("an answer");
    if limited.status == 429 {
        assert!(limited.head.contains("retry-after"), "{}", limited.head);
    }
    assert_eq!(server.report("192.0.2.1", "shop").expect("an answer").status, 201);
    // A head without end is not read to its end.
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(1 << 20));
    if let Ok(answer) = ask(server.address, &head, b"") {
        assert!([400, 431].contains(&answer.status), "{}", answer.head);
    }
    server.stop();
}

#[test]
fn who_says_that_he_is_passed_on_is_not_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), "[[service]]\nslug = \"shop\"\nname = \"Shop\"\n");
    assert_eq!(server.report("192.0.2.1", "shop").expect("an answer").status, 201);
    // The same connection's address, whatever it says.
    assert_eq!(server.report("192.0.2.2", "shop").expect("an answer").status, 200);
    server.stop();
}

#[test]
fn a_full_file_refuses_reports_and_the_server_stays_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = format!("{CONFIG}[data]\nsize = \"1 MiB\"\n[reports]\nper_network = 1000000\n");
    let server = Server::start(folder.path(), &config);
    let mut refused = None;
    for n in 0..20_000u32 {
        let answer = server
            .report(&format!("2001:db8:{:x}:{:x}::1", n >> 8, n & 0xff), "shop")
            .expect("an answer");
        if answer.status != 201 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("1 MiB is full some time");
    refused.is_problem(503);
    assert!(refused.head.contains("retry-after"), "{}", refused.head);
    server.says("the data file is full");
    let again = server.report("192.0.2.77", "bank").expect("an answer");
    assert_eq!(again.status, 503);
    server.stop();
    let reports = journal(folder.path());
    let distinct: BTreeSet<_> = reports.iter().collect();
    assert_eq!(distinct.len(), reports.len());
}

#[test]
fn settings_are_read_again_and_wrong_ones_change_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), CONFIG);
    assert_eq!(server.report("192.0.2.1", "shop").expect("an answer").status, 201);
    let path = folder.path().join("epicenter.toml");
    fs::write(
        &path,
        format!("{CONFIG}[[service]]\nslug = \"mail\"\nname = \"Mail\"\n"),
    )
    .expect("written");
    server.signal("-HUP");
    server.says("3 services");
    assert_eq!(server.report("192.0.2.1", "mail").expect("an answer").status, 201);
    fs::write(&path, "[site]\nnam = \"x\"\n").expect("written");
    server.signal("-HUP");
    server.says("did you mean `name`?");
    assert_eq!(server.report("192.0.2.1", "shop").expect("an answer").status, 200);
    assert_eq!(server.report("192.0.2.5", "mail").expect("an answer").status, 201);
    server.stop();
    assert_eq!(journal(folder.path()).len(), 3);
}

/// Connections that say nothing do not keep others out.
#[test]
fn idle_connections_make_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(
        folder.path(),
        &CONFIG.replace("[http]", "[http]\nconnections = 50"),
    );
    let mut held = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(server.address).expect("it listens");
        // Some begin a head and never end it.
        let _ = stream.write_all(b"GET / HT");
        held.push(stream);
    }
    assert_eq!(server.report("192.0.2.1", "shop").expect("an answer").status, 201);
    server.stop();
}
