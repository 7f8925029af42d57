"""What the coordinator and the workers of a loader report, as log records of the logger ``stokehold``."""

from __future__ import annotations

import logging
import sys
from typing import Final

from stokehold import _native

__all__ = ["tell"]

_LOGGER: Final = logging.getLogger("stokehold")


def tell(line: str) -> None:
    """Logs a line as a warning."""
    _LOGGER.warning("%s", line)


class _StandardError(logging.Handler):
    """Where nobody has configured logging, prints as `logging.lastResort` does, but never waits.

    A pipe that nobody reads any more, or a stopped terminal, would otherwise stop the training.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Prints a record, unless another handler takes it."""
        if any(handler is not self for handler in _handlers(_LOGGER)) or sys.stderr is None:
            return
        line = f"stokehold: {record.getMessage()}"
        try:
            descriptor = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):
            # No file: a notebook's, say.
            try:
                print(line, file=sys.stderr)
            except Exception:  # noqa: BLE001 (whatever it is, it is no reason to lose a batch)
                self.handleError(record)
            return
        _native.print_line(descriptor, line)


def _handlers(logger: logging.Logger | None) -> list[logging.Handler]:
    """Returns the handlers that see a logger's records."""
    found: list[logging.Handler] = []
    while logger is not None:
        found += logger.handlers
        logger = logger.parent if logger.propagate else None
    return found


_LOGGER.addHandler(_StandardError(logging.WARNING))
