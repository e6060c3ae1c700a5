"""The configuration file: defaults, inheritance, units, and complaints that name the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arclyd.daemon.config import AppConfig, Config, load, parse
from arclyd.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def test_no_file_means_the_defaults() -> None:
    assert load(None) == Config()
    assert parse("") == Config()
    assert Config().app("anything") == AppConfig(ring_bytes=32 << 20, slots=8192, grace=10, on_taken="reject")


def test_everything_there_is_to_set(tmp_path: Path) -> None:
    path = tmp_path / "arclyd.toml"
    path.write_text(
        """
        [server]
        max_publishers = 3
        memory_budget = "1.5GiB"
        max_connections = 10
        socket = "/run/x.sock"
        audit = "/var/log/arclyd/audit.log"
        [apps."*"]
        grace = 2.5
        [apps.live]
        ring_bytes = "64MiB"
        slots = 100
        gop_frames = 300
        gop_bytes = "8MB"
        gop_ms = 4000
        max_lag = 50
        idle_timeout = 30
        on_taken = "replace"
        crc = true
        hardened = true
        [apps.vod]
        retention = 20
        bitrate = "6Mbit/s"
        """
    )
    config = load(str(path))
    assert (config.max_publishers, config.memory_budget, config.max_connections) == (3, 3 << 29, 10)
    assert (config.socket, config.audit) == ("/run/x.sock", "/var/log/arclyd/audit.log")
    sizes = (64 << 20, 100, 300, 8_000_000, 4000, 50, 30.0, 2.5)
    assert config.app("live") == AppConfig(*sizes, "replace", crc=True, hardened=True)
    assert config.app("vod").ring_bytes == 20 * 6_000_000 // 8 * 5 // 4
    assert config.app("other") == AppConfig(grace=2.5)


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("[apps.live]\ngracee = 1", "$.apps.live.gracee", "unknown key 'gracee'"),
        ("[server]\nmax_publisher = 1", "$.server.max_publisher", "unknown key"),
        ("servr = 1", "$.servr", "unknown key"),
        ('[apps.live]\ngrace = "soon"', "$.apps.live.grace", "str"),
        ("[apps.live]\ngrace = -1", "$.apps.live.grace", ">= 0"),
        ("[apps.live]\ngrace = inf", "$.apps.live.grace", "<="),
        ("[apps.live]\ngrace = true", "$.apps.live.grace", "bool"),
        ('[apps.live]\nring_bytes = "64MiX"', "$.apps.live.ring_bytes", "64MiX"),
        ("[apps.live]\nring_bytes = 100", "$.apps.live.ring_bytes", "a ring of 100 bytes"),
        ("[apps.live]\nring_bytes = -5", "$.apps.live.ring_bytes", "got -5"),
        ('[apps.live]\non_taken = "steal"', "$.apps.live.on_taken", "steal"),
        ("[apps.live]\nretention = 5", "$.apps.live", "bitrate is missing"),
        ('[apps.live]\nretention = 5\nbitrate = "6M"\nring_bytes = 100000', "$.apps.live", "not both"),
        ("[apps.live]\nslots = 1", "$.apps.live.slots", ">= 2"),
        ('[apps."a b"]', '$.apps."a b"', "outside"),
        ("apps = 1", "$.apps", "table"),
        ("server = 1", "$.server", "object"),
        ("[server]\nmax_publishers = 0", "$.server.max_publishers", ">= 1"),
        # Each of these once came out as another exception, or as a number that fits no header and no message.
        ('[apps.live]\nring_bytes = "' + "9" * 400 + 'MiB"', "$.apps.live.ring_bytes", "more than 9223372036854775807"),
        ("[apps.live]\ngop_bytes = 0x" + "f" * 5000, "$.apps.live.gop_bytes", "more than 9223372036854775807"),
        ("[apps.live]\ngop_bytes = -0x" + "f" * 5000, "$", ""),
        ("[apps.live]\nretention = 1e9\nbitrate = " + "9" * 400, "$.apps.live.bitrate", "more than"),
        ("[apps.live]\ngop_frames = 4294967296", "$.apps.live.gop_frames", "<= 4294967295"),
        ("[apps.live]\nmax_lag = 9223372036854775808", "$.apps.live.max_lag", ""),
        ("[server]\nmax_connections = 99999999999", "$.server.max_connections", "<= 2147483647"),
        ('[server]\nsocket = "\\u0000"', "$.server.socket", "str"),
        ("a = " + "9" * 5000, "$", "a number of too many digits"),
        ("a = " + "[" * 5000, "$", "nested too deeply"),
        ("= 1", "$", "line 1"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_place(text: str, path: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text, "a.toml")
    assert (raised.value.path, raised.value.file) == (path, "a.toml")
    assert said in str(raised.value)
    assert str(raised.value).startswith("a.toml: ")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(str(tmp_path / "none.toml"))
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(ConfigError, match=r"latin\.toml"):
        load(str(tmp_path / "latin.toml"))
