//! For tests only: a stand-in for Multipass, and what a test needs to run `polis` against it.
//!
//! Fakes the program, not a trait: `polis` starts a real process with a real command line, reads its exit code, its
//! standard output and its standard error, and can be killed at any moment. The world behind that program is a directory
//! (see [`world`]), so several processes see the same one. Its guest is a directory too, in which commands really run.
//!
//! ```no_run
//! use fake_multipass::{Effect, Fault, World};
//!
//! let world = World::of("target/debug/polis");
//! world.fault(Fault::of("launch", Effect::KillAfter));
//! assert_eq!(world.polis(&["start"]).signal, Some(9));
//! assert_eq!(world.polis(&["start"]).code, Some(0));
//! assert_eq!(world.calls_of("launch").len(), 1);
//! assert_eq!(world.refused(), [""; 0]);
//! ```
//!
//! What it answers is held to the rows of `conformance/rows.txt`, which anybody can ask of a real Multipass.
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
pub mod tools;
pub mod world;
mod yaml;

pub use fault::{Effect, Fault};
pub use harness::{Ran, Running, World, exes};
pub use record::Call;
pub use world::state::{Access, Fate, Instance, Power, Pull, Service, State};
