//! Stand-in for g3proxy of the published images.

fn main() {
    println!("stand-in: g3proxy");
}
