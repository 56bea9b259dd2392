//! Starts everything, and stops it without losing anything.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use store::{Limits, Store};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, broadcast, watch};
use tower::ServiceExt;

use super::api;
use super::config::{Config, Service};
use super::engine::{Ask, Engine, QUEUE};
use super::http::{App, BODY_MAX, guard};
use super::{agents, console, notify, pages, report};
use crate::args::{ConfigArgs, ServeArgs};
use crate::signals::Signal;
use crate::{lookup, tell};

/// How long a head may take, and how long a connection may rest.
const HEAD: Duration = Duration::from_secs(15);
/// Bytes of a head.
const HEAD_MAX: usize = 16 << 10;
/// How long answers may take that are under way when it is told to stop.
const STOP: Duration = Duration::from_secs(5);
/// How long a connection that is to be closed may take over what it is sent.
const LEAVE: Duration = Duration::from_secs(1);
/// News of incidents that wait for those who tell others.
const EVENTS: usize = 1_024;

/// Where settings are looked for when none are named.
const CONFIG: &str = "epicenter.toml";

/// What is served where there are no settings: a service to try it with.
fn trial() -> Config {
    Config {
        service: vec![Service {
            slug: "demo".to_owned(),
            name: "Demo service".to_owned(),
            url: String::new(),
            about: "Nothing real: report trouble and see what happens.".to_owned(),
            networks: Vec::new(),
            symptoms: ["website", "app", "login", "slow", "other"]
                .map(str::to_owned)
                .to_vec(),
            neighbours: Vec::new(),
            claims: None,
            probe: Vec::new(),
        }],
        ..Config::default()
    }
}

/// The settings of a file, or where there is none those to try it with. Paths in it are beside the file.
pub(crate) fn config(path: Option<&Path>) -> anyhow::Result<(Config, Option<PathBuf>)> {
    let path = match path {
        Some(path) => path.to_owned(),
        None if Path::new(CONFIG).exists() => PathBuf::from(CONFIG),
        None => return Ok((trial(), None)),
    };
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut config =
        Config::parse(&text).map_err(|problem| anyhow::anyhow!("{}: {problem}", path.display()))?;
    let beside = |file: &Path| path.parent().unwrap_or(Path::new("")).join(file);
    config.data.file = beside(&config.data.file);
    for service in &mut config.service {
        if let Some(file) = &service.claims {
            let file = beside(file);
            let claims = crate::claims::read(&file)
                .map_err(|error| anyhow::anyhow!("{}: service.claims: {error:#}", path.display()))?;
            config.statements.insert(service.slug.clone(), Arc::new(claims));
        }
    }
    for file in config
        .notify
        .iter_mut()
        .filter_map(|notify| notify.secret_file.as_mut())
        .chain(
            config
                .mail
                .iter_mut()
                .filter_map(|mail| mail.password_file.as_mut()),
        )
    {
        *file = beside(file);
    }
    Ok((config, Some(path)))
}

/// Looks up in which networks the services are.
fn look_up(config: &mut Config, atlas: &atlas::Atlas) {
    config.providers = config
        .service
        .iter()
        .filter_map(|service| {
            let asn = atlas.lookup(service.networks.first()?.0.base).asn;
            (asn != 0).then(|| (service.slug.clone(), asn))
        })
        .collect();
}

/// `epicenter config`: checks the settings, or prints them.
pub(crate) fn show(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    use std::io::Write;
    let (config, path) = config(args.config.as_deref())?;
    if args.show {
        // As they are written: paths beside the file.
        let written = match &path {
            Some(path) => Config::parse(&std::fs::read_to_string(path)?).map_err(anyhow::Error::msg)?,
            None => config,
        };
        std::io::stdout().write_all(written.show().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let name = path.map_or("no file: the demo service".to_owned(), |path| {
        path.display().to_string()
    });
    let services = crate::case_text::counted(config.service.len() as u64, "service", "services");
    let probes: usize = config.service.iter().map(|service| service.probe.len()).sum();
    writeln!(
        std::io::stdout(),
        "{name}: sound; {services}, {probes} probes, {} who are told",
        config.notify.len()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the command.
pub(crate) fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let (mut config, path) = config(args.config.as_deref())?;
    if let Some(listen) = args.listen {
        config.http.listen = listen;
    }
    if let Some(data) = &args.data {
        config.data.file.clone_from(data);
    }
    let atlas = Arc::new(lookup::open(&args.atlas)?);
    look_up(&mut config, &atlas);
    raise_limit(config.http.connections);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config, path, args, atlas))?;
    // What still runs (a probe, a mail) has nothing that would be lost.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(ExitCode::SUCCESS)
}

async fn serve(
    config: Config,
    path: Option<PathBuf>,
    args: &ServeArgs,
    atlas: Arc<atlas::Atlas>,
) -> anyhow::Result<()> {
    // The address first: a second start should say that it is taken, before it waits for the file.
    let listener = TcpListener::bind(config.http.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.http.listen))?;
    let address = listener.local_addr()?;
    let store = Store::open(
        &config.data.file,
        Limits {
            bytes_max: config.data.size.0,
        },
    )?;
    let config = Arc::new(config);
    let (events, _) = broadcast::channel(EVENTS);
    let engine = Engine::open(store, Arc::clone(&config), events.clone(), None)?;
    let state = engine.state();
    let (asks, asked) = mpsc::sync_channel(QUEUE);
    let thread = std::thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || engine.run(&asked))?;
    let app = App {
        state,
        asks: asks.clone(),
        atlas,
        events,
    };
    let ended = Arc::new(AtomicBool::new(false));
    let traffic = super::traffic::start(&config, Arc::clone(&app.atlas), asks.clone(), Arc::clone(&ended));
    let (stop, stopped) = watch::channel(false);
    let (reloaded, _) = watch::channel(Arc::clone(&config));
    let connections = Arc::new(Connections::new(config.http.connections));
    let probing = tokio::spawn(agents::run(app.clone(), reloaded.subscribe(), stopped.clone()));
    let accepting = tokio::spawn(accept(
        listener,
        router(app.clone()),
        Arc::clone(&connections),
        stopped.clone(),
    ));
    let telling = tokio::spawn(notify::run(app.clone(), stopped.clone()));
    let without = if path.is_none() {
        ", with a demo service since there is no epicenter.toml"
    } else {
        ""
    };
    tell(&format!(
        "serving {} at http://{address}/{without}; data in {}",
        crate::case_text::counted(config.service.len() as u64, "service", "services"),
        config.data.file.display()
    ));
    let (mut interrupt, mut terminate, mut hangup) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    );
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = hangup.recv() => reload(&path, args, &app, &reloaded, &config).await,
        }
        if thread.is_finished() {
            break;
        }
    }
    stop.send_replace(true);
    connections.close_idle(usize::MAX);
    let began = Instant::now();
    while connections.count() > 0 && began.elapsed() < STOP {
        tokio::time::sleep(Duration::from_millis(20)).await;
        connections.close_idle(usize::MAX);
    }
    accepting.abort();
    probing.abort();
    ended.store(true, Ordering::Relaxed);
    if let Some(traffic) = traffic {
        // It says its last words to the engine.
        let _ = tokio::task::spawn_blocking(move || traffic.join()).await;
    }
    // What was told just now is taken out of the outbox while there is still somebody to write it.
    let _ = tokio::time::timeout(STOP, telling).await;
    // Everything that was answered is written; the engine saves its state.
    let _ = asks.send(Ask::Stop);
    tokio::task::spawn_blocking(move || thread.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the engine failed"))?;
    tell("stopped; all reports are in the data file");
    Ok(())
}

/// The pages of a tracker whose time somebody else drives, and that keeps nothing: those of the demo.
pub(crate) struct Driven {
    pub(crate) address: SocketAddr,
    asks: mpsc::SyncSender<Ask>,
    // Serves for as long as this is there.
    _runtime: tokio::runtime::Runtime,
}

impl Driven {
    /// Opens the pages at an address, or at any free port of it where that one is taken.
    pub(crate) fn start(
        config: Config,
        atlas: Arc<atlas::Atlas>,
        start_ns: u64,
        listen: SocketAddr,
        has_probes: bool,
    ) -> anyhow::Result<Driven> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(async {
            match TcpListener::bind(listen).await {
                Err(_) => TcpListener::bind((listen.ip(), 0)).await,
                bound => bound,
            }
        })?;
        let address = listener.local_addr()?;
        let config = Arc::new(config);
        let (events, _) = broadcast::channel(EVENTS);
        let mut engine = Engine::open(
            Store::in_memory()?,
            Arc::clone(&config),
            events.clone(),
            Some(start_ns),
        )?;
        engine.expect_probes(has_probes);
        let state = engine.state();
        let (asks, asked) = mpsc::sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || engine.run(&asked))?;
        let app = App {
            state,
            asks: asks.clone(),
            atlas,
            events,
        };
        let (_, never) = watch::channel(false);
        let connections = Arc::new(Connections::new(config.http.connections));
        runtime.spawn(accept(listener, router(app), connections, never));
        Ok(Driven {
            address,
            asks,
            _runtime: runtime,
        })
    }

    /// What was heard up to a time.
    pub(crate) fn hear(&self, to_ns: u64, signals: Vec<Signal>) {
        // An engine that is gone shows nothing, and the demo goes on.
        let _ = self.asks.send(Ask::Drive(to_ns, signals));
    }

    /// What the traffic shows.
    pub(crate) fn attacks(&self, attacks: Vec<super::state::Attack>) {
        let _ = self.asks.send(Ask::Attacks(attacks));
    }
}

/// Reads the settings again. What is wrong with them is told, and those in force stay.
async fn reload(
    path: &Option<PathBuf>,
    args: &ServeArgs,
    app: &App,
    reloaded: &watch::Sender<Arc<Config>>,
    first: &Config,
) {
    let Some(path) = path else {
        return tell("there is no file of settings to read again");
    };
    match config(Some(path)) {
        Ok((mut config, _)) => {
            if let Some(listen) = args.listen {
                config.http.listen = listen;
            }
            if let Some(data) = &args.data {
                config.data.file.clone_from(data);
            }
            if config.http.listen != first.http.listen || config.data.file != first.data.file {
                tell("http.listen and data.file take effect at the next start");
            }
            look_up(&mut config, &app.atlas);
            let config = Arc::new(config);
            let services = config.service.len() as u64;
            // The engine takes it between two groups of reports: none is lost.
            let (answer, taken) = tokio::sync::oneshot::channel();
            if app.asks.send(Ask::Config(Arc::clone(&config), answer)).is_ok() && taken.await.is_ok() {
                reloaded.send_replace(config);
                tell(&format!(
                    "read {} again: {}",
                    path.display(),
                    crate::case_text::counted(services, "service", "services")
                ));
            }
        }
        Err(error) => tell(&format!("the settings stay as they were: {error:#}")),
    }
}

/// All that is answered.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .merge(agents::routes())
        .merge(pages::routes())
        .merge(report::routes())
        .merge(console::routes())
        .merge(notify::routes())
        .merge(api::routes())
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

/// The connections that are open. When there is no room, the one that has been idle longest makes room: slow clients and browsers that
/// rest never keep a visitor out.
struct Connections {
    most: usize,
    open: Mutex<std::collections::BTreeMap<u64, Arc<Connection>>>,
    next: AtomicU64,
}

#[derive(Default)]
struct Connection {
    /// A request of it is being answered.
    is_busy: AtomicBool,
    close: Notify,
}

impl Connections {
    fn new(most: usize) -> Connections {
        Connections {
            most: most.max(16),
            open: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<u64, Arc<Connection>>> {
        self.open
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn count(&self) -> usize {
        self.lock().len()
    }

    /// Lets a connection in; `None` where all others are being answered.
    fn enter(&self) -> Option<(u64, Arc<Connection>)> {
        if self.count() >= self.most && self.close_idle(1) == 0 {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::default());
        self.lock().insert(id, Arc::clone(&connection));
        Some((id, connection))
    }

    fn leave(&self, id: u64) {
        self.lock().remove(&id);
    }

    /// Closes so many that are idle, the oldest first; returns how many.
    fn close_idle(&self, at_most: usize) -> usize {
        let mut open = self.lock();
        let idle: Vec<u64> = open
            .iter()
            .filter(|(_, connection)| !connection.is_busy.load(Ordering::Relaxed))
            .take(at_most)
            .map(|(id, _)| *id)
            .collect();
        for id in &idle {
            if let Some(connection) = open.remove(id) {
                connection.close.notify_one();
            }
        }
        idle.len()
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    connections: Arc<Connections>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Ok(()) = stopped.changed() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some((id, connection)) = connections.enter() else {
                    // All are busy: whoever comes now is told by the closed connection.
                    continue;
                };
                let (router, connections) = (router.clone(), Arc::clone(&connections));
                tokio::spawn(async move {
                    speak(stream, peer, router, connection).await;
                    connections.leave(id);
                });
            }
            // Out of descriptors, or the client left: the next may be better.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// HTTP/1.1 or HTTP/2 on one connection.
async fn speak(stream: TcpStream, peer: SocketAddr, router: Router, connection: Arc<Connection>) {
    let _ = stream.set_nodelay(true);
    let answering = Arc::clone(&connection);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (router, answering) = (router.clone(), Arc::clone(&answering));
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        async move {
            answering.is_busy.store(true, Ordering::Relaxed);
            let response = router.oneshot(request).await;
            answering.is_busy.store(false, Ordering::Relaxed);
            response
        }
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(64)
        .max_header_list_size(HEAD_MAX as u32)
        .keep_alive_interval(Some(HEAD))
        .keep_alive_timeout(HEAD);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(serving);
    tokio::select! {
        // What a client breaks is its own.
        _ = serving.as_mut() => {}
        () = connection.close.notified() => {
            // What is on its way arrives; what rests or dawdles does not hold us up.
            serving.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(LEAVE, serving).await;
        }
    }
}

/// Each connection needs a descriptor.
fn raise_limit(connections: usize) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let wanted = connections as u64 + 512;
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < wanted
    {
        let raised = wanted.min(hard);
        if setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_err() || raised < wanted {
            tell(&format!(
                "the system allows {raised} open files: fewer than http.connections = {connections} would need (`ulimit -n`)"
            ));
        }
    }
}
