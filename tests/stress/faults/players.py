"""The fault matrix's players as the test sees them: processes forked by a zygote (zygote.py)."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]


class Player:
    """One process of the play; its standard input is a pipe, its output a file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        os.mkfifo(folder / "in")
        self._pipe = os.open(folder / "in", os.O_RDWR)
        self.pid = 0

    @property
    def lines(self) -> list[str]:
        path = self.folder / "out"
        text = path.read_text() if path.exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def await_line(self, wanted: str) -> str:
        """The first line that starts with ``wanted``, once it is there."""

        def find() -> str | None:
            lines = self.lines
            assert not [line for line in lines if line.startswith("broken")], lines
            return next((line for line in lines if line.startswith(wanted)), None)

        found = wait_until(find, what=f"the line {wanted!r}; so far {self.lines[-3:]}")
        assert found is not None
        return found

    def say(self, line: str) -> None:
        os.write(self._pipe, line.encode() + b"\n")

    def go(self) -> None:
        """Go on from where it is held."""
        os.write(self._pipe, b"g")

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    @property
    def state(self) -> str:
        """As the kernel has it: T is stopped; nothing: it is gone."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][0]
        except (FileNotFoundError, ProcessLookupError):
            return ""

    def await_state(self, state: str) -> None:
        wait_until(lambda: self.state == state, what=f"state {state!r}")

    @property
    def frames(self) -> list[tuple[int, int, bool, bool, bool]]:
        """(sequence, epoch, keyframe, configuration, discontinuity) of each frame a reader got."""
        words = [line.split() for line in self.lines if line.startswith("frame ")]
        return [(int(w[1]), int(w[2]), w[3] == "1", w[4] == "1", w[5] == "1") for w in words]

    def clean(self) -> None:
        children = [int(line.split()[1]) for line in self.lines if line.startswith("child ")]
        for pid in (*children, *([self.pid] if self.state else ())):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        os.close(self._pipe)


class Company:
    """Starts players; `dismiss` ends them."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._players: list[Player] = []
        command = [sys.executable, "-X", "faulthandler", "-m", "tests.stress.faults.zygote"]
        self._errors = (folder / "errors").open("wb")
        self._zygote = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        assert self._zygote.stdout is not None
        assert self._zygote.stdout.readline() == b"ready\n", (folder / "errors").read_text()

    def start(self, socket: str, role: str, way: str, *arguments: str) -> Player:
        """A player of that role; ``way``: the signal it will get."""
        player = Player(self._folder / str(next(self._numbers)))
        self._players.append(player)
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps([str(player.folder), role, way, socket, *arguments]).encode() + b"\n")
        self._zygote.stdin.flush()
        player.pid = int(player.await_line("pid").split()[1])
        return player

    def dismiss(self) -> None:
        for player in self._players:
            player.clean()
        self._players.clear()

    def close(self) -> None:
        self.dismiss()
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.close()
        self._zygote.wait(20)
        self._zygote.stdout.close()
        self._errors.close()
