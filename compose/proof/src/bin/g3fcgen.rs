//! Stand-in for g3fcgen of the published images.

fn main() {
    println!("stand-in: g3fcgen");
}
