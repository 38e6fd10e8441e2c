//! The attacks, in the order in which they are tried.

mod commands;
mod connections;
mod frames;
mod readers;

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
];
