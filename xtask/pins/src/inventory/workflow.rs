//! Pins of workflows and of this repository's actions: actions by commit, and images.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use super::collect::Collector;
use super::lock::Lock;
use super::model::{Action, Commit, CommitError, Dependency, Field, Occurrence};
use super::scripts;
use crate::compose::{from_root, reference_in};
use crate::edit::Location;
use crate::yaml::{self, Node};
use xtask_host::source::Source;

/// Collects the pins of a workflow, or of an `action.yml`.
pub(super) fn extract(
    source: &Source,
    dockerfiles: &HashSet<&str>,
    lock: &mut Lock,
    into: &mut Collector,
) {
    let root = match yaml::parse(source) {
        Ok(root) => root,
        Err(finding) => return into.findings.push(*finding),
    };
    let mut reader = Reader {
        source,
        into,
        lock,
        used: BTreeSet::new(),
    };
    for (name, job) in root.get("jobs").map_or(&[][..], Node::entries) {
        let by = format!("job {}", name.text().unwrap_or_default());
        if let Some(workflow) = job.get("uses") {
            reader.uses(workflow, &by, false);
        }
        if let Some(container) = job.get("container") {
            reader.container(container, &by);
        }
        for (_, service) in job.get("services").map_or(&[][..], Node::entries) {
            reader.container(service, &by);
        }
        reader.steps(job, &by);
    }
    if let Some(runs) = root.get("runs") {
        reader.steps(runs, "action");
        if let Some(image) = runs.get("image") {
            reader.image_of_action(image, dockerfiles);
        }
    }
    let Reader { used, .. } = reader;
    lock.compare(&source.path, &used, into);
}

struct Reader<'a> {
    source: &'a Source,
    into: &'a mut Collector,
    lock: &'a Lock,
    /// The actions of steps, by their names in the lock file.
    used: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    fn steps(&mut self, job: &Node, by: &str) {
        for step in job.get("steps").map_or(&[][..], Node::items) {
            if let Some(uses) = step.get("uses") {
                self.uses(uses, by, true);
            }
            if let Some(run) = step.get("run") {
                let script = yaml::mapped(self.source, run);
                scripts::step(self.source, &script, by, self.into);
            }
        }
    }

    /// An image with `docker://`, or a Dockerfile beside the action, which has its own reader.
    fn image_of_action(&mut self, image: &Node, dockerfiles: &HashSet<&str>) {
        let text = image.text().unwrap_or_default();
        if text.starts_with("docker://") || text.is_empty() {
            return self.uses(image, "action", false);
        }
        let dir = self.source.path.rsplit_once('/').map_or("", |(dir, _)| dir);
        let path = from_root(dir, text);
        if !dockerfiles.contains(path.as_str()) {
            let at = self.into.at(self.source, image.span.clone());
            let message = format!(
                "the Dockerfile `{path}` of this action does not exist, or its name is not recognized"
            );
            self.into.error("dockerfile", &at, message);
        }
    }

    fn container(&mut self, node: &Node, by: &str) {
        let image = node.get("image").unwrap_or(node);
        match yaml::text_span(self.source, image) {
            Some(span) => self.image(span, by),
            None => self.unreadable(image, by),
        }
    }

    fn image(&mut self, span: Range<usize>, by: &str) {
        let inner = reference_in(&self.source.text[span.clone()]);
        let span = span.start + inner.start..span.start + inner.end;
        self.into.image(self.source, span, by);
    }

    fn unreadable(&mut self, node: &Node, by: &str) {
        let at = self.into.at(self.source, node.span.clone());
        let message = format!("`uses` of {by} is not contiguous plain text");
        self.into.error("action-reference", &at, message);
    }

    /// A `uses:` value of a step or a job.
    fn uses(&mut self, node: &Node, by: &str, step: bool) {
        let Some(span) = yaml::text_span(self.source, node) else {
            return self.unreadable(node, by);
        };
        let text = &self.source.text[span.clone()];
        if let Some(image) = text.strip_prefix("docker://") {
            self.image(span.end - image.len()..span.end, by);
        } else if is_local(text) {
            // This repository at this commit needs no pin.
        } else {
            self.action(span, by, step);
        }
    }

    fn action(&mut self, span: Range<usize>, by: &str, step: bool) {
        let text = &self.source.text[span.clone()];
        let (path, reference) = text.split_once('@').unwrap_or((text, ""));
        let repository: Vec<&str> = path.splitn(3, '/').take(2).collect();
        let at = self.into.at(self.source, span.clone());
        if repository.len() < 2 || repository.iter().any(|part| !is_name(part)) {
            let message = format!(
                "invalid action `{text}`: expected `owner/name@commit`, or `$/path` in this repository"
            );
            return self.into.error("action-reference", &at, message);
        }
        let at = self
            .into
            .at(self.source, span.end - reference.len()..span.end);
        let tag = self.tag(span.end);
        let name = tag.as_ref().map(|(tag, _)| (*tag).to_owned());
        if step {
            let locked = format!("{}@{reference}", repository.join("/"));
            let entry = self.lock.entry(&self.source.path, &locked).cloned();
            self.used.insert(locked);
            // The commit is in the lock file, and its tag here.
            if let (Some(entry), Err(CommitError::Name)) = (entry, reference.parse::<Commit>()) {
                let dependency = Dependency::Action(Action {
                    repository: repository.join("/"),
                    reference: entry.commit,
                    tag: Some(reference.to_owned()),
                });
                let occurrences =
                    [(Field::Commit, entry.at), (Field::Tag, at)].map(|(field, at)| Occurrence {
                        field,
                        by: by.to_owned(),
                        at,
                    });
                return self.into.pin(dependency, occurrences);
            }
        }
        let mut occurrences = vec![(Field::Commit, at)];
        occurrences.extend(tag.map(|(_, at)| (Field::Tag, at)));
        let occurrences = occurrences.into_iter().map(|(field, at)| Occurrence {
            field,
            by: by.to_owned(),
            at,
        });
        let dependency = Dependency::Action(Action {
            repository: repository.join("/"),
            reference: reference.to_owned(),
            tag: name,
        });
        self.into.pin(dependency, occurrences);
    }

    /// The first word of the comment on the same line.
    fn tag(&mut self, after: usize) -> Option<(&'a str, Location)> {
        let line = self.source.text[after..].lines().next().unwrap_or("");
        let sign = line.find(" #")?;
        let comment = &line[sign + 2..];
        let tag = comment.split_whitespace().next()?;
        let start = after + sign + 2 + comment.find(tag).unwrap_or(0);
        Some((tag, self.into.at(self.source, start..start + tag.len())))
    }
}

/// Whether `text` is a path in this repository: `./` in the checkout, `$/` at the commit that runs. Paths with `..` or
/// a version are not.
fn is_local(text: &str) -> bool {
    let path = text.strip_prefix("$/").or(text.strip_prefix("./"));
    path.is_some_and(|path| path.split('/').all(is_name))
}

/// Whether `text` can be the name of an owner, a repository or a file.
fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !matches!(text, "" | "." | "..") && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "de0fac2e4500dabe0009e67214ff5f5447ce83dd";

    fn extracted(text: &str) -> Collector {
        let source = Source {
            path: ".github/workflows/x.yml".to_owned(),
            text: text.to_owned(),
        };
        let mut collector = Collector::default();
        let dockerfiles = HashSet::from([".github/workflows/Dockerfile"]);
        extract(&source, &dockerfiles, &mut Lock::default(), &mut collector);
        collector
    }

    #[test]
    fn every_action_and_image_of_a_workflow_is_found() {
        let text = format!(
            "jobs:\n  a:\n    container: v.example/c:1\n    services: {{s: {{image: v.example/s:1}}}}\n    steps:\n      \
             - uses: ./local\n      - uses: $/local\n      - run: true\n      - uses: \"o/r@{COMMIT}\" # v1.2.3 why\n      \
             - uses: docker://v.example/d:1\n  b:\n    uses: o/r/.github/workflows/w.yml@{COMMIT} # v1.2.3\n  \
             c:\n    uses: $/.github/workflows/w.yml\n"
        );
        let found = extracted(&text);
        assert!(found.findings.is_empty(), "{:?}", found.findings);
        let pins: Vec<_> = found
            .pins
            .iter()
            .map(|pin| {
                let occurrences = pin
                    .occurrences
                    .iter()
                    .map(|found| &text[found.at.span.clone()]);
                format!("{} {:?}", pin.name(), occurrences.collect::<Vec<_>>())
            })
            .collect();
        let expected = [
            "v.example/c:1 [\"v.example/c:1\"]".to_owned(),
            "v.example/s:1 [\"v.example/s:1\"]".to_owned(),
            format!("o/r v1.2.3 [\"{COMMIT}\", \"v1.2.3\", \"{COMMIT}\", \"v1.2.3\"]"),
            "v.example/d:1 [\"v.example/d:1\"]".to_owned(),
        ];
        assert_eq!(pins, expected);
    }

    #[test]
    fn composite_and_docker_actions_are_read() {
        let text =
            format!("runs:\n  using: composite\n  steps:\n    - uses: o/r@{COMMIT} # v1.0\n");
        assert_eq!(extracted(&text).pins.len(), 1);
        let text = "runs:\n  using: docker\n  image: docker://v.example/d:1\n";
        assert_eq!(extracted(text).pins[0].name(), "v.example/d:1");
        assert!(
            extracted("runs:\n  using: docker\n  image: Dockerfile\n")
                .pins
                .is_empty()
        );
    }

    #[test]
    fn an_invalid_action_is_a_finding() {
        for (uses, rule) in [
            (&format!("r@{COMMIT} # v1.0.0"), "action-reference"),
            (&"docker://alpine:3".to_owned(), "image-reference"),
            (&"$/".to_owned(), "action-reference"),
            (&"./".to_owned(), "action-reference"),
            (&"$x/y".to_owned(), "action-reference"),
            (&"$/../other".to_owned(), "action-reference"),
            (&format!("$/x@{COMMIT}"), "action-reference"),
            (&"./x@v1".to_owned(), "action-reference"),
            (&"$/x//y".to_owned(), "action-reference"),
            (&"[x]".to_owned(), "action-reference"),
        ] {
            let text = format!("jobs:\n  a:\n    steps:\n      - uses: {uses}\n");
            let found = extracted(&text);
            let rules: Vec<_> = found.findings.iter().map(|finding| finding.rule).collect();
            assert_eq!(rules, [rule], "{uses}");
            assert_eq!(found.findings[0].place.as_ref().unwrap().line, 4);
        }
    }
}
