"""The body of a request: what it is, is told by its first bytes, at any split of them."""

from __future__ import annotations

from fractions import Fraction

import pytest

from arclyd.errors import MediaError
from arclyd.ingest.limits import Limits
from arclyd.ingest.mpegts.body import Body
from arclyd.media.formats import flv
from arclyd.media.track import Track
from arclyd.protocols.rtmp import amf0
from tests.ingesting import Published
from tests.ts_maker import TsMaker, registered

AVCC = bytes.fromhex("014d401fffe10017674d401fda014016ec0440000003004000000c83c60ca801000468ef3c80")
MS = Fraction(1, 1000)
PICTURE = Track.video("h264", config=AVCC, width=1280, height=720, time_base=MS)
SOUND = Track.audio("aac", config=b"\x11\x90", sample_rate=48_000, channels=2, time_base=MS)


def flv_stream() -> bytes:
    writer = flv.FlvWriter([PICTURE, SOUND])
    data = writer.start()
    for number in range(4):
        data += writer.frame(0, b"picture %d" % number, pts=number * 40, dts=number * 40, keyframe=number == 0)
        data += writer.frame(1, b"sound %d" % number, pts=number * 40, dts=number * 40, keyframe=True)
    return data


def ts_stream() -> bytes:
    make = TsMaker([(0x100, 0x06, registered(b"KLVA"))])
    return make.tables() + b"".join(
        make.unit(0x100, b"klv %d" % number, 9000 * number, bounded=True, id=0xBD) for number in range(3)
    )


@pytest.mark.parametrize("step", [1, 2, 3, 100, 100_000])
@pytest.mark.parametrize(
    ("data", "protocol", "first"),
    [(flv_stream(), "flv+http", b"picture 0"), (ts_stream(), "mpegts+http", b"klv 0")],
    ids=["flv", "ts"],
)
def test_a_body_is_known_by_its_first_bytes(data: bytes, protocol: str, first: bytes, step: int) -> None:
    body, publisher = Body(None, Limits()), Published()
    for at in range(0, len(data), step):
        body.receive(data[at : at + step])
        if body.wants_claim and not body.live:
            body.tracks()
            body.begin(publisher)  # type: ignore[arg-type]
    body.finish()
    assert body.begun
    assert body.news()["ingest_protocol"] == protocol
    assert publisher.payloads[0] == (0, first)
    assert len(publisher.payloads) == (8 if protocol == "flv+http" else 3)


def test_flv_that_is_over_before_its_sound_came_has_to_do() -> None:
    writer = flv.FlvWriter([PICTURE])
    body = Body(None, Limits())
    body.receive(writer.start() + writer.frame(0, b"key", pts=0, dts=0, keyframe=True))
    body.receive(flv.tag(flv.SCRIPT_TAG, 0, amf0.encode("onMetaData", {"width": 16.0, "audiocodecid": 10.0})))
    assert not body.wants_claim
    body.finish()
    assert body.wants_claim
    published = Published(body.tracks())
    body.begin(published)  # type: ignore[arg-type]
    assert published.payloads == [(0, b"key")]
    assert not body.wants_claim


def test_flv_that_breaks_off_in_the_middle_of_nothing_is_an_error() -> None:
    body = Body(None, Limits())
    body.receive(b"FL")
    with pytest.raises(MediaError):
        body.receive(b"V\x07")


def test_a_tag_over_the_limit_is_an_error() -> None:
    body = Body(None, Limits(video=1000))
    body.receive(flv.file_header([]) + flv.tag(flv.VIDEO_TAG, 0, bytes(1000)))
    with pytest.raises(MediaError, match="the limit is 1000"):
        body.receive(flv.tag(flv.VIDEO_TAG, 0, bytes(1001)))


def test_a_script_tag_that_says_nothing_readable_is_passed_over() -> None:
    body = Body(None, Limits())
    body.receive(flv.file_header([]) + flv.tag(flv.SCRIPT_TAG, 0, b"\xff\xff") + flv_stream()[13:])
    assert body.wants_claim
