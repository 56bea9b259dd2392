//! The case as a MISP event (MISP core format), with an object of the public template `ddos` for each incident and vector and one of
//! `ddos-claim` for each claim.
//!
//! Source addresses are listed where they are known to be those of senders or reflectors, and `to_ids` is set for senders alone: a
//! filter that blocks reflectors blocks other people's servers. Ids and times are derived from the case, so that the same case gives
//! the same bytes.

use std::collections::BTreeSet;

use detect::{Transport, Vector};
use incident::Case;
use incident::case::{Incident, VectorShare, Verdict, Words};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::args::{ShareArgs, Tlp};
use crate::case_json::{confidence, time};
use crate::case_text::headline;
use crate::origin;
use crate::stix::{NAMESPACE, bare, explanation, technique, text, where_from};

/// Sources of a vector that are listed.
const SOURCES_SHOWN: usize = 100;
/// Destination ports of a vector that are listed.
const PORTS_SHOWN: usize = 8;
const SECOND: u64 = 1_000_000_000;

/// A template of MISP's public objects: name, meta-category, description, uuid, version.
type Template = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);
const DDOS: Template = (
    "ddos",
    "network",
    "A denial of service attack",
    "e2f124d6-f57c-4f93-99e6-8450545fa05d",
    "10",
);
const CLAIM: Template = (
    "ddos-claim",
    "network",
    "A claim about a denial of service attack",
    "2722ac76-1f1f-43b7-bc68-ba5465ec5c04",
    "2",
);

/// Renders a case.
pub(crate) fn render(case: &Case, share: &ShareArgs) -> anyhow::Result<String> {
    let org = share.reporter_name.as_deref().unwrap_or("Epicenter");
    let ids: Vec<&str> = case
        .incidents
        .iter()
        .map(|incident| incident.id.as_str())
        .collect();
    let first = case.inputs.iter().filter_map(|input| input.first_ns).min();
    let last = case
        .inputs
        .iter()
        .filter_map(|input| input.last_ns)
        .max()
        .unwrap_or(0);
    let began = case
        .incidents
        .iter()
        .map(|incident| incident.start_ns)
        .min()
        .or(first)
        .unwrap_or(last);
    let claims: Vec<&str> = case.verdicts.iter().map(|v| v.claim.said.as_str()).collect();
    let event = uuid(&format!(
        "event\n{org}\n{}\n{began}\n{}",
        ids.join("\n"),
        claims.join("\n")
    ));
    let maker = Maker {
        event,
        stamp: (last / SECOND).to_string(),
    };
    let mut objects = Vec::new();
    for incident in &case.incidents {
        objects.extend(maker.incident(incident));
    }
    for (number, verdict) in case.verdicts.iter().enumerate() {
        objects.push(maker.claim(verdict, number));
    }
    let info = match case.incidents.as_slice() {
        [] => "No attack was found".to_owned(),
        [one] => format!("DDoS on {}: {}", bare(one.target), one.id),
        several => format!("DDoS: {} incidents, the largest {}", several.len(), several[0].id),
    };
    let value = json!({
        "Event": {
            "uuid": event.to_string(),
            "info": info,
            "date": time(began).get(..10).unwrap_or_default(),
            "timestamp": maker.stamp,
            // How bad it is for the reader is not in the traffic.
            "threat_level_id": "4",
            "analysis": "2",
            "distribution": "0",
            "published": false,
            "Orgc": { "name": org, "uuid": uuid(&format!("org\n{org}")).to_string() },
            "Tag": tags(case, share.tlp).iter().map(|tag| json!({ "name": tag })).collect::<Vec<_>>(),
            "Attribute": [],
            "Object": objects,
        },
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn uuid(about: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("misp\n{about}").as_bytes())
}

fn tags(case: &Case, tlp: Tlp) -> Vec<String> {
    let mut tags = BTreeSet::from([format!(
        "tlp:{}",
        match tlp {
            Tlp::Clear => "clear",
            Tlp::Green => "green",
            Tlp::Amber => "amber",
            Tlp::AmberStrict => "amber+strict",
            Tlp::Red => "red",
        }
    )]);
    for incident in &case.incidents {
        for part in &incident.vectors {
            tags.extend(
                kinds(part.vector)
                    .iter()
                    .map(|kind| format!("ddos:type=\"{kind}\"")),
            );
            let (technique, name) = technique(part.vector);
            tags.insert(format!(
                "misp-galaxy:mitre-attack-pattern=\"{name} - {technique}\""
            ));
        }
    }
    // What is said of several incidents is as sure as the least sure of them.
    if let Some(least) = case.incidents.iter().map(|incident| incident.confidence).min() {
        tags.insert(format!(
            "estimative-language:confidence-in-analytic-judgment=\"{}\"",
            confidence(least)
        ));
    }
    tags.into_iter().collect()
}

/// Words of the taxonomy `ddos:type`. It has none for slow headers.
fn kinds(vector: Vector) -> &'static [&'static str] {
    match vector {
        Vector::SynackReflection => &["reflected-spoofed-attack"],
        v if v.is_reflection() => &["amplification-attack", "reflected-spoofed-attack"],
        Vector::SlowPost => &["post-attack"],
        Vector::Slowloris => &[],
        _ => &["flooding-attack"],
    }
}

/// The template's finer words.
fn technique_word(vector: Vector) -> Option<&'static str> {
    use Vector as V;
    Some(match vector {
        V::ChargenAmplification => "chargen-amplification",
        V::DnsAmplification => "dns-amplification",
        V::DnsFlood | V::DnsWaterTorture => "dns",
        V::IpFragment => "ip-fragmentation",
        V::IcmpFlood => "icmp",
        V::MemcachedAmplification => "memcached-amplification",
        V::MssqlAmplification => "ms-sql-rs-amplification",
        V::NtpAmplification => "ntp-amplification",
        V::SnmpAmplification => "snmp-amplification",
        V::SsdpAmplification => "ssdp-amplification",
        V::NullFlood => "tcp-null",
        V::RstFlood => "tcp-rst",
        V::SynFlood => "tcp-syn",
        V::UdpFlood | V::UdpNull => "udp",
        _ => return None,
    })
}

/// Makes objects and attributes of one event.
struct Maker {
    event: Uuid,
    /// Seconds since the Unix epoch: the last that was seen.
    stamp: String,
}

/// An object in the making.
struct Draft<'a> {
    maker: &'a Maker,
    about: String,
    attributes: Vec<Value>,
}

impl Draft<'_> {
    /// Adds an attribute: relation of the template, type, category, value, and what is said beside it.
    fn add(&mut self, relation: &str, kind: &str, category: &str, value: &str, comment: &str) -> &mut Value {
        let about = format!("{}\n{}\n{relation}\n{value}", self.maker.event, self.about);
        self.attributes.push(json!({
            "uuid": uuid(&about).to_string(),
            "object_relation": relation,
            "type": kind,
            "category": category,
            "value": value,
            "comment": comment,
            "to_ids": false,
            "disable_correlation": !matches!(kind, "ip-src" | "ip-dst" | "port" | "link"),
            "distribution": "5",
            "timestamp": self.maker.stamp,
        }));
        let last = self.attributes.len() - 1;
        &mut self.attributes[last]
    }

    /// What every object of the template `ddos` here has.
    fn common(&mut self, incident: &Incident, start: u64, end: u64, packets: u64, bytes: u64) {
        let network = "Network activity";
        let target = bare(incident.target);
        self.add("ip-dst", "ip-dst", network, &target, "The target");
        self.add("first-seen", "datetime", "Other", &time(start), "");
        let still = if incident.ongoing {
            "Still running when the input ends"
        } else {
            ""
        };
        self.add("last-seen", "datetime", "Other", &time(end), still);
        self.add("total-packets-sent", "counter", "Other", &packets.to_string(), "");
        self.add(
            "total-bytes-sent",
            "size-in-bytes",
            "Other",
            &bytes.to_string(),
            "",
        );
    }

    fn types(&mut self, vectors: &[&VectorShare]) {
        let mut words: BTreeSet<&str> = BTreeSet::new();
        for part in vectors {
            words.extend(kinds(part.vector));
            words.extend(technique_word(part.vector));
        }
        for word in words {
            self.add("type", "text", "Other", word, "");
        }
    }

    fn finish(self, template: Template, comment: &str, references: Vec<Value>) -> Value {
        let (name, category, description, template, version) = template;
        json!({
            "uuid": uuid(&format!("{}\n{}", self.maker.event, self.about)).to_string(),
            "name": name,
            "meta-category": category,
            "description": description,
            "template_uuid": template,
            "template_version": version,
            "comment": comment,
            "distribution": "5",
            "timestamp": self.maker.stamp,
            "Attribute": self.attributes,
            "ObjectReference": references,
        })
    }
}

impl Maker {
    fn draft(&self, about: String) -> Draft<'_> {
        Draft {
            maker: self,
            about,
            attributes: Vec::new(),
        }
    }

    /// An object for the incident, and one for each of its vectors that the first refers to.
    fn incident(&self, incident: &Incident) -> Vec<Value> {
        let mut said = Vec::new();
        let mut objects = Vec::new();
        for part in &incident.vectors {
            let (object, sources) = self.vector(part, incident);
            objects.push(object);
            said.push(sources);
        }
        let mut whole = self.draft(incident.id.clone());
        let end = incident.end_ns.unwrap_or(incident.start_ns);
        whole.common(incident, incident.start_ns, end, incident.packets, incident.bytes);
        let strongest = "In the strongest second";
        for (relation, value) in [
            ("total-pps", incident.peak.packets_per_second),
            ("total-bps", incident.peak.bits_per_second),
        ] {
            let value = (value.round() as u64).to_string();
            whole.add(relation, "integer", "Other", &value, strongest);
        }
        whole.types(&incident.vectors.iter().collect::<Vec<_>>());
        let story = [
            headline(incident, ", still running when the input ends"),
            where_from(incident, &said),
            incident.caveats.join("\n"),
        ]
        .join("\n");
        whole.add("text", "text", "Other", &story, "");
        let from = uuid(&format!("{}\n{}", self.event, whole.about)).to_string();
        let references = objects
            .iter()
            .map(|object| {
                let to = object["uuid"].as_str().unwrap_or_default();
                json!({
                    "uuid": uuid(&format!("{from}\ncontains\n{to}")).to_string(),
                    "object_uuid": from,
                    "referenced_uuid": to,
                    "relationship_type": "contains",
                    "comment": "A vector of this attack",
                    "timestamp": self.stamp,
                })
            })
            .collect();
        let whole = whole.finish(DDOS, "The whole attack", references);
        [vec![whole], objects].concat()
    }

    /// An object for a vector, and a sentence on which sources it lists.
    fn vector(&self, part: &VectorShare, incident: &Incident) -> (Value, String) {
        let network = "Network activity";
        let label = part.vector.label();
        let mut draft = self.draft(format!("{}\n{}", incident.id, part.vector.name()));
        draft.common(incident, part.start_ns, part.end_ns, part.packets, part.bytes);
        let protocol = match (part.vector, part.vector.transport()) {
            (_, Transport::Tcp) => "TCP",
            (_, Transport::Udp) => "UDP",
            (Vector::IcmpFlood, _) => "ICMP",
            _ => "IP",
        };
        draft.add("protocol", "text", "Other", protocol, "");
        if let Some(port) = part.vector.service_port() {
            draft.add(
                "src-port",
                "port",
                network,
                &port.to_string(),
                "The abused service",
            );
        }
        for (port, share) in part.look.destination_ports.iter().flatten().take(PORTS_SHOWN) {
            let comment = format!("{:.1} % of the packets", share * 100.0);
            draft.add("dst-port", "port", network, &port.to_string(), &comment);
        }
        draft.types(&[part]);
        let mut shown = Vec::new();
        for (sources, to_ids, comment) in [
            (
                origin::senders(part, incident),
                true,
                "Sent under its own address; may be a hijacked device, a proxy or shared by many",
            ),
            (
                origin::reflectors(part, incident),
                false,
                "Abused to answer, not the attacker; blocking it blocks a server of others",
            ),
        ] {
            for source in sources.into_iter().take(SOURCES_SHOWN) {
                let said = format!("{comment}; {} packets, {} bytes", source.packets, source.bytes);
                let attribute = draft.add("ip-src", "ip-src", network, &text(source.address), &said);
                attribute["to_ids"] = json!(to_ids);
                shown.push(source);
            }
        }
        let sources = origin::listing(&shown, part, incident);
        let story = format!("{}. {sources}", part.why);
        draft.add("text", "text", "Other", &story, "");
        (draft.finish(DDOS, label, Vec::new()), sources)
    }

    /// A claim in the words of who made it, with the verdict beside it.
    fn claim(&self, verdict: &Verdict, number: usize) -> Value {
        let claim = &verdict.claim;
        let mut draft = self.draft(format!("claim {number}\n{}", claim.said));
        let by = claim.by.as_deref().unwrap_or("unknown claimant");
        let when = claim.at_ns.map_or(String::new(), |at| format!(", {}", time(at)));
        let mut tags: Vec<String> = Vec::new();
        if verdict.assessable && verdict.about.is_none() && verdict.words != Words::CannotBeAssessed {
            let words = verdict.words.text().replace(' ', "-");
            tags.push(format!("estimative-language:likelihood-probability=\"{words}\""));
        }
        tags.push(format!(
            "estimative-language:confidence-in-analytic-judgment=\"{}\"",
            confidence(verdict.confidence)
        ));
        if let Some(grade) = claim.grade {
            let source = grade.source.to_ascii_lowercase();
            tags.push(format!("admiralty-scale:source-reliability=\"{source}\""));
            tags.push(format!(
                "admiralty-scale:information-credibility=\"{}\"",
                grade.information
            ));
        }
        let tags: Vec<Value> = tags.iter().map(|tag| json!({ "name": tag })).collect();
        let proof = draft.add(
            "proof",
            "text",
            "Other",
            &claim.said,
            &format!("Said by {by}{when}"),
        );
        proof["Tag"] = json!(tags);
        if let Some(url) = &claim.url {
            draft.add("reference", "link", "External analysis", url, "");
        }
        draft.finish(CLAIM, &explanation(verdict), Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stix::tests::{claimed, sharing};

    #[test]
    fn a_claim_is_an_object_with_the_verdict_as_tags() {
        let printed = render(&claimed(), &sharing(Tlp::Green)).expect("it renders");
        let event: Value = serde_json::from_str(&printed).expect("JSON");
        let event = &event["Event"];
        assert_eq!(event["info"], "No attack was found");
        assert_eq!(event["Tag"], json!([{ "name": "tlp:green" }]));
        let claim = &event["Object"][0];
        assert_eq!(claim["name"], "ddos-claim");
        let proof = &claim["Attribute"][0];
        assert_eq!(proof["value"], "The addresses are in the Ukraine area.");
        let tags: Vec<&str> = proof["Tag"]
            .as_array()
            .expect("tags")
            .iter()
            .filter_map(|tag| tag["name"].as_str())
            .collect();
        assert_eq!(
            tags,
            [
                "estimative-language:likelihood-probability=\"almost-no-chance\"",
                "estimative-language:confidence-in-analytic-judgment=\"moderate\"",
                "admiralty-scale:source-reliability=\"c\"",
                "admiralty-scale:information-credibility=\"3\"",
            ]
        );
    }
}
