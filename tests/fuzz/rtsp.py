"""RTSP as a hostile encoder speaks it: requests, descriptions, and packets of every format, out of a fuzzer's bytes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError, WireError
from arclyd.ingest.rtp.intake import MOST_BYTES, Intake
from arclyd.protocols.rtp import rtcp
from arclyd.protocols.rtp.formats import formats_of
from arclyd.protocols.rtp.packet import RtpPacket
from arclyd.protocols.rtsp.messages import Interleaved, Request
from arclyd.protocols.rtsp.server import Announce, Describe, Play, Record, ServerSession, Setup
from arclyd.protocols.sdp.description import SessionDescription
from tests.fuzz.rtmp import claim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzz.source import Source

MOST_MESSAGES: Final = 60
_METHODS: Final = (
    "OPTIONS", "ANNOUNCE", "SETUP", "RECORD", "DESCRIBE", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "GET", "POST",
)  # fmt: skip
_FIELDS: Final = (
    ("CSeq", "1"), ("Session", "x"), ("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"),
    ("Transport", "RTP/AVP;client_port=1-2"), ("Content-Type", "application/sdp"), ("Require", "y"),
    ("Content-Length", "9"),
)  # fmt: skip
_MAPS: Final = (
    "H264/90000", "H265/90000", "AV1/90000", "VP8/90000", "VP9/90000", "mpeg4-generic/48000/2", "MP4A-LATM/44100",
    "opus/48000/2", "PCMA/8000", "G722/8000", "MPA/90000", "JPEG/90000",
)  # fmt: skip
_PARAMETERS: Final = (
    "", "packetization-mode=1;sprop-parameter-sets=Z00AKpY1QPAET8s3AQEBQAABwgAAV+QB,aO48gA==",
    "mode=AAC-hbr;config=1190",
    "cpresent=0;config=40002320", "mode=AAC-lbr;sizelength=4;auxiliaryDataSizeLength=8", "sprop-stereo=1", "config=zz",
)  # fmt: skip
_TEXTS: Final = "6588 6742 7c85 7c45 780004 6240 628101 600100 2601 1002 9080 18 d8 0010 00100a58 fffb9064 a0"
_HEADS: Final = tuple(map(bytes.fromhex, _TEXTS.split()))
"""How packets of the formats begin."""


def described(source: Source) -> bytes:
    """A description of some media."""
    lines = ["v=0", "s=x"]
    for number in range(1 + source.integer() % 4):
        lines.append(f"m={source.choice(('video', 'audio'))} 0 RTP/AVP {96 + number}")
        lines.append(f"a=rtpmap:{96 + number} {source.choice(_MAPS)}")
        lines.append(f"a=fmtp:{96 + number} {source.choice(_PARAMETERS)}")
    data = bytearray("\r\n".join(lines).encode())
    if source.chance(32):
        data[source.integer(2) % len(data)] ^= source.integer() or 1
    return bytes(data)


def request(source: Source) -> bytes:
    """A request, not always one that fits."""
    fields = tuple(source.choice(_FIELDS) for _ in range(source.integer() % 4))
    body = described(source) if source.chance(96) else source.bytes(source.integer() % 32)
    url = source.choice(("rtsp://h/a/b", "rtsp://h/a/b/trackID=0", "*", "/x?y=z/"))
    data = bytearray(Request(source.choice(_METHODS), url, fields, body).serialize())
    if source.chance(32):
        data[source.integer(2) % len(data)] ^= source.integer() or 1
    return bytes(data)


def session(server: ServerSession, piece: bytes) -> int:
    """Have the server's side take ``piece`` and grant what is asked for; the number of events. Raises `WireError`."""
    count = 0
    for event in server.receive(piece):
        count += 1
        if isinstance(event, Announce):
            server.accept_announce(event)
        elif isinstance(event, Describe):
            server.refuse(event.request, 404)
        elif isinstance(event, Setup):
            server.accept_setup(event, event.medium or 0, event.transports[0])
        elif isinstance(event, Record):
            server.accept_record(event)
        elif isinstance(event, Play):
            server.accept_play(event, [(0, 1, 2)])
        else:
            assert not isinstance(event, Interleaved) or len(event.payload) < 1 << 16
    server.data_to_send()
    return count


def packets(source: Source) -> Iterator[tuple[int, bytes]]:
    """Packets of RTP and RTCP, each with the medium that it is for."""
    sequence, timestamp = source.integer(2), source.integer(4)
    for _ in range(MOST_MESSAGES):
        if source.is_empty:
            return
        sequence += source.choice((1, 1, 1, 1, 1, 2, 0, -1, 9000))
        timestamp += source.choice((0, 0, 960, 3600, -3600, 1 << 31))
        medium = source.integer() % 4
        if source.chance(24):
            ntp = source.integer(4) << 32
            yield (
                medium,
                rtcp.SenderReport(1, ntp, timestamp % (1 << 32)).serialize() + source.bytes(source.integer() % 8),
            )
            continue
        payload = source.choice(_HEADS) + source.bytes(source.integer() % 64)
        number = 96 + medium
        packet = RtpPacket(
            number, sequence % 65536, timestamp % (1 << 32), source.integer() // 250, payload, source.chance(100)
        )
        data = packet.serialize()
        yield medium, data[: source.integer()] if source.chance(16) else data


def stream(source: Source) -> int:
    """Have an intake take all of it; the number of packets. Raises `WireError`: nothing can be carried."""
    intake, count, now = Intake("RTSP"), 0, 0.0
    formats, intake.left_out = formats_of(SessionDescription.parse(described(source)))
    intake.describe(formats)
    for medium, data in packets(source):
        now += source.integer() / 1000
        count += 1
        intake.packet(medium, data, now)
        if intake.wants_claim:
            with contextlib.suppress(MediaError, WireError):
                claim(intake)
    intake.finish(now)
    intake.reports(now)
    assert sum(intake.faults().values()) >= 0
    assert intake._held.size <= MOST_BYTES + (1 << 17)
    return count
