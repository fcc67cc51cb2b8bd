//! Releases of a ready tree by the real program: from every state that a crash, a colleague or GitHub can leave,
//! interrupted at every request, and beside another release.

mod broken_off;
mod fixture;
mod judged;
mod race;
mod refused;
mod release_env;
mod states;
