//! Mail: a letter for a message, and the way to the server that takes it.

use axum::http::Uri;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Mime};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::message::Message;
use super::outbox::{Failure, Times};
use crate::serve::config::{Mail, MailTls};

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) text: String,
    /// The same for the same letter: the name by which doubles are known.
    pub(crate) key: String,
    /// Where a click ends it (RFC 8058). Receivers of the settings have none: they write to the sender.
    pub(crate) unsubscribe: Option<String>,
}

/// An address that mail can go to: with a domain of letters, and no longer than the protocol takes.
pub(crate) fn address(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() > 254 || !text.is_ascii() {
        return None;
    }
    let address: Address = text.parse().ok()?;
    let domain = address.domain().to_ascii_lowercase();
    // Hosts without a dot and addresses of hosts are ours or nobody's.
    if !domain.contains('.') || domain.starts_with('[') {
        return None;
    }
    Some(format!("{}@{domain}", address.user()))
}

/// The letter of a message.
pub(crate) fn letter(message: &Message, to: &str, unsubscribe: Option<String>) -> Letter {
    let mut text = message.text();
    text.push_str("\n\n-- \n");
    text.push_str(&message.site);
    text.push('\n');
    if !message.site_url.is_empty() {
        text.push_str(&message.site_url);
        text.push('\n');
    }
    if let Some(link) = &unsubscribe {
        text.push_str(&format!("No more of this: {link}\n"));
    }
    Letter {
        to: to.to_owned(),
        subject: super::message::cut(&message.title(), 150),
        text,
        key: message.key.clone(),
        unsubscribe,
    }
}

/// The bytes of a letter.
fn mime(mail: &Mail, letter: &Letter) -> Result<Mime, Failure> {
    let from: Mailbox = mail
        .from
        .parse()
        .map_err(|_| Failure::passing("mail.from is no address"))?;
    let to: Mailbox = letter
        .to
        .parse()
        .map_err(|_| Failure::lasting("the address of the receiver cannot be read"))?;
    let header = |name, value: String| {
        HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
    };
    let domain = from.email.domain().to_owned();
    let back = format!("<mailto:{}?subject=unsubscribe>", from.email);
    let mut builder = Mime::builder()
        .from(from)
        .to(to)
        .subject(letter.subject.clone())
        .message_id(Some(format!("<{}@{domain}>", letter.key)))
        .date_now()
        .raw_header(header("Auto-Submitted", "auto-generated".to_owned()));
    // One click, and mail programs may offer it: only over https, and only where it works.
    let is_https = |link: &&String| {
        link.parse::<Uri>()
            .is_ok_and(|uri| uri.scheme_str() == Some("https"))
    };
    match &letter.unsubscribe {
        Some(link) => {
            builder = builder.raw_header(header("List-Unsubscribe", format!("<{link}>")));
            if is_https(&link) {
                let one = "List-Unsubscribe=One-Click".to_owned();
                builder = builder.raw_header(header("List-Unsubscribe-Post", one));
            }
        }
        None => builder = builder.raw_header(header("List-Unsubscribe", back)),
    }
    builder
        .header(ContentType::TEXT_PLAIN)
        .body(letter.text.clone())
        .map_err(|_| Failure::lasting("the letter cannot be written"))
}

/// Host and port; without a port that of the kind of connection.
fn server(mail: &Mail) -> (String, u16) {
    let usual = match mail.tls {
        MailTls::Starttls => 587,
        MailTls::Tls => 465,
        MailTls::None => 25,
    };
    match mail.server.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => match port.parse() {
            Ok(port) => (host.trim_matches(['[', ']']).to_owned(), port),
            Err(_) => (mail.server.clone(), usual),
        },
        _ => (mail.server.trim_matches(['[', ']']).to_owned(), usual),
    }
}

/// Gives a letter to the server.
///
/// # Errors
///
/// The server did not take it. The words hold neither the address nor the password.
pub(crate) async fn send(mail: &Mail, letter: &Letter, times: &Times) -> Result<(), Failure> {
    let mime = mime(mail, letter)?;
    let (host, port) = server(mail);
    let parameters = || {
        TlsParameters::new(host.clone())
            .map_err(|_| Failure::passing("TLS: the certificates of the system cannot be used"))
    };
    let tls = match mail.tls {
        MailTls::Starttls => Tls::Required(parameters()?),
        MailTls::Tls => Tls::Wrapper(parameters()?),
        MailTls::None => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        .port(port)
        .tls(tls)
        .timeout(Some(times.timeout));
    if !mail.user.is_empty() {
        let password = match &mail.password_file {
            Some(file) => std::fs::read_to_string(file)
                .map_err(|error| Failure::passing(format!("mail.password_file: {}", error.kind())))?,
            None => String::new(),
        };
        let password = password.trim_end_matches(['\r', '\n']).to_owned();
        builder = builder.credentials(Credentials::new(mail.user.clone(), password));
    }
    let envelope: Envelope = mime.envelope().clone();
    match builder.build().send_raw(&envelope, &mime.formatted()).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &lettre::transport::smtp::Error) -> Failure {
    match error.status() {
        Some(code) => {
            let code = code.to_string();
            let reason = format!("the mail server says {code}");
            // That there is no such mailbox stays so; all else, as a wrong password, is put right by somebody.
            if ["501", "550", "551", "553", "556"].contains(&code.as_str()) {
                Failure::lasting(reason)
            } else {
                Failure::passing(reason)
            }
        }
        None if error.is_timeout() => Failure::passing("the mail server does not answer"),
        None if error.is_tls() => Failure::passing("the mail server: TLS failed"),
        None if error.is_client() => Failure::passing("the mail server does not offer what is needed"),
        // What the system or TLS says; the rest may repeat what was said to the server.
        None => match system_error(error) {
            Some(words) => Failure::passing(format!("the mail server cannot be reached: {words}")),
            None => Failure::passing("the mail server cannot be reached"),
        },
    }
}

/// The error of the system behind an error.
fn system_error(error: &lettre::transport::smtp::Error) -> Option<String> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return Some(error.to_string());
        }
        source = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(server: &str, tls: MailTls) -> Mail {
        Mail {
            from: "Status <status@example.org>".to_owned(),
            server: server.to_owned(),
            user: String::new(),
            password_file: None,
            tls,
        }
    }

    #[test]
    fn servers_are_read() {
        assert_eq!(
            server(&mail("mx.example.org:2525", MailTls::Tls)),
            ("mx.example.org".to_owned(), 2_525)
        );
        assert_eq!(
            server(&mail("mx.example.org", MailTls::Tls)),
            ("mx.example.org".to_owned(), 465)
        );
        assert_eq!(server(&mail("[::1]:25", MailTls::Tls)), ("::1".to_owned(), 25));
        assert_eq!(server(&mail("mx.example.org", MailTls::Starttls)).1, 587);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_as_such() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr()
            .expect("an address");
        let letter = Letter {
            to: "ann@example.net".to_owned(),
            subject: "a".to_owned(),
            text: "b".to_owned(),
            key: "c".to_owned(),
            unsubscribe: None,
        };
        let failure = send(
            &mail(&free.to_string(), MailTls::None),
            &letter,
            &Times::default(),
        )
        .await
        .expect_err("nobody there");
        assert!(!failure.is_final);
        assert!(
            failure
                .reason
                .starts_with("the mail server cannot be reached: Connection refused"),
            "{}",
            failure.reason
        );
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(
            address(" A.b+c@Example.ORG ").as_deref(),
            Some("A.b+c@example.org")
        );
        for bad in [
            "",
            "a",
            "a@b",
            "a@[127.0.0.1]",
            "a@b.c\r\nBcc: x@y.z",
            "a b@c.d",
            "<a@b.c>",
            "a@b.c, d@e.f",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
        assert_eq!(address(&format!("{}@example.org", "a".repeat(250))), None);
    }

    #[test]
    fn letters_carry_what_mail_programs_need() {
        let link = format!(
            "https://status.example/subscriptions/remove?token={}",
            "a".repeat(200)
        );
        let letter = Letter {
            to: "ann@example.net".to_owned(),
            subject: "Größe: resolved".to_owned(),
            text: "Über\n".to_owned(),
            key: "abc".to_owned(),
            unsubscribe: Some(link.clone()),
        };
        let text = |letter: &Letter| {
            let mime = mime(&mail("localhost", MailTls::None), letter).expect("a letter");
            String::from_utf8(mime.formatted()).expect("text")
        };
        let whole = text(&letter);
        assert!(
            whole.contains(&format!("\r\nList-Unsubscribe: <{link}>\r\n")),
            "{whole}"
        );
        assert!(whole.contains("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
        assert!(whole.contains("Message-ID: <abc@example.org>\r\n"));
        assert!(whole.contains("Auto-Submitted: auto-generated\r\n"));
        assert!(
            whole.contains("From: Status <status@example.org>\r\n")
                && whole.contains("To: ann@example.net\r\n")
        );
        let to_us = text(&Letter {
            unsubscribe: None,
            ..letter.clone()
        });
        assert!(
            to_us.contains("\r\nList-Unsubscribe: <mailto:status@example.org?subject=unsubscribe>\r\n"),
            "{to_us}"
        );
        assert!(!to_us.contains("-Post"));
        // Lines of a subject cannot become headers.
        let split = text(&Letter {
            subject: "a\r\nBcc: x@example.com".to_owned(),
            ..letter
        });
        assert!(!split.contains("\r\nBcc:"), "{split}");
    }
}
