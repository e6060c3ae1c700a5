"""What is lost on the way to the WebRTC gateway is marked and asked for, and who stands still hurts nobody."""

from __future__ import annotations

import hashlib
import signal
from typing import TYPE_CHECKING

import arclyd
from tests.clips import clip, publish
from tests.e2e.webrtc import CLIENT, KEY, WebrtcGateway, write
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Spawner


def test_pictures_that_lost_a_packet_are_marked_and_a_keyframe_is_asked_for(spawn: Spawner, tmp_path: Path) -> None:
    """Of every fourth picture the second packet never arrives, however often it is asked for."""
    media = clip("h264", "libopus", 8)
    write(tmp_path / "clip", media)
    gateway = WebrtcGateway(spawn, "--keyframes", 0)
    sender = spawn(CLIENT, "publish", gateway.url("whip"), "", tmp_path / "clip", "h264", "lossy", name="sender")
    digests = {sample.digest for sample in media.of(0)}
    intact: list[str] = []
    breaks = 0
    with arclyd.Subscriber(KEY, wait=60, start="oldest", tracks=["video"]) as reader:
        while breaks < 5 or len(intact) < 20:
            frame = reader.recv(timeout=60)
            if not frame.is_config:
                breaks += frame.discontinuity
                intact += [] if frame.corrupt else [hashlib.sha256(frame.tobytes()).hexdigest()]
    assert set(intact) <= digests
    assert any(line.startswith("missed") for line in sender.lines), "it was not asked for again"
    assert "asked" in sender.lines
    with arclyd.connect() as control:
        wait_until(lambda: int(control.metadata(KEY).tags.get("packets_lost", "0")) >= 5, what="the count")


def test_a_viewer_that_stands_still_holds_up_nobody(spawn: Spawner) -> None:
    media = clip("h264", "libopus")
    second = next(place for place, one in enumerate(media.samples) if one.pts and one.keyframe and not one.track)
    gateway = WebrtcGateway(spawn)
    with arclyd.Publisher(KEY, media.tracks) as publisher:
        publish(publisher, media.samples[:second])
        still, other = (spawn(CLIENT, "play", gateway.url("whep"), "", name=name) for name in ("still", "other"))
        for viewer in (still, other):
            viewer.await_line("got video")
        still.signal(signal.SIGSTOP)
        publish(publisher, media.samples[second:])
        wait_until(lambda: sum(line.startswith("got video") for line in other.lines) >= 99, what="the other pictures")
        with arclyd.connect() as control:
            assert {reader.dropped for reader in control.subscribers(KEY)} == {0}
