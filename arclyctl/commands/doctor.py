"""`arclyctl doctor`: what is wrong on this machine, and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.text import Text

import arclyd
from arclyctl.checks import daemon, machine, regions
from arclyctl.checks.finding import FAIL, OK, Finding, worst
from arclyctl.context import Context
from arclyctl.render import STATE_STYLES, Cell, Column, build_table, show, styled
from arclyd.client import inspect
from arclyd.command_line import clean
from arclyd.control.paths import default_socket, instance_of
from arclyd.errors import ArclydError, DaemonUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.command
@click.pass_context
def doctor(ctx: click.Context) -> None:
    """Look for what is wrong on this machine, each finding with its remedy.

    Works with and without a running daemon. Exits with 1 if anything failed.
    """
    context = ctx.obj
    assert isinstance(context, Context)
    findings = list(examine(context))
    status = worst(findings)
    if context.json:
        context.emit({"status": status, "findings": findings})
    else:
        _show(context, findings)
    if status == FAIL:
        ctx.exit(1)


def examine(context: Context) -> Iterator[Finding]:
    """Every finding, from the machine up to the streams."""
    yield daemon.core_build(inspect.supported_layout(), inspect.build_flags())
    yield from machine.check_machine(inspect.default_region_bytes())
    try:
        socket = Path(context.socket or default_socket()).absolute()
    except DaemonUnavailable as error:
        yield Finding("socket", FAIL, error.problem, "remove it, or name the socket with --socket or ARCLYD_SOCKET")
        return
    yield from daemon.check_socket(socket)
    used, findings = _ask(context, socket)
    yield from findings
    others = regions.listening_instances()
    yield from regions.check_regions(inspect.list_regions(), instance_of(str(socket)), used, others)


def _ask(context: Context, socket: Path) -> tuple[frozenset[str] | None, list[Finding]]:
    """What the daemon says of itself, and the names of the regions it uses; None where it says nothing."""
    try:
        with context.connect() as control:
            version = control.version()
            findings = [
                daemon.daemon_answers(version),
                *daemon.versions_match(version, arclyd.__version__, inspect.supported_layout()),
                *daemon.own_health(control.health()),
            ]
            used = frozenset(stream.region.lstrip("/") for stream in control.list_streams())
    except DaemonUnavailable as error:
        return None, [daemon.daemon_silent(error.problem, socket_there=socket.exists())]
    except ArclydError as error:
        return None, [Finding("daemon", FAIL, str(error), "upgrade the older side, or see the daemon's log")]
    return used, findings


def _show(context: Context, findings: list[Finding]) -> None:
    console = context.console()
    columns = [Column("STATUS"), Column("CHECK"), Column("FINDING", fold=True)]
    separator = "\n" if console.is_terminal else "  "
    show(console, build_table(console, columns, (_row(finding, separator) for finding in findings)))
    bad = sum(finding.status != OK for finding in findings)
    show(console, f"{bad} of {len(findings)} need a look" if bad else "nothing to mend")


def _row(finding: Finding, separator: str) -> tuple[Cell, ...]:
    text = Text(clean(finding.detail))
    if finding.remedy:
        text.append(f"{separator}→ {clean(finding.remedy)}", style=STATE_STYLES[finding.status])
    return styled([finding.status]), finding.name, text
