//! A whole scenario with all its signals, second after second: first what people say in the days before, then everything.

use atlas::Atlas;

use crate::claims;
use crate::exports::{Datagram, Exporter, Exporters, Format};
use crate::felt::Felt;
use crate::generate::Range;
use crate::people::Voices;
use crate::scenario::{Error, Scenario};
use crate::truth::{Truth, outages};

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
    scenario: Scenario,
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
            range: Range::new(scenario.clone(), seed, atlas)?,
            scenario,
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
            // Of services without a name here, and in the history, nothing bad is felt.
            let felt = match self.has_begun {
                true => self.range.felt(),
                false => &[],
            };
            let of = |name: &String| {
                let number = self
                    .scenario
                    .service
                    .iter()
                    .position(|service| service.name == *name);
                number
                    .and_then(|number| felt.get(number).copied())
                    .unwrap_or_default()
            };
            let felt: Vec<Felt> = voices.services().iter().map(of).collect();
            voices.second(&felt, &mut signals.reports, &mut signals.probes);
        }
        true
    }

    /// Whether the second that was generated last is one of the scenario's own, and not of its history.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The truth about what was generated so far.
    pub fn truth(&self) -> Truth {
        let mut truth = self.range.truth();
        truth.people = self.voices.as_ref().map(Voices::truth);
        truth.outages = outages(&truth.services, self.scenario.start_ns());
        truth.claims = claims::judged(&self.scenario, &truth);
        truth
    }
}
