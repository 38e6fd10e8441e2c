//! What commands write to: only a regular file that is theirs to write, under its name when it is
//! whole, and replaced on request alone.

use std::path::Path;

use crate::common::temp_dir::TempDir;
use crate::common::{Program, TestServer};

fn run(arguments: &[&str]) -> (Option<i32>, Vec<String>, String) {
    let (code, output, errors) = Program::start(arguments).end();
    (code, output, errors.join("\n"))
}

/// A data directory with an account in it.
fn data(dir: &TempDir) -> String {
    let data = dir.path("data");
    let (code, _, errors) = run(&["account", "add", "alice", "--generate", "--data", &data]);
    assert_eq!(code, Some(0), "{errors}");
    data
}

#[test]
fn a_backup_goes_to_nothing_but_a_file_of_its_own() {
    let dir = TempDir::new();
    let data = data(&dir);
    let database = format!("{data}/chatproto.db");
    let before = std::fs::read(&database).unwrap();
    let (directory, fifo) = (dir.path("directory"), dir.path("fifo"));
    std::fs::create_dir(&directory).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let lock = format!("{data}/chatproto.lock");
    for (target, why) in [
        (database.as_str(), "it belongs to a server's data directory"),
        (&lock, "it belongs to a server's data directory"),
        ("/dev/null", "it is a device"),
        (&fifo, "it is a FIFO"),
        (&directory, "it is a directory"),
        ("-", "cannot be standard output"),
    ] {
        for force in [&["--force"][..], &[]] {
            let command = [&["backup", target, "--data", &data], force].concat();
            let (code, output, error) = run(&command);
            assert_eq!((code, output), (Some(2), vec![]), "{command:?}: {error}");
            assert!(error.contains(why), "{command:?}: {error}");
        }
    }
    assert_eq!(std::fs::read(&database).unwrap(), before);
    assert!(!Path::new("-").exists());

    let file = dir.path("monday.db");
    assert_eq!(run(&["backup", &file, "--data", &data]).0, Some(0));
    assert_eq!(run(&["backup", &file, "--data", &data]).0, Some(1));
    assert_eq!(run(&["backup", &file, "--data", &data, "--force"]).0, Some(0));
}

#[test]
fn an_export_has_its_name_when_it_is_complete() {
    let dir = TempDir::new();
    let data = data(&dir);
    let file = dir.path("all.jsonl");
    let export = ["history", "export", "--data", &data, "--out"];
    assert_eq!(run(&[&export[..], &[&file]].concat()).0, Some(0));
    let (code, _, error) = run(&[&export[..], &[&file]].concat());
    assert_eq!(code, Some(1));
    assert!(error.ends_with("is there already: name another file, or replace it with --force"));
    assert_eq!(run(&[&export[..], &[&file, "--force"]].concat()).0, Some(0));
    // as other programs have it
    assert_eq!(run(&[&export[..], &["-"]].concat()).0, Some(0));
    assert!(!Path::new("-").exists());

    let database = format!("{data}/chatproto.db");
    for target in [&*database, "/dev/null", &dir.path("."), &format!("{}/", dir.path("new"))] {
        let (code, _, error) = run(&[&export[..], &[target, "--force"]].concat());
        assert_eq!(code, Some(2), "{target}: {error}");
    }

    // an export that fails leaves what was there, and nothing beside it
    let before = std::fs::read(&file).unwrap();
    std::fs::write(&database, vec![0x5a; 200_000]).unwrap();
    assert_eq!(run(&[&export[..], &[&file, "--force"]].concat()).0, Some(1));
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let mut names: Vec<_> = std::fs::read_dir(dir.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["all.jsonl", "data"]);
}

#[test]
fn a_report_is_replaced_on_request_only() {
    let dir = TempDir::new();
    let server = TestServer::start(&["--rate", "off"]);
    let (out, address) = (dir.path("report"), server.address.to_string());
    let load = ["load", "stress", "--bots", "2", "--duration", "100ms", "--server", &address];
    let load = [&load[..], &["--patience", "20s", "--out", &out]].concat();
    let (code, _, error) = run(&load);
    assert_eq!(code, Some(0), "{error}");
    let before = std::fs::read(format!("{out}/report.json")).unwrap();
    let (code, _, error) = run(&load);
    assert_eq!(code, Some(2));
    assert!(error.contains("report.json is there already"), "{error}");
    assert_eq!(std::fs::read(format!("{out}/report.json")).unwrap(), before);
    assert_eq!(run(&[&load[..], &["--force"]].concat()).0, Some(0));
    assert_ne!(std::fs::read(format!("{out}/report.json")).unwrap(), before);

    // a load that cannot begin leaves no report and no directory
    let (empty, closed) = (dir.path("empty"), "127.0.0.1:1");
    let (code, _, _) = run(&["load", "stress", "--server", closed, "--out", &empty]);
    assert_eq!(code, Some(1));
    assert!(!Path::new(&empty).exists());
    let data = data(&dir);
    let (code, _, error) = run(&["load", "stress", "--server", closed, "--out", &data]);
    assert_eq!(code, Some(2));
    assert!(error.contains("it is the data directory of a server"), "{error}");
}

#[test]
fn a_certificate_takes_the_place_of_a_file_alone() {
    let dir = TempDir::new();
    let tls = dir.path("tls");
    std::fs::create_dir(&tls).unwrap();
    let key = format!("{tls}/key.pem");
    assert!(std::process::Command::new("mkfifo").arg(&key).status().unwrap().success());
    let (code, _, error) = run(&["cert", "new", "--dir", &tls, "--force"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("key.pem: it is a FIFO"), "{error}");
    std::fs::remove_file(&key).unwrap();
    assert_eq!(run(&["cert", "new", "--dir", &tls]).0, Some(0));
    let before = std::fs::read(&key).unwrap();
    assert_eq!(run(&["cert", "new", "--dir", &tls, "--force"]).0, Some(0));
    assert_ne!(std::fs::read(&key).unwrap(), before);
    assert_eq!(std::fs::read_dir(&tls).unwrap().count(), 2);
}

#[test]
fn a_command_that_only_reads_makes_nothing() {
    let dir = TempDir::new();
    let wrong = dir.path("wrong");
    let backup = dir.path("backup.db");
    for arguments in [
        &["account", "list"][..],
        &["history", "stats"],
        &["history", "check"],
        &["history", "search", "tea"],
        &["history", "export"],
        &["history", "export", "--out", &backup],
        &["history", "purge", "--older-than", "1d", "--yes"],
        &["backup", &backup],
    ] {
        let (code, _, error) = run(&[arguments, &["--data", &wrong]].concat());
        assert_eq!(code, Some(1), "{arguments:?}");
        assert!(error.contains("there is no data in "), "{arguments:?}: {error}");
        assert_eq!(std::fs::read_dir(dir.path(".")).unwrap().count(), 0, "{arguments:?}");
    }
}
