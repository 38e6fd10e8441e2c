//! The login that a new connection has to restore. A guest of the same user has another name, and others
//! would read what is sent as a stranger's. The client therefore sends nothing until it knows which of
//! the two it is.

/// The state of the user's login.
#[derive(Debug)]
pub(super) struct Login {
    /// The account of this connection.
    account: Option<String>,
    /// The account of a `/login` or `/register` by hand that the server has not answered.
    asked: Option<String>,
    /// The account of an earlier connection, or the one that the program was started for.
    wanted: Option<String>,
    /// How many answers to `/state on` are still to come on this connection.
    unanswered: u32,
    /// How many logins were wanted in a new connection.
    losses: u64,
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

impl Default for Login {
    /// For the first connection, on which the client asks for state lines at once.
    fn default() -> Self {
        Login { account: None, asked: None, wanted: None, unanswered: 1, losses: 0 }
    }
}

impl Login {
    /// The number of a line that is typed now. It rises with each login that is not restored: a line of an
    /// earlier number was typed for the login.
    pub(super) fn losses(&self) -> u64 {
        self.losses - u64::from(self.wanted.is_some() && self.unanswered > 0)
    }

    /// A new connection is a guest's, and logs in with a password.
    pub(super) fn begins(&mut self, account: &str) {
        if self.wanted.is_none() {
            self.want(account.to_owned());
        }
    }

    /// A `/login` or `/register` for this account is sent, and `/state on` behind it. The lines behind it
    /// are for that account.
    pub(super) fn asked(&mut self, account: &str) {
        self.asked = Some(account.to_owned());
        self.unanswered += 1;
    }

    /// It could not be sent.
    pub(super) fn unasked(&mut self) {
        self.asked = None;
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// The connection is lost. A login without an answer may have been granted.
    pub(super) fn disconnected(&mut self) {
        let asked = self.asked.take();
        if let Some(account) = self.account.take().or(asked) {
            self.want(account);
        }
        self.unanswered = 1;
    }

    fn want(&mut self, account: String) {
        self.losses += 1;
        self.wanted = Some(account);
    }

    /// The server answered `/state on`: the user has this name, and is logged in or not.
    pub(super) fn answered(&mut self, name: &str, is_in: bool) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.account = is_in.then(|| name.to_owned());
        // a server without accounts gives the name to everybody
        if is_in || self.wanted.as_deref() == Some(name) {
            self.wanted = None;
        }
        if is_in || self.unanswered == 0 {
            self.asked = None;
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
        self.wanted.take_if(|wanted| wanted == name);
    }

    /// The server does not say who is logged in.
    pub(super) fn is_unknown(&mut self) {
        (self.wanted, self.asked, self.unanswered) = (None, None, 0);
    }

    /// The server has not answered in good time.
    pub(super) fn is_undecided(&mut self) {
        self.unanswered = 0;
    }

    /// Whether no login is on its way that the client itself repeats.
    pub(super) fn is_decided(&self) -> bool {
        self.wanted.is_none() || self.unanswered == 0
    }

    /// Whether a line may be sent that was typed when [`losses`](Login::losses) was `typed`.
    pub(super) fn permission(&self, typed: u64) -> Permission {
        match &self.wanted {
            _ if self.unanswered > 0 && (self.wanted.is_some() || self.asked.is_some()) => {
                Permission::Later
            }
            Some(account) if typed < self.losses => Permission::Lost(account.clone()),
            _ => Permission::Granted,
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
        login.asked("alice");
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
        // one that was refused was not
        let mut login = Login::default();
        login.answered("alice~7", false);
        login.asked("alice");
        assert_eq!(login.permission(0), Permission::Later);
        login.answered("alice~7", false);
        assert_eq!(login.permission(0), Permission::Granted);
        login.disconnected();
        assert_eq!(login.permission(0), Permission::Granted);
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
        login.asked("alice");
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
