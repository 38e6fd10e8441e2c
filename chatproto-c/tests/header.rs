//! The C header is what the sources say: it is generated again and compared with the one that is
//! there. `CHATPROTO_WRITE=1 cargo test -p chatproto-c --test header` writes it.

use std::fs;
use std::path::Path;

#[test]
fn the_header_is_that_of_the_sources() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = crate_dir.join("include/chatproto.h");
    let header = generate(crate_dir);
    if std::env::var_os("CHATPROTO_WRITE").is_some() {
        fs::write(&path, &header).expect("the header can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differs = header.lines().zip(committed.lines()).position(|(ours, theirs)| ours != theirs);
    assert!(
        header == committed,
        "include/chatproto.h is not that of the sources (line {}): CHATPROTO_WRITE=1 cargo test -p \
         chatproto-c --test header writes it",
        differs.map_or(committed.lines().count(), |line| line) + 1
    );
}

#[test]
fn every_declaration_is_documented() {
    let header = generate(Path::new(env!("CARGO_MANIFEST_DIR")));
    let lines: Vec<&str> = header.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let begins = line.starts_with("enum ")
            || line.starts_with("typedef ")
            || (line.contains(" chatproto_") && line.contains('(') && !line.starts_with(' '));
        if begins {
            let before = lines[..at].iter().rev().find(|line| !line.starts_with('#'));
            assert_eq!(before, Some(&" */"), "line {}: {line}", at + 1);
        }
    }
}

fn generate(crate_dir: &Path) -> String {
    let config = cbindgen::Config::from_file(crate_dir.join("cbindgen.toml")).unwrap();
    let mut header = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_crate(crate_dir)
        .with_after_include(versions())
        .generate()
        .expect("the sources can be read")
        .write(&mut header);
    String::from_utf8(header)
        .unwrap()
        // the variants are as short as can be
        .replace("CHATPROTO_RESULT_", "CHATPROTO_")
        .replace(" * # Safety\n", " * What the caller promises:\n")
}

/// The version macros, from the one place that has the version.
fn versions() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let (major, minor, patch) = (
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    );
    format!(
        "\n/* The version of this header; `chatproto_version` gives that of the library. */\n\
         #define CHATPROTO_VERSION \"{version}\"\n\
         #define CHATPROTO_VERSION_MAJOR {major}\n\
         #define CHATPROTO_VERSION_MINOR {minor}\n\
         #define CHATPROTO_VERSION_PATCH {patch}\n\
         \n/* The encoding of all text. */\n\
         #define CHATPROTO_ENCODING \"{encoding}\"\n",
        encoding = chatproto::utils::ENCODING
    )
}
