//! `epicenter user` and `epicenter token`: users and tokens of a tracker that does not run. The first operator is made here.

use std::io::{BufRead, IsTerminal, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::json;
use store::file::{Archive, Batch, Error, Limits, Store};

use super::super::config::Config;
use super::super::server;
use super::session::{self, Role, Session, Token, USERS_MAX, User};
use crate::args::{DataArgs, PasswordArgs, TokenCommand, UserCommand};
use crate::case_json::time;

/// Who did it, as it stands in the journal; no user can have this name.
const WHO: &str = "command line";

/// Runs `epicenter user`.
pub(crate) fn user(command: &UserCommand) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match command {
        UserCommand::Add(args) => {
            let name = session::name(&args.name).map_err(anyhow::Error::msg)?;
            // The file first: nobody should write a password twice to hear that it cannot be used.
            let mut file = File::open(&args.data)?;
            if file.user(name)?.is_some() {
                bail!("there is a user {name}; `epicenter user password {name}` sets another password");
            }
            if file.store.read().documents("user")?.len() >= USERS_MAX {
                bail!("there are as many users as there can be");
            }
            let now_ns = file.now_ns()?;
            let user = User {
                password: hashed(&args.password)?,
                role: args.role,
                created_ns: now_ns,
                since_ns: now_ns,
            };
            let entry = json!({ "who": WHO, "do": "add", "name": name, "role": args.role.name() });
            file.write(
                "user",
                &entry,
                vec![("user", name.to_owned(), session::to_json(&user))],
                Vec::new(),
            )?;
            writeln!(
                out,
                "{name} is {} of {}; sign in at /console",
                a(args.role),
                file.path.display()
            )?;
        }
        UserCommand::List(args) => {
            let (_, path) = settings(args)?;
            let archive = archive(&path)?;
            for (name, user) in session::all::<User>(archive.read(), "user")? {
                writeln!(
                    out,
                    "{name:<24} {:<9} since {}",
                    user.role.name(),
                    time(user.created_ns)
                )?;
            }
        }
        UserCommand::Remove(args) => {
            let mut file = File::open(&args.data)?;
            if file.user(&args.name)?.is_none() {
                bail!("there is no user {}", args.name);
            }
            let mut deletes = file.sessions(&args.name)?;
            deletes.push(("user", args.name.clone()));
            let entry = json!({ "who": WHO, "do": "remove", "name": args.name });
            file.write("user", &entry, Vec::new(), deletes)?;
            writeln!(out, "{} is removed, and signed out everywhere", args.name)?;
        }
        UserCommand::Password(args) => {
            let mut file = File::open(&args.data)?;
            let Some(mut user) = file.user(&args.name)? else {
                bail!("there is no user {}", args.name);
            };
            user.password = hashed(&args.password)?;
            user.since_ns = file.now_ns()?;
            let deletes = file.sessions(&args.name)?;
            let entry = json!({ "who": WHO, "do": "password", "name": args.name });
            file.write(
                "user",
                &entry,
                vec![("user", args.name.clone(), session::to_json(&user))],
                deletes,
            )?;
            writeln!(
                out,
                "the password of {} is set, and all sessions are over",
                args.name
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `epicenter token`.
pub(crate) fn token(command: &TokenCommand) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match command {
        TokenCommand::Add(args) => {
            let name = session::name(&args.name).map_err(anyhow::Error::msg)?;
            let mut file = File::open(&args.data)?;
            let tokens = session::all::<Token>(file.store.read(), "token")?;
            if tokens.iter().any(|(_, token)| token.name == name) {
                bail!("there is a token {name}; revoke it first");
            }
            let (shown, id, token) = session::new_token(name, &args.scope, WHO, file.now_ns()?);
            let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
            let entry = json!({ "who": WHO, "do": "add", "name": name, "token": id, "scopes": scopes });
            file.write(
                "token",
                &entry,
                vec![("token", id, session::to_json(&token))],
                Vec::new(),
            )?;
            // Alone on standard output, for a script to take; it is never shown again.
            writeln!(out, "{shown}")?;
        }
        TokenCommand::List(args) => {
            let (_, path) = settings(args)?;
            let archive = archive(&path)?;
            for (id, token) in session::all::<Token>(archive.read(), "token")? {
                let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
                writeln!(
                    out,
                    "{:<24} {id}  {:<20} since {}, by {}",
                    token.name,
                    scopes.join(","),
                    time(token.created_ns),
                    token.by
                )?;
            }
        }
        TokenCommand::Revoke(args) => {
            let mut file = File::open(&args.data)?;
            let tokens = session::all::<Token>(file.store.read(), "token")?;
            let Some((id, _)) = tokens.into_iter().find(|(_, token)| token.name == args.name) else {
                bail!("there is no token {}", args.name);
            };
            let entry = json!({ "who": WHO, "do": "revoke", "name": args.name, "token": id });
            file.write("token", &entry, Vec::new(), vec![("token", id)])?;
            writeln!(out, "{} is revoked", args.name)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn a(role: Role) -> &'static str {
    match role {
        Role::Viewer => "a viewer",
        Role::Operator => "an operator",
    }
}

fn settings(args: &DataArgs) -> anyhow::Result<(Config, PathBuf)> {
    let (config, _) = server::config(args.config.as_deref())?;
    let path = args.data.clone().unwrap_or_else(|| config.data.file.clone());
    Ok((config, path))
}

fn archive(path: &Path) -> anyhow::Result<Archive> {
    if !path.exists() {
        bail!("{}: is not there yet", path.display());
    }
    Ok(Archive::open(path)?)
}

/// The data file, while no server has it.
struct File {
    store: Store,
    path: PathBuf,
}

impl File {
    fn open(args: &DataArgs) -> anyhow::Result<File> {
        let (config, path) = settings(args)?;
        let limits = Limits {
            bytes_max: config.data.size.0,
        };
        let store = match Store::open(&path, limits) {
            Err(Error::Taken(path)) => bail!(
                "{}: the server is running. Use its pages /console/users and /console/tokens, or stop it first",
                path.display()
            ),
            opened => opened?,
        };
        Ok(File { store, path })
    }

    /// Now, and not before what is in the journal: its times never go back.
    fn now_ns(&self) -> anyhow::Result<u64> {
        let mut last_ns = 0;
        self.store.read().entries_before(None, u64::MAX, &mut |entry| {
            last_ns = entry.at_ns;
            false
        })?;
        Ok(session::system_ns().max(last_ns))
    }

    fn user(&self, name: &str) -> anyhow::Result<Option<User>> {
        match self.store.read().document("user", name)? {
            Some(text) => Ok(Some(
                serde_json::from_str(&text).context("the user cannot be read")?,
            )),
            None => Ok(None),
        }
    }

    fn sessions(&self, name: &str) -> anyhow::Result<Vec<(&'static str, String)>> {
        let all = session::all::<Session>(self.store.read(), "session")?;
        let of = all.into_iter().filter(|(_, session)| session.user == name);
        Ok(of.map(|(hash, _)| ("session", hash)).collect())
    }

    fn write(
        &mut self,
        kind: &'static str,
        entry: &serde_json::Value,
        puts: Vec<(&'static str, String, String)>,
        deletes: Vec<(&'static str, String)>,
    ) -> anyhow::Result<()> {
        let batch = Batch {
            at_ns: self.now_ns()?,
            entries: vec![(kind, entry.to_string().into_bytes())],
            puts,
            deletes,
            ..Batch::default()
        };
        Ok(self.store.commit(&batch)?)
    }
}

/// The hash of a password that is asked for.
fn hashed(args: &PasswordArgs) -> anyhow::Result<String> {
    let password = if args.password_stdin {
        let mut line = String::new();
        std::io::BufReader::new(std::io::stdin().take(4_096))
            .read_line(&mut line)
            .context("the password on standard input")?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        if !std::io::stdin().is_terminal() {
            bail!(
                "there is no terminal to ask at; give the password on standard input with --password-stdin"
            );
        }
        let first = rpassword::prompt_password(format!(
            "Password ({} characters at least): ",
            session::PASSWORD_MIN
        ))?;
        session::password(&first).map_err(anyhow::Error::msg)?;
        if rpassword::prompt_password("Again: ")? != first {
            bail!("that was not the same twice");
        }
        first
    };
    session::password(&password).map_err(anyhow::Error::msg)?;
    session::hash_password(&password).map_err(|error| anyhow::anyhow!("the password: {error}"))
}
