"""How many messages a receive buffer holds: every figure that was measured on XNU's own code."""

from contextlib import closing

import pytest

from kevmond.errors import KernelError
from kevmond.kernel.base import KernelFilter
from kevmond.kernel.simulated.model import SimulatedKernel

PAYLOADS = (0, 24, 48, 100, 200)
REFUSED = (32768, (1024, 682, 455, 264, 146))
"""After a refused SO_RCVBUF: the default stays."""

# SO_RCVBUF set -> errno, SO_RCVBUF read back, messages queued for each payload size
MEASURED = {
    None: (None, 32768, (1024, 682, 455, 264, 146)),
    1: (None, 1, (0, 0, 0, 0, 0)),
    100: (None, 100, (4, 2, 1, 0, 0)),
    2048: (None, 2048, (64, 42, 28, 16, 9)),
    8192: (None, 8192, (256, 170, 113, 66, 36)),
    16384: (None, 16384, (512, 341, 227, 132, 73)),
    32768: (None, 32768, (1024, 682, 455, 264, 146)),
    65536: (None, 65536, (2048, 1365, 910, 528, 292)),
    131072: (None, 131072, (4096, 2730, 1820, 1057, 585)),
    262144: (None, 262144, (8192, 5461, 3640, 2114, 1170)),
    1048576: (None, 1048576, (32768, 21845, 14563, 8456, 4681)),
    4194304: (None, 4194304, (32768, 32768, 32768, 32768, 18724)),
    7456540: (None, 7456540, (32768, 32768, 32768, 32768, 32768)),
    7456541: ("ENOBUFS", *REFUSED),
    8388608: ("ENOBUFS", *REFUSED),
    16777216: ("ENOBUFS", *REFUSED),
    0: ("EINVAL", *REFUSED),
    -1: ("EINVAL", *REFUSED),
}


@pytest.mark.parametrize("index", range(len(PAYLOADS)), ids=[f"payload-{n}" for n in PAYLOADS])
@pytest.mark.parametrize("size", MEASURED)
def test_measured_cell(size, index):
    """A buffer of each size queues exactly as many messages as XNU did, then drops the new one."""
    refused_with, reads, queued = MEASURED[size]
    kernel = SimulatedKernel()
    with closing(kernel.open_event_socket(32768)) as sock:
        if refused_with is not None:
            with pytest.raises(KernelError) as refusal:
                sock.set_receive_space(size)
            assert refusal.value.symbol == refused_with
        elif size is not None:
            sock.set_receive_space(size)
        assert sock.receive_space == reads
        sock.set_filter(KernelFilter())
        payload = bytes(PAYLOADS[index])
        while not sock.dropped():
            kernel.post(1, 1, 2, 13, payload)
        assert kernel.last_id - 1 == queued[index]
        statistics = kernel.statistics()
        assert (statistics.posted, statistics.fullsock) == (queued[index], 1)


def test_smaller_message_still_fits():
    """After a drop a smaller message may still get in: 24 and 192 in turn, then 0."""
    kernel = SimulatedKernel()
    with closing(kernel.open_event_socket(32768)) as sock:
        sock.set_filter(KernelFilter())
        while not sock.dropped():
            kernel.post(1, 1, 2, 13, bytes((24, 192)[kernel.last_id % 2]))
        assert kernel.statistics().posted == 248
        kernel.post(1, 1, 2, 13)
        kernel.post(1, 1, 2, 13)
        assert kernel.statistics().posted == 249


def test_newer_kernels_clamp():
    """A kernel that clamps grants sb_max instead of refusing, and has no ceiling of 32,768."""
    kernel = SimulatedKernel(clamp_receive_space=True)
    with closing(kernel.open_event_socket(16777216)) as sock:
        assert sock.receive_space == 8388608
        sock.set_filter(KernelFilter())
        for _ in range(40000):
            kernel.post(1, 1, 2, 13, bytes(24))
        assert sock.dropped() == 0


def test_arm64_limit():
    """A kernel with 512-byte mbufs takes messages of 288 bytes, and charges 512 for each."""
    kernel = SimulatedKernel(message_limit=288)
    with closing(kernel.open_event_socket(2048)) as sock:
        sock.set_filter(KernelFilter())
        kernel.post(1, 1, 2, 13, bytes(264))
        with pytest.raises(KernelError, match="289 > 288"):
            kernel.post(1, 1, 2, 13, bytes(265))
        sock.recv_into(memoryview(bytearray(1024)))
        while not sock.dropped():
            kernel.post(1, 1, 2, 13)
        assert kernel.statistics().posted - 1 == 8 * 2048 // 512
