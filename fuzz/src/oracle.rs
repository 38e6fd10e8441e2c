//! A second reading of the protocol's bytes, to compare the decoder with: the grammar is judged by
//! `serde_json`, UTF-8 and surrogates by the standard library, and the schema by lists of an
//! object's members. It shares no code with the decoder and is as slow as it likes.
//!
//! Where `serde_json` and the protocol differ on purpose, and what the oracle does about it:
//!
//! | `serde_json` | the protocol | here |
//! |---|---|---|
//! | does not say at which byte a text stopped being JSON | B3: the first byte that cannot continue | [`grammar`] looks for the shortest prefix that nothing completes |
//! | calls a number without its last digits (`-`, `1.`, `1e+`) wrong even where the bytes just end | more may come | [`is_hopeless`] tries another digit |
//! | reads the four digits of an escape at once | the first bad digit is wrong at once | [`is_hopeless`] looks at the digits of a cut escape |
//! | skips a string without looking at its UTF-8 | B3: ill-formed UTF-8 is an error | [`framing`] asks the standard library |
//! | knows no bound of nesting for what it skips | 32 levels | [`too_deep`] counts |
//! | refuses a lone surrogate when it unescapes a string, and not when it skips one | B14: a schema error, in skipped strings too | [`lone_surrogate`] |
//! | of doubled keys the last one counts | B3: an error | [`Faults::members`] |

use std::fmt;

use chatproto::{ErrorClass, Message};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::stream::{Outcome, Refusal, Settings};

/// All that there is to say of a stream that ends with the input.
pub(crate) fn outcomes(input: &[u8], settings: Settings) -> Vec<Outcome> {
    let (mut outcomes, mut at) = (Vec::new(), 0);
    loop {
        at += input[at..].iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
        if at == input.len() {
            return outcomes;
        }
        let most = settings.max_frame.min(input.len() - at);
        let framing_error = match framing(&input[at..at + most]) {
            Ok(Some(end)) => {
                let text = std::str::from_utf8(&input[at..at + end]).expect("judged above");
                outcomes.push(schema(text, at, settings.strict));
                at += end;
                continue;
            }
            Ok(None) if most == settings.max_frame => ("too-long", most),
            Ok(None) => ("unexpected-end", most),
            Err(error) => error,
        };
        let (kind, within) = framing_error;
        let (class, offset) = (ErrorClass::Framing, at + within);
        outcomes.push(Err(Refusal { class, kind, offset, field: None }));
        return outcomes;
    }
}

/// Where the frame at the start of the text ends, if it does; or what is wrong first, and where.
fn framing(text: &[u8]) -> Result<Option<usize>, (&'static str, usize)> {
    let grammar = grammar(text);
    let (Grammar::Whole(until) | Grammar::Wrong(until)) = grammar else {
        return wrong_inside(text, text.len()).map(|()| None);
    };
    // up to there it is JSON but for these
    wrong_inside(text, until)?;
    match text.get(until) {
        _ if grammar == Grammar::Whole(until) => Ok(Some(until)),
        Some(0..0x20) if is_in_string(&text[..until]) => Err(("control-character", until)),
        _ => Err(("unexpected-byte", until)),
    }
}

/// What the grammar does not know of, in the part of a text that obeys it.
fn wrong_inside(text: &[u8], until: usize) -> Result<(), (&'static str, usize)> {
    let ill_formed = std::str::from_utf8(text)
        .err()
        .filter(|error| error.error_len().is_some())
        .map(|error| ("invalid-utf8", error.valid_up_to()))
        .filter(|&(_, at)| at < until);
    let too_deep = too_deep(&text[..until]).map(|at| ("too-deep", at));
    match [ill_formed, too_deep].into_iter().flatten().min_by_key(|&(_, at)| at) {
        Some(wrong) => Err(wrong),
        None => Ok(()),
    }
}

/// What the grammar of RFC 8259 says of an object at the start of a text.
#[derive(Clone, Copy, PartialEq)]
enum Grammar {
    Whole(usize),
    More,
    Wrong(usize),
}

fn grammar(text: &[u8]) -> Grammar {
    if text.first().is_some_and(|&first| first != b'{') {
        return Grammar::Wrong(0);
    }
    match read(text) {
        Read::Whole(end) => Grammar::Whole(end),
        _ if !is_hopeless(text) => Grammar::More,
        _ => {
            // once a prefix is hopeless every longer one is
            let (mut good, mut bad) = (0, text.len());
            while bad - good > 1 {
                let middle = good.midpoint(bad);
                if is_hopeless(&text[..middle]) { bad = middle } else { good = middle }
            }
            Grammar::Wrong(bad - 1)
        }
    }
}

/// Whether nothing can follow that makes an object of it.
fn is_hopeless(prefix: &[u8]) -> bool {
    match read(prefix) {
        Read::Whole(_) => false,
        Read::Wrong => read(&[prefix, b"0"].concat()) == Read::Wrong,
        Read::More => (3..=5).any(|back| {
            let Some(at) = prefix.len().checked_sub(back) else { return false };
            let (before, digits) = prefix.split_at(at);
            // behind another backslash it is none
            let backslashes = before.iter().rev().take_while(|&&byte| byte == b'\\').count();
            digits.starts_with(b"\\u")
                && backslashes % 2 == 0
                && !digits[2..].iter().all(u8::is_ascii_hexdigit)
        }),
    }
}

/// Whether a prefix that is not hopeless ends inside a string: only there can a `z` come, next or
/// after what ends an escape.
fn is_in_string(prefix: &[u8]) -> bool {
    let ends: [&[u8]; 6] = [b"z", b"nz", b"0z", b"00z", b"000z", b"0000z"];
    ends.iter().any(|end| read(&[prefix, end].concat()) == Read::More)
}

#[derive(PartialEq)]
enum Read {
    Whole(usize),
    More,
    Wrong,
}

fn read(text: &[u8]) -> Read {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    match values.next() {
        None => Read::More,
        Some(Ok(_)) => Read::Whole(values.byte_offset()),
        Some(Err(error)) if error.is_eof() => Read::More,
        Some(Err(_)) => Read::Wrong,
    }
}

/// The bracket that opens level 33 of a text that obeys the grammar.
fn too_deep(text: &[u8]) -> Option<usize> {
    let (mut depth, mut in_string, mut is_escaped) = (0_i32, false, false);
    text.iter().position(|byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
        depth > 32
    })
}

/// Judges a frame that is JSON, at the given offset of its stream.
fn schema(frame: &str, offset: usize, strict: bool) -> Outcome {
    let mut faults = Faults { frame, strict, found: Vec::new() };
    let [from, to, msg] = faults.members(frame, ["from", "to", "msg"], ["from", "to", "msg"]);
    let from = from.filter(|&from| faults.expect(from, b'{', "from"));
    let [name, ip] = match from {
        Some(from) => faults.members(from, ["name", "ip"], ["from.name", "from.ip"]),
        None => [None, None],
    };
    let mut text = |token: Option<&str>, field| {
        let token = token.filter(|&token| faults.expect(token, b'"', field))?;
        if let Some(at) = lone_surrogate(token) {
            faults.add(token, at, "lone-surrogate", Some(field));
        }
        if let Some(at) = nul(token).filter(|_| field == "from.name") {
            faults.add(token, at, "nul-in-name", Some(field));
        }
        serde_json::from_str::<String>(token).ok()
    };
    let texts = [text(name, "from.name"), text(ip, "from.ip"), text(to, "to"), text(msg, "msg")];
    match faults.found.into_iter().min_by_key(|refusal| refusal.offset) {
        Some(mut refusal) => {
            refusal.offset += offset;
            Err(refusal)
        }
        None => {
            let [name, ip, to, msg] = texts.map(|text| text.expect("nothing was wrong with it"));
            Ok(Message::new(name, ip, to, msg))
        }
    }
}

/// What is wrong with a frame, in no order.
struct Faults<'a> {
    frame: &'a str,
    strict: bool,
    found: Vec<Refusal>,
}

impl<'a> Faults<'a> {
    /// Something wrong, at an offset in a part of the frame.
    fn add(&mut self, part: &str, at: usize, kind: &'static str, field: Option<&'static str>) {
        let offset = part.as_ptr() as usize - self.frame.as_ptr() as usize + at;
        self.found.push(Refusal { class: ErrorClass::Schema, kind, offset, field });
    }

    fn expect(&mut self, value: &str, first: u8, field: &'static str) -> bool {
        let is_expected = value.as_bytes()[0] == first;
        if !is_expected {
            self.add(value, 0, "wrong-type", Some(field));
        }
        is_expected
    }

    /// The values of the keys in an object, and what is wrong with the keys and with the values of
    /// others.
    fn members<const N: usize>(
        &mut self,
        object: &'a str,
        keys: [&str; N],
        fields: [&'static str; N],
    ) -> [Option<&'a str>; N] {
        let mut values = [None; N];
        let members = serde_json::Deserializer::from_str(object).deserialize_map(Members);
        for (key, value) in members.expect("the grammar was judged") {
            if let Some(at) = lone_surrogate(key) {
                self.add(key, at, "lone-surrogate", None);
            }
            let spelled = serde_json::from_str::<String>(key).ok();
            let known = keys.iter().position(|&known| spelled.as_deref() == Some(known));
            match known {
                Some(index) if values[index].is_none() => {
                    values[index] = Some(value);
                    if value.starts_with('"') || (value.starts_with('{') && keys[index] == "from") {
                        continue; // it is looked at by itself
                    }
                }
                Some(index) => self.add(key, 0, "duplicate-key", Some(fields[index])),
                None if self.strict => self.add(key, 0, "unknown-key", None),
                None => {}
            }
            if let Some(at) = lone_surrogate(value) {
                self.add(value, at, "lone-surrogate", None);
            }
        }
        if let Some(missing) = values.iter().position(Option::is_none) {
            self.add(object, object.len() - 1, "missing-key", Some(fields[missing]));
        }
        values
    }
}

/// The members of an object as they stand in the text, doubled ones too.
struct Members;

impl<'a> Visitor<'a> for Members {
    type Value = Vec<(&'a str, &'a str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            members.push((key.get(), value.get()));
        }
        Ok(members)
    }
}

/// The first escape in a text of JSON that is half of a pair.
fn lone_surrogate(text: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(escape) = text[at..].find('\\') {
        at += escape;
        let mut units = Vec::new();
        while let Some(digits) = text[at + 6 * units.len()..].strip_prefix("\\u") {
            units.push(u16::from_str_radix(&digits[..4], 16).expect("four digits"));
        }
        let mut index = 0;
        for c in char::decode_utf16(units.iter().copied()) {
            let Ok(c) = c else { return Some(at + 6 * index) };
            index += c.len_utf16();
        }
        at += if units.is_empty() { 2 } else { 6 * units.len() };
    }
    None
}

/// The first escape of a string that is U+0000.
fn nul(token: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(escape) = token[at..].find('\\') {
        at += escape;
        if token[at..].starts_with("\\u0000") {
            return Some(at);
        }
        at += 2;
    }
    None
}
