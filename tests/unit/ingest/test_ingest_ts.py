"""Transport streams to frames: claims, gates, maps that change, wraps, losses, bounds; with a publisher in memory."""

from __future__ import annotations

from itertools import pairwise

import pytest

from arclyd.errors import WireError
from arclyd.ingest.limits import Limits
from arclyd.ingest.ts.intake import HELD, MOST_FRAMES, Intake
from arclyd.media.codecs import CodecId
from arclyd.media.codecs.h264 import AvcConfig
from tests.ingesting import Published
from tests.ts_maker import PACKET, WRAP, TsMaker, registered

AVCC = AvcConfig.parse(bytes.fromhex("014d401fffe10017674d401fda014016ec0440000003004000000c83c60ca801000468ef3c80"))
VIDEO, SOUND, DATA = 0x100, 0x101, 0x102
BOTH = [(VIDEO, 0x1B, b""), (SOUND, 0x03, b"")]
MP3 = b"\xff\xfb\x94\x00" + bytes(380)
"""A frame of 48 kHz and 128 kbit/s: 384 bytes, 24 ms."""


def nal(number: int, *, key: bool) -> bytes:
    return (b"\x65" if key else b"\x41") + b"picture %05d" % number


def picture(number: int, *, key: bool = False) -> bytes:
    sets = (*AVCC.sps, *AVCC.pps) if key else ()
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in (b"\x09\xf0", *sets, nal(number, key=key)))


def payload(number: int, *, key: bool = False) -> bytes:
    """What of it goes into the ring."""
    return len(nal(number, key=key)).to_bytes(4, "big") + nal(number, key=key)


class Sender:
    """Multiplexes, and has an intake take it."""

    def __init__(self, streams: list[tuple[int, int, bytes]], limits: Limits | None = None) -> None:
        self.make = TsMaker(streams)
        self.intake = Intake(limits=limits)
        self.intake.receive(self.make.tables())

    def picture(self, number: int, at: int, *, key: bool = False) -> None:
        self.intake.receive(self.make.unit(VIDEO, picture(number, key=key), at, bounded=True))

    def sound(self, at: int) -> None:
        self.intake.receive(self.make.unit(SOUND, MP3, at, bounded=True, id=0xC0))

    def data(self, payload: bytes, at: int | None) -> None:
        self.intake.receive(self.make.unit(DATA, payload, at, bounded=True, id=0xBD))

    def claimed(self) -> Published:
        assert self.intake.wants_claim
        published = Published(self.intake.tracks())
        self.intake.begin(published)  # type: ignore[arg-type]
        return published


def kinds(published: Published) -> list[CodecId]:
    return [track.codec for track in published.tracks]


# ---------------------------------------------------------------------- claims


def test_it_is_claimed_when_all_tracks_are_known_and_a_keyframe_is_there() -> None:
    sender = Sender(BOTH)
    assert sender.intake.begun
    assert not sender.intake.wants_claim
    sender.sound(88_000)
    sender.picture(0, 90_000)
    assert not sender.intake.wants_claim
    sender.picture(1, 93_600, key=True)
    published = sender.claimed()
    assert kinds(published) == [CodecId.H264, CodecId.MP3]
    assert published.tracks[0].config == AvcConfig.parse(published.tracks[0].config).serialize()
    assert published.payloads == [(0, payload(1, key=True)), (1, MP3)]
    assert sender.intake.counts.damaged == 1  # nobody knew by then how it is to be decoded
    assert not sender.intake.wants_claim
    sender.picture(2, 97_200)
    assert published.payloads[2:] == [(0, payload(2))]


def test_a_track_that_does_not_come_is_not_waited_for_for_ever() -> None:
    sender = Sender(BOTH)
    sender.picture(0, 0, key=True)
    sender.picture(1, HELD.ticks - 1)
    assert not sender.intake.wants_claim
    sender.picture(2, HELD.ticks)
    assert kinds(sender.claimed()) == [CodecId.H264]


def test_without_a_keyframe_it_is_claimed_in_the_end_and_nothing_goes_out_before_one() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")])
    sets = b"".join(b"\x00\x00\x00\x01" + unit for unit in (*AVCC.sps, *AVCC.pps))
    sender.intake.receive(sender.make.unit(VIDEO, b"\x00\x00\x00\x01\x09\xf0" + sets + picture(0)[6:], 0, bounded=True))
    for number in range(1, 5):
        sender.picture(number, number * HELD.ticks // 4)
    published = sender.claimed()
    assert published.frames == []
    sender.picture(5, HELD.ticks + 3600, key=True)
    assert published.payloads == [(0, payload(5, key=True))]
    assert sender.intake.counts.gated == 5


def test_a_damaged_keyframe_is_no_beginning() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")])
    whole = sender.make.unit(VIDEO, picture(0, key=True) + bytes(4 * PACKET), 0, bounded=True)
    sender.intake.receive(whole[:PACKET] + whole[2 * PACKET :])
    sender.picture(1, 3600)
    assert not sender.intake.wants_claim
    sender.picture(2, 7200, key=True)
    assert sender.claimed().payloads == [(0, payload(2, key=True))]
    assert sender.intake.faults.continuity == 1


def test_data_alone_is_a_stream_by_its_own_clock() -> None:
    sender = Sender([(DATA, 0x06, registered(b"KLVA"))])
    sender.data(b"before any clock", None)
    assert sender.intake.counts.damaged == 1
    sender.intake.receive(sender.make.clock(9000, pid=VIDEO))
    sender.data(b"one", None)
    published = sender.claimed()
    sender.intake.receive(sender.make.clock(18_000, pid=VIDEO))
    sender.data(b"two", None)
    assert [(data, facts["pts"]) for _, data, facts in published.frames] == [(b"one", 9000), (b"two", 18_000)]
    assert sender.intake.data_tracks() == {0: "klv"}


# ---------------------------------------------------------- maps that change


def test_another_map_has_the_stream_claimed_anew_from_the_next_keyframe() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")])
    sender.picture(0, 0, key=True)
    first = sender.claimed()
    sender.make.streams = BOTH
    sender.intake.receive(sender.make.tables(version=1))
    sender.sound(3600)
    sender.picture(1, 3600)
    assert not sender.intake.wants_claim
    assert first.payloads == [(0, payload(0, key=True))]
    sender.picture(2, 7200, key=True)
    second = sender.claimed()
    assert first.interrupted
    assert kinds(second) == [CodecId.H264, CodecId.MP3]
    assert second.payloads == [(0, payload(2, key=True)), (1, MP3)]


def test_the_same_map_again_changes_nothing() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")])
    sender.picture(0, 0, key=True)
    published = sender.claimed()
    sender.intake.receive(sender.make.tables(version=1))
    sender.picture(1, 3600)
    assert published.payloads[1:] == [(0, payload(1))]


def test_a_map_that_changes_while_the_daemon_is_asked_is_claimed_next() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")])
    sender.picture(0, 0, key=True)
    first = Published(sender.intake.tracks())
    sender.make.streams = BOTH
    sender.intake.receive(sender.make.tables(version=1))
    sender.sound(3600)
    sender.picture(1, 7200, key=True)
    sender.intake.begin(first)  # type: ignore[arg-type]
    assert first.payloads == []
    second = sender.claimed()
    assert first.interrupted
    assert kinds(second) == [CodecId.H264, CodecId.MP3]
    assert second.payloads == [(0, payload(0, key=True)), (1, MP3), (0, payload(1, key=True))]


def test_what_waits_of_a_stream_that_is_gone_goes_into_no_other_track() -> None:
    sender = Sender([(SOUND, 0x03, b""), (DATA, 0x06, registered(b"KLVA"))])
    sender.sound(0)
    sender.sound(2160)
    sender.data(b"klv", 2160)
    sender.claimed()
    mono = b"\xff\xfb\x94\xc0" + bytes(380)
    for at in (4320, 6480):  # another sound: it waits to be claimed
        sender.intake.receive(sender.make.unit(SOUND, mono, at, bounded=True, id=0xC0))
    assert sender.intake.wants_claim
    sender.make.streams = [(DATA, 0x06, registered(b"KLVA"))]
    sender.intake.receive(sender.make.tables(version=1))
    sender.data(b"more", 8640)
    published = sender.claimed()
    assert kinds(published) == [CodecId.RAW]
    assert published.payloads == [(0, b"more")]


def test_maps_that_change_for_ever_are_an_end() -> None:
    sender = Sender([(DATA, 0x06, registered(b"KLVA"))])
    with pytest.raises(WireError, match="the tracks changed"):
        for version in range(40):
            sender.make.streams = [(DATA + version % 2, 0x06, registered(b"KLVA"))]
            sender.intake.receive(sender.make.tables(version=version % 32))
            sender.intake.receive(sender.make.unit(DATA + version % 2, b"x", version, bounded=True, id=0xBD))
            sender.claimed()


# --------------------------------------------------------------------- times


def test_timestamps_go_on_where_33_bits_end() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")])
    sender.picture(0, WRAP - 3600, key=True)
    published = sender.claimed()
    for number in range(1, 4):
        sender.picture(number, number * 3600 - 3600)
    assert [facts["dts"] - (WRAP - 3600) for _, _, facts in published.frames] == [0, 3600, 7200, 10_800]
    assert not any(facts["discontinuity"] for _, _, facts in published.frames)


def test_a_jump_is_marked_and_time_goes_on() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")])
    sender.picture(0, 0, key=True)
    published = sender.claimed()
    sender.picture(1, 3600)
    sender.picture(2, 90_000 * 100)
    sender.picture(3, 90_000 * 100 + 3600)
    assert [facts["discontinuity"] for _, _, facts in published.frames] == [False, False, True, False]
    assert all(later["dts"] - sooner["dts"] == 3600 for (_, _, sooner), (_, _, later) in pairwise(published.frames))


# ------------------------------------------------------------ losses, bounds


def test_lost_packets_mark_the_picture_and_the_next() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")])
    sender.picture(0, 0, key=True)
    published = sender.claimed()
    hurt = sender.make.unit(VIDEO, picture(1) + bytes(range(1, 255)) * 4, 3600, bounded=True)
    sender.intake.receive(hurt[: 2 * PACKET] + hurt[3 * PACKET :])
    sender.picture(2, 7200)
    marks = [(facts["corrupt"], facts["discontinuity"]) for _, _, facts in published.frames]
    assert marks == [(False, False), (True, False), (False, True)]
    assert sender.intake.news() == {"tags": {"continuity_errors": "1"}}


def test_a_picture_above_the_limit_is_left_out_and_what_follows_is_marked() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")], Limits(video=1000))
    sender.picture(0, 0, key=True)
    published = sender.claimed()
    sender.intake.receive(sender.make.unit(VIDEO, picture(1) + b"\xff" * 2000, 3600, bounded=True))
    sender.picture(2, 7200)
    assert published.payloads == [(0, payload(0, key=True)), (0, payload(2))]
    assert published.frames[-1][2]["discontinuity"]


def test_a_frame_above_what_the_ring_holds_is_left_out() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")])
    sender.picture(0, 0, key=True)
    published = sender.claimed()
    published.limit = 100
    sender.intake.receive(sender.make.unit(VIDEO, picture(1) + b"\xff" * 2000, 3600, bounded=True))
    sender.picture(2, 7200)
    assert len(published.frames) == 2
    assert sender.intake.counts.too_large == 1
    assert sender.intake.news() == {"tags": {"dropped": "1 (0 before a keyframe)"}}


def test_no_more_than_so_much_waits_for_the_daemon() -> None:
    sender = Sender([(DATA, 0x06, registered(b"KLVA"))])
    sender.data(b"0", 0)
    published = Published(sender.intake.tracks())
    for number in range(MOST_FRAMES + 10):
        sender.data(b"x", number + 1)
    sender.intake.begin(published)  # type: ignore[arg-type]
    assert len(published.frames) == MOST_FRAMES
    assert sender.intake.counts.gated == 11
    sender.data(b"next", MOST_FRAMES + 100)
    assert published.frames[-1][2]["discontinuity"]


def test_an_interruption_forgets_what_waited() -> None:
    sender = Sender([(DATA, 0x06, registered(b"KLVA"))])
    sender.data(b"0", 0)
    assert sender.intake.wants_claim
    sender.intake.interrupt()
    assert not sender.intake.wants_claim
    assert sender.intake.release() is None


def test_what_has_no_end_of_its_own_comes_out_at_the_end() -> None:
    sender = Sender([(VIDEO, 0x1B, b"")])
    sender.picture(0, 0, key=True)
    published = sender.claimed()
    sender.intake.receive(sender.make.unit(VIDEO, picture(1), 3600))  # how long it is, is not said
    assert len(published.frames) == 1
    sender.intake.finish()
    assert published.payloads[1:] == [(0, payload(1))]
