//! The hub against a model of it. People connect, talk, come and go, keep order and read slowly;
//! after every step the hub must have said to everybody exactly what the model says, and know what
//! the model knows.
//!
//! `steps` is what can happen, and `names` with what words. `reference` is the model: it says what it
//! expects as `texts`. `system` is the hub with an outbox and a virtual socket for every connection,
//! and compares. Which steps are taken is decided by chance (`random`, with `strategies`), or by the
//! bytes of a fuzzer (`bytes`).
//!
//! A failure of `random` prints the shortest list of steps that still fails. `PROPTEST_CASES=1000000`
//! looks for longer.

pub(crate) mod bytes;
mod names;
#[cfg(test)]
mod random;
mod reference;
mod steps;
#[cfg(test)]
mod strategies;
mod system;
mod texts;
