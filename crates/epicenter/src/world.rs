//! The world map: countries by their share, areas true (Equal Earth). Shapes from Natural Earth, see `data/world.tsv`.

use incident::case::Share;
use maud::{Markup, html};

use crate::page::clean;

const DATA: &str = include_str!("../data/world.tsv");

/// Size of the map in its own units.
pub(crate) const WIDTH: u32 = 2000;
pub(crate) const HEIGHT: u32 = 870;

/// Shares from which on a country has the next colour.
pub(crate) const CLASSES: [f64; 6] = [0.0, 0.005, 0.02, 0.05, 0.10, 0.25];
/// Countries that are named on the map, the largest.
const NAMED: usize = 5;

/// A country or territory of ISO 3166.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Land {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    pub(crate) x: i32,
    pub(crate) y: i32,
    /// Too small to be seen as an area.
    pub(crate) dot: bool,
    /// SVG path, empty where the map has no area for it.
    pub(crate) path: &'static str,
}

/// All of them, by code.
pub(crate) fn lands() -> impl Iterator<Item = Land> {
    DATA.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut fields = line.split('\t');
            Some(Land {
                code: fields.next()?,
                name: fields.next()?,
                x: fields.next()?.parse().ok()?,
                y: fields.next()?.parse().ok()?,
                dot: fields.next()? == "dot",
                path: fields.next()?,
            })
        })
}

/// The name of a country by its ISO code; the code itself where it is none.
pub(crate) fn name(code: &str) -> String {
    match lands().find(|land| land.code == code) {
        Some(land) => land.name.to_owned(),
        None if code == "ZZ" => "no country known".to_owned(),
        None => clean(code),
    }
}

/// The shapes, once for all maps of a page. It is not seen itself.
pub(crate) fn shapes() -> Markup {
    html! {
        svg.defs width="0" height="0" aria-hidden="true" {
            defs { g id="land" { @for land in lands().filter(|land| !land.path.is_empty()) { path id={ "c" (land.code) } d=(land.path) {} } } }
        }
    }
}

/// A map of shares by country: code and share, the largest first. `about` says in words what it shows, `of` what the shares are of.
/// A code that is no country (`ZZ`) is not on it.
pub(crate) fn map(about: &str, of: &str, shares: &[(&str, Share)]) -> Markup {
    let shown: Vec<(Land, Share)> = shares
        .iter()
        .filter(|(_, share)| share.estimate > 0.0)
        .filter_map(|(code, share)| Some((lands().find(|land| land.code == *code)?, *share)))
        .collect();
    let title = |land: &Land, share: &Share| {
        format!(
            "{}: {:.1} % [{:.1}, {:.1}] of {of}",
            land.name,
            share.estimate * 100.0,
            share.low * 100.0,
            share.high * 100.0
        )
    };
    html! {
        svg.map viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(about) {
            use.land href="#land" {}
            @for (land, share) in shown.iter().filter(|(land, _)| !land.path.is_empty()) {
                use class=(class(*share)) href={ "#c" (land.code) } { title { (title(land, share)) } }
            }
            @for (land, left) in names(&shown) {
                text class=[left.then_some("left")] x=(land.x) y=(land.y) { (land.name) }
            }
            @for (land, share) in shown.iter().filter(|(land, _)| land.dot) {
                circle class={ "dot " (class(*share)) } cx=(land.x) cy=(land.y) r="9" { title { (title(land, share)) } }
            }
        }
        (legend(of))
    }
}

fn class(share: Share) -> String {
    let n = CLASSES
        .iter()
        .filter(|from| share.estimate >= **from)
        .count()
        .max(1);
    format!("q{n}")
}

/// The largest countries whose names do not lie over one another, and whether the name ends at its point instead of being centred.
fn names(shown: &[(Land, Share)]) -> Vec<(Land, bool)> {
    let room = |land: &Land| 13 * land.name.chars().count() as i32;
    let mut placed: Vec<(Land, bool)> = Vec::new();
    for (land, _) in shown.iter().take(NAMED) {
        let apart = |other: &Land| {
            (other.y - land.y).abs() > 46 || (other.x - land.x).abs() > (room(other) + room(land)) / 2 + 20
        };
        if placed.iter().all(|(other, _)| apart(other)) {
            placed.push((*land, land.x + room(land) > WIDTH as i32));
        }
    }
    placed
}

fn legend(of: &str) -> Markup {
    let words = |n: usize| {
        let percent = |value: f64| format!("{}", value * 100.0);
        match (CLASSES[n], CLASSES.get(n + 1)) {
            (_, None) => format!("{} % and more", percent(CLASSES[n])),
            (0.0, Some(to)) => format!("under {} %", percent(*to)),
            (from, Some(to)) => format!("{} to {} %", percent(from), percent(*to)),
        }
    };
    html! {
        p.legend {
            span { "Share of " (of) ", best estimate:" }
            @for n in 0..CLASSES.len() { span { i class={ "swatch q" (n + 1) } {} (words(n)) } }
            span { i.swatch.none {} "none seen" }
        }
    }
}

#[cfg(test)]
mod tests {
    use atlas::{Atlas, Country};

    use super::*;

    #[test]
    fn every_country_that_the_atlas_knows_is_on_the_map() {
        let atlas = Atlas::embedded();
        let letters = b'A'..=b'Z';
        let all = letters
            .clone()
            .flat_map(|first| letters.clone().map(move |second| Country([first, second])));
        let known: Vec<Country> = all
            .filter(|c| *c != Country::UNKNOWN && atlas.knows_country(*c))
            .collect();
        let unseen: Vec<&Country> = known
            .iter()
            .filter(|c| !lands().any(|land| land.code == c.as_str() && (land.dot || !land.path.is_empty())))
            .collect();
        assert!(unseen.is_empty(), "not on the map: {unseen:?}");
        assert!(known.len() > 200, "{} countries", known.len());
    }

    #[test]
    fn the_map_is_sound() {
        let all: Vec<Land> = lands().collect();
        let lines = DATA.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(all.len(), lines, "every line can be read");
        assert!(
            all.windows(2).all(|pair| pair[0].code < pair[1].code),
            "sorted, each once"
        );
        for land in &all {
            assert!(
                (0..=WIDTH as i32).contains(&land.x) && (0..=HEIGHT as i32).contains(&land.y),
                "{land:?}"
            );
            assert!(
                land.path
                    .chars()
                    .all(|c| c.is_ascii_digit() || "Mlz -".contains(c)),
                "{}",
                land.code
            );
        }
        // Places of which everybody knows where they are, in relation to each other.
        let at = |code: &str| {
            let land = all.iter().find(|land| land.code == code).unwrap();
            (land.x, land.y)
        };
        assert!(at("US").0 < at("GB").0 && at("GB").0 < at("UA").0 && at("UA").0 < at("JP").0);
        assert!(at("NO").1 < at("DE").1 && at("DE").1 < at("NG").1 && at("NG").1 < at("ZA").1);
        assert!(DATA.len() < 120_000, "{} bytes", DATA.len());
    }

    #[test]
    fn small_and_unknown_countries_are_not_lost() {
        let share = Share {
            estimate: 0.3,
            low: 0.2,
            high: 0.4,
        };
        let map = map(
            "about",
            "the packets",
            &[("SG", share), ("ZZ", share), ("US", share)],
        )
        .into_string();
        assert!(map.contains("Singapore: 30.0 % [20.0, 40.0] of the packets"));
        assert!(map.contains("<circle class=\"dot q6\"") && map.contains("href=\"#cUS\""));
        assert!(!map.contains("ZZ"));
        assert_eq!(
            (name("UA").as_str(), name("ZZ").as_str()),
            ("Ukraine", "no country known")
        );
        assert_eq!(name("<b"), "<b", "escaped where it is written");
    }
}
