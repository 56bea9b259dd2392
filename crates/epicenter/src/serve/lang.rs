//! The languages in which people are spoken to.

/// A language that is translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    #[default]
    English,
    Spanish,
    Portuguese,
    Ukrainian,
    German,
    French,
}

impl Language {
    pub(crate) const ALL: [Language; 6] = [
        Language::English,
        Language::Spanish,
        Language::Portuguese,
        Language::Ukrainian,
        Language::German,
        Language::French,
    ];

    /// Its code (ISO 639-1).
    pub(crate) fn code(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Spanish => "es",
            Language::Portuguese => "pt",
            Language::Ukrainian => "uk",
            Language::German => "de",
            Language::French => "fr",
        }
    }

    /// That of a code, also of one with a region: `pt-BR`.
    pub(crate) fn of(tag: &str) -> Option<Language> {
        let primary = tag.split(['-', '_']).next()?;
        Language::ALL
            .into_iter()
            .find(|language| language.code().eq_ignore_ascii_case(primary))
    }

    /// The best of what a browser asks for (RFC 9110, 12.5.4): by weight, then by order.
    pub(crate) fn asked(accept: &str) -> Option<Language> {
        let mut best: Option<(f32, Language)> = None;
        for part in accept.split(',').take(32) {
            let mut fields = part.trim().split(';');
            let Some(language) = fields.next().and_then(|tag| Language::of(tag.trim())) else {
                continue;
            };
            let weight = fields
                .find_map(|field| field.trim().strip_prefix("q=")?.parse().ok())
                .unwrap_or(1.0);
            if weight > 0.0 && best.is_none_or(|(known, _)| weight > known) {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_that_is_translated_is_taken() {
        assert_eq!(
            Language::asked("pt-BR,pt;q=0.9,en;q=0.8"),
            Some(Language::Portuguese)
        );
        assert_eq!(
            Language::asked("ja, en;q=0.3, UK;q=0.7"),
            Some(Language::Ukrainian)
        );
        assert_eq!(Language::asked("de;q=0, ja"), None);
        assert_eq!(Language::asked(";;;,,q=\u{fe}"), None);
    }
}
