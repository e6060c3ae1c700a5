"""`arclyd package hls|dash KEY...`: the shell around the roster, the HTTP plane and the directory."""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import click

from arclyd.control.keys import check_part, parse_key
from arclyd.http_guard import Limits
from arclyd.packagers.channel import Settings
from arclyd.packagers.directory import Directory
from arclyd.packagers.http.figures import Gauge
from arclyd.packagers.http.page import Page
from arclyd.packagers.http.plane import Plane
from arclyd.packagers.http.server import Front, serving
from arclyd.packagers.http.viewers import Viewers
from arclyd.packagers.roster import Roster, Wanted
from arclyd.packagers.segmenter import Cutting
from arclyd.serving import address, log_events, loop_factory, stopped, tell_address, tls_context, until

if TYPE_CHECKING:
    from arclyd.serving import Work

COLLECT_EVERY: Final = (20_000, 20, 50)
"""Objects made after which those of the first generation are looked through for cycles, and so on (`gc`).

A viewer that waits holds twenty. By Python's own numbers all there are were looked through once a second beside 1,500
connections, and every viewer waited for that: 70 to 160 ms.
"""

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class _Job:
    """What one process does. No ``front``: it serves nothing; no ``directory``: it writes nothing."""

    kind: str
    wanted: Wanted
    settings: Settings
    socket: str | None
    front: Front | None
    directory: Path | None
    webrtc: str | None


def naming(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Streams by the key they are shown as, of ``KEY=STREAM`` each."""
    named: dict[str, str] = {}
    for text in texts:
        key, equals, stream = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is no KEY=STREAM")
        parse_key(key)
        parse_key(stream)
        if key in named:
            raise click.BadParameter(f"{key} is named twice")
        if stream in named.values():
            raise click.BadParameter(f"{stream} can be shown as one key, not as two")
        named[key] = stream
    return named


def gateway(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    """The URL of a gateway, or ``:PORT``."""
    if text is None:
        return None
    parts = urlsplit(f"http://localhost{text}" if text.startswith(":") else text)
    try:
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and (bool(parts.port) or text[0] != ":")
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment or "'" in text or ";" in text or " " in text:
        raise click.BadParameter(f"{text!r} is no http://HOST:PORT and no :PORT")
    return text.rstrip("/")


@click.command
@click.argument("kind", type=click.Choice(("hls", "dash")))
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@click.option("--app", "apps", multiple=True, metavar="NAME", help="All streams of that application; may be repeated.")
@click.option(
    "--rendition",
    "named",
    multiple=True,
    metavar="KEY=STREAM",
    callback=naming,
    help="Show STREAM as KEY, APP/NAME~VARIANT for a rendition of APP/NAME; may be repeated.",
)
@click.option(
    "--bind", default=":8888", show_default=True, callback=address, metavar="HOST:PORT", help="Where to serve."
)
@click.option("--directory", type=click.Path(path_type=Path), help="Also write the files there, for another server.")
@click.option(
    "--serve/--no-serve", default=True, help="Serve over HTTP, or only write the directory.  [default: serve]"
)
@click.option("--segment", type=click.FloatRange(0.5, 60), default=2, show_default=True, help="Seconds of a segment.")
@click.option("--part", type=click.FloatRange(0.1, 5), default=0.2, show_default=True, help="Seconds of a part.")
@click.option(
    "--window", type=click.FloatRange(4, 3600), default=30, show_default=True, help="Seconds that are listed."
)
@click.option(
    "--low-latency/--no-low-latency", default=True, help="LL-HLS and low-latency DASH, or plain.  [default: on]"
)
@click.option("--tls-cert", type=FILE, help="Certificate chain (PEM): serve HTTPS.")
@click.option("--tls-key", type=FILE, help="Its private key (PEM), if it is in another file.")
@click.option(
    "--webrtc",
    callback=gateway,
    metavar="URL",
    help="Where `arclyd listen webrtc` is, for the page to play and publish by: http://HOST:8889, or :8889 here.",
)
@click.option("--token-secret", type=FILE, help="File with a secret: URLs need a token made with it.")
@click.option("--max-connections", type=click.IntRange(min=1), default=4096, show_default=True, help="At once.")
@click.option("--max-per-address", type=click.IntRange(min=0), default=0, help="Of one address (0: no bound).")
@click.option("--name", default="package", show_default=True, help="Tells packagers of the same streams apart.")
@click.option("--socket", type=click.Path(), help="Control socket of the daemon (environment: ARCLYD_SOCKET).")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
def package(
    kind: str,
    keys: tuple[str, ...],
    *,
    apps: tuple[str, ...],
    named: dict[str, str],
    bind: tuple[str | None, int],
    directory: Path | None,
    serve: bool,
    segment: float,
    part: float,
    window: float,
    low_latency: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    webrtc: str | None,
    token_secret: Path | None,
    max_connections: int,
    max_per_address: int,
    name: str,
    socket: str | None,
    quiet: bool,
) -> None:
    """Package streams for players: each KEY with its renditions KEY~VARIANT, those of an --app, or all, as they come.

    Over HTTP there is a page to watch them on (/), and every stream both ways, from the same segments:
    /APP/NAME/index.m3u8 (HLS, low latency), index-ts.m3u8 (HLS of MPEG-TS), manifest.mpd (DASH), live.ts and live.flv
    (without end), snapshot.jpg. Which of the two is written to a --directory is what the first word says.
    """
    if directory is None and not serve:
        raise click.UsageError("--no-serve without --directory leaves nothing to do")
    if tls_key is not None and tls_cert is None:
        raise click.UsageError("--tls-key needs --tls-cert")
    check_part(name, "name of the packager", name)
    log_events(quiet=quiet)
    cutting = Cutting(Fraction(str(segment)), Fraction(str(part)))
    limits = Limits(connections=max_connections, per_address=max_per_address)
    front = Front(*bind, tls=tls_context(tls_cert, tls_key), secret=_secret(token_secret), limits=limits)
    job = _Job(
        kind,
        _wanted(keys, apps, named),
        Settings(cutting, Fraction(str(window)), low_latency=low_latency, name=name),
        socket,
        front if serve else None,
        directory,
        webrtc,
    )
    gc.freeze()  # what was imported stays
    gc.set_threshold(*COLLECT_EVERY)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_run(job))


def _wanted(keys: tuple[str, ...], apps: tuple[str, ...], named: dict[str, str]) -> Wanted:
    for key in keys:
        parse_key(key)
    for app in apps:
        check_part(app, "application", app)
    return Wanted(frozenset(keys), frozenset(apps), named)


def _secret(path: Path | None) -> bytes | None:
    if path is None:
        return None
    secret = path.read_bytes().strip()
    if len(secret) < 16:
        raise click.BadParameter(f"{path} has {len(secret)} bytes, at least 16 are needed", param_hint="--token-secret")
    return secret


async def _run(job: _Job) -> None:
    viewers = Viewers()
    roster = Roster(job.wanted, job.settings, job.socket, viewers.counts)
    work: list[Work] = [roster.run]
    if job.directory is not None:
        work.append(Directory(job.directory, roster, job.kind).run)
    with stopped() as stop:
        if job.front is None:
            await until(stop, work)
            return
        gauge = Gauge(roster, viewers)
        work.append(gauge.run)
        page = Page(roster, gauge, job.front.secret, job.webrtc)
        routes = [*page.routes(), *Plane(roster, viewers, time.time_ns).routes()]
        async with serving(routes, job.front) as (host, port):
            tell_address(f"http{'s' if job.front.tls else ''}", host, port)
            await until(stop, work)
