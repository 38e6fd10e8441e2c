//! Accounts: names that belong to somebody, who proves it with a password. The hub knows who is
//! logged in; what an account is made of, and where it is kept, is the business of an [`Accounts`]
//! that the application brings.
//!
//! A connection that asks for the name of an account becomes a guest under a temporary name made
//! from it, such as `alice~7`, until it logs in (see `/login` in `PROTOCOL.md`).

use std::fmt;
use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::hub::Role;
use crate::name::UserName;

/// Whether there are accounts, and who may speak without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountPolicy {
    /// Names of accounts are for their owners, all others for whoever comes first.
    Optional,
    /// Nobody speaks, reads or is seen without logging in.
    Required,
}

/// A password. It is shown nowhere, and wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Keeps a copy of the text.
    pub fn new(text: &str) -> Self {
        Password(Zeroizing::new(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Who wants to be whom, and how it is proved.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Credentials {
    /// The name of the account.
    pub name: UserName,
    /// The password, as it was typed.
    pub password: Password,
    /// The address that the server sees.
    pub address: IpAddr,
    /// Nobody on the way can have read the password (TLS).
    pub is_secure: bool,
}

impl Credentials {
    /// Credentials that came from `address`.
    pub fn new(name: UserName, password: Password, address: IpAddr, is_secure: bool) -> Self {
        Credentials { name, password, address, is_secure }
    }
}

/// What an account gives to the user who proved to own it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// What the user may do beyond speaking.
    pub role: Role,
    /// A sentence that the user is told besides, such as a warning.
    pub notice: Option<String>,
}

/// Keeps accounts. [`Accounts::is_reserved`] is asked on the event loops and must answer from memory;
/// everything else runs on threads of its own and may block, while the connection waits. In an `Err`
/// is the sentence that tells the user why not.
pub trait Accounts: Send + Sync + 'static {
    /// Whether the name is that of an account, or looks like one, so that nobody has it who has not
    /// logged in.
    fn is_reserved(&self, name: &UserName) -> bool;

    /// Makes an account of the name that the user has.
    ///
    /// # Errors
    /// The sentence for the user.
    fn register(&self, credentials: &Credentials) -> Result<Granted, String>;

    /// Checks a password.
    ///
    /// # Errors
    /// The sentence for the user. It must not tell whether there is such an account.
    fn login(&self, credentials: &Credentials) -> Result<Granted, String>;

    /// Changes the password, if the old one is right. What is returned is told to the user besides.
    ///
    /// # Errors
    /// The sentence for the user.
    fn change_password(
        &self,
        credentials: &Credentials,
        new: &Password,
    ) -> Result<Option<String>, String>;

    /// Removes the account, if the password is right.
    ///
    /// # Errors
    /// The sentence for the user.
    fn unregister(&self, credentials: &Credentials) -> Result<(), String>;
}

/// Something that a user asks of the [`Accounts`].
#[derive(Debug)]
#[non_exhaustive]
pub enum AccountOrder {
    /// `/register`. Answered by [`Completion::Registered`](crate::Completion::Registered).
    Register(Credentials),
    /// `/login`. Answered by [`Completion::LoggedIn`](crate::Completion::LoggedIn).
    Login(Credentials),
    /// `/passwd`. Answered by [`Completion::Answered`](crate::Completion::Answered).
    ChangePassword(Credentials, Password),
    /// `/unregister`. Answered by [`Completion::Unregistered`](crate::Completion::Unregistered).
    Unregister(Credentials),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let password = Password::new("correct horse");
        let address = IpAddr::from([127, 0, 0, 1]);
        let name = UserName::new("alice").unwrap();
        let order = AccountOrder::ChangePassword(
            Credentials::new(name, password.clone(), address, false),
            password,
        );
        let shown = format!("{order:?}");
        assert!(shown.contains("alice") && !shown.contains("horse"), "{shown}");
    }
}
