//! The case as a STIX 2.1 bundle (OASIS Standard, 10 June 2021).
//!
//! An incident becomes `incident`, one `observed-data` for each vector with its observables, `attack-pattern` (MITRE ATT&CK),
//! `infrastructure` for machines that sent or were abused as reflectors, and notes with what is not known. A claim is a `note` in its
//! claimant's words, and the verdict an `opinion` on that note. Addresses that are forged, or may be, are never in a bundle, and
//! nobody is a `threat-actor`: traffic does not show who did it.
//!
//! Nothing here is drawn at random and no clock is read. Observables have the ids that section 2.9 of the standard prescribes; other
//! objects have UUIDs of version 5 of what they are about, are created when the incident began and modified when it was last seen.
//! So the same case gives the same bytes, and a later view of the same incident is a later version of the same objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use atlas::{Atlas, Country, Prefix};
use detect::{Transport, Vector};
use incident::Case;
use incident::case::{
    Confidence, Incident, Located, Meaning, Origin, Share, TopSource, VectorShare, Verdict, Words,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::args::{ShareArgs, Tlp};
use crate::case_json::time;
use crate::case_text::{counted, headline};
use crate::origin;

/// Sources of a vector that are listed.
const SOURCES_SHOWN: usize = 100;
/// Countries and networks that a note lists.
const PLACES_SHOWN: usize = 10;
/// Share of a vector's packets from which on a port is that of all its traffic.
const PORT_FROM: f64 = 0.95;
/// Namespace of the ids of observables (STIX 2.1, section 2.9).
const OBSERVABLES: Uuid = Uuid::from_u128(0x00ab_edb4_aa42_466c_9c01_fed2_3315_a9b7);
/// Namespace of the ids of all that this program makes; drawn once.
pub(crate) const NAMESPACE: Uuid = Uuid::from_u128(0x6f0c_57b2_93c4_4e1d_8a35_d1b0_7e42_90fc);
/// When objects that belong to no incident were made: any time will do that never changes.
const TIMELESS: &str = "2025-03-10T00:00:00.000Z";
/// Largest integer of STIX (section 2.7).
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Renders a case.
pub(crate) fn render(case: &Case, atlas: &Atlas, share: &ShareArgs) -> anyhow::Result<String> {
    let mut bundle = Bundle::new(share);
    let mut all = Vec::new();
    for incident in &case.incidents {
        all.push(bundle.incident(incident, atlas));
    }
    for (number, verdict) in case.verdicts.iter().enumerate() {
        bundle.verdict(verdict, number, case, &all);
    }
    bundle.report(case);
    Ok(serde_json::to_string_pretty(&bundle.finish())? + "\n")
}

struct Bundle {
    /// Id of the identity that made the objects.
    creator: String,
    /// Ids of the markings of every object.
    markings: Vec<String>,
    objects: Vec<Value>,
    ids: BTreeSet<String>,
}

impl Bundle {
    fn new(share: &ShareArgs) -> Bundle {
        let (name, class) = match &share.reporter_name {
            Some(name) => (name.as_str(), "organization"),
            None => ("Epicenter", "system"),
        };
        let creator = id("identity", name);
        let mut identity = json!({
            "type": "identity",
            "spec_version": "2.1",
            "id": creator,
            "created": TIMELESS,
            "modified": TIMELESS,
            "name": name,
            "identity_class": class,
        });
        if let Some(email) = &share.reporter_email {
            identity["contact_information"] = json!(email);
        }
        let mut bundle = Bundle {
            ids: BTreeSet::from([creator.clone()]),
            creator,
            markings: Vec::new(),
            objects: Vec::new(),
        };
        for marking in markings(share.tlp) {
            bundle
                .markings
                .push(marking["id"].as_str().unwrap_or_default().to_owned());
            bundle.objects.push(marking);
        }
        identity["object_marking_refs"] = json!(bundle.markings);
        bundle.objects.push(identity);
        bundle
    }

    /// A domain or relationship object; `about` is what makes its id. Returns the id.
    fn object(&mut self, kind: &str, about: &str, times: &Times, fields: Value) -> String {
        let id = id(kind, &format!("{}\n{about}", self.creator));
        if self.ids.insert(id.clone()) {
            let mut object = Map::from_iter([
                ("type".to_owned(), json!(kind)),
                ("spec_version".to_owned(), json!("2.1")),
                ("id".to_owned(), json!(id)),
                ("created_by_ref".to_owned(), json!(self.creator)),
                ("created".to_owned(), json!(times.created)),
                ("modified".to_owned(), json!(times.modified)),
                ("object_marking_refs".to_owned(), json!(self.markings)),
            ]);
            object.extend(fields_of(fields));
            self.objects.push(Value::Object(object));
        }
        id
    }

    /// An observable; `naming` are the properties that make its id. Returns the id.
    fn observable(&mut self, kind: &str, naming: Value, rest: Value) -> String {
        let naming = fields_of(naming);
        // RFC 8785 for what occurs here, strings, whole numbers and lists of strings: keys in order and no spaces.
        let sorted: BTreeMap<&String, &Value> = naming.iter().collect();
        let canonical = json!(sorted).to_string();
        let id = format!("{kind}--{}", Uuid::new_v5(&OBSERVABLES, canonical.as_bytes()));
        if self.ids.insert(id.clone()) {
            let mut object = Map::from_iter([
                ("type".to_owned(), json!(kind)),
                ("spec_version".to_owned(), json!("2.1")),
                ("id".to_owned(), json!(id)),
                ("object_marking_refs".to_owned(), json!(self.markings)),
            ]);
            object.extend(naming);
            object.extend(fields_of(rest));
            self.objects.push(Value::Object(object));
        }
        id
    }

    fn relate(&mut self, from: &str, how: &str, to: &str, times: &Times) {
        let fields = json!({ "relationship_type": how, "source_ref": from, "target_ref": to });
        self.object("relationship", &format!("{from}\n{how}\n{to}"), times, fields);
    }

    fn address(&mut self, text: &str, network: Option<&str>) -> String {
        let kind = if text.contains(':') {
            "ipv6-addr"
        } else {
            "ipv4-addr"
        };
        let rest = network.map_or(json!({}), |network| json!({ "belongs_to_refs": [network] }));
        self.observable(kind, json!({ "value": text }), rest)
    }

    /// An incident and all that hangs on it. Returns its id.
    fn incident(&mut self, incident: &Incident, atlas: &Atlas) -> String {
        let times = Times::of(incident);
        let confidence = confidence(incident.confidence);
        let id = self.object(
            "incident",
            &incident.id,
            &times,
            json!({
                "name": format!("DDoS: {}", incident.id),
                "description": headline(incident, ", still running when the input ends"),
                "confidence": confidence,
            }),
        );
        let target = self.address(&bare(incident.target), None);
        let mut listed = Vec::new();
        let mut senders = Vec::new();
        let mut reflectors = Vec::new();
        for part in &incident.vectors {
            self.whole(part, incident, &target, &times);
            let sent = first(origin::senders(part, incident));
            let abused = first(origin::reflectors(part, incident));
            senders.extend(self.sources(part, incident, &sent, &target, "senders", atlas, &times));
            reflectors.extend(self.sources(part, incident, &abused, &target, "reflectors", atlas, &times));
            listed.push(origin::listing(&[sent, abused].concat(), part, incident));
            let pattern = self.attack_pattern(part.vector);
            self.relate(&id, "related-to", &pattern, &times);
        }
        for (origin, observed) in [(Origin::Direct, senders), (Origin::Reflector, reflectors)] {
            if observed.is_empty() {
                continue;
            }
            let infrastructure = self.infrastructure(origin, incident, &times);
            for data in &observed {
                self.relate(&infrastructure, "consists-of", data, &times);
            }
            self.relate(&infrastructure, "related-to", &id, &times);
        }
        let mut note = |about: &str, title: &str, content: String| {
            let fields = json!({
                "abstract": title, "content": content, "object_refs": [id], "confidence": confidence,
            });
            self.object("note", &format!("{}\n{about}", incident.id), &times, fields);
        };
        note("where", "Where it came from", where_from(incident, &listed));
        if !incident.caveats.is_empty() {
            note("caveats", "What is not known", incident.caveats.join("\n"));
        }
        id
    }

    /// What was observed of a vector as a whole.
    fn whole(&mut self, part: &VectorShare, incident: &Incident, target: &str, times: &Times) {
        let ongoing = incident.ongoing && Some(part.end_ns) == incident.end_ns;
        let end = (!ongoing).then_some(part.end_ns);
        let whole = self.observable(
            "network-traffic",
            traffic(part, incident.target, target, (part.start_ns, end), None),
            sizes(part.packets, part.bytes, ongoing),
        );
        self.observed(part, incident, "whole", &[target.to_owned(), whole], times);
    }

    /// What was observed of single sources of a vector. Returns its id, if there are any.
    #[expect(clippy::too_many_arguments, reason = "all of it makes one object")]
    fn sources(
        &mut self,
        part: &VectorShare,
        incident: &Incident,
        sources: &[TopSource],
        target: &str,
        what: &str,
        atlas: &Atlas,
        times: &Times,
    ) -> Option<String> {
        let mut seen = vec![target.to_owned()];
        for network in origin::networks(sources, atlas) {
            let system = (network.asn != 0).then(|| {
                let name = if network.name.is_empty() {
                    json!({})
                } else {
                    json!({ "name": network.name })
                };
                self.observable("autonomous-system", json!({ "number": network.asn }), name)
            });
            seen.extend(system.clone());
            for source in &network.sources {
                let address = self.address(&text(source.address), system.as_deref());
                let when = (source.first_ns, Some(source.last_ns));
                let naming = traffic(part, incident.target, target, when, Some(&address));
                let sent = self.observable(
                    "network-traffic",
                    naming,
                    sizes(source.packets, source.bytes, false),
                );
                seen.extend([address, sent]);
            }
        }
        (!sources.is_empty()).then(|| self.observed(part, incident, what, &seen, times))
    }

    fn observed(
        &mut self,
        part: &VectorShare,
        incident: &Incident,
        what: &str,
        seen: &[String],
        times: &Times,
    ) -> String {
        self.object(
            "observed-data",
            &format!("{}\n{}\n{what}", incident.id, part.vector.name()),
            times,
            json!({
                "first_observed": stamp(part.start_ns),
                "last_observed": stamp(part.end_ns),
                "number_observed": 1,
                "object_refs": seen,
                "confidence": confidence(incident.confidence),
            }),
        )
    }

    /// The machines of one origin: senders, or reflectors.
    fn infrastructure(&mut self, origin: Origin, incident: &Incident, times: &Times) -> String {
        let controlled = incident
            .coordination
            .as_ref()
            .is_some_and(|likeness| likeness.probability >= 0.8);
        let (name, kind, description) = if origin == Origin::Direct {
            (
                "Senders",
                if controlled { "botnet" } else { "unknown" },
                "Machines that sent attack packets under their own addresses. They may be hijacked devices, proxies or shared addresses; who controls them is not known.",
            )
        } else {
            (
                "Reflectors",
                "amplification",
                "Machines that were abused to answer requests in the name of the target. They are not the attacker; where the requests came from cannot be told from this traffic.",
            )
        };
        self.object(
            "infrastructure",
            &format!("{}\n{name}", incident.id),
            times,
            json!({
                "name": format!("{name} of {}", incident.id),
                "description": description,
                "infrastructure_types": [kind],
                "first_seen": times.created,
                "last_seen": times.modified,
                "confidence": confidence(incident.confidence),
            }),
        )
    }

    fn attack_pattern(&mut self, vector: Vector) -> String {
        let (technique, name) = technique(vector);
        let page = technique.replace('.', "/");
        self.object(
            "attack-pattern",
            technique,
            &Times::timeless(),
            json!({
                "name": name,
                "external_references": [{
                    "source_name": "mitre-attack",
                    "external_id": technique,
                    "url": format!("https://attack.mitre.org/techniques/{page}"),
                }],
            }),
        )
    }

    /// A claim and what the evidence says of it.
    fn verdict(&mut self, verdict: &Verdict, number: usize, case: &Case, incidents: &[String]) {
        let claim = &verdict.claim;
        let by = claim.by.as_deref().unwrap_or("unknown claimant");
        // Of a class of its own: the claimant is whoever spoke, and not an actor that this case knows of.
        let claimant = self.object(
            "identity",
            &format!("claimant\n{by}"),
            &Times::timeless(),
            json!({ "name": by, "identity_class": "unknown", "roles": ["claimant"] }),
        );
        let times = Times::of_case(case);
        let when = claim
            .at_ns
            .map_or(String::new(), |at| format!(" ({})", stamp(at)));
        let about_whom = [vec![claimant], incidents.to_vec()].concat();
        let mut note = json!({
            "abstract": format!("Claim by {by}{when}"),
            "content": claim.said,
            "authors": [by],
            "object_refs": about_whom,
        });
        if let Some(url) = claim.url.as_deref().filter(|url| is_web(url)) {
            note["external_references"] = json!([{ "source_name": by, "url": url }]);
        }
        if let Some(credibility) = claim.grade.and_then(|grade| admiralty(grade.information)) {
            note["confidence"] = json!(credibility);
        }
        let about = format!("claim {number}\n{by}\n{}", claim.said);
        let note = self.object("note", &about, &times, note);
        self.object(
            "opinion",
            &about,
            &times,
            json!({
                "opinion": opinion(verdict),
                "explanation": explanation(verdict),
                "object_refs": [note],
                "confidence": confidence(verdict.confidence),
            }),
        );
    }

    /// One report that holds it all together, where there is anything to report.
    fn report(&mut self, case: &Case) {
        if case.incidents.is_empty() && case.verdicts.is_empty() {
            return;
        }
        let times = Times::of_case(case);
        let refs: Vec<Value> = self
            .objects
            .iter()
            .filter(|object| object["type"] != "marking-definition")
            .map(|object| object["id"].clone())
            .collect();
        let ids: Vec<&str> = case.incidents.iter().map(|i| i.id.as_str()).collect();
        let mut fields = json!({
            "name": format!(
                "Epicenter case: {}, {}",
                counted(ids.len() as u64, "incident", "incidents"),
                counted(case.verdicts.len() as u64, "claim", "claims"),
            ),
            "report_types": ["observed-data"],
            "published": times.modified,
            "object_refs": refs,
        });
        if !case.caveats.is_empty() {
            fields["description"] = json!(case.caveats.join("\n"));
        }
        self.object("report", &ids.join("\n"), &times, fields);
    }

    fn finish(self) -> Value {
        let named: Vec<String> = self.objects.iter().map(Value::to_string).collect();
        json!({ "type": "bundle", "id": id("bundle", &named.join("\n")), "objects": self.objects })
    }
}

/// When an object was made and changed last.
struct Times {
    created: String,
    modified: String,
}

impl Times {
    fn of(incident: &Incident) -> Times {
        Times {
            created: stamp(incident.start_ns),
            modified: stamp(incident.end_ns.unwrap_or(incident.start_ns)),
        }
    }

    /// From the first to the last that the inputs hold.
    fn of_case(case: &Case) -> Times {
        let first = case.inputs.iter().filter_map(|input| input.first_ns).min();
        let last = case.inputs.iter().filter_map(|input| input.last_ns).max();
        match (first, last) {
            (Some(first), Some(last)) => Times {
                created: stamp(first.min(last)),
                modified: stamp(last),
            },
            _ => Times::timeless(),
        }
    }

    fn timeless() -> Times {
        Times {
            created: TIMELESS.to_owned(),
            modified: TIMELESS.to_owned(),
        }
    }
}

/// Those that are listed.
fn first(mut sources: Vec<TopSource>) -> Vec<TopSource> {
    sources.truncate(SOURCES_SHOWN);
    sources
}

/// The properties that name traffic to a target: from when to when, and from whom if it is one source.
fn traffic(
    part: &VectorShare,
    attacked: Prefix,
    target: &str,
    (start, end): (u64, Option<u64>),
    source: Option<&str>,
) -> Value {
    let mut naming = json!({
        "start": brief(start),
        "dst_ref": target,
        "protocols": protocols(part.vector, attacked),
    });
    if let Some(end) = end {
        naming["end"] = json!(brief(end));
    }
    if let Some(source) = source {
        naming["src_ref"] = json!(source);
    }
    if let Some(port) = part.vector.service_port() {
        naming["src_port"] = json!(port);
    }
    let port = part
        .look
        .destination_ports
        .as_ref()
        .and_then(|ports| ports.first());
    if let Some((port, _)) = port.filter(|(_, share)| *share >= PORT_FROM) {
        naming["dst_port"] = json!(port);
    }
    naming
}

/// The rest of what is said of traffic.
fn sizes(packets: u64, bytes: u64, ongoing: bool) -> Value {
    json!({
        "src_packets": packets.min(INTEGER_MAX),
        "src_byte_count": bytes.min(INTEGER_MAX),
        "is_active": ongoing,
    })
}

fn id(kind: &str, about: &str) -> String {
    format!(
        "{kind}--{}",
        Uuid::new_v5(&NAMESPACE, format!("{kind}\n{about}").as_bytes())
    )
}

fn fields_of(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

const MILLISECOND: u64 = 1_000_000;

/// Milliseconds, always three digits: so `created` and `modified` are written (section 3.2).
fn stamp(ns: u64) -> String {
    let whole = ns - ns % MILLISECOND;
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(whole)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{stamp:.3}")
}

/// Milliseconds without zeros at the end. These are part of an id, and readers that compute it again write times so.
fn brief(ns: u64) -> String {
    time(ns - ns % MILLISECOND)
}

/// An address as people write it.
pub(crate) fn text(address: Ipv6Addr) -> String {
    IpAddr::V6(address).to_canonical().to_string()
}

/// A prefix; a single host without its length.
pub(crate) fn bare(prefix: Prefix) -> String {
    let text = prefix.to_string();
    match text.strip_suffix("/32").filter(|_| !text.contains(':')) {
        Some(host) => host.to_owned(),
        None => text.strip_suffix("/128").unwrap_or(&text).to_owned(),
    }
}

/// The markings of all objects. STIX 2.1 defines the four of TLP 1 (section 7.2.1.4) with their ids; what TLP 2 calls CLEAR is its
/// WHITE, and AMBER+STRICT is AMBER with a statement.
fn markings(tlp: Tlp) -> Vec<Value> {
    let (name, id) = match tlp {
        Tlp::Clear => ("white", "613f2e26-407d-48c7-9eca-b8e91df99dc9"),
        Tlp::Green => ("green", "34098fce-860f-48ae-8e50-ebd3cc5e41da"),
        Tlp::Amber | Tlp::AmberStrict => ("amber", "f88d31f6-486f-44da-b317-01333bde0b82"),
        Tlp::Red => ("red", "5e57c739-391a-4eb3-b6be-7d15ca92d5ed"),
    };
    let mut markings = vec![json!({
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": format!("marking-definition--{id}"),
        "created": "2017-01-20T00:00:00.000Z",
        "definition_type": "tlp",
        "name": format!("TLP:{}", name.to_uppercase()),
        "definition": { "tlp": name },
    })];
    if tlp == Tlp::AmberStrict {
        markings.push(json!({
            "type": "marking-definition",
            "spec_version": "2.1",
            "id": self::id("marking-definition", "amber+strict"),
            "created": TIMELESS,
            "definition_type": "statement",
            "definition": { "statement": "TLP:AMBER+STRICT (TLP 2.0): for the recipient's own organization only." },
        }));
    }
    markings
}

/// The scale None, Low, Med, High (STIX 2.1, appendix A).
pub(crate) fn confidence(confidence: Confidence) -> u8 {
    match confidence {
        Confidence::Low => 15,
        Confidence::Moderate => 50,
        Confidence::High => 85,
    }
}

/// Admiralty credibility (STIX 2.1, appendix A); 6 cannot be judged and has no number.
fn admiralty(information: u8) -> Option<u8> {
    match information {
        1 => Some(90),
        2 => Some(70),
        3 => Some(50),
        4 => Some(30),
        5 => Some(10),
        _ => None,
    }
}

/// The MITRE ATT&CK technique of a vector.
pub(crate) fn technique(vector: Vector) -> (&'static str, &'static str) {
    use Vector as V;
    match vector {
        v if v.is_reflection() => ("T1498.002", "Reflection Amplification"),
        V::SynFlood
        | V::AckFlood
        | V::PshAckFlood
        | V::RstFlood
        | V::FinFlood
        | V::XmasFlood
        | V::NullFlood => ("T1499.001", "OS Exhaustion Flood"),
        V::HttpFlood | V::Slowloris | V::SlowPost | V::DnsFlood | V::DnsWaterTorture | V::VseFlood => {
            ("T1499.002", "Service Exhaustion Flood")
        }
        _ => ("T1498.001", "Direct Network Flood"),
    }
}

/// From the outer to the inner protocol, by their names in the IANA registries of protocols and services.
fn protocols(vector: Vector, target: Prefix) -> Vec<&'static str> {
    use Vector as V;
    let v4 = target.base.to_ipv4_mapped().is_some();
    let mut names = vec![if v4 { "ipv4" } else { "ipv6" }];
    match (vector, vector.transport()) {
        (_, Transport::Tcp) => names.push("tcp"),
        (_, Transport::Udp) => names.push("udp"),
        (V::IcmpFlood, _) => names.push(if v4 { "icmp" } else { "ipv6-icmp" }),
        (V::IgmpFlood, _) => names.push("igmp"),
        (V::GreFlood, _) => names.push("gre"),
        (V::EspFlood, _) => names.push("esp"),
        _ => {}
    }
    names.extend(match vector {
        V::DnsAmplification | V::DnsFlood | V::DnsWaterTorture => Some("domain"),
        V::NtpAmplification => Some("ntp"),
        V::SsdpAmplification => Some("ssdp"),
        V::CldapAmplification => Some("ldap"),
        V::MemcachedAmplification => Some("memcache"),
        V::SnmpAmplification => Some("snmp"),
        V::ChargenAmplification => Some("chargen"),
        V::QotdAmplification => Some("qotd"),
        V::HttpFlood | V::Slowloris | V::SlowPost | V::MiddleboxReflection => Some("http"),
        _ => None,
    });
    names
}

fn percent(share: Share) -> String {
    format!(
        "{:.1} % [{:.1}, {:.1}]",
        100.0 * share.estimate,
        100.0 * share.low,
        100.0 * share.high
    )
}

/// What is known of where an incident came from, and which sources are listed.
pub(crate) fn where_from(incident: &Incident, listed: &[String]) -> String {
    let sources = &incident.sources;
    let mut lines = vec![
        "Shares of the attack packets, with 95 % intervals.".to_owned(),
        format!(
            "Forged: {}. Reflected: {}.",
            percent(sources.forged),
            percent(sources.reflected)
        ),
    ];
    lines.extend(
        sources
            .forged_because
            .iter()
            .map(|test| format!("{}: {}.", test.test, test.says)),
    );
    if sources.meaning == Meaning::Reflectors {
        let countries = sources.countries.iter();
        lines.extend(places(
            "Countries of the reflectors, the abused machines",
            countries.map(|c| format!("{} {}", c.country, percent(c.share))),
        ));
        let networks = sources.networks.iter();
        lines.extend(places(
            "Networks of the reflectors, the abused machines",
            networks.map(|n| format!("AS{} {} {}", n.asn, n.name, percent(n.share))),
        ));
    }
    let senders = &sources.senders;
    if !senders.countries.is_empty() {
        lines.push(format!(
            "Sent by machines under their own addresses, without the audience: {}. Of their packets:",
            percent(senders.share)
        ));
        let country = |c: &Located<Country>| format!("{} {}", c.key, percent(c.by_packets));
        lines.extend(places(
            "Countries of the senders",
            senders.countries.iter().map(country),
        ));
        let network = |n: &Located<u32>| {
            let name = n.network.as_ref().map_or("", |network| network.name.as_str());
            format!("AS{} {name} {}", n.key, percent(n.by_packets))
        };
        lines.extend(places(
            "Networks of the senders",
            senders.networks.iter().map(network),
        ));
    }
    lines.extend(listed.iter().cloned());
    lines.join("\n")
}

/// A line of the first places, if there are any.
fn places(what: &str, places: impl Iterator<Item = String>) -> Option<String> {
    let shown: Vec<String> = places.take(PLACES_SHOWN).collect();
    (!shown.is_empty()).then(|| format!("{what}: {}.", shown.join("; ")))
}

fn is_web(url: &str) -> bool {
    (url.starts_with("https://") || url.starts_with("http://")) && url.chars().all(|c| c.is_ascii_graphic())
}

/// The five words of STIX for the seven of ICD 203. Words that speak of a part of the claim are no opinion on all of it.
fn opinion(verdict: &Verdict) -> &'static str {
    if !verdict.assessable || verdict.about.is_some() {
        return "neutral";
    }
    match verdict.words {
        Words::AlmostNoChance | Words::VeryUnlikely => "strongly-disagree",
        Words::Unlikely => "disagree",
        Words::RoughlyEvenChance | Words::CannotBeAssessed => "neutral",
        Words::Likely => "agree",
        Words::VeryLikely | Words::AlmostCertain => "strongly-agree",
    }
}

/// The verdict in words. Likelihood and confidence never share a sentence (ICD 203).
pub(crate) fn explanation(verdict: &Verdict) -> String {
    let of = verdict
        .about
        .as_ref()
        .map_or(String::new(), |part| format!(" of {part}"));
    let mut lines = vec![match verdict.probability {
        Some(share) if verdict.assessable => {
            format!("Likelihood{of}: {} ({}).", verdict.words.text(), percent(share))
        }
        _ => format!("Likelihood{of}: {}.", verdict.words.text()),
    }];
    let evidence = crate::case_json::confidence(verdict.confidence);
    lines.push(format!("Confidence in the evidence: {evidence}."));
    lines.extend(verdict.because.iter().map(|why| format!("Because: {why}")));
    lines.extend(
        verdict
            .would_change
            .iter()
            .map(|what| format!("What would change it: {what}")),
    );
    lines.join("\n")
}

#[cfg(test)]
pub(crate) mod tests {
    use incident::claim::{Claim, Grade, Proposition};

    use super::*;

    /// A case without an incident in which somebody claims something, and what became of it.
    pub(crate) fn claimed() -> Case {
        let verdict = Verdict {
            claim: Claim {
                by: Some("A spokesman".to_owned()),
                said: "The addresses are in the Ukraine area.".to_owned(),
                at_ns: Some(1_741_640_400_000_000_000),
                url: Some("https://news.example/interview".to_owned()),
                archived: None,
                grade: Some(Grade {
                    source: 'C',
                    information: 3,
                }),
                details: None,
                infrastructure: None,
                earlier: None,
                proposition: Proposition::ManyResources,
            },
            assessable: true,
            probability: Some(Share {
                estimate: 0.02,
                low: 0.01,
                high: 0.04,
            }),
            about: None,
            words: Words::AlmostNoChance,
            confidence: Confidence::Moderate,
            because: vec!["1.9 % of the packets came from there.".to_owned()],
            would_change: vec!["Traffic of another vantage point.".to_owned()],
        };
        Case {
            inputs: Vec::new(),
            exporters: Vec::new(),
            incidents: Vec::new(),
            outages: Vec::new(),
            signals: Vec::new(),
            scans: Vec::new(),
            verdicts: vec![verdict],
            caveats: Vec::new(),
        }
    }

    pub(crate) fn sharing(tlp: Tlp) -> ShareArgs {
        ShareArgs {
            tlp,
            reporter_name: None,
            reporter_email: None,
            vendor_id: None,
        }
    }

    fn objects(case: &Case, tlp: Tlp) -> Vec<Value> {
        let printed = render(case, &Atlas::embedded(), &sharing(tlp)).expect("it renders");
        let bundle: Value = serde_json::from_str(&printed).expect("JSON");
        bundle["objects"].as_array().expect("objects").clone()
    }

    fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
        let found: Vec<_> = objects.iter().filter(|object| object["type"] == kind).collect();
        assert_eq!(found.len(), 1, "{kind}");
        found[0]
    }

    #[test]
    fn a_verdict_is_an_opinion_on_the_note_that_holds_the_claim() {
        let objects = objects(&claimed(), Tlp::Amber);
        let note = only(&objects, "note");
        assert_eq!(note["content"], "The addresses are in the Ukraine area.");
        assert_eq!(note["authors"], json!(["A spokesman"]));
        assert_eq!(note["confidence"], 50, "Admiralty 3");
        let opinion = only(&objects, "opinion");
        assert_eq!(opinion["opinion"], "strongly-disagree");
        assert_eq!(opinion["object_refs"], json!([note["id"]]));
        let said = opinion["explanation"].as_str().expect("words");
        let likelihood = said.lines().next().expect("a line");
        assert_eq!(likelihood, "Likelihood: almost no chance (2.0 % [1.0, 4.0]).");
        assert!(
            !likelihood.contains("onfidence"),
            "ICD 203: never in one sentence"
        );
        assert!(
            objects.iter().all(|object| object["type"] != "threat-actor"),
            "a claimant is no actor"
        );
        let identities = objects.iter().filter(|object| object["type"] == "identity");
        assert_eq!(identities.count(), 2, "the producer and the claimant");
    }

    #[test]
    fn a_case_of_nothing_is_a_bundle_without_a_report() {
        let mut case = claimed();
        case.verdicts.clear();
        let kinds: Vec<Value> = objects(&case, Tlp::AmberStrict)
            .iter()
            .map(|object| object["type"].clone())
            .collect();
        assert_eq!(kinds, ["marking-definition", "marking-definition", "identity"]);
    }

    /// The id that the OASIS library `stix2` 3.0.2 gives the same address.
    #[test]
    fn ids_of_observables_are_those_of_the_standard() {
        let mut bundle = Bundle::new(&sharing(Tlp::Clear));
        assert_eq!(
            bundle.address("198.51.100.3", None),
            "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4"
        );
    }

    #[test]
    fn words_of_icd_203_are_not_reversed() {
        let mut verdict = claimed().verdicts.remove(0);
        let mut of = |words| {
            verdict.words = words;
            opinion(&verdict)
        };
        assert_eq!(of(Words::AlmostCertain), "strongly-agree");
        assert_eq!(of(Words::Likely), "agree");
        assert_eq!(of(Words::RoughlyEvenChance), "neutral");
        assert_eq!(of(Words::Unlikely), "disagree");
        verdict.about = Some("coordination alone".to_owned());
        assert_eq!(opinion(&verdict), "neutral", "likely, but not all of it");
        verdict.about = None;
        verdict.assessable = false;
        assert_eq!(opinion(&verdict), "neutral");
    }
}
