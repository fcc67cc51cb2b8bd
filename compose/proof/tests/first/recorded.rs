//! What `polis start` prints on a terminal, as README.md shows it.
