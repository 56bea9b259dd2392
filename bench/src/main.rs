//! The questions that speed is measured by. Each checks the answer before it counts the time, and puts the rivals beside us in the
//! same run, so that what is quoted is a ratio and not a machine.
//!
//! ```text
//! bench generate mixed|forged PACKETS FILE     a capture with known truth
//! bench export netflow5|netflow9|ipfix|sflow RECORDS FILE     export packets with known truth
//! bench investigate EPICENTER FILE...          whole runs of `epicenter investigate`, one and two threads
//! bench send FILE PORT MESSAGES_PER_S          the messages of an export file to a UDP port on loopback
//! bench live EPICENTER MESSAGES_PER_S FILE...         the same to `epicenter listen`: what it takes and what is lost
//! bench calibrate full|small         the change detector on simulated services: false incidents, delays (bench/record/calibration*.txt)
//! bench score EPICENTER SEEDS         cases of the range's library against their truth (bench/record/score.txt)
//! bench detect-speed         its steps a second
//! bench trace SOURCES                          where an attack of so many sources came from: milliseconds, one thread
//! bench serve EPICENTER bench/wrk              reports and pages a second of the tracker, by wrk (bench/record/serve.txt)
//! bench lookup COUNTRY.mmdb                    address lookup against the maxminddb crate
//! ```
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

mod calibrate;
mod exports;
mod generate;
mod investigate;
mod live;
mod lookup;
mod score;
mod send;
mod serve;
mod trace;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["generate", kind, packets, file] => generate::run(kind, packets.parse()?, file),
        ["export", format, records, file] => exports::run(format, records.parse()?, file),
        ["investigate", program, files @ ..] if !files.is_empty() => investigate::run(program, files),
        ["send", file, port, rate] => send::run(file, port.parse()?, rate.parse()?),
        ["live", program, rate, files @ ..] if !files.is_empty() => live::run(program, rate.parse()?, files),
        ["calibrate", size] => {
            let size = if *size == "small" {
                calibrate::Size::SMALL
            } else {
                calibrate::Size::FULL
            };
            print!("{}", calibrate::table(size));
            Ok(())
        }
        ["score", program, seeds] => score::run(program, seeds.parse()?),
        ["detect-speed"] => {
            println!("{}", calibrate::speed());
            Ok(())
        }
        ["trace", sources] => trace::run(sources.parse()?),
        ["serve", program, scripts] => serve::run(program, scripts),
        ["lookup", country] => lookup::run(country),
        _ => anyhow::bail!(
            "usage: bench generate mixed|forged PACKETS FILE | export FORMAT RECORDS FILE | investigate PROGRAM FILE... | send FILE PORT MESSAGES_PER_S | live PROGRAM MESSAGES_PER_S FILE... | calibrate full|small | score PROGRAM SEEDS | detect-speed | trace SOURCES | serve PROGRAM SCRIPTS | lookup COUNTRY.mmdb"
        ),
    }
}
