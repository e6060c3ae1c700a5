"""Descriptions as cameras and servers write them: read, or refused with a reason; and every quirk of their URLs."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arclyd.errors import MediaError, WireError
from arclyd.media.codecs import CodecId
from arclyd.protocols.rtp.formats import Format, depacketizer_of
from arclyd.protocols.rtsp.address import Address, asked_for, medium_of, resolve
from arclyd.protocols.sdp.description import MediaDescription, SessionDescription

SPS, PPS = "Z00AKpY1QPAET8s3AQEBQAABwgAAV+QB", "aO48gA=="

READ = {
    "nothing but a medium": ("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:trackID=0\n", ["h264"]),
    "attributes before the name, an application besides": (
        (
            "v=0\r\no=- 8 8 IN IP4 10.0.0.1\r\na=control:*\r\ns=Server\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            "c=IN IP4 0.0.0.0\r\na=rtpmap:96 H264/90000\r\na=control:ctype=video\r\na=recvonly\r\n"
            "m=application 0 RTP/AVP 106\r\na=rtpmap:106 vnd.onvif.metadata/90000\r\na=sendonly\r\n"
        ),
        ["h264", None],
    ),
    "parameters of another payload type": (
        (
            "v=0\nm=audio 0 RTP/AVP 104\na=rtpmap:104 MPEG4-GENERIC/16000\n"
            "a=fmtp:97 streamtype=5;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408\n"
        ),
        ["aac"],
    ),
    "names of parameters in any case, a semicolon at the end": (
        (
            "v=0\nm=audio 0 RTP/AVP 104\na=rtpmap:104 mpeg4-GENERIC/32000\n"
            "a=fmtp:104 mode=AAC-hbr; config=1408;SizeLength=13; IndexLength=3; IndexDeltaLength=3; Profile=1;\n"
        ),
        ["aac"],
    ),
    "no configuration of the sound at all": ("m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/44100/2\n", ["aac"]),
    "an origin and a connection that are cut off": (
        "v=0\r\no=- 1001 1 IN \r\ns=IPC\r\nm=video 0 RTP/AVP 105\r\nc=IN\r\na=rtpmap:105 H264/90000\r\n",
        ["h264"],
    ),
    "a port below nothing, an address of noise": (
        b"v=0\r\nm=video -1353744643 RTP/AVP 96\r\nc=IN IP4 '&\xff\xfe\r\na=rtpmap:96 H265/90000\r\n",
        ["h265"],
    ),
    "a medium that is none among others": (
        (
            "v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H265/90000\nm=audio 0 RTP/AVP 8\n"
            "m=application/x 0 RTP/AVP smart/0/25000\na=rtpmap:95 x/25000\n"
        ),
        ["h265", "g711a", None],
    ),
    "many payload types, one of them known": (
        "v=0\nm=audio 0 RTP/AVP 116 115 0\na=rtpmap:116 G726-32/8000\na=rtpmap:115 L24/8000\n",
        ["g711u"],
    ),
    "lines that end with carriage returns alone": ("v=0\rm=video 0 RTP/AVP 96\ra=rtpmap:96 h264/90000\r", ["h264"]),
    "spaces around everything, and a mark of byte order": (
        "\ufeffv = 0\n m = video 0 RTP/AVP 96 \n a = rtpmap:96 H264/90000 \n",
        ["h264"],
    ),
    "no map, but parameters that only one codec has": (
        f"m=video 0 RTP/AVP 96\na=fmtp:96 packetization-mode=1;sprop-parameter-sets={SPS},{PPS}\n",
        ["h264"],
    ),
    "a clock rate that is not said": ("m=video 0 RTP/AVP 96\na=rtpmap:96 H264\n", ["h264"]),
    "VP8, VP9, AV1 and Opus": (
        (
            "m=video 0 RTP/AVP 96\na=rtpmap:96 VP8/90000\nm=video 0 RTP/AVP 97\na=rtpmap:97 VP9/90000\n"
            "m=video 0 RTP/AVP 98\na=rtpmap:98 AV1/90000\nm=audio 0 RTP/AVP 99\na=rtpmap:99 OPUS/48000/2\n"
        ),
        ["vp8", "vp9", "av1", "opus"],
    ),
}


def data_of(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


@pytest.mark.parametrize("name", READ)
def test_what_cameras_write_is_read(name: str) -> None:
    text, codecs = READ[name]
    found: list[str | None] = []
    for medium in SessionDescription.parse(data_of(text)).media:
        try:
            layout = Format.of(medium)
        except MediaError:
            found.append(None)
        else:
            depacketizer_of(layout)
            found.append(layout.codec.label)
    assert found == codecs


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no medium"),
        ("<html>404</html>", "no medium"),
        ("v=0\nm=video 0\n", "no medium"),
        ("v=0\n" + "m=video 0 RTP/AVP 96\n" * 33, "more than 32 media"),
        ("v=0\n" + "a=x\n" * 20_000, "a description of 80004 bytes"),
    ],
)
def test_what_can_not_be_read_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        SessionDescription.parse(text.encode())


def medium(*attributes: tuple[str, str], number: str = "96") -> MediaDescription:
    return MediaDescription("video", 0, "RTP/AVP", (number,), "", attributes)


def test_what_is_not_carried_is_named() -> None:
    with pytest.raises(MediaError, match="video as JPEG, which is not known here"):
        Format.of(medium(("rtpmap", "26 JPEG/90000"), number="26"))


@pytest.mark.parametrize(
    "sets",
    [f"{SPS},{PPS}", f"{SPS},{PPS.rstrip('=')}", f'"{SPS}, {PPS}="', f"AAAAAWdNACqWNUDwBE/LNwEBAUAAAcIAAFfkAQ==,{PPS}"],
)
def test_parameter_sets_are_read_however_they_are_padded(sets: str) -> None:
    layout = Format.of(
        medium(("rtpmap", "96 H264/90000"), ("fmtp", f"96 packetization-mode=1;sprop-parameter-sets={sets}"))
    )
    assert depacketizer_of(layout).ready


@pytest.mark.parametrize("sets", ["", ",", "Z00AKpY1QPAET8s3AQEBQAABwgAAV+QB,", "!!!", "aO48gA==", "Z2Q=,aA=="])
def test_parameter_sets_that_are_not_whole_are_waited_for(sets: str) -> None:
    layout = Format.of(medium(("rtpmap", "96 H264/90000"), ("fmtp", f"96 sprop-parameter-sets={sets}")))
    assert not depacketizer_of(layout).ready


@pytest.mark.parametrize(
    ("base", "control", "url"),
    [
        ("rtsp://h/a/", "trackID=1", "rtsp://h/a/trackID=1"),
        ("rtsp://h/a", "trackID=1", "rtsp://h/a/trackID=1"),
        ("rtsp://h/a", "*", "rtsp://h/a"),
        ("rtsp://h/a", "", "rtsp://h/a"),
        ("rtsp://h/cam?channel=1&subtype=0/", "trackID=0", "rtsp://h/cam?channel=1&subtype=0/trackID=0"),
        ("rtsp://h/a", "rtsp://10.0.0.9/other/video", "rtsp://10.0.0.9/other/video"),
        ("rtsp://h/a/", "/trackID=2", "rtsp://h/a//trackID=2"),
    ],
)
def test_a_control_is_where_servers_mean_it_to_be(base: str, control: str, url: str) -> None:
    assert resolve(base, control) == url


def test_a_medium_is_told_from_whatever_clients_make_of_its_control() -> None:
    controls = ["trackID=0", "trackID=1"]
    base = "rtsp://h/live/a/"
    for url in (
        "rtsp://h/live/a/trackID=1",
        "rtsp://h:554/live/a/trackID=1/",
        "trackID=1",
        "rtsp://h/live/a?x=y/trackID=1",
    ):
        assert medium_of(url, base, controls, []) == 1
    assert medium_of("rtsp://h/live/a", base, controls, [0]) == 1
    assert medium_of("rtsp://h/live/a", base, controls, [0, 1]) is None
    assert medium_of("rtsp://h/live/a/streamid=1", base, ["", ""], []) == 1


@pytest.mark.parametrize(
    ("url", "key", "query"),
    [
        ("rtsp://h:8554/live/cam1", "live/cam1", {}),
        ("rtsp://h/live/cam1/", "live/cam1", {}),
        ("rtsp://h/live/cam1/trackID=3", "live/cam1", {}),
        ("rtsp://h/live/cam1?token=12:ab", "live/cam1", {"token": "12:ab"}),
        ("rtsp://h/live/cam1?token=ab/trackID=0", "live/cam1", {"token": "ab"}),
        ("rtsp://h/live/cam1?user=a&pass=b/streamid=1", "live/cam1", {"user": "a", "pass": "b"}),
        ("*", "*", {}),
    ],
)
def test_the_stream_that_a_url_means(url: str, key: str, query: dict[str, str]) -> None:
    assert asked_for(url) == (key, query)


def test_an_address_hides_who_one_is() -> None:
    address = Address.parse("rtsp://admin:p@ss:w%23rd@[2001:db8::1]:5540/s?x=secret")
    assert (address.host, address.port, address.user, address.password) == ("2001:db8::1", 5540, "admin", "p@ss:w#rd")
    assert "ss" not in str(address).replace("rtsp", "")
    assert "w#rd" not in repr(address)
    assert Address.parse("rtsps://h/a").port == 322
    for wrong in ("http://h/a", "rtsp://", "rtsp://h:port/a", "h/a"):
        with pytest.raises(WireError):
            Address.parse(wrong)


WORDS = st.text(
    st.characters(codec="ascii", exclude_categories=["C", "Z"], exclude_characters=":="), min_size=1, max_size=12
)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=30)
ATTRIBUTES = st.lists(st.tuples(WORDS, VALUES), max_size=5).map(tuple)
MEDIA = st.builds(
    MediaDescription,
    st.sampled_from(("video", "audio", "application")),
    st.integers(0, 65535),
    st.sampled_from(("RTP/AVP", "RTP/AVP/TCP")),
    st.lists(st.integers(0, 127).map(str), min_size=1, max_size=4).map(tuple),
    st.sampled_from(("", "IN IP4 0.0.0.0")),
    ATTRIBUTES,
)


@given(st.builds(SessionDescription, st.lists(MEDIA, min_size=1, max_size=4).map(tuple), attributes=ATTRIBUTES))
def test_what_is_written_comes_back(description: SessionDescription) -> None:
    assert SessionDescription.parse(description.serialize()) == description


@settings(deadline=None)
@given(st.binary(max_size=600), st.sampled_from(sorted(READ)))
def test_garbage_in_a_description_is_read_or_refused(noise: bytes, name: str) -> None:
    whole = data_of(READ[name][0])
    for data in (noise, whole + noise, noise + whole, whole[: len(whole) // 2] + noise + whole[len(whole) // 2 :]):
        with suppress(WireError):
            for found in SessionDescription.parse(data).media:
                with suppress(MediaError):
                    assert Format.of(found).codec in CodecId
                    depacketizer_of(Format.of(found))
