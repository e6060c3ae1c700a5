"""The transport stream demuxer: tables, packets, time, and everything that goes wrong on a network."""

from __future__ import annotations

import pytest

from arclyd.errors import MediaError
from arclyd.media.formats.mpegts.content import Content
from arclyd.media.formats.mpegts.demuxer import Demuxer, Limits, Program, Unit
from arclyd.media.formats.mpegts.pes import read_header
from arclyd.media.formats.mpegts.psi import crc32, read_pmt
from tests.ts_maker import PACKET, WRAP, TsMaker, crc, descriptor, packets, pes, registered, section

VIDEO, AUDIO, DATA = 0x100, 0x101, 0x102
H264, AAC = 0x1B, 0x0F


def maker() -> TsMaker:
    return TsMaker([(VIDEO, H264, b""), (AUDIO, AAC, b"")])


def units(events: list[Program | Unit]) -> list[Unit]:
    return [event for event in events if isinstance(event, Unit)]


def programs(events: list[Program | Unit]) -> list[Program]:
    return [event for event in events if isinstance(event, Program)]


def read(stream: bytes, demuxer: Demuxer | None = None, size: int = 1316) -> list[Program | Unit]:
    demuxer = demuxer or Demuxer()
    events = [event for at in range(0, len(stream), size) for event in demuxer.receive(stream[at : at + size])]
    return events + demuxer.finish()


def body(number: int, size: int = 1000) -> bytes:
    return bytes((number,)) * size


def test_the_check_is_that_of_the_annex() -> None:
    for data in (b"", b"\x00", b"123456789", bytes(range(256))):
        assert crc32(data) == crc(data)
        assert crc32(data + crc(data).to_bytes(4, "big")) == 0


@pytest.mark.parametrize("size", [1, 7, 187, 188, 189, 1316, 1 << 20])
def test_what_was_sent_comes_out_at_any_split(size: int) -> None:
    make = maker()
    stream = make.tables()
    for number in range(5):
        stream += make.unit(VIDEO, body(number, 5000), number * 3600 + 1800, number * 3600, random_access=number == 0)
        stream += make.unit(AUDIO, body(number, 300), number * 3600, bounded=True, id=0xC0)
    events = read(stream, size=size)
    assert [event.streams for event in programs(events)] == [events[0].streams]
    assert [(each.pid, each.content) for each in events[0].streams] == [
        (VIDEO, Content.H264),
        (AUDIO, Content.AAC_ADTS),
    ]
    pictures = [unit for unit in units(events) if unit.pid == VIDEO]
    assert pictures == [
        Unit(VIDEO, body(number, 5000), number * 3600 + 1800, number * 3600, random_access=number == 0)
        for number in range(5)
    ]
    sounds = [unit for unit in units(events) if unit.pid == AUDIO]
    assert [(unit.payload, unit.pts, unit.dts) for unit in sounds] == [
        (body(number, 300), number * 3600, number * 3600) for number in range(5)
    ]


def test_a_packet_that_says_its_length_comes_out_with_its_last_byte() -> None:
    make, demuxer = maker(), Demuxer()
    demuxer.receive(make.tables())
    assert len(units(demuxer.receive(make.unit(AUDIO, body(1), 0, bounded=True)))) == 1
    assert units(demuxer.receive(make.unit(VIDEO, body(1), 0))) == []
    assert len(units(demuxer.receive(make.unit(VIDEO, body(2), 1)))) == 1


@pytest.mark.parametrize("garbage", [b"\x00", b"\x47", b"\x47" * 300, bytes(range(256)) * 3, b"GET / HTTP/1.1\r\n"])
def test_it_finds_its_way_back_after_garbage(garbage: bytes) -> None:
    make = maker()
    stream = make.tables() + make.unit(VIDEO, body(1), 0) + garbage
    for number in range(2, 12):
        stream += make.unit(VIDEO, body(number), number)
    demuxer = Demuxer()
    found = [unit.payload for unit in units(read(stream, demuxer))]
    assert found[-9:] == [body(number) for number in range(3, 12)]
    assert demuxer.counts.skipped_bytes


def test_a_missing_packet_is_counted_and_shown_on_both_sides() -> None:
    make, demuxer = maker(), Demuxer()
    stream = packets(make.tables())
    first, second, third = (packets(make.unit(VIDEO, body(number), number)) for number in (1, 2, 3))
    del second[2]
    found = units(read(b"".join(stream + first + second + third), demuxer))
    assert [(unit.payload[:1], unit.lost, unit.damaged) for unit in found] == [
        (b"\x01", False, False),
        (b"\x02", False, True),
        (b"\x03", True, False),
    ]
    assert demuxer.counts.continuity == 1


def test_a_missing_beginning_does_not_mix_two_units() -> None:
    make, demuxer = maker(), Demuxer()
    head = make.tables() + make.unit(VIDEO, body(1), 1)
    second = packets(make.unit(VIDEO, body(2), 2))[1:]
    found = units(read(head + b"".join(second) + make.unit(VIDEO, body(3), 3), demuxer))
    assert [(unit.payload, unit.lost, unit.damaged) for unit in found] == [
        (body(1), False, True),
        (body(3), True, False),
    ]


def test_a_packet_sent_twice_is_taken_once() -> None:
    make, demuxer = maker(), Demuxer()
    stream = packets(make.tables()) + [
        each for number in (1, 2) for packet in packets(make.unit(VIDEO, body(number), number)) for each in [packet] * 2
    ]
    assert [unit.payload for unit in units(read(b"".join(stream), demuxer))] == [body(1), body(2)]
    assert demuxer.counts.continuity == 0
    assert demuxer.counts.duplicates == 12


def test_an_intended_break_is_no_fault_but_shown() -> None:
    make, demuxer = maker(), Demuxer()
    stream = make.tables() + make.unit(VIDEO, body(1), 10_000)
    make.counters[VIDEO] += 5
    stream += make.clock(500, discontinuity=True) + make.unit(VIDEO, body(2), 1000) + make.unit(VIDEO, body(3), 2000)
    found = units(read(stream, demuxer))
    assert [(unit.pts, unit.lost) for unit in found] == [(10_000, False), (1000, True), (2000, False)]
    assert demuxer.counts.continuity == 0


def test_time_goes_on_where_33_bits_wrap() -> None:
    make = maker()
    stream = make.tables()
    for number in range(6):
        at = WRAP - 9000 + number * 3600
        stream += make.clock(at - 4000) + make.unit(VIDEO, body(number), at + 7200, at)
    found = units(read(stream))
    assert [unit.dts for unit in found] == [WRAP - 9000 + number * 3600 for number in range(6)]
    assert [unit.pts for unit in found] == [WRAP - 1800 + number * 3600 for number in range(6)]


def test_the_program_may_change_its_streams() -> None:
    make = maker()
    stream = make.tables() + make.unit(VIDEO, body(1), 0) + make.unit(AUDIO, body(9), 0, bounded=True)
    make.streams = [(VIDEO, H264, b""), (DATA, 0x24, b"")]
    stream += make.tables(1) + make.tables(1) + make.unit(VIDEO, body(2), 1) + make.unit(DATA, body(3), 1)
    stream += make.unit(AUDIO, body(4), 1, bounded=True)
    events = read(stream)
    assert [[each.content for each in program.streams] for program in programs(events)] == [
        [Content.H264, Content.AAC_ADTS],
        [Content.H264, Content.H265],
    ]
    assert [(unit.pid, unit.payload[:1]) for unit in units(events)] == [
        (AUDIO, b"\x09"),
        (VIDEO, b"\x01"),
        (VIDEO, b"\x02"),
        (DATA, b"\x03"),
    ]


def test_a_table_to_come_and_a_damaged_one_change_nothing() -> None:
    make, demuxer = maker(), Demuxer()
    tables = make.tables()
    damaged = bytearray(tables)
    damaged[PACKET + 20] ^= 1
    assert programs(demuxer.receive(bytes(damaged))) == []
    assert demuxer.counts.tables == 1
    head = (1).to_bytes(2, "big") + b"\xc0\x00\x00\xe1\x00\xf0\x00"
    assert read_pmt(section(2, head)) is None  # current_next_indicator is 0
    with pytest.raises(MediaError):
        read_pmt(section(2, head)[:-1] + b"\x00")
    assert len(programs(demuxer.receive(make.tables()))) == 1


def test_of_several_programs_the_one_asked_for_is_followed() -> None:
    one = TsMaker([(VIDEO, H264, b"")], program=5, map_pid=0x20)
    two = TsMaker([(AUDIO, AAC, b"")], program=9, map_pid=0x21, clock_pid=AUDIO)
    head = (1).to_bytes(2, "big") + b"\xc1\x00\x00"
    pat = one.sections(0, section(0, head + bytes.fromhex("0000e0100005e0200009e021")))
    streams = one.tables()[PACKET:] + two.tables()[PACKET:]
    media = one.unit(VIDEO, body(1), 0) + two.unit(AUDIO, body(2), 0)
    for program, pid in ((None, VIDEO), (5, VIDEO), (9, AUDIO)):
        events = read(pat + streams + media, Demuxer(program))
        assert [event.number for event in programs(events)] == [program or 5]
        assert [unit.pid for unit in units(events)] == [pid]


@pytest.mark.parametrize(
    ("kind", "descriptors", "content"),
    [
        (0x06, registered(b"KLVA"), Content.KLV),
        (0x06, registered(b"AV01"), Content.AV1),
        (0x06, registered(b"Opus"), Content.OPUS),
        (0x06, registered(b"AC-3"), Content.AC3),
        (0x06, descriptor(0x6A, b"\x00"), Content.AC3),
        (0x06, descriptor(0x59, b"eng\x10\x00\x01\x00\x01"), Content.DVB_SUBTITLES),
        (0x06, descriptor(0x56, b"eng\x08\x88"), Content.TELETEXT),
        (0x06, b"", Content.PRIVATE),
        (0x15, descriptor(0x26, b"\xff\xffID3 \xffID3 \x00\x0f"), Content.ID3),
        (0x15, descriptor(0x26, b"\x01\x00\xffKLVA\x00\x0f"), Content.KLV),
        (0x15, b"", Content.METADATA),
        (0x81, b"", Content.AC3),
        (0x03, b"", Content.MPEG_AUDIO),
        (0x11, b"", Content.AAC_LATM),
        (0x24, b"", Content.H265),
    ],
)
def test_a_stream_is_known_by_its_type_and_its_descriptors(kind: int, descriptors: bytes, content: Content) -> None:
    make = TsMaker([(DATA, kind, descriptors), (0x1F0, 0x02, b"")])  # and one of MPEG-2 pictures, which is not kept
    events = read(make.tables() + make.unit(DATA, b"as it is", 900, bounded=True, id=0xBD))
    assert [(each.pid, each.content) for each in programs(events)[0].streams] == [(DATA, content)]
    assert [(unit.payload, unit.pts) for unit in units(events)] == [(b"as it is", 900)]


def test_sections_have_the_time_of_the_clock() -> None:
    make = TsMaker([(VIDEO, H264, b""), (DATA, 0x86, registered(b"CUEI"))])
    cue = section(0xFC, b"\x00" * 200)
    events = read(make.tables() + make.clock(WRAP - 90) + make.clock(90) + make.sections(DATA, cue))
    assert units(events) == [Unit(DATA, cue, WRAP + 90, WRAP + 90)]


def test_a_section_with_a_wrong_check_is_left_out() -> None:
    make, demuxer = TsMaker([(VIDEO, H264, b""), (DATA, 0x86, b"")]), Demuxer()
    cue = section(0xFC, b"\x00" * 20)
    assert units(read(make.tables() + make.sections(DATA, cue[:-1] + b"x"), demuxer)) == []
    assert demuxer.counts.tables == 1


def test_what_is_too_large_is_dropped_and_the_next_one_kept() -> None:
    make, demuxer = maker(), Demuxer(limits=Limits(video=10_000, audio=10_000))
    stream = make.tables() + make.unit(VIDEO, body(1, 9000), 0) + make.unit(VIDEO, body(2, 11_000), 1)
    stream += make.unit(VIDEO, body(3, 9000), 2)
    found = units(read(stream, demuxer))
    assert [(unit.payload[:1], unit.lost) for unit in found] == [(b"\x01", False), (b"\x03", True)]
    assert demuxer.counts.oversize == 1


def test_errors_of_the_transport_and_scrambled_packets_are_counted() -> None:
    make, demuxer = maker(), Demuxer()
    stream = packets(make.tables() + make.unit(VIDEO, body(1), 0) + make.unit(VIDEO, body(2), 1))
    broken, secret = bytearray(stream[3]), bytearray(stream[-1])
    broken[1] |= 0x80
    secret[3] |= 0x80
    found = units(read(b"".join([*stream[:3], bytes(broken), *stream[4:-1], bytes(secret)]), demuxer))
    assert found[0].damaged
    assert (demuxer.counts.transport_errors, demuxer.counts.scrambled, demuxer.counts.continuity) == (1, 1, 1)


@pytest.mark.parametrize("cut", range(20))
def test_a_header_that_is_cut_short_is_an_error(cut: int) -> None:
    whole = pes(b"", 1, 2)
    assert len(whole) == 19
    header = whole[:cut]
    if cut < 19:
        with pytest.raises(MediaError):
            read_header(header)
    assert read_header(whole) == read_header(whole + b"more")
    assert (read_header(whole).pts, read_header(whole).dts) == (1, 2)
