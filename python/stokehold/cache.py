"""Where indices are kept on disk."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(given: str | os.PathLike[str] | bool) -> Path | None:
    """Returns the folder that was given as ``cache``, as an absolute path; None where nothing is kept.

    True is ``stokehold`` in the user's cache, by the XDG Base Directory Specification; without a home there is none.
    """
    if given is False or given == "":
        return None
    if given is not True:
        return Path(given).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "stokehold"
    home = Path("~").expanduser()
    return home / ".cache" / "stokehold" if home.is_absolute() else None
