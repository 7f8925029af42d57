"""The program that a loader with workers starts as their coordinator."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from stokehold import _native

__all__ = ["FROZEN", "program"]

FROZEN: Final = (
    "a loader with workers starts sys.executable, which is {!r}, as `python -I -S -c ...`: in a program that is its "
    "own interpreter (frozen, or one that Python is embedded in), call stokehold.freeze_support() before all else, set "
    "sys.executable to a Python of this version, or use num_workers=0"
)
"""What to tell where the program that is started as the coordinator does not become one."""

_NATIVE: Final = """\
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader
path = sys.argv[1]
loader = ExtensionFileLoader('stokehold._native', path)
module = loader.create_module(ModuleSpec('stokehold._native', loader, origin=path))
loader.exec_module(module)
module.serve()
"""
"""Loads the extension module from its file alone, without `site` and packages, and becomes the coordinator."""

_CODE: Final = """\
import os, sys
for name in {names!r}:
    os.environ.setdefault(name, '1')
sys.path.insert(0, sys.argv[1])
from stokehold.user import begin
begin.serve()
"""
"""Becomes a coordinator that runs code of the user. Threads that libraries start when they are imported would be there
before the workers are forked, and in their way later."""

_THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def program(*, with_code: bool) -> tuple[str, list[str], str]:
    """Returns the interpreter, its arguments, and what to tell where it is none."""
    interpreter = sys.executable or ""
    if with_code:
        import subprocess  # noqa: PLC0415 (`import stokehold` stays light)

        # Options such as -W and -X are part of how code behaves.
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined] # noqa: SLF001
        package = os.fspath(Path(__file__).parents[1])
        arguments = [*flags, "-c", _CODE.format(names=_THREADS), package]
    else:
        arguments = ["-I", "-S", "-c", _NATIVE, _native.__file__]
    return interpreter, arguments, FROZEN.format(sys.executable)
