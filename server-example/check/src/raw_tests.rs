//! A connection against sockets of the test: objects, names, ends, and the bounds of its memory.

use std::net::TcpListener;

use super::*;

/// Longer than anything takes here, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection, and the other end of it.
fn pair() -> (Raw, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let raw = Raw::connect(address, None, PATIENCE, "a", &Transcript::default()).unwrap();
    (raw, listener.accept().unwrap().0)
}

fn object(msg: &str) -> String {
    Message::new("a", "b", "c", msg).to_json()
}

#[test]
fn objects_are_found_between_and_behind_what_is_none() {
    let (mut raw, mut other) = pair();
    let all = format!("{}\n,{}\r\nhello {}", object("1"), object("2"), object("3"));
    other.write_all(all.as_bytes()).unwrap();
    drop(other);
    assert_eq!(raw.hear_end(PATIENCE), Some(&End::Closed));
    let texts: Vec<_> = raw.since(0).iter().map(Item::msg).collect();
    assert_eq!(texts, ["1", "2", "3"]);
    assert_eq!(raw.garbage(), b",hello ");
    let ends: Vec<_> = raw.since(0).iter().map(|item| raw.has_line_feed(item)).collect();
    assert_eq!(ends, [true, true, false]);
}

#[test]
fn what_is_waited_for_comes_or_the_wait_ends() {
    let (mut raw, mut other) = pair();
    other.write_all((object("1") + &object("2")).as_bytes()).unwrap();
    assert!(raw.hear(PATIENCE, |item| item.msg() == "2").is_some());
    assert!(raw.hear(LEAST, |_| true).is_none(), "both have been heard");
    assert_eq!(raw.end(), None);
    drop(other);
    assert!(raw.hear(PATIENCE, |_| true).is_none());
    assert_eq!(raw.end(), Some(&End::Closed));
}

#[test]
fn a_name_ends_at_a_line_feed_a_brace_or_the_end() {
    for (bytes, name, objects) in [
        (format!("alice\r\n{}", object("1")), "alice\r\n", 1),
        (format!("alice {}", object("1")), "alice ", 1),
        ("alice".to_owned(), "alice", 0),
        (object("1"), "", 1),
    ] {
        let (mut raw, mut other) = pair();
        other.write_all(bytes.as_bytes()).unwrap();
        drop(other);
        assert_eq!(raw.hear_name(PATIENCE, PATIENCE), name.as_bytes());
        raw.hear_end(PATIENCE);
        assert_eq!(raw.count(), objects, "{bytes}");
        assert_eq!(raw.garbage(), b"");
    }
}

#[test]
fn a_connection_over_which_too_much_comes_is_broken_off() {
    let (mut raw, mut other) = pair();
    let flood =
        thread::spawn(move || while other.write_all(&[b'{', b'}'].repeat(5_000)).is_ok() {});
    let Some(End::Broken(why)) = raw.hear_end(PATIENCE) else { panic!("{:?}", raw.end()) };
    assert!(why.starts_with("by us, as what came takes more than 64 MiB: "), "{why}");
    let objects = raw.count() * size_of::<Item>();
    assert!(objects < MOST + (32 << 20), "{objects} bytes for the objects");
    let (held, all) = (raw.held, HELD_BY_ALL.load(Ordering::Relaxed));
    assert!(held > MOST && all >= held, "{held} of {all}");
    drop(raw);
    // other tests have connections of their own
    assert!(HELD_BY_ALL.load(Ordering::Relaxed) < all - held / 2);
    flood.join().unwrap();
}

#[test]
fn a_name_without_an_end_is_not_read_for_ever() {
    let (mut raw, mut other) = pair();
    let flood = thread::spawn(move || while other.write_all(&[b'x'; 10_000]).is_ok() {});
    let name = raw.hear_name(PATIENCE, PATIENCE);
    assert!((LONGEST_NAME..2 * LONGEST_NAME).contains(&name.len()), "{} bytes", name.len());
    drop(raw);
    flood.join().unwrap();
}

#[test]
fn keys_that_there_are_not_are_seen() {
    let (mut raw, mut other) = pair();
    let strange = object("1").replacen('{', "{\"x\":1,", 1);
    let inside = object("2").replacen("\"ip\"", "\"x\":{},\"ip\"", 1);
    other.write_all((object("0") + &strange + &inside).as_bytes()).unwrap();
    drop(other);
    raw.hear_end(PATIENCE);
    let extra: Vec<_> = raw.since(0).iter().map(Item::has_extra_keys).collect();
    assert_eq!(extra, [false, true, true]);
}
