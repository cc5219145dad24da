//! The program `switchboard`. All that it is stands beside this file, in a library that is built for size (`../program/Cargo.toml`).

use std::process::ExitCode;

fn main() -> ExitCode {
    switchboard_program::main()
}
