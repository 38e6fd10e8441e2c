//! The C interface, called as C does: an input is a list of calls, right ones and wrong ones. What
//! the Rust interface says is what must come of them. Here the calls are read and made; `buffers`
//! is what writes into the caller's memory, `streams` the decoder.

mod buffers;
mod streams;

use std::cell::Cell;
use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};

use chatproto::endpoint::Arguments;
use chatproto::{Frame, Message};
use chatproto_c::chatproto_version;
use chatproto_c::decode::{chatproto_decode, chatproto_json_str, chatproto_message_ref};
use chatproto_c::message::{
    chatproto_message, chatproto_message_decode, chatproto_message_free, chatproto_message_new,
    chatproto_message_read,
};
use chatproto_c::result::{
    chatproto_error_detail, chatproto_last_error, chatproto_last_error_detail,
    chatproto_result as R, chatproto_result_str,
};
use chatproto_c::server::endpoint::chatproto_argument;
use chatproto_c::text::{chatproto_fields, chatproto_str};

use streams::Stream;

/// The input is a list of calls of the C interface. Results, out-parameters, texts and last errors
/// are those that its header documents, and no byte is written that is not the library's to write.
pub fn c_abi(input: &[u8]) {
    let mut input = Input(input);
    let mut streams: Vec<Stream> = Vec::new();
    let mut messages: Vec<(*mut chatproto_message, Message)> = Vec::new();
    while let Some(call) = input.byte() {
        match call % 16 {
            0 => decode(input.bytes()),
            1 => buffers::unescape(input.byte().unwrap_or(0) & 1 == 1, input.bytes()),
            2 => buffers::encode(&Strings::read(&mut input), input.byte().unwrap_or(0)),
            3 => messages.extend(message_new(&Strings::read(&mut input))),
            4 => messages.extend(message_decode(input.bytes())),
            5 => messages.iter().for_each(|(handle, message)| read_message(*handle, message)),
            6 => free_message(messages.pop()),
            7 | 8 => streams.push(Stream::new(input.byte().unwrap_or(0))),
            9 | 10 => {
                let bytes = input.bytes();
                Stream::any(&mut streams, call).feed(bytes);
            }
            11 | 12 => Stream::any(&mut streams, call).next(),
            13 => Stream::any(&mut streams, call).finish(),
            14 => argument(input.bytes()),
            _ => wrong_calls(input.bytes()),
        }
    }
    messages.into_iter().for_each(|message| free_message(Some(message)));
}

/// The calls that take apart a stream of bytes in one piece and in two.
pub(crate) fn seed(stream: &[u8]) -> Vec<u8> {
    let text = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("a short one").to_be_bytes();
        [&[0xff], &length[..], bytes].concat()
    };
    let (left, right) = stream.split_at(stream.len() / 2);
    let feed = |bytes| [&[9][..], &text(bytes), &[11, 11, 11]].concat();
    let calls = [&[0][..], &text(stream), &[4], &text(stream), &[5, 7, 0]];
    [&calls.concat()[..], &feed(left), &feed(right), &[13]].concat()
}

/// What is left of the input.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// A length and so many bytes, or what there is. Lengths from 255 on have two bytes more.
    fn bytes(&mut self) -> &'a [u8] {
        let mut length = usize::from(self.byte().unwrap_or(0));
        if length == 255 {
            let [high, low] = [(); 2].map(|()| self.byte().unwrap_or(0));
            length = usize::from(u16::from_be_bytes([high, low]));
        }
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}

thread_local! {
    /// What the last error of this thread has to be.
    static LAST: Cell<R> = const { Cell::new(R::Ok) };
}

/// Asserts what a call gave, and that the last error is that of the last call that failed.
#[track_caller]
fn gives(result: R, expected: R) -> chatproto_error_detail {
    assert_eq!(result, expected);
    if !matches!(result, R::Ok | R::NeedMore | R::BufferTooSmall) {
        LAST.set(result);
    }
    let nothing = chatproto_str::EMPTY;
    let mut detail = chatproto_error_detail {
        size: size_of::<chatproto_error_detail>(),
        result: R::Panicked,
        offset: 1,
        offset_in_frame: 1,
        field: nothing,
        sentence: nothing,
    };
    // SAFETY: it is there
    assert_eq!(unsafe { chatproto_last_error_detail(&mut detail) }, R::Ok);
    assert_eq!(detail.result, LAST.get(), "the last error");
    let sentence = text(&detail.sentence);
    assert_eq!(sentence, text(&chatproto_last_error()));
    assert_eq!(sentence.is_empty(), detail.result == R::Ok, "{sentence:?}");
    // SAFETY: `ptr` is never NULL, and a NUL follows
    assert_eq!(unsafe { *detail.sentence.ptr.add(sentence.len()) }, 0);
    detail
}

/// A string that the library gave, which is still there.
fn text(given: &chatproto_str) -> &str {
    assert!(!given.ptr.is_null(), "what is given is never NULL");
    // SAFETY: as the caller says
    let bytes = unsafe { std::slice::from_raw_parts(given.ptr.cast(), given.len) };
    std::str::from_utf8(bytes).expect("what is given is UTF-8")
}

/// Checks the tokens of a message against its strings.
fn check_tokens(tokens: &chatproto_message_ref, message: &Message) {
    let tokens = [tokens.name, tokens.ip, tokens.to, tokens.msg];
    let texts = [&message.from.name, &message.from.ip, &message.to, &message.msg];
    for (token, text) in tokens.iter().zip(texts) {
        buffers::unescapes_to(token, Ok(text));
    }
}

fn check_empty(tokens: &chatproto_message_ref) {
    let tokens: [chatproto_json_str; 4] = [tokens.name, tokens.ip, tokens.to, tokens.msg];
    assert!(tokens.iter().all(|token| text(&token.raw).is_empty() && !token.escaped));
}

fn decode(bytes: &[u8]) {
    // exactly so many bytes, so that the sanitizer sees who reads more
    let bytes: Box<[u8]> = bytes.into();
    let mut tokens = chatproto_message_ref::EMPTY;
    // SAFETY: all of them are there
    let result = unsafe { chatproto_decode(bytes.as_ptr().cast(), bytes.len(), &mut tokens) };
    match Frame::decode(&bytes) {
        Ok(frame) => {
            gives(result, R::Ok);
            for token in [&tokens.name, &tokens.to, &tokens.msg] {
                assert!(bytes.as_ptr_range().contains(&token.raw.ptr.cast()), "nothing is copied");
            }
            check_tokens(&tokens, &frame.message().to_owned());
        }
        Err(error) => {
            let detail = gives(result, error.kind().into());
            let offsets = (error.offset(), error.offset_in_frame());
            assert_eq!((detail.offset, detail.offset_in_frame), offsets);
            assert_eq!(text(&detail.field), error.field().map_or("", |field| field.path()));
            check_empty(&tokens);
        }
    }
}

/// Four strings as C gives them, and what is to be said of them.
struct Strings {
    _texts: Vec<Box<[u8]>>,
    fields: chatproto_fields,
    expected: Result<Message, R>,
}

impl Strings {
    /// Each is bytes, nothing at NULL, too much at NULL, or more than there can be.
    fn read(input: &mut Input<'_>) -> Self {
        let (mut texts, mut strings, mut wrong) = (Vec::new(), Vec::new(), None);
        let mut expected: Vec<String> = Vec::new();
        let kinds = input.byte().unwrap_or(0);
        for shift in [0, 2, 4, 6] {
            let bytes: Box<[u8]> = input.bytes().into();
            let (ptr, len) = (bytes.as_ptr().cast::<c_char>(), bytes.len());
            let (ptr, len) = match kinds >> shift & 3 {
                0 => (ptr, len),
                1 => (null(), 0),
                2 => (null(), len),
                _ => (ptr, isize::MAX as usize + 1 + len),
            };
            let said = if len == 0 {
                Ok(String::new())
            } else if ptr.is_null() {
                Err(R::NullPointer)
            } else if len > isize::MAX as usize {
                Err(R::InvalidArgument)
            } else {
                String::from_utf8(bytes.to_vec()).map_err(|_| R::NotUtf8)
            };
            match said {
                Ok(text) => expected.push(text),
                Err(result) => wrong = wrong.or(Some(result)),
            }
            strings.push(chatproto_str { ptr, len });
            texts.push(bytes);
        }
        let [name, ip, to, msg] = strings[..] else { unreachable!("there are four") };
        let expected = match (wrong, <[String; 4]>::try_from(expected)) {
            (None, Ok([name, ip, to, msg])) => Ok(Message::new(name, ip, to, msg)),
            (wrong, _) => Err(wrong.expect("one was wrong")),
        };
        Strings { _texts: texts, fields: chatproto_fields { name, ip, to, msg }, expected }
    }
}

fn message_new(strings: &Strings) -> Option<(*mut chatproto_message, Message)> {
    let mut handle = std::ptr::dangling_mut();
    // SAFETY: both are there
    let result = unsafe { chatproto_message_new(&strings.fields, &mut handle) };
    given(result, handle, strings.expected.clone())
}

fn message_decode(bytes: &[u8]) -> Option<(*mut chatproto_message, Message)> {
    let mut handle = std::ptr::dangling_mut();
    // SAFETY: all of them are there
    let result =
        unsafe { chatproto_message_decode(bytes.as_ptr().cast(), bytes.len(), &mut handle) };
    given(result, handle, Message::decode(bytes).map_err(|error| error.kind().into()))
}

fn given(
    result: R,
    handle: *mut chatproto_message,
    expected: Result<Message, R>,
) -> Option<(*mut chatproto_message, Message)> {
    assert_eq!(handle.is_null(), expected.is_err());
    gives(result, expected.as_ref().err().copied().unwrap_or(R::Ok));
    let message = expected.ok()?;
    read_message(handle, &message);
    Some((handle, message))
}

fn read_message(handle: *mut chatproto_message, message: &Message) {
    let mut fields = chatproto_fields::EMPTY;
    // SAFETY: it was not freed
    gives(unsafe { chatproto_message_read(handle, &mut fields) }, R::Ok);
    let read = [&fields.name, &fields.ip, &fields.to, &fields.msg].map(text);
    assert_eq!(read, [&*message.from.name, &*message.from.ip, &*message.to, &*message.msg]);
}

fn free_message(message: Option<(*mut chatproto_message, Message)>) {
    // SAFETY: it is freed once; NULL is nothing
    unsafe { chatproto_message_free(message.map_or(null_mut(), |(handle, _)| handle)) };
}

/// Takes all arguments from a text: what the core takes, and there is an end.
fn argument(bytes: &[u8]) {
    let mut rest = chatproto_str { ptr: bytes.as_ptr().cast(), len: bytes.len() };
    let Ok(expected) = std::str::from_utf8(bytes) else {
        let mut length = 9;
        // SAFETY: the text and the length are there, and NULL is allowed
        let result = unsafe { chatproto_argument(&mut rest, null_mut(), 0, &mut length) };
        gives(result, R::NotUtf8);
        assert_eq!(length, 0);
        return;
    };
    let mut expected = Arguments::new(expected);
    loop {
        let before = rest.len;
        let (mut buffer, mut length) = (vec![0; before], 9);
        // SAFETY: the text and the length are there, and the buffer has so many bytes
        let result =
            unsafe { chatproto_argument(&mut rest, buffer.as_mut_ptr(), before, &mut length) };
        match expected.next() {
            Some(Ok(argument)) => {
                gives(result, R::Ok);
                assert!(rest.len < before, "it goes on");
                let taken = chatproto_str { ptr: buffer.as_ptr(), len: length };
                assert_eq!(text(&taken), argument.to_string());
                assert_eq!(text(&rest), expected.rest());
            }
            wrong => {
                gives(result, if wrong.is_some() { R::InvalidArgument } else { R::NeedMore });
                assert_eq!((length, rest.len), (0, before));
                return;
            }
        }
    }
}

/// Calls with NULL where there must be none, and those that cannot fail.
fn wrong_calls(bytes: &[u8]) {
    let (input, length) = (bytes.as_ptr().cast(), bytes.len());
    let mut tokens = chatproto_message_ref::EMPTY;
    let mut handle: *mut chatproto_message = std::ptr::dangling_mut();
    let mut fields = chatproto_fields::EMPTY;
    // SAFETY: what is not NULL is there
    unsafe {
        gives(chatproto_decode(input, length, null_mut()), R::NullPointer);
        gives(chatproto_decode(null(), length + 1, &mut tokens), R::NullPointer);
        check_empty(&tokens);
        gives(chatproto_decode(input, usize::MAX - length, &mut tokens), R::InvalidArgument);
        check_empty(&tokens);
        gives(chatproto_decode(null(), 0, &mut tokens), R::UnexpectedEnd);
        gives(chatproto_message_new(null(), &mut handle), R::NullPointer);
        assert!(handle.is_null());
        gives(chatproto_message_decode(input, length, null_mut()), R::NullPointer);
        gives(chatproto_message_read(null(), &mut fields), R::NullPointer);
        gives(chatproto_argument(null_mut(), null_mut(), 0, null_mut()), R::NullPointer);
        gives(chatproto_last_error_detail(null_mut()), R::NullPointer);
        let number = bytes.iter().fold(0_u32, |number, &byte| number << 8 | u32::from(byte));
        assert!(!CStr::from_ptr(chatproto_result_str(number)).is_empty());
        assert_eq!(CStr::from_ptr(chatproto_version()).to_str(), Ok(chatproto::VERSION));
    }
}
