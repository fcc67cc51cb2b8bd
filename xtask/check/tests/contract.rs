//! The contracts of the images, and what `check` makes of the compose file by them.

use xtask::{contract, source::Source, yaml};
use xtask_check::schema::Schema;
use xtask_testkit::repository;

/// The schema is what editors read; the strict reader is what decides. Both take the files of the tree.
#[test]
fn every_contract_is_as_the_schema_and_the_reader_say() {
    let root = repository();
    let schema = Source::read(&root, "schemas/image-contract.schema.json").expect("the schema");
    let schema = Schema::parse(&schema).expect("a schema");
    let contracts = contract::load(&root).unwrap_or_else(|error| panic!("{error}"));
    for contract in &contracts {
        let root = yaml::parse(&contract.source).expect("YAML");
        let findings = schema.check(&contract.source, &root);
        assert!(findings.is_empty(), "{}: {findings:#?}", contract.name());
    }
    assert!(!contracts.is_empty());
}
