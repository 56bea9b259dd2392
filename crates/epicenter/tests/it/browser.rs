//! The pages in a real browser: Chromium, driven by its WebDriver (W3C, JSON over HTTP), against a real server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::serve::Server;

/// One driver at a time: two that look for a free port may find the same.
static DRIVER: Mutex<()> = Mutex::new(());

/// The driver, with one browser.
struct Browser {
    _alone: MutexGuard<'static, ()>,
    driver: Child,
    address: SocketAddr,
    session: String,
}

impl Browser {
    /// Opens one; `None` where there is no Chromium, which fails under CI. `xtask test` installs it.
    fn open(preferences: &Value) -> Option<Browser> {
        let alone = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
        let started = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut driver = match started {
            Ok(driver) => driver,
            Err(error) => {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "chromedriver is missing: {error}"
                );
                return None;
            }
        };
        let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
        let port = loop {
            let line = lines.next().expect("it says its port").expect("text");
            if let Some(rest) = line.split("successfully on port ").nth(1) {
                let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                break digits.parse::<u16>().expect("a port");
            }
        };
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let mut browser = Browser {
            _alone: alone,
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
        };
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": {
                "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en-US", "--window-size=390,844"],
                "prefs": preferences,
            },
        } } });
        let opened = browser.call("POST", "/session", &wanted);
        browser.session = opened["sessionId"]
            .as_str()
            .unwrap_or_else(|| panic!("{opened}"))
            .to_owned();
        Some(browser)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let mut stream = TcpStream::connect(self.address).expect("the driver listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("a timeout");
        let body = if method == "GET" {
            String::new()
        } else {
            body.to_string()
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream.write_all(body.as_bytes()).expect("sent");
        // The driver keeps the connection open whatever it is asked for: its answer is as long as it says.
        let mut lines = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).expect("an answer");
            match line
                .trim_end()
                .to_ascii_lowercase()
                .strip_prefix("content-length:")
            {
                Some(number) => length = number.trim().parse().expect("a length"),
                None if line.trim_end().is_empty() => break,
                None => {}
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).expect("a whole answer");
        let answer: Value = serde_json::from_slice(&body).expect("JSON");
        answer["value"].clone()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let value = self.call(method, &format!("/session/{}{path}", self.session), body);
        assert!(value["error"].is_null(), "{path}: {value}");
        value
    }

    fn go(&self, server: &Server, path: &str) {
        self.ask(
            "POST",
            "/url",
            &json!({ "url": format!("http://{}{path}", server.address) }),
        );
    }

    fn script(&self, text: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": text, "args": [] }))
    }

    /// What a person reads.
    fn text(&self) -> String {
        for _ in 0..50 {
            // One page may go and another come between the two questions.
            let wanted = json!({ "using": "css selector", "value": "body" });
            let found = self.call("POST", &format!("/session/{}/element", self.session), &wanted);
            let id = found
                .as_object()
                .and_then(|object| object.values().next()?.as_str());
            if let Some(id) = id.filter(|_| found["error"].is_null()) {
                let path = format!("/session/{}/element/{id}/text", self.session);
                if let Some(text) = self.call("GET", &path, &Value::Null).as_str() {
                    return text.to_owned();
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the page does not come to rest");
    }

    fn find(&self, css: &str) -> String {
        let found = self.ask(
            "POST",
            "/element",
            &json!({ "using": "css selector", "value": css }),
        );
        let id = found.as_object().and_then(|object| object.values().next());
        id.and_then(Value::as_str).expect("an element").to_owned()
    }

    fn click(&self, css: &str) {
        let id = self.find(css);
        self.ask("POST", &format!("/element/{id}/click"), &json!({}));
    }

    /// What a screen reader says of an element: its role and its name.
    fn spoken(&self, css: &str) -> (String, String) {
        let id = self.find(css);
        let part = |what: &str| {
            let said = self.ask("GET", &format!("/element/{id}/computed{what}"), &Value::Null);
            said.as_str().expect("text").to_owned()
        };
        (part("role"), part("label"))
    }

    /// Presses keys, one after the other.
    fn press(&self, keys: &[&str]) {
        let actions: Vec<Value> = keys
            .iter()
            .flat_map(|key| {
                [
                    json!({ "type": "keyDown", "value": key }),
                    json!({ "type": "keyUp", "value": key }),
                ]
            })
            .collect();
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.ask("POST", "/actions", &keyboard);
    }

    /// Waits until a person can read this.
    fn reads(&self, what: &str) {
        let began = Instant::now();
        while !self.text().contains(what) {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "not there: {what}: {}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the browser complains of: scripts that fail, policies that are broken, files that are missing.
    fn complaints(&self) -> Vec<String> {
        let log = self.ask("POST", "/se/log", &json!({ "type": "browser" }));
        let entries = log.as_array().expect("a list");
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].to_string())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.call("DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        // It may have ended already.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

const CONFIG: &str = r#"
[[service]]
slug = "shop"
name = "Shop <script>alert(1)</script>"
about = "\"><img src=x onerror=alert(2)>"
[[service]]
slug = "bank"
name = "Bank"
"#;

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

#[test]
fn a_person_reports_on_a_phone_and_the_page_is_live() {
    let Some(browser) = Browser::open(&json!({})) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), CONFIG);
    browser.go(&server, "/");
    browser.reads("Shop <script>alert(1)</script>");
    let search = browser.find("input[type=search], input[name=q]");
    browser.ask(
        "POST",
        &format!("/element/{search}/value"),
        &json!({ "text": "bank" }),
    );
    let began = Instant::now();
    while browser.text().contains("Shop <script>") {
        assert!(began.elapsed() < Duration::from_secs(10), "search as you type");
        std::thread::sleep(Duration::from_millis(50));
    }
    for path in ["/", "/s/shop", "/incidents", "/about", "/api", "/console/login"] {
        browser.go(&server, path);
        let wide = browser.script("return document.documentElement.scrollWidth - window.innerWidth");
        assert!(
            wide.as_f64().is_some_and(|wide| wide <= 0.0),
            "{path} is {wide} px too wide for a phone"
        );
    }
    browser.go(&server, "/s/shop");
    browser.reads("Nobody reported trouble");
    assert!(
        browser.script("return document.images.length === 0 || !document.querySelector('img[onerror]')")
            == true
    );
    // Another person reports: the page says so by itself. (Of this machine there is but one person, the browser: the other service.)
    browser.click("button.big");
    browser.reads("Thank you, your report counts");
    browser.go(&server, "/s/shop");
    browser.click("button.big");
    browser.reads("already");
    browser.go(&server, "/s/bank");
    browser.reads("Nobody reported trouble");
    browser.script(
        "fetch('/api/v1/reports', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{\"service\":\"bank\"}' })",
    );
    browser.reads("1 person reported trouble");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    drop(browser);
    server.stop();
}

#[test]
fn the_keyboard_is_enough() {
    let Some(browser) = Browser::open(&json!({})) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), CONFIG);
    browser.go(&server, "/s/bank");
    // What is spoken: landmarks, a heading, the button, a name for the chart and for each of its pictures.
    let spoken = |css: &str| browser.spoken(css);
    assert_eq!(spoken("main").0, "main");
    assert_eq!(spoken("nav").0, "navigation");
    assert_eq!(spoken("h1"), ("heading".to_owned(), "Bank".to_owned()));
    assert_eq!(
        spoken("button.big"),
        ("button".to_owned(), "It does not work for me".to_owned())
    );
    let (role, name) = spoken("section[aria-labelledby=day] svg");
    assert!(
        ["image", "img", "graphics-document"].contains(&role.as_str()),
        "{role}"
    );
    assert!(!name.is_empty());
    // From the top of the page to the button, and what is reached is seen.
    let mut reached = false;
    for _ in 0..20 {
        browser.press(&[TAB]);
        let at = browser.script("return document.activeElement.className");
        let outline = browser.script("return getComputedStyle(document.activeElement).outlineStyle");
        assert_ne!(outline, "none", "what has the focus is not seen: {at}");
        if at == "big" {
            reached = true;
            break;
        }
    }
    assert!(reached, "{}", browser.text());
    browser.press(&[ENTER]);
    browser.reads("Thank you, your report counts");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    drop(browser);
    server.stop();
}

#[test]
fn without_scripts_everything_works() {
    let Some(browser) = Browser::open(&json!({ "profile.managed_default_content_settings.javascript": 2 }))
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path(), CONFIG);
    browser.go(&server, "/?q=bank");
    assert!(!browser.text().contains("Shop"), "{}", browser.text());
    browser.click("a[href='/s/bank']");
    browser.click("button[name=symptom][value=login]");
    browser.reads("Thank you, your report counts");
    // What is known is shown within a second; a page without scripts is fetched again by its reader.
    let began = Instant::now();
    loop {
        browser.go(&server, "/s/bank?lang=de");
        if browser.text().contains("1 Person") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{}", browser.text());
        std::thread::sleep(Duration::from_millis(200));
    }
    let language = browser.find("html[lang=de]");
    assert!(!language.is_empty());
    drop(browser);
    server.stop();
}
