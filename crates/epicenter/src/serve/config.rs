//! The configuration of `serve`: one TOML file, checked as a whole before anything starts.
//!
//! Every key has its words in [`KEYS`]; `epicenter config --show` prints the settings in force with them, as a file that can be used.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use atlas::Prefix;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Services of one tracker.
pub(crate) const SERVICES_MAX: usize = 10_000;
/// Probes of one service.
pub(crate) const PROBES_MAX: usize = 16;
/// Symptoms of one service.
pub(crate) const SYMPTOMS_MAX: usize = 12;
/// Characters of a name.
const NAME_MAX: usize = 80;

/// All settings.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) site: Site,
    pub(crate) http: Http,
    pub(crate) data: Data,
    pub(crate) reports: Reports,
    pub(crate) traffic: Traffic,
    pub(crate) probes: Probes,
    pub(crate) alerts: Alerts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mail: Option<Mail>,
    pub(crate) service: Vec<Service>,
    pub(crate) notify: Vec<Notify>,
    /// AS numbers of the networks that services are in, by slug; looked up, not set.
    #[serde(skip)]
    pub(crate) providers: std::collections::BTreeMap<String, u32>,
    /// What the files of `service.claims` hold, by slug.
    #[serde(skip)]
    pub(crate) statements: std::collections::BTreeMap<String, std::sync::Arc<Vec<incident::claim::Claim>>>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) about: String,
    pub(crate) language: String,
    pub(crate) contact: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    pub(crate) listen: SocketAddr,
    pub(crate) trusted_proxies: Vec<Net>,
    pub(crate) connections: usize,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Data {
    pub(crate) file: PathBuf,
    pub(crate) size: Bytes,
    pub(crate) keep_reports: Span,
    pub(crate) keep_counts: Span,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Reports {
    pub(crate) comments: bool,
    pub(crate) proof_of_work: u8,
    pub(crate) per_network: u32,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Traffic {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) exporters: Vec<Net>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Probes {
    pub(crate) place: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Alerts {
    pub(crate) group: Span,
    pub(crate) repeat: Span,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) server: String,
    #[serde(default)]
    pub(crate) user: String,
    #[serde(default)]
    pub(crate) password_file: Option<PathBuf>,
    #[serde(default = "MailTls::starttls")]
    pub(crate) tls: MailTls,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum MailTls {
    Starttls,
    Tls,
    None,
}

impl MailTls {
    fn starttls() -> MailTls {
        MailTls::Starttls
    }
}

/// A service that people report about.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    pub(crate) slug: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) about: String,
    #[serde(default)]
    pub(crate) networks: Vec<Net>,
    #[serde(default = "symptoms")]
    pub(crate) symptoms: Vec<String>,
    #[serde(default)]
    pub(crate) neighbours: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claims: Option<PathBuf>,
    #[serde(default)]
    pub(crate) probe: Vec<Probe>,
}

fn symptoms() -> Vec<String> {
    ["website", "app", "login", "slow", "connection", "other"]
        .map(str::to_owned)
        .to_vec()
}

/// A check of a service, made again and again.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Probe {
    Http {
        url: String,
        #[serde(default = "method")]
        method: String,
        #[serde(default)]
        headers: std::collections::BTreeMap<String, String>,
        #[serde(default)]
        body: String,
        /// Statuses that are well: `200`, `200-299`.
        #[serde(default = "statuses")]
        status: Vec<String>,
        /// What the body has to hold.
        #[serde(default)]
        contains: String,
        /// JSON pointers and the values that stand there.
        #[serde(default)]
        json: std::collections::BTreeMap<String, toml::Value>,
        /// Headers of the answer, and what they have to hold.
        #[serde(default)]
        answer_headers: std::collections::BTreeMap<String, String>,
        #[serde(default = "redirects")]
        redirects: u8,
        #[serde(default)]
        http2: bool,
        /// Certificates that end sooner than this are a failure.
        #[serde(default = "Span::zero")]
        certificate: Span,
        #[serde(default = "every")]
        every: Span,
        #[serde(default = "timeout")]
        timeout: Span,
    },
    Tcp {
        address: String,
        #[serde(default = "every")]
        every: Span,
        #[serde(default = "timeout")]
        timeout: Span,
    },
    Dns {
        name: String,
        #[serde(default = "record", rename = "type")]
        record: String,
        /// Asked; the system's resolvers where it is empty.
        #[serde(default)]
        server: String,
        /// One of the answers has to be this, where it is given.
        #[serde(default)]
        answer: String,
        #[serde(default = "every")]
        every: Span,
        #[serde(default = "timeout")]
        timeout: Span,
    },
    Tls {
        address: String,
        /// The certificate has to last so long.
        #[serde(default = "week")]
        certificate: Span,
        #[serde(default = "every")]
        every: Span,
        #[serde(default = "timeout")]
        timeout: Span,
    },
    Icmp {
        host: String,
        #[serde(default = "every")]
        every: Span,
        #[serde(default = "timeout")]
        timeout: Span,
    },
}

fn method() -> String {
    "GET".to_owned()
}
fn statuses() -> Vec<String> {
    vec!["200-399".to_owned()]
}
fn redirects() -> u8 {
    5
}
fn record() -> String {
    "A".to_owned()
}
fn every() -> Span {
    Span(Duration::from_secs(60))
}
fn timeout() -> Span {
    Span(Duration::from_secs(10))
}
fn week() -> Span {
    Span(Duration::from_secs(7 * 86_400))
}

impl Probe {
    /// How often, and how long it may take.
    pub(crate) fn times(&self) -> (Duration, Duration) {
        match self {
            Probe::Http { every, timeout, .. }
            | Probe::Tcp { every, timeout, .. }
            | Probe::Dns { every, timeout, .. }
            | Probe::Tls { every, timeout, .. }
            | Probe::Icmp { every, timeout, .. } => (every.0, timeout.0),
        }
    }
}

/// Who is told.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notify {
    pub(crate) kind: NotifyKind,
    /// Where to; what it is depends on the kind.
    #[serde(default)]
    pub(crate) url: String,
    /// A file that holds the secret: the signing key of a webhook, the token of a bot, the routing key of PagerDuty.
    #[serde(default)]
    pub(crate) secret_file: Option<PathBuf>,
    /// Whom: an address for mail, a chat of Telegram, a topic of ntfy.
    #[serde(default)]
    pub(crate) to: String,
    /// Only these services; all where it is empty.
    #[serde(default)]
    pub(crate) services: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NotifyKind {
    Webhook,
    Mail,
    Slack,
    Discord,
    Telegram,
    Teams,
    Pagerduty,
    Ntfy,
}

impl Default for Site {
    fn default() -> Site {
        Site {
            name: "Epicenter".to_owned(),
            url: String::new(),
            about: String::new(),
            language: "en".to_owned(),
            contact: String::new(),
        }
    }
}

impl Default for Http {
    fn default() -> Http {
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            trusted_proxies: Vec::new(),
            connections: 10_000,
        }
    }
}

impl Default for Data {
    fn default() -> Data {
        Data {
            file: PathBuf::from("epicenter.db"),
            size: Bytes(4 << 30),
            keep_reports: Span::days(30),
            keep_counts: Span::days(400),
        }
    }
}

impl Default for Reports {
    fn default() -> Reports {
        Reports {
            comments: false,
            proof_of_work: 0,
            per_network: 60,
        }
    }
}

impl Default for Probes {
    fn default() -> Probes {
        Probes {
            place: "here".to_owned(),
        }
    }
}

impl Default for Alerts {
    fn default() -> Alerts {
        Alerts {
            group: Span(Duration::from_secs(30)),
            repeat: Span(Duration::from_secs(4 * 3_600)),
        }
    }
}

/// What each key means. A key of a list is that of its entries.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("site", "How the tracker shows itself"),
    ("site.name", "Its name, on every page"),
    (
        "site.url",
        "Its public address, as https://status.example.org, for links in alerts and feeds",
    ),
    ("site.about", "A sentence below the name"),
    (
        "site.language",
        "The language of those whose own is not translated: en, es, pt, uk, de, fr",
    ),
    ("site.contact", "Where people can write to"),
    ("http", "The pages and the API"),
    ("http.listen", "Address and port"),
    (
        "http.trusted_proxies",
        "Networks of reverse proxies whose X-Forwarded-For is believed; nobody else's is",
    ),
    ("http.connections", "Connections at once; more are closed"),
    ("data", "What is kept"),
    (
        "data.file",
        "The one file (SQLite), beside the configuration unless its path is whole",
    ),
    (
        "data.size",
        "Its largest size; when it is reached, reports are refused and the pages stay up",
    ),
    (
        "data.keep_reports",
        "How long each report is kept; afterwards only counts are",
    ),
    (
        "data.keep_counts",
        "How long counts by quarter of an hour are kept",
    ),
    ("reports", "What people may send"),
    (
        "reports.comments",
        "Whether they may write a comment; none is shown before an operator has read it",
    ),
    (
        "reports.proof_of_work",
        "Bits of work that a browser does before a report is taken; 0 for none, 16 takes a phone a moment",
    ),
    (
        "reports.per_network",
        "Reports a minute from one /24 or /48, for each service",
    ),
    ("traffic", "Flow exports, from which attacks are found"),
    (
        "traffic.listen",
        "UDP addresses and ports for NetFlow, IPFIX and sFlow; none where it is empty",
    ),
    (
        "traffic.exporters",
        "Networks from which exports are taken; all where it is empty",
    ),
    ("probes", "Checks of the services from this machine"),
    (
        "probes.place",
        "How this machine is called among the places from which services are probed",
    ),
    ("alerts", "When those who are told are told"),
    ("alerts.group", "News of this time go out as one"),
    (
        "alerts.repeat",
        "While trouble lasts, it is told again after this",
    ),
    ("mail", "The server that takes mail"),
    ("mail.from", "The sender, as Status <status@example.org>"),
    ("mail.server", "Host and port"),
    ("mail.user", "Who logs in; nobody where it is empty"),
    ("mail.password_file", "The file that holds the password"),
    ("mail.tls", "starttls, tls or none"),
    ("service", "A service that people report about"),
    (
        "service.slug",
        "Its name in addresses: small letters, digits and hyphens",
    ),
    ("service.name", "Its name"),
    ("service.url", "Where it is"),
    ("service.about", "What it is, in a sentence"),
    (
        "service.networks",
        "Its addresses, so that attacks on it are known to be on it",
    ),
    (
        "service.symptoms",
        "What may be wrong with it, for people to choose from",
    ),
    (
        "service.neighbours",
        "Slugs of services that people take it for, or blame for it",
    ),
    (
        "service.claims",
        "A file of what was said about its trouble (docs/claims.md), for verdicts on its page",
    ),
    ("service.probe", "A check of it"),
    ("service.probe.kind", "http, tcp, dns, tls or icmp"),
    ("service.probe.url", "http: what is asked for"),
    ("service.probe.method", "http: how"),
    ("service.probe.headers", "http: what is said along with it"),
    ("service.probe.body", "http: what is sent"),
    (
        "service.probe.status",
        "http: statuses that are well, as 200 or 200-399",
    ),
    ("service.probe.contains", "http: what the body has to hold"),
    (
        "service.probe.json",
        "http: JSON pointers into the body, and what has to stand there",
    ),
    (
        "service.probe.answer_headers",
        "http: headers of the answer, and what they have to hold",
    ),
    ("service.probe.redirects", "http: how many are followed"),
    ("service.probe.http2", "http: it has to be HTTP/2"),
    (
        "service.probe.certificate",
        "http, tls: how long the certificate has to last yet",
    ),
    ("service.probe.address", "tcp, tls: host and port"),
    ("service.probe.name", "dns: the name that is asked for"),
    ("service.probe.type", "dns: A, AAAA, CNAME, MX, NS or TXT"),
    (
        "service.probe.server",
        "dns: address and port of the server that is asked; those of the system where it is empty",
    ),
    ("service.probe.answer", "dns: what has to be among the answers"),
    ("service.probe.host", "icmp: who is asked for an echo"),
    ("service.probe.every", "How often"),
    ("service.probe.timeout", "How long it may take"),
    ("notify", "Somebody who is told"),
    (
        "notify.kind",
        "webhook, mail, slack, discord, telegram, teams, pagerduty or ntfy",
    ),
    (
        "notify.url",
        "Where to: of the hook, or of the server of Telegram, PagerDuty or ntfy where it is another than theirs",
    ),
    (
        "notify.secret_file",
        "The file that holds the signing key (webhook), token (telegram, ntfy) or routing key (pagerduty)",
    ),
    (
        "notify.to",
        "An address (mail), a chat (telegram), a topic (ntfy)",
    ),
    ("notify.services", "Slugs of the services; all where it is empty"),
];

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// A line for people, with the line of the file and, where a key is unknown, the one that was probably meant.
    pub(crate) fn parse(text: &str) -> Result<Config, String> {
        let config: Config = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            let meant = suggestion(&message).map_or(String::new(), |key| format!("; did you mean `{key}`?"));
            match line {
                Some(line) => format!("line {line}: {message}{meant}"),
                None => format!("{message}{meant}"),
            }
        })?;
        config.check().map_err(|(table, at, key, problem)| {
            let place = match line_of(text, table, at, key) {
                Some(line) => format!("line {line}: "),
                None => String::new(),
            };
            let name = match table {
                "" => key.to_owned(),
                table if key.is_empty() => table.to_owned(),
                table => format!("{table}.{key}"),
            };
            format!("{place}{name}: {problem}")
        })?;
        Ok(config)
    }

    /// What each value may be: table, number of its entry, key, and what is wrong with it.
    fn check(&self) -> Result<(), (&'static str, usize, &'static str, String)> {
        let err = |table, at, key, problem: String| Err((table, at, key, problem));
        if super::lang::Language::of(&self.site.language).is_none() {
            let known = super::lang::Language::ALL.map(|language| language.code());
            return err(
                "site",
                0,
                "language",
                format!("`{}` is none of {}", self.site.language, known.join(", ")),
            );
        }
        if !self.site.url.is_empty() && !is_web(&self.site.url) {
            return err(
                "site",
                0,
                "url",
                format!("`{}` does not begin with https:// or http://", self.site.url),
            );
        }
        if self.reports.proof_of_work > 24 {
            return err(
                "reports",
                0,
                "proof_of_work",
                "more than 24 bits take a phone minutes".to_owned(),
            );
        }
        if self.data.size.0 < 1 << 20 {
            return err("data", 0, "size", "is less than 1 MiB".to_owned());
        }
        if self.service.len() > SERVICES_MAX {
            return err(
                "service",
                SERVICES_MAX,
                "",
                format!("there are more than {SERVICES_MAX}"),
            );
        }
        let mut slugs = std::collections::BTreeSet::new();
        for (at, service) in self.service.iter().enumerate() {
            let slug = &service.slug;
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if slug.is_empty() || slug.len() > NAME_MAX || !slug.chars().all(plain) || slug.starts_with('-') {
                return err(
                    "service",
                    at,
                    "slug",
                    format!("`{slug}` is not of small letters, digits and hyphens, {NAME_MAX} at most"),
                );
            }
            if !slugs.insert(slug.as_str()) {
                return err("service", at, "slug", format!("`{slug}` is there twice"));
            }
            if service.name.trim().is_empty() || service.name.chars().count() > NAME_MAX {
                return err(
                    "service",
                    at,
                    "name",
                    format!("is empty or longer than {NAME_MAX} characters"),
                );
            }
            if !service.url.is_empty() && !is_web(&service.url) {
                return err(
                    "service",
                    at,
                    "url",
                    format!("`{}` does not begin with https:// or http://", service.url),
                );
            }
            let long = |text: &String| text.trim().is_empty() || text.chars().count() > NAME_MAX;
            if service.symptoms.len() > SYMPTOMS_MAX || service.symptoms.iter().any(long) {
                return err(
                    "service",
                    at,
                    "symptoms",
                    format!("there are more than {SYMPTOMS_MAX}, or one is empty or too long"),
                );
            }
            if service.probe.len() > PROBES_MAX {
                return err(
                    "service",
                    at,
                    "probe",
                    format!("there are more than {PROBES_MAX}"),
                );
            }
            for probe in &service.probe {
                let (every, timeout) = probe.times();
                if every < Duration::from_secs(1) || timeout.is_zero() || timeout > Duration::from_secs(120) {
                    return err(
                        "service",
                        at,
                        "probe",
                        format!("`{slug}`: every is at least 1s, timeout more than 0 and at most 2m"),
                    );
                }
                if let Probe::Http { url, .. } = probe
                    && !is_web(url)
                {
                    return err(
                        "service",
                        at,
                        "probe",
                        format!("`{slug}`: url: `{url}` does not begin with https:// or http://"),
                    );
                }
                if let Err(problem) = super::probe::check(probe) {
                    return err("service", at, "probe", format!("`{slug}`: {problem}"));
                }
            }
        }
        let unknown = |slugs: &std::collections::BTreeSet<&str>, named: &[String]| {
            named
                .iter()
                .find(|name| !slugs.contains(name.as_str()))
                .map(|name| {
                    let meant = nearest(name, slugs.iter().copied());
                    let meant = meant.map_or(String::new(), |slug| format!("; did you mean `{slug}`?"));
                    format!("there is no service `{name}`{meant}")
                })
        };
        for (at, service) in self.service.iter().enumerate() {
            if let Some(problem) = unknown(&slugs, &service.neighbours) {
                return err("service", at, "neighbours", problem);
            }
        }
        for (at, notify) in self.notify.iter().enumerate() {
            if let Some(problem) = unknown(&slugs, &notify.services) {
                return err("notify", at, "services", problem);
            }
            let needs_url = matches!(
                notify.kind,
                NotifyKind::Webhook | NotifyKind::Slack | NotifyKind::Discord | NotifyKind::Teams
            );
            if (needs_url || !notify.url.is_empty()) && !is_web(&notify.url) {
                return err(
                    "notify",
                    at,
                    "url",
                    format!("`{}` does not begin with https:// or http://", notify.url),
                );
            }
            let needs_to = matches!(
                notify.kind,
                NotifyKind::Mail | NotifyKind::Telegram | NotifyKind::Ntfy
            );
            if needs_to && notify.to.is_empty() {
                return err("notify", at, "to", "is not there".to_owned());
            }
            if notify.kind == NotifyKind::Mail && self.mail.is_none() {
                return err("notify", at, "kind", "mail needs a table [mail]".to_owned());
            }
            if matches!(notify.kind, NotifyKind::Telegram | NotifyKind::Pagerduty)
                && notify.secret_file.is_none()
            {
                return err("notify", at, "secret_file", "is not there".to_owned());
            }
        }
        Ok(())
    }

    /// The settings in force, as a file with the words of every key.
    pub(crate) fn show(&self) -> String {
        let mut out = String::from(
            "# Epicenter, configuration of `epicenter serve`. All keys, with the values in force.\n",
        );
        let value = toml::Value::try_from(self).unwrap_or(toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(table) = value {
            show(&mut out, "", "", &table);
        }
        out
    }
}

/// The words of a key.
fn words(path: &str) -> &'static str {
    KEYS.iter()
        .find(|(key, _)| *key == path)
        .map_or("", |(_, words)| words)
}

/// A table: plain values first, then tables and lists of tables. `path` is how the key is called, `header` what stands in brackets.
fn show(out: &mut String, path: &str, header: &str, table: &toml::Table) {
    let under = |above: &str, key: &str| {
        if above.is_empty() {
            key.to_owned()
        } else {
            format!("{above}.{key}")
        }
    };
    let is_list = |value: &toml::Value| {
        value
            .as_array()
            .is_some_and(|list| list.first().is_some_and(toml::Value::is_table))
    };
    let is_section = |key: &str, value: &toml::Value| {
        (value.is_table() && !words(&under(path, key)).is_empty() && path.is_empty()) || is_list(value)
    };
    for (key, value) in table.iter().filter(|(key, value)| !is_section(key, value)) {
        if path.is_empty() && value.as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        let words = words(&under(path, key));
        if !words.is_empty() {
            out.push_str(&format!("# {words}.\n"));
        }
        out.push_str(&format!("{key} = {value}\n"));
    }
    for (key, value) in table.iter().filter(|(key, value)| is_section(key, value)) {
        let (path, header) = (under(path, key), under(header, key));
        let words = words(&path);
        match value {
            toml::Value::Table(table) => {
                out.push_str(&format!("\n# {words}.\n[{header}]\n"));
                show(out, &path, &header, table);
            }
            toml::Value::Array(list) => {
                for table in list.iter().filter_map(toml::Value::as_table) {
                    out.push_str(&format!("\n# {words}.\n[[{header}]]\n"));
                    show(out, &path, &header, table);
                }
            }
            _ => {}
        }
    }
}

fn is_web(url: &str) -> bool {
    let rest = url
        .strip_prefix("https://")
        .or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !url.contains(char::is_whitespace))
}

/// From a message about an unknown key, the known one that is nearest.
fn suggestion(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !(message.starts_with("unknown field") || message.starts_with("unknown variant")) {
        return None;
    }
    let unknown = quoted.next()?;
    nearest(unknown, quoted).map(str::to_owned)
}

/// The nearest of several words, where one is near.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::damerau_levenshtein(word, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min()
        .map(|(_, known)| known)
}

/// The line of a key in the `at`-th entry of a table, or of the table where the key is not there.
fn line_of(text: &str, table: &str, at: usize, key: &str) -> Option<usize> {
    let header = [format!("[{table}]"), format!("[[{table}]]")];
    let lines = || text.lines().map(str::trim).enumerate();
    let (from, _) = lines()
        .filter(|(_, line)| header.iter().any(|h| line == h))
        .nth(at)?;
    let here = lines()
        .skip(from + 1)
        .take_while(|(_, line)| !line.starts_with('[') || line.starts_with(&format!("[[{table}.")))
        .find(|(_, line)| {
            line.strip_prefix(key)
                .is_some_and(|rest| rest.trim_start().starts_with('='))
                || *line == format!("[[{table}.{key}]]")
        });
    Some(here.map_or(from, |(line, _)| line) + 1)
}

/// A prefix, or an address that stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Net(pub(crate) Prefix);

impl<'de> Deserialize<'de> for Net {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Net, D::Error> {
        let text = String::deserialize(from)?;
        let prefix = match text.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(v4)) => Prefix::of(v4.to_ipv6_mapped(), 128),
            Ok(std::net::IpAddr::V6(v6)) => Prefix::of(v6, 128),
            Err(_) => text.parse().map_err(serde::de::Error::custom)?,
        };
        Ok(Net(prefix))
    }
}

impl Serialize for Net {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// A length of time: `30s`, `5m`, `12h`, `90d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

impl Span {
    fn zero() -> Span {
        Span(Duration::ZERO)
    }

    const fn days(days: u64) -> Span {
        Span(Duration::from_secs(86_400 * days))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
        let text = String::deserialize(from)?;
        let units = [
            ("ms", 1),
            ("s", 1_000),
            ("m", 60_000),
            ("h", 3_600_000),
            ("d", 86_400_000),
        ];
        units
            .iter()
            .find_map(|(unit, ms)| {
                let number = text.strip_suffix(unit)?.trim().parse::<u64>().ok()?;
                Some(Span(Duration::from_millis(number.checked_mul(*ms)?)))
            })
            .ok_or_else(|| {
                serde::de::Error::custom(format!(
                    "`{text}` is no length of time, as 500ms, 30s, 5m, 12h or 90d"
                ))
            })
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ms = self.0.as_millis();
        let text = match ms {
            0 => "0s".to_owned(),
            _ if ms.is_multiple_of(86_400_000) => format!("{}d", ms / 86_400_000),
            _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
            _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
            _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
            _ => format!("{ms}ms"),
        };
        to.serialize_str(&text)
    }
}

/// A size: `500 MB`, `4 GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        let units = [
            ("KiB", 1u64 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
            ("kB", 1_000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
            ("TB", 1_000_000_000_000),
        ];
        units
            .iter()
            .find_map(|(unit, size)| {
                let number = text.strip_suffix(unit)?.trim().parse::<u64>().ok()?;
                number.checked_mul(*size).map(Bytes)
            })
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no size, as 500 MB or 4 GiB")))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let text = match self.0 {
            size if size.is_multiple_of(1 << 30) => format!("{} GiB", size >> 30),
            size if size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
            size if size.is_multiple_of(1 << 10) => format!("{} KiB", size >> 10),
            size if size.is_multiple_of(1_000_000) => format!("{} MB", size / 1_000_000),
            // What has no round name was never read from a file.
            size => format!("{} kB", size / 1_000),
        };
        to.serialize_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
[site]
name = "Is it down"
language = "de"
[http]
listen = "127.0.0.1:8081"
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
[mail]
from = "status@example.org"
server = "localhost:25"
[[service]]
slug = "shop"
name = "Shop"
url = "https://shop.example"
networks = ["203.0.113.0/24"]
neighbours = ["bank"]
claims = "claims.toml"
[[service.probe]]
kind = "http"
url = "https://shop.example/health"
json = { "/status" = "ok" }
certificate = "14d"
[[service.probe]]
kind = "dns"
name = "shop.example"
type = "AAAA"
[[service]]
slug = "bank"
name = "Bank"
[[notify]]
kind = "mail"
to = "oncall@example.org"
services = ["shop"]
"#;

    #[test]
    fn what_is_shown_can_be_read_again_and_every_key_has_words() {
        let config = Config::parse(WHOLE).expect("sound");
        assert_eq!(config.service[0].probe.len(), 2);
        let shown = config.show();
        assert_eq!(Config::parse(&shown).expect("sound"), config, "{shown}");
        assert_eq!(
            Config::parse(&Config::default().show()).expect("sound"),
            Config::default()
        );
        assert_eq!(Config::parse("").expect("sound"), Config::default());
        // Every key of the settings has words.
        fn keys(path: &str, value: &toml::Value, found: &mut Vec<String>) {
            match value {
                toml::Value::Table(table) => {
                    for (key, value) in table {
                        let path = if path.is_empty() {
                            key.clone()
                        } else {
                            format!("{path}.{key}")
                        };
                        found.push(path.clone());
                        if ![
                            "service.probe.json",
                            "service.probe.headers",
                            "service.probe.answer_headers",
                        ]
                        .contains(&path.as_str())
                        {
                            keys(&path, value, found);
                        }
                    }
                }
                toml::Value::Array(list) => list.iter().for_each(|value| keys(path, value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        keys("", &toml::Value::try_from(&config).expect("a value"), &mut found);
        assert!(found.len() > 40);
        for key in found {
            assert!(!words(&key).is_empty(), "{key} has no words");
        }
    }

    #[test]
    fn errors_name_line_key_and_what_was_meant() {
        let error = |text: &str| Config::parse(text).expect_err("refused");
        let said = error("[http]\nlisen = \"127.0.0.1:80\"\n");
        assert!(
            said.starts_with("line 2: unknown field `lisen`") && said.ends_with("did you mean `listen`?"),
            "{said}"
        );
        let changed = |from: &str, to: &str| error(&WHOLE.replacen(from, to, 1));
        let said = changed("neighbours = [\"bank\"]", "neighbours = [\"bnak\"]");
        assert_eq!(
            said,
            "line 16: service.neighbours: there is no service `bnak`; did you mean `bank`?"
        );
        let said = changed("slug = \"bank\"", "slug = \"shop\"");
        assert_eq!(said, "line 28: service.slug: `shop` is there twice");
        let said = changed("language = \"de\"", "language = \"xx\"");
        assert!(
            said.starts_with("line 4: site.language: `xx` is none of en, es"),
            "{said}"
        );
        let said = changed("certificate = \"14d\"", "certificate = \"14 days\"");
        assert!(said.contains("`14 days` is no length of time"), "{said}");
        let said = changed("kind = \"dns\"", "kind = \"dsn\"");
        assert!(said.contains("did you mean `dns`?"), "{said}");
        let said = changed(
            "[mail]\nfrom = \"status@example.org\"\nserver = \"localhost:25\"\n",
            "",
        );
        assert!(said.contains("notify.kind: mail needs a table [mail]"), "{said}");
        let said = changed("203.0.113.0/24", "203.0.113.0/33");
        assert!(said.starts_with("line 15: "), "{said}");
        assert!(changed("https://shop.example/health", "shop.example").contains("does not begin with"));
    }
}
