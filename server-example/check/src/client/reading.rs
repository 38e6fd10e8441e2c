//! What a client must be able to read: a table of what is written to it, and of what it is to echo.

use std::time::Duration;

use super::super::rules::{Tried, failed};
use super::super::show;
use super::case::{Case, case};
use super::session::{Client, PEER};

/// One thing that is written.
pub(super) struct Reading {
    pub(super) case: Case,
    /// The pieces that it is written in.
    pieces: fn(&Client) -> Vec<Vec<u8>>,
    pause: Duration,
    /// What the echo is to say, object by object.
    texts: Vec<String>,
}

impl Reading {
    /// Whether this is the one without which nothing can be said of the others.
    pub(super) fn is_first(&self) -> bool {
        self.case.part == "echo"
    }

    /// Writes it, and waits for the echo.
    pub(super) fn run(&self, client: &mut Client) -> Tried {
        let since = client.raw.count();
        let pieces = (self.pieces)(client);
        match &pieces[..] {
            [one] => client.raw.send(one),
            several => client.raw.send_pieces(several.iter().map(|piece| &piece[..]), self.pause),
        }
        if self.texts.is_empty() {
            return judge_silence(client, since);
        }
        let texts: Vec<_> = self.texts.iter().map(|text| &**text).collect();
        client.expect_echoes(&texts).map(|echoes| match &echoes[..] {
            [echo] => show::item(echo),
            echoes => format!("{} objects, in order", echoes.len()),
        })
    }
}

/// After a framing error nothing is to be echoed.
fn judge_silence(client: &mut Client, since: usize) -> Tried {
    client.raw.hear(client.timeout / 4, |item| item.to() == PEER);
    let came = show::came(&client.raw, since);
    let is_echoed = client.raw.since(since).iter().any(|item| item.to() == PEER);
    if is_echoed { failed(came) } else { Ok(came) }
}

/// Part of a rule that clients which know only part A are not judged by.
fn robust(
    rule: &'static str,
    part: &'static str,
    sent: &'static str,
    expected: &'static str,
) -> Case {
    Case { is_core: false, ..case(rule, part, sent, expected) }
}

fn one(case: Case, text: &str, pieces: fn(&Client) -> Vec<Vec<u8>>) -> Reading {
    several(case, &[text], pieces)
}

fn several(case: Case, texts: &[&str], pieces: fn(&Client) -> Vec<Vec<u8>>) -> Reading {
    let texts = texts.iter().map(|&text| text.to_owned()).collect();
    Reading { case, pieces, pause: Duration::from_millis(30), texts }
}

/// A text that does not fit one read of the simplest programs.
fn long() -> String {
    "0123456789".repeat(300)
}

/// A text that nearly fills the longest frame.
fn longest() -> String {
    "0123456789".repeat(6_400)
}

/// All of them; the first decides whether the others can be judged, the last ends the connection.
pub(super) fn cases() -> Vec<Reading> {
    vec![
        one(
            case("A3", "echo", "a message", "its text, sent back to who wrote it"),
            "hello",
            |client| vec![line(client.object("hello"))],
        ),
        one(
            case("A3", "order", "a message with its keys in another order", "its text"),
            "order",
            |client| {
                let name = client.quoted_name();
                vec![line(format!(
                    r#"{{"msg":"order","to":{name},"from":{{"ip":"","name":"{PEER}"}}}}"#
                ))]
            },
        ),
        one(
            case("A1", "utf8", "a message with UTF-8 of two, three and four bytes", "its text"),
            "é 你好 😀",
            |client| vec![line(client.object("é 你好 😀"))],
        ),
        one(
            case("A5", "escapes", "the same as json.dumps prints it", "its text"),
            "caf\u{e9} 😀!",
            |client| {
                let message = chatproto::Message::new(PEER, "", &*client.name, "caf\u{e9} 😀!");
                vec![line(message.to_python_json())]
            },
        ),
        one(
            case("B7", "escapes", "a message with every escape of JSON", "its text"),
            "\" \\ / \u{8} \u{c} \n \r \t \u{1} A",
            |client| {
                let name = client.quoted_name();
                let text = r#"\" \\ \/ \b \f \n \r \t \u0001 \u0041"#;
                vec![line(format!(
                    r#"{{"from":{{"name":"{PEER}","ip":""}},"to":{name},"msg":"{text}"}}"#
                ))]
            },
        ),
        several(
            case(
                "A4",
                "joined",
                "two messages in one write, without a delimiter",
                "both texts, in order",
            ),
            &["first", "second"],
            |client| vec![(client.object("first") + &client.object("second")).into_bytes()],
        ),
        several(
            case(
                "B1",
                "blank",
                "three messages with LF, CR LF, spaces and tabs between them",
                "the texts, in order",
            ),
            &["one", "two", "three"],
            |client| {
                let [one, two, three] = ["one", "two", "three"].map(|text| client.object(text));
                vec![line(format!(" {one}\n\t{two}\r\n  {three}"))]
            },
        ),
        one(
            case("B1", "split", "a message in three writes, 30 ms apart", "its text"),
            "in three pieces",
            |client| {
                let object = line(client.object("in three pieces"));
                object.chunks(object.len() / 3 + 1).map(<[u8]>::to_vec).collect()
            },
        ),
        Reading {
            pause: Duration::from_millis(1),
            ..one(
                case("B1", "bytes", "a message, each byte in a write of its own", "its text"),
                "each byte é😀",
                |client| {
                    line(client.object("each byte é😀")).chunks(1).map(<[u8]>::to_vec).collect()
                },
            )
        },
        one(
            case("B1", "unended", "a message without a line feed", "its text"),
            "no line feed",
            |client| vec![client.object("no line feed").into_bytes()],
        ),
        one(robust("B4", "long", "a message of 3000 bytes", "its text"), &long(), |client| {
            vec![line(client.object(&long()))]
        }),
        one(
            robust("B4", "longest", "a message of nearly 64 KiB", "its text"),
            &longest(),
            |client| vec![line(client.object(&longest()))],
        ),
        one(
            robust("B3", "unknown-key", "a message with keys that there are not", "its text"),
            "unknown key",
            |client| {
                let name = client.quoted_name();
                vec![line(format!(
                    r#"{{"v":[1,{{}}],"from":{{"name":"{PEER}","ip":"","x":null}},"to":{name},"msg":"unknown key"}}"#
                ))]
            },
        ),
        one(
            robust(
                "B3",
                "schema",
                "an object without msg, and a message",
                "the text of the message",
            ),
            "after the error",
            |client| {
                let bad = format!(
                    r#"{{"from":{{"name":"{PEER}","ip":""}},"to":{}}}"#,
                    client.quoted_name()
                );
                vec![line(bad), line(client.object("after the error"))]
            },
        ),
        several(
            robust(
                "B3",
                "framing",
                "a word that is no object, and a message",
                "nothing: what follows is not read",
            ),
            &[],
            |client| vec![line(format!("hello\n{}", client.object("after the end")))],
        ),
    ]
}

fn line(object: String) -> Vec<u8> {
    (object + "\n").into_bytes()
}
