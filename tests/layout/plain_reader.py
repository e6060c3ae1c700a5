"""A second reader of regions, in plain Python, written from ``shm_layout.md`` alone.

It imports nothing of arclyd: that it reads what the core writes shows that the
document says enough. Numbers in comments are the document's sections. Python
has no fences: where the document wants one, this reader only loads again, which
is enough where the machine keeps loads in order (x86), and no proof elsewhere.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

MAGIC = b"ARCLYRNG"
HEADER_SIZE = 1024
HOT, DAEMON, COUNTERS = 512, 768, 896
KEY, CONFIG, HAS_CRC = 1, 2, 64
NEW, ENDED = 0, 2
VIDEO, AUDIO, DATA = 0, 1, 2
GEOMETRY = struct.Struct("<8sHHIQQQ QIIQIIQIIQII QQQQQQII16s16s192sI")
SLOT = struct.Struct("<QIHHqqqQQQQIII")
GOP = struct.Struct("<QQQqQQII")
RECORD = struct.Struct("<QII")
TRACK = struct.Struct("<9I")
TRACK_COUNTERS = struct.Struct("<QQQQQqq")


class Refused(Exception):
    """This is no region that can be read."""


class Corrupt(Exception):
    """The region contradicts itself."""


class Lapped(Exception):
    """What was wanted has been overwritten."""


class NotYet(Exception):
    """What was wanted is not there yet."""


class Geometry(NamedTuple):
    """6.2, but for the reserved bytes at its end."""

    magic: bytes
    major: int
    minor: int
    header_size: int
    features_incompat: int
    features_compat: int
    region_size: int
    track_offset: int
    track_count: int
    track_stride: int
    config_offset: int
    config_count: int
    config_stride: int
    gop_offset: int
    gop_count: int
    gop_stride: int
    slot_offset: int
    slot_count: int
    slot_stride: int
    payload_offset: int
    payload_size: int
    max_frame: int
    base_seq: int
    created_ns: int
    gop_limit_bytes: int
    gop_limit_frames: int
    gop_limit_ms: int
    region_id: bytes
    reserved: bytes
    key: bytes
    crc: int


@dataclass(frozen=True)
class Frame:
    """A slot's fields (6.10) and a checked copy of the payload."""

    seq: int
    pos: int
    size: int
    track: int
    flags: int
    pts: int
    dts: int
    duration: int
    capture_ns: int
    publish_ns: int
    join_seq: int
    bytes_before: int
    epoch: int
    config_gen: int
    crc: int
    data: bytes


@dataclass(frozen=True)
class JoinPoint:
    """A GOP entry (6.9) and what follows from its neighbours (12)."""

    number: int
    key_seq: int
    join_seq: int
    join_pos: int
    pts: int
    bytes_before: int
    publish_ns: int
    track: int
    epoch: int
    frames: int = 0
    bytes: int = 0
    intact: bool = False
    joinable: bool = False
    start: int = 0


@dataclass(frozen=True)
class Config:
    """A configuration record (6.8)."""

    generation: int
    seq: int
    track: int
    data: bytes


@dataclass(frozen=True)
class Track:
    """A track entry (6.7)."""

    id: int
    kind: int
    codec: int
    time_base: tuple[int, int]
    width: int
    height: int
    sample_rate: int
    channels: int
    config_gen: int
    frames: int
    bytes: int
    keyframes: int
    configs: int
    last_publish_ns: int
    last_pts: int
    last_dts: int
    torn: bool


def crc32c(data: bytes) -> int:
    """CRC-32C (4)."""
    table = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def media_ns(value: int, time_base: tuple[int, int]) -> int:
    """A media time in ns, rounded toward zero (4)."""
    ns = abs(value) * time_base[0] * 1_000_000_000 // time_base[1]
    return ns if value >= 0 else -ns


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise Refused(what)


def check_geometry(copy: bytes, size: int) -> Geometry:
    """14, items 1 to 7, of a private copy of the header of an object of ``size`` bytes."""
    _require(size >= HEADER_SIZE, "shorter than a header")
    _require(copy[:8] == MAGIC, "no magic")
    g = Geometry._make(GEOMETRY.unpack_from(copy))
    _require(g.major == 1, f"major version {g.major}")
    _require(g.features_incompat == 0, "unknown incompatible features")
    _require(crc32c(copy[8:384]) == g.crc, "checksum of the header")
    _require(g.region_size <= size, "truncated")
    _require(HEADER_SIZE <= g.header_size <= g.region_size, "header_size")
    tables = (
        ("tracks", g.track_offset, g.track_count, g.track_stride, 256, 16),
        ("records", g.config_offset, g.config_count, g.config_stride, 4096, 256),
        ("GOP ring", g.gop_offset, g.gop_count, g.gop_stride, 128, 4096),
        ("slots", g.slot_offset, g.slot_count, g.slot_stride, 128, 4_194_304),
    )
    for name, offset, count, stride, structure, most in tables:
        _require(1 <= count <= most, f"count of {name}")
        _require(stride == structure, f"stride of {name}")
        _require(offset % 8 == 0 and offset >= HEADER_SIZE, f"offset of {name}")
        _require(offset + count * stride <= g.region_size, f"end of {name}")
    _require(g.payload_offset % 64 == 0 and g.payload_size % 64 == 0, "alignment of the payload ring")
    _require(g.payload_offset >= HEADER_SIZE and g.payload_size >= 16384, "payload ring")
    _require(g.payload_offset + g.payload_size <= g.region_size, "end of the payload ring")
    _require(0 < g.max_frame <= g.payload_size // 8 and g.max_frame < 1 << 32, "max_frame")
    _require(g.base_seq < 1 << 62, "base_seq")
    _require(0 in g.key, "key")
    return g


class PlainReader:
    """One attached region. `frames` follows it, the other methods look at it."""

    def __init__(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        _require(size >= HEADER_SIZE, "shorter than a header")
        self.memory = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
        try:
            self.geometry = check_geometry(self.memory[:512], size)
        except Refused:
            self.close()
            raise
        self.words = memoryview(self.memory)[: size - size % 8].cast("Q")

    def close(self) -> None:
        if hasattr(self, "words"):
            self.words.release()
        self.memory.close()

    @property
    def key(self) -> str:
        return self.geometry.key.split(b"\0")[0].decode()

    def u64(self, offset: int) -> int:
        """One access of eight bytes: an item of a cast view is loaded at once."""
        return self.words[offset // 8]

    def u32(self, offset: int) -> int:
        return self.u64(offset - offset % 8) >> 8 * (offset % 8) & 0xFFFFFFFF

    def i64(self, offset: int) -> int:
        value = self.u64(offset)
        return value - (1 << 64) if value >> 63 else value

    @property
    def head(self) -> int:
        return self.u64(HOT)

    @property
    def watermark(self) -> int:
        return self.u64(HOT + 8)

    @property
    def state(self) -> int:
        return self.u32(HOT + 48)

    @property
    def epoch(self) -> int:
        return self.u32(HOT + 52)

    @property
    def closed(self) -> int:
        return self.u32(DAEMON + 12)

    # ------------------------------------------------------- 9: reading

    def _locked(self, offset: int, here: int, size: int) -> bytes:
        """The ``size`` bytes after the word at ``offset``, if it is ``here`` before and after."""
        word = self.u64(offset)
        if word < here:
            raise NotYet
        if word > here:
            raise Lapped
        copy = self.memory[offset + 8 : offset + 8 + size]
        if self.u64(offset) != here:
            raise Lapped
        return copy

    def frame(self, seq: int) -> Frame:
        """Frame ``seq``; `NotYet`, `Lapped`, `Corrupt`."""
        g = self.geometry
        if seq < g.base_seq:
            raise Lapped
        if seq >> 62:
            raise NotYet
        offset = g.slot_offset + seq % g.slot_count * g.slot_stride
        try:
            copy = self._locked(offset, 2 * seq + 2, SLOT.size)
        except NotYet:
            if self.head <= seq:
                raise
            if self.u64(offset) < 2 * seq + 2:
                raise Corrupt("head is ahead of its slot") from None
            copy = self._locked(offset, 2 * seq + 2, SLOT.size)
        fields = SLOT.unpack(copy)
        pos, size, track = fields[:3]
        watermark = self.watermark
        start = pos % g.payload_size
        if size > g.max_frame or start + size > g.payload_size or track >= g.track_count:
            raise Corrupt(f"frame {seq}")
        if pos > watermark or size > watermark - pos:
            raise Corrupt(f"frame {seq} is beyond the watermark")
        if watermark - pos > g.payload_size:
            raise Lapped
        data = self.memory[g.payload_offset + start : g.payload_offset + start + size]
        if self.watermark - pos > g.payload_size:
            raise Lapped
        found = Frame(*(seq, *fields, data))
        if found.flags & HAS_CRC and crc32c(data) != found.crc:
            raise Corrupt(f"checksum of frame {seq}")
        return found

    def oldest(self) -> int:
        """The oldest sequence that can be read; head, where there is none."""
        g, head = self.geometry, self.head
        low, high = max(g.base_seq, head - g.slot_count), head
        while low < high:
            middle = (low + high) // 2
            try:
                self.frame(middle)
            except Lapped:
                low = middle + 1
            else:
                high = middle
        return low

    def tracks(self) -> list[Track]:
        return [track for track in map(self.track, range(self.geometry.track_count)) if track is not None]

    def track(self, number: int) -> Track | None:
        """Track ``number``, if there is one."""
        g = self.geometry
        offset = g.track_offset + number * g.track_stride
        if self.state == NEW:
            return None
        for _ in range(1000):
            word = self.u64(offset)
            kind, codec, num, den, *rest = TRACK.unpack_from(self.memory, offset + 8)
            torn = word % 2 == 1 or self.u64(offset) != word
            if not torn:
                break
        if num == 0:
            return None
        if den == 0 or kind > DATA:
            raise Corrupt(f"track {number}")
        counters = TRACK_COUNTERS.unpack_from(self.memory, offset + 128)
        return Track(number, kind, codec, (num, den), *rest, *counters, torn)

    def config(self, generation: int) -> Config:
        g = self.geometry
        offset = g.config_offset + generation % g.config_count * g.config_stride
        copy = self._locked(offset, 2 * generation, g.config_stride - 8)
        seq, track, size = RECORD.unpack_from(copy)
        if size > g.config_stride - 64 or track >= g.track_count:
            raise Corrupt(f"configuration {generation}")
        return Config(generation, seq, track, copy[56 : 56 + size])

    def configs(self) -> Iterator[Config]:
        """Configuration records, newest first, up to where they are lapped."""
        newest = self.u64(HOT + 24)
        for generation in range(newest - 1, max(0, newest - 1 - self.geometry.config_count), -1):
            yield self.config(generation)

    # ------------------------------------------------------- 12: joining

    def _entry(self, number: int) -> JoinPoint:
        g = self.geometry
        copy = self._locked(g.gop_offset + number % g.gop_count * g.gop_stride, 2 * number + 2, GOP.size)
        entry = JoinPoint(number, *GOP.unpack(copy))
        span = entry.key_seq - entry.join_seq
        if not 0 <= span <= g.slot_count or entry.join_seq < g.base_seq or entry.track >= g.track_count:
            raise Corrupt(f"join point {number}")
        if entry.key_seq >> 62 or entry.key_seq > self.head:
            raise Corrupt(f"join point {number}")
        return entry

    def join_point(self, number: int) -> JoinPoint:
        """Join point ``number``, with what is derived from its neighbour."""
        g, entry = self.geometry, self._entry(number)
        head = until = self.head
        end_bytes, end_pts = self.u64(COUNTERS), self.i64(HOT + 40)
        if self.u64(HOT + 16) > number + 1:
            following = self._entry(number + 1)
            until, end_bytes = following.join_seq, following.bytes_before
            end_pts = following.pts if following.epoch == entry.epoch else entry.pts
        frames, size = max(0, until - entry.join_seq), max(0, end_bytes - entry.bytes_before)
        track = self.track(entry.track)
        ms = media_ns(max(0, end_pts - entry.pts), track.time_base) // 1_000_000 if track else 0
        whole = head - entry.join_seq <= g.slot_count and self.watermark - entry.join_pos <= g.payload_size
        intact = whole or self._is_held(entry.key_seq)
        start = entry.join_seq if whole else min(entry.key_seq, max(entry.join_seq, self.oldest()))
        limits = ((g.gop_limit_frames, frames), (g.gop_limit_bytes, size), (g.gop_limit_ms, ms))
        joinable = intact and all(not limit or value <= limit for limit, value in limits)
        own = {name: getattr(entry, name) for name in JoinPoint.__dataclass_fields__ if name not in _DERIVED}
        return JoinPoint(**own, frames=frames, bytes=size, intact=intact, joinable=joinable, start=start)

    def _is_held(self, seq: int) -> bool:
        try:
            self.frame(seq)
        except (NotYet, Lapped, Corrupt):
            return False
        return True

    def join_points(self) -> list[JoinPoint]:
        """Those that are still in the GOP ring, oldest first."""
        end = self.u64(HOT + 16)
        return [self.join_point(number) for number in range(max(0, end - self.geometry.gop_count), end)]

    def configs_at(self, seq: int) -> list[Config]:
        """The configuration in force on each track just before frame ``seq``, by track; `Lapped`: one is gone."""
        wanted = set(range(self.geometry.track_count))
        if self._of_newest_epoch(seq):
            wanted = {track.id for track in self.tracks() if track.config_gen or track.torn}
        found: dict[int, Config] = {}
        gone = self.u64(HOT + 24) > self.geometry.config_count + 1
        try:
            for config in self.configs():
                if config.seq < seq:
                    found.setdefault(config.track, config)
        except Lapped:
            gone = True
        if gone and any(track not in found and self._needs_config(track, seq) for track in wanted):
            raise Lapped
        return [found[track] for track in sorted(wanted & found.keys())]

    def _needs_config(self, track: int, seq: int) -> bool:
        if self._of_newest_epoch(seq) or any(
            entry.id == track and (entry.config_gen or entry.torn) for entry in self.tracks()
        ):
            return True
        for number in range(seq, seq + 64):
            try:
                frame = self.frame(number)
            except (NotYet, Lapped):
                return False
            if frame.track == track:
                return frame.config_gen != 0 and not frame.flags & CONFIG
        return False

    def _of_newest_epoch(self, seq: int) -> bool:
        try:
            return self.frame(seq).epoch == self.epoch
        except (NotYet, Lapped):
            return True

    def join(self) -> tuple[list[Config], JoinPoint] | None:
        """The newest join point, if it can be joined, and the configurations due there."""
        end = self.u64(HOT + 16)
        if end == 0:
            return None
        point = self.join_point(end - 1)
        return (self.configs_at(point.start), point) if point.joinable else None

    def wanted(self, frame: Frame, point: JoinPoint, started: set[int]) -> bool:
        """12, step 4: whether a joiner takes this frame. ``started``: video tracks that had their keyframe."""
        if frame.flags & CONFIG:
            return True
        track, join_track = self.track(frame.track), self.track(point.track)
        if track is None or join_track is None:
            return False
        if frame.seq < point.key_seq:
            at = media_ns(frame.pts, track.time_base)
            return track.kind == AUDIO and at >= media_ns(point.pts, join_track.time_base)
        if frame.flags & KEY:
            started.add(frame.track)
        return track.kind != VIDEO or frame.track in started

    def follow(self, seq: int) -> Iterator[Frame | None]:
        """Frames from ``seq`` on; None whenever there is nothing yet. Ends with the stream; `Lapped`, `Corrupt`."""
        while True:
            try:
                frame = self.frame(seq)
            except NotYet:
                if self.closed or self.state == ENDED:
                    try:
                        frame = self.frame(seq)  # P5: one look after the end is the last word
                    except NotYet:
                        return
                else:
                    yield None
                    continue
            yield frame
            seq += 1


_DERIVED = frozenset({"frames", "bytes", "intact", "joinable", "start"})
