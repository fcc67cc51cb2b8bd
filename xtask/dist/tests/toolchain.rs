//! A release uses the compiler of the released tree, regardless of the directory and toolchain that the verb was
//! started with.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use xtask_testkit::Tree;

const DIST: &str = env!("CARGO_BIN_EXE_xtask-dist");
/// rustup's proxies: the variable wins, then the file in the directory.
const PROXY: &str = r#"#!/bin/sh
of_file=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml 2>/dev/null)
echo "NAME ${RUSTUP_TOOLCHAIN:-${of_file:-the default}}" >>'SEEN'
"#;

fn proxy(dir: &Path, name: &str, then: &str) {
    let seen = dir.join("seen").display().to_string();
    let text = PROXY.replace("NAME", name).replace("SEEN", &seen) + then;
    fs::write(dir.join(name), text).expect("a script");
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn the_released_tree_selects_the_compiler() {
    let (tree, elsewhere) = (Tree::data(), Tree::data());
    tree.write("rust-toolchain.toml", "[toolchain]\nchannel = \"1.2.3\"\n");
    let bin = elsewhere.root();
    proxy(
        bin,
        "rustc",
        "case $* in\n-vV) echo 'host: x86_64-unknown-linux-gnu\ncommit-hash: 0' ;;\n*) echo / ;;\nesac\n",
    );
    proxy(bin, "cargo", "exit 1\n");
    let path = std::env::var("PATH").expect("a PATH");
    let path = format!("{}:{path}", bin.display());
    let root = tree.root().to_str().expect("a path in UTF-8");
    let env = [
        ("PATH", path.as_str()),
        ("RUSTUP_TOOLCHAIN", "that-of-who-started-us"),
        ("CARGO", "/toolchain/of/who/started/us/cargo"),
        ("RUSTC", "/toolchain/of/who/started/us/rustc"),
    ];
    let ran = elsewhere.run_with(DIST, &["images", "build", "--root", root], &env);
    // The fake cargo builds nothing.
    assert_eq!(ran.code, 5, "{}", ran.seen());
    let seen = elsewhere.read("seen");
    let mut seen: Vec<&str> = seen.lines().collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["cargo 1.2.3", "rustc 1.2.3"], "{}", ran.seen());
}
