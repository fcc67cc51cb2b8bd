//! Images in commands of Docker, Podman and nerdctl.

use super::after_flags;
use crate::mapped::Mapped;

/// Programs with Docker's command line.
const ENGINES: [&str; 3] = ["docker", "podman", "nerdctl"];
/// Global flags that take a value.
const GLOBAL: [&str; 7] = [
    "-c",
    "--context",
    "--config",
    "-H",
    "--host",
    "-l",
    "--log-level",
];
/// The flags of `run` and `create` that take no value; all others do.
const BARE: [&str; 17] = [
    "--detach",
    "--disable-content-trust",
    "--help",
    "--init",
    "--interactive",
    "--no-healthcheck",
    "--oom-kill-disable",
    "--privileged",
    "--publish-all",
    "--quiet",
    "--read-only",
    "--replace",
    "--rm",
    "--sig-proxy",
    "--tls-verify",
    "--tty",
    "--use-api-socket",
];
/// Those flags as letters, which may be combined.
const LETTERS: &str = "ditPq";

/// The images that a command pulls or runs, and the frontends that it builds with.
pub(super) fn of(program: &str, arguments: &[Mapped]) -> Vec<Mapped> {
    if !ENGINES.contains(&program) {
        return Vec::new();
    }
    let mut words = after_flags(arguments, &GLOBAL);
    if let [group, rest @ ..] = words
        && ["container", "image", "buildx"].contains(&group.text())
    {
        words = rest;
    }
    let Some((verb, words)) = words.split_first() else {
        return Vec::new();
    };
    match verb.text() {
        "run" | "create" => after_run_flags(words).cloned().into_iter().collect(),
        "pull" => {
            let image = after_flags(words, &["--platform", "--arch", "--os", "--creds"]);
            image.first().cloned().into_iter().collect()
        }
        "build" => words.iter().filter_map(frontend).collect(),
        _ => Vec::new(),
    }
}

/// The first word after the flags of `run`.
fn after_run_flags(words: &[Mapped]) -> Option<&Mapped> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let text = word.text();
        let Some(flag) = text.strip_prefix('-').filter(|flag| !flag.is_empty()) else {
            return Some(word);
        };
        if flag == "-" {
            return words.next();
        }
        let takes_value = match flag.strip_prefix('-') {
            Some(long) => !long.contains('=') && !BARE.contains(&text),
            // The value may follow its letter without a space.
            None => flag.find(|letter| !LETTERS.contains(letter)) == Some(flag.len() - 1),
        };
        if takes_value {
            words.next();
        }
    }
    None
}

/// The image in `BUILDKIT_SYNTAX=image`, also after `--build-arg=`.
fn frontend(word: &Mapped) -> Option<Mapped> {
    let at = word.text().strip_prefix("--build-arg=").map_or(0, |_| 12);
    let word = word.slice(at..word.text().len());
    let (name, value) = word.split_once('=')?;
    (name.text() == "BUILDKIT_SYNTAX").then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_the_first_word_after_the_flags() {
        for (command, image) in [
            ("docker run --rm -it -v /a:/b --name x img cmd", "img"),
            ("docker run -itv/a:/b img -v", "img"),
            ("docker run -ditu 1 --init=true -- img", "img"),
            ("podman -c x container create --env A img", "img"),
            ("docker image pull -a --platform linux/arm64 img", "img"),
            (
                "docker buildx build --build-arg BUILDKIT_SYNTAX=img .",
                "img",
            ),
            ("docker build --build-arg=BUILDKIT_SYNTAX=img .", "img"),
            ("docker build -t x .", ""),
            ("docker ps", ""),
            ("docker run --rm", ""),
            ("echo docker run img", ""),
        ] {
            let words = Mapped::of(command, 0..command.len()).words();
            let found = of(words[0].text(), &words[1..]);
            let found = found.first().map_or("", Mapped::text);
            assert_eq!(found, image, "{command}");
        }
    }
}
