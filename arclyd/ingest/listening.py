"""What every `arclyd listen PROTOCOL` has in common: the options of its limits, and the process around its gateway."""

from __future__ import annotations

import asyncio
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from arclyd import AsyncControl
from arclyd.command_line import size
from arclyd.ingest.gateway import Gateway
from arclyd.ingest.limits import Limits
from arclyd.serving import address, log_events, loop_factory, stopped, tell_address, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    Command = Callable[..., None]
    Listening = Callable[[Gateway], AbstractAsyncContextManager[tuple[str, int]]]

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

_LIMITS: Final = {
    "connections": click.option(
        "--max-connections", "connections", type=click.IntRange(min=1), default=1024, show_default=True, help="At once."
    ),
    "per_address": click.option(
        "--max-per-address", "per_address", type=click.IntRange(min=0), default=0, help="Of one address (0: no bound)."
    ),
    "rate": click.option(
        "--max-rate", "rate", type=size, default="24MiB", show_default=True, help="Bytes a second of one (0: no bound)."
    ),
    "video": click.option(
        "--max-video", "video", type=size, default="8MiB", show_default=True, help="Largest picture."
    ),
    "audio": click.option(
        "--max-audio", "audio", type=size, default="1MiB", show_default=True, help="Largest frame of sound."
    ),
    "start_seconds": click.option(
        "--start",
        "start_seconds",
        type=click.FloatRange(1, 600),
        default=10,
        show_default=True,
        help="Seconds to publish or play.",
    ),
    "idle_seconds": click.option(
        "--idle",
        "idle_seconds",
        type=click.FloatRange(1, 3600),
        default=10,
        show_default=True,
        help="Seconds an encoder may be silent.",
    ),
    "stalled_seconds": click.option(
        "--stalled",
        "stalled_seconds",
        type=click.FloatRange(1, 600),
        default=10,
        show_default=True,
        help="Seconds a player may take nothing.",
    ),
}
"""An option for each field of `Limits`."""


def limit_options(*without: str) -> Callable[[Command], Command]:
    """Give a command the options of `Limits`, as its argument ``limits``; fields named keep their defaults."""
    fields = [field for field in _LIMITS if field not in without]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def collected(*args: object, **options: object) -> None:
            limits = Limits(**{field: options.pop(field) for field in fields})  # type: ignore[arg-type] # click's values
            command(*args, limits=limits, **options)

        return _optioned(collected, [_LIMITS[field] for field in fields])

    return decorate


def tls_options(command: Command) -> Command:
    """Give a command ``--tls-cert`` and ``--tls-key``, as its argument ``tls``: a context, or None."""

    @wraps(command)
    def collected(*args: object, tls_cert: Path | None, tls_key: Path | None, **options: object) -> None:
        if tls_key is not None and tls_cert is None:
            raise click.UsageError("--tls-key needs --tls-cert")
        command(*args, tls=tls_context(tls_cert, tls_key), **options)

    return _optioned(
        collected,
        [
            click.option("--tls-cert", type=_FILE, help="Certificate chain (PEM): speak TLS."),
            click.option("--tls-key", type=_FILE, help="Its private key (PEM), if it is in another file."),
        ],
    )


def bind_option(default: str) -> Callable[[Command], Command]:
    """Give a command ``--bind``, as its argument ``bind``: a host, or None for all, and a port."""
    return click.option(
        "--bind", default=default, show_default=True, callback=address, metavar="HOST:PORT", help="Where to listen."
    )


def process_options(command: Command) -> Command:
    """Give a command ``--socket`` and ``--quiet``; the second is put into force."""

    @wraps(command)
    def collected(*args: object, quiet: bool, **options: object) -> None:
        log_events(quiet=quiet)
        command(*args, **options)

    return _optioned(
        collected,
        [
            click.option(
                "--socket", type=click.Path(), help="Control socket of the daemon (environment: ARCLYD_SOCKET)."
            ),
            click.option("-q", "--quiet", is_flag=True, help="Errors only."),
        ],
    )


def _optioned(command: Command, options: list[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):  # click lists them in the order that decorators stand in
        command = option(command)
    return command


def serve(
    protocol: str, listening: Listening, *, limits: Limits, socket: str | None, name: str = "", scheme: str = ""
) -> None:
    """Run a gateway until SIGINT or SIGTERM.

    Args:
        protocol: what its connections speak, as people read it.
        listening: given the gateway, listens while it is entered, and gives the address in use.
        limits: of its connections.
        socket: of the daemon; None: the usual one.
        name: as which the daemon knows it.
        scheme: of the URL that is told; the protocol, if it is another.

    Raises:
        ArclydError: the daemon is not there.
        OSError: the port can't be had.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(
            _serve(
                partial(Gateway, limits=limits, protocol=protocol),
                listening,
                socket=socket,
                name=name or f"listen {protocol}",
                scheme=scheme or protocol,
            )
        )


async def _serve(
    make: Callable[[AsyncControl], Gateway], listening: Listening, *, socket: str | None, name: str, scheme: str
) -> None:
    async with AsyncControl(socket, name=name) as control:
        await control.version()  # a daemon that is not there is told now
        gateway = make(control)
        with stopped() as stop:
            async with gateway.attended(), listening(gateway) as (host, port):
                tell_address(scheme, host, port)
                await stop.wait()
