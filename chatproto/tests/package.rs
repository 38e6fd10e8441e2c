//! What the crate's package contains, beside the sources.

use std::path::Path;
use std::process::Command;

#[test]
fn the_package_contains_the_licences_and_the_protocol() {
    let files = files();
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "PROTOCOL.md", "CHANGELOG.md"] {
        assert!(files.iter().any(|name| name == file), "{file} is not in the package: {files:?}");
    }
    let text = |name| {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + name).unwrap()
    };
    assert!(text("LICENSE-MIT").starts_with("MIT License"));
    assert!(text("LICENSE-APACHE").contains("Apache License"));
}

/// The names of the files at the top of the package: of this folder if it is an unpacked one.
fn files() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    if folder.join("Cargo.toml.orig").exists() {
        let entries = std::fs::read_dir(folder).unwrap();
        return entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    }
    let output = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}
