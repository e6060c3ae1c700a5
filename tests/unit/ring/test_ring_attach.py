"""Regions that are none: whatever lies behind a descriptor, attaching says so in words and never by a signal."""

from __future__ import annotations

import pytest

from tests.unit.ring.rings import run_python

PRELUDE = """
    import os, random, struct, sys
    from arclyd.errors import LayoutMismatch, RegionCorrupt, RegionError
    from arclyd.ring import _ring
    from arclyd.ring._ring import Reader, Region, Writer

    TRACKS = [(0, 0, (1, 90000), 0, 0, 0, 0), (1, 5, (1, 48000), 0, 0, 48000, 2)]

    def made(data, size=None):
        fd = os.memfd_create("region")
        os.pwrite(fd, data, 0)
        if size is not None:
            os.ftruncate(fd, size)
        return fd

    def sound():
        size = _ring.region_size(ring_bytes=1 << 16, slots=64)
        fd = made(b"", size)
        _ring.format_region(fd, key="live/test", ring_bytes=1 << 16, slots=64)
        writer = Writer(Region(fd, writable=True), TRACKS)
        for pts in range(100):
            if pts % 30 == 0:
                writer.set_config(pts % 2, b"config")
            writer.publish(pts % 2, os.urandom(pts * 7), pts=pts, keyframe=pts % 10 == 0)
        data = os.pread(fd, size, 0)
        os.close(fd)
        return data

    def signed(data):
        crc = _ring.crc32c(data[8:384])
        return data[:384] + struct.pack("<I", crc) + data[388:]

    def refused(fd, expected):
        try:
            Region(fd)
        except expected as error:
            assert len(str(error)) > 20
        else:
            raise AssertionError("accepted")
        finally:
            os.close(fd)

    random.seed(4)
"""

CASES = {
    "random bytes": """
        for size in (1, 7, 8, 511, 512, 1023, 1024, 4096, 500_000):
            for _ in range(20):
                data = random.randbytes(size)
                refused(made(data), RegionCorrupt)
                refused(made((b"ARCLYRNG" + data)[:size]), RegionError)
                refused(made((b"ARCLYRNG" + struct.pack("<HHIQ", 1, 0, 1024, 0) + data)[:size]), RegionCorrupt)
                if size > 388:
                    magic = b"ARCLYRNG" + struct.pack("<HHIQ", 1, 0, 1024, 0) + data
                    refused(made(signed(magic)), RegionError)
        """,
    "nothing": """
        refused(made(b""), RegionCorrupt)
        for size in (1, 1024, 1 << 20, 1 << 40):
            refused(made(b"", size), RegionCorrupt)
        """,
    "truncated": """
        data = sound()
        size = len(data)
        for size in (*range(0, 1100, 13), *range(1100, size, 9973), *range(size - 300, size, 7), size - 1):
            refused(made(data[:size]), RegionCorrupt)
        Region(made(data))
        """,
    "versions": """
        data = sound()
        for major in (0, 2, 3, 255, 65535):
            refused(made(signed(data[:8] + struct.pack("<H", major) + data[10:])), LayoutMismatch)
            refused(made(data[:8] + struct.pack("<H", major) + data[10:]), LayoutMismatch)
        for bit in range(64):
            refused(made(signed(data[:16] + struct.pack("<Q", 1 << bit) + data[24:])), LayoutMismatch)
        Region(made(signed(data[:10] + struct.pack("<H", 9) + data[12:]))).tracks()
        """,
    "every byte of the header": """
        data = sound()
        for at in range(8, 384):
            for flip in (1, 0x80, 0xFF):
                wrong = data[:at] + bytes([data[at] ^ flip]) + data[at + 1:]
                refused(made(wrong[:1024], len(data)), RegionError)
        """,
    "not memory": """
        read, write = os.pipe()
        for fd in (read, os.open("/dev/null", os.O_RDONLY)):
            refused(fd, RegionCorrupt)
        os.close(write)
        refused(os.open("/", os.O_RDONLY), (OSError, RegionCorrupt))
        for fd in (-1, 1 << 20):
            try:
                Region(fd)
            except OSError:
                continue
            raise AssertionError("accepted")
        for wrong in ("fd", None, 1 << 40):
            try:
                Region(wrong)
            except (TypeError, OverflowError):
                continue
            raise AssertionError("accepted")
        """,
    "tables under attack": """
        data = sound()
        fd = made(data)
        region, reached = Region(fd), 0
        tables = [(512, 1024), (1024, 5120), (8192, 32768), (270336, 271872), (401408, 409600)]
        most = 2**64 - 1
        values = (0, 1, 2, 3, 63, 64, 127, 1 << 16, (1 << 32) - 1, 1 << 61, 1 << 62, 1 << 63, most)
        for turn in range(1500):
            for _ in range(random.randrange(1, 12)):
                start, end = random.choice(tables)
                at = random.randrange(start, end, 8)
                old, = struct.unpack("<Q", os.pread(fd, 8, at))
                near = (old + random.choice((-1, 1))) & most
                value = random.choice((random.choice(values), random.getrandbits(64), near))
                os.pwrite(fd, struct.pack("<Q", value), at)
            head = region.head
            looks = [region.counters, region.tracks, region.gops, region.configs]
            looks += [lambda seq=seq: region.frame(seq) for seq in (0, 50, 99, head, max(0, head - 1), most, 2**63)]
            starts = ("keyframe", 0), ("live", 0), ("oldest", 0), ("seq", random.randrange(120)), ("ago", 1 << 40)
            for start in starts:
                reader = Reader(region, start, resync_oldest=bool(turn % 2))
                looks += [lambda reader=reader: reader.recv_many(200, 0)]
                looks += [lambda reader=reader: reader.wait(0), reader.lag]
            for look in looks:
                try:
                    found = look()
                except RegionError:
                    continue
                reached += 1
                for frame in found if isinstance(found, list) else [found]:
                    if type(frame) is _ring.Frame:
                        bytes(frame.data)
                        frame.is_intact()
            if turn % 20 == 0:
                os.pwrite(fd, data[512:], 512)
        assert reached > 1000, reached
        """,
}


@pytest.mark.parametrize("case", CASES)
def test_no_region_no_signal(case: str) -> None:
    body = "\n".join(line.removeprefix("    ") for line in CASES[case].splitlines())
    done = run_python(PRELUDE + body + "\n    print('all refused')")
    assert (done.returncode, done.stdout.strip()) == (0, "all refused"), done.stderr
