"""Every way in and every way out, each with a real client that sends or plays one stream for as long as it is let.

A way in sends a clip over and over at real time; a way out tells the digest of each picture as it comes, cleaned of
what carries it (start codes, delimiters, parameter sets), so that all ways can be held against the clip itself.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tests.clips import Clip
from tests.e2e import webrtc
from tests.e2e.packager import Packager
from tests.e2e.rtmp import RtmpGateway
from tests.e2e.rtsp import RtspGateway
from tests.e2e.srt import SrtGateway
from tests.e2e.transport import TransportGateway
from tests.recording import ARCLYD, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.clips import Sample
    from tests.daemon import Script, Spawner

SEND: Final = """
    import ctypes, subprocess, sys, time
    import av

    def with_us():
        ctypes.CDLL(None).prctl(1, 9)  # what is started is killed when this process is

    # Packets as they are, again and again, by PyAV's own FFmpeg, which knows more codecs than the system's.
    path, url, format, *words = sys.argv[1:]
    options = dict(word.split("=") for word in words)
    piped = subprocess.Popen(url[1:].split(), stdin=subprocess.PIPE, preexec_fn=with_us) if url[0] == "|" else None
    sink = av.open(piped.stdin if piped else url, "w", format=format, options=options)
    streams, begun, shift = {}, None, 0.0
    while True:
        first = last = 0.0
        with av.open(path) as source:
            if not streams:
                streams = {s.index: sink.add_stream_from_template(s, opaque=True) for s in source.streams}
            for packet in source.demux():
                if packet.dts is None:
                    continue
                base = packet.time_base
                first = min(first, float(packet.dts * base))
                last = max(last, float((packet.dts + packet.duration) * base))
                packet.dts += round(shift / base)
                packet.pts += round(shift / base)
                packet.stream = streams[packet.stream_index]
                begun = begun or time.monotonic()
                time.sleep(max(0, begun + float(packet.dts * base) - time.monotonic()))
                sink.mux(packet)
        shift += last - first
"""

PLAY: Final = """
    import ctypes, hashlib, subprocess, sys
    import av
    from arclyd.media.codecs import av1, codec_from_name
    from arclyd.media.codecs.annexb import iter_length_prefixed, join_annexb
    from arclyd.media.codecs.nal import AnnexB

    def with_us():
        ctypes.CDLL(None).prctl(1, 9)  # what is started is killed when this process is

    url, format, *words = sys.argv[1:]
    options = dict(word.split("=") for word in words) | {"analyzeduration": "500000"}
    piped = subprocess.Popen(url[1:].split(), stdout=subprocess.PIPE, preexec_fn=with_us) if url[0] == "|" else None
    place = piped.stdout if piped else url
    with av.open(place, format=format or None, options=options) as source:
        if not source.streams.video:
            print("no picture", flush=True)
            sys.exit()
        video = source.streams.video[0]
        name = {"libdav1d": "av1", "libopus": "opus"}.get(video.codec_context.name, video.codec_context.name)
        annexb = AnnexB(codec_from_name(name)) if name in ("h264", "hevc") else None
        prefixed = bytes(video.codec_context.extradata or b"")[:1] == b"\\x01"  # a configuration record
        for packet in source.demux(video):
            data = bytes(packet)
            if annexb and data:
                data = annexb.convert(join_annexb(list(iter_length_prefixed(data, 4))) if prefixed else data)
            elif name == "av1" and data:
                data = av1.join_obus(av1.split_obus(data))
            if data:
                print("picture", hashlib.sha256(data).hexdigest(), flush=True)
"""

PAIRS: Final = (("h264", "aac"), ("h264", "libopus"), ("hevc", "libopus"), ("av1", "libopus"), ("vp9", "libopus"))
"""Pictures and sound, by the names of `tests.clips`."""


class Gateways:
    """Every gateway, each one process."""

    def __init__(self, spawn: Spawner) -> None:
        self.spawn = spawn
        self.rtmp = RtmpGateway(spawn)
        self.rtsp = RtspGateway(spawn)
        self.srt = SrtGateway(spawn)
        self.webrtc = webrtc.WebrtcGateway(spawn)
        self.http = TransportGateway(spawn, "http://127.0.0.1:0", key=None)
        self.packager = Packager(spawn)


@dataclass(frozen=True, slots=True)
class In:
    """A way in. ``run`` starts a sender of a file as a key; ``refused``: what it can't carry, by `PAIRS`, and why.

    ``sends_the_rest``: of a stream that can't be carried whole.
    """

    run: Callable[[Gateways, str, Path], Script]
    refused: Mapping[str, str]
    sends_the_rest: bool = True


@dataclass(frozen=True, slots=True)
class Out:
    """A way out. ``run`` starts a player of a key; ``refused`` as of `In`; ``says``: what a player of that says.

    ``word``: what its lines of pictures begin with; ``told``: what it tells the digest of, where it is not the payload.
    """

    run: Callable[[Gateways, str], Script]
    refused: Mapping[str, str]
    says: str = ""
    word: str = "picture"
    told: Callable[[Sample, bytes], bytes] = lambda sample, _config: sample.payload


_NO_AAC: Final = "WebRTC has no AAC"
_ONLY_H264: Final = "aiortc, which is the client, has H.264 and VP8 only"
_NOT_IN_TS: Final = {"av1": "FFmpeg has AV1 in MPEG-TS as private data", "vp9": "MPEG-TS has no VP9"}


# ----------------------------------------------------------------------- in


def _file(gateways: Gateways, key: str, clip: Path) -> Script:
    return gateways.spawn(ARCLYD, "publish", clip, key, "--loop", name="publish")


def _rtmp(gateways: Gateways, key: str, clip: Path) -> Script:
    return gateways.spawn(SEND, clip, f"{gateways.rtmp.base}/{key}", "flv", name="send")


def _flv(gateways: Gateways, key: str, clip: Path) -> Script:
    return gateways.spawn(SEND, clip, f"{gateways.http.base}/{key}", "flv", "method=PUT", name="send")


def _mpegts(gateways: Gateways, key: str, clip: Path) -> Script:
    return gateways.spawn(SEND, clip, f"{gateways.http.base}/{key}", "mpegts", "method=PUT", name="send")


def _udp(gateways: Gateways, key: str, clip: Path) -> Script:
    gateway = TransportGateway(gateways.spawn, "udp://127.0.0.1:0", key=key)
    return gateways.spawn(SEND, clip, f"{gateway.base}?pkt_size=1316", "mpegts", name="send")


def _srt(gateways: Gateways, key: str, clip: Path) -> Script:
    url = gateways.srt.url(f"publish:{key}")
    return gateways.spawn(SEND, clip, f"| srt-live-transmit -q file://con {url}", "mpegts", name="send")


def _rtsp(gateways: Gateways, key: str, clip: Path) -> Script:
    options = ("rtsp_transport=tcp", "strict=experimental")
    return gateways.spawn(SEND, clip, f"{gateways.rtsp.base}/{key}", "rtsp", *options, name="send")


def _whip(gateways: Gateways, key: str, clip: Path) -> Script:
    media = clip.with_suffix(".media")
    webrtc.write(media, repeated(read(clip), 20))
    return gateways.spawn(webrtc.CLIENT, "publish", gateways.webrtc.url("whip", key), "", media, name="send")


def repeated(clip: Clip, times: int) -> Clip:
    """A clip so many times over."""
    bases = [track.time_base for track in clip.tracks]
    span = max((sample.pts + (sample.duration or 0)) * bases[sample.track] for sample in clip.samples)
    return Clip(
        clip.tracks,
        tuple(
            replace(sample, pts=sample.pts + later, dts=sample.dts + later)
            for time in range(times)
            for sample in clip.samples
            for later in [round(time * span / bases[sample.track])]
        ),
    )


IN: Final[Mapping[str, In]] = {
    "file": In(_file, {}),
    "rtmp": In(_rtmp, {}),
    "flv over http": In(_flv, {}),
    "mpegts over http": In(_mpegts, _NOT_IN_TS),
    "mpegts over udp": In(_udp, _NOT_IN_TS),
    "srt": In(_srt, _NOT_IN_TS),
    "rtsp": In(_rtsp, {}),
    "whip": In(
        _whip,
        {"aac": _NO_AAC, "hevc": _ONLY_H264, "av1": _ONLY_H264, "vp9": _ONLY_H264},
        sends_the_rest=False,
    ),
}
"""Ways in."""


# ---------------------------------------------------------------------- out


def _play_rtmp(gateways: Gateways, key: str) -> Script:
    return gateways.spawn(PLAY, f"{gateways.rtmp.base}/{key}", "flv", name="play-rtmp")


def _play_rtsp(gateways: Gateways, key: str) -> Script:
    return gateways.spawn(PLAY, f"{gateways.rtsp.base}/{key}", "rtsp", "rtsp_transport=tcp", name="play-rtsp")


def _served(gateways: Gateways, key: str, file: str) -> str:
    """Where it is, once it is there."""
    gateways.packager.await_file(f"/{key}/index.m3u8")
    return f"{gateways.packager.url}/{key}/{file}"


def _play_hls(gateways: Gateways, key: str) -> Script:
    return gateways.spawn(PLAY, _served(gateways, key, "index.m3u8"), "hls", name="play-hls")


def _play_dash(gateways: Gateways, key: str) -> Script:
    url = _served(gateways, key, "manifest.mpd")
    return _piped(gateways, f"ffmpeg -v error -nostdin -i {url} -map 0:v -c copy -f matroska -", "matroska")


def _play_mpegts(gateways: Gateways, key: str) -> Script:
    return gateways.spawn(PLAY, _served(gateways, key, "live.ts"), "mpegts", name="play-mpegts")


def _play_udp(gateways: Gateways, key: str) -> Script:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"udp://127.0.0.1:{port}"
    player = gateways.spawn(PLAY, f"{url}?fifo_size=100000", "mpegts", name="play-udp")
    gateways.spawn(ARCLYD, "push", key, url, name="push")
    return player


def _play_srt(gateways: Gateways, key: str) -> Script:
    return _piped(gateways, f"srt-live-transmit -q {gateways.srt.url(f'read:{key}')} file://con", "mpegts")


def _play_whep(gateways: Gateways, key: str) -> Script:
    return gateways.spawn(webrtc.CLIENT, "play", gateways.webrtc.url("whep", key), "", name="play-whep")


def _piped(gateways: Gateways, command: str, format: str) -> Script:
    """What ``command`` writes to its output, played."""
    return gateways.spawn(PLAY, f"| {command}", format, name="play-piped")


_NOT_FROM_TS: Final = {"av1": "FFmpeg reads no AV1 from MPEG-TS", "vp9": "MPEG-TS has no VP9"}

OUT: Final[Mapping[str, Out]] = {
    "rtmp": Out(_play_rtmp, {}),
    "rtsp": Out(_play_rtsp, {}),
    "hls": Out(_play_hls, {}),
    "dash": Out(_play_dash, {}),
    "mpegts over http": Out(_play_mpegts, _NOT_FROM_TS, "Server returned 4"),
    "mpegts over udp": Out(_play_udp, _NOT_FROM_TS, "no picture"),
    "srt": Out(_play_srt, _NOT_FROM_TS, "no picture"),
    "whep": Out(
        _play_whep,
        {"hevc": "browsers are sent no H.265", "av1": _ONLY_H264, "vp9": _ONLY_H264},
        "got audio",
        word="got video",
        told=webrtc.annexb,
    ),
}
"""Ways out."""
