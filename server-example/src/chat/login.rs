//! The login that a new connection has to restore. A guest of the same user has another name, and others
//! would read what is sent as a stranger's. The client therefore sends nothing until it knows which of
//! the two it is.

/// What is known about the user's login.
#[derive(Debug, Default)]
pub(super) struct Login {
    /// The account of this connection.
    account: Option<String>,
    /// The account of a `/login` by hand that the server has not granted.
    asked: Option<String>,
    /// The account of an earlier connection, or the one that the program was started for.
    wanted: Option<Wanted>,
    /// How many logins were wanted in a new connection.
    losses: u64,
}

#[derive(Debug)]
struct Wanted {
    account: String,
    /// How many answers to `/state on` come before the login is decided.
    unanswered: u32,
}

/// Whether a line may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Granted,
    /// It is not known yet.
    Later,
    /// The login of this account was not restored, and the line was typed before that was known.
    Lost(String),
}

impl Login {
    /// The number of a line that is typed now. It rises with each login that is not restored: a line of an
    /// earlier number was typed for the login.
    pub(super) fn losses(&self) -> u64 {
        self.losses - u64::from(!self.is_decided())
    }

    /// A new connection is a guest's, and logs in with a password.
    pub(super) fn begins(&mut self, account: &str) {
        if self.wanted.is_none() {
            self.want(account.to_owned());
        }
        if let Some(wanted) = &mut self.wanted {
            // one before the login, one after it
            wanted.unanswered = 2;
        }
    }

    /// The user has sent a `/login` for this account. The lines behind it are for that account.
    pub(super) fn asked(&mut self, account: &str) {
        self.asked = Some(account.to_owned());
    }

    /// The server has answered this user with an error.
    pub(super) fn refused(&mut self) {
        self.asked = None;
    }

    /// The connection is lost.
    pub(super) fn disconnected(&mut self) {
        let asked = self.asked.take();
        if let Some(account) = self.account.take().or(asked) {
            self.want(account);
        }
        if let Some(wanted) = &mut self.wanted {
            wanted.unanswered = 1;
        }
    }

    fn want(&mut self, account: String) {
        self.losses += 1;
        self.wanted = Some(Wanted { account, unanswered: 1 });
    }

    /// The server answered `/state on`: the user has this name, and is logged in or not.
    pub(super) fn answered(&mut self, name: &str, is_in: bool) {
        self.account = is_in.then(|| name.to_owned());
        if let Some(wanted) = &mut self.wanted {
            wanted.unanswered = wanted.unanswered.saturating_sub(1);
            // a server without accounts gives the name to everybody
            if is_in || name == wanted.account {
                self.wanted = None;
            }
        }
    }

    /// The user of this name has logged in, or its account is gone.
    pub(super) fn changed(&mut self, name: &str, is_in: bool) {
        self.account = is_in.then(|| name.to_owned());
        if is_in {
            (self.wanted, self.asked) = (None, None);
        }
    }

    /// The user has another name.
    pub(super) fn renamed(&mut self, name: &str) {
        if let Some(account) = &mut self.account {
            name.clone_into(account);
        }
        // nobody else is given the name of an account
        self.wanted.take_if(|wanted| wanted.account == name);
    }

    /// The server does not say who is logged in.
    pub(super) fn is_unknown(&mut self) {
        self.wanted = None;
    }

    /// The server has not answered in good time.
    pub(super) fn is_undecided(&mut self) {
        if let Some(wanted) = &mut self.wanted {
            wanted.unanswered = 0;
        }
    }

    /// Whether no login is on its way that the client itself repeats.
    pub(super) fn is_decided(&self) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.unanswered == 0)
    }

    /// Whether a line may be sent that was typed when [`losses`](Login::losses) was `typed`.
    pub(super) fn permission(&self, typed: u64) -> Permission {
        match &self.wanted {
            None => Permission::Granted,
            Some(wanted) if wanted.unanswered > 0 => Permission::Later,
            Some(_) if typed >= self.losses => Permission::Granted,
            Some(wanted) => Permission::Lost(wanted.account.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Permission {
        Permission::Lost("alice".to_owned())
    }

    #[test]
    fn a_login_that_is_restored_permits_what_was_typed_before() {
        let mut login = Login::default();
        login.answered("alice~7", false);
        login.changed("alice", true);
        let typed = login.losses();
        assert_eq!(login.permission(typed), Permission::Granted);
        login.disconnected();
        login.begins("alice");
        assert_eq!(login.permission(typed), Permission::Later);
        login.answered("alice~8", false);
        assert_eq!(login.permission(typed), Permission::Later, "before the answer to /login");
        login.changed("alice", true);
        assert_eq!(login.permission(typed), Permission::Granted);
    }

    #[test]
    fn a_login_that_was_not_answered_may_have_been_granted() {
        let mut login = Login::default();
        login.answered("alice~7", false);
        let typed = login.losses();
        login.asked("alice");
        login.disconnected();
        login.answered("alice~8", false);
        assert_eq!(login.permission(typed), lost());
        let mut login = Login::default();
        login.asked("alice");
        login.refused();
        login.disconnected();
        assert_eq!(login.permission(typed), Permission::Granted);
    }

    #[test]
    fn a_guest_sends_only_what_was_typed_as_a_guest() {
        let mut login = Login::default();
        login.answered("alice", true);
        let typed = login.losses();
        login.disconnected();
        assert_eq!(login.permission(typed), Permission::Later);
        // another loss before the server has answered
        login.disconnected();
        let meanwhile = login.losses();
        login.answered("alice~7", false);
        assert_eq!(login.permission(typed), lost());
        assert_eq!(login.permission(meanwhile), lost(), "the client still shows the login");
        assert_eq!(login.permission(login.losses()), Permission::Granted);
        login.changed("alice", true);
        assert_eq!(login.permission(typed), Permission::Granted);
    }

    #[test]
    fn a_program_that_was_started_for_an_account_sends_nothing_without_it() {
        let mut login = Login::default();
        let typed = login.losses();
        login.begins("alice");
        login.answered("alice~7", false);
        let meanwhile = login.losses();
        login.answered("alice~7", false);
        assert_eq!(login.permission(typed), lost());
        assert_eq!(login.permission(meanwhile), lost(), "the client still shows the login");
    }

    #[test]
    fn a_server_that_gives_the_name_to_everybody_has_no_login_to_restore() {
        for is_known in [true, false] {
            let mut login = Login::default();
            login.answered("alice", true);
            login.disconnected();
            if is_known {
                login.answered("alice", false);
            } else {
                login.is_unknown();
            }
            assert_eq!(login.permission(0), Permission::Granted);
        }
    }
}
