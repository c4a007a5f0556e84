"""The exec sink: what a program is given, what its end means, and that nothing of it is left."""

import asyncio
import json
import os
import signal
import sys
import textwrap
import threading

import psutil
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from kevmond.errors import PermanentError, RetryableError
from kevmond.sinks.exec import FIELDS, ExecSettings, ExecSink
from kevmond.sinks.health import State
from kevmond.sinks.runner import SinkRunner
from kevmond.sinks.testing import MemoryJournal, odd_records, records


@pytest.fixture
def program(tmp_path):
    """Return a function that makes an executable program of Python's, and returns its path."""

    def make(source, first_line=f"#!{sys.executable} -IS"):
        path = tmp_path / "program"
        path.write_text(f"{first_line}\nimport os, sys\n{textwrap.dedent(source)}")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
async def sink():
    """Return a function that makes and opens a sink; all are closed afterwards."""
    made = []

    async def make(command, *arguments, **settings):
        one = ExecSink("tell", ExecSettings(command=(command, *arguments), **settings))
        made.append(one)
        await one.open()
        return one

    yield make
    for one in made:
        await one.aclose()
    assert psutil.Process().children(recursive=True) == []


async def test_an_event_is_given_as_json_on_standard_input(sink, program, tmp_path):
    """Each event is one line of its stable JSON, to a run of its own, in order."""
    out = tmp_path / "out"
    copy = program("open(sys.argv[1], 'a').write(sys.stdin.read())")
    one = await sink(copy, str(out))
    batch = records(1, 3)
    assert await _write_all(one, batch) == (3, None)
    assert out.read_bytes() == b"".join(each.line + b"\n" for each in batch)


async def test_the_fields_are_in_the_environment(sink, program, tmp_path):
    """Every listed field is there, empty where the event has none, and text is as it is."""
    out = tmp_path / "out"
    dump = program("import json; json.dump(dict(os.environ), open(sys.argv[1], 'w'))")
    one = await sink(dump, str(out))
    await one.write(records(7, 7))
    given = json.loads(out.read_text())
    event = records(7, 7)[0].event
    assert given["KEVMOND_TYPE"] == "network.dl.link-off"
    assert given["KEVMOND_ID"] == event.id
    assert given["KEVMOND_SEQ"] == "7"
    assert given["KEVMOND_TIME"] == event.time
    assert given["KEVMOND_SEVERITY"] == event.severity.value
    assert given["KEVMOND_INTERFACE"] == "en0"
    assert (given["KEVMOND_CLASS"], given["KEVMOND_SUBCLASS"]) == ("1", "2")
    assert given["KEVMOND_CODE_NAME"] == "link-off"
    assert given["KEVMOND_SYNTHETIC"] == "0"
    assert given["KEVMOND_REASON"] == ""
    assert given["KEVMOND_SINK"] == "tell"
    assert {f"KEVMOND_{field.upper()}" for field in FIELDS} <= set(given)


async def test_the_environment_is_minimal(sink, program, tmp_path, monkeypatch):
    """Nothing of the daemon's environment is passed on but what is documented and asked for."""
    monkeypatch.setenv("DAEMONS_OWN", "secret")
    monkeypatch.setenv("TOKEN_FOR_IT", "t0ken")
    monkeypatch.setenv("TMPDIR", "/tmp")
    out = tmp_path / "out"
    dump = program(
        "import json; json.dump([dict(os.environ), os.getcwd()], open(sys.argv[1], 'w'))"
    )
    one = await sink(
        dump,
        str(out),
        environment={"LANG": "C.UTF-8"},
        secrets={"TOKEN": "env:TOKEN_FOR_IT"},
        cwd=tmp_path,
    )
    await one.write(records(1, 1))
    given, cwd = json.loads(out.read_text())
    rest = {name for name in given if not name.startswith("KEVMOND_")}
    assert rest - {"__CF_USER_TEXT_ENCODING", "LC_CTYPE"} == {
        *("PATH", "HOME", "USER", "TMPDIR", "LANG", "TOKEN")
    }
    assert given["PATH"] == "/usr/bin:/bin:/usr/sbin:/sbin"
    assert given["TOKEN"] == "t0ken"
    assert cwd == str(tmp_path)
    monkeypatch.setenv("TOKEN_FOR_IT", "another")
    await one.reopen()
    await one.write(records(2, 2))
    assert json.loads(out.read_text())[0]["TOKEN"] == "another"


async def test_odd_events_can_be_given(sink, program):
    """Malformed messages, odd names and NUL bytes neither stop the sink nor reach a shell."""
    one = await sink(program("sys.stdin.read()"))
    assert await _write_all(one, odd_records(1)) == (len(odd_records(1)), None)


async def test_a_batch_is_given_to_one_run(sink, program, tmp_path):
    """Per batch there is one run, with all lines, and the first and last id in the environment."""
    out = tmp_path / "out"
    count = program(
        """
        with open(sys.argv[1], "a") as out:
            names = ("COUNT", "FIRST_SEQ", "LAST_SEQ", "FIRST_ID", "LAST_ID")
            told = [os.environ["KEVMOND_" + name] for name in names]
            print(len(sys.stdin.readlines()), *told, file=out)
        """
    )
    one = await sink(count, str(out), per="batch")
    batch = records(1, 2000)  # more than a pipe holds
    assert await one.write(batch) is None
    first, last = batch[0].event.id, batch[-1].event.id
    assert out.read_text().split() == ["2000", "2000", "1", "2000", first, last]


async def test_a_program_need_not_read_its_input(sink):
    """One that ends without reading what does not fit into a pipe took it."""
    one = await sink("true", per="batch")
    assert await one.write(records(1, 2000)) is None


async def test_output_that_never_ends_takes_no_memory(sink, program):
    """Only the last 4 KiB are kept, and they are in the error, fit for a terminal."""
    noise = program(r"""
        for _ in range(3000): sys.stdout.write("x" * 1000)
        sys.stdout.flush()
        sys.stderr.write("\n\x1b[31m the disk \n is full")
        sys.exit(3)
    """)
    one = await sink(noise)
    with pytest.raises(RetryableError) as caught:
        await one.write(records(1, 1))
    text = str(caught.value)
    assert text.startswith(f"{noise}: exit code 3; it said: xxx")
    assert text.endswith("x \N{REPLACEMENT CHARACTER}[31m the disk is full")
    assert 4000 < len(text) < 4096 + 200


@pytest.mark.parametrize("code", [1, 3, 75, 255])
async def test_a_code_other_than_zero_asks_for_another_attempt(sink, program, code):
    """Unless it is listed as permanent, every exit code but 0 is retryable."""
    one = await sink(program(f"sys.exit({code})"), permanent_codes=(65,))
    with pytest.raises(RetryableError, match=f"exit code {code}$"):
        await one.write(records(1, 2))


async def test_a_permanent_code_is_about_one_event(sink, program):
    """The events before it are told as taken first; then it alone is given up."""
    picky = program("sys.exit(65 if os.environ['KEVMOND_SEQ'] == '3' else 0)")
    one = await sink(picky, permanent_codes=(65,))
    taken, error = await _write_all(one, records(1, 4))
    assert (taken, type(error), error.count) == (2, PermanentError, 1)
    assert str(error).endswith("exit code 65")
    assert await _write_all(one, records(4, 4)) == (1, None)


async def _write_all(sink, batch):
    """Write until all is taken or one attempt fails; return how many were taken, and the error."""
    done = 0
    try:
        while done < len(batch):
            done += await sink.write(batch[done:])
    except (RetryableError, PermanentError) as error:
        return done, error
    return done, None


async def test_a_failure_behind_taken_events_is_one_attempt(sink, program, tmp_path):
    """The events before the failing one are acknowledged, and its failure told without a rerun."""
    out = tmp_path / "out"
    picky = program(
        """
        open(sys.argv[1], "a").write(os.environ["KEVMOND_SEQ"] + "\\n")
        sys.exit(os.environ["KEVMOND_SEQ"] == "2")
        """
    )
    one = await sink(picky, str(out))
    assert await one.write(records(1, 2)) == 1
    with pytest.raises(RetryableError, match="exit code 1"):
        await one.write(records(2, 3))
    assert out.read_text().split() == ["1", "2"]


async def test_a_signal_asks_for_another_attempt(sink, program):
    """A program that was killed is named with the signal."""
    one = await sink(program("os.kill(os.getpid(), 11)"))
    with pytest.raises(RetryableError, match="it was killed by SIGSEGV"):
        await one.write(records(1, 1))


async def test_a_program_that_runs_too_long_is_ended_with_all_it_started(sink, program, tmp_path):
    """At the timeout the whole process group goes: first asked, then killed; no zombie is left."""
    out = tmp_path / "pids"
    deaf = program(
        """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = os.fork()
        if child:
            with open(sys.argv[1], "w") as pids:
                pids.write(f"{os.getpid()} {child}")
        time.sleep(600)
        """
    )
    one = await sink(deaf, str(out), timeout=1, kill_after=0.2)
    with pytest.raises(RetryableError, match="ran longer than 1 s and was ended"):
        await one.write(records(1, 1))
    pids = [int(pid) for pid in out.read_text().split()]
    assert len(pids) == 2
    for pid in pids:
        assert await _gone(pid)


async def _gone(pid):
    """Wait until a process is there no more, or only as a zombie that init has yet to reap."""
    for _ in range(1000):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return psutil.Process(pid).ppid() != os.getpid()
        except psutil.NoSuchProcess:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_sigterm_comes_first(sink, program):
    """A program that is asked to end has time to say why it took so long."""
    polite = program(
        """
        import signal, time
        def end(*_):
            print("half done", flush=True)
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        time.sleep(600)
        """
    )
    one = await sink(polite, timeout=1, kill_after=20, write_timeout=60)
    with pytest.raises(RetryableError, match="was ended; it said: half done"):
        await one.write(records(1, 1))


async def test_what_a_program_leaves_running_does_not_hold_it_up(sink, program, tmp_path):
    """A child that keeps the output open is left alone; its parent's exit code is what counts."""
    out = tmp_path / "pid"
    starter = program(
        """
        import time
        child = os.fork()
        if not child:
            time.sleep(600)
        open(sys.argv[1], "w").write(str(child))
        os._exit(0)
        """
    )
    one = await sink(starter, str(out), timeout=60, write_timeout=120)
    assert await asyncio.wait_for(one.write(records(1, 1)), 30) == 1
    os.kill(int(out.read_text()), signal.SIGKILL)
    assert await _gone(int(out.read_text()))


async def test_no_file_of_the_daemon_is_inherited(sink, program, tmp_path):
    """A program has its three standard files, even where one of ours is inheritable."""
    out = tmp_path / "out"
    lister = program(
        """
        found = []
        for fd in range(3, 256):
            try:
                os.fstat(fd)
                found.append(fd)
            except OSError:
                pass
        open(sys.argv[1], "w").write(repr(found))
        """
    )
    reading, writing = os.pipe()
    os.set_inheritable(reading, True)
    os.set_inheritable(writing, True)
    try:
        one = await sink(lister, str(out))
        await one.write(records(1, 1))
    finally:
        os.close(reading)
        os.close(writing)
    assert out.read_text() == "[]"


async def test_a_program_is_in_a_session_of_its_own(sink, program, tmp_path):
    """A Ctrl-C in the daemon's terminal does not reach it, and signals are at their defaults."""
    out = tmp_path / "out"
    tell = program(
        """
        import signal
        sigpipe = open("/proc/self/status").read() if os.path.exists("/proc/self/status") else ""
        ignored = [line.split()[1] for line in sigpipe.splitlines() if line.startswith("SigBlk")]
        open(sys.argv[1], "w").write(f"{os.getsid(0) == os.getpid()} {ignored}")
        """
    )
    one = await sink(tell, str(out))
    await one.write(records(1, 1))
    assert out.read_text() in {"True ['0000000000000000']", "True []"}


async def test_programs_run_side_by_side_and_are_acknowledged_in_order(sink, program, tmp_path):
    """With concurrency 2 the second runs while the first waits for it; both are told together."""
    meet = program(
        """
        import time
        seq = os.environ["KEVMOND_SEQ"]
        open(f"{sys.argv[1]}/{seq}", "w").close()
        while seq == "1" and not os.path.exists(f"{sys.argv[1]}/2"):
            time.sleep(0.005)
        """
    )
    one = await sink(meet, str(tmp_path), concurrency=2)
    assert await one.write(records(1, 2)) == 2


async def test_one_that_overtook_does_not_run_twice(sink, program, tmp_path):
    """When the first of two fails, nothing is acknowledged, and the second is not run again."""
    out = tmp_path / "out"
    source = """
        import time
        seq = os.environ["KEVMOND_SEQ"]
        log = f"{sys.argv[1]}"
        def ran():
            return open(log).read().split() if os.path.exists(log) else []
        while seq == "1" and "2" not in ran():
            time.sleep(0.005)
        first = seq not in ran()
        open(log, "a").write(seq + "\\n")
        sys.exit(seq == "1" and first)
    """
    one = await sink(program(source), str(out), concurrency=2)
    with pytest.raises(RetryableError, match="exit code 1"):
        await one.write(records(1, 2))
    assert await one.write(records(1, 2)) == 2
    assert sorted(out.read_text().split()) == ["1", "1", "2"]


async def test_concurrency_is_bounded(sink, program, tmp_path):
    """Never more programs run at once than are allowed."""
    out = tmp_path / "out"
    crowd = program(
        """
        import fcntl, time
        def note(word):
            with open(sys.argv[1], "a") as log:
                fcntl.flock(log, fcntl.LOCK_EX)
                log.write(word + "\\n")
        note("+")
        time.sleep(0.02)
        note("-")
        """
    )
    one = await sink(crowd, str(out), concurrency=3)
    assert await _write_all(one, records(1, 12)) == (12, None)
    running = most = 0
    for word in out.read_text().split():
        running += 1 if word == "+" else -1
        most = max(most, running)
    assert most <= 3


async def test_a_cancelled_write_ends_its_program(sink, program, tmp_path):
    """When nobody waits any more the program is ended, and closing waits for that."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    hang = program("import time; open(sys.argv[1], 'w').close(); time.sleep(600)")
    one = await sink(hang, str(fifo), timeout=600, write_timeout=900)
    write = asyncio.ensure_future(one.write(records(1, 1)))
    await asyncio.to_thread(lambda: fifo.open().close())  # it runs
    assert len(psutil.Process().children()) == 1
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    await asyncio.wait_for(one.aclose(), 20)
    assert psutil.Process().children() == []


async def test_the_loop_is_not_held_up(sink, program, tmp_path):
    """While a program runs the loop goes on: it is what lets the program end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    wait = program("open(sys.argv[1]).read()")
    one = await sink(wait, str(fifo), timeout=60, write_timeout=120)
    write = asyncio.ensure_future(one.write(records(1, 1)))
    await asyncio.to_thread(lambda: fifo.open("w").close())
    assert await write == 1


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("/no/such/program", "there is no such program"),
        ("no-such-program-anywhere", "no such program in /usr/bin:/bin"),
        ("/tmp", "it is a folder"),
        ("/etc/passwd", "this user may not run it"),
    ],
)
async def test_a_program_that_is_not_there_is_told_at_open(sink, command, told):
    """A missing program is waited for: it may come, and the events wait in the journal."""
    with pytest.raises(RetryableError, match=told):
        await sink(command)


async def test_a_program_that_went_away_is_retryable(sink, program, tmp_path):
    """A program that is replaced at the wrong moment costs no event."""
    one = await sink(program("pass"))
    (tmp_path / "program").unlink()
    with pytest.raises(RetryableError, match="there is no such program"):
        await one.write(records(1, 1))


async def test_why_a_program_cannot_start_is_told(sink, program, tmp_path):
    """No interpreter, no first line, no folder: each has its own advice."""
    one = await sink(program("pass", "#!/no/such/interpreter"))
    with pytest.raises(RetryableError, match=r"ENOENT .*interpreter in its first line"):
        await one.write(records(1, 1))
    program("pass", "neither script nor program")
    with pytest.raises(RetryableError, match=r"ENOEXEC .*first line such as"):
        await one.write(records(1, 1))
    one = await sink("true", cwd=tmp_path / "gone")
    with pytest.raises(RetryableError, match=r"cannot start in the folder .*gone: ENOENT; set cwd"):
        await one.write(records(1, 1))


async def test_output_is_logged_where_that_is_wanted(sink, program):
    """With log_output what a program said is in the daemon's log, with the event's position."""
    one = await sink(program("print('done', 'well')"), log_output=True)
    with capture_logs() as logged:
        await one.write(records(5, 5))
    assert logged == [
        {"event": "exec", "log_level": "warning", "sink": "tell", "seq": 5, "output": "done well"}
    ]


async def test_a_missing_secret_is_named(sink, monkeypatch):
    """The reference is in the error, and the sink is tried again."""
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(Exception, match="env:NOT_THERE: the variable is not set"):
        await sink("true", secrets={"TOKEN": "env:NOT_THERE"})


async def test_in_the_runner_every_event_is_run_once(program, tmp_path):
    """A failing event is tried until it is taken; order is kept and none runs twice."""
    out = tmp_path / "out"
    flaky = program(
        """
        seq = os.environ["KEVMOND_SEQ"]
        tried = f"{sys.argv[1]}-{seq}"
        if int(seq) % 4 == 0 and not os.path.exists(tried):
            open(tried, "w").close()
            sys.exit(75)
        open(sys.argv[1], "a").write(seq + "\\n")
        """
    )
    settings = ExecSettings(command=(flaky, str(out)), start="oldest", retry_initial=0.001)
    journal = MemoryJournal(records(1, 13))
    sink = ExecSink("tell", settings)
    runner = SinkRunner("tell", sink, settings, journal, announce=lambda _payload: None)
    await runner.start()
    await runner.drain(60)
    assert runner.health.state is State.STOPPED
    assert out.read_text().split() == [str(seq) for seq in range(1, 14)]
    assert runner.health.counters.retried == 3
    assert (runner.position, runner.health.counters.delivered) == (13, 13)


async def test_in_the_runner_a_permanent_code_gives_up_one_event(program, tmp_path):
    """One event is dropped and counted, and those around it are delivered."""
    out = tmp_path / "out"
    picky = program(
        """
        seq = os.environ["KEVMOND_SEQ"]
        if seq == "3":
            sys.exit(65)
        open(sys.argv[1], "a").write(seq + "\\n")
        """
    )
    settings = ExecSettings(command=(picky, str(out)), start="oldest", permanent_codes=(65,))
    journal = MemoryJournal(records(1, 5))
    sink = ExecSink("tell", settings)
    runner = SinkRunner("tell", sink, settings, journal, announce=lambda _payload: None)
    await runner.start()
    await runner.drain(60)
    assert out.read_text().split() == ["1", "2", "4", "5"]
    counters = runner.health.counters
    assert (counters.delivered, counters.dropped, runner.position) == (4, 1, 5)


async def test_threads_end_with_the_sink(sink):
    """Closing leaves no thread behind."""
    one = await sink("true", concurrency=4)
    await one.write(records(1, 8))
    await one.aclose()
    for thread in threading.enumerate():
        if thread.name.startswith("sink-tell"):
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"command": []}, "at least 1 item"),
        ({"command": ["bin/tell"]}, "as an absolute path"),
        ({"command": [""]}, "the program's name is empty"),
        ({"command": ["true"], "timeout": 30}, "write_timeout must be 33 s at least"),
        ({"command": ["true"], "permanent_codes": [75]}, "75 cannot be one"),
        ({"command": ["true"], "permanent_codes": [0]}, "0 cannot be one"),
        ({"command": ["true"], "environment": {"KEVMOND_ID": "x"}}, "variable of your own"),
        ({"command": ["true"], "secrets": {"A=B": "env:X"}}, "variable of your own"),
        ({"command": "true"}, "valid tuple"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, told):
    """What would fail at every event is an error of the configuration."""
    with pytest.raises(ValidationError, match=told):
        ExecSettings(**settings)
