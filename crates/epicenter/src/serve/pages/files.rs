//! Files that pages need: inside the program, under addresses that hold what they are made of, so that browsers may keep them for good.

use std::fmt::Write;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

/// A file.
#[derive(Debug)]
pub(crate) struct File {
    name: &'static str,
    pub(crate) kind: &'static str,
    parts: &'static [&'static str],
    made: OnceLock<(String, bytes::Bytes)>,
}

pub(crate) static STYLE: File = File::new(
    "app.css",
    "text/css; charset=utf-8",
    &[
        include_str!("../../../data/page.css"),
        include_str!("../../../data/app.css"),
    ],
);
pub(crate) static SCRIPT: File = File::new(
    "app.js",
    "text/javascript; charset=utf-8",
    &[include_str!("../../../data/app.js")],
);
pub(crate) static ICON: File = File::new(
    "favicon.svg",
    "image/svg+xml",
    &[include_str!("../../../data/favicon.svg")],
);

impl File {
    const fn new(name: &'static str, kind: &'static str, parts: &'static [&'static str]) -> File {
        File {
            name,
            kind,
            parts,
            made: OnceLock::new(),
        }
    }

    fn made(&self) -> &(String, bytes::Bytes) {
        self.made.get_or_init(|| {
            let text = self.parts.concat();
            (digest(text.as_bytes()), bytes::Bytes::from(text))
        })
    }

    /// The file by name.
    pub(crate) fn named(name: &str) -> Option<&'static File> {
        [&STYLE, &SCRIPT, &ICON]
            .into_iter()
            .find(|file| file.name == name)
    }

    /// The first digits of its digest.
    pub(crate) fn version(&self) -> &str {
        &self.made().0
    }

    pub(crate) fn bytes(&self) -> bytes::Bytes {
        self.made().1.clone()
    }

    /// Where it is, as pages name it.
    pub(crate) fn address(&self) -> String {
        format!("/static/{}?v={}", self.name, self.version())
    }
}

/// Sixteen digits that stand for bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .take(8)
        .fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance as WCAG 2 has it, plus what it adds to both sides of a contrast.
    fn light(colour: &str) -> f64 {
        let digits: Vec<f64> = colour
            .chars()
            .map(|c| f64::from(c.to_digit(16).expect("a digit")))
            .collect();
        let channel = |at: usize| {
            let value = match digits.len() {
                3 => digits[at] * 17.0,
                _ => digits[at * 2] * 16.0 + digits[at * 2 + 1],
            } / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(0) + 0.7152 * channel(1) + 0.0722 * channel(2) + 0.05
    }

    #[test]
    fn words_and_shapes_have_contrast_in_both_modes() {
        let (page, own) = (STYLE.parts[0], STYLE.parts[1]);
        let halves = |style: &'static str| style.split_at(style.find("@media screen").expect("a dark mode"));
        let modes = [
            ("light", halves(page).0, halves(own).0),
            ("dark", halves(page).1, halves(own).1),
        ];
        for (mode, page, own) in modes {
            let colour = |name: &str| {
                let mark = format!("--{name}: #");
                let found = [own, page]
                    .iter()
                    .find_map(|style| Some(style.split_once(&mark)?.1));
                let value = found.unwrap_or_else(|| panic!("no {name}"));
                light(
                    value
                        .split(|c: char| !c.is_ascii_hexdigit())
                        .next()
                        .expect("a value"),
                )
            };
            for (over, under, least) in [
                ("ok", "paper", 4.5),
                ("may", "paper", 4.5),
                ("bad", "paper", 4.5),
                ("soft", "card", 4.5),
                ("btnink", "btn", 4.5),
                ("ink", "card", 4.5),
                ("line", "card", 4.5),
                ("bar", "paper", 3.0),
                ("high", "paper", 3.0),
                ("good", "paper", 3.0),
                ("fail", "paper", 3.0),
                ("btn", "card", 3.0),
            ] {
                let (a, b) = (colour(over), colour(under));
                let ratio = a.max(b) / a.min(b);
                assert!(ratio >= least, "{mode}: {over} on {under} is {ratio:.2}");
            }
        }
    }
}
