"""The sockets between the trainer and its workers."""

from __future__ import annotations

import socket

from stokehold import _native

__all__ = ["End", "pair"]


class End(socket.socket):
    """One end of a connection, which is closed without a warning when nobody has it any more.

    An iterator that is left to the garbage collector closes its sockets, but one that is part of a cycle may be asked
    to after them.
    """

    def __del__(self) -> None:
        self.close()


def pair() -> tuple[End, End]:
    """Returns both ends of a connection that keeps messages apart; none has the number of a standard descriptor."""
    taken = _native.StdioTaken()
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    del taken
    one, other = (End(fileno=end.detach()) for end in ends)
    return one, other
