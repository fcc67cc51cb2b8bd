//! The software bill of materials of a program: CycloneDX 1.6, from `Cargo.lock` as cargo resolves
//! it for the targets of a release.
//!
//! Written by hand, because the crate cyclonedx-bom would add some twenty-five crates (XML, regular expressions, random
//! UUIDs) for one document with few fields. A test validates it by the official schema. It contains no time and no
//! random number, and the types below fix the order of fields, so the same commit gives the same bytes.

use polis_base::Digest;
use serde::Serialize;

use xtask_host::error::{Error, Result};
use xtask_host::workspace::Workspace;
use xtask_pins::versions;

use crate::crates::{self, Crate, Id};
use crate::licences;
use crate::name::ReleaseKind;

/// The targets that `polis-init` is built for.
const INIT_TARGETS: [&str; 2] = ["aarch64-unknown-linux-musl", "x86_64-unknown-linux-musl"];

/// The SBOM of `polis-init`, the program of our image.
///
/// # Errors
/// If cargo fails, or a crate names no licence.
pub fn sbom_of_init(workspace: &Workspace, kind: ReleaseKind) -> Result<Vec<u8>> {
    let targets = INIT_TARGETS.map(str::to_owned);
    of_program(workspace, "polis-init", kind, &targets)
}

/// The name of the asset with the SBOM of `program`.
pub fn sbom_name(program: &str, label: &str) -> String {
    format!("{program}-{label}.cdx.json")
}

/// The SBOM of the package `program` for `targets`.
pub(crate) fn of_program(
    workspace: &Workspace,
    program: &str,
    kind: ReleaseKind,
    targets: &[String],
) -> Result<Vec<u8>> {
    let version = versions::of_workspace(workspace)?;
    let crates = crates::of(&workspace.root, program, targets)?;
    let (own, others): (Vec<&Crate>, Vec<&Crate>) =
        crates.iter().partition(|krate| krate.id.0 == program);
    let [own] = own[..] else {
        return Err(Error::machine(format!(
            "cargo does not name the package `{program}`"
        )));
    };
    let mut document = document(own, &others, &kind.label(&version))?;
    let failed = |error: serde_json::Error| {
        Error::machine(format!("cannot write the SBOM of `{program}`")).because(error.to_string())
    };
    document.serial_number = serial(&serde_json::to_vec(&document).map_err(failed)?);
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(failed)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    lifecycles: [Lifecycle; 1],
    tools: Tools,
    component: Component,
}

#[derive(Serialize)]
struct Lifecycle {
    phase: &'static str,
}

#[derive(Serialize)]
struct Tools {
    components: [Tool; 1],
}

#[derive(Serialize)]
struct Tool {
    r#type: &'static str,
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    r#type: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: String,
    version: String,
    scope: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    licenses: [License; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<Reference>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct License {
    expression: String,
}

#[derive(Serialize)]
struct Reference {
    r#type: &'static str,
    url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    r#ref: String,
    depends_on: Vec<String>,
}

fn document(own: &Crate, others: &[&Crate], label: &str) -> Result<Document> {
    let program = Component {
        r#type: "application",
        version: label.to_owned(),
        ..component(own)?
    };
    let components = others.iter().map(|krate| component(krate));
    let dependencies = std::iter::once(&own).chain(others).map(|krate| Dependency {
        r#ref: reference(&krate.id),
        depends_on: krate.depends.iter().map(reference).collect(),
    });
    Ok(Document {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: String::new(),
        version: 1,
        metadata: Metadata {
            lifecycles: [Lifecycle { phase: "build" }],
            tools: Tools {
                components: [Tool {
                    r#type: "application",
                    name: env!("CARGO_PKG_NAME"),
                    version: env!("CARGO_PKG_VERSION"),
                }],
            },
            component: program,
        },
        components: components.collect::<Result<_>>()?,
        dependencies: dependencies.collect(),
    })
}

fn component(krate: &Crate) -> Result<Component> {
    let (name, version) = &krate.id;
    let license = krate
        .license
        .as_deref()
        .ok_or("its manifest names no licence".to_owned());
    let license = license.and_then(licences::expression).map_err(|why| {
        Error::findings(format!("`{}` cannot be listed in an SBOM", krate.title())).because(why)
    })?;
    let checksum = krate.checksum.clone();
    let repository = krate.repository.clone().into_iter();
    Ok(Component {
        r#type: "library",
        bom_ref: reference(&krate.id),
        name: name.clone(),
        version: version.clone(),
        // A crate that only a build script or a macro uses is not linked into the program.
        scope: if krate.linked { "required" } else { "excluded" },
        // A purl says where to get a package; our own crates are on no registry. `+` is the only
        // character of a version that needs escaping.
        purl: checksum
            .as_ref()
            .map(|_| format!("pkg:cargo/{name}@{}", version.replace('+', "%2B"))),
        hashes: checksum
            .into_iter()
            .map(|content| Hash {
                alg: "SHA-256",
                content,
            })
            .collect(),
        licenses: [License {
            expression: license,
        }],
        external_references: repository
            .map(|url| Reference { r#type: "vcs", url })
            .collect(),
    })
}

fn reference((name, version): &Id) -> String {
    format!("{name}@{version}")
}

/// A UUID (version 8 of RFC 9562) derived from the content of the document.
fn serial(document: &[u8]) -> String {
    let mut hex = Digest::of(document).hex();
    hex.replace_range(12..13, "8");
    hex.replace_range(16..17, "8");
    let [a, b, c, d, e] = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &hex[part]);
    format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
}
