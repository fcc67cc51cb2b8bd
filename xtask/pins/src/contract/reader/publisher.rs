//! The facts about an image's publisher: the list of digests, and the signer.

use super::Reader;
use crate::contract::{DigestList, Signature, Signer};
use crate::yaml::{Node, Value};

impl Reader<'_> {
    pub(super) fn digest_list(&mut self, node: &Node) -> Option<DigestList> {
        self.keys(node, &["repository", "asset"]);
        let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
        let (repository, asset) = (text("repository"), text("asset"));
        let owner_and_name = repository.split_once('/');
        let right = owner_and_name.is_some_and(|(owner, name)| is_plain(owner) && is_plain(name));
        let list = (right && is_plain(asset)).then(|| DigestList {
            repository: repository.to_owned(),
            asset: asset.to_owned(),
        });
        let what = "`repository`, as in `owner/name`, and `asset`, a file of its releases";
        self.expect(list, node, what)
    }

    pub(super) fn signature(&mut self, node: &Node) -> Option<Signature> {
        self.keys(node, &["identity", "issuer", "key", "logged", "cosign"]);
        let cosign = match node.get("cosign") {
            None => None,
            Some(found) => {
                let major = match found.value {
                    Value::Int(major) => u32::try_from(major).ok(),
                    _ => None,
                };
                let what = "the oldest major version of cosign that finds the signature";
                Some(self.expect(major, found, what)?)
            }
        };
        let what = "either `identity`, a regular expression from `^` to `$`, with `issuer`, an \
                    https URL; or `key`, a file of the tree, with `logged: false` where the \
                    signature is in no transparency log";
        let signer = self.expect(signer(node), node, what)?;
        Some(Signature { signer, cosign })
    }
}

fn signer(node: &Node) -> Option<Signer> {
    let text = |key: &str| node.get(key).and_then(Node::text);
    let logged = node.get("logged").map(|node| &node.value);
    match (text("identity"), text("issuer"), text("key"), logged) {
        (Some(identity), Some(issuer), None, None) => {
            // Without the anchors, it would match part of another identity.
            let whole = identity.starts_with('^') && identity.ends_with('$') && identity.len() > 2;
            let right = whole && issuer.starts_with("https://") && is_one_word(issuer);
            right.then(|| Signer::Keyless {
                identity: identity.to_owned(),
                issuer: issuer.to_owned(),
            })
        }
        (None, None, Some(path), None | Some(Value::Bool(_))) => {
            let inside = is_one_word(path) && path.split('/').all(is_plain);
            inside.then(|| Signer::Key {
                path: path.to_owned(),
                logged: !matches!(logged, Some(Value::Bool(false))),
            })
        }
        _ => None,
    }
}

/// Whether `text` can be a segment of a path and of a URL.
fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !matches!(text, "" | "." | "..") && text.chars().all(plain)
}

fn is_one_word(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace() || c.is_control())
}
