//! Stand-in for polis-approve of the published toolbox image: prints its name, and approves nothing.

fn main() {
    println!("stand-in: polis-approve");
    if std::env::args().nth(1).as_deref() != Some("--version") {
        eprintln!("stand-in: polis-approve approves nothing");
        std::process::exit(1);
    }
}
