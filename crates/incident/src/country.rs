//! Countries by the names that people use for them.

use std::collections::BTreeMap;

use atlas::Country;

/// Codes, names, further names and demonyms: `data/countries.tsv`.
const TABLE: &str = include_str!("../data/countries.tsv");
/// Words of the longest name.
const WORDS_MAX: usize = 8;

fn rows() -> impl Iterator<Item = (Country, &'static str, &'static str)> {
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split('\t');
            let code: [u8; 2] = fields.next()?.as_bytes().try_into().ok()?;
            Some((Country(code), fields.next()?, fields.next().unwrap_or("")))
        })
}

/// Whether ISO 3166-1 has such a code (or databases use it: XK).
pub fn exists(country: Country) -> bool {
    rows().any(|(known, ..)| known == country)
}

/// `Ukraine`; the code where none is known by it.
pub fn name(country: Country) -> String {
    rows()
        .find(|(known, ..)| *known == country)
        .map_or(country.to_string(), |(_, name, _)| name.to_owned())
}

/// `Ukraine (UA)`.
pub fn named(country: Country) -> String {
    format!("{} ({country})", name(country))
}

/// A country from its code (`UA`, `ua`) or a name of it (`Ukraine`, `the Ukraine`).
pub fn read(text: &str) -> Option<Country> {
    let text = text.trim();
    if let [a, b] = text.as_bytes() {
        let code = Country([a.to_ascii_uppercase(), b.to_ascii_uppercase()]);
        if exists(code) {
            return Some(code);
        }
    }
    let wanted = text.to_lowercase();
    if wanted.is_empty() {
        return None;
    }
    rows()
        .find(|(_, name, further)| {
            name.to_lowercase() == wanted || further.split(';').any(|one| one == wanted)
        })
        .map(|(country, ..)| country)
}

/// Countries that a sentence's words (lower case) name, with the words that do, in the order of the sentence. The longest name at a
/// place wins, so that South Sudan is not also Sudan. Codes are not looked for: `in`, `it` and `us` are words.
pub fn mentioned(words: &[&str]) -> Vec<(Country, String)> {
    let mut names: BTreeMap<String, Country> = BTreeMap::new();
    for (country, name, further) in rows() {
        names.insert(name.to_lowercase(), country);
        for one in further.split(';').filter(|one| !one.is_empty()) {
            names.insert(one.to_owned(), country);
        }
    }
    let mut found: Vec<(Country, String)> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let longest = (1..=WORDS_MAX.min(words.len() - at)).rev().find_map(|length| {
            let phrase = words[at..at + length].join(" ");
            names.get(&phrase).map(|&country| (country, phrase, length))
        });
        match longest {
            Some((country, phrase, length)) => {
                if !found.iter().any(|(known, _)| *known == country) {
                    found.push((country, phrase));
                }
                at += length;
            }
            None => at += 1,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let codes: Vec<Country> = rows().map(|(country, ..)| country).collect();
        assert_eq!(codes.len(), 250, "249 of ISO 3166-1 and XK");
        assert!(
            codes.windows(2).all(|pair| pair[0] < pair[1]),
            "sorted, none twice"
        );
        let mut names: Vec<String> = rows()
            .flat_map(|(_, name, further)| {
                std::iter::once(name.to_lowercase()).chain(further.split(';').map(str::to_owned))
            })
            .filter(|name| !name.is_empty())
            .collect();
        let all = names.len();
        names.sort();
        assert!(
            names
                .iter()
                .all(|name| *name == name.to_lowercase() && name == name.trim())
        );
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        // A name may stand twice for one country, never for two.
        for pair in &twice {
            assert_eq!(
                rows()
                    .filter(|(_, n, f)| n.to_lowercase() == pair[0] || f.split(';').any(|o| o == pair[0]))
                    .count(),
                1,
                "{pair:?}"
            );
        }
        assert!(all > 400);
        assert!(
            names.iter().all(|name| name.split(' ').count() <= WORDS_MAX),
            "a name is longer than is looked for"
        );
    }

    #[test]
    fn countries_are_found_in_sentences() {
        let found = |text: &str| -> Vec<String> {
            let words: Vec<&str> = text.split(' ').collect();
            mentioned(&words)
                .into_iter()
                .map(|(country, _)| country.to_string())
                .collect()
        };
        assert_eq!(found("ip addresses originating in the ukraine area"), ["UA"]);
        assert_eq!(found("from north korea and south korean hosts"), ["KP", "KR"]);
        assert_eq!(found("it hit us in the morning"), [""; 0]);
        assert_eq!(found("nigeria and not niger"), ["NG", "NE"]);
        assert_eq!(found("the uk and the united states"), ["GB", "US"]);
        assert_eq!(read("ua").map(named), Some("Ukraine (UA)".to_owned()));
        assert_eq!(read("ZZ"), None);
        assert_eq!(read("QQ"), None);
        assert_eq!(read(""), None);
    }
}
