//! The address snapshot inside the program, anew: its sources are fetched with npm at pinned versions, and the program itself
//! builds the atlas from them, as a user would.

use std::path::Path;
use std::process::Command;

use crate::run;

/// Packages, their versions, and the digests that the registry gives for them (npm checks them).
const PACKAGES: [(&str, &str, &str); 2] = [
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
    let folder = root.join("target/atlas");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let dependencies: Vec<String> = PACKAGES
        .iter()
        .map(|(name, version, _)| format!("\"{name}\": \"{version}\""))
        .collect();
    let manifest = format!(
        "{{\"private\": true, \"dependencies\": {{{}}}}}",
        dependencies.join(", ")
    );
    std::fs::write(folder.join("package.json"), manifest).map_err(|error| error.to_string())?;
    run(Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
        .current_dir(&folder))
    .map_err(|error| format!("{error} (npm is needed to fetch the sources: Debian package npm)"))?;
    let lock =
        std::fs::read_to_string(folder.join("package-lock.json")).map_err(|error| error.to_string())?;
    for (name, _, integrity) in PACKAGES {
        if !lock.contains(integrity) {
            return Err(format!("{name}: the registry's package is not the pinned one"));
        }
    }
    let packages = folder.join("node_modules/@ip-location-db");
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
