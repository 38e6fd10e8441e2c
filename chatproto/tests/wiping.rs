//! No memory is freed that still has a password, or a part of one. The allocator looks into each block in place
//! before it frees it.

#![allow(missing_docs, reason = "a test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chatproto::accounts::AccountPolicy;
use chatproto::connection::{ConnectionConfig, Context, Framing};
use chatproto::hub::{Completion, Effect, Hub, Now, Output};
use chatproto::{Decoder, ServerConnection};

/// The password repeats this, so that a part of it is recognised too.
const PART: &[u8; 8] = b"pass@wo1";
const COMMAND: &[u8] = b"{\"from\":{\"name\":\"\",\"ip\":\"\"},\"to\":\"/login\",\"msg\":\"\
                         pass@wo1pass@wo1pass@wo1pass@wo1pass@wo1pass@wo1\"}";

struct Looking;

static IS_LOOKING: AtomicBool = AtomicBool::new(false);
static FOUND: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does all of it, on the caller's promises
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // all of a block can be read later
        // SAFETY: the caller's promises are passed on
        unsafe { System.alloc_zeroed(layout) }
    }

    // `realloc` is that of the trait, which frees the old block here
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if IS_LOOKING.load(Ordering::SeqCst) {
            // SAFETY: the block is the caller's, has this size, and was initialised
            let block = unsafe { std::slice::from_raw_parts(memory, layout.size()) };
            if block.windows(PART.len()).any(|window| window == PART) {
                FOUND.fetch_add(1, Ordering::SeqCst);
            }
        }
        // SAFETY: the caller's promises are passed on
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static LOOKING: Looking = Looking;

/// How many blocks with a part of the password this frees.
fn freed(action: impl FnOnce()) -> usize {
    FOUND.store(0, Ordering::SeqCst);
    IS_LOOKING.store(true, Ordering::SeqCst);
    action();
    IS_LOOKING.store(false, Ordering::SeqCst);
    FOUND.load(Ordering::SeqCst)
}

/// The only test here: other ones at the same time would free memory of their own.
#[test]
fn no_freed_memory_has_a_password() {
    assert_eq!(freed(|| drop(COMMAND.to_vec())), 1, "the allocator looks");
    the_decoder_wipes_what_it_stored();
    an_embedded_connection_wipes_its_copies();
}

fn the_decoder_wipes_what_it_stored() {
    let bad = [&COMMAND[..COMMAND.len() - 1], b",\"x\":1}", COMMAND].concat();
    let strict = || Decoder::default().strict();
    let broken = [&COMMAND[..COMMAND.len() - 1], b"]"].concat();
    let several = COMMAND.repeat(3);
    for piece in 1..COMMAND.len() {
        for (name, stream, decoder) in [
            ("a message", COMMAND, Decoder::default()),
            ("several", &several, Decoder::default()),
            ("an invalid one", &bad, strict()),
            ("an error", &broken, Decoder::default()),
            ("an unfinished one", &COMMAND[..COMMAND.len() - 1], Decoder::default()),
        ] {
            let count = freed(|| {
                let mut decoder = decoder;
                for mut read in stream.chunks(piece) {
                    while !read.is_empty() {
                        match decoder.decode(&mut read) {
                            Ok(Some(frame)) => assert_eq!(frame.as_str().as_bytes(), COMMAND),
                            Ok(None) => assert!(read.is_empty()),
                            Err(_) if name == "an invalid one" => {}
                            Err(_) => read = &[],
                        }
                    }
                }
            });
            assert_eq!(count, 0, "{name} in pieces of {piece} bytes");
        }
    }
}

fn an_embedded_connection_wipes_its_copies() {
    for framing in [Framing::Plain, Framing::WebSocket] {
        for piece in (1..COMMAND.len()).chain([usize::MAX]) {
            // the name is granted before the command comes, or later
            for is_late in [false, true] {
                let count = freed_by_a_login(framing, piece, is_late);
                assert_eq!(count, 0, "{framing:?} in pieces of {piece} bytes, late: {is_late}");
            }
        }
    }
}

fn freed_by_a_login(framing: Framing, piece: usize, is_late: bool) -> usize {
    let (mut out, now, config) = (Output::new(), Now::system(), ConnectionConfig::default());
    let mut hub = Hub::builder().accounts(AccountPolicy::Optional).build();
    let id = hub.handle_connect(0, IpAddr::from([192, 0, 2, 7]), now, &mut out);
    let mut conn = ServerConnection::new(id, now.monotonic, &config).with_framing(framing);
    let (name, command) = match framing {
        Framing::WebSocket => (frame(b"alice"), frame(COMMAND)),
        _ => (b"alice\n".to_vec(), COMMAND.to_vec()),
    };
    let mut cx = Context { hub: &mut hub, now, config: &config, out: &mut out };
    conn.handle_input(&name, &mut cx);
    let Some(Effect::Claim { token, .. }) = cx.out.next_effect() else { panic!("no claim") };
    let grant = |conn: &mut ServerConnection, cx: &mut Context<'_>| {
        cx.hub.handle_completion(token, Completion::Claimed(0), now, cx.out);
        conn.handle_timeout(cx);
    };
    let count = freed(|| {
        if !is_late {
            grant(&mut conn, &mut cx);
        }
        for read in command.chunks(piece.min(command.len())) {
            conn.handle_input(read, &mut cx);
        }
        if is_late {
            grant(&mut conn, &mut cx);
        }
    });
    assert!(out.take_secret(), "the hub has read it");
    count + freed(|| drop((conn, hub, out)))
}

/// A text frame whose mask changes nothing, so that its bytes are those of the text.
fn frame(text: &[u8]) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short text");
    [&[0x81, 0x80 | length, 0, 0, 0, 0], text].concat()
}
