"""`arclyctl version`: this command's versions and the daemon's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import arclyd
from arclyctl import units
from arclyctl.render import Cell, build_pairs, show
from arclyctl.tables import age_of
from arclyd.client.inspect import supported_layout
from arclyd.control.messages import PROTOCOL_VERSION
from arclyd.errors import DaemonUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyctl.context import Context
    from arclyd.control.reports import Version


@click.command
@click.pass_obj
def version(context: Context) -> None:
    """Show the versions of this command and of the daemon, if one answers."""
    own = {"version": arclyd.__version__, "protocol": PROTOCOL_VERSION, "layout": supported_layout()}
    daemon: Version | None = None
    problem = ""
    try:
        with context.connect() as control:
            daemon = control.version()
    except DaemonUnavailable as error:
        problem = str(error)
    if context.json:
        context.emit({"client": own, "daemon": daemon})
        return
    console = context.console()
    client = f"{own['version']} (protocol {own['protocol']}, layout {own['layout']})"
    show(console, build_pairs([("arclyctl", client), *_daemon_pairs(daemon, problem)]))


def _daemon_pairs(daemon: Version | None, problem: str) -> Iterator[tuple[str, Cell]]:
    if daemon is None:
        yield "arclyd", problem
        return
    yield "arclyd", f"{daemon.version} (protocol {daemon.protocol}, layout {daemon.layout})"
    yield "process", f"{daemon.pid}, up {age_of(daemon.started_at_ms)}, since {units.date(daemon.started_at_ms)}"
    yield "socket", f"{daemon.socket} (instance {daemon.instance})"
