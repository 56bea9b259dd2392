//! The world map of a service as a picture of its own: it depends on nothing but the class of each country, so that browsers keep it
//! while only numbers change.

use std::fmt::Write;

use atlas::Country;
use base64::Engine;
use maud::{Markup, html};
use sha2::{Digest, Sha256};

use super::files::digest;
use crate::serve::lang::{Language, plain};
use crate::world::{CLASSES, HEIGHT, WIDTH, lands};

/// Countries with a colour: code and class, 1 to 6.
pub(crate) type Classes = Vec<(Country, usize)>;

/// The class of each country, of the counts of all.
pub(crate) fn classes(countries: &[(Country, u64)]) -> Classes {
    let whole: u64 = countries.iter().map(|(_, n)| n).sum();
    let mut classes: Classes = countries
        .iter()
        .filter(|(country, n)| *country != Country::UNKNOWN && *n > 0)
        .map(|(country, n)| (*country, class(*n as f64 / whole as f64)))
        .collect();
    classes.sort_unstable();
    classes
}

fn class(share: f64) -> usize {
    CLASSES.iter().filter(|from| share >= **from).count().max(1)
}

/// What stands for a map in its address.
pub(crate) fn version(classes: &Classes) -> String {
    let mut text = String::new();
    for (country, class) in classes {
        // Writing to a string does not fail.
        let _ = write!(text, "{country}{class}");
    }
    digest(text.as_bytes())
}

/// Colours, as those of the pages.
const STYLE: &str = "path{fill:#dfe3e9;stroke:#fff;stroke-width:.7}circle{stroke:#fff}\
.q1{fill:#fbd9ab}.q2{fill:#f5b46d}.q3{fill:#e88746}\
.q4{fill:#cf5a30}.q5{fill:#a32c24}.q6{fill:#6b101c}\
@media(prefers-color-scheme:dark){path{fill:#30343d;stroke:#14161a}circle{stroke:#14161a}\
.q1{fill:#5b3b20}.q2{fill:#8b5122}.q3{fill:#bd6926}.q4{fill:#e58d3a}.q5{fill:#f7bb6b}.q6{fill:#ffe8c2}}";

/// What the picture is allowed when it is opened by itself: this very style, and nothing else.
pub(crate) fn policy() -> String {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'")
}

/// The picture.
pub(crate) fn picture(classes: &Classes) -> String {
    let class = |code: &str| {
        classes
            .iter()
            .find(|(country, _)| country.as_str() == code)
            .map(|(_, class)| *class)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\"><style>{STYLE}</style>"
    );
    let mut dots = String::new();
    for land in lands() {
        let class = class(land.code);
        if !land.path.is_empty() {
            let named = class.map_or(String::new(), |class| format!(" class=\"q{class}\""));
            let _ = write!(svg, "<path{named} d=\"{}\"/>", land.path);
        }
        if let Some(class) = class.filter(|_| land.dot) {
            let _ = write!(
                dots,
                "<circle class=\"q{class}\" cx=\"{}\" cy=\"{}\" r=\"9\"/>",
                land.x, land.y
            );
        }
    }
    svg.push_str(&dots);
    svg.push_str("</svg>\n");
    svg
}

/// What the colours mean.
pub(crate) fn legend(language: Language) -> Markup {
    let texts = language.texts();
    let words = |n: usize| {
        let percent = |value: f64| language.percent(value);
        match (CLASSES[n], CLASSES.get(n + 1)) {
            (from, None) => plain(texts.map_from, &[("from", &percent(from))]),
            (0.0, Some(to)) => plain(texts.map_under, &[("to", &percent(*to))]),
            (from, Some(to)) => format!("{} – {}", percent(from), percent(*to)),
        }
    };
    html! {
        p.legend {
            span { (texts.map_legend) }
            @for n in 0..CLASSES.len() { span { i class={ "swatch q" (n + 1) } {} (words(n)) } }
            span { i.swatch {} (texts.map_none) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_depends_on_classes_alone() {
        let of = |us: u64, sg: u64| {
            classes(&[
                (Country(*b"US"), us),
                (Country(*b"SG"), sg),
                (Country::UNKNOWN, 3),
            ])
        };
        assert_eq!(of(700, 10), of(710, 10));
        assert_eq!(version(&of(700, 10)), version(&of(710, 10)));
        assert_ne!(version(&of(700, 10)), version(&of(700, 600)));
        assert_eq!(of(700, 10), vec![(Country(*b"SG"), 2), (Country(*b"US"), 6)]);
        let picture = picture(&of(700, 10));
        assert!(picture.contains("<path class=\"q6\"") && picture.contains("<circle class=\"q2\""));
        assert!(picture.len() < 60_000, "{}", picture.len());
        assert!(!picture.contains("ZZ"));
    }
}
