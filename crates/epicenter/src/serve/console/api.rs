//! Deeds of programs: `POST /api/v1/incidents/{id}/…` with a token that is good for `operate`.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::super::api::told;
use super::super::engine::Deed;
use super::super::http::{App, Problem};
use super::session::{Scope, bearer};
use super::{act, prose};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/api/v1/incidents/{id}/acknowledge", post(acknowledge))
        .route("/api/v1/incidents/{id}/updates", post(update))
        .route("/api/v1/incidents/{id}/post-mortem", post(post_mortem))
        .route("/api/v1/incidents/{id}/cause", post(cause))
        .route("/api/v1/incidents/{id}/merge", post(merge))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    cause: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Into {
    into: String,
}

/// Does it, and answers with the incident as it is then.
async fn perform(
    app: &App,
    headers: &HeaderMap,
    id: &str,
    status: StatusCode,
    deed: impl FnOnce() -> Result<Deed, Problem>,
) -> Result<Response, Problem> {
    // Who asks first: what is wrong with a body is nobody else's business.
    let who = bearer(app, headers, Scope::Operate).await?;
    let incident = act(app, &who.name, id, deed()?).await?;
    // In the form in which everybody gets it: that one is a promise.
    let body = told(&incident, &app.atlas).to_string();
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((status, headers, body).into_response())
}

fn read<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "Send application/json.",
        ));
    }
    serde_json::from_slice(body).map_err(|error| Problem::invalid(format!("The body: {error}.")))
}

async fn acknowledge(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    perform(&app, &headers, &id, StatusCode::OK, || Ok(Deed::Acknowledge)).await
}

async fn update(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    perform(&app, &headers, &id, StatusCode::CREATED, || {
        let sent: Text = read(&headers, &body)?;
        let text = prose(&sent.text).map_err(Problem::invalid)?;
        Ok(Deed::Update { text })
    })
    .await
}

async fn post_mortem(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    perform(&app, &headers, &id, StatusCode::OK, || {
        let sent: Text = read(&headers, &body)?;
        let text = prose(&sent.text).map_err(Problem::invalid)?;
        Ok(Deed::PostMortem { text })
    })
    .await
}

async fn cause(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    perform(&app, &headers, &id, StatusCode::OK, || {
        let sent: Named = read(&headers, &body)?;
        Ok(Deed::Cause { cause: sent.cause })
    })
    .await
}

async fn merge(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    perform(&app, &headers, &id, StatusCode::OK, || {
        let sent: Into = read(&headers, &body)?;
        Ok(Deed::Merge { into: sent.into })
    })
    .await
}
