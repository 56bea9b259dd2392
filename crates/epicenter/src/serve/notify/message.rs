//! What somebody is told: values that say the same whatever way they go, and the words for them.

use serde::{Deserialize, Serialize};

/// How soon it has to be read. The order is that in which messages are kept when there are too many.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Urgency {
    Low,
    #[default]
    Normal,
    High,
}

/// What is new of an incident.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Nothing happened: somebody wants to see whether messages arrive.
    Test,
    /// It is told for the first time.
    Begins,
    /// It was over and is there again.
    Again,
    /// It is as it was, and nobody has it in hand.
    Lasts,
    /// Its standing or its cause is another.
    Changed,
    /// Somebody has it in hand.
    Acknowledged,
    /// Operators wrote something.
    Said,
    /// It is over.
    Ends,
}

impl Kind {
    /// A stable word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Test => "test",
            Kind::Begins => "begins",
            Kind::Again => "again",
            Kind::Lasts => "lasts",
            Kind::Changed => "changed",
            Kind::Acknowledged => "acknowledged",
            Kind::Said => "said",
            Kind::Ends => "ends",
        }
    }
}

/// One incident in a message.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Item {
    pub(crate) incident: String,
    /// Slug and name of the service.
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) standing: String,
    pub(crate) cause: String,
    /// An operator named the cause.
    pub(crate) is_named: bool,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: Option<u64>,
    pub(crate) reports: u64,
    /// `None` where it is not known what is usual.
    pub(crate) expected: Option<f64>,
    /// Places whose checks failed at once, of all.
    #[serde(default)]
    pub(crate) checks: Option<(u64, u64)>,
    /// What the traffic shows, a sentence for each attack.
    pub(crate) attacks: Vec<String>,
    pub(crate) acknowledged: Option<String>,
    pub(crate) merged_into: Option<String>,
    /// What operators wrote since the last message: who, and what.
    pub(crate) said: Vec<(String, String)>,
    /// Its page; empty where the tracker does not know its own address.
    pub(crate) url: String,
    /// How often this incident was told to this receiver before.
    pub(crate) n: u32,
    /// When it was first told.
    pub(crate) told_ns: u64,
}

/// What one receiver is told at once.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Message {
    /// The same for the same news, however often it is tried: receivers drop doubles by it.
    pub(crate) key: String,
    /// Who is told; see [`Audience`](super::plan::Audience).
    pub(crate) audience: String,
    pub(crate) at_ns: u64,
    pub(crate) urgency: Urgency,
    /// By incident; never empty.
    pub(crate) items: Vec<Item>,
    /// Name and address of the tracker.
    pub(crate) site: String,
    pub(crate) site_url: String,
}

/// A cause, in words.
fn cause(word: &str) -> &str {
    match word {
        "attack" => "an attack",
        "own-fault" => "a fault of the service itself",
        "neighbour" => "a service that it depends on",
        "provider" => "a network or hosting provider",
        "brigade" => "coordinated reports, not trouble with the service",
        _ => "not known yet",
    }
}

/// `1 h 5 min`.
fn lasted(ns: u64) -> String {
    let minutes = ns / 60_000_000_000;
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => "less than a minute".to_owned(),
        (0, 0, m) => format!("{m} min"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

/// `2025-03-10 09:46 UTC`.
pub(crate) fn minute(ns: u64) -> String {
    let text = crate::case_json::time(ns);
    match text.get(..16) {
        Some(start) => format!("{} UTC", start.replacen('T', " ", 1)),
        None => text,
    }
}

impl Item {
    /// Whether this is about reports that were made up together: no trouble of the service.
    pub(crate) fn is_brigade(&self) -> bool {
        self.cause == "brigade"
    }

    /// One line.
    pub(crate) fn title(&self) -> String {
        let name = &self.name;
        match self.kind {
            Kind::Test => format!("{name}: a test message"),
            Kind::Ends if self.merged_into.is_some() => format!("{name}: belongs to another incident"),
            Kind::Ends => format!("{name}: resolved"),
            _ if self.is_brigade() => format!("{name}: coordinated reports"),
            Kind::Begins if self.reports == 0 => format!("{name}: checks fail"),
            Kind::Begins => format!("{name}: people have trouble"),
            Kind::Again => format!("{name}: trouble again"),
            Kind::Lasts => format!("{name}: still trouble"),
            Kind::Changed if self.standing == "recovering" => format!("{name}: recovering"),
            Kind::Changed if self.standing == "identified" => format!("{name}: cause identified"),
            Kind::Changed => format!("{name}: trouble, news"),
            Kind::Acknowledged => format!("{name}: somebody is on it"),
            Kind::Said => format!("{name}: update"),
        }
    }

    /// What is known, a line for each thing.
    pub(crate) fn lines(&self, now_ns: u64) -> Vec<String> {
        let mut lines = Vec::new();
        match (self.kind, &self.merged_into) {
            (Kind::Test, _) => {
                lines.push("Nothing happened. Messages of incidents come this way.".to_owned())
            }
            (Kind::Ends, Some(other)) => {
                lines.push(format!(
                    "It is part of incident {other}; what follows is told there."
                ));
            }
            (Kind::Ends, None) => {
                let end = self.end_ns.unwrap_or(now_ns);
                let time = lasted(end.saturating_sub(self.start_ns));
                lines.push(format!(
                    "Over since {}. It began {} and lasted {time}.",
                    minute(end),
                    minute(self.start_ns)
                ));
            }
            _ => {
                lines.push(format!("Since {}. {}.", minute(self.start_ns), self.counts()));
                let by = if self.is_named {
                    ", as the operators say"
                } else {
                    ""
                };
                lines.push(format!("Cause: {}{by}.", cause(&self.cause)));
                lines.extend(self.attacks.iter().take(5).cloned());
                if let Some(who) = &self.acknowledged {
                    lines.push(format!("In hand: {who}."));
                }
            }
        }
        lines.extend(self.said.iter().map(|(who, text)| format!("{who}: {text}")));
        lines
    }

    fn counts(&self) -> String {
        let reports = crate::case_text::counted(self.reports, "report", "reports");
        let reports = match self.expected {
            Some(expected) => format!("{reports}, where {expected:.0} were to be expected"),
            None => reports,
        };
        match self.checks {
            Some((failing @ 1.., places)) => {
                format!("{reports}; checks failed from {failing} of {places} places")
            }
            Some((0, places)) => format!("{reports}; checks reach it from all {places} places"),
            None => reports,
        }
    }
}

impl Message {
    /// One line for all of it.
    pub(crate) fn title(&self) -> String {
        match self.items.as_slice() {
            [one] => one.title(),
            many => {
                let over = many.iter().filter(|item| item.kind == Kind::Ends).count();
                let (all, site) = (many.len(), &self.site);
                if over == all {
                    format!("{site}: {all} incidents resolved")
                } else {
                    format!("{site}: news of {all} incidents")
                }
            }
        }
    }

    /// Everything in it is over.
    pub(crate) fn is_clear(&self) -> bool {
        self.items.iter().all(|item| item.kind == Kind::Ends)
    }

    /// Plain text.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for item in &self.items {
            if self.items.len() > 1 {
                out.push_str(&item.title());
                out.push('\n');
            }
            for line in item.lines(self.at_ns) {
                out.push_str(&line);
                out.push('\n');
            }
            if !item.url.is_empty() {
                out.push_str(&item.url);
                out.push('\n');
            }
            out.push('\n');
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// Where to read on: the page of the one incident, or the tracker.
    pub(crate) fn url(&self) -> &str {
        match self.items.as_slice() {
            [one] => &one.url,
            _ => &self.site_url,
        }
    }

    /// The message of one who wants to see whether messages arrive.
    pub(crate) fn test(audience: &str, site: &str, site_url: &str, at_ns: u64) -> Message {
        Message {
            key: format!("test-{at_ns}"),
            audience: audience.to_owned(),
            at_ns,
            urgency: Urgency::Normal,
            items: vec![Item {
                incident: format!("test-{at_ns}"),
                service: "test".to_owned(),
                name: site.to_owned(),
                kind: Kind::Test,
                standing: "operational".to_owned(),
                cause: "unknown".to_owned(),
                is_named: false,
                start_ns: at_ns,
                end_ns: None,
                reports: 0,
                expected: None,
                checks: None,
                attacks: Vec::new(),
                acknowledged: None,
                merged_into: None,
                said: Vec::new(),
                url: site_url.to_owned(),
                n: 0,
                told_ns: at_ns,
            }],
            site: site.to_owned(),
            site_url: site_url.to_owned(),
        }
    }
}

/// At most so many characters, with a sign where something was left out.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(most.saturating_sub(1)).collect();
    out.push('…');
    out
}
