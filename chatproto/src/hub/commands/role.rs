//! `/role`: makes somebody a moderator.

use crate::endpoint::Arguments;
use crate::message::MessageRef;

use super::super::Act;
use super::super::route::text_of;
use super::super::{Call, Role};
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/role",
    arguments: "NAME user|moderator|admin",
    help: "Gives a user a role, until the connection ends.",
    role: Role::Admin,
    run,
};

fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let text = text_of(message, COMMAND.name);
    let mut arguments = Arguments::new(&text);
    let (Some(name), Some(role), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return call.answer_usage(&COMMAND);
    };
    let Some(role) = Role::ALL.into_iter().find(|known| known.to_string() == role) else {
        return call.answer_usage(&COMMAND);
    };
    let Some((user, name)) = call.find_target(name) else { return };
    if let Some(session) = call.hub.users.get_mut(user) {
        session.extras_mut().role = role;
    }
    call.report(Act::Role(role), name.as_str().to_owned(), None, "");
    if user != call.conn {
        let by = call.user_name();
        call.hub.tell(user, &format!("You are {} now: {by} made you one.", role.one()), call.now, call.out);
    }
    call.answer(&format!("{name} is {} now.", role.one()));
}
