//! Writes what fuzzing begins with into the folder that is named: a folder for each target, a file
//! for each input.

use std::path::PathBuf;

use chatproto_fuzz::{TARGETS, seeds};

fn main() -> std::io::Result<()> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: seeds FOLDER");
        std::process::exit(2);
    };
    for (target, _) in TARGETS {
        std::fs::create_dir_all(folder.join(target))?;
    }
    for (target, name, bytes) in seeds::all() {
        std::fs::write(folder.join(target).join(name), bytes)?;
    }
    Ok(())
}
