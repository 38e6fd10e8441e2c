//! Acts of moderation are carried out here: the one entry point for commands, for the application and its
//! operator, and for other nodes. [`rights`](super::rights) decides whether an actor may. What was done is
//! told to whom it concerns, and to the observer in the same way for every actor.

use std::time::Duration;

use crate::name::{NamePolicyError, UserName, lookalike_keys};

use super::act::Why;
use super::excerpt::clipped;
use super::rights::Object;
use super::room::Audience;
use super::sanction::{Sanction, Since, Until};
use super::session::{Session, SessionMute};
use super::target::{LONGEST_NAME, Target};
use super::terms::{REASON, because, for_so_long};
use super::{
    Act, Action, Actor, BanTarget, ConnId, Departure, Done, Event, Hub, Now, Output, Rank, Refusal,
    Role, rights,
};

/// The rights of an actor at a time.
struct Standing {
    rank: Rank,
    /// See [`Sanction::maker`].
    maker: Option<Box<str>>,
    is_sanctioned: bool,
}

impl Hub {
    /// The user of a connection as an actor.
    pub fn actor(&self, conn: ConnId) -> Option<Actor> {
        let session = self.users.get(conn)?;
        let (name, address) = (session.user_name()?, session.address);
        session.is_user().then_some(Actor::User { conn, name, address })
    }

    /// The user of this name as an actor.
    pub fn actor_of(&self, name: &UserName) -> Option<Actor> {
        self.users.find(name.as_str()).and_then(|(conn, _)| self.actor(conn))
    }

    /// Whether a user may perform an act that is on no user in particular.
    pub(super) fn may(&self, conn: ConnId, act: Act, now: Now) -> bool {
        let actor = self.actor(conn);
        let standing = actor.and_then(|actor| self.standing(&actor, now).ok());
        standing.is_some_and(|standing| standing.check(act, Object::Nobody, "").is_ok())
    }

    /// Tells the observer of something that a user did beside the acts of moderation.
    pub(super) fn report(&self, conn: ConnId, act: Act, target: String, out: &mut Output) {
        let (Some(actor), Some(session)) = (self.actor(conn), self.users.get(conn)) else { return };
        let standing = Standing::of(session.role().into(), false);
        standing.report(&actor, act, target, None, "", None, out);
    }

    /// An actor does something: the one way to all acts of moderation. Whom it concerns is told, and an
    /// [`Event::Moderated`] says what was done, or an [`Event::Denied`] that a user had not the right.
    ///
    /// # Errors
    /// Why nothing was done, as a sentence for the actor.
    pub fn act(
        &mut self,
        actor: &Actor,
        action: Action,
        now: Now,
        out: &mut Output,
    ) -> Result<Done, Refusal> {
        let act = action.act();
        self.perform(actor, action, now, out).map_err(|why| {
            if let (Why::Denied(..), Actor::User { conn, name, address }) = (&why, actor) {
                let (conn, address, name) = (*conn, *address, name.clone());
                let endpoint = act.endpoint().into();
                self.counts.denied += 1;
                out.events.push(Event::Denied { conn, address, name, endpoint });
            }
            Refusal { act, why }
        })
    }

    fn perform(
        &mut self,
        actor: &Actor,
        action: Action,
        now: Now,
        out: &mut Output,
    ) -> Result<Done, Why> {
        let standing = self.standing(actor, now)?;
        match action {
            Action::Kick { user, reason } => {
                let (victim, name) = self.find_object(&standing, actor, Act::Kick, &user)?;
                standing.report(actor, Act::Kick, name.to_string(), None, &reason, None, out);
                self.expel(victim, Departure::Kicked, "", actor.name(), &reason, now, out);
                Ok(Done::Kicked(name))
            }
            Action::Ban { target, duration, reason } => {
                self.impose_ban(&standing, actor, target, duration, &reason, now, out)
            }
            Action::Unban { target } => {
                standing.check(Act::Unban, Object::Nobody, "")?;
                let found = self.sanctions.ban_that_holds_for(&target.key, now.monotonic);
                let Some((key, ban)) = found else {
                    return Err(Why::NotBanned(target.to_string()));
                };
                standing.check(Act::Unban, Object::Sanction(ban.rank), &ban.shown)?;
                let shown = ban.shown.clone();
                self.remove_ban(&key, now);
                // as the ban had it, so that it is found again by those who keep bans
                let lasting = Some(self.sanctions.number_act());
                standing.report(actor, Act::Unban, shown, None, "", lasting, out);
                Ok(Done::Unbanned)
            }
            Action::Mute { user, duration, reason } => {
                self.impose_mute(&standing, actor, &user, duration, &reason, now, out)
            }
            Action::Unmute { user } => self.lift_mute(&standing, actor, &user, now, out),
            Action::Role { user, role } => {
                let act = Act::Role(role);
                let (conn, name) = self.find_object(&standing, actor, act, &user)?;
                let is_logged_in = self.users.get(conn).is_some_and(Session::is_logged_in);
                let has_other_rights = self.set_rights(conn, role, is_logged_in);
                standing.report(actor, act, name.to_string(), None, "", None, out);
                if actor.conn() != Some(conn) {
                    let by = match actor.name() {
                        "" => String::new(),
                        by => format!(": {by} made you one"),
                    };
                    self.tell(conn, &format!("You are {} now{by}.", role.one()), now, out);
                }
                if has_other_rights {
                    self.state_rights(conn, out);
                }
                Ok(Done::Role(name))
            }
            Action::Close { room, reason } => {
                standing.check(Act::Close, Object::Nobody, "")?;
                let Some(id) = self.find_room(&room) else { return Err(Why::NoRoom(room)) };
                let name = self.rooms.get(id).map_or(String::new(), |room| room.name.to_string());
                standing.report(actor, Act::Close, name.clone(), None, &reason, None, out);
                let by = if actor.name().is_empty() { "The operator" } else { actor.name() };
                self.close_room(id, &format!("{by} closed the room{}.", because(&reason)), out);
                Ok(Done::Closed(name))
            }
            Action::Notice { text } => {
                standing.check(Act::Notice, Object::Nobody, "")?;
                let told = format!("Notice: {text}");
                let sent = self.say_to_others(Audience::Everyone, actor.conn(), &told, out);
                if sent.delivered == 0 && sent.too_long > 0 {
                    return Err(Why::TooLong);
                }
                standing.report(actor, Act::Notice, String::new(), None, &text, None, out);
                Ok(Done::Told { delivered: sent.delivered, too_long: sent.too_long })
            }
        }
    }

    /// The rights that an actor has now.
    fn standing(&self, actor: &Actor, now: Now) -> Result<Standing, Why> {
        match actor {
            Actor::Operator { .. } => Ok(Standing::of(Rank::Operator, false)),
            Actor::User { conn, .. } => {
                let session = self.users.get(*conn).filter(|session| session.is_user());
                let Some(session) = session else { return Err(Why::Gone) };
                let name = session.user_name();
                let is_banned = self.ban_of(*conn, name.as_ref(), now).is_some();
                let is_sanctioned = is_banned || self.mute_of(session, now.monotonic).is_some();
                let maker = session.extras().and_then(|extras| extras.maker.clone());
                Ok(Standing { maker, ..Standing::of(session.role().into(), is_sanctioned) })
            }
            Actor::Remote { name, role, .. } => {
                let now = now.monotonic;
                let is_sanctioned = self.sanctions.mute_of(name.as_str(), now).is_some()
                    || self.sanctions.ban_of_name(name.as_str(), now).is_some();
                Ok(Standing::of((*role).into(), is_sanctioned))
            }
        }
    }

    /// The connected user of that name, on whom the actor may perform the act.
    fn find_object(
        &self,
        standing: &Standing,
        actor: &Actor,
        act: Act,
        name: &str,
    ) -> Result<(ConnId, UserName), Why> {
        // those who may not act at all do not learn who is here
        standing.check(act, Object::Nobody, "")?;
        let found = self.find_user(name);
        let Some((conn, name)) = found.and_then(|(conn, s)| Some((conn, s.user_name()?))) else {
            return Err(Why::NoUser(name.to_owned()));
        };
        standing.check(act, self.object(actor, conn, &name), name.as_str())?;
        Ok((conn, name))
    }

    /// What a connected user is to an actor.
    fn object(&self, actor: &Actor, conn: ConnId, name: &UserName) -> Object {
        if actor.conn() == Some(conn) {
            return Object::Oneself;
        }
        let role = self.users.get(conn).map_or(Role::User, Session::role);
        Object::User(role.max(self.stored_role(name)).into())
    }

    /// The role that the account of this name has.
    fn stored_role(&self, name: &UserName) -> Role {
        let names = self.staff.get(lookalike_keys(name.as_str()).first());
        names.and_then(|names| names.get(name)).map(|&(role, _)| role).unwrap_or_default()
    }

    /// The account of this name has this role, whether or not its owner is connected. To be said of each
    /// account with a role at the start, and at each change: acts are then judged by it. `revision` is
    /// the account's; a role of a lower revision than is known of the name changes nothing. With
    /// [`Role::User`] the name is forgotten.
    pub fn set_stored_role(&mut self, name: &UserName, role: Role, revision: u64) {
        let keys = lookalike_keys(name.as_str());
        let known = self.staff.get(keys.first()).and_then(|names| names.get(name));
        if known.is_some_and(|&(_, newest)| newest > revision) {
            return;
        }
        for key in keys.iter() {
            if role != Role::User {
                let names = self.staff.entry(key.into()).or_default();
                names.insert(name.clone(), (role, revision));
            } else if let Some(names) = self.staff.get_mut(key) {
                names.remove(name);
                if names.is_empty() {
                    self.staff.remove(key);
                }
            }
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one action, and the call's")]
    fn impose_ban(
        &mut self,
        standing: &Standing,
        actor: &Actor,
        target: BanTarget,
        duration: Option<Duration>,
        reason: &str,
        now: Now,
        out: &mut Output,
    ) -> Result<Done, Why> {
        standing.check(Act::Ban, Object::Nobody, "")?;
        let target = self.lasting_target(target)?;
        let concerned = self.concerned(&target.key);
        for &conn in &concerned {
            let Some(name) = self.users.get(conn).and_then(Session::user_name) else { continue };
            standing.check(Act::Ban, self.object(actor, conn, &name), name.as_str())?;
        }
        if let Target::Name(keys) = &target.key {
            let alike = keys.iter().filter_map(|key| self.staff.get(key));
            for (name, (role, _)) in alike.flatten() {
                standing.check(Act::Ban, Object::User((*role).into()), name.as_str())?;
            }
        }
        if let Some(old) = self.sanctions.ban(&target.key, now.monotonic) {
            standing.check(Act::Ban, Object::Sanction(old.rank), &old.shown)?;
        }
        let ban = standing.sanction(target.to_string(), actor, duration, reason, now);
        let total = self.limits.sanctions_total;
        let added = self.add_ban(target.key.clone(), ban, Some(total), now);
        added.map_err(Why::Full)?;
        let lasting = Some(self.sanctions.number_act());
        standing.report(actor, Act::Ban, target.to_string(), duration, reason, lasting, out);
        let how_long = for_so_long(duration);
        for &victim in &concerned {
            self.expel(victim, Departure::Banned, &how_long, actor.name(), reason, now, out);
        }
        Ok(Done::Banned { target, closed: concerned.len() })
    }

    /// The target that a ban is to have: of a temporary name, which another user may have later, it is
    /// the address.
    fn lasting_target(&self, target: BanTarget) -> Result<BanTarget, Why> {
        if let Target::Net(_) = target.key {
            return Ok(target);
        }
        let shown = target.text().to_owned();
        if let Some((_, session)) = self.find_user(&shown)
            && session.has_temporary_name()
        {
            return Ok(BanTarget::from(session.address));
        }
        match UserName::from_bytes(shown.as_bytes(), self.longest_name) {
            // another user may have it later, who is not meant
            Ok(name) if name.check_request() == Err(NamePolicyError::Assigned) => {
                Err(Why::NobodyHas(shown))
            }
            Ok(_) => Ok(target),
            Err(error) => Err(Why::BadName(format!("{error}."))),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one action, and the call's")]
    fn impose_mute(
        &mut self,
        standing: &Standing,
        actor: &Actor,
        user: &str,
        duration: Option<Duration>,
        reason: &str,
        now: Now,
        out: &mut Output,
    ) -> Result<Done, Why> {
        let (conn, name) = match self.find_object(standing, actor, Act::Mute, user) {
            Ok((conn, name)) => (Some(conn), name),
            Err(Why::NoUser(_)) if standing.rank == Rank::Operator => {
                let name = UserName::from_bytes(user.as_bytes(), LONGEST_NAME);
                (None, name.map_err(|error| Why::BadName(format!("{error}.")))?)
            }
            Err(why) => return Err(why),
        };
        let session = conn.and_then(|conn| self.users.get(conn));
        let own = session.and_then(|session| session.own_mute(now.monotonic)).map(|own| own.rank);
        let of_name = self.sanctions.mute_of(name.as_str(), now.monotonic).map(|mute| mute.rank);
        for rank in own.into_iter().chain(of_name) {
            standing.check(Act::Mute, Object::Sanction(rank), name.as_str())?;
        }
        let is_temporary = session.is_some_and(Session::has_temporary_name);
        let mute = standing.sanction(name.to_string(), actor, duration, reason, now);
        let own = SessionMute { until: mute.until, rank: mute.rank };
        if !is_temporary {
            let total = self.limits.sanctions_total;
            let added = self.add_mute(&name, mute, Some(total), now);
            added.map_err(Why::Full)?;
        }
        let lasting = (!is_temporary).then(|| self.sanctions.number_act());
        standing.report(actor, Act::Mute, name.to_string(), duration, reason, lasting, out);
        // one that a user has since it was a guest is replaced, as that of the name
        if let Some(session) = conn.and_then(|conn| self.users.get_mut(conn)) {
            session.extras_mut().mute = is_temporary.then_some(own);
        }
        let comma = if actor.name().is_empty() { "" } else { "," };
        let how = format!("{}{comma}{}{}", for_so_long(duration), actor.by(), because(reason));
        let guests = if is_temporary { Vec::new() } else { self.guests_of(&name, out) };
        for conn in conn.into_iter().chain(guests) {
            self.tell(conn, &format!("❌ You are muted{how}."), now, out);
        }
        Ok(Done::Muted(name))
    }

    fn lift_mute(
        &mut self,
        standing: &Standing,
        actor: &Actor,
        user: &str,
        now: Now,
        out: &mut Output,
    ) -> Result<Done, Why> {
        standing.check(Act::Unmute, Object::Nobody, "")?;
        let Ok(name) = UserName::from_bytes(user.as_bytes(), LONGEST_NAME) else {
            return Err(Why::NoUser(user.to_owned()));
        };
        let found = self.find_user(name.as_str());
        let own = found.and_then(|(_, session)| session.own_mute(now.monotonic));
        let of_name = self.sanctions.mute_of(name.as_str(), now.monotonic).map(|mute| mute.rank);
        let Some(rank) = own.map(|mute| mute.rank).max(of_name) else {
            let wanted = self.muting_name(name.as_str(), now);
            return Err(match wanted {
                Some(wanted) => Why::MutedAs(name.to_string(), wanted.to_string()),
                None => Why::NotMuted(name.to_string()),
            });
        };
        standing.check(Act::Unmute, Object::Sanction(rank), name.as_str())?;
        let is_temporary = found.is_some_and(|(_, session)| session.has_temporary_name());
        let found = found.map(|(conn, _)| conn);
        let was_lasting = self.remove_mute(&name, now) || !is_temporary;
        let lasting = was_lasting.then(|| self.sanctions.number_act());
        standing.report(actor, Act::Unmute, name.to_string(), None, "", lasting, out);
        if let Some(session) = found.and_then(|conn| self.users.get_mut(conn)) {
            session.extras_mut().mute = None;
        }
        let guests = if of_name.is_some() { self.guests_of(&name, out) } else { Vec::new() };
        for conn in found.into_iter().chain(guests) {
            let Some(session) = self.users.get(conn) else { continue };
            // another mute may hold
            if self.mute_of(session, now.monotonic).is_none() {
                self.tell(conn, "You may speak again.", now, out);
            }
        }
        Ok(Done::Unmuted(name))
    }

    /// The name that a guest asked for, if the guest is muted because that name is.
    pub(super) fn muting_name(&self, guest: &str, now: Now) -> Option<&UserName> {
        let wanted = self.find_user(guest)?.1.wanted()?;
        self.sanctions.mute_of(wanted.as_str(), now.monotonic).map(|_| wanted)
    }

    /// The guests who asked for this name: its mute is theirs, too.
    pub(super) fn guests_of(&self, name: &UserName, out: &mut Output) -> Vec<ConnId> {
        if self.accounts.is_none() {
            return Vec::new();
        }
        out.examine(self.users.online());
        let sessions = self.users.sessions(self.users.roster());
        let guests = sessions.filter(|(_, session)| session.wanted() == Some(name));
        guests.map(|(conn, _)| conn).collect()
    }

    /// Ends a user's connection, and tells the user what was done, by whom and why.
    #[allow(clippy::too_many_arguments, reason = "the parts of one sentence, and the call's")]
    pub(super) fn expel(
        &mut self,
        victim: ConnId,
        departure: Departure,
        how_long: &str,
        by: &str,
        reason: &str,
        now: Now,
        out: &mut Output,
    ) {
        let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
        let why = because(reason);
        self.tell(victim, &format!("⛔ You were {departure}{how_long}{by}{why}."), now, out);
        self.handle_eviction(victim, departure, now, out);
    }
}

impl Standing {
    fn of(rank: Rank, is_sanctioned: bool) -> Self {
        Standing { rank, maker: None, is_sanctioned }
    }

    /// Tells the observer of an act.
    #[allow(clippy::too_many_arguments, reason = "the parts of one event")]
    fn report(
        &self,
        actor: &Actor,
        act: Act,
        target: String,
        duration: Option<Duration>,
        reason: &str,
        lasting: Option<u64>,
        out: &mut Output,
    ) {
        let (actor, rank, reason) =
            (actor.clone(), self.rank, clipped(reason, REASON).into_owned());
        out.events.push(Event::Moderated { actor, rank, act, target, duration, reason, lasting });
    }

    fn check(&self, act: Act, object: Object, target: &str) -> Result<(), Why> {
        rights::check(act, self.rank, self.is_sanctioned, object)
            .map_err(|denial| Why::Denied(target.to_owned(), denial))
    }

    fn sanction(
        &self,
        shown: String,
        actor: &Actor,
        duration: Option<Duration>,
        reason: &str,
        now: Now,
    ) -> Sanction {
        Sanction {
            shown,
            by: clipped(actor.name(), REASON).into_owned(),
            maker: self.maker.clone(),
            rank: self.rank,
            is_configured: false,
            reason: clipped(reason, REASON).into_owned(),
            since: Since::ago(Duration::ZERO, now.monotonic),
            until: Until::after(duration, now.monotonic),
        }
    }
}
