"""Where the control socket is, for the daemon and for a client."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from arclyd.control import paths
from arclyd.errors import DaemonUnavailable


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ARCLYD_SOCKET", "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(paths, "SYSTEM_SOCKET", str(tmp_path / "system.sock"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_the_order_of_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private = str(tmp_path / f"arclyd-{os.getuid()}" / "control.sock")
    assert paths.default_socket() == private
    (tmp_path / "xdg").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
    own = str(tmp_path / "xdg" / "arclyd" / "control.sock")
    assert paths.default_socket() == own
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/arclyd:/run/other")
    assert paths.default_socket() == "/run/arclyd/control.sock"
    monkeypatch.setenv("ARCLYD_SOCKET", "here.sock")
    assert paths.default_socket() == str(Path.cwd() / "here.sock")


def test_a_client_prefers_the_service_to_nobody_and_a_daemon_never_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "system.sock").touch()
    assert paths.default_socket() == str(tmp_path / "system.sock")
    assert paths.default_socket(serving=True) != str(tmp_path / "system.sock")


def test_a_runtime_directory_that_is_not_there_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    assert "none" not in paths.default_socket()


def test_a_public_directory_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / f"arclyd-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(DaemonUnavailable, match="private"):
        paths.default_socket()
    folder.chmod(0o700)
    assert paths.default_socket().startswith(str(folder))
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(DaemonUnavailable):
        paths.default_socket()


def test_instances_differ_by_socket_and_have_eight_digits() -> None:
    one, two = paths.instance_of("/run/a.sock"), paths.instance_of("/run/b.sock")
    assert one != two
    assert len(one) == len(two) == 8
    assert int(one, 16) >= 0
