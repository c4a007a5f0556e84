"""What the daemon does without."""

import subprocess
import sys


def test_daemon_imports_no_package_metadata():
    """The modules that only a search for pydantic's plug-ins needs stay out of the daemon."""
    code = """
import sys
from kevmond.service.lean import without_pydantic_plugins
without_pydantic_plugins()
import kevmond.daemon
from kevmond.config import load
load(search=False)
print({"importlib.metadata", "email.message", "csv"} & set(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"
