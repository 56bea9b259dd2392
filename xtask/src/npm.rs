//! Data that other projects publish as npm packages, at pinned versions.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;

/// A package, its version, and the digest that the registry gives for it (npm checks the download against it).
pub(crate) type Package = (&'static str, &'static str, &'static str);

/// Fetches packages into a folder and returns where they lie. No script of theirs is run.
pub(crate) fn fetch(folder: &Path, packages: &[Package]) -> Result<PathBuf, String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let dependencies: Vec<String> = packages
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
        .current_dir(folder))
    .map_err(|error| format!("{error} (npm is needed to fetch the sources: Debian package npm)"))?;
    let lock =
        std::fs::read_to_string(folder.join("package-lock.json")).map_err(|error| error.to_string())?;
    for (name, _, integrity) in packages {
        if !lock.contains(integrity) {
            return Err(format!("{name}: the registry's package is not the pinned one"));
        }
    }
    Ok(folder.join("node_modules"))
}
