//! A whole scenario with all its signals, second after second: first what people say in the days before, then everything.

use atlas::Atlas;

use crate::exports::{Datagram, Exporter, Exporters, Format};
use crate::generate::Range;
use crate::people::Voices;
use crate::scenario::{Error, Scenario};
use crate::truth::Truth;

/// What there is in one second.
#[derive(Default)]
pub struct Signals {
    /// pcap records of packets.
    pub packets: Vec<u8>,
    /// Exporters, and what they sent.
    pub exports: Vec<(Exporters, Vec<Datagram>)>,
    /// JSON lines `epicenter.report/1`.
    pub reports: Vec<u8>,
    /// JSON lines `epicenter.probe/1`.
    pub probes: Vec<u8>,
}

impl Signals {
    /// Forgets them, for the next second.
    pub fn clear(&mut self) {
        self.packets.clear();
        self.exports.iter_mut().for_each(|(_, sent)| sent.clear());
        self.reports.clear();
        self.probes.clear();
    }
}

/// Generates all signals of a scenario.
pub struct Drill<'a> {
    range: Range<'a>,
    voices: Option<Voices<'a>>,
    /// Seconds of the history that are left.
    before: u32,
    has_begun: bool,
}

impl<'a> Drill<'a> {
    /// Draws everybody.
    ///
    /// # Errors
    ///
    /// A country of which the atlas knows no address to draw.
    pub fn new(scenario: Scenario, seed: u64, atlas: &'a Atlas) -> Result<Drill<'a>, Error> {
        let voices = Voices::new(&scenario, seed, atlas)?;
        Ok(Drill {
            before: voices.as_ref().map_or(0, Voices::history),
            voices,
            has_begun: false,
            range: Range::new(scenario, seed, atlas)?,
        })
    }

    /// The scenario's exporters, or these instead, to be put into [`Signals::exports`].
    pub fn exporters(&self, format: Format, instead: Option<&[Exporter]>) -> (Exporters, Vec<Datagram>) {
        (self.range.exporters(format, instead), Vec::new())
    }

    /// Appends the signals of the next second, each in order of time; false when there is none.
    pub fn second(&mut self, signals: &mut Signals) -> bool {
        if self.before > 0 {
            self.before -= 1;
        } else {
            self.has_begun = true;
            if !self.range.second_with(&mut signals.packets, &mut signals.exports) {
                return false;
            }
        }
        if let Some(voices) = &mut self.voices {
            // In the history nothing bad is felt.
            let felt = match self.has_begun {
                true => self.range.felt_of(voices.services()),
                false => Vec::new(),
            };
            voices.second(&felt, &mut signals.reports, &mut signals.probes);
        }
        true
    }

    /// Whether the second that was generated last is one of the scenario's own, and not of its history.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The traffic of it.
    pub fn range(&self) -> &Range<'a> {
        &self.range
    }

    /// The truth about what was generated so far.
    pub fn truth(&self) -> Truth {
        self.range.truth_with(self.voices.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        name = "own"
        about = "A fault of one of two services."
        start = "2025-03-10T12:00:00Z"
        seconds = 60
        [[service]]
        name = "a"
        address = "198.41.30.10"
        address6 = "2606:4700::10"
        [[service]]
        name = "b"
        address = "198.41.40.10"
        [[audience]]
        service = "b"
        sessions_per_second = 1
        countries = { US = 1 }
        [[fault]]
        service = "b"
        from = 20
        to = 50
        failing = 0.5
        [people]
        history = 30
        [[people.service]]
        name = "b"
        users = 1000000
        chance = 0.001
        base_per_minute = 1
        countries = { US = 1 }
        [[claim]]
        said = "Very many people felt it"
        proposition = { kind = "people-affected", at_least = 400000 }
        [[claim]]
        said = "All was well again at once"
        proposition = { kind = "restored", at = "2025-03-10T12:00:30Z" }
    "#;

    #[test]
    fn what_is_felt_and_true_is_the_same_for_all_who_ask() {
        let atlas = Atlas::embedded();
        let scenario = Scenario::read(TEXT, &atlas).unwrap();
        let mut drill = Drill::new(scenario, 1, &atlas).unwrap();
        let mut signals = Signals::default();
        let names = ["nobody".to_owned(), "b".to_owned(), "a".to_owned()];
        let mut seconds = 0;
        while drill.second(&mut signals) {
            let failing = drill.range().felt_of(&names);
            let failing: Vec<f64> = failing.iter().map(|felt| felt.failing).collect();
            let now = drill.has_begun() && (50..80).contains(&seconds);
            assert_eq!(failing, [0.0, if now { 0.5 } else { 0.0 }, 0.0], "{seconds}");
            seconds += 1;
        }
        assert_eq!(seconds, 30 + 60);
        let services: Vec<String> = drill
            .range()
            .services()
            .iter()
            .map(|(name, prefix)| format!("{name}={prefix}"))
            .collect();
        assert_eq!(
            services,
            ["a=198.41.30.10/32", "a=2606:4700::10/128", "b=198.41.40.10/32"]
        );
        let truth = drill.truth();
        let outages: Vec<(&str, &str, &str)> = truth
            .outages
            .iter()
            .map(|outage| {
                (
                    outage.service.as_str(),
                    outage.start.as_str(),
                    outage.end.as_str(),
                )
            })
            .collect();
        assert_eq!(outages, [("b", "2025-03-10T12:00:20Z", "2025-03-10T12:00:50Z")]);
        assert_eq!(truth.people.unwrap().services[0].affected, 500_000);
        let holds: Vec<Option<bool>> = truth.claims.iter().map(|claim| claim.holds).collect();
        assert_eq!(holds, [Some(true), Some(false)]);
        // Without its people nobody knows how many felt it.
        let alone = drill.range().truth();
        assert!(alone.people.is_none());
        assert_eq!(alone.claims[0].holds, None);
    }
}
