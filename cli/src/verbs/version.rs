//! `polis version`.

use polis_base::Digest;
use serde_json::json;

use crate::embedded;
use crate::output::Done;

/// The version, and the digests of what the program carries.
pub(crate) fn run() -> Done {
    let user_data = Digest::of(&embedded::user_data().bytes).to_string();
    let bundle = Digest::of(&embedded::bundle().bytes).to_string();
    let text = format!(
        "polis {}\ncloud-init {user_data}\nbundle {bundle}\n",
        embedded::LABEL
    );
    Done::new(text, json!({"cloud_init": user_data, "bundle": bundle}))
}
