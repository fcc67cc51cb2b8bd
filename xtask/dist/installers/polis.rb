# Generated for one release by `cargo xtask dist`. It installs the archives of that release.
class Polis < Formula
  desc "Safe virtual machine for AI coding agents"
  homepage @@repository@@
  version @@label@@
  license "Apache-2.0"

@@urls@@
  def install
    bin.install "polis"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/polis.bash" => "polis"
    fish_completion.install "completions/polis.fish"
    zsh_completion.install "completions/_polis"
  end

  test do
    assert_equal "polis #{version}", shell_output("#{bin}/polis --version").chomp
  end
end
