"""Arming the fault points of a process, from within it."""

from __future__ import annotations

import ctypes
from typing import Any, Final

ACTIONS: Final = {"kill": 1, "stop": 2, "delay": 3, "trap": 4}


class Points:
    """The fault points of one loaded `_ring` that was built with them."""

    def __init__(self, ring: Any) -> None:
        self._library = ctypes.PyDLL(ring.__file__)
        self._library.arcly_fault_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_long]

    def arm(self, name: str, action: str, nth: int = 1, microseconds: int = 0) -> None:
        """Do ``action`` the ``nth`` time ``name`` is passed (0: every time); "*" is every point."""
        assert self._library.arcly_fault_arm(name.encode(), ACTIONS[action], nth, microseconds) == 0

    def disarm(self) -> None:
        """Pass all points again."""
        self._library.arcly_fault_disarm()

    def pipe(self, out: int, back: int) -> None:
        """Traps tell ``out`` and wait for a byte from ``back``; at first these are standard output and input."""
        self._library.arcly_fault_pipe(out, back)
