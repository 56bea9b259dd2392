//! The house: the command line, and everything that reads, shows and tells.
//!
//! This is the only crate with files, sockets, threads, a clock and a terminal. `main` maps what became of a command to an exit code:
//! 0 done, 1 an input could not be read at all, 2 usage, 3 an attack was found and `--fail-on-attack` was given.

mod args;
mod audience;
mod bundle;
mod case_html;
mod case_json;
mod case_text;
mod chart;
mod claim_html;
mod claims;
mod decode;
mod demo;
mod detect;
mod detection;
mod dots;
mod drill;
mod evidence;
mod fingerprint;
mod input;
mod investigate;
mod keys;
mod listen;
mod lookup;
mod misp;
mod origin;
mod outage_html;
mod outages;
mod page;
mod plot;
mod pseudonym;
mod record;
mod series;
mod serve;
mod signals;
mod simulate;
mod socket;
mod sources;
mod stix;
mod timestamp;
mod verify;
mod world;
mod xarf;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{AtlasCommand, ClaimsCommand, Cli, Command, JournalCommand, KeysCommand};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(code) => code,
        // Whoever reads the output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("{error:#}"));
            ExitCode::from(1)
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Investigate(args) => investigate::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Keys(KeysCommand::New(args)) => keys::new(&args),
        Command::Keys(KeysCommand::Show(args)) => keys::show(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Listen(args) => listen::run(&args),
        Command::Serve(args) => serve::server::run(&args),
        Command::Config(args) => serve::server::show(&args),
        Command::Import(command) => serve::import::run(&command),
        Command::Backup(args) => serve::backup::backup(&args),
        Command::Journal(JournalCommand::Verify(args)) => serve::backup::verify(&args),
        Command::Probe(args) => serve::probe::agent::run(&args),
        Command::User(command) => serve::console::command::user(&command),
        Command::Token(command) => serve::console::command::token(&command),
        Command::Notify(args) => serve::notify::test(&args),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Score(args) => simulate::run_score(&args),
        Command::Detect(args) => detect::run(&args),
        Command::Decode(args) => decode::run(&args),
        Command::Lookup(args) => lookup::lookup(&args),
        Command::Claims(ClaimsCommand::Propose(args)) => claims::propose(&args),
        Command::Atlas(AtlasCommand::Build(args)) => lookup::build(&args),
        Command::Atlas(AtlasCommand::Show(args)) => lookup::show(&args),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "epicenter", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man => {
            clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// One line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "this is where the program speaks to people")]
fn tell(line: &str) {
    eprintln!("epicenter: {line}");
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
