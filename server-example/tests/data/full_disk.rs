//! A disk that is full when the server starts, or when history is removed to make room.

#![cfg(target_os = "linux")]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::common::kept::{KeptServer, page, parse_synced, sync};
use crate::common::temp_dir::TempDir;
use crate::common::{Program, Raw, TestServer};
use crate::small_disk::SmallDisk;

const NOT_KEPT: &str = "❌ Delivered, but history is not being kept: the server's disk is full.";

/// Fills what the ballast of the disk has left.
fn fill(disk: &SmallDisk, data: &str) {
    disk.fill(None);
    let mut rest = OpenOptions::new().append(true).open(format!("{data}/ballast")).unwrap();
    while rest.write_all(&[0; 512]).is_ok() {}
}

/// Sends until the disk takes nothing more.
fn send_until_full(user: &mut Raw, text: &str) {
    for _ in 0..2_000 {
        user.send("#tea", text);
        if parse_synced(&user.command("/sync", "")).is_none() {
            return;
        }
    }
    panic!("the disk is not full");
}

fn purge(data: &str) -> (Option<i32>, Vec<String>, Vec<String>) {
    Program::start(&["history", "purge", "--room", "#tea", "--yes", "--data", data]).end()
}

#[test]
fn a_server_that_starts_on_a_full_disk_has_its_accounts_and_keeps_no_history() {
    let dir = TempDir::new();
    let data = dir.path("data");
    let Some(disk) = SmallDisk::mount(Path::new(&data), "size=8m") else { return };
    let mut server = KeptServer::start_in(TempDir::new(), data.clone(), &[]);
    let mut alice = server.register("alice");
    alice.join("#tea");
    alice.send("#tea", "before");
    sync(&mut alice);
    server.program.terminate();
    assert_eq!(server.program.end().0, Some(0));

    fill(&disk, &data);
    server.begin();
    server.program.error_with("history is not kept: there is no space left for ");
    let mut alice = server.login("alice");
    alice.join("#tea");
    assert_eq!(alice.command("#tea", "meanwhile"), NOT_KEPT);
    let refusal = "❌ Not everything that you sent is stored: the server's disk is full.";
    assert_eq!(alice.command("/sync", ""), refusal);
    assert_eq!(page(&mut alice, "#tea").texts(), ["before"]);
    // the name is its owner's
    assert!(server.join("alice").hear().contains("belongs to an account"));

    disk.make_room();
    server.program.error_with("history is kept again");
    sync(&mut alice);
    assert_eq!(page(&mut alice, "#tea").texts(), ["before", "meanwhile"]);
    server.restart();
    let mut alice = server.login("alice");
    alice.join("#tea");
    assert_eq!(page(&mut alice, "#tea").texts(), ["before", "meanwhile"]);
}

#[test]
fn a_server_without_room_for_its_first_database_serves_and_raises_the_alarm() {
    let dir = TempDir::new();
    let data = dir.path("data");
    let Some(disk) = SmallDisk::mount(Path::new(&data), "size=1m") else { return };
    fill(&disk, &data);
    let mut server = KeptServer::start_in(TempDir::new(), data.clone(), &[]);
    let alarm = server.program.error_with("ERROR nothing is kept, no accounts and no history: ");
    assert!(
        alarm.contains("there is no space left for ") && alarm.contains("make room"),
        "{alarm}"
    );
    let (mut alice, mut bob) = (server.join("alice"), server.join("bob"));
    alice.send("bob", "hi");
    assert_eq!(bob.receive_from_user().msg, "hi");
    server.program.terminate();
    assert_eq!(server.program.end().0, Some(0));

    // accounts that are required need a place
    let arguments = ["serve", "--listen", "0", "--data", &data, "--accounts", "required"];
    let (code, _, errors) = Program::start(&arguments).end();
    assert_eq!(code, Some(2));
    assert!(errors.last().unwrap().contains("there is no space left for "), "{errors:?}");
    disk.make_room();
    server.begin();
    server.register("alice");
}

#[test]
fn history_can_be_purged_from_a_full_disk() {
    for ends in ["TERM", "KILL"] {
        let dir = TempDir::new();
        let data = dir.path("data");
        let Some(disk) = SmallDisk::mount(Path::new(&data), "size=8m") else { return };
        let mut server = KeptServer::start_in(TempDir::new(), data.clone(), &["--rate", "off"]);
        disk.fill(Some(4 << 20));
        let mut alice = server.register("alice");
        alice.join("#tea");
        send_until_full(&mut alice, &"x".repeat(60_000));
        server.program.signal(ends);
        server.program.end();
        disk.fill(None);

        let (code, output, errors) = purge(&data);
        assert_eq!(code, Some(0), "{ends}: {output:?} {errors:?}");
        let purged: u32 = output[0].split(' ').next().unwrap().replace(',', "").parse().unwrap();
        assert!(purged > 20, "{output:?}");
        // what was in the way of everything is room again
        server.begin();
        let mut alice = server.login("alice");
        alice.join("#tea");
        alice.send("#tea", "after");
        sync(&mut alice);
        assert_eq!(page(&mut alice, "#tea").texts(), ["after"]);
        server.program.terminate();
        assert_eq!(server.program.end().0, Some(0));
    }
}

#[test]
fn history_can_be_purged_beside_a_server_that_has_no_room() {
    let dir = TempDir::new();
    let data = dir.path("data");
    let Some(disk) = SmallDisk::mount(Path::new(&data), "size=8m") else { return };
    let mut server = KeptServer::start_in(TempDir::new(), data.clone(), &["--rate", "off"]);
    disk.fill(Some(4 << 20));
    let mut alice = server.join("alice");
    alice.join("#tea");
    send_until_full(&mut alice, &"x".repeat(60_000));
    server.program.error_with("history is not kept: there is no space left for ");
    let (code, output, errors) = purge(&data);
    assert_eq!(code, Some(0), "{output:?} {errors:?}");
    server.program.error_with("history is kept again");
    alice.send("#tea", "after");
    sync(&mut alice);
    assert!(page(&mut alice, "#tea").texts().contains(&"after"));
}

#[test]
fn a_request_to_reload_before_the_server_is_ready_waits_for_it() {
    let dir = TempDir::new();
    let token = dir.path("token");
    assert!(Command::new("mkfifo").arg(&token).status().unwrap().success());
    let data = dir.path("data");
    let arguments = ["serve", "--listen", "0", "--data", &data, "--admin-token", &token];
    let program = Program::start(&arguments);
    // the server reads the token at its start: opening the other end waits for that
    let mut other = OpenOptions::new().write(true).open(&token).unwrap();
    program.signal("HUP");
    program.signal("HUP");
    // it reads the token again when it reloads
    let next = dir.file("next", "Zm9vYmFyYmF6cXV4MTIzNDU3");
    std::fs::rename(next, &token).unwrap();
    other.write_all(b"Zm9vYmFyYmF6cXV4MTIzNDU2").unwrap();
    drop(other);
    let mut server = TestServer::of(program);
    server.program.error_with("the configuration was loaded again");
    let mut alice = Raw::connect_at_once(server.address, "alice");
    assert!(alice.command("/admin", "Zm9vYmFyYmF6cXV4MTIzNDU3").contains("You are an admin"));
}

#[test]
fn a_server_that_is_not_ready_ends_at_a_signal() {
    let dir = TempDir::new();
    let token = dir.path("token");
    assert!(Command::new("mkfifo").arg(&token).status().unwrap().success());
    let mut program = Program::start(&["serve", "--listen", "0", "--admin-token", &token]);
    let other = OpenOptions::new().write(true).open(&token).unwrap();
    program.terminate();
    let (code, output, _) = program.end();
    drop(other);
    assert_eq!((code, output), (None, vec![]), "the signal has ended it");
}
