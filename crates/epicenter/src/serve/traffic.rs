//! What the traffic shows: flow exports are listened to as `listen` does, and attacks are told to the engine.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use atlas::Atlas;
use incident::engine::{Change, Event};
use incident::outage::Attacked;

use super::config::Config;
use super::engine::Ask;
use super::state::Attack;
use crate::args::{AtlasArgs, EventFormat, ExportArgs, ListenArgs};
use crate::case_text::{headline, vector_names};
use crate::{listen, tell};

/// How often the engine hears that there was nothing new: that traffic was watched is itself evidence.
const ALIVE: Duration = Duration::from_secs(10);

/// An attack as the engine keeps it.
pub(crate) fn attack(event: &Event) -> Attack {
    Attack {
        attacked: Attacked::of(&event.incident),
        vectors: vector_names(&event.incident),
        headline: headline(&event.incident, ", still running"),
        is_running: matches!(event.change, Change::Begin | Change::Change),
        is_withdrawn: event.change == Change::Withdraw,
        incident: Some(Arc::new(event.incident.clone())),
    }
}

/// Listens until `ended`, where the settings name an address for it. What goes wrong is told; the pages stay up without it.
pub(crate) fn start(
    config: &Config,
    atlas: Arc<Atlas>,
    asks: SyncSender<Ask>,
    ended: Arc<AtomicBool>,
) -> Option<std::thread::JoinHandle<()>> {
    if config.traffic.listen.is_empty() {
        return None;
    }
    let args = ListenArgs {
        listen: config.traffic.listen.clone(),
        format: EventFormat::Text,
        network: config
            .service
            .iter()
            .flat_map(|service| service.networks.iter().map(|net| net.0))
            .collect(),
        exporter: config.traffic.exporters.iter().map(|net| net.0).collect(),
        record: None,
        record_size: 0,
        audience: Some(config.data.file.with_extension("audience")),
        exports: ExportArgs {
            sampling: Vec::new(),
            // Beside the data, so that templates and rates are known after a restart.
            state: Some(config.data.file.with_extension("exporters")),
        },
        atlas: AtlasArgs {
            atlas: None,
            kinds: Vec::new(),
        },
        threads: None,
        status: 0,
        seconds: None,
    };
    let mut last = Instant::now();
    let thread = std::thread::Builder::new().name("traffic".to_owned());
    let started = thread.spawn(move || {
        let mut sink = |events: &[Event]| -> anyhow::Result<()> {
            if !events.is_empty() || last.elapsed() >= ALIVE {
                last = Instant::now();
                // The engine takes it when it can; it is gone only when all ends.
                let _ = asks.send(Ask::Attacks(events.iter().map(attack).collect()));
            }
            Ok(())
        };
        if let Err(error) = listen::listen(&args, &atlas, &ended, &mut sink) {
            tell(&format!("traffic is not watched: {error:#}"));
        }
    });
    match started {
        Ok(thread) => Some(thread),
        Err(error) => {
            tell(&format!("traffic is not watched: {error}"));
            None
        }
    }
}
