"""An RTMP gateway process for the tests, encoders of several makes, and what a reader of the ring received."""

from __future__ import annotations

import json
import os
import re
import subprocess
from contextlib import closing
from fractions import Fraction
from hashlib import sha256
from typing import TYPE_CHECKING

import arclyd
from arclyd.ingest.file.source import open_file
from tests.clips import publish
from tests.e2e.reading import READER
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.clips import Sample
    from tests.daemon import Script, Spawner
    from tests.e2e.networks import Network

KEY = "live/cam1"
SERVING = re.compile(r"serving on (rtmps?://\S+)")
AT_LENGTH = float(os.environ.get("ARCLYD_STRESS", "1")) >= 10
"""Encoders send thirty seconds at real time."""

PUSH = """
    import sys, time
    import av

    # Packets as they are, by PyAV's own FFmpeg, which knows Enhanced RTMP.
    with av.open(sys.argv[1]) as source, av.open(sys.argv[2], "w", format="flv") as sink:
        streams = {stream.index: sink.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        begun = time.monotonic()
        for packet in source.demux():
            if packet.dts is not None:
                due = begun + float(packet.dts * packet.time_base) / float(sys.argv[3])
                time.sleep(max(0, due - time.monotonic()))
                packet.stream = streams[packet.stream_index]
                sink.mux(packet)
        print("pushed")
        sys.stdin.readline()
"""


class RtmpGateway:
    """An `arclyd listen rtmp` on a port of its own."""

    def __init__(self, spawn: Spawner | Network, *args: object, bind: str = "127.0.0.1:0") -> None:
        self.script: Script = spawn(ARCLYD, "listen", "rtmp", "--bind", bind, *args, name="listen")
        self.base = wait_until(self._serving, what="the gateway to serve")[1]
        self.port = int(self.base.rpartition(":")[2])
        self.url = f"{self.base}/{KEY}"

    def _serving(self) -> re.Match[str] | None:
        assert self.script.process.poll() is None, self.script.errors
        return SERVING.search(self.script.errors)


def reader(spawn: Spawner, key: str = KEY) -> Script:
    """A subscriber process that waits for a stream and reads it from its first frame on."""
    return spawn(READER, key, json.dumps({"wait": 60, "start": "oldest"}), name="reader")


def watching(key: str = KEY) -> int:
    """How many read a stream."""
    with arclyd.connect() as control:
        return len(control.subscribers(key))


def publish_until_begun(
    publisher: arclyd.Publisher, samples: Sequence[Sample], *, readers: int = 1, shift: Fraction = Fraction(0)
) -> None:
    """Publish samples, no keyframe among them, until so many readers have begun with what was there before.

    One that has not stands where the head was when it came, and moves on only when it has begun: two steps are seen.
    """
    half = len(samples) // 2
    wait_until(lambda: watching() == readers, what="the readers")
    for lot in (samples[:half], samples[half:]):
        publish(publisher, lot, shift=shift)
        wait_until(lambda: _caught_up(readers), what="the readers to have read all")


def _caught_up(readers: int) -> bool:
    with arclyd.connect() as control:
        head, found = control.info(KEY).head, control.subscribers(KEY)
    return len(found) == readers and all(subscriber.cursor == head for subscriber in found)


def received(script: Script) -> tuple[list[list[str]], list[str]]:
    """The digests of the access units of each track as a reader told them, and what else it said at the end."""
    tracks: dict[int, list[str]] = {}
    end: list[str] = []
    for line in script.finish(timeout=90):
        word, *facts = line.split()
        if word == "frame" and facts[4] == "0":
            tracks.setdefault(int(facts[1]), []).append(facts[5])
        elif word in ("gap", "torn", "end"):
            end.append(line)
    return [tracks[place] for place in sorted(tracks)], end


def ended(key: str = KEY) -> None:
    """End the stream of an encoder that left without a word, once all it sent is in the ring."""
    with arclyd.connect() as control:
        wait_until(lambda: "interrupted" in control.info(key).state, what="the encoder's leaving to be noticed")
        control.end(key)


def contained(path: Path) -> list[list[str]]:
    """The digests of the access units of each track of a file, video first."""
    with closing(open_file(str(path))) as source:
        order = sorted(range(len(source.tracks)), key=lambda place: source.tracks[place].kind)
        units = [(unit.track, sha256(unit.payload).hexdigest()) for unit in source.units()]
    return [[digest for track, digest in units if track == place] for place in order]


def ffmpeg(*words: object) -> subprocess.CompletedProcess[str]:
    command = ["ffmpeg", "-v", "error", "-nostdin", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
