//! `/metrics` for Prometheus, in OpenMetrics or its older text form, and `/healthz` for whoever restarts things.

use std::fmt::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::http::App;
use super::state::Standing;

/// Services with series of their own; a page of metrics is not to grow without end.
const SERVICES_MAX: usize = 5_000;
/// The engine looks around five times a second; one that has not for so long is stuck.
const ALIVE: Duration = Duration::from_secs(10);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(health))
}

async fn health(State(app): State<App>) -> Response {
    let (status, word) = health_of(&app, now_ns());
    let body = json!({ "status": word }).to_string();
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body).into_response()
}

fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// Nanoseconds since the engine looked around.
fn age_ns(app: &App, now_ns: u64) -> u64 {
    now_ns.saturating_sub(app.state.alive_ns.load(Ordering::Relaxed))
}

fn health_of(app: &App, now_ns: u64) -> (StatusCode, &'static str) {
    if u128::from(age_ns(app, now_ns)) > ALIVE.as_nanos() {
        (StatusCode::SERVICE_UNAVAILABLE, "stuck")
    } else if app.state.is_full.load(Ordering::Relaxed) {
        // A restart would not make room, and the pages are up.
        (StatusCode::OK, "full")
    } else {
        (StatusCode::OK, "ok")
    }
}

/// Whether OpenMetrics is asked for, before or instead of the older form.
fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|one| {
        let mut fields = one.split(';').map(str::trim);
        let is_it = fields
            .next()
            .is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
        is_it && !fields.any(|field| matches!(field, "q=0" | "q=0.0"))
    })
}

async fn metrics(State(app): State<App>, headers: HeaderMap) -> Response {
    let open = wants_openmetrics(&headers);
    let text = render(&app, open, now_ns());
    let kind = if open { OPENMETRICS } else { TEXT };
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept"),
    ];
    (headers, text).into_response()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

struct Page {
    text: String,
    open: bool,
}

impl Page {
    /// Begins a family of series. Its name ends with its unit, if it has one; counters get their `_total`.
    fn family(&mut self, name: &str, kind: Kind, unit: &str, help: &str) {
        let (word, total) = match kind {
            Kind::Counter => ("counter", "_total"),
            Kind::Gauge => ("gauge", ""),
        };
        // The older form knows no families: there the metric is what its samples are called.
        let named = if self.open {
            name.to_owned()
        } else {
            format!("{name}{total}")
        };
        let _ = writeln!(self.text, "# TYPE {named} {word}");
        if self.open && !unit.is_empty() {
            let _ = writeln!(self.text, "# UNIT {named} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {named} {help}");
    }

    fn counter(&mut self, name: &str, help: &str, series: &[(&str, u64)]) {
        self.family(name, Kind::Counter, "", help);
        for (labels, value) in series {
            let _ = writeln!(self.text, "{name}_total{labels} {value}");
        }
    }

    fn gauge(&mut self, name: &str, unit: &str, help: &str, value: f64) {
        self.family(name, Kind::Gauge, unit, help);
        let _ = writeln!(self.text, "{name} {value}");
    }
}

/// The value of a label, between its quotes.
fn label(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Where a service stands, as a number that grows with the trouble.
fn level(standing: Standing) -> i8 {
    match standing {
        Standing::Learning => -1,
        Standing::Operational | Standing::Closed => 0,
        Standing::Resolved => 1,
        Standing::Recovering => 2,
        Standing::Suspected => 3,
        Standing::Confirmed => 4,
        Standing::Identified => 5,
    }
}

fn render(app: &App, open: bool, now_ns: u64) -> String {
    let counters = &app.state.counters;
    let of = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let mut page = Page {
        text: String::with_capacity(64 << 10),
        open,
    };
    page.family("epicenter_build_info", Kind::Gauge, "", "Which version runs.");
    let _ = writeln!(
        page.text,
        "epicenter_build_info{{version=\"{}\"}} 1",
        label(env!("CARGO_PKG_VERSION"))
    );
    page.counter(
        "epicenter_reports",
        "Reports that came, by what became of them.",
        &[
            ("{outcome=\"counted\"}", of(&counters.accepted)),
            ("{outcome=\"repeated\"}", of(&counters.repeated)),
            ("{outcome=\"limited\"}", of(&counters.limited)),
            ("{outcome=\"full\"}", of(&counters.refused_full)),
            ("{outcome=\"busy\"}", of(&counters.refused_busy)),
            ("{outcome=\"honeypot\"}", of(&counters.honeypot)),
        ],
    );
    page.counter(
        "epicenter_probe_results",
        "Results of probes that were taken.",
        &[("", of(&counters.probes))],
    );
    page.counter(
        "epicenter_commits",
        "Writes to the data file.",
        &[("", of(&counters.commits))],
    );
    page.counter(
        "epicenter_http_requests",
        "Requests that were answered.",
        &[("", of(&counters.requests))],
    );
    page.counter(
        "epicenter_http_refusals",
        "Requests that were answered with a status of 400 or more.",
        &[("", of(&counters.rejected))],
    );
    page.gauge(
        "epicenter_journal_entries",
        "",
        "Entries of the journal.",
        of(&counters.journal) as f64,
    );
    page.gauge(
        "epicenter_listeners",
        "",
        "Pages that wait for news.",
        of(&counters.listeners) as f64,
    );
    page.gauge(
        "epicenter_file_full",
        "",
        "1 while reports are refused because there is no room.",
        f64::from(u8::from(app.state.is_full.load(Ordering::Relaxed))),
    );
    page.gauge(
        "epicenter_engine_age_seconds",
        "seconds",
        "Time since the engine looked around.",
        age_ns(app, now_ns) as f64 / 1e9,
    );
    let incidents = app.state.incidents.load();
    let open_ones = incidents
        .values()
        .filter(|incident| incident.standing.is_trouble())
        .count();
    page.gauge(
        "epicenter_incidents_open",
        "",
        "Incidents that are going on.",
        open_ones as f64,
    );
    let services = app.state.services.load();
    page.gauge(
        "epicenter_services",
        "",
        "Services that are followed.",
        services.len() as f64,
    );
    page.gauge(
        "epicenter_services_omitted",
        "",
        "Services without series of their own, since there are too many.",
        services.len().saturating_sub(SERVICES_MAX) as f64,
    );
    let views: Vec<_> = services
        .values()
        .take(SERVICES_MAX)
        .map(|slot| slot.view.load_full())
        .collect();
    let mut series = |name: &str, help: &str, value: &dyn Fn(&super::state::View) -> Option<f64>| {
        page.family(name, Kind::Gauge, "", help);
        for view in &views {
            if let Some(value) = value(view).filter(|value| value.is_finite()) {
                let _ = writeln!(
                    page.text,
                    "{name}{{service=\"{}\"}} {value}",
                    label(&view.service.slug)
                );
            }
        }
    };
    series(
        "epicenter_service_standing",
        "Where it stands: -1 learning, 0 operational, 1 resolved, 2 recovering, 3 suspected, 4 confirmed, 5 identified.",
        &|view| Some(f64::from(level(view.standing))),
    );
    series(
        "epicenter_service_reports_last_hour",
        "Reports of the last 60 minutes and the running one.",
        &|view| Some(view.last_hour.0 as f64),
    );
    series(
        "epicenter_service_reports_expected_last_hour",
        "Reports that were to be expected in the last 60 minutes; absent while that is learnt.",
        &|view| (!view.is_learning).then_some(view.last_hour.1),
    );
    series(
        "epicenter_service_places_failing",
        "Places whose probes fail.",
        &|view| Some(view.failing.0 as f64),
    );
    series("epicenter_service_places", "Places that probe it.", &|view| {
        Some(view.failing.1 as f64)
    });
    series(
        "epicenter_service_attacks_running",
        "Attacks on its networks.",
        &|view| Some(view.attacks.len() as f64),
    );
    if open {
        page.text.push_str("# EOF\n");
    }
    page.text
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;

    use super::super::testing::{NOW_NS, ask, bed, get as asked};
    use super::*;

    #[tokio::test]
    async fn both_forms_are_given_to_whom_asks_for_them() {
        let bed = bed();
        bed.app.state.counters.accepted.store(41, Ordering::Relaxed);
        let answer = asked(routes(), &bed.app, "/metrics").await;
        assert_eq!(answer.headers()[header::CONTENT_TYPE], TEXT);
        let old = String::from_utf8(answer.into_body()).expect("text");
        assert!(old.contains("# TYPE epicenter_reports_total counter\n"), "{old}");
        assert!(
            old.contains("\nepicenter_reports_total{outcome=\"counted\"} 41\n"),
            "{old}"
        );
        assert!(!old.contains("# EOF") && !old.contains("# UNIT"));
        assert!(
            old.contains("\nepicenter_service_standing{service=\"shop\"} 5\n"),
            "{old}"
        );
        assert!(
            old.contains("\nepicenter_service_standing{service=\"mail\"} -1\n"),
            "{old}"
        );
        assert!(
            old.contains("\nepicenter_service_reports_last_hour{service=\"shop\"} 900\n"),
            "{old}"
        );
        assert!(
            old.contains("\nepicenter_service_reports_expected_last_hour{service=\"shop\"} 31.25\n"),
            "{old}"
        );
        // What is not known has no series.
        assert!(!old.contains("expected_last_hour{service=\"mail\"}"), "{old}");
        assert!(!old.contains("NaN"), "{old}");

        // As Prometheus 2 asks.
        let accept =
            "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let request = Request::get("/metrics").header("accept", accept);
        let answer = ask(
            routes(),
            &bed.app,
            request.body(Body::empty()).expect("a request"),
        )
        .await;
        assert_eq!(answer.headers()[header::CONTENT_TYPE], OPENMETRICS);
        let new = String::from_utf8(answer.into_body()).expect("text");
        assert!(new.ends_with("\n# EOF\n"), "{new}");
        assert!(new.contains("# TYPE epicenter_reports counter\n"), "{new}");
        assert!(
            new.contains("# UNIT epicenter_engine_age_seconds seconds\n"),
            "{new}"
        );
        assert!(
            new.contains("\nepicenter_reports_total{outcome=\"counted\"} 41\n"),
            "{new}"
        );
        // Every family is described once, and every sample is of the family before it.
        let mut families = std::collections::BTreeSet::new();
        let mut family = String::new();
        for line in new.lines().filter(|line| *line != "# EOF") {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                family = rest.split(' ').next().expect("a name").to_owned();
                assert!(families.insert(family.clone()), "{family} is there twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().expect("a name");
                assert_eq!(name.strip_suffix("_total").unwrap_or(name), family);
            }
        }
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }

    #[tokio::test]
    async fn a_stuck_engine_is_ill_and_a_full_file_is_not() {
        let bed = bed();
        assert_eq!(
            health_of(&bed.app, NOW_NS + 9_000_000_000),
            (StatusCode::OK, "ok")
        );
        assert_eq!(
            health_of(&bed.app, NOW_NS + 11_000_000_000),
            (StatusCode::SERVICE_UNAVAILABLE, "stuck")
        );
        bed.app.state.is_full.store(true, Ordering::Relaxed);
        assert_eq!(health_of(&bed.app, NOW_NS), (StatusCode::OK, "full"));
        // The bed's time stands still, years ago.
        let answer = asked(routes(), &bed.app, "/healthz").await;
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.body(), br#"{"status":"stuck"}"#);
        bed.app.state.alive_ns.store(now_ns(), Ordering::Relaxed);
        let answer = asked(routes(), &bed.app, "/healthz").await;
        assert_eq!(
            (answer.status(), answer.body().as_slice()),
            (StatusCode::OK, br#"{"status":"full"}"#.as_slice())
        );
    }
}
