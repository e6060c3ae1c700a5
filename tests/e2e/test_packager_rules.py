"""A player follows every playlist of a troubled stream and fetches all that is in them: the rules of RFC 8216bis hold.

``ARCLYD_STRESS=n`` of 10 or more runs it for five minutes at the pace of the stream, otherwise a lot faster for one.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.packager import KEY, Packager
from tests.packaging import make_clip, read_clip
from tests.playlist_rules import Follower
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Script, Spawner

FULL = float(os.environ.get("ARCLYD_STRESS", "1")) >= 10
ROUNDS, PACE, WINDOW = (10, 1.0, 20) if FULL else (2, 12.0, 60)
NAMES = ("h264_aac.mp4", "h264_bframes_aac.mp4", "hevc_aac.mp4")
SECONDS = 6
pytestmark = pytest.mark.timeout(900)

PUBLISHER = """
    import pickle, sys, time
    from fractions import Fraction
    import arclyd
    from tests.e2e.packager import publish
    from tests.packaging import later

    clips, first, seconds = pickle.load(open(sys.argv[2], "rb")), sys.argv[3], int(sys.argv[4])
    tracks = clips[first][0]
    with arclyd.Publisher(sys.argv[1], tracks=tracks, slots=1200) as publisher:
        for line in sys.stdin:
            name, pace = line.split()
            for number, track in enumerate(clips[name][0]):
                if track.config != tracks[number].config:
                    publisher.set_config(number, track.config)
            tracks = clips[name][0]
            started, until = time.monotonic(), None
            for frame in later(clips[name][1], tracks, Fraction(seconds), 0):
                at = (float(frame.dts * tracks[frame.track].time_base) - seconds) / float(pace)
                if not frame.is_config:
                    time.sleep(max(0.0, started + at - time.monotonic()))
                publish(publisher, [frame])
            seconds += 6
            print("published", seconds, flush=True)
    print("ended", flush=True)
"""


class Stream:
    """A publisher that can be told what to publish, killed, and replaced by one that goes on where it was."""

    def __init__(self, spawn: Spawner, clips: Path) -> None:
        self._spawn = spawn
        self._clips = clips
        self._script: Script | None = None
        self._seconds = 0

    def publish(self, name: str, pace: float = PACE) -> None:
        if self._script is None:
            self._script = self._spawn(PUBLISHER, KEY, self._clips, name, self._seconds, name="publisher")
        self._script.say(f"{name} {pace}")
        self._seconds += SECONDS
        self._script.await_line(f"published {self._seconds}")

    def kill(self) -> None:
        assert self._script is not None
        self._script.kill()
        self._script = None

    def end(self) -> None:
        assert self._script is not None
        assert self._script.process.stdin is not None
        self._script.process.stdin.close()
        self._script.await_line("ended")


class Player(threading.Thread):
    """Follows one lane with blocking reloads and delta updates until its end."""

    def __init__(self, packager: Packager, lane: int) -> None:
        super().__init__(daemon=True)
        self._packager = packager
        self._path = f"/{KEY}/track-{lane}.m3u8"
        self.follower = Follower(self._fetch)
        self.error: BaseException | None = None
        self.reloads = 0
        self.start()

    def run(self) -> None:
        try:
            playlist = self.follower.read(self._packager.get(self._path).text)
            while not playlist.is_endlist:
                answer = self._packager.get(f"{self._path}?{self.follower.next_asked(playlist)}")
                if answer.status == 503:  # nothing came for so long
                    continue
                assert answer.status == 200
                playlist = self.follower.read(answer.text)
                self.reloads += 1
        except BaseException as error:  # told by the test, in its own thread
            self.error = error

    def ended(self) -> Follower:
        self.join(60)
        if self.error is not None:
            raise self.error
        assert not self.is_alive(), "the playlist did not end"
        return self.follower

    def _fetch(self, name: str) -> bytes:
        answer = self._packager.get(f"/{KEY}/{name}")
        assert answer.status == 200, name
        return answer.body


def test_a_troubled_stream_keeps_to_the_rules(
    spawn: Spawner, tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    """Other configurations, laps, publishers that are killed, and other codecs, again and again."""
    clips = {name: read_clip(make_clip(tmp_path, name), time.time_ns()) for name in NAMES}
    path = tmp_path / "clips.pickle"
    path.write_bytes(pickle.dumps(clips))
    stream = Stream(spawn, path)
    packager = Packager(spawn, KEY, "--window", str(WINDOW))
    started = time.monotonic()
    stream.publish(NAMES[0])
    packager.await_file(f"/{KEY}/index.m3u8")
    players = [Player(packager, lane) for lane in (0, 1)]
    for _ in range(ROUNDS):
        stream.publish(NAMES[1])  # the same publisher, with another configuration
        stream.publish(NAMES[0])
        packager.script.signal(signal.SIGSTOP)
        for _ in range(4):  # more than the ring holds
            stream.publish(NAMES[0], pace=1000)
        packager.script.signal(signal.SIGCONT)
        stream.publish(NAMES[0])
        stream.kill()
        stream.publish(NAMES[2])  # another publisher, with another codec
        stream.kill()
        stream.publish(NAMES[0])
    stream.end()
    followers = [player.ended() for player in players]
    took = time.monotonic() - started
    wait_until(lambda: "frames were overwritten before they were read" in packager.script.errors, what="the lap")
    for lane, (follower, player) in enumerate(zip(followers, players, strict=True)):
        known = {
            hashlib.sha256(frame.payload).hexdigest()
            for _, frames in clips.values()
            for frame in frames
            if frame.track == lane and not frame.is_config
        }
        assert follower.digests <= known
        assert follower.hints_kept > 10 * ROUNDS
        assert follower.delta_updates
        breaks = {told.discontinuities for told in follower.told.values()}
        assert len(breaks) > 5 * ROUNDS
        figures = f"{took:.0f} s: {player.reloads} playlists, {follower.next_number - min(follower.told)} segments of "
        figures += f"{follower.seconds:.0f} s, {len(breaks)} periods, {follower.delta_updates} delta updates"
        record_property(f"lane {lane}", figures)
        print(f"lane {lane}: {figures}")
