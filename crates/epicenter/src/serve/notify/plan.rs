//! Who is told what, and when. No clock and no I/O: the time is an argument, and the same incidents at the same times give the same
//! messages.
//!
//! What is due follows from two states alone: how an incident is, and what of it was told. Events only say that there is something to
//! look at. So an event that was lost, came twice or in another order changes nothing, and after a restart it is enough to look at all
//! incidents once more. What was told is kept in documents that are written together with the messages: a restart tells nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::message::{Item, Kind, Message, Urgency};
use crate::serve::state::{Incident, Standing};

/// Kind of the documents.
pub(crate) const TOLD: &str = "told";
/// Incidents that are over and still known to an audience; for later words, as a post-mortem.
const OVER_MAX: usize = 500;
/// Incidents in one message; more go with the next.
const ITEMS_MAX: usize = 10;
/// Words of operators in one item; more go with the next.
const SAID_MAX: usize = 5;
/// Characters of each.
const SAID_LEN: usize = 1_000;

/// Those who are told the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audience {
    /// A receiver of the settings, or `visitors:` and a slug.
    pub(crate) id: String,
    /// Slugs; all where it is empty.
    pub(crate) services: Vec<String>,
    /// Visitors: they cannot have anything in hand, so they are not reminded; and are not told of coordinated reports.
    pub(crate) is_public: bool,
}

impl Audience {
    fn covers(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|slug| slug == service)
    }
}

/// What the settings say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) group_ns: u64,
    /// 0 for never.
    pub(crate) repeat_ns: u64,
    pub(crate) audiences: Vec<Audience>,
    /// Names of services by slug.
    pub(crate) services: BTreeMap<String, String>,
    pub(crate) site: String,
    pub(crate) site_url: String,
}

/// What one audience was told of one incident.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
struct Told {
    audience: String,
    incident: String,
    standing: Standing,
    cause: String,
    acknowledged: bool,
    /// Words of operators up to here: their number, and whether the post-mortem is among them.
    said: usize,
    post_mortem: bool,
    over: bool,
    /// How often it was told, first and last.
    n: u32,
    first_ns: u64,
    last_ns: u64,
}

/// Messages that are due, and what has to be written together with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Due {
    pub(crate) messages: Vec<Message>,
    /// Names and texts of documents of kind [`TOLD`].
    pub(crate) puts: Vec<(String, String)>,
    pub(crate) deletes: Vec<String>,
}

/// The plan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Planner {
    rules: Rules,
    /// Places in `rules.audiences`: of each service, and of those who are told of all.
    by_service: BTreeMap<String, Vec<usize>>,
    of_all: Vec<usize>,
    by_id: BTreeMap<String, usize>,
    /// How each incident is, for as long as somebody may have to be told of it.
    incidents: BTreeMap<String, Seen>,
    /// Those that were looked at and not judged, and when. All of one time are judged together, so that their order does not matter.
    fresh: BTreeSet<String>,
    fresh_ns: u64,
    /// By incident and audience.
    told: BTreeMap<(String, String), Told>,
    /// Incidents of which an audience has to be told something.
    news: BTreeMap<String, BTreeSet<String>>,
    /// When an audience is told its news.
    waiting: BTreeMap<String, u64>,
    /// What may have to be told again: incident and audience.
    lasting: BTreeSet<(String, String)>,
}

/// An incident, and when it was looked at.
#[derive(Clone, Debug)]
struct Seen {
    at_ns: u64,
    incident: Incident,
}

/// How far along an incident is: of two states at the same time the later one, whichever came first.
fn progress(incident: &Incident) -> (usize, u8, usize, bool, bool, bool) {
    let stage = match incident.standing {
        Standing::Learning | Standing::Operational => 0,
        Standing::Suspected => 1,
        Standing::Confirmed => 2,
        Standing::Identified => 3,
        Standing::Recovering => 4,
        Standing::Resolved => 5,
        Standing::Closed => 6,
    };
    (
        incident.waves.len(),
        stage,
        incident.updates.len(),
        incident.acknowledged.is_some(),
        incident.post_mortem.is_some(),
        incident.named_cause.is_some(),
    )
}

/// Two states of one incident at one time: the later one, with all that operators said in either.
fn joined(a: Incident, b: Incident) -> Incident {
    let (one, other) = (
        (progress(&a), serde_json::to_string(&a).unwrap_or_default()),
        (progress(&b), serde_json::to_string(&b).unwrap_or_default()),
    );
    let (mut later, earlier) = if one >= other { (a, b) } else { (b, a) };
    let mut updates = later.updates.clone();
    updates.extend(
        earlier
            .updates
            .iter()
            .filter(|one| !later.updates.contains(one))
            .cloned(),
    );
    updates.sort_by(|a, b| (a.at_ns, &a.who, &a.text).cmp(&(b.at_ns, &b.who, &b.text)));
    later.updates = updates;
    later.acknowledged = later.acknowledged.or(earlier.acknowledged);
    later.post_mortem = later.post_mortem.or(earlier.post_mortem);
    later.named_cause = later.named_cause.or(earlier.named_cause);
    later.merged_into = later.merged_into.or(earlier.merged_into);
    later
}

impl Planner {
    /// With what was told before; documents that cannot be read are as if they were not there.
    pub(crate) fn load(rules: Rules, documents: &[(String, String)]) -> Planner {
        let mut plan = Planner::default();
        for (_, text) in documents {
            if let Ok(told) = serde_json::from_str::<Told>(text) {
                plan.keep(told);
            }
        }
        plan.configure(0, rules);
        plan
    }

    /// Remembers what was told.
    fn keep(&mut self, told: Told) {
        let key = (told.incident.clone(), told.audience.clone());
        if told.over {
            self.lasting.remove(&key);
        } else {
            self.lasting.insert(key.clone());
        }
        self.told.insert(key, told);
    }

    /// Other settings from now on; all incidents that go on have to be looked at again. Those who are told no more are forgotten with the
    /// next messages. Returns whether anything is new.
    pub(crate) fn configure(&mut self, now_ns: u64, rules: Rules) -> bool {
        if rules == self.rules {
            return false;
        }
        self.judge(now_ns);
        self.rules = rules;
        self.by_service.clear();
        self.of_all.clear();
        self.by_id.clear();
        for (at, audience) in self.rules.audiences.iter().enumerate() {
            self.by_id.insert(audience.id.clone(), at);
            if audience.services.is_empty() {
                self.of_all.push(at);
            }
            for slug in &audience.services {
                self.by_service.entry(slug.clone()).or_default().push(at);
            }
        }
        let known = &self.by_id;
        self.waiting.retain(|id, _| known.contains_key(id));
        self.news.clear();
        self.fresh = self.incidents.keys().cloned().collect();
        self.fresh_ns = now_ns;
        true
    }

    /// Looks at an incident as it is at this time.
    pub(crate) fn see(&mut self, now_ns: u64, incident: &Incident) {
        self.judge(now_ns);
        let next = match self.incidents.remove(&incident.id) {
            Some(seen) if seen.at_ns == now_ns => joined(seen.incident, incident.clone()),
            _ => incident.clone(),
        };
        let id = next.id.clone();
        let seen = Seen {
            at_ns: now_ns,
            incident: next,
        };
        self.fresh.insert(id.clone());
        self.fresh_ns = now_ns;
        self.incidents.insert(id, seen);
    }

    /// Judges what was looked at before this time.
    fn judge(&mut self, now_ns: u64) {
        if self.fresh.is_empty() || self.fresh_ns >= now_ns {
            return;
        }
        let fresh = std::mem::take(&mut self.fresh);
        for id in &fresh {
            self.compare(id);
        }
        self.wait(self.fresh_ns);
    }

    /// Who has to be told something of an incident.
    fn compare(&mut self, id: &str) {
        let Some(seen) = self.incidents.get(id) else {
            return;
        };
        let from = (id.to_owned(), String::new());
        let mut concerned: BTreeSet<usize> = self.of_all.iter().copied().collect();
        concerned.extend(self.by_service.get(&seen.incident.service).into_iter().flatten());
        // Also those who were told of it under other settings.
        concerned.extend(
            self.told
                .range(from..)
                .take_while(|((of, _), _)| of == id)
                .filter_map(|((_, audience), _)| self.by_id.get(audience)),
        );
        let mut is_of_use = false;
        let mut found = Vec::new();
        for at in concerned {
            let audience = &self.rules.audiences[at];
            let is_open = self.lasting.contains(&(id.to_owned(), audience.id.clone()));
            let has_news = self.news(audience, &seen.incident).is_some();
            is_of_use |= is_open || has_news;
            found.push((audience.id.clone(), has_news));
        }
        for (audience, has_news) in found {
            if has_news {
                self.news.entry(audience).or_default().insert(id.to_owned());
            } else if let Some(list) = self.news.get_mut(&audience) {
                list.remove(id);
            }
        }
        if !is_of_use {
            self.incidents.remove(id);
        }
    }

    /// Audiences with news wait for more, those without any do not.
    fn wait(&mut self, now_ns: u64) {
        let due = now_ns.saturating_add(self.rules.group_ns);
        self.news.retain(|_, list| !list.is_empty());
        let news = &self.news;
        self.waiting.retain(|id, _| news.contains_key(id));
        for id in news.keys() {
            self.waiting.entry(id.clone()).or_insert(due);
        }
    }

    /// What is new of an incident for an audience; `None` where nothing is.
    fn news(&self, audience: &Audience, incident: &Incident) -> Option<Kind> {
        let told = self.told.get(&(incident.id.clone(), audience.id.clone()));
        let is_watched = self.rules.services.contains_key(&incident.service);
        let is_over = !is_watched
            || incident.merged_into.is_some()
            || matches!(
                incident.standing,
                Standing::Resolved | Standing::Closed | Standing::Operational | Standing::Learning
            );
        let is_certain = matches!(incident.standing, Standing::Confirmed | Standing::Identified);
        let is_for =
            audience.covers(&incident.service) && !(audience.is_public && incident.told_cause() == "brigade");
        let Some(told) = told else {
            return (is_certain && !is_over && is_for).then_some(Kind::Begins);
        };
        if told.over {
            // What belongs to another incident is told there.
            let said = incident.merged_into.is_none() && is_for && has_words(incident, told);
            return if is_certain && !is_over && is_for {
                Some(Kind::Again)
            } else {
                said.then_some(Kind::Said)
            };
        }
        // Whoever was told that it began is told that it is over, also where it would not be told of it any more.
        if is_over {
            return Some(Kind::Ends);
        }
        if incident.acknowledged.is_some() && !told.acknowledged {
            return Some(Kind::Acknowledged);
        }
        let stands = incident.standing != Standing::Suspected && incident.standing != told.standing;
        if stands || incident.told_cause() != told.cause {
            return Some(Kind::Changed);
        }
        has_words(incident, told).then_some(Kind::Said)
    }

    /// When an audience has to be reminded of an incident that lasts.
    fn repeat_ns(&self, audience: &Audience, told: &Told) -> Option<u64> {
        if told.over || audience.is_public || self.rules.repeat_ns == 0 {
            return None;
        }
        let seen = self.incidents.get(&told.incident)?;
        (seen.incident.acknowledged.is_none()).then(|| told.last_ns.saturating_add(self.rules.repeat_ns))
    }

    /// When there is something to do next.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let repeats = self.repeats().map(|(at, ..)| at);
        let fresh = (!self.fresh.is_empty()).then(|| self.fresh_ns.saturating_add(1));
        self.waiting.values().copied().chain(repeats).chain(fresh).min()
    }

    /// When who is to be reminded of what.
    fn repeats(&self) -> impl Iterator<Item = (u64, &str, &str)> {
        self.lasting.iter().filter_map(|key| {
            let (incident, id) = key;
            let audience = &self.rules.audiences[*self.by_id.get(id)?];
            let at = self.repeat_ns(audience, self.told.get(key)?)?;
            Some((at, id.as_str(), incident.as_str()))
        })
    }

    /// What is due, which counts as told from now on.
    pub(crate) fn due(&mut self, now_ns: u64) -> Due {
        let mut due = Due::default();
        self.judge(now_ns);
        if self.next_ns().is_none_or(|next| next > now_ns) {
            return due;
        }
        // A reminder takes the news along, since it says how it is now.
        let mut lists: BTreeMap<String, BTreeMap<String, bool>> = BTreeMap::new();
        for (_, audience, incident) in self.repeats().filter(|(at, ..)| *at <= now_ns) {
            lists
                .entry(audience.to_owned())
                .or_default()
                .insert(incident.to_owned(), true);
        }
        let has_waited = self
            .waiting
            .iter()
            .filter(|(_, at)| **at <= now_ns)
            .map(|(id, _)| id.clone());
        for id in has_waited
            .chain(lists.keys().cloned())
            .collect::<BTreeSet<String>>()
        {
            let news = self.news.get(&id).cloned().unwrap_or_default();
            let list = lists.entry(id).or_default();
            for incident in news {
                list.entry(incident).or_insert(false);
            }
        }
        for (id, list) in lists {
            let Some(audience) = self.by_id.get(&id).map(|at| self.rules.audiences[*at].clone()) else {
                continue;
            };
            let mut items = Vec::new();
            for (incident, is_repeat) in list.iter().take(ITEMS_MAX) {
                let Some(seen) = self.incidents.get(incident) else {
                    continue;
                };
                let news = self.news(&audience, &seen.incident);
                let Some(kind) = news.or(is_repeat.then_some(Kind::Lasts)) else {
                    continue;
                };
                let told = self.told.get(&(incident.clone(), id.clone()));
                items.push(self.item(now_ns, &audience, kind, &seen.incident, told));
            }
            self.waiting.remove(&id);
            if items.is_empty() {
                continue;
            }
            for item in &items {
                let told = self.tell(now_ns, &audience, item);
                due.puts
                    .push((name(&told), serde_json::to_string(&told).unwrap_or_default()));
                self.keep(told);
                // What found no room in the message goes with the next.
                self.compare(&item.incident);
            }
            due.messages.push(self.message(now_ns, &audience, items));
        }
        self.wait(now_ns);
        due.deletes = self.clear();
        due
    }

    fn item(
        &self,
        now_ns: u64,
        audience: &Audience,
        kind: Kind,
        incident: &Incident,
        told: Option<&Told>,
    ) -> Item {
        // Who of the operators does what is nobody else's.
        let who = |name: &str| {
            if audience.is_public {
                "The operators".to_owned()
            } else {
                name.to_owned()
            }
        };
        let name = self.rules.services.get(&incident.service);
        let from = told.map_or(0, |told| told.said);
        let mut said: Vec<_> = incident
            .updates
            .iter()
            .skip(from)
            .take(SAID_MAX)
            .map(|update| (who(&update.who), super::message::cut(&update.text, SAID_LEN)))
            .collect();
        if let Some(words) = &incident.post_mortem
            && !told.is_some_and(|told| told.post_mortem)
        {
            said.push((who(&words.who), super::message::cut(&words.text, SAID_LEN)));
        }
        let url = if self.rules.site_url.is_empty() {
            String::new()
        } else {
            format!(
                "{}/incidents/{}",
                self.rules.site_url.trim_end_matches('/'),
                incident.id
            )
        };
        Item {
            incident: incident.id.clone(),
            service: incident.service.clone(),
            name: name.unwrap_or(&incident.service).clone(),
            kind,
            standing: incident.standing.name().to_owned(),
            cause: incident.told_cause().to_owned(),
            is_named: incident.named_cause.is_some(),
            start_ns: incident.start_ns,
            end_ns: incident.end_ns,
            reports: incident.reports,
            // Nothing at all is what is said of minutes of which it is not known.
            expected: Some(incident.expected).filter(|expected| expected.is_finite() && *expected > 0.0),
            checks: incident
                .probed
                .map(|probed| (probed.failing_places as u64, probed.places as u64)),
            attacks: incident.attacks.clone(),
            acknowledged: incident.acknowledged.as_ref().map(|(name, _)| who(name)),
            merged_into: incident.merged_into.clone(),
            said,
            url,
            n: told.map_or(0, |told| told.n),
            told_ns: told.map_or(now_ns, |told| told.first_ns),
        }
    }

    /// What the audience knows once it was told the item.
    fn tell(&self, now_ns: u64, audience: &Audience, item: &Item) -> Told {
        let incident = &self.incidents[&item.incident].incident;
        let before = self.told.get(&(item.incident.clone(), audience.id.clone()));
        let said = before.map_or(0, |told| told.said) + SAID_MAX;
        Told {
            audience: audience.id.clone(),
            incident: item.incident.clone(),
            standing: incident.standing,
            cause: item.cause.clone(),
            acknowledged: item.acknowledged.is_some(),
            said: said.min(incident.updates.len()),
            post_mortem: incident.post_mortem.is_some(),
            over: item.kind == Kind::Ends
                || (item.kind == Kind::Said && before.is_some_and(|told| told.over)),
            n: item.n + 1,
            first_ns: item.told_ns,
            last_ns: now_ns,
        }
    }

    fn message(&self, now_ns: u64, audience: &Audience, items: Vec<Item>) -> Message {
        let mut hash = Sha256::new().chain_update(&audience.id);
        for item in &items {
            hash.update([0]);
            hash.update(&item.incident);
            hash.update(item.n.to_be_bytes());
        }
        let key = hash.finalize()[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let urgency = |item: &Item| match item.kind {
            _ if item.is_brigade() => Urgency::Low,
            Kind::Begins | Kind::Again | Kind::Lasts => Urgency::High,
            Kind::Changed | Kind::Ends => Urgency::Normal,
            Kind::Acknowledged | Kind::Said | Kind::Test => Urgency::Low,
        };
        Message {
            key,
            audience: audience.id.clone(),
            at_ns: now_ns,
            urgency: items.iter().map(urgency).max().unwrap_or_default(),
            items,
            site: self.rules.site.clone(),
            site_url: self.rules.site_url.clone(),
        }
    }

    /// Forgets those who are told no more, and what has been over longest; returns the names of their documents.
    fn clear(&mut self) -> Vec<String> {
        type Key = (String, String);
        let mut over: BTreeMap<&str, Vec<(u64, &Key)>> = BTreeMap::new();
        let mut gone: Vec<Key> = Vec::new();
        for (key, told) in &self.told {
            if !self.by_id.contains_key(&told.audience) {
                gone.push(key.clone());
            } else if told.over {
                over.entry(&told.audience).or_default().push((told.last_ns, key));
            }
        }
        for (_, mut list) in over {
            if list.len() > OVER_MAX {
                list.sort();
                let most = list.len() - OVER_MAX;
                gone.extend(list.into_iter().take(most).map(|(_, key)| key.clone()));
            }
        }
        for key in &gone {
            self.lasting.remove(key);
        }
        gone.iter()
            .filter_map(|key| self.told.remove(key))
            .map(|told| name(&told))
            .collect()
    }
}

/// Operators wrote something that was not told.
fn has_words(incident: &Incident, told: &Told) -> bool {
    incident.updates.len() > told.said || (incident.post_mortem.is_some() && !told.post_mortem)
}

/// Name of the document.
fn name(told: &Told) -> String {
    format!("{} {}", told.audience, told.incident)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::serve::state::{Because, Update};
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    /// An incident of a service.
    pub(crate) fn incident(id: &str, service: &str, standing: Standing) -> Incident {
        Incident {
            id: id.to_owned(),
            service: service.to_owned(),
            standing,
            start_ns: 1_741_600_000 * S,
            end_ns: None,
            waves: Vec::new(),
            reports: 420,
            expected: 12.0,
            limited: 0.0,
            countries: Vec::new(),
            networks: Vec::new(),
            symptoms: Vec::new(),
            probed: None,
            cause: Because {
                kind: "unknown".to_owned(),
                of: Vec::new(),
                confidence: "low".to_owned(),
                because: Vec::new(),
            },
            confidence: "high".to_owned(),
            caveats: Vec::new(),
            attacks: Vec::new(),
            acknowledged: None,
            updates: Vec::new(),
            post_mortem: None,
            merged_into: None,
            named_cause: None,
        }
    }

    pub(crate) fn rules(audiences: &[(&str, &[&str])]) -> Rules {
        Rules {
            group_ns: 30 * S,
            repeat_ns: 3_600 * S,
            audiences: audiences
                .iter()
                .map(|(id, services)| Audience {
                    id: (*id).to_owned(),
                    services: services.iter().map(|slug| (*slug).to_owned()).collect(),
                    is_public: id.starts_with("visitors:"),
                })
                .collect(),
            services: [("shop", "Shop"), ("bank", "Bank")]
                .map(|(slug, name)| (slug.to_owned(), name.to_owned()))
                .into(),
            site: "Status".to_owned(),
            site_url: "https://status.example".to_owned(),
        }
    }

    fn kinds(due: &Due) -> Vec<(String, Vec<(String, Kind)>)> {
        due.messages
            .iter()
            .map(|message| {
                let items = message
                    .items
                    .iter()
                    .map(|item| (item.incident.clone(), item.kind));
                (message.audience.clone(), items.collect())
            })
            .collect()
    }

    fn one(audience: &str, incident: &str, kind: Kind) -> Vec<(String, Vec<(String, Kind)>)> {
        vec![(audience.to_owned(), vec![(incident.to_owned(), kind)])]
    }

    #[test]
    fn an_incident_is_told_reminded_of_and_cleared() {
        let mut plan = Planner::load(rules(&[("ops", &[]), ("bankers", &["bank"])]), &[]);
        plan.see(0, &incident("a", "shop", Standing::Suspected));
        assert_eq!(kinds(&plan.due(S)), vec![]);
        assert_eq!(plan.next_ns(), None, "suspected alone is not told");
        let mut now = incident("a", "shop", Standing::Confirmed);
        plan.see(10 * S, &now);
        // What comes at the same time is waited for.
        assert_eq!(plan.next_ns(), Some(10 * S + 1));
        assert_eq!(kinds(&plan.due(10 * S + 1)), vec![]);
        assert_eq!(plan.next_ns(), Some(40 * S));
        assert_eq!(kinds(&plan.due(39 * S)), vec![]);
        assert_eq!(kinds(&plan.due(40 * S)), one("ops", "a", Kind::Begins));
        assert_eq!(kinds(&plan.due(41 * S)), vec![]);
        // Nobody has it in hand: reminded.
        assert_eq!(plan.next_ns(), Some(3_640 * S));
        assert_eq!(kinds(&plan.due(3_640 * S)), one("ops", "a", Kind::Lasts));
        now.acknowledged = Some(("ann".to_owned(), 3_700 * S));
        plan.see(3_700 * S, &now);
        assert_eq!(kinds(&plan.due(3_730 * S)), one("ops", "a", Kind::Acknowledged));
        assert_eq!(plan.next_ns(), None, "somebody has it in hand");
        now.standing = Standing::Resolved;
        plan.see(9_000 * S, &now);
        assert_eq!(kinds(&plan.due(9_030 * S)), one("ops", "a", Kind::Ends));
        now.standing = Standing::Closed;
        plan.see(9_900 * S, &now);
        assert_eq!(kinds(&plan.due(9_901 * S)), vec![]);
        assert_eq!(plan.next_ns(), None, "it was cleared once");
        now.post_mortem = Some(Update {
            at_ns: 0,
            who: "ann".to_owned(),
            text: "A disk was full.".to_owned(),
        });
        plan.see(99_000 * S, &now);
        let due = plan.due(99_030 * S);
        assert_eq!(kinds(&due), one("ops", "a", Kind::Said));
        assert_eq!(due.messages[0].items[0].said[0].1, "A disk was full.");
    }

    #[test]
    fn news_of_one_time_go_out_as_one() {
        let mut plan = Planner::load(rules(&[("ops", &[])]), &[]);
        plan.see(0, &incident("a", "shop", Standing::Confirmed));
        // What is over before anybody was told is not told.
        plan.see(5 * S, &incident("c", "bank", Standing::Confirmed));
        plan.see(20 * S, &incident("b", "bank", Standing::Confirmed));
        plan.see(25 * S, &incident("c", "bank", Standing::Resolved));
        let due = plan.due(30 * S);
        let both = [("a", Kind::Begins), ("b", Kind::Begins)].map(|(id, kind)| (id.to_owned(), kind));
        assert_eq!(kinds(&due), vec![("ops".to_owned(), both.to_vec())]);
        assert_eq!(due.puts.len(), 2);
        assert_eq!(plan.next_ns(), Some(3_630 * S));
    }

    #[test]
    fn brigades_are_low_and_not_for_visitors_and_merged_incidents_are_silent() {
        let mut plan = Planner::load(rules(&[("ops", &[]), ("visitors:shop", &["shop"])]), &[]);
        let mut brigade = incident("a", "shop", Standing::Identified);
        brigade.cause.kind = "brigade".to_owned();
        plan.see(0, &brigade);
        let due = plan.due(30 * S);
        assert_eq!(kinds(&due), one("ops", "a", Kind::Begins));
        assert_eq!(due.messages[0].urgency, Urgency::Low);
        assert!(due.messages[0].title().contains("coordinated reports"));
        let mut merged = incident("b", "shop", Standing::Confirmed);
        merged.merged_into = Some("a".to_owned());
        plan.see(40 * S, &merged);
        assert_eq!(kinds(&plan.due(70 * S)), vec![]);
        // One that was told before is told to belong to the other, once.
        brigade.merged_into = Some("b".to_owned());
        plan.see(80 * S, &brigade);
        assert_eq!(kinds(&plan.due(110 * S)), one("ops", "a", Kind::Ends));
        brigade.cause.kind = "attack".to_owned();
        plan.see(120 * S, &brigade);
        assert_eq!(kinds(&plan.due(u64::MAX / 2)), vec![]);
    }

    #[test]
    fn visitors_are_not_reminded_and_an_unwatched_service_ends_what_was_told() {
        let mut plan = Planner::load(rules(&[("visitors:shop", &["shop"])]), &[]);
        plan.see(0, &incident("a", "shop", Standing::Confirmed));
        assert_eq!(kinds(&plan.due(30 * S)), one("visitors:shop", "a", Kind::Begins));
        assert_eq!(plan.next_ns(), None);
        let mut taken = incident("a", "shop", Standing::Confirmed);
        taken.acknowledged = Some(("ann".to_owned(), 40 * S));
        plan.see(40 * S, &taken);
        let due = plan.due(70 * S);
        assert_eq!(kinds(&due), one("visitors:shop", "a", Kind::Acknowledged));
        assert!(
            !due.messages[0].text().contains("ann"),
            "who is on call is nobody else's"
        );
        let mut less = rules(&[("visitors:shop", &["shop"])]);
        less.services.remove("shop");
        plan.configure(100 * S, less);
        assert_eq!(kinds(&plan.due(130 * S)), one("visitors:shop", "a", Kind::Ends));
    }

    #[test]
    fn other_settings_end_what_was_told_and_forget_who_is_told_no_more() {
        let mut plan = Planner::load(rules(&[("ops", &[]), ("old", &[])]), &[]);
        plan.see(0, &incident("a", "shop", Standing::Confirmed));
        assert_eq!(plan.due(30 * S).messages.len(), 2);
        // One is told of the bank alone from now on, the other of nothing.
        assert!(plan.configure(40 * S, rules(&[("ops", &["bank"])])));
        assert!(!plan.configure(41 * S, rules(&[("ops", &["bank"])])));
        plan.see(50 * S, &incident("b", "shop", Standing::Confirmed));
        plan.see(50 * S, &incident("a", "shop", Standing::Resolved));
        let due = plan.due(80 * S);
        assert_eq!(kinds(&due), one("ops", "a", Kind::Ends));
        assert_eq!(due.deletes, ["old a"]);
        assert_eq!(plan.next_ns(), None);
    }

    const STANDINGS: [Standing; 6] = [
        Standing::Suspected,
        Standing::Confirmed,
        Standing::Identified,
        Standing::Recovering,
        Standing::Resolved,
        Standing::Closed,
    ];
    /// Incidents and what an operator does: none, updates, takes it in hand, names a cause, merges.
    type Step = (u64, usize, usize, u8);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        proptest::collection::vec((0..200u64, 0..4usize, 0..6usize, 0..8u8), 1..40)
    }

    /// What became of the steps, with time: states of incidents.
    fn states(steps: &[Step]) -> Vec<(u64, Incident)> {
        let mut now = 0;
        let mut incidents: BTreeMap<usize, Incident> = BTreeMap::new();
        let mut out = Vec::new();
        for (step, (wait, which, standing, deed)) in steps.iter().enumerate() {
            now += wait * S;
            let service = if which % 2 == 0 { "shop" } else { "bank" };
            let known = incidents
                .entry(*which)
                .or_insert_with(|| incident(&format!("i{which}"), service, Standing::Suspected));
            known.standing = STANDINGS[*standing];
            let who = || "ann".to_owned();
            match deed {
                0 => known.updates.push(Update {
                    at_ns: now,
                    who: who(),
                    text: format!("word {step}"),
                }),
                1 if known.acknowledged.is_none() => known.acknowledged = Some((who(), now)),
                2 => known.named_cause = Some("provider".to_owned()),
                3 if *which == 3 => known.merged_into = Some("i0".to_owned()),
                _ => {}
            }
            out.push((now, known.clone()));
        }
        out
    }

    /// All messages of a run. `stop` is the state after which everything but the documents is forgotten.
    fn run(states: &[(u64, Incident)], stop: Option<usize>) -> Vec<Message> {
        let rules = || rules(&[("bankers", &["bank"]), ("ops", &[]), ("visitors:shop", &["shop"])]);
        let mut plan = Planner::load(rules(), &[]);
        let (mut kept, mut all) = (BTreeMap::new(), Vec::new());
        let mut latest: BTreeMap<String, (u64, Incident)> = BTreeMap::new();
        let mut keep = |due: Due, kept: &mut BTreeMap<String, String>| {
            kept.extend(due.puts);
            due.deletes.iter().for_each(|name| drop(kept.remove(name)));
            all.extend(due.messages);
        };
        for (at, (now, state)) in states.iter().enumerate() {
            // What is due in between goes out in between.
            while let Some(next) = plan.next_ns().filter(|next| next < now) {
                keep(plan.due(next), &mut kept);
            }
            plan.see(*now, state);
            let state = match latest.remove(&state.id) {
                Some((at, before)) if at == *now => joined(before, state.clone()),
                _ => state.clone(),
            };
            latest.insert(state.id.clone(), (*now, state));
            if stop == Some(at) {
                let documents: Vec<_> = kept.clone().into_iter().collect();
                plan = Planner::load(rules(), &documents);
                latest.values().for_each(|(_, incident)| plan.see(*now, incident));
            }
        }
        // In the end all is over.
        let end = states.last().map_or(0, |(now, _)| now + 1);
        for (_, incident) in latest.values() {
            let over = Incident {
                standing: Standing::Closed,
                ..incident.clone()
            };
            plan.see(end, &over);
        }
        while let Some(next) = plan.next_ns() {
            keep(plan.due(next), &mut kept);
        }
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn no_message_is_told_twice_and_every_begin_gets_its_end(steps in steps(), stop in proptest::option::of(0..40usize)) {
            let messages = run(&states(&steps), stop);
            let mut keys = BTreeSet::new();
            let mut open: BTreeMap<(&str, &str), bool> = BTreeMap::new();
            for message in &messages {
                prop_assert!(keys.insert(&message.key), "{} twice", message.key);
                prop_assert!(!message.items.is_empty());
                for item in &message.items {
                    let is_open = open.entry((&message.audience, &item.incident)).or_default();
                    match item.kind {
                        Kind::Begins | Kind::Again => {
                            prop_assert!(!*is_open);
                            prop_assert!(["confirmed", "identified"].contains(&item.standing.as_str()));
                            *is_open = true;
                        }
                        Kind::Ends => {
                            prop_assert!(*is_open, "an end of what was never told");
                            *is_open = false;
                        }
                        Kind::Said => prop_assert!(item.n > 0 && !item.said.is_empty()),
                        _ => prop_assert!(*is_open, "{:?} of what is not open", item.kind),
                    }
                }
            }
            prop_assert!(open.values().all(|is_open| !is_open), "never cleared: {open:?}");
        }

        #[test]
        fn the_order_of_what_comes_at_one_time_does_not_matter(steps in steps(), seed in any::<u64>()) {
            // All within ten steps come at one time, in two orders.
            let mut states = states(&steps);
            let count = states.len();
            for at in 0..count {
                states[at].0 = states[(at / 10 * 10 + 9).min(count - 1)].0;
            }
            let mut other = states.clone();
            for part in other.chunks_mut(10) {
                let len = part.len();
                part.rotate_left(seed as usize % len);
                part.reverse();
            }
            prop_assert_eq!(run(&states, None), run(&other, None));
        }
    }
}
