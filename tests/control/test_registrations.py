"""News of controls from the kernel's events."""

import pytest

from kevmond.control.registrations import News, Registrations
from kevmond.errors import KernelError
from kevmond.kernel.simulated.handlers import Handlers
from kevmond.kernel.simulated.model import SimulatedKernel


class Kernel(SimulatedKernel):
    """A kernel that does not always open an event socket."""

    def __init__(self):
        super().__init__()
        self.refusals = []
        self.opened = []

    def open_event_socket(self, receive_space):
        if self.refusals:
            raise self.refusals.pop(0)
        self.opened.append(super().open_event_socket(receive_space))
        return self.opened[-1]


@pytest.fixture
def kernel():
    """Give such a kernel, with its own controls registered."""
    kernel = Kernel()
    assert kernel.kctl.controls
    return kernel


@pytest.fixture
async def heard(kernel, kit, monkeypatch):
    """Listen; give what was heard."""
    monkeypatch.setattr("kevmond.control.registrations._FIRST_WAIT", 0.001)
    registrations = Registrations(kernel, kit.Log())
    news = []
    registrations.listen(news.append)
    registrations.start()
    yield news
    await registrations.stop()
    assert kernel.pcbs == ()


async def test_news_in_order(kernel, kit, heard):
    """Controls that come and go are told by number, in order."""
    numbers = []
    for n in range(200):
        control = kernel.kctl.register(kit.Registration(b"org.example.%d" % n), Handlers())
        numbers.append(control.control_id)
        kernel.kctl.deregister(control)
    await kit.until(lambda: len(heard) == 400)
    assert heard == [News(state, number) for number in numbers for state in (True, False)]


async def test_only_these_events_are_asked_for(kernel, heard):
    """The kernel is asked for no other events than those of controls."""
    kernel_filter = kernel.opened[0].get_filter()
    assert (kernel_filter.vendor, kernel_filter.kev_class, kernel_filter.subclass) == (1, 3, 2)


@pytest.mark.parametrize("raw", [b"", b"x", b"x" * 24, b"x" * 40])
async def test_garbage_is_passed_over(kernel, kit, heard, raw):
    """What is no such event is passed over."""
    for pcb in kernel.pcbs:
        pcb.offer(raw or b"\0")
    kernel.post(1, 3, 2, 9, bytes(8))
    kernel.post(1, 3, 2, 1, (77).to_bytes(8, "little"))
    await kit.until(lambda: heard)
    assert heard == [News(True, 77)]


async def test_listeners_leave(kernel, kit):
    """Whoever leaves hears nothing more, and leaving twice is harmless."""
    registrations = Registrations(kernel, kit.Log())
    first, second = [], []
    leave = registrations.listen(first.append)
    registrations.listen(second.append)
    registrations.start()
    registrations.start()
    leave()
    leave()
    kernel.kctl.register(kit.Registration(b"org.example.a"), Handlers())
    await kit.until(lambda: second)
    assert first == []
    assert len(kernel.opened) == 1
    await registrations.stop()
    await registrations.stop()


async def test_a_failed_socket_is_opened_again(kernel, kit, heard):
    """A socket that fails is opened again, and listeners learn that they may have missed some."""
    kernel.refusals = [KernelError("socket", "EMFILE")] * 2
    kernel.opened[0].fail_next_read("EIO")
    kernel.post(1, 3, 2, 1, bytes(8))
    await kit.until(lambda: heard)
    assert heard == [None]
    kernel.post(1, 3, 2, 2, bytes(8))
    await kit.until(lambda: len(heard) == 2)
    assert heard[1] == News(False, 0)


async def test_a_socket_that_cannot_be_opened_at_first(kernel, kit, monkeypatch):
    """A start without an event socket is made good as soon as there is one."""
    monkeypatch.setattr("kevmond.control.registrations._FIRST_WAIT", 0.001)
    kernel.refusals = [KernelError("socket", "EMFILE")] * 3
    registrations = Registrations(kernel, kit.Log())
    heard = []
    registrations.listen(heard.append)
    registrations.start()
    await kit.until(lambda: heard == [None])
    await registrations.stop()


async def test_stopped_while_it_waits(kernel, kit):
    """Stopping ends the waiting for a socket."""
    kernel.refusals = [KernelError("socket", "EMFILE")] * 1000
    registrations = Registrations(kernel, kit.Log())
    registrations.start()
    await registrations.stop()
    assert kernel.opened == []
