"""In CI an end-to-end test that is skipped has failed: nothing there may be missing. And a daemon among other users."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.daemon import Daemon, Spawner
from tests.e2e.others import SERVICE, app, python_for_all
from tests.recording import ARCLYD, KEY
from tests.small_disk import SmallDisk, small_disk
from tests.stress.resource_daemon import can_mount

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.daemon import Script


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that names its reason; an expected failure (xfail) stays one."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"end-to-end tests must not be skipped in CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that skips itself, or is marked so."""
    report = yield
    fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself as a whole."""
    report = yield
    fail_if_skipped(report)
    return report


@pytest.fixture(scope="module")
def python() -> Iterator[str]:
    """An interpreter for everybody."""
    found, path = python_for_all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        yield found


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder everybody can go through, as /run is; pytest's own are root's alone."""
    folder = Path(tempfile.mkdtemp(prefix="arclyd-trust-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def service(place: Path, python: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Daemon]]:
    """Starts daemons as the service's user, with an audit log; the last one is this process's default."""
    daemons: list[Daemon] = []

    def start(config: str = "", user: tuple[int, int] | None = SERVICE) -> Daemon:
        folder = place / f"d{len(daemons)}"
        folder.mkdir()
        daemon = Daemon(folder, f'[server]\naudit = "{folder}/audit.log"\n{config}', user, python)
        folder.chmod(0o755)
        os.chown(folder, *(user or (0, 0)))
        daemons.append(daemon)
        daemon.start()
        monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
        monkeypatch.setenv("ARCLYD_SOCKET", daemon.socket)
        return daemon

    yield start
    for daemon in daemons:
        daemon.clean()


@pytest.fixture
def guarded(service: Callable[[str], Daemon], request: pytest.FixtureRequest) -> Daemon:
    """One whose streams are hardened where the test says so."""
    hardened = request.node.callspec.params.get("hardened", False) if hasattr(request.node, "callspec") else False
    return service(app(hardened=hardened))


@pytest.fixture
def record(spawn: Spawner, tmp_path: Path) -> Callable[..., Script]:
    """Starts a recorder of the stream; its files are ``rec/N.EXTENSION``."""

    def start(*options: object, extension: str = "mp4", key: str = KEY) -> Script:
        output = tmp_path / "rec" / f"{{number}}.{extension}"
        return spawn(ARCLYD, "record", key, "-o", output, *options, name="record")

    return start


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk that is soon full."""
    if not can_mount():
        pytest.skip("a small disk needs unshare(1) and root")
    inside = tmp_path / "disk"
    inside.mkdir()
    with small_disk(inside) as found:
        yield found


@pytest.fixture
def spawn_as(place: Path, guarded: Daemon, python: str) -> Iterator[Spawner]:
    spawner = Spawner(place, guarded.env, python)
    yield spawner
    spawner.reap()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of a server's own, and its key."""
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", chain], check=True, capture_output=True, timeout=60)
    return chain, key
