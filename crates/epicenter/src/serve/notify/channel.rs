//! A message in the form that each service takes. Pure: a message, settings and a time give a request.

use axum::http::Uri;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};

use super::client::Outgoing;
use super::message::{Item, Kind, Message, Urgency, cut};
use crate::case_json::time;
use crate::serve::config::{Notify, NotifyKind};

/// A request for a receiver of the settings. `secret` is what its file holds. Mail goes another way, and is nothing here; so is what a
/// service has no word for.
///
/// # Errors
///
/// The secret or the address cannot be used; the words do not hold them.
pub(crate) fn request(
    notify: &Notify,
    secret: Option<&str>,
    message: &Message,
    now_s: u64,
) -> Result<Option<Outgoing>, String> {
    let needed = || secret.ok_or_else(|| "there is no secret".to_owned());
    let mut headers = vec![
        ("content-type", "application/json".to_owned()),
        ("idempotency-key", message.key.clone()),
    ];
    let (url, body) = match notify.kind {
        NotifyKind::Mail => return Ok(None),
        NotifyKind::Webhook => {
            let body = webhook(message).to_string();
            headers.push(("webhook-id", message.key.clone()));
            headers.push(("webhook-timestamp", now_s.to_string()));
            if let Some(secret) = secret {
                headers.push((
                    "webhook-signature",
                    signature(secret, &message.key, now_s, &body)?,
                ));
            }
            (notify.url.clone(), body)
        }
        NotifyKind::Slack => (notify.url.clone(), slack(message).to_string()),
        NotifyKind::Discord => (waited_for(&notify.url), discord(message).to_string()),
        NotifyKind::Teams => (notify.url.clone(), teams(message).to_string()),
        NotifyKind::Telegram => {
            let url = format!(
                "{}/bot{}/sendMessage",
                server(notify, "https://api.telegram.org"),
                needed()?
            );
            if url.parse::<Uri>().is_err() {
                return Err("the token cannot be used".to_owned());
            }
            (url, telegram(message, &notify.to).to_string())
        }
        NotifyKind::Pagerduty => {
            let Some(body) = message
                .items
                .first()
                .and_then(|item| pagerduty(message, item, needed().ok()?))
            else {
                needed()?;
                return Ok(None);
            };
            let url = format!("{}/v2/enqueue", server(notify, "https://events.pagerduty.com"));
            (url, body.to_string())
        }
        NotifyKind::Ntfy => {
            if let Some(token) = secret {
                headers.push(("authorization", format!("Bearer {token}")));
            }
            (
                server(notify, "https://ntfy.sh"),
                ntfy(message, &notify.to).to_string(),
            )
        }
    };
    Ok(Some(Outgoing {
        url,
        headers,
        body: body.into_bytes(),
    }))
}

/// Services that know incidents one by one are told of them one by one.
pub(crate) fn is_by_incident(kind: NotifyKind) -> bool {
    kind == NotifyKind::Pagerduty
}

fn server(notify: &Notify, theirs: &str) -> String {
    let named = if notify.url.is_empty() {
        theirs
    } else {
        &notify.url
    };
    named.trim_end_matches('/').to_owned()
}

/// Standard Webhooks 1.0: HMAC-SHA256 of identifier, time and body, keyed with the secret behind `whsec_`.
fn signature(secret: &str, id: &str, now_s: u64, body: &str) -> Result<String, String> {
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap_or(secret))
        .map_err(|_| "the secret of a webhook is base64, as `whsec_…`".to_owned())?;
    let mut mac = <Hmac<sha2::Sha256> as Mac>::new_from_slice(&key).expect("any length is a key");
    mac.update(format!("{id}.{now_s}.{body}").as_bytes());
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

fn webhook(message: &Message) -> Value {
    let kind = match message.items.as_slice() {
        [one] => one.kind.name(),
        _ => "news",
    };
    let incidents: Vec<Value> = message
        .items
        .iter()
        .map(|item| {
            json!({
                "id": item.incident,
                "service": item.service,
                "name": item.name,
                "news": item.kind.name(),
                "standing": item.standing,
                "cause": item.cause,
                "start": time(item.start_ns),
                "end": item.end_ns.map(time),
                "reports": item.reports,
                "expected": item.expected,
                "checks": item.checks.map(|(failing, places)| json!({ "failing": failing, "places": places })),
                "attacks": item.attacks,
                "acknowledged_by": item.acknowledged,
                "merged_into": item.merged_into,
                "said": item.said.iter().map(|(who, text)| json!({ "who": who, "text": text })).collect::<Vec<_>>(),
                "url": some(&item.url),
            })
        })
        .collect();
    json!({
        "type": format!("incident.{kind}"),
        "timestamp": time(message.at_ns),
        "data": {
            "title": message.title(),
            "text": message.text(),
            "urgency": message.urgency,
            "site": message.site,
            "incidents": incidents,
        },
    })
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// `&`, `<` and `>` are the three signs that Slack and Telegram give a meaning: mentions, links, tags.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Characters for each of several incidents, of those that there are for all.
fn share(message: &Message, all: usize) -> usize {
    all / message.items.len().max(1)
}

/// <https://docs.slack.dev/reference/block-kit/blocks>: a header of 150 characters, sections of 3,000, 50 blocks.
fn slack(message: &Message) -> Value {
    let title = message.title();
    let mut blocks = vec![json!({
        "type": "header", "text": { "type": "plain_text", "text": cut(&title, 150), "emoji": false },
    })];
    let is_one = message.items.len() == 1;
    for item in &message.items {
        let lines = item.lines(message.at_ns).join("\n");
        // An escaped sign is up to five characters.
        let long = Some(escaped(&cut(&lines, 2_400))).filter(|text| is_one && text.chars().count() <= 2_600);
        let lines = long.unwrap_or_else(|| escaped(&cut(&lines, 500)));
        let mut text = if is_one {
            lines
        } else {
            format!("*{}*\n{lines}", escaped(&item.title()).replace('*', ""))
        };
        if !item.url.is_empty() {
            text.push_str(&format!("\n<{}|Details>", escaped(&item.url).replace('|', "%7C")));
        }
        blocks
            .push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } }));
    }
    json!({ "text": escaped(&title), "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

/// Discord says whether the message is there only when it is asked to wait for it.
fn waited_for(url: &str) -> String {
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}wait=true")
}

/// Embeds: 10 of them, a title of 256 characters, a description of 4,096, 6,000 for all. Nobody is mentioned.
fn discord(message: &Message) -> Value {
    let most = share(message, 5_000).min(4_096) - 120;
    let embeds: Vec<Value> = message
        .items
        .iter()
        .map(|item| {
            let mut embed = json!({
                "title": cut(&item.title(), 120),
                "description": cut(&item.lines(message.at_ns).join("\n"), most),
                "color": colour(item),
                "timestamp": time(message.at_ns),
            });
            if !item.url.is_empty() {
                embed["url"] = json!(item.url);
            }
            embed
        })
        .collect();
    json!({ "embeds": embeds, "allowed_mentions": { "parse": [] } })
}

fn colour(item: &Item) -> u32 {
    match item.kind {
        Kind::Ends => 0x2e_7d32,
        _ if item.is_brigade() => 0x75_7575,
        Kind::Test | Kind::Said | Kind::Acknowledged => 0x15_65c0,
        _ => 0xc6_2828,
    }
}

/// `sendMessage`: 4,096 characters of text. What is not urgent makes no sound.
fn telegram(message: &Message, chat: &str) -> Value {
    let most = share(message, 3_600);
    let mut text = String::new();
    for item in &message.items {
        let lines = cut(&item.lines(message.at_ns).join("\n"), most.saturating_sub(120));
        text.push_str(&format!(
            "<b>{}</b>\n{}\n",
            escaped(&cut(&item.title(), 100)),
            escaped(&lines)
        ));
        if !item.url.is_empty() {
            let url = escaped(&item.url).replace('"', "&quot;");
            text.push_str(&format!("<a href=\"{url}\">Details</a>\n"));
        }
        text.push('\n');
    }
    let chat = chat.parse::<i64>().map_or_else(|_| json!(chat), |id| json!(id));
    json!({
        "chat_id": chat,
        "text": text.trim_end(),
        "parse_mode": "HTML",
        "link_preview_options": { "is_disabled": true },
        "disable_notification": message.urgency == Urgency::Low,
    })
}

/// An Adaptive Card in a message, as workflows take it ("Post to a channel when a webhook request is received"). Runs of text are no
/// Markdown, so nothing in them has a meaning.
fn teams(message: &Message) -> Value {
    let run = |text: String, is_title: bool| {
        let mut inline = json!({ "type": "TextRun", "text": text });
        if is_title {
            inline["weight"] = json!("Bolder");
            inline["size"] = json!("Medium");
        }
        json!({ "type": "RichTextBlock", "inlines": [inline] })
    };
    let most = share(message, 10_000);
    let mut body = Vec::new();
    for item in &message.items {
        body.push(run(cut(&item.title(), 200), true));
        let mut room = most;
        for line in item.lines(message.at_ns) {
            let line = cut(&line, room);
            room = room.saturating_sub(line.chars().count());
            if !line.is_empty() {
                body.push(run(line, false));
            }
        }
    }
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": message.title(),
        "body": body,
        "msteams": { "width": "Full" },
    });
    if !message.url().is_empty() {
        card["actions"] = json!([{ "type": "Action.OpenUrl", "title": "Details", "url": message.url() }]);
    }
    json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card }],
    })
}

/// Events API v2. The incident is the key by which PagerDuty knows what belongs together. Words behind the end would open it again, so
/// they are not sent.
fn pagerduty(message: &Message, item: &Item, routing_key: &str) -> Option<Value> {
    let action = match item.kind {
        Kind::Ends => "resolve",
        Kind::Acknowledged => "acknowledge",
        Kind::Said if ["resolved", "closed"].contains(&item.standing.as_str()) => return None,
        _ => "trigger",
    };
    let mut event = json!({
        "routing_key": routing_key, "event_action": action, "dedup_key": cut(&format!("epicenter-{}", item.incident), 255),
    });
    if action == "trigger" {
        let severity = match item.kind {
            Kind::Test => "info",
            _ if item.is_brigade() => "info",
            _ if item.standing == "recovering" => "warning",
            _ => "critical",
        };
        event["payload"] = json!({
            "summary": cut(&item.title(), 1_024),
            "source": item.service,
            "severity": severity,
            "timestamp": time(message.at_ns),
            "component": item.name,
            "class": item.cause,
            "custom_details": { "text": cut(&item.lines(message.at_ns).join("\n"), 4_000) },
        });
        event["client"] = json!(message.site);
        if !message.site_url.is_empty() {
            event["client_url"] = json!(message.site_url);
        }
        if !item.url.is_empty() {
            event["links"] = json!([{ "href": item.url, "text": "Details" }]);
        }
    }
    Some(event)
}

/// Published as JSON to the server itself; a message has 4,096 bytes.
fn ntfy(message: &Message, topic: &str) -> Value {
    let priority = match message.urgency {
        Urgency::Low => 2,
        Urgency::Normal => 3,
        Urgency::High => 5,
    };
    let tag = if message.is_clear() {
        "white_check_mark"
    } else if message.urgency == Urgency::Low {
        "speech_balloon"
    } else {
        "rotating_light"
    };
    let mut text = message.text();
    let most = (0..=3_900.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.truncate(most.unwrap_or(0));
    let mut body = json!({
        "topic": topic, "title": cut(&message.title(), 200), "message": text, "priority": priority, "tags": [tag],
    });
    if !message.url().is_empty() {
        body["click"] = json!(message.url());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::notify::plan::Planner;
    use crate::serve::notify::plan::tests::{incident, rules};
    use crate::serve::state::{Standing, Update};

    /// A message of an incident with words that would do harm where they are not escaped.
    fn message(standing: Standing) -> Message {
        let mut plan = Planner::load(rules(&[("ops", &[])]), &[]);
        let mut one = incident("inc-1", "shop", Standing::Identified);
        one.named_cause = Some("provider".to_owned());
        one.updates.push(Update {
            at_ns: 0,
            who: "ann".to_owned(),
            text: "<!channel> @everyone A&B".to_owned(),
        });
        let at = one.start_ns + 600_000_000_000;
        plan.see(at, &one);
        let mut due = plan.due(at + 30_000_000_000);
        if standing == Standing::Resolved {
            one.standing = standing;
            one.end_ns = Some(at + 3_600_000_000_000);
            plan.see(at + 3_600_000_000_000, &one);
            due = plan.due(at + 3_630_000_000_000);
        }
        due.messages.remove(0)
    }

    fn notify(kind: NotifyKind, url: &str, to: &str) -> Notify {
        Notify {
            kind,
            url: url.to_owned(),
            secret_file: None,
            to: to.to_owned(),
            services: Vec::new(),
        }
    }

    fn sent(notify: &Notify, secret: Option<&str>, message: &Message) -> (Outgoing, Value) {
        let out = request(notify, secret, message, 1_741_600_700)
            .expect("made")
            .expect("a request");
        let body = serde_json::from_slice(&out.body).expect("JSON");
        (out, body)
    }

    const LINES: &str = "Since 2025-03-10 09:46 UTC. 420 reports, where 12 were to be expected.\nCause: a network or hosting provider, \
        as the operators say.\nann: ";

    #[test]
    fn webhooks_are_signed_as_the_standard_says() {
        // The example of the standard's own libraries.
        assert_eq!(
            signature(
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                "{\"test\": 2432232314}"
            ),
            Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned())
        );
        let problem = signature("not base64!", "a", 1, "").expect_err("refused");
        assert!(!problem.contains("not base64!"));
        let message = message(Standing::Identified);
        let hook = notify(NotifyKind::Webhook, "https://example.org/hook", "");
        let (out, body) = sent(&hook, Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &message);
        let header = |name: &str| {
            out.headers
                .iter()
                .find(|(of, _)| *of == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(header("webhook-id"), Some(message.key.as_str()));
        assert_eq!(header("webhook-timestamp"), Some("1741600700"));
        let text = std::str::from_utf8(&out.body).expect("text");
        let expected = signature(
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            &message.key,
            1_741_600_700,
            text,
        );
        assert_eq!(header("webhook-signature").map(str::to_owned), expected.ok());
        assert_eq!(body["type"], "incident.begins");
        assert_eq!(body["timestamp"], "2025-03-10T09:57:10Z");
        assert_eq!(body["data"]["incidents"][0]["id"], "inc-1");
        assert_eq!(
            body["data"]["incidents"][0]["said"][0]["text"],
            "<!channel> @everyone A&B"
        );
    }

    #[test]
    fn slack() {
        let (out, body) = sent(
            &notify(NotifyKind::Slack, "https://hooks.slack.com/services/T/B/x", ""),
            None,
            &message(Standing::Identified),
        );
        assert_eq!(out.url, "https://hooks.slack.com/services/T/B/x");
        assert_eq!(
            body,
            json!({
                "text": "Shop: people have trouble",
                "blocks": [
                    { "type": "header", "text": { "type": "plain_text", "text": "Shop: people have trouble", "emoji": false } },
                    { "type": "section", "text": {
                        "type": "mrkdwn", "verbatim": true,
                        "text": format!("{LINES}&lt;!channel&gt; @everyone A&amp;B\n<https://status.example/incidents/inc-1|Details>"),
                    } },
                ],
                "unfurl_links": false, "unfurl_media": false,
            })
        );
    }

    #[test]
    fn discord() {
        let (out, body) = sent(
            &notify(NotifyKind::Discord, "https://discord.com/api/webhooks/1/x", ""),
            None,
            &message(Standing::Identified),
        );
        assert_eq!(out.url, "https://discord.com/api/webhooks/1/x?wait=true");
        assert_eq!(
            body,
            json!({
                "embeds": [{
                    "title": "Shop: people have trouble", "description": format!("{LINES}<!channel> @everyone A&B"), "color": 0xc6_2828,
                    "timestamp": "2025-03-10T09:57:10Z", "url": "https://status.example/incidents/inc-1",
                }],
                "allowed_mentions": { "parse": [] },
            })
        );
    }

    #[test]
    fn telegram() {
        let (out, body) = sent(
            &notify(NotifyKind::Telegram, "", "-1001"),
            Some("12:abc"),
            &message(Standing::Identified),
        );
        assert_eq!(out.url, "https://api.telegram.org/bot12:abc/sendMessage");
        assert_eq!(
            body,
            json!({
                "chat_id": -1001,
                "text": format!(
                    "<b>Shop: people have trouble</b>\n{LINES}&lt;!channel&gt; @everyone A&amp;B\n\
                     <a href=\"https://status.example/incidents/inc-1\">\
                     Details</a>"
                ),
                "parse_mode": "HTML", "link_preview_options": { "is_disabled": true }, "disable_notification": false,
            })
        );
        let named = notify(NotifyKind::Telegram, "http://127.0.0.1:8081/", "@status");
        let (out, body) = sent(&named, Some("12:abc"), &message(Standing::Identified));
        assert_eq!(
            (out.url.as_str(), &body["chat_id"]),
            ("http://127.0.0.1:8081/bot12:abc/sendMessage", &json!("@status"))
        );
        assert!(request(&named, None, &message(Standing::Identified), 0).is_err());
    }

    #[test]
    fn teams() {
        let (_, body) = sent(
            &notify(
                NotifyKind::Teams,
                "https://prod-1.westeurope.logic.azure.com/x",
                "",
            ),
            None,
            &message(Standing::Resolved),
        );
        let run =
            |text: &str| json!({ "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "text": text }] });
        assert_eq!(
            body,
            json!({
                "type": "message",
                "attachments": [{
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "contentUrl": null,
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "fallbackText": "Shop: resolved",
                        "body": [
                            { "type": "RichTextBlock", "inlines": [
                                { "type": "TextRun", "text": "Shop: resolved", "weight": "Bolder", "size": "Medium" },
                            ] },
                            run("Over since 2025-03-10 10:56 UTC. It began 2025-03-10 09:46 UTC and lasted 1 h 10 min."),
                        ],
                        "msteams": { "width": "Full" },
                        "actions": [{ "type": "Action.OpenUrl", "title": "Details", "url": "https://status.example/incidents/inc-1" }],
                    },
                }],
            })
        );
    }

    #[test]
    fn pagerduty() {
        let duty = notify(NotifyKind::Pagerduty, "", "");
        let (out, body) = sent(&duty, Some("R0"), &message(Standing::Identified));
        assert_eq!(out.url, "https://events.pagerduty.com/v2/enqueue");
        assert_eq!(
            body,
            json!({
                "routing_key": "R0", "event_action": "trigger", "dedup_key": "epicenter-inc-1",
                "payload": {
                    "summary": "Shop: people have trouble", "source": "shop", "severity": "critical", "timestamp": "2025-03-10T09:57:10Z",
                    "component": "Shop", "class": "provider", "custom_details": { "text": format!("{LINES}<!channel> @everyone A&B") },
                },
                "client": "Status", "client_url": "https://status.example",
                "links": [{ "href": "https://status.example/incidents/inc-1", "text": "Details" }],
            })
        );
        let over = message(Standing::Resolved);
        let resolve =
            json!({ "routing_key": "R0", "event_action": "resolve", "dedup_key": "epicenter-inc-1" });
        assert_eq!(sent(&duty, Some("R0"), &over).1, resolve);
        let mut said = over;
        said.items[0].kind = Kind::Acknowledged;
        assert_eq!(sent(&duty, Some("R0"), &said).1["event_action"], "acknowledge");
        // A word about what is over must not open it again.
        said.items[0].kind = Kind::Said;
        assert!(request(&duty, Some("R0"), &said, 0).is_ok_and(|out| out.is_none()));
        assert!(request(&duty, None, &said, 0).is_err());
    }

    #[test]
    fn ntfy() {
        let (out, body) = sent(
            &notify(NotifyKind::Ntfy, "", "alerts"),
            Some("tk_1"),
            &message(Standing::Resolved),
        );
        assert_eq!(out.url, "https://ntfy.sh");
        assert!(out.headers.contains(&("authorization", "Bearer tk_1".to_owned())));
        assert_eq!(
            body,
            json!({
                "topic": "alerts", "title": "Shop: resolved", "priority": 3, "tags": ["white_check_mark"],
                "message": "Over since 2025-03-10 10:56 UTC. It began 2025-03-10 09:46 UTC and lasted 1 h 10 min.\n\
                    https://status.example/incidents/inc-1",
                "click": "https://status.example/incidents/inc-1",
            })
        );
        assert_eq!(
            sent(
                &notify(NotifyKind::Ntfy, "", "alerts"),
                None,
                &message(Standing::Identified)
            )
            .1["priority"],
            5
        );
    }

    #[test]
    fn the_longest_message_is_within_the_limits_of_each() {
        let mut message = message(Standing::Identified);
        let mut item = message.items.remove(0);
        item.name = "ö".repeat(80);
        item.said = vec![("who".to_owned(), "<&>*ö".repeat(200)); 6];
        item.attacks = vec!["x".repeat(300); 5];
        message.items = vec![item; 10];
        let body = |kind| sent(&notify(kind, "https://example.org", "1"), Some("QUJD"), &message).1;
        let chars = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
        let slack = body(NotifyKind::Slack);
        let blocks = slack["blocks"].as_array().expect("blocks");
        assert!(blocks.len() <= 50 && blocks.iter().all(|block| chars(&block["text"]["text"]) <= 3_000));
        assert!(slack["blocks"].to_string().chars().count() < 13_000 * 3);
        let discord = body(NotifyKind::Discord);
        let embeds = discord["embeds"].as_array().expect("embeds");
        let all: usize = embeds
            .iter()
            .map(|one| chars(&one["title"]) + chars(&one["description"]))
            .sum();
        assert!(embeds.len() == 10 && all <= 6_000, "{all}");
        let telegram = body(NotifyKind::Telegram);
        let text = telegram["text"].as_str().expect("text");
        let parsed = text
            .replace("<a href=\"https://status.example/incidents/inc-1\">", "")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        assert!(parsed.chars().count() <= 4_096, "{}", parsed.chars().count());
        assert!(body(NotifyKind::Teams).to_string().len() < 28_000);
        assert!(
            body(NotifyKind::Ntfy)["message"]
                .as_str()
                .is_some_and(|text| text.len() <= 4_096)
        );
        assert!(body(NotifyKind::Pagerduty).to_string().len() < 512 << 10);
    }
}
