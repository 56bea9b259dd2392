//! What others show of ours: Atom feeds (RFC 4287), badges, and a small page for frames.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::IntoResponse;
use axum::routing::get;
use base64::Engine as _;
use bytes::Bytes;
use maud::{PreEscaped, html};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::api::{given, name, tag, view};
use super::config::Config;
use super::http::{App, Problem};
use super::state::{Incident, Standing, View};
use super::statuspage::{base, changed_ns, page_of, sentence};
use crate::case_json::time;
use crate::page::clean;

/// Incidents of a feed.
const ENTRIES: usize = 50;
const ATOM: &str = "application/atom+xml; charset=utf-8";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/feed.atom", get(feed))
        .route("/s/{slug}/feed.atom", get(feed_of))
        .route("/s/{slug}/badge.svg", get(badge))
        .route("/s/{slug}/widget", get(widget))
}

async fn feed(State(app): State<App>, headers: HeaderMap) -> axum::response::Response {
    let version = *app.state.changed.borrow();
    given(&headers, &tag("feed", version), ATOM, 60, || {
        let config = app.state.config.load();
        let known = app.state.incidents.load();
        let incidents: Vec<&Arc<Incident>> = known.values().collect();
        Bytes::from(atom(&app, &config, None, incidents))
    })
}

async fn feed_of(
    State(app): State<App>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::response::Response, Problem> {
    let view = view(&app, &name(path)?)?;
    let tag = tag(&format!("feed-{}", view.service.slug), view.version);
    Ok(given(&headers, &tag, ATOM, 60, || {
        let config = app.state.config.load();
        Bytes::from(atom(&app, &config, Some(&view), view.past.iter().collect()))
    }))
}

/// Text in XML. What XML cannot hold, escaped or not, becomes a replacement character.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// An id that stays as long as the site keeps its address.
fn id(config: &Config, what: &str) -> String {
    let name = format!("{}/{what}", base(config));
    format!("urn:uuid:{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()))
}

fn atom(app: &App, config: &Config, of: Option<&View>, mut incidents: Vec<&Arc<Incident>>) -> String {
    incidents.retain(|incident| incident.merged_into.is_none());
    incidents.sort_by_key(|incident| std::cmp::Reverse((changed_ns(incident), incident.id.clone())));
    incidents.truncate(ENTRIES);
    let base = base(config);
    let (title, path, page) = match of {
        Some(view) => (
            format!("{}: {}", config.site.name, view.service.name),
            format!("s/{}/feed.atom", view.service.slug),
            format!("s/{}", view.service.slug),
        ),
        None => (config.site.name.clone(), "feed.atom".to_owned(), String::new()),
    };
    let services = app.state.services.load();
    // Without incidents the feed is as old as the day that is at hand: it has to say some time.
    let updated = incidents
        .first()
        .map(|incident| changed_ns(incident))
        .or_else(|| {
            let some = of.is_none().then(|| services.values().next()).flatten();
            let bins = |view: &View| Some(view.bins.first()?.start_s * 1_000_000_000);
            of.and_then(bins).or_else(|| bins(&some?.view.load()))
        })
        .unwrap_or(0);
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\" xml:lang=\"en\">\n",
    );
    let _ = write!(
        text,
        "<id>{}</id>\n<title>{}</title>\n<updated>{}</updated>\n<author><name>{}</name></author>\n\
         <generator version=\"{}\">Epicenter</generator>\n<link rel=\"self\" type=\"application/atom+xml\" href=\"{}\"/>\n\
         <link rel=\"alternate\" type=\"text/html\" href=\"{}\"/>\n",
        id(config, &path),
        xml(&title),
        time(updated),
        xml(&config.site.name),
        env!("CARGO_PKG_VERSION"),
        xml(&format!("{base}/{path}")),
        xml(&format!("{base}/{page}")),
    );
    for incident in incidents {
        let service = services.get(incident.service.as_str()).map_or_else(
            || incident.service.clone(),
            |slot| slot.view.load().service.name.clone(),
        );
        let _ = write!(
            text,
            "<entry>\n<id>{}</id>\n<title>{}</title>\n<published>{}</published>\n<updated>{}</updated>\n\
             <link rel=\"alternate\" type=\"text/html\" href=\"{}\"/>\n<category term=\"{}\"/>\n<content type=\"text\">",
            id(config, &format!("incident/{}", incident.id)),
            xml(&format!("{service}: {}", headline(incident.standing))),
            time(incident.start_ns),
            time(changed_ns(incident)),
            xml(&page_of(config, &incident.id)),
            xml(&incident.service),
        );
        text.push_str(&xml(&sentence(incident)));
        for attack in &incident.attacks {
            let _ = write!(text, "\n{}", xml(attack));
        }
        for said in incident.updates.iter().chain(&incident.post_mortem) {
            let _ = write!(text, "\n{}: {}", time(said.at_ns), xml(&said.text));
        }
        text.push_str("</content>\n</entry>\n");
    }
    text.push_str("</feed>\n");
    text
}

/// What an incident is, by where it stands.
fn headline(standing: Standing) -> &'static str {
    match standing {
        Standing::Suspected => "people may have problems",
        Standing::Confirmed => "people have problems",
        Standing::Identified => "people have problems, and the cause is known",
        Standing::Recovering => "problems become fewer",
        Standing::Resolved | Standing::Closed | Standing::Operational | Standing::Learning => {
            "problems are over"
        }
    }
}

/// How a service is, in a few words, and a colour on which white text can be read.
fn words(standing: Standing) -> (&'static str, &'static str) {
    match standing {
        Standing::Learning => ("no trouble known", "#4d5762"),
        Standing::Operational | Standing::Closed | Standing::Resolved => ("no problems", "#1f7a3d"),
        Standing::Recovering => ("recovering", "#8a5a00"),
        Standing::Suspected => ("possible problems", "#8a5a00"),
        Standing::Confirmed | Standing::Identified => ("problems", "#b3261e"),
    }
}

#[derive(Debug, Deserialize)]
struct Styled {
    style: Option<String>,
}

async fn badge(
    State(app): State<App>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<Styled>, QueryRejection>,
) -> Result<axum::response::Response, Problem> {
    let view = view(&app, &name(path)?)?;
    let style = query
        .map_err(|error| Problem::invalid(error.body_text()))?
        .0
        .style;
    let round = match style.as_deref() {
        None | Some("flat") => true,
        Some("flat-square") => false,
        Some(_) => return Err(Problem::invalid("style: is neither flat nor flat-square.")),
    };
    let tag = tag(&format!("badge-{}-{round}", view.service.slug), view.version);
    Ok(given(&headers, &tag, "image/svg+xml", 30, || {
        let (words, colour) = words(view.standing);
        Bytes::from(svg(&view.service.name, words, colour, round))
    }))
}

/// About as wide as the text is in 11 pixels of Verdana, DejaVu or Arial.
fn width(text: &str) -> usize {
    let tenths: usize = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 35,
            'f' | 'r' | 't' | ' ' | '(' | ')' | '-' | '/' => 45,
            'm' | 'w' | 'M' | 'W' | '@' | '%' => 102,
            'A'..='Z' => 76,
            c if (c as u32) < 0x1100 => 66,
            // Wide scripts.
            _ => 115,
        })
        .sum();
    tenths.div_ceil(10)
}

fn svg(name: &str, words: &str, colour: &str, round: bool) -> String {
    let shown: String = name.chars().take(40).collect();
    let (left, right) = (width(&shown) + 12, width(words) + 12);
    let (all, radius) = (left + right, if round { 3 } else { 0 });
    let told = xml(&format!("{name}: {words}"));
    // `textLength` makes the text fit, whatever font is there.
    let text = |x: usize, wide: usize, text: &str| {
        format!(
            "<text x=\"{}\" y=\"14\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\">{}</text>",
            x + 6,
            wide - 12,
            xml(text)
        )
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all}\" height=\"20\" viewBox=\"0 0 {all} 20\" \
         role=\"img\" aria-label=\"{told}\">\
         <title>{told}</title><clipPath id=\"r\"><rect width=\"{all}\" height=\"20\" rx=\"{radius}\"/></clipPath>\
         <g clip-path=\"url(#r)\"><rect width=\"{left}\" height=\"20\" fill=\"#333a42\"/>\
         <rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"{colour}\"/></g>\
         <g fill=\"#fff\" font-family=\"Verdana,DejaVu Sans,Arial,sans-serif\" font-size=\"11\">{}{}</g></svg>\n",
        text(0, left, &shown),
        text(left, right, words),
    )
}

const STYLE: &str = "body{margin:0;padding:.75rem;font:16px/1.4 system-ui,sans-serif;color:#1b1f23;background:#fff}\
    p{margin:.25rem 0}.b{display:inline-block;padding:.1rem .5rem;border-radius:.25rem;color:#fff}\
    .grey{background:#4d5762}.green{background:#1f7a3d}.amber{background:#8a5a00}.red{background:#b3261e}a{color:#0b57a4}\
    @media(prefers-color-scheme:dark){body{color:#e6e9ec;background:#16191d}a{color:#8ec2ff}}";

/// What the frame allows: its own style and nothing else; anybody may frame it.
fn frame_policy() -> &'static HeaderValue {
    static POLICY: OnceLock<HeaderValue> = OnceLock::new();
    POLICY.get_or_init(|| {
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors *"
        );
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    })
}

async fn widget(
    State(app): State<App>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
) -> Result<axum::response::Response, Problem> {
    let view = view(&app, &name(path)?)?;
    let tag = tag(&format!("widget-{}", view.service.slug), view.version);
    let config = app.state.config.load();
    let mut response = given(&headers, &tag, "text/html; charset=utf-8", 30, || {
        Bytes::from(frame(&view, &config))
    })
    .into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, frame_policy().clone());
    Ok(response)
}

fn frame(view: &View, config: &Config) -> String {
    let (words, colour) = words(view.standing);
    let class = match colour {
        "#b3261e" => "b red",
        "#1f7a3d" => "b green",
        "#8a5a00" => "b amber",
        _ => "b grey",
    };
    let page = format!("{}/s/{}", base(config), view.service.slug);
    let reports = crate::case_text::counted(view.last_hour.0, "report", "reports");
    let page = html! {
        (PreEscaped("<!doctype html>\n"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="refresh" content="60";
                title { (clean(&view.service.name)) ": " (words) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                p { strong { (clean(&view.service.name)) } " " span class=(class) { (words) } }
                p { (reports) " in the last hour" }
                p { a href=(page) target="_blank" rel="noopener" { (clean(&config.site.name)) } }
            }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use quick_xml::Reader;
    use quick_xml::events::Event;

    use super::super::testing::{bed, get as asked};
    use super::*;

    /// The texts of the elements by name, where the document is well-formed.
    fn elements(text: &str) -> Vec<(String, String)> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        let (mut found, mut open) = (Vec::new(), Vec::new());
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Start(start) => {
                    let name = start.name().as_ref().to_owned();
                    for attribute in start.attributes() {
                        attribute.expect("well-formed");
                    }
                    open.push((name, String::new()));
                }
                Event::Empty(start) => {
                    let name = start.name().as_ref().to_owned();
                    for attribute in start.attributes() {
                        let attribute = attribute.expect("well-formed");
                        if attribute.key.as_ref() == "href" {
                            let href = attribute
                                .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                                .expect("an attribute");
                            found.push((format!("{name}@href"), href.into_owned()));
                        }
                    }
                }
                Event::Text(text) => {
                    if let Some((_, so_far)) = open.last_mut() {
                        so_far.push_str(&text);
                    }
                }
                Event::GeneralRef(reference) => {
                    let resolved = match &*reference {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "#39" => '\'',
                        other => panic!("&{other};"),
                    };
                    if let Some((_, so_far)) = open.last_mut() {
                        so_far.push(resolved);
                    }
                }
                Event::End(_) => found.extend(open.pop()),
                Event::Eof => break,
                _ => {}
            }
        }
        assert!(open.is_empty());
        found
    }

    #[tokio::test]
    async fn feeds_are_well_formed_and_say_everything_once() {
        let bed = bed();
        for path in ["/feed.atom", "/s/shop/feed.atom", "/s/bank/feed.atom"] {
            let answer = asked(routes(), &bed.app, path).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()[header::CONTENT_TYPE], ATOM);
            let text = String::from_utf8(answer.into_body()).expect("text");
            let found = elements(&text);
            let all = |name: &str| -> Vec<&str> {
                found
                    .iter()
                    .filter(|(known, _)| known == name)
                    .map(|(_, text)| text.as_str())
                    .collect()
            };
            let ids = all("id");
            let mut once = ids.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), ids.len(), "{text}");
            assert!(ids.iter().all(|id| id.starts_with("urn:uuid:")));
            for stamp in all("updated").iter().chain(&all("published")) {
                stamp.parse::<jiff::Timestamp>().expect("RFC 3339");
            }
            assert!(all("link@href").contains(&format!("https://status.example.org{path}").as_str()));
            if path == "/s/bank/feed.atom" {
                assert!(all("entry").is_empty());
                continue;
            }
            assert_eq!(
                all("title")[1],
                "Shop <& \"Söhne\">: people have problems, and the cause is known"
            );
            assert!(
                all("content")[0].contains("We <filter> & watch \u{fffd}."),
                "{text}"
            );
            // The one whose word came last stands first; the newest word is its time.
            assert_eq!(all("updated")[1], all("updated")[0]);
        }
        assert_eq!(
            asked(routes(), &bed.app, "/s/none/feed.atom").await.status(),
            StatusCode::NOT_FOUND
        );
    }

    #[tokio::test]
    async fn a_badge_says_how_it_is_to_those_who_do_not_see_it() {
        let bed = bed();
        let answer = asked(routes(), &bed.app, "/s/shop/badge.svg?style=flat").await;
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "image/svg+xml");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "public, max-age=30");
        let text = String::from_utf8(answer.into_body()).expect("text");
        let found = elements(&text);
        assert!(
            found.contains(&("title".to_owned(), "Shop <& \"Söhne\">: problems".to_owned())),
            "{text}"
        );
        assert!(
            text.contains("aria-label=\"Shop &lt;&amp; &quot;Söhne&quot;&gt;: problems\""),
            "{text}"
        );
        let answer = asked(routes(), &bed.app, "/s/bank/badge.svg").await;
        assert!(
            String::from_utf8(answer.into_body())
                .expect("text")
                .contains("Bank: no problems")
        );
        let answer = asked(routes(), &bed.app, "/s/bank/badge.svg?style=3d").await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }

    #[tokio::test]
    async fn the_frame_allows_its_own_style_alone() {
        let bed = bed();
        let answer = asked(routes(), &bed.app, "/s/shop/widget").await;
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .expect("text")
            .to_owned();
        assert!(policy.contains("frame-ancestors *"), "{policy}");
        let text = String::from_utf8(answer.into_body()).expect("text");
        let style = text
            .split_once("<style>")
            .and_then(|(_, rest)| rest.split_once("</style>"))
            .expect("a style")
            .0;
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(style));
        assert!(policy.contains(&format!("'sha256-{hash}'")), "{policy}");
        assert!(text.contains("Shop &lt;&amp; &quot;Söhne&quot;&gt;"), "{text}");
        assert!(text.contains("900 reports in the last hour"), "{text}");
        assert!(
            text.contains("href=\"https://status.example.org/s/shop\""),
            "{text}"
        );
        assert!(!text.contains(" style=\"") && !text.contains("<script"));
    }
}
