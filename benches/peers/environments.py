"""An environment for each peer, with exactly the packages that its table names, and the processes in it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any


def ready(home: Path, peer: dict[str, Any], *, apt: bool) -> str:
    """Makes a peer's environment in a folder unless it is there; returns why that failed, or nothing."""
    missing = [package for package in peer.get("debian", []) if not installed(package)]
    if missing and apt:
        result = quiet(["apt-get", "install", "--yes", "--no-install-recommends", *missing])
        missing = [] if result.returncode == 0 else missing
    if missing:
        return f"needs the Debian packages {' '.join(missing)} (--apt installs them)"
    if not peer["requires"]:
        return ""
    stamp = home / "requires.txt"
    wanted = "\n".join(peer["requires"])
    if stamp.exists() and stamp.read_text() == wanted:
        return ""
    python = interpreter(peer)
    if python is None:
        return f"needs Python {peer['python']} on the PATH"
    print(f"environment of {home.name}", file=sys.stderr, flush=True)
    shutil.rmtree(home, ignore_errors=True)
    uv = str(Path(sys.prefix) / "bin" / "uv")
    for command in (
        [uv, "venv", "--quiet", "--python", python, str(home)],
        [uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), *peer["requires"]],
    ):
        result = quiet(command)
        if result.returncode:
            return f"cannot be installed: {last_words(result.stderr)}"
    stamp.write_text(wanted)
    return ""


def installed(package: str) -> bool:
    """Tells whether a Debian package is installed."""
    if shutil.which("dpkg-query") is None:
        return False
    return "install ok installed" in quiet(["dpkg-query", "--show", "--showformat=${Status}", package]).stdout


def interpreter(peer: dict[str, Any]) -> str | None:
    """Returns the Python that a peer needs: this one, unless it says another."""
    version = peer.get("python")
    if version is None:
        return sys.executable
    uv = str(Path(sys.prefix) / "bin" / "uv")
    found = quiet([uv, "python", "find", "--no-project", version])
    return found.stdout.strip() if found.returncode == 0 else None


def quiet(command: list[str], seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    """Runs a command and keeps what it says."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=variables(),
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except BaseException:
            # Its workers too, or they would be in the way of all that is measured afterwards.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def last_words(text: str) -> str:
    """Returns the last line of an error report that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("hint:")]
    return lines[-1][:200] if lines else "no message"


def variables() -> dict[str, str]:
    """Returns the environment variables of a peer's process."""
    kept = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    # One thread each for what the peers' libraries would parallelise beside their workers. No Python is downloaded.
    return (
        kept
        | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        | {"UV_PYTHON_DOWNLOADS": "never"}
    )
