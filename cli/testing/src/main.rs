//! The fake, under each of its names: `multipass` on the host; `docker`, `systemctl`, `sudo` and others in the guest.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let program = args.next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    let code = match name {
        "multipass" | "fake-multipass" => fake_multipass::commands::run(&args),
        tool => fake_multipass::tools::run(tool, &args),
    };
    code.unwrap_or_else(|error| {
        eprintln!("{name}: the fake itself failed: {error}");
        // Not an exit code of Multipass, nor a likely one of a guest command.
        ExitCode::from(70)
    })
}
