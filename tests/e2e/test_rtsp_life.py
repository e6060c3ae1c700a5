"""Who may publish and play by RTSP, and how sessions end."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.protocols.rtsp.messages import Interleaved
from tests import clips
from tests.e2e.rtmp import KEY, ffmpeg, reader, received
from tests.e2e.rtsp import RtspClient, RtspGateway
from tests.e2e.test_rtmp_life import events, gone
from tests.e2e.test_rtsp_ingest import BUNNY, WHOLE, has_all
from tests.waiting import wait_until

if TYPE_CHECKING:
    from tests.daemon import Daemon, Spawner

SDP = ("Content-Type", "application/sdp")
ALAW = b"v=0\r\nm=audio 0 RTP/AVP 8\r\na=control:streamid=0\r\n"
TCP = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record")


@pytest.fixture
def guarded(daemon: Daemon, spawn: Spawner) -> RtspGateway:
    """A gateway where nobody may publish without a password, nor play."""
    users = '{ studio = "horse" }'
    daemon.config.write_text(f"[apps.live.publish]\nusers = {users}\n[apps.live.play]\nusers = {users}\n")
    os.kill(daemon.pid, signal.SIGHUP)
    with arclyd.connect() as control:
        wait_until(lambda: any(app.name == "live" for app in control.apps()), what="the new configuration")
    return RtspGateway(spawn)


def test_ffmpeg_shows_a_password_by_digest(guarded: RtspGateway, spawn: Spawner) -> None:
    there = reader(spawn)
    url = guarded.url.replace("://", "://studio:horse@")
    done = ffmpeg("-readrate", 4, "-i", BUNNY, "-c", "copy", "-f", "rtsp", "-rtsp_transport", "tcp", url)
    assert done.returncode == 0, done.stderr
    tracks, end = received(there)
    has_all(tracks, BUNNY)
    assert end == WHOLE


def test_who_has_no_password_is_refused(guarded: RtspGateway) -> None:
    for user, password in (("", ""), ("studio", "donkey"), ("other", "horse")):
        with RtspClient(guarded.url, user, password) as client:
            assert client.ask("ANNOUNCE", "", SDP, body=ALAW).status == 401
    with RtspClient(guarded.url) as client:
        assert client.ask("DESCRIBE").status == 401
    assert {event["reason"] for event in events("refused")} >= {
        "wrong user or password",
        "no credentials of a kind that is asked for",
    }
    done = ffmpeg("-i", BUNNY, "-c", "copy", "-f", "rtsp", guarded.url)
    assert "401" in done.stderr


def test_an_answer_that_was_overheard_is_worth_nothing(guarded: RtspGateway) -> None:
    with RtspClient(guarded.url, "studio", "horse") as client:
        assert client.ask("ANNOUNCE", "", SDP, body=ALAW).status == 200
        overheard = client.sent
        assert b"algorithm=SHA-256" in overheard
        assert b"horse" not in overheard
    for _ in range(2):
        with RtspClient(guarded.url) as other:
            other.socket.sendall(overheard)
            assert b"RTSP/1.0 401" in other.socket.recv(4096)


def test_a_recorder_is_told_what_it_may_not(guarded: RtspGateway) -> None:
    with RtspClient(guarded.url.replace(KEY, "../x"), "studio", "horse") as client:
        assert client.ask("ANNOUNCE", "", SDP, body=ALAW).status == 404
    with RtspClient(guarded.url, "studio", "horse") as client:
        assert client.ask("ANNOUNCE", "", SDP, body=b"v=0\r\nm=audio 0 RTP/AVP 3\r\n").status == 415


def test_a_session_step_by_step(daemon: Daemon, spawn: Spawner) -> None:
    gateway = RtspGateway(spawn, "--idle", "2")
    with RtspClient(gateway.url) as client:
        assert "ANNOUNCE" in client.ask("OPTIONS").get("Public")
        assert client.ask("RECORD").status == 455
        assert client.ask("FLY").status == 501
        assert client.ask("DESCRIBE").status == 404
    with RtspClient(gateway.url) as client:
        assert client.ask("ANNOUNCE", "", SDP, body=ALAW).status == 200
        assert client.ask("SETUP", f"{gateway.url}/streamid=0", ("Transport", "RAW/RAW/UDP")).status == 461
        assert client.ask("SETUP", f"{gateway.url}/streamid=0", TCP).get("Transport").startswith("RTP/AVP/TCP")
        client.session.id, own = "wrong", client.session.id
        assert client.ask("RECORD").status == 454
        client.session.id = own
        assert client.ask("RECORD").status == 200
        assert client.ask("GET_PARAMETER").status == 200
        gone("nothing came for 2 s")


def test_a_player_in_datagrams_gets_packets_and_reports(daemon: Daemon, spawn: Spawner) -> None:
    clip = clips.clip("h264", "aac")
    gateway = RtspGateway(spawn, "--udp-ports", "40000-49999")
    with arclyd.Publisher(KEY, clip.tracks) as publisher, RtspClient(gateway.url) as client:
        clips.publish(publisher, clip.samples)
        described = client.ask("DESCRIBE")
        assert b"a=control:trackID=1" in described.body
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp, socket.socket(type=socket.SOCK_DGRAM) as rtcp:
            for sock in (rtp, rtcp):
                sock.bind(("127.0.0.1", 0))
                sock.settimeout(30)
            ports = f"RTP/AVP;unicast;client_port={rtp.getsockname()[1]}-{rtcp.getsockname()[1]}"
            answer = client.ask("SETUP", f"{described.get('Content-Base')}trackID=0", ("Transport", ports))
            assert "server_port=4" in answer.get("Transport")
            info = client.ask("PLAY").get("RTP-Info")
            assert f"seq={int.from_bytes(rtp.recv(2048)[2:4], 'big')}" in info
            assert rtcp.recv(2048)[1] == 200
            assert client.ask("TEARDOWN").status == 200
        wait_until(lambda: not publisher_watched(), what="the player to be gone")


def test_a_player_that_pauses_gets_nothing_until_it_plays_again(daemon: Daemon, spawn: Spawner) -> None:
    clip = clips.clip("h264", "aac")
    gateway = RtspGateway(spawn)
    with arclyd.Publisher(KEY, clip.tracks) as publisher, RtspClient(gateway.url) as client:
        clips.publish(publisher, clip.samples)
        base = client.ask("DESCRIBE").get("Content-Base")
        channels = ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")
        assert client.ask("SETUP", f"{base}trackID=0", channels).status == 200
        for shift in (4, 8):
            assert client.ask("PLAY").status == 200
            while not client.packets:
                client.packets += [event for event in client.receive() if isinstance(event, Interleaved)]
            assert client.ask("PAUSE").status == 200
            wait_until(lambda: not publisher_watched(), what="the player to stand still")
            client.packets.clear()
            clips.publish(publisher, clip.samples, shift=clips.Fraction(shift))
            assert client.ask("GET_PARAMETER").status == 200
            assert not client.packets
        assert client.ask("TEARDOWN").status == 200


def publisher_watched() -> int:
    with arclyd.connect() as control:
        return len(control.subscribers(KEY))
