//! The twins of the published images: each holds the programs of its contract and no others.
