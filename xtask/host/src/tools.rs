//! Programs of others that judge our work: some are optional, and a check without one says so.

/// The variable that turns a missing tool from a skipped check into a failed one.
pub const REQUIRE: &str = "POLIS_REQUIRE_REAL_PARTS";

/// Whether `program` can be started by its name.
pub fn installed(program: &str) -> bool {
    which::which(program).is_ok()
}
