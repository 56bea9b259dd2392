//! The public API of Atlassian Statuspage, version 2, so that what already reads status pages (bots, dashboards, exporters) reads this one.
//!
//! Its words are fewer than ours: a service that is only suspected to be in trouble, or recovers, is `degraded_performance`; one in
//! confirmed trouble has a `partial_outage`, and a `major_outage` where every place that probes it fails.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::get;
use axum::{Extension, Router};
use bytes::Bytes;
use serde_json::{Value, json};

use super::api::{given, tag};
use super::config::Config;
use super::http::App;
use super::state::{Incident, Standing, View};
use crate::case_json::time;

/// Incidents of the list, as many as Statuspage gives.
const LISTED: usize = 50;
/// Our id: there is one page.
const PAGE: &str = "epicenter";

/// One of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Summary,
    Status,
    Components,
    Incidents,
    Unresolved,
    Maintenances,
}

/// The answers as they were made last, by part: they are asked for again and again, and thousands of services make them long.
type Made = Arc<[Mutex<Option<(u64, Bytes)>>; 6]>;

pub(crate) fn routes() -> Router<App> {
    let made: Made = Arc::default();
    let part = |part: Part| {
        get(
            async move |State(app): State<App>, Extension(made): Extension<Made>, headers: HeaderMap| {
                answer(&app, &made, &headers, part)
            },
        )
    };
    Router::new()
        .route("/api/v2/summary.json", part(Part::Summary))
        .route("/api/v2/status.json", part(Part::Status))
        .route("/api/v2/components.json", part(Part::Components))
        .route("/api/v2/incidents.json", part(Part::Incidents))
        .route("/api/v2/incidents/unresolved.json", part(Part::Unresolved))
        .route("/api/v2/scheduled-maintenances.json", part(Part::Maintenances))
        .route(
            "/api/v2/scheduled-maintenances/upcoming.json",
            part(Part::Maintenances),
        )
        .route(
            "/api/v2/scheduled-maintenances/active.json",
            part(Part::Maintenances),
        )
        .layer(Extension(made))
}

fn answer(app: &App, made: &Made, headers: &HeaderMap, part: Part) -> axum::response::Response {
    // Before anything is read: what is newer than its tag is asked for again, what is older would be kept.
    let version = *app.state.changed.borrow();
    let tag = tag(&format!("statuspage{}", part as usize), version);
    given(headers, &tag, "application/json", 10, || {
        let mut kept = made[part as usize]
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match &*kept {
            Some((of, bytes)) if *of == version => bytes.clone(),
            _ => {
                let bytes = Bytes::from(make(app, part).to_string());
                *kept = Some((version, bytes.clone()));
                bytes
            }
        }
    })
}

fn make(app: &App, part: Part) -> Value {
    let config = app.state.config.load();
    let views: Vec<Arc<View>> = app
        .state
        .services
        .load()
        .values()
        .map(|slot| slot.view.load_full())
        .collect();
    let components: Vec<Component> = views
        .iter()
        .enumerate()
        .map(|(at, view)| Component::of(view, at + 1))
        .collect();
    let page = json!({
        "id": PAGE,
        "name": config.site.name,
        "url": base(&config),
        "time_zone": "Etc/UTC",
        "updated_at": time(components.iter().map(|one| one.updated_ns).max().unwrap_or(0)),
    });
    let all = |components: &[Component]| components.iter().map(|one| one.value.clone()).collect::<Vec<_>>();
    let incidents = |open_only: bool| {
        let known = app.state.incidents.load();
        let mut sorted: Vec<&Arc<Incident>> = known
            .values()
            .filter(|incident| incident.merged_into.is_none())
            .filter(|incident| !open_only || is_open(incident))
            .collect();
        sorted.sort_unstable_by(|a, b| (b.start_ns, &b.id).cmp(&(a.start_ns, &a.id)));
        sorted.truncate(LISTED);
        sorted
            .into_iter()
            .map(|incident| told(incident, &config, &components))
            .collect::<Vec<_>>()
    };
    match part {
        Part::Status => json!({ "page": page, "status": status(&components) }),
        Part::Components => json!({ "page": page, "components": all(&components) }),
        Part::Incidents => json!({ "page": page, "incidents": incidents(false) }),
        Part::Unresolved => json!({ "page": page, "incidents": incidents(true) }),
        Part::Maintenances => json!({ "page": page, "scheduled_maintenances": [] }),
        Part::Summary => json!({
            "page": page,
            "components": all(&components),
            "incidents": incidents(true),
            "scheduled_maintenances": [],
            "status": status(&components),
        }),
    }
}

/// The public address, without the slash at its end; where none is set, the one that is listened on.
pub(crate) fn base(config: &Config) -> String {
    match config.site.url.trim_end_matches('/') {
        "" => format!("http://{}", config.http.listen),
        url => url.to_owned(),
    }
}

/// The page of an incident.
pub(crate) fn page_of(config: &Config, id: &str) -> String {
    format!("{}/incidents/{id}", base(config))
}

fn is_open(incident: &Incident) -> bool {
    incident.standing.is_trouble()
}

struct Component {
    slug: String,
    name: String,
    status: &'static str,
    updated_ns: u64,
    value: Value,
}

impl Component {
    fn of(view: &View, position: usize) -> Component {
        let begin_ns = view
            .bins
            .first()
            .map_or(view.at_ns, |bin| bin.start_s * 1_000_000_000);
        let changed = view.past.iter().map(|incident| changed_ns(incident)).max();
        let updated_ns = changed.unwrap_or(begin_ns);
        let status = state(view);
        let about = Some(&view.service.about).filter(|about| !about.is_empty());
        Component {
            slug: view.service.slug.clone(),
            name: view.service.name.clone(),
            status,
            updated_ns,
            value: json!({
                "id": view.service.slug,
                "name": view.service.name,
                "status": status,
                "created_at": time(begin_ns.min(updated_ns)),
                "updated_at": time(updated_ns),
                "position": position,
                "description": about,
                "showcase": true,
                "start_date": null,
                "group_id": null,
                "page_id": PAGE,
                "group": false,
                "only_show_if_degraded": false,
            }),
        }
    }
}

fn state(view: &View) -> &'static str {
    let (failing, places) = view.failing;
    match view.standing {
        Standing::Learning | Standing::Operational | Standing::Closed | Standing::Resolved => "operational",
        Standing::Recovering | Standing::Suspected => "degraded_performance",
        Standing::Confirmed | Standing::Identified if places > 0 && failing == places => "major_outage",
        Standing::Confirmed | Standing::Identified => "partial_outage",
    }
}

fn status(components: &[Component]) -> Value {
    let any = |state: &str| components.iter().any(|one| one.status == state);
    let (indicator, description) = if any("major_outage") {
        ("critical", "Major System Outage")
    } else if any("partial_outage") {
        ("major", "Partial System Outage")
    } else if any("degraded_performance") {
        ("minor", "Minor Service Outage")
    } else {
        ("none", "All Systems Operational")
    };
    json!({ "indicator": indicator, "description": description })
}

/// When anything about an incident changed last.
pub(crate) fn changed_ns(incident: &Incident) -> u64 {
    let waves = incident
        .waves
        .iter()
        .flat_map(|wave| [Some(wave.detected_ns), wave.end_ns])
        .flatten();
    waves
        .chain(incident.updates.iter().map(|update| update.at_ns))
        .chain(incident.post_mortem.iter().map(|update| update.at_ns))
        .chain(incident.acknowledged.iter().map(|(_, ns)| *ns))
        .fold(incident.start_ns, u64::max)
}

/// How far an incident is.
fn stage(incident: &Incident) -> &'static str {
    match incident.standing {
        Standing::Recovering => "monitoring",
        Standing::Identified => "identified",
        Standing::Suspected | Standing::Confirmed => "investigating",
        _ if incident.post_mortem.is_some() => "postmortem",
        _ => "resolved",
    }
}

fn impact(incident: &Incident) -> &'static str {
    let all_fail = incident
        .probed
        .is_some_and(|probed| probed.places > 0 && probed.failing_places == probed.places);
    match (incident.standing, incident.told_cause()) {
        // What few networks say and nothing else shows hurts nobody else.
        (_, "brigade") => "none",
        (Standing::Suspected, _) => "minor",
        _ if all_fail => "critical",
        _ => "major",
    }
}

/// What was observed, in a sentence.
pub(crate) fn sentence(incident: &Incident) -> String {
    let mut words = format!(
        "{} reports came where {:.0} were expected.",
        incident.reports, incident.expected
    );
    if let Some(probed) = incident.probed.filter(|probed| probed.tried > 0) {
        words.push_str(&format!(
            " {} of {} probes failed, from {} of {} places.",
            probed.failed, probed.tried, probed.failing_places, probed.places
        ));
    }
    match incident.told_cause() {
        "unknown" => words.push_str(" The cause is not known."),
        cause if incident.named_cause.is_some() => {
            words.push_str(&format!(" Cause, as the operators say: {cause}."))
        }
        cause => words.push_str(&format!(
            " Cause, with {} confidence: {cause}.",
            incident.cause.confidence
        )),
    }
    words
}

fn told(incident: &Incident, config: &Config, components: &[Component]) -> Value {
    let component = components.iter().find(|one| one.slug == incident.service);
    let name = component.map_or(incident.service.as_str(), |one| one.name.as_str());
    let (stage, detected_ns) = (
        stage(incident),
        incident
            .waves
            .first()
            .map_or(incident.start_ns, |wave| wave.detected_ns),
    );
    let update = |number: usize, status: &str, at_ns: u64, body: &str| {
        let affected = component.map(|one| {
            json!([{ "code": one.slug, "name": one.name, "old_status": one.status, "new_status": one.status }])
        });
        json!({
            "id": format!("{}-{number}", incident.id),
            "status": status,
            "body": body,
            "incident_id": incident.id,
            "created_at": time(at_ns),
            "updated_at": time(at_ns),
            "display_at": time(at_ns),
            "affected_components": affected,
            "deliver_notifications": true,
            "custom_tweet": null,
            "tweet_id": null,
        })
    };
    let resolved_ns = incident.end_ns.filter(|_| !is_open(incident));
    let mut updates = vec![(detected_ns, "investigating", sentence(incident))];
    updates.extend(incident.updates.iter().map(|said| {
        let is_over = resolved_ns.is_some_and(|end_ns| said.at_ns >= end_ns);
        let status = match stage {
            "postmortem" | "resolved" if is_over => "resolved",
            "postmortem" | "resolved" => "investigating",
            stage => stage,
        };
        (said.at_ns, status, said.text.clone())
    }));
    if let Some(end_ns) = resolved_ns {
        let words = "Reports and probes are as usual again.".to_owned();
        updates.push((end_ns, "resolved", words));
    }
    if let Some(said) = &incident.post_mortem {
        updates.push((said.at_ns, "postmortem", said.text.clone()));
    }
    updates.sort_by_key(|(at_ns, ..)| *at_ns);
    let updates: Vec<Value> = updates
        .iter()
        .enumerate()
        .rev()
        .map(|(number, (at_ns, status, body))| update(number, status, *at_ns, body))
        .collect();
    json!({
        "id": incident.id,
        "name": format!("{name}: people report problems"),
        "status": stage,
        "created_at": time(detected_ns),
        "updated_at": time(changed_ns(incident)),
        "monitoring_at": (stage == "monitoring").then(|| time(changed_ns(incident))),
        "resolved_at": resolved_ns.map(time),
        "impact": impact(incident),
        "shortlink": page_of(config, &incident.id),
        "started_at": time(incident.start_ns),
        "page_id": PAGE,
        "incident_updates": updates,
        "components": component.map(|one| one.value.clone()).into_iter().collect::<Vec<_>>(),
        "reminder_intervals": null,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OPEN, OVER, bed, get as asked};
    use super::*;

    #[tokio::test]
    async fn trouble_is_told_in_the_words_of_statuspage() {
        let bed = bed();
        let answer = asked(routes(), &bed.app, "/api/v2/summary.json").await;
        let summary: Value = serde_json::from_slice(answer.body()).expect("JSON");
        assert_eq!(
            summary["status"],
            json!({ "indicator": "major", "description": "Partial System Outage" })
        );
        assert_eq!(summary["page"]["url"], "https://status.example.org");
        let states: Vec<&str> = summary["components"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["status"].as_str())
            .collect();
        assert_eq!(states, ["operational", "operational", "partial_outage"]);
        let open = summary["incidents"].as_array().expect("a list");
        assert_eq!(open.len(), 1);
        assert_eq!(
            (&open[0]["id"], &open[0]["status"]),
            (&json!(OPEN), &json!("identified"))
        );
        assert_eq!(open[0]["impact"], "critical");
        assert_eq!(open[0]["resolved_at"], Value::Null);
        assert_eq!(open[0]["components"][0]["id"], "shop");
        let bodies: Vec<&str> = open[0]["incident_updates"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["body"].as_str())
            .collect();
        assert!(bodies[0].starts_with("We <filter>"), "{bodies:?}");
        assert!(bodies[1].starts_with(
            "900 reports came where 31 were expected. 30 of 40 probes failed, from 3 of 3 places."
        ));

        let answer = asked(routes(), &bed.app, "/api/v2/incidents.json").await;
        let all: Value = serde_json::from_slice(answer.body()).expect("JSON");
        assert_eq!(all["incidents"][1]["id"], OVER);
        assert_eq!(all["incidents"][1]["status"], "postmortem");
        let stages: Vec<&str> = all["incidents"][1]["incident_updates"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["status"].as_str())
            .collect();
        assert_eq!(
            stages,
            ["postmortem", "resolved", "investigating", "investigating"]
        );
    }

    #[tokio::test]
    async fn an_answer_is_made_once_for_each_version() {
        let bed = bed();
        let routes = routes();
        let text = async || {
            asked(routes.clone(), &bed.app, "/api/v2/status.json")
                .await
                .into_body()
        };
        let first = text().await;
        let slot = bed.app.state.services.load()["shop"].clone();
        let before = slot.view.load_full();
        let now = View {
            service: before.service.clone(),
            standing: Standing::Operational,
            bins: Vec::new(),
            probes: Vec::new(),
            attacks: Vec::new(),
            past: Vec::new(),
            incident: None,
            pages: super::super::cache::Pages::default(),
            said: Vec::new(),
            ..*before
        };
        slot.view.store(Arc::new(now));
        assert_eq!(text().await, first);
        bed.app.state.changed.send_modify(|version| *version += 1);
        let second = String::from_utf8(text().await).expect("text");
        assert!(second.contains("All Systems Operational"), "{second}");
    }

    #[test]
    fn every_standing_has_a_word() {
        let words = |standing, all_fail: bool| {
            let mut incident = super::super::testing::incident(OPEN, 1_000, None);
            incident.standing = standing;
            if !all_fail {
                incident.probed = None;
            }
            (stage(&incident), impact(&incident))
        };
        assert_eq!(words(Standing::Suspected, true), ("investigating", "minor"));
        assert_eq!(words(Standing::Confirmed, false), ("investigating", "major"));
        assert_eq!(words(Standing::Confirmed, true), ("investigating", "critical"));
        assert_eq!(words(Standing::Recovering, false), ("monitoring", "major"));
        assert_eq!(words(Standing::Closed, false), ("resolved", "major"));
    }
}
