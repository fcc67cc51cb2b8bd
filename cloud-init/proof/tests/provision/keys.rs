//! Gives key files of an attacker to the script's own function, with the real gpg and apt: the function accepts only the pinned key,
//! also as seen by apt.
//!
//! Programs parse armor differently. `gpg --show-keys` stops at the first checksum, where apt skips that line and continues, so a
//! file that shows one key may make apt trust two. An unchanged copy of the file in the keyring would be such a file.

use std::fmt::Write as _;

use cloud_init_proof::Result;
use cloud_init_proof::guest::Guest;

use crate::ensure;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
/// The parts of random files, in addition to those of the two keys.
const PARTS: [&str; 9] = [
    BEGIN,
    END,
    "",
    "Comment: x",
    "=AAAA",
    "-----BEGIN PGP SIGNED MESSAGE-----",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----",
    "- -----BEGIN PGP PUBLIC KEY BLOCK-----",
    "-----BEGIN PGP ARMORED FILE-----",
];
const RANDOM: usize = 60;

/// Judges each file of `/srv/keys` and prints `NAME VERDICT`: `refused`, `pinned`, or `trusted` if apt, given the function's output,
/// accepts the signature of another key or rejects that of the pinned one. Files named `raw-` are given to apt directly.
const JUDGE: &str = r#"
rm -rf /srv/keys; mkdir -p /srv/keys /srv/other/dists/trixie /srv/lists /var/lib/polis/work
cp /srv/stand-in/forged /srv/other/dists/trixie/InRelease
awk '/^%%% /{ file = "/srv/keys/" $2; printf "" >file; next } { print >file }' /srv/key-files
export LC_ALL=C
{ gpg --dearmor </srv/stand-in/ours; gpg --dearmor </srv/stand-in/other-key; } >/srv/keys/binary-both
cp /srv/keys/binary-both /srv/keys/raw-binary-both
{ gpg --dearmor </srv/stand-in/other-key; gpg --dearmor </srv/stand-in/ours; } >/srv/keys/binary-other-first
{ cat /srv/stand-in/ours; gpg --dearmor </srv/stand-in/other-key; } >/srv/keys/binary-behind-armour
# The other key as a subkey of the pinned one, which that has not signed: packets 6 become packets 14.
{ gpg --dearmor </srv/stand-in/ours; gpg --dearmor </srv/stand-in/other-key | sed '1s/^\x98/\xb8/;1s/^\x99/\xb9/'; } >/srv/keys/binary-as-subkey
head -n -1 /usr/local/lib/polis/provision.sh >/srv/functions
apt_says() {
  echo "deb [signed-by=$1] file:$2 trixie stable" >/srv/list
  apt-get -o Dir::Etc::sourcelist=/srv/list -o Dir::Etc::sourceparts=- -o Dir::State::lists=/srv/lists \
    -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any update 2>&1
}
takes_other() { ! apt_says "$1" /srv/other | grep -q 'is not signed'; }
takes_ours() { apt_says "$1" /srv/stand-in/www/download.docker.com/linux/ubuntu >/dev/null; }
for file in /srv/keys/*; do
  name=${file##*/}
  case $name in
    raw-*)
      cp "$file" /srv/key.asc
      if takes_other /srv/key.asc; then echo "$name trusted"; else echo "$name refused"; fi
      continue ;;
  esac
  rm -f /srv/key.gpg
  if ! bash -c '. /srv/functions; exec 3>/dev/null; read_pins; pinned_key "$1" >/srv/key.gpg' - "$file" >/dev/null 2>&1; then
    echo "$name refused"
  elif takes_ours /srv/key.gpg && ! takes_other /srv/key.gpg; then
    echo "$name pinned"
  else
    echo "$name trusted"
  fi
done
rm -rf /srv/keys /srv/key.* /srv/list* /srv/other /srv/functions /srv/key-files /var/lib/polis/work"#;

/// The lines of an armored key: its data, and its checksum.
struct Armour<'a> {
    data: Vec<&'a str>,
    sum: &'a str,
}

impl<'a> Armour<'a> {
    fn read(text: &'a str) -> Result<Self> {
        let lines = text.lines().skip_while(|line| !line.is_empty()).skip(1);
        let lines: Vec<&str> = lines.take_while(|line| *line != END).collect();
        match lines.split_last() {
            Some((sum, data)) if sum.starts_with('=') => Ok(Self {
                data: data.to_vec(),
                sum,
            }),
            _ => Err(format!("not an armored key:\n{text}")),
        }
    }

    fn data(&self) -> String {
        self.data.join("\n")
    }
}

/// Files by name: forms that programs are known to parse differently, and [`random`] ones.
fn files(ours: &Armour, other: &Armour) -> Vec<(String, String)> {
    let (our, their) = (ours.data(), other.data());
    let (sum, other_sum) = (ours.sum, other.sum);
    let good = format!("{BEGIN}\n\n{our}\n{sum}\n{END}");
    let evil = format!("{BEGIN}\n\n{their}\n{other_sum}\n{END}");
    let bypass = format!("{BEGIN}\n\n{our}\n{sum}\n{their}\n{END}");
    let named = [
        ("good", good.clone()),
        ("good-comment", good.replacen("\n\n", "\nComment: x\n\n", 1)),
        ("good-text-around", format!("a note\n{good}\nanother")),
        ("other", evil.clone()),
        ("checksum-then-key", bypass.clone()),
        ("raw-checksum-then-key", bypass.clone()),
        (
            "checksum-then-key-and-checksum",
            bypass.replace(&their, &format!("{their}\n{other_sum}")),
        ),
        (
            "key-then-checksum",
            format!("{BEGIN}\n\n{our}\n{their}\n{sum}\n{END}"),
        ),
        ("two-blocks", format!("{good}\n{evil}")),
        ("other-first", format!("{evil}\n{good}")),
        (
            "block-in-block",
            format!("{BEGIN}\n\n{our}\n{BEGIN}\n\n{their}\n{other_sum}\n{END}\n{sum}\n{END}"),
        ),
        ("no-checksum", good.replace(&format!("{sum}\n"), "")),
        ("wrong-checksum", good.replace(sum, other_sum)),
        ("no-end", good.replace(END, "")),
        ("blank-after-end", format!("{good}   \n{evil}")),
        (
            "carriage-returns",
            format!("{good}\n{evil}").replace('\n', "\r\n"),
        ),
        ("no-begin", format!("{our}\n{sum}\n{END}\n{evil}")),
        (
            "other-as-header",
            good.replacen(
                "\n\n",
                &format!("\nComment: {}\n\n", their.replace('\n', "")),
                1,
            ),
        ),
        (
            "blank-line-within",
            format!("{BEGIN}\n\n{our}\n{sum}\n\n\n{their}\n{other_sum}\n{END}"),
        ),
        (
            "dashes",
            good.replace(BEGIN, &format!("- {BEGIN}")) + "\n" + &evil,
        ),
        (
            "private-block",
            format!("{good}\n{}", evil.replace("PUBLIC", "PRIVATE")),
        ),
        (
            "clear-signed",
            format!(
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{good}\n{}",
                evil.replace("PUBLIC KEY BLOCK", "SIGNATURE")
            ),
        ),
        ("cut", good[..good.len() / 2].to_owned()),
        ("empty", String::new()),
        ("page", "<html>".to_owned()),
    ];
    let mut files: Vec<(String, String)> = named.map(|(name, text)| (name.to_owned(), text)).into();
    files.extend(random(ours, other));
    files
}

/// Files that start like the one with the pinned key and continue with parts in a random order, the same in each run.
fn random(ours: &Armour, other: &Armour) -> Vec<(String, String)> {
    let (our, their) = (ours.data(), other.data());
    let mut parts = vec![our.as_str(), their.as_str(), ours.sum, other.sum];
    parts.extend(PARTS);
    // Knuth's generator for MMIX.
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        parts[(state >> 33) as usize % parts.len()]
    };
    let file = |number: usize| {
        let mut text = format!("{BEGIN}\n\n{our}");
        for _ in 0..2 + number % 6 {
            text = text + "\n" + next();
        }
        (format!("random-{number}"), format!("{text}\n{END}"))
    };
    (0..RANDOM).map(file).collect()
}

/// Judges all files on a provisioned guest.
pub(crate) fn all(guest: &Guest, dir: &std::path::Path) -> Result<()> {
    let key = "cat /srv/stand-in/ours";
    let (ours, other) = (
        guest.output(key)?,
        guest.output("cat /srv/stand-in/other-key")?,
    );
    let mut together = String::new();
    for (name, text) in files(&Armour::read(&ours)?, &Armour::read(&other)?) {
        writeln!(together, "%%% {name}\n{text}").map_err(|error| error.to_string())?;
    }
    guest.put(dir, "/srv/key-files", &together)?;
    let verdicts = guest.output(JUDGE)?;
    let of = |verdict: &str| {
        let names = verdicts
            .lines()
            .filter_map(|line| line.strip_suffix(verdict));
        names.map(str::trim_end).collect::<Vec<_>>()
    };
    // An unchanged copy of this file makes every apt trust the other key, so the judge can detect it. The armored one does so with
    // apt 2, which unpacks armor itself, but not with apt 3.
    let mut trusted = of("trusted");
    trusted.retain(|name| *name != "raw-checksum-then-key");
    ensure(trusted == ["raw-binary-both"], || verdicts.clone())?;
    ensure(of("pinned").contains(&"good"), || verdicts.clone())?;
    ensure(verdicts.lines().count() == 25 + 5 + RANDOM, || {
        verdicts.clone()
    })?;
    println!(
        "          .       keys: {} refused, {} reduced to the pinned key",
        of("refused").len(),
        of("pinned").len()
    );
    Ok(())
}
