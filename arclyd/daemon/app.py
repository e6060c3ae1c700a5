"""Composition of the daemon: what there is of each part, in which order it starts, ticks and stops.

Stopping does not end streams: as long as anybody publishes, regions stay as they are, media flows
on between publisher and subscribers, and the next daemon on the same socket takes them up.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from arclyd import __version__
from arclyd.control.messages import PROTOCOL_VERSION, Order
from arclyd.control.paths import default_socket, instance_of
from arclyd.control.reports import Event, Version
from arclyd.daemon import adoption, config, log
from arclyd.daemon.audit import AuditLog
from arclyd.daemon.auth import OwnerAndGroup
from arclyd.daemon.control_server import ControlServer
from arclyd.daemon.dispatch import Dispatcher
from arclyd.daemon.events import EventLog
from arclyd.daemon.health import Vitals
from arclyd.daemon.listener import Listener
from arclyd.daemon.notify import Notifier, activated_sockets
from arclyd.daemon.regions import RingStore
from arclyd.daemon.stream import Now
from arclyd.daemon.streams import Streams
from arclyd.errors import ConfigError
from arclyd.ring import _ring

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

TICK: Final = 0.1
"""Seconds between two looks at every stream."""

SHORT_TICK: Final = 0.02
"""… while a claim waits for an old writer to let go."""

QUIET_EVENTS: Final = frozenset(("joined", "left", "gap", "keyframe_requested", "metadata"))
"""Events of the daily run, at level debug."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    socket: str | None = None
    config: str | None = None
    log_level: str = "info"
    log_format: str = "auto"


def now() -> Now:
    """This moment."""
    return Now(time.monotonic_ns(), time.time_ns() // 1_000_000)


def serve(options: Options) -> None:
    """Run the daemon until SIGTERM or SIGINT.

    Raises:
        ConfigError, RequestRefused: it can't start.
    """
    throttle = log.configure(options.log_level, options.log_format, os.environ)
    settings = config.load(options.config)
    notifier = Notifier(os.environ)
    given = _control_socket(activated_sockets(os.environ))
    named = options.socket or os.environ.get("ARCLYD_SOCKET") or settings.socket or default_socket(serving=True)
    path = os.fsdecode(given.getsockname()) if given else str(Path(named).absolute())
    listener = Listener(path, given)
    try:
        asyncio.run(Daemon(options, settings, listener, notifier, throttle).run())
    finally:
        listener.close()


def _control_socket(given: Mapping[str, socket.socket]) -> socket.socket | None:
    """The activated socket named ``control``, or the only one there is."""
    if "control" in given or not given:
        return given.get("control")
    if len(given) > 1:
        raise ConfigError("LISTEN_FDNAMES", f"none of the sockets handed over is named control: {', '.join(given)}")
    return next(iter(given.values()))


class Daemon:
    """All parts of one daemon."""

    def __init__(
        self,
        options: Options,
        settings: config.Config,
        listener: Listener,
        notifier: Notifier,
        throttle: log.Throttle,
    ) -> None:
        self._options = options
        self._listener = listener
        self._notifier = notifier
        self._throttle = throttle
        self._log: FilteringBoundLogger = log.logger()
        self._instance = instance_of(listener.path)
        self._started_ms = now().ms
        self._store = RingStore(self._instance)
        self._audit = AuditLog(settings.audit, lambda problem: self._log.error("audit_failed", problem=problem))
        self._events = EventLog(sink=self._log_event)
        self._streams = Streams(settings, self._store, self._events, self)
        self._server: ControlServer | None = None
        self._stop = asyncio.Event()
        self._late = 0.0
        self._told_alive = 0.0

    async def run(self) -> None:
        """Start, tick until told to stop, stop."""
        _raise_descriptor_limit()
        self._server = ControlServer(
            self._listener.socket,
            self._log,
            clock=now,
            limit=lambda: self._streams.config.max_connections,
            version=__version__,
            instance=self._instance,
        )
        count = adoption.adopt(self._streams, self._store, now())
        dispatcher = Dispatcher(
            self._streams, OwnerAndGroup.of_this_process(), version=self._version, vitals=self._vitals
        )
        self._server.start(dispatcher)
        self._handle_signals()
        self._log.info("ready", socket=self._listener.path, instance=self._instance, streams=count, pid=os.getpid())
        self._notifier.ready(self._status())
        try:
            await self._tick_until_stopped(dispatcher)
        finally:
            self._shut_down()

    def order(self, conn: int, order: Order) -> None:
        """Send an order (`arclyd.daemon.streams.Courier`)."""
        if self._server is not None:
            self._server.order(conn, order)

    async def _tick_until_stopped(self, dispatcher: Dispatcher) -> None:
        assert self._server is not None
        while not self._stop.is_set():
            pause = SHORT_TICK if dispatcher.claims.waiting else TICK
            began = time.monotonic()
            try:
                await asyncio.wait_for(self._stop.wait(), pause)
            except TimeoutError:
                self._tick(time.monotonic() - began - pause)

    def _tick(self, late: float) -> None:
        assert self._server is not None
        moment = now()
        # The worst of the last minute or so, fading: a single hiccup is no illness.
        self._late = max(late, self._late * 0.998)
        self._streams.tick(moment)
        self._server.tick(moment)
        if time.monotonic() - self._told_alive >= 1.0:
            self._told_alive = time.monotonic()
            self._notifier.alive(self._status())
            for name, count in self._throttle.flush().items():
                self._log.warning("lines_suppressed", line=name, count=count)

    def _shut_down(self) -> None:
        assert self._server is not None
        self._notifier.stopping()
        self._server.close()
        living = [stream.key for stream in self._streams if stream.handle.writer_lives()]
        for stream in self._streams:
            lost = stream.handle.is_sealed and not stream.handle.writer_lives()  # nobody brings it back
            if not living or lost:  # nothing flows: leave nothing behind
                stream.waiting = None
                self._streams.finish(stream, _ring.CLOSED_PUBLISHER_GONE, now())
            else:
                stream.handle.release()
        self._audit.close()
        self._log.info("stopped", streams_that_flow_on=len(living))

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        """Read the configuration again: limits hold at once, an application's settings for its next claims."""
        self._notifier.reloading()
        try:
            self._audit.reopen()
        except OSError as error:
            self._log.error("audit_failed", problem=error.strerror)
        try:
            self._streams.config = config.load(self._options.config)
            self._log.info("reloaded", config=self._options.config)
        except ConfigError as error:
            self._log.error("reload_failed", problem=str(error))
        self._notifier.ready(self._status())

    def _status(self) -> str:
        streams, connections = self._streams, len(self._server or ())
        return f"{len(streams)} streams, {streams.publishers} publishers, {connections} connections"

    def _version(self) -> Version:
        layout = f"{_ring.LAYOUT_MAJOR}.{_ring.LAYOUT_MINOR}"
        return Version(
            __version__, PROTOCOL_VERSION, layout, self._instance, os.getpid(), self._listener.path, self._started_ms
        )

    def _vitals(self) -> Vitals:
        return Vitals(len(self._server or ()), self._late)

    def _log_event(self, event: Event) -> None:
        self._audit.write(event)
        write = self._log.debug if event.kind in QUIET_EVENTS else self._log.info
        facts = {f"of_{name}" if name in ("event", "key") else name: value for name, value in event.facts.items()}
        write(event.kind, **({"key": event.key} if event.key else {}), **facts)


def _raise_descriptor_limit() -> None:
    """Take what the system allows: a connection and a region cost a descriptor each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
