//! Small pages: what became of a report, what went wrong, and how all this works.

use axum::http::StatusCode;
use maud::{Markup, html};

use super::layout::{Frame, page};
use crate::page::outside;
use crate::serve::config::{Config, Service};
use crate::serve::lang::{Language, Texts, say};

/// What became of a report, as its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Counted,
    Already,
    Limited,
    Full,
    Busy,
    NoWork,
}

impl Outcome {
    pub(crate) const ALL: [Outcome; 6] = [
        Outcome::Counted,
        Outcome::Already,
        Outcome::Limited,
        Outcome::Full,
        Outcome::Busy,
        Outcome::NoWork,
    ];

    /// The word in the address.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Outcome::Counted => "yes",
            Outcome::Already => "already",
            Outcome::Limited => "limit",
            Outcome::Full => "full",
            Outcome::Busy => "busy",
            Outcome::NoWork => "work",
        }
    }

    pub(crate) fn of(word: &str) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.word() == word)
    }

    /// Where its sender is sent.
    pub(crate) fn address(self, slug: &str) -> String {
        format!("/s/{slug}/reported?r={}", self.word())
    }

    fn words(self, texts: &Texts) -> (&'static str, &'static str) {
        match self {
            Outcome::Counted => (texts.reported_yes, texts.reported_yes_more),
            Outcome::Already => (texts.reported_already, texts.reported_already_more),
            Outcome::Limited => (texts.reported_limit, texts.reported_limit_more),
            Outcome::Full => (texts.reported_full, texts.reported_full_more),
            Outcome::Busy => (texts.reported_busy, texts.reported_busy_more),
            Outcome::NoWork => (texts.reported_work, texts.reported_work_more),
        }
    }
}

/// What became of a report.
pub(crate) fn reported(outcome: Outcome, service: &Service, config: &Config, language: Language) -> String {
    let texts = language.texts();
    let (title, more) = outcome.words(texts);
    let is_well = matches!(outcome, Outcome::Counted | Outcome::Already);
    let main = html! {
        h1 { (title) }
        p.lead.calm[is_well] { (more) }
        p { a.go href={ "/s/" (service.slug) } { (say(texts.back, &[("name", outside(&service.name))])) } }
    };
    small(title, &format!("r={}", outcome.word()), config, language, main)
}

/// What went wrong, in the words of its kind (see [`Problem`](crate::serve::http::Problem)).
pub(crate) fn error(status: StatusCode, kind: &str, config: &Config, language: Language) -> String {
    let texts = language.texts();
    let (title, more) = match (kind, status) {
        ("not-found", _) | (_, StatusCode::NOT_FOUND) => (texts.error_not_found, texts.error_not_found_more),
        ("full", _) => (texts.reported_full, texts.reported_full_more),
        ("busy", _) | (_, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
            (texts.error_busy, texts.error_busy_more)
        }
        (_, status) if status.is_client_error() => (texts.error_invalid, texts.error_invalid_more),
        _ => (texts.error_other, texts.error_other_more),
    };
    let main = html! {
        h1 { (title) }
        p { (more) }
        p { a.go href="/" { (texts.services) } }
        p.soft { (status.as_u16()) }
    };
    small(title, "", config, language, main)
}

/// What is kept of whom, and how it is decided.
pub(crate) fn about(config: &Config, language: Language) -> String {
    let texts = language.texts();
    let main = html! {
        h1 { (texts.about) }
        p.lead { (texts.about_lead) }
        h2 { (texts.about_kept) }
        @for text in [texts.about_kept_1, texts.about_kept_2, texts.about_kept_3] { p { (text) } }
        h2 { (texts.about_decides) }
        @for text in [texts.about_decides_1, texts.about_decides_2, texts.about_decides_3] { p { (text) } }
        h2 { (texts.about_limits) }
        p { (texts.about_limits_1) }
        p { (texts.say_who) }
    };
    page(&Frame {
        title: format!("{} · {}", texts.about, config.site.name).into(),
        config,
        language,
        live: None,
        query: "",
        is_public: true,
        main,
    })
}

fn small(title: &str, query: &str, config: &Config, language: Language, main: Markup) -> String {
    page(&Frame {
        title: format!("{title} · {}", config.site.name).into(),
        config,
        language,
        live: None,
        query,
        is_public: false,
        main,
    })
}
