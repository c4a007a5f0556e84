r"""Build what a release consists of into dist/: sdist, wheel, their checksums, Homebrew's formula.

    python packaging/release.py --homepage https://example.org/kevmond \
        --url https://example.org/kevmond/releases/0.1.0

`--url` is the folder that the files will be downloaded from.  Needs the environment of `make test`
(or hatchling) and no network; the same tree gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FORMULA = ROOT / "packaging/homebrew/kevmond.rb"


def main() -> None:
    """Build, and print one line a file."""
    options = _options()
    built = build(ROOT, options.dist)
    sdist = built[0]
    sums = "".join(f"{checksum(path)}  {path.name}\n" for path in built)
    (options.dist / "SHA256SUMS").write_text(sums)
    url = f"{options.url.rstrip('/')}/{sdist.name}"
    text = formula(homepage=options.homepage, url=url, sha256=checksum(sdist))
    (options.dist / FORMULA.name).write_text(text)
    print(sums, end="")
    print(options.dist / FORMULA.name)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--homepage", required=True, help="page of the project")
    parser.add_argument("--url", required=True, help="folder that the files are downloaded from")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where to put them")
    return parser.parse_args()


def build(source: Path, dist: Path) -> list[Path]:
    """Build the sdist, and the wheel from what is in that; return their paths."""
    dist = dist.absolute()
    dist.mkdir(parents=True, exist_ok=True)
    sdist = _built("sdist", source, dist)
    with tempfile.TemporaryDirectory() as folder, tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
        return [sdist, _built("wheel", next(Path(folder).iterdir()), dist)]


def _built(what: str, source: Path, dist: Path) -> Path:
    """Have hatchling build something by the hook of PEP 517, and return its path."""
    program = "import sys, hatchling.build as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"
    command = [sys.executable, "-c", program, f"build_{what}", str(dist)]
    done = subprocess.run(command, cwd=source, check=True, stdout=subprocess.PIPE, text=True)
    return dist / done.stdout.split()[-1]


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def formula(**facts: str) -> str:
    """Return Homebrew's formula with its blanks filled in: homepage, url, sha256."""
    lines = FORMULA.read_text().splitlines(keepends=True)[1:]  # without what is said of a template
    text = "".join(lines)
    for name, value in facts.items():
        text = text.replace(f"@{name.upper()}@", value)
    left = re.findall(r"@[A-Z0-9]+@", text)
    if left:
        raise SystemExit(f"{FORMULA}: nothing to fill in for {', '.join(left)}")
    return text


if __name__ == "__main__":
    main()
