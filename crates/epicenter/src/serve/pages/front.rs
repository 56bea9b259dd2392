//! The front page: all services, those in trouble first.

use std::cmp::Reverse;
use std::sync::Arc;

use maud::{Markup, html};

use super::chart::spark;
use super::layout::{Frame, badge, page};
use crate::page::{clean, outside};
use crate::serve::config::Config;
use crate::serve::lang::{Language, plain};
use crate::serve::state::View;

/// Services on one page: with their sparklines some 50 kB.
pub(crate) const PER_PAGE: usize = 50;
/// Characters of a search that are looked for.
const QUERY_MAX: usize = 80;

/// The page of this number, from 1, of the services whose names hold `query`.
pub(crate) fn render(
    services: &[Arc<View>],
    config: &Config,
    language: Language,
    query: Option<&str>,
    number: usize,
    version: u64,
) -> String {
    let texts = language.texts();
    let query: String = clean(query.unwrap_or_default())
        .trim()
        .chars()
        .take(QUERY_MAX)
        .collect();
    let wanted = query.to_lowercase();
    let mut found: Vec<&Arc<View>> = services
        .iter()
        .filter(|view| {
            wanted.is_empty()
                || view.service.slug.contains(&wanted)
                || view.service.name.to_lowercase().contains(&wanted)
        })
        .collect();
    found.sort_by_cached_key(|view| {
        let trouble = view
            .standing
            .is_trouble()
            .then_some((view.standing, view.last_hour.0));
        (Reverse(trouble), view.service.name.to_lowercase())
    });
    let pages = found.len().div_ceil(PER_PAGE).max(1);
    let number = number.clamp(1, pages);
    let shown = &found[(number - 1) * PER_PAGE..(number * PER_PAGE).min(found.len())];
    let troubled = services.iter().filter(|view| view.standing.is_trouble()).count() as u64;
    let said = match troubled {
        0 => texts.front_quiet.to_owned(),
        n => plain(
            language.form(&texts.front_trouble, n),
            &[("n", &language.number(n))],
        ),
    };
    let main = html! {
        h1 { (outside(&config.site.name)) }
        @if !config.site.about.is_empty() { p.soft { (outside(&config.site.about)) } }
        p.lead.calm[troubled == 0] data-news { (said) }
        form.search role="search" action="/" method="get" {
            label for="q" { (texts.search) }
            div.row {
                input id="q" type="search" name="q" value=(query) maxlength=(QUERY_MAX) autocomplete="off";
                button type="submit" { (texts.search_button) }
            }
        }
        div id="found" {
            @if !query.is_empty() {
                p.soft role="status" {
                    @if found.is_empty() { (texts.found_none) }
                    @else { (plain(language.form(&texts.found, found.len() as u64), &[("n", &language.number(found.len() as u64))])) }
                }
            } @else if services.is_empty() { p { (texts.no_services) } }
            @if !shown.is_empty() {
                h2.unseen { (texts.services) }
                ul.services { @for view in shown { (item(view, language)) } }
            }
            @if pages > 1 { (pager(&query, number, pages, language)) }
        }
    };
    let mut address = Vec::new();
    if !query.is_empty() {
        address.push(format!("q={}", encode(&query)));
    }
    if number > 1 {
        address.push(format!("page={number}"));
    }
    page(&Frame {
        title: config.site.name.as_str().into(),
        config,
        language,
        live: Some(("/live", version)),
        query: &address.join("&"),
        is_public: query.is_empty(),
        main,
    })
}

fn item(view: &View, language: Language) -> Markup {
    let texts = language.texts();
    let reports = view.last_hour.0;
    html! {
        li {
            a href={ "/s/" (view.service.slug) } { (outside(&view.service.name)) }
            (badge(view.standing, texts))
            span.count { (plain(language.form(&texts.hour, reports), &[("n", &language.number(reports))])) }
            (spark(&view.bins, language))
        }
    }
}

/// Links to the pages before and after.
pub(crate) fn pager(query: &str, number: usize, pages: usize, language: Language) -> Markup {
    let texts = language.texts();
    let address = |number: usize| match query {
        "" => format!("?page={number}"),
        query => format!("?q={}&page={number}", encode(query)),
    };
    let of = [
        ("page", &*language.number(number as u64)),
        ("pages", &*language.number(pages as u64)),
    ];
    html! {
        nav.pager aria-label=(texts.pages) {
            @if number > 1 { a href=(address(number - 1)) rel="prev" { (texts.page_previous) } }
            span { (plain(texts.page_of, &of)) }
            @if number < pages { a href=(address(number + 1)) rel="next" { (texts.page_next) } }
        }
    }
}

/// Text as a value in an address.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
