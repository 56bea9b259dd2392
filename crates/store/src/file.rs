//! The file. A [`Batch`] is committed whole or not at all, and when [`Store::commit`] has returned it is on the disk.
//!
//! SQLite writes ahead (WAL) with a sync for every commit (`synchronous=FULL`), so one commit costs one sync, however much is in it:
//! whoever writes often gathers what is there and commits it together. Tables: `journal` (see [`journal`](crate::journal)); `document`,
//! the latest text of each thing by kind and name; `bin`, counts by service and time. The last two are derived: they are written in the
//! commit whose entries say the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use crate::journal::{Broken, Chain, Entry, Hash, of_body, of_entry};

/// Says that a file is one of ours (`PRAGMA application_id`): "EPIC".
const APPLICATION: i32 = 0x4550_4943;
/// The form of the tables.
const VERSION: i32 = 1;
const PAGE: u64 = 4_096;
/// Bytes of the write-ahead log after which it is copied into the file.
const CHECKPOINT_PAGES: u32 = 4_000;

const TABLES: &str = "
    CREATE TABLE journal (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        body_hash BLOB NOT NULL,
        body BLOB,
        hash BLOB NOT NULL
    ) STRICT;
    CREATE INDEX journal_kind ON journal (kind);
    CREATE TABLE document (
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bin (
        service TEXT NOT NULL,
        start INTEGER NOT NULL,
        reports INTEGER NOT NULL,
        tried INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        PRIMARY KEY (service, start)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX bin_start ON bin (start);
    CREATE TABLE snapshot (
        name TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        bytes BLOB NOT NULL
    ) STRICT;
";

/// What can go wrong with the file.
#[derive(Debug)]
pub enum Error {
    /// There is no more room: on the disk, or within [`Limits::bytes_max`]. Nothing of the batch was written.
    Full,
    /// Another process has it open for writing.
    Taken(PathBuf),
    /// It is something else than a store, or of a later form.
    Foreign(PathBuf, String),
    /// The journal does not hold.
    Broken(Broken),
    /// SQLite or the system says no.
    Failed(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Full => write!(
                f,
                "the data file is full: no room on the disk, or its limit is reached"
            ),
            Error::Taken(path) => write!(f, "{}: another process writes to it", path.display()),
            Error::Foreign(path, what) => write!(f, "{}: {what}", path.display()),
            Error::Broken(broken) => write!(f, "the journal is damaged: {broken}"),
            Error::Failed(what) => write!(f, "the data file: {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Error {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::Full,
            _ => Error::Failed(error.to_string()),
        }
    }
}

/// How large the file may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; the write-ahead log comes on top, some 16 MiB.
    pub bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes_max: 4 << 30 }
    }
}

/// Counts of a service, to be added to those that are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// The service.
    pub service: String,
    /// Start of the time that is counted, seconds since 1970.
    pub start_s: u64,
    /// Reports.
    pub reports: u64,
    /// Probes.
    pub tried: u64,
    /// Probes that failed.
    pub failed: u64,
}

/// What is committed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// When, nanoseconds since 1970.
    pub at_ns: u64,
    /// Entries of the journal: kind and body.
    pub entries: Vec<(&'static str, Vec<u8>)>,
    /// Documents: kind, name and text, in place of what had that name.
    pub puts: Vec<(&'static str, String, String)>,
    /// Documents that go: kind and name.
    pub deletes: Vec<(&'static str, String)>,
    /// Counts that are added.
    pub bins: Vec<Bin>,
    /// A state of the program that holds all entries of this batch and before: name and bytes.
    pub snapshot: Option<(&'static str, Vec<u8>)>,
}

impl Batch {
    /// Nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.puts.is_empty()
            && self.deletes.is_empty()
            && self.bins.is_empty()
            && self.snapshot.is_none()
    }
}

/// The file, open for writing: one at a time.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    chain: Chain,
    // Held for as long as the store is; what is in memory alone needs none.
    _lock: Option<fs::File>,
}

impl Store {
    /// Opens the file, and makes it where there is none (readable by its owner alone).
    ///
    /// # Errors
    ///
    /// [`Error`]; also [`Error::Broken`] where the end of the journal does not hold. [`Archive::verify`] looks at all of it.
    pub fn open(path: &Path, limits: Limits) -> Result<Store, Error> {
        let failed = |error: std::io::Error| Error::Failed(format!("{}: {error}", path.display()));
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock = private(Path::new(&lock_path)).map_err(failed)?;
        lock.try_lock().map_err(|_| Error::Taken(path.to_owned()))?;
        drop(private(path).map_err(failed)?);
        Store::with(Connection::open(path)?, path, Some(lock), limits)
    }

    /// A store in memory: for what was made up, and is gone with the process.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn in_memory() -> Result<Store, Error> {
        Store::with(
            Connection::open_in_memory()?,
            Path::new(":memory:"),
            None,
            Limits::default(),
        )
    }

    fn with(
        connection: Connection,
        path: &Path,
        lock: Option<fs::File>,
        limits: Limits,
    ) -> Result<Store, Error> {
        connection.busy_timeout(Duration::from_secs(5))?;
        prepare(&connection, path)?;
        // What is deleted is overwritten: yesterday's key, and reports whose time has come.
        connection.pragma_update(None, "secure_delete", true)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
        connection.pragma_update(None, "max_page_count", (limits.bytes_max / PAGE) as i64)?;
        connection.set_prepared_statement_cache_capacity(64);
        let chain = last(&connection)?;
        Ok(Store {
            connection,
            chain,
            _lock: lock,
        })
    }

    /// Entries so far, and the hash of the last one.
    pub fn head(&self) -> (u64, Hash) {
        (self.chain.seq, self.chain.hash)
    }

    /// Writes the batch: all of it, on the disk, when this returns.
    ///
    /// # Errors
    ///
    /// [`Error::Full`] and others; then nothing of it was written.
    pub fn commit(&mut self, batch: &Batch) -> Result<(), Error> {
        let mut chain = self.chain.clone();
        let at = i64::try_from(batch.at_ns).unwrap_or(i64::MAX);
        let transaction = self.connection.transaction()?;
        {
            let mut entry = transaction.prepare_cached(
                "INSERT INTO journal (seq, at, kind, body_hash, body, hash) VALUES (?, ?, ?, ?, ?, ?)",
            )?;
            for (kind, body) in &batch.entries {
                let seq = chain.seq + 1;
                let body_hash = of_body(body);
                let hash = of_entry(&chain.hash, seq, at as u64, kind, &body_hash);
                entry.execute(params![seq as i64, at, kind, body_hash, body, hash])?;
                chain = Chain { seq, hash };
            }
            let mut delete =
                transaction.prepare_cached("DELETE FROM document WHERE kind = ? AND name = ?")?;
            for (kind, name) in &batch.deletes {
                delete.execute(params![kind, name])?;
            }
            let mut put = transaction
                .prepare_cached("INSERT OR REPLACE INTO document (kind, name, text) VALUES (?, ?, ?)")?;
            for (kind, name, text) in &batch.puts {
                put.execute(params![kind, name, text])?;
            }
            let mut bin = transaction.prepare_cached(
                "INSERT INTO bin (service, start, reports, tried, failed) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (service, start) DO UPDATE SET
                 reports = reports + ?3, tried = tried + ?4, failed = failed + ?5",
            )?;
            for one in &batch.bins {
                let numbers = [one.start_s, one.reports, one.tried, one.failed].map(|n| n as i64);
                bin.execute(params![
                    one.service,
                    numbers[0],
                    numbers[1],
                    numbers[2],
                    numbers[3]
                ])?;
            }
            if let Some((name, bytes)) = &batch.snapshot {
                transaction.execute(
                    "INSERT OR REPLACE INTO snapshot (name, seq, bytes) VALUES (?, ?, ?)",
                    params![name, chain.seq as i64, bytes],
                )?;
            }
        }
        transaction.commit()?;
        self.chain = chain;
        Ok(())
    }

    /// Drops the bodies of entries of a kind that were written before a time, at most so many at once; returns how many went.
    ///
    /// # Errors
    ///
    /// As those of [`commit`](Store::commit).
    pub fn drop_bodies(&mut self, kind: &str, before_ns: u64, at_most: u32) -> Result<usize, Error> {
        let before = i64::try_from(before_ns).unwrap_or(i64::MAX);
        Ok(self.connection.execute(
            "UPDATE journal SET body = NULL WHERE seq IN
             (SELECT seq FROM journal WHERE body IS NOT NULL AND kind = ? AND at < ? ORDER BY seq LIMIT ?)",
            params![kind, before, at_most],
        )?)
    }

    /// Drops counts from before a time, and gives the room of all that was dropped back to the system, a part at a time.
    ///
    /// # Errors
    ///
    /// As those of [`commit`](Store::commit).
    pub fn drop_bins(&mut self, before_s: u64) -> Result<usize, Error> {
        let dropped = self
            .connection
            .execute("DELETE FROM bin WHERE start < ?", [before_s as i64])?;
        self.connection.execute_batch("PRAGMA incremental_vacuum(2000)")?;
        Ok(dropped)
    }

    /// The same reading as an [`Archive`] has, from this connection.
    pub fn read(&self) -> Read<'_> {
        Read(&self.connection)
    }
}

/// The file, open for reading alone; others may write meanwhile.
#[derive(Debug)]
pub struct Archive {
    connection: Connection,
}

impl Archive {
    /// Opens a file that is there.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`] where it is no store, and others.
    pub fn open(path: &Path) -> Result<Archive, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|error| Error::Foreign(path.to_owned(), format!("cannot be opened: {error}")))?;
        connection.busy_timeout(Duration::from_secs(5))?;
        let (application, version) = form(&connection)
            .map_err(|error| Error::Foreign(path.to_owned(), format!("is no data file of ours: {error}")))?;
        if application != APPLICATION {
            return Err(Error::Foreign(
                path.to_owned(),
                "is no data file of ours".to_owned(),
            ));
        }
        if version != VERSION {
            return Err(Error::Foreign(
                path.to_owned(),
                format!("is of form {version}, and this program knows {VERSION}"),
            ));
        }
        Ok(Archive { connection })
    }

    /// What is in it.
    pub fn read(&self) -> Read<'_> {
        Read(&self.connection)
    }

    /// Checks the whole journal: its entries, and the hash of the last one.
    ///
    /// # Errors
    ///
    /// [`Error::Broken`] names the first entry that does not hold.
    pub fn verify(&self) -> Result<(u64, Hash), Error> {
        let mut chain = Chain::default();
        let mut broken = None;
        self.read().entries(1, &mut |entry| {
            broken = chain.take(&entry).err();
            broken.is_none()
        })?;
        match broken {
            Some(broken) => Err(Error::Broken(broken)),
            None => Ok((chain.seq, chain.hash)),
        }
    }

    /// Copies the file as it is at one moment, also while it is written to. What is at `to` must not be there yet.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where `to` is there or cannot be written.
    pub fn backup(&self, to: &Path) -> Result<(), Error> {
        if to.exists() {
            return Err(Error::Failed(format!("{}: is there already", to.display())));
        }
        drop(private(to).map_err(|error| Error::Failed(format!("{}: {error}", to.display())))?);
        let mut copy = Connection::open(to)?;
        let backup = rusqlite::backup::Backup::new(&self.connection, &mut copy)?;
        // All in one step: it is the state of one moment, and writers are not kept out in WAL mode.
        backup.run_to_completion(i32::MAX, Duration::from_millis(10), None)?;
        drop(backup);
        // One file, which nobody writes to: reading it leaves no write-ahead log beside it.
        copy.pragma_update(None, "journal_mode", "delete")?;
        Ok(())
    }
}

/// Reading.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a>(&'a Connection);

impl Read<'_> {
    /// Gives the entries from a place on, in order, for as long as `take` says true.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn entries(self, from_seq: u64, take: &mut dyn FnMut(Entry) -> bool) -> Result<(), Error> {
        let mut statement = self.0.prepare_cached(
            "SELECT seq, at, kind, body_hash, body, hash FROM journal WHERE seq >= ? ORDER BY seq",
        )?;
        let mut rows = statement.query([from_seq as i64])?;
        while let Some(row) = rows.next()? {
            if !take(entry(row)?) {
                break;
            }
        }
        Ok(())
    }

    /// As [`entries`](Read::entries), those of one kind alone; the others are not looked at.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn entries_of(
        self,
        kind: &str,
        from_seq: u64,
        take: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), Error> {
        let mut statement = self.0.prepare_cached(
            "SELECT seq, at, kind, body_hash, body, hash FROM journal WHERE kind = ? AND seq >= ? ORDER BY seq",
        )?;
        let mut rows = statement.query(params![kind, from_seq as i64])?;
        while let Some(row) = rows.next()? {
            if !take(entry(row)?) {
                break;
            }
        }
        Ok(())
    }

    /// Entries before a place, the latest first, for as long as `take` says true; of one kind where it is named.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn entries_before(
        self,
        kind: Option<&str>,
        before_seq: u64,
        take: &mut dyn FnMut(Entry) -> bool,
    ) -> Result<(), Error> {
        let columns = "SELECT seq, at, kind, body_hash, body, hash FROM journal WHERE";
        let before = i64::try_from(before_seq).unwrap_or(i64::MAX);
        let (mut all, mut of_kind);
        let mut rows = match kind {
            None => {
                all = self
                    .0
                    .prepare_cached(&format!("{columns} seq < ? ORDER BY seq DESC"))?;
                all.query([before])?
            }
            Some(kind) => {
                of_kind = self
                    .0
                    .prepare_cached(&format!("{columns} kind = ? AND seq < ? ORDER BY seq DESC"))?;
                of_kind.query(params![kind, before])?
            }
        };
        while let Some(row) = rows.next()? {
            if !take(entry(row)?) {
                break;
            }
        }
        Ok(())
    }

    /// The number of the last entry, 0 where there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn last_seq(self) -> Result<u64, Error> {
        let last: Option<i64> = self
            .0
            .query_row("SELECT max(seq) FROM journal", [], |row| row.get(0))?;
        Ok(last.unwrap_or(0) as u64)
    }

    /// Where the file is, for an [`Archive`] of it.
    pub fn path(self) -> Option<PathBuf> {
        self.0.path().map(PathBuf::from)
    }

    /// A document.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn document(self, kind: &str, name: &str) -> Result<Option<String>, Error> {
        let mut statement = self
            .0
            .prepare_cached("SELECT text FROM document WHERE kind = ? AND name = ?")?;
        Ok(statement
            .query_row(params![kind, name], |row| row.get(0))
            .optional()?)
    }

    /// All documents of a kind by name.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn documents(self, kind: &str) -> Result<Vec<(String, String)>, Error> {
        let mut statement = self
            .0
            .prepare_cached("SELECT name, text FROM document WHERE kind = ? ORDER BY name")?;
        let rows = statement.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Counts from a time on, by service and time; of one service where it is named.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn bins(self, service: Option<&str>, from_s: u64) -> Result<Vec<Bin>, Error> {
        let columns = "SELECT service, start, reports, tried, failed FROM bin WHERE";
        let order = "ORDER BY service, start";
        let bin = |row: &rusqlite::Row<'_>| {
            let number = |at| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(at)? as u64);
            Ok(Bin {
                service: row.get(0)?,
                start_s: number(1)?,
                reports: number(2)?,
                tried: number(3)?,
                failed: number(4)?,
            })
        };
        let rows: Result<Vec<Bin>, rusqlite::Error> = match service {
            Some(service) => self
                .0
                .prepare_cached(&format!("{columns} service = ? AND start >= ? {order}"))?
                .query_map(params![service, from_s as i64], bin)?
                .collect(),
            None => self
                .0
                .prepare_cached(&format!("{columns} start >= ? {order}"))?
                .query_map([from_s as i64], bin)?
                .collect(),
        };
        Ok(rows?)
    }

    /// Counts of a service from a time on and before another one, by time; so many at most.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn bins_between(
        self,
        service: &str,
        from_s: u64,
        to_s: u64,
        at_most: u32,
    ) -> Result<Vec<Bin>, Error> {
        let [from, to] = [from_s, to_s].map(|s| i64::try_from(s).unwrap_or(i64::MAX));
        let rows: Result<Vec<Bin>, rusqlite::Error> = self
            .0
            .prepare_cached(
                "SELECT start, reports, tried, failed FROM bin
                 WHERE service = ? AND start >= ? AND start < ? ORDER BY start LIMIT ?",
            )?
            .query_map(params![service, from, to, at_most], |row| {
                let number = |at| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(at)? as u64);
                Ok(Bin {
                    service: service.to_owned(),
                    start_s: number(0)?,
                    reports: number(1)?,
                    tried: number(2)?,
                    failed: number(3)?,
                })
            })?
            .collect();
        Ok(rows?)
    }

    /// A state of the program, and the entry up to which it holds all.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn snapshot(self, name: &str) -> Result<Option<(u64, Vec<u8>)>, Error> {
        let found = self
            .0
            .query_row("SELECT seq, bytes FROM snapshot WHERE name = ?", [name], |row| {
                Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))
            })
            .optional()?;
        Ok(found)
    }

    /// Bytes that the file holds, without what is free in it, and those that are free.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`].
    pub fn bytes(self) -> Result<(u64, u64), Error> {
        let pragma = |name: &str| self.0.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (pages, free) = (pragma("page_count")? as u64, pragma("freelist_count")? as u64);
        Ok(((pages - free.min(pages)) * PAGE, free * PAGE))
    }
}

/// A file that only its owner may read, made where there is none.
fn private(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn form(connection: &Connection) -> Result<(i32, i32), rusqlite::Error> {
    Ok((
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?,
        connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
    ))
}

/// Makes the tables in a new file, and refuses a foreign one.
fn prepare(connection: &Connection, path: &Path) -> Result<(), Error> {
    let foreign = |what: String| Error::Foreign(path.to_owned(), what);
    let (application, version) =
        form(connection).map_err(|error| foreign(format!("is no data file of ours: {error}")))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (application, version, tables) {
        (APPLICATION, VERSION, _) => Ok(()),
        (APPLICATION, ..) => Err(foreign(format!(
            "is of form {version}, and this program knows {VERSION}"
        ))),
        (0, 0, 0) => {
            connection.pragma_update(None, "page_size", PAGE as i64)?;
            connection.pragma_update(None, "auto_vacuum", "incremental")?;
            connection.execute_batch(&format!(
                "BEGIN; {TABLES} PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
            ))?;
            Ok(())
        }
        _ => Err(foreign("is a database of something else".to_owned())),
    }
}

fn entry(row: &rusqlite::Row<'_>) -> Result<Entry, rusqlite::Error> {
    Ok(Entry {
        seq: row.get::<_, i64>(0)? as u64,
        at_ns: row.get::<_, i64>(1)? as u64,
        kind: row.get(2)?,
        body_hash: row.get(3)?,
        body: row.get(4)?,
        hash: row.get(5)?,
    })
}

/// The end of the chain, after a look at the last two entries.
fn last(connection: &Connection) -> Result<Chain, Error> {
    let mut statement = connection
        .prepare("SELECT seq, at, kind, body_hash, body, hash FROM journal ORDER BY seq DESC LIMIT 2")?;
    let ends: Vec<Entry> = statement.query_map([], entry)?.collect::<Result<_, _>>()?;
    let mut chain = match ends.as_slice() {
        [_, before] => Chain {
            seq: before.seq,
            hash: before.hash,
        },
        _ => Chain::default(),
    };
    if let Some(end) = ends.first() {
        chain.take(end).map_err(Error::Broken)?;
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Store {
        Store::open(&folder.join("data.db"), Limits::default()).expect("it opens")
    }

    fn batch(n: u64) -> Batch {
        Batch {
            at_ns: n,
            entries: vec![("report", n.to_le_bytes().to_vec()), ("act", b"x".to_vec())],
            puts: vec![("incident", format!("i{n}"), format!("{{\"n\":{n}}}"))],
            bins: vec![Bin {
                service: "a".to_owned(),
                start_s: 900 * (n / 2),
                reports: n,
                ..Bin::default()
            }],
            ..Batch::default()
        }
    }

    #[test]
    fn what_was_committed_is_there_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = open(folder.path());
        for n in 0..4 {
            store.commit(&batch(n)).expect("room");
        }
        let head = store.head();
        assert_eq!(head.0, 8);
        assert!(matches!(
            Store::open(&folder.path().join("data.db"), Limits::default()),
            Err(Error::Taken(_))
        ));
        drop(store);
        let mut store = open(folder.path());
        assert_eq!(store.head(), head);
        let bins: Vec<(u64, u64)> = store
            .read()
            .bins(Some("a"), 0)
            .expect("bins")
            .iter()
            .map(|bin| (bin.start_s, bin.reports))
            .collect();
        assert_eq!(bins, [(0, 1), (900, 5)]);
        let between = |from, to, at_most| {
            let found = store.read().bins_between("a", from, to, at_most).expect("bins");
            found.iter().map(|bin| bin.start_s).collect::<Vec<_>>()
        };
        assert_eq!(between(0, u64::MAX, 10), [0, 900]);
        assert_eq!(between(0, 900, 10), [0]);
        assert_eq!(between(1, 901, 10), [900]);
        assert_eq!(between(0, u64::MAX, 1), [0]);
        let mut acts = Vec::new();
        store
            .read()
            .entries_of("act", 3, &mut |entry| {
                acts.push(entry.seq);
                true
            })
            .expect("read");
        assert_eq!(acts, [4, 6, 8]);
        let before = |kind: Option<&str>, seq| {
            let mut found = Vec::new();
            let take = &mut |entry: Entry| {
                found.push(entry.seq);
                found.len() < 3
            };
            store.read().entries_before(kind, seq, take).expect("read");
            found
        };
        assert_eq!(before(None, u64::MAX), [8, 7, 6]);
        assert_eq!(before(Some("act"), 8), [6, 4, 2]);
        assert_eq!(store.read().last_seq().expect("read"), 8);
        let beside = Archive::open(&store.read().path().expect("a file")).expect("it opens");
        assert_eq!(beside.read().last_seq().expect("read"), 8);
        assert_eq!(
            store.read().document("incident", "i3").expect("read").as_deref(),
            Some("{\"n\":3}")
        );
        let gone = Batch {
            deletes: vec![("incident", "i3".to_owned())],
            snapshot: Some(("watch", b"state".to_vec())),
            ..Batch::default()
        };
        store.commit(&gone).expect("room");
        assert_eq!(store.read().documents("incident").expect("read").len(), 3);
        assert_eq!(
            store.read().snapshot("watch").expect("read"),
            Some((8, b"state".to_vec()))
        );

        // Reading from elsewhere while the store is open; bodies go, the chain holds.
        let archive = Archive::open(&folder.path().join("data.db")).expect("it opens");
        assert_eq!(archive.verify().expect("whole"), head);
        assert_eq!(store.drop_bodies("report", 2, 100).expect("dropped"), 2);
        assert_eq!(store.drop_bins(900).expect("dropped"), 1);
        assert_eq!(archive.verify().expect("whole"), head);
        archive.backup(&folder.path().join("copy.db")).expect("a copy");
        assert!(archive.backup(&folder.path().join("copy.db")).is_err());
        let copy = Archive::open(&folder.path().join("copy.db")).expect("it opens");
        assert_eq!(copy.verify().expect("whole"), head);
    }

    #[test]
    fn a_changed_entry_is_named_and_foreign_files_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data.db");
        let mut store = open(folder.path());
        for n in 0..4 {
            store.commit(&batch(n)).expect("room");
        }
        drop(store);
        let connection = Connection::open(&path).expect("sqlite");
        connection
            .execute("UPDATE journal SET body = x'00' WHERE seq = 3", [])
            .expect("changed");
        let broken = Archive::open(&path).expect("it opens").verify();
        assert!(
            matches!(&broken, Err(Error::Broken(Broken { seq: 3, .. }))),
            "{broken:?}"
        );
        connection
            .execute("UPDATE journal SET at = at + 1 WHERE seq = 8", [])
            .expect("changed");
        assert!(matches!(
            Store::open(&path, Limits::default()),
            Err(Error::Broken(_))
        ));

        let other = folder.path().join("other.db");
        Connection::open(&other)
            .expect("sqlite")
            .execute_batch("CREATE TABLE t (x)")
            .expect("made");
        assert!(matches!(
            Store::open(&other, Limits::default()),
            Err(Error::Foreign(..))
        ));
        assert!(matches!(Archive::open(&other), Err(Error::Foreign(..))));
        let text = folder.path().join("text.db");
        fs::write(&text, "certainly not a database, but long enough to be looked at").expect("written");
        assert!(matches!(
            Store::open(&text, Limits::default()),
            Err(Error::Foreign(..))
        ));
        assert!(matches!(Archive::open(&text), Err(Error::Foreign(..))));
    }

    #[test]
    fn what_is_deleted_is_in_the_file_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let (key, body) = ("yesterday's key, which nobody may find", [b'r'; 9_000]);
        let mut store = open(folder.path());
        let kept = Batch {
            entries: vec![("report", body.to_vec())],
            puts: vec![("key", "1".to_owned(), key.to_owned())],
            ..Batch::default()
        };
        store.commit(&kept).expect("room");
        let gone = Batch {
            deletes: vec![("key", "1".to_owned())],
            ..Batch::default()
        };
        store.commit(&gone).expect("room");
        store.drop_bodies("report", 1, 10).expect("dropped");
        drop(store);
        for file in fs::read_dir(folder.path()).expect("a folder") {
            let bytes = fs::read(file.expect("a file").path()).expect("read");
            assert!(!bytes.windows(16).any(|part| part == &key.as_bytes()[..16]));
            assert!(!bytes.windows(64).any(|part| part == &body[..64]));
        }
    }

    #[test]
    fn a_full_file_refuses_and_loses_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data.db");
        let mut store = Store::open(&path, Limits { bytes_max: 1 << 20 }).expect("it opens");
        let large = Batch {
            entries: vec![("report", vec![7; 100_000])],
            ..Batch::default()
        };
        let mut written = 0;
        let error = loop {
            match store.commit(&large) {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
            assert!(written < 100);
        };
        assert!(matches!(error, Error::Full), "{error}");
        assert!(written >= 5);
        assert_eq!(store.head().0, written);
        let archive = Archive::open(&path).expect("it opens");
        assert_eq!(archive.verify().expect("whole").0, written);
        // Once something was dropped there is room again.
        store.drop_bodies("report", 1, 3).expect("dropped");
        store.commit(&large).expect("room");
        assert_eq!(archive.verify().expect("whole").0, written + 1);
    }
}
