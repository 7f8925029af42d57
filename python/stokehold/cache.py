"""Where indices are kept on disk."""

from __future__ import annotations

import os
from pathlib import Path

from stokehold.checks import as_truth, path, shown


def cache_folder(owner: str, given: str | os.PathLike[str] | bool) -> Path | None:
    """Returns the folder that was given to a class as ``cache``, as an absolute path; None where nothing is kept.

    True is ``stokehold`` in the user's cache, by the XDG Base Directory Specification; without a home there is none.

    Raises:
        TypeError: It is none.
    """
    keeps = as_truth(given)
    if keeps is None:
        if not isinstance(given, str | os.PathLike):
            raise TypeError(f"{owner}: cache must be True, False or the path of a folder, not {shown(given)}")
        return path(f"{owner}: cache", given).absolute() if given else None
    if not keeps:
        return None
    base = os.environ.get("XDG_CACHE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "stokehold"
    home = Path("~").expanduser()
    return home / ".cache" / "stokehold" if home.is_absolute() else None
