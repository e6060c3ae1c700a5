"""`arclyd listen rtmp`: the shell around the RTMP gateway."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from arclyd.ingest.listening import bind_option, limit_options, process_options, serve, tls_options
from arclyd.ingest.rtmp.server import listening

if TYPE_CHECKING:
    import ssl

    from arclyd.ingest.limits import Limits


@click.command
@bind_option(":1935")
@tls_options
@limit_options()
@process_options
def rtmp(bind: tuple[str | None, int], *, tls: ssl.SSLContext | None, limits: Limits, socket: str | None) -> None:
    """Take what encoders publish to rtmp://HOST/APP/NAME as the stream APP/NAME, and play streams from there.

    H.264, AAC and MP3 as RTMP always had them; H.265, AV1, VP9, Opus and several tracks by Enhanced RTMP. Who may
    publish and play is the daemon's configuration; credentials come in the URL: ?user=NAME&pass=PASSWORD,
    ?secret=SECRET or ?token=TOKEN.
    """
    protocol = "rtmps" if tls else "rtmp"
    serve(protocol, partial(listening, host=bind[0], port=bind[1], tls=tls), limits=limits, socket=socket)
