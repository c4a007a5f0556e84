"""Builds kexts for Linux, and runs them in their host as child processes."""

import contextlib
import functools
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).parent
HOST = HERE.parents[1] / "kext" / "host"

PATIENCE = 60
"""Seconds after which a wait counts as failed; nothing waits this long when all is well."""

VARIANTS = {"plain": "", "asan": "address,undefined", "tsan": "thread"}

SANITIZER_EXIT = 99
REPORTS = {
    "ASAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:detect_leaks=1:handle_abort=0",
    "UBSAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:print_stacktrace=1",
    "TSAN_OPTIONS": f"exitcode={SANITIZER_EXIT}:halt_on_error=1:second_deadlock_stack=1",
}

_TRIVIAL = "int main(void) { return 0; }\n"


class BuildError(Exception):
    """Something does not compile; the text is what the compiler said."""


@functools.cache
def unable(variant):
    """Tell why a variant cannot be built and run here; None if it can."""
    for tool in ("cc", "make"):
        if shutil.which(tool) is None:
            return f"no {tool}: install one (Debian: apt-get install gcc libc6-dev make)"
    return None if variant == "plain" else _launcher(variant)[1]


@functools.cache
def _launcher(variant):
    """Return what a sanitizer's programs must be started with, and why they cannot run at all.

    ThreadSanitizer refuses an address space that is more random than it knows; `setarch -R` helps.
    """
    sanitizer = VARIANTS[variant]
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "trivial")
        build = ["cc", f"-fsanitize={sanitizer}", "-x", "c", "-", "-o", program]
        built = subprocess.run(build, input=_TRIVIAL, capture_output=True, text=True, check=False)
        if built.returncode != 0:
            reason = f"cc has no runtime for -fsanitize={sanitizer}: {built.stderr.strip()[:300]}"
            return [], reason
        # Not once but several times: how random the addresses are is random.
        for prefix in ([], ["setarch", "-R"]):
            if prefix and shutil.which(prefix[0]) is None:
                break
            runs = [
                subprocess.run([*prefix, program], capture_output=True, text=True, check=False)
                for _ in range(5 if sanitizer == "thread" else 1)
            ]
            failed = [run for run in runs if run.returncode != 0]
            if not failed:
                return prefix, None
    return [], f"programs with -fsanitize={sanitizer} do not run: {failed[0].stderr.strip()[:300]}"


class Build:
    """The host in one variant, and kexts beside it."""

    def __init__(self, folder, variant):
        self.folder = Path(folder)
        self.variant = variant
        self._images = {}
        self._make("host")
        self.program = self.folder / "kext-host"

    def sample(self, *options):
        """Build the sample kext with its build options."""
        return self._image("sample", options)

    def image(self, source):
        """Build a kext of one file in this folder, such as "bad/leak.c"."""
        return self._image(source, (), f"SOURCES={HERE / source}", f"INCLUDES={HERE}")

    def start(self, server, image, **environment):
        """Run a kext on the simulated kernel served at a path."""
        return HostProcess(self, server, image, environment)

    def _image(self, name, options, *settings):
        image = self._images.get((name, options))
        if image is None:
            image = self.folder / f"{Path(name).stem}-{len(self._images)}.so"
            self._make("image", f"IMAGE={image}", f"EXTRA={' '.join(options)}", *settings)
            self._images[name, options] = image
        return image

    def _make(self, goal, *settings):
        command = ["make", "-s", "-j2", "-C", str(HOST), goal, f"BUILD={self.folder}"]
        command += [f"SANITIZE={VARIANTS[self.variant]}", *settings]
        environment = {key: os.environ[key] for key in os.environ if not key.startswith("MAKE")}
        made = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if made.returncode != 0 or "warning:" in made.stderr:
            raise BuildError(made.stdout + made.stderr)


class HostProcess:
    """A running host: words go in, lines come out."""

    def __init__(self, build, server, image, environment):
        self._errors = build.folder / f"stderr-{os.urandom(4).hex()}"
        prefix = _launcher(build.variant)[0] if build.variant != "plain" else []
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*prefix, str(build.program), str(server), str(image)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **REPORTS, **environment},
            )
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self):
        """Return the next line it prints; None at its end."""
        try:
            return self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"the host says nothing:\n{self.errors()}") from None

    def say(self, word):
        """Give it a word, and return the line that it answers."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.line()

    def stats(self):
        """Return what it counts, by name."""
        word, *fields = self.say("stats").split()
        assert word == "stats"
        return {name: int(value) for name, value in (field.split("=") for field in fields)}

    def errors(self):
        """Return what it has written on standard error."""
        return self._errors.read_text(errors="replace")

    def quit(self):
        """End it: the lines it still prints, and its exit code."""
        if self.process.poll() is None:
            try:
                self.process.stdin.write("quit\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                pass
        return self.wait()

    def wait(self):
        """Wait for its end: the lines it still prints, and its exit code."""
        lines = []
        while (line := self.line()) is not None:
            lines.append(line)
        return lines, self.process.wait(PATIENCE)

    def kill(self):
        """End it by force, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        with contextlib.suppress(BrokenPipeError):  # a word that it ended before reading
            self.process.stdin.close()
        self.process.stdout.close()
