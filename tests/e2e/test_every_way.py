"""Every way in and every way out, for every codec that both can carry: each picture comes out as it went in."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests import clips
from tests.daemon import Daemon, Spawner
from tests.e2e.ways import IN, OUT, PAIRS, Gateways
from tests.recording import read
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.daemon import Script

ENOUGH = 30
"""Pictures of a player, more than a GOP."""


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon for all tests of this module."""
    daemon = Daemon(tmp_path_factory.mktemp("d"), "")
    daemon.start()
    yield daemon
    daemon.clean()


@pytest.fixture(scope="module")
def gateways(everything: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    """A gateway of every kind."""
    spawn = Spawner(tmp_path_factory.mktemp("gateways"), everything.env)
    try:
        yield Gateways(spawn)
    finally:
        spawn.reap()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str], Path]:
    """A clip of each pair."""
    folder = tmp_path_factory.mktemp("files")
    made = {pair: folder / f"{'-'.join(pair)}.mp4" for pair in PAIRS}
    for (picture, sound), path in made.items():
        clips._encode(path, picture, sound, 4)
    return made


@pytest.fixture
def clients(gateways: Gateways, everything: Daemon, tmp_path: Path) -> Iterator[Gateways]:
    """The gateways, for clients that end with the test."""
    ours, gateways.spawn = gateways.spawn, Spawner(tmp_path, everything.env)
    yield gateways
    gateways.spawn.reap()
    gateways.spawn = ours


def reason(refused: Mapping[str, str], *codecs: str) -> str:
    """Why one of them can't be carried."""
    return next((refused[codec] for codec in codecs if codec in refused), "")


def says(name: str, player: Script, text: str) -> None:
    """Wait until a player has said that."""
    wait_until(lambda: text in player.errors + "\n".join(player.lines), what=f"{text!r} of {name}")


def played(name: str, player: Script, sender: Script) -> list[str]:
    """The digests of a player's first pictures, once they are enough."""

    def found() -> list[str] | None:
        assert sender.process.poll() is None, sender.errors
        assert player.process.poll() is None, player.errors
        pictures = [line.split()[-1] for line in player.lines if line.startswith(OUT[name].word)]
        return pictures[:ENOUGH] if len(pictures) >= ENOUGH else None

    return wait_until(found, what=f"the pictures by {name}; it said {player.lines[:1]} {player.errors}")


@pytest.mark.parametrize(("picture", "sound"), PAIRS)
@pytest.mark.parametrize("way", IN)
def test_what_goes_in_comes_out(
    everything: Daemon,
    clients: Gateways,
    files: Mapping[tuple[str, str], Path],
    way: str,
    picture: str,
    sound: str,
) -> None:
    key = f"{way.replace(' ', '-')}/{picture}-{sound}"
    source, codec = files[picture, sound], {"hevc": "h265"}.get(picture, picture)

    def codecs() -> list[str]:
        with arclyd.connect(everything.socket) as control:
            found = [stream for stream in control.list_streams() if stream.key == key]
        return [track.codec for stream in found for track in stream.qos.tracks]

    if reason(IN[way].refused, picture, sound):
        if IN[way].sends_the_rest:
            IN[way].run(clients, key, source)
            wait_until(codecs, what="what there is of it")
            assert codec not in codecs(), "it can be carried after all"
        return
    sender = IN[way].run(clients, key, source)
    wait_until(lambda: codec in codecs(), what=f"the stream; it said {sender.errors}")
    clip = read(source)
    players = {name: out.run(clients, key) for name, out in OUT.items()}
    for name, player in players.items():
        out = OUT[name]
        if reason(out.refused, picture, sound):
            says(name, player, out.says)
            assert not [line for line in player.lines if line.startswith(out.word)], f"{name} can carry it after all"
            continue
        sent = [sha256(out.told(sample, clip.tracks[0].config)).hexdigest() for sample in clip.of(0)]
        pictures = played(name, player, sender)
        start = sent.index(pictures[0])
        assert pictures == [sent[(start + place) % len(sent)] for place in range(ENOUGH)], name
