//! `chatproto_decode`, the views it gives and the error it leaves, with every allocation counted:
//! there are none, for any prefix of any of the frames.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use chatproto_c::decode::{chatproto_decode, chatproto_json_str_unescape, chatproto_message_ref};
use chatproto_c::result::{chatproto_last_error, chatproto_result};

/// Counts what the thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator does all of it
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The result for `frame`, and how often it, its `msg` unescaped or its error allocated.
fn decode(frame: &[u8]) -> (chatproto_result, usize) {
    let mut message = chatproto_message_ref::EMPTY;
    let (mut text, mut length) = ([0; 256], 0);
    let before = ALLOCATIONS.get();
    // SAFETY: all of them are there, and the buffer is longer than any token here
    let result = unsafe {
        let result = chatproto_decode(frame.as_ptr().cast(), frame.len(), &mut message);
        let buffer = text.as_mut_ptr();
        chatproto_json_str_unescape(&message.msg, buffer, text.len(), &mut length);
        result
    };
    let sentence = chatproto_last_error();
    assert!(result == chatproto_result::Ok || sentence.len > 0);
    (result, ALLOCATIONS.get() - before)
}

#[test]
fn nothing_is_allocated() {
    let before = ALLOCATIONS.get();
    drop(black_box(Box::new(before)));
    assert_eq!(ALLOCATIONS.get(), before + 1, "it counts");
    let frames = [
        r#"{"from":{"name":"alice","ip":"192.0.2.7"},"to":"bob","msg":"hello"}"#,
        r#" {"msg": "a\u0062\n\ud83d\ude00", "x": [1.5e3, null], "to": "žluť", "from": {"ip": "", "name": "é"}} "#,
        r#"{"from":{"name":1},"to":[],"msg":"\ud800"}"#,
        r#"{"from":{"name":"a","ip":"b"},"to":"c","msg":"d"} }"#,
    ];
    for frame in frames {
        let whole = decode(frame.as_bytes()).1;
        assert_eq!(whole, 0, "{frame}");
        for cut in 0..frame.len() {
            let (_, allocations) = decode(&frame.as_bytes()[..cut]);
            assert_eq!(allocations, 0, "{frame} cut off at {cut}");
        }
    }
    assert_eq!(decode(frames[1].as_bytes()).0, chatproto_result::Ok);
    assert_eq!(decode(&frames[0].as_bytes()[..30]).0, chatproto_result::UnexpectedEnd);
}
