//! What all pages share: their frame, times, icons of standings, and what is told in tables.

use std::borrow::Cow;

use maud::{DOCTYPE, Markup, html};

use super::files;
use crate::case_json::time;
use crate::page::{clean, outside};
use crate::serve::config::Config;
use crate::serve::lang::{Language, Texts};
use crate::serve::state::Standing;

const DAY_NS: u64 = 86_400_000_000_000;

/// A page.
pub(crate) struct Frame<'a> {
    pub(crate) title: Cow<'a, str>,
    pub(crate) config: &'a Config,
    pub(crate) language: Language,
    /// Where news of this page come from, and which version this one is.
    pub(crate) live: Option<(&'a str, u64)>,
    /// What stands in the address of this page beside the language, as `q=x&page=2`, for links to the other languages.
    pub(crate) query: &'a str,
    /// Whether others may find it by a search: not those that only one visitor is shown.
    pub(crate) is_public: bool,
    pub(crate) main: Markup,
}

/// The whole page.
pub(crate) fn page(frame: &Frame<'_>) -> String {
    let Frame { config, language, .. } = frame;
    let texts = language.texts();
    let site = &config.site;
    let (live, version) = frame.live.unzip();
    let page = html! {
        (DOCTYPE)
        html lang=(language.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "Epicenter " (env!("CARGO_PKG_VERSION")) };
                @if !frame.is_public { meta name="robots" content="noindex"; }
                title { (clean(&frame.title)) }
                link rel="icon" href="/favicon.svg" type="image/svg+xml";
                link rel="stylesheet" href=(files::STYLE.address());
                script src=(files::SCRIPT.address()) defer {}
            }
            body data-live=[live] data-version=[version] {
                a.skip href="#main" { (texts.skip) }
                header.top {
                    a.site href="/" { (outside(&site.name)) }
                    nav aria-label=(texts.menu) {
                        a href="/" { (texts.services) }
                        a href="/incidents" { (texts.incidents) }
                        a href="/about" { (texts.about) }
                    }
                }
                main id="main" tabindex="-1" { (frame.main) }
                div.unseen id="news" role="status" aria-live="polite" {}
                footer {
                    p id="zone" data-both=(texts.times_both) { (texts.times_utc) }
                    @if !site.contact.is_empty() { p { (texts.contact) " " (contact(&site.contact)) } }
                    nav aria-label=(texts.language) {
                        ul.languages { @for other in Language::ALL { li {
                            @if other == *language {
                                span aria-current="true" lang=(other.code()) { (other.name()) }
                            } @else {
                                a href=(with_language(frame.query, other)) lang=(other.code()) hreflang=(other.code()) { (other.name()) }
                            }
                        } } }
                    }
                }
            }
        }
    };
    let mut text = page.into_string();
    text.push('\n');
    text
}

fn with_language(query: &str, language: Language) -> String {
    if query.is_empty() {
        format!("?lang={}", language.code())
    } else {
        format!("?{query}&lang={}", language.code())
    }
}

/// Where people can write to: an address of mail or of the web.
fn contact(address: &str) -> Markup {
    let is_mail = address.contains('@')
        && address
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "@.-_+".contains(c));
    if is_mail {
        html! { a href={ "mailto:" (address) } { (address) } }
    } else {
        crate::page::link(address)
    }
}

/// A moment, in UTC; the script writes it in the visitor's zone too. The date is there where it is not that of `now_ns`.
pub(crate) fn moment(ns: u64, now_ns: u64) -> Markup {
    html! { time datetime=(stamp(ns)) { (moment_text(ns, now_ns)) } }
}

/// As [`moment`], where there can be no element.
pub(crate) fn moment_text(ns: u64, now_ns: u64) -> String {
    let stamp = stamp(ns);
    let clock = stamp.get(11..16).unwrap_or_default();
    if ns / DAY_NS == now_ns / DAY_NS {
        format!("{clock} UTC")
    } else {
        format!("{} {clock} UTC", stamp.get(..10).unwrap_or_default())
    }
}

/// To the second: nobody's zone needs more.
fn stamp(ns: u64) -> String {
    time(ns - ns % 1_000_000_000)
}

/// Hours and minutes of a time in UTC.
pub(crate) fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60)
}

/// The word for a standing.
pub(crate) fn standing_word(standing: Standing, texts: &Texts) -> &'static str {
    match standing {
        Standing::Learning => texts.stand_learning,
        Standing::Operational => texts.stand_operational,
        Standing::Closed => texts.stand_closed,
        Standing::Resolved => texts.stand_resolved,
        Standing::Recovering => texts.stand_recovering,
        Standing::Suspected => texts.stand_suspected,
        Standing::Confirmed => texts.stand_confirmed,
        Standing::Identified => texts.stand_identified,
    }
}

/// The word for a standing with its sign: a shape of its own, not only a colour.
pub(crate) fn badge(standing: Standing, texts: &Texts) -> Markup {
    let (class, sign) = match standing {
        Standing::Learning => ("dim", "M8 2a6 6 0 1 0 .01 0zM8 4a4 4 0 1 1-.01 0z"),
        Standing::Operational | Standing::Closed | Standing::Resolved => {
            ("well", "M3 8l2-2 2 2 5-5 2 2-7 7z")
        }
        Standing::Recovering => ("may", "M8 2l6 6h-4v6H6V8H2z"),
        Standing::Suspected => ("may", "M8 1l7 13H1zM7 6v4h2V6zM7 11v2h2v-2z"),
        Standing::Confirmed | Standing::Identified => (
            "ill",
            "M5 1h6l4 4v6l-4 4H5l-4-4V5zM4.5 6l2 2-2 2L6 11.5l2-2 2 2L11.500 10l-2-2 2-2L10 4.500l-2 2-2-2z",
        ),
    };
    html! {
        span class={ "badge " (class) } {
            svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" { path fill-rule="evenodd" d=(sign) {} }
            (standing_word(standing, texts))
        }
    }
}

/// The word for a confidence of the case's.
pub(crate) fn confidence(word: &str, texts: &Texts) -> &'static str {
    match word {
        "high" => texts.high,
        "moderate" => texts.moderate,
        _ => texts.low,
    }
}

/// A table that scrolls on a narrow screen, also by keyboard. A column is its heading and whether it holds numbers; `rows` are its
/// `tr`, the first cell of each a `th scope="row"`.
pub(crate) fn table(caption: &str, columns: &[(&str, bool)], rows: &Markup) -> Markup {
    html! {
        div.scroll role="group" tabindex="0" aria-label=(caption) {
            table {
                caption { span { (caption) } }
                thead { tr { @for (heading, is_number) in columns {
                    // Above bars there is nothing to say.
                    @if heading.is_empty() { td {} } @else { th.num[*is_number] scope="col" { (heading) } }
                } } }
                tbody { (rows) }
            }
        }
    }
}

/// A share of counted reports with its interval, 95 % (Wilson).
pub(crate) fn wilson(part: u64, whole: u64) -> [f64; 3] {
    let (part, n) = (part.min(whole) as f64, whole.max(1) as f64);
    let (p, z) = (part / n, 1.96f64);
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    [p, (middle - half).max(0.0), (middle + half).min(1.0)]
}

/// The cells of a share: a bar with its interval for the eye, and the numbers.
pub(crate) fn share_cells(share: [f64; 3], language: Language) -> Markup {
    let [estimate, low, high] = share;
    let at = |value: f64| format!("{}", (value.clamp(0.0, 1.0) * 1_000.0).round() / 10.0);
    html! {
        td.wide {
            svg.bar viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true" {
                rect.part width=(at(estimate)) height="12" {}
                path.range d={ "M" (at(low)) " 6H" (at(high)) "M" (at(low)) " 2v8M" (at(high)) " 2v8" } {}
            }
        }
        td.num { (language.interval(share)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_date_only_where_it_is_another() {
        let now = 1_741_600_000_000_000_000; // 2025-03-10T09:46:40Z
        assert_eq!(
            moment(now - 60_123_456_789, now).into_string(),
            "<time datetime=\"2025-03-10T09:45:39Z\">09:45 UTC</time>"
        );
        assert_eq!(moment_text(now - DAY_NS, now), "2025-03-09 09:46 UTC");
    }

    #[test]
    fn intervals_are_those_of_wilson() {
        let [p, low, high] = wilson(10, 40);
        assert!(
            (p - 0.25).abs() < 1e-9 && (low - 0.1419).abs() < 1e-3 && (high - 0.4019).abs() < 1e-3,
            "{low} {high}"
        );
        assert_eq!(wilson(0, 0)[0], 0.0);
    }

    #[test]
    fn only_addresses_of_mail_and_web_are_links() {
        assert_eq!(
            contact("noc@example.org").into_string(),
            "<a href=\"mailto:noc@example.org\">noc@example.org</a>"
        );
        assert!(
            contact("https://example.org/")
                .into_string()
                .starts_with("<a href=\"https://")
        );
        assert!(!contact("javascript:alert(1)@x").into_string().contains("href"));
    }
}
