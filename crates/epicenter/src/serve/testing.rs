//! A tracker to test with: its file is real, its time stands still, and what it shows is set by hand.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, mpsc};

use atlas::{Atlas, Country};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use incident::outage::{Attacked, Probed, Wave};
use store::{Batch, Limits, Store};
use tower::ServiceExt;

use super::config::Config;
use super::engine::{Answer, Ask, Engine};
use super::http::App;
use super::state::{Attack, BIN_S, BINS, Because, Bin, Incident, Probing, Standing, Update, View};

/// The time in it: 10 March 2025, 09:46:40 UTC.
pub(crate) const NOW_S: u64 = 1_741_600_000;
pub(crate) const NOW_NS: u64 = NOW_S * 1_000_000_000;

/// The open incident, one that is over, and one that is in the file alone.
pub(crate) const OPEN: &str = "outage-00000000aa";
pub(crate) const OVER: &str = "outage-00000000bb";
pub(crate) const OLD: &str = "outage-00000000cc";

const CONFIG: &str = r#"
[site]
name = "Störung & <b>Co</b>"
url = "https://status.example.org/"
[[service]]
slug = "bank"
name = "Bank"
[[service]]
slug = "mail"
name = "Mail"
[[service]]
slug = "shop"
name = "Shop <& \"Söhne\">"
url = "https://shop.example/?a=1&b=2"
networks = ["203.0.113.0/24"]
neighbours = ["bank"]
[[service.probe]]
kind = "tcp"
address = "shop.example:443"
"#;

/// A tracker with three services: one in trouble, one that is well, one that is learnt.
pub(crate) struct Bed {
    pub(crate) app: App,
    _folder: tempfile::TempDir,
}

pub(crate) fn incident(id: &str, start_s: u64, end_s: Option<u64>) -> Incident {
    let ns = |s: u64| s * 1_000_000_000;
    Incident {
        id: id.to_owned(),
        service: "shop".to_owned(),
        standing: if end_s.is_some() {
            Standing::Closed
        } else {
            Standing::Identified
        },
        start_ns: ns(start_s),
        end_ns: end_s.map(ns),
        waves: vec![Wave {
            start_ns: ns(start_s),
            detected_ns: ns(start_s + 120),
            end_ns: end_s.map(ns),
            reports: 900,
            expected: 31.25,
            peak: 400,
            peak_ns: ns(start_s + 900),
        }],
        reports: 900,
        expected: 31.25,
        limited: 0.125,
        countries: vec![(Country(*b"DE"), [0.5, 0.467, 0.533])],
        networks: vec![(3320, [0.25, 0.223, 0.279]), (0, [0.1, 0.08, 0.12])],
        symptoms: vec![("website".to_owned(), 0.75), (String::new(), 0.25)],
        probed: Some(Probed {
            tried: 40,
            failed: 30,
            failing_places: 3,
            places: 3,
        }),
        cause: Because {
            kind: "attack".to_owned(),
            of: vec!["syn-flood-1".to_owned()],
            confidence: "moderate".to_owned(),
            because: vec!["An attack <began> 2 minutes before.".to_owned()],
        },
        confidence: "high".to_owned(),
        caveats: vec!["Traffic does not show who did it.".to_owned()],
        attacks: vec!["SYN flood of 1 Mpps".to_owned()],
        acknowledged: Some(("ops@example.org".to_owned(), ns(start_s + 300))),
        updates: vec![Update {
            at_ns: ns(start_s + 600),
            who: "ops@example.org".to_owned(),
            text: "We <filter> & watch \u{1}.".to_owned(),
        }],
        post_mortem: end_s.map(|end| Update {
            at_ns: ns(end + 86_400),
            who: "ops@example.org".to_owned(),
            text: "A router was full.".to_owned(),
        }),
        merged_into: None,
        named_cause: None,
    }
}

fn bins(reports: u64) -> Vec<Bin> {
    let last = NOW_S / BIN_S * BIN_S;
    (0..BINS as u64)
        .map(|n| Bin {
            start_s: last - (BINS as u64 - 1 - n) * BIN_S,
            reports: if n + 4 > BINS as u64 { reports } else { 0 },
            expected: 2.5,
            minutes_known: if n < 10 { 0 } else { 15 },
            tried: 15,
            failed: n % 2,
            countries: BTreeMap::from([(Country(*b"DE"), reports / 2), (Country::UNKNOWN, 1)]),
            networks: BTreeMap::from([(3320, reports / 4), (0, 3)]),
            symptoms: BTreeMap::from([("website".to_owned(), reports)]),
        })
        .collect()
}

fn view(before: &View, incidents: &[Arc<Incident>]) -> View {
    let is_shop = before.service.slug == "shop";
    let is_learning = before.service.slug == "mail";
    View {
        service: before.service.clone(),
        version: 7,
        at_ns: NOW_NS,
        standing: match before.service.slug.as_str() {
            "shop" => Standing::Identified,
            "mail" => Standing::Learning,
            _ => Standing::Operational,
        },
        is_learning,
        bins: bins(if is_shop { 225 } else { 0 }),
        last_hour: if is_shop { (900, 31.25) } else { (0, f64::NAN) },
        last_15: if is_shop { (225, 8.0) } else { (0, 0.0) },
        failing: if is_shop { (2, 3) } else { (0, 0) },
        failing_since_ns: is_shop.then_some(NOW_NS - 1_800_000_000_000),
        probes: if is_shop {
            vec![
                Probing {
                    place: "local".to_owned(),
                    probe: 0,
                    kind: "tcp".to_owned(),
                    at_ns: NOW_NS,
                    ok: Some(false),
                    reason: "refused <here>".to_owned(),
                    ms: None,
                    certificate_ends_s: None,
                    tried: 40,
                    failed: 30,
                },
                Probing {
                    place: "Wien".to_owned(),
                    probe: 0,
                    kind: "tcp".to_owned(),
                    at_ns: NOW_NS,
                    ok: None,
                    reason: String::new(),
                    ms: Some(12.5),
                    certificate_ends_s: Some(NOW_S + 86_400),
                    tried: 0,
                    failed: 0,
                },
            ]
        } else {
            Vec::new()
        },
        attacks: if is_shop {
            vec![Attack {
                attacked: Attacked {
                    id: "syn-flood-1".to_owned(),
                    target: "203.0.113.0/24".parse().expect("a prefix"),
                    start_ns: NOW_NS - 3_600_000_000_000,
                    end_ns: u64::MAX,
                },
                vectors: "SYN flood".to_owned(),
                headline: "SYN flood of 1 Mpps".to_owned(),
                is_running: true,
                is_withdrawn: false,
                incident: None,
            }]
        } else {
            Vec::new()
        },
        incident: incidents.first().filter(|_| is_shop).cloned(),
        said: Vec::new(),
        past: if is_shop { incidents.to_vec() } else { Vec::new() },
        pages: super::cache::Pages::default(),
    }
}

pub(crate) fn bed() -> Bed {
    static ATLAS: OnceLock<Arc<Atlas>> = OnceLock::new();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data.db");
    let open = || Store::open(&path, Limits::default()).expect("it opens");
    let put = |incident: &Incident| {
        let text = serde_json::to_string(incident).expect("plain");
        ("incident", incident.id.clone(), text)
    };
    let known = [
        incident(OPEN, NOW_S - 3_600, None),
        incident(OVER, NOW_S - 200_000, Some(NOW_S - 190_000)),
    ];
    let mut store = open();
    let batch = Batch {
        at_ns: NOW_NS,
        entries: vec![("deed", b"{}".to_vec())],
        puts: known.iter().map(put).collect(),
        bins: (0..100)
            .map(|n| store::Bin {
                service: "shop".to_owned(),
                start_s: (NOW_S / BIN_S - n) * BIN_S,
                reports: n,
                tried: 15,
                failed: 1,
            })
            .collect(),
        ..Batch::default()
    };
    store.commit(&batch).expect("room");
    drop(store);
    let config = Arc::new(Config::parse(CONFIG).expect("sound"));
    let (events, _) = tokio::sync::broadcast::channel(16);
    let engine = Engine::open(open(), config, events.clone(), None).expect("it opens");
    let state = engine.state();
    drop(engine);
    state.alive_ns.store(NOW_NS, Ordering::Relaxed);
    let mut sorted: Vec<Arc<Incident>> = state.incidents.load().values().cloned().collect();
    sorted.sort_by_key(|incident| std::cmp::Reverse(incident.start_ns));
    for slot in state.services.load().values() {
        let shown = view(&slot.view.load(), &sorted);
        slot.view.store(Arc::new(shown));
    }
    let mut store = open();
    let old = incident(OLD, NOW_S - 900_000, Some(NOW_S - 890_000));
    let batch = Batch {
        at_ns: NOW_NS,
        puts: vec![put(&old)],
        ..Batch::default()
    };
    store.commit(&batch).expect("room");
    let (asks, asked) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        while let Ok(ask) = asked.recv() {
            match ask {
                Ask::Read(question) => (question.0)(store.read()),
                Ask::Report(_, answer) => drop(answer.send(Answer::Counted)),
                Ask::Stop => break,
                _ => {}
            }
        }
    });
    let atlas = Arc::clone(ATLAS.get_or_init(|| Arc::new(Atlas::embedded())));
    Bed {
        app: App {
            state,
            asks,
            atlas,
            events,
        },
        _folder: folder,
    }
}

/// Asks a router, and returns the answer with its whole body.
pub(crate) async fn ask(routes: Router<App>, app: &App, request: Request<Body>) -> Response<Vec<u8>> {
    let response = routes
        .with_state(app.clone())
        .oneshot(request)
        .await
        .expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a whole body").to_bytes();
    Response::from_parts(parts, bytes.to_vec())
}

pub(crate) async fn get(routes: Router<App>, app: &App, path: &str) -> Response<Vec<u8>> {
    ask(
        routes,
        app,
        Request::get(path).body(Body::empty()).expect("a request"),
    )
    .await
}
