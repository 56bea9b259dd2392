//! What all pages of ours share. A page is one file without a script, and asks nobody for anything: it can be mailed, archived and
//! opened in ten years.

use maud::{Markup, PreEscaped, html};

/// What the browser is told to allow: the styles inside the page and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// A ring around a dot, as the icon: without one, browsers ask the server for it.
const ICON: &str = "data:image/svg+xml,%3Csvg%20xmlns='http://www.w3.org/2000/svg'%20viewBox='0%200%2016%2016'%3E%3Ccircle%20cx='8'%20cy='8'%20r='6'%20fill='none'%20stroke='%23b3261e'%20stroke-width='2'/%3E%3Ccircle%20cx='8'%20cy='8'%20r='2'%20fill='%23b3261e'/%3E%3C/svg%3E";

/// Colours, text and tables. Text has a contrast of at least 4.5 to 1 on what it stands on, in both modes.
const STYLE: &str = include_str!("../data/page.css");

/// The whole page. `style` is what only this page needs, `head` what belongs into its head, `body` what is read.
pub(crate) fn page(title: &str, style: &str, head: &Markup, body: &Markup) -> String {
    let page = html! {
        (PreEscaped("<!doctype html>\n"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="color-scheme" content="light dark";
                meta name="generator" content={ "Epicenter " (env!("CARGO_PKG_VERSION")) };
                link rel="icon" href=(ICON);
                title { (clean(title)) }
                style { (PreEscaped(STYLE)) (PreEscaped(style)) }
                (head)
            }
            body { (body) }
        }
    };
    let mut text = page.into_string();
    text.push('\n');
    text
}

/// Text from outside without what a browser would obey or hide: control characters, and marks that turn the direction of the text.
pub(crate) fn clean(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
            || matches!(u32::from(c) & 0xffff, 0xfffe | 0xffff)
            || matches!(c, '\u{fdd0}'..='\u{fdef}')
    };
    let plain = |c: char| match c {
        '\n' | '\t' | '\r' => ' ',
        c if obeyed(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(plain).collect()
}

/// Text from outside: cleaned, escaped, and its direction kept from what stands around it.
pub(crate) fn outside(text: &str) -> Markup {
    html! { bdi { (clean(text)) } }
}

/// An address from outside, always in full; a link only where it is one of the web.
pub(crate) fn link(address: &str) -> Markup {
    let shown = clean(address);
    let lower = address.to_ascii_lowercase();
    let web = lower.starts_with("http://") || lower.starts_with("https://");
    let harmless = shown == address && !address.contains([' ', '"', '<', '>', '\\', '`']);
    if web && harmless {
        html! { a href=(address) rel="noreferrer nofollow" { (shown) } }
    } else {
        outside(address)
    }
}

/// Heading of a table's column.
pub(crate) struct Column(pub(crate) &'static str, pub(crate) bool);

/// A column of text.
pub(crate) const fn words(heading: &'static str) -> Column {
    Column(heading, false)
}

/// A column of numbers.
pub(crate) const fn numbers(heading: &'static str) -> Column {
    Column(heading, true)
}

/// A table that scrolls on a narrow screen, also by keyboard. `rows` are its `tr`, the first cell of each a `th scope="row"`.
pub(crate) fn table(caption: &str, columns: &[Column], rows: &Markup) -> Markup {
    html! {
        div.scroll role="group" tabindex="0" aria-label=(caption) {
            table {
                caption { span { (caption) } }
                thead { tr { @for Column(heading, number) in columns { th.num[*number] scope="col" { (heading) } } } }
                tbody { (rows) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_only_text() {
        let hostile = "<img src=x onerror=alert(1)>\u{202e}\u{0}&\"'";
        let shown = outside(hostile).into_string();
        assert_eq!(
            shown,
            "<bdi>&lt;img src=x onerror=alert(1)&gt;\u{fffd}\u{fffd}&amp;&quot;'</bdi>"
        );
    }

    #[test]
    fn only_web_addresses_are_links() {
        for address in ["https://example.org/a?b=c&d=e", "HTTP://example.org/"] {
            let shown = link(address).into_string();
            assert!(
                shown.starts_with("<a href=\"") && shown.contains("rel=\"noreferrer nofollow\""),
                "{shown}"
            );
            assert!(
                shown.contains(&format!(">{}</a>", address.replace('&', "&amp;"))),
                "{shown}"
            );
        }
        for address in [
            "javascript:alert(1)",
            " https://example.org",
            "data:text/html,x",
            "https://example.org/\u{202e}gpj.exe",
            "https://example.org/\" onclick=\"x",
            "ftp://example.org",
            "",
        ] {
            assert!(!link(address).into_string().contains("<a"), "{address}");
        }
    }

    /// Contrast of two colours as WCAG 2 has it.
    fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
        let light = |c: [f64; 3]| {
            let [r, g, b] = c.map(|v| {
                if v <= 0.04045 {
                    v / 12.92
                } else {
                    ((v + 0.055) / 1.055).powf(2.4)
                }
            });
            0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05
        };
        let (a, b) = (light(a), light(b));
        a.max(b) / a.min(b)
    }

    #[test]
    fn text_and_shapes_have_contrast_in_both_modes() {
        let dark = STYLE.find("@media screen").expect("there is a dark mode");
        for (mode, style) in [("light", &STYLE[..dark]), ("dark", &STYLE[dark..])] {
            let colour = |name: &str| -> [f64; 3] {
                let value = style.split(&format!("--{name}: #")).nth(1).expect(name);
                let digits: Vec<char> = value.chars().take_while(char::is_ascii_hexdigit).collect();
                let wide = if digits.len() == 3 { 1 } else { 2 };
                [0, 1, 2].map(|i| {
                    let text: String = digits[i * wide..(i + 1) * wide].iter().collect();
                    let text = if wide == 1 { text.repeat(2) } else { text };
                    f64::from(u8::from_str_radix(&text, 16).unwrap()) / 255.0
                })
            };
            for (text, ground) in [
                ("ink", "paper"),
                ("ink", "card"),
                ("ink", "warn"),
                ("soft", "paper"),
                ("soft", "card"),
                ("line", "paper"),
                ("bad", "paper"),
            ] {
                let ratio = contrast(colour(text), colour(ground));
                assert!(ratio >= 4.5, "{mode}: {text} on {ground} is {ratio:.2}");
            }
            for (shape, ground) in [
                ("ink", "fill"),
                ("ink", "track"),
                ("bad", "paper"),
                ("warnline", "warn"),
            ] {
                let ratio = contrast(colour(shape), colour(ground));
                assert!(ratio >= 3.0, "{mode}: {shape} on {ground} is {ratio:.2}");
            }
            // Each class of the map is told from the next, and all from land without a share.
            let classes: Vec<[f64; 3]> = (1..=6).map(|n| colour(&format!("q{n}"))).collect();
            for pair in classes.windows(2) {
                assert!(contrast(pair[0], pair[1]) >= 1.25, "{mode}: {pair:?}");
            }
            assert!(contrast(classes[5], colour("land")) >= 3.0, "{mode}");
        }
    }
}
