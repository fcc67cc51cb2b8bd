//! How a refusal is judged: an error that says what is wrong, the older program in its place, no
//! file left behind.

use super::machine::Machine;
use super::{Tools, machines};

/// A name, what is wrong, and what the error says.
pub(super) type Case = (&'static str, fn(&mut Machine), &'static str);

/// Installs once for each case; each must be refused.
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
