"""How SRT connections live and end: codes of refusals, take-overs, limits, a daemon that dies, libraries that lack."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.control import tokens
from tests.e2e.rtmp import KEY, contained, ended, reader, received
from tests.e2e.srt import CALL, CLIP, ENCODE, PUBLISH, READ, STANDARD, SrtGateway
from tests.e2e.test_rtmp_life import events, gone
from tests.recording import ARCLYD
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.daemon import Daemon, Script, Spawner


def told(spawn: Spawner, gateway: SrtGateway, stream_id: str) -> str:
    """What a caller is told: "connected", or the code of a refusal."""
    return spawn(CALL, gateway.port, stream_id, name="call").await_line("told ").removeprefix("told ")


def encoder(spawn: Spawner, gateway: SrtGateway, stream_id: str = PUBLISH, seconds: int = 600) -> Script:
    """An encoder that goes on for that long."""
    return spawn(ENCODE, seconds, gateway.url(stream_id), name="encode")


def published(epoch: int = 1) -> None:
    """Until the stream is there, by its publisher of that number."""

    def find() -> bool:
        with arclyd.connect() as control:
            return any((s.key, s.epoch) == (KEY, epoch) for s in control.list_streams())

    wait_until(find, what=f"publisher {epoch}")


def test_who_may_is_the_daemons_to_say_and_a_caller_is_told_by_a_code(
    daemon: Daemon, spawn: Spawner, tmp_path: Path
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
    gateway = SrtGateway(spawn)
    assert told(spawn, gateway, PUBLISH) == "1401"
    assert told(spawn, gateway, f"{PUBLISH}:studio:donkey") == "1403"
    assert told(spawn, gateway, f"{STANDARD},u=studio,s=donkey") == "1403"
    encoder(spawn, gateway, f"{STANDARD},u=studio,s=horse")
    published()
    token = tokens.issue(secret.read_bytes(), KEY, 1 << 33)
    assert told(spawn, gateway, READ) == "1401"
    assert told(spawn, gateway, f"{READ}:token=1:2") == "1403"
    assert told(spawn, gateway, f"#!::r={KEY},token={token}") == "connected"
    assert (
        told(spawn, gateway, f"read:live/none:token={tokens.issue(secret.read_bytes(), 'live/none', 1 << 33)}")
        == "1404"
    )
    assert told(spawn, gateway, f"{STANDARD[:-7]}bidirectional") == "1405"
    for nonsense in ("", "publish:", "publish:../x", "write:live/cam1", "#!::m=publish"):
        assert told(spawn, gateway, nonsense) == "1400"
    reasons = {(event["action"], event["reason"]) for event in events("refused")}
    assert ("publish", "wrong user or password") in reasons
    assert ("play", "no credentials of a kind that is asked for") in reasons


def test_a_key_that_is_taken_is_a_conflict(spawn: Spawner) -> None:
    gateway = SrtGateway(spawn, bind=":0")
    with arclyd.Publisher(KEY, [arclyd.Track.data()]):
        assert told(spawn, gateway, PUBLISH) == "1409"
    with arclyd.connect() as control:
        wait_until(lambda: KEY not in [s.key for s in control.list_streams()], what="the end of the stream")


def test_an_encoder_that_was_cut_off_takes_its_place_back(spawn: Spawner) -> None:
    gateway, there = SrtGateway(spawn), reader(spawn)
    lost = encoder(spawn, gateway)
    published()
    there.await_line("frame")
    lost.signal(signal.SIGSTOP)  # nothing more comes, and nothing says that the connection is no more
    encoder(spawn, gateway)
    published(epoch=2)
    gone("came back")
    with arclyd.connect() as control:
        control.end(KEY)
    _, end = received(there)
    assert [line.split()[:2] for line in end][-1:] == [["end", "ended"]]


def test_who_is_too_many_or_says_nothing_is_turned_away(spawn: Spawner) -> None:
    gateway = SrtGateway(spawn, "--idle", "1", "--max-per-address", "1")
    silent = spawn(CALL, gateway.port, PUBLISH, name="call")
    silent.await_line("told connected")
    assert told(spawn, gateway, "publish:live/other") == "1402"
    gone("nothing came for 1 s")
    assert told(spawn, gateway, "publish:live/other") == "connected"


def test_the_stream_goes_on_while_the_daemon_is_dead_and_callers_are_told_so(daemon: Daemon, spawn: Spawner) -> None:
    gateway, there = SrtGateway(spawn), reader(spawn)
    sending = spawn(
        "import os, sys; os.execvp('ffmpeg', ['ffmpeg', '-v', 'error', '-nostdin', *sys.argv[1:]])",
        *("-re", "-i", CLIP, "-c", "copy", "-f", "mpegts", gateway.url(PUBLISH, "linger=5")),
        name="ffmpeg",
    )
    there.await_line("frame")
    daemon.kill()
    assert told(spawn, gateway, READ) == "1503"
    daemon.start()
    sending.finish(60)
    wait_until(lambda: known(KEY), what="the stream to be taken up")
    ended()
    tracks, end = received(there)
    assert tracks == contained(CLIP)
    assert end == ["end ended 0"]


def known(key: str) -> bool:
    with arclyd.connect() as control:
        return key in [stream.key for stream in control.list_streams()]


def test_an_encoder_whose_stream_an_operator_ends_is_let_go(spawn: Spawner) -> None:
    gateway = SrtGateway(spawn)
    sending = encoder(spawn, gateway)
    published()
    with arclyd.connect() as control:
        control.end(KEY)
    assert sending.wait(60) != 0


WITHOUT = """
    import sys
    {change}
    sys.argv[0] = "arclyd"
    from arclyd.__main__ import main
    sys.exit(main())
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("sys.modules['cffi'] = None", "pip install 'arclyd[srt]'"),
        ("import arclyd.ingest.srt.library as library; library.NAMES = ('libsrt-none.so',)", "libsrt1.5-openssl"),
    ],
)
@pytest.mark.parametrize("words", [("listen", "srt", "--bind", ":0"), ("push", KEY, "srt://127.0.0.1:9?streamid=x")])
def test_what_is_not_installed_is_named_in_one_line(spawn: Spawner, change: str, said: str, words: tuple[str]) -> None:
    script = spawn(WITHOUT.format(change=change), *words, name="without")
    assert script.wait() == arclyd.errors.WireError.exit_code
    assert said in script.errors
    assert len(script.errors.splitlines()) == 1


def test_a_port_that_is_taken_and_a_passphrase_that_is_none_are_told(spawn: Spawner, tmp_path: Path) -> None:
    gateway = SrtGateway(spawn)
    again = spawn(ARCLYD, "listen", "srt", "--bind", f"127.0.0.1:{gateway.port}", name="again")
    assert again.wait() == arclyd.errors.WireError.exit_code
    (tmp_path / "short").write_text("short")
    for value, said in (
        (f"live={tmp_path}/short", "10 to 79 bytes"),
        ("../x=y", "application"),
        ("none", "No such file"),
    ):
        wrong = spawn(ARCLYD, "listen", "srt", "--passphrase-file", value, name="wrong")
        assert wrong.wait() == 2
        assert said in wrong.errors
