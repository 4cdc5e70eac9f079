//! The `ripcord` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ripcord::cli::main()
}
