//! Argon2id: makes the hash of a password, and says whether a password is that of a hash. It takes
//! memory that is used again and again, and knows neither accounts nor threads.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use argon2::password_hash::phc::{Ident, Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};

use super::password::Password;

/// What a hash costs, as the OWASP password storage cheat sheet has it: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A stored hash that asks for more memory than this was not made by us: 1 GiB, in KiB.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
/// The bytes of a hash.
const LENGTH: usize = 32;

/// Makes and compares hashes.
pub(crate) struct Hasher {
    params: Params,
    /// What a password is compared with that is for no account: no password has this hash.
    nobodys: PasswordHash,
    runs: AtomicU64,
}

/// The memory that Argon2 fills. After two passes, what is left in it tells no more of a password
/// than its hash does.
#[derive(Default)]
pub(crate) struct Memory(Vec<Block>);

/// What comes of comparing a password with a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the password.
    Right,
    /// It is, and the hash was made with other parameters than today's: it is to be made again.
    RightButOld,
    /// It is not.
    Wrong,
    /// The hash is none that this program can read.
    Unreadable,
}

impl Hasher {
    /// With the parameters that this program recommends.
    pub(crate) fn new() -> Self {
        Hasher::with_cost(MEMORY_KIB, PASSES, LANES)
    }

    /// With others, which have to be valid ones.
    pub(crate) fn with_cost(memory_kib: u32, passes: u32, lanes: u32) -> Self {
        let params =
            Params::new(memory_kib, passes, lanes, Some(LENGTH)).expect("valid parameters");
        // the output is random: finding what has this hash is finding a preimage
        let random = [Salt::generate(), Salt::generate()];
        let output: Vec<u8> = random.iter().flat_map(|half| half.iter().copied()).collect();
        let output = Output::new(&output).expect("an output of 32 bytes");
        let nobodys = phc(&params, Salt::generate(), output);
        Hasher { params, nobodys, runs: AtomicU64::new(0) }
    }

    /// The hash of a password under a salt of its own, as a PHC string.
    pub(crate) fn hash(&self, password: &Password, memory: &mut Memory) -> String {
        let salt = Salt::generate();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone());
        let output = self.run(&argon2, password, &salt, memory).expect("valid parameters");
        phc(&self.params, salt, output).to_string()
    }

    /// Compares a password with a stored hash. For `None`, which is the hash of an account that does
    /// not exist, the work is the same.
    pub(crate) fn verify(
        &self,
        password: &Password,
        stored: Option<&str>,
        memory: &mut Memory,
    ) -> Verdict {
        let read = stored.map(|text| PasswordHash::new(text).ok().as_ref().and_then(Stored::read));
        let (against, is_readable) = match read {
            Some(Some(stored)) => (stored, true),
            Some(None) => (self.nobody(), false),
            None => (self.nobody(), true),
        };
        let output = self.run(&against.argon2, password, &against.salt, memory);
        if !is_readable {
            return Verdict::Unreadable;
        }
        // compared in constant time
        if stored.is_none() || output != Some(against.output) {
            Verdict::Wrong
        } else if self.is_todays(&against.argon2, &against.output) {
            Verdict::Right
        } else {
            Verdict::RightButOld
        }
    }

    /// How often Argon2 was run.
    #[cfg(test)]
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    fn nobody(&self) -> Stored {
        Stored::read(&self.nobodys).expect("made here")
    }

    fn is_todays(&self, argon2: &Argon2<'_>, output: &Output) -> bool {
        let params = argon2.params();
        let costs = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        costs(params) == costs(&self.params) && output.len() == LENGTH
    }

    fn run(
        &self,
        argon2: &Argon2<'_>,
        password: &Password,
        salt: &Salt,
        memory: &mut Memory,
    ) -> Option<Output> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let length = argon2.params().output_len().unwrap_or(LENGTH);
        let blocks = memory.blocks(argon2.params().block_count());
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..length)?;
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, blocks).ok()?;
        Output::new(output).ok()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("params", &self.params).finish_non_exhaustive()
    }
}

impl Memory {
    fn blocks(&mut self, count: usize) -> &mut [Block] {
        if self.0.len() < count {
            self.0.resize(count, Block::default());
        }
        &mut self.0[..count]
    }

    /// Gives it back to the system.
    pub(crate) fn release(&mut self) {
        self.0 = Vec::new();
    }
}

/// A hash that was read.
struct Stored {
    argon2: Argon2<'static>,
    salt: Salt,
    output: Output,
}

impl Stored {
    fn read(hash: &PasswordHash) -> Option<Self> {
        let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
        let version = hash.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let params = Params::try_from(hash).ok()?;
        if params.m_cost() > MOST_MEMORY_KIB {
            return None;
        }
        let argon2 = Argon2::new(algorithm, version, params);
        Some(Stored { argon2, salt: hash.salt?, output: hash.hash? })
    }
}

fn phc(params: &Params, salt: Salt, output: Output) -> PasswordHash {
    // the length of the output is not written: the output says it
    let written = Params::new(params.m_cost(), params.t_cost(), params.p_cost(), None);
    let written = written.expect("valid parameters");
    PasswordHash {
        algorithm: Ident::new(ARGON2ID_IDENT.as_str()).expect("an identifier"),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(&written).expect("three numbers"),
        salt: Some(salt),
        hash: Some(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text).unwrap()
    }

    /// As little as Argon2 allows.
    fn cheap() -> Hasher {
        Hasher::with_cost(8, 1, 1)
    }

    #[test]
    fn the_right_password_is_told_from_others() {
        let (hasher, mut memory) = (cheap(), Memory::default());
        let hash = hasher.hash(&password("correct horse"), &mut memory);
        let other = hasher.hash(&password("correct horse"), &mut memory);
        assert_ne!(hash, other, "each has a salt of its own");
        let mut verify = |text, hash| hasher.verify(&password(text), hash, &mut memory);
        assert_eq!(verify("correct horse", Some(&hash)), Verdict::Right);
        assert_eq!(verify("Correct horse", Some(&hash)), Verdict::Wrong);
        assert_eq!(verify("correct horse", None), Verdict::Wrong);
    }

    #[test]
    fn every_outcome_costs_one_run() {
        let (hasher, mut memory) = (cheap(), Memory::default());
        let hash = hasher.hash(&password("correct horse"), &mut memory);
        for (text, stored) in [
            ("correct horse", Some(&*hash)),
            ("another horse", Some(&*hash)),
            ("correct horse", None),
            ("correct horse", Some("x")),
        ] {
            let before = hasher.runs();
            hasher.verify(&password(text), stored, &mut memory);
            assert_eq!(hasher.runs() - before, 1, "{text} {stored:?}");
        }
    }

    #[test]
    fn the_form_is_that_of_everybody() {
        let mut memory = Memory::default();
        let hasher = Hasher::new();
        let hash = hasher.hash(&password("correct horse"), &mut memory);
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        // made by the reference implementation: echo -n password | argon2 somesalt -id -v 13 -m 16 -t 2
        let reference = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let verdict = hasher.verify(&password("password"), Some(reference), &mut memory);
        assert_eq!(verdict, Verdict::RightButOld);
    }

    #[test]
    fn hashes_of_other_parameters_are_to_be_made_again() {
        let mut memory = Memory::default();
        let hash = cheap().hash(&password("correct horse"), &mut memory);
        let dearer = Hasher::with_cost(16, 2, 1);
        let mut verify = |text| dearer.verify(&password(text), Some(&hash), &mut memory);
        assert_eq!(verify("correct horse"), Verdict::RightButOld);
        assert_eq!(verify("another horse"), Verdict::Wrong);
    }

    #[test]
    fn what_is_no_hash_is_no_match() {
        let (hasher, mut memory) = (cheap(), Memory::default());
        for text in [
            "",
            "correct horse",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ] {
            let verdict = hasher.verify(&password("correct horse"), Some(text), &mut memory);
            assert_eq!(verdict, Verdict::Unreadable, "{text}");
        }
    }
}
