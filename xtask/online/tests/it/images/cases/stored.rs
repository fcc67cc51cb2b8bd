//! Corrupt images, and faulty servers.

use super::*;

/// Corrupt images, and faulty servers.
pub(crate) fn bytes() -> Vec<Case> {
    vec![
        corrupt_images(
            "lost-index",
            After::Lose(|pushed| pushed.root),
            "missing manifest",
            "not found",
        ),
        corrupt_images(
            "lost-manifest",
            After::Lose(|pushed| pushed.manifest),
            "missing manifest",
            "not found",
        ),
        corrupt_images(
            "lost-config",
            After::Lose(|pushed| pushed.config),
            "missing blob",
            "configuration sha256:",
        ),
        corrupt_images(
            "lost-layer",
            After::Lose(LAYER),
            "missing blob",
            "layer sha256:",
        ),
        corrupt_images(
            "flipped",
            After::Flip(LAYER),
            "wrong digest",
            "the content has digest sha256:",
        ),
        corrupt_images(
            "flipped-config",
            After::Flip(|pushed| pushed.config),
            "wrong digest",
            "expected sha256:",
        ),
        corrupt_images(
            "short",
            After::Shorten(LAYER),
            "wrong size",
            "bytes, the manifest says ",
        ),
        corrupt_images(
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
        corrupt_images(
            "down",
            After::Answer(Fault::Status(503)),
            "unreachable",
            "status 503",
        ),
        corrupt_images(
            "busy",
            After::Answer(Fault::Busy(429, "9999")),
            "rate limited",
            "too many requests",
        ),
        corrupt_images(
            "closed",
            After::Answer(Fault::Status(401)),
            "not authorised",
            "access denied",
        ),
        corrupt_images(
            "denied",
            After::Answer(Fault::Status(403)),
            "not authorised",
            "access denied",
        ),
    ]
}
