//! The command line, as it is written. The man page and the shells' completions are made from these definitions.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
        after_help = "Examples:\n  epicenter investigate capture.pcap\n  epicenter investigate monday.pcapng.gz tuesday.pcapng.zst --format json -o case.json\n  tcpdump -c 100000 -w - | epicenter investigate -\n  epicenter investigate --network 203.0.113.0/24 --fail-on-attack capture.pcap"
    )]
    Investigate(InvestigateArgs),
    /// Say who an address is: country, network, prefix, kind, announced or not
    #[command(
        after_help = "Examples:\n  epicenter lookup 8.8.8.8 2606:4700::1111\n  epicenter lookup --format json --file addresses.txt\n  cut -f1 log | epicenter lookup -"
    )]
    Lookup(LookupArgs),
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

/// How a case is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A page for people
    Text,
    /// epicenter.case/1, for programs
    Json,
    /// The DDoS fingerprint of the NLADC anti-DDoS coalition
    Fingerprint,
}

#[derive(Debug, Args)]
pub(crate) struct InvestigateArgs {
    /// Captures: pcap or pcapng, plain, gzip or zstd; `-` is standard input. Several make one case
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Form of the output
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) format: Format,
    /// Only targets in this prefix; may be given several times
    #[arg(long, value_name = "CIDR")]
    pub(crate) network: Vec<atlas::Prefix>,
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
    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
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
}
