//! What the way through C costs: `chatproto_decode` beside the Rust call, and beside yyjson doing
//! the same extraction (without the checks that a general parser does not have: doubled keys, the
//! schema, a NUL in a name). Ids: `c-decode/<who>/<case>`.
//!
//! yyjson takes part if `YYJSON` names the folder of its `yyjson.c` and `yyjson.h`.

use std::ffi::{CString, c_char, c_int, c_void};
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use chatproto::{Frame, Message};
use chatproto_c::decode::{chatproto_decode, chatproto_message_ref};
use chatproto_c::result::chatproto_result;
use chatproto_c::text::chatproto_str;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

type Extract =
    unsafe extern "C" fn(*const c_char, usize, *mut c_void, usize, *mut chatproto_str) -> c_int;

fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let mixed = "perché no? 我们明天在茶馆见面吧 😀 così sarà 漢字";
    let make = |msg: &str, python: bool| {
        let message = Message::new("alice", "192.0.2.17", "bob", msg);
        let json = if python { message.to_python_json() } else { message.to_json() };
        json.into_bytes()
    };
    vec![
        ("64", make(&"x".repeat(64), false)),
        ("1024", make(&"x".repeat(1024), false)),
        ("16384", make(&"x".repeat(16384), false)),
        ("utf8-64", make(mixed, false)),
        ("escaped-64", make(mixed, true)),
    ]
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("c-decode");
    let yyjson = yyjson();
    // through a pointer, so that it is called as C calls it
    let through_c: unsafe extern "C" fn(_, _, _) -> _ = black_box(chatproto_decode as _);
    for (case, frame) in cases() {
        group.throughput(Throughput::Bytes(frame.len() as u64));
        group.bench_with_input(BenchmarkId::new("rust", case), &frame[..], |b, frame| {
            b.iter(|| {
                let frame = Frame::decode(black_box(frame)).unwrap();
                let m = frame.message();
                black_box((m.name, m.ip, m.to, m.msg));
            });
        });
        group.bench_with_input(BenchmarkId::new("c", case), &frame[..], |b, frame| {
            let mut message = chatproto_message_ref::EMPTY;
            b.iter(|| {
                let frame = black_box(frame);
                // SAFETY: both are there
                let result = unsafe {
                    through_c(frame.as_ptr().cast::<c_void>(), frame.len(), &raw mut message)
                };
                assert_eq!(result, chatproto_result::Ok);
                black_box(&message);
            });
        });
        if let Some(extract) = yyjson {
            group.bench_with_input(BenchmarkId::new("yyjson", case), &frame[..], |b, frame| {
                let mut pool = vec![0_u64; 32 * 1024];
                let size = pool.len() * size_of::<u64>();
                let mut texts = [chatproto_str::EMPTY; 4];
                b.iter(|| {
                    let frame = black_box(frame);
                    // SAFETY: all of them are there
                    let found = unsafe {
                        extract(
                            frame.as_ptr().cast(),
                            frame.len(),
                            pool.as_mut_ptr().cast(),
                            size,
                            texts.as_mut_ptr(),
                        )
                    };
                    assert_eq!(found, 1);
                    black_box(&texts);
                });
            });
        }
    }
}

/// What C adds to the Rust call: the least of many short runs, taken in turn, so that what else the
/// machine does is in neither.
fn overhead(_: &mut Criterion) {
    const CALLS: u32 = 200;
    let through_c: unsafe extern "C" fn(_, _, _) -> _ = black_box(chatproto_decode as _);
    for (case, frame) in cases() {
        let (mut rust, mut c) = (f64::MAX, f64::MAX);
        let mut message = chatproto_message_ref::EMPTY;
        for _ in 0..20_000 {
            let begun = Instant::now();
            for _ in 0..CALLS {
                let frame = Frame::decode(black_box(&frame)).unwrap();
                let m = frame.message();
                black_box((m.name, m.ip, m.to, m.msg));
            }
            rust = rust.min(begun.elapsed().as_nanos() as f64);
            let begun = Instant::now();
            for _ in 0..CALLS {
                let frame = black_box(&frame);
                // SAFETY: both are there
                let result = unsafe {
                    through_c(frame.as_ptr().cast::<c_void>(), frame.len(), &raw mut message)
                };
                assert_eq!(result, chatproto_result::Ok);
                black_box(&message);
            }
            c = c.min(begun.elapsed().as_nanos() as f64);
        }
        let (rust, c) = (rust / f64::from(CALLS), c / f64::from(CALLS));
        println!("{case:>12}: Rust {rust:.1} ns, C {c:.1} ns, {:+.1} ns", c - rust);
    }
}

/// yyjson, compiled and loaded.
fn yyjson() -> Option<Extract> {
    let Some(folder) = std::env::var_os("YYJSON") else {
        println!("without yyjson: YYJSON does not name the folder of its sources");
        return None;
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/yyjson.c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("yyjson.so");
    let status = Command::new("cc")
        .args(["-O3", "-march=native", "-DNDEBUG", "-shared", "-fPIC", "-I"])
        .arg(&folder)
        .arg(source)
        .arg(Path::new(&folder).join("yyjson.c"))
        .arg("-o")
        .arg(&library)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "yyjson does not compile");
    let path = CString::new(library.to_str()?).ok()?;
    // SAFETY: the library was just made, of what is known; it is never unloaded, and `extract` has
    // the type that its source says
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!library.is_null(), "yyjson does not load");
        let extract = libc::dlsym(library, c"extract".as_ptr());
        assert!(!extract.is_null());
        Some(std::mem::transmute::<*mut c_void, Extract>(extract))
    }
}

criterion_group!(benches, overhead, decode);
criterion_main!(benches);
