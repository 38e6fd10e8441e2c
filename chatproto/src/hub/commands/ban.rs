//! `/ban`: shuts a user or an address out.

use crate::endpoint::Arguments;
use crate::message::MessageRef;
use crate::name::UserName;

use super::super::answer::{clipped, shortened};
use super::super::moderation::{REASON, duration_and_reason, for_so_long};
use super::super::route::text_of;
use super::super::sanctions::{Ban, Maker, Target, Until};
use super::super::users::Session;
use super::super::{Act, Call, ConnId, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/ban",
    arguments: "NAME|ADDRESS [DURATION] [REASON]",
    help: "Bans a name and its look-alikes, or an address or network such as 192.0.2.0/24, for a duration such as 30min, 2h or 7d, or until /unban. Banned users are told the reason and closed.",
    role: Role::Moderator,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let mut arguments = Arguments::new(&text);
    let Some(shown) = arguments.next() else { return call.answer_usage(&COMMAND) };
    let (duration, reason) = duration_and_reason(arguments);
    let (target, now) = (Target::new(shown), call.now.monotonic);
    if let Target::Name(_) = target
        && let Err(error) = UserName::from_bytes(shown.as_bytes(), call.hub.longest_name)
    {
        return call.answer(&format!("❌ Not banned: {error}."));
    }
    let (own_role, own) = (call.session().role(), call.conn);
    let concerned = call.hub.concerned(&target);
    let is_subordinate = |(conn, session): (ConnId, &Session)| {
        conn != own && own_role.is_above(session.role())
    };
    if !call.hub.users.sessions(&concerned).all(is_subordinate) {
        return call.answer(&format!(
            "❌ Not banned: that would shut out yourself, or {}.",
            if own_role == Role::Admin { "another admin" } else { "somebody of your role or above" }
        ));
    }
    let ban = Ban {
        shown: shown.to_owned(),
        by: call.user().to_owned(),
        reason: clipped(reason, REASON).into_owned(),
        until: Until::after(duration, now),
    };
    let (name, total) = (call.user_name(), call.hub.limits.sanctions_total);
    let maker = Maker::Moderator { name: name.as_str(), total };
    if let Err(full) = call.hub.sanctions.add_ban(target, ban, maker, now) {
        return call.answer(&format!("❌ Not banned: {full}"));
    }
    // in full, so that the application can make the same ban again
    call.report(Act::Ban, shown.to_owned(), duration, reason);
    let what = format!("banned{}", for_so_long(duration));
    for victim in concerned {
        call.expel(victim, &what, reason);
    }
    call.answer(&format!("Banned {}{}.", shortened(shown), for_so_long(duration)));
}
