"""SRT over a bad line, 2 % lost, 50 ms each way, some overtaken: nothing is missing, and it shows what that took."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.e2e.rtmp import AT_LENGTH, KEY, contained, ended, reader, received
from tests.e2e.srt import CLIP, PUBLISH, SrtGateway
from tests.lossy import LossyLine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Spawner

LATENCY = 500 if AT_LENGTH else 2000
"""Milliseconds. Where other tests have the processors the line itself may be late by more than half a second."""

ROUNDS = 6 if AT_LENGTH else 2
"""Of a clip of five seconds."""


def test_nothing_is_lost_on_the_way_in(spawn: Spawner, tmp_path: Path) -> None:
    gateway, there = SrtGateway(spawn, "--latency", LATENCY), reader(spawn)
    source = tmp_path / "source.mp4"
    making = ["ffmpeg", "-v", "error", "-stream_loop", str(ROUNDS - 1), "-i", str(CLIP), "-c", "copy", str(source)]
    subprocess.run(making, check=True, timeout=60)
    with LossyLine(gateway.port) as line:
        url = f"srt://127.0.0.1:{line.port}?streamid={PUBLISH}&linger=5"
        command = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", str(source), "-c", "copy", "-f", "mpegts", url]
        encoder = subprocess.Popen(command)
        try:
            said = gateway.metadata(KEY, lambda tags: int(tags.get("srt_retransmitted", 0)) > 0)
            assert encoder.wait(100) == 0
        finally:
            encoder.kill()
            encoder.wait()
        assert line.lost > 0
        ended()
    tracks, end = received(there)
    assert tracks == contained(source)
    assert end == ["end ended 0"]
    assert float(said.tags["srt_rtt_ms"]) >= 100
    assert int(said.tags["srt_lost"]) > 0
    assert said.tags["srt_dropped"] == "0"
    assert "continuity_errors" not in said.tags
