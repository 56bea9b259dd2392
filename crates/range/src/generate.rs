//! A scenario, second after second.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use atlas::{Atlas, Country, Prefix};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{RngCore, SeedableRng};

use crate::army::Army;
use crate::claims;
use crate::crowd::{Crowd, Visitor};
use crate::exports::{Datagram, Exporter, Exporters, Format};
use crate::felt::Felt;
use crate::outage::{Load, State, fault_share};
use crate::packets::Packet;
use crate::people::Voices;
use crate::requests::Request;
use crate::scenario::{self, Error, Scenario};
use crate::truth::{self, Days, Deeds, ServiceTruth, Truth};
use crate::visits::{SECOND, Stage};
use crate::world::World;

/// Generates a scenario.
pub struct Range<'a> {
    scenario: Scenario,
    seed: u64,
    world: World<'a>,
    start_ns: u64,
    second: u32,
    stage: Stage,
    crowds: Vec<Crowd>,
    armies: Vec<Army>,
    deeds: Vec<Deeds>,
    services: Vec<Ground>,
    felt: Vec<Felt>,
    cuts: Vec<(std::ops::Range<u32>, Vec<u32>, Vec<Country>)>,
    /// For each cut the share of each audience that it takes away.
    cut_shares: Vec<Vec<f64>>,
    packets: u64,
    audience_packets: u64,
    requests: u64,
}

/// A service as it stands.
struct Ground {
    addresses: Vec<Ipv6Addr>,
    state: State,
    days: Days,
}

impl<'a> Range<'a> {
    /// Draws the machines of a scenario.
    ///
    /// # Errors
    ///
    /// A country or network of which the atlas knows no address to draw.
    pub fn new(scenario: Scenario, seed: u64, atlas: &'a Atlas) -> Result<Range<'a>, Error> {
        let mut random = Pcg64Mcg::seed_from_u64(seed ^ 0xe91c_e47e_7210_0310);
        let world = World::new(atlas, scenario.database_errors, scenario.has_ipv6(), &mut random);
        // Each part draws for itself, so that a change of one leaves the others as they were.
        let own = |part: u64, number: usize| {
            let mut mixer = Pcg64Mcg::seed_from_u64(seed ^ part << 56 ^ (number as u64) << 32);
            Pcg64Mcg::seed_from_u64(mixer.next_u64())
        };
        let botnets: BTreeSet<&str> = scenario.attack.iter().filter_map(Army::botnet).collect();
        let shared = |about| {
            let name = Army::botnet(about)?;
            let number = botnets.iter().position(|known| *known == name)?;
            Some(own(4, number))
        };
        let armies = scenario
            .attack
            .iter()
            .enumerate()
            .map(|(n, about)| {
                Army::new(about, n as u16, &scenario, &world, own(1, n), shared(about))
                    .map_err(|error| Error(format!("attack {}: {error}", n + 1)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let crowds = scenario
            .audience
            .iter()
            .enumerate()
            .map(|(n, about)| {
                Crowd::new(about, &scenario, &world, own(2, n))
                    .map_err(|error| Error(format!("audience {}: {error}", n + 1)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let services = scenario
            .service
            .iter()
            .map(|service| {
                let addresses = [Some(&service.address), service.address6.as_ref()];
                Ok(Ground {
                    addresses: addresses
                        .into_iter()
                        .flatten()
                        .map(|address| scenario::host(address).map_err(Error))
                        .collect::<Result<_, _>>()?,
                    state: State::default(),
                    days: Days::default(),
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let cuts = scenario
            .cut
            .iter()
            .map(|cut| {
                let countries = cut.countries.iter();
                let countries = countries
                    .map(|code| scenario::country(code, atlas).map_err(Error))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok((cut.from..cut.to, cut.networks.clone(), countries))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let cut_shares = cuts
            .iter()
            .map(|(_, networks, countries)| {
                let crowds = crowds.iter();
                crowds
                    .map(|crowd: &Crowd| crowd.cut_share(networks, countries, &world))
                    .collect()
            })
            .collect();
        Ok(Range {
            start_ns: scenario.start_ns(),
            seed,
            second: 0,
            stage: Stage::new(scenario.path_loss, own(3, 0)),
            deeds: armies.iter().map(Deeds::of).collect(),
            felt: vec![Felt::default(); services.len()],
            world,
            crowds,
            armies,
            services,
            cuts,
            cut_shares,
            packets: 0,
            audience_packets: 0,
            requests: 0,
            scenario,
        })
    }

    /// Appends the next second as pcap records, in order of time; false when there is none.
    pub fn second(&mut self, out: &mut Vec<u8>) -> bool {
        self.second_with(out, &mut [])
    }

    /// The same, and what exporters send in that second; their last flows with the last second.
    pub fn second_with(&mut self, out: &mut Vec<u8>, exports: &mut [(Exporters, Vec<Datagram>)]) -> bool {
        if !self.next_second() {
            return false;
        }
        let packets = &self.stage.now.packets;
        for packet in packets {
            packet.write(self.scenario.snaplen, out);
        }
        let now_ns = self.start_ns + u64::from(self.second) * SECOND;
        for (exporters, sent) in exports {
            exporters.see(packets, now_ns, sent);
            if self.second == self.scenario.seconds {
                exporters.finish(now_ns + SECOND, sent);
            }
        }
        true
    }

    /// The scenario's exporters, or these instead, to see what is generated.
    pub fn exporters(&self, format: Format, instead: Option<&[Exporter]>) -> Exporters {
        let exporters = instead.unwrap_or(&self.scenario.exporter);
        Exporters::new(format, exporters, self.seed, self.start_ns)
    }

    /// What users felt of each service of the scenario in the second that was generated last.
    pub fn felt(&self) -> &[Felt] {
        &self.felt
    }

    /// The same for services in the order of these names, as [`Voices::services`] has them; nothing bad is felt of one that the
    /// scenario has not.
    pub fn felt_of(&self, names: &[String]) -> Vec<Felt> {
        let felt = |name: &String| Some(self.felt[self.scenario.service(name)?.0]);
        names.iter().map(|name| felt(name).unwrap_or_default()).collect()
    }

    /// What is generated.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Name and address of each service of the scenario; one that has addresses of both families is there twice.
    pub fn services(&self) -> Vec<(String, Prefix)> {
        let services = self.scenario.service.iter().zip(&self.services);
        services
            .flat_map(|(about, ground)| {
                let addresses = ground.addresses.iter();
                addresses.map(|address| (about.name.clone(), Prefix::of(*address, 128)))
            })
            .collect()
    }

    /// Requests that servers answered in the second that was generated last, in order of time.
    pub fn requests(&self) -> &[Request] {
        &self.stage.now.requests
    }

    /// Goes on by a second; false when there is none.
    fn next_second(&mut self) -> bool {
        if self.second >= self.scenario.seconds {
            return false;
        }
        let second = self.second;
        self.second += 1;
        let begin = self.start_ns + u64::from(second) * SECOND;
        self.stage.enter(begin);
        let attacked = self.attacks(second);
        self.audiences(second, begin, &attacked);
        // Packets are large and mostly in order: their times are sorted, and each is moved once.
        self.stage.now.packets.sort_by_cached_key(|packet| packet.time_ns);
        self.stage.now.requests.sort_unstable();
        if self.scenario.one_way {
            self.drop_answers();
        }
        let packets = &self.stage.now.packets;
        truth::count(packets, second, &self.armies, &mut self.deeds, &self.world);
        self.packets += packets.len() as u64;
        self.audience_packets += packets
            .iter()
            .filter(|packet| packet.attack == crate::packets::NOBODYS)
            .count() as u64;
        self.requests += self.stage.now.requests.len() as u64;
        true
    }

    /// Attacks; what each service has to bear of them.
    fn attacks(&mut self, second: u32) -> Vec<Load> {
        let mut loads = vec![Load::default(); self.services.len()];
        for army in &mut self.armies {
            let target = army.target;
            let hit = |ground: &&Ground| ground.addresses.iter().any(|address| target.contains(*address));
            // A service answers as it did in the second before.
            let state = self
                .services
                .iter()
                .find(hit)
                .map_or(State::default(), |ground| ground.state);
            let load = army.second(second, &state, &self.world, &mut self.stage);
            for (ground, borne) in self.services.iter().zip(&mut loads) {
                if hit(&ground) {
                    // The line bears all of it, the service what is sent to its own address.
                    let share = 1.0 / (1u64 << (128 - target.len).min(40)) as f64;
                    *borne = borne.plus(Load {
                        packets: load.packets,
                        connections: load.connections * share,
                        open: load.open * share,
                        requests: load.requests * share,
                    });
                }
            }
        }
        loads
    }

    fn audiences(&mut self, second: u32, begin: u64, attacked: &[Load]) {
        let seconds = self.scenario.seconds;
        let mut arrived: Vec<Vec<Visitor>> = Vec::with_capacity(self.crowds.len());
        let count = self.services.len();
        let (mut loads, mut tried) = (vec![Load::default(); count], vec![0; count]);
        // Rates of those who would come, and of those of them who cannot.
        let (mut rates, mut cut_rates) = (vec![0.0; count], vec![0.0; count]);
        for (n, crowd) in self.crowds.iter_mut().enumerate() {
            let mut visitors = crowd.arrivals(second, begin, seconds, &self.world);
            let mut cut = 0.0f64;
            for ((when, networks, countries), shares) in self.cuts.iter().zip(&self.cut_shares) {
                if !when.contains(&second) {
                    continue;
                }
                cut = 1.0 - (1.0 - cut) * (1.0 - shares[n]);
                visitors.retain(|visitor| {
                    let is_cut = networks.contains(&visitor.asn) || countries.contains(&visitor.country);
                    if let (true, Some(service)) = (is_cut, crowd.service) {
                        self.services[service].days.cut_off(visitor.country);
                    }
                    !is_cut
                });
            }
            if let Some(service) = crowd.service {
                loads[service] = loads[service].plus(crowd.load(visitors.len()));
                tried[service] += visitors.len();
                let rate = crowd.rate(second, begin, seconds);
                rates[service] += rate;
                cut_rates[service] += rate * cut;
            }
            arrived.push(visitors);
        }
        for (n, service) in self.scenario.service.iter().enumerate() {
            let faults = self
                .scenario
                .fault
                .iter()
                .filter(|fault| fault.service == service.name);
            let works: f64 = faults.map(|fault| 1.0 - fault_share(fault, second)).product();
            let cut_off = if rates[n] > 0.0 {
                cut_rates[n] / rates[n]
            } else {
                0.0
            };
            let state = State::of(
                &service.capacity,
                attacked[n],
                loads[n],
                1.0 - works,
                cut_off,
                tried[n] as f64,
            );
            self.services[n].state = state;
            self.felt[n] = state.felt;
            self.services[n].days.end_second(second, tried[n], &state);
        }
        for (crowd, visitors) in self.crowds.iter_mut().zip(arrived) {
            let state = crowd.service.map_or(State::default(), |n| self.services[n].state);
            for visitor in visitors {
                let has_failed = crowd.visit(visitor, second, &state, &self.world, &mut self.stage);
                if let Some(n) = crowd.service {
                    let labelled = self.world.atlas.lookup(visitor.address).country;
                    self.services[n]
                        .days
                        .tried(visitor.country, labelled, visitor.asn, has_failed);
                }
            }
        }
    }

    /// Leaves only what goes to the services and targets.
    fn drop_answers(&mut self) {
        let services = self.crowds.iter().map(|crowd| crowd.address);
        let services: Vec<Ipv6Addr> = services
            .chain(
                self.services
                    .iter()
                    .flat_map(|ground| ground.addresses.iter().copied()),
            )
            .collect();
        let targets: Vec<Prefix> = self.armies.iter().map(|army| army.target).collect();
        self.stage.now.packets.retain(|packet: &Packet| {
            !services.contains(&packet.src) && !targets.iter().any(|target| target.contains(packet.src))
        });
    }

    /// The truth about what was generated so far, without people.
    pub fn truth(&self) -> Truth {
        self.truth_with(None)
    }

    /// The whole truth about what was generated so far: traffic, outages, what these people told, and whether what was said is so.
    pub fn truth_with(&self, voices: Option<&Voices<'_>>) -> Truth {
        let mut targets: BTreeMap<String, Vec<(&Army, &Deeds)>> = BTreeMap::new();
        for (army, deeds) in self.armies.iter().zip(&self.deeds) {
            let target = match self.scenario.service(&army.about.target) {
                Some((_, service)) => service.address.clone(),
                None => army.about.target.clone(),
            };
            targets.entry(target).or_default().push((army, deeds));
        }
        let services: Vec<ServiceTruth> = self
            .scenario
            .service
            .iter()
            .zip(&self.services)
            .map(|(service, ground)| ground.days.truth(service))
            .collect();
        let mut truth = Truth {
            schema: "epicenter.truth/1",
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            packets: self.packets,
            audience_packets: self.audience_packets,
            requests: self.requests,
            incidents: targets
                .iter()
                .filter_map(|(target, attacks)| {
                    truth::incident(target, attacks, self.scenario.seconds, &self.world)
                })
                .collect(),
            people: voices.map(Voices::truth),
            claims: Vec::new(),
            outages: truth::outages(&services, self.start_ns),
            services,
        };
        truth.claims = claims::judged(&self.scenario, &truth);
        truth
    }
}
