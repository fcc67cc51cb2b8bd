//! Checks a refusal: an error that explains the problem, the older program still installed, no file left behind.

use super::machine::Machine;
use super::{Tools, machines};

/// A name, a change to the machine, and part of the expected error.
pub(super) type Case = (&'static str, fn(&mut Machine), &'static str);

/// Installs once for each case, which must be refused.
pub(super) fn all_refused(tools: Tools, cases: &[Case]) {
    for (name, spoil, message) in cases {
        for mut machine in machines(&[tools]) {
            spoil(&mut machine);
            let output = machine.install();
            let seen = machine.seen(&output);
            assert_eq!(output.status.code(), Some(1), "{name}: {seen}");
            assert!(
                seen.contains("error: ") && seen.contains(message),
                "{name}: {seen}"
            );
            assert!(
                seen.ends_with("note: nothing was installed or changed\n"),
                "{name}: {seen}"
            );
            machine.assert_unchanged(name);
        }
    }
}
