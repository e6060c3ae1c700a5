"""What the WebRTC gateway answers to whom: WHIP's and WHEP's rules, and who may publish and play."""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

import arclyd
from arclyd.control import tokens
from tests.clips import clip, publish
from tests.e2e.webrtc import CLIENT, KEY, WebrtcGateway, await_pictures, write
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Daemon, Spawner

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = "a=ice-ufrag:abcd\r\na=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n"


def offer(direction: str = "sendonly") -> str:
    """What a client offers that never connects."""

    async def make() -> str:
        client = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        client.addTransceiver("video", direction)
        await client.setLocalDescription(await client.createOffer())
        text: str = client.localDescription.sdp
        await client.close()
        return text

    return asyncio.run(make())


def ask(
    gateway: WebrtcGateway, method: str, path: str, body: str = "", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], str]:
    """One request: status, headers, text."""
    connection = http.client.HTTPConnection(gateway.base.removeprefix("http://"), timeout=60)
    connection.request(method, path, body.encode(), SDP if headers is None else headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, dict(response.getheaders()), text


def refused() -> set[str]:
    """What was refused by the daemon so far."""
    with arclyd.connect() as control:
        return {str(event.facts["action"]) for event in control.events(1, follow=False) if event.kind == "refused"}


def test_an_offer_is_answered_by_the_book_and_a_session_ends_with_delete(spawn: Spawner) -> None:
    server = "turn:me:word@127.0.0.1:9"  # nobody is there: it is asked, and left out
    gateway = WebrtcGateway(spawn, "--start", 600, "--public", "203.0.113.9")
    told = WebrtcGateway(spawn, "--ice-server", server, "--start", 600)
    status, headers, answer = ask(gateway, "POST", f"/{KEY}/whip", offer())
    assert status == 201
    assert headers["Content-Type"].startswith("application/sdp")
    assert headers["Location"].startswith(f"/{KEY}/whip/")
    assert headers["Accept-Patch"] == "application/trickle-ice-sdpfrag"
    assert "Link" not in headers
    assert "Location" in headers["Access-Control-Expose-Headers"]
    candidates = [line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate")]
    assert candidates == ["203.0.113.9", "127.0.0.1"]
    assert "a=recvonly" in answer

    patch = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": headers["ETag"]}
    assert ask(gateway, "PATCH", headers["Location"], FRAGMENT, patch)[0] == 204
    assert ask(gateway, "PATCH", headers["Location"], FRAGMENT, {**patch, "If-Match": '"x"'})[0] == 412
    assert ask(gateway, "PATCH", headers["Location"], FRAGMENT, {**patch, "If-Match": "*"})[0] == 422
    assert ask(gateway, "PATCH", headers["Location"], "nonsense", patch)[0] == 400
    assert ask(gateway, "PATCH", headers["Location"], FRAGMENT, SDP)[0] == 415
    assert ask(gateway, "DELETE", headers["Location"])[0] == 200
    assert ask(gateway, "DELETE", headers["Location"])[0] == 404
    for path in (f"/{KEY}/whip", headers["Location"]):
        status, headers, _ = ask(gateway, "OPTIONS", path)
        assert (status, headers["Access-Control-Allow-Origin"]) == (204, "*")
        assert "PATCH" in headers["Access-Control-Allow-Methods"]

    _, headers, _ = ask(told, "POST", f"/{KEY}/whip", offer())
    assert headers["Link"] == (
        '<turn:127.0.0.1:9>; rel="ice-server"; username="me"; credential="word"; credential-type="password"'
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", f"/{KEY}/whip", "nonsense", SDP, 400),
        ("POST", f"/{KEY}/whip", "v=0\r\n" * 20_000, SDP, 413),
        ("POST", f"/{KEY}/whip", "{}", {"Content-Type": "application/json"}, 415),
        ("POST", "/.live/cam1/whip", "v=0", SDP, 404),
        ("POST", f"/{KEY}/other", "v=0", SDP, 404),
        ("POST", "/live/nothing/whep", "v=0", SDP, 404),
        ("GET", f"/{KEY}/whip", "", SDP, 405),
        ("PATCH", f"/{KEY}/whip/unknown", "", SDP, 404),
    ],
)
def test_what_can_not_be_done_is_refused_with_its_code(
    spawn: Spawner, method: str, path: str, body: str, headers: dict[str, str], status: int
) -> None:
    gateway = WebrtcGateway(spawn)
    assert ask(gateway, method, path, body, headers)[0] == status
    assert "Traceback" not in gateway.script.errors


def test_who_may_publish_and_play_is_the_daemons_to_say(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef")
    daemon.config.write_text(
        f"""
        [apps.live.publish]
        token_secret_file = "{secret}"
        [apps.live.play]
        token_secret_file = "{secret}"
        """
    )
    os.kill(daemon.pid, signal.SIGHUP)
    with arclyd.connect() as control:
        wait_until(lambda: any(app.name == "live" for app in control.apps()), what="the new configuration")
    gateway = WebrtcGateway(spawn, "--idle", 60)
    status, headers, text = ask(gateway, "POST", f"/{KEY}/whip", offer())
    assert (status, headers["WWW-Authenticate"], text) == (401, 'Bearer realm="arclyd"', "not allowed\n")
    wrong = {**SDP, "Authorization": "Bearer 1:2"}
    assert ask(gateway, "POST", f"/{KEY}/whip", offer(), wrong)[0] == 403
    assert ask(gateway, "POST", f"/{KEY}/whep", offer("recvonly"), wrong)[0] == 403
    assert ask(gateway, "POST", f"/{KEY}/whep?token=1:2", offer("recvonly"))[0] == 403
    token = tokens.issue(secret.read_bytes(), KEY, 1 << 33)
    write(tmp_path / "clip", clip("h264", "libopus"))
    sender = spawn(CLIENT, "publish", gateway.url("whip"), token, tmp_path / "clip", name="sender")
    sender.await_line("publishing")
    await_pictures()
    viewer = spawn(CLIENT, "play", gateway.url("whep"), token, name="viewer")
    viewer.await_line("got video")
    assert refused() == {"publish", "play"}


def test_too_many_and_those_that_never_connect_are_let_go(spawn: Spawner) -> None:
    gateway = WebrtcGateway(spawn, "--max-per-address", 1, "--start", 5)
    body = offer()
    status, headers, _ = ask(gateway, "POST", f"/{KEY}/whip", body)
    assert status == 201
    assert ask(gateway, "POST", "/live/cam2/whip", body)[0] == 503
    wait_until(lambda: ask(gateway, "POST", "/live/cam2/whip", body)[0] == 201, what="the first to be given up")
    assert "not connected within 5 s" in gateway.script.errors
    host, port = gateway.base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:  # a header that does not end
        slow.settimeout(60)
        slow.sendall(b"POST /live/cam1/whip HTTP/1.1\r\nHost: x\r\n")
        with pytest.raises(ConnectionResetError):
            assert slow.recv(1000)
            raise ConnectionResetError
    assert ask(gateway, "DELETE", headers["Location"])[0] == 404


def test_a_gateway_that_is_told_to_stop_says_goodbye(spawn: Spawner, tmp_path: Path) -> None:
    write(tmp_path / "clip", clip("h264", "libopus"))
    gateway = WebrtcGateway(spawn, "--idle", 60)
    sender = spawn(CLIENT, "publish", gateway.url("whip"), "", tmp_path / "clip", name="sender")
    sender.await_line("publishing")
    await_pictures()
    viewer = spawn(CLIENT, "play", gateway.url("whep"), "", name="viewer")
    viewer.await_line("got video")
    gateway.script.signal(signal.SIGTERM)
    assert gateway.script.wait() == 0
    viewer.await_line("over")
    assert "Traceback" not in gateway.script.errors


def test_a_reader_that_asks_for_a_keyframe_gets_one_from_the_sender(spawn: Spawner, tmp_path: Path) -> None:
    write(tmp_path / "clip", clip("h264", "libopus", 8))
    gateway = WebrtcGateway(spawn, "--keyframes", 0)
    sender = spawn(CLIENT, "publish", gateway.url("whip"), "", tmp_path / "clip", name="sender")
    sender.await_line("publishing")
    with arclyd.Subscriber(KEY, wait=60) as reader, arclyd.connect() as control:
        reader.recv(timeout=60)
        before = sum(line == "asked" for line in sender.lines)
        control.request_keyframe(KEY)
        wait_until(lambda: sum(line == "asked" for line in sender.lines) > before, what="the browser to be asked")


def test_a_viewer_that_lost_a_picture_has_the_publisher_asked(spawn: Spawner) -> None:
    media = clip("h264", "libopus")
    gateway = WebrtcGateway(spawn)
    with arclyd.Publisher(KEY, media.tracks) as publisher:
        publish(publisher, media.samples)
        assert ask(gateway, "POST", f"/{KEY}/whip", offer())[0] == 409
        viewer = spawn(CLIENT, "play", gateway.url("whep"), "", name="viewer")
        viewer.await_line("got video")
        publisher.keyframe_requested()
        viewer.say("lost")
        wait_until(publisher.keyframe_requested, what="a request for a keyframe")


def test_a_viewer_of_a_stream_without_a_keyframe_waits_for_one_it_asked_for(spawn: Spawner) -> None:
    media = clip("h264", "libopus")
    pictures = media.of(0)
    gateway = WebrtcGateway(spawn)
    with arclyd.Publisher(KEY, media.tracks) as publisher:
        publish(publisher, pictures[1:20])
        viewer = spawn(CLIENT, "play", gateway.url("whep"), "", name="viewer")
        viewer.await_line("playing")
        wait_until(publisher.keyframe_requested, what="a request")
        publish(publisher, pictures[25:])
        viewer.await_line("got video")
