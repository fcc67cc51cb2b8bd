//! What is wrong with the bytes of images, and with those who serve them.

use super::*;

/// What is wrong with the bytes of images, and with those who serve them.
pub(crate) fn bytes() -> Vec<Case> {
    vec![
        stored_badly(
            "lost-index",
            After::Lose(|pushed| pushed.root),
            "missing manifest",
            "not found",
        ),
        stored_badly(
            "lost-manifest",
            After::Lose(|pushed| pushed.manifest),
            "missing manifest",
            "not found",
        ),
        stored_badly(
            "lost-config",
            After::Lose(|pushed| pushed.config),
            "missing blob",
            "configuration sha256:",
        ),
        stored_badly(
            "lost-layer",
            After::Lose(LAYER),
            "missing blob",
            "layer sha256:",
        ),
        stored_badly(
            "flipped",
            After::Flip(LAYER),
            "wrong digest",
            "the content has digest sha256:",
        ),
        stored_badly(
            "flipped-config",
            After::Flip(|pushed| pushed.config),
            "wrong digest",
            "expected sha256:",
        ),
        stored_badly(
            "short",
            After::Shorten(LAYER),
            "wrong size",
            "bytes, the manifest says ",
        ),
        stored_badly(
            "long",
            After::Lengthen(LAYER),
            "wrong size",
            "bytes, the manifest says ",
        ),
        broken(
            "other-size",
            |image| {
                image.manifest = |manifest| manifest["config"]["size"] = json!(7);
            },
            "wrong size",
            "its descriptor says 7",
        ),
        broken(
            "other-content",
            |image| {
                let other = Digest::of(b"other").to_string();
                image.config["rootfs"] = json!({"type": "layers", "diff_ids": [other]});
            },
            "wrong digest",
            "layer 1 unpacks to sha256:",
        ),
        broken(
            "more-layers",
            |image| image.config["rootfs"] = json!({"diff_ids": []}),
            "unreadable",
            "the configuration names 0 layers, the manifest 1",
        ),
        broken(
            "no-layer",
            |image| image.layers[0].called = Some("application/octet-stream"),
            "unreadable",
            "`application/octet-stream` is not the media type of a layer",
        ),
        broken(
            "no-tar",
            |image| image.layers[0].bytes = Some(b"<html>".repeat(200)),
            "unreadable",
            "numeric field",
        ),
        broken(
            "torn-gzip",
            |image| {
                let whole = build::gzip(&[b'x'; 5000]);
                image.layers[0].bytes = Some(whole[..whole.len() - 9].to_vec());
                image.layers[0].packed = Packed::Plain;
            },
            "unreadable",
            "layer sha256:",
        ),
        broken(
            "leads-out",
            |image| {
                image.layers[0]
                    .entries
                    .push(("usr/../../etc/shadow", text("")))
            },
            "unreadable",
            "`usr/../../etc/shadow` contains `..`",
        ),
        broken(
            "linked-to-nothing",
            |image| {
                image.layers[0]
                    .entries
                    .push(("usr/bin/x", Entry::Link("usr/bin/y")))
            },
            "unreadable",
            "`usr/bin/x` is a hard link to `usr/bin/y`, which does not exist",
        ),
        stored_badly(
            "down",
            After::Answer(Fault::Status(503)),
            "unreachable",
            "status 503",
        ),
        stored_badly(
            "busy",
            After::Answer(Fault::Busy(429, "9999")),
            "rate limited",
            "too many requests",
        ),
        stored_badly(
            "closed",
            After::Answer(Fault::Status(401)),
            "not authorised",
            "access refused",
        ),
        stored_badly(
            "denied",
            After::Answer(Fault::Status(403)),
            "not authorised",
            "access refused",
        ),
    ]
}
