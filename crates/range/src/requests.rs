//! Requests for pages: as the head of an HTTP message in a packet, and as what a server writes into its log.

use std::net::Ipv6Addr;

/// Host that requests name.
pub(crate) const HOST: &str = "www.example.org";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Page {
    Home,
    Article(u16),
    /// An image, script or style sheet.
    Asset(u16),
    Robots,
    /// The first page with a query that no cache has.
    Busted(u64),
    /// Log-in of somebody.
    Login(u32),
    Search(u64),
    /// A form that never gets whole.
    Form,
}

/// A request, without when and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Head {
    pub(crate) page: Page,
    /// Position in the list of programs.
    pub(crate) agent: u8,
    /// Whether it says that it came from the first page.
    pub(crate) refers: bool,
}

/// A request in a server's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// When it came, nanoseconds since the epoch.
    pub time_ns: u64,
    /// Who asked; IPv4 as IPv4-mapped.
    pub client: Ipv6Addr,
    /// Which server was asked.
    pub server: Ipv6Addr,
    /// Status of the answer (RFC 9110).
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u32,
    pub(crate) head: Head,
}

/// Programs that people use, by what they call themselves.
const BROWSERS: [&str; 6] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:136.0) Gecko/20100101 Firefox/136.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:136.0) Gecko/20100101 Firefox/136.0",
];
/// How many of the list people use.
pub(crate) const PEOPLE: u8 = BROWSERS.len() as u8;
/// A crawler.
pub(crate) const CRAWLER: u8 = PEOPLE;
/// What flooding tools call themselves: old browsers, or what they are.
pub(crate) const TOOLS: std::ops::Range<u8> = PEOPLE + 1..PEOPLE + 5;

fn agent(number: u8) -> &'static str {
    const OTHERS: [&str; 5] = [
        "Mozilla/5.0 (compatible; ExampleBot/2.1; +https://bot.example/about)",
        "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/41.0.2228.0 Safari/537.36",
        "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0)",
        "python-requests/2.31.0",
        "Go-http-client/1.1",
    ];
    let number = usize::from(number);
    BROWSERS
        .get(number)
        .or_else(|| OTHERS.get(number - BROWSERS.len()))
        .unwrap_or(&"-")
}

/// Lower-case letters and digits of a number.
fn letters(mut number: u64, count: usize, out: &mut Vec<u8>) {
    for _ in 0..count {
        out.push(b"abcdefghijklmnopqrstuvwxyz012345"[(number & 31) as usize]);
        number = number.rotate_right(5);
    }
}

impl Head {
    /// Its method.
    pub(crate) fn method(&self) -> &'static str {
        match self.page {
            Page::Login(_) | Page::Form => "POST",
            _ => "GET",
        }
    }

    /// Appends its target.
    pub(crate) fn target(&self, out: &mut Vec<u8>) {
        match self.page {
            Page::Home => out.push(b'/'),
            Page::Article(n) => out.extend(format!("/articles/{n}").bytes()),
            Page::Asset(n) => out.extend(format!("/assets/{n}.js").bytes()),
            Page::Robots => out.extend(b"/robots.txt"),
            Page::Busted(n) => {
                out.extend(b"/?");
                letters(n, 8, out);
                out.push(b'=');
                letters(n.rotate_left(24), 8, out);
            }
            Page::Login(_) => out.extend(b"/login"),
            Page::Search(n) => {
                out.extend(b"/search?q=");
                letters(n, 9, out);
                out.extend(b"&sort=relevance&page=40");
            }
            Page::Form => out.extend(b"/contact"),
        }
    }

    pub(crate) fn referer(&self) -> Option<String> {
        self.refers.then(|| format!("https://{HOST}/"))
    }

    pub(crate) fn agent(&self) -> &'static str {
        agent(self.agent)
    }

    /// Appends the message, without an end where it never comes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.method().bytes());
        out.push(b' ');
        self.target(out);
        out.extend(
            format!(
                " HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: {}\r\nAccept: */*\r\n",
                self.agent()
            )
            .bytes(),
        );
        if let Some(referer) = self.referer() {
            out.extend(format!("Referer: {referer}\r\n").bytes());
        }
        match self.page {
            Page::Login(who) => {
                let form = format!("user=user{who}&password=123456");
                let length = form.len();
                out.extend(
                    format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}").bytes(),
                );
            }
            Page::Form => out
                .extend(b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100000\r\n\r\n"),
            _ => out.extend(b"\r\n"),
        }
    }
}
