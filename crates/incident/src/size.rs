//! How large is it, against what others have published?
//!
//! Attacks as published are no sample of all attacks: each provider counts what its own protection saw, in its own units. So a
//! value gets a range of percentiles, never one, and the sentence names who counted, when, and where that can be read.

use crate::case::{Incident, Meaning, Standing};

/// Where more than this may be forged and senders were not traced, sources are not counted as senders.
const FORGED_FEW: f64 = 0.1;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Bits,
    Packets,
    Requests,
    Duration,
    Sources,
}

/// Which attacks were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// Floods of packets.
    Network,
    /// Floods of requests.
    Http,
}

/// A published figure.
#[derive(Debug)]
struct Figure {
    what: What,
    layer: Layer,
    /// In the unit of `what`: bits, packets or requests per second, seconds, addresses.
    figure: f64,
    /// Share of the attacks that stayed below it; `None` for a single attack.
    below: Option<f64>,
    /// Who says so, of when.
    who: &'static str,
    /// Where it was read. Where that is not the publisher's own page, `who` says "as reported".
    url: &'static str,
}

/// The figures. All were read at the address beside them in November 2026.
const FIGURES: &[Figure] = &[
    Figure {
        what: What::Bits,
        layer: Layer::Network,
        figure: 1e9,
        below: Some(0.99),
        who: "Cloudflare, first quarter of 2025, as reported",
        url: "https://cybernoz.com/ddos-attacks-jump-358-compared-to-last-year",
    },
    Figure {
        what: What::Bits,
        layer: Layer::Network,
        figure: 1e12,
        below: Some(0.999_96),
        who: "Cloudflare, first quarter of 2025, as reported (4 of 100,000 passed 1 Tbit/s or a billion packets/s)",
        url: "https://peq42.com/blog/ddos-increase-by-358-in-2025",
    },
    Figure {
        what: What::Bits,
        layer: Layer::Network,
        figure: 6.5e12,
        below: None,
        who: "Eleven11bot, 27 February 2025, Nokia as reported",
        url: "https://greenbot.com/eleven11bot-record-breaking-ddos-attack",
    },
    Figure {
        what: What::Bits,
        layer: Layer::Network,
        figure: 31.4e12,
        below: None,
        who: "Cloudflare, November 2025",
        url: "https://blog.cloudflare.com/ddos-threat-report-2025-q4/",
    },
    Figure {
        what: What::Packets,
        layer: Layer::Network,
        figure: 1e6,
        below: Some(0.99),
        who: "Cloudflare, first quarter of 2025, as reported",
        url: "https://cybernoz.com/ddos-attacks-jump-358-compared-to-last-year",
    },
    Figure {
        what: What::Packets,
        layer: Layer::Network,
        figure: 1e9,
        below: Some(0.999_96),
        who: "Cloudflare, first quarter of 2025, as reported (4 of 100,000 passed 1 Tbit/s or a billion packets/s)",
        url: "https://peq42.com/blog/ddos-increase-by-358-in-2025",
    },
    Figure {
        what: What::Packets,
        layer: Layer::Network,
        figure: 14.1e9,
        below: None,
        who: "Cloudflare, third quarter of 2025, as reported",
        url: "https://crunchbanglinux.org/cloudflare-mitigates-large-scale-cyber-attacks/amp",
    },
    Figure {
        what: What::Requests,
        layer: Layer::Http,
        figure: 1e6,
        below: Some(0.94),
        who: "Cloudflare, first quarter of 2025, as reported",
        url: "https://test.daily8.com/en/article/728a9c37cc39120a1c0f88781f3637a8",
    },
    Figure {
        what: What::Requests,
        layer: Layer::Http,
        figure: 398e6,
        below: None,
        who: "Google, August 2023, as reported",
        url: "https://cybernews.com/security/google-mitigates-largest-ddos-attack-to-date/",
    },
    Figure {
        what: What::Duration,
        layer: Layer::Network,
        figure: 600.0,
        below: Some(0.89),
        who: "Cloudflare, first quarter of 2025, as reported",
        url: "https://cybernoz.com/ddos-attacks-jump-358-compared-to-last-year",
    },
    Figure {
        what: What::Duration,
        layer: Layer::Network,
        figure: 3_600.0,
        below: Some(0.92),
        who: "Netscout, first half of 2020",
        url: "https://www.netscout.com/whitepaper/defend-your-network-at-scale-with-smart-protection",
    },
    Figure {
        what: What::Duration,
        layer: Layer::Network,
        figure: 86_400.0,
        below: Some(0.999),
        who: "Imperva, first quarter of 2017, as reported",
        url: "https://www.pcauthority.com.au/News/462889,ddos-attacks-shorter-and-more-frequent-80-now-take-less-than-an-hour.aspx",
    },
    Figure {
        what: What::Duration,
        layer: Layer::Http,
        figure: 600.0,
        below: Some(0.75),
        who: "Cloudflare, first quarter of 2025, as reported",
        url: "https://cybernoz.com/ddos-attacks-jump-358-compared-to-last-year",
    },
    Figure {
        what: What::Sources,
        layer: Layer::Network,
        figure: 13_000.0,
        below: None,
        who: "a Mirai-type botnet with 5.6 Tbit/s, October 2024, Cloudflare as reported",
        url: "https://www.techradar.com/pro/security/worlds-largest-ddos-attack-blocked-cloudflare-claims",
    },
    Figure {
        what: What::Sources,
        layer: Layer::Network,
        figure: 30_000.0,
        below: None,
        who: "Eleven11bot, February 2025, Nokia as reported (others counted 86,400 and fewer than 5,000)",
        url: "https://greenbot.com/eleven11bot-record-breaking-ddos-attack",
    },
    Figure {
        what: What::Sources,
        layer: Layer::Network,
        figure: 122_000.0,
        below: None,
        who: "an attack of 7.3 Tbit/s, May 2025, Cloudflare as reported",
        url: "https://cyberinsider.com/cloudflare-hyper-volumetric-ddos-attacks-surged-65x-since-last-year",
    },
    Figure {
        what: What::Sources,
        layer: Layer::Network,
        figure: 500_000.0,
        below: None,
        who: "Aisuru with 15.72 Tbit/s, October 2025, Microsoft as reported",
        url: "https://wnycyber.com/Current-Threat-Data.php?id=4520",
    },
    Figure {
        what: What::Sources,
        layer: Layer::Http,
        figure: 20_000.0,
        below: None,
        who: "the attacks of August 2023 by HTTP/2 Rapid Reset, Cloudflare as reported",
        url: "https://techlivetrends.com/?p=7210",
    },
];

/// What such power costs to rent, with the sources: said with every judgement of resources.
pub const RENT: &str = "Such power is rented: attacks for hire were offered at 5 dollars for five minutes and 400 for a day (Kaspersky, 2017, as reported; https://eluniversal.com.mx/articulo/techbit/2017/03/27/cuanto-cobra-un-hacker-por-un-ataque-ddos), and parts of the botnet behind the largest attacks of 2025 for a few hundred dollars (Cloudflare as reported; https://www.fortra.com/blog/why-record-breaking-30-tbps-ddos-attack-concern-business). Who can pay that need not be a state.";

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Bits => "bits per second",
            What::Packets => "packets per second",
            What::Requests => "requests per second",
            What::Duration => "duration",
            What::Sources => "sources",
        }
    }

    fn value(self, value: f64) -> String {
        match self {
            What::Bits => {
                let (scaled, [prefix, _]) = scaled(value);
                format!("{scaled} {prefix}bit/s")
            }
            What::Packets | What::Requests => {
                let (scaled, [_, words]) = scaled(value);
                let unit = if self == What::Packets {
                    "packets/s"
                } else {
                    "requests/s"
                };
                format!("{scaled} {words}{unit}")
            }
            What::Duration if value < 120.0 => format!("{value:.0} s"),
            What::Duration if value < 7_200.0 => format!("{:.0} minutes", value / 60.0),
            What::Duration => format!("{:.1} hours", value / 3_600.0),
            What::Sources => {
                let (scaled, [_, words]) = scaled(value);
                format!("{scaled} {words}addresses")
            }
        }
    }
}

/// Three digits, with the prefix and the word for the rest.
fn scaled(value: f64) -> (String, [&'static str; 2]) {
    let (scaled, names) = match value {
        v if v >= 1e12 => (v / 1e12, ["T", "trillion "]),
        v if v >= 1e9 => (v / 1e9, ["G", "billion "]),
        v if v >= 1e6 => (v / 1e6, ["M", "million "]),
        v if v >= 1e4 => (v / 1e3, ["k", "thousand "]),
        v => return (format!("{v:.0}"), ["", ""]),
    };
    let digits = if scaled >= 100.0 { 0 } else { 1 };
    (format!("{scaled:.digits$}"), names)
}

/// An incident's sizes against the published ones. `bits per second` and `packets per second` of an attack made of requests are
/// left out: those figures are of floods of packets.
pub fn standings(incident: &Incident) -> Vec<Standing> {
    let lasted = incident
        .end_ns
        .unwrap_or(incident.start_ns)
        .saturating_sub(incident.start_ns) as f64
        / 1e9;
    let senders = if incident.sources.senders.distinct > 0 {
        incident.sources.senders.distinct
    } else if incident.sources.meaning == Meaning::Senders && incident.sources.forged.high <= FORGED_FEW {
        incident.sources.distinct
    } else {
        0
    };
    let mut standings = Vec::new();
    let layer = match incident.peak.requests_per_second {
        Some(requests) => {
            standings.push(standing(What::Requests, Layer::Http, requests));
            Layer::Http
        }
        None => {
            standings.push(standing(
                What::Bits,
                Layer::Network,
                incident.peak.bits_per_second,
            ));
            standings.push(standing(
                What::Packets,
                Layer::Network,
                incident.peak.packets_per_second,
            ));
            Layer::Network
        }
    };
    let mut duration = standing(What::Duration, layer, lasted);
    if incident.ongoing {
        duration.percentile.1 = 1.0;
        duration.says = format!("at least {} It still ran when the input ends.", duration.says);
    }
    standings.push(duration);
    if senders > 0 {
        standings.push(standing(What::Sources, layer, senders as f64));
    }
    standings
}

fn standing(what: What, layer: Layer, value: f64) -> Standing {
    let of = || FIGURES.iter().filter(move |f| f.what == what && f.layer == layer);
    // Below the value lies at least what lies below a smaller figure, and at most what lies below a larger one.
    let under = of()
        .filter(|f| f.below.is_some() && f.figure <= value)
        .max_by(by_figure);
    let over = of()
        .filter(|f| f.below.is_some() && f.figure > value)
        .min_by(by_figure);
    let largest = of().filter(|f| f.below.is_none()).max_by(by_figure);
    let percentile = (
        under.and_then(|f| f.below).unwrap_or(0.0),
        over.and_then(|f| f.below).unwrap_or(1.0),
    );
    let attacks = match layer {
        Layer::Network => "floods of packets",
        Layer::Http => "floods of requests",
    };
    let mut says = what.value(value);
    match (under, over) {
        (Some(under), Some(over)) => says.push_str(&format!(
            ": more than {} and at most {} of {attacks} stay below it ({}, {}; {}, {})",
            percent(percentile.0),
            percent(percentile.1),
            under.who,
            under.url,
            over.who,
            over.url
        )),
        (Some(under), None) => says.push_str(&format!(
            ": more than {} of {attacks} stay below it ({}, {})",
            percent(percentile.0),
            under.who,
            under.url
        )),
        (None, Some(over)) => says.push_str(&format!(
            ": among the {} of {attacks} that stay below {} ({}, {})",
            percent(percentile.1),
            what.value(over.figure),
            over.who,
            over.url
        )),
        (None, None) => says.push_str(&format!(
            ": how many {attacks} are smaller is not published, only single ones are"
        )),
    }
    if let Some(largest) = largest {
        let times = value / largest.figure;
        let against = if times >= 1.0 {
            "as large as".to_owned()
        } else {
            format!("{} of", percent(times))
        };
        says.push_str(&format!(
            "; {against} the largest in this table, {} ({}, {})",
            what.value(largest.figure),
            largest.who,
            largest.url
        ));
    }
    says.push('.');
    Standing {
        what: what.name(),
        value,
        percentile,
        says,
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that max_by wants")]
fn by_figure(a: &&Figure, b: &&Figure) -> std::cmp::Ordering {
    a.figure.total_cmp(&b.figure)
}

/// A share in percent with as many digits as it needs: `99.996 %`, `0.03 %`.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let text = match percent {
        p if p >= 99.0 => format!("{p:.3}"),
        p if p >= 1.0 => format!("{p:.1}"),
        p if p >= 0.001 => format!("{p:.3}"),
        _ => return "less than 0.001 %".to_owned(),
    };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_in_order_and_have_addresses() {
        for what in [
            What::Bits,
            What::Packets,
            What::Requests,
            What::Duration,
            What::Sources,
        ] {
            for layer in [Layer::Network, Layer::Http] {
                let mut points: Vec<_> = FIGURES
                    .iter()
                    .filter(|f| f.what == what && f.layer == layer && f.below.is_some())
                    .map(|f| (f.figure, f.below.unwrap_or(0.0)))
                    .collect();
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(
                    points.windows(2).all(|p| p[0].1 < p[1].1),
                    "{what:?} {layer:?}: shares must rise"
                );
            }
        }
        assert!(
            FIGURES
                .iter()
                .all(|f| f.url.starts_with("https://") && f.who.contains(", "))
        );
    }

    #[test]
    fn a_value_stands_between_figures() {
        let small = standing(What::Bits, Layer::Network, 12.5e6);
        assert_eq!(small.percentile, (0.0, 0.99));
        assert!(
            small.says.contains("among the 99 %") && small.says.contains("less than 0.001 %"),
            "{}",
            small.says
        );
        let middle = standing(What::Bits, Layer::Network, 2.3e9);
        assert_eq!(middle.percentile, (0.99, 0.999_96));
        assert!(
            middle
                .says
                .starts_with("2.3 Gbit/s: more than 99 % and at most 99.996 %"),
            "{}",
            middle.says
        );
        let large = standing(What::Bits, Layer::Network, 6.5e12);
        assert_eq!(large.percentile, (0.999_96, 1.0));
        assert!(
            large
                .says
                .contains("20.7 % of the largest in this table, 31.4 Tbit/s"),
            "{}",
            large.says
        );
        let long = standing(What::Duration, Layer::Network, 7_300.0);
        assert_eq!(long.percentile, (0.92, 0.999));
        let exact = standing(What::Packets, Layer::Network, 1e6);
        assert_eq!(exact.percentile.0, 0.99, "what stays under 1 M is below 1 M");
        let bots = standing(What::Sources, Layer::Network, 2e6);
        assert_eq!(bots.percentile, (0.0, 1.0));
        assert!(
            bots.says.contains("not published") && bots.says.contains("as large as"),
            "{}",
            bots.says
        );
    }
}
