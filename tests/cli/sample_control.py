"""A control that speaks the sample's protocol, for the command line to talk to."""

from kevmond.control import sample
from kevmond.errors import KernelError
from kevmond.kernel.control_abi import ControlFlag
from kevmond.kernel.simulated.handlers import Handlers
from kevmond.kernel.simulated.kctl import Registration


class SampleControl(Handlers):
    """Says hello, echoes, takes commands; may lose or damage every n-th echo, or say goodbye."""

    provides = frozenset({"connect", "disconnect", "send", "setopt", "getopt"})

    def __init__(self, table, *, lose=0, damage=0, leave_after=None):
        self.table = table
        self.lose = lose
        self.damage = damage
        self.leave_after = leave_after
        """Echoes after which it says goodbye; 0: at once."""
        self.echoes = 0
        self.commands = []
        self.sequence = 0

    @classmethod
    def register(cls, kernel, name=sample.CONTROL_NAME, **more):
        """Register one in a kernel."""
        control = cls(kernel.kctl, **more)
        kernel.kctl.register(
            Registration(name.encode(), ControlFlag(0), send_size=16384, receive_size=262144),
            control,
        )
        return control

    async def connect(self, pcb, address):
        hello = sample.Hello(1, 0x010203, pcb.unit, 16384, 1, 16, 1001, 1)
        self.say(pcb, sample.MessageType.HELLO, hello.pack())

    async def disconnect(self, pcb):
        pass

    async def send(self, pcb, data, flags):
        message = sample.Message.unpack(data)
        if message.type == sample.MessageType.SUBSCRIBE:
            self.say(pcb, sample.MessageType.RESULT, sample.Result(0, 7).pack(), message.sequence)
            notice = sample.Notice(sample.NoticeKind.CLIENT_CONNECTED, 1, 42, 0, 1)
            self.say(pcb, sample.MessageType.NOTICE, notice.pack(), dropped=3)
            self.leave(pcb, 0)
        elif message.type == sample.MessageType.ECHO:
            self.echoes += 1
            payload = message.payload
            if self.lose and self.echoes % self.lose == 0:
                return
            if self.damage and self.echoes % self.damage == 0:
                payload = payload[:-1] + b"!"
            self.say(pcb, sample.MessageType.ECHO, payload, message.sequence)
            self.leave(pcb, self.echoes)

    async def setopt(self, pcb, option, value):
        if option not in (1, 2):
            raise KernelError("setsockopt", "ENOPROTOOPT")
        if value is not None and len(value) != 4:
            raise KernelError("setsockopt", "EINVAL")
        self.commands.append((option, value))

    async def getopt(self, pcb, option, value, size):
        answers = {
            1: len(self.commands).to_bytes(4, "little"),
            3: sample.Version.LAYOUT.pack(1, 0x010203, 16384, 32),
            4: sample.Statistics.LAYOUT.pack(96, 1, *range(11)),
        }
        if option not in answers:
            raise KernelError("getsockopt", "ENOPROTOOPT")
        return answers[option][: size if value is not None else None], len(answers[option])

    def leave(self, pcb, after):
        """Ask to be let go of, if it is time for that."""
        if after == self.leave_after:
            self.say(pcb, sample.MessageType.GOODBYE, sample.Goodbye(1).pack())

    def say(self, pcb, kind, payload, reply_to=0, dropped=0):
        self.sequence += 1
        message = sample.Message(kind, self.sequence, payload, reply_to, dropped)
        self.table.enqueue(pcb.control, pcb.unit, message.pack(), 2)
