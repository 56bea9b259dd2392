//! The console as a browser and a program see it: through the whole router, on a data file with an engine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::json;
use store::{Archive, Batch, Limits, Store};
use tower::ServiceExt;

use super::super::config::Config;
use super::super::engine::{Answer, Ask, Engine, NewReport, QUEUE, Writing};
use super::super::http::App;
use super::super::server;
use super::super::state::{Because, Incident, Standing};
use super::session::{self, Role, Scope, Session, User};

const ADA: &str = "a password of ada's";
const VIC: &str = "a password of vic's";
const HOUR_NS: u64 = 3_600_000_000_000;

/// A tracker of two services and three incidents, an operator `ada` and a viewer `vic`.
struct Site {
    app: App,
    router: Router,
    folder: tempfile::TempDir,
    engine: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.app.asks.send(Ask::Stop);
        if let Some(engine) = self.engine.take() {
            let _ = engine.join();
        }
    }
}

/// Names and values, of headers or of a form.
type Fields<'a> = &'a [(&'a str, &'a str)];

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a text"))
    }
}

/// Somebody who has signed in.
struct Browser<'a> {
    site: &'a Site,
    cookie: String,
}

fn found(id: &str, service: &str, start_ns: u64) -> Incident {
    Incident {
        id: id.to_owned(),
        service: service.to_owned(),
        standing: Standing::Confirmed,
        start_ns,
        end_ns: None,
        waves: Vec::new(),
        reports: 500,
        expected: 10.0,
        limited: 0.8,
        countries: Vec::new(),
        networks: vec![(64_500, [0.83, 0.8, 0.86])],
        symptoms: Vec::new(),
        probed: None,
        cause: Because {
            kind: "unknown".to_owned(),
            of: Vec::new(),
            confidence: "low".to_owned(),
            because: vec!["Nothing tells.".to_owned()],
        },
        confidence: "high".to_owned(),
        caveats: Vec::new(),
        attacks: Vec::new(),
        acknowledged: None,
        updates: Vec::new(),
        post_mortem: None,
        merged_into: None,
        named_cause: None,
    }
}

impl Site {
    fn new(settings: &str) -> Site {
        let services =
            "[[service]]\nslug = \"shop\"\nname = \"Shop\"\n[[service]]\nslug = \"bank\"\nname = \"Bank\"\n";
        let config = Config::parse(&format!("{settings}\n{services}")).expect("settings");
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = Store::open(&folder.path().join("data.db"), Limits::default()).expect("a file");
        let now_ns = session::system_ns();
        let user = |password: &str, role| User {
            password: session::hash_password(password).expect("a hash"),
            role,
            created_ns: now_ns,
            since_ns: now_ns,
        };
        let mut puts = vec![
            (
                "user",
                "ada".to_owned(),
                session::to_json(&user(ADA, Role::Operator)),
            ),
            (
                "user",
                "vic".to_owned(),
                session::to_json(&user(VIC, Role::Viewer)),
            ),
        ];
        for (id, service, hours) in [("i1", "shop", 1), ("i2", "bank", 2), ("i3", "shop", 3)] {
            let incident = found(id, service, now_ns - hours * HOUR_NS);
            puts.push(("incident", id.to_owned(), session::to_json(&incident)));
        }
        store
            .commit(&Batch {
                at_ns: now_ns,
                puts,
                ..Batch::default()
            })
            .expect("room");
        let (events, _) = tokio::sync::broadcast::channel(64);
        // Time stands still, or what a new service learns as usual would depend on when a minute ends.
        let engine = Engine::open(store, Arc::new(config), events.clone(), Some(now_ns)).expect("an engine");
        let (asks, asked) = std::sync::mpsc::sync_channel(QUEUE);
        let app = App {
            state: engine.state(),
            asks,
            atlas: Arc::new(atlas::Atlas::embedded()),
            events,
        };
        Site {
            router: server::router(app.clone()),
            app,
            folder,
            engine: Some(std::thread::spawn(move || engine.run(&asked))),
        }
    }

    async fn send(&self, method: &str, to: &str, headers: &[(&str, &str)], body: &str) -> Got {
        let mut request = Request::builder().method(method).uri(to);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).expect("a request");
        let peer = std::net::SocketAddr::from(([192, 0, 2, 7], 50_000));
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        Got {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("text"),
        }
    }

    async fn get(&self, to: &str) -> Got {
        self.send("GET", to, &[], "").await
    }

    async fn login(&self, name: &str, password: &str) -> Got {
        let form = [
            ("name", name),
            ("password", password),
            ("next", "/console/journal"),
        ];
        let form = serde_urlencoded::to_string(form).expect("a form");
        self.send("POST", "/console/login", &[], &form).await
    }

    async fn browser(&self, name: &str, password: &str) -> Browser<'_> {
        let got = self.login(name, password).await;
        assert_eq!(got.status, StatusCode::SEE_OTHER, "{}", got.text);
        let cookie = got.header("set-cookie").split(';').next().expect("a cookie");
        Browser {
            site: self,
            cookie: cookie.to_owned(),
        }
    }

    /// With a token and JSON.
    async fn program(&self, to: &str, token: &str, body: &str) -> Got {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        self.send("POST", to, &headers, body).await
    }

    fn archive(&self) -> Archive {
        Archive::open(&self.folder.path().join("data.db")).expect("the file")
    }

    /// The whole journal as text, after a check of its chain.
    fn journal(&self) -> String {
        let archive = self.archive();
        archive.verify().expect("the chain holds");
        let mut text = String::new();
        archive
            .read()
            .entries(1, &mut |entry| {
                let body = entry.body.as_deref().unwrap_or_default();
                text += &format!("{} {}\n", entry.kind, String::from_utf8_lossy(body));
                true
            })
            .expect("entries");
        text
    }

    fn documents(&self, kind: &str) -> Vec<(String, String)> {
        self.archive().read().documents(kind).expect("documents")
    }

    async fn put(&self, kind: &'static str, name: &str, text: String) {
        self.app
            .write(Writing {
                puts: vec![(kind, name.to_owned(), text)],
                ..Writing::default()
            })
            .await
            .expect("written");
    }

    fn incident(&self, id: &str) -> Arc<Incident> {
        Arc::clone(&self.app.state.incidents.load()[id])
    }

    async fn report(&self, person: u64, network: u32, comment: &str) {
        assert_eq!(self.try_report(person, network, comment).await, Answer::Counted);
    }

    async fn try_report(&self, person: u64, network: u32, comment: &str) -> Answer {
        let report = NewReport {
            service: "shop".to_owned(),
            symptom: "login".to_owned(),
            comment: comment.to_owned(),
            person,
            prefix: person,
            country: atlas::Country(*b"BR"),
            network,
        };
        let answer = self.app.ask(|answer| Ask::Report(report, answer)).await;
        answer.expect("an answer")
    }
}

impl Browser<'_> {
    async fn get(&self, to: &str) -> Got {
        self.site.send("GET", to, &[("cookie", &self.cookie)], "").await
    }

    fn proof(&self) -> String {
        session::form_proof(self.cookie.split_once('=').expect("a cookie").1)
    }

    async fn post_with(&self, to: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Got {
        let mut all = vec![("cookie", self.cookie.as_str())];
        all.extend(headers);
        let body = serde_urlencoded::to_string(form).expect("a form");
        self.site.send("POST", to, &all, &body).await
    }

    /// As the page's own form does it.
    async fn post(&self, to: &str, form: &[(&str, &str)]) -> Got {
        let proof = self.proof();
        let mut all = vec![("form", proof.as_str())];
        all.extend(form);
        self.post_with(to, &[("sec-fetch-site", "same-origin")], &all)
            .await
    }
}

#[tokio::test]
async fn only_the_right_password_opens_and_names_are_not_told_apart() {
    let site = Site::new("");
    let got = site.get("/console/incidents/i1?x=1").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert_eq!(
        got.header("location"),
        "/console/login?next=%2Fconsole%2Fincidents%2Fi1%3Fx%3D1"
    );
    let wrong = site.login("ada", "a password of vic's").await;
    let nobody = site.login("eve", "a password of vic's").await;
    let no_name = site.login("<script>", "a password of vic's").await;
    for got in [&wrong, &nobody, &no_name] {
        assert_eq!(got.status, StatusCode::UNAUTHORIZED);
        assert_eq!(got.text, wrong.text);
        assert_eq!(got.header("set-cookie"), "");
    }
    let right = site.login("ada", ADA).await;
    assert_eq!(right.status, StatusCode::SEE_OTHER);
    assert_eq!(right.header("location"), "/console/journal");
    let cookie = right.header("set-cookie");
    let (value, rules) = cookie.split_once(';').expect("rules");
    assert_eq!(rules, " Path=/; HttpOnly; SameSite=Strict; Max-Age=604800");
    let token = value.strip_prefix("session=").expect("its name");
    assert_eq!(token.len(), 64);
    // What is kept does not open anything.
    let kept = site.documents("session");
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].0, session::sha256(token));
    assert!(!kept[0].1.contains(token));
    let stolen = format!("session={}", kept[0].0);
    let got = site.send("GET", "/console", &[("cookie", &stolen)], "").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    // Where a link of another site is followed, browsers keep the cookie back: it is asked for once more, from here.
    let got = site
        .send("GET", "/console", &[("sec-fetch-site", "cross-site")], "")
        .await;
    assert!(got.status.is_success() && got.text.contains("http-equiv=\"refresh\""));
    // A login that another site's page sends is none.
    let got = site
        .send(
            "POST",
            "/console/login",
            &[("origin", "https://evil.example"), ("host", "localhost")],
            &format!("name=ada&password={}", ADA.replace(' ', "+")),
        )
        .await;
    assert_eq!(got.status, StatusCode::FORBIDDEN);
    for to in [
        "https://evil.example",
        "//evil.example",
        "/console\\..",
        "/consolex",
        "/s/shop",
    ] {
        assert_eq!(super::next(to), "/console", "{to}");
    }
}

#[tokio::test]
async fn over_https_the_cookie_is_of_this_host_alone() {
    let site = Site::new("[site]\nurl = \"https://status.example\"");
    let got = site.login("ada", ADA).await;
    let cookie = got.header("set-cookie");
    assert!(cookie.starts_with("__Host-session="), "{cookie}");
    assert!(
        cookie.ends_with("; Secure") && !cookie.contains("Domain"),
        "{cookie}"
    );
    let plain = cookie.replace("__Host-", "");
    let plain = plain.split(';').next().expect("a cookie");
    let got = site.send("GET", "/console", &[("cookie", plain)], "").await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn attempts_are_limited() {
    let site = Site::new("");
    for _ in 0..10 {
        assert_eq!(
            site.login("ada", "not the password").await.status,
            StatusCode::UNAUTHORIZED
        );
    }
    let got = site.login("ada", ADA).await;
    assert_eq!(got.status, StatusCode::TOO_MANY_REQUESTS);
    assert!((590..=601).contains(&got.header("retry-after").parse::<u32>().expect("seconds")));
    assert_eq!(got.header("set-cookie"), "");
}

#[tokio::test]
async fn sessions_end() {
    let site = Site::new("");
    let ada = site.browser("ada", ADA).await;
    assert_eq!(ada.get("/console").await.status, StatusCode::OK);
    let (name, text) = site.documents("session").remove(0);
    let session: Session = serde_json::from_str(&text).expect("a session");
    let now_ns = session::now_ns(&site.app);
    // An hour later the hour is written down, and nothing else.
    let seen_ns = session.seen_ns - HOUR_NS;
    let earlier = Session {
        seen_ns,
        ..session.clone()
    };
    site.put("session", &name, session::to_json(&earlier)).await;
    let entries = site.journal().lines().count();
    assert_eq!(ada.get("/console").await.status, StatusCode::OK);
    let (_, text) = site.documents("session").remove(0);
    let again: Session = serde_json::from_str(&text).expect("a session");
    assert!(again.seen_ns > seen_ns && again.seen_ns.is_multiple_of(HOUR_NS));
    assert_eq!(site.journal().lines().count(), entries);
    let ends = [
        // Twelve hours without a request.
        Session {
            seen_ns: session.seen_ns - 12 * HOUR_NS,
            ..session.clone()
        },
        // Seven days, however busy.
        Session {
            expires_ns: now_ns - 1,
            ..session.clone()
        },
        // Of a password that is not theirs any more.
        Session {
            of_ns: session.of_ns - 1,
            ..session.clone()
        },
        Session {
            user: "gone".to_owned(),
            ..session.clone()
        },
    ];
    for end in ends {
        site.put("session", &name, session::to_json(&end)).await;
        assert_eq!(ada.get("/console").await.status, StatusCode::SEE_OTHER, "{end:?}");
        let got = ada.post("/console/incidents/i1/acknowledge", &[]).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(session.expires_ns, session.created_ns + 7 * 24 * HOUR_NS);
    site.put("session", &name, session::to_json(&session)).await;
    assert_eq!(ada.get("/console").await.status, StatusCode::OK);
    // Signed out.
    let got = ada.post("/console/logout", &[]).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert!(
        got.header("set-cookie").starts_with("session=; ") && got.header("set-cookie").contains("Max-Age=0")
    );
    assert_eq!(ada.get("/console").await.status, StatusCode::SEE_OTHER);
    assert!(site.documents("session").is_empty());
    assert!(site.incident("i1").acknowledged.is_none());
}

#[tokio::test]
async fn what_other_sites_send_is_refused() {
    let site = Site::new("");
    let (ada, vic) = (site.browser("ada", ADA).await, site.browser("vic", VIC).await);
    let (proof, of_another) = (ada.proof(), vic.proof());
    let to = "/console/incidents/i1/update";
    let right: Fields<'_> = &[("form", &proof), ("text", "x")];
    let refused: [(Fields<'_>, Fields<'_>); 6] = [
        (&[("sec-fetch-site", "same-origin")], &[("text", "x")]),
        (
            &[("sec-fetch-site", "same-origin")],
            &[("text", "x"), ("form", &of_another)],
        ),
        (&[("sec-fetch-site", "cross-site")], right),
        (&[("sec-fetch-site", "same-site")], right),
        (
            &[("origin", "https://evil.example"), ("host", "localhost:8080")],
            right,
        ),
        (&[("origin", "null"), ("host", "localhost:8080")], right),
    ];
    for (headers, form) in refused {
        let got = ada.post_with(to, headers, form).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{headers:?} {form:?}");
    }
    assert!(site.incident("i1").updates.is_empty());
    let headers = [("origin", "http://localhost:8080"), ("host", "localhost:8080")];
    let got = ada.post_with(to, &headers, right).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert_eq!(site.incident("i1").updates.len(), 1);
    // The page's own form carries it.
    let page = ada.get("/console/incidents/i1").await.text;
    assert!(page.contains(&format!("name=\"form\" value=\"{proof}\"")));
}

#[tokio::test]
async fn viewers_read_and_change_nothing() {
    let site = Site::new("");
    site.report(0xfeed_beef, 64_500, "").await;
    let (ada, vic) = (site.browser("ada", ADA).await, site.browser("vic", VIC).await);
    let pages = [
        "/console",
        "/console/services/shop",
        "/console/incidents",
        "/console/incidents/i1",
        "/console/journal",
        "/console/comments",
        "/console/password",
    ];
    for to in pages {
        for browser in [&ada, &vic] {
            let got = browser.get(to).await;
            assert_eq!(got.status, StatusCode::OK, "{to}: {}", got.text);
            assert_eq!(got.header("cache-control"), "no-store", "{to}");
            assert!(
                got.header("content-security-policy")
                    .contains("default-src 'none'")
            );
            // The policy lets nothing inside a page style or act.
            assert!(
                !got.text.contains("<script") && !got.text.contains(" style="),
                "{to}"
            );
        }
    }
    let posts = [
        "/console/incidents/i1/acknowledge",
        "/console/incidents/i1/update",
        "/console/incidents/i1/post-mortem",
        "/console/incidents/i1/cause",
        "/console/incidents/i1/merge",
        "/console/comments/publish",
        "/console/comments/reject",
        "/console/comments/withdraw",
        "/console/users/add",
        "/console/users/remove",
        "/console/users/role",
        "/console/users/password",
        "/console/tokens/add",
        "/console/tokens/revoke",
    ];
    let before = site.journal();
    let form = [
        ("text", "x"),
        ("cause", "attack"),
        ("into", "i2"),
        ("name", "vic"),
        ("role", "operator"),
        ("password", "long enough it is"),
        ("operate", "yes"),
    ];
    for to in posts {
        let got = vic.post(to, &form).await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{to}: {}", got.text);
        // Nor does anybody who has not signed in.
        let got = site.send("POST", to, &[], "text=x").await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{to}");
    }
    for to in ["/console/users", "/console/tokens"] {
        assert_eq!(vic.get(to).await.status, StatusCode::FORBIDDEN);
        assert_eq!(ada.get(to).await.status, StatusCode::OK);
    }
    assert_eq!(site.journal(), before);
    assert!(!vic.get("/console/incidents/i1").await.text.contains("<textarea"));
    // Lines of people's reports are for operators.
    let person = "4276993775";
    assert!(ada.get("/console/journal").await.text.contains(person));
    let seen = vic.get("/console/journal?kind=reports").await.text;
    assert!(
        !seen.contains(person) && seen.contains("<bdi>1 line</bdi>"),
        "{seen}"
    );
}

#[tokio::test]
async fn every_deed_is_in_the_incident_and_in_the_journal() {
    let site = Site::new("");
    let ada = site.browser("ada", ADA).await;
    let overview = ada.get("/console").await.text;
    assert_eq!(
        overview
            .matches("<strong class=\"trouble\">nobody</strong>")
            .count(),
        3
    );
    let deeds: [(&str, Fields<'_>); 5] = [
        ("acknowledge", &[]),
        ("update", &[("text", "We look into it.\r\n<b>Now</b>\r\n")]),
        ("cause", &[("cause", "attack")]),
        ("post-mortem", &[("text", "A switch failed.")]),
        ("merge", &[("into", "i2")]),
    ];
    for (deed, form) in deeds {
        let got = ada.post(&format!("/console/incidents/i1/{deed}"), form).await;
        assert_eq!(got.status, StatusCode::SEE_OTHER, "{deed}: {}", got.text);
        let page = ada.get(got.header("location")).await.text;
        assert!(page.contains("class=\"done\""), "{deed}");
    }
    let incident = site.incident("i1");
    assert_eq!(incident.acknowledged.as_ref().expect("in hand").0, "ada");
    assert_eq!(incident.updates[0].text, "We look into it.\n<b>Now</b>");
    assert_eq!(incident.updates[0].who, "ada");
    assert_eq!(incident.named_cause.as_deref(), Some("attack"));
    assert_eq!(incident.standing, Standing::Identified);
    assert_eq!(
        incident.post_mortem.as_ref().expect("one").text,
        "A switch failed."
    );
    assert_eq!(incident.merged_into.as_deref(), Some("i2"));
    // What is in the file is the same.
    let kept = site.documents("incident").remove(0).1;
    assert_eq!(serde_json::from_str::<Incident>(&kept).expect("it"), *incident);
    let journal = site.journal();
    for word in ["acknowledge", "update", "cause", "post-mortem", "merge"] {
        let line = journal
            .lines()
            .find(|line| line.contains(&format!("\"do\":\"{word}\"")));
        let line = line.unwrap_or_else(|| panic!("{word} in {journal}"));
        assert!(
            line.starts_with("deed ") && line.contains("\"who\":\"ada\"") && line.contains("\"i1\""),
            "{line}"
        );
    }
    let page = ada.get("/console/incidents/i1").await.text;
    assert!(page.contains("&lt;b&gt;Now&lt;/b&gt;") && !page.contains("<b>"));
    assert_eq!(page.matches("<bdi>deed</bdi>").count(), 5);
    // The other one's journal names it too.
    assert!(
        ada.get("/console/incidents/i2")
            .await
            .text
            .contains("merge; incident: i1; into: i2")
    );
    let refused: [(&str, Fields<'_>, StatusCode); 8] = [
        ("i1/acknowledge", &[], StatusCode::CONFLICT),
        (
            "i1/update",
            &[("text", " \r\n ")],
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "i1/cause",
            &[("cause", "aliens")],
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        ("i2/merge", &[("into", "i1")], StatusCode::UNPROCESSABLE_ENTITY),
        ("i1/merge", &[("into", "i1")], StatusCode::UNPROCESSABLE_ENTITY),
        ("i1/merge", &[("into", "i9")], StatusCode::UNPROCESSABLE_ENTITY),
        ("i9/update", &[("text", "x")], StatusCode::NOT_FOUND),
        ("i1/explode", &[], StatusCode::NOT_FOUND),
    ];
    for (deed, form, status) in refused {
        let got = ada.post(&format!("/console/incidents/{deed}"), form).await;
        assert_eq!(got.status, status, "{deed} {form:?}: {}", got.text);
    }
    let long = "é".repeat(super::TEXT_MAX + 1);
    let got = ada
        .post("/console/incidents/i3/post-mortem", &[("text", &long)])
        .await;
    assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(site.journal(), journal);
    let got = ada
        .post("/console/incidents/i3/post-mortem", &[("text", &long[2..])])
        .await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn tokens_open_what_they_are_good_for() {
    let site = Site::new("");
    let ada = site.browser("ada", ADA).await;
    let make = async |name: &str, scope: &str| {
        let got = ada
            .post("/console/tokens/add", &[("name", name), (scope, "yes")])
            .await;
        assert_eq!(got.status, StatusCode::OK, "{}", got.text);
        let shown = got.text.split("<code class=\"token\">").nth(1).expect("a token");
        shown.split('<').next().expect("a token").to_owned()
    };
    let operate = make("deploy", "operate").await;
    let probes = make("probe-1", "probes").await;
    let got = ada
        .post("/console/tokens/add", &[("name", "deploy"), ("read", "yes")])
        .await;
    assert_eq!(got.status, StatusCode::CONFLICT);
    let got = ada.post("/console/tokens/add", &[("name", "nothing")]).await;
    assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY);
    let to = "/api/v1/incidents/i1/updates";
    let text = r#"{"text":"By a program."}"#;
    let mut changed = operate.clone();
    changed.pop();
    changed.push(if operate.ends_with('0') { '1' } else { '0' });
    for token in ["", "epicenter_", changed.as_str(), &operate["epicenter_".len()..]] {
        let got = site.program(to, token, text).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(got.header("www-authenticate"), "Bearer realm=\"epicenter\"");
        assert_eq!(got.header("content-type"), "application/problem+json");
    }
    let got = site.program(to, &probes, text).await;
    assert_eq!(got.status, StatusCode::FORBIDDEN);
    assert!(got.header("www-authenticate").contains("insufficient_scope"));
    assert!(site.incident("i1").updates.is_empty());
    // A session is no token: what a browser brings by itself does nothing here.
    let json = [
        ("cookie", ada.cookie.as_str()),
        ("content-type", "application/json"),
    ];
    assert_eq!(
        site.send("POST", to, &json, text).await.status,
        StatusCode::UNAUTHORIZED
    );
    let deeds = [
        ("acknowledge", "", StatusCode::OK),
        ("updates", text, StatusCode::CREATED),
        ("post-mortem", r#"{"text":"Why."}"#, StatusCode::OK),
        ("cause", r#"{"cause":"own-fault"}"#, StatusCode::OK),
        ("merge", r#"{"into":"i3"}"#, StatusCode::OK),
        ("acknowledge", "", StatusCode::CONFLICT),
        ("updates", r#"{"text":""}"#, StatusCode::UNPROCESSABLE_ENTITY),
        (
            "updates",
            r#"{"text":"a","more":1}"#,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        ("updates", "{", StatusCode::UNPROCESSABLE_ENTITY),
        ("cause", r#"{"cause":"aliens"}"#, StatusCode::UNPROCESSABLE_ENTITY),
    ];
    for (deed, body, status) in deeds {
        let got = site
            .program(&format!("/api/v1/incidents/i1/{deed}"), &operate, body)
            .await;
        assert_eq!(got.status, status, "{deed} {body}: {}", got.text);
        let kind = if status.is_success() {
            "application/json"
        } else {
            "application/problem+json"
        };
        assert_eq!(got.header("content-type"), kind);
        if deed == "merge" {
            let told: serde_json::Value = serde_json::from_str(&got.text).expect("JSON");
            assert_eq!(told["updates"][0]["text"], "By a program.");
            // Since when, and not who: names of operators stay inside.
            assert!(told["acknowledged"].is_string(), "{told}");
            assert!(!got.text.contains("token:deploy"));
            assert_eq!(told["post_mortem"]["text"], "Why.");
            assert_eq!(
                (&told["cause"]["kind"], &told["merged_into"], &told["standing"]),
                (&json!("own-fault"), &json!("i3"), &json!("identified"))
            );
        }
    }
    let incident = site.incident("i1");
    assert_eq!(incident.updates[0].who, "token:deploy");
    assert_eq!(incident.merged_into.as_deref(), Some("i3"));
    let got = site.program("/api/v1/incidents/i9/updates", &operate, text).await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
    let plain = [("authorization", format!("bearer {operate}"))];
    let plain = plain.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(
        site.send("POST", to, &plain, text).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    // What is kept opens nothing, and is shown once.
    let secret = operate.rsplit('_').next().expect("a secret");
    assert!(
        site.documents("token")
            .iter()
            .all(|(_, text)| !text.contains(secret))
    );
    assert!(!site.journal().contains(secret));
    let page = ada.get("/console/tokens").await.text;
    assert!(!page.contains(secret) && page.contains("deploy"));
    let id = operate.split('_').nth(1).expect("an id");
    let got = ada.post("/console/tokens/revoke", &[("id", id)]).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert_eq!(
        site.program(to, &operate, text).await.status,
        StatusCode::UNAUTHORIZED
    );
    let journal = site.journal();
    assert!(journal.contains("\"do\":\"revoke\"") && journal.contains("token:deploy"));
    // As others ask.
    let mut headers = HeaderMap::new();
    headers.insert(
        header::AUTHORIZATION,
        format!("Bearer {probes}").parse().expect("a value"),
    );
    let who = session::bearer(&site.app, &headers, Scope::Probes)
        .await
        .expect("let in");
    assert_eq!(
        (who.name.as_str(), who.role, who.scopes.as_slice()),
        ("token:probe-1", Role::Viewer, &[Scope::Probes][..])
    );
}

#[tokio::test]
async fn comments_are_shown_when_an_operator_says_so() {
    let site = Site::new("[reports]\ncomments = true");
    let hostile = "<script>alert(1)</script>\u{202e}\n\"><img src=x onerror=alert(2)>";
    site.report(1, 64_500, hostile).await;
    site.report(2, 64_501, "Go away, Jane Doe of 5 Elm Street").await;
    let ada = site.browser("ada", ADA).await;
    let public = site.get("/s/shop/comments").await;
    assert_eq!(public.status, StatusCode::OK);
    assert!(!public.text.contains("alert"), "nobody has read it yet");
    let waiting = ada.get("/console/comments").await.text;
    let escaped = "&lt;script&gt;alert(1)&lt;/script&gt;\u{fffd}";
    assert!(waiting.contains(escaped) && !waiting.contains("<script") && !waiting.contains("<img"));
    let names: Vec<String> = site
        .documents("comment")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names.len(), 2);
    let got = ada
        .post("/console/comments/publish", &[("name", &names[0])])
        .await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    let got = ada.post("/console/comments/reject", &[("name", &names[1])]).await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    let got = ada
        .post("/console/comments/publish", &[("name", &names[1])])
        .await;
    assert_eq!(got.status, StatusCode::CONFLICT);
    assert!(site.documents("comment").is_empty());
    let published = site.documents("published");
    assert_eq!(published.len(), 1);
    // Nothing in it stands for the person.
    assert!(!published[0].0.contains("0000000000000001"), "{}", published[0].0);
    let kept: serde_json::Value = serde_json::from_str(&published[0].1).expect("JSON");
    assert_eq!(kept["text"], hostile);
    assert_eq!(
        (&kept["service"], &kept["country"]),
        (&json!("shop"), &json!("BR"))
    );
    let public = site.get("/s/shop/comments").await;
    assert!(public.text.contains(escaped) && public.text.contains("BR"));
    assert!(
        !public.text.contains("<script") && !public.text.contains("<img") && !public.text.contains("Jane")
    );
    assert!(
        public
            .header("content-security-policy")
            .contains("script-src 'self'")
    );
    assert!(!site.get("/s/bank/comments").await.text.contains("alert"));
    assert_eq!(site.get("/s/none/comments").await.status, StatusCode::NOT_FOUND);
    let got = ada
        .post("/console/comments/withdraw", &[("name", &published[0].0)])
        .await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert!(!site.get("/s/shop/comments").await.text.contains("alert"));
    // The journal says who decided what, and not what people wrote.
    let journal = site.journal();
    for decision in ["publish", "reject", "withdraw"] {
        assert!(journal.contains(&format!("\"do\":\"{decision}\"")), "{journal}");
    }
    assert!(journal.contains(&session::sha256(hostile)));
    assert!(
        !journal.contains("alert(1)") && !journal.contains("Elm Street"),
        "{journal}"
    );
    // Where comments are off there are none, also of those published before.
    let off = Site::new("");
    off.report(1, 64_500, "hello").await;
    assert!(off.documents("comment").is_empty());
    assert_eq!(off.get("/s/shop/comments").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn users_change_and_the_journal_never_holds_a_password() {
    let site = Site::new("");
    let (ada, vic) = (site.browser("ada", ADA).await, site.browser("vic", VIC).await);
    let passwords = ["the first of bob", "the second of bob", "the third of bob!"];
    let add = async |name: &str, password: &str, role: &str| {
        let form = [("name", name), ("password", password), ("role", role)];
        ada.post("/console/users/add", &form).await.status
    };
    assert_eq!(
        add("bob", "too short", "viewer").await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        add("Bob", passwords[0], "viewer").await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        add("bob", passwords[0], "king").await,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(add("bob", passwords[0], "viewer").await, StatusCode::SEE_OTHER);
    assert_eq!(add("bob", passwords[0], "viewer").await, StatusCode::CONFLICT);
    let bob = site.browser("bob", passwords[0]).await;
    // A role holds from the next request on.
    assert_eq!(bob.get("/console/users").await.status, StatusCode::FORBIDDEN);
    let got = ada
        .post("/console/users/role", &[("name", "bob"), ("role", "operator")])
        .await;
    assert_eq!(got.status, StatusCode::SEE_OTHER);
    assert_eq!(bob.get("/console/users").await.status, StatusCode::OK);
    // A new password ends what the old one opened, and opens one session here.
    let other = site.browser("bob", passwords[0]).await;
    let own = |old, new, again| [("old", old), ("new", new), ("again", again)];
    let got = bob
        .post(
            "/console/password",
            &own(passwords[1], passwords[1], passwords[1]),
        )
        .await;
    assert_eq!(got.status, StatusCode::FORBIDDEN);
    let got = bob
        .post(
            "/console/password",
            &own(passwords[0], passwords[1], passwords[2]),
        )
        .await;
    assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY);
    let got = bob
        .post(
            "/console/password",
            &own(passwords[0], passwords[1], passwords[1]),
        )
        .await;
    assert_eq!(got.status, StatusCode::SEE_OTHER, "{}", got.text);
    for browser in [&bob, &other] {
        assert_eq!(browser.get("/console").await.status, StatusCode::SEE_OTHER);
    }
    let bob = Browser {
        site: &site,
        cookie: got
            .header("set-cookie")
            .split(';')
            .next()
            .expect("a cookie")
            .to_owned(),
    };
    assert_eq!(bob.get("/console").await.status, StatusCode::OK);
    assert_eq!(
        site.login("bob", passwords[0]).await.status,
        StatusCode::UNAUTHORIZED
    );
    // Set by somebody else.
    let form = [("name", "bob"), ("password", passwords[2])];
    assert_eq!(
        ada.post("/console/users/password", &form).await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(bob.get("/console").await.status, StatusCode::SEE_OTHER);
    let bob = site.browser("bob", passwords[2]).await;
    // Removed, and made again: the old session is still over.
    assert_eq!(
        ada.post("/console/users/remove", &[("name", "bob")]).await.status,
        StatusCode::SEE_OTHER
    );
    assert_eq!(bob.get("/console").await.status, StatusCode::SEE_OTHER);
    assert_eq!(add("bob", passwords[2], "viewer").await, StatusCode::SEE_OTHER);
    assert_eq!(bob.get("/console").await.status, StatusCode::SEE_OTHER);
    // Somebody has to be left who can do something.
    for (change, form) in [
        ("remove", vec![("name", "ada")]),
        ("role", vec![("name", "ada"), ("role", "viewer")]),
    ] {
        let got = ada.post(&format!("/console/users/{change}"), &form).await;
        assert_eq!(got.status, StatusCode::CONFLICT);
    }
    assert_eq!(
        vic.get("/console").await.status,
        StatusCode::OK,
        "others stay signed in"
    );
    let journal = site.journal();
    for word in ["add", "role", "password", "remove", "login"] {
        assert!(journal.contains(&format!("\"do\":\"{word}\"")), "{word}");
    }
    for secret in [
        &passwords[..],
        &[ADA, VIC, "$argon2", &ada.cookie["session=".len()..]],
    ]
    .concat()
    {
        assert!(!journal.contains(secret), "{secret}");
        for kind in ["user", "session"] {
            let documents = site.documents(kind);
            let is_kept = documents.iter().any(|(_, text)| text.contains(secret));
            assert_eq!(
                is_kept,
                secret == "$argon2" && kind == "user",
                "{secret} in {kind}"
            );
        }
    }
}

#[tokio::test]
async fn a_surge_from_one_network_is_named() {
    let site = Site::new("");
    for person in 0..400 {
        site.report(
            person,
            if person < 360 {
                64_500
            } else {
                64_600 + person as u32
            },
            "",
        )
        .await;
    }
    let ada = site.browser("ada", ADA).await;
    let began = Instant::now();
    let page = loop {
        let page = ada.get("/console/services/shop").await.text;
        if page.contains("Of 400 reports") {
            break page;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{page}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let said = page.split("<p class=\"brigade\">").nth(1).expect("it is named");
    let said = said.split("</p>").next().expect("a sentence");
    // At least 15 of a quarter of an hour, and 3 % of what counts: 15 + 0.03 N where N = 40 + 15 + 0.03 N.
    assert_eq!(
        said,
        "<strong>AS64500</strong> sent 90\u{a0}% of the reports; the detector counts at most 5\u{a0}% of them."
    );
    assert_eq!(page.matches("class=\"brigade\"").count(), 1);
    for _ in 0..2 {
        assert_eq!(site.try_report(1, 64_500, "").await, Answer::Already);
    }
    let page = ada.get("/console/services/shop").await.text;
    assert!(page.contains("2 reports were repeated by persons"), "{page}");
    assert!(
        !ada.get("/console/services/bank")
            .await
            .text
            .contains("2 reports were")
    );
}

#[tokio::test]
async fn the_journal_is_leafed_through() {
    let site = Site::new("");
    for n in 0..120 {
        site.app
            .write(Writing {
                entry: Some(("deed", json!({ "who": "ada", "incident": "i1", "deed": { "do": "update", "text": format!("no. {n}.") } }))),
                ..Writing::default()
            })
            .await
            .expect("written");
    }
    let ada = site.browser("ada", ADA).await;
    let mut to = "/console/journal?kind=deed".to_owned();
    let mut seen = Vec::new();
    for _ in 0..10 {
        let page = ada.get(&to).await.text;
        for part in page.split("text: no. ").skip(1) {
            let number: u32 = part
                .split('.')
                .next()
                .and_then(|n| n.parse().ok())
                .expect("a number");
            seen.push(number);
        }
        let Some(next) = page.split("rel=\"next\" href=\"").nth(1) else {
            break;
        };
        to = next.split('"').next().expect("an address").replace("&amp;", "&");
    }
    assert_eq!(seen, (0..120).rev().collect::<Vec<_>>());
    // The hash that is shown is that of the file.
    let mut last = String::new();
    site.archive()
        .read()
        .entries_before(Some("deed"), u64::MAX, &mut |entry| {
            last = session::hex(&entry.hash);
            false
        })
        .expect("an entry");
    assert!(
        ada.get("/console/journal")
            .await
            .text
            .contains(&format!("title=\"{last}\""))
    );
    // Whatever stands in the address, it is a page.
    for odd in [
        "?kind=%3Cscript%3E",
        "?before=0",
        "?before=18446744073709551615",
        "?done=%3Cb%3E",
    ] {
        let got = ada.get(&format!("/console/journal{odd}")).await;
        assert_eq!(got.status, StatusCode::OK, "{odd}");
        assert!(!got.text.contains("<script") && !got.text.contains("<b>"));
    }
}
