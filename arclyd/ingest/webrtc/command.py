"""`arclyd listen webrtc`: the shell around the WebRTC gateway."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import click

from arclyd.ingest.listening import bind_option, limit_options, process_options, serve, tls_options
from arclyd.ingest.webrtc.engine import IceServer
from arclyd.ingest.webrtc.server import Place, listening
from arclyd.serving import address

if TYPE_CHECKING:
    import ssl

    from arclyd.ingest.limits import Limits

SCHEMES: Final = ("stun:", "turn:", "turns:")


def media(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[str | None, int | None]:
    """Address and port of UDP, each None where it is not said."""
    if text is None:
        return None, None
    return address(_ctx, _param, text)


def public(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses, no names: browsers take none."""
    for text in texts:
        try:
            ip_address(text)
        except ValueError:
            raise click.BadParameter(f"{text!r} is no IP address") from None
    return texts


def ice_servers(_ctx: click.Context, _param: click.Parameter, texts: tuple[str, ...]) -> tuple[IceServer, ...]:
    """STUN and TURN servers: ``stun:HOST[:PORT]``, ``turn:USER:PASSWORD@HOST[:PORT][?transport=udp|tcp]``."""
    servers = []
    for text in texts:
        scheme = next((scheme for scheme in SCHEMES if text.startswith(scheme)), "")
        known, at, place = text.removeprefix(scheme).rpartition("@")
        user, colon, password = known.partition(":")
        if not scheme or not place or '"' in text or (bool(at) is scheme.startswith("stun")) or bool(at) != bool(colon):
            raise click.BadParameter(f"{text!r} is no stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT")
        servers.append(IceServer(scheme + place, user, password))
    return tuple(servers)


@click.command
@bind_option(":8889")
@click.option(
    "--media",
    callback=media,
    metavar="[HOST]:PORT",
    help="Where media come and go, by UDP: one port for all.  [default: all addresses, the port of --bind]",
)
@click.option(
    "--public",
    multiple=True,
    callback=public,
    metavar="ADDRESS",
    help="IP address by which this host is reached from elsewhere (NAT); may be repeated.",
)
@click.option(
    "--ice-server",
    "servers",
    multiple=True,
    callback=ice_servers,
    metavar="URL",
    help="stun:HOST or turn:USER:PASSWORD@HOST, for the gateway and told to browsers; may be repeated.",
)
@click.option(
    "--keyframes",
    "keyframe_seconds",
    type=click.FloatRange(0, 600),
    default=2,
    show_default=True,
    help="Seconds after which a browser is asked for a keyframe (0: only when somebody needs one).",
)
@tls_options
@limit_options("video", "audio", "stalled_seconds")
@process_options
def webrtc(
    bind: tuple[str | None, int],
    *,
    media: tuple[str | None, int | None],
    public: tuple[str, ...],
    servers: tuple[IceServer, ...],
    keyframe_seconds: float,
    tls: ssl.SSLContext | None,
    limits: Limits,
    socket: str | None,
) -> None:
    """Take what browsers publish to http://HOST/APP/NAME/whip as the stream APP/NAME, and play it from …/whep.

    WHIP (RFC 9725) and WHEP. Frames pass through as they were encoded: H.264, VP8, VP9, Opus, G.711, G.722, and AV1 in.
    Who may publish and play is the daemon's configuration; a token comes as Authorization: Bearer. Browsers let pages
    use a camera on localhost and over HTTPS only. No STUN or TURN server is asked for anything unless one is named.
    """
    place = Place(*bind, tls, media, public, servers, keyframe_seconds)
    scheme = "https" if tls else "http"
    serve("webrtc", partial(listening, place=place), limits=limits, socket=socket, scheme=scheme)
