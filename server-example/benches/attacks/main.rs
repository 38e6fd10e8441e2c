//! The server under attack, over real sockets, with honest clients measured beside it.
//!
//! `cargo bench -p server-example --bench attacks`, or `… -- --help`. `cargo test` runs the same
//! attacks in a small form, and judges what is right and what is wrong, never how long it took.
//!
//! Each attack has a server process of its own: this executable, started anew, which runs the
//! real program under an allocator that counts (here). Everything else is in [`suite`], which runs
//! in the parent process:
//!
//! | module | what it holds |
//! |---|---|
//! | `options` | the command line |
//! | `server` | the server process: its heap, descriptors and log lines |
//! | `cores` | which core does what, and what may wait |
//! | `awake` | why no core sleeps |
//! | `honest` | pairs of well-behaved clients, and the latency of every message |
//! | `stage` | what an attack is given: the server, its size, how long it lasts |
//! | `crowd` | many connections of an attacker's |
//! | `attacks` | the attacks, a file for each kind |
//! | `run` | one run: quiet, attacked, recovered, quiet again |
//! | `report` | the table |

#[cfg(target_os = "linux")]
mod suite;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// The first argument of a server process; what follows is the program's.
const SERVE: &str = "--serve";

/// Counts the bytes that are allocated.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    fn add(count: usize) {
        let live = LIVE.fetch_add(count, Ordering::Relaxed) + count;
        PEAK.fetch_max(live, Ordering::Relaxed);
    }

    fn subtract(count: usize) {
        LIVE.fetch_sub(count, Ordering::Relaxed);
    }
}

// SAFETY: the system's allocator does all of it, on the caller's promises
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on
        let memory = unsafe { System.alloc(layout) };
        if !memory.is_null() {
            Counting::add(layout.size());
        }
        memory
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            Counting::add(layout.size());
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on
        unsafe { System.dealloc(memory, layout) };
        Counting::subtract(layout.size());
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are passed on
        let moved = unsafe { System.realloc(memory, layout, size) };
        if !moved.is_null() {
            Counting::add(size);
            Counting::subtract(layout.size());
        }
        moved
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == SERVE) {
        return serve(arguments);
    }
    #[cfg(target_os = "linux")]
    return suite::main();
    #[cfg(not(target_os = "linux"))]
    {
        println!("attacks: skipped, because it reads /proc, which is there on Linux only.");
        ExitCode::SUCCESS
    }
}

/// Is the server. Its standard input and output are the parent's to ask what it holds.
fn serve(arguments: impl Iterator<Item = std::ffi::OsString>) -> ExitCode {
    thread::spawn(answer);
    server_example::run(std::iter::once("server-example".into()).chain(arguments))
}

/// Answers the parent, and ends with it.
fn answer() {
    let mut line = String::with_capacity(64);
    loop {
        line.clear();
        match io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => std::process::exit(1),
            Ok(_) => {}
        }
        match line.trim().split_once(' ') {
            Some(("descriptors", limit)) => lower_descriptors(limit),
            _ if line.trim() == "mark" => {
                PEAK.store(LIVE.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            _ => {}
        }
        println!("heap {} {}", LIVE.load(Ordering::Relaxed), PEAK.load(Ordering::Relaxed));
    }
}

/// From here on the system refuses more. The server believes that it may have what it had.
fn lower_descriptors(limit: &str) {
    #[cfg(unix)]
    if let Ok(limit) = limit.parse()
        && let Err(error) = rlimit::Resource::NOFILE.set(limit, limit)
    {
        eprintln!("attacks: cannot lower the limit of descriptors: {error}.");
    }
    #[cfg(not(unix))]
    let _ = limit;
}
