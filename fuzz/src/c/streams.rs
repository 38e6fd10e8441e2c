//! The decoder of a stream: fed, asked and ended in any order, against a Rust decoder that is given
//! all that was fed in one piece.

use std::ptr::{null, null_mut};

use chatproto::{DecodeError, ErrorClass, Message};
use chatproto_c::decode::chatproto_message_ref;
use chatproto_c::decoder::{
    chatproto_decoder, chatproto_decoder_feed, chatproto_decoder_finish, chatproto_decoder_free,
    chatproto_decoder_new, chatproto_decoder_next,
};
use chatproto_c::result::chatproto_result as R;

use super::{check_empty, check_tokens, gives, text};
use crate::stream::Settings;

/// A decoder in C, NULL for that of no stream, and what is known of it.
#[derive(Debug)]
pub(super) struct Stream {
    handle: *mut chatproto_decoder,
    settings: Settings,
    fed: Vec<u8>,
    /// How many messages and schema errors it gave.
    said: usize,
    /// It asked for more, and nothing came since.
    wants_more: bool,
    /// The error that is final.
    failed: Option<DecodeError>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: it is freed once; NULL is nothing
        unsafe { chatproto_decoder_free(self.handle) };
    }
}

impl Stream {
    /// A new one, made by a call with the settings of the byte.
    pub(super) fn new(settings: u8) -> Self {
        let settings = Settings::from_byte(settings);
        // 0 is the default
        let settings = Settings { max_frame: settings.max_frame.max(1), ..settings };
        let (mut handle, strict) = (null_mut(), settings.strict);
        let too_much = (1 << 30) + settings.max_frame;
        // SAFETY: the handle is there
        unsafe {
            gives(chatproto_decoder_new(too_much, strict, &mut handle), R::InvalidArgument);
            assert!(handle.is_null());
            gives(chatproto_decoder_new(0, strict, null_mut()), R::NullPointer);
            gives(chatproto_decoder_new(settings.max_frame, strict, &mut handle), R::Ok);
        }
        Stream::with(handle, settings)
    }

    fn with(handle: *mut chatproto_decoder, settings: Settings) -> Self {
        let fed = Vec::new();
        Stream { handle, settings, fed, said: 0, wants_more: false, failed: None }
    }

    /// One of those that there are, by the upper bits of a call.
    pub(super) fn any(streams: &mut Vec<Stream>, call: u8) -> &mut Stream {
        if streams.is_empty() {
            streams.push(Stream::with(null_mut(), Settings::from_byte(0)));
        }
        let last = streams.len() - 1;
        &mut streams[last - usize::from(call >> 4) % (last + 1)]
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let bytes: Box<[u8]> = bytes.into();
        let (input, length) = (bytes.as_ptr().cast(), bytes.len());
        let expected = if self.handle.is_null() { R::NullPointer } else { R::Ok };
        // SAFETY: the handle was not freed, and what is not NULL is there
        unsafe {
            gives(chatproto_decoder_feed(self.handle, null(), length + 1), R::NullPointer);
            let too_long = isize::MAX as usize + 1 + length;
            let result = chatproto_decoder_feed(self.handle, input, too_long);
            gives(result, if self.handle.is_null() { expected } else { R::InvalidArgument });
            gives(chatproto_decoder_feed(self.handle, input, length), expected);
        }
        self.fed.extend_from_slice(&bytes);
        self.wants_more &= bytes.is_empty();
    }

    /// What a decoder says next that was given all in one piece, and how much it has left before.
    fn expected(&self) -> (Result<Option<Message>, DecodeError>, usize) {
        let (mut decoder, mut rest) = (self.settings.decoder(), &self.fed[..]);
        for _ in 0..self.said {
            let _ = decoder.decode(&mut rest);
        }
        let left = rest.len();
        let next = decoder.decode(&mut rest);
        (next.map(|frame| frame.map(|frame| frame.message().to_owned())), left)
    }

    pub(super) fn next(&mut self) {
        let mut tokens = chatproto_message_ref::EMPTY;
        // SAFETY: the handle was not freed, and what is not NULL is there
        let result = unsafe {
            gives(chatproto_decoder_next(self.handle, null_mut()), R::NullPointer);
            chatproto_decoder_next(self.handle, &mut tokens)
        };
        if self.handle.is_null() {
            gives(result, R::NullPointer);
            return check_empty(&tokens);
        }
        let said = self.failed.map_or_else(|| self.expected().0, Err);
        match said {
            Ok(Some(message)) => {
                gives(result, R::Ok);
                check_tokens(&tokens, &message);
                self.said += 1;
                return;
            }
            Ok(None) => {
                gives(result, R::NeedMore);
                self.wants_more = true;
            }
            Err(error) => {
                self.fails(result, &error);
                self.said += 1;
            }
        }
        check_empty(&tokens);
    }

    /// Checks an error and keeps it if it is final.
    fn fails(&mut self, result: R, error: &DecodeError) {
        let detail = gives(result, error.kind().into());
        let offsets = (error.offset(), error.offset_in_frame());
        assert_eq!((detail.offset, detail.offset_in_frame), offsets);
        assert_eq!(text(&detail.field), error.field().map_or("", |field| field.path()));
        if error.class() == ErrorClass::Framing {
            self.failed = Some(*error);
        }
    }

    pub(super) fn finish(&mut self) {
        // SAFETY: the handle was not freed
        let result = unsafe { chatproto_decoder_finish(self.handle) };
        if self.handle.is_null() {
            gives(result, R::NullPointer);
            return;
        }
        if let Some(error) = self.failed {
            return self.fails(result, &error);
        }
        if !self.wants_more && self.expected().1 > 0 {
            gives(result, R::WrongState);
            return;
        }
        let (mut decoder, mut rest) = (self.settings.decoder(), &self.fed[..]);
        while !matches!(decoder.decode(&mut rest), Ok(None)) {}
        match decoder.finish() {
            Ok(()) => {
                gives(result, R::Ok);
            }
            Err(error) => self.fails(result, &error),
        }
    }
}
