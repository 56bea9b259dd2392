//! `epicenter backup` and `epicenter journal`: the data file is copied while it is written to, and its journal checked.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use store::Archive;

use crate::args::{BackupArgs, JournalArgs};
use crate::tell;

/// Copies the file, and checks the copy: a backup that does not hold is found out now and not when it is needed.
pub(crate) fn backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    Archive::open(&args.from)?.backup(&args.to)?;
    check(&args.to)
}

pub(crate) fn verify(args: &JournalArgs) -> anyhow::Result<ExitCode> {
    check(&args.file)
}

/// Goes through the journal of a file; the text says what was found.
fn check(path: &Path) -> anyhow::Result<ExitCode> {
    let archive = Archive::open(path)?;
    match archive.verify() {
        Ok((entries, hash)) => {
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(
                std::io::stdout(),
                "{}: the journal holds; {}, the last one with hash {hash}",
                path.display(),
                crate::case_text::counted(entries, "entry", "entries")
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Err(store::Error::Broken(broken)) => {
            tell(&format!(
                "{}: the journal does not hold: {broken}",
                path.display()
            ));
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use store::{Batch, Limits, Store};

    use super::*;

    fn fill(store: &mut Store, entries: u64) {
        for n in 0..entries {
            let batch = Batch {
                at_ns: n,
                entries: vec![("deed", format!("needle-{n:06}").into_bytes())],
                ..Batch::default()
            };
            store.commit(&batch).expect("room");
        }
    }

    #[test]
    fn a_copy_is_made_while_it_is_written_to_and_damage_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let mut store = Store::open(&path("data.db"), Limits::default()).expect("it opens");
        fill(&mut store, 50);
        let head = store.head();
        let args = BackupArgs {
            from: path("data.db"),
            to: path("copy.db"),
        };
        assert_eq!(backup(&args).expect("a copy"), ExitCode::SUCCESS);
        // The writer goes on, and the copy stays what it was.
        fill(&mut store, 10);
        assert_eq!(
            Archive::open(&path("copy.db"))
                .and_then(|copy| copy.verify())
                .expect("it holds"),
            head
        );
        let beside = std::fs::read_dir(folder.path()).expect("a folder").flatten();
        let names: Vec<String> = beside
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with("copy"))
            .collect();
        assert_eq!(names, ["copy.db"], "the copy is one file");
        let again = backup(&args).expect_err("it is there already");
        assert!(again.to_string().contains("is there already"), "{again}");

        // Also what the pages still hold of rows that were moved: which of them counts is the database's business.
        let mut bytes = std::fs::read(path("copy.db")).expect("bytes");
        let starts: Vec<usize> = (0..bytes.len() - 13)
            .filter(|at| &bytes[*at..at + 13] == b"needle-000031")
            .collect();
        assert!(!starts.is_empty());
        starts.into_iter().for_each(|at| bytes[at] = b'N');
        std::fs::write(path("damaged.db"), bytes).expect("room");
        let args = JournalArgs {
            file: path("damaged.db"),
        };
        assert_eq!(verify(&args).expect("it can be read"), ExitCode::from(1));
        let broken = Archive::open(&path("damaged.db"))
            .and_then(|copy| copy.verify())
            .expect_err("damaged");
        assert!(broken.to_string().contains("entry 32 of the journal"), "{broken}");

        std::fs::write(path("other.db"), "no database").expect("room");
        assert!(
            verify(&JournalArgs {
                file: path("other.db")
            })
            .is_err()
        );
    }
}
