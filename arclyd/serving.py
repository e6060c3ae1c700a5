"""What processes that serve a port have in common: the options' values, the event loop, signals."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import signal
import ssl
from typing import TYPE_CHECKING

import click

from arclyd.command_line import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    Work = Callable[[], Coroutine[None, None, None]]


def address(_ctx: click.Context, _param: click.Parameter, text: str) -> tuple[str | None, int]:
    """Host and port of ``HOST:PORT``, ``:PORT`` or ``[V6]:PORT``; no host: all addresses."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise click.BadParameter(f"{text!r} is no HOST:PORT")
    return host.strip("[]") or None, int(port)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The event loop of uvloop where that is installed: it answers faster."""
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    except ModuleNotFoundError:
        return None
    return factory


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What TLS is served with; None: it is not."""
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise click.BadParameter(f"{certificate}: {error.reason or error}", param_hint="--tls-cert") from error
    return context


def log_events(*, quiet: bool) -> None:
    """Tell on standard error of what comes and goes; ``quiet``: of errors only."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Cleaned("arclyd: %(message)s"))
    logging.basicConfig(level=logging.ERROR if quiet else logging.INFO, handlers=[handler])


class _Cleaned(logging.Formatter):
    """Names and reasons come from whoever connects, and go to a terminal, or to a log of one line an event."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is the base's
        """One line."""
        return clean(super().formatMessage(record))


def host_port(host: str, port: int) -> str:
    """``HOST:PORT`` or ``[V6]:PORT``."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tell_address(scheme: str, host: str, port: int) -> None:
    """Say where it is served, for people and for whoever started the process."""
    click.echo(f"arclyd: serving on {scheme}://{host_port(host, port)}", err=True)


async def until(stop: asyncio.Event, work: list[Work]) -> None:
    """Do ``work``, which has no end, until ``stop``; what fails ends it all."""
    tasks = [asyncio.create_task(each()) for each in work]
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({*tasks, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (waiting, *tasks):
            task.cancel()
        await asyncio.gather(waiting, *tasks, return_exceptions=True)


@contextlib.contextmanager
def stopped() -> Iterator[asyncio.Event]:
    """Set by SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
