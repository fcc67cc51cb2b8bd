//! Stand-in for polis-mcp-agent of the published images.

fn main() {
    println!("stand-in: polis-mcp-agent");
}
