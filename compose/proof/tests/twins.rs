//! Builds the twins from the tree's contracts, and checks that each has exactly the programs of its contract.

use std::collections::BTreeSet;
use std::path::Path;

use cloud_init_proof::runner;
use polis_stack_proof::twins;
use xtask_pins::contract::{self, Contract};

#[test]
fn each_twin_has_exactly_the_programs_of_its_contract() {
    if let Some(missing) = missing() {
        return runner::skip(&missing);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target/proof");
    let twins = twins::build(&root, &target).unwrap();
    eprintln!(
        "twins: base {:.1} s, images {:.1} s",
        twins.base_took.as_secs_f32(),
        twins.took.as_secs_f32()
    );
    for contract in contract::load(&root).unwrap() {
        let twin = twins.get(contract.name()).unwrap();
        let found: BTreeSet<String> = twin.programs().unwrap().into_iter().collect();
        let known = |path: &String| {
            let is_companion = twins::companions(contract.name())
                .iter()
                .any(|(name, _)| path.rsplit('/').next() == Some(name));
            // `/sbin` is a link to `/usr/sbin`.
            let unmerged = path.strip_prefix("/usr").unwrap_or(path);
            [path, unmerged]
                .iter()
                .any(|path| contract.has_program(path) || contract.path(path).is_some())
                || is_companion
        };
        let others: Vec<&String> = found.iter().filter(|path| !known(path)).collect();
        assert!(others.is_empty(), "{}: {others:?}", twin.name);
        let missing = absent(&contract, &found);
        assert!(missing.is_empty(), "{}: {missing:?}", twin.name);
    }
}

/// The programs of the contract that are not on the `PATH`; the build checks those elsewhere.
fn absent<'a>(contract: &'a Contract, found: &BTreeSet<String>) -> Vec<&'a str> {
    let listed = contract.programs.iter().map(|fact| fact.value.as_str());
    listed
        .filter(|program| {
            let name = program.rsplit('/').next();
            let dir = program.rsplit_once('/').map_or("", |(dir, _)| dir);
            let on_path = !program.starts_with('/') || contract::SEARCHED.contains(&dir);
            on_path && !found.iter().any(|path| path.rsplit('/').next() == name)
        })
        .collect()
}

/// What this machine lacks for building twins.
fn missing() -> Option<String> {
    let programs = ["mmdebstrap", "skopeo", "cc", "openssl", "chroot"];
    let missing = programs
        .iter()
        .find(|program| !cloud_init_proof::run::on_path(program))?;
    Some(format!("{missing} is not installed"))
}
