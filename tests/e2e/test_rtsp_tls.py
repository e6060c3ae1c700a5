"""RTSPS: what is published and fetched by TLS arrives as by plain RTSP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.rtmp import ffmpeg, reader, received
from tests.e2e.rtsp import RtspGateway
from tests.e2e.test_rtmp_remote import COPY
from tests.e2e.test_rtsp_ingest import BUNNY, WHOLE, has_all
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Spawner


def test_ffmpeg_publishes_and_a_pull_fetches(spawn: Spawner, certificate: tuple[Path, Path]) -> None:
    gateway = RtspGateway(spawn, "--tls-cert", certificate[0], "--tls-key", certificate[1])
    assert gateway.base.startswith("rtsps:")
    there, copied = reader(spawn), reader(spawn, COPY)
    pulling = spawn(ARCLYD, "pull", gateway.url, COPY, "--no-verify", name="pull")
    done = ffmpeg("-re", "-i", BUNNY, "-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp", gateway.url)
    assert done.returncode == 0, done.stderr
    tracks, end = received(there)
    has_all(tracks, BUNNY)
    assert end == WHOLE
    copied.await_line("frame")
    assert "within the connection" not in pulling.errors  # it was from the beginning


def test_a_certificate_of_nobody_known_is_not_taken(spawn: Spawner, certificate: tuple[Path, Path]) -> None:
    gateway = RtspGateway(spawn, "--tls-cert", certificate[0], "--tls-key", certificate[1])
    pulling = spawn(ARCLYD, "pull", gateway.url, COPY, name="pull")
    pulling_said = wait_until(lambda: "certificate" in pulling.errors and pulling.errors, what="the objection")
    assert "again in 1 s" in pulling_said
