//! The Debian package: the program, its man page and completions, the unit, and settings to begin with. Built by `dpkg-deb` from a tree
//! that is laid out here; there is nothing that a package of one program needs more.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Builds `target/epicenter_VERSION_ARCH.deb`.
pub(crate) fn build(root: &Path) -> Result<(), String> {
    super::run(
        Command::new("cargo")
            .args(["build", "--release", "--locked", "-p", "epicenter"])
            .current_dir(root),
    )?;
    let program = root.join("target/release/epicenter");
    let architecture = output(Command::new("dpkg").arg("--print-architecture")).map_err(|error| {
        format!("dpkg is missing: this runs on Debian and what is made from it ({error})")
    })?;
    let (architecture, version) = (architecture.trim(), env!("CARGO_PKG_VERSION"));
    let tree = root.join("target/deb");
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(|error| format!("{}: {error}", tree.display()))?;
    }
    let put = |to: &str, bytes: &[u8], mode: u32| {
        let path = tree.join(to);
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&path, bytes))
            .and_then(|()| {
                use std::os::unix::fs::PermissionsExt;
                fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            });
        written.map_err(|error| format!("{}: {error}", path.display()))
    };
    let read = |path: &Path| fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    put("usr/bin/epicenter", &read(&program)?, 0o755)?;
    // Line tables are for us; four fifths of the file are such.
    super::run(Command::new("strip").arg(tree.join("usr/bin/epicenter")))?;
    put(
        "lib/systemd/system/epicenter.service",
        &read(&root.join("packaging/epicenter.service"))?,
        0o644,
    )?;
    put(
        "etc/epicenter/epicenter.toml",
        &read(&root.join("packaging/epicenter.toml"))?,
        0o644,
    )?;
    let said = |args: &[&str]| output(Command::new(&program).args(args));
    put(
        "usr/share/man/man1/epicenter.1",
        said(&["man"])?.as_bytes(),
        0o644,
    )?;
    for (shell, to) in [
        ("bash", "usr/share/bash-completion/completions/epicenter"),
        ("zsh", "usr/share/zsh/vendor-completions/_epicenter"),
        ("fish", "usr/share/fish/vendor_completions.d/epicenter.fish"),
    ] {
        put(to, said(&["completions", shell])?.as_bytes(), 0o644)?;
    }
    put(
        "usr/share/doc/epicenter/copyright",
        &read(&root.join("LICENSE-MIT"))?,
        0o644,
    )?;
    let kib: u64 = output(Command::new("du").args(["-sk", "."]).current_dir(&tree))?
        .split_whitespace()
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let control = format!(
        "Package: epicenter\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: The Epicenter authors <epicenter@localhost>\n\
         Installed-Size: {kib}\nDepends: libc6\nRecommends: ca-certificates\nSection: net\nPriority: optional\n\
         Description: Is it down, is it an attack, and where did it really come from\n \
         An outage tracker, a collector of flow exports that finds attacks, and a tool\n \
         that says where recorded attacks came from, with intervals and evidence.\n"
    );
    put("DEBIAN/control", control.as_bytes(), 0o644)?;
    put("DEBIAN/conffiles", b"/etc/epicenter/epicenter.toml\n", 0o644)?;
    put("DEBIAN/postinst", POSTINST.as_bytes(), 0o755)?;
    put("DEBIAN/prerm", PRERM.as_bytes(), 0o755)?;
    let package = root.join(format!("target/epicenter_{version}_{architecture}.deb"));
    super::run(
        Command::new("dpkg-deb")
            .args(["--root-owner-group", "--build"])
            .arg(&tree)
            .arg(&package),
    )?;
    println!("{}", package.display());
    Ok(())
}

/// The unit is made known, and started only by whoever wants it: a tracker that opens by itself is nobody's wish.
const POSTINST: &str = "#!/bin/sh\nset -e\nif [ -d /run/systemd/system ]; then\n\tsystemctl daemon-reload || true\n\t\
    if systemctl is-active --quiet epicenter; then systemctl restart epicenter || true; fi\nfi\n";
const PRERM: &str = "#!/bin/sh\nset -e\nif [ \"$1\" = remove ] && [ -d /run/systemd/system ]; then\n\tsystemctl stop epicenter || true\nfi\n";

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}
