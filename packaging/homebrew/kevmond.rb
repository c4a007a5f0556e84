# Template of the Homebrew formula: packaging/release.py fills in what stands between two "@".
class Kevmond < Formula
  desc "Reads the macOS kernel's own events, decodes each one, accounts for every loss"
  homepage "@HOMEPAGE@"
  url "@URL@"
  sha256 "@SHA256@"

  depends_on "python@3.13"

  # Wheels keep the install names that they were built with: there is no room for longer ones.
  preserve_rpath

  def install
    # What .ci/lock/run.txt names, by hash, from whatever index pip is set up for; nothing else.
    python = Formula["python@3.13"].opt_bin/"python3.13"
    system python, "-m", "venv", libexec
    pip = [libexec/"bin/python", "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
    system(*pip, "--require-hashes", "--requirement", ".ci/lock/run.txt")
    system(*pip, "--no-build-isolation", "--no-index", ".")
    bin.install_symlink libexec/"bin/kevmond"

    man1.install "packaging/man/kevmond.1"
    bash_completion.install "packaging/completion/kevmond.bash" => "kevmond"
    zsh_completion.install "packaging/completion/_kevmond"
    fish_completion.install "packaging/completion/kevmond.fish"

    pkgetc.install "config/kevmond.toml" # one that is there stays
  end

  def post_install
    (var/"lib/kevmond").mkpath
    (var/"lib/kevmond").chmod 0700
    (var/"log").mkpath
  end

  def caveats
    <<~EOS
      The configuration is #{etc}/kevmond/kevmond.toml, the state folder #{var}/lib/kevmond:
        kevmond config check
        kevmond tail --state-dir #{var}/lib/kevmond

      `brew services start kevmond` runs it as you, from login on; no root is needed to listen.
      With sudo it runs as root from boot on, and refuses a configuration that is not root's:
        sudo chown -R root #{etc}/kevmond
      Better for a whole machine is a job of its own, which can run as an unprivileged user:
        sudo kevmond service install
    EOS
  end

  service do
    run [opt_bin/"kevmond", "run", "--launchd",
         "--config", etc/"kevmond/kevmond.toml", "--state-dir", var/"lib/kevmond"]
    keep_alive successful_exit: false
    throttle_interval 30
    process_type :background
    working_dir var/"lib/kevmond"
    environment_variables PATH: std_service_path_env
    log_path "/dev/null"
    error_log_path var/"log/kevmond.err"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/kevmond --version")
    system bin/"kevmond", "config", "check", "--config", etc/"kevmond/kevmond.toml"
    message = "30000000010000000100000002000000010000000d000000" \
              "0200000000000000656e0000000000000000000000000000"
    assert_match "network.dl.link-on", shell_output("#{bin}/kevmond decode --hex #{message}")
  end
end
