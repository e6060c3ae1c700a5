"""Fixtures shared by all tests: a real daemon, and processes beside it."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import pytest

from arclyd.client.hub import process_hub
from tests.daemon import Daemon, Spawner
from tests.scheduling import scheduling
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


SCHEDULING = scheduling()


@pytest.fixture(autouse=True)
def _scheduled_as_ever() -> Iterator[None]:
    """What a test starts must not have the processors to itself."""
    yield
    assert scheduling() == SCHEDULING


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[Callable[[str], Daemon]]:
    """Starts a daemon with a configuration; each in a folder of its own."""
    daemons: list[Daemon] = []

    def start(config: str = "") -> Daemon:
        folder = tmp_path / f"d{len(daemons)}"  # short: a socket's path has 107 bytes
        folder.mkdir()
        daemon = Daemon(folder, config)
        daemons.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in daemons:
        daemon.clean()


@pytest.fixture
def daemon(start_daemon: Callable[[str], Daemon], monkeypatch: pytest.MonkeyPatch) -> Daemon:
    """A daemon with default settings; the test's own process has it as its default, too."""
    daemon = start_daemon("")
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
    return daemon


@pytest.fixture
def spawn(daemon: Daemon, tmp_path: Path) -> Iterator[Spawner]:
    """Runs Python programs with ``daemon`` as their default one."""
    spawner = Spawner(tmp_path, daemon.env)
    yield spawner
    spawner.reap()


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """After the test, no control connection and no thread of the library is left in this process."""
    yield
    gc.collect()
    wait_until(lambda: not process_hub().links(), timeout=5, what="the links to be closed")
    wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("arclyd-")], what="the threads' end")
