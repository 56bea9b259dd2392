//! `epicenter keys`: keys that sign bundles, in the forms of minisign.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use minisign::{KeyPair, PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};

use crate::args::{KeysNewArgs, KeysShowArgs};
use crate::tell;

/// Bytes of a key file or a signature at most.
const TEXT_MAX: u64 = 4_096;
/// Variable that holds the password of a secret key where there is no terminal to ask at.
const PASSWORD: &str = "EPICENTER_KEY_PASSWORD";

/// `epicenter keys new`.
pub(crate) fn new(args: &KeysNewArgs) -> anyhow::Result<ExitCode> {
    let public = public_path(&args.output);
    for path in [&args.output, &public] {
        if path.symlink_metadata().is_ok() {
            bail!("{}: is there already; a key is never overwritten", path.display());
        }
    }
    let pair = if args.password {
        KeyPair::generate_encrypted_keypair(Some(password(true)?))?
    } else {
        KeyPair::generate_unencrypted_keypair()?
    };
    let secret = pair.sk.to_box(Some("epicenter secret key"))?.into_string();
    create(&args.output, &secret, true)?;
    if let Err(error) = create(&public, &pair.pk.to_box()?.into_string(), false) {
        // Half a pair is none.
        let _ = std::fs::remove_file(&args.output);
        return Err(error);
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "secret key  {} (keep it; nobody else may read it)",
        args.output.display()
    )?;
    writeln!(out, "public key  {} (publish it)", public.display())?;
    writeln!(out, "{}", described(&pair.pk))?;
    Ok(ExitCode::SUCCESS)
}

/// `epicenter keys show`.
pub(crate) fn show(args: &KeysShowArgs) -> anyhow::Result<ExitCode> {
    let text = read(&args.file)?;
    let shown = match public_of(&text) {
        Ok(key) => format!("public key\n{}", described(&key)),
        Err(_) => match SecretKeyBox::from_string(&text)?.into_unencrypted_secret_key() {
            Ok(secret) => format!(
                "secret key, without a password\n{}",
                described(&PublicKey::from_secret_key(&secret)?)
            ),
            Err(_)
                if text.contains("key")
                    && SecretKeyBox::from_string(&text).is_ok()
                    && is_encrypted(&text) =>
            {
                "secret key, with a password; its public key is in the file beside it".to_owned()
            }
            Err(_) => bail!("{}: is no key in the form of minisign", args.file.display()),
        },
    };
    writeln!(std::io::stdout().lock(), "{shown}")?;
    Ok(ExitCode::SUCCESS)
}

fn is_encrypted(text: &str) -> bool {
    // The first bytes of a secret key are "Ed", then "Sc" where scrypt guards it: in base64 that is this.
    text.lines()
        .nth(1)
        .is_some_and(|line| line.starts_with("RWRTY0Iy"))
}

/// The id of a key, as minisign writes it.
pub(crate) fn id(keynum: &[u8]) -> String {
    keynum.iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

/// A public key in two lines.
fn described(key: &PublicKey) -> String {
    format!(
        "id          {}\nkey         {}",
        id(key.keynum()),
        key.to_base64()
    )
}

/// A file where nothing is yet; a secret one that nobody else may read.
fn create(path: &Path, text: &str, secret: bool) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(if secret { 0o600 } else { 0o644 });
    }
    let mut file = options.open(path).with_context(|| path.display().to_string())?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| path.display().to_string())
}

fn public_path(secret: &Path) -> PathBuf {
    let mut name = secret.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn read(path: &Path) -> anyhow::Result<String> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::Read::take(file, TEXT_MAX), &mut text)
        .with_context(|| format!("{}: is no key", path.display()))?;
    Ok(text)
}

/// A public key from what a file holds: two lines, or the key alone.
fn public_of(text: &str) -> anyhow::Result<PublicKey> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    Ok(match lines[..] {
        [key] => PublicKey::from_base64(key)?,
        _ => PublicKeyBox::from_string(text)?.into_public_key()?,
    })
}

/// The public key that an option names: a file of one, or the key itself.
pub(crate) fn public(named: &str) -> anyhow::Result<PublicKey> {
    if let Ok(key) = PublicKey::from_base64(named) {
        return Ok(key);
    }
    let path = Path::new(named);
    let text = read(path)?;
    public_of(&text).map_err(|_| anyhow::anyhow!("{named}: is no public key of minisign"))
}

/// The public key in the bytes of a file.
pub(crate) fn public_bytes(bytes: &[u8]) -> Option<PublicKey> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.len() as u64 <= TEXT_MAX)?;
    public_of(text).ok()
}

/// A secret key that is ready to sign, and its public key. Where it has a password, that is asked for.
pub(crate) fn secret(path: &Path) -> anyhow::Result<(SecretKey, PublicKey)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path)
            .with_context(|| path.display().to_string())?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            tell(&format!(
                "{}: others can read this secret key (mode {:03o}); chmod 600 keeps it yours",
                path.display(),
                mode & 0o777
            ));
        }
    }
    let text = read(path)?;
    let key = if is_encrypted(&text) {
        SecretKeyBox::from_string(&text)?.into_secret_key(Some(password(false)?))
    } else {
        SecretKeyBox::from_string(&text)?.into_unencrypted_secret_key()
    };
    let key =
        key.with_context(|| format!("{}: is no secret key, or the password is wrong", path.display()))?;
    let public = PublicKey::from_secret_key(&key)?;
    Ok((key, public))
}

/// A password: from the variable, or from one line of the terminal.
fn password(new: bool) -> anyhow::Result<String> {
    if let Some(password) = std::env::var_os(PASSWORD) {
        return password
            .into_string()
            .map_err(|_| anyhow::anyhow!("{PASSWORD}: is no text"));
    }
    if !std::io::stdin().is_terminal() {
        bail!("the key has a password, and there is no terminal to ask at; {PASSWORD} can hold it");
    }
    let asked = |prompt: &str| rpassword::prompt_password(prompt);
    let first = asked("Password of the secret key: ")?;
    if new && asked("Once more: ")? != first {
        bail!("the passwords differ");
    }
    Ok(first)
}

/// Signs bytes; the trusted comment is signed with them.
pub(crate) fn sign(
    key: &SecretKey,
    public: &PublicKey,
    bytes: &[u8],
    comment: &str,
) -> anyhow::Result<String> {
    let signature = minisign::sign(
        Some(public),
        key,
        bytes,
        Some(comment),
        Some("signature of an epicenter bundle"),
    )?;
    Ok(signature.into_string())
}

/// A signature in its text form, checked for its lengths.
pub(crate) fn signature(bytes: &[u8]) -> Result<SignatureBox, &'static str> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.len() as u64 <= TEXT_MAX)
        .ok_or("is no signature of minisign")?;
    let lines: Vec<&str> = text.lines().collect();
    // 74 bytes and 64 bytes in base64.
    let [_, signature, _, global] = lines[..] else {
        return Err("has not the four lines of a signature of minisign");
    };
    if signature.trim().len() != 100 || global.trim().len() != 88 {
        return Err("is no signature of minisign: its lines are not as long");
    }
    SignatureBox::from_string(text).map_err(|_| "is no signature of minisign")
}

/// Whether a signature of these bytes is by this key.
pub(crate) fn verifies(key: &PublicKey, signature: &SignatureBox, bytes: &[u8]) -> bool {
    minisign::verify(key, signature, std::io::Cursor::new(bytes), true, false, false).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_is_told_from_what_was_not() {
        let pair = KeyPair::generate_unencrypted_keypair().unwrap();
        let other = KeyPair::generate_unencrypted_keypair().unwrap();
        let text = sign(&pair.sk, &pair.pk, b"manifest", "of a test").unwrap();
        let good = signature(text.as_bytes()).unwrap();
        assert!(verifies(&pair.pk, &good, b"manifest"));
        assert!(!verifies(&pair.pk, &good, b"manifesT"));
        assert!(!verifies(&other.pk, &good, b"manifest"));
        assert_eq!(id(good.keynum()), id(pair.pk.keynum()));
        // Every way to spoil a byte is an error or a signature that does not hold, and never a panic.
        for at in 0..text.len() {
            let mut spoilt = text.clone().into_bytes();
            spoilt[at] ^= 1;
            if let Ok(spoilt) = signature(&spoilt) {
                let untrusted = at < text.find('\n').unwrap();
                // White space at the end of a line is no part of it.
                let holds = verifies(&pair.pk, &spoilt, b"manifest");
                assert!(
                    !holds || untrusted || text.as_bytes()[at].is_ascii_whitespace(),
                    "at {at}"
                );
            }
            let _ = signature(&text.as_bytes()[..at]).map(|cut| verifies(&pair.pk, &cut, b"manifest"));
        }
        let box_of_public = pair.pk.to_box().unwrap().into_string();
        assert!(public_bytes(box_of_public.as_bytes()).unwrap() == pair.pk);
        assert!(public_bytes(pair.pk.to_base64().as_bytes()).unwrap() == pair.pk);
    }
}
