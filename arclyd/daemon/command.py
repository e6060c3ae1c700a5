"""`arclyd serve`: the daemon's command line."""

from __future__ import annotations

import click

from arclyd.daemon.app import Options
from arclyd.daemon.app import serve as run_daemon
from arclyd.daemon.log import FORMATS, LEVELS


@click.command()
@click.option(
    "--socket",
    metavar="PATH",
    help="Control socket. Default: ARCLYD_SOCKET, $RUNTIME_DIRECTORY/control.sock, "
    "$XDG_RUNTIME_DIR/arclyd/control.sock, or one in a private temporary directory.",
)
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Configuration (TOML); none is needed.",
)
@click.option("--log-level", type=click.Choice(LEVELS), default="info", show_default=True, help="Least level written.")
@click.option(
    "--log-format",
    type=click.Choice(FORMATS),
    default="auto",
    show_default=True,
    help="Lines of key=value, or JSON; auto: JSON under systemd.",
)
def serve(socket: str | None, config_file: str | None, log_level: str, log_format: str) -> None:
    """Run the daemon: registry, limits, figures and events of all streams.

    It is not on the data path. Stopping it (SIGTERM, Ctrl-C) ends no stream: publishers and subscribers
    go on, and the next daemon on the same socket takes their streams up. SIGHUP reads the configuration
    again. Under systemd it takes an activated socket (named control), tells readiness and feeds the watchdog.
    """
    run_daemon(Options(socket, config_file, log_level, log_format))
