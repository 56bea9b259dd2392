//! What people wrote. Nobody sees it before an operator has read it.
//!
//! A comment waits as a document of kind `comment`; published, it is one of kind `published`, without anything that stands for the person.
//! What is rejected or withdrawn is gone: the journal says who decided what and when, with a hash of the text, and never the text, since
//! nothing can be taken out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::engine::Writing;
use super::super::http::{App, Problem};
use super::session::{self, Desk, Role, Seat};
use super::{Asked, Done, Refused, archive, done, pages, told};

/// Comments that are shown for each service; the oldest makes room.
const PUBLISHED_MAX: usize = 200;
/// Comments that are shown to operators at once.
pub(crate) const WAITING_SHOWN: usize = 100;
/// How long what is public may be old.
const FRESH_NS: u64 = 10_000_000_000;

/// A comment, waiting or published.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Comment {
    pub(crate) at: String,
    pub(crate) service: String,
    pub(crate) country: String,
    pub(crate) text: String,
}

type ByService = Arc<BTreeMap<String, Vec<Comment>>>;

/// What is public, as it was read last.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    at_ns: u64,
    by_service: ByService,
}

/// Comments that wait, oldest first, and those that are published, newest first.
pub(crate) async fn waiting(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    seat: Seat,
    Query(asked): Query<Asked>,
) -> super::Shown {
    let (waiting, count, published) = archive(&app, &desk, |read| {
        let mut waiting: Vec<(String, Comment)> = session::all(read, "comment")?;
        let count = waiting.len();
        waiting.truncate(WAITING_SHOWN);
        let mut published: Vec<(String, Comment)> = session::all(read, "published")?;
        published.reverse();
        published.truncate(WAITING_SHOWN);
        Ok((waiting, count, published))
    })
    .await?;
    let told = told(asked.done.as_deref());
    Ok(pages::comments(&app, &seat, &waiting, count, &published, told))
}

#[derive(Debug, Deserialize)]
struct Decision {
    name: String,
}

/// Publishes, rejects or withdraws.
pub(crate) async fn decide(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    seat: Seat,
    Path(decision): Path<String>,
    body: Bytes,
) -> Done {
    let form: Decision = seat.posted(&body, Role::Operator)?;
    let kind = match decision.as_str() {
        "publish" | "reject" => "comment",
        "withdraw" => "published",
        _ => return Err(Refused::new(StatusCode::NOT_FOUND, "There is no such decision.")),
    };
    let _changing = desk.changing.lock().await;
    let of = form.name.clone();
    let found: Option<Comment> = session::parse(app.read(move |read| read.document(kind, &of)).await?);
    let comment = found.ok_or_else(|| {
        Refused::new(
            StatusCode::CONFLICT,
            "Somebody has decided about this comment already.",
        )
    })?;
    let mut writing = Writing {
        entry: Some((
            "comment",
            json!({
                "who": seat.name, "do": decision, "service": comment.service, "at": comment.at, "sha256": session::sha256(&comment.text),
            }),
        )),
        deletes: vec![(kind, form.name.clone())],
        ..Writing::default()
    };
    if decision == "publish" {
        // The name of a waiting comment holds the hash of a person; that of a published one holds the time alone.
        let time: String = form.name.chars().take_while(char::is_ascii_digit).collect();
        let name = format!("{time}-{}", session::hex(&session::random::<4>()));
        writing.puts = vec![("published", name, session::to_json(&comment))];
        let all: Vec<(String, Comment)> = app.read(|read| session::all(read, "published")).await?;
        let of: Vec<String> = all
            .into_iter()
            .filter(|(_, one)| one.service == comment.service)
            .map(|(name, _)| name)
            .collect();
        let too_many = (of.len() + 1).saturating_sub(PUBLISHED_MAX);
        writing
            .deletes
            .extend(of.into_iter().take(too_many).map(|name| ("published", name)));
    }
    app.write(writing).await?;
    *shown(&desk) = None;
    Ok(done("/console/comments", &decision))
}

fn shown(desk: &Desk) -> std::sync::MutexGuard<'_, Option<Shown>> {
    desk.published
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// What is public. However many ask, the file is asked every ten seconds at most.
async fn published(app: &App, desk: &Desk) -> Result<ByService, Problem> {
    let now_ns = session::now_ns(app);
    if let Some(shown) = shown(desk).as_mut() {
        if now_ns < shown.at_ns + FRESH_NS {
            return Ok(Arc::clone(&shown.by_service));
        }
        // This one reads anew; the others are served what there is.
        shown.at_ns = now_ns;
    }
    let all: Vec<(String, Comment)> = app.read(|read| session::all(read, "published")).await?;
    let mut by_service: BTreeMap<String, Vec<Comment>> = BTreeMap::new();
    for (_, comment) in all.into_iter().rev() {
        by_service
            .entry(comment.service.clone())
            .or_default()
            .push(comment);
    }
    let by_service = Arc::new(by_service);
    *shown(desk) = Some(Shown {
        at_ns: now_ns,
        by_service: Arc::clone(&by_service),
    });
    Ok(by_service)
}

/// The comments of a service that were published, for everybody.
pub(crate) async fn public(
    State(app): State<App>,
    Extension(desk): Extension<Arc<Desk>>,
    Path(slug): Path<String>,
) -> Result<Response, Refused> {
    let nothing = || Refused::new(StatusCode::NOT_FOUND, "There are no comments here.");
    let slot = app.state.services.load().get(slug.as_str()).cloned();
    let slot = slot.ok_or_else(nothing)?;
    if !app.state.config.load().reports.comments {
        return Err(nothing());
    }
    let all = published(&app, &desk).await?;
    let of = all.get(&slug).map_or(&[][..], Vec::as_slice);
    let page = pages::public_comments(&app, &slot.view.load().service, of);
    Ok(([(header::CACHE_CONTROL, "public, max-age=10")], page).into_response())
}
