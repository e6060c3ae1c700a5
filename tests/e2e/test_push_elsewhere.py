"""One stream sent to another arclyd by several protocols at once: what arrives is what was published."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import arclyd
from tests.daemon import Spawner
from tests.e2e.rtmp import RtmpGateway, contained, reader, received
from tests.e2e.srt import SrtGateway
from tests.e2e.transport import TransportGateway
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon import Daemon

CLIP = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"
SOURCE, BY_RTMP, BY_SRT, BY_UDP = "live/source", "live/by-rtmp", "live/by-srt", "live/by-udp"

PUSH = f"""
    import arclyd.ingest.mpegts.remote, arclyd.ingest.rtmp.remote, arclyd.ingest.srt.remote
    print("up")
{ARCLYD}"""
"""Ready before anything is published: it sends what comes from the newest keyframe on."""


def test_a_stream_goes_to_another_daemon_by_rtmp_srt_and_udp_at_once(
    daemon: Daemon, spawn: Spawner, start_daemon: Callable[[str], Daemon], tmp_path: Path
) -> None:
    other = start_daemon("")
    (tmp_path / "other").mkdir()
    elsewhere = Spawner(tmp_path / "other", other.env)
    try:
        rtmp, srt = RtmpGateway(elsewhere), SrtGateway(elsewhere)
        udp = TransportGateway(elsewhere, "udp://127.0.0.1:0", "--idle", "4", key=BY_UDP)
        readers = [reader(elsewhere, key) for key in (BY_RTMP, BY_SRT, BY_UDP)]
        for url in (f"{rtmp.base}/{BY_RTMP}", srt.url(f"publish:{BY_SRT}"), udp.base):
            spawn(PUSH, "push", SOURCE, url, name="push").await_line("up")
        with arclyd.connect() as control:
            spawn(ARCLYD, "publish", CLIP, SOURCE, "-q", name="publish")
            wait_until(lambda: _watching(control, SOURCE) == 3, what="all to be sent")
        udp.says("nothing came for 4 s")
        with arclyd.connect(other.socket) as control:
            for key in (BY_SRT, BY_UDP):  # a transport stream has no end
                wait_until(lambda key=key: "interrupted" in control.info(key).state, what="the interruption")
                control.end(key)
        for script in readers:
            tracks, end = received(script)
            assert tracks == contained(CLIP)
            assert end == ["end ended 0"]
    finally:
        elsewhere.reap()


def _watching(control: arclyd.Control, key: str) -> int:
    try:
        return len(control.subscribers(key))
    except arclyd.StreamNotFound:
        return 0
