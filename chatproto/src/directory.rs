//! The directory of names: who may have a name, beyond one server. The rules of names and of accounts
//! are the hub's; how several servers agree about a name is the business of a [`Directory`] that the
//! application brings.

mod claim;

use std::io;
use std::sync::Arc;

use crate::hub::Completion;
use crate::reply::Reply;
use crate::workers::Pool;

pub use claim::{Claim, ClaimAnswer, ClaimPurpose, Lease};

/// Decides who may have a name, beyond this server: an authenticator, or the directory of a cluster.
///
/// Every name that a user gets was claimed here first: at registration, by `/nick`, by `/login`, and each
/// temporary name such as `alice~7`. So two servers with one directory never give a name to two users.
/// `/register` and `/unregister` change no name and claim none. A login to an account whose name another
/// user of this server has takes over the lease: the name is not free in between.
///
/// Of one name, a server does one thing at a time. It claims a name again only after an earlier claim was
/// answered, and after an earlier lease was released.
///
/// The methods are called on the event loops, and on threads that use a
/// [`ServerHandle`](crate::ServerHandle), outside every lock. They must not block. They may answer at once,
/// or later from any thread: the connection waits. [`BlockingDirectory`] is for code that blocks.
///
/// A claim for a user ends after [`Limits::registration`](crate::Limits::registration), as the
/// registration does. A name that is granted after that is released at once.
///
/// ```
/// use std::collections::BTreeSet;
/// use std::sync::Mutex;
///
/// use chatproto::directory::{Claim, ClaimReply, Directory, Lease, ReleaseReply};
/// use chatproto::{Server, UserName};
///
/// /// What two servers of one program have in common.
/// #[derive(Default)]
/// struct Names(Mutex<BTreeSet<UserName>>);
///
/// impl Directory for Names {
///     fn claim(&self, claim: Claim, reply: ClaimReply) {
///         match self.0.lock().unwrap().insert(claim.name) {
///             true => reply.granted(0),
///             false => reply.refused("the name is in use on another server. Choose another one."),
///         }
///     }
///
///     fn release(&self, lease: Lease, reply: ReleaseReply) {
///         self.0.lock().unwrap().remove(lease.name());
///         reply.done();
///     }
/// }
///
/// # fn main() -> Result<(), chatproto::ServerError> {
/// let names = std::sync::Arc::new(Names::default());
/// for _ in 0..2 {
///     Server::builder().directory(names.clone()).bind(([127, 0, 0, 1], 0))?;
/// }
/// # Ok(())
/// # }
/// ```
pub trait Directory: Send + Sync + 'static {
    /// Claims a name that nobody has in this server. If the user has left before the answer comes, the
    /// name is released again.
    fn claim(&self, claim: Claim, reply: ClaimReply);

    /// Gives a lease back. The name is not claimed again before this is done, or the reply dropped. By
    /// default it is done at once.
    fn release(&self, lease: Lease, reply: ReleaseReply) {
        drop(lease);
        reply.done();
    }
}

impl<D: Directory> Directory for Arc<D> {
    fn claim(&self, claim: Claim, reply: ClaimReply) {
        D::claim(self, claim, reply);
    }

    fn release(&self, lease: Lease, reply: ReleaseReply) {
        D::release(self, lease, reply);
    }
}

impl ClaimAnswer {
    pub(crate) fn completion(self) -> Completion {
        match self {
            ClaimAnswer::Granted(revision) => Completion::Claimed(revision),
            ClaimAnswer::Reserved => Completion::Reserved,
            ClaimAnswer::Refused(reason) => Completion::Refused(reason),
            ClaimAnswer::Moved(to) => Completion::Moved(to),
        }
    }
}

/// Answers one claim, from any thread. Dropped without an answer, it says that the name cannot be checked
/// now.
#[derive(Debug)]
pub struct ClaimReply(Reply);

impl ClaimReply {
    pub(crate) fn new(reply: Reply) -> Self {
        ClaimReply(reply)
    }

    /// Sends the answer.
    pub fn send(self, answer: ClaimAnswer) {
        self.0.send(answer.completion());
    }

    /// See [`ClaimAnswer::Granted`].
    pub fn granted(self, revision: u64) {
        self.send(ClaimAnswer::Granted(revision));
    }

    /// See [`ClaimAnswer::Reserved`].
    pub fn reserved(self) {
        self.send(ClaimAnswer::Reserved);
    }

    /// See [`ClaimAnswer::Refused`].
    pub fn refused(self, reason: impl Into<String>) {
        self.send(ClaimAnswer::Refused(reason.into()));
    }

    /// See [`ClaimAnswer::Moved`].
    pub fn moved(self, to: impl Into<String>) {
        self.send(ClaimAnswer::Moved(to.into()));
    }
}

/// Says that a lease was given back: from then on, the name may be claimed again. To drop it says the
/// same.
#[derive(Debug)]
pub struct ReleaseReply(Reply);

impl ReleaseReply {
    pub(crate) fn new(reply: Reply) -> Self {
        ReleaseReply(reply)
    }

    /// The lease was given back.
    pub fn done(self) {
        self.0.send(Completion::Released);
    }
}

/// A directory that decides with functions which may block, on threads of its own.
///
/// ```
/// use chatproto::directory::{BlockingDirectory, ClaimAnswer};
/// use chatproto::Server;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # fn is_allowed(_: &chatproto::directory::Claim) -> bool { true }
/// let authenticator = BlockingDirectory::start(
///     4,
///     |claim| match is_allowed(claim) {
///         true => ClaimAnswer::Granted(0),
///         false => ClaimAnswer::Refused("ask the operator for access.".to_owned()),
///     },
///     |_| {},
/// )?;
/// let server = Server::builder().directory(authenticator).bind(([127, 0, 0, 1], 0))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BlockingDirectory {
    pool: Pool<Job>,
}

#[derive(Debug)]
enum Job {
    Claim(Claim, ClaimReply),
    Release(Lease, ReleaseReply),
}

impl BlockingDirectory {
    /// Starts so many threads, at least one, which end when the server does. A panic of `claim` says that
    /// the name cannot be checked now.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(
        threads: usize,
        claim: impl Fn(&Claim) -> ClaimAnswer + Send + Sync + 'static,
        release: impl Fn(&Lease) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let decide = Arc::new((claim, release));
        let run = move |job| match job {
            Job::Claim(claimed, reply) => {
                if let Some(answer) = reply.0.guarded("the directory", || (decide.0)(&claimed)) {
                    reply.send(answer);
                }
            }
            Job::Release(lease, reply) => {
                reply.0.guarded("the directory", || (decide.1)(&lease));
                reply.done();
            }
        };
        Ok(BlockingDirectory { pool: Pool::start("chatproto-name", threads.max(1), run)? })
    }
}

impl Directory for BlockingDirectory {
    fn claim(&self, claim: Claim, reply: ClaimReply) {
        self.pool.submit(Job::Claim(claim, reply));
    }

    fn release(&self, lease: Lease, reply: ReleaseReply) {
        self.pool.submit(Job::Release(lease, reply));
    }
}
