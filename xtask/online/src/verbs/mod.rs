//! One file per verb.

pub(crate) mod checksums;
pub(crate) mod drift;
pub(crate) mod images;
pub(crate) mod pin;
pub(crate) mod propose;
pub(crate) mod update;
pub(crate) mod verify_images;
pub(crate) mod verify_pins;
