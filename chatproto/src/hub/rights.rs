//! The table of rights: which actor may perform which act on what. Everything that acts asks here, and
//! nothing else decides. The table in `PROTOCOL.md` is made from it.

use super::{Act, Rank};

/// What an act is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    /// No user in particular: a room, or everybody.
    Nobody,
    /// The actor.
    Oneself,
    /// Another user of this rank, connected or not.
    User(Rank),
    /// A ban or a mute that an actor of this rank imposed: it is lifted, or another one takes its place.
    Sanction(Rank),
}

/// Why an actor may not perform an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The act is for this rank and those above.
    Rank(Rank),
    /// The actor is muted or banned.
    Sanctioned,
    /// The act is not for oneself.
    Oneself,
    /// The user has this rank.
    User(Rank),
    /// The ban or mute was imposed by this rank.
    Sanction(Rank),
}

/// The rank from which on an act is allowed at all.
fn needed(act: Act) -> Rank {
    match act {
        Act::Admin => Rank::User,
        Act::Role(_) => Rank::Admin,
        Act::AddAccount | Act::ResetAccount | Act::RemoveAccount => Rank::Operator,
        Act::Kick
        | Act::Ban
        | Act::Unban
        | Act::Mute
        | Act::Unmute
        | Act::Close
        | Act::Notice
        // of another user's message: one's own is not asked about here
        | Act::Forget => Rank::Moderator,
    }
}

/// Whether an actor may perform an act. `is_sanctioned` means that the actor is muted or banned.
pub(super) fn check(
    act: Act,
    actor: Rank,
    is_sanctioned: bool,
    object: Object,
) -> Result<(), Denial> {
    if actor == Rank::Operator {
        return Ok(());
    }
    if actor < needed(act) {
        return Err(Denial::Rank(needed(act)));
    }
    if is_sanctioned {
        return Err(Denial::Sanctioned);
    }
    match object {
        Object::Nobody => Ok(()),
        // admins may do anything to the roles of users, their own included
        Object::Oneself | Object::User(_) if matches!(act, Act::Role(_)) => Ok(()),
        Object::Oneself => Err(Denial::Oneself),
        Object::User(rank) if actor > rank || actor == Rank::Admin => Ok(()),
        Object::User(rank) => Err(Denial::User(rank)),
        Object::Sanction(rank) if actor >= rank => Ok(()),
        Object::Sanction(rank) => Err(Denial::Sanction(rank)),
    }
}

/// Whether an actor of this rank may mute a user of that one.
pub(super) fn may_mute(actor: Rank, user: Rank) -> bool {
    check(Act::Mute, actor, false, Object::User(user)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::*;

    /// The rows of the table: acts, and the objects that they can have.
    fn rows() -> [(&'static str, Vec<Act>, Vec<Object>); 6] {
        let users = || {
            let users = Rank::ALL[..3].iter().map(|&rank| Object::User(rank));
            users.chain([Object::Oneself]).collect()
        };
        let sanctions = Rank::ALL[1..].iter().map(|&rank| Object::Sanction(rank)).collect();
        let role = Act::Role(Role::Moderator);
        [
            ("kick, mute or ban a user", vec![Act::Kick, Act::Mute, Act::Ban], users()),
            (
                "lift or replace a mute or ban",
                vec![Act::Mute, Act::Unmute, Act::Ban, Act::Unban],
                sanctions,
            ),
            ("give a user a role", vec![role], users()),
            ("close a room", vec![Act::Close], vec![Object::Nobody]),
            ("send a notice to all", vec![Act::Notice], vec![Object::Nobody]),
            (
                "remove a message of another user from a room",
                vec![Act::Forget],
                vec![Object::Nobody],
            ),
        ]
    }

    fn cell(object: Object) -> String {
        match object {
            Object::Nobody => "yes".to_owned(),
            Object::Oneself => "oneself".to_owned(),
            Object::User(rank) => format!("{rank}s"),
            Object::Sanction(Rank::Operator) => "by the operator".to_owned(),
            Object::Sanction(rank) => format!("by {rank}s"),
        }
    }

    fn table() -> String {
        let mut table =
            "| act | user | moderator | admin | operator |\n|---|---|---|---|---|\n".to_owned();
        for (row, acts, objects) in rows() {
            let cells = Rank::ALL.map(|rank| {
                // the operator is no user
                let exists =
                    |object: &&Object| (rank, **object) != (Rank::Operator, Object::Oneself);
                let allowed: Vec<String> = objects
                    .iter()
                    .filter(exists)
                    .filter(|object| {
                        let verdicts: Vec<bool> = acts
                            .iter()
                            .map(|&act| check(act, rank, false, **object).is_ok())
                            .collect();
                        assert!(verdicts.iter().all(|&may| may == verdicts[0]), "{row}");
                        verdicts[0]
                    })
                    .map(|&object| cell(object))
                    .collect();
                if allowed.is_empty() { "–".to_owned() } else { allowed.join(", ") }
            });
            table.push_str(&format!("| {row} | {} |\n", cells.join(" | ")));
        }
        table
    }

    fn acts_and_objects() -> Vec<(Act, Object)> {
        let of_row = |(_, acts, objects): (_, Vec<Act>, Vec<Object>)| {
            let of_act = |act| objects.iter().map(move |&object| (act, object)).collect::<Vec<_>>();
            acts.into_iter().flat_map(of_act).collect::<Vec<_>>()
        };
        rows().into_iter().flat_map(of_row).collect()
    }

    /// With `CHATPROTO_WRITE=1` in the environment the table is written instead.
    #[test]
    fn the_protocol_has_the_table_of_rights() {
        crate::hub::commands::check_table(
            "rights: made from src/hub/rights.rs",
            "rights",
            &table(),
        );
    }

    #[test]
    fn no_act_is_for_those_who_are_muted_or_banned() {
        for (act, object) in acts_and_objects() {
            for rank in &Rank::ALL[..3] {
                assert!(check(act, *rank, true, object).is_err(), "{act} by {rank}");
            }
            assert_eq!(check(act, Rank::Operator, true, object), Ok(()));
        }
    }

    #[test]
    fn a_higher_rank_may_do_what_a_lower_one_may() {
        for (act, object) in acts_and_objects() {
            let allowed = Rank::ALL.map(|rank| check(act, rank, false, object).is_ok());
            assert!(allowed.is_sorted(), "{act} on {object:?}: {allowed:?}");
            assert!(!allowed[0] && allowed[3], "{act}: not for users, and for the operator");
        }
    }
}
