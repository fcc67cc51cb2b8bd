//! Requests for the repository itself: its description, git tags, the immutable-releases setting, attestations.

use std::collections::BTreeMap;

use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::call::{Call, json};
use super::disk;
use super::refusal::Refusal;
use super::settings::Probe;
use super::site::{Site, TIME};
use super::state::StoredRelease;
use crate::query;

/// From this API version on, GitHub returns the URL of a bundle instead of the bundle.
const WITHOUT_BUNDLES: &str = "2026-03-10";

impl Call<'_> {
    pub(super) fn repository(&self, path: &[&str]) -> Result<Response, Refusal> {
        if !self.is_get() {
            return Err(Refusal::not_found());
        }
        match path {
            [] => {
                let mut repository = self.site.repository();
                if self.trusted {
                    repository["permissions"] = self.site.permissions(self.pushes);
                }
                Ok(json(StatusCode::OK, &repository))
            }
            ["tags"] => {
                let repository = format!("{}/{}", self.shared.owner, self.shared.repo);
                let tags = self.site.tag_list(&self.state().tags, &repository)?;
                self.page(tags)
            }
            ["immutable-releases"] => self.immutable_releases(),
            ["attestations", subject] => self.attestations(subject),
            _ => Err(Refusal::not_found()),
        }
    }

    /// The git objects of any repository.
    pub(super) fn git(&self, repository: &str, path: &[&str]) -> Result<Response, Refusal> {
        let state = self.state();
        let answer = match path {
            ["ref", "tags", tag @ ..] => {
                self.site.tag_ref(&state.tags, repository, &tag.join("/"))?
            }
            ["tags", sha] => self.site.tag_object(&state.tags, repository, sha)?,
            _ => return Err(Refusal::not_found()),
        };
        Ok(json(StatusCode::OK, &answer))
    }

    /// The releases of another repository. Tests write them to `elsewhere.json`: by `OWNER/NAME` a list of
    /// `[TAG, TIME]`, newest first.
    pub(super) fn elsewhere(&self, owner: &str, repo: &str) -> Result<Response, Refusal> {
        let known: BTreeMap<String, Vec<(String, String)>> =
            disk::read(&self.shared.root.join("elsewhere.json"))?;
        let found = known.get(&format!("{owner}/{repo}"));
        let site = Site {
            owner: owner.to_owned(),
            repo: repo.to_owned(),
            ..self.site.clone()
        };
        let release = |(number, (tag, time)): (usize, &(String, String))| {
            let mut release = site.release(&StoredRelease {
                id: number as u64 + 1,
                tag_name: tag.clone(),
                target_commitish: "main".to_owned(),
                ..StoredRelease::default()
            });
            release["published_at"] = time.as_str().into();
            release
        };
        let list = found.ok_or(Refusal::not_found())?.iter().enumerate();
        self.page(list.map(release).collect())
    }

    fn immutable_releases(&self) -> Result<Response, Refusal> {
        let settings = self.state().settings.clone();
        match settings.probe {
            _ if !self.trusted => Err(Refusal::requires_authentication()),
            Probe::Forbidden => Err(Refusal::forbidden()),
            Probe::Missing => Err(Refusal::not_found()),
            Probe::Told => {
                let answer = json!({"enabled": settings.immutable, "enforced_by_owner": false});
                Ok(json(StatusCode::OK, &answer))
            }
        }
    }

    /// The attestations of the release whose tag names the object `subject` (`sha1:HEX`).
    fn attestations(&self, subject: &str) -> Result<Response, Refusal> {
        let mut state = self.state();
        let asked = query(&self.parts.uri, "predicate_type");
        let sha = subject.strip_prefix("sha1:").unwrap_or_default();
        let about_releases = asked.as_deref().is_none_or(|asked| asked == "release");
        let late = about_releases && state.settings.attestation_lag > 0;
        if late {
            state.settings.attestation_lag -= 1;
        }
        let found: Vec<Value> = match about_releases && !late {
            false => Vec::new(),
            true => {
                let version = self.header(HeaderName::from_static("x-github-api-version"));
                let bundled = version.is_none_or(|version| version < WITHOUT_BUNDLES);
                let releases = state.attested(sha)?;
                let attestation = |release| self.site.attestation(release, sha, bundled);
                releases.into_iter().map(attestation).collect()
            }
        };
        if found.is_empty() && !state.settings.empty_list {
            return Err(Refusal::not_found());
        }
        Ok(json(StatusCode::OK, &json!({"attestations": found})))
    }

    /// The bundle at the URL in the list of attestations.
    pub(super) fn stored_attestation(&self, sha: &str) -> Result<Response, Refusal> {
        let state = self.state();
        let releases = state.attested(sha)?;
        let release = releases.first().ok_or(Refusal::not_found())?;
        Ok(json(StatusCode::OK, &self.site.bundle(release, sha)))
    }
}

/// The fields of a repository that are API URLs, with their path after that of the repository.
const ADDRESSES: [(&str, &str); 37] = [
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    (
        "notifications_url",
        "/notifications{?since,all,participating}",
    ),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
    ("url", ""),
];

impl Site {
    /// The repository, with every field that GitHub's description requires.
    pub(super) fn repository(&self) -> Value {
        let Self {
            url, owner, repo, ..
        } = self;
        let full = format!("{owner}/{repo}");
        let api = format!("{url}/repos/{full}");
        let host = url.strip_prefix("http://").unwrap_or(url);
        let addresses = ADDRESSES
            .iter()
            .map(|(name, tail)| ((*name).to_owned(), format!("{api}{tail}").into()));
        let rest = json!({
            "id": 1,
            "node_id": "R_1",
            "name": repo,
            "full_name": full,
            "owner": self.user(),
            "private": false,
            "visibility": "public",
            "html_url": format!("{url}/{full}"),
            "description": null,
            "fork": false,
            "clone_url": format!("{url}/{full}.git"),
            "git_url": format!("git://{host}/{full}.git"),
            "ssh_url": format!("git@{host}:{full}.git"),
            "svn_url": format!("{url}/{full}"),
            "mirror_url": null,
            "homepage": null,
            "language": "Rust",
            "license": null,
            "default_branch": "main",
            "forks": 0,
            "forks_count": 0,
            "stargazers_count": 0,
            "watchers": 0,
            "watchers_count": 0,
            "open_issues": 0,
            "open_issues_count": 0,
            "network_count": 0,
            "subscribers_count": 0,
            "size": 0,
            "has_downloads": true,
            "has_issues": true,
            "has_projects": false,
            "has_wiki": false,
            "has_pages": false,
            "has_discussions": false,
            "archived": false,
            "disabled": false,
            "pushed_at": TIME,
            "created_at": TIME,
            "updated_at": TIME,
        });
        let mut fields: Map<String, Value> = addresses.collect();
        if let Value::Object(rest) = rest {
            fields.extend(rest);
        }
        Value::Object(fields)
    }

    fn permissions(&self, push: bool) -> Value {
        json!({"admin": false, "maintain": false, "push": push, "triage": push, "pull": true})
    }

    fn attestation(&self, release: &StoredRelease, sha: &str, bundled: bool) -> Value {
        let mut attestation = json!({
            "repository_id": 1,
            "bundle_url": format!("{}/storage/attestations/{sha}", self.url),
            "initiator": "github",
        });
        if bundled {
            attestation["bundle"] = self.bundle(release, sha);
        }
        attestation
    }

    /// A bundle with the statement that GitHub makes about a release, but unsigned.
    fn bundle(&self, release: &StoredRelease, sha: &str) -> Value {
        let tag = &release.tag_name;
        let package = format!("pkg:github/{}/{}@{tag}", self.owner, self.repo);
        let assets = release.assets.iter().filter_map(|asset| {
            let hash = asset.digest.as_ref()?.strip_prefix("sha256:")?;
            Some(json!({"name": asset.name, "digest": {"sha256": hash}}))
        });
        let tag_itself = json!({"uri": package, "digest": {"sha1": sha}});
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": std::iter::once(tag_itself).chain(assets).collect::<Vec<_>>(),
            "predicateType": "https://in-toto.io/attestation/release/v0.2",
            "predicate": {"purl": package, "tag": tag, "repository": format!("{}/{}", self.owner, self.repo)},
        });
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {},
            "dsseEnvelope": {
                "payload": STANDARD.encode(statement.to_string()),
                "payloadType": "application/vnd.in-toto+json",
                "signatures": [],
            },
        })
    }
}
