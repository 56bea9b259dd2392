//! What cargo cannot do: set-up, the tests in one command, building the atlas, benchmarks, and keeping the house tidy.
//!
//! ```text
//! cargo xtask test              everything that must pass, with its own set-up
//! cargo xtask atlas             the address snapshot inside the program, anew from its npm packages
//! cargo xtask map               the world map inside the program, anew from its npm packages
//! cargo xtask bench [--rivals]  the speed questions (see docs/bench.md)
//! cargo xtask deb               the Debian package, in target/
//! cargo xtask score [SEEDS]     how right cases are, over simulated incidents with known truth; 3 seeds by default
//! ```
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is a program for people at a terminal"
)]

mod atlas;
mod bench;
mod deb;
mod map;
mod npm;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test"] => test(),
        ["tidy"] => tidy::check(&root()),
        ["atlas"] => atlas::build(&root()),
        ["map"] => map::build(&root()),
        ["deb"] => deb::build(&root()),
        ["bench"] => bench::run(&root(), false),
        ["bench", "--rivals"] => bench::run(&root(), true),
        ["score"] => score(&root(), "3"),
        ["score", seeds] => score(&root(), seeds),
        _ => Err(
            "usage: cargo xtask test | tidy | atlas | map | deb | bench [--rivals] | score [SEEDS]"
                .to_owned(),
        ),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Cases of the range's library against their truth: the table of `bench/record/score.txt`.
fn score(root: &Path, seeds: &str) -> Result<(), String> {
    run(Command::new("cargo")
        .args(["build", "--release", "--quiet", "-p", "epicenter", "-p", "bench"])
        .current_dir(root))?;
    run(Command::new(root.join("target/release/bench"))
        .arg("score")
        .arg(root.join("target/release/epicenter"))
        .arg(seeds))
}

/// Everything that must pass.
fn test() -> Result<(), String> {
    c_compiler()?;
    browser()?;
    tidy::check(&root())?;
    run(Command::new("cargo")
        .args(["test", "--workspace", "--no-fail-fast"])
        .current_dir(root()))
}

/// Pages are tested in a real browser. Where there is none it is installed, if that is possible here, or named; without it those tests
/// are passed over, but not under CI.
fn browser() -> Result<(), String> {
    let works = |name: &str| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if works("chromedriver") {
        return Ok(());
    }
    let missing = "chromedriver is missing: pages are not tested in a browser (Debian: apt-get install chromium chromium-driver)";
    let installed = works("apt-get") && {
        println!("installing chromium and chromium-driver");
        let install = || run(Command::new("apt-get").args(["install", "-y", "chromium", "chromium-driver"]));
        // Lists of packages may be old, or not there yet.
        install()
            .or_else(|_| run(Command::new("apt-get").arg("update")).and_then(|()| install()))
            .is_ok()
    };
    if installed {
        return Ok(());
    }
    if std::env::var_os("CI").is_some() {
        return Err(missing.to_owned());
    }
    println!("{missing}");
    Ok(())
}

/// zstd is compiled from C. Where there is no compiler it is installed, if that is possible here, or named.
fn c_compiler() -> Result<(), String> {
    let works = |name: &str| {
        Command::new(name)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if ["cc", "gcc", "clang"].iter().any(|name| works(name)) {
        return Ok(());
    }
    let missing = "a C compiler is missing: install gcc or clang (Debian: apt-get install build-essential)";
    if !works("apt-get") {
        return Err(missing.to_owned());
    }
    println!("installing build-essential");
    run(Command::new("apt-get").args(["install", "-y", "build-essential"])).map_err(|_| missing.to_owned())
}

/// Runs a command to its end; an error names it.
fn run(command: &mut Command) -> Result<(), String> {
    let shown = format!("{command:?}");
    let status = command.status().map_err(|error| format!("{shown}: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{shown} failed ({status})"))
    }
}
