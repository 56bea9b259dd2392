//! News for those who keep a page open (server-sent events): only that there is a newer page, and a few numbers. The page itself is
//! fetched as always, so that it is made once for all of them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Response, header};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::{Listener, slot};
use crate::serve::http::{App, Problem};
use crate::serve::state::Slot;

/// News of a service come so often at most; those of all services together less often.
const SERVICE: Duration = Duration::from_secs(2);
const FRONT: Duration = Duration::from_secs(10);
/// Something is sent so often, so that nobody on the way takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) async fn service(State(app): State<App>, Path(slug): Path<String>) -> Response<Body> {
    let Some(slot) = slot(&app, &slug) else {
        // A browser does not ask again after this.
        return Problem::not_found(slug).into_response();
    };
    let changed = slot.changed.subscribe();
    // Not the slot itself: when the service goes, its slot has to go, and with it this stream.
    let slot = Arc::downgrade(&slot);
    news(&app, changed, SERVICE, move |version| {
        Some(numbers(&*slot.upgrade()?, version))
    })
}

pub(super) async fn front(State(app): State<App>) -> Response<Body> {
    let changed = app.state.changed.subscribe();
    news(&app, changed, FRONT, |version| {
        Some(json!({ "version": version }))
    })
}

fn numbers(slot: &Slot, version: u64) -> Value {
    let view = slot.view.load();
    json!({
        "version": version,
        "standing": view.standing.name(),
        "last_hour": view.last_hour.0,
        "expected": view.last_hour.1.is_finite().then(|| (view.last_hour.1 * 10.0).round() / 10.0),
    })
}

fn news(
    app: &App,
    changed: watch::Receiver<u64>,
    every: Duration,
    say: impl Fn(u64) -> Option<Value> + Send + Sync + 'static,
) -> Response<Body> {
    let Some(listener) = Listener::new(app) else {
        return Problem::busy().into_response();
    };
    let events = events(listener, changed, every, say);
    let mut response = Sse::new(events)
        .keep_alive(KeepAlive::new().interval(HEARTBEAT))
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers before they pass them on would collect this one for ever.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The version as it is, at once; then each change, no more often than `every`. It ends with what it tells of.
fn events<Guard: Send + 'static>(
    guard: Guard,
    mut changed: watch::Receiver<u64>,
    every: Duration,
    say: impl Fn(u64) -> Option<Value> + Send + Sync + 'static,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    changed.mark_changed();
    stream::unfold(
        (guard, changed, Instant::now(), say),
        move |(guard, mut changed, next, say)| async move {
            changed.changed().await.ok()?;
            // What comes in this time is told together.
            sleep_until(next).await;
            let version = *changed.borrow_and_update();
            let event = Event::default()
                .retry(Duration::from_secs(5))
                .data(say(version)?.to_string());
            Some((Ok(event), (guard, changed, Instant::now() + every, say)))
        },
    )
}
