"""The ring between processes under load: joins, laps, kills, and builds with a rule left out.

``ARCLYD_STRESS=n`` makes everything n times as long.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from arclyd.ring import _ring, region
from tests.native.building import build_ring, load_ring
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 30
"""The window is a few nanoseconds wide and both processes must be running: on a busy machine it takes a few floods."""

ROOT = Path(__file__).resolve().parents[2]
SCALE = float(os.environ.get("ARCLYD_STRESS", "1"))
PATIENCE = 100 * max(1.0, SCALE)
pytestmark = pytest.mark.timeout(2 * PATIENCE)


class Actor:
    """A process of the play; ``result`` is what it has to tell."""

    def __init__(self, module: str, *arguments: str, ring: Path | None = None) -> None:
        command = [sys.executable, "-X", "faulthandler", "-m", f"tests.stress.{module}", *arguments]
        env = dict(os.environ, **({"ARCLYD_TEST_RING": str(ring)} if ring else {}))
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, env=env)

    def ready(self) -> Actor:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", self._process.communicate(timeout=PATIENCE)[1]
        return self

    def ended(self) -> tuple[int, str, str]:
        """Its exit code, standard output and standard error; closing its standard input tells `steady` to end."""
        output, error = self._process.communicate(timeout=PATIENCE)
        return self._process.returncode, output, error

    def result(self) -> dict[str, Any]:
        code, output, error = self.ended()
        assert code == 0, error
        answer: dict[str, Any] = json.loads(output)
        return answer

    def clean(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def act() -> Iterator[Callable[..., Actor]]:
    """Starts actors; none outlives the test."""
    actors: list[Actor] = []

    def start(module: str, *arguments: object, ring: Path | None = None) -> Actor:
        actors.append(Actor(module, *(str(argument) for argument in arguments), ring=ring))
        return actors[-1]

    yield start
    for actor in actors:
        actor.clean()


@pytest.fixture
def make_region() -> Iterator[Callable[..., str]]:
    """Makes regions and returns their names; they are gone after the test."""
    instance = secrets.token_hex(4)

    def make(ring_bytes: int, slots: int) -> str:
        return region.create(instance, "live/stress", region.RegionSpec(ring_bytes, slots)).name

    yield make
    for name in region.list_names(instance):
        region.unlink(name)


def test_a_thousand_joins_at_random_moments(act: Callable[..., Actor], make_region: Callable[..., str]) -> None:
    slots = 4096  # two seconds: a reader that gets no processor for longer is overtaken, and rightly says so
    name, joins = make_region(8 << 20, slots), int(250 * SCALE)
    publisher = act("actors", "steady", name, 2000).ready()
    joiners = [act("actors", "join_often", name, joins, seed) for seed in range(4)]
    told = [joiner.result() for joiner in joiners]
    fd = region.open_readonly(name)
    attached = _ring.Region(fd)
    os.close(fd)
    wait_until(lambda: attached.head > slots, what="the stream to go round the ring")
    published = publisher.result()
    assert sum(each["joins"] for each in told) == 4 * joins
    # Joins of every kind were among them.
    assert sum(each["lead_ins"] for each in told) > joins
    assert sum(each["later_configs"] for each in told) > 0
    assert published["video_configs"] > 5


def test_a_million_frames_and_none_is_corrupt(act: Callable[..., Actor], make_region: Callable[..., str]) -> None:
    name, frames = make_region(128 << 10, 512), int(1_000_000 * SCALE)
    ways = [("copy", "keyframe"), ("view", "oldest"), ("slow-view", "oldest"), ("slow-copy", "keyframe")]
    readers = [act("actors", "follow", name, *way).ready() for way in ways]
    published = act("actors", "flood", name, frames).result()["published"]
    told = [reader.result() for reader in readers]
    assert published == frames
    assert [each["received"] + each["missed"] for each in told] == [frames] * len(ways)
    # Each read much, and the slow ones were overtaken, between frames and within them: else this would prove nothing.
    assert all(each["received"] > 1000 * min(SCALE, 1) for each in told), told
    assert all(each["gaps"] > 20 for each in told[2:]), told
    assert sum(each["overwritten"] for each in told) > 20, told


@pytest.mark.parametrize("seed", range(2))
def test_writers_killed_in_a_tight_loop(act: Callable[..., Actor], make_region: Callable[..., str], seed: int) -> None:
    rounds = int(200 * SCALE)
    told = act("murder", make_region(64 << 20, 1 << 16), rounds, seed).result()
    assert told["frames"] > 2 * rounds
    assert told["discontinuities"] > rounds / 10
    assert told["joined_the_dead"] > rounds / 10


# ------------------------------------------------------------- broken rules


def announces_before_it_overwrites(ring: Any, name: str) -> bool:
    """R1, step by step: once memory is handed out, what lay in it is not intact."""
    fd = region.open_writable(name)
    writable = ring.Region(fd, writable=True)
    os.close(fd)
    writer = ring.Writer(writable, [(0, 0, (1, 90000), 0, 0, 0, 0)])
    writer.publish(0, b"a" * 2048, pts=0, keyframe=True)
    frame = ring.Reader(writable).recv(0)
    for pts in range(1, 8):
        writer.publish(0, b"b" * 2048, pts=pts)
    assert frame.is_intact()
    span = writer.reserve(0, 2048)
    span.buffer[:5] = b"wrong"
    assert bytes(frame.data[:5]) == b"wrong"
    return not frame.is_intact()


def test_an_announcement_that_comes_late_is_noticed(tmp_path: Path, make_region: Callable[..., str]) -> None:
    mutant = load_ring(build_ring(tmp_path, "announce_late"))
    assert mutant.BUILD_FLAGS == ("announce_late",)
    assert announces_before_it_overwrites(_ring, make_region(16 << 10, 64))
    assert not announces_before_it_overwrites(mutant, make_region(16 << 10, 64))


def test_a_head_ahead_of_its_slot_is_noticed(
    tmp_path: Path, act: Callable[..., Actor], make_region: Callable[..., str]
) -> None:
    mutant, sound = build_ring(tmp_path, "head_first"), make_region(1 << 20, 4096)
    looker = act("actors", "look_at_the_head", sound).ready()
    act("actors", "flood", sound, 100_000).result()
    assert looker.result()["looks"] > 1000
    for _ in range(ROUNDS):
        broken = make_region(1 << 20, 4096)
        looker = act("actors", "look_at_the_head", broken).ready()
        act("actors", "flood", broken, 300_000, ring=mutant).result()
        code, _, error = looker.ended()
        if code == 1 and "RegionCorrupt" in error:
            return
    pytest.fail("a head ahead of its slot went unnoticed")
