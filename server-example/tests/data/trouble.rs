//! When the disk of the data makes trouble: it is full, it cannot be written, what is on it is
//! damaged, or it is another server's.

use std::path::Path;

use crate::common::kept::{KeptServer, page, parse_synced, sync};
use crate::common::temp_dir::TempDir;
use crate::common::{Program, Raw};
use crate::small_disk::SmallDisk;

/// Runs `serve`, which refuses; the sentence.
fn refusal(data: &str) -> String {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data];
    let (code, output, errors) = Program::start(&arguments).end();
    assert_eq!((code, &output[..]), (Some(2), &[][..]), "{errors:?}");
    let sentence = errors.last().expect("it says why");
    sentence.strip_prefix("server-example: ").expect("who says it").to_owned()
}

/// What is said to a user until `/ping` comes back: by the server, and by others.
fn until_pong(user: &mut Raw, nonce: &str) -> (Vec<String>, Vec<String>) {
    user.send("/ping", nonce);
    let (mut told, mut heard) = (Vec::new(), Vec::new());
    loop {
        let message = user.receive().expect("the connection is open");
        match message.is_from_server() {
            true if message.msg == nonce => return (told, heard),
            true => told.push(message.msg),
            false => heard.push(message.msg),
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_stops_the_history_and_nothing_else_until_there_is_room() {
    let dir = TempDir::new();
    let data = dir.path("data");
    let Some(disk) = SmallDisk::mount(Path::new(&data), "size=8m") else { return };
    let mut server = KeptServer::start_in(TempDir::new(), data.clone(), &[]);
    let (mut alice, mut bob) = (server.join("alice"), server.join("bob"));
    alice.join("#tea");
    bob.join("#tea");
    alice.send("#tea", "before");
    let mut acknowledged = vec![(sync(&mut alice).0, "before".to_owned())];

    // all that is left of the disk is another program's
    disk.fill(None);
    let text = "x".repeat(16_000);
    let refusal = loop {
        let text = format!("{} {text}", acknowledged.len());
        alice.send("#tea", &text);
        let said = alice.command("/sync", "");
        match parse_synced(&said) {
            Some((id, _)) => acknowledged.push((id, text)),
            None => break said,
        }
        assert!(acknowledged.len() < 1_000, "the disk is not full");
    };
    assert_eq!(refusal, "❌ Not everything that you sent is stored: the server's disk is full.");
    server.program.error_with("history is not kept: there is no space left for ");

    // each sender is told once, and everything is delivered
    let told = "❌ Delivered, but history is not being kept: the server's disk is full.";
    for number in 0..3 {
        alice.send("#tea", &format!("meanwhile {number}"));
    }
    assert_eq!(until_pong(&mut alice, "pong").0, [told]);
    bob.send("#tea", "me too");
    let (said, heard) = until_pong(&mut bob, "pong");
    assert_eq!(said, [told]);
    // one of them was the one that did not fit
    assert_eq!(heard.len(), acknowledged.len() + 1 + 3);
    assert_eq!(heard[heard.len() - 3..], ["meanwhile 0", "meanwhile 1", "meanwhile 2"]);
    assert!(alice.command("/sync", "").starts_with("❌ Not everything that you sent is stored"));
    assert_eq!(page(&mut bob, "#tea 1").ids.len(), 1, "what there is can be read");

    disk.make_room();
    server.program.error_with("history is kept again");
    alice.send("#tea", "after");
    acknowledged.push((sync(&mut alice).0, "after".to_owned()));
    assert_eq!(until_pong(&mut alice, "pong").0, [""; 0]);

    server.kill();
    server.begin();
    let mut alice = server.join("alice");
    alice.join("#tea");
    let all = page(&mut alice, "#tea 256");
    let find = |id| all.ids.iter().position(|&there| there == id).map(|at| &all.messages[at].1);
    for (id, text) in &acknowledged {
        assert_eq!(find(*id), Some(text));
    }
    // and what waited for room
    assert_eq!(all.texts().iter().filter(|text| text.starts_with("meanwhile")).count(), 3);
    assert!(all.texts().contains(&"me too"));
}

/// The memory of a process in MiB.
#[cfg(target_os = "linux")]
fn memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() >> 10
}

#[test]
#[cfg(target_os = "linux")]
fn during_an_outage_memory_is_bounded_and_heavy_senders_leave_room_for_light_ones() {
    let dir = TempDir::new();
    let data = dir.path("data");
    let Some(disk) = SmallDisk::mount(Path::new(&data), "size=48m") else { return };
    let options = ["--rate", "off", "--history-max", "16MiB"];
    let mut server = KeptServer::start_in(TempDir::new(), data.clone(), &options);
    let mut light = server.join("light");
    light.join("#tea");
    let mut heavy: Vec<Raw> = (0..4).map(|number| server.join(&format!("h{number}"))).collect();
    for (number, sender) in heavy.iter_mut().enumerate() {
        sender.join(&format!("#r{number}"));
    }
    let before = memory(server.program.id());
    disk.fill(None);
    // 120 MiB, of which half may wait
    let text = "x".repeat(60_000);
    for _ in 0..525 {
        for (number, sender) in heavy.iter_mut().enumerate() {
            sender.send(&format!("#r{number}"), &text);
        }
    }
    for sender in &mut heavy {
        assert!(sender.command_until("/ping", "sent", "sent").len() < 10);
    }
    for number in 0..10 {
        light.send("#tea", &number.to_string());
    }
    let failing = "❌ Not everything that you sent is stored: the server's disk is full.";
    assert_eq!(light.command_until("/sync", "", failing).last().unwrap(), failing);
    let used = memory(server.program.id()) - before;
    assert!(used < 160, "{used} MiB");

    disk.make_room();
    server.program.error_with("history is kept again");
    sync(&mut light);
    let lost =
        "❌ Not everything that you sent is stored: some of it came while nothing could be stored.";
    for sender in &mut heavy {
        let said = sender.command("/sync", "");
        assert_eq!(said, lost);
        // it is said once
        sync(sender);
    }
    let kept = page(&mut light, "#tea 256");
    assert_eq!(kept.texts(), (0..10).map(|number: u32| number.to_string()).collect::<Vec<_>>());
}

#[test]
#[cfg(target_os = "linux")]
fn the_end_during_an_outage_is_quick_and_says_how_many_messages_are_lost() {
    let dir = TempDir::new();
    let data = dir.path("data");
    let Some(disk) = SmallDisk::mount(Path::new(&data), "size=8m") else { return };
    let mut server = KeptServer::start_in(TempDir::new(), data.clone(), &["--rate", "off"]);
    let mut alice = server.join("alice");
    alice.join("#tea");
    sync(&mut alice);
    disk.fill(None);
    let text = "x".repeat(60_000);
    while parse_synced(&alice.command("/sync", "")).is_some() {
        alice.send("#tea", &text);
    }
    for _ in 0..100 {
        alice.send("#tea", &text);
    }
    assert!(alice.command_until("/sync", "", "❌ Not everything").len() < 3);
    let begun = std::time::Instant::now();
    server.program.terminate();
    let (code, _, errors) = server.program.end();
    assert_eq!(code, Some(0));
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    let said = errors.iter().find(|line| line.contains("messages are not in the history"));
    let said = said.unwrap_or_else(|| panic!("{errors:?}"));
    let count = said.split("the last ").nth(1).and_then(|rest| rest.split(' ').next());
    let count: u32 = count.unwrap().parse().unwrap();
    assert!((101..=103).contains(&count), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_directory_that_is_read_only_is_refused() {
    let dir = TempDir::new();
    let data = dir.path("data");
    let Some(_disk) = SmallDisk::mount(Path::new(&data), "size=1m,ro") else { return };
    let sentence = refusal(&data);
    assert!(sentence.starts_with(&format!("cannot write {data}/chatproto.lock: ")), "{sentence}");
    assert!(sentence.ends_with("or name another directory with --data)"), "{sentence}");
}

#[test]
fn a_damaged_file_is_refused_with_a_way_out_and_left_alone() {
    let mut server = KeptServer::start(&["--rate", "off"]);
    let mut alice = server.join("alice");
    alice.join("#tea");
    for number in 0..2_000 {
        alice.send("#tea", &format!("{number} {}", "x".repeat(100)));
    }
    sync(&mut alice);
    server.program.terminate();
    assert_eq!(server.program.end().0, Some(0));

    let path = Path::new(&server.data).join("chatproto.db");
    let sound = std::fs::read(&path).unwrap();
    let mut damaged = sound.clone();
    let middle = sound.len() / 8192 * 4096;
    damaged[middle..][..4096].fill(0x5a);
    for (bytes, what) in [(&damaged[..], "is damaged ("), (b"Dear diary, ", "is damaged (")] {
        std::fs::write(&path, bytes).unwrap();
        let sentence = refusal(&server.data);
        assert!(sentence.starts_with(&format!("{} {what}", path.display())), "{sentence}");
        let way_out = format!("server-example restore FILE --data {}", server.data);
        assert!(sentence.contains(&way_out), "{sentence}");
        assert!(std::fs::read(&path).unwrap() == bytes, "it is as it was");
    }
    std::fs::write(&path, sound).unwrap();
    server.begin();
    let mut alice = server.join("alice");
    alice.join("#tea");
    assert_eq!(page(&mut alice, "#tea 256").ids.len(), 256);
}

#[test]
fn a_directory_that_another_server_uses_is_refused() {
    let server = KeptServer::start(&[]);
    let sentence = refusal(&server.data);
    let what = format!("the data directory {} is in use by another server: stop", server.data);
    assert!(sentence.starts_with(&what), "{sentence}");
    // the other one has lost nothing by it
    let mut alice = server.join("alice");
    alice.join("#tea");
    alice.send("#tea", "still here");
    sync(&mut alice);
    assert_eq!(page(&mut alice, "#tea").texts(), ["still here"]);
}
