"""Who is let in, by which credentials; and that the daemon keeps the reason to itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import arclyd
from arclyd.control import tokens
from arclyd.daemon.access import Access, is_loopback
from arclyd.daemon.config import parse
from arclyd.errors import AlreadyPublishing, ConfigError, StreamNotFound, Unauthorized
from arclyd.protocols.digest import Challenge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.daemon import Daemon

SECRET = b"0123456789abcdef"
FAR, NEAR = "192.0.2.7:5000", "127.0.0.1:5000"


@pytest.mark.parametrize(
    ("address", "near"),
    [
        (NEAR, True),
        ("[::1]:9", True),
        ("[::ffff:127.0.0.1]:9", True),
        ("", True),
        (FAR, False),
        ("[2001:db8::1]:9", False),
        ("nonsense", False),
    ],
)
def test_the_addresses_of_this_host(address: str, near: bool) -> None:
    assert is_loopback(address) is near


def test_without_configuration_this_host_is_let_in() -> None:
    assert Access().problem("live/a", NEAR, {}, 0) == ""
    assert Access().problem("live/a", FAR, {"user": "x"}, 0)
    assert Access(open="all").problem("live/a", FAR, {}, 0) == ""
    assert Access(open="none").problem("live/a", NEAR, {}, 0)


def test_each_kind_of_credentials_lets_in_who_has_it() -> None:
    access = Access("none", {"studio": "horse"}, "shared", SECRET)
    token = tokens.issue(SECRET, "live/a", 1000)
    for shown in ({"user": "studio", "pass": "horse"}, {"secret": "shared"}, {"token": token}):
        assert access.problem("live/a", NEAR, shown, 999) == ""
    for shown, at in (
        ({}, 0),
        ({"user": "studio"}, 0),
        ({"user": "studio", "pass": "shared"}, 0),
        ({"user": "other", "pass": "horse"}, 0),
        ({"user": "other", "pass": access.summary}, 0),
        ({"secret": "horse"}, 0),
        ({"secret": ""}, 0),
        ({"token": token}, 1000),
        ({"token": tokens.issue(SECRET, "live/b", 1000)}, 0),
        ({"token": token[:-1]}, 0),
    ):
        assert access.problem("live/a", NEAR, shown, at), shown


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_digest_shows_a_password_without_it(algorithm: str) -> None:
    access = Access("none", {"studio": "horse"})
    challenge = Challenge("arclyd", "n0nce", algorithm, qop=True)

    def shown(user: str, password: str, method: str = "ANNOUNCE") -> dict[str, str]:
        answer = challenge.answer(user, password, method="ANNOUNCE", uri="rtsp://h/live/a", count=1, cnonce="c")
        return {"user": user, "digest": answer.partition(" ")[2], "method": method}

    assert access.problem("live/a", NEAR, shown("studio", "horse"), 0) == ""
    for wrong in (
        shown("studio", "mule"),
        shown("other", "horse"),
        shown("other", access.summary),
        shown("studio", "horse", "DESCRIBE"),
        {"digest": "", "method": "ANNOUNCE"},
        {**shown("studio", "horse"), "digest": shown("studio", "horse")["digest"].replace(algorithm, "SHA-512")},
    ):
        assert access.problem("live/a", NEAR, wrong, 0) == "wrong user or password"


def test_credentials_of_a_kind_that_is_not_asked_for_do_not_let_in() -> None:
    access = Access("none", {}, "shared")
    assert access.problem("live/a", NEAR, {"token": "shared"}, 0)
    assert access.problem("live/a", NEAR, {"user": "", "pass": ""}, 0)


def test_the_configuration_says_who(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    config = parse(
        f"""
        [apps."*".play]
        open = "all"
        [apps.live.publish]
        users = {{ studio = "horse" }}
        token_secret_file = "{file}"
        """
    )
    assert config.app("live").publish == Access("none", {"studio": "horse"}, None, SECRET)
    assert config.app("live").play == config.app("vod").play == Access("all")
    assert config.app("vod").publish is None
    assert "horse" not in repr(config)
    file.write_bytes(b"short")
    with pytest.raises(ConfigError, match=r"5 bytes.*live\.publish\.token_secret_file"):
        parse(f'[apps.live.publish]\ntoken_secret_file = "{file}"')
    with pytest.raises(ConfigError, match=r"is no file"):
        parse(f'[apps.live.publish]\ntoken_secret_file = "{file}x"')


def test_a_refusal_has_its_reason_in_the_log_only(start_daemon: Callable[[str], Daemon], tmp_path: Path) -> None:
    audit = tmp_path / "audit.log"
    daemon = start_daemon(f'[server]\naudit = "{audit}"\n[apps.live.publish]\nsecret = "hush hush"')
    with arclyd.connect(daemon.socket) as control:
        control.admit("live/a", "publish", address=FAR, protocol="rtmp", shown={"secret": "hush hush"})
        with pytest.raises(Unauthorized) as refused:
            control.admit("live/a", "publish", address=FAR, protocol="rtmp", shown={"secret": "wrong"})
        assert "secret" not in str(refused.value)
        (event,) = control.events(1, follow=False)
        shown = {"action": "publish", "address": FAR, "protocol": "rtmp", "reason": "wrong secret"}
        assert shown.items() <= event.facts.items()
        (app,) = [app for app in control.apps() if app.name == "live"]
        assert app.settings["publish"] == "open: none, secret"
    assert "hush" not in str(app.settings)
    (line,) = map(json.loads, audit.read_text().splitlines())
    assert (line["event"], line["reason"], line["address"]) == ("refused", "wrong secret", FAR)


def test_what_is_there_already_and_what_is_not(daemon: Daemon) -> None:
    with arclyd.connect() as control:
        with pytest.raises(StreamNotFound):
            control.admit("live/a", "play", address=NEAR, protocol="rtmp", shown={})
        with arclyd.Publisher("live/a", [arclyd.Track.data()]):
            with pytest.raises(AlreadyPublishing):
                control.admit("live/a", "publish", address=NEAR, protocol="rtmp", shown={})
            control.admit("live/a", "play", address=NEAR, protocol="rtmp", shown={})
        control.admit("live/a", "publish", address=NEAR, protocol="rtmp", shown={})


def test_an_interrupted_stream_waits_for_the_next_publisher(daemon: Daemon, nothing_left: None) -> None:
    first = arclyd.Publisher("live/a", [arclyd.Track.data()])
    first.publish(0, b"one", pts=0, keyframe=True)
    first.interrupt()
    with arclyd.Publisher("live/a", [arclyd.Track.data()], on_taken="replace") as second:
        assert second.epoch == 2
    first.interrupt()
