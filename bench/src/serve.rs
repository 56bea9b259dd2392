//! How much does the tracker bear? A real server and `wrk` (Debian's) share this machine. Every report is of somebody else, and what is
//! counted is what the journal holds afterwards, not what was answered.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

/// Seconds of each question.
const SECONDS: u32 = 10;
/// Those who look at a page and are told what is new.
const LISTENERS: usize = 100;

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(program: &str, folder: &Path) -> anyhow::Result<Server> {
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("piped")?);
        let mut line = String::new();
        while !line.contains("http://") {
            line.clear();
            ensure!(lines.read_line(&mut line)? > 0, "the server ended");
        }
        std::thread::spawn(move || lines.lines().map_while(Result::ok).for_each(drop));
        let address = line
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        Ok(Server {
            child,
            address: address.context("an address")?.to_owned(),
        })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// MiB in memory now, and at most.
    fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1_024)
        };
        Ok((mib("VmRSS:").unwrap_or(0), mib("VmHWM:").unwrap_or(0)))
    }

    fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        self.child.wait()?;
        Ok(())
    }
}

fn wrk(part: u32, args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("wrk")
        .args(args)
        .env("PART", part.to_string())
        .output()
        .context("wrk is missing (Debian: apt-get install wrk)")?;
    if !output.status.success() {
        bail!("wrk: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = String::from_utf8(output.stdout)?;
    let kept = ["Requests/sec", "Non-2xx", "Socket errors", "p50"];
    Ok(text
        .lines()
        .map(str::trim)
        .filter(|line| kept.iter().any(|start| line.starts_with(start)))
        .collect::<Vec<_>>()
        .join("; "))
}

fn config(services: usize) -> String {
    let mut text = String::from(
        "[http]\ntrusted_proxies = [\"127.0.0.1\"]\n[reports]\nper_network = 4000000000\n[data]\nsize = \"20 GiB\"\n",
    );
    for n in 0..services {
        text.push_str(&format!("[[service]]\nslug = \"s{n}\"\nname = \"Service {n}\"\n"));
    }
    text
}

/// Reports in the journal.
fn reports(folder: &Path) -> anyhow::Result<u64> {
    let archive = store::Archive::open(&folder.join("epicenter.db"))?;
    let bins = archive.read().bins(None, 0)?;
    Ok(bins.iter().map(|bin| bin.reports).sum())
}

/// A year before the start: of each of the 5,000 services some quarters of an hour in each day in which somebody reported.
fn history(folder: &Path) -> anyhow::Result<()> {
    let now_s = std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)?
        .as_secs();
    let mut store = store::Store::open(
        &folder.join("epicenter.db"),
        store::Limits { bytes_max: 20 << 30 },
    )?;
    for day in (1..=365).rev() {
        let bins = (0..5_000u64)
            .flat_map(|n| (0..4).map(move |part| (n, part)))
            .map(|(n, part)| store::Bin {
                service: format!("s{n}"),
                start_s: (now_s - 86_400 * day) / 900 * 900 + 900 * (5 * part + n % 5),
                reports: 1 + n % 3,
                ..store::Bin::default()
            });
        store.commit(&store::Batch {
            bins: bins.collect(),
            ..store::Batch::default()
        })?;
    }
    Ok(())
}

/// The milliseconds of one answer.
fn timed(server: &Server, path: &str) -> anyhow::Result<(f64, usize)> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(&server.address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    ensure!(bytes.starts_with(b"HTTP/1.1 200"), "{path} is not answered");
    Ok((1e3 * began.elapsed().as_secs_f64(), bytes.len()))
}

pub(crate) fn run(program: &str, scripts: &str) -> anyhow::Result<()> {
    let program = fs::canonicalize(program)?;
    let program = program.to_str().context("a path that is text")?;
    let report = format!("{scripts}/report.lua");
    let page = format!("{scripts}/page.lua");
    let seconds = format!("-d{SECONDS}s");
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    fs::write(folder.join("epicenter.toml"), config(1))?;
    let server = Server::start(program, folder)?;
    let said = wrk(0, &["-t1", "-c256", &seconds, "-s", &report, &server.url("")])?;
    println!("reports alone: {said}; {:?} MiB now, most", server.memory()?);
    let counted = reports(folder)?;
    println!(
        "  in the journal: {counted}, {} a second",
        counted / u64::from(SECONDS)
    );

    let said = wrk(0, &["-t1", "-c64", &seconds, "-s", &page, &server.url("/s/s0")])?;
    println!("pages alone: {said}");

    // A surge: people report, others look, and some are told what is new.
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS {
        let mut stream = TcpStream::connect(&server.address)?;
        stream.write_all(b"GET /s/s0/live HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")?;
        listeners.push(stream);
    }
    let (url, script) = (server.url(""), report.clone());
    let reporting = std::thread::spawn(move || wrk(8, &["-t1", "-c32", "-d10s", "-s", &script, &url]));
    let said = wrk(0, &["-t1", "-c64", &seconds, "-s", &page, &server.url("/s/s0")])?;
    println!("pages in a surge, {LISTENERS} are told live: {said}");
    let said = reporting.join().map_err(|_| anyhow::anyhow!("wrk failed"))??;
    println!("  reports meanwhile: {said}");
    drop(listeners);
    server.stop()?;

    // Many services.
    let many = tempfile::tempdir()?;
    let many = many.path();
    fs::write(many.join("epicenter.toml"), config(5_000))?;
    history(many)?;
    let began = Instant::now();
    let server = Server::start(program, many)?;
    println!(
        "5,000 services: started in {:.0} ms",
        1e3 * began.elapsed().as_secs_f64()
    );
    std::thread::sleep(Duration::from_secs(65));
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..20 {
        let (ms, length) = timed(&server, "/")?;
        times.push(ms);
        bytes = length;
        std::thread::sleep(Duration::from_millis(150));
    }
    times.sort_by(f64::total_cmp);
    println!(
        "  front page: median {:.1} ms, most {:.1} ms, {bytes} bytes; {:?} MiB now, most",
        times[times.len() / 2],
        times[times.len() - 1],
        server.memory()?
    );
    server.stop()
}
