//! `/help`: the commands there are, or what one of them does.

use crate::message::MessageRef;

use super::super::arguments::text_of;
use super::super::hub::Call;
use super::super::Role;
use super::Command;

pub(super) const COMMAND: Command = Command {
    name: "/help",
    arguments: "[COMMAND]",
    help: "Lists the commands, or explains one of them.",
    role: Role::User,
    run,
};

/// `{"from":…,"to":"/help","msg":""}` lists; `msg` counts only if it names an endpoint, because
/// existing clients send anything there (A13).
fn run(call: &mut Call<'_>, message: &MessageRef<'_>) {
    let topic = text_of(message, COMMAND.name);
    let name = if topic.starts_with('/') { topic } else { format!("/{topic}").into() };
    let endpoints = &call.hub.endpoints;
    if let Some(endpoint) = endpoints.get(&name) {
        let text = format!("{}: {}", endpoint.usage, endpoint.help);
        return call.answer(&text);
    }
    let count = endpoints.iter().count();
    let names = endpoints.iter().map(|endpoint| &*endpoint.name);
    let parts = call.layout().list("Commands: ", names, count);
    call.answer_parts(parts);
}
