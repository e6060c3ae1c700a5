"""The transports that are compared: one module each, one line each in this table.

A module has three functions. ``endpoint(stage, job, folder)`` is a context manager in the benchmark's own process and
yields what the two others need (it is pickled). ``publish(endpoint, job, gate)`` copies ``gate.source`` into a message
for each turn of ``gate``. ``subscribe(endpoint, job, index, check)`` calls ``check.attached()``, then ``check`` with
each frame until that says False. Each is written as that library's documentation says is fast.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Entry:
    """A transport: what it is called in tables, its module, the package it needs, whether it needs our daemon."""

    name: str
    module: str
    needs: str = ""
    daemon: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    flat_out: bool = True
    """Whether it is meant for frames as fast as they go, not only for those that come at a rate."""

    @property
    def missing(self) -> bool:
        """Whether the package it needs is not installed."""
        return bool(self.needs) and find_spec(self.needs) is None


def _ours(name: str, *, flat_out: bool = True, **options: str) -> Entry:
    return Entry(name, "benchmarks.transports.with_arclyd", daemon=True, options=options, flat_out=flat_out)


def _core(name: str, *, flat_out: bool = True, **options: str) -> Entry:
    return Entry(name, "benchmarks.transports.c_core", options=options, flat_out=flat_out)


def _iceoryx2(name: str, *, flat_out: bool, **options: str) -> Entry:
    return Entry(name, "benchmarks.transports.with_iceoryx2", "iceoryx2", options=options, flat_out=flat_out)


_ENTRIES: Final = (
    _ours("arclyd"),
    _ours("arclyd recv_many", read="recv_many"),
    _ours("arclyd copying", read="copying"),
    _ours("arclyd reserve", write="reserve"),
    _ours("arclyd reserve, recv_many", write="reserve", read="recv_many"),
    _ours("arclyd asyncio", flat_out=False, read="asyncio"),
    _ours("arclyd spinning", read="spinning"),
    _core("C core"),
    _core("C core copying", read="copying"),
    _core("C core spinning", flat_out=False, spin="0.002"),
    Entry("memcpy", "benchmarks.transports.plain_memcpy"),
    Entry("Unix socket", "benchmarks.transports.unix_socket"),
    Entry("multiprocessing.Queue", "benchmarks.transports.mp_queue"),
    Entry("multiprocessing.Pipe", "benchmarks.transports.mp_pipe"),
    Entry("shared_memory ring", "benchmarks.transports.shared_ring"),
    Entry("pyzmq", "benchmarks.transports.with_zmq", needs="zmq"),
    Entry("pyzmq copy=False", "benchmarks.transports.with_zmq", needs="zmq", options={"copy": "no"}),
    Entry("pynng", "benchmarks.transports.with_nng", needs="pynng"),
    _iceoryx2("iceoryx2", flat_out=True),
    _iceoryx2("iceoryx2 listener", flat_out=False, wait="listener"),
    Entry("zenoh", "benchmarks.transports.with_zenoh", needs="zenoh", options={"memory": "shared"}),
    Entry("zenoh without shm", "benchmarks.transports.with_zenoh", needs="zenoh"),
)
TRANSPORTS: Final[Mapping[str, Entry]] = {entry.name: entry for entry in _ENTRIES}
PEERS: Final = tuple(entry.name for entry in _ENTRIES if not entry.name.startswith(("arclyd", "C core", "memcpy")))
"""What a user could take instead."""


def of(name: str) -> Entry:
    """The transport of that name."""
    return TRANSPORTS[name]
