//! What may a sentence mean? A small matcher of words that proposes propositions, for a person to confirm.
//!
//! It understands nothing. It looks for words and names in English and says which ones it went by; what it proposes is never
//! applied by itself. What it cannot know (a time, a prefix, an AS number) it leaves to be filled in, as [`FILL_IN`].

use detect::Vector;

use crate::country;

/// Stands where a person has to write something.
pub const FILL_IN: &str = "FILL IN";
/// Longer sentences are read up to here.
pub const SENTENCE_MAX: usize = 10_000;

/// A proposition that a sentence may mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// As a claims file has it: `{ kind = "from-countries", countries = ["UA"], extent = "most" }`.
    pub toml: String,
    /// The words that it went by.
    pub words: Vec<String>,
}

/// Words that speak of where traffic comes from.
const SOURCE: &[&str] = &[
    "ip",
    "ips",
    "ip address",
    "ip addresses",
    "addresses",
    "traffic",
    "bots",
    "botnet",
    "packets",
    "requests",
    "originate",
    "originated",
    "originates",
    "originating",
    "came from",
    "come from",
    "comes from",
    "coming from",
    "sourced",
    "source",
    "sources",
    "located in",
    "emanating",
];
/// Words that speak of a part only.
const SOME: &[&str] = &[
    "some",
    "any",
    "partly",
    "in part",
    "a few",
    "also",
    "among",
    "including",
    "several",
];
/// Words that speak of a state as an actor.
const STATE: &[&str] = &[
    "a country",
    "a state",
    "state actor",
    "state actors",
    "state-sponsored",
    "state sponsored",
    "nation-state",
    "nation state",
    "a nation",
    "foreign government",
    "a government",
    "government",
    "regime",
    "military",
    "secret service",
    "intelligence service",
];
/// Words that make of a country an actor.
const DID: &[&str] = &[
    "is behind",
    "was behind",
    "are behind",
    "were behind",
    "did it",
    "did this",
    "is responsible",
    "was responsible",
    "are responsible",
    "carried out by",
    "ordered by",
    "attacked us",
    "attack by",
    "sponsored by",
    "state-sponsored",
    "launched by",
];
/// Words before or after which a group's name stands.
const CLAIMS_AFTER: &[&str] = &[
    "claimed",
    "claims",
    "took credit",
    "takes credit",
    "takes responsibility",
    "took responsibility",
];
const COORDINATED: &[&str] = &[
    "coordinated",
    "co-ordinated",
    "coordination",
    "orchestrated",
    "one botnet",
    "a botnet",
    "same botnet",
];
const LARGE_GROUP: &[&str] = &[
    "large group",
    "large, coordinated group",
    "large coordinated group",
    "big group",
    "many people",
    "army of",
];
const RESOURCES: &[&str] = &[
    "lot of resources",
    "lots of resources",
    "many resources",
    "massive resources",
    "significant resources",
    "considerable resources",
    "huge resources",
    "enormous resources",
    "tremendous resources",
    "well-funded",
    "well funded",
    "well-resourced",
    "largest ddos",
    "largest attack",
    "biggest attack",
    "record-breaking",
    "unprecedented scale",
];
const ATTACK: &[&str] = &[
    "attack",
    "attacks",
    "attacked",
    "cyberattack",
    "cyberattacks",
    "cyber attack",
    "cyber-attack",
    "ddos",
    "denial of service",
    "denial-of-service",
];
const RESTORED: &[&str] = &[
    "restored",
    "back online",
    "back up",
    "resolved",
    "fully operational",
    "up and running",
    "working again",
];
const STARTED: &[&str] = &["began", "started", "begins", "starts", "starting", "beginning"];
const ENDED: &[&str] = &["ended", "stopped", "is over", "was over", "ceased", "subsided"];
const PEOPLE: &[&str] = &[
    "users",
    "people",
    "customers",
    "accounts",
    "subscribers",
    "visitors",
];
const ORIGIN: &[&str] = &[
    "origin server",
    "origin servers",
    "exposed origin",
    "not behind cloudflare",
    "bypassed",
    "unprotected servers",
    "real ip",
    "not secured behind",
    "unsecured origin",
];
const OFF: &[&str] = &[
    "switched off",
    "turned off",
    "shut off",
    "cut off",
    "switch off",
    "turn off",
    "shut down",
    "disabled",
];

/// What a sentence may mean, the likeliest first.
pub fn propose(sentence: &str) -> Vec<Proposal> {
    let cut = sentence
        .char_indices()
        .nth(SENTENCE_MAX)
        .map_or(sentence.len(), |(at, _)| at);
    let text = Text::of(&sentence[..cut]);
    let countries = country::mentioned(&text.lower.iter().map(String::as_str).collect::<Vec<_>>());
    let mut found = Vec::new();

    let source = text.found(SOURCE);
    let did = text.found(DID);
    if !countries.is_empty() && !source.is_empty() {
        let some = text.found(SOME);
        let codes: Vec<String> = countries
            .iter()
            .map(|(country, _)| format!("\"{country}\""))
            .collect();
        let mut words = source.clone();
        words.extend(countries.iter().map(|(_, word)| word.clone()));
        words.extend(some.iter().cloned());
        let extent = if some.is_empty() { "most" } else { "any" };
        found.push(Proposal {
            toml: format!(
                "{{ kind = \"from-countries\", countries = [{}], extent = \"{extent}\" }}",
                codes.join(", ")
            ),
            words,
        });
    }
    let numbers = text.as_numbers();
    if !numbers.is_empty() && !source.is_empty() {
        let listed: Vec<String> = numbers.iter().map(|(asn, _)| asn.to_string()).collect();
        let mut words = source.clone();
        words.extend(numbers.iter().map(|(_, word)| word.clone()));
        found.push(Proposal {
            toml: format!(
                "{{ kind = \"from-networks\", networks = [{}], extent = \"most\" }}",
                listed.join(", ")
            ),
            words,
        });
    }
    if let Some((group, word)) = text.group() {
        found.push(Proposal {
            toml: format!("{{ kind = \"actor-group\", name = {} }}", quoted(&group)),
            words: vec![group, word],
        });
    }
    let mut state = text.found(STATE);
    match countries.first() {
        Some((country, word)) if !did.is_empty() => {
            state.extend(did.iter().cloned());
            state.push(word.clone());
            found.push(Proposal {
                toml: format!("{{ kind = \"actor-state\", state = \"{country}\" }}"),
                words: state,
            });
        }
        _ if !state.is_empty() => found.push(Proposal {
            toml: "{ kind = \"actor-state\" }".to_owned(),
            words: state,
        }),
        _ => {}
    }
    let coordinated = text.found(COORDINATED);
    let large = text.found(LARGE_GROUP);
    if !coordinated.is_empty() || !large.is_empty() {
        found.push(Proposal {
            toml: if large.is_empty() {
                "{ kind = \"coordinated\" }".to_owned()
            } else {
                "{ kind = \"coordinated\", large_group = true }".to_owned()
            },
            words: coordinated.into_iter().chain(large).collect(),
        });
    }
    simple(&mut found, text.found(RESOURCES), "{ kind = \"many-resources\" }");
    for vector in Vector::ALL {
        let label = vector.label().to_lowercase();
        let name = vector.name().replace('_', " ");
        let words = text.found(&[label.as_str(), name.as_str()]);
        simple(
            &mut found,
            words,
            &format!("{{ kind = \"vector\", name = \"{}\" }}", vector.name()),
        );
    }
    let time = text.time();
    let at = quoted(time.as_deref().unwrap_or(FILL_IN));
    simple(
        &mut found,
        text.found(RESTORED),
        &format!("{{ kind = \"restored\", at = {at} }}"),
    );
    let attack = text.found(ATTACK);
    for (table, kind) in [(STARTED, "started-at"), (ENDED, "ended-at")] {
        let mut words = text.found(table);
        // Much begins and ends; only of an attack or with a time is it meant here.
        if !words.is_empty() && (!attack.is_empty() || time.is_some()) {
            words.extend(time.clone());
            simple(
                &mut found,
                words,
                &format!("{{ kind = \"{kind}\", at = {at}, within_s = 60 }}"),
            );
        }
    }
    if let Some((number, words)) = text.people() {
        simple(
            &mut found,
            words,
            &format!("{{ kind = \"people-affected\", at_least = {number} }}"),
        );
    }
    let origin = text.found(ORIGIN);
    let prefix = text.prefix();
    simple(
        &mut found,
        origin,
        &format!(
            "{{ kind = \"exposed-origin\", prefix = {} }}",
            quoted(prefix.as_deref().unwrap_or(FILL_IN))
        ),
    );
    let off = text.found(OFF);
    if !off.is_empty() {
        let network = numbers
            .first()
            .map_or(quoted(FILL_IN), |(asn, _)| asn.to_string());
        let country = countries
            .first()
            .map_or(String::new(), |(country, _)| format!(", country = \"{country}\""));
        simple(
            &mut found,
            off,
            &format!("{{ kind = \"provider-off\", network = {network}{country} }}"),
        );
    }
    simple(&mut found, attack, "{ kind = \"is-attack\" }");
    found
}

fn simple(found: &mut Vec<Proposal>, words: Vec<String>, toml: &str) {
    if !words.is_empty() {
        found.push(Proposal {
            toml: toml.to_owned(),
            words,
        });
    }
}

/// A TOML basic string.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A sentence's words, as written and in lower case, without the marks around them.
struct Text {
    written: Vec<String>,
    lower: Vec<String>,
    /// All words in lower case with a space around each, to look for phrases in; inner marks stay.
    spaced: String,
    /// The sentence before marks were taken off: for names, which end at marks.
    raw: Vec<String>,
}

impl Text {
    fn of(sentence: &str) -> Text {
        let raw: Vec<String> = sentence.split_whitespace().map(str::to_owned).collect();
        let outer = |c: char| !c.is_alphanumeric();
        let written: Vec<String> = raw
            .iter()
            .map(|word| word.trim_matches(outer).replace('\u{2019}', "'"))
            .map(|word| word.strip_suffix("'s").map(str::to_owned).unwrap_or(word))
            .collect();
        let lower: Vec<String> = written.iter().map(|word| word.to_lowercase()).collect();
        // Phrases with a comma inside are looked for too.
        let with_commas: Vec<String> = raw
            .iter()
            .map(|word| {
                word.trim_matches(|c: char| !c.is_alphanumeric() && c != ',')
                    .to_lowercase()
            })
            .collect();
        Text {
            spaced: format!(" {} \n {} ", lower.join(" "), with_commas.join(" ")),
            written,
            lower,
            raw,
        }
    }

    /// The phrases of a table that stand in it as whole words.
    fn found(&self, table: &[&str]) -> Vec<String> {
        let mut found: Vec<String> = table
            .iter()
            .filter(|phrase| self.spaced.contains(&format!(" {phrase} ")))
            .map(|phrase| (*phrase).to_owned())
            .collect();
        found.dedup();
        found
    }

    /// `AS14593`, `AS 14593`.
    fn as_numbers(&self) -> Vec<(u32, String)> {
        let mut found: Vec<(u32, String)> = Vec::new();
        for (i, word) in self.written.iter().enumerate() {
            let digits = match word.strip_prefix("AS").or(word.strip_prefix("ASN")) {
                Some("") => self.written.get(i + 1).map(String::as_str),
                digits => digits,
            };
            if let Some(asn) = digits.and_then(|digits| digits.parse().ok())
                && !found.iter().any(|(known, _)| *known == asn)
            {
                found.push((asn, format!("AS{asn}")));
            }
        }
        found
    }

    /// A name that stands after "by" or before "claimed": words that begin with a capital.
    fn group(&self) -> Option<(String, String)> {
        let capital = |i: usize| {
            self.written
                .get(i)
                .is_some_and(|word| word.chars().next().is_some_and(char::is_uppercase))
        };
        let ends = |i: usize| {
            self.raw
                .get(i)
                .is_some_and(|word| word.ends_with([',', '.', ';', ':', '!', '?']))
        };
        for (i, word) in self.lower.iter().enumerate() {
            if word == "by" && capital(i + 1) {
                let mut last = i + 1;
                while capital(last + 1) && !ends(last) && last < i + 6 {
                    last += 1;
                }
                let name = self.written.get(i + 1..=last)?.join(" ");
                if self.is_name(&name) {
                    return Some((name, "by".to_owned()));
                }
            }
        }
        for after in CLAIMS_AFTER {
            let words: Vec<&str> = after.split(' ').collect();
            let at = self
                .lower
                .windows(words.len())
                .position(|window| window.iter().map(String::as_str).eq(words.iter().copied()));
            let Some(at) = at.filter(|&at| at > 0) else {
                continue;
            };
            let mut first = at;
            while first > 0 && capital(first - 1) && (first == at || !ends(first - 1)) && at - first < 6 {
                first -= 1;
            }
            let name = self.written.get(first..at)?.join(" ");
            if first < at && self.is_name(&name) {
                return Some((name, (*after).to_owned()));
            }
        }
        None
    }

    /// Not a country, and not a pronoun at the beginning.
    fn is_name(&self, name: &str) -> bool {
        let lower = name.to_lowercase();
        country::read(name).is_none()
            && !["he", "she", "it", "they", "we", "i", "musk", "elon musk", "the"].contains(&lower.as_str())
    }

    /// An RFC 3339 time that stands in it.
    fn time(&self) -> Option<String> {
        self.raw
            .iter()
            .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
            .find(|word| {
                let bytes = word.as_bytes();
                bytes.len() >= 17
                    && bytes.get(4) == Some(&b'-')
                    && bytes.get(10) == Some(&b'T')
                    && bytes
                        .get(..4)
                        .is_some_and(|year| year.iter().all(u8::is_ascii_digit))
            })
            .map(str::to_owned)
    }

    /// A prefix that stands in it.
    fn prefix(&self) -> Option<String> {
        self.written
            .iter()
            .find(|word| word.contains(['.', ':']) && word.parse::<atlas::Prefix>().is_ok())
            .cloned()
    }

    /// `40,000 users`, `2 million people`: the number, and the words.
    fn people(&self) -> Option<(u64, Vec<String>)> {
        let who = self
            .lower
            .iter()
            .position(|word| PEOPLE.contains(&word.as_str()))?;
        let from = who.saturating_sub(4);
        let before = self.lower.get(from..who)?;
        let (i, number) = before.iter().enumerate().rev().find_map(|(i, word)| {
            let digits: String = word.chars().filter(|c| *c != ',').collect();
            let number: f64 = digits.parse().ok().filter(|n: &f64| n.is_finite() && *n >= 1.0)?;
            Some((i, number))
        })?;
        let times = match before.get(i + 1).map(String::as_str) {
            Some("thousand") => 1e3,
            Some("million") => 1e6,
            Some("billion") => 1e9,
            _ => 1.0,
        };
        let number = number * times;
        // More than there can be people.
        (number <= 1e10).then(|| {
            (
                number as u64,
                self.lower.get(from + i..=who).unwrap_or_default().to_vec(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tomls(sentence: &str) -> Vec<String> {
        propose(sentence)
            .into_iter()
            .map(|proposal| proposal.toml)
            .collect()
    }

    #[test]
    fn the_statements_of_10_march_2025_are_proposed() {
        let sentence = "We're not sure exactly what happened but there was a massive cyberattack to try to bring down the X system with IP addresses originating in the Ukraine area.";
        let first = &propose(sentence)[0];
        assert_eq!(
            first.toml,
            "{ kind = \"from-countries\", countries = [\"UA\"], extent = \"most\" }"
        );
        assert!(
            first.words.contains(&"the ukraine".to_owned())
                && first.words.contains(&"originating".to_owned())
        );
        assert_eq!(
            tomls(
                "We get attacked every day, but this was done with a lot of resources. Either a large, coordinated group and/or a country is involved."
            ),
            [
                "{ kind = \"actor-state\" }",
                "{ kind = \"coordinated\", large_group = true }",
                "{ kind = \"many-resources\" }",
                "{ kind = \"is-attack\" }",
            ]
        );
        assert_eq!(
            tomls("Twitter has been taken offline by Dark Storm Team"),
            ["{ kind = \"actor-group\", name = \"Dark Storm Team\" }"]
        );
        assert_eq!(
            tomls("Dark Storm Team claimed responsibility."),
            ["{ kind = \"actor-group\", name = \"Dark Storm Team\" }"]
        );
    }

    #[test]
    fn other_kinds() {
        let first = |sentence: &str| tomls(sentence).first().cloned().unwrap_or_default();
        assert_eq!(
            first("Russia is behind the attack"),
            "{ kind = \"actor-state\", state = \"RU\" }"
        );
        assert_eq!(
            first("Some of the traffic came from Brazil and South Korea"),
            "{ kind = \"from-countries\", countries = [\"BR\", \"KR\"], extent = \"any\" }"
        );
        assert_eq!(
            first("traffic from AS14593 and AS 3320"),
            "{ kind = \"from-networks\", networks = [14593, 3320], extent = \"most\" }"
        );
        assert_eq!(
            first("more than 40,000 users were affected"),
            "{ kind = \"people-affected\", at_least = 40000 }"
        );
        assert_eq!(
            first("2 million people cannot log in"),
            "{ kind = \"people-affected\", at_least = 2000000 }"
        );
        assert_eq!(
            first("It was a SYN flood."),
            "{ kind = \"vector\", name = \"syn_flood\" }"
        );
        assert_eq!(
            first("The service is restored."),
            "{ kind = \"restored\", at = \"FILL IN\" }"
        );
        assert_eq!(
            first("The attack began at 2025-03-10T09:45:00Z."),
            "{ kind = \"started-at\", at = \"2025-03-10T09:45:00Z\", within_s = 60 }"
        );
        assert_eq!(
            first("origin servers in 198.51.100.0/24 were not behind Cloudflare"),
            "{ kind = \"exposed-origin\", prefix = \"198.51.100.0/24\" }"
        );
        assert_eq!(
            first("AS14593 was switched off in Ukraine"),
            "{ kind = \"provider-off\", network = 14593, country = \"UA\" }"
        );
        assert!(tomls("Nothing of the kind was said here.").is_empty());
        assert!(tomls("").is_empty());
    }

    #[test]
    fn strings_are_quoted() {
        assert_eq!(quoted("a \"b\" \\ c\n\u{1}"), "\"a \\\"b\\\" \\\\ c\\n\\u0001\"");
    }
}
