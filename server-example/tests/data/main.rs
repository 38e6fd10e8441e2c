//! The data of a server: accounts, history, and the commands that read and write them. Disks that are
//! full and servers that are killed are tested here too. The tests start the real program.

mod account;
#[path = "../common/mod.rs"]
mod common;
mod full_disk;
mod history;
mod kills;
mod logins;
#[path = "../common/small_disk.rs"]
mod small_disk;
mod targets;
mod trouble;
