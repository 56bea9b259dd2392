//! Every page in every language, read as a browser reads it; and the addresses, asked as a browser asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::incident::outage::{Attacked, Probed, Wave};
use atlas::{Atlas, Country};
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use futures_util::StreamExt;
use html5ever::tendril::TendrilSink;
use html5ever::{ParseOpts, parse_document};
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use tower::util::ServiceExt;

use super::notice::Outcome;
use super::{Around, front, incident, notice, routes, service};
use crate::serve::cache::Pages;
use crate::serve::config::{Config, Probe, Service};
use crate::serve::http::App;
use crate::serve::lang::Language;
use crate::serve::state::{
    Attack, BIN_S, BINS, Because, Bin, Counters, Incident, Probing, Said, Slot, Standing, State, Update, View,
};

const HOSTILE: &str =
    "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}\u{1}&amp;\"'";
const NOW_NS: u64 = 1_741_604_800_000_000_000; // 2025-03-10T11:06:40Z
const MINUTE: u64 = 60_000_000_000;

/// What happens to a service of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Quiet,
    Learning,
    Surge,
    Recovering,
    Brigade,
    Hostile,
}

const KINDS: [Kind; 6] = [
    Kind::Quiet,
    Kind::Learning,
    Kind::Surge,
    Kind::Recovering,
    Kind::Brigade,
    Kind::Hostile,
];

fn hostile_name() -> String {
    HOSTILE.chars().cycle().take(200).collect()
}

fn configured(kind: Kind) -> Service {
    let probe = Probe::Tcp {
        address: "x.example:443".to_owned(),
        every: crate::serve::config::Span(std::time::Duration::from_secs(60)),
        timeout: crate::serve::config::Span(std::time::Duration::from_secs(10)),
    };
    let mut symptoms: Vec<String> = ["website", "app", "login", "slow", "connection", "other"]
        .map(str::to_owned)
        .into();
    if kind == Kind::Hostile {
        symptoms.push(HOSTILE.to_owned());
    }
    let name = match kind {
        Kind::Hostile => hostile_name(),
        Kind::Surge => "X (formerly Twitter)".to_owned(),
        kind => format!("{kind:?} Service"),
    };
    Service {
        slug: format!("{kind:?}").to_lowercase(),
        name,
        url: if kind == Kind::Hostile {
            "javascript:alert(1)".to_owned()
        } else {
            "https://x.example/".to_owned()
        },
        about: if kind == Kind::Hostile {
            HOSTILE.to_owned()
        } else {
            "Short messages for everybody".to_owned()
        },
        networks: Vec::new(),
        symptoms,
        neighbours: vec!["quiet".to_owned(), "surge".to_owned(), "gone".to_owned()],
        claims: None,
        probe: if kind == Kind::Learning {
            Vec::new()
        } else {
            vec![probe]
        },
    }
}

fn bins(kind: Kind) -> Vec<Bin> {
    let last_s = NOW_NS / 1_000_000_000 / BIN_S * BIN_S;
    let codes = [
        b"US", b"BR", b"JP", b"GB", b"UA", b"DE", b"FR", b"ES", b"MX", b"IN", b"ID", b"TR", b"PH", b"SG",
        b"PL", b"IT", b"ZZ",
    ];
    (0..BINS as u64)
        .map(|n| {
            // Days have their hours: from 8 to 24 in each quarter of an hour.
            let expected = 16.0 + 8.0 * (n as f64 / 15.0).sin();
            let usual = (expected + (n * 7_919 % 11) as f64 - 5.0) as u64;
            let reports = match kind {
                Kind::Surge | Kind::Hostile if n >= 88 => {
                    [900, 5_200, 9_412, 8_733, 7_919, 9_000, 7_400, 3_100][n as usize - 88]
                }
                Kind::Recovering if (40..52).contains(&n) => 600 + n * 7,
                Kind::Recovering if n >= 84 => (96 - n) * 40,
                Kind::Brigade if n >= 90 => 240,
                _ => usual,
            };
            let part = |n: u64, of: u64| (reports * n / of).max(u64::from(reports > 0));
            let fails = matches!(kind, Kind::Surge | Kind::Hostile) && n >= 89;
            let mut countries = BTreeMap::new();
            let mut networks = BTreeMap::new();
            for (at, code) in codes.iter().enumerate() {
                countries.insert(Country(**code), part(codes.len() as u64 - at as u64, 150));
            }
            let count = if kind == Kind::Brigade { 3 } else { 250 };
            for asn in 0..count {
                networks.insert(
                    [0, 7_018, 7_922, 3_320, 28_573][asn as usize % 5] + asn / 5,
                    part(1, u64::from(count)),
                );
            }
            let named = if kind == Kind::Hostile { HOSTILE } else { "login" };
            Bin {
                start_s: last_s - (BINS as u64 - 1 - n) * BIN_S,
                reports,
                expected,
                minutes_known: if kind == Kind::Learning { 0 } else { 15 },
                tried: if kind == Kind::Learning || n == 30 { 0 } else { 45 },
                failed: if fails { 44 } else { u64::from(n == 12) },
                countries,
                networks,
                symptoms: [("website", 5), ("app", 3), (named, 2), ("", 1)]
                    .into_iter()
                    .map(|(symptom, n)| (symptom.to_owned(), part(n, 11)))
                    .collect(),
            }
        })
        .collect()
}

fn wave(from_min: u64, to_min: Option<u64>) -> Wave {
    let ago = |min: u64| NOW_NS - min * MINUTE;
    Wave {
        start_ns: ago(from_min),
        detected_ns: ago(from_min - 2),
        end_ns: to_min.map(ago),
        reports: 38_412,
        expected: 674.2,
        peak: 9_412,
        peak_ns: ago(from_min - 20),
    }
}

fn happened(kind: Kind) -> Option<Incident> {
    let (standing, waves, cause) = match kind {
        Kind::Quiet | Kind::Learning => return None,
        Kind::Surge | Kind::Hostile => (Standing::Identified, vec![wave(96, None)], "attack"),
        Kind::Recovering => (
            Standing::Recovering,
            vec![wave(840, Some(650)), wave(180, None)],
            "neighbour",
        ),
        Kind::Brigade => (Standing::Suspected, vec![wave(90, None)], "brigade"),
    };
    let is_hostile = kind == Kind::Hostile;
    let words = |text: &str| {
        if is_hostile {
            HOSTILE.to_owned()
        } else {
            text.to_owned()
        }
    };
    let update = |min: u64, text: &str| Update {
        at_ns: NOW_NS - min * MINUTE,
        who: words("Olena"),
        text: words(text),
    };
    Some(Incident {
        id: format!("{}-20250310-0930", format!("{kind:?}").to_lowercase()),
        service: format!("{kind:?}").to_lowercase(),
        standing,
        start_ns: waves[0].start_ns,
        end_ns: None,
        waves,
        reports: 38_412,
        expected: 674.2,
        limited: if kind == Kind::Brigade { 0.82 } else { 0.0 },
        countries: vec![
            (Country(*b"US"), [0.31, 0.30, 0.32]),
            (Country::UNKNOWN, [0.02, 0.01, 0.03]),
        ],
        networks: vec![(7_018, [0.1, 0.09, 0.11]), (0, [0.3, 0.2, 0.4])],
        symptoms: vec![(words("website"), 0.5), (String::new(), 0.1)],
        probed: Some(Probed {
            tried: 300,
            failed: 280,
            failing_places: 3,
            places: 3,
        }),
        cause: Because {
            kind: cause.to_owned(),
            of: vec![
                if kind == Kind::Recovering {
                    "surge"
                } else {
                    "syn-flood-1"
                }
                .to_owned(),
            ],
            confidence: "moderate".to_owned(),
            because: vec![words(
                "A SYN flood on its network began two minutes before the first reports.",
            )],
        },
        confidence: "high".to_owned(),
        caveats: vec![words(
            "Reports say that people have trouble, and how many said so; they do not say how many people have it.",
        )],
        attacks: if cause == "attack" {
            vec![words("SYN flood on 192.0.2.10: 912 Mbit/s at the most")]
        } else {
            Vec::new()
        },
        acknowledged: Some((words("Olena"), NOW_NS - 80 * MINUTE)),
        updates: vec![
            update(60, "We filter at our upstream."),
            update(20, "Logging in works again in Europe."),
        ],
        post_mortem: is_hostile.then(|| update(1, "x")),
        merged_into: is_hostile.then(|| "other & id/with?odd#signs".to_owned()),
        named_cause: None,
    })
}

fn view(kind: Kind, version: u64) -> View {
    let incident = happened(kind).map(Arc::new);
    let bins = bins(kind);
    let is_attacked = matches!(kind, Kind::Surge | Kind::Hostile);
    let is_hostile = kind == Kind::Hostile;
    let words = |text: &str| {
        if is_hostile {
            HOSTILE.to_owned()
        } else {
            text.to_owned()
        }
    };
    let hour: u64 = bins.iter().rev().take(4).map(|bin| bin.reports).sum();
    let places = ["Frankfurt", "São Paulo", "Київ"];
    View {
        service: configured(kind),
        version,
        at_ns: NOW_NS,
        standing: match kind {
            Kind::Quiet => Standing::Operational,
            Kind::Learning => Standing::Learning,
            Kind::Surge | Kind::Hostile => Standing::Identified,
            Kind::Recovering => Standing::Recovering,
            Kind::Brigade => Standing::Suspected,
        },
        is_learning: kind == Kind::Learning,
        last_hour: (if kind == Kind::Surge { 38_412 } else { hour }, 67.4),
        last_15: (bins[BINS - 1].reports, 16.0),
        failing: match kind {
            Kind::Learning => (0, 0),
            _ if is_attacked => (3, 3),
            _ => (0, 3),
        },
        failing_since_ns: is_attacked.then_some(NOW_NS - 94 * MINUTE),
        probes: if kind == Kind::Learning {
            Vec::new()
        } else {
            places
                .iter()
                .enumerate()
                .map(|(n, place)| Probing {
                    place: words(place),
                    probe: 0,
                    kind: "http".to_owned(),
                    at_ns: NOW_NS - n as u64 * 20_000_000_000,
                    ok: if n == 2 && !is_attacked {
                        None
                    } else {
                        Some(!is_attacked)
                    },
                    reason: if is_attacked {
                        words("no answer within 10 s")
                    } else {
                        String::new()
                    },
                    ms: (!is_attacked).then_some(123.4),
                    certificate_ends_s: (n == 0).then_some(1_760_000_000),
                    tried: 100,
                    failed: 3,
                })
                .collect()
        },
        attacks: if is_attacked {
            vec![Attack {
                attacked: Attacked {
                    id: "syn-flood-1".to_owned(),
                    target: "192.0.2.0/24".parse().expect("a prefix"),
                    start_ns: NOW_NS - 96 * MINUTE,
                    end_ns: u64::MAX,
                },
                vectors: words("SYN flood"),
                headline: words("SYN flood on 192.0.2.10"),
                is_running: true,
                is_withdrawn: false,
                incident: None,
            }]
        } else {
            Vec::new()
        },
        said: if is_attacked {
            vec![Said {
                by: Some(words("the owner")),
                said: words("IP addresses of one country"),
                at_ns: Some(NOW_NS - 30 * MINUTE),
                url: Some("https://example.org/said?a=1&b=<2>".to_owned()),
                words: "very unlikely".to_owned(),
                about: Some(words("coordination alone")),
                confidence: "moderate".to_owned(),
                because: vec![words("1.9 % of the senders are there.")],
                would_change: vec![words("A capture at another place.")],
                judged_ns: NOW_NS,
            }]
        } else {
            Vec::new()
        },
        past: incident.iter().cloned().collect(),
        incident,
        bins,
        pages: Pages::default(),
    }
}

/// A configuration in which everything is said that can be.
fn config(kinds: &[Kind]) -> Config {
    let mut config = Config::default();
    config.site.name = "Status <of> all".to_owned();
    config.site.about = HOSTILE.to_owned();
    config.site.contact = "noc@example.org".to_owned();
    config.reports.comments = true;
    config.reports.proof_of_work = 16;
    config.service = kinds.iter().map(|kind| configured(*kind)).collect();
    config
}

fn around<T>(make: impl FnOnce(&Around<'_>) -> T) -> T {
    make(&Around {
        service: &|slug| {
            let kind = KINDS
                .into_iter()
                .find(|kind| format!("{kind:?}").eq_ignore_ascii_case(slug))?;
            Some((configured(kind).name, view(kind, 1).standing))
        },
        network: &|network| (network == 7_018).then_some(HOSTILE),
    })
}

/// An element with its attributes, the text right inside it, and the elements around it.
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    above: Vec<String>,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn elements(page: &str) -> Vec<Element> {
    fn walk(node: &Handle, above: &mut Vec<String>, found: &mut Vec<Element>) {
        let mut is_element = false;
        if let NodeData::Element { name, attrs, .. } = &node.data {
            let children = node.children.borrow();
            let text = children.iter().filter_map(|child| match &child.data {
                NodeData::Text { contents } => Some(contents.borrow().to_string()),
                _ => None,
            });
            let attributes = attrs
                .borrow()
                .iter()
                .map(|a| (a.name.local.to_string(), a.value.to_string()))
                .collect();
            let name = name.local.to_string();
            found.push(Element {
                name: name.clone(),
                attributes,
                text: text.collect(),
                above: above.clone(),
            });
            above.push(name);
            is_element = true;
        }
        for child in node.children.borrow().iter() {
            walk(child, above, found);
        }
        if is_element {
            above.pop();
        }
    }
    let mut options = ParseOpts::default();
    options.tokenizer.exact_errors = true;
    options.tree_builder.exact_errors = true;
    let dom = parse_document(RcDom::default(), options).one(page);
    let errors = dom.errors.borrow();
    assert!(errors.is_empty(), "not well-formed: {errors:?}");
    let mut found = Vec::new();
    walk(&dom.document, &mut Vec::new(), &mut found);
    found
}

/// What holds of every page.
fn sound(page: &str, language: Language, what: &str) {
    let all = elements(page);
    let what = format!("{what} in {language:?}");
    assert!(page.len() < 60_000, "{what}: {} bytes", page.len());
    let number = |name: &str| all.iter().filter(|element| element.name == name).count();
    for once in ["h1", "main", "script", "header", "footer"] {
        assert_eq!(number(once), 1, "{what}: {once}");
    }
    assert_eq!(
        number("table"),
        number("caption"),
        "{what}: every table has its caption"
    );
    let ids: Vec<&str> = all.iter().filter_map(|element| element.attribute("id")).collect();
    for (n, id) in ids.iter().enumerate() {
        assert!(!ids[..n].contains(id), "{what}: {id} twice");
    }
    let labelled: Vec<&str> = all
        .iter()
        .filter(|element| element.name == "label")
        .filter_map(|element| element.attribute("for"))
        .collect();
    let mut level = 0;
    for element in &all {
        let name = element.name.as_str();
        assert!(
            !["style", "iframe", "object", "embed", "base"].contains(&name),
            "{what}: {name}"
        );
        for (attribute, value) in &element.attributes {
            assert!(
                attribute != "style" && !attribute.starts_with("on"),
                "{what}: {name} {attribute}={value}"
            );
            match attribute.as_str() {
                "href" if name == "a" => {
                    let known = ["https://x.example/", "mailto:noc@example.org"].contains(&value.as_str());
                    assert!(known || value.starts_with(['/', '?', '#']), "{what}: {value}");
                }
                "href" | "src" | "action" | "formaction" | "srcset" | "poster" | "data" => {
                    assert!(
                        value.starts_with('/') && !value.starts_with("//"),
                        "{what}: {name} {attribute}={value}"
                    );
                }
                "for" | "aria-labelledby" | "aria-describedby" => {
                    assert!(ids.contains(&value.as_str()), "{what}: {attribute}={value}");
                }
                _ => {}
            }
        }
        match name {
            "html" => assert_eq!(element.attribute("lang"), Some(language.code())),
            "script" => assert!(
                element.text.is_empty() && element.attribute("src").is_some(),
                "{what}: a script inside"
            ),
            "img" => {
                assert!(
                    element.attribute("alt").is_some_and(|alt| alt.len() > 10),
                    "{what}: img"
                );
                assert!(
                    element
                        .attribute("src")
                        .is_some_and(|src| src.contains("/map.svg?v=")),
                    "{what}: img"
                );
            }
            // What stands inside a picture is told by its words.
            "svg" if !element.above.iter().any(|above| above == "svg") => {
                let is_told = element.attribute("role") == Some("img")
                    && element
                        .attribute("aria-label")
                        .is_some_and(|label| !label.is_empty());
                assert!(
                    is_told || element.attribute("aria-hidden") == Some("true"),
                    "{what}: a picture without words"
                );
            }
            "input" | "textarea" | "select" if element.attribute("type") != Some("hidden") => {
                let id = element.attribute("id").unwrap_or_default();
                assert!(labelled.contains(&id), "{what}: {name} {id:?} has no label");
            }
            "th" => assert!(element.attribute("scope").is_some(), "{what}: th"),
            "h1" | "h2" | "h3" => {
                let here = usize::from(name.as_bytes()[1] - b'0');
                assert!(here <= level + 1, "{what}: from h{level} to {name}");
                level = here;
            }
            _ => {}
        }
    }
}

#[test]
fn every_page_is_sound_in_every_language() {
    let config = config(&KINDS);
    let all: Vec<Arc<View>> = KINDS.iter().map(|kind| Arc::new(view(*kind, 1))).collect();
    for language in Language::ALL {
        for view in &all {
            let page = around(|around| service::render(view, &config, around, language));
            sound(&page, language, &view.service.slug);
            assert!(!page.contains("{n}") && !page.contains("{time}"), "{language:?}");
            for outcome in Outcome::ALL {
                sound(
                    &notice::reported(outcome, &view.service, &config, language),
                    language,
                    outcome.word(),
                );
            }
            if let Some(incident) = view.incident.as_deref() {
                for service in [Some(&view.service), None] {
                    let page = around(|around| {
                        incident::render(incident, service, &config, around, NOW_NS, language)
                    });
                    sound(&page, language, &incident.id);
                }
            }
        }
        for query in [None, Some("service"), Some(HOSTILE), Some("nothing has this")] {
            sound(
                &front::render(&all, &config, language, query, 1, 7),
                language,
                "front",
            );
        }
        sound(
            &front::render(&[], &config, language, None, 3, 7),
            language,
            "an empty front",
        );
        let incidents: Vec<&Incident> = all.iter().filter_map(|view| view.incident.as_deref()).collect();
        let list = around(|around| incident::list(&incidents, &config, around, NOW_NS, (2, 3), language));
        sound(&list, language, "incidents");
        sound(&notice::about(&config, language), language, "about");
        for (status, kind) in [
            (404, "not-found"),
            (503, "busy"),
            (503, "full"),
            (422, "invalid"),
            (500, "unreadable"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            sound(&notice::error(status, kind, &config, language), language, kind);
        }
    }
}

#[test]
fn nothing_is_told_twice() {
    let config = config(&KINDS);
    let mut view = view(Kind::Surge, 1);
    let page = |view: &View| around(|around| service::render(view, &config, around, Language::English));
    let times = |page: &str, what: &str| page.matches(what).count();
    let open = page(&view);
    assert_eq!(times(&open, "/incidents/surge-20250310-0930"), 1);
    assert!(open.contains("No incident is known."));
    let incident = view.incident.take().expect("it is open");
    let over = page(&view);
    assert_eq!(times(&over, "/incidents/surge-20250310-0930"), 1);
    assert!(!over.contains("No incident is known.") && !over.contains("Timeline"));
    let its_own = around(|around| {
        incident::render(
            &incident,
            Some(&view.service),
            &config,
            around,
            NOW_NS,
            Language::English,
        )
    });
    assert_eq!(times(&its_own, "We filter at our upstream."), 1);
    assert_eq!(times(&its_own, "has it in hand."), 1);
}

/// The text of a page without its elements.
fn text(page: &str) -> String {
    let mut out = String::new();
    for part in page.split('<') {
        out.push_str(part.split_once('>').map_or(part, |(_, text)| text));
    }
    out
}

#[test]
fn the_sentence_says_what_is_known_and_no_more() {
    let config = config(&KINDS);
    let of = |kind: Kind, language: Language| {
        text(&around(|around| {
            service::render(&view(kind, 1), &config, around, language)
        }))
    };
    let surge = of(Kind::Surge, Language::English);
    assert!(
        surge.contains(
            "38,412 people reported trouble in the last hour, 570 times the usual. Our checks fail since 09:32 UTC from 3 of 3 places. \
             The traffic shows an attack since 09:30 UTC: SYN flood. Cause: an attack. Confidence: moderate."
        ),
        "{surge}"
    );
    assert!(surge.contains("it never shows who did it"));
    assert!(
        of(Kind::Surge, Language::Ukrainian).contains("повідомили 38\u{a0}412 людей")
            || of(Kind::Surge, Language::Ukrainian).contains("повідомили 38\u{a0}412 людини")
    );
    let quiet = of(Kind::Quiet, Language::English);
    assert!(
        quiet.contains("no more than usual. Our checks reach it from all 3 places."),
        "{quiet}"
    );
    let learning = of(Kind::Learning, Language::German);
    assert!(
        learning.contains("was üblich ist, wissen wir noch nicht"),
        "{learning}"
    );
    let brigade = of(Kind::Brigade, Language::English);
    assert!(brigade.contains("few networks report in concert"), "{brigade}");
    let recovering = of(Kind::Recovering, Language::English);
    assert!(
        recovering.contains("trouble of X (formerly Twitter), for which"),
        "{recovering}"
    );
    // Nothing but evidence makes an attack.
    for page in [quiet, learning, brigade, recovering] {
        assert!(!page.contains("attack") && !page.contains("Angriff"), "{page}");
    }
    let mut open = view(Kind::Recovering, 1);
    open.standing = Standing::Operational;
    open.last_hour = (0, 67.4);
    let page = text(&around(|around| {
        service::render(&open, &config, around, Language::French)
    }));
    assert!(page.contains("Personne n’a signalé de problème"), "{page}");
}

#[test]
fn the_troubled_are_first_and_pages_follow() {
    let config = config(&KINDS);
    let mut all: Vec<Arc<View>> = (0..150)
        .map(|n| {
            let mut view = view(Kind::Quiet, 1);
            view.service.slug = format!("s{n}");
            view.service.name = format!("Service {n:03}");
            Arc::new(view)
        })
        .collect();
    all.push(Arc::new(view(Kind::Brigade, 1)));
    all.push(Arc::new(view(Kind::Surge, 1)));
    let page = |query, number| front::render(&all, &config, Language::English, query, number, 1);
    let at = |page: &str, what: &str| page.find(what).unwrap_or_else(|| panic!("no {what}"));
    let first = page(None, 1);
    assert!(
        at(&first, "/s/surge\"") < at(&first, "/s/brigade\"")
            && at(&first, "/s/brigade\"") < at(&first, "/s/s0\"")
    );
    assert!(
        first.contains("2 services are in trouble.")
            && first.contains("Page 1 of 4")
            && !first.contains("/s/s149\"")
    );
    assert!(page(None, 4).contains("/s/s149\"") && page(None, usize::MAX).contains("Page 4 of 4"));
    let found = page(Some(" SERVICE 14"), 1);
    assert!(
        found.contains("10 services found.") && found.contains("/s/s149\"") && !found.contains("/s/s0\"")
    );
}

/// An app without an engine: what is asked of the file gets no answer.
fn app(kinds: &[Kind]) -> App {
    let slots = kinds.iter().map(|kind| {
        let view = view(*kind, 1);
        let slot = Slot {
            changed: tokio::sync::watch::Sender::new(1),
            view: arc_swap::ArcSwap::new(Arc::new(view)),
        };
        (
            Arc::from(format!("{kind:?}").to_lowercase().as_str()),
            Arc::new(slot),
        )
    });
    let incidents = kinds
        .iter()
        .filter_map(|kind| happened(*kind))
        .map(|one| (one.id.clone(), Arc::new(one)));
    let state = State {
        config: arc_swap::ArcSwap::new(Arc::new(config(kinds))),
        services: arc_swap::ArcSwap::new(Arc::new(slots.collect())),
        incidents: arc_swap::ArcSwap::new(Arc::new(incidents.collect())),
        changed: tokio::sync::watch::Sender::new(1),
        front: arc_swap::ArcSwap::default(),
        keys: arc_swap::ArcSwap::default(),
        counters: Counters::default(),
        is_full: false.into(),
        letters: crate::serve::notify::Letters::default(),
        alive_ns: 0.into(),
    };
    App {
        state: Arc::new(state),
        asks: std::sync::mpsc::sync_channel(1).0,
        atlas: Arc::new(Atlas::embedded()),
        events: tokio::sync::broadcast::Sender::new(1),
    }
}

async fn get(app: &App, address: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(address);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    routes()
        .with_state(app.clone())
        .oneshot(request)
        .await
        .expect("no error")
}

async fn body(response: Response<Body>) -> String {
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body");
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn header_of(response: &Response<Body>, name: header::HeaderName) -> &str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().expect("plain"))
}

#[tokio::test]
async fn pages_are_sent_once_and_in_the_language_that_is_asked_for() {
    let app = app(&KINDS);
    for address in ["/", "/s/surge"] {
        let first = get(&app, address, &[("accept-language", "uk,en;q=0.5")]).await;
        assert_eq!(header_of(&first, header::CONTENT_LANGUAGE), "uk", "{address}");
        let tag = header_of(&first, header::ETAG).to_owned();
        let again = [("if-none-match", tag.as_str()), ("accept-language", "uk")];
        assert_eq!(
            get(&app, address, &again).await.status(),
            StatusCode::NOT_MODIFIED,
            "{address}"
        );
        let other = [("if-none-match", tag.as_str()), ("accept-language", "de")];
        assert_eq!(
            get(&app, address, &other).await.status(),
            StatusCode::OK,
            "{address}"
        );
        assert!(body(first).await.contains("lang=\"uk\""));
    }
    // The page is made once: it stays although what it would be made of is another.
    let slot = app.state.services.load()["surge"].clone();
    let before = body(get(&app, "/s/surge", &[]).await).await;
    let mut other = Config::default();
    other.site.name = "Renamed".to_owned();
    app.state.config.store(Arc::new(other));
    assert_eq!(before, body(get(&app, "/s/surge", &[]).await).await);
    slot.view.store(Arc::new(view(Kind::Surge, 2)));
    assert!(body(get(&app, "/s/surge", &[]).await).await.contains("Renamed"));

    let chosen = get(&app, "/?lang=fr&q=surge", &[("cookie", "a=b; lang=de")]).await;
    assert!(header_of(&chosen, header::SET_COOKIE).starts_with("lang=fr; Path=/; Max-Age="));
    // Who comes back to a language has it again, although the browser has that page already.
    let first = get(&app, "/?lang=fr", &[]).await;
    let known = [
        ("if-none-match", header_of(&first, header::ETAG)),
        ("cookie", "lang=de"),
    ];
    let back = get(&app, "/?lang=fr", &known).await;
    assert!(header_of(&back, header::SET_COOKIE).starts_with("lang=fr;"));
    let kept = get(&app, "/", &[("cookie", "a=b; lang=de")]).await;
    assert_eq!(
        (
            header_of(&kept, header::CONTENT_LANGUAGE),
            header_of(&kept, header::SET_COOKIE)
        ),
        ("de", "")
    );
}

#[tokio::test]
async fn every_address_answers() {
    let app = app(&KINDS);
    let of = async |address: &str| {
        let response = get(&app, address, &[]).await;
        (
            response.status().as_u16(),
            header_of(&response, header::CONTENT_TYPE).to_owned(),
            body(response).await,
        )
    };
    for (address, status, kind, holds) in [
        ("/?q=brigade&page=2", 200, "text/html", "Brigade Service"),
        ("/?page=x&q=%ff", 200, "text/html", "Brigade Service"),
        ("/s/none", 404, "text/html", "There is no such page"),
        (
            "/s/surge/reported?r=already",
            200,
            "text/html",
            "once in half an hour",
        ),
        (
            "/s/surge/reported?r=what",
            404,
            "text/html",
            "There is no such page",
        ),
        ("/s/none/live", 404, "application/problem+json", "not-found"),
        ("/s/surge/map.svg", 200, "image/svg+xml", "class=\"q"),
        ("/incidents", 200, "text/html", "X (formerly Twitter)"),
        (
            "/incidents/surge-20250310-0930",
            200,
            "text/html",
            "38,412 reports",
        ),
        // There is no engine that could look into the file.
        ("/incidents/older", 503, "text/html", "more to do than we can"),
        ("/about", 200, "text/html", "keyed hash"),
        ("/static/app.js", 200, "text/javascript", "EventSource"),
        ("/static/app.css", 200, "text/css", "--ink"),
        ("/static/none", 404, "application/problem+json", "not-found"),
        ("/favicon.svg", 200, "image/svg+xml", "<svg"),
        ("/robots.txt", 200, "text/plain", "Disallow"),
    ] {
        let (found, type_of, text) = of(address).await;
        assert_eq!(found, status, "{address}");
        assert!(type_of.starts_with(kind), "{address}: {type_of}");
        assert!(text.contains(holds), "{address}: {text}");
    }
    // Files under the addresses that pages name are kept for good.
    let page = body(get(&app, "/", &[]).await).await;
    let names: Vec<String> = elements(&page)
        .iter()
        .filter(|element| ["link", "script"].contains(&element.name.as_str()))
        .filter_map(|element| {
            element
                .attribute("href")
                .or(element.attribute("src"))
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(names.len(), 3);
    for name in names.iter().filter(|name| name.starts_with("/static/")) {
        let response = get(&app, name, &[]).await;
        assert!(
            header_of(&response, header::CACHE_CONTROL).contains("immutable"),
            "{name}"
        );
    }
    let page = body(get(&app, "/s/surge", &[]).await).await;
    let map = elements(&page).iter().find_map(|element| {
        element
            .attribute("src")
            .filter(|src| src.contains("map"))
            .map(str::to_owned)
    });
    let map = get(&app, &map.expect("there is a map"), &[]).await;
    assert!(header_of(&map, header::CACHE_CONTROL).contains("immutable"));
    assert!(header_of(&map, header::CONTENT_SECURITY_POLICY).contains("style-src 'sha256-"));
}

#[tokio::test]
async fn news_are_told_once_in_two_seconds_and_listeners_are_counted() {
    let app = app(&[Kind::Surge]);
    let listeners = || {
        app.state
            .counters
            .listeners
            .load(std::sync::atomic::Ordering::Relaxed)
    };
    let response = get(&app, "/s/surge/live", &[]).await;
    assert_eq!(header_of(&response, header::CONTENT_TYPE), "text/event-stream");
    let mut events = response.into_body().into_data_stream();
    let mut next = async || {
        let bytes = events.next().await.expect("an event").expect("no error");
        String::from_utf8(bytes.to_vec()).expect("text")
    };
    let began = std::time::Instant::now();
    assert!(next().await.contains("\"version\":1"));
    assert_eq!(listeners(), 1);
    let slot = app.state.services.load()["surge"].clone();
    for version in 2..5 {
        slot.changed.send_replace(version);
    }
    let told = next().await;
    assert!(
        told.contains("\"version\":4")
            && told.contains("\"last_hour\":38412")
            && told.contains("retry: 5000"),
        "{told}"
    );
    let waited = began.elapsed();
    assert!(waited >= std::time::Duration::from_secs(2), "{waited:?}");
    // The service goes, and with it the stream.
    drop(slot);
    app.state.services.store(Arc::default());
    assert!(events.next().await.is_none());
    drop(events);
    assert_eq!(listeners(), 0);
    app.state
        .counters
        .listeners
        .store(super::LISTENERS_MAX, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(
        get(&app, "/live", &[]).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(listeners(), super::LISTENERS_MAX);
}
