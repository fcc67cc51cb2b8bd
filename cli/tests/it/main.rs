//! The real `polis`, run as users run it: alone, and against a stand-in for Multipass.

mod alone;
mod commands;
mod faults;
mod killed;
mod looking;
mod start;
mod support;
mod tidy;
