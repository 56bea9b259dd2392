//! Visitors who want mail about a service. Whose address it is has to say so first (double opt-in): a link is mailed to it, and a button
//! behind the link confirms, since programs that look into mail follow links but press no buttons.
//!
//! Of an address nothing is kept before that but the mail that waits to be sent: what the link holds is in the link, signed. No answer
//! tells whether an address is known here.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use maud::{DOCTYPE, Markup, html};
use serde::{Deserialize, Serialize};

use super::limit::Limit;
use super::mail::{self, Letter};
use super::message::Urgency;
use super::outbox::{Entry, Payload};
use super::{now_ns, secret};
use crate::serve::engine::Writing;
use crate::serve::http::{App, Problem, client};

/// Kind of the documents.
pub(crate) const SUBSCRIPTION: &str = "subscription";
/// Name of the key.
const KEY: &str = "subscriptions";
/// Subscriptions at most.
const SUBSCRIPTIONS_MAX: usize = 100_000;
/// How long a link is good.
const GOOD_S: u64 = 48 * 3_600;
/// Mails that ask one address within an hour, and that one network makes us send.
const PER_ADDRESS: usize = 3;
const PER_NETWORK: usize = 20;

/// Somebody who wants mail about a service, and confirmed it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Subscription {
    pub(crate) email: String,
    pub(crate) service: String,
    pub(crate) since_ns: u64,
}

/// What is counted of those who ask.
struct Limits {
    address: Limit,
    network: Limit,
}

type Counted = Extension<Arc<Mutex<Limits>>>;

pub(super) fn routes() -> Router<App> {
    let limits = Limits {
        address: Limit::new(PER_ADDRESS),
        network: Limit::new(PER_NETWORK),
    };
    Router::new()
        .route("/s/{slug}/subscribe", post(subscribe))
        .route("/subscriptions/confirm", get(confirming).post(confirm))
        .route("/subscriptions/remove", get(removing).post(remove))
        .layer(Extension(Arc::new(Mutex::new(limits))))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Form {
    email: String,
    /// The field that nobody sees.
    website: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Link {
    token: String,
}

/// Whether mail can be sent, and links in it lead here.
fn can_mail(app: &App) -> Result<(), Problem> {
    let config = app.state.config.load();
    if config.mail.is_none() || config.site.url.is_empty() {
        return Err(Problem::not_found("No mail is sent from here."));
    }
    Ok(())
}

/// A form of another site's page would ask in the name of people who do not know.
pub(super) fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    site.is_some_and(|site| site != b"same-origin" && site != b"none")
}

/// A network asked for too much.
pub(super) fn too_many() -> Problem {
    Problem {
        retry_after_s: Some(3_600),
        ..Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "limit",
            "Too much was asked for from this network within an hour.",
        )
    }
}

async fn subscribe(
    State(app): State<App>,
    Extension(limits): Counted,
    info: ConnectInfo<SocketAddr>,
    Path(slug): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    can_mail(&app)?;
    if is_from_elsewhere(&headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "other-site",
            "This came from another site's page.",
        ));
    }
    let name = app
        .state
        .services
        .load()
        .get(slug.as_str())
        .map(|slot| slot.view.load().service.name.clone())
        .ok_or_else(|| Problem::not_found("There is no such service."))?;
    let form: Form =
        serde_urlencoded::from_bytes(&body).map_err(|_| Problem::invalid("The form cannot be read."))?;
    let email =
        mail::address(&form.email).ok_or_else(|| Problem::invalid("email: this is no address for mail."))?;
    let key = secret::key(&app, KEY).await?;
    let now_ns = now_ns(&app);
    let (_, network) = client(&app, &info, &headers).hashes(&key);
    let (may_network, may_address) = {
        let mut limits = limits.lock().unwrap_or_else(PoisonError::into_inner);
        let now_s = now_ns / 1_000_000_000;
        let may_network = limits.network.takes(network, now_s);
        let who = secret::name(&key, &email.to_lowercase());
        let who = u64::from_str_radix(&who[..16], 16).unwrap_or_default();
        (may_network, may_network && limits.address.takes(who, now_s))
    };
    if !may_network {
        return Err(too_many());
    }
    // Who asks too often for an address gets the same answer, and the address no mail.
    if may_address && form.website.is_empty() {
        let receiver = format!("confirm:{}", id(&key, &email, &slug));
        let payload = Payload::Confirm { email, service: slug };
        // The first to go when there are too many: they must not crowd out what happens.
        let nonce = secret::hex(&secret::random::<4>());
        let entry = Entry::new(&receiver, &nonce, Urgency::Low, payload, now_ns);
        super::post(&app, entry).await?;
    }
    Ok(page(
        StatusCode::ACCEPTED,
        "Look into your mail",
        &html! {
            p { "If the address is yours, a link is on its way to it." }
            p { "Mail about " (name) " is sent once you have confirmed that you want it." }
        },
    ))
}

/// The name of a subscription, from which the address cannot be guessed.
fn id(key: &[u8; 32], email: &str, slug: &str) -> String {
    secret::name(key, &format!("{slug}\n{}", email.to_lowercase()))
}

/// What a link to confirm holds: service and address.
async fn confirmed(app: &App, link: &Link) -> Result<Option<(String, String, [u8; 32])>, Problem> {
    can_mail(app)?;
    let key = secret::key(app, KEY).await?;
    let held = secret::open(&key, "confirm", &link.token, now_ns(app) / 1_000_000_000);
    Ok(held.and_then(|held| {
        let [slug, email] = held.try_into().ok()?;
        app.state
            .services
            .load()
            .contains_key(slug.as_str())
            .then_some((slug, email, key))
    }))
}

fn stale() -> Response {
    page(
        StatusCode::GONE,
        "This link is not good any more",
        &html! { p { "Links are good for two days. Ask for another one on the page of the service." } },
    )
}

async fn confirming(State(app): State<App>, Query(link): Query<Link>) -> Result<Response, Problem> {
    let Some((slug, email, _)) = confirmed(&app, &link).await? else {
        return Ok(stale());
    };
    let name = service_name(&app, &slug);
    Ok(page(
        StatusCode::OK,
        "Do you want this mail?",
        &html! {
            p {
                "Mail about " strong { (name) } " would be sent to " strong { (email) }
                " when it has trouble, when there is news, and when it is over."
            }
            form method="post" action=(format!("/subscriptions/confirm?token={}", link.token)) {
                button type="submit" { "Yes, send it" }
            }
        },
    ))
}

async fn confirm(State(app): State<App>, Query(link): Query<Link>) -> Result<Response, Problem> {
    let Some((slug, email, key)) = confirmed(&app, &link).await? else {
        return Ok(stale());
    };
    let id = id(&key, &email, &slug);
    let name = service_name(&app, &slug);
    let of = id.clone();
    let (known, count) = app
        .read(move |read| {
            let known = read.document(SUBSCRIPTION, &of)?;
            // All are counted only where there will be one more: whoever comes again costs nothing.
            let count = if known.is_none() {
                read.documents(SUBSCRIPTION)?.len()
            } else {
                0
            };
            Ok((known, count))
        })
        .await?;
    if known.is_none() {
        if count >= SUBSCRIPTIONS_MAX {
            return Err(Problem::full());
        }
        let subscription = Subscription {
            email,
            service: slug,
            since_ns: now_ns(&app),
        };
        let text = serde_json::to_string(&subscription).unwrap_or_default();
        app.write(Writing {
            puts: vec![(SUBSCRIPTION, id.clone(), text)],
            ..Writing::default()
        })
        .await?;
    }
    let end = secret::token(&key, "remove", 0, &[&id]);
    Ok(page(
        StatusCode::OK,
        "You will get mail",
        &html! {
            p { "When " (name) " has trouble, you are told." }
            p { a href=(format!("/subscriptions/remove?token={end}")) { "I do not want it after all" } }
        },
    ))
}

async fn removed(app: &App, link: &Link) -> Result<Option<String>, Problem> {
    // Also where no mail is sent any more: what is kept can be taken back.
    let key = secret::key(app, KEY).await?;
    Ok(secret::open(&key, "remove", &link.token, 0).and_then(|held| held.into_iter().next()))
}

async fn removing(State(app): State<App>, Query(link): Query<Link>) -> Result<Response, Problem> {
    if removed(&app, &link).await?.is_none() {
        return Ok(stale());
    }
    Ok(page(
        StatusCode::OK,
        "No more mail?",
        &html! {
            form method="post" action=(format!("/subscriptions/remove?token={}", link.token)) {
                button type="submit" { "Send me no more" }
            }
        },
    ))
}

/// By the button, or by a mail program in one click (RFC 8058).
async fn remove(State(app): State<App>, Query(link): Query<Link>) -> Result<Response, Problem> {
    let Some(id) = removed(&app, &link).await? else {
        return Ok(stale());
    };
    app.write(Writing {
        deletes: vec![(SUBSCRIPTION, id)],
        ..Writing::default()
    })
    .await?;
    Ok(page(
        StatusCode::OK,
        "You get no more mail",
        &html! { p { "The address is not kept here any more." } },
    ))
}

fn service_name(app: &App, slug: &str) -> String {
    let services = app.state.services.load();
    services
        .get(slug)
        .map_or_else(|| slug.to_owned(), |slot| slot.view.load().service.name.clone())
}

/// A page of few words. Its address may hold a token, so nobody else is told of it, and nobody keeps it.
fn page(status: StatusCode, title: &str, body: &Markup) -> Response {
    let text = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
                link rel="icon" href="/favicon.svg" type="image/svg+xml";
                link rel="stylesheet" href=(crate::serve::pages::files::STYLE.address());
            }
            body {
                main {
                    h1 { (title) }
                    (body)
                    p { a href="/" { "All services" } }
                }
            }
        }
    };
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, axum::response::Html(text.into_string())).into_response()
}

/// The mail that asks whether somebody wants mail.
pub(super) fn asking(
    key: &[u8; 32],
    site: (&str, &str),
    entry: &Entry,
    email: &str,
    slug: &str,
    name: &str,
) -> Letter {
    let (site_name, site_url) = (site.0, site.1.trim_end_matches('/'));
    let until_s = entry.made_ns / 1_000_000_000 + GOOD_S;
    let token = secret::token(key, "confirm", until_s, &[slug, email]);
    Letter {
        to: email.to_owned(),
        subject: super::message::cut(&format!("{site_name}: do you want mail about {name}?"), 150),
        text: format!(
            "Somebody, probably you, asked for mail about {name} to this address.\n\nIf you want it, confirm within two days:\n\
             {site_url}/subscriptions/confirm?token={token}\n\n\
             If not, do nothing: the address is not kept, and no more mail comes.\n\n-- \n\
             {site_name}\n{site_url}\n"
        ),
        key: secret::name(key, &entry.id),
        unsubscribe: Some(unsubscribe(key, site_url, &id(key, email, slug))),
    }
}

/// The link that ends a subscription.
pub(super) fn unsubscribe(key: &[u8; 32], site_url: &str, id: &str) -> String {
    let token = secret::token(key, "remove", 0, &[id]);
    format!(
        "{}/subscriptions/remove?token={token}",
        site_url.trim_end_matches('/')
    )
}

/// The key of links.
pub(super) async fn key(app: &App) -> Result<[u8; 32], Problem> {
    secret::key(app, KEY).await
}
