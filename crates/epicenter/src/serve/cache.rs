//! Pages that were made once and are given to everybody.

use std::sync::OnceLock;

use bytes::Bytes;

use super::lang::Language;

/// One thing in each language, made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Pages([OnceLock<Bytes>; Language::ALL.len()]);

impl Pages {
    /// The page in a language.
    pub(crate) fn get(&self, language: Language, make: impl FnOnce() -> String) -> Bytes {
        self.0[language as usize]
            .get_or_init(|| Bytes::from(make()))
            .clone()
    }
}
