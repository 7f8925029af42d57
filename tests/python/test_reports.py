"""What coordinator and workers report: through the trainer's logging, and never in the way of a batch."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from support import PRELUDE, PROGRAM_SECONDS, eventually, is_running, run_trainer

STALL = """
pool = loader(prefetch=1, stall_timeout=0.5)
batches = iter(pool)
seen = [next(batches)["x"].tobytes()]
for pid in pids(pool)[1:]:
    os.kill(pid, signal.SIGSTOP)
seen += [batch["x"].tobytes() for batch in batches]
assert seen == orders(loader(num_workers=0))
"""


def filled(descriptor: int) -> None:
    """Fills a pipe or socket, which is then as it was: whoever writes to it waits."""
    os.set_blocking(descriptor, False)
    for size in (4096, 1):
        with suppress(BlockingIOError):
            while True:
                os.write(descriptor, bytes(size))
    os.set_blocking(descriptor, True)


@pytest.mark.parametrize("end", ["closed", "killed"])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_standard_descriptors_that_nobody_reads_stop_nothing(kind: str, end: str) -> None:
    if kind == "pipe":
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    else:
        import socket  # noqa: PLC0415

        reading, writing = (each.detach() for each in socket.socketpair())
    told, tell = os.pipe()
    filled(writing)
    code = f"{PRELUDE}{STALL}os.write({tell}, json.dumps(pids(pool)).encode())\n"
    code += "pool.close()" if end == "closed" else "time.sleep(1000)"
    try:
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=writing, stderr=writing, pass_fds=[tell], start_new_session=True
        ) as process:
            os.close(tell)
            watchdog = time.monotonic() + PROGRAM_SECONDS
            os.set_blocking(told, False)
            text = b""
            while not text and process.poll() is None and time.monotonic() < watchdog:
                time.sleep(0.05)
                with suppress(BlockingIOError):
                    text = os.read(told, 1000)
            if end == "killed" or not text:
                process.kill()
            assert text, "nothing came past the stalled workers"
            assert process.wait(PROGRAM_SECONDS) == (0 if end == "closed" else -9)
            pids = [int(pid) for pid in text.decode().strip("[]").split(",")]
            assert eventually(lambda: not any(map(is_running, pids)))
    finally:
        for descriptor in (reading, writing, told):
            os.close(descriptor)


def test_a_report_is_printed_where_logging_is_not_configured() -> None:
    status, _, err = run_trainer(STALL)
    assert status == 0, err
    lines = err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("stokehold: worker ") and "stalled" in line for line in lines)


def test_a_report_goes_to_the_handlers_that_there_are_and_no_further() -> None:
    code = f"""
import logging
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
{STALL}"""
    status, out, err = run_trainer(code)
    assert (status, err) == (0, "")
    assert [line.split()[:3] for line in out.splitlines()] == [["WARNING", "stokehold", "worker"]] * 2


@pytest.mark.parametrize(
    "stderr", ["None", "type('Notebook', (io.StringIO,), {'write': lambda self, text: os.write(1, text.encode())})()"]
)
def test_a_standard_error_that_is_no_file_is_written_to(stderr: str) -> None:
    status, out, err = run_trainer(f"import io\nsys.stderr = {stderr}\n{STALL}")
    assert (status, err) == (0, "")
    assert out.count("stalled") == (0 if stderr == "None" else 2)


def test_the_last_words_of_a_coordinator_are_in_the_error() -> None:
    code = """
sys.executable = "/bin/sh"
try:
    loader()
except sh.WorkerError as error:
    say(error)
"""
    status, out, err = run_trainer(code)
    assert status == 0, err
    assert "its last words: " in out
    assert "-S" in out or "-I" in out or "option" in out, out
