//! Homebrew and winget packages.

use super::*;

/// The part of Homebrew's DSL that the formula uses: evaluates it for one platform and prints what Homebrew would know.
const FORMULA_WORDS: &str = r##"
require "json"
def Dir.[](pattern); ["all of #{pattern}"]; end
class Place
  def initialize(name, seen); @name = name; @seen = seen; end
  def install(*files); @seen << [@name, files]; end
end
class Formula
  SEEN = {}
  INSTALLED = []
  class << self
    %w[desc homepage version license url sha256].each do |word|
      define_method(word) { |value| SEEN.key?(word) ? raise("#{word} twice") : SEEN[word] = value }
    end
    def on_macos; yield if ARGV[0] == "macos"; end
    def on_linux; yield if ARGV[0] == "linux"; end
    def on_arm; yield if ARGV[1] == "arm"; end
    def on_intel; yield if ARGV[1] == "intel"; end
    def test(&block); define_method(:run_test, &block); end
  end
  %w[bin man1 bash_completion fish_completion zsh_completion].each do |word|
    define_method(word) { Place.new(word, INSTALLED) }
  end
  def version; SEEN["version"]; end
  def shell_output(command); "polis #{version}\n"; end
  def assert_equal(one, other); one == other or raise "#{one} is not #{other}"; end
end
begin
  eval(STDIN.read)
  formula = Polis.new
  formula.install
  formula.run_test
  puts JSON.generate("seen" => Formula::SEEN, "installed" => Formula::INSTALLED)
rescue RuntimeError => error
  puts error.message
end
"##;

#[test]
fn ruby_evaluates_the_formula_for_each_platform() {
    if !has_part("ruby") {
        return;
    }
    let formula = &rendered(&RELEASE_TARGETS)["polis.rb"];
    assert_eq!(
        ask("ruby", &["-wc"], formula),
        (true, "Syntax OK\n".to_owned())
    );
    for (system, processor, target) in [
        ("macos", "arm", "aarch64-apple-darwin"),
        ("macos", "intel", "x86_64-apple-darwin"),
        ("linux", "arm", "aarch64-unknown-linux-musl"),
        ("linux", "intel", "x86_64-unknown-linux-musl"),
    ] {
        let args = ["-e", FORMULA_WORDS, system, processor];
        let (success, said) = ask("ruby", &args, formula);
        assert!(success, "{said}");
        let known: Value = serde_json::from_str(&said).expect(&said);
        let file = name("0.5.0", target);
        assert_eq!(
            known["seen"]["url"],
            format!("{REPOSITORY}/releases/download/v0.5.0/{file}")
        );
        assert_eq!(known["seen"]["sha256"], Digest::of(file.as_bytes()).hex());
        assert_eq!(known["seen"]["version"], "0.5.0");
        assert_eq!(known["seen"]["license"], "Apache-2.0");
        assert_eq!(
            known["installed"],
            json!([
                ["bin", ["polis"]],
                ["man1", [["all of man/*.1"]]],
                ["bash_completion", [{"completions/polis.bash": "polis"}]],
                ["fish_completion", ["completions/polis.fish"]],
                ["zsh_completion", ["completions/_polis"]],
            ])
        );
    }
    let narrow = &rendered(&["aarch64-apple-darwin"])["polis.rb"];
    let (_, said) = ask("ruby", &["-e", FORMULA_WORDS, "linux", "intel"], narrow);
    assert_eq!(said, "Polis 0.5.0 was not released for Linux on Intel\n");
}

#[test]
fn winget_reads_the_manifests() {
    let files = rendered(&RELEASE_TARGETS);
    let json = |suffix: &str| {
        let name = format!("odralabshq.polis{suffix}.yaml");
        let node = xtask_yaml::parse(&files[&name]).unwrap_or_else(|_| panic!("{name}"));
        node.to_json()
    };
    let archive = name("0.5.0", "x86_64-pc-windows-msvc");
    assert_eq!(
        json(""),
        json!({
            "PackageIdentifier": "odralabshq.polis",
            "PackageVersion": "0.5.0",
            "DefaultLocale": "en-US",
            "ManifestType": "version",
            "ManifestVersion": "1.12.0",
        })
    );
    assert_eq!(
        json(".installer"),
        json!({
            "PackageIdentifier": "odralabshq.polis",
            "PackageVersion": "0.5.0",
            "Platform": ["Windows.Desktop"],
            "InstallerType": "zip",
            "NestedInstallerType": "portable",
            "NestedInstallerFiles": [{
                "RelativeFilePath": "polis-0.5.0-x86_64-pc-windows-msvc/polis.exe",
                "PortableCommandAlias": "polis",
            }],
            "Commands": ["polis"],
            "Installers": [{
                "Architecture": "x64",
                "InstallerUrl": format!("{REPOSITORY}/releases/download/v0.5.0/{archive}"),
                "InstallerSha256": Digest::of(archive.as_bytes()).hex().to_uppercase(),
            }],
            "ManifestType": "installer",
            "ManifestVersion": "1.12.0",
        })
    );
    expect![[r##"
        # Generated for one release by `cargo xtask dist`.
        # yaml-language-server: $schema=https://aka.ms/winget-manifest.defaultLocale.1.12.0.schema.json

        PackageIdentifier: "odralabshq.polis"
        PackageVersion: "0.5.0"
        PackageLocale: en-US
        Publisher: "odralabshq"
        PublisherUrl: "https://github.com/odralabshq"
        PublisherSupportUrl: "https://github.com/odralabshq/polis/issues"
        PackageName: Polis
        PackageUrl: "https://github.com/odralabshq/polis"
        License: Apache-2.0
        ShortDescription: A safe virtual machine for AI coding agents
        Moniker: polis
        ReleaseNotesUrl: "https://github.com/odralabshq/polis/releases/tag/v0.5.0"
        ManifestType: defaultLocale
        ManifestVersion: 1.12.0
    "##]].assert_eq(&files["odralabshq.polis.locale.en-US.yaml"]);
}
