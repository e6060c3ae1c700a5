"""`arclyd listen mpegts` with real encoders: what is in their file is what a subscriber receives."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import arclyd
from tests.daemon import Spawner
from tests.e2e.reading import READER, seen
from tests.e2e.rtmp import KEY, contained, ended, ffmpeg, received
from tests.e2e.transport import TransportGateway
from tests.ts_maker import TsMaker, registered, section
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.daemon import Daemon, Script

READING = json.dumps({"wait": 60, "start": "oldest"})
CLIP = Path(__file__).parents[1] / "media" / "bigbuckbunny.mp4"


@pytest.fixture(autouse=True)
def _encoder() -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")


def sent(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return ffmpeg("-re", "-i", CLIP, "-c", "copy", *options, "-f", "mpegts", url)


def up(spawn: Spawner) -> Script:
    """A reader that is ready before anything is sent: a stream that ends is gone."""
    script = spawn("\n    import arclyd.client.subscriber\n    print('up')\n" + READER, KEY, READING, name="reader")
    script.await_line("up")
    return script


def has_all(tracks: list[list[str]]) -> None:
    assert tracks == contained(CLIP)


def test_datagrams_become_a_stream(daemon: Daemon, spawn: Spawner) -> None:
    gateway = TransportGateway(spawn, "udp://127.0.0.1:0", "--idle", "2")
    script = up(spawn)
    done = sent(f"{gateway.base}?pkt_size=1316")
    assert done.returncode == 0, done.stderr
    gateway.says("nothing came for 2 s")
    ended()
    tracks, end = received(script)
    assert [line.split()[0] for line in end] == ["end"]
    has_all(tracks)
    with arclyd.connect() as control, closing(control.events(0, follow=False)) as events:
        assert {"connected", "disconnected"} <= {event.kind for event in events}


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_body_becomes_a_stream(daemon: Daemon, spawn: Spawner, method: str) -> None:
    gateway = TransportGateway(spawn, "http://127.0.0.1:0", key=None)
    script = up(spawn)
    done = sent(f"{gateway.base}/{KEY}", "-method", method, "-mpegts_flags", "latm")
    assert done.returncode == 0, done.stderr
    tracks, end = received(script)
    assert [line.split()[:2] for line in end] == [["end", "ended"]]
    has_all(tracks)


def test_a_connection_becomes_a_stream(daemon: Daemon, spawn: Spawner) -> None:
    gateway = TransportGateway(spawn, "tcp://127.0.0.1:0")
    script = up(spawn)
    done = sent(gateway.base)
    assert done.returncode == 0, done.stderr
    tracks, end = received(script)
    assert [line.split()[:2] for line in end] == [["end", "ended"]]
    has_all(tracks)


def test_metadata_says_where_it_comes_from_and_what_its_data_is(daemon: Daemon, spawn: Spawner) -> None:
    gateway = TransportGateway(spawn, "tcp://127.0.0.1:0")
    make = TsMaker([(0x100, 0x06, registered(b"KLVA")), (0x101, 0x86, registered(b"CUEI")), (0x102, 0x15, b"")])
    script = up(spawn)
    cue = section(0xFC, bytes(30))
    with socket.create_connection(("127.0.0.1", gateway.port)) as sender:
        sender.sendall(make.tables() + make.clock(9000))
        for number in range(3):
            sender.sendall(make.unit(0x100, b"klv %d" % number, 9000 + number * 3600, bounded=True, id=0xBD))
        sender.sendall(make.sections(0x101, cue))
        wait_until(lambda: len(seen(script)) >= 4, what=f"the data; {script.errors} {gateway.script.errors}")
        with arclyd.connect() as control:
            metadata = control.metadata(KEY)
        assert metadata.ingest_protocol == "mpegts+tcp"
        assert metadata.publisher_addr == f"127.0.0.1:{sender.getsockname()[1]}"
        wait_until(
            lambda: metadata_tags().get("data_tracks") == "0 klv, 1 scte35, 2 metadata", what="the tracks' names"
        )
    assert received(script)[0] == [
        [sha256(b"klv %d" % number).hexdigest() for number in range(3)],
        [sha256(cue).hexdigest()],
    ]


def test_lost_packets_are_counted_and_the_stream_goes_on(daemon: Daemon, spawn: Spawner, tmp_path: Path) -> None:
    whole = tmp_path / "whole.ts"
    assert ffmpeg("-i", CLIP, "-c", "copy", whole).returncode == 0
    data = whole.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    pictures = [place for place, packet in enumerate(packets) if (packet[1] & 31) << 8 | packet[2] == 256]
    del packets[pictures[len(pictures) * 3 // 4] : pictures[len(pictures) * 3 // 4] + 3]
    gateway = TransportGateway(spawn, "tcp://127.0.0.1:0")
    script = up(spawn)
    with socket.create_connection(("127.0.0.1", gateway.port)) as sender:
        sender.sendall(b"".join(packets))
        wait_until(lambda: "continuity_errors" in metadata_tags(), what="the errors to be told")
    tracks, _ = received(script)
    video = contained(CLIP)[0]
    assert len(tracks[0]) in (len(video) - 1, len(video))
    assert sum(one != other for one, other in zip(tracks[0], video, strict=False)) <= len(video) // 4 + 1
    assert tracks[0][-1] == video[-1]


def metadata_tags() -> dict[str, str]:
    with arclyd.connect() as control:
        try:
            return dict(control.metadata(KEY).tags)
        except arclyd.StreamNotFound:
            return {}


MULTICAST = """
    import fcntl, socket, struct, subprocess, sys

    # A network of its own, with nothing but a loopback that is up.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40 | 0x1000))  # up, running, multicast
    url = "udp://239.7.7.7:5004"
    gateway = subprocess.Popen(
        [sys.executable, "-m", "arclyd", "listen", "mpegts", url + "?interface=lo", sys.argv[1], "--idle", "2"],
        stderr=subprocess.PIPE, text=True,
    )
    try:
        assert "serving" in gateway.stderr.readline()
        subprocess.run(
            ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", sys.argv[2], "-c", "copy", "-f", "mpegts",
             url + "?pkt_size=1316&localaddr=127.0.0.1&ttl=1"], check=True, timeout=100,
        )
        for line in gateway.stderr:
            print(line, end="")
            if "nothing came" in line:
                break
    finally:
        gateway.terminate()
        gateway.wait(20)
"""


def test_a_group_becomes_a_stream(daemon: Daemon, spawn: Spawner) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        pytest.skip("no network namespaces: that needs root")
    script = up(spawn)
    inside = ["unshare", "--net", sys.executable, "-c", textwrap.dedent(MULTICAST), KEY, str(CLIP)]
    done = subprocess.run(inside, env=daemon.env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "publishes" in done.stdout
    ended()
    tracks, _ = received(script)
    has_all(tracks)


def test_a_sender_that_comes_back_goes_on_with_its_stream(daemon: Daemon, spawn: Spawner) -> None:
    gateway = TransportGateway(spawn, "udp://127.0.0.1:0", "--idle", "60")
    script = up(spawn)
    picture = ["-re", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25", "-t", "3", "-c:v", "libx264", "-g", "5"]
    for number in (1, 2):  # from another port, long before the first one is given up
        done = ffmpeg(*picture, "-preset", "ultrafast", "-f", "mpegts", f"{gateway.base}?pkt_size=1316")
        assert done.returncode == 0, done.stderr
        wait_until(lambda number=number: epoch() == number, what=f"sender {number}; {gateway.script.errors}")
    gateway.says("another sender is heard in its place")
    wait_until(lambda: sum(frame.is_config for frame in seen(script)) == 2, what="both to be received")
    with arclyd.connect() as control:
        control.end(KEY)
    _, end = received(script)
    assert end[-1].split()[:2] == ["end", "ended"]


def epoch() -> int:
    with arclyd.connect() as control:
        return next((stream.epoch for stream in control.list_streams() if stream.key == KEY), 0)


ACCESS = """
[apps.live.publish]
open = "none"
users = { studio = "correct horse" }
"""


def put(gateway: TransportGateway, key: str = KEY, *, query: str = "", headers: dict[str, str] | None = None) -> int:
    url = f"{gateway.base.replace('0.0.0.0', '127.0.0.1')}/{key}{query}"
    request = urllib.request.Request(url, data=b"\x47" * 188, headers=headers or {}, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_who_may_is_asked_of_the_daemon(
    start_daemon: Callable[[str], Daemon], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = start_daemon(ACCESS)
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    spawner = Spawner(tmp_path, daemon.env)
    try:
        http = TransportGateway(spawner, "http://127.0.0.1:0", key=None)
        assert put(http) == 401
        assert put(http, query="?user=studio&pass=wrong") == 403
        assert put(http, query="?user=studio&pass=correct%20horse") == 201
        assert put(http, headers={"Authorization": "Basic c3R1ZGlvOmNvcnJlY3QgaG9yc2U="}) == 201
        assert put(http, "live/.hidden") == 404
        udp = TransportGateway(spawner, "udp://127.0.0.1:0")
        assert sent(f"{udp.base}?pkt_size=1316", "-t", "2").returncode == 0
        udp.says("not allowed")
        with arclyd.connect() as control:
            assert not [stream for stream in control.list_streams() if stream.epoch]
    finally:
        spawner.reap()


GROUPS = """
    import fcntl, socket, struct
    from arclyd.ingest.mpegts.address import Address, open_receiver, open_sender

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40 | 0x1000))
    with open_receiver(Address.parse("udp://232.7.7.7:5004?interface=lo&source=127.0.0.2")) as receiver:
        receiver.settimeout(20)
        for source in ("127.0.0.3", "127.0.0.2"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((source, 0))
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
                sender.sendto(source.encode(), ("232.7.7.7", 5004))
        print(receiver.recv(100).decode())
    with open_receiver(Address.parse("udp://[ff02::77]:5005?interface=lo")) as receiver:
        print(receiver.getsockname()[0])
    with open_sender(Address.parse("udp://239.7.7.7:5004?interface=lo&ttl=3")) as sender:
        print(sender.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL))
"""


def test_a_group_is_joined_by_its_source_and_sent_to_with_hops() -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        pytest.skip("no network namespaces: that needs root")
    inside = ["unshare", "--net", sys.executable, "-c", textwrap.dedent(GROUPS)]
    done = subprocess.run(inside, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["127.0.0.2", "ff02::77", "3"], done.stderr
