//! Claims and what the evidence says of them, for the report: cards for people, schema.org ClaimReview for machines.

use incident::case::{Confidence, Share, Verdict, Words};
use incident::claim::{Claim, Extent, Grade, Proposition};
use maud::{Markup, PreEscaped, html};
use serde_json::{Value, json};

use crate::case_html::{at, points};
use crate::case_json::{confidence, time};
use crate::case_text::count;
use crate::page::{clean, link, outside};
use crate::world;

/// The words of ICD 203 from the least to the most likely, and the probability at which each ends.
const SCALE: [(Words, f64); 7] = [
    (Words::AlmostNoChance, 0.05),
    (Words::VeryUnlikely, 0.20),
    (Words::Unlikely, 0.45),
    (Words::RoughlyEvenChance, 0.55),
    (Words::Likely, 0.80),
    (Words::VeryLikely, 0.95),
    (Words::AlmostCertain, 1.0),
];

/// One line for each verdict, for the top of the page.
pub(crate) fn in_short(verdicts: &[Verdict]) -> Markup {
    html! {
        ul.short {
            @for (n, verdict) in verdicts.iter().enumerate() {
                li {
                    (quote(&verdict.claim)) ": "
                    a href={ "#claim-" (n + 1) } { strong { (verdict.words.text()) } } "."
                }
            }
        }
    }
}

/// The verdicts in full; their headings are of this level.
pub(crate) fn cards(verdicts: &[Verdict]) -> Markup {
    html! {
        p.soft {
            "A verdict says how likely a statement is, in the words of ICD 203. How good the evidence is, is another question and is answered apart."
        }
        @for (n, verdict) in verdicts.iter().enumerate() { (card(n + 1, verdict)) }
    }
}

fn card(n: usize, verdict: &Verdict) -> Markup {
    let claim = &verdict.claim;
    html! {
        article.card id={ "claim-" (n) } {
            h3 { "Claim " (n) ": " (proposition(&claim.proposition)) }
            blockquote { (outside(&claim.said)) }
            p.soft {
                @if let Some(by) = &claim.by { "Said by " (outside(by)) } @else { "It is not known who said it" }
                @if let Some(at_ns) = claim.at_ns { ", " (at(at_ns)) }
                "."
                @if let Some(url) = &claim.url { " " (link(url)) }
                @if let Some(copy) = &claim.archived { " Archived copy: " (outside(copy)) "." }
            }
            p.verdict { strong { (sentence(verdict)) } }
            @if let Some(probability) = verdict.probability {
                (scale(verdict.words, probability))
                p.soft { "Estimated probability: " (chance(probability)) " (95 % interval)." }
            }
            p { (confidence_sentence(verdict.confidence)) }
            @if let Some(grade) = claim.grade { p.soft { (grade_sentence(grade)) } }
            @if !verdict.because.is_empty() { h4 { "Because" } (points(&verdict.because)) }
            @if !verdict.would_change.is_empty() { h4 { "What would change it" } (points(&verdict.would_change)) }
        }
    }
}

/// The claim's words with who said them; long ones shortened.
fn quote(claim: &Claim) -> Markup {
    const LONG: usize = 160;
    let mut said: String = claim.said.chars().take(LONG).collect();
    if said.len() < claim.said.len() {
        said.push('…');
    }
    html! { q { (outside(&said)) } @if let Some(by) = &claim.by { " (" (outside(by)) ")" } }
}

fn sentence(verdict: &Verdict) -> String {
    if verdict.assessable && verdict.words != Words::CannotBeAssessed {
        format!("Verdict: {}.", verdict.words.text())
    } else {
        "Verdict: this cannot be assessed from this evidence.".to_owned()
    }
}

fn confidence_sentence(level: Confidence) -> String {
    let why = match level {
        Confidence::Low => "others' statements only, or large gaps",
        Confidence::Moderate => "one kind of own data",
        Confidence::High => "several independent signs in own raw data",
    };
    format!("Confidence in the evidence: {} ({why}).", confidence(level))
}

/// The Admiralty grade in words (NATO AJP-2.1).
fn grade_sentence(grade: Grade) -> String {
    let source = match grade.source {
        'A' => "reliable",
        'B' => "usually reliable",
        'C' => "fairly reliable",
        'D' => "not usually reliable",
        'E' => "unreliable",
        _ => "of unknown reliability",
    };
    let information = match grade.information {
        1 => "confirmed",
        2 => "probably true",
        3 => "possibly true",
        4 => "doubtfully true",
        5 => "improbable",
        _ => "not to be judged",
    };
    format!(
        "Before the traffic was asked: Admiralty grade {}{}, a source that is {source}, a statement that is {information}.",
        clean(&grade.source.to_string()),
        grade.information
    )
}

/// A probability with its interval in percent. Nothing is certain, so neither 0 nor 100 is ever written.
fn chance(share: Share) -> String {
    let percent = |value: f64| match value * 100.0 {
        v if v < 1.0 => "<1".to_owned(),
        v if v > 99.0 => ">99".to_owned(),
        v => format!("{v:.0}"),
    };
    format!(
        "{} % [{}, {}]",
        percent(share.estimate),
        percent(share.low),
        percent(share.high)
    )
}

/// The seven words as parts of a line, the verdict's filled, with the interval over them.
fn scale(words: Words, probability: Share) -> Markup {
    let rounded = |value: f64| (value * 10.0).round() / 10.0;
    let at = |value: f64| rounded(value.clamp(0.0, 1.0) * 200.0);
    let (low, high) = (at(probability.low), at(probability.high));
    let parts = SCALE.iter().scan(0.0, |from, (word, to)| {
        let part = (*word, at(*from), at(*to));
        *from = *to;
        Some(part)
    });
    html! {
        div.ends aria-hidden="true" {
            svg.scale viewBox="0 0 200 14" preserveAspectRatio="none" aria-hidden="true" {
                @for (word, from, to) in parts {
                    rect.on[word == words] x=(rounded(from + 0.3)) width=(rounded(to - from - 0.6)) y="2" height="10" { title { (word.text()) } }
                }
                path.reach d={ "M" (low) " 7H" (high) "M" (low) " 3v8M" (high) " 3v8" } {}
            }
            div { span { (Words::AlmostNoChance.text()) } span { (Words::AlmostCertain.text()) } }
        }
    }
}

/// What a claim says, in words.
pub(crate) fn proposition(proposition: &Proposition) -> String {
    let part = |extent: &Extent| match extent {
        Extent::Any => "some of the attack's traffic",
        Extent::Most => "more than half of the attack's traffic",
    };
    let within = |seconds: &u64| match seconds {
        0 => String::new(),
        s => format!(
            ", give or take {}",
            crate::case_text::duration(s.saturating_mul(1_000_000_000))
        ),
    };
    match proposition {
        Proposition::FromCountries { countries, extent } => {
            let names: Vec<String> = countries.iter().map(|c| world::name(c.as_str())).collect();
            format!("{} came from {}", part(extent), names.join(", "))
        }
        Proposition::FromNetworks { networks, extent } => {
            let names: Vec<String> = networks.iter().map(|n| format!("AS{n}")).collect();
            format!("{} came from {}", part(extent), names.join(", "))
        }
        Proposition::ActorState { state: Some(state) } => {
            format!("the state that did it is {}", world::name(state.as_str()))
        }
        Proposition::ActorState { state: None } => "a state did it".to_owned(),
        Proposition::ActorGroup { name } => format!("the group “{}” did it", clean(name)),
        Proposition::Coordinated { large_group: true } => "a large, coordinated group did it".to_owned(),
        Proposition::Coordinated { large_group: false } => "it was coordinated".to_owned(),
        Proposition::ManyResources => "it took a lot of resources".to_owned(),
        Proposition::IsAttack => "it is an attack rather than a fault".to_owned(),
        Proposition::StartedAt { at_ns, within_s } => {
            format!("it began at {}{}", time(*at_ns), within(within_s))
        }
        Proposition::EndedAt { at_ns, within_s } => {
            format!("it ended at {}{}", time(*at_ns), within(within_s))
        }
        Proposition::Restored { at_ns } => format!("the service is restored since {}", time(*at_ns)),
        Proposition::PeopleAffected { at_least } => {
            format!("at least {} people are affected", count(*at_least))
        }
        Proposition::Vector { name } => format!("the attack used {}", clean(name)),
        Proposition::ExposedOrigin { prefix } => {
            format!("servers behind the protection were reached directly, at {prefix}")
        }
        Proposition::ProviderOff {
            network,
            country: Some(country),
        } => format!(
            "AS{network} was switched off in {}",
            world::name(country.as_str())
        ),
        Proposition::ProviderOff {
            network,
            country: None,
        } => format!("AS{network} was switched off"),
    }
}

/// A schema.org ClaimReview for each verdict, as JSON-LD: data, not a script.
pub(crate) fn reviews(verdicts: &[Verdict]) -> Markup {
    html! {
        @for verdict in verdicts { script type="application/ld+json" { (PreEscaped(inside_script(&review(verdict)))) } }
    }
}

fn review(verdict: &Verdict) -> Value {
    let claim = &verdict.claim;
    let mut item = json!({ "@type": "Claim" });
    if let Some(by) = &claim.by {
        // Whether a person or an organisation is not known, so no type is claimed.
        item["author"] = json!({ "name": clean(by) });
    }
    if let Some(at_ns) = claim.at_ns {
        item["datePublished"] = json!(time(at_ns));
    }
    if let Some(url) = &claim.url {
        item["appearance"] = json!({ "@type": "CreativeWork", "url": clean(url) });
    }
    let mut rating = json!({ "@type": "Rating", "alternateName": verdict.words.text() });
    if let Some(place) = SCALE.iter().position(|(words, _)| *words == verdict.words) {
        rating["ratingValue"] = json!(place + 1);
        rating["worstRating"] = json!(1);
        rating["bestRating"] = json!(SCALE.len());
    }
    json!({
        "@context": "https://schema.org",
        "@type": "ClaimReview",
        "claimReviewed": clean(&claim.said),
        "itemReviewed": item,
        "author": { "@type": "SoftwareApplication", "name": "Epicenter", "softwareVersion": env!("CARGO_PKG_VERSION") },
        "reviewBody": clean(&verdict.because.join(" ")),
        "reviewRating": rating,
    })
}

/// JSON that cannot end the element that it stands in.
fn inside_script(value: &Value) -> String {
    value
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_never_certain() {
        let share = Share {
            estimate: 1.0,
            low: 0.0,
            high: 0.5,
        };
        assert_eq!(chance(share), ">99 % [<1, 50]");
    }

    #[test]
    fn json_cannot_end_its_element() {
        let text = inside_script(&json!({ "said": "</script><script>alert(1)</script>" }));
        assert!(!text.contains('<') && !text.contains('>'));
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["said"], "</script><script>alert(1)</script>");
    }

    #[test]
    fn the_scale_has_every_word_once_in_order() {
        assert!(
            SCALE
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1)
        );
        assert_eq!(SCALE.len(), Words::CannotBeAssessed as usize);
    }
}
