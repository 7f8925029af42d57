"""A process that measures when it is told to, so that many take turns without being started again."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import environments

# What a process may take until it is ready, and beside the seconds of its turn.
PATIENCE = 120.0


class Process:
    """A peer's script with `--turns`."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.log = log
        with log.open("w") as errors:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environments.variables(),
                start_new_session=True,
            )
        self.answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.child.stdout or ():
            # The libraries print too.
            if line.startswith(('{"turns"', '{"turn"')):
                self.answers.put(next(iter(json.loads(line).values())))
        self.answers.put(None)

    def answer(self, seconds: float) -> dict[str, Any]:
        """Returns what the process says next.

        Raises:
            TimeoutError, ChildProcessError: It says nothing in time, or has ended.
        """
        try:
            said = self.answers.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer within {seconds:.0f} s") from None
        if said is None:
            raise ChildProcessError(environments.last_words(self.log.read_text(errors="replace")))
        return said

    def turn(self, seconds: float) -> dict[str, float]:
        """Lets the process measure for some seconds."""
        print(seconds, file=self.child.stdin, flush=True)
        return self.answer(PATIENCE + 4 * seconds)

    def end(self) -> None:
        """Ends the process and what it has started."""
        if self.child.stdin is not None:
            with contextlib.suppress(OSError):
                self.child.stdin.close()
        # It ends its own processes, those in sessions of their own too.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()
