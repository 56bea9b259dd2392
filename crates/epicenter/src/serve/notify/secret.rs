//! Keys that last: made once, kept in the data file.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::serve::engine::Writing;
use crate::serve::http::{App, Problem};

/// Kind of the documents.
const SECRET: &str = "secret";

/// One at a time looks for a key, so that two who miss it do not make two.
static LOOKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The key of a name; made where there is none.
///
/// # Errors
///
/// It cannot be read or written.
pub(super) async fn key(app: &App, name: &'static str) -> Result<[u8; 32], Problem> {
    let _looking = LOOKING.lock().await;
    let kept = app.read(move |read| read.document(SECRET, name)).await?;
    if let Some(key) = kept.and_then(|text| unhex(&text)) {
        return Ok(key);
    }
    let key = random();
    let put = (SECRET, name.to_owned(), hex(&key));
    app.write(Writing {
        puts: vec![put],
        ..Writing::default()
    })
    .await?;
    Ok(key)
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// Small letters and digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes: Option<Vec<u8>> = (0..text.len() / 2)
        .map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

fn mac(key: &[u8; 32], text: &str) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("any length is a key");
    mac.update(text.as_bytes());
    mac
}

/// A name for something, from which it cannot be guessed.
pub(super) fn name(key: &[u8; 32], what: &str) -> String {
    hex(&mac(key, what).finalize().into_bytes()[..16])
}

/// A word that only we can have given: for a purpose, good until a time (seconds since 1970; 0 for ever), holding some texts without
/// line breaks.
pub(super) fn token(key: &[u8; 32], purpose: &str, until_s: u64, held: &[&str]) -> String {
    let text = format!("{purpose}\n{until_s}\n{}", held.join("\n"));
    let tag = mac(key, &text).finalize().into_bytes();
    format!("{}.{}", URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(tag))
}

/// What a token holds, where it is one of ours, for this purpose, and still good.
pub(super) fn open(key: &[u8; 32], purpose: &str, token: &str, now_s: u64) -> Option<Vec<String>> {
    let (text, tag) = token.split_once('.')?;
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    mac(key, &text)
        .verify_slice(&URL_SAFE_NO_PAD.decode(tag).ok()?)
        .ok()?;
    let mut lines = text.split('\n');
    let is_ours = lines.next()? == purpose;
    let until_s: u64 = lines.next()?.parse().ok()?;
    (is_ours && (until_s == 0 || now_s <= until_s)).then(|| lines.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_one_purpose_and_time_and_cannot_be_changed() {
        let key = [7; 32];
        let given = token(&key, "confirm", 1_000, &["shop", "ann@example.org"]);
        let held = vec!["shop".to_owned(), "ann@example.org".to_owned()];
        assert_eq!(open(&key, "confirm", &given, 1_000), Some(held));
        assert_eq!(open(&key, "confirm", &given, 1_001), None);
        assert_eq!(open(&key, "remove", &given, 1_000), None);
        assert_eq!(open(&[8; 32], "confirm", &given, 1_000), None);
        let (_, tag) = given.split_once('.').expect("two parts");
        let other = URL_SAFE_NO_PAD.encode("confirm\n1000\nshop\nbob@example.org");
        assert_eq!(open(&key, "confirm", &format!("{other}.{tag}"), 1_000), None);
        assert_eq!(open(&key, "confirm", "", 1_000), None);
        assert!(open(&key, "remove", &token(&key, "remove", 0, &["x"]), u64::MAX).is_some());
        assert_eq!(unhex(&hex(&key)), Some(key));
        assert_eq!(unhex("zz"), None);
    }
}
