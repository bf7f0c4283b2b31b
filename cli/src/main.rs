//! The `sealer` program: everything is in the library, so that vendors can wrap it.

use std::process::ExitCode;

fn main() -> ExitCode {
    sealer::main()
}
