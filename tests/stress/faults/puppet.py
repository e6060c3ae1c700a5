"""A forked process that stops where the test wants it, and goes on when the test says so."""

from __future__ import annotations

import json
import os
import select
import signal
import traceback
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.stress.faults.points import Points

PATIENCE = 60.0


class Puppet:
    """Runs ``play`` in a child process that is held at each of ``traps``: a point's name, or (name, n-th time).

    The child is the caller's fork: it has what the caller has. ``play``'s result comes back as JSON.
    """

    def __init__(self, points: Points, play: Callable[[], object], *traps: str | tuple[str, int]) -> None:
        out, told = os.pipe()
        heard, back = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(out)
                os.close(back)
                points.pipe(told, heard)
                for trap in traps:
                    name, nth = (trap, 1) if isinstance(trap, str) else trap
                    points.arm(name, "trap", nth)
                os.write(told, b"done " + json.dumps(play()).encode() + b"\n")
                code = 0
            except BaseException:
                os.write(told, b"raised " + json.dumps(traceback.format_exc()).encode() + b"\n")
            finally:
                os._exit(code)
        os.close(told)
        os.close(heard)
        self._out, self._back, self._unread = out, back, b""
        self._place = ""
        self._result: Any = None
        self.alive = True

    def at(self) -> str:
        """Where it is held, once it is; "done": it has come to its end."""
        word, _, rest = self._line().partition(" ")
        assert word != "raised", json.loads(rest)
        self._result = json.loads(rest) if word == "done" else None
        self._place = rest if word == "at" else word
        return self._place

    def until(self, point: str) -> Puppet:
        """It is held at ``point``."""
        assert (place := self.at()) == point, place
        return self

    def go(self) -> None:
        """Go on from where it is held."""
        os.write(self._back, b"g")

    def each(self) -> Iterator[str]:
        """The places where it is held, one after the other; it goes on when the next is asked for."""
        while (place := self.at()) != "done":
            yield place
            self.go()

    def result(self) -> Any:
        """Let it run to its end, past whatever holds it; what ``play`` returned."""
        if self._place != "done":
            self.go()
            for _ in self.each():
                pass
        self.reap()
        return self._result

    def stop(self) -> None:
        """As a kernel would: SIGSTOP, and wait until it has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitpid(self.pid, os.WUNTRACED)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        self.reap()

    def reap(self) -> None:
        """Wait for its end. Idempotent."""
        if self.alive:
            self.alive = False
            os.waitpid(self.pid, 0)
            os.close(self._out)
            os.close(self._back)

    def _line(self) -> str:
        while b"\n" not in self._unread:
            assert select.select([self._out], [], [], PATIENCE)[0], "it neither came to a trap nor to its end"
            data = os.read(self._out, 4096)
            assert data, "it ended without a word"
            self._unread += data
        line, self._unread = self._unread.split(b"\n", 1)
        return line.decode()
