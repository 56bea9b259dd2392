//! `epicenter import`: what Uptime Kuma or Gatus watches, as services of ours.
//!
//! The configuration is printed; what it cannot say goes to standard error, item by item, so that nobody finds out in an outage that a
//! check was lost on the way.

mod gatus;
mod kuma;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::config::{Config, Probe, SERVICES_MAX, Service, Span};
use crate::args::{ImportArgs, ImportCommand};
use crate::tell;

/// Bytes of a file that is read.
const FILE_MAX: u64 = 64 << 20;
/// What a name may be long (as in [`Config`]).
const NAME_MAX: usize = 80;
/// How often and how long a probe may be (as in [`Config`]).
const EVERY_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(120);

/// What came of a file.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    services: Vec<Service>,
    slugs: BTreeSet<String>,
    /// What could not be taken over: of what, and why.
    pub(crate) lost: Vec<(String, String)>,
}

pub(crate) fn run(command: &ImportCommand) -> anyhow::Result<ExitCode> {
    let (ImportCommand::UptimeKuma(ImportArgs { file }) | ImportCommand::Gatus(ImportArgs { file })) =
        command;
    let shown = file.display();
    let size = std::fs::metadata(file).with_context(|| shown.to_string())?.len();
    if size > FILE_MAX {
        bail!("{shown}: is larger than {} MiB", FILE_MAX >> 20);
    }
    let text = std::fs::read_to_string(file).with_context(|| shown.to_string())?;
    let (taken, program) = match command {
        ImportCommand::UptimeKuma(_) => (kuma::read(&text), "Uptime Kuma"),
        ImportCommand::Gatus(_) => (gatus::read(&text), "Gatus"),
    };
    let taken = taken.with_context(|| shown.to_string())?;
    for (of, why) in &taken.lost {
        // Names come from the file; a terminal obeys what is in them.
        tell(&crate::page::clean(&format!("{of}: {why}")));
    }
    let services = taken.services.len() as u64;
    if services == 0 {
        bail!("{shown}: nothing in it can be taken over");
    }
    let printed = taken.print(program)?;
    std::io::stdout().lock().write_all(printed.as_bytes())?;
    tell(&format!(
        "{} taken over; {} left out or changed, as said above",
        crate::case_text::counted(services, "service", "services"),
        crate::case_text::counted(taken.lost.len() as u64, "thing", "things"),
    ));
    Ok(ExitCode::SUCCESS)
}

impl Taken {
    fn lose(&mut self, of: &str, why: impl Into<String>) {
        self.lost.push((of.to_owned(), why.into()));
    }

    /// Takes a service with one probe. Its times are brought into what a configuration may hold.
    fn add(&mut self, name: &str, group: &str, about: &str, mut probe: Probe) {
        if self.services.len() == SERVICES_MAX {
            return self.lose(
                name,
                format!("is left out: there are more than {SERVICES_MAX} services"),
            );
        }
        let (Probe::Http { every, timeout, .. }
        | Probe::Tcp { every, timeout, .. }
        | Probe::Dns { every, timeout, .. }
        | Probe::Tls { every, timeout, .. }
        | Probe::Icmp { every, timeout, .. }) = &mut probe;
        if every.0 < EVERY_MIN {
            *every = Span(EVERY_MIN);
            self.lose(name, "is probed every second, not more often");
        }
        if timeout.0 > TIMEOUT_MAX {
            *timeout = Span(TIMEOUT_MAX);
            self.lose(name, "may take two minutes, not longer");
        }
        let mut shown: String = crate::page::clean(name.trim()).chars().take(NAME_MAX).collect();
        if shown.trim().is_empty() {
            shown = "Service".to_owned();
        }
        if name.trim().chars().count() > NAME_MAX {
            self.lose(name, format!("its name is cut to {NAME_MAX} characters"));
        }
        let slug = self.slug(&format!("{group} {name}"));
        let url = match &probe {
            Probe::Http { url, .. } => origin(url),
            _ => String::new(),
        };
        let about = match (group, about) {
            ("", about) => about.to_owned(),
            (group, "") => group.to_owned(),
            (group, about) => format!("{group}: {about}"),
        };
        self.services.push(Service {
            slug,
            name: shown,
            url,
            about,
            networks: Vec::new(),
            symptoms: defaults().symptoms,
            neighbours: Vec::new(),
            claims: None,
            probe: vec![probe],
        });
    }

    /// A slug that nobody has yet.
    fn slug(&mut self, name: &str) -> String {
        let mut plain = String::new();
        for c in name.chars().flat_map(char::to_lowercase) {
            if c.is_ascii_alphanumeric() {
                plain.push(c);
            } else if !plain.is_empty() && !plain.ends_with('-') {
                plain.push('-');
            }
        }
        plain.truncate(NAME_MAX - 8);
        let plain = plain.trim_end_matches('-');
        let plain = if plain.is_empty() { "service" } else { plain };
        let mut slug = plain.to_owned();
        let mut number = 2;
        while !self.slugs.insert(slug.clone()) {
            slug = format!("{plain}-{number}");
            number += 1;
        }
        slug
    }

    /// The services as a configuration, without what goes without saying.
    fn print(&self, program: &str) -> anyhow::Result<String> {
        let mut printed = format!(
            "# Services as {program} watched them, for `epicenter serve --config`.\n\
             # `epicenter config --show` prints what else can be set, with what it means.\n"
        );
        for service in &self.services {
            let mut table = toml::Table::try_from(service)?;
            for key in table.keys().cloned().collect::<Vec<_>>() {
                let mut shorter = table.clone();
                shorter.remove(&key);
                if Service::deserialize(shorter.clone()).is_ok_and(|same| same == *service) {
                    table = shorter;
                }
            }
            let probes = service.probe.iter().map(probe).collect::<Result<Vec<_>, _>>()?;
            table.insert("probe".to_owned(), toml::Value::Array(probes));
            #[derive(Serialize)]
            struct One {
                service: [toml::Table; 1],
            }
            printed.push('\n');
            printed.push_str(&toml::to_string(&One { service: [table] })?);
        }
        // What is printed is not only meant to be readable by us.
        match Config::parse(&printed) {
            Ok(config) if config.service == self.services => Ok(printed),
            Ok(_) => bail!("what was taken over is read back as something else"),
            Err(problem) => bail!("what was taken over is no configuration: {problem}"),
        }
    }
}

fn probe(probe: &Probe) -> anyhow::Result<toml::Value> {
    let mut table = toml::Table::try_from(probe)?;
    for key in table.keys().cloned().collect::<Vec<_>>() {
        let mut shorter = table.clone();
        shorter.remove(&key);
        if Probe::deserialize(shorter.clone()).is_ok_and(|same| same == *probe) {
            table = shorter;
        }
    }
    Ok(toml::Value::Table(table))
}

/// A service of which nothing is said but its name.
fn defaults() -> Service {
    toml::from_str("slug = \"a\"\nname = \"a\"").unwrap_or_else(|_| Service {
        slug: String::new(),
        name: String::new(),
        url: String::new(),
        about: String::new(),
        networks: Vec::new(),
        symptoms: Vec::new(),
        neighbours: Vec::new(),
        claims: None,
        probe: Vec::new(),
    })
}

/// Scheme, host and port of an address: what stands behind them, or a password before them, is not for the public.
fn origin(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return String::new();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    format!("{scheme}://{host}")
}

fn is_web(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !url.contains(char::is_whitespace))
}

/// A host with a port, in brackets where it is an IPv6 address.
fn with_port(host: &str, port: u64) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// A path into JSON, as `.a.b[0].c`, as a JSON pointer (RFC 6901); none where it is more than a path.
fn pointer(path: &str) -> Option<String> {
    let mut pointer = String::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (number, after) = after.split_once(']')?;
            let number: u32 = number.parse().ok()?;
            pointer.push_str(&format!("/{number}"));
            rest = after;
        } else {
            let after = rest.strip_prefix('.')?;
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (key, after) = after.split_at(end);
            let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '@');
            if key.is_empty() || !key.chars().all(plain) {
                return None;
            }
            pointer.push_str(&format!("/{key}"));
            rest = after;
        }
    }
    (!pointer.is_empty()).then_some(pointer)
}

/// A value that stands in JSON: a number or a truth where it is written as one.
fn typed(text: &str) -> toml::Value {
    match text {
        "true" => toml::Value::Boolean(true),
        "false" => toml::Value::Boolean(false),
        text => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => toml::Value::Integer(number),
            (_, Ok(number)) if number.is_finite() => toml::Value::Float(number),
            _ => toml::Value::String(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_plain_and_nobody_has_two() {
        let mut taken = Taken::default();
        assert_eq!(taken.slug(" Shop (EU) – Kasse"), "shop-eu-kasse");
        assert_eq!(taken.slug("shop eu kasse"), "shop-eu-kasse-2");
        assert_eq!(taken.slug("商店"), "service");
        assert_eq!(taken.slug("-- ?"), "service-2");
        assert_eq!(taken.slug(&"x".repeat(200)).len(), NAME_MAX - 8);
    }

    #[test]
    fn paths_that_are_more_than_paths_are_none() {
        assert_eq!(pointer(".status").as_deref(), Some("/status"));
        assert_eq!(pointer(".a.b[0][12].c-d").as_deref(), Some("/a/b/0/12/c-d"));
        assert_eq!(pointer("[0].a").as_deref(), Some("/0/a"));
        for path in [
            "",
            ".",
            "a",
            ".a[*]",
            ".a[?(@.b)]",
            "..a",
            ".a.$sum(b)",
            ".a b",
            "[-1]",
        ] {
            assert_eq!(pointer(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_not_for_the_public_stays_in_the_probe() {
        assert_eq!(
            origin("https://me:secret@shop.example:8443/health?token=1"),
            "https://shop.example:8443"
        );
        assert_eq!(origin("http://[2001:db8::1]/x"), "http://[2001:db8::1]");
    }
}
