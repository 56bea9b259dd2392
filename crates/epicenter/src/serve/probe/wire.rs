//! What a tracker and its agents say to each other, in JSON.
//!
//! An agent asks for its [`Work`] (`GET /api/v1/probes`) and sends what it found in [`Batch`]es (`POST /api/v1/probes/results`). A
//! batch that was taken and whose answer was lost is sent again: service, probe, place and time of a result tell it from others.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};

use super::{Code, Finding, Kind, Outcome, Phases, Reason, Verdict, Version, clean};
use crate::case_json;
use crate::serve::config::{Config, PROBES_MAX, Probe, SERVICES_MAX, Service};

/// The schema of [`Work`].
pub(crate) const WORK: &str = "epicenter.probe-work/1";
/// The schema of [`Batch`].
pub(crate) const BATCH: &str = "epicenter.probe/1";
/// Results of one batch.
pub(crate) const RESULTS_MAX: usize = 1_000;
/// Bytes of a batch; a server reads no more.
pub(crate) const BATCH_BYTES_MAX: usize = 4 << 20;
/// Characters of a place.
pub(crate) const PLACE_MAX: usize = 80;
/// Results that are older say nothing of now.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(600);
/// Clocks differ.
pub(crate) const AHEAD_MAX: Duration = Duration::from_secs(60);

/// What is to be probed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Work {
    pub(crate) schema: String,
    /// Another one for other work; the tag (`ETag`) of the answer too, in quotes.
    pub(crate) version: String,
    pub(crate) services: Vec<WorkService>,
}

/// A service that has probes, and these as they are in a configuration.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct WorkService {
    pub(crate) slug: String,
    pub(crate) probe: Vec<Probe>,
}

impl Work {
    /// The probes of a configuration. They hold what is sent along with requests, secrets too: only agents may see them.
    pub(crate) fn of(config: &Config) -> Work {
        let services: Vec<WorkService> = config
            .service
            .iter()
            .filter(|service| !service.probe.is_empty())
            .map(|service| WorkService {
                slug: service.slug.clone(),
                probe: service.probe.clone(),
            })
            .collect();
        let text = serde_json::to_vec(&services).unwrap_or_default();
        let digest = Sha256::digest(&text);
        Work {
            schema: WORK.to_owned(),
            version: digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
            services,
        }
    }

    /// The services, for [`keep`](super::keep()).
    ///
    /// # Errors
    ///
    /// Where a tracker asks for what its own configuration may not hold.
    pub(crate) fn services(self) -> Result<Vec<Service>, String> {
        if self.schema != WORK {
            return Err(format!("schema: `{}` is not {WORK}", clean(&self.schema)));
        }
        if self.services.len() > SERVICES_MAX {
            return Err(format!("there are more than {SERVICES_MAX} services"));
        }
        let mut slugs = std::collections::BTreeSet::new();
        for service in &self.services {
            let slug = clean(&service.slug);
            if !slugs.insert(&service.slug) || service.probe.len() > PROBES_MAX {
                return Err(format!(
                    "`{slug}` is there twice, or has more than {PROBES_MAX} probes"
                ));
            }
            let (second, longest) = (Duration::from_secs(1), Duration::from_secs(120));
            let wrong = |probe: &Probe| {
                let (every, timeout) = probe.times();
                every < second || timeout.is_zero() || timeout > longest
            };
            if service.probe.iter().any(wrong) {
                return Err(format!(
                    "`{slug}`: every is at least 1s, timeout more than 0 and at most 2m"
                ));
            }
        }
        let service = |work: WorkService| Service {
            name: work.slug.clone(),
            slug: work.slug,
            url: String::new(),
            about: String::new(),
            networks: Vec::new(),
            symptoms: Vec::new(),
            neighbours: Vec::new(),
            claims: None,
            probe: work.probe,
        };
        Ok(self.services.into_iter().map(service).collect())
    }
}

/// What an agent found.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Batch {
    pub(crate) schema: String,
    /// Where the agent is.
    pub(crate) place: String,
    /// Results that the agent had to throw away since its start.
    #[serde(default)]
    pub(crate) dropped: u64,
    pub(crate) results: Vec<Entry>,
}

/// One result.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Entry {
    /// When the probe began (RFC 3339).
    pub(crate) at: String,
    /// Slug of the service.
    pub(crate) service: String,
    /// Number of the probe among those of the service.
    pub(crate) probe: usize,
    pub(crate) kind: Kind,
    /// Up, or down; `null` where there is no data. It has to be there: what was forgotten is not "no data".
    #[serde(deserialize_with = "present")]
    pub(crate) ok: Option<bool>,
    /// The [`Code`] where it is not up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The reason in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) words: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    #[serde(default)]
    pub(crate) phases_ms: PhasesMs,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate_ends: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<Version>,
}

/// [`Phases`] in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct PhasesMs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connect: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_byte: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) whole: Option<f64>,
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    Option::deserialize(from)
}

impl Batch {
    /// These results of a place.
    pub(crate) fn of(place: &str, dropped: u64, results: &[Finding]) -> Batch {
        Batch {
            schema: BATCH.to_owned(),
            place: place.to_owned(),
            dropped,
            results: results.iter().map(Entry::of).collect(),
        }
    }

    /// The results, where all of them can be believed.
    ///
    /// # Errors
    ///
    /// What is wrong with the batch, for its sender.
    pub(crate) fn results(self, now_ns: u64) -> Result<Vec<Finding>, String> {
        if self.schema != BATCH {
            return Err(format!("schema: `{}` is not {BATCH}", clean(&self.schema)));
        }
        place(&self.place)?;
        if self.results.len() > RESULTS_MAX {
            return Err(format!("results: there are more than {RESULTS_MAX}"));
        }
        let entries = self.results.into_iter().enumerate();
        entries
            .map(|(number, entry)| {
                entry
                    .result(&self.place, now_ns)
                    .map_err(|problem| format!("results[{number}].{problem}"))
            })
            .collect()
    }
}

/// Whether a place has a name that can be shown.
///
/// # Errors
///
/// A phrase for people.
pub(crate) fn place(name: &str) -> Result<(), String> {
    if name.trim().is_empty() || name.chars().count() > PLACE_MAX || clean(name) != name {
        return Err(format!(
            "place: is empty, longer than {PLACE_MAX} characters, or not on one line"
        ));
    }
    Ok(())
}

impl Entry {
    fn of(result: &Finding) -> Entry {
        let outcome = &result.outcome;
        let (ok, reason) = match &outcome.verdict {
            Verdict::Up => (Some(true), None),
            Verdict::Down(reason) => (Some(false), Some(reason)),
            Verdict::NoData(reason) => (None, Some(reason)),
        };
        // A microsecond is finer than any of this is known.
        let ms = |phase: Option<Duration>| phase.map(|phase| phase.as_micros() as f64 / 1_000.0);
        let phases = &outcome.phases;
        Entry {
            at: case_json::time(result.at_ns),
            service: result.service.clone(),
            probe: result.probe,
            kind: result.kind,
            ok,
            reason: reason.map(|reason| reason.code.word().to_owned()),
            words: reason.map(|reason| reason.words.clone()),
            note: outcome.note.clone(),
            phases_ms: PhasesMs {
                dns: ms(phases.dns),
                connect: ms(phases.connect),
                tls: ms(phases.tls),
                first_byte: ms(phases.first_byte),
                whole: ms(phases.whole),
            },
            status: outcome.status,
            certificate_ends: outcome.certificate_ends,
            http: outcome.http,
        }
    }

    fn result(self, place: &str, now_ns: u64) -> Result<Finding, String> {
        let at = self
            .at
            .parse::<jiff::Timestamp>()
            .map_err(|_| "at: is no time of RFC 3339")?;
        let at_ns = u64::try_from(at.as_nanosecond()).map_err(|_| "at: is before 1970")?;
        if now_ns.saturating_sub(at_ns) > AGE_MAX.as_nanos() as u64 {
            return Err(format!("at: is more than {} minutes ago", AGE_MAX.as_secs() / 60));
        }
        if at_ns.saturating_sub(now_ns) > AHEAD_MAX.as_nanos() as u64 {
            return Err("at: is more than a minute ahead: is the clock right?".to_owned());
        }
        if self.service.len() > 80 || self.probe >= PROBES_MAX {
            return Err("service, probe: there is none such".to_owned());
        }
        let phase = |ms: Option<f64>| match ms {
            Some(ms) if !(0.0..=600_000.0).contains(&ms) => Err("phases_ms: is not 0 to 600000".to_owned()),
            ms => Ok(ms.map(|ms| Duration::from_secs_f64(ms / 1_000.0))),
        };
        let phases = Phases {
            dns: phase(self.phases_ms.dns)?,
            connect: phase(self.phases_ms.connect)?,
            tls: phase(self.phases_ms.tls)?,
            first_byte: phase(self.phases_ms.first_byte)?,
            whole: phase(self.phases_ms.whole)?,
        };
        let reason = Reason::new(
            Code::of(self.reason.as_deref().unwrap_or_default()),
            self.words.unwrap_or_default(),
        );
        Ok(Finding {
            at_ns,
            service: self.service,
            probe: self.probe,
            kind: self.kind,
            place: place.to_owned(),
            outcome: Outcome {
                verdict: match self.ok {
                    Some(true) => Verdict::Up,
                    Some(false) => Verdict::Down(reason),
                    None => Verdict::NoData(reason),
                },
                phases,
                status: self.status,
                certificate_ends: self.certificate_ends,
                http: self.http,
                note: self.note.map(|note| clean(&note)),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_741_600_000_000_000_000;

    fn found(verdict: Verdict) -> Finding {
        Finding {
            at_ns: NOW - 5_000_000_000,
            service: "shop".to_owned(),
            probe: 1,
            kind: Kind::Http,
            place: "Madrid".to_owned(),
            outcome: Outcome {
                verdict,
                phases: Phases {
                    dns: Some(Duration::from_micros(1_500)),
                    whole: Some(Duration::from_millis(20)),
                    ..Phases::default()
                },
                status: Some(200),
                certificate_ends: Some(1_750_000_000),
                http: Some(Version::Http2),
                note: Some("redirected from https to http://shop.example/".to_owned()),
            },
        }
    }

    fn batch() -> serde_json::Value {
        serde_json::to_value(Batch::of("Madrid", 0, &[found(Verdict::Up)])).unwrap()
    }

    fn taken(batch: serde_json::Value) -> Result<Vec<Finding>, String> {
        let batch: Batch = serde_json::from_value(batch).map_err(|error| error.to_string())?;
        batch.results(NOW)
    }

    #[test]
    fn results_arrive_as_they_were_sent() {
        let results = [
            found(Verdict::Up),
            found(Verdict::Down(Reason::new(
                Code::TlsExpired,
                "the certificate has ended",
            ))),
            found(Verdict::NoData(Reason::new(
                Code::Offline,
                "we have no route to the Internet",
            ))),
        ];
        let text = serde_json::to_string(&Batch::of("Madrid", 3, &results)).unwrap();
        assert!(text.contains(r#""ok":null,"reason":"offline""#), "{text}");
        let batch: Batch = serde_json::from_str(&text).unwrap();
        assert_eq!(batch.dropped, 3);
        assert_eq!(batch.results(NOW).unwrap(), results);
    }

    #[test]
    fn every_code_comes_back_and_an_unknown_one_is_other() {
        for code in Code::ALL {
            assert_eq!(Code::of(code.word()), *code);
            assert!(
                code.word()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            );
        }
        assert_eq!(Code::of("quic-failed"), Code::Other);
    }

    #[test]
    fn what_cannot_be_believed_is_refused() {
        assert_eq!(taken(batch()).unwrap().len(), 1);
        let refused = |change: &dyn Fn(&mut serde_json::Value), wanted: &str| {
            let mut batch = batch();
            change(&mut batch);
            let said = taken(batch).expect_err(wanted);
            assert!(said.contains(wanted), "{said}");
        };
        refused(&|batch| batch["schema"] = "epicenter.probe/2".into(), "schema");
        refused(&|batch| batch["place"] = "x".repeat(81).into(), "place");
        refused(&|batch| batch["place"] = " ".into(), "place");
        refused(&|batch| batch["place"] = "a\nb".into(), "place");
        refused(
            &|batch| batch["results"][0]["at"] = case_json::time(NOW - 601_000_000_000).into(),
            "10 minutes ago",
        );
        refused(
            &|batch| batch["results"][0]["at"] = case_json::time(NOW + 61_000_000_000).into(),
            "ahead",
        );
        refused(
            &|batch| batch["results"][0]["at"] = "yesterday".into(),
            "results[0].at",
        );
        refused(
            &|batch| batch["results"][0]["at"] = "1960-01-01T00:00:00Z".into(),
            "1970",
        );
        refused(&|batch| batch["results"][0]["probe"] = 16.into(), "none such");
        refused(
            &|batch| batch["results"][0]["phases_ms"]["dns"] = (-1).into(),
            "phases_ms",
        );
        refused(
            &|batch| {
                batch["results"][0].as_object_mut().unwrap().remove("ok");
            },
            "ok",
        );
        refused(
            &|batch| {
                let one = batch["results"][0].clone();
                batch["results"] = vec![one; 1_001].into();
            },
            "more than 1000",
        );
    }

    #[test]
    fn words_of_agents_are_cut_and_cleaned() {
        let mut batch = batch();
        batch["results"][0]["ok"] = false.into();
        batch["results"][0]["words"] = format!("\u{1b}[2J\u{202e}{}", "w".repeat(5_000)).into();
        let results = taken(batch).unwrap();
        let Verdict::Down(reason) = &results[0].outcome.verdict else {
            panic!("{results:?}")
        };
        assert_eq!(reason.code, Code::Other);
        assert_eq!(reason.words.chars().count(), super::super::WORDS_MAX + 1);
        assert!(!reason.words.contains('\u{1b}') && !reason.words.contains('\u{202e}'));
    }

    #[test]
    fn work_is_the_same_in_json_as_in_the_configuration() {
        let config = Config::parse(
            "[[service]]\nslug = \"shop\"\nname = \"Shop\"\n[[service.probe]]\nkind = \"http\"\nurl = \"https://shop.example/\"\n\
             json = { \"/n\" = 1, \"/on\" = true, \"/list\" = [1.5, \"x\"] }\n[[service.probe]]\nkind = \"dns\"\n\
             name = \"shop.example\"\n[[service]]\nslug = \"bank\"\nname = \"Bank\"\n",
        )
        .unwrap();
        let work = Work::of(&config);
        let read: Work = serde_json::from_str(&serde_json::to_string(&work).unwrap()).unwrap();
        assert_eq!(read, work);
        assert_eq!(read.services.len(), 1);
        let mut services = read.services().unwrap();
        assert_eq!(services.pop().unwrap().probe, config.service[0].probe);
        // The version is of the work alone.
        let mut other = config.clone();
        other.service[1].name = "Another bank".to_owned();
        assert_eq!(Work::of(&other).version, work.version);
        other.service[0].probe.pop();
        assert_ne!(Work::of(&other).version, work.version);
    }

    #[test]
    fn work_that_no_configuration_may_hold_is_refused() {
        let mut work = Work::of(&Config::default());
        let tcp = |every| Probe::Tcp {
            address: "shop.example:1".to_owned(),
            every: crate::serve::config::Span(Duration::from_millis(every)),
            timeout: crate::serve::config::Span(Duration::from_secs(1)),
        };
        let service = |slug: &str, probe| WorkService {
            slug: slug.to_owned(),
            probe,
        };
        work.services = vec![service("shop", vec![tcp(1_000)])];
        assert!(work.clone().services().is_ok());
        let mut fast = work.clone();
        fast.services[0].probe[0] = tcp(10);
        assert!(fast.services().unwrap_err().contains("every"));
        let mut twice = work.clone();
        twice.services.push(service("shop", Vec::new()));
        assert!(twice.services().unwrap_err().contains("twice"));
        let mut many = work.clone();
        many.services[0].probe = vec![tcp(1_000); 17];
        assert!(many.services().unwrap_err().contains("16"));
        work.schema = "x".to_owned();
        assert!(work.services().unwrap_err().contains("schema"));
    }
}
