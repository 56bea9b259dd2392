//! The address snapshot inside the program, anew: its sources are fetched with npm at pinned versions, and the program itself
//! builds the atlas from them, as a user would.

use std::path::Path;
use std::process::Command;

use crate::{npm, run};

const PACKAGES: [npm::Package; 2] = [
    (
        "@ip-location-db/geo-whois-asn-country-mmdb",
        "2.3.2026061719",
        "sha512-xemBDNQl4mCYDuVbqe3jKGKsVDykZGkfvebhtOh/3VGLadq8vsp7t7ontpMUt3hH7sAGT0eLDyJ99SV+0waxZg==",
    ),
    (
        "@ip-location-db/asn",
        "2.3.2026061719",
        "sha512-PpqYi7wyEyWwunXBtl+y3Vi403SvNywotWwvmiYCOUtE0SVol/Sf492Ee+eErEznmGapxEQB2SAfrpXuZ9a+vQ==",
    ),
];

/// Day of the newest package: the date in its version.
const BUILT: &str = "2026-06-17";

/// What the sources' licences ask to be said.
const ATTRIBUTION: [&str; 3] = [
    "AS numbers and names: @ip-location-db/asn 2.3.2026061719, RouteViews (routeviews.org), DB-IP (https://db-ip.com) and NRO (nro.net), CC BY 4.0, merged",
    "Countries: @ip-location-db/geo-whois-asn-country-mmdb 2.3.2026061719, CC0",
    "Special-purpose space: IANA registries",
];

/// Builds `crates/atlas/data/atlas.bin`.
pub(crate) fn build(root: &Path) -> Result<(), String> {
    let packages = npm::fetch(&root.join("target/atlas"), &PACKAGES)?.join("@ip-location-db");
    let output = root.join("crates/atlas/data/atlas.bin");
    let mut command = Command::new("cargo");
    command.args([
        "run",
        "--release",
        "--quiet",
        "--package",
        "epicenter",
        "--",
        "atlas",
        "build",
        "--built",
        BUILT,
    ]);
    for line in ATTRIBUTION {
        command.args(["--attribution", line]);
    }
    command.arg("-o").arg(output);
    for file in [
        "geo-whois-asn-country-ipv4.mmdb",
        "geo-whois-asn-country-ipv6.mmdb",
    ] {
        command.arg(packages.join("geo-whois-asn-country-mmdb").join(file));
    }
    for file in ["asn-ipv4.csv", "asn-ipv6.csv"] {
        command.arg(packages.join("asn").join(file));
    }
    run(command.current_dir(root))
}
