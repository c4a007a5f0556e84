"""The oracle: webhook receivers that misbehave by a seed, and forget nothing they were sent.

Each endpoint has a port of its own and a chance of its own, so that what it does to its nth
request depends on the seed alone.  All run on one event loop in a thread beside the test.
"""

import asyncio
import contextlib
import random
import runpy
import socket
import ssl
import struct
import threading
import time
from email.utils import formatdate
from pathlib import Path

HERE = Path(__file__).parent
AUTHORITY = HERE / "certificates/authority.pem"
"""Certificate authority of the endpoint that speaks TLS; all of them are of no use elsewhere."""
REQUEST = runpy.run_path(str(HERE / "request.py"))

FAULTS = {
    "hang": 1,
    "reset": 4,
    "reset-after-body": 4,
    "slow": 4,
    "close-after-headers": 4,
    "close": 4,
    "torn-status": 2,
    "400": 2,
    "401": 1,
    "404": 1,
    "500": 4,
    "503": 3,
    "503-retry-after": 3,
    "429-retry-after": 3,
    "429-retry-after-date": 2,
    "301": 2,
    "307": 2,
}
"""What may happen to a request, and how often beside the others."""

PHASES = {"refuse": 3, "wrong-certificate": 2}
"""What may happen to an endpoint for a while; the second only where there is one."""

TAKEN = (200, 201, 202, 204)


class Endpoint:
    """One receiver."""

    def __init__(
        self, name, seed, *, tls=False, secrets=(), fault_rate=0.0, phase_rate=0.0, patience=0.5
    ):
        self.name = name
        self.tls = tls
        self.secrets = tuple(secrets)
        self.fault_rate = fault_rate
        self.phase_rate = phase_rate
        self.deliveries = []
        """Every request that came whole and right, in the order of arrival."""
        self.complaints = []
        """What was wrong with the others."""
        self.requests = 0
        self.faults = {}
        """How often each misfortune happened."""
        self.gone_after = None
        """From how many deliveries on the answer is 410; None: never."""
        self.refusing = False
        """Whether everything is answered with 500 until it is healed."""
        self.patience = patience
        """Seconds after which the sender may have stopped waiting for an answer."""
        self._chance = random.Random(f"{seed} {name}")
        self._context = self._make_context() if tls else None
        self._connections = set()
        self._server = None
        self._calm = asyncio.Event()
        self._phase = None
        # Bound and never listening: the port stays ours while it is refused.
        self._holder = self._bind(0)
        self.port = self._holder.getsockname()[1]
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}/{name}"

    # ------------------------------------------------------------------ asked by the test

    def taken(self, kernel_id):
        """Whether the event of the kernel with this id was taken."""
        return any(
            kernel_id in delivery.kernel_ids and delivery.verdict == "taken"
            for delivery in reversed(self.deliveries)
        )

    # ------------------------------------------------------------------ opening and closing

    @staticmethod
    def _bind(port):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    @staticmethod
    def _make_context():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(HERE / "certificates/right.pem")
        return context

    async def open(self):
        """Begin to listen."""
        sock = self._bind(self.port)
        self._server = await asyncio.start_server(
            self._serve, sock=sock, ssl=self._context, backlog=64, limit=1 << 20
        )

    async def shut(self):
        """Refuse connections, and break off those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._connections):
            writer.transport.abort()

    async def heal(self):
        """Behave from now on."""
        self._calm.set()
        if self._phase is not None:
            await self._phase

    async def aclose(self):
        """Let go of everything."""
        await self.heal()
        await self.shut()
        while self._connections:  # noqa: ASYNC110 - each ends by itself
            await asyncio.sleep(0.01)
        self._holder.close()

    # ------------------------------------------------------------------ serving

    async def _serve(self, reader, writer):
        self._connections.add(writer)
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, EOFError):
            pass
        except Exception as error:  # noqa: BLE001 - no HTTP at all
            self.complaints.append(f"{type(error).__name__}: {error}")
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await writer.wait_closed()
            self._connections.discard(writer)

    async def _one(self, reader, writer):
        """Serve one request; return whether the connection goes on."""
        head = await REQUEST["read_head"](reader)
        if head is None:
            return False
        began = time.monotonic()
        self.requests += 1
        fault = self._choose()
        if fault == "reset":
            self._reset(writer)
            return False
        body = await REQUEST["read_body"](reader, head, slowly=fault == "slow")
        if reader.at_eof() or writer.transport.is_closing():
            return False  # whoever sent it has left, and has perhaps sent other things since
        if head.method == "OPTIONS":
            return await self._send(writer, "200 OK", "WebHook-Allowed-Origin: *")
        try:
            assert head.target == f"/{self.name}", f"asked for {head.target}"
            delivery = REQUEST["understand"](head, body, self.secrets)
        except Exception as error:  # noqa: BLE001 - whatever is wrong is the sender's mistake
            self.complaints.append(f"{type(error).__name__}: {error}: {head.fields}")
            return await self._send(writer, "400 Bad Request")
        delivery.fault = fault
        self.deliveries.append(delivery)
        return await self._answer(reader, writer, delivery, began)

    def _choose(self):
        """Draw this request's fate, and now and then the endpoint's."""
        chance = self._chance
        unlucky, bad_times = chance.random(), chance.random()
        fault = chance.choices([*FAULTS], [*FAULTS.values()])[0]
        phase = chance.choices([*PHASES], [*PHASES.values()])[0] if self.tls else "refuse"
        seconds = chance.uniform(0.02, 0.4)
        if self.gone_after is not None and len(self.deliveries) >= self.gone_after:
            return "410"
        if self._calm.is_set():
            return None
        if self.refusing:
            return "500"
        if bad_times < self.phase_rate and (self._phase is None or self._phase.done()):
            self.faults[phase] = self.faults.get(phase, 0) + 1
            self._phase = asyncio.get_running_loop().create_task(self._pass(phase, seconds))
        if unlucky >= self.fault_rate:
            return None
        self.faults[fault] = self.faults.get(fault, 0) + 1
        return fault

    async def _pass(self, phase, seconds):
        """Be unusable for a while."""
        if phase == "wrong-certificate":
            self._context.load_cert_chain(HERE / "certificates/wrong.pem")
            for writer in list(self._connections):
                writer.transport.abort()
        else:
            await self.shut()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._calm.wait(), seconds)
        if phase == "wrong-certificate":
            self._context.load_cert_chain(HERE / "certificates/right.pem")
        else:
            await self.open()

    # ------------------------------------------------------------------ answers

    async def _answer(self, reader, writer, delivery, began):  # noqa: PLR0911 - one for each
        fault = delivery.fault
        match fault:
            case "hang":
                await self._until_they_leave(reader)
                return False
            case "reset-after-body":
                self._reset(writer)
                return False
            case "close":
                return False
            case "torn-status":
                writer.write(b"HTTP/1.1 2")
                await writer.drain()
                return False
            case "close-after-headers":
                delivery.verdict = "unsure"
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n")
                await writer.drain()
                return False
            case None | "slow":
                return await self._take(writer, delivery, began)
        status, _, more = fault.partition("-")
        match more:
            case "retry-after":
                return await self._send(writer, f"{status} No", "Retry-After: 0")
            case "retry-after-date":
                return await self._send(writer, f"{status} No", f"Retry-After: {_now()}")
        if status in {"301", "307"}:
            elsewhere = f"Location: {self.url.rpartition('/')[0]}/elsewhere"
            return await self._send(writer, f"{status} Over there", elsewhere)
        return await self._send(writer, f"{status} No")

    async def _take(self, writer, delivery, began):
        delivery.verdict = "unsure"
        status = TAKEN[len(self.deliveries) % len(TAKEN)]
        going = await self._send(writer, f"{status} Taken")
        if time.monotonic() - began < self.patience and not writer.transport.is_closing():
            delivery.verdict = "taken"
        return going

    @staticmethod
    async def _send(writer, status, *fields):
        text = "" if status.startswith("204") else "thank you\n"
        lines = [f"HTTP/1.1 {status}", *fields]
        if text:
            lines.append(f"Content-Length: {len(text)}")
        writer.write("\r\n".join([*lines, "", text]).encode())
        await writer.drain()
        return True

    @staticmethod
    def _reset(writer):
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _until_they_leave(self, reader):
        loop = asyncio.get_running_loop()
        leaving, healing = loop.create_task(reader.read(1)), loop.create_task(self._calm.wait())
        await asyncio.wait({leaving, healing}, return_when=asyncio.FIRST_COMPLETED)
        for task in (leaving, healing):
            task.cancel()
        await asyncio.gather(leaving, healing, return_exceptions=True)


def _now():
    return formatdate(usegmt=True)


class Oracle:
    """The endpoints, running; a context manager."""

    def __init__(self, make):
        """`make` returns the endpoints; it is called on their event loop."""
        self._make = make
        self.endpoints = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="oracle")

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20), "the receivers did not start"
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def heal(self):
        """Have every endpoint behave from now on."""
        for endpoint in self.endpoints.values():
            self.call(endpoint.heal)

    def call(self, function):
        """Call a coroutine function on the endpoints' loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(function(), self._loop).result(20)

    async def _run(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self.endpoints = {endpoint.name: endpoint for endpoint in self._make()}
        for endpoint in self.endpoints.values():
            await endpoint.open()
        self._ready.set()
        await self._end.wait()
        for endpoint in self.endpoints.values():
            await endpoint.aclose()
