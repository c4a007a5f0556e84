"""One clean environment with the built wheel for all tests here."""

import pytest


@pytest.fixture(scope="session")
def installed(release, tmp_path_factory):
    """Install the wheel in a clean environment."""
    return release.install(tmp_path_factory.mktemp("installed") / "venv")
