"""Validates many documents with cloud-init's own validator in one process, because `cloud-init schema` takes 0.9 s for each.

The first argument names a file with a JSON array of documents. Prints a JSON object with the version and, for each
document, null or the error, and the parsed value.
"""

import contextlib
import json
import os
import sys
import tempfile

import yaml
from cloudinit import version
from cloudinit.config import schema


def verdict(path, full_schema):
    """The error of `cloud-init schema --config-file` for the file, or None. Unexpected exceptions are errors, too."""
    try:
        schema.validate_cloudconfig_file(path, full_schema)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        return f"{type(problem).__name__}: {problem}"[:400]
    return None


def reading(document):
    """The document as cloud-init reads it: YAML 1.1."""
    try:
        return yaml.safe_load(document)
    except Exception:
        return None


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        documents = json.load(file)
    full_schema = schema.get_schema()
    # Without jsonschema, cloud-init only prints a note and accepts everything, so test that it validates.
    probes = ["#cloud-config\nruncmd: [/x]\n", "#cloud-config\nruncmds: [/x]\n"]
    verdicts = []
    with tempfile.TemporaryDirectory() as directory, open(os.devnull, "w") as nothing:
        path = os.path.join(directory, "user-data")
        for document in probes + documents:
            with open(path, "w", encoding="utf-8", newline="") as file:
                file.write(document)
            with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
                verdicts.append(verdict(path, full_schema))
    if verdicts[0] is not None or verdicts[1] is None:
        sys.exit(f"cloud-init does not validate (is python3-jsonschema installed?): {verdicts[:2]}")
    answer = {"version": version.version_string(), "verdicts": verdicts[2:], "readings": []}
    if "--read" in sys.argv:
        answer["readings"] = [reading(document) for document in documents]
    print(json.dumps(answer, default=str))


main()
