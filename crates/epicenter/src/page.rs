//! What all pages of ours share. A page is one file without a script, and asks nobody for anything: it can be mailed, archived and
//! opened in ten years.

use maud::{Markup, PreEscaped, html};

/// What the browser is told to allow: the styles inside the page and nothing else.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// A ring around a dot, as the icon: without one, browsers ask the server for it.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='6' fill='none' stroke='%23b3261e' stroke-width='2'/%3E%3Ccircle cx='8' cy='8' r='2' fill='%23b3261e'/%3E%3C/svg%3E";

/// Colours, text and tables. Text has a contrast of at least 4.5 to 1 on what it stands on, in both modes.
const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1a1c20; --soft: #545b66; --paper: #fff; --card: #f4f5f8; --rule: #d3d7de;
  --line: #1f5fa8; --band: #1f5fa826; --bad: #b3261e; --badbg: #b3261e1c; --track: #e4e7ec; --fill: #7ba6d6; --warn: #fff3dc;
  --warnline: #b96d00; --land: #dfe3e9; --q1: #fbd9ab; --q2: #f5b46d; --q3: #e88746; --q4: #cf5a30; --q5: #a32c24; --q6: #6b101c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ee; --soft: #a6adba; --paper: #14161a; --card: #1d2026; --rule: #3a3f49;
    --line: #7db4f0; --band: #7db4f033; --bad: #ff8a80; --badbg: #ff8a8026; --track: #2b2f37; --fill: #3f6ea3; --warn: #33270f;
    --warnline: #e0a03c; --land: #30343d; --q1: #5b3b20; --q2: #8b5122; --q3: #bd6926; --q4: #e58d3a; --q5: #f7bb6b; --q6: #ffe8c2; } }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --paper: #fff; --card: #f4f5f8; --rule: #bbb;
    --line: #1f5fa8; --band: #1f5fa826; --bad: #b3261e; --badbg: #b3261e1c; --track: #e4e7ec; --fill: #7ba6d6; --warn: #fff3dc;
    --warnline: #b96d00; --land: #dfe3e9; --q1: #fbd9ab; --q2: #f5b46d; --q3: #e88746; --q4: #cf5a30; --q5: #a32c24; --q6: #6b101c; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; color: var(--ink); background: var(--paper);
  margin: 2rem auto; max-width: 64rem; padding: 0 1rem; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: .2rem 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.4rem 0 .5rem; overflow-wrap: anywhere; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.soft { color: var(--soft); } .ok { color: var(--soft); } .bad { color: var(--bad); font-weight: 600; }
a { color: var(--line); overflow-wrap: anywhere; } :focus-visible { outline: 3px solid var(--line); outline-offset: 2px; }
/* A shade at the right edge says that there is more. */
.scroll { overflow-x: auto; margin: .4rem 0 1rem; background: linear-gradient(270deg, var(--paper) 40%, transparent) right / 3rem 100% no-repeat local,
  linear-gradient(270deg, var(--rule), transparent) right / 1rem 100% no-repeat scroll; }
table { border-collapse: collapse; min-width: min(100%, 44rem); font-size: .9rem; }
caption { text-align: left; color: var(--soft); padding: .2rem 0; font-size: .85rem; }
caption span { position: sticky; left: 0; display: inline-block; max-width: calc(100vw - 2rem); }
td, th { text-align: left; padding: .3rem .9rem .3rem 0; vertical-align: top; border-bottom: 1px solid var(--rule); font-weight: 400; }
thead th { color: var(--soft); font-size: .8rem; vertical-align: bottom; white-space: normal; }
tbody th { min-width: 7rem; } .says { min-width: 15rem; }
.num { text-align: right; font-variant-numeric: tabular-nums; } td.num { white-space: nowrap; } .t { white-space: nowrap; }
.plot { display: grid; grid-template-columns: auto 1fr; column-gap: .5rem; font-size: .75rem; color: var(--soft);
  font-variant-numeric: tabular-nums; margin: .3rem 0; }
.plot .up { position: relative; display: grid; justify-items: end; }
.plot .up span { grid-area: 1 / 1; position: relative; align-self: end; height: 0; white-space: nowrap; }
.plot .up i { position: relative; top: -.75em; font-style: normal; }
.plot .area { position: relative; height: 15rem; } .plot .area > svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.plot .area svg { overflow: visible; } .plot .across { grid-column: 2; position: relative; height: 1.6em; }
.plot .across span { position: absolute; white-space: nowrap; transform: translateX(-50%); top: .2em; }
.plot .across .first { transform: none; } .plot .across .last { transform: translateX(-100%); }
.plot line.grid { stroke: var(--rule); stroke-width: 1; vector-effect: non-scaling-stroke; }
@media (max-width: 40rem) { .plot .across .odd { display: none; } .plot .area { height: 11rem; } h1 { font-size: 1.4rem; } }
@page { margin: 14mm; }
@media print { body { margin: 0; max-width: none; font-size: 10.5pt; padding: 0; } h2, h3 { break-after: avoid; }
  tr, figure, svg, .card, .scroll { break-inside: avoid; } .scroll { overflow: visible; background: none; } nav { display: none; } }
";

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
        div.scroll role="region" tabindex="0" aria-label=(caption) {
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
}
