//! `epicenter listen` over loopback: what is sent is what is told, recorded, and found again in the recording.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::exports::{BOTS_A_SECOND, PACKETS, SECONDS, START, flows_of, messages_of};
use crate::{case, code, epicenter, err};

/// A running `epicenter listen`, ended by its process id whatever happens.
pub(crate) struct Live {
    child: Child,
    lines: std::sync::mpsc::Receiver<Value>,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Live {
    pub(crate) fn start(folder: &Path, args: &[&str]) -> Live {
        let mut child = Command::new(env!("CARGO_BIN_EXE_epicenter"))
            .args(["listen", "--format", "json", "--threads", "1"])
            // No test hangs for longer than this.
            .args(["--for", "60"])
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let stdout = child.stdout.take().expect("piped");
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).expect("every line is JSON");
                if send.send(value).is_err() {
                    return;
                }
            }
        });
        let mut live = Live {
            child,
            lines,
            addresses: Vec::new(),
        };
        let begin = live.next("listen");
        live.addresses = begin["addresses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|address| address.as_str().unwrap().parse().unwrap())
            .collect();
        live
    }

    /// The next event, which must be of this name.
    pub(crate) fn next(&self, name: &str) -> Value {
        let event = self
            .lines
            .recv_timeout(Duration::from_secs(30))
            .unwrap_or_else(|_| panic!("no {name}"));
        assert_eq!(event["event"], name, "{event}");
        assert_eq!(event["schema"], "epicenter.event/1");
        event
    }

    /// An exporter that sends to the first address.
    fn exporter(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", self.addresses[0].port())).unwrap();
        socket
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Ends it as an operator would, and gives its last words.
    pub(crate) fn stop(mut self) -> (Vec<Value>, Value) {
        // What was sent last has time to arrive.
        std::thread::sleep(Duration::from_millis(300));
        self.signal("-TERM");
        let mut events: Vec<Value> = self.lines.iter().collect();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let stop = events.pop().expect("a last event");
        assert_eq!(stop["event"], "stop", "{stop}");
        (events, stop)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn at(value: &Value) -> f64 {
    let time: jiff::Timestamp = value.as_str().unwrap().parse().unwrap();
    time.as_nanosecond() as f64 / 1e9 - f64::from(START)
}

/// The segments of a ring, the oldest first.
fn segments(ring: &Path) -> Vec<String> {
    let mut all: Vec<String> = std::fs::read_dir(ring)
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|name| name.ends_with(".pcap"))
        .collect();
    all.sort();
    all
}

#[test]
fn a_flood_is_told_as_it_begins_and_ends_and_its_recording_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), &["--listen", "127.0.0.1:0", "--record", "ring"]);
    let exporter = live.exporter();
    let messages = messages_of(&flows_of(200), "netflow9", 1);
    // Twenty-five times as fast as it happened.
    let began = Instant::now();
    for (second, message) in &messages {
        let due = Duration::from_millis(u64::from(second - START) * 40);
        if let Some(wait) = due.checked_sub(began.elapsed()) {
            std::thread::sleep(wait);
        }
        exporter.send(message).unwrap();
    }
    let begin = live.next("begin");
    let (mut events, stop) = live.stop();
    let end = events.pop().expect("an end");
    assert_eq!(end["event"], "end");
    // The flood's first flows end at 30.9 and are exported at 31.
    let told = at(&begin["at"]);
    assert!((30.0..33.0).contains(&told), "begun at 30, told at {told}");
    assert_eq!(begin["incident"]["ongoing"], true);
    assert!(
        (150.0..=155.0).contains(&at(&end["at"])),
        "over after a quiet minute: {}",
        end["at"]
    );
    assert!(
        events.iter().all(|event| event["event"] == "change"),
        "{events:?}"
    );
    for event in &events {
        assert_eq!(event["incident"]["id"], begin["incident"]["id"]);
    }
    let total = &end["incident"]["total"]["packets"];
    assert_eq!(*total, SECONDS * BOTS_A_SECOND * PACKETS);
    assert_eq!(stop["datagrams"], messages.len());
    assert_eq!(stop["records"], flows_of(200).len());
    assert_eq!(stop["dropped_by_kernel"], 0);
    assert_eq!(stop["not_recorded"], 0);
    assert_eq!(stop["lost_by_exporters"], 0);
    // The ring, investigated, says the same to the last digit.
    let segments = segments(&folder.path().join("ring"));
    let mut args = vec!["investigate", "--format", "json"];
    args.extend(segments.iter().map(String::as_str));
    let found = case(&epicenter(folder.path(), &args));
    assert_eq!(found["incidents"].as_array().unwrap().len(), 1);
    assert_eq!(found["incidents"][0], end["incident"]);
    assert_eq!(found["inputs"][0]["kind"], "netflow9");
}

#[test]
fn an_incident_over_several_windows_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), &["--listen", "127.0.0.1:0"]);
    let exporter = live.exporter();
    // The flood lasts from 30 to 90; the window in which it begins ends before it does, since nothing happens for 250 seconds.
    let flows: Vec<_> = flows_of(160)
        .into_iter()
        .map(|mut flow| {
            let shift = if flow.7 < 5_000 { 0 } else { 255_000 };
            (flow.7, flow.8) = (flow.7 + shift, flow.8 + shift);
            flow
        })
        .collect();
    let messages = messages_of(&flows, "ipfix", 1);
    for (_, message) in &messages {
        exporter.send(message).unwrap();
        std::thread::sleep(Duration::from_micros(2_500));
    }
    let begin = live.next("begin");
    let (events, _) = live.stop();
    let end = events.last().expect("an end");
    assert_eq!(end["event"], "end");
    assert_eq!(end["incident"]["id"], begin["incident"]["id"]);
    assert_eq!(
        end["incident"]["total"]["packets"],
        SECONDS * BOTS_A_SECOND * PACKETS
    );
    assert_eq!(at(&end["incident"]["start"]), 285.0);
    assert!((at(&end["incident"]["end"]) - 344.9).abs() < 0.001);
    assert_eq!(end["incident"]["sources"]["distinct"], 100);
}

#[test]
fn exporters_come_over_both_protocols_and_what_is_no_export_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), &["--listen", "0", "--record", "ring"]);
    let messages = messages_of(&flows_of(10), "netflow5", 1);
    let v4 = live.exporter();
    let v6 = UdpSocket::bind("[::1]:0");
    let mut sent = 0;
    for (_, message) in &messages {
        v4.send(message).unwrap();
        sent += 1;
        // A machine without IPv6 has nothing to test here.
        if let Ok(v6) = &v6 {
            v6.send_to(message, ("::1", live.addresses[0].port())).unwrap();
            sent += 1;
        }
    }
    // Bytes behind the last record: what is taken live is taken from the recording too, though nothing says there that it is an export.
    let mut padded = messages[0].1.clone();
    padded.extend([0xee; 300]);
    v4.send(&padded).unwrap();
    for junk in [&b""[..], b"x", b"GET / HTTP/1.1\r\n", &[0xff; 1400]] {
        v4.send(junk).unwrap();
    }
    let (_, stop) = live.stop();
    assert_eq!(stop["datagrams"], sent + 1 + 4);
    assert_eq!(stop["no_export"], 4);
    assert_eq!(stop["faults"]["export-version"], 4);
    assert_eq!(stop["records"], flows_of(10).len() * sent / messages.len() + 20);
    let segments = segments(&folder.path().join("ring"));
    let found = case(&epicenter(
        folder.path(),
        &["investigate", "--format", "json", &segments[0]],
    ));
    assert_eq!(found["inputs"][0]["records"], stop["records"]);
    assert_eq!(
        found["exporters"].as_array().unwrap().len(),
        sent / messages.len()
    );
}

#[test]
fn only_exporters_that_are_named_are_heard() {
    let folder = tempfile::tempdir().unwrap();
    let messages = messages_of(&flows_of(2), "netflow5", 1);
    for (named, heard) in [("127.0.0.0/8", true), ("192.0.2.0/24", false)] {
        let live = Live::start(folder.path(), &["--listen", "0", "--exporter", named]);
        live.exporter().send(&messages[0].1).unwrap();
        let (_, stop) = live.stop();
        assert_eq!(stop["records"], if heard { 20 } else { 0 }, "{named}");
        assert_eq!(stop["not_allowed"], u64::from(!heard), "{named}");
    }
}

#[test]
fn templates_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--listen", "127.0.0.1:0", "--state", "exporters.state"];
    let messages = messages_of(&flows_of(10), "ipfix", 1);
    let first = Live::start(folder.path(), &args);
    let exporter = first.exporter();
    exporter.send(&messages[0].1).unwrap();
    let (_, stop) = first.stop();
    assert_eq!(stop["records"], 20);
    // The template was in the first message only.
    let second = Live::start(folder.path(), &args);
    exporter
        .connect(("127.0.0.1", second.addresses[0].port()))
        .unwrap();
    exporter.send(&messages[1].1).unwrap();
    let (_, stop) = second.stop();
    assert_eq!(stop["records"], 20);
    let without = Live::start(folder.path(), &["--listen", "127.0.0.1:0"]);
    exporter
        .connect(("127.0.0.1", without.addresses[0].port()))
        .unwrap();
    exporter.send(&messages[1].1).unwrap();
    let (_, stop) = without.stop();
    assert_eq!(stop["records"], 0);
    assert_eq!(stop["faults"]["template-missing"], 1);
}

#[test]
fn a_ring_is_bounded_and_any_segment_can_be_read_with_its_state() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring");
    std::fs::create_dir(&ring).unwrap();
    std::fs::write(ring.join("notes.txt"), "not ours").unwrap();
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--record",
        "ring",
        "--record-size",
        "1MiB",
    ];
    let messages = messages_of(&flows_of(100), "netflow9", 1);
    let live = Live::start(folder.path(), &args);
    let exporter = live.exporter();
    for round in 0..10 {
        for (_, message) in &messages[usize::from(round > 0)..] {
            exporter.send(message).unwrap();
        }
        // The disk has time to follow, on a busy machine too.
        std::thread::sleep(Duration::from_millis(100));
    }
    let (_, stop) = live.stop();
    assert_eq!(stop["not_recorded"], 0);
    let size: u64 = std::fs::read_dir(&ring)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!((300_000..=1 << 20).contains(&size), "{size}");
    assert!(ring.join("notes.txt").is_file());
    let segments = segments(&ring);
    let state = segments[0].replace(".pcap", ".state");
    let with = ["investigate", "--format", "json", "--state", &state, &segments[0]];
    let found = case(&epicenter(folder.path(), &with));
    assert!(found["inputs"][0]["records"].as_u64().unwrap() > 500);
    let without = ["investigate", "--format", "json", &segments[0]];
    let found = case(&epicenter(folder.path(), &without));
    assert_eq!(
        found["inputs"][0]["records"], 0,
        "its template came long before it"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_kernel_drops_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let live = Live::start(folder.path(), &["--listen", "127.0.0.1:0"]);
    let exporter = live.exporter();
    let message = &messages_of(&flows_of(10), "netflow5", 1)[0].1;
    // Stopped, it takes nothing, and the buffer of the socket fills.
    live.signal("-STOP");
    let sent = 150_000;
    for _ in 0..sent {
        exporter.send(message).unwrap();
    }
    live.signal("-CONT");
    std::thread::sleep(Duration::from_millis(1_000));
    // The kernel tells of drops with the next datagram that it does not drop.
    exporter.send(message).unwrap();
    let (_, stop) = live.stop();
    let dropped = stop["dropped_by_kernel"].as_u64().unwrap();
    assert!(dropped > 0, "{stop}");
    assert_eq!(stop["datagrams"].as_u64().unwrap() + dropped, sent + 1);
}

#[test]
fn what_cannot_be_listened_on_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = epicenter(folder.path(), &["listen", "--listen", &address]);
    assert_eq!(code(&output), 1);
    assert!(
        err(&output).contains(&format!("cannot listen on {address}")),
        "{}",
        err(&output)
    );
    // Another collector of our own would take half of the traffic without a word.
    let live = Live::start(folder.path(), &["--listen", "127.0.0.1:0"]);
    let address = live.addresses[0].to_string();
    let output = epicenter(folder.path(), &["listen", "--listen", &address]);
    assert_eq!(code(&output), 1);
    for wrong in [
        &["listen", "--listen", "nonsense"][..],
        &["listen", "--record-size", "1GiB"],
        &["listen", "--record", "r", "--record-size", "5"],
    ] {
        assert_eq!(code(&epicenter(folder.path(), wrong)), 2, "{wrong:?}");
    }
}

#[test]
fn the_audience_is_learnt_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = |name: &str, day: u32, attack: &str| {
        let text = format!(
            "name = \"{name}\"\nabout = \"a test\"\nstart = \"2025-03-{day:02}T09:10:00Z\"\nseconds = 30\n[[audience]]\nservice = \"198.41.30.10\"\nsessions_per_second = 8\ncountries = {{ US = 40, GB = 9, DE = 7 }}\n{attack}"
        );
        std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
    };
    // Two weeks before, and again in a listening of its own one week before.
    for (name, day) in [("first", 3), ("second", 10)] {
        scenario(name, day, "");
        let live = Live::start(
            folder.path(),
            &["--listen", "127.0.0.1:0", "--audience", "audience.zst"],
        );
        let sent = epicenter(
            folder.path(),
            &[
                "simulate",
                &format!("{name}.toml"),
                "--export",
                "ipfix",
                "--speed",
                "30",
                "--live",
                &live.addresses[0].to_string(),
            ],
        );
        assert_eq!(code(&sent), 0, "{}", err(&sent));
        live.stop();
    }
    let attack = "[[attack]]\nvector = \"syn_flood\"\ntarget = \"198.41.30.10\"\nport = 443\nfrom = 5\nto = 25\npackets_per_second = 600\nsources = { kind = \"direct\", bots = 900, countries = { BR = 40, VN = 30 } }\n";
    scenario("attacked", 17, attack);
    assert_eq!(code(&epicenter(folder.path(), &["simulate", "attacked.toml"])), 0);
    let judged = epicenter(
        folder.path(),
        &[
            "investigate",
            "--format",
            "json",
            "--audience",
            "audience.zst",
            "attacked-1.pcap",
        ],
    );
    assert_eq!(code(&judged), 0, "{}", err(&judged));
    let audience = &case(&judged)["incidents"][0]["audience"];
    let learnt_from = audience["learnt_from"].as_str().unwrap();
    assert!(
        learnt_from.ends_with("clients of the target in the same hours of 2 past weeks"),
        "{learnt_from}"
    );
    assert_eq!(audience["countries"][0]["code"], "US");
    // No address but the service's is in it.
    let kept = std::fs::read(folder.path().join("audience.zst")).unwrap();
    let kept = String::from_utf8(zstd::decode_all(&kept[..]).unwrap()).unwrap();
    assert!(
        kept.contains("198.41.30.10") && !kept.contains("client\":"),
        "{kept}"
    );
    // What is something else is not written over.
    std::fs::write(folder.path().join("other"), "precious").unwrap();
    let refused = epicenter(
        folder.path(),
        &[
            "listen",
            "--listen",
            "127.0.0.1:0",
            "--for",
            "1",
            "--audience",
            "other",
        ],
    );
    assert_eq!(code(&refused), 1);
    assert!(err(&refused).contains("holds no audience"), "{}", err(&refused));
    assert_eq!(std::fs::read(folder.path().join("other")).unwrap(), b"precious");
}
