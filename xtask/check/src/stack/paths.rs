//! The files and directories that the compose file names must exist. For a missing mount, Docker would create an empty
//! directory; for others, Compose fails only at the start.

use xtask_host::finding::Finding;
use xtask_pins::compose::{Compose, from_root};
use xtask_pins::yaml::{Node, Value};

/// Directories that `generate-secrets.sh` creates in the VM.
const GENERATED: [&str; 2] = ["certs/", "secrets/"];

/// A finding for each missing relative path. `exists` takes paths from the root of the tree.
pub(super) fn check(compose: &Compose, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let path = &compose.source.path;
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let mut named = Named {
        dir,
        found: Vec::new(),
    };
    named.document(&compose.root);
    for (name, service) in compose.services() {
        named.service(
            &format!("service `{}`", name.text().unwrap_or_default()),
            service,
        );
    }
    let missing = named.found.into_iter().filter(|path| !exists(&path.full));
    missing
        .map(|path| {
            let place = compose.place(path.node.span.clone());
            let message = format!("`{}` does not exist, but {} names it", path.full, path.by);
            Finding::error("mount-missing", place, message)
        })
        .collect()
}

/// A relative path.
struct Path<'a> {
    node: &'a Node,
    by: String,
    /// From the root of the tree.
    full: String,
}

/// Collects the relative paths of a compose file in `dir`.
struct Named<'a> {
    dir: &'a str,
    found: Vec<Path<'a>>,
}

impl<'a> Named<'a> {
    fn document(&mut self, root: &'a Node) {
        for section in ["configs", "secrets"] {
            for (name, member) in root.get(section).map_or(&[][..], Node::entries) {
                let by = format!("`{}` of `{section}`", name.text().unwrap_or_default());
                self.path(&by, member.get("file"));
            }
        }
        for file in one_or_more(root.get("include")) {
            let by = "`include`";
            for key in ["path", "env_file"] {
                one_or_more(file.get(key)).for_each(|path| self.path(by, Some(path)));
            }
            self.path(by, file.get("project_directory"));
            self.path(by, file.text().map(|_| file));
        }
    }

    fn service(&mut self, by: &str, service: &'a Node) {
        for mount in one_or_more(service.get("volumes")) {
            self.mount(by, mount);
        }
        for file in one_or_more(service.get("env_file")) {
            let optional = file.get("required").map(|node| &node.value);
            if !matches!(optional, Some(Value::Bool(false))) {
                self.path(by, file.get("path").or(Some(file)));
            }
        }
        one_or_more(service.get("label_file")).for_each(|file| self.path(by, Some(file)));
        for option in one_or_more(service.get("security_opt")) {
            self.profile(by, option);
        }
        self.path(
            by,
            service
                .get("credential_spec")
                .and_then(|spec| spec.get("file")),
        );
        self.path(
            by,
            service.get("extends").and_then(|other| other.get("file")),
        );
        let watched = service
            .get("develop")
            .and_then(|develop| develop.get("watch"));
        one_or_more(watched).for_each(|watch| self.path(by, watch.get("path")));
        if let Some(build) = service.get("build") {
            self.build(by, build);
        }
    }

    /// In the short syntax, a source that does not begin with `.`, `/` or `~` is a volume.
    fn mount(&mut self, by: &str, mount: &'a Node) {
        if let Some((source, _)) = mount.text().and_then(|text| text.split_once(':')) {
            if source.starts_with('.') {
                self.text(by, mount, self.dir, source);
            }
        } else if mount.get("type").and_then(Node::text) == Some("bind") {
            self.path(by, mount.get("source"));
        }
    }

    fn profile(&mut self, by: &str, option: &'a Node) {
        let text = option.text().unwrap_or_default();
        let profile = text
            .strip_prefix("seccomp")
            .and_then(|rest| rest.strip_prefix(['=', ':']));
        if let Some(profile) =
            profile.filter(|profile| !["unconfined", "builtin"].contains(profile))
        {
            self.text(by, option, self.dir, profile);
        }
    }

    /// The contexts, and the Dockerfile in the main one.
    fn build(&mut self, by: &str, build: &'a Node) {
        let node = build.get("context").unwrap_or(build);
        let context = node.text().unwrap_or(".");
        if is_local(context) {
            self.text(by, node, self.dir, context);
            if build.get("dockerfile_inline").is_none() && is_relative(context) {
                let node = build.get("dockerfile").unwrap_or(node);
                let dockerfile = build.get("dockerfile").and_then(Node::text);
                let context = from_root(self.dir, context);
                self.text(by, node, &context, dockerfile.unwrap_or("Dockerfile"));
            }
        }
        let more = build.get("additional_contexts");
        for (_, context) in more.map_or(&[][..], Node::entries) {
            self.context(by, context, context.text());
        }
        for context in more.map_or(&[][..], Node::items) {
            let text = context.text().and_then(|text| text.split_once('='));
            self.context(by, context, text.map(|(_, context)| context));
        }
    }

    fn context(&mut self, by: &str, node: &'a Node, text: Option<&str>) {
        if let Some(text) = text.filter(|text| is_local(text)) {
            self.text(by, node, self.dir, text);
        }
    }

    fn path(&mut self, by: &str, node: Option<&'a Node>) {
        if let Some((node, text)) = node.and_then(|node| Some((node, node.text()?))) {
            self.text(by, node, self.dir, text);
        }
    }

    fn text(&mut self, by: &str, node: &'a Node, dir: &str, text: &str) {
        let full = from_root(dir, text);
        let here = full
            .strip_prefix(&format!("{}/", self.dir))
            .unwrap_or_default();
        let is_made = GENERATED.iter().any(|dir| here.starts_with(dir));
        if is_relative(text) && !is_made {
            let by = by.to_owned();
            self.found.push(Path { node, by, full });
        }
    }
}

/// Whether a path is relative to the compose file. A path with a variable may not be.
fn is_relative(path: &str) -> bool {
    !path.starts_with(['/', '~']) && !path.contains('$')
}

/// Whether a build context is a directory: not a repository, an image or another service.
fn is_local(context: &str) -> bool {
    let elsewhere = ["git@", "github.com/", "service:", "target:"];
    !context.contains("://") && !elsewhere.iter().any(|start| context.starts_with(start))
}

/// The items of a list, or a single value.
fn one_or_more(node: Option<&Node>) -> impl Iterator<Item = &Node> {
    let items = node.map_or(&[][..], Node::items);
    let one = node.filter(|node| !matches!(node.value, Value::Seq(_) | Value::Null));
    items.iter().chain(one)
}
