//! The languages in which people are spoken to, and what is said to them.
//!
//! Every language is one value of [`Texts`]: what is not translated does not compile. Words in braces are put in by [`say`] or [`plain`].

mod de;
mod en;
mod es;
mod fr;
mod pt;
mod uk;

use std::collections::HashMap;
use std::sync::OnceLock;

use maud::{Markup, PreEscaped, html};

/// A phrase with a number in it, in its forms: for one; for few (Ukrainian alone has it); for many.
pub(crate) type Forms = [&'static str; 3];

/// Names of countries in the translated languages but English, whose names the world map has. From the npm package i18n-iso-countries
/// 7.14.0 (MIT), shortened where readers know a shorter name.
const COUNTRIES: &str = include_str!("../../data/countries.tsv");

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

    /// Its name, in itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Spanish => "Español",
            Language::Portuguese => "Português",
            Language::Ukrainian => "Українська",
            Language::German => "Deutsch",
            Language::French => "Français",
        }
    }

    /// What is said in it.
    pub(crate) fn texts(self) -> &'static Texts {
        match self {
            Language::English => &en::TEXTS,
            Language::Spanish => &es::TEXTS,
            Language::Portuguese => &pt::TEXTS,
            Language::Ukrainian => &uk::TEXTS,
            Language::German => &de::TEXTS,
            Language::French => &fr::TEXTS,
        }
    }

    /// The form of a phrase for a number (CLDR's plural rules for whole numbers).
    pub(crate) fn form(self, forms: &Forms, n: u64) -> &'static str {
        let form = match self {
            Language::English | Language::Spanish | Language::German => usize::from(n != 1) * 2,
            Language::Portuguese | Language::French => usize::from(n > 1) * 2,
            Language::Ukrainian => match (n % 10, n % 100) {
                (1, last) if last != 11 => 0,
                (2..=4, last) if !(12..=14).contains(&last) => 1,
                _ => 2,
            },
        };
        forms[form]
    }

    /// A whole number, grouped as the language does.
    pub(crate) fn number(self, n: u64) -> String {
        let digits = n.to_string();
        let (mark, from) = match self {
            Language::English => (",", 4),
            // Four digits stand together in Spanish.
            Language::Spanish => (".", 5),
            Language::Portuguese | Language::German => (".", 4),
            Language::Ukrainian => ("\u{a0}", 4),
            Language::French => ("\u{202f}", 4),
        };
        if digits.len() < from {
            return digits;
        }
        let mut grouped = String::with_capacity(digits.len() * 4 / 3 + 4);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                grouped.push_str(mark);
            }
            grouped.push(digit);
        }
        grouped
    }

    /// A number with one decimal where it is small.
    pub(crate) fn decimal(self, value: f64) -> String {
        if value >= 9.95 || value <= 0.0 {
            return self.number(value.max(0.0).round() as u64);
        }
        let text = format!("{value:.1}");
        let text = text.strip_suffix(".0").unwrap_or(&text);
        match self {
            Language::English => text.to_owned(),
            _ => text.replace('.', ","),
        }
    }

    /// A fraction in percent.
    pub(crate) fn percent(self, part: f64) -> String {
        let number = self.decimal(part * 100.0);
        match self {
            Language::English | Language::Portuguese | Language::Ukrainian => format!("{number}%"),
            Language::Spanish | Language::German => format!("{number}\u{a0}%"),
            Language::French => format!("{number}\u{202f}%"),
        }
    }

    /// A fraction in percent with its interval, all to a tenth so that they can be compared.
    pub(crate) fn interval(self, [estimate, low, high]: [f64; 3]) -> String {
        let tenth = |part: f64| {
            let text = format!("{:.1}", part * 100.0);
            match self {
                Language::English => text,
                _ => text.replace('.', ","),
            }
        };
        let sign = match self {
            Language::English | Language::Portuguese | Language::Ukrainian => "%",
            Language::Spanish | Language::German => "\u{a0}%",
            Language::French => "\u{202f}%",
        };
        format!("{}{sign} [{}; {}]", tenth(estimate), tenth(low), tenth(high))
    }

    /// How long, in hours and minutes.
    pub(crate) fn duration(self, ns: u64) -> String {
        let texts = self.texts();
        let minutes = (ns as f64 / 60e9).round() as u64;
        let (hours, rest) = (self.number(minutes / 60), (minutes % 60).to_string());
        if minutes < 60 {
            plain(texts.minutes, &[("m", &rest)])
        } else {
            plain(texts.hours, &[("h", &hours), ("m", &rest)])
        }
    }

    /// The name of a country.
    pub(crate) fn country(self, code: &str) -> String {
        static NAMES: OnceLock<HashMap<&'static str, [&'static str; 6]>> = OnceLock::new();
        let names = NAMES.get_or_init(|| {
            let mut names: HashMap<&'static str, [&'static str; 6]> = crate::world::lands()
                .map(|land| (land.code, [land.name; 6]))
                .collect();
            for line in COUNTRIES.lines().filter(|line| !line.starts_with('#')) {
                let mut fields = line.split('\t');
                let Some(known) = fields.next().and_then(|code| names.get_mut(code)) else {
                    continue;
                };
                for (name, field) in known.iter_mut().skip(1).zip(fields) {
                    *name = field;
                }
            }
            names
        });
        match names.get(code) {
            Some(name) => name[self as usize].to_owned(),
            None => self.texts().country_unknown.to_owned(),
        }
    }

    /// What a symptom is called; those that the operators made up have only the name that they gave.
    pub(crate) fn symptom(self, symptom: &str) -> Option<&'static str> {
        let texts = self.texts();
        Some(match symptom {
            "website" => texts.symptom_website,
            "app" => texts.symptom_app,
            "login" => texts.symptom_login,
            "slow" => texts.symptom_slow,
            "connection" => texts.symptom_connection,
            "other" => texts.symptom_other,
            "" => texts.symptom_none,
            _ => return None,
        })
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

/// Makes [`Texts`], and lets a test see all of them.
macro_rules! texts {
    (words { $($word:ident),* $(,)? } counted { $($counted:ident),* $(,)? }) => {
        /// All that is said in a language.
        #[derive(Debug)]
        pub(crate) struct Texts {
            $(pub(crate) $word: &'static str,)*
            $(pub(crate) $counted: Forms,)*
        }

        #[cfg(test)]
        impl Texts {
            /// The names of all phrases, and their forms.
            fn all(&self) -> Vec<(&'static str, Vec<&'static str>)> {
                vec![
                    $((stringify!($word), vec![self.$word]),)*
                    $((stringify!($counted), self.$counted.to_vec()),)*
                ]
            }
        }
    };
}

texts! {
    words {
        skip,
        menu,
        services,
        incidents,
        about,
        language,
        contact,
        times_utc,
        times_both,
        as_of,
        hours,
        minutes,
        country_unknown,
        symptom_website,
        symptom_app,
        symptom_login,
        symptom_slow,
        symptom_connection,
        symptom_other,
        symptom_none,
        stand_learning,
        stand_operational,
        stand_closed,
        stand_resolved,
        stand_recovering,
        stand_suspected,
        stand_confirmed,
        stand_identified,
        front_quiet,
        search,
        search_button,
        found_none,
        no_services,
        page_of,
        page_next,
        page_previous,
        pages,
        spark,
        say_times,
        say_usual,
        say_more,
        say_rare,
        say_learning,
        say_none,
        say_attack,
        say_who,
        say_cause,
        say_named,
        cause_attack,
        cause_own,
        cause_neighbour,
        cause_neighbour_named,
        cause_brigade,
        cause_provider,
        cause_unknown,
        low,
        moderate,
        high,
        report_title,
        report_button,
        report_symptoms,
        comment,
        comment_hint,
        report_kept,
        report_trap,
        report_work,
        report_wait,
        chart_title,
        chart_caption,
        chart_about,
        chart_numbers,
        reports,
        usual,
        band,
        from,
        to,
        not_over,
        unknown,
        strip_caption,
        strip_about,
        strip_ok,
        strip_bad,
        strip_none,
        checks_failed,
        symptoms_title,
        symptom,
        share_interval,
        last_day,
        where_title,
        map_about,
        map_legend,
        map_none,
        map_under,
        map_from,
        country,
        networks_title,
        network,
        network_other,
        others,
        checks_title,
        checks_none,
        place,
        check,
        state,
        state_ok,
        state_bad,
        state_none,
        when,
        took,
        certificate,
        timeline_title,
        timeline_begin,
        timeline_known,
        timeline_peak,
        timeline_end,
        timeline_hand,
        comments_link,
        claims_title,
        said_verdict,
        said_confidence,
        said_why,
        words_none,
        words_very_unlikely,
        words_unlikely,
        words_even,
        words_likely,
        words_very_likely,
        words_certain,
        words_unknown,
        past_title,
        past_none,
        past_from_to,
        past_since,
        neighbours_title,
        incident_title,
        incident_over,
        incident_open,
        incident_usual,
        incident_link,
        waves_title,
        peak,
        known_after,
        why_title,
        evidence,
        limited,
        incident_checks,
        traffic_title,
        said_title,
        after_title,
        unsure_title,
        merged,
        service_page,
        incidents_none,
        reported_yes,
        reported_yes_more,
        reported_already,
        reported_already_more,
        reported_limit,
        reported_limit_more,
        reported_full,
        reported_full_more,
        reported_busy,
        reported_busy_more,
        reported_work,
        reported_work_more,
        back,
        error_not_found,
        error_not_found_more,
        error_busy,
        error_busy_more,
        error_other,
        error_other_more,
        error_invalid,
        error_invalid_more,
        about_lead,
        about_kept,
        about_kept_1,
        about_kept_2,
        about_kept_3,
        about_decides,
        about_decides_1,
        about_decides_2,
        about_decides_3,
        about_limits,
        about_limits_1,
    }
    counted {
        front_trouble,
        found,
        hour,
        people,
        counted,
        say_reached,
        say_failing,
        say_failing_now,
    }
}

/// The parts of a phrase: text, and the names in braces.
fn parts(phrase: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    phrase.split('}').map(|part| match part.split_once('{') {
        Some((text, name)) => (text, Some(name)),
        None => (part, None),
    })
}

/// A phrase with its values put in, as text.
pub(crate) fn plain(phrase: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(phrase.len() + 32);
    for (text, name) in parts(phrase) {
        out.push_str(text);
        if let Some(value) = name.and_then(|name| values.iter().find(|(known, _)| *known == name)) {
            out.push_str(value.1);
        }
    }
    out
}

/// A phrase with its values put in, as HTML.
pub(crate) fn say(phrase: &str, values: &[(&str, Markup)]) -> Markup {
    let mut out = String::with_capacity(phrase.len() + 64);
    for (text, name) in parts(phrase) {
        out.push_str(&html! { (text) }.into_string());
        if let Some(value) = name.and_then(|name| values.iter().find(|(known, _)| *known == name)) {
            out.push_str(&value.1.0);
        }
    }
    PreEscaped(out)
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

    #[test]
    fn every_language_says_the_same_with_the_same_values() {
        let names = |phrase: &'static str| {
            let mut names: Vec<&str> = parts(phrase).filter_map(|(_, name)| name).collect();
            names.sort_unstable();
            names
        };
        let english = en::TEXTS.all();
        for language in Language::ALL {
            for ((name, forms), (_, meant)) in language.texts().all().into_iter().zip(&english) {
                for form in forms {
                    assert!(!form.trim().is_empty(), "{language:?} {name}");
                    assert_eq!(names(form), names(meant[0]), "{language:?} {name}: {form}");
                    assert_eq!(form.matches('{').count(), form.matches('}').count(), "{form}");
                }
            }
            let same = language.texts().all();
            let copied = same.iter().zip(&english).filter(|(a, b)| a == b).count();
            // Words such as "API" may be the same; whole texts are not.
            assert!(
                language == Language::English || copied < 12,
                "{language:?}: {copied} as in English"
            );
        }
    }

    #[test]
    fn numbers_are_written_as_the_language_does() {
        let written = Language::ALL.map(|language| language.number(38_412));
        assert_eq!(
            written,
            [
                "38,412",
                "38.412",
                "38.412",
                "38\u{a0}412",
                "38.412",
                "38\u{202f}412"
            ]
        );
        let short = Language::ALL.map(|language| language.number(4_321));
        assert_eq!(
            short,
            ["4,321", "4321", "4.321", "4\u{a0}321", "4.321", "4\u{202f}321"]
        );
        assert_eq!(Language::English.number(1_234_567), "1,234,567");
        assert_eq!(
            (Language::English.decimal(2.04), Language::German.decimal(2.55)),
            ("2".to_owned(), "2,5".to_owned())
        );
        assert_eq!(Language::French.percent(0.123), "12\u{202f}%");
        assert_eq!(
            Language::German.interval([0.0934, 0.09, 0.1]),
            "9,3\u{a0}% [9,0; 10,0]"
        );
        assert_eq!(Language::English.duration(5_400_000_000_000), "1 h 30 min");
    }

    #[test]
    fn numbers_have_the_right_noun() {
        let forms = ["one", "few", "many"];
        let uk = |n| Language::Ukrainian.form(&forms, n);
        assert_eq!([1, 21, 101].map(uk), ["one"; 3]);
        assert_eq!([2, 3, 4, 22, 104].map(uk), ["few"; 5]);
        assert_eq!([0, 5, 11, 12, 14, 111, 1_000].map(uk), ["many"; 7]);
        assert_eq!(Language::French.form(&forms, 0), "one");
        assert_eq!(Language::English.form(&forms, 0), "many");
    }

    #[test]
    fn countries_have_names_in_every_language() {
        let ukraine = Language::ALL.map(|language| language.country("UA"));
        assert_eq!(
            ukraine,
            ["Ukraine", "Ucrania", "Ucrânia", "Україна", "Ukraine", "Ukraine"]
        );
        for line in COUNTRIES.lines().filter(|line| !line.starts_with('#')) {
            assert_eq!(
                line.split('\t').filter(|field| !field.is_empty()).count(),
                6,
                "{line}"
            );
        }
        let lines = COUNTRIES.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(lines, crate::world::lands().count());
        assert_eq!(Language::German.country("ZZ"), "unbekannt");
    }

    #[test]
    fn values_are_put_in_and_text_is_escaped() {
        assert_eq!(plain("{n} of {m}", &[("m", "3"), ("n", "1")]), "1 of 3");
        let said = say("a < {b}", &[("b", html! { b { "<" } })]);
        assert_eq!(said.into_string(), "a &lt; <b>&lt;</b>");
    }
}
