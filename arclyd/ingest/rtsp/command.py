"""`arclyd listen rtsp`: the shell around the RTSP gateway."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from arclyd.ingest.listening import bind_option, limit_options, process_options, serve, tls_options
from arclyd.ingest.rtsp.server import listening

if TYPE_CHECKING:
    import ssl

    from arclyd.ingest.limits import Limits


def _ports(_ctx: click.Context, _param: click.Parameter, text: str | None) -> range | None:
    """``FIRST-LAST`` as a range, to which both belong."""
    if text is None:
        return None
    first, dash, last = text.partition("-")
    if not dash or not all(part.isascii() and part.isdigit() for part in (first, last)):
        raise click.BadParameter(f"{text!r} is no FIRST-LAST")
    if not 1024 <= int(first) < int(last) <= 65535:
        raise click.BadParameter(f"{text!r} is not within 1024-65535")
    return range(int(first), int(last))


@click.command
@bind_option(":8554")
@click.option(
    "--udp-ports",
    callback=_ports,
    metavar="FIRST-LAST",
    help="Ports for media in datagrams, two a medium (else: any that are free).",
)
@tls_options
@limit_options("video", "audio")
@process_options
def rtsp(
    bind: tuple[str | None, int],
    *,
    udp_ports: range | None,
    tls: ssl.SSLContext | None,
    limits: Limits,
    socket: str | None,
) -> None:
    """Take what encoders publish to rtsp://HOST/APP/NAME as the stream APP/NAME, and play streams from there.

    Over UDP or within the connection, as the client wants it. H.264, H.265, AV1, VP8, VP9, AAC, Opus, G.711, MP3. Who
    may publish and play is the daemon's configuration; credentials come by Digest or Basic authentication
    (rtsp://NAME:PASSWORD@HOST/…), or in the URL: ?secret=SECRET or ?token=TOKEN.
    """
    protocol = "rtsps" if tls else "rtsp"
    serve(
        protocol, partial(listening, host=bind[0], port=bind[1], tls=tls, ports=udp_ports), limits=limits, socket=socket
    )
