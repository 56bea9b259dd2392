//! The command line, as it is written. The man page and the shells' completions are made from these definitions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::serve::console::session::{Role, Scope};

/// Is the service down, is it an attack, and where did the attack really come from.
#[derive(Debug, Parser)]
#[command(name = "epicenter", version, about, long_about = None, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 an input could not be read at all, 2 usage,\n3 an attack was found and --fail-on-attack was given."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what happened in recorded traffic: attacks, targets, vectors, sources, and how sure that is
    #[command(
        after_help = "Examples:\n  epicenter investigate capture.pcap\n  epicenter investigate monday.pcapng.gz tuesday.pcapng.zst --format json -o case.json\n  tcpdump -c 100000 -w - | epicenter investigate -\n  epicenter investigate --network 203.0.113.0/24 --fail-on-attack capture.pcap\n  epicenter investigate --format bundle -o case.tar capture.pcap\n  epicenter investigate --format bundle -o public.tar --anonymize hash capture.pcap"
    )]
    Investigate(InvestigateArgs),
    /// Check somebody's evidence: digests, signature, and the case computed anew from it. Writes nothing
    #[command(
        after_help = "Examples:\n  epicenter investigate --format bundle -o case.tar --sign-key me.key capture.pcap\n  epicenter verify case.tar\n  epicenter verify --public-key RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3 case.tar\n  epicenter verify case.tar --inputs capture.pcap\n\nExit codes: 0 it holds, 1 it cannot be read or does not hold (the text says which), 2 usage."
    )]
    Verify(VerifyArgs),
    /// Make and show keys that sign bundles (Ed25519, in the form of minisign)
    #[command(
        subcommand,
        after_help = "Examples:\n  epicenter keys new -o me.key\n  epicenter keys show me.key.pub"
    )]
    Keys(KeysCommand),
    /// Show a day whose truth is known, through the whole pipeline: reports, attacks, where from, claims, and the case
    #[command(
        after_help = "Examples:\n  epicenter demo\n  epicenter demo --seconds 20\n  epicenter demo --headless --scenario spill-over"
    )]
    Demo(DemoArgs),
    /// Take NetFlow, IPFIX and sFlow from the network, and say when attacks begin, change and end
    #[command(
        after_help = "Examples:\n  epicenter listen\n  epicenter listen --listen 2055 --listen 192.0.2.1:6343 --network 203.0.113.0/24\n  epicenter listen --format json --state exporters.state --record ring --record-size 20GiB\n  epicenter investigate --state ring/epicenter-20260310T094500Z-000001.state ring/*.pcap"
    )]
    Listen(ListenArgs),
    /// Run the outage tracker: people report trouble, and everyone sees what is known
    #[command(
        after_help = "Examples:\n  epicenter serve\n  epicenter serve --config /etc/epicenter/epicenter.toml\n\nWithout a configuration there is one demo service. SIGHUP reads the configuration again; SIGTERM ends without losing a report."
    )]
    Serve(ServeArgs),
    /// Check the configuration of `serve`, or show it with the meaning of every key
    #[command(
        after_help = "Examples:\n  epicenter config --show > epicenter.toml\n  epicenter config --check epicenter.toml\n\nExit codes: 0 it is sound, 1 it is not (the text says where and why), 2 usage."
    )]
    Config(ConfigArgs),
    /// Take services over from another program; prints a configuration, and says what it could not take
    #[command(
        subcommand,
        after_help = "Examples:\n  epicenter import uptime-kuma Uptime_Kuma_Backup.json > epicenter.toml\n  epicenter import gatus config.yaml > epicenter.toml"
    )]
    Import(ImportCommand),
    /// Copy the data file of `serve`, also while it runs, and check the copy
    #[command(after_help = "Example:\n  epicenter backup epicenter.db epicenter-monday.db")]
    Backup(BackupArgs),
    /// Check the journal in a data file
    #[command(
        subcommand,
        after_help = "Example:\n  epicenter journal verify epicenter.db\n\nExit codes: 0 it holds, 1 it does not (the text names the first entry) or cannot be read, 2 usage."
    )]
    Journal(JournalCommand),
    /// Probe the services of a tracker from here, or those of a configuration once
    #[command(
        after_help = "Examples:\n  epicenter probe --join https://status.example.org --place Madrid --token-file agent.token\n  epicenter probe --once epicenter.toml\n  epicenter probe --once epicenter.toml shop\n\nExit codes of --once: 0 all are up, 1 one is not, or the configuration cannot be read, 2 usage."
    )]
    Probe(ProbeArgs),
    /// Who may sign in to the console of `serve`
    #[command(
        subcommand,
        after_help = "Examples:\n  epicenter user add ada --role operator\n  pass show tracker | epicenter user add ada --role operator --password-stdin --config /etc/epicenter/epicenter.toml\n\nThe server must not be running; while it is, use its page /console/users."
    )]
    User(UserCommand),
    /// Tokens with which programs talk to `serve`: agents that probe, and scripts
    #[command(
        subcommand,
        after_help = "Examples:\n  epicenter token add probe-fra --scope probes\n  epicenter token add deploy --scope read --scope operate\n\nThe server must not be running; while it is, use its page /console/tokens."
    )]
    Token(TokenCommand),
    /// Send a test message to everyone whom `serve` would tell
    #[command(
        after_help = "Examples:\n  epicenter notify --test epicenter.toml\n\nExit codes: 0 all took it, 1 somebody did not (the text says why), 2 usage."
    )]
    Notify(NotifyArgs),
    /// Find surges, silences and breaks in any series, with a budget of false incidents
    #[command(
        after_help = "Examples:\n  epicenter detect reports.csv\n  epicenter detect --side up --budget 1/month --format json reports.csv\n  epicenter detect --kind metric --format html -o latency.html latency.csv\n  cut -d, -f1,3 wide.csv | epicenter detect --format csv -"
    )]
    Detect(DetectArgs),
    /// Make an incident whose truth is known: a capture, and what really happened in it
    #[command(
        after_help = "Examples:\n  epicenter simulate --list\n  epicenter simulate march-10 --seed 7 -o drill\n  epicenter investigate --format json -o case.json drill/march-10-7.pcap\n  epicenter score case.json drill/march-10-7.truth.json"
    )]
    Simulate(SimulateArgs),
    /// Say how right a case is, against the truth of a simulated incident
    Score(ScoreArgs),
    /// Print the records of captures and export packets: JSON lines, CSV or columns
    #[command(
        after_help = "Examples:\n  epicenter decode netflow.pcap\n  epicenter decode --format csv --fields first,src,dst,packets,bytes,sampling templates.bin data.bin\n  epicenter decode --list-fields"
    )]
    Decode(DecodeArgs),
    /// Say who an address is: country, network, prefix, kind, announced or not
    #[command(
        after_help = "Examples:\n  epicenter lookup 8.8.8.8 2606:4700::1111\n  epicenter lookup --format json --file addresses.txt\n  cut -f1 log | epicenter lookup -"
    )]
    Lookup(LookupArgs),
    /// From what somebody said to claims that `investigate --claims` can judge
    #[command(subcommand)]
    Claims(ClaimsCommand),
    /// Build an address database from your own tables, or show what one is made of
    #[command(subcommand)]
    Atlas(AtlasCommand),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff)
    Man,
}

/// What is probed for whom.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("work").required(true).args(["join", "once"]))]
pub(crate) struct ProbeArgs {
    /// Work for this tracker: ask it what to probe, and send it what was found
    #[arg(long, value_name = "URL", requires = "place")]
    pub(crate) join: Option<String>,
    /// Where this is, as it is shown: a city, a network
    #[arg(long, value_name = "NAME", conflicts_with = "once")]
    pub(crate) place: Option<String>,
    /// File that holds the token by which the tracker knows its agents
    #[arg(long, value_name = "FILE", conflicts_with = "once")]
    pub(crate) token_file: Option<PathBuf>,
    /// Make all probes of this configuration once, and print what each found and where the time went
    #[arg(long, value_name = "CONFIG")]
    pub(crate) once: Option<PathBuf>,
    /// Only those of this service, by its slug
    #[arg(value_name = "SERVICE", conflicts_with = "join")]
    pub(crate) service: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AtlasCommand {
    /// Build an atlas from MMDB or CSV files; what later files say wins, field by field
    #[command(
        after_help = "Example:\n  epicenter atlas build -o my.atlas GeoLite2-Country.mmdb GeoLite2-ASN.mmdb\n  epicenter investigate --atlas my.atlas capture.pcap\n\nCSV columns by header (start/end or network/cidr, country or country_code, asn, name), or without header:\nstart,end,country or start,end,asn,name."
    )]
    Build(BuildArgs),
    /// Show build date, digest, size, sources and their attribution
    Show(ShowArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClaimsCommand {
    /// Propose what a sentence says, by its words, for a person to confirm; prints TOML
    #[command(
        after_help = "Example:\n  epicenter claims propose \"IP addresses originating in the Ukraine area\" > claims.toml\n  epicenter investigate --claims claims.toml capture.pcap"
    )]
    Propose(ProposeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ProposeArgs {
    /// Sentences as they were said; `-` reads them from standard input, one a line
    #[arg(required = true, value_name = "SENTENCE")]
    pub(crate) sentences: Vec<String>,
}

/// How a case is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A page for people
    Text,
    /// epicenter.case/1, for programs
    Json,
    /// A report for a browser or a printer, in one file
    Html,
    /// The DDoS fingerprint of the NLADC anti-DDoS coalition
    Fingerprint,
    /// STIX 2.1 bundle, for threat intelligence platforms
    Stix,
    /// MISP event
    Misp,
    /// X-ARF 4 abuse reports, one a line for each network whose machines sent or were abused; never for forged addresses
    Xarf,
    /// DOTS telemetry (RFC 9244), one message a line for each incident
    Dots,
    /// The case and its evidence, in a folder or a tar that `verify` computes anew; needs -o
    Bundle,
}

/// How far what is shared may travel (Traffic Light Protocol 2.0, FIRST).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tlp {
    /// Everybody
    Clear,
    /// The community
    Green,
    /// The recipient's organization and its clients
    Amber,
    /// The recipient's organization
    #[value(name = "amber+strict")]
    AmberStrict,
    /// The recipient alone
    Red,
}

/// What the forms for other people's systems need to know beside the case.
#[derive(Debug, Args)]
#[command(next_help_heading = "For stix, misp, xarf and dots")]
pub(crate) struct ShareArgs {
    /// How far it may travel: the marking of stix and misp
    #[arg(long, value_enum, default_value = "amber")]
    pub(crate) tlp: Tlp,
    /// Who reports: your organization's name
    #[arg(long, value_name = "NAME", required_if_eq("format", "xarf"), value_parser = organization)]
    pub(crate) reporter_name: Option<String>,
    /// Where questions about a report go
    #[arg(long, value_name = "ADDRESS", required_if_eq("format", "xarf"), value_parser = email)]
    pub(crate) reporter_email: Option<String>,
    /// Your IANA Private Enterprise Number, under which dots numbers the attacks
    #[arg(long, value_name = "PEN", required_if_eq("format", "dots"))]
    pub(crate) vendor_id: Option<u32>,
}

/// X-ARF takes at most 200 characters.
fn organization(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("a name is needed".to_owned()),
        name if name.chars().count() > 200 || name.chars().any(char::is_control) => {
            Err("a name has at most 200 characters, on one line".to_owned())
        }
        name => Ok(name.to_owned()),
    }
}

/// An address at a host name: what mail systems take unquoted.
fn email(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let sound = text.rsplit_once('@').is_some_and(|(local, domain)| {
        let local_is = |c: char| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_`{|}~-".contains(c);
        !local.is_empty()
            && local.len() <= 64
            && local.chars().all(local_is)
            && domain.len() <= 253
            && domain.contains('.')
            && domain.split('.').all(is_label)
    });
    if sound {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no mail address (abuse@example.net)"))
    }
}

#[derive(Debug, Args)]
pub(crate) struct InvestigateArgs {
    /// Captures of packets or export packets, IPFIX files, problem reports and probe results (JSON lines); plain, gzip or zstd; `-` is
    /// standard input. Several make one case
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Only targets in this prefix; may be given several times
    #[arg(long, value_name = "CIDR")]
    pub(crate) network: Vec<atlas::Prefix>,
    /// What shows who normally uses the targets: captures or exports of quiet times, access logs, or what `listen --audience` learnt;
    /// may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) audience: Vec<PathBuf>,
    /// Where a service of the reports and probes is, as x=192.0.2.0/24; may be given several times
    #[arg(long, value_name = "NAME=CIDR", value_parser = service)]
    pub(crate) service: Vec<(String, atlas::Prefix)>,
    /// Statements to hold against the evidence: a TOML file (docs/claims.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) claims: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) exports: ExportArgs,
    #[command(flatten)]
    pub(crate) atlas: AtlasArgs,
    /// Threads to use, 1 or 2; the result is the same
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threads: u8,
    /// Exit with 3 when an attack was found
    #[arg(long)]
    pub(crate) fail_on_attack: bool,
    /// No progress bar, even on a terminal
    #[arg(long)]
    pub(crate) no_progress: bool,
    /// Captured packets are one of so many: for captures that were sampled when they were made
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) packet_sampling: u32,
    /// Write to this file instead of standard output; a bundle to this folder, or to a tar where the name ends with .tar
    #[arg(short, long, value_name = "FILE", required_if_eq("format", "bundle"))]
    pub(crate) output: Option<PathBuf>,
    // Last, since their headings are those of all options after them.
    #[command(flatten)]
    pub(crate) bundle: BundleArgs,
    #[command(flatten)]
    pub(crate) share: ShareArgs,
}

/// A service and its addresses.
fn service(text: &str) -> Result<(String, atlas::Prefix), String> {
    let (name, prefix) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("wanted is NAME=CIDR, as in x=192.0.2.0/24")?;
    Ok((name.to_owned(), prefix.parse()?))
}

/// How addresses are taken out of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Anonymize {
    /// To /24 (IPv4) and /48 (IPv6)
    Truncate,
    /// By pseudonyms under a key, which keep prefixes together
    Hash,
}

impl Anonymize {
    /// Its name in `settings.json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Anonymize::Truncate => "truncate",
            Anonymize::Hash => "hash",
        }
    }
}

/// What a bundle is made with.
#[derive(Debug, Args)]
#[command(next_help_heading = "Bundles (--format bundle)")]
pub(crate) struct BundleArgs {
    /// Bytes of evidence before compression at most (KiB, MiB, GiB); what does not fit is sampled
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = bytes)]
    pub(crate) evidence_limit: u64,
    /// Sign with this secret key (see `epicenter keys`, or minisign)
    #[arg(long, value_name = "FILE")]
    pub(crate) sign_key: Option<PathBuf>,
    /// Put this time-stamp token (RFC 3161) of the manifest beside it. The manifest of the same inputs and options is the same: make the
    /// bundle, have its manifest.json stamped, make it again with the token
    #[arg(long, value_name = "FILE")]
    pub(crate) timestamp_token: Option<PathBuf>,
    /// Replace addresses other than the targets', so that the bundle can be published
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) anonymize: Option<Anonymize>,
    /// Replace the targets' addresses as well
    #[arg(long, requires = "anonymize")]
    pub(crate) anonymize_targets: bool,
    /// Key of the pseudonyms: any file of 16 bytes or more that nobody else has. Drawn anew each time where it is not given
    #[arg(long, value_name = "FILE", requires = "anonymize")]
    pub(crate) anonymize_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Folder or tar that `investigate --format bundle` wrote
    #[arg(value_name = "BUNDLE")]
    pub(crate) bundle: PathBuf,
    /// Only with a signature by this key: a public key of minisign, or a file of one
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) public_key: Option<String>,
    /// Only with a time stamp by an authority whose certificate leads to a CA of this file (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) tsa_ca: Option<PathBuf>,
    /// The inputs themselves: their case is computed as well, and the evidence taken out of them again
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Bytes that are read at most, of the bundle and again of its evidence unpacked (KiB, MiB, GiB)
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = bytes)]
    pub(crate) limit: u64,
    /// Threads to use, 1 or 2; the result is the same
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threads: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key pair: a secret key that only you can read, and FILE.pub to publish
    New(KeysNewArgs),
    /// Show what a key file holds, never the secret
    Show(KeysShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeysNewArgs {
    /// Where the secret key goes; nothing may be there
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Guard it with a password, asked for at the terminal or taken from EPICENTER_KEY_PASSWORD
    #[arg(long)]
    pub(crate) password: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeysShowArgs {
    /// A secret or public key
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Scenario of the library (`simulate --list`), or a file
    #[arg(long, value_name = "SCENARIO", default_value = "march-10")]
    pub(crate) scenario: String,
    /// What is drawn at random
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Seconds that the day takes
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// As fast as it goes, and lines only: for machines
    #[arg(long)]
    pub(crate) headless: bool,
    /// Print the whole case at the end
    #[arg(long)]
    pub(crate) full: bool,
    /// Address and port of the pages; another port where that one is taken
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: std::net::SocketAddr,
}

/// How events are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventFormat {
    /// A few lines for people
    Text,
    /// epicenter.event/1: one JSON object a line
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// UDP port, or address and port, to listen on; may be given several times. A port alone is that of all addresses, IPv4 and IPv6
    #[arg(long, visible_alias = "port", value_name = "[ADDRESS:]PORT", default_values = ["2055", "4739", "6343"], value_parser = listen)]
    pub(crate) listen: Vec<std::net::SocketAddr>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: EventFormat,
    /// Only targets in this prefix; may be given several times
    #[arg(long, value_name = "CIDR")]
    pub(crate) network: Vec<atlas::Prefix>,
    /// Take export packets only from exporters in this prefix; may be given several times. Anybody can send a datagram in any name:
    /// a filter in front of the port is safer
    #[arg(long, value_name = "CIDR")]
    pub(crate) exporter: Vec<atlas::Prefix>,
    /// Keep the raw export packets in this directory, as a ring of pcap files that `investigate` reads
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// Size of the ring: bytes, or with KiB, MiB, GiB, TiB
    #[arg(long, value_name = "SIZE", default_value = "10GiB", value_parser = size, requires = "record")]
    pub(crate) record_size: u64,
    /// Keep in this file who uses which service at which hour, so that an attack is held against the same hours of the past four
    /// weeks; `investigate --audience` takes the file too. Learnt in any case, and lost at the end without this
    #[arg(long, value_name = "FILE")]
    pub(crate) audience: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) exports: ExportArgs,
    #[command(flatten)]
    pub(crate) atlas: AtlasArgs,
    /// Threads that receive; one more decodes and judges. As many as processors by default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) threads: Option<u8>,
    /// Seconds between lines on standard error that say what arrives; 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) status: u64,
    /// End after so many seconds
    #[arg(long = "for", value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The settings: a TOML file; epicenter.toml in this folder where none is named
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address and port of the pages, in place of the one in the settings
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// The data file, in place of the one in the settings
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) atlas: AtlasArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// The file of Uptime Kuma's export, or its list of monitors (JSON)
    UptimeKuma(ImportArgs),
    /// The configuration of Gatus (YAML)
    Gatus(ImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The data file
    #[arg(value_name = "FILE.db")]
    pub(crate) from: PathBuf,
    /// Where the copy goes; nothing may be there yet
    #[arg(value_name = "TO.db")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Go through all entries, and print how many there are and the hash of the last one
    Verify(JournalArgs),
}

#[derive(Debug, Args)]
pub(crate) struct JournalArgs {
    /// The data file; `serve` may run meanwhile
    #[arg(value_name = "FILE.db")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// The settings: a TOML file; epicenter.toml in this folder where none is named
    #[arg(value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Say whether it is sound, and nothing else
    #[arg(long, conflicts_with = "show")]
    pub(crate) check: bool,
    /// Print all settings in force, with what each means
    #[arg(long)]
    pub(crate) show: bool,
}

/// Which tracker's data.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    /// The settings: a TOML file; epicenter.toml in this folder where none is named
    #[arg(long, short, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The data file, in place of the one in the settings
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
}

/// Where a password comes from.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from the first line of standard input, not from the terminal
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Let somebody sign in; asks for a password
    Add(UserAddArgs),
    /// Show who may sign in
    List(DataArgs),
    /// Let somebody sign in no more, and end their sessions
    Remove(NamedArgs),
    /// Set a password, and end the sessions of the old one
    Password(UserPasswordArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UserAddArgs {
    /// Their name: small letters, digits and . - _ @
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What they may do: a viewer reads, an operator reads and does
    #[arg(long, value_enum)]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UserPasswordArgs {
    /// Whose
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) password: PasswordArgs,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NamedArgs {
    /// Which
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and print it this once
    Add(TokenAddArgs),
    /// Show the tokens in force, never what they open with
    List(DataArgs),
    /// Take a token out of force
    Revoke(NamedArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TokenAddArgs {
    /// What it is called in the journal
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// What it is good for; may be given several times
    #[arg(long, value_enum, required = true)]
    pub(crate) scope: Vec<Scope>,
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
pub(crate) struct NotifyArgs {
    /// The settings whose receivers are told: a TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) test: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Name of a scenario of the library, or a TOML file
    #[arg(value_name = "SCENARIO", required_unless_present = "list")]
    pub(crate) scenario: Option<String>,
    /// Show the scenarios of the library
    #[arg(long)]
    pub(crate) list: bool,
    /// Show the scenario itself, to begin one of your own
    #[arg(long)]
    pub(crate) show: bool,
    /// What is drawn at random; the same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Also what exporters would send of it: SCENARIO-SEED.FORMAT.pcap; several with commas
    #[arg(long, value_enum, value_name = "FORMAT", value_delimiter = ',')]
    pub(crate) export: Vec<ExportFormat>,
    /// The exporters look at one packet of N, whatever the scenario says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_383))]
    pub(crate) sampling: Option<u32>,
    /// So many exporters share the traffic, the clock of each half a second ahead of the one before, whatever the scenario says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=200))]
    pub(crate) exporters: Option<u8>,
    /// The same as --export netflow5 --sampling N
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "1", value_parser = clap::value_parser!(u32).range(1..=16_383))]
    pub(crate) netflow5: Option<u32>,
    /// Send the exports to a collector that listens there, as time goes by, instead of writing captures; NetFlow v9 by default
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) live: Option<std::net::SocketAddr>,
    /// So many times as fast as it happens, from 0.1 to 1000
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = speed, requires = "live")]
    pub(crate) speed: f64,
    /// Also the access log of the servers, SCENARIO-SEED.access.log
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log: Option<LogFormat>,
    /// Directory for SCENARIO-SEED.pcap, SCENARIO-SEED.truth.json and what else the scenario has: reports, probes, claims
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) output: PathBuf,
}

/// Forms of export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// NetFlow v5, without IPv6
    #[value(alias = "v5")]
    Netflow5,
    /// NetFlow v9
    #[value(alias = "v9")]
    Netflow9,
    /// IPFIX
    Ipfix,
    /// sFlow v5
    Sflow,
}

/// A speed of `simulate --live`.
fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    if (0.1..=1_000.0).contains(&speed) {
        Ok(speed)
    } else {
        Err("not from 0.1 to 1000".to_owned())
    }
}

/// Lines of an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// The combined log format of the Apache HTTP server
    Combined,
    /// One JSON object a line
    Json,
}

/// How a score is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScoreFormat {
    /// Lines for people
    Text,
    /// One JSON object
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    /// What `investigate --format json` printed
    #[arg(value_name = "CASE")]
    pub(crate) case: PathBuf,
    /// The truth that `simulate` wrote
    #[arg(value_name = "TRUTH")]
    pub(crate) truth: PathBuf,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: ScoreFormat,
}

/// How changes are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DetectFormat {
    /// Incidents and a line of the series, for people
    Text,
    /// epicenter.detection/1: incidents and every step, for programs
    Json,
    /// One row a step: timestamp, value, expected, low, high, score, state
    Csv,
    /// A page with a picture of each series
    Html,
}

/// What values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// Counts where all are whole numbers and none is negative, else a metric
    Auto,
    /// How often something happened in each step: reports, requests, clients
    Count,
    /// Any number: latency, share, bits per second
    Metric,
}

/// Which way it may go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SideArg {
    /// Too much
    Up,
    /// Too little
    Down,
    /// Either
    Both,
}

#[derive(Debug, Args)]
pub(crate) struct DetectArgs {
    /// CSV files of `timestamp,value`, or with one column for each of several series; plain, gzip or zstd; `-` is standard input
    #[arg(required = true, value_name = "SERIES")]
    pub(crate) series: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: DetectFormat,
    /// What the values are
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) kind: KindArg,
    /// Which way it may go wrong
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) side: SideArg,
    /// False incidents allowed for each series of counts: a number for each day, week, month or year
    #[arg(long, value_name = "N/TIME", default_value = "1/year", value_parser = budget)]
    pub(crate) budget: f64,
    /// Length of a step: seconds, or with s, m, h, d; by default the most frequent distance of the rows
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) step: Option<f64>,
    /// Threads to use; the result is the same
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threads: u8,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// A budget as false incidents a day.
fn budget(text: &str) -> Result<f64, String> {
    let (number, time) = text.split_once('/').unwrap_or((text, "year"));
    let days = match time.trim() {
        "day" | "d" => 1.0,
        "week" | "w" => 7.0,
        "month" => 365.0 / 12.0,
        "year" | "y" => 365.0,
        other => return Err(format!("{other:?} is none of day, week, month, year")),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number / days),
        _ => Err(format!("{number:?} is no number above zero")),
    }
}

/// Seconds.
fn duration(text: &str) -> Result<f64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].trim() {
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        unit => return Err(format!("{unit:?} is no unit: s, m, h, d")),
    };
    match digits.trim().parse::<f64>() {
        Ok(number) if number > 0.0 && (number * unit).is_finite() => Ok(number * unit),
        _ => Err(format!("{text:?} is no time above zero")),
    }
}

fn listen(text: &str) -> Result<std::net::SocketAddr, String> {
    let port = text
        .parse()
        .map(|port: u16| (std::net::Ipv6Addr::UNSPECIFIED, port).into());
    port.or_else(|_| text.parse()).map_err(|_| {
        format!("{text:?} is no port and no address with a port (192.0.2.1:2055, [2001:db8::1]:2055)")
    })
}

/// Bytes of a ring.
fn size(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        ..=0xf_ffff => Err("a ring needs 1 MiB at least".to_owned()),
        bytes => Ok(bytes),
    }
}

/// A number of bytes.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "" | "B" => 0,
        "KiB" | "K" => 10,
        "MiB" | "M" => 20,
        "GiB" | "G" => 30,
        "TiB" | "T" => 40,
        unit => return Err(format!("{unit:?} is no unit: KiB, MiB, GiB or TiB")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is no size"))?;
    number
        .checked_mul(1 << unit)
        .ok_or_else(|| format!("{text:?} is too large"))
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DecodeFormat {
    /// One JSON object a line, with what is known of the record
    Json,
    /// Comma-separated values with a header line
    Csv,
    /// One JSON object for every 65,536 records, with an array for each field: columns of one type, as Parquet wants them
    Columns,
}

#[derive(Debug, Args)]
pub(crate) struct DecodeArgs {
    /// Captures, IPFIX files, bare export messages; `-` is standard input. Templates of one are known to the next
    #[arg(value_name = "INPUT", required_unless_present = "list_fields")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) format: DecodeFormat,
    /// Only these fields, in this order
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(crate) fields: Vec<String>,
    /// Show all fields with the IANA element that each holds
    #[arg(long)]
    pub(crate) list_fields: bool,
    #[command(flatten)]
    pub(crate) exports: ExportArgs,
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What is said about exporters from outside.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Sampling rate, one of N packets, of one exporter or of all; it wins over what exporters say. May be given several times
    #[arg(long, value_name = "[EXPORTER=]N", value_parser = rate)]
    pub(crate) sampling: Vec<(Option<std::net::IpAddr>, u32)>,
    /// Templates and sampling rates known from before, as `listen` keeps them
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
}

impl ExportArgs {
    /// A collector that knows what was said.
    pub(crate) fn collector(&self) -> anyhow::Result<wire::Collector> {
        let mut collector = wire::Collector::new();
        for &(exporter, rate) in &self.sampling {
            collector.set_rate(exporter.map(mapped), rate);
        }
        if let (Some(saved), Some(path)) = (self.saved()?, &self.state)
            && !collector.load(&saved, 0)
        {
            anyhow::bail!("{}: not a state of exporters, or damaged", path.display());
        }
        Ok(collector)
    }

    /// The state that was named, `None` where there is none yet.
    pub(crate) fn saved(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(path) = &self.state else { return Ok(None) };
        match std::fs::read(path) {
            Ok(saved) => Ok(Some(saved)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(anyhow::Error::new(error).context(path.display().to_string())),
        }
    }
}

pub(crate) fn mapped(address: std::net::IpAddr) -> std::net::Ipv6Addr {
    match address {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        std::net::IpAddr::V6(v6) => v6,
    }
}

fn rate(text: &str) -> Result<(Option<std::net::IpAddr>, u32), String> {
    let (exporter, rate) = match text.split_once('=') {
        Some((exporter, rate)) => {
            let exporter = exporter
                .parse()
                .map_err(|_| format!("{exporter:?} is no address"))?;
            (Some(exporter), rate)
        }
        None => (None, text),
    };
    match rate.parse() {
        Ok(rate @ 1..) => Ok((exporter, rate)),
        _ => Err(format!("{rate:?} is no rate: a whole number, 1 or more")),
    }
}

#[derive(Debug, Args)]
pub(crate) struct AtlasArgs {
    /// Address database to use instead of the one inside the program
    #[arg(long, value_name = "FILE")]
    pub(crate) atlas: Option<PathBuf>,
    /// Your own prefixes with a kind, one `PREFIX KIND` a line (kinds: access, mobile, hosting, proxy, tor, satellite, anycast)
    #[arg(long, value_name = "FILE")]
    pub(crate) kinds: Vec<PathBuf>,
}

/// How places are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LookupFormat {
    /// A table
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct LookupArgs {
    /// Addresses; `-` reads them from standard input, one a line
    #[arg(value_name = "IP", required_unless_present = "file")]
    pub(crate) addresses: Vec<String>,
    /// Read addresses from this file, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: LookupFormat,
    #[command(flatten)]
    pub(crate) atlas: AtlasArgs,
}

#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// MMDB files (MaxMind, DB-IP, IPinfo layouts) or CSV files
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<PathBuf>,
    /// Where to write the atlas
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Day of the newest source; by default taken from the MMDB files
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) built: Option<String>,
    /// A line of attribution that a source asks for; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) attribution: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Atlas file; the one inside the program when absent
    pub(crate) file: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn mail_addresses_are_held_against_their_form() {
        for good in ["abuse@example.net", "first.last+tag@sub.example-2.org"] {
            assert_eq!(super::email(good).as_deref(), Ok(good));
        }
        for bad in [
            "abuse",
            "@example.net",
            "a b@example.net",
            "a@example",
            "a@-x.net",
            "a@x..net",
            "a@x.net\n",
            "",
        ] {
            assert!(super::email(bad).is_err(), "{bad:?}");
        }
    }
}
