//! Releases of a tree that is ready, by the real program: into every state that a crash, a colleague
//! or GitHub can leave, broken off at every request, and beside another release.

mod broken_off;
mod fixture;
mod judged;
mod race;
mod refused;
mod release_env;
mod states;
