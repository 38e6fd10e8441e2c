//! The grammar of arguments as the commands apply it (B10, B18): a mistyped name, duration or address
//! never has an effect on somebody else, or a stronger one.

use chatproto::accounts::AccountPolicy;
use chatproto::handshake::PeerKind;
use chatproto::hub::{BanTarget, ConnId, Hub};

use crate::common::{AWAY, House};

fn house() -> (House, ConnId) {
    let mut house = House::of(Hub::builder().admin_token("t"));
    let admin = house.stream("admin");
    house.ask(admin, "/admin", "t");
    house.forget();
    (house, admin)
}

/// The one answer to a command of which others hear too.
fn answer_of(house: &mut House, conn: ConnId, to: &str, msg: &str) -> String {
    assert!(house.send(conn, to, msg));
    let [answer] = house.mail().messages(conn).try_into().expect("one answer");
    answer.msg
}

fn is_online(house: &House, name: &str) -> bool {
    house.hub.users().any(|user| user == name)
}

#[test]
fn a_user_is_reached_by_a_name_with_any_quotes_and_by_no_other() {
    for name in ["bob\" x", "\"bob\"", "\"", "a \"b\" c", "\"x y", "x\"\"y", "12", "30s", "bob 5"] {
        let (mut house, admin) = house();
        house.stream("bob");
        house.stream(name);
        house.forget();
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let answer = answer_of(&mut house, admin, "/mute", &format!("{quoted} 10min"));
        assert_eq!(answer, format!("Muted {name} for 10 min, until 2026-11-20 14:13:07."));
        let answer = answer_of(&mut house, admin, "/unmute", &quoted);
        assert_eq!(answer, format!("{name} may speak again."));
        answer_of(&mut house, admin, "/role", &format!("{quoted} moderator"));
        // the quotes around it alone are not enough for a name with quotes
        if name.contains('"') {
            let answer = house.ask(admin, "/kick", &format!("\"{name}\""));
            assert!(answer.starts_with("❌ "), "{name}: {answer}");
        }
        assert!(is_online(&house, name) && is_online(&house, "bob"));
        assert_eq!(answer_of(&mut house, admin, "/kick", &quoted), format!("Kicked {name}."));
        assert!(!is_online(&house, name) && is_online(&house, "bob"));
        assert!(house.ask(admin, "/ban", &quoted).starts_with("Banned "));
        assert!(house.ask(admin, "/bans", "").contains(name));
        assert!(house.ask(admin, "/unban", &quoted).ends_with("is banned no longer."));
    }
}

#[test]
fn a_duration_that_is_none_is_refused() {
    let (mut house, admin) = house();
    house.stream("bob");
    house.forget();
    for text in [
        "10 min",
        "1hour",
        "10 minutes",
        "1h 30min",
        "5",
        "-5min",
        "1.5h",
        "0s",
        "3 warnings",
        "1y",
        "\u{ff11}\u{ff10}min",
        "\u{663}h",
        "\u{6f5} min",
        "\u{2460}h",
        "\u{2212}5min",
        "~10min",
        "\u{200b}10min",
    ] {
        for command in ["/ban", "/mute"] {
            let answer = house.ask(admin, command, &format!("bob {text}"));
            assert!(answer.contains("is not a duration; write one word like 30s"), "{answer}");
        }
    }
    assert!(is_online(&house, "bob"));
    assert_eq!(house.ask(admin, "/bans", ""), "Nobody is banned.");
    assert_eq!(house.ask(admin, "/mutes", ""), "Nobody is muted.");
    // a reason in quotes may begin with a number
    let answer = answer_of(&mut house, admin, "/mute", "bob \"3 warnings\"");
    assert_eq!(answer, "Muted bob until /unmute.");
    assert!(house.ask(admin, "/mutes", "").contains("3 warnings"));
}

#[test]
fn an_address_that_is_none_is_refused_and_not_a_name() {
    let (mut house, admin) = house();
    for text in [
        "192.0.2.1/33",
        "192.0.2.1/08",
        "192.0.2.1/00",
        "192.0.2.1/+8",
        "01.2.3.4",
        "01.2.3.4/8",
        "2001:db8::/032",
        "192.0.2.*",
        "192.0.2.x",
        "192.0.2",
        "192.0.2.256",
        "10/8",
        "10.",
        "10/",
        "::1/129",
        "[::1]",
        "[2001:db8::1]:65432",
        "fe80::1%eth0",
        "2001:db8::*",
        "2001:db8:",
        "2001:db7",
        "fd00:1/64",
        "\u{ff11}\u{ff19}\u{ff12}.0.2.7",
        "192\u{3002}0\u{3002}2\u{3002}7",
        "192\u{ff0e}0\u{ff0e}2\u{ff0e}7",
        "\u{661}\u{660}/8",
        "2001\u{ff1a}db8\u{ff1a}\u{ff1a}1",
        "(192.0.2.7)",
        "'192.0.2.0/24'",
        "*.0.2.7",
    ] {
        for command in ["/ban", "/unban"] {
            let answer = house.ask(admin, command, text);
            assert!(answer.contains("is not an address or a network; write one"), "{answer}");
        }
    }
    assert_eq!(house.ask(admin, "/bans", ""), "Nobody is banned.");
    for name in ["10", "1st", "v1.2", "a:b", ":-)", "10.fun", "c0ffee", "\u{ff11}"] {
        let answer = house.ask(admin, "/ban", name);
        assert_eq!(answer, format!("Banned {name} and its look-alikes until /unban."));
    }
}

#[test]
fn a_target_alone_is_one_and_what_may_be_more_is_refused() {
    let read = |text: &str| text.parse::<BanTarget>();
    for text in [
        "192.0.2.0/24 1h",
        "10.0.0.1 10.0.0.2",
        "192.0.2.1 # spammer",
        "2001:db8:: 1h",
        "2001:db8:: spammer",
        "bob 10 min",
        "bob 1h",
        "bob 1h30min",
        "bob 2 hours",
        "bob 192.0.2.1",
        "bob\u{a0}\u{ff11}\u{ff10}min",
        "bob # spammer",
    ] {
        let error = read(text).expect_err(text).to_string();
        assert!(error.contains("is not one target; write one"), "{error}");
        let name: BanTarget = format!("\"{text}\"").parse().expect(text);
        assert!(name.key().starts_with("name "), "{text}");
        // it is shown as it is read
        assert_eq!(read(&name.to_string()), Ok(name));
    }
    for name in ["alice smith", "bob the 3rd's dad", "user 12", "bob 5 times", "agent 007"] {
        assert_eq!(read(name).map(|target| target.to_string()).as_deref(), Ok(name));
    }
}

#[test]
fn a_name_that_is_an_address_is_banned_in_quotes_and_the_address_is_not() {
    let (mut house, admin) = house();
    let bob = house.join("192.0.2.7", PeerKind::Stream, AWAY);
    let eve = house.join("eve", PeerKind::Stream, AWAY);
    house.forget();
    house.send(admin, "/ban", "\"192.0.2.7\" \"spam\"");
    let mail = house.mail();
    let answer = "Banned \"192.0.2.7\" and its look-alikes until /unban.";
    assert_eq!(mail.said(admin, "admin"), [answer]);
    assert!(mail.closes(bob) && !mail.closes(eve));
    assert!(house.ask(admin, "/bans", "").contains("\"192.0.2.7\""));
    assert!(house.ask(admin, "/unban", "192.0.2.7").contains("is not banned"));
    let kept: Vec<_> = house.hub.bans(house.now).map(|ban| ban.target).collect();
    assert_eq!(kept, ["\"192.0.2.7\"".parse().unwrap()]);
    assert_eq!(kept[0].to_string().parse(), Ok(kept[0].clone()));
}

#[test]
fn wrong_quotes_are_a_usage_error_of_every_command_and_have_no_effect() {
    let builder = Hub::builder().accounts(AccountPolicy::Optional).admin_token("t");
    let mut house = House::of(builder.history("e1", 1));
    let alice = house.stream("alice");
    house.stream("bob");
    house.ask(alice, "/admin", "t");
    house.ask(alice, "/join", "#tea");
    house.forget();
    for command in [
        "/ban",
        "/close",
        "/forget",
        "/history",
        "/join",
        "/kick",
        "/leave",
        "/login",
        "/mute",
        "/nick",
        "/passwd",
        "/register",
        "/role",
        "/roll",
        "/unban",
        "/unmute",
        "/unregister",
        "/who",
    ] {
        let first = if matches!(command, "/close" | "/history" | "/who") { "#tea" } else { "bob" };
        for text in [
            format!("\"{first}"),
            format!("\"{first}\"x"),
            format!("\"{first}\"\""),
            format!("\"{first}\" \"x"),
            format!("\"{first}\" x\""),
        ] {
            // a password may end in a quote
            if matches!(command, "/login" | "/passwd") && text.ends_with(" x\"") {
                continue;
            }
            let answer = house.ask(alice, command, &text);
            assert!(answer.starts_with("❌ "), "{command} {text}: {answer}");
            assert!(house.out.next_effect().is_none(), "{command} {text}");
        }
    }
    assert!(is_online(&house, "bob") && is_online(&house, "alice"));
    assert!(house.ask(alice, "/whoami", "").ends_with("Rooms (1): #tea"));
    assert_eq!(house.ask(alice, "/bans", ""), "Nobody is banned.");
}
