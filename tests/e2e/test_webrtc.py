"""WHIP and WHEP with an independent client, byte for byte: what is published, what is played, and what is refused."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import arclyd
from tests.clips import clip, publish
from tests.e2e.reading import READER, seen
from tests.e2e.rtmp import watching
from tests.e2e.webrtc import CLIENT, KEY, WebrtcGateway, annexb, write
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Spawner


def test_what_is_published_by_whip_is_in_the_ring_unchanged(spawn: Spawner, tmp_path: Path) -> None:
    media = clip("h264", "libopus")
    write(tmp_path / "clip", media)
    gateway = WebrtcGateway(spawn, "--keyframes", 0)
    reader = spawn(READER, KEY, json.dumps({"wait": 60, "start": "oldest"}), name="reader")
    client = spawn(CLIENT, "publish", gateway.url("whip"), "", tmp_path / "clip", name="client")
    client.await_line("done")
    client.say("")
    client.await_line("deleted 200")
    client.finish()
    reader.await_line("end ended")

    frames = [frame for frame in seen(reader) if not frame.is_config]
    with arclyd.connect() as control:
        assert not [stream for stream in control.list_streams() if stream.state == "publishing"]
    for place, track in enumerate(media.tracks):
        sent = [sample.digest for sample in media.of(place)]
        got = [frame.digest for frame in frames if frame.track == place]
        # The last is known to be whole only when the next one comes; sound before the first keyframe is left out.
        assert got, track
        first = sent.index(got[0])
        assert first <= len(sent) // 2  # where the first packets came before the gateway could decrypt them
        assert got == sent[first : first + len(got)]
        assert len(got) >= len(sent) - first - 5


def test_what_is_played_by_whep_is_what_was_published(spawn: Spawner, tmp_path: Path) -> None:
    media = clip("h264", "libopus")
    second = next(
        place for place, sample in enumerate(media.samples) if sample.pts and sample.keyframe and not sample.track
    )
    gateway = WebrtcGateway(spawn)
    with arclyd.Publisher(KEY, media.tracks) as publisher:
        publish(publisher, media.samples[:second])
        viewer = spawn(CLIENT, "play", gateway.url("whep"), "", name="viewer")
        viewer.await_line("got video")
        publish(publisher, media.samples[second:])
        wait_until(lambda: sum(line.startswith("got video") for line in viewer.lines) >= 99, what="the pictures")
        assert [reader.name.split()[0] for reader in arclyd.connect().subscribers(KEY)] == ["webrtc"]
        viewer.say("")
        viewer.await_line("deleted 200")
        viewer.finish()
        wait_until(lambda: not watching(), what="the viewer to be gone")
    for place, kind in enumerate(("video", "audio")):
        config = media.tracks[0].config
        wanted = [
            hashlib.sha256(sample.payload if place else annexb(sample, config)).hexdigest()
            for sample in media.of(place)
        ]
        got = [line.split()[-1] for line in viewer.lines if line.startswith(f"got {kind}")]
        assert len(got) > 90
        assert got == wanted[wanted.index(got[0]) :][: len(got)]
