//! The command line: `tse-route check`, `explain`, `simulate`, `import` and `schema`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tse_route_cli::main()
}
