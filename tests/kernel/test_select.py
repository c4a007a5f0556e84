"""The words that choose a kernel."""

import subprocess
import sys

import pytest

from kevmond.errors import KevmondError
from kevmond.kernel import select
from kevmond.kernel.darwin import DarwinKernel
from kevmond.kernel.simulated.model import SimulatedKernel
from kevmond.kernel.simulated.remote import RemoteKernel


def test_words_choose_their_kernel(tmp_path):
    """Each word makes the kernel that it names."""
    assert isinstance(select.open_kernel("darwin"), DarwinKernel)
    assert isinstance(select.open_kernel("simulated"), SimulatedKernel)
    remote = select.open_kernel(f"simulated:{tmp_path}/a:b")
    assert isinstance(remote, RemoteKernel)
    assert remote.path == tmp_path / "a:b"


def test_replay_is_opened(tmp_path):
    """replay:FILE opens the recording."""
    file = tmp_path / "events.jsonl"
    file.write_text(
        '{"trigger": "boot", "hex": "18000000010000000100000002000000010000000d000000"}\n'
    )
    assert select.open_kernel(f"replay:{file}").name == "replay"


@pytest.mark.parametrize(
    ("platform", "kind"), [("darwin", DarwinKernel), ("linux", SimulatedKernel)]
)
def test_auto_depends_on_the_system(monkeypatch, platform, kind):
    """The word auto is the real kernel on macOS and a simulated one elsewhere."""
    monkeypatch.setattr(sys, "platform", platform)
    assert isinstance(select.open_kernel("auto"), kind)


@pytest.mark.parametrize(
    "spec", ["", "linux", "darwin:x", "auto:", "simulated:", "replay", "replay:", ":x"]
)
def test_other_words_are_refused(spec):
    """Anything else is an error that lists the accepted words."""
    with pytest.raises(KevmondError, match=r"darwin, simulated, simulated:PATH, replay:FILE"):
        select.open_kernel(spec)


def test_only_the_chosen_kernel_is_imported():
    """Choosing one kernel imports no other, and neither asyncio nor pydantic."""
    code = (
        "import sys; from kevmond.kernel.select import open_kernel; open_kernel('darwin');"
        "print([n for n in sys.modules if n.split('.')[0] in ('asyncio', 'pydantic')"
        " or n.startswith(('kevmond.kernel.simulated', 'kevmond.kernel.replay'))])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
