"""Every cell of the fault matrix (matrix.py), with real processes and a real daemon.

``ARCLYD_STRESS=50`` plays each cell 50 times.
"""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests.daemon import Daemon
from tests.stress.faults.building import environment
from tests.stress.faults.matrix import CELLS, FAULTS, MATRIX, MOMENTS, PARTIES, Cell
from tests.stress.faults.players import Company, Player
from tests.stress.faults.slaughter import WRITERS
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUNDS = max(1, int(float(os.environ.get("ARCLYD_STRESS", "1"))))
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGSTOP": signal.SIGSTOP, "SIGTERM": signal.SIGTERM}
SIGNALS |= {"exception": signal.SIGUSR1, "fork": signal.SIGUSR2}
CONFIG = '[apps."*"]\nring_bytes = "1MiB"\nslots = 1024\ngrace = 60\n'
RAISES = {
    "idle": "arclyd.daemon.attachments:Attachments.report",
    "frame": "arclyd.daemon.attachments:Attachments.report",
    "claim": "arclyd.daemon.claims:Claims.confirm",
    "join": "arclyd.daemon.attachments:Attachments.subscribe",
    "end": "arclyd.daemon.claims:Claims.end",
}
serials = itertools.count()
pytestmark = pytest.mark.timeout(120 * ROUNDS)


class FaultyDaemon(Daemon):
    """A daemon one of whose methods raises once whenever a file is there."""

    raises = ""

    @property
    def flag(self) -> Path:
        return self.folder / "raise"

    @property
    def env(self) -> dict[str, str]:
        said = {"ARCLYD_FAULT_RAISE": f"{self.raises}:{self.flag}"} if self.raises else {}
        return {**super().env, **self.extra, **said}

    extra: dict[str, str]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory, fault_build: Path) -> Iterator[Company]:
    company = Company(tmp_path_factory.mktemp("company"), {**os.environ, **environment(fault_build)})
    yield company
    company.close()


@pytest.fixture(scope="module")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """For the cells in which nothing happens to the daemon."""
    daemon = Daemon(tmp_path_factory.mktemp("d"), CONFIG)
    daemon.start()
    yield daemon
    daemon.clean()


class Play:
    """One cell, once."""

    def __init__(self, cell: Cell, daemon: Daemon, company: Company) -> None:
        self.cell, self.daemon, self.company = cell, daemon, company
        self.key = f"live/{cell}-{next(serials)}"
        self.publisher: Player
        self.bystander: Player
        self.reader: Player | None = None
        self.held: Player | None = None
        self.epochs = [1]

    def start(self, role: str, when: str = "idle", *arguments: str, by: str = "") -> Player:
        """``by``: the party it plays; the one that is hit is held where its signal can do its work."""
        way = SIGNALS[self.cell.fault].name if by == self.cell.who else "SIGKILL"
        return self.company.start(self.daemon.socket, role, way, self.key, when, *arguments)

    @property
    def regions(self) -> list[str]:
        """Names of the stream's regions."""
        return [name for name in self.daemon.regions() if f".{self.key.replace('/', '@')}." in name]

    # ------------------------------------------------------------- the moment

    def set_up(self) -> None:
        """Everybody is where the cell wants them."""
        cell = self.cell
        at_end = cell.when == "end" and cell.who != "subscriber"
        self.publisher = self.start(
            "publisher", "end" if at_end else "idle", by="" if cell.when == "claim" else "publisher"
        )
        self.publisher.await_line("publishing 1")
        self.publish()
        self.bystander = self.start("reader", "idle", "oldest")
        self.bystander.await_line("frame 9")
        if cell.who == "subscriber" or cell.when == "join":
            self._seat_reader()
        if cell.when == "frame" and cell.who != "subscriber":
            self.publisher.say("hold")
            self.held = self.publisher
        elif cell.when == "claim":
            self._hold_a_claim()
        elif cell.when == "end":
            self.publisher.say("end")
            self.held = self.publisher if at_end else self.reader
        if self.held is not None:
            self.held.await_line("at ")

    def publish(self) -> None:
        self.publisher.say("go")

    def _seat_reader(self) -> None:
        moment = self.cell.when if self.cell.when in ("frame", "join", "end") else "idle"
        start = "keyframe" if self.cell.when == "join" else "oldest"
        self.reader = self.start("reader", moment, start, by="subscriber")
        if self.cell.when in ("frame", "join"):
            self.held = self.reader
        else:
            self.reader.await_line("frame 9")

    def _hold_a_claim(self) -> None:
        self.publisher.signal(signal.SIGKILL)
        self.publisher.await_state("")
        self.await_state("interrupted")
        self.publisher = self.held = self.start("publisher", "claim", by="publisher")
        self.epochs.append(2)

    # -------------------------------------------------------------- the fault

    def hit(self) -> None:
        """Do it, look at what the others see meanwhile, and let everybody go on."""
        if self.cell.who == "daemon":
            self._hit_daemon()
        else:
            victim = self.publisher if self.cell.who == "publisher" else self.reader
            assert victim is not None
            self._hit_player(victim)
        if self.held is not None and self.held.state and not self.held.lines[-1].startswith(("left", "raised")):
            self.held.go()

    def _hit_player(self, victim: Player) -> None:
        cell, stopping = self.cell, self.cell.fault == "SIGSTOP"
        before = len(victim.lines)
        victim.signal(SIGNALS[cell.fault])
        if cell.fault == "SIGKILL":
            victim.await_state("")
        elif stopping:
            victim.await_state("T")
            self._look_at_a_stopped(victim)
            victim.signal(signal.SIGCONT)
        elif cell.fault == "fork":
            line = victim.await_line("child").split()
            expected = "PublisherClosed" if cell.who == "publisher" else "EndOfStream"
            assert line[2] in ((expected, "nothing") if cell.when in ("claim", "join") else (expected,))
        elif cell.fault == "exception" or self.held is not victim:
            wait_until(lambda: victim.lines[before:], what="the victim's last word")
            victim.await_state("")

    def _look_at_a_stopped(self, victim: Player) -> None:
        with arclyd.connect(self.daemon.socket) as control:
            if self.cell.who == "publisher":
                state = control.info(self.key).state
                assert "interrupted" not in state, state
                assert ("ended" in state) == (self.cell.when == "end")
                if self.cell.when != "end":
                    rival = self.start("publisher")
                    rival.await_line("raised AlreadyPublishing")
            elif self.cell.when != "end":
                assert victim.pid in [each.pid for each in control.subscribers(self.key)]
                if self.cell.when != "claim":
                    self.publish()
                    self.bystander.await_line("frame 19")

    def _hit_daemon(self) -> None:
        daemon, cell = self.daemon, self.cell
        if cell.fault == "SIGSTOP":
            os.kill(daemon.pid, signal.SIGSTOP)
            if cell.when in ("idle", "join"):
                self.publish()
                self.bystander.await_line("frame 19")
            elif self.held is not None:
                self.held.go()
                self.held = None
            os.kill(daemon.pid, signal.SIGCONT)
            return
        if cell.fault == "exception":
            assert isinstance(daemon, FaultyDaemon)
            before = daemon.log.count("a fault was asked for")
            daemon.flag.touch()
            if cell.when == "join":
                late = self.start("reader", "idle", "oldest")
                late.await_line("raised ArclydError")
            elif self.held is not None:
                self.held.go()
                self.held = None
            wait_until(lambda: daemon.log.count("a fault was asked for") > before, what="the fault to be logged")
            assert not daemon.flag.exists()
            return
        daemon.kill() if cell.fault == "SIGKILL" else daemon.stop()
        if cell.when in ("idle", "join"):
            self.publish()
            self.bystander.await_line("frame 19")
        if self.held is not None:  # media waits for no daemon
            self.held.go()
            if cell.when == "frame":
                self.bystander.await_line("frame 19")
            elif cell.when == "claim":
                self.held.await_line("raised DaemonUnavailable")
            elif cell.when == "end":
                self.bystander.await_line("end ended 0")
            self.held = None
        daemon.start()

    # ------------------------------------------------------------- afterwards

    def wind_up(self) -> None:
        """What becomes of the stream, of its readers, of the daemon's books."""
        cell = self.cell
        if cell.then == "heir":
            self.publisher.await_state("")
            self.await_state("interrupted")
            self._says(self.publisher, cell.victim)
            self.publisher = self.start("publisher")
            self.publisher.await_line("publishing")
        if cell.then in ("heir", "on"):
            self._go_on()
        self._says(self.bystander, "end ended 0")
        self.check_frames(self.bystander)
        self._settle_accounts()
        if cell.then != "heir" and cell.who != "subscriber":
            self._says(self.publisher, cell.victim)
        if self.reader is not None:
            survives = cell.who != "subscriber" or cell.fault in ("SIGSTOP", "fork")
            self._says(self.reader, "end ended 0" if survives else cell.victim)
            if survives:
                self.check_frames(self.reader)
        with arclyd.connect(self.daemon.socket) as control:
            wait_until(lambda: self.key not in [each.key for each in control.list_streams()], what="the end of it")
            assert control.version().pid == self.daemon.pid
        wait_until(lambda: not [name for name in self.daemon.regions() if str(cell) in name], what="the region's end")

    def _go_on(self) -> None:
        if self.cell.when == "claim":
            self.epochs.append(int(self.publisher.await_line("publishing").split()[1]))
        elif self.cell.then == "heir":
            self.epochs.append(2)
        with arclyd.connect(self.daemon.socket) as control:
            wait_until(lambda: "publishing" in self.state(control), what="the stream to go on")
            self.publish()
            expected = {self.bystander.pid}
            if self.reader is not None and (self.cell.who != "subscriber" or self.cell.fault in ("SIGSTOP", "fork")):
                expected.add(self.reader.pid)
            wait_until(lambda: {each.pid for each in control.subscribers(self.key)} == expected, what="the right count")
        self.publisher.say("end")

    def _settle_accounts(self) -> None:
        epochs = [frame[1] for frame in self.bystander.frames]
        assert set(epochs) <= set(self.epochs)
        assert epochs[-1] == self.epochs[-1]

    def check_frames(self, reader: Player) -> None:
        """Dense; each epoch begins with its configuration, then a keyframe that is a discontinuity."""
        frames = reader.frames
        first = next(number for number, frame in enumerate(frames) if not frame[3])
        if frames[first][0] != first:  # a joiner: the configurations in force come from before
            frames = frames[first:]
        assert frames[0][2] or frames[0][3], "joined on a frame that is no keyframe"
        seqs = [frame[0] for frame in frames]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), reader.lines
        epoch = decoding = frames[0][1]
        for _, of, key, config, discontinuity in frames:
            assert of == epoch or (of > epoch and config)
            assert config or of == decoding or (key and discontinuity)
            epoch, decoding = of, decoding if config else of

    def await_state(self, word: str) -> None:
        with arclyd.connect(self.daemon.socket) as control:
            wait_until(lambda: word in self.state(control), what=f"the stream to be {word}")

    def state(self, control: arclyd.Control) -> tuple[str, ...]:
        try:
            return control.info(self.key).state
        except arclyd.StreamNotFound:  # a daemon that just started
            return ()

    @staticmethod
    def _says(player: Player, words: str) -> None:
        if words:
            wait_until(
                lambda: player.lines[-1].startswith(words) or (words == "left" and player.lines[-1] == "ended"),
                what=f"{words!r}; it said {player.lines[-1]!r}",
            )


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_cell(cell: Cell, company: Company, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if cell.who != "daemon":
        daemon: Daemon = request.getfixturevalue("shared_daemon")
    else:
        (tmp_path / "d").mkdir()
        daemon = FaultyDaemon(tmp_path / "d", CONFIG)
        daemon.extra = environment(request.getfixturevalue("fault_build"))
        daemon.raises = RAISES[cell.when] if cell.fault == "exception" else ""
        daemon.start()
    try:
        for _ in range(ROUNDS):
            play = Play(cell, daemon, company)
            play.set_up()
            play.hit()
            play.wind_up()
            company.dismiss()
    finally:
        company.dismiss()
        if cell.who == "daemon":
            daemon.clean()


def test_publishers_killed_at_every_point_and_the_daemon_lets_the_next_one_in(
    company: Company, shared_daemon: Daemon
) -> None:
    play = Play(Cell("SIGKILL", "publisher", "point", "over"), shared_daemon, company)
    play.publisher = play.start("publisher")
    play.publish()
    play.publisher.await_line("published")
    play.bystander = play.start("reader", "idle", "oldest")
    play.bystander.await_line("frame 9")
    play.publisher.signal(signal.SIGKILL)
    region = play.regions
    for round_, point in enumerate(WRITERS * ROUNDS):
        play.publisher.await_state("")
        play.await_state("interrupted")
        nth = 1 if point.startswith("claim") else 1 + round_ % 5
        play.publisher = play.start("publisher", f"kill:{point}:{nth}")
        assert play.regions == region, f"a successor, before the one that is to be killed at {point}"
    play.publisher.await_state("")
    play.await_state("interrupted")
    play.publisher = play.start("publisher")
    last = int(play.publisher.await_line("publishing").split()[1])
    assert play.regions == region
    assert last == 2 + (len(WRITERS) - 1) * ROUNDS  # but for "claim.recovered", each had its epoch
    play.epochs = list(range(1, last + 1))
    play.publisher.say("end")
    play.wind_up()


def test_the_table_has_every_cell_and_says_what_each_party_sees() -> None:
    assert [(cell.fault, cell.who, cell.when) for cell in MATRIX] == sorted(itertools.product(FAULTS, PARTIES, MOMENTS))
    for cell in MATRIX:
        assert cell.publisher
        assert not cell.then or (cell.subscribers and cell.daemon)
    assert len(CELLS) == 70
