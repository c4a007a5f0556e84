"""What docs/security.md claims to be tested."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_test_that_is_named_exists():
    """A claim rests on a test that is there, in the folder that was named last before it."""
    text = (ROOT / "docs/security.md").read_text()
    folder, missing, count = "", [], 0
    for name in re.findall(r"`((?:tests/[\w/]+/?)?(?:test_\w+\.py)?)`", text):
        if name.startswith("tests/"):
            folder = name if name.endswith("/") else f"{name.rpartition('/')[0]}/"
        path = name if name.startswith("tests/") else folder + name
        count += 1
        if not (ROOT / path).exists():
            missing.append(path)
    assert missing == []
    assert count > 15
