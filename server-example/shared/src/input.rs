//! Text that people write into files or pipe in: UTF-8, which some editors begin with a byte order mark.
//! Text in another encoding is refused as a whole: a part of it would mean something else.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// U+FEFF, which says at the beginning of a text that it is UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// Chunks that were read and wait.
const CHUNKS: usize = 4;
/// At its beginning, input that comes without a longer pause than this is checked together.
const PAUSE: Duration = Duration::from_millis(100);
/// … but no more bytes of it.
const CHECKED: usize = 64 << 20;

/// All of a file, which may be a pipe or a device, of at most `most` bytes.
pub fn read_whole(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is longer than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

/// The text without its byte order mark.
pub fn decoded(bytes: &[u8]) -> Result<&str, NotUtf8> {
    decoded_from(bytes.strip_prefix(MARK).unwrap_or(bytes), 1)
}

fn decoded_from(bytes: &[u8], first_line: usize) -> Result<&str, NotUtf8> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = first_line + before.iter().filter(|&&byte| byte == b'\n').count();
        let is_utf16 = first_line == 1
            && [b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| bytes.starts_with(*mark));
        NotUtf8 { line, is_utf16 }
    })
}

/// A text is in another encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotUtf8 {
    /// The first line with bytes that are not UTF-8, counted from 1.
    pub line: usize,
    /// It begins with the mark of UTF-16.
    is_utf16: bool,
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is not UTF-8", self.line)?;
        if self.is_utf16 {
            f.write_str(" (it looks like UTF-16: save it as UTF-8)")?;
        }
        Ok(())
    }
}

/// Why there are no more lines.
#[derive(Debug)]
pub enum Broken {
    /// The input cannot be read.
    Read(io::Error),
    /// A line is not UTF-8.
    NotUtf8(NotUtf8),
}

/// Lines that are piped in. They come in batches, each checked as a whole before any of it is returned.
/// The first batch has everything that comes without a pause, so that of a file, or of the output of a
/// program that has ended, either all lines are returned or none.
#[derive(Debug)]
pub struct Lines {
    chunks: Receiver<io::Result<Vec<u8>>>,
    /// What was read and not returned.
    rest: Vec<u8>,
    /// Lines that were returned.
    returned: usize,
    is_begun: bool,
}

impl Lines {
    /// Reads the source on a thread, which may wait for input when the program ends.
    pub fn of(mut source: impl Read + Send + 'static) -> io::Result<Self> {
        let (send, chunks) = sync_channel(CHUNKS);
        let read = move || loop {
            let mut chunk = vec![0; CHUNK];
            let outcome = source.read(&mut chunk).map(|length| {
                chunk.truncate(length);
                chunk
            });
            let is_retried =
                outcome.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted);
            if is_retried {
                continue;
            }
            let is_last = outcome.as_ref().map_or(true, Vec::is_empty);
            if send.send(outcome).is_err() || is_last {
                return;
            }
        };
        thread::Builder::new().name("stdin".to_owned()).spawn(read)?;
        Ok(Lines { chunks, rest: Vec::new(), returned: 0, is_begun: false })
    }

    /// The next lines, each with its line feed if it has one, and the number of the first. `None` at the
    /// end of input.
    ///
    /// # Errors
    /// The input cannot be read, or one of the lines is not UTF-8. Then none of them is returned.
    pub fn next_batch(&mut self) -> Result<Option<(usize, String)>, Broken> {
        loop {
            let is_over = self.read().map_err(Broken::Read)?;
            if !self.is_begun {
                self.is_begun = true;
                if self.rest.starts_with(MARK) {
                    self.rest.drain(..MARK.len());
                }
            }
            let end = match self.rest.iter().rposition(|&byte| byte == b'\n') {
                _ if is_over => self.rest.len(),
                Some(last) => last + 1,
                None => continue,
            };
            if end == 0 {
                return Ok(None);
            }
            let first = self.returned + 1;
            let text = decoded_from(&self.rest[..end], first).map_err(Broken::NotUtf8)?.to_owned();
            self.rest.drain(..end);
            self.returned += text.matches('\n').count();
            return Ok(Some((first, text)));
        }
    }

    /// Waits for input; at the beginning, until there is a pause in it. Whether it has ended.
    fn read(&mut self) -> io::Result<bool> {
        // a thread that is gone has read the end
        let Ok(first) = self.chunks.recv() else { return Ok(true) };
        let mut is_over = self.take(&first?);
        while !self.is_begun && !is_over && self.rest.len() < CHECKED {
            match self.chunks.recv_timeout(PAUSE) {
                Ok(chunk) => is_over = self.take(&chunk?),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => is_over = true,
            }
        }
        Ok(is_over)
    }

    /// Whether this is the end.
    fn take(&mut self, chunk: &[u8]) -> bool {
        self.rest.extend_from_slice(chunk);
        chunk.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    #[test]
    fn one_mark_at_the_beginning_is_no_text() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"\xef\xbb\xbf", ""),
            (b"\xef\xbb\xbfhi\n", "hi\n"),
            (b"\xef\xbb\xbf\xef\xbb\xbfhi", "\u{feff}hi"),
            (b"hi\xef\xbb\xbf", "hi\u{feff}"),
        ] {
            assert_eq!(decoded(bytes), Ok(text));
        }
    }

    #[test]
    fn the_line_that_is_not_utf8_is_named() {
        let said = |bytes: &[u8]| decoded(bytes).unwrap_err().to_string();
        assert_eq!(said(b"\xff"), "line 1 is not UTF-8");
        assert_eq!(said(b"one\ntwo\ngr\xfc\xdfe\n"), "line 3 is not UTF-8");
        assert_eq!(said(b"\xef\xbb\xbf\n\xc3"), "line 2 is not UTF-8");
        assert_eq!(said(b"\xed\xa0\x80"), "line 1 is not UTF-8");
        let utf16 = "line 1 is not UTF-8 (it looks like UTF-16: save it as UTF-8)";
        assert_eq!(said(b"\xff\xfeh\0i\0"), utf16);
    }

    /// A pipe that the test writes to.
    struct Pipe(Receiver<&'static [u8]>);

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Ok(bytes) = self.0.recv() else { return Ok(0) };
            buffer[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    fn pipe() -> (Sender<&'static [u8]>, Lines) {
        let (send, receive) = channel();
        (send, Lines::of(Pipe(receive)).unwrap())
    }

    fn all(lines: &mut Lines) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match lines.next_batch() {
                Ok(Some((_, batch))) => text.push_str(&batch),
                Ok(None) => return Ok(text),
                Err(Broken::NotUtf8(wrong)) => return Err(format!("{text}{wrong}")),
                Err(Broken::Read(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn of_input_that_ends_all_is_returned_or_nothing() {
        for (chunks, returned) in [
            (&[][..], Ok("")),
            (&[&b"\xef\xbb\xbfone\r\n"[..], b"two"], Ok("one\r\ntwo")),
            (&[b"\xef\xbb", b"\xbfgr\xc3", b"\xbc\xc3\x9fe\n"], Ok("grüße\n")),
            (&[b"one\ntwo\n", b"three\xff\n"], Err("line 3 is not UTF-8")),
            (&[b"one\n", b"two\xc3"], Err("line 2 is not UTF-8")),
        ] {
            let (send, mut lines) = pipe();
            chunks.iter().for_each(|&chunk| send.send(chunk).unwrap());
            drop(send);
            assert_eq!(all(&mut lines), returned.map(str::to_owned).map_err(str::to_owned));
        }
        let mut long = "x".repeat(100).into_bytes();
        long.push(b'\n');
        let mut long = long.repeat(10_000);
        let mut lines = Lines::of(io::Cursor::new(long.clone())).unwrap();
        assert_eq!(all(&mut lines).unwrap().len(), long.len());
        long.push(0xff);
        let mut lines = Lines::of(io::Cursor::new(long)).unwrap();
        assert_eq!(all(&mut lines), Err("line 10001 is not UTF-8".to_owned()));
    }

    #[test]
    fn lines_are_returned_as_they_come() {
        let (send, mut lines) = pipe();
        send.send(b"one\ntw").unwrap();
        assert_eq!(lines.next_batch().unwrap(), Some((1, "one\n".to_owned())));
        send.send(b"o\nthree\n").unwrap();
        assert_eq!(lines.next_batch().unwrap(), Some((2, "two\nthree\n".to_owned())));
        send.send(b"four\xff\n").unwrap();
        let Err(Broken::NotUtf8(wrong)) = lines.next_batch() else { panic!() };
        assert_eq!(wrong.line, 4);
    }
}
