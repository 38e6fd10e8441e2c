//! `/help`: the commands there are, or what one of them does.

use std::borrow::Cow;

use crate::endpoint::without_own_name;
use crate::message::MessageRef;

use super::super::Call;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/help",
    help: "Lists the commands; with the name of one as the message, says what it does.",
    run,
};

/// `{"from":…,"to":"/help","msg":""}` lists; `msg` counts only if it names an endpoint, because
/// existing clients send anything there (A13).
fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let msg = message.msg.to_str();
    let topic = without_own_name(&msg, COMMAND.name);
    let name =
        if topic.starts_with('/') { Cow::Borrowed(topic) } else { format!("/{topic}").into() };
    let endpoints = &call.hub.endpoints;
    if let Some(endpoint) = endpoints.get(&name) {
        return call.answer(&format!("{}: {}", endpoint.name, endpoint.help));
    }
    let count = endpoints.iter().count();
    call.answer_list("Commands: ", endpoints.iter().map(|endpoint| &*endpoint.name), count);
}
