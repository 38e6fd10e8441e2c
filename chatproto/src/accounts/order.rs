//! Orders to the accounts, and the rights that an account grants.

use std::fmt;
use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::hub::Role;
use crate::name::UserName;

/// Whether there are accounts, and who may speak without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccountPolicy {
    /// The name of an account is for its owner. Any other name is for the first client that asks for it.
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

/// The name that a user claims, with the password that proves it.
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

/// The rights that an account gives to its owner after a login.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Granted {
    /// The role of the user: the rights beyond sending messages.
    pub role: Role,
    /// The account's revision at which this is so: see [`Accounts`](crate::accounts::Accounts). Of an account that the order
    /// removed, the revision of the removal.
    pub revision: u64,
    /// A sentence that the user is told besides, such as a warning. None by default.
    pub notice: Option<String>,
}

impl Granted {
    /// The role and the revision of an account.
    pub fn new(role: Role, revision: u64) -> Self {
        Granted { role, revision, notice: None }
    }
}

/// Something that a user asks of the [`Accounts`](crate::accounts::Accounts). The hub asks nothing about a name that no client
/// gets on request (see [`UserName::check_request`]), and makes no account that
/// [`UserName::check_account`] refuses.
#[derive(Debug)]
#[non_exhaustive]
pub enum AccountOrder {
    /// `/register`: make an account of the name that the user has. Answered by
    /// [`Completion::Registered`](crate::hub::Completion::Registered).
    Register(Credentials),
    /// `/login`: check a password. The answer must not tell whether there is such an account.
    /// Answered by [`Completion::LoggedIn`](crate::hub::Completion::LoggedIn).
    Login(Credentials),
    /// `/passwd`: change the password, if the old one is right. Answered by
    /// [`Completion::PasswordChanged`](crate::hub::Completion::PasswordChanged).
    ChangePassword(Credentials, Password),
    /// `/unregister`: remove the account, if the password is right. Answered by
    /// [`Completion::Unregistered`](crate::hub::Completion::Unregistered).
    Unregister(Credentials),
}

impl AccountOrder {
    /// The user that asks.
    pub fn credentials(&self) -> &Credentials {
        match self {
            AccountOrder::Register(credentials)
            | AccountOrder::Login(credentials)
            | AccountOrder::ChangePassword(credentials, _)
            | AccountOrder::Unregister(credentials) => credentials,
        }
    }

    /// How many bytes its texts have. (The hub has the name of an order that is under way, and the answer
    /// has it too.)
    pub(crate) fn text_len(&self) -> usize {
        let Credentials { name, password, .. } = self.credentials();
        let new = match self {
            AccountOrder::ChangePassword(_, new) => new.as_str().len(),
            _ => 0,
        };
        3 * name.as_str().len() + password.as_str().len() + new
    }
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
