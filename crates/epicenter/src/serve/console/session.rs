//! Who somebody is: passwords, sessions and tokens, and how often they may be tried.
//!
//! Of what opens a door only a hash is kept: argon2id of passwords, which people choose, and SHA-256 of sessions and tokens, which are 256
//! random bits. A flood of logins can take neither the machine (two passwords are looked at at once) nor the memory (all tables are
//! bounded), and its answers do not tell whether a name is known.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Argon2, ParamsBuilder};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use hmac::{Hmac, Mac};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::super::engine::Writing;
use super::super::http::{App, Problem};
use super::{Refused, pages};

/// Characters of a password at least, and bytes at most.
pub(crate) const PASSWORD_MIN: usize = 12;
const PASSWORD_MAX: usize = 1_024;
/// Characters of a name.
const NAME_MAX: usize = 40;
/// Users of one tracker.
pub(crate) const USERS_MAX: usize = 1_000;
/// Sessions of one user; the one that was begun first makes room.
const SESSIONS_MAX: usize = 20;
/// Passwords that are looked at at once: each takes 19 MiB and a core.
const HASHING: usize = 2;
/// How long a login waits for its turn.
const TURN: Duration = Duration::from_secs(5);
const HOUR_NS: u64 = 3_600_000_000_000;
/// A session ends after so long without a request.
const IDLE_NS: u64 = 12 * HOUR_NS;
/// And after so long in any case.
const LIFE_NS: u64 = 7 * 24 * HOUR_NS;
/// Attempts of one name, and from one /24 or /48, in [`ATTEMPTS_NS`].
const ATTEMPTS: u32 = 10;
const ATTEMPTS_NS: u64 = 600_000_000_000;
/// Names and networks whose attempts are counted.
const ATTEMPTS_MAX: usize = 1 << 16;
/// Networks from which somebody has signed in.
const KNOWN_MAX: usize = 1 << 12;

/// What somebody may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Look.
    Viewer,
    /// Look and do.
    Operator,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
        }
    }
}

/// What a token is good for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scope {
    /// Bring results of probes.
    Probes,
    /// Read what is not for everybody.
    Read,
    /// Do what operators do.
    Operate,
}

impl Scope {
    pub(crate) const ALL: [Scope; 3] = [Scope::Probes, Scope::Read, Scope::Operate];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scope::Probes => "probes",
            Scope::Read => "read",
            Scope::Operate => "operate",
        }
    }
}

/// A user, as kept: the document's name is theirs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct User {
    /// A PHC string of argon2id.
    pub(crate) password: String,
    pub(crate) role: Role,
    pub(crate) created_ns: u64,
    /// When the password was set; sessions of another one are over.
    pub(crate) since_ns: u64,
}

/// A session, as kept: the document's name is the SHA-256 of what the browser has.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Session {
    pub(crate) user: String,
    /// [`User::since_ns`] of the password that opened it.
    pub(crate) of_ns: u64,
    pub(crate) created_ns: u64,
    /// The hour of the last request; finer would be a diary, and a write for every click.
    pub(crate) seen_ns: u64,
    pub(crate) expires_ns: u64,
}

impl Session {
    fn is_alive(&self, now_ns: u64) -> bool {
        now_ns < self.expires_ns && now_ns < self.seen_ns.saturating_add(IDLE_NS)
    }
}

/// A token, as kept: the document's name is the part of it that is no secret.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Token {
    pub(crate) sha256: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) created_ns: u64,
    pub(crate) by: String,
}

/// Who asks: a program with a token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Who {
    /// As it stands in the journal; users' names have no colon.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) scopes: Vec<Scope>,
}

/// What the console keeps beside the data file, for as long as the program runs.
pub(crate) struct Desk {
    hashing: Arc<Semaphore>,
    /// Readers of the whole file at once.
    pub(super) reading: Arc<Semaphore>,
    /// Held from reading a user, session or comment to writing it, so that nothing that is deleted meanwhile comes back.
    pub(super) changing: tokio::sync::Mutex<()>,
    attempts: Mutex<Attempts>,
    /// Hashes names and addresses in memory.
    pub(super) key: [u8; 32],
    pub(super) published: Mutex<Option<super::comments::Shown>>,
}

/// How often was tried what, and who has signed in from where.
#[derive(Default)]
struct Attempts {
    tried: HashMap<u64, (u64, u32)>,
    known: HashSet<(u64, u64)>,
}

impl Attempts {
    /// Counts an attempt; says how many seconds to wait where there were too many.
    fn count(&mut self, key: u64, now_ns: u64) -> Result<(), u32> {
        if self.tried.len() >= ATTEMPTS_MAX && !self.tried.contains_key(&key) {
            self.tried
                .retain(|_, (began_ns, _)| now_ns < *began_ns + ATTEMPTS_NS);
            if self.tried.len() >= ATTEMPTS_MAX {
                return Err((ATTEMPTS_NS / 1_000_000_000) as u32);
            }
        }
        let (began_ns, n) = self.tried.entry(key).or_insert((now_ns, 0));
        if now_ns >= *began_ns + ATTEMPTS_NS {
            (*began_ns, *n) = (now_ns, 0);
        }
        *n = n.saturating_add(1);
        if *n > ATTEMPTS {
            let left = (*began_ns + ATTEMPTS_NS).saturating_sub(now_ns);
            return Err((left / 1_000_000_000) as u32 + 1);
        }
        Ok(())
    }
}

impl Desk {
    pub(crate) fn new() -> Desk {
        Desk {
            hashing: Arc::new(Semaphore::new(HASHING)),
            reading: Arc::new(Semaphore::new(2)),
            changing: tokio::sync::Mutex::default(),
            attempts: Mutex::default(),
            key: random(),
            published: Mutex::default(),
        }
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn hash(&self, name: &str) -> u64 {
        let mut mac = mac(&self.key);
        mac.update(b"name");
        mac.update(name.as_bytes());
        first(&mac.finalize().into_bytes())
    }

    /// Whether a name may be tried from a network (its keyed hash); otherwise the seconds to wait. The limit of the name does not hold
    /// from where it has signed in: else anybody could lock operators out by failing in their name.
    pub(crate) fn admit(&self, name: &str, network: u64, now_ns: u64) -> Result<(), u32> {
        let name = self.hash(name);
        let mut attempts = self.attempts();
        attempts.count(network, now_ns)?;
        if attempts.known.contains(&(name, network)) {
            return Ok(());
        }
        attempts.count(name, now_ns)
    }

    /// Remembers from where a name has signed in.
    pub(crate) fn knows(&self, name: &str, network: u64) {
        let name = self.hash(name);
        let mut attempts = self.attempts();
        if attempts.known.len() < KNOWN_MAX {
            attempts.known.insert((name, network));
        }
    }

    /// Whether a password is a user's. Where there is no such user the same work is done, for nothing.
    ///
    /// # Errors
    ///
    /// So many are asked for that this one has no turn.
    pub(crate) async fn is_password(&self, user: Option<&User>, password: String) -> Result<bool, Problem> {
        static NOBODY: OnceLock<String> = OnceLock::new();
        let kept = user.map(|user| user.password.clone());
        self.turn(move || {
            let nobody = NOBODY.get_or_init(|| hash_password(&hex(&random::<32>())).unwrap_or_default());
            let is_it = verify(kept.as_ref().unwrap_or(nobody), &password);
            kept.is_some() && is_it
        })
        .await
    }

    /// The hash of a new password.
    ///
    /// # Errors
    ///
    /// As [`is_password`](Desk::is_password).
    pub(crate) async fn new_password(&self, password: String) -> Result<String, Problem> {
        self.turn(move || hash_password(&password))
            .await?
            .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "password", error.to_string()))
    }

    async fn turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let permit = tokio::time::timeout(TURN, Arc::clone(&self.hashing).acquire_owned())
            .await
            .map_err(|_| Problem::busy())?
            .map_err(|_| Problem::busy())?;
        tokio::task::spawn_blocking(move || {
            // Held here and not by the request: whoever hangs up does not make room while the work goes on.
            let _permit = permit;
            work()
        })
        .await
        .map_err(|_| Problem::busy())
    }
}

/// Random bytes of the system.
///
/// # Panics
///
/// The system has none; then nothing here would be safe.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn sha256(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as Mac>::new_from_slice(key).expect("any length is a key")
}

fn first(tag: &[u8]) -> u64 {
    tag[..8]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Whether two texts are the same, in a time that does not tell where they differ.
pub(crate) fn is_same(a: &str, b: &str) -> bool {
    let differing = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |differing, (a, b)| std::hint::black_box(differing | (a ^ b)));
    a.len() == b.len() && differing == 0
}

/// Argon2id with 19 MiB and two passes, as OWASP advises.
pub(crate) fn hash_password(password: &str) -> Result<String, argon2::password_hash::Error> {
    let salt = SaltString::encode_b64(&random::<16>())?;
    let params = ParamsBuilder::new()
        .m_cost(19 << 10)
        .t_cost(2)
        .p_cost(1)
        .build()?;
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    Ok(argon2.hash_password(password.as_bytes(), &salt)?.to_string())
}

fn verify(kept: &str, password: &str) -> bool {
    PasswordHash::new(kept).is_ok_and(|kept| {
        Argon2::default()
            .verify_password(password.as_bytes(), &kept)
            .is_ok()
    })
}

/// A name that a user or a token may have.
///
/// # Errors
///
/// Why not.
pub(crate) fn name(text: &str) -> Result<&str, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_@".contains(c);
    if text.is_empty() || text.len() > NAME_MAX || !text.chars().all(is_plain) {
        return Err(format!(
            "A name is of small letters, digits and . - _ @, and of {NAME_MAX} characters at most."
        ));
    }
    Ok(text)
}

/// Whether a password will do.
///
/// # Errors
///
/// Why not.
pub(crate) fn password(text: &str) -> Result<(), String> {
    if text.chars().count() < PASSWORD_MIN {
        return Err(format!("A password has at least {PASSWORD_MIN} characters."));
    }
    if text.len() > PASSWORD_MAX {
        return Err(format!("A password has at most {PASSWORD_MAX} bytes."));
    }
    Ok(())
}

/// Nanoseconds since 1970, as the engine has it.
pub(crate) fn now_ns(app: &App) -> u64 {
    match app.state.alive_ns.load(Ordering::Relaxed) {
        // It has not looked around yet.
        0 => system_ns(),
        now_ns => now_ns,
    }
}

pub(crate) fn system_ns() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

pub(crate) fn parse<T: DeserializeOwned>(text: Option<String>) -> Option<T> {
    serde_json::from_str(&text?).ok()
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A user, where there is one of that name.
pub(crate) async fn user(app: &App, name: &str) -> Result<Option<User>, Problem> {
    let name = name.to_owned();
    Ok(parse(app.read(move |read| read.document("user", &name)).await?))
}

/// Documents of a kind that can be read, by name.
pub(crate) fn all<T: DeserializeOwned>(
    read: store::file::Read<'_>,
    kind: &str,
) -> Result<Vec<(String, T)>, store::Error> {
    let found = read.documents(kind)?.into_iter();
    Ok(found
        .filter_map(|(name, text)| Some((name, serde_json::from_str(&text).ok()?)))
        .collect())
}

/// Name of the cookie. The prefix makes browsers refuse it from anybody but this host over HTTPS.
fn cookie_name(app: &App) -> &'static str {
    if is_https(app) {
        "__Host-session"
    } else {
        "session"
    }
}

fn is_https(app: &App) -> bool {
    app.state.config.load().site.url.starts_with("https://")
}

/// What a browser is told to keep; nothing where the session is over.
pub(crate) fn cookie(app: &App, token: &str) -> String {
    let name = cookie_name(app);
    let age = if token.is_empty() {
        0
    } else {
        LIFE_NS / 1_000_000_000
    };
    let secure = if is_https(app) { "; Secure" } else { "" };
    format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{secure}")
}

/// What the browser keeps.
fn kept(app: &App, headers: &HeaderMap) -> Option<String> {
    let name = cookie_name(app);
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|one| one.trim().split_once('='))
        .find(|(given, value)| *given == name && value.len() == 64)
        .map(|(_, value)| value.to_owned())
}

/// Begins a session of a user whose password was right; what the browser has to keep. `None` where the user changed meanwhile.
pub(crate) async fn begin(
    app: &App,
    desk: &Desk,
    headers: &HeaderMap,
    name: &str,
    proven: &User,
) -> Result<Option<String>, Problem> {
    let _changing = desk.changing.lock().await;
    if user(app, name).await?.as_ref() != Some(proven) {
        return Ok(None);
    }
    let now_ns = now_ns(app);
    let token = hex(&random::<32>());
    let session = Session {
        user: name.to_owned(),
        of_ns: proven.since_ns,
        created_ns: now_ns,
        seen_ns: now_ns / HOUR_NS * HOUR_NS,
        expires_ns: now_ns + LIFE_NS,
    };
    let mut sessions: Vec<(String, Session)> = app.read(|read| all(read, "session")).await?;
    // What is over goes; so does what this browser had, and the first of too many.
    let before = kept(app, headers).map(|token| sha256(&token));
    let mut deletes = Vec::new();
    sessions.retain(|(hash, session)| {
        let stays = session.is_alive(now_ns) && before.as_ref() != Some(hash);
        if !stays {
            deletes.push(("session", hash.clone()));
        }
        stays && session.user == name
    });
    sessions.sort_by_key(|(_, session)| session.created_ns);
    let too_many = (sessions.len() + 1).saturating_sub(SESSIONS_MAX);
    deletes.extend(
        sessions
            .into_iter()
            .take(too_many)
            .map(|(hash, _)| ("session", hash)),
    );
    app.write(Writing {
        entry: Some(("login", serde_json::json!({ "who": name, "do": "login" }))),
        puts: vec![("session", sha256(&token), to_json(&session))],
        deletes,
    })
    .await?;
    Ok(Some(token))
}

/// Names of all sessions of a user, to be deleted.
pub(crate) async fn sessions_of(app: &App, name: &str) -> Result<Vec<(&'static str, String)>, Problem> {
    let sessions: Vec<(String, Session)> = app.read(|read| all(read, "session")).await?;
    Ok(sessions
        .into_iter()
        .filter(|(_, session)| session.user == name)
        .map(|(hash, _)| ("session", hash))
        .collect())
}

/// Somebody who has signed in, and a request of theirs.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// What every form has to bring.
    pub(crate) form: String,
    /// Name of the session's document.
    pub(crate) session: String,
    is_same_site: bool,
}

impl Seat {
    /// The form that was sent, from a page of ours and by somebody who may do this. There is no other way to a form, so no handler can
    /// forget to ask.
    ///
    /// # Errors
    ///
    /// Who may not.
    pub(crate) fn posted<T: DeserializeOwned>(&self, body: &[u8], role: Role) -> Result<T, Refused> {
        #[derive(Deserialize)]
        struct Proof {
            #[serde(default)]
            form: String,
        }
        let proof = serde_urlencoded::from_bytes::<Proof>(body);
        if !self.is_same_site || !proof.is_ok_and(|proof| is_same(&proof.form, &self.form)) {
            return Err(Refused::new(
                StatusCode::FORBIDDEN,
                "This did not come from a page of the console. Go back, load the page again, and send it once more.",
            ));
        }
        self.may(role)?;
        serde_urlencoded::from_bytes(body)
            .map_err(|_| Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "The form cannot be read."))
    }

    /// Whether they may do what a role may.
    ///
    /// # Errors
    ///
    /// They may not.
    pub(crate) fn may(&self, role: Role) -> Result<(), Refused> {
        if self.role < role {
            return Err(Refused::new(
                StatusCode::FORBIDDEN,
                "Only operators may do this; you are a viewer.",
            ));
        }
        Ok(())
    }
}

/// What forms of a session carry: nobody who does not have its cookie can make it.
pub(crate) fn form_proof(token: &str) -> String {
    let mut mac = mac(token.as_bytes());
    mac.update(b"epicenter form");
    hex(&mac.finalize().into_bytes())
}

/// Whether a request comes from a page of this site. Browsers say so in `Sec-Fetch-Site`, and where they do not, in `Origin`; what
/// says neither is no browser, and cannot be made to act for somebody else.
pub(crate) fn is_same_site(app: &App, headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else { return false };
    let config = app.state.config.load();
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // A proxy may ask us by another name than the public one.
    let is_host = origin.split_once("://").map(|(_, host)| host) == host && host.is_some();
    is_host || (!config.site.url.is_empty() && origin == config.site.url.trim_end_matches('/'))
}

/// The session of a request, where there is one that is not over.
pub(crate) async fn seat(app: &App, desk: &Desk, headers: &HeaderMap) -> Result<Option<Seat>, Problem> {
    let Some(token) = kept(app, headers) else {
        return Ok(None);
    };
    let now_ns = now_ns(app);
    let hash = sha256(&token);
    let Some((session, user)) = session(app, &hash, now_ns).await? else {
        return Ok(None);
    };
    let hour_ns = now_ns / HOUR_NS * HOUR_NS;
    if session.seen_ns < hour_ns {
        let _changing = desk.changing.lock().await;
        // Asked again: it may be over by now, and must not come back.
        let Some((mut session, _)) = self::session(app, &hash, now_ns).await? else {
            return Ok(None);
        };
        session.seen_ns = hour_ns;
        let puts = vec![("session", hash.clone(), to_json(&session))];
        // Where there is no room, people are let in all the same: they are the ones who can make some.
        let _ = app
            .write(Writing {
                puts,
                ..Writing::default()
            })
            .await;
    }
    Ok(Some(Seat {
        name: session.user,
        role: user.role,
        form: form_proof(&token),
        session: hash,
        is_same_site: is_same_site(app, headers),
    }))
}

async fn session(app: &App, hash: &str, now_ns: u64) -> Result<Option<(Session, User)>, Problem> {
    let hash = hash.to_owned();
    let found = app
        .read(move |read| {
            let Some(session) = parse::<Session>(read.document("session", &hash)?) else {
                return Ok(None);
            };
            let user = parse::<User>(read.document("user", &session.user)?);
            Ok(user.map(|user| (session, user)))
        })
        .await?;
    Ok(found.filter(|(session, user)| session.is_alive(now_ns) && session.of_ns == user.since_ns))
}

impl FromRequestParts<App> for Seat {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Seat, Response> {
        let desk = parts
            .extensions
            .get::<Arc<Desk>>()
            .cloned()
            .ok_or_else(|| Problem::busy().into_response())?;
        let headers = &parts.headers;
        match seat(app, &desk, headers).await {
            Ok(Some(seat)) => Ok(seat),
            Ok(None) if parts.method == Method::GET || parts.method == Method::HEAD => {
                let site = headers.get("sec-fetch-site");
                let is_from_elsewhere = site.is_some_and(|site| site == "cross-site" || site == "same-site");
                if kept(app, headers).is_none() && is_from_elsewhere {
                    // Browsers keep the cookie back where a link of an alert or a mail is followed; from a page of ours they bring it.
                    return Err(pages::again().into_response());
                }
                let to = parts.uri.path_and_query().map_or("/console", |to| to.as_str());
                let query = serde_urlencoded::to_string([("next", to)]).unwrap_or_default();
                Err(Redirect::to(&format!("/console/login?{query}")).into_response())
            }
            Ok(None) => Err(Refused::new(
                StatusCode::UNAUTHORIZED,
                "Your session is over, so this was not done. Sign in, and send it once more.",
            )
            .into_response()),
            Err(problem) => Err(Refused::from(problem).into_response()),
        }
    }
}

/// What a token begins with, so that scanners for secrets find it where it should not be.
const TOKEN: &str = "epicenter_";

/// A new token: what is shown once, the name of its document, and the document.
pub(crate) fn new_token(name: &str, scopes: &[Scope], by: &str, now_ns: u64) -> (String, String, Token) {
    let (id, secret) = (hex(&random::<8>()), hex(&random::<32>()));
    let mut scopes = scopes.to_vec();
    scopes.sort_unstable();
    scopes.dedup();
    let token = Token {
        sha256: sha256(&secret),
        name: name.to_owned(),
        role: if scopes.contains(&Scope::Operate) {
            Role::Operator
        } else {
            Role::Viewer
        },
        scopes,
        created_ns: now_ns,
        by: by.to_owned(),
    };
    (format!("{TOKEN}{id}_{secret}"), id, token)
}

/// Who asks with a token (`Authorization: Bearer`) that is good for `scope`.
///
/// # Errors
///
/// There is none, it is not known, or it is good for something else.
pub(crate) async fn bearer(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Who, Problem> {
    let unknown = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "token",
            "This needs a token: Authorization: Bearer epicenter_….",
        )
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .and_then(|(_, token)| token.trim().strip_prefix(TOKEN)?.split_once('_'))
        .filter(|(id, secret)| id.len() == 16 && secret.len() == 64);
    let (id, secret) = given.ok_or_else(unknown)?;
    let id = id.to_owned();
    let kept: Option<Token> = parse(app.read(move |read| read.document("token", &id)).await?);
    let token = kept
        .filter(|token| is_same(&token.sha256, &sha256(secret)))
        .ok_or_else(unknown)?;
    if !token.scopes.contains(&scope) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "scope",
            format!("This token is not good for `{}`.", scope.name()),
        ));
    }
    Ok(Who {
        name: format!("token:{}", token.name),
        role: token.role,
        scopes: token.scopes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_limited_by_name_and_network_and_the_table_is_bounded() {
        let desk = Desk::new();
        let now = 1_000 * ATTEMPTS_NS;
        // From many networks at one name.
        for network in 0..10 {
            assert_eq!(desk.admit("ada", network, now), Ok(()));
        }
        assert_eq!(desk.admit("ada", 99, now), Err(601));
        assert_eq!(desk.admit("bob", 99, now), Ok(()));
        // From where she has signed in, the failures of others do not count.
        desk.knows("ada", 7);
        assert_eq!(desk.admit("ada", 7, now), Ok(()));
        // From one network at many names.
        let refused = (0..20)
            .filter(|n| desk.admit(&format!("n{n}"), 1_000, now).is_err())
            .count();
        assert_eq!(refused, 10);
        assert_eq!(desk.admit("ada", 99, now + ATTEMPTS_NS), Ok(()));
        let mut attempts = Attempts::default();
        for key in 0..ATTEMPTS_MAX as u64 {
            assert_eq!(attempts.count(key, now), Ok(()));
        }
        assert!(attempts.count(u64::MAX, now).is_err());
        assert_eq!(attempts.tried.len(), ATTEMPTS_MAX);
        assert_eq!(attempts.count(u64::MAX, now + ATTEMPTS_NS), Ok(()));
        assert_eq!(attempts.tried.len(), 1);
    }

    #[test]
    fn passwords_are_kept_as_argon2id_and_compared_whole() {
        let kept = hash_password("correct horse battery").expect("a hash");
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(verify(&kept, "correct horse battery"));
        assert!(!verify(&kept, "correct horse batterx"));
        assert!(!verify("", "correct horse battery"));
        assert_ne!(kept, hash_password("correct horse battery").expect("a hash"));
        assert!(password("elevenchars").is_err() && password("twelve chars").is_ok());
        // Characters, not bytes.
        assert!(password("ééééééé").is_err());
        assert!(
            is_same("abc", "abc") && !is_same("abc", "abd") && !is_same("abc", "ab") && !is_same("", "a")
        );
        for bad in ["", "Ada", "a b", "a:b", "ada\n", "<b>"] {
            assert!(name(bad).is_err(), "{bad}");
        }
        assert!(name("ada.l@example-1").is_ok());
    }
}
