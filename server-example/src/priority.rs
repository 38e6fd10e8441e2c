//! Threads that give way: what they do is less urgent than delivering messages.

/// Lowers the priority of the calling thread by so much of `nice`. Where it is not allowed, or not
/// known how, the thread works all the same.
pub(crate) fn lower(niceness: i32) {
    // on Linux the call is about the thread alone
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, niceness);
    #[cfg(not(target_os = "linux"))]
    let _ = niceness;
}
