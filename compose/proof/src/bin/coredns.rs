//! Stand-in for coredns of the published images.

fn main() {
    println!("stand-in: coredns");
}
