//! What the crate's package contains, beside the sources.

use std::process::Command;

#[test]
fn the_package_contains_the_licences_and_the_protocol() {
    let output = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let files = String::from_utf8(output.stdout).unwrap();
    for file in ["LICENSE-MIT", "LICENSE-APACHE", "README.md", "PROTOCOL.md", "CHANGELOG.md"] {
        assert!(files.lines().any(|line| line == file), "{file} is not in the package: {files}");
    }
    let text = |name| {
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + name).unwrap()
    };
    assert!(text("LICENSE-MIT").starts_with("MIT License"));
    assert!(text("LICENSE-APACHE").contains("Apache License"));
}
