//! The attacks, in the order in which they are tried.

mod commands;
mod connections;
mod costs;
mod frames;
mod readers;
mod websocket;

use super::stage::Attack;

pub(crate) static ALL: &[Attack] = &[
    connections::SILENT,
    frames::HALF_FRAMES,
    frames::GIANT_FRAME,
    connections::CONNECT_ABORT,
    readers::STALLED_READERS,
    commands::FLOOD,
    readers::UNREAD_ANSWERS,
    connections::DESCRIPTORS,
    readers::VANISHED,
    commands::RACES,
    costs::LISTS,
    costs::UNREAD_LISTS,
    costs::LONG_TEXTS,
    costs::UNREAD_PAGES,
    costs::PAGES_LEFT,
    costs::LONG_HALVES,
    costs::UNREAD_ENDS,
    websocket::SILENT,
    websocket::HALF_FRAMES,
    websocket::STALLED,
    websocket::RESETS,
];
