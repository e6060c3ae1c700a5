"""How RTMP connections live and end: OBS's session, take-overs, refusals, limits, and what the daemon knows of them."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

import arclyd
from arclyd.control import tokens
from tests.e2e.obs import Obs
from tests.e2e.rtmp import KEY, RtmpGateway, reader, received
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.daemon import Daemon, Spawner


Connecting = Callable[..., Obs]


@pytest.fixture
def encoder() -> Iterator[Connecting]:
    """Connects as OBS does; whatever is left open is closed at the end."""
    made: list[Obs] = []

    def connect(*args: Any, **options: Any) -> Obs:
        made.append(Obs(*args, **options))
        return made[-1]

    yield connect
    for obs in made:
        obs.socket.close()


def nal(number: int, size: int = 5000) -> bytes:
    """A picture of one NAL unit, its length before it."""
    body = bytes((0x65,)) + number.to_bytes(4, "big") * (size // 4)
    return len(body).to_bytes(4, "big") + body


def events(kind: str) -> list[dict[str, Any]]:
    with arclyd.connect() as control:
        return [{**event.facts, "key": event.key} for event in control.events(1, follow=False) if event.kind == kind]


def gone(reason: str) -> None:
    """Until a connection has ended for that reason."""
    wait_until(lambda: any(reason in event["reason"] for event in events("disconnected")), what=f"an end: {reason}")


def digests(payloads: Iterable[bytes]) -> list[str]:
    return [sha256(payload).hexdigest() for payload in payloads]


def test_a_session_as_obs_sends_it(spawn: Spawner, encoder: Connecting) -> None:
    gateway, there = RtmpGateway(spawn), reader(spawn)
    obs = encoder(gateway.port).start()
    pictures = [nal(n, 9000 if n % 30 else 60_000) for n in range(60)]
    sounds = [bytes((n,)) * 300 for n in range(90)]
    for n, picture in enumerate(pictures):
        obs.picture(n * 33, picture, key=n % 30 == 0, composition=66)
        for sound in range(n * 3 // 2, (n + 1) * 3 // 2):
            obs.sound(sound * 22, sounds[sound])
    there.await_line("frame")
    with arclyd.connect() as control:
        wait_until(lambda: control.info(KEY).head == 152, what="all frames")  # with two configurations
        info = control.info(KEY)
    assert info.metadata.ingest_protocol == "rtmp"
    assert info.metadata.publisher_addr == f"127.0.0.1:{obs.socket.getsockname()[1]}"
    assert info.metadata.tags["encoder"].startswith("obs-output")
    assert info.publisher is not None
    assert info.publisher.name == f"rtmp {info.metadata.publisher_addr}"
    assert [(t.codec, t.width, t.sample_rate) for t in info.qos.tracks] == [("h264", 1280, 0), ("aac", 0, 48000)]
    obs.finish()
    tracks, end = received(there)
    assert tracks == [digests(pictures), digests(sounds)]
    assert end == ["end ended 0"]
    gone("the encoder ended the stream")


def test_an_encoder_that_was_cut_off_takes_its_place_back(spawn: Spawner, encoder: Connecting) -> None:
    gateway, there = RtmpGateway(spawn), reader(spawn)
    lost = encoder(gateway.port).start()
    for n in range(5):
        lost.picture(n * 40, nal(n), key=n == 0)
    there.await_line("frame")
    # Nothing more comes, and nothing says that the connection is no more.
    back = encoder(gateway.port).start()
    for n in range(5, 10):
        back.picture((n - 5) * 40, nal(n), key=n == 5)
    gone("came back")
    with arclyd.connect() as control:
        wait_until(lambda: control.info(KEY).epoch == 2, what="the second publisher")
    back.finish()
    tracks, end = received(there)
    assert tracks == [digests(nal(n) for n in range(10))]
    assert end == ["end ended 0"]


def test_an_encoder_whose_connection_broke_goes_on(spawn: Spawner, encoder: Connecting) -> None:
    gateway, there = RtmpGateway(spawn), reader(spawn)
    first = encoder(gateway.port).start()
    first.picture(0, nal(0), key=True)
    there.await_line("frame")
    first.socket.close()
    gone("the client left")
    second = encoder(gateway.port).start()
    second.picture(0, nal(1), key=True)
    second.finish()
    tracks, end = received(there)
    assert tracks == [digests([nal(0), nal(1)])]
    assert end == ["end ended 0"]


def test_a_key_that_is_taken_is_refused_in_words(spawn: Spawner, encoder: Connecting) -> None:
    gateway = RtmpGateway(spawn)
    with arclyd.Publisher(KEY, [arclyd.Track.data()]):
        second = encoder(gateway.port)
        second.connect()
        with pytest.raises(PermissionError, match=r"BadName.*being published already"):
            second.publish()
        second.at_end()
    assert events("refused")[0]["code"] == "already_publishing"
    with pytest.raises(PermissionError, match="BadName"):
        encoder(gateway.port, key="../x").start()


def test_who_may_publish_and_play_is_the_daemons_to_say(
    daemon: Daemon, spawn: Spawner, encoder: Connecting, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"0123456789abcdef")
    daemon.config.write_text(
        f"""
        [apps.live.publish]
        users = {{ studio = "horse" }}
        [apps.live.play]
        token_secret_file = "{secret}"
        """
    )
    os.kill(daemon.pid, signal.SIGHUP)
    with arclyd.connect() as control:
        wait_until(lambda: any(app.name == "live" for app in control.apps()), what="the new configuration")
    gateway = RtmpGateway(spawn)
    for key in ("cam1", "cam1?user=studio&pass=donkey", "cam1?token=1:2"):
        obs = encoder(gateway.port, key=key)
        obs.connect()
        with pytest.raises(PermissionError, match=r"BadName.*not allowed") as refused:
            obs.publish()
        assert b"password" not in refused.value.args[0]
    obs = encoder(gateway.port, key="cam1?user=studio&pass=horse").start()
    obs.picture(0, nal(0), key=True)
    obs.picture(40, nal(1), key=False)
    with arclyd.connect() as control:
        wait_until(lambda: [s.key for s in control.list_streams()] == [KEY], what="the stream")
    token = tokens.issue(secret.read_bytes(), KEY, 1 << 33)
    for key, answer in (
        (f"cam1?token={token}", ""),
        ("cam1", r"Play.Failed.*not allowed"),
        ("x?token=", "Play.Failed"),
    ):
        player = encoder(gateway.port, key=key)
        player.connect()
        if answer:
            with pytest.raises(PermissionError, match=answer):
                player.play()
        else:
            player.play()
    reasons = {(event["action"], event["reason"]) for event in events("refused")}
    assert ("publish", "wrong user or password") in reasons
    assert ("play", "no credentials of a kind that is asked for") in reasons


def test_what_is_silent_or_says_nothing_of_use_is_let_go(spawn: Spawner, encoder: Connecting) -> None:
    gateway = RtmpGateway(spawn, "--start", "1", "--idle", "1", "--max-per-address", "3")
    mute = encoder(gateway.port, greet=False)
    greeted = encoder(gateway.port)
    silent = encoder(gateway.port).start()
    turned_away = encoder(gateway.port, greet=False)
    for obs in (turned_away, mute, greeted, silent):
        obs.at_end()
    with pytest.raises(PermissionError, match="StreamNotFound"):
        late = encoder(gateway.port, key="never")
        late.connect()
        late.play()
    gone("nothing published or played in 1 s")
    gone("nothing came for 1 s")


def test_who_asks_and_never_takes_the_answers_is_let_go(spawn: Spawner, encoder: Connecting) -> None:
    gateway = RtmpGateway(spawn, "--start", "600", "--stalled", "600")
    deaf = encoder(gateway.port)
    deaf.connect()
    ping = bytes.fromhex("02 000000 000006 04 00000000 0006 00000000")
    with pytest.raises(ConnectionError):
        for _ in range(100):
            deaf.socket.sendall(ping * 50_000)
    gone("does not take the answers")


def test_an_encoder_is_told_when_its_stream_is_ended_by_an_operator(spawn: Spawner, encoder: Connecting) -> None:
    gateway = RtmpGateway(spawn)
    obs = encoder(gateway.port).start()
    obs.picture(0, nal(0), key=True)
    with arclyd.connect() as control:
        wait_until(lambda: [s.qos.keyframes for s in control.list_streams()] == [1], what="the stream")
        control.end(KEY)
    wait_until(lambda: sent_on(obs), what="the encoder to be told")
    assert b"the stream was ended" in obs.at_end()


def sent_on(obs: Obs) -> bool:
    """One more picture, and whether the answer is there."""
    obs.picture(40, nal(1), key=False)
    return bool(select.select([obs.socket], [], [], 0.01)[0]) and b"BadName" in obs.peek()


def test_a_frame_above_the_limit_ends_the_connection(spawn: Spawner, encoder: Connecting) -> None:
    gateway = RtmpGateway(spawn, "--max-video", "64KiB")
    obs = encoder(gateway.port).start()
    obs.picture(0, nal(0, 60_000), key=True)
    obs.send(4, 9, b"\x27\x01" + bytes(70_000), 40)
    obs.at_end()
    gone("the limit is 65536")


def test_nothing_is_published_before_the_first_keyframe(spawn: Spawner, encoder: Connecting) -> None:
    gateway, there = RtmpGateway(spawn), reader(spawn)
    obs = encoder(gateway.port).start()
    for n in range(50):
        obs.picture(n * 40, nal(n), key=n == 30)
    there.await_line("frame")
    obs.finish()
    tracks, _ = received(there)
    assert tracks == [digests(nal(n) for n in range(30, 50))]


def test_times_that_wrap_jump_and_step_back_are_one_line(spawn: Spawner, encoder: Connecting) -> None:
    gateway, there = RtmpGateway(spawn), reader(spawn)
    obs = encoder(gateway.port).start()
    obs._times.clear()  # full headers from here on, which have times of their own
    times = [0xFFFF_FF00 + 40 * n for n in range(10)] + [5000, 5040, 900_000, 900_040]
    for n, time in enumerate(times):
        obs._times.clear()
        absolute(obs, time & 0xFFFF_FFFF, nal(n), key=n == 0)
    there.await_line("frame")
    obs._times.clear()
    obs.finish()
    there.finish(60)
    frames = [line.split() for line in there.lines if line.startswith("frame") and line.split()[5] == "0"]
    pts = [int(frame[3]) for frame in frames]
    assert len(pts) == len(times)
    assert all(0 < after - before <= 5000 for before, after in pairwise(pts))


def absolute(obs: Obs, time: int, payload: bytes, *, key: bool) -> None:
    """A picture with a full header, its time in 32 bits where it takes them, in every chunk of it."""
    body = (b"\x17\x01" if key else b"\x27\x01") + bytes(3) + payload
    extended = time.to_bytes(4, "big") if time >= 0xFF_FFFF else b""
    head = b"\x04" + min(time, 0xFF_FFFF).to_bytes(3, "big") + len(body).to_bytes(3, "big") + b"\x09\x01\x00\x00\x00"
    obs.socket.sendall(
        head + extended + (b"\xc4" + extended).join(body[at : at + 4096] for at in range(0, len(body), 4096))
    )
