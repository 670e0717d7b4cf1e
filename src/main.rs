//! The program: a command line around the library.

fn main() -> std::process::ExitCode {
    vidgate::cli::main()
}
