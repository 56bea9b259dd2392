//! Bundles: the files of a case and its evidence, in a folder or a tar, under one manifest.
//!
//! The manifest names every other file with its size and SHA-256, sorted by name, and the root of their Merkle tree (the hashing of
//! RFC 6962 section 2.1). It is canonical JSON (RFC 8785), so there is one way to write it. A signature signs the manifest and so all.
//! Reading believes nothing: names, kinds of entries, sizes and order are checked before a byte is used, and nothing is unpacked.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Name of the form, in the manifest.
pub(crate) const SCHEMA: &str = "epicenter.bundle/1";
/// The manifest, which names all files but itself and these two.
pub(crate) const MANIFEST: &str = "manifest.json";
/// Its signature.
pub(crate) const SIGNATURE: &str = "manifest.json.minisig";
/// A time-stamp token of it (RFC 3161).
pub(crate) const TOKEN: &str = "manifest.json.tsr";

/// Files of a bundle at most.
pub(crate) const FILES_MAX: usize = 1_024;
/// Bytes of a name at most.
const NAME_MAX: usize = 99;
/// Folders inside folders.
const DEPTH_MAX: usize = 4;
/// Bytes of a block of a tar.
const BLOCK: u64 = 512;

/// The files of a bundle by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Something that is wrong with a file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Which file.
    pub(crate) file: String,
    /// What is wrong with it.
    pub(crate) what: String,
}

impl Problem {
    pub(crate) fn new(file: &str, what: impl Into<String>) -> Problem {
        Problem {
            file: file.to_owned(),
            what: what.into(),
        }
    }
}

/// SHA-256 in lower case hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a name can be one of a bundle's file: parts of letters, digits, `.`, `_` and `-`, none of them hidden, none of them upwards.
fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    name.len() <= NAME_MAX && name.split('/').count() <= DEPTH_MAX && name.split('/').all(part)
}

/// A name as it may be shown: whatever it holds, it is one short line.
fn shown(name: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(name).chars().take(120).collect();
    format!("{text:?}")
}

/// What the manifest says of a file.
fn entry(name: &str, bytes: &[u8]) -> Value {
    json!({ "name": name, "sha256": sha256(bytes), "size": bytes.len() })
}

/// Canonical JSON (RFC 8785) of what a manifest holds: objects of texts and whole numbers. Keys come sorted, for the maps of `serde_json`
/// are, and they are ASCII, so that sorting by bytes is sorting by UTF-16.
fn canonical(value: &Value) -> String {
    value.to_string()
}

/// Root of the Merkle tree over the entries of a manifest (RFC 6962 section 2.1): a leaf is the canonical JSON of an entry.
fn merkle_root(entries: &[Value]) -> [u8; 32] {
    let leaves: Vec<[u8; 32]> = entries
        .iter()
        .map(|entry| {
            Sha256::new()
                .chain_update([0])
                .chain_update(canonical(entry))
                .finalize()
                .into()
        })
        .collect();
    tree(&leaves)
}

fn tree(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Sha256::new()
                .chain_update([1])
                .chain_update(tree(left))
                .chain_update(tree(right))
                .finalize()
                .into()
        }
    }
}

/// The manifest of these files, and the root of their tree.
pub(crate) fn manifest(files: &Files) -> (String, String) {
    let entries: Vec<Value> = files.iter().map(|(name, bytes)| entry(name, bytes)).collect();
    let root = hex(&merkle_root(&entries));
    let manifest = json!({
        "engine": { "name": "epicenter", "version": env!("CARGO_PKG_VERSION") },
        "files": entries,
        "merkle_root": root,
        "schema": SCHEMA,
    });
    (canonical(&manifest), root)
}

/// What a manifest says of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Version of the program that made the bundle.
    pub(crate) version: String,
    /// Root of the Merkle tree.
    pub(crate) root: String,
}

/// Holds the files against their manifest: none missing, none more, every digest right, in one order.
pub(crate) fn check(files: &Files) -> (Manifest, Vec<Problem>) {
    let mut problems = Vec::new();
    let Some(bytes) = files.get(MANIFEST) else {
        return (Manifest::default(), vec![Problem::new(MANIFEST, "is missing")]);
    };
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else {
        return (Manifest::default(), vec![Problem::new(MANIFEST, "is no JSON")]);
    };
    if value["schema"] != SCHEMA {
        problems.push(Problem::new(
            MANIFEST,
            format!("its schema is {}, this program reads {SCHEMA}", value["schema"]),
        ));
    }
    if canonical(&value).as_bytes() != &bytes[..] {
        problems.push(Problem::new(MANIFEST, "is not in the canonical form of RFC 8785"));
    }
    let known = ["engine", "files", "merkle_root", "schema"];
    let keys = value.as_object().map_or(0, serde_json::Map::len);
    let none = Vec::new();
    let entries = value["files"].as_array().unwrap_or(&none);
    let about = Manifest {
        version: value["engine"]["version"].as_str().unwrap_or("").to_owned(),
        root: value["merkle_root"].as_str().unwrap_or("").to_owned(),
    };
    let engine = json!({ "name": "epicenter", "version": about.version });
    if keys != known.len() || about.version.is_empty() || value["engine"] != engine {
        problems.push(Problem::new(MANIFEST, "has not the fields of a manifest"));
    }
    let mut before = "";
    let mut named = std::collections::BTreeSet::new();
    for said in entries {
        let Some(name) = said["name"].as_str().filter(|name| is_name(name)) else {
            problems.push(Problem::new(
                MANIFEST,
                format!(
                    "names a file that cannot be: {}",
                    shown(said["name"].to_string().as_bytes())
                ),
            ));
            continue;
        };
        if name <= before {
            problems.push(Problem::new(
                MANIFEST,
                format!("is not in the order of names at {name}"),
            ));
        }
        before = name;
        named.insert(name);
        match files.get(name) {
            None => problems.push(Problem::new(name, "is missing")),
            Some(bytes) if *said == entry(name, bytes) => {}
            Some(bytes) if said["size"] != bytes.len() => problems.push(Problem::new(
                name,
                format!("has {} bytes, the manifest says {}", bytes.len(), said["size"]),
            )),
            Some(bytes) => problems.push(Problem::new(
                name,
                format!(
                    "its SHA-256 is {}, the manifest says {}",
                    sha256(bytes),
                    said["sha256"]
                ),
            )),
        }
    }
    for name in files.keys() {
        let beside = [MANIFEST, SIGNATURE, TOKEN].contains(&name.as_str());
        if beside == named.contains(name.as_str()) {
            problems.push(Problem::new(
                name,
                if beside {
                    "is in the manifest, where it cannot be"
                } else {
                    "is not in the manifest"
                },
            ));
        }
    }
    if hex(&merkle_root(entries)) != about.root {
        problems.push(Problem::new(
            MANIFEST,
            "its Merkle root is not that of its entries",
        ));
    }
    (about, problems)
}

/// Writes a bundle where nothing is yet: as a tar where the name ends with `.tar`, else as a folder. It appears whole or not at all.
pub(crate) fn write(files: &Files, path: &Path, mtime: u64) -> anyhow::Result<()> {
    if path.symlink_metadata().is_ok() {
        bail!(
            "{}: is there already; a bundle does not overwrite",
            path.display()
        );
    }
    let part = Part::beside(path);
    let written = if is_tar(path) {
        write_tar(files, &part.0, mtime)
    } else {
        write_folder(files, &part.0)
    };
    written.with_context(|| part.0.display().to_string())?;
    std::fs::rename(&part.0, path).with_context(|| path.display().to_string())
}

/// Whether a path is that of a tar, by its name.
pub(crate) fn is_tar(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("tar"))
}

/// What is not whole yet; it goes away unless it was moved to its place.
struct Part(PathBuf);

impl Part {
    fn beside(path: &Path) -> Part {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        Part(name.into())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It was moved, or it is worth nothing.
        if self.0.is_dir() {
            let _ = std::fs::remove_dir_all(&self.0);
        } else {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn write_folder(files: &Files, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir(folder)?;
    for (name, bytes) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

/// The same files give the same bytes: sorted names, nobody's ownership, one time.
fn write_tar(files: &Files, path: &Path, mtime: u64) -> std::io::Result<()> {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?;
    let mut tar = tar::Builder::new(std::io::BufWriter::with_capacity(1 << 20, file));
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_path(name)?;
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(mtime);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        tar.append(&header, &bytes[..])?;
    }
    let mut file = tar.into_inner()?;
    file.flush()?;
    file.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()
}

/// Reads a bundle of at most so many bytes, folder or tar. What can be no bundle at all is an error that names the entry.
pub(crate) fn read(path: &Path, limit: u64) -> anyhow::Result<Files> {
    let meta = std::fs::metadata(path).with_context(|| path.display().to_string())?;
    let files = if meta.is_dir() {
        let mut files = Files::new();
        read_folder(path, "", &mut files, &mut { limit })?;
        files
    } else {
        let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
        read_tar(std::io::BufReader::with_capacity(1 << 20, file), limit)?
    };
    if files.is_empty() {
        bail!("holds no file");
    }
    Ok(files)
}

fn read_folder(folder: &Path, inside: &str, files: &mut Files, left: &mut u64) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let raw = entry.file_name();
        let name = match raw.to_str() {
            Some(name) if inside.is_empty() => name.to_owned(),
            Some(name) => format!("{inside}/{name}"),
            None => bail!("{}: is no name of a bundle", shown(raw.as_encoded_bytes())),
        };
        if !is_name(&name) {
            bail!("{}: is no name of a bundle", shown(name.as_bytes()));
        }
        // Of the entry itself: a link is not followed.
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read_folder(&entry.path(), &name, files, left)?;
            continue;
        }
        if !kind.is_file() {
            bail!("{name}: is a link or a device, and no file");
        }
        let file = std::fs::File::open(entry.path()).with_context(|| name.clone())?;
        let size = file.metadata()?.len();
        take(&name, file, size, files, left)?;
    }
    Ok(())
}

/// Reads a tar as it lies there, without unpacking it to paths.
fn read_tar(source: impl Read, limit: u64) -> anyhow::Result<Files> {
    let mut files = Files::new();
    let mut left = limit;
    let mut archive = tar::Archive::new(source);
    let mut before = String::new();
    // Raw: an entry that would change the meaning of the next one is refused like any other that is no file.
    for entry in archive.entries()?.raw(true) {
        let entry = entry.context("the tar is cut or damaged")?;
        let raw = entry.path_bytes().into_owned();
        let Some(name) = std::str::from_utf8(&raw).ok().filter(|name| is_name(name)) else {
            bail!("{}: is no name of a bundle", shown(&raw));
        };
        let name = name.to_owned();
        if entry.header().entry_type() != tar::EntryType::Regular {
            bail!("{name}: is a link, a folder or a device, and no file");
        }
        if name == before || files.contains_key(&name) {
            bail!("{name}: is there twice");
        }
        if name < before {
            bail!("{name}: comes after {before}; the files of a bundle are sorted by name");
        }
        let size = entry.header().size().with_context(|| name.clone())?;
        before.clone_from(&name);
        take(&name, entry, size, &mut files, &mut left)?;
    }
    // Behind its end a tar holds zeros, if anything.
    let mut rest = archive.into_inner();
    let mut block = [0; BLOCK as usize];
    let mut passed = 0u64;
    loop {
        match rest.read(&mut block)? {
            0 => break,
            read if block[..read].iter().any(|byte| *byte != 0) => {
                bail!("there are bytes behind the end of the tar")
            }
            read => passed += read as u64,
        }
        if passed > 1 << 20 {
            bail!("there is too much behind the end of the tar");
        }
    }
    if files.is_empty() {
        bail!("is no tar with files in it");
    }
    Ok(files)
}

/// Takes in a file of a said size.
fn take(name: &str, source: impl Read, size: u64, files: &mut Files, left: &mut u64) -> anyhow::Result<()> {
    if files.len() >= FILES_MAX {
        bail!("{name}: is one file more than the {FILES_MAX} that a bundle may have");
    }
    if size > *left {
        bail!("{name}: has {size} bytes, which is more than --limit allows in all");
    }
    *left -= size;
    let mut bytes = Vec::new();
    source
        .take(size + 1)
        .read_to_end(&mut bytes)
        .with_context(|| name.to_owned())?;
    if bytes.len() as u64 != size {
        bail!("{name}: is cut: {} of {size} bytes are there", bytes.len());
    }
    files.insert(name.to_owned(), bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let mut files: Files = [("a.txt", &b"one"[..]), ("b/c.txt", b"two"), ("d.txt", b"three")]
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
            .collect();
        let (manifest, _) = manifest(&files);
        files.insert(MANIFEST.to_owned(), manifest.into_bytes());
        files
    }

    #[test]
    fn the_tree_is_that_of_the_rfc() {
        // Roots of the test vectors of the Certificate Transparency reference code: no leaf, and the leaves "" and "" 00.
        assert_eq!(
            hex(&tree(&[])),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let leaf = |bytes: &[u8]| -> [u8; 32] {
            Sha256::new()
                .chain_update([0])
                .chain_update(bytes)
                .finalize()
                .into()
        };
        let leaves = [leaf(&[]), leaf(&[0]), leaf(&[0x10])];
        assert_eq!(
            hex(&tree(&leaves[..1])),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            hex(&tree(&leaves[..2])),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
        assert_eq!(
            hex(&tree(&leaves)),
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
        );
    }

    #[test]
    fn what_is_not_as_the_manifest_says_is_named() {
        assert_eq!(check(&files()).1, []);
        let spoilt = |spoil: &dyn Fn(&mut Files)| {
            let mut files = files();
            spoil(&mut files);
            check(&files).1
        };
        let names =
            |problems: &[Problem]| -> Vec<String> { problems.iter().map(|p| p.file.clone()).collect() };
        let flipped = spoilt(&|files| files.get_mut("b/c.txt").unwrap()[0] ^= 1);
        assert_eq!(names(&flipped), ["b/c.txt"]);
        let longer = spoilt(&|files| files.get_mut("d.txt").unwrap().push(0));
        assert!(
            longer[0].what.contains("6 bytes, the manifest says 5"),
            "{longer:?}"
        );
        let missing = spoilt(&|files| {
            files.remove("a.txt");
        });
        assert_eq!(names(&missing), ["a.txt"]);
        let more = spoilt(&|files| {
            files.insert("e.txt".to_owned(), Vec::new());
        });
        assert_eq!(names(&more), ["e.txt"]);
        // Every bit of the manifest counts.
        let length = files()[MANIFEST].len();
        for bit in 0..length * 8 {
            let problems = spoilt(&|files| files.get_mut(MANIFEST).unwrap()[bit / 8] ^= 1 << (bit % 8));
            let version = problems.is_empty();
            // The version of the engine is no digest: only a signature guards it.
            assert!(
                !version || (20..60).contains(&(bit / 8)),
                "bit {bit} is not noticed"
            );
        }
        let spaced = spoilt(&|files| files.get_mut(MANIFEST).unwrap().push(b' '));
        assert!(spaced[0].what.contains("canonical"), "{spaced:?}");
    }

    #[test]
    fn names_that_lead_elsewhere_are_none() {
        for name in ["a", "evidence/1.pcapng.zst", "README.txt", "a/b/c/d"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "/a",
            "a/",
            "../a",
            "a/../b",
            "a//b",
            ".a",
            "a/.b",
            "a b",
            "a\\b",
            "c:a",
            "a\0",
            "a/b/c/d/e",
            "ä",
        ] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(!is_name(&"a".repeat(100)));
    }
}
