//! The contents of the files of an archive.

use super::*;

#[test]
fn a_different_program_is_rejected() {
    let with = |triple: &str, bytes: Vec<u8>| {
        changed(triple, |entries| {
            find(entries, &format!("/{}", name::program_name(triple))).bytes = bytes
        })
    };
    let facts = expected(LINUX).facts;
    let of = |facts: &Facts| with(LINUX, program(LINUX, facts));
    let cases = [
        of(&Facts {
            label: "1.2.2".to_owned(),
            ..facts.clone()
        }),
        of(&Facts {
            label: "1.2.3-rehearsal".to_owned(),
            ..facts.clone()
        }),
        of(&Facts {
            label: "1.2.3-dev".to_owned(),
            ..facts.clone()
        }),
        of(&Facts {
            compose: Digest::of(b"another"),
            bundle: Digest::of(b"another"),
            ..facts.clone()
        }),
        of(&Facts {
            cloud_init: Digest::of(b"another"),
            ..facts.clone()
        }),
        of(&Facts {
            key: "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3".to_owned(),
            ..facts.clone()
        }),
        with(LINUX, header(LINUX)),
        with(
            LINUX,
            [program(LINUX, &facts), program(LINUX, &facts)].concat(),
        ),
        with(LINUX, program(WINDOWS, &facts)),
        with(WINDOWS, program(LINUX, &facts)),
        with(LINUX, b"#!/bin/sh\nexec something\n".to_vec()),
    ];
    expect![[r#"
        the version of the program is 1.2.2, expected 1.2.3
        ---
        the version of the program is 1.2.3-rehearsal, expected 1.2.3
        ---
        the version of the program is 1.2.3-dev, expected 1.2.3
        ---
        the compose file in the program is sha256:ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5, expected sha256:db669af634b75c7f298400f3b6c2aa8ba54998bac83e23d10ab4eaadc4b50ccf
        the bundle in the program is sha256:ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5, expected sha256:1e6ed65d77d6364eeaed5a745ba5c4985ae2b700dd85d7cf7f027bdf294a33fc
        ---
        the cloud-init file in the program is sha256:ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5, expected sha256:3fc8516922a52d754083308fc413432652da40490b0a336294a5d765757be942
        ---
        the release key in the program is RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3, expected --------------------------------------------------------
        ---
        it does not carry the marker of the CLI
        ---
        it carries the marker of the CLI 2 times
        ---
        the program is PE for x86_64, expected one for x86_64-unknown-linux-musl
        ---
        the program is ELF for x86_64, expected one for x86_64-pc-windows-msvc
        ---
        the program is neither ELF nor Mach-O nor PE, for x86_64 or aarch64
        it does not carry the marker of the CLI"#]]
    .assert_eq(&cases.join("\n---\n"));
}

#[test]
fn files_beside_the_program_must_be_of_this_version() {
    let with = |file: &str, text: &[u8]| {
        changed(LINUX, |entries| find(entries, file).bytes = text.to_vec())
    };
    let cases = [
        with("LICENSE", b"another licence\n"),
        with(
            "THIRD-PARTY-NOTICES",
            b"Third-party notices of polis 1.2.2 for x86_64-unknown-linux-musl\n",
        ),
        with(
            "man/polis.1",
            b".TH POLIS 1 \"\" \"polis 1.2.2\" \"Polis\"\n",
        ),
        with("README.md", b"# Another\n"),
        with("polis.bash", b""),
        with("polis.fish", b"\x7fELF\0\0"),
        with("_polis", b"\xff\xfe"),
    ];
    expect![[r#"
        `LICENSE` differs from the licence in the tree
        ---
        `THIRD-PARTY-NOTICES` is for another version or target
        ---
        `man/polis.1` is for another version
        ---
        `README.md` differs from the README that these tools pack
        ---
        `completions/polis.bash` is not text
        ---
        `completions/polis.fish` is not text
        ---
        `completions/_polis` is not text"#]]
    .assert_eq(&cases.join("\n---\n"));
}

#[test]
fn an_unrelated_file_name_is_rejected() {
    let good = archive(LINUX, |_| ());
    for name in [
        "polis-1.2.3-aarch64-unknown-linux-musl.tar.gz",
        "polis.tar.gz",
    ] {
        let error = inspect(name, &good, &expected(LINUX)).expect_err("another name");
        assert!(
            error.to_string().contains("expected `polis-1.2.3-x86_64"),
            "{error}"
        );
    }
    // The same content with other headers unpacks as well, but these tools did not pack it.
    let best = seen(LINUX, &{
        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&good[..]), &mut tar).unwrap();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&tar).unwrap();
        encoder.finish().unwrap()
    });
    expect!["its entries are correct, but its bytes differ from what these tools pack from them"]
        .assert_eq(&best);
}
