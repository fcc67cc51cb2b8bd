//! For tests only: a fake Multipass, and a harness to run `polis` against it.
//!
//! It replaces the program, not a trait: `polis` starts a real process with a real command line, reads its exit code, standard
//! output and standard error, and can be killed at any moment. The state behind that program is a directory (see [`store`]), so
//! several processes share it. Its guest is a directory too, in which commands really run.
//!
//! ```no_run
//! use fake_multipass::{Effect, Fault, Sandbox};
//!
//! let sandbox = Sandbox::of("target/debug/polis");
//! sandbox.fault(Fault::of("launch", Effect::KillAfter));
//! assert_eq!(sandbox.polis(&["start"]).signal, Some(9));
//! assert_eq!(sandbox.polis(&["start"]).code, Some(0));
//! assert_eq!(sandbox.calls_of("launch").len(), 1);
//! assert_eq!(sandbox.refused(), [""; 0]);
//! ```
//!
//! Its answers are checked against the rows of `conformance/rows.txt`, which anyone can run against a real Multipass.
//!
//! Only for Unix: the guest's commands need bash, and a test kills `polis` with a signal.

mod call;
pub mod commands;
mod environment;
pub mod fault;
pub mod grammar;
pub mod guest;
mod harness;
mod machine;
mod process;
pub mod record;
pub mod store;
pub mod tools;
mod yaml;

pub use fault::{Effect, Fault};
pub use harness::{Ran, Running, Sandbox, exes};
pub use record::Call;
pub use store::state::{Access, Fate, Instance, Power, Pull, Service, State};
