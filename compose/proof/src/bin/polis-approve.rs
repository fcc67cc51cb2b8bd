//! Stand-in for polis-approve of the published images.

fn main() {
    println!("stand-in: polis-approve");
}
