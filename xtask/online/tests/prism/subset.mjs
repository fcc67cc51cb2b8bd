// Reduces GitHub's API description to the operations that the release, drift and update code uses,
// so that Prism starts in two seconds instead of seventeen, and makes it as strict as GitHub.
//
//   node subset.mjs DESCRIPTION > SUBSET
//
// Other changes, with reasons:
// - upload operations have no separate server, because Prism has one upstream;
// - `{ref}` is also `tags/{ref}`, `heads/{ref}` and `heads/polis/{ref}`, because Prism's parameters cannot contain a slash;
// - each JSON response is also available as `application/vnd.github+json`, which clients accept;
// - request bodies may not have additional fields, which GitHub rejects but its description allows;
// - nullable fields without a type get `null` as an alternative, because Prism's validator cannot
//   compile them otherwise, and Prism then silently skips the whole body;
// - a file may also be sent as bytes, which the description only mentions in prose.
import { readFileSync } from "node:fs";

const repo = "/repos/{owner}/{repo}";
const wanted = {
  [repo]: ["get"],
  [`${repo}/actions/workflows/{workflow_id}/runs`]: ["get"],
  [`${repo}/attestations/{subject_digest}`]: ["get"],
  [`${repo}/git/commits`]: ["post"],
  [`${repo}/git/commits/{commit_sha}`]: ["get"],
  [`${repo}/git/ref/{ref}`]: ["get"],
  [`${repo}/git/refs`]: ["post"],
  [`${repo}/git/refs/{ref}`]: ["patch"],
  [`${repo}/git/tags/{tag_sha}`]: ["get"],
  [`${repo}/git/trees`]: ["post"],
  [`${repo}/git/trees/{tree_sha}`]: ["get"],
  [`${repo}/immutable-releases`]: ["get"],
  [`${repo}/issues`]: ["get", "post"],
  [`${repo}/issues/{issue_number}`]: ["patch"],
  [`${repo}/issues/{issue_number}/comments`]: ["post"],
  [`${repo}/pulls`]: ["get", "post"],
  [`${repo}/pulls/{pull_number}`]: ["patch"],
  [`${repo}/releases`]: ["get", "post"],
  [`${repo}/releases/assets/{asset_id}`]: ["get", "delete"],
  [`${repo}/releases/latest`]: ["get"],
  [`${repo}/releases/tags/{tag}`]: ["get"],
  [`${repo}/releases/{release_id}`]: ["get", "patch", "delete"],
  [`${repo}/releases/{release_id}/assets`]: ["get", "post"],
  [`${repo}/tags`]: ["get"],
};

const whole = JSON.parse(readFileSync(process.argv[2], "utf8"));

function at(reference) {
  const path = reference.slice(2).split("/");
  return path.reduce((node, key) => node[key], whole);
}

const components = {};

/** Keeps what `node` refers to, and what that refers to. */
function keep(node) {
  if (node === null || typeof node !== "object") return;
  const reference = node.$ref;
  if (typeof reference === "string") {
    const [, , kind, name] = reference.split("/");
    components[kind] ??= {};
    if (!(name in components[kind])) {
      components[kind][name] = at(reference);
      keep(components[kind][name]);
    }
  }
  Object.values(node).forEach(keep);
}

/** Rewrites each `nullable` in `node` that has no type beside it. */
function alternatives(node) {
  if (node === null || typeof node !== "object") return;
  Object.values(node).forEach(alternatives);
  if (node.nullable !== true || "type" in node) return;
  const nothing = { enum: [null] };
  const either = ["oneOf", "anyOf"].find((key) => key in node);
  delete node.nullable;
  if (either) {
    node[either].push(nothing);
  } else {
    const rest = { ...node };
    Object.keys(node).forEach((key) => delete node[key]);
    node.anyOf = [rest, nothing];
  }
}

function strict(operation) {
  const body = operation.requestBody?.content?.["application/json"]?.schema;
  if (body?.type === "object") body.additionalProperties = false;
}

function vendor(content) {
  if (content?.["application/json"]) {
    content["application/vnd.github+json"] = content["application/json"];
  }
}

const paths = {};
for (const [path, methods] of Object.entries(wanted)) {
  const item = whole.paths[path];
  if (!item) throw new Error(`GitHub's description has no ${path}`);
  const operations = {};
  for (const method of methods) {
    const operation = item[method];
    if (!operation) throw new Error(`GitHub's description has no ${method} ${path}`);
    delete operation.servers;
    strict(operation);
    keep(operation);
    operations[method] = operation;
  }
  const kinds = path.endsWith("/{ref}") ? ["tags/", "heads/", "heads/polis/"] : [""];
  for (const kind of kinds) {
    paths[path.replace("{ref}", `${kind}{ref}`)] = structuredClone(operations);
  }
}
for (const item of Object.values(paths)) {
  for (const operation of Object.values(item)) {
    for (const response of Object.values(operation.responses)) vendor(response.content);
  }
}
Object.values(components.responses ?? {}).forEach((response) => vendor(response.content));
const bytes = { schema: { type: "string" } };
const file = paths[`${repo}/releases/assets/{asset_id}`].get.responses["200"];
file.content["application/octet-stream"] = bytes;

alternatives(paths);
alternatives(components.schemas);

const { openapi, info } = whole;
process.stdout.write(JSON.stringify({ openapi, info, paths, components }));
