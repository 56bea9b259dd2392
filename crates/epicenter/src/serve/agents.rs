//! How the results of probes come to the engine: those that this machine makes, and those that agents send.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::sync::{mpsc, watch};

use super::config::{Config, Service};
use super::console::session::{Scope, bearer};
use super::engine::{Ask, Probed};
use super::http::{App, Problem};
use super::probe::wire::{BATCH_BYTES_MAX, Batch, Work};
use super::probe::{Finding, Kind, Trust, Verdict, keep};
use crate::tell;

/// Results that are given to the engine together.
const TOGETHER: usize = 256;
/// Results that wait for the engine.
const WAITING: usize = 4_096;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/api/v1/probes", get(work)).route(
        "/api/v1/probes/results",
        post(results).layer(DefaultBodyLimit::max(BATCH_BYTES_MAX)),
    )
}

impl Probed {
    fn of(finding: &Finding) -> Probed {
        let (ok, reason) = match &finding.outcome.verdict {
            Verdict::Up => (Some(true), String::new()),
            Verdict::Down(reason) => (Some(false), reason.words.clone()),
            Verdict::NoData(reason) => (None, reason.words.clone()),
        };
        Probed {
            at_ns: finding.at_ns,
            service: finding.service.clone(),
            place: finding.place.clone(),
            probe: finding.probe,
            kind: finding.kind.word().to_owned(),
            ok,
            reason,
            ms: finding
                .outcome
                .phases
                .whole
                .map(|whole| (1e4 * whole.as_secs_f64()).round() / 10.0),
            certificate_ends_s: finding
                .outcome
                .certificate_ends
                .and_then(|ends| u64::try_from(ends).ok()),
        }
    }
}

/// What an agent has to do. Only agents may see it: it holds what is sent along with requests.
async fn work(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    bearer(&app, &headers, Scope::Probes).await?;
    let work = Work::of(&app.state.config.load());
    let tag = format!("\"{}\"", work.version);
    let is_known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(work).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// What an agent found. It is on the disk when the answer comes.
async fn results(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Problem> {
    bearer(&app, &headers, Scope::Probes).await?;
    let batch: Batch =
        serde_json::from_slice(&body).map_err(|error| Problem::invalid(format!("The body: {error}.")))?;
    let now_ns = app.state.alive_ns.load(Ordering::Relaxed);
    let findings = batch.results(now_ns).map_err(Problem::invalid)?;
    let config = app.state.config.load_full();
    // Of settings that were changed meanwhile: what is probed no more is nobody's.
    let is_ours = |finding: &&Finding| {
        let service = config
            .service
            .iter()
            .find(|service| service.slug == finding.service);
        service.is_some_and(|service| {
            service
                .probe
                .get(finding.probe)
                .is_some_and(|probe| Kind::of(probe) == finding.kind)
        })
    };
    let probed: Vec<Probed> = findings.iter().filter(is_ours).map(Probed::of).collect();
    let taken = probed.len();
    match app.ask(|answer| Ask::Probes(probed, answer)).await? {
        Ok(()) => Ok((StatusCode::ACCEPTED, Json(serde_json::json!({ "taken": taken }))).into_response()),
        Err(_) => Err(Problem::full()),
    }
}

/// Makes the probes of the settings from this machine until it is told to stop, by other settings when those change.
pub(crate) async fn run(
    app: App,
    mut configs: watch::Receiver<Arc<Config>>,
    mut stop: watch::Receiver<bool>,
) {
    let trust = match Trust::system() {
        Ok(trust) => Arc::new(trust),
        Err(problem) => return tell(&format!("no probes are made: {problem}")),
    };
    let list = |config: &Config| {
        let probed = config.service.iter().filter(|service| !service.probe.is_empty());
        Arc::new(probed.cloned().collect::<Vec<Service>>())
    };
    let first = configs.borrow_and_update().clone();
    let (listed, lists) = watch::channel(list(&first));
    let (sink, mut findings) = mpsc::channel(WAITING);
    let stopped = async move {
        // Whoever holds the other end stops us by going, too.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let keeping = tokio::spawn(keep(lists, first.probes.place.clone(), trust, sink, stopped));
    let mut together = Vec::new();
    loop {
        tokio::select! {
            changed = configs.changed() => match changed {
                Ok(()) => {
                    let config = configs.borrow_and_update().clone();
                    listed.send_replace(list(&config));
                }
                Err(_) => break,
            },
            taken = findings.recv_many(&mut together, TOGETHER) => {
                if taken == 0 {
                    break;
                }
                let probed: Vec<Probed> = together.drain(..).map(|finding| Probed::of(&finding)).collect();
                // A full disk is told by the engine; an engine that is busy is asked again, since each result is made only once.
                while let Err(problem) = app.ask(|answer| Ask::Probes(probed.clone(), answer)).await {
                    if problem.status != StatusCode::SERVICE_UNAVAILABLE || keeping.is_finished() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
    }
    keeping.abort();
}
