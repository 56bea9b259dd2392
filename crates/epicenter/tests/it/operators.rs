//! The first operator is made on the command line, and signs in to the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{code, epicenter, epicenter_reading, err, out};

const PASSWORD: &str = "correct horse battery";

/// A running `epicenter serve`, ended by its process id whatever happens.
struct Serving {
    child: Child,
    address: SocketAddr,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn start(folder: &Path) -> Serving {
        let mut child = Command::new(env!("CARGO_BIN_EXE_epicenter"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let told = BufReader::new(child.stderr.take().expect("piped"));
        let mut told = told.lines().map_while(Result::ok);
        let address = told
            .find_map(|line| line.split("http://").nth(1)?.split('/').next()?.parse().ok())
            .expect("it says where it is");
        // What it tells later is read, so that it never waits for us.
        std::thread::spawn(move || told.for_each(drop));
        Serving { child, address }
    }

    /// The head of the answer to a request.
    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .expect("a time");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    fn login(&self, password: &str) -> String {
        let body = format!("name=ada&password={}", password.replace(' ', "+"));
        self.ask(&format!(
            "POST /console/login HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

#[test]
fn the_first_operator_is_made_at_the_command_line_and_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let user = |args: &[&str], input: &str| {
        let args: Vec<&str> = ["user"].iter().chain(args).copied().collect();
        epicenter_reading(folder, &args, input.as_bytes())
    };
    let add = ["add", "ada", "--role", "operator", "--password-stdin"];
    let short = user(&add, "eleven char\n");
    assert_eq!(code(&short), 1);
    assert!(err(&short).contains("at least 12 characters"), "{}", err(&short));
    let nowhere = user(&add[..4], "");
    assert_eq!(code(&nowhere), 1);
    assert!(err(&nowhere).contains("--password-stdin"), "{}", err(&nowhere));
    assert_eq!(code(&user(&["add", "ada", "--role", "king"], "")), 2);
    let made = user(&add, &format!("{PASSWORD}\r\n"));
    assert_eq!(code(&made), 0, "{}", err(&made));
    assert!(out(&made).contains("ada is an operator"), "{}", out(&made));
    assert_eq!(code(&user(&add, &format!("{PASSWORD}\n"))), 1, "there is one");
    let token = epicenter(folder, &["token", "add", "probe-1", "--scope", "probes"]);
    assert_eq!(code(&token), 0, "{}", err(&token));
    let token = out(&token);
    assert!(
        token.starts_with("epicenter_") && token.trim_end().len() == 10 + 16 + 1 + 64,
        "{token}"
    );

    let serving = Serving::start(folder);
    assert!(serving.login("wrong horse battery").starts_with("HTTP/1.1 401"));
    let answer = serving.login(PASSWORD);
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    let cookie = answer.split("set-cookie: ").nth(1).expect("a cookie");
    let cookie = cookie.split(';').next().expect("a cookie");
    let get = format!("GET /console HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n");
    let page = serving.ask(&get);
    assert!(
        page.starts_with("HTTP/1.1 200") && page.contains("cache-control: no-store"),
        "{page}"
    );
    // While it runs the file is its own; reading is not kept out.
    let taken = user(&["remove", "ada"], "");
    assert_eq!(code(&taken), 1);
    assert!(
        err(&taken).contains("the server is running") && err(&taken).contains("/console/users"),
        "{}",
        err(&taken)
    );
    let listed = out(&user(&["list"], ""));
    assert!(listed.contains("ada") && listed.contains("operator"), "{listed}");
    assert!(!listed.contains("argon2"), "{listed}");
    drop(serving);

    let set = user(
        &["password", "ada", "--password-stdin"],
        "another horse battery\n",
    );
    assert_eq!(code(&set), 0, "{}", err(&set));
    let serving = Serving::start(folder);
    assert!(
        serving.ask(&get).starts_with("HTTP/1.1 303"),
        "the session is over"
    );
    assert!(serving.login(PASSWORD).starts_with("HTTP/1.1 401"));
    assert!(serving.login("another horse battery").starts_with("HTTP/1.1 303"));
    drop(serving);
    assert_eq!(code(&user(&["remove", "ada"], "")), 0);
    assert_eq!(code(&user(&["remove", "ada"], "")), 1, "there is none any more");
    assert_eq!(out(&user(&["list"], "")), "");
    assert_eq!(code(&epicenter(folder, &["token", "revoke", "probe-1"])), 0);
    assert_eq!(out(&epicenter(folder, &["token", "list"])), "");
}
