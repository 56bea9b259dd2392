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
