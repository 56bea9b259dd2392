//! Visitors whose browser shows news: Web Push (RFC 8030), encrypted to the browser (RFC 8291), signed by us (VAPID, RFC 8292).
//!
//! Where to push to is said by the visitor, so it is held against what only we can reach: https to public addresses alone.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes128Gcm, Nonce};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hkdf::Hkdf;
use p256::ecdsa::signature::Signer;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use p256::{PublicKey, SecretKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::client::Outgoing;
use super::limit::Limit;
use super::message::{Message, Urgency, cut};
use super::{now_ns, secret};
use crate::serve::engine::Writing;
use crate::serve::http::{App, Problem, client};

/// Kind of the documents.
pub(crate) const PUSH: &str = "push";
/// Subscriptions at most.
const PUSHES_MAX: usize = 100_000;
/// Subscriptions of one network within an hour.
const PER_NETWORK: usize = 20;
/// Bytes of an address.
const ENDPOINT_MAX: usize = 1_024;
/// How long a push service keeps what a browser that is off has not seen.
const TTL_S: u32 = 24 * 3_600;
/// How long a signature is good; a day is the most that is taken.
const SIGNED_S: u64 = 12 * 3_600;

/// A browser that is told of a service.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Push {
    pub(crate) endpoint: String,
    /// Its public key, and the secret that it shares with us.
    pub(crate) p256dh: String,
    pub(crate) auth: String,
    pub(crate) service: String,
    pub(crate) since_ns: u64,
}

type Counted = Extension<Arc<Mutex<Limit>>>;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/push/key", get(key))
        .route("/push/subscribe", post(subscribe))
        .route("/push/unsubscribe", post(unsubscribe))
        .route("/push.js", get(script))
        .layer(Extension(Arc::new(Mutex::new(Limit::new(PER_NETWORK)))))
}

/// The script that a browser runs for us. Its address is at the top, since it may only speak for what is below it.
async fn script() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, include_str!("../../../data/push.js")).into_response()
}

/// The key that signs what we push.
pub(super) async fn signing_key(app: &App) -> Result<SecretKey, Problem> {
    let bytes = secret::key(app, "push").await?;
    // Of all numbers of this length, one in four billion is no key; hashed once more it is another.
    let again = Sha256::digest(bytes);
    SecretKey::from_slice(&bytes)
        .or_else(|_| SecretKey::from_slice(&again))
        .map_err(|_| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "key",
                "There is no key to sign with.",
            )
        })
}

fn public(key: &SecretKey) -> Vec<u8> {
    key.public_key().to_encoded_point(false).as_bytes().to_vec()
}

async fn key(State(app): State<App>) -> Result<Response, Problem> {
    let key = signing_key(&app).await?;
    let body = serde_json::json!({ "key": URL_SAFE_NO_PAD.encode(public(&key)) });
    Ok(([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response())
}

/// What a browser's `PushSubscription` is as JSON, and the service.
#[derive(Debug, Deserialize)]
struct Sent {
    service: String,
    endpoint: String,
    #[serde(default)]
    keys: Keys,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Keys {
    p256dh: String,
    auth: String,
}

fn sent(headers: &HeaderMap, body: &[u8]) -> Result<Sent, Problem> {
    if super::subscribe::is_from_elsewhere(headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "other-site",
            "This came from another site's page.",
        ));
    }
    serde_json::from_slice(body).map_err(|error| Problem::invalid(format!("The body: {error}.")))
}

async fn subscribe(
    State(app): State<App>,
    Extension(limit): Counted,
    info: ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, Problem> {
    let sent = sent(&headers, &body)?;
    if !app.state.services.load().contains_key(sent.service.as_str()) {
        return Err(Problem::not_found("There is no such service."));
    }
    if !may_push(&sent.endpoint) {
        return Err(Problem::invalid(
            "endpoint: this is no https address of a push service.",
        ));
    }
    if parse_keys(&sent.keys.p256dh, &sent.keys.auth).is_none() {
        return Err(Problem::invalid(
            "keys: p256dh is a point of P-256, auth has 16 bytes, both base64url.",
        ));
    }
    let (_, network) = client(&app, &info, &headers).hashes(&secret::key(&app, "push").await?);
    let now_ns = now_ns(&app);
    let may = limit
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .takes(network, now_ns / 1_000_000_000);
    if !may {
        return Err(super::subscribe::too_many());
    }
    let name = name(&sent.endpoint, &sent.service);
    let of = name.clone();
    let (known, count) = app
        .read(move |read| {
            let known = read.document(PUSH, &of)?;
            // All are counted only where there will be one more: whoever comes again costs nothing.
            let count = if known.is_none() {
                read.documents(PUSH)?.len()
            } else {
                0
            };
            Ok((known, count))
        })
        .await?;
    if known.is_none() && count >= PUSHES_MAX {
        return Err(Problem::full());
    }
    // A browser that subscribes again has new keys, and was told what it was told.
    let before = known.and_then(|text| serde_json::from_str::<Push>(&text).ok());
    let push = Push {
        endpoint: sent.endpoint,
        p256dh: sent.keys.p256dh,
        auth: sent.keys.auth,
        service: sent.service,
        since_ns: before.map_or(now_ns, |push| push.since_ns),
    };
    let text = serde_json::to_string(&push).unwrap_or_default();
    app.write(Writing {
        puts: vec![(PUSH, name, text)],
        ..Writing::default()
    })
    .await?;
    Ok(StatusCode::CREATED)
}

/// Whoever knows the address of a browser is that browser.
async fn unsubscribe(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<StatusCode, Problem> {
    let sent = sent(&headers, &body)?;
    app.write(Writing {
        deletes: vec![(PUSH, name(&sent.endpoint, &sent.service))],
        ..Writing::default()
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn name(endpoint: &str, service: &str) -> String {
    secret::hex(&Sha256::digest(format!("{service}\n{endpoint}"))[..16])
}

/// Whether an address may be one of a push service: https, the usual port, nobody's name in it, and a public name. What the name
/// leads to is looked at again whenever something is sent there.
fn may_push(endpoint: &str) -> bool {
    if endpoint.len() > ENDPOINT_MAX {
        return false;
    }
    let Ok(uri) = endpoint.parse::<Uri>() else {
        return false;
    };
    let (Some("https"), Some(host), Some(authority)) = (uri.scheme_str(), uri.host(), uri.authority()) else {
        return false;
    };
    if authority.as_str().contains('@') || uri.port_u16().is_some_and(|port| port != 443) {
        return false;
    }
    let host = host.to_ascii_lowercase();
    // These are the services of the browsers that there are.
    let known = [
        "fcm.googleapis.com",
        "updates.push.services.mozilla.com",
        "web.push.apple.com",
    ];
    let known_below = [
        ".push.services.mozilla.com",
        ".notify.windows.com",
        ".push.apple.com",
    ];
    if known.contains(&host.as_str()) || known_below.iter().any(|end| host.ends_with(end)) {
        return true;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let is_name = labels.len() >= 2
        && labels.iter().all(|label| {
            !label.is_empty()
                && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !label.starts_with('-')
        });
    let last = labels.last().copied().unwrap_or_default();
    // Also numbers in hexadecimal are addresses to some.
    let is_number = last.starts_with(|c: char| c.is_ascii_digit());
    let inner = [
        "local",
        "localhost",
        "internal",
        "intranet",
        "private",
        "corp",
        "home",
        "lan",
        "arpa",
        "test",
        "invalid",
        "example",
        "onion",
    ];
    is_name && !is_number && !inner.contains(&last)
}

/// The public key of a browser and the secret that it shares with us.
fn parse_keys(p256dh: &str, auth: &str) -> Option<(PublicKey, [u8; 16])> {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let key = decode(p256dh).filter(|bytes| bytes.len() == 65)?;
    Some((
        PublicKey::from_sec1_bytes(&key).ok()?,
        decode(auth)?.try_into().ok()?,
    ))
}

/// `aes128gcm` (RFC 8188) as RFC 8291 has it: one record, keyed with what our `own` key and the browser's have in common.
fn encrypt(
    browser: &PublicKey,
    auth: &[u8; 16],
    own: &SecretKey,
    salt: &[u8; 16],
    text: &[u8],
) -> Option<Vec<u8>> {
    let shared = p256::ecdh::diffie_hellman(own.to_nonzero_scalar(), browser.as_affine());
    let own_public = public(own);
    let mut info = b"WebPush: info\0".to_vec();
    info.extend_from_slice(browser.to_encoded_point(false).as_bytes());
    info.extend_from_slice(&own_public);
    let mut input = [0; 32];
    Hkdf::<Sha256>::new(Some(auth), shared.raw_secret_bytes())
        .expand(&info, &mut input)
        .ok()?;
    let derived = Hkdf::<Sha256>::new(Some(salt), &input);
    let (mut key, mut nonce) = ([0; 16], [0; 12]);
    derived.expand(b"Content-Encoding: aes128gcm\0", &mut key).ok()?;
    derived.expand(b"Content-Encoding: nonce\0", &mut nonce).ok()?;
    let mut record = text.to_vec();
    // The last record, which is the first, ends so.
    record.push(2);
    let sealed = Aes128Gcm::new_from_slice(&key)
        .ok()?
        .encrypt(Nonce::from_slice(&nonce), record.as_slice())
        .ok()?;
    let mut out = salt.to_vec();
    out.extend_from_slice(&4_096u32.to_be_bytes());
    out.push(own_public.len() as u8);
    out.extend_from_slice(&own_public);
    out.extend_from_slice(&sealed);
    Some(out)
}

/// Who we are, for a push service: a JSON Web Token for its origin.
fn signed(key: &SecretKey, endpoint: &Uri, contact: Option<&str>, now_s: u64) -> Option<String> {
    let origin = format!(
        "https://{}",
        endpoint.authority()?.as_str().trim_end_matches(":443")
    );
    let mut claims = serde_json::json!({ "aud": origin, "exp": now_s + SIGNED_S });
    if let Some(contact) = contact {
        claims["sub"] = contact.into();
    }
    let head = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ES256"}"#);
    let text = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature: p256::ecdsa::Signature = p256::ecdsa::SigningKey::from(key).sign(text.as_bytes());
    let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
    Some(format!(
        "vapid t={token}, k={}",
        URL_SAFE_NO_PAD.encode(public(key))
    ))
}

/// Where the people behind a push service can reach ours.
pub(super) fn contact(site: &crate::serve::config::Site) -> Option<String> {
    let name = site.contact.trim();
    if let Some(address) = super::mail::address(name.trim_start_matches("mailto:")) {
        return Some(format!("mailto:{address}"));
    }
    [name, &site.url]
        .into_iter()
        .find(|url| url.starts_with("https://"))
        .map(str::to_owned)
}

/// The request that pushes a message to a browser; nothing where its keys or its address are none.
pub(super) fn request(
    push: &Push,
    message: &Message,
    key: &SecretKey,
    contact: Option<&str>,
    now_s: u64,
) -> Option<Outgoing> {
    if !may_push(&push.endpoint) {
        return None;
    }
    let (browser, auth) = parse_keys(&push.p256dh, &push.auth)?;
    // One that is shown replaces the one before about the same incident; so does one that waits at the push service.
    let incidents: Vec<&str> = message.items.iter().map(|item| item.incident.as_str()).collect();
    let topic = secret::hex(&Sha256::digest(incidents.join("\n"))[..16]);
    let path = message
        .url()
        .strip_prefix(message.site_url.trim_end_matches('/'))
        .filter(|path| path.starts_with('/'))
        .unwrap_or("/");
    let text = serde_json::json!({
        "title": cut(&message.title(), 120), "body": cut(&message.text(), 500), "url": path, "tag": topic,
    });
    let own =
        std::iter::repeat_with(secret::random::<32>).find_map(|bytes| SecretKey::from_slice(&bytes).ok())?;
    let body = encrypt(
        &browser,
        &auth,
        &own,
        &secret::random(),
        text.to_string().as_bytes(),
    )?;
    let urgency = match message.urgency {
        Urgency::Low => "low",
        Urgency::Normal => "normal",
        Urgency::High => "high",
    };
    Some(Outgoing {
        url: push.endpoint.clone(),
        headers: vec![
            (
                "authorization",
                signed(key, &push.endpoint.parse().ok()?, contact, now_s)?,
            ),
            ("content-encoding", "aes128gcm".to_owned()),
            ("content-type", "application/octet-stream".to_owned()),
            ("ttl", TTL_S.to_string()),
            ("urgency", urgency.to_owned()),
            ("topic", topic),
        ],
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
        bytes.try_into().expect("the length")
    }

    #[test]
    fn encrypts_as_appendix_a_of_rfc_8291() {
        let own = SecretKey::from_slice(&bytes::<32>("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
            .expect("a key");
        let (browser, auth) = parse_keys(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "BTBZMqHH6r4Tts7J_aSIgg",
        )
        .expect("keys");
        let salt = bytes("DGv6ra1nlYgDCS1FRnbzlw");
        let out = encrypt(
            &browser,
            &auth,
            &own,
            &salt,
            b"When I grow up, I want to be a watermelon",
        )
        .expect("sealed");
        assert_eq!(
            URL_SAFE_NO_PAD.encode(out),
            "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_\
             yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
        );
    }

    #[test]
    fn signatures_are_for_one_push_service_and_can_be_checked() {
        use p256::ecdsa::signature::Verifier;
        let key = SecretKey::from_slice(&[7; 32]).expect("a key");
        let endpoint = "https://push.example.net:443/a/b".parse().expect("an address");
        let value = signed(&key, &endpoint, Some("mailto:ops@example.org"), 1_000).expect("signed");
        let (token, public_key) = value
            .strip_prefix("vapid t=")
            .and_then(|rest| rest.split_once(", k="))
            .expect("the form of RFC 8292");
        let parts: Vec<&str> = token.split('.').collect();
        let claims: serde_json::Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url")).expect("JSON");
        assert_eq!(
            claims,
            serde_json::json!({ "aud": "https://push.example.net", "exp": 44_200, "sub": "mailto:ops@example.org" })
        );
        let public_key = URL_SAFE_NO_PAD.decode(public_key).expect("base64url");
        let verifying = p256::ecdsa::VerifyingKey::from_sec1_bytes(&public_key).expect("a key");
        let signature = p256::ecdsa::Signature::from_slice(&bytes::<64>(parts[2])).expect("a signature");
        assert!(
            verifying
                .verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature)
                .is_ok()
        );
        assert!(verifying.verify(b"another", &signature).is_err());
    }

    #[test]
    fn only_public_names_are_pushed_to() {
        for good in [
            "https://fcm.googleapis.com/fcm/send/abc",
            "https://updates.push.services.mozilla.com/wpush/v2/abc",
            "https://wns2-par02p.notify.windows.com/w/?token=abc",
            "https://web.push.apple.com/abc",
            "https://push.example.org:443/abc",
        ] {
            assert!(may_push(good), "{good}");
        }
        for bad in [
            "http://fcm.googleapis.com/a",
            "https://localhost/a",
            "https://127.0.0.1/a",
            "https://[::1]/a",
            "https://10.0.0.1/a",
            "https://push.local/a",
            "https://metadata.google.internal/a",
            "https://2130706433/a",
            "https://0x7f.0x0.0x0.0x1/a",
            "https://user@push.example.org/a",
            "https://push.example.org:8443/a",
            "https://intranet/a",
            "ftp://push.example.org/a",
            "",
            "https://push.example.org./a",
            "https://fcm.googleapis.com@10.0.0.1/a",
            "https://a_b.example.org/a",
        ] {
            assert!(!may_push(bad), "{bad}");
        }
        assert!(!may_push(&format!(
            "https://push.example.org/{}",
            "a".repeat(ENDPOINT_MAX)
        )));
    }

    #[test]
    fn a_push_is_within_what_every_service_takes() {
        let push = Push {
            endpoint: "https://push.example.org/a".to_owned(),
            p256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
                .to_owned(),
            auth: "BTBZMqHH6r4Tts7J_aSIgg".to_owned(),
            service: "shop".to_owned(),
            since_ns: 0,
        };
        let mut message = Message::test("a", &"ö\"".repeat(500), "https://status.example", 0);
        message.items[0].said = vec![("\u{1}".repeat(900), "\u{1}".repeat(900))];
        let key = SecretKey::from_slice(&[7; 32]).expect("a key");
        let out = request(&push, &message, &key, None, 0).expect("a request");
        assert!(out.body.len() <= 4_096, "{}", out.body.len());
        let named = |name: &str| out.headers.iter().any(|(of, _)| *of == name);
        assert!(
            ["ttl", "urgency", "topic", "authorization", "content-encoding"]
                .into_iter()
                .all(named)
        );
        let inner = Push {
            endpoint: "https://10.0.0.1/".to_owned(),
            ..push
        };
        assert!(request(&inner, &message, &key, None, 0).is_none());
    }
}
