//! Evidence that a stranger recomputes: bundles, damage to them, keys, and what can be published.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::{case, code, epicenter, err, out};

/// A folder with a small simulated flood: packets, and what a router exports of them.
fn drill() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = epicenter(
        folder.path(),
        &["simulate", "botnet-udp", "--netflow5", "--seed", "3", "-o", "."],
    );
    assert_eq!(code(&made), 0, "{}", err(&made));
    std::fs::rename(
        folder.path().join("botnet-udp-3.pcap"),
        folder.path().join("packets.pcap"),
    )
    .unwrap();
    std::fs::rename(
        folder.path().join("botnet-udp-3.netflow5.pcap"),
        folder.path().join("flows.pcap"),
    )
    .unwrap();
    folder
}

fn bundle(folder: &Path, args: &[&str]) {
    let made = epicenter(folder, &[&["investigate", "--format", "bundle"], args].concat());
    assert_eq!(code(&made), 0, "{args:?}: {}", err(&made));
}

/// What `verify` answers: its exit code, what it says, what it complains of.
fn verify(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = epicenter(folder, &[&["verify"], args].concat());
    (code(&output), out(&output), err(&output))
}

/// The files of a tar by name, as another reader has them.
fn files(tar: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(std::fs::File::open(tar).unwrap());
    archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            (name, bytes)
        })
        .collect()
}

/// An entry of a tar as bytes: any name, kind, size and content, true or not.
fn entry(name: &[u8], kind: u8, size: u64, link: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::new(kind));
    if !link.is_empty() {
        header.set_link_name(link).unwrap();
    }
    header.set_cksum();
    let mut entry = header.as_bytes().to_vec();
    entry.extend_from_slice(bytes);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

/// A tar of entries.
fn tar_of(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = entries.concat();
    tar.resize(tar.len() + 1_024, 0);
    tar
}

fn plain(name: &str, bytes: &[u8]) -> Vec<u8> {
    entry(name.as_bytes(), b'0', bytes.len() as u64, "", bytes)
}

/// The case without its inputs and engine: what evidence has to give again.
fn essence(case: &serde_json::Value) -> serde_json::Value {
    let mut case = case.clone();
    case["inputs"].take();
    case["engine"].take();
    case
}

#[test]
fn a_stranger_computes_the_same_case() {
    let folder = drill();
    let folder = folder.path();
    for (input, name) in [("packets.pcap", "p"), ("flows.pcap", "f")] {
        let (tar, again, whole) = (
            format!("{name}.tar"),
            format!("{name}2.tar"),
            format!("{name}-folder"),
        );
        bundle(folder, &["-o", &tar, input]);
        bundle(folder, &["-o", &again, "--threads", "1", input]);
        bundle(folder, &["-o", &whole, input]);
        assert!(
            std::fs::read(folder.join(&tar)).unwrap() == std::fs::read(folder.join(&again)).unwrap(),
            "the same input twice gives the same bytes"
        );
        for bundle in [&tar, &whole] {
            let (code, says, complains) = verify(folder, &[bundle, "--inputs", input]);
            assert_eq!(code, 0, "{says}{complains}");
            for line in [
                "signature   none",
                "complete",
                "computed from the evidence: the same",
                "computed from the whole inputs: the same",
                "the evidence is what its design takes out of them",
                "result      holds",
            ] {
                assert!(says.contains(line), "{line}: {says}");
            }
        }
        // The case is that of the input, and the evidence is much smaller than the packets.
        let direct = epicenter(folder, &["investigate", "--format", "json", input]);
        let files = files(&folder.join(&tar));
        let of = |name: &str| -> serde_json::Value { serde_json::from_slice(&files[name]).unwrap() };
        assert_eq!(essence(&of("case.json")), essence(&case(&direct)));
        assert_eq!(files["case-of-inputs.json"], direct.stdout);
        assert_eq!(of("settings.json")["evidence"]["same_as_inputs"], true);
        assert!(!of("case.json")["incidents"].as_array().unwrap().is_empty());
        // Other inputs are told from the right ones.
        let other = if name == "p" { "flows.pcap" } else { "packets.pcap" };
        let (code, says, _) = verify(folder, &[&tar, "--inputs", other]);
        assert_eq!(code, 1);
        assert!(
            says.contains("is none of the inputs") && says.contains("was not given"),
            "{says}"
        );
    }
    // Nothing is overwritten, and nothing half-made is left.
    let twice = epicenter(
        folder,
        &["investigate", "--format", "bundle", "-o", "p.tar", "packets.pcap"],
    );
    assert_eq!(code(&twice), 1);
    assert!(err(&twice).contains("is there already"));
    assert!(
        std::fs::read_dir(folder).unwrap().all(|entry| !entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .contains(".part"))
    );
    let nowhere = epicenter(folder, &["investigate", "--format", "bundle", "packets.pcap"]);
    assert_eq!(code(&nowhere), 2);
    let misplaced = epicenter(folder, &["investigate", "--sign-key", "k", "packets.pcap"]);
    assert_eq!(code(&misplaced), 2);
    let pipe = epicenter(folder, &["investigate", "--format", "bundle", "-o", "x.tar", "-"]);
    assert_eq!(code(&pipe), 1);
    assert!(err(&pipe).contains("inputs that are files"), "{}", err(&pipe));
}

#[test]
fn every_option_that_decides_the_case_goes_along() {
    let folder = drill();
    let folder = folder.path();
    let target = case(&epicenter(
        folder,
        &["investigate", "--format", "json", "packets.pcap"],
    ))["incidents"][0]["target"]["prefix"]
        .as_str()
        .unwrap()
        .to_owned();
    std::fs::write(folder.join("kinds"), "0.0.0.0/0 tor # all of it\n").unwrap();
    let options = [
        "--network",
        &target,
        "--kinds",
        "kinds",
        "--packet-sampling",
        "3",
        "--sampling",
        "5",
    ];
    bundle(
        folder,
        &[&["-o", "o.tar", "packets.pcap", "flows.pcap"], &options[..]].concat(),
    );
    std::fs::remove_file(folder.join("kinds")).unwrap();
    let (code, says, complains) = verify(folder, &["o.tar", "--inputs", "flows.pcap", "packets.pcap"]);
    assert_eq!(code, 0, "{says}{complains}");
    let files = files(&folder.join("o.tar"));
    assert!(files.contains_key("evidence/1.pcapng.zst") && files.contains_key("evidence/2.pcapng.zst"));
    let case: serde_json::Value = serde_json::from_slice(&files["case.json"]).unwrap();
    assert_eq!(case["incidents"][0]["sources"]["kinds"][0]["kind"], "tor");
    assert_eq!(
        case["inputs"][0]["packets"],
        case["inputs"][0]["records"].as_u64().unwrap() * 3
    );
    assert_eq!(case["exporters"][0]["sampling"], 5);
}

#[test]
fn what_does_not_fit_is_sampled_by_a_rule_that_nobody_chose() {
    let folder = drill();
    let folder = folder.path();
    bundle(
        folder,
        &["-o", "s.tar", "--evidence-limit", "512KiB", "packets.pcap"],
    );
    let (code, says, complains) = verify(folder, &["s.tar", "--inputs", "packets.pcap"]);
    assert_eq!(code, 0, "{says}{complains}");
    assert!(says.contains("a sample, one packet in"), "{says}");
    let files = files(&folder.join("s.tar"));
    let of = |name: &str| -> serde_json::Value { serde_json::from_slice(&files[name]).unwrap() };
    let settings = of("settings.json");
    let one_in = settings["evidence"]["sample"]["one_in"].as_f64().unwrap();
    assert!(settings["evidence"]["files"][0]["bytes"].as_u64().unwrap() <= 512 << 10);
    assert!(one_in >= 2.0);
    let (sample, whole) = (of("case.json"), of("case-of-inputs.json"));
    let packets = |case: &serde_json::Value| case["incidents"][0]["total"]["packets"].as_f64().unwrap();
    let ratio = packets(&sample) / packets(&whole);
    assert!((0.9..1.1).contains(&ratio), "an estimate of the same: {ratio}");
    // Another seed, or one in another number, is not what the inputs give.
    bundle(folder, &["-o", "s", "--evidence-limit", "512KiB", "packets.pcap"]);
    let path = folder.join("s/settings.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let seed = settings["evidence"]["sample"]["seed"].as_str().unwrap();
    std::fs::write(&path, text.replace(seed, "0123456789abcdef")).unwrap();
    let (code, says, _) = verify(folder, &["s", "--inputs", "packets.pcap"]);
    assert_eq!(code, 1);
    assert!(
        says.contains("the seed of the sample is not that of the inputs"),
        "{says}"
    );
    assert!(
        says.contains("is not what its design takes out of the inputs"),
        "{says}"
    );
    // Export messages are not sampled: that is said, with the size that would do.
    let flows = epicenter(
        folder,
        &[
            "investigate",
            "--format",
            "bundle",
            "-o",
            "f.tar",
            "--evidence-limit",
            "100KiB",
            "flows.pcap",
        ],
    );
    assert_eq!(crate::code(&flows), 1);
    assert!(err(&flows).contains("give --evidence-limit"), "{}", err(&flows));
}

#[test]
fn every_damage_is_found_and_named() {
    let folder = drill();
    let folder = folder.path();
    bundle(folder, &["-o", "good.tar", "flows.pcap"]);
    let good = std::fs::read(folder.join("good.tar")).unwrap();
    let files = files(&folder.join("good.tar"));
    let answer = |bytes: &[u8]| {
        std::fs::write(folder.join("bad.tar"), bytes).unwrap();
        let before = listing(folder);
        let (code, says, complains) = verify(folder, &["bad.tar"]);
        assert_eq!(listing(folder), before, "nothing is written");
        assert_eq!(code, 1, "{says}{complains}");
        says + &complains
    };
    let entries = |change: &dyn Fn(&str, &mut Vec<u8>)| -> Vec<Vec<u8>> {
        files
            .iter()
            .map(|(name, bytes)| {
                let mut bytes = bytes.clone();
                change(name, &mut bytes);
                plain(name, &bytes)
            })
            .collect()
    };
    let flip = |which: &'static str, at: usize| {
        tar_of(&entries(&|name, bytes| {
            if name == which {
                bytes[at] ^= 1;
            }
        }))
    };
    // The tar that is put together here is a good one.
    std::fs::write(folder.join("same.tar"), tar_of(&entries(&|_, _| {}))).unwrap();
    assert_eq!(verify(folder, &["same.tar"]).0, 0);

    // A bit, in every file.
    for name in files.keys() {
        let name: &'static str = Box::leak(name.clone().into_boxed_str());
        let says = answer(&flip(name, files[name].len() / 2));
        assert!(says.contains(&format!("WRONG       {name}:")), "{name}: {says}");
    }
    // A number of the case is named by its path, whatever the manifest says.
    let text = String::from_utf8(files["case.json"].clone()).unwrap();
    let at = text.find("\"distinct\": ").unwrap() + 12;
    // Its last digit: a zero in front would be no JSON.
    let at = at + text[at..].find([',', '\n']).unwrap() - 1;
    let says = answer(&flip("case.json", at));
    assert!(
        says.contains("it differs at $.incidents[0].") && says.contains("distinct"),
        "{says}"
    );

    // Cut anywhere: between entries, inside one, inside a header.
    for at in [100, 512, 700, good.len() / 2, good.len() - 2_000] {
        let says = answer(&good[..at]);
        assert!(
            says.contains("DOES NOT HOLD") || says.contains("does not hold"),
            "{at}: {says}"
        );
    }
    // In another order, twice, one more, one less.
    let all = entries(&|_, _| {});
    let mut turned = all.clone();
    turned.swap(1, 2);
    assert!(answer(&tar_of(&turned)).contains("sorted by name"));
    let mut twice = all.clone();
    twice.insert(1, twice[0].clone());
    assert!(answer(&tar_of(&twice)).contains("README.txt: is there twice"));
    let mut more = all.clone();
    more.push(plain("zz.txt", b"more"));
    assert!(answer(&tar_of(&more)).contains("zz.txt: is not in the manifest"));
    assert!(answer(&tar_of(&all[1..])).contains("README.txt: is missing"));
    let mut behind = tar_of(&all);
    behind.extend(b"and more");
    assert!(answer(&behind).contains("behind the end"));
    // Names that lead elsewhere, and entries that are no files.
    for (name, kind, link, says) in [
        (&b"../x"[..], b'0', "", "\"../x\": is no name"),
        (b"/etc/x", b'0', "", "\"/etc/x\": is no name"),
        (b"a/../../x", b'0', "", "is no name"),
        (b"zz/\xff", b'0', "", "is no name"),
        (b"zz", b'2', "/etc/passwd", "zz: is a link"),
        (b"zz", b'1', "case.json", "zz: is a link"),
        (b"zz", b'5', "", "zz: is a link, a folder"),
        (b"zz", b'3', "", "zz: is a link, a folder or a device"),
        (b"zz", b'L', "", "zz: is a link"),
        (b"zz", b'x', "", "zz: is a link"),
    ] {
        let mut odd = all.clone();
        odd.push(entry(name, kind, 0, link, b""));
        let found = answer(&tar_of(&odd));
        assert!(found.contains(says), "{says}: {found}");
    }
    // A size that is not there, and one that is more than is read.
    let mut huge = all.clone();
    huge.push(entry(b"zz", b'0', 1 << 60, "", b"few"));
    assert!(answer(&tar_of(&huge)).contains("zz: has 1152921504606846976 bytes, which is more than --limit"));
    let mut cut = all.clone();
    cut.push(entry(b"zz", b'0', 100_000, "", b"few"));
    assert!(answer(&tar_of(&cut)).contains("zz: is cut"));
    // No tar at all.
    assert!(answer(b"no tar").contains("bad.tar: does not hold"));
    assert!(answer(b"").contains("bad.tar: does not hold"));
    let (code, _, complains) = verify(folder, &["nothing.tar"]);
    assert!(code == 1 && complains.contains("nothing.tar"));
    let (code, _, complains) = verify(folder, &["good.tar", "--limit", "1MiB"]);
    assert!(
        code == 1 && complains.contains("more than --limit allows"),
        "{complains}"
    );
}

/// Names and sizes of all that is in a folder, but what the tests put there.
fn listing(folder: &Path) -> Vec<(String, u64)> {
    let mut names: Vec<(String, u64)> = std::fs::read_dir(folder)
        .unwrap()
        .chain(std::fs::read_dir(folder.parent().unwrap()).unwrap())
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            (
                name,
                entry
                    .metadata()
                    .map_or(0, |meta| if meta.is_file() { meta.len() } else { 0 }),
            )
        })
        // Other tests have folders of their own beside this one.
        .filter(|(name, _)| name == "x" || folder.join(name).exists())
        .collect();
    names.sort();
    names
}

/// Writes a folder's manifest anew: what an attacker who holds no key can do.
fn remanifested(folder: &Path, verify_says: &str) {
    // The digests that `verify` names are put in the place of those that the manifest says.
    let path = folder.join("manifest.json");
    let mut manifest = std::fs::read_to_string(&path).unwrap();
    for line in verify_says.lines().filter(|line| line.contains("its SHA-256 is")) {
        let words: Vec<&str> = line
            .split([' ', ',', '"'])
            .filter(|word| word.len() == 64)
            .collect();
        manifest = manifest.replace(words[1], words[0]);
    }
    std::fs::write(path, manifest).unwrap();
}

#[test]
fn evidence_that_unpacks_to_more_than_it_says_is_refused() {
    let folder = drill();
    let folder = folder.path();
    let evidence = folder.join("b/evidence/1.pcapng.zst");
    let with = |packed: &[u8]| {
        let _ = std::fs::remove_dir_all(folder.join("b"));
        bundle(folder, &["-o", "b", "flows.pcap"]);
        std::fs::write(&evidence, packed).unwrap();
        let (code, says, _) = verify(folder, &["b"]);
        assert_eq!(code, 1, "{says}");
        remanifested(&folder.join("b"), &says);
        let (code, says, _) = verify(folder, &["b"]);
        assert_eq!(code, 1);
        says
    };
    // 512 MiB of zeros in a few kilobytes; and a stream in a stream.
    let bomb = zstd::bulk::compress(&vec![0; 512 << 20], 3).unwrap();
    assert!(bomb.len() < 64 << 10);
    assert!(with(&bomb).contains("evidence/1.pcapng.zst: is more than the"));
    let nested = zstd::bulk::compress(&zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap(), 3).unwrap();
    assert!(with(&nested).contains("packed inside what is packed"));
    assert!(with(b"no stream at all").contains("evidence/1.pcapng.zst: is damaged"));
    // Somebody who writes a larger size into the settings meets the limit.
    let _ = std::fs::remove_dir_all(folder.join("b"));
    bundle(folder, &["-o", "b", "flows.pcap"]);
    let settings = folder.join("b/settings.json");
    let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&settings).unwrap()).unwrap();
    let bytes = value["evidence"]["files"][0]["bytes"].to_string();
    let text = std::fs::read_to_string(&settings)
        .unwrap()
        .replace(&bytes, "99999999999999");
    std::fs::write(&settings, text).unwrap();
    let (code, says, _) = verify(folder, &["b"]);
    assert!(code == 1 && says.contains("more than --limit allows"), "{says}");
}

#[cfg(unix)]
#[test]
fn a_folder_with_a_link_is_refused() {
    let folder = drill();
    let folder = folder.path();
    bundle(folder, &["-o", "b", "flows.pcap"]);
    std::fs::rename(folder.join("b/case.json"), folder.join("case.json")).unwrap();
    std::os::unix::fs::symlink("../case.json", folder.join("b/case.json")).unwrap();
    let (code, _, complains) = verify(folder, &["b"]);
    assert!(
        code == 1 && complains.contains("case.json: is a link"),
        "{complains}"
    );
    std::fs::remove_file(folder.join("b/case.json")).unwrap();
    std::fs::rename(folder.join("case.json"), folder.join("b/case.json")).unwrap();
    std::fs::write(folder.join("b/.hidden"), "x").unwrap();
    let (code, _, complains) = verify(folder, &["b"]);
    assert!(code == 1 && complains.contains(".hidden"), "{complains}");
    std::fs::remove_file(folder.join("b/.hidden")).unwrap();
    assert_eq!(verify(folder, &["b"]).0, 0);
}

#[test]
fn keys_sign_and_only_their_own_key_verifies() {
    let folder = drill();
    let folder = folder.path();
    for name in ["me.key", "other.key"] {
        let made = epicenter(folder, &["keys", "new", "-o", name]);
        assert_eq!(code(&made), 0, "{}", err(&made));
        assert!(!out(&made).contains("RWQAAA"), "the secret is not shown");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("me.key"), mode("me.key.pub") & 0o600), (0o600, 0o600));
    }
    let again = epicenter(folder, &["keys", "new", "-o", "me.key"]);
    assert_eq!(code(&again), 1);
    assert!(err(&again).contains("never overwritten"));
    let shown = |name: &str| out(&epicenter(folder, &["keys", "show", name]));
    let key = |name: &str| {
        shown(name)
            .lines()
            .last()
            .unwrap()
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned()
    };
    assert!(shown("me.key").starts_with("secret key") && shown("me.key.pub").starts_with("public key"));
    assert_eq!(key("me.key"), key("me.key.pub"));
    assert_eq!(code(&epicenter(folder, &["keys", "show", "flows.pcap"])), 1);

    bundle(folder, &["-o", "b", "--sign-key", "me.key", "flows.pcap"]);
    let (code_enclosed, says, _) = verify(folder, &["b"]);
    assert_eq!(code_enclosed, 0);
    assert!(
        says.contains("which came with the bundle") && says.contains(&key("me.key")),
        "{says}"
    );
    for named in [key("me.key"), "me.key.pub".to_owned()] {
        let (code, says, _) = verify(folder, &["b", "--public-key", &named]);
        assert_eq!(code, 0, "{says}");
        assert!(says.contains("the one that was asked for"), "{says}");
    }
    let (code_other, says, _) = verify(folder, &["b", "--public-key", "other.key.pub"]);
    assert_eq!(code_other, 1);
    assert!(says.contains("manifest.json.minisig: is by the key"), "{says}");
    assert_eq!(verify(folder, &["b", "--public-key", "flows.pcap"]).0, 1);
    // The real program agrees, where it is there.
    if let Ok(minisign) = Command::new("minisign")
        .args(["-Vm", "b/manifest.json", "-p", "me.key.pub"])
        .current_dir(folder)
        .output()
    {
        assert!(
            minisign.status.success(),
            "{}",
            String::from_utf8_lossy(&minisign.stderr)
        );
    }
    // Without a signature nobody stands for it; a manifest that was changed has none any more.
    let signature = std::fs::read(folder.join("b/manifest.json.minisig")).unwrap();
    std::fs::remove_file(folder.join("b/manifest.json.minisig")).unwrap();
    let (code, says, _) = verify(folder, &["b"]);
    assert!(code == 0 && says.contains("signature   none"), "{says}");
    let (code, says, _) = verify(folder, &["b", "--public-key", "me.key.pub"]);
    assert!(code == 1 && says.contains("is missing"), "{says}");
    std::fs::write(folder.join("b/manifest.json.minisig"), &signature).unwrap();
    let manifest = std::fs::read_to_string(folder.join("b/manifest.json")).unwrap();
    let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(manifest.contains(&version));
    std::fs::write(
        folder.join("b/manifest.json"),
        manifest.replace(&version, "\"version\":\"9.9.9\""),
    )
    .unwrap();
    let (code, says, _) = verify(folder, &["b"]);
    assert!(
        code == 1 && says.contains("is no signature of manifest.json"),
        "{says}"
    );
    assert!(says.contains("the bundle is of version 9.9.9"), "{says}");
    std::fs::write(folder.join("b/manifest.json.minisig"), "garbage").unwrap();
    assert_eq!(verify(folder, &["b"]).0, 1);
}

#[test]
fn a_bundle_of_another_version_is_compared_all_the_same() {
    let folder = drill();
    let folder = folder.path();
    bundle(folder, &["-o", "b", "flows.pcap"]);
    let path = folder.join("b/case.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version));
    std::fs::write(&path, text.replace(&version, "\"version\": \"9.9.9\"")).unwrap();
    let (_, says, _) = verify(folder, &["b"]);
    remanifested(&folder.join("b"), &says);
    let (_, says, _) = verify(folder, &["b"]);
    assert!(says.contains("the same values, by another version"), "{says}");
}

#[test]
fn addresses_are_taken_out_and_the_verdict_stays() {
    let folder = drill();
    let folder = folder.path();
    std::fs::write(folder.join("pseudonyms.key"), [7; 32]).unwrap();
    let whole = case(&epicenter(
        folder,
        &["investigate", "--format", "json", "packets.pcap"],
    ));
    let target = whole["incidents"][0]["target"]["prefix"]
        .as_str()
        .unwrap()
        .to_owned();
    for input in ["packets.pcap", "flows.pcap"] {
        let name = format!("hash-{input}.tar");
        let options = ["--anonymize", "hash", "--anonymize-key", "pseudonyms.key", input];
        bundle(folder, &[&["-o", &name], &options[..]].concat());
        let again = format!("again-{input}.tar");
        bundle(folder, &[&["-o", &again], &options[..]].concat());
        assert!(
            std::fs::read(folder.join(&name)).unwrap() == std::fs::read(folder.join(&again)).unwrap(),
            "the same key gives the same bytes"
        );
        let (code, says, complains) = verify(folder, &[&name]);
        assert_eq!(code, 0, "{says}{complains}");
        let files = files(&folder.join(&name));
        assert!(!files.contains_key("case-of-inputs.json"));
        let told: serde_json::Value = serde_json::from_slice(&files["case.json"]).unwrap();
        let direct = case(&epicenter(folder, &["investigate", "--format", "json", input]));
        assert_eq!(told["incidents"][0]["target"]["prefix"], target.as_str());
        for field in ["total", "peak", "vectors", "start", "end", "confidence"] {
            assert_eq!(
                told["incidents"][0][field], direct["incidents"][0][field],
                "{field}"
            );
        }
        for field in [
            "distinct",
            "forged",
            "reflected",
            "meaning",
            "countries",
            "networks",
            "kinds",
        ] {
            let of = |case: &serde_json::Value| case["incidents"][0]["sources"][field].clone();
            assert_eq!(of(&told), of(&direct), "{field}");
        }
        assert_ne!(
            told["incidents"][0]["sources"]["prefixes"],
            direct["incidents"][0]["sources"]["prefixes"]
        );
        // No sender of the input is in what is published.
        let decoded = |name: &str| -> std::collections::BTreeSet<String> {
            let printed = epicenter(folder, &["decode", "--format", "csv", "--fields", "src", name]);
            out(&printed).lines().skip(1).map(str::to_owned).collect()
        };
        std::fs::write(folder.join("published.zst"), &files["evidence/1.pcapng.zst"]).unwrap();
        let (real, other) = (decoded(input), decoded("published.zst"));
        assert_eq!(real.len(), other.len(), "no two become one");
        let kept: Vec<&String> = real.intersection(&other).collect();
        assert!(kept.len() * 50 < real.len(), "{kept:?}");
    }
    bundle(
        folder,
        &["-o", "cut.tar", "--anonymize", "truncate", "packets.pcap"],
    );
    let (code, says, complains) = verify(folder, &["cut.tar"]);
    assert_eq!(code, 0, "{says}{complains}");
    let settings: serde_json::Value =
        serde_json::from_slice(&files(&folder.join("cut.tar"))["settings.json"]).unwrap();
    let changed = settings["anonymized"]["changed"].to_string();
    assert!(changed.contains("$.incidents[*].sources.distinct"), "{changed}");
    // The targets too, and the network that was asked for moves with them.
    let options = [
        "--anonymize",
        "hash",
        "--anonymize-targets",
        "--network",
        &target,
        "packets.pcap",
    ];
    bundle(folder, &[&["-o", "all.tar"], &options[..]].concat());
    let (code, says, complains) = verify(folder, &["all.tar"]);
    assert_eq!(code, 0, "{says}{complains}");
    let files = files(&folder.join("all.tar"));
    assert!(
        !files
            .iter()
            .filter(|(name, _)| name.ends_with(".json"))
            .any(|(_, bytes)| String::from_utf8_lossy(bytes).contains(target.trim_end_matches("/32")))
    );
}

/// The records that a file is decoded to.
fn records(folder: &Path, name: &str) -> Vec<serde_json::Value> {
    let printed = epicenter(folder, &["decode", "--format", "json", name]);
    assert_eq!(code(&printed), 0, "{}", err(&printed));
    out(&printed)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The export messages of a capture, one after the other without their packets.
fn bare(capture: &[u8]) -> Vec<u8> {
    let mut batch = wire::Batch {
        keep_raw: true,
        ..wire::Batch::default()
    };
    let (mut collector, mut messages, mut at) = (wire::Collector::new(), Vec::new(), 0);
    let mut reader = wire::Capture::new(wire::recognise(capture)).unwrap();
    loop {
        batch.clear();
        at += reader.decode(&capture[at..], &mut collector, &mut batch);
        for raw in batch.raw.iter().filter(|raw| raw.export) {
            let bytes = &batch.raw_bytes[raw.start..raw.start + raw.len];
            let mut one = wire::Batch::default();
            let link = raw.link_type.unwrap();
            let start = wire::packet::decode(link, bytes, raw.original, 0, 0, &mut one).unwrap();
            messages.extend(&bytes[start..]);
        }
        if !batch.is_full() {
            return messages;
        }
    }
}

#[test]
fn addresses_are_taken_out_of_every_form_of_export() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = epicenter(
        folder,
        &[
            "simulate",
            "botnet-udp",
            "--export",
            "netflow9,ipfix,sflow",
            "--exporters",
            "3",
            "--sampling",
            "40",
            "--seed",
            "3",
            "-o",
            ".",
        ],
    );
    assert_eq!(code(&made), 0, "{}", err(&made));
    let mut inputs = Vec::new();
    for format in ["netflow9", "ipfix", "sflow"] {
        let capture = format!("botnet-udp-3.{format}.pcap");
        let messages = format!("{format}.bin");
        std::fs::write(
            folder.join(&messages),
            bare(&std::fs::read(folder.join(&capture)).unwrap()),
        )
        .unwrap();
        inputs.extend([capture, messages]);
    }
    for input in &inputs {
        let direct = case(&epicenter(folder, &["investigate", "--format", "json", input]));
        let before = records(folder, input);
        assert!(before.len() > 500, "{input}");
        // A file of bare messages takes the same way from here on: once is enough.
        let ways: &[&str] = if input.ends_with(".bin") {
            &["hash"]
        } else {
            &["hash", "truncate"]
        };
        for how in ways {
            let name = format!("{input}-{how}.tar");
            bundle(folder, &["-o", &name, "--anonymize", how, input]);
            let (code, says, complains) = verify(folder, &[&name]);
            assert_eq!(code, 0, "{name}: {says}{complains}");
            let files = files(&folder.join(&name));
            let told: serde_json::Value = serde_json::from_slice(&files["case.json"]).unwrap();
            assert_eq!(
                told["incidents"].as_array().unwrap().len(),
                direct["incidents"].as_array().unwrap().len()
            );
            for field in ["target", "total", "peak", "start", "end"] {
                assert_eq!(
                    told["incidents"][0][field], direct["incidents"][0][field],
                    "{name}: {field}"
                );
            }
            let settings: serde_json::Value = serde_json::from_slice(&files["settings.json"]).unwrap();
            assert_eq!(settings["anonymized"]["altered_packets"], 0, "{name}");
            let (evidence, packed) = files
                .iter()
                .find(|(name, _)| name.starts_with("evidence/"))
                .unwrap();
            assert_eq!(
                evidence.contains("messages"),
                input.contains(".bin"),
                "{evidence}"
            );
            std::fs::write(folder.join("published.zst"), packed).unwrap();
            // The records are the same in everything but addresses.
            let after = records(folder, "published.zst");
            assert_eq!(after.len(), before.len(), "{name}");
            let mut moved = 0;
            for (was, is) in before.iter().zip(&after) {
                for (key, value) in was.as_object().unwrap() {
                    match key.as_str() {
                        "src" | "dst" => moved += usize::from(is[key] != *value),
                        "exporter" | "next_hop" | "bgp_next_hop" | "src_mac" | "dst_mac" => {}
                        _ => assert_eq!(is[key], *value, "{name}: {key}"),
                    }
                }
            }
            assert!(moved * 10 >= before.len() * 9, "{name}: {moved}");
            // And nothing of the real ones is left, wherever it was.
            let raw = zstd::decode_all(&packed[..]).unwrap();
            let octets = |records: &[serde_json::Value]| -> std::collections::BTreeSet<[u8; 4]> {
                let addresses = records.iter().flat_map(|record| [&record["src"], &record["dst"]]);
                addresses
                    .filter_map(|address| address.as_str()?.parse::<std::net::Ipv4Addr>().ok())
                    .map(|address| address.octets())
                    .collect()
            };
            let published = octets(&after);
            let held: std::collections::BTreeSet<&[u8]> = raw.windows(4).collect();
            let left: Vec<[u8; 4]> = octets(&before)
                .into_iter()
                .filter(|octets| !published.contains(octets) && held.contains(&octets[..]))
                .collect();
            assert!(left.len() <= 1, "{name}: {left:?}");
        }
    }
}

#[test]
fn evidence_of_real_captures_gives_their_cases() {
    let Some(root) = crate::shared_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut checked = 0;
    for of in ["pcap-attack", "pcap-benign"] {
        let mut paths: Vec<_> = std::fs::read_dir(root.join(of))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file() && path.extension().is_some_and(|e| e == "pcap" || e == "pcapng"))
            .filter(|path| path.metadata().unwrap().len() < 3 << 20)
            .collect();
        paths.sort();
        for path in paths.iter().take(12) {
            let tar = format!("{checked}.tar");
            bundle(folder, &["-o", &tar, path.to_str().unwrap()]);
            let (code, says, complains) = verify(folder, &[&tar, "--inputs", path.to_str().unwrap()]);
            assert_eq!(code, 0, "{}: {says}{complains}", path.display());
            let settings: serde_json::Value =
                serde_json::from_slice(&files(&folder.join(&tar))["settings.json"]).unwrap();
            assert_eq!(settings["evidence"]["same_as_inputs"], true, "{}", path.display());
            std::fs::remove_file(folder.join(&tar)).unwrap();
            checked += 1;
        }
    }
    assert!(checked > 5, "{checked}");
}

#[test]
fn claims_reports_and_services_go_along() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = epicenter(folder, &["simulate", "really-one-country", "-o", "."]);
    assert_eq!(code(&made), 0, "{}", err(&made));
    std::fs::write(folder.join("x.jsonl"), crate::outages::signals("x", 80, true, 51)).unwrap();
    std::fs::write(folder.join("post.html"), "<p>archived</p>").unwrap();
    let claims = std::fs::read_to_string(folder.join("really-one-country-1.claims.toml")).unwrap();
    let claims = claims.replacen("[[claim]]\n", "[[claim]]\narchived = \"post.html\"\n", 1);
    std::fs::write(folder.join("claims.toml"), &claims).unwrap();
    let input = "really-one-country-1.pcap";
    let options = [
        "--service",
        "x=198.41.30.10/32",
        "--claims",
        "claims.toml",
        input,
        "x.jsonl",
    ];
    bundle(folder, &[&["-o", "b.tar"], &options[..]].concat());
    let (code, says, complains) = verify(folder, &["b.tar", "--inputs", input, "x.jsonl"]);
    assert_eq!(code, 0, "{says}{complains}");
    let files = files(&folder.join("b.tar"));
    assert!(files.contains_key("claims/post.html") && files.contains_key("evidence/2.jsonl.zst"));
    let told: serde_json::Value = serde_json::from_slice(&files["case.json"]).unwrap();
    assert_eq!(
        told["incidents"].as_array().unwrap().len(),
        2,
        "an attack and an outage"
    );
    assert!(!told["verdicts"].as_array().unwrap().is_empty());
    // What a claim says decides its verdict: another claim is another case.
    let changed: Vec<Vec<u8>> = files
        .iter()
        .map(|(name, bytes)| {
            let other = claims.replacen("\"most\"", "\"any\"", 1);
            plain(
                name,
                if name == "claims/claims.toml" {
                    other.as_bytes()
                } else {
                    bytes
                },
            )
        })
        .collect();
    std::fs::write(folder.join("bad.tar"), tar_of(&changed)).unwrap();
    let (code, says, complains) = verify(folder, &["bad.tar"]);
    assert_eq!(code, 1);
    let all = says + &complains;
    assert!(
        all.contains("claims/claims.toml:") && all.contains("$.verdicts[0].proposition.extent"),
        "{all}"
    );
}

/// A service with an audience of its own, attacked or not.
fn shop(folder: &Path, name: &str, attacked: bool) -> String {
    let attack = "[[attack]]\nvector = \"syn_flood\"\ntarget = \"198.41.30.10\"\nport = 443\nfrom = 2\nto = 30\npackets_per_second = 600\nsources = { kind = \"direct\", bots = 900, countries = { US = 30, BR = 40, VN = 30 } }\n";
    let scenario = format!(
        "name = \"{name}\"\nabout = \"a test\"\nstart = \"2025-03-10T09:44:40Z\"\nseconds = 40\n[[audience]]\nservice = \"198.41.30.10\"\nsessions_per_second = 8\ncountries = {{ US = 40, GB = 9, DE = 7 }}\n{}",
        if attacked { attack } else { "" }
    );
    std::fs::write(folder.join(format!("{name}.toml")), scenario).unwrap();
    // Other people each time.
    let seed = if attacked { "1" } else { "2" };
    let made = epicenter(folder, &["simulate", &format!("{name}.toml"), "--seed", seed]);
    assert_eq!(code(&made), 0, "{}", err(&made));
    format!("{name}-{seed}.pcap")
}

#[test]
fn the_audience_of_other_inputs_goes_along() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (attacked, quiet) = (shop(folder, "attacked", true), shop(folder, "quiet", false));
    // Who came, as a web server notes it: other people than in the capture.
    let log: String = (0..60)
        .map(|n| format!("81.2.{n}.7 - - [09/Mar/2025:09:00:00 +0000] \"GET / HTTP/1.1\" 200 5\n"))
        .collect();
    std::fs::write(folder.join("access.log"), log).unwrap();
    let learnt = |args: &[&str]| {
        let output = epicenter(
            folder,
            &[&["investigate", "--format", "json", &attacked], args].concat(),
        );
        assert_eq!(code(&output), 0, "{}", err(&output));
        let audience = case(&output)["incidents"][0]["audience"].clone();
        (
            audience["learnt_from"].as_str().unwrap_or("").to_owned(),
            audience["distinct"].as_u64(),
        )
    };
    let (alone, few) = learnt(&[]);
    let (both, many) = learnt(&["--audience", &quiet]);
    assert!(!alone.contains(&quiet) && both.contains(&quiet), "{both}");
    assert!(many > few, "{many:?} {few:?}");
    let (of_log, _) = learnt(&["--audience", "access.log"]);
    assert!(
        of_log.ends_with("60 clients of all services in access.log"),
        "{of_log}"
    );

    for (name, args) in [
        ("capture", vec!["--audience", quiet.as_str()]),
        ("log", vec!["--audience", "access.log"]),
        (
            "both",
            vec!["--audience", quiet.as_str(), "--audience", "access.log"],
        ),
        ("hash", vec!["--audience", quiet.as_str(), "--anonymize", "hash"]),
        (
            "truncate",
            vec!["--audience", "access.log", "--anonymize", "truncate"],
        ),
    ] {
        let tar = format!("{name}.tar");
        bundle(folder, &[&["-o", &tar, &attacked], &args[..]].concat());
        let (code, says, complains) = verify(folder, &[&tar]);
        assert_eq!(code, 0, "{name}: {says}{complains}");
        let files = files(&folder.join(&tar));
        let case: serde_json::Value = serde_json::from_slice(&files["case.json"]).unwrap();
        let learnt_from = &case["incidents"][0]["audience"]["learnt_from"];
        assert!(learnt_from.as_str().unwrap().contains(args[1]), "{learnt_from}");
    }
    // Whoever has the inputs of the audience sees whether the bundle tells the truth about them.
    let (code, says, complains) = verify(
        folder,
        &["capture.tar", "--inputs", &attacked, "--inputs", &quiet],
    );
    assert_eq!(code, 0, "{says}{complains}");
    assert!(says.contains("is what the inputs that show it give"), "{says}");
    let (code, says, _) = verify(folder, &["capture.tar", "--inputs", &attacked]);
    assert_eq!(code, 0);
    assert!(says.contains("not checked against quiet-2.pcap"), "{says}");
    // Without the real addresses nobody's address is in it.
    let hashed = files(&folder.join("hash.tar"));
    let plain = files(&folder.join("capture.tar"));
    let lines = |files: &BTreeMap<String, Vec<u8>>| {
        let unpacked = zstd::decode_all(&files["audience.jsonl.zst"][..]).unwrap();
        String::from_utf8(unpacked).unwrap()
    };
    let clients = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines
            .filter_map(|line| Some(line["client"].as_str()?.to_owned()))
            .collect()
    };
    let (real, other) = (clients(&lines(&plain)), clients(&lines(&hashed)));
    assert_eq!(real.len(), other.len());
    let known: std::collections::BTreeSet<_> = real.iter().collect();
    assert!(other.iter().filter(|client| known.contains(client)).count() * 20 < other.len());
    // What was changed is named.
    let mut damaged = plain.clone();
    let lines = lines(&plain).replacen("\"packets\":", "\"packets\":9", 1);
    damaged.insert(
        "audience.jsonl.zst".to_owned(),
        zstd::encode_all(lines.as_bytes(), 3).unwrap(),
    );
    let entries: Vec<Vec<u8>> = damaged
        .iter()
        .map(|(name, bytes)| self::plain(name, bytes))
        .collect();
    std::fs::write(folder.join("damaged.tar"), tar_of(&entries)).unwrap();
    let (code, says, complains) = verify(folder, &["damaged.tar"]);
    assert_eq!(code, 1);
    assert!(
        format!("{says}{complains}").contains("audience.jsonl.zst"),
        "{says}{complains}"
    );
}

#[test]
fn a_list_of_machines_goes_along_and_decides() {
    let folder = drill();
    let folder = folder.path();
    let sources: std::collections::BTreeSet<String> = records(folder, "flows.pcap")
        .iter()
        .filter(|record| record["protocol"] == 17)
        .map(|record| record["src"].as_str().unwrap().to_owned())
        .collect();
    assert!(sources.len() > 100);
    let half: Vec<&String> = sources.iter().step_by(2).collect();
    let list: String = half.iter().map(|address| format!("{address}\n")).collect();
    std::fs::write(folder.join("botnet.txt"), format!("# theirs\n{list}")).unwrap();
    let claims = "[[claim]]\nsaid = \"We did it\"\ninfrastructure = { file = \"botnet.txt\", from = \"a vendor\", url = \"https://vendor.example\" }\nearlier = { right = 0, wrong = 2, url = \"https://press.example\" }\nproposition = { kind = \"actor-group\", name = \"They\" }\n";
    std::fs::write(folder.join("claims.toml"), claims).unwrap();
    let because = |files: &BTreeMap<String, Vec<u8>>| -> String {
        let told: serde_json::Value = serde_json::from_slice(&files["case.json"]).unwrap();
        assert_eq!(told["verdicts"][0]["assessable"], true, "{}", told["verdicts"][0]);
        told["verdicts"][0]["because"].to_string()
    };
    let options = ["--claims", "claims.toml", "flows.pcap"];
    bundle(folder, &[&["-o", "b.tar"], &options[..]].concat());
    let (code, says, complains) = verify(folder, &["b.tar", "--inputs", "flows.pcap"]);
    assert_eq!(code, 0, "{says}{complains}");
    let plain_files = files(&folder.join("b.tar"));
    let told = because(&plain_files);
    assert!(
        told.contains("botnet.txt lists") && told.contains("a habit of false claims"),
        "{told}"
    );
    // The list decides: another list is another case.
    let changed: Vec<Vec<u8>> = plain_files
        .iter()
        .map(|(name, bytes)| {
            let other: &[u8] = if name == "claims/botnet.txt" {
                b"9.9.9.9\n"
            } else {
                bytes
            };
            plain(name, other)
        })
        .collect();
    std::fs::write(folder.join("bad.tar"), tar_of(&changed)).unwrap();
    let (code, says, complains) = verify(folder, &["bad.tar"]);
    assert_eq!(code, 1);
    let all = says + &complains;
    assert!(
        all.contains("claims/botnet.txt:") && all.contains("$.verdicts[0]"),
        "{all}"
    );
    // Without addresses the list has those of the evidence, and the verdict is the same.
    bundle(
        folder,
        &[&["-o", "public.tar", "--anonymize", "hash"], &options[..]].concat(),
    );
    let (code, says, complains) = verify(folder, &["public.tar"]);
    assert_eq!(code, 0, "{says}{complains}");
    let public = files(&folder.join("public.tar"));
    assert_eq!(because(&public), told);
    let published = String::from_utf8(public["claims/botnet.txt"].clone()).unwrap();
    let left = published
        .lines()
        .filter(|line| sources.contains(line.trim_end_matches("/32")))
        .count();
    assert!(left * 50 < half.len(), "{published}");
    assert_eq!(published.lines().count(), half.len() + 1);
}

/// Runs openssl; false where it is not there.
fn openssl(folder: &Path, args: &[&str]) -> bool {
    let ran = Command::new("openssl")
        .args(args)
        .current_dir(folder)
        .env("OPENSSL_CONF", folder.join("ts.cnf"))
        .output();
    let Ok(ran) = ran else { return false };
    assert!(
        ran.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    true
}

#[test]
fn a_time_stamp_is_by_whom_it_says() {
    let folder = drill();
    let folder = folder.path();
    let conf = "[req]\ndistinguished_name = dn\n[dn]\n[one]\nserial = serial\ndefault_policy = 1.2.3.4.1\ndigests = sha256\nsigner_digest = sha256\ness_cert_id_alg = sha256\n[ca]\nbasicConstraints = critical,CA:TRUE\n[stamps]\nbasicConstraints = CA:FALSE\nextendedKeyUsage = critical,timeStamping\n";
    std::fs::write(folder.join("ts.cnf"), conf).unwrap();
    std::fs::write(folder.join("serial"), "01\n").unwrap();
    bundle(folder, &["-o", "plain", "flows.pcap"]);
    let words = |line: &'static str| -> Vec<&'static str> { line.split(' ').collect() };
    for line in [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=CA -days 30 -config ts.cnf -extensions ca",
        "req -x509 -newkey rsa:2048 -nodes -keyout other.key -out other.pem -subj /CN=Other -days 30 -config ts.cnf -extensions ca",
        "req -new -newkey rsa:2048 -nodes -keyout tsa.key -out tsa.csr -subj /CN=Clock -config ts.cnf",
        "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ts.cnf -extensions stamps -out tsa.pem",
        "ts -query -data plain/manifest.json -sha256 -cert -out q.tsq",
        "ts -reply -config ts.cnf -section one -queryfile q.tsq -inkey tsa.key -signer tsa.pem -out token.tsr",
    ] {
        if !openssl(folder, &words(line)) {
            return;
        }
    }
    bundle(
        folder,
        &["-o", "b", "--timestamp-token", "token.tsr", "flows.pcap"],
    );
    let (code, says, complains) = verify(folder, &["b"]);
    assert_eq!(code, 0, "{says}{complains}");
    assert!(
        says.contains("by the certificate CN=Clock, for which nobody has vouched"),
        "{says}"
    );
    let (code, says, complains) = verify(folder, &["b", "--tsa-ca", "ca.pem"]);
    assert_eq!(code, 0, "{says}{complains}");
    assert!(
        says.contains("by CN=Clock, whose certificate leads to the CA"),
        "{says}"
    );
    let wrong = |args: &[&str]| -> String {
        let (code, says, complains) = verify(folder, args);
        assert_eq!(code, 1, "{says}");
        says + &complains
    };
    assert!(
        wrong(&["b", "--tsa-ca", "other.pem"])
            .contains("WRONG       manifest.json.tsr: is signed by a certificate that does not lead")
    );
    assert!(wrong(&["plain", "--tsa-ca", "ca.pem"]).contains("manifest.json.tsr: is missing"));
    assert!(wrong(&["b", "--tsa-ca", "ts.cnf"]).contains("ts.cnf: has no certificate"));
    // The last byte is one of the signature.
    let mut token = std::fs::read(folder.join("b/manifest.json.tsr")).unwrap();
    *token.last_mut().unwrap() ^= 1;
    std::fs::write(folder.join("b/manifest.json.tsr"), token).unwrap();
    assert!(wrong(&["b"]).contains("WRONG       manifest.json.tsr: has a signature that is not by the key"));
}
