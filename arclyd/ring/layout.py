"""The bytes of a region as data: what ``shm_layout.md`` says, for tools and tests.

The document is the contract; `tests/layout` holds this module and
``core/layout.h`` against its tables. Nothing on the media path imports it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from types import MappingProxyType
from typing import Final

MAGIC: Final = 0x474E_5259_4C43_5241  # "ARCLYRNG" in memory
MAJOR: Final = 1
MINOR: Final = 0
FEATURES_KNOWN: Final = 0
FEATURE_CRC: Final = 1

LINE: Final = 128
HEADER_SIZE: Final = 1024
KEY_SIZE: Final = 192
TRACKS: Final = 16
TRACK_SIZE: Final = 256
CONFIGS: Final = 64
MAX_CONFIGS: Final = 256
CONFIG_SIZE: Final = 4096
CONFIG_HEADER: Final = 64
GOPS: Final = 1024
MAX_GOPS: Final = 4096
GOP_SIZE: Final = 128
SLOT_SIZE: Final = 128
ALIGN: Final = 64
PAGE: Final = 4096
MIN_SLOTS: Final = 2
MAX_SLOTS: Final = 1 << 22
MIN_RING: Final = 16 << 10
MAX_RING: Final = 1 << 38
FRAME_SHARE: Final = 8


class Flag(IntFlag):
    """Bits of a slot's ``flags``."""

    KEY = 1
    CONFIG = 2
    DISCONTINUITY = 4
    DROPPABLE = 8
    CORRUPT = 16
    END = 32
    HAS_CRC = 64


class State(IntEnum):
    """The writer's word on the stream: ``hot.state``."""

    NEW = 0
    LIVE = 1
    ENDED = 2


class Closed(IntEnum):
    """The daemon's word on the stream: ``daemon.closed``."""

    OPEN = 0
    CLOSED_ENDED = 1
    CLOSED_PUBLISHER_GONE = 2
    CLOSED_REAPED = 3
    CLOSED_KICKED = 4
    CLOSED_SUPERSEDED = 5
    CLOSED_REFUSED = 6


class Kind(IntEnum):
    """What a track carries: ``track.kind``."""

    VIDEO = 0
    AUDIO = 1
    DATA = 2


FORMATS: Final = MappingProxyType(
    {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q"},
)
"""`struct` codes of the scalar types; ``u8[n]`` is n bytes."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a structure: offset in bytes from its start, type and name."""

    offset: int
    type: str
    name: str

    @property
    def format(self) -> str:
        """The field as a `struct` code, without byte order."""
        if self.type.endswith("]"):
            return self.type.removeprefix("u8[").removesuffix("]") + "s"
        return FORMATS[self.type]

    @property
    def size(self) -> int:
        """Size in bytes."""
        return struct.calcsize("<" + self.format)


@dataclass(frozen=True, slots=True)
class Struct:
    """One structure of a region; its fields leave no byte out."""

    name: str
    size: int
    fields: tuple[Field, ...]

    @property
    def format(self) -> str:
        """The whole structure as one little-endian `struct` format."""
        return "<" + "".join(field.format for field in self.fields)

    def unpack(self, buffer: bytes | memoryview, offset: int = 0) -> dict[str, int | bytes]:
        """The fields by name, as they stand in ``buffer`` at ``offset``: no consistency check is made."""
        values = struct.unpack_from(self.format, buffer, offset)
        return dict(zip((field.name for field in self.fields), values, strict=True))


GEOMETRY: Final = Struct(
    "geometry",
    512,
    (
        Field(0, "u64", "magic"),
        Field(8, "u16", "major"),
        Field(10, "u16", "minor"),
        Field(12, "u32", "header_size"),
        Field(16, "u64", "features_incompat"),
        Field(24, "u64", "features_compat"),
        Field(32, "u64", "region_size"),
        Field(40, "u64", "track_offset"),
        Field(48, "u32", "track_count"),
        Field(52, "u32", "track_stride"),
        Field(56, "u64", "config_offset"),
        Field(64, "u32", "config_count"),
        Field(68, "u32", "config_stride"),
        Field(72, "u64", "gop_offset"),
        Field(80, "u32", "gop_count"),
        Field(84, "u32", "gop_stride"),
        Field(88, "u64", "slot_offset"),
        Field(96, "u32", "slot_count"),
        Field(100, "u32", "slot_stride"),
        Field(104, "u64", "payload_offset"),
        Field(112, "u64", "payload_size"),
        Field(120, "u64", "max_frame"),
        Field(128, "u64", "base_seq"),
        Field(136, "u64", "created_ns"),
        Field(144, "u64", "gop_limit_bytes"),
        Field(152, "u32", "gop_limit_frames"),
        Field(156, "u32", "gop_limit_ms"),
        Field(160, "u8[16]", "region_id"),
        Field(176, "u8[16]", "reserved"),
        Field(192, "u8[192]", "key"),
        Field(384, "u32", "crc"),
        Field(388, "u8[124]", "reserved2"),
    ),
)

HOT: Final = Struct(
    "hot",
    128,
    (
        Field(0, "u64", "head"),
        Field(8, "u64", "reserved_pos"),
        Field(16, "u64", "gop_head"),
        Field(24, "u64", "config_head"),
        Field(32, "u64", "last_publish_ns"),
        Field(40, "i64", "gop_last_pts"),
        Field(48, "u32", "state"),
        Field(52, "u32", "epoch"),
        Field(56, "u32", "writer_pid"),
        Field(60, "u32", "join_track"),
        Field(64, "u8[64]", "reserved"),
    ),
)

WAKE: Final = Struct(
    "wake",
    128,
    (
        Field(0, "u32", "word"),
        Field(4, "u8[4]", "reserved"),
        Field(8, "u64", "brisk_until_ns"),
        Field(16, "u8[112]", "reserved2"),
    ),
)

DAEMON: Final = Struct(
    "daemon",
    128,
    (
        Field(0, "u32", "subscribers"),
        Field(4, "u32", "keyframe_requests"),
        Field(8, "u32", "granted_epoch"),
        Field(12, "u32", "closed"),
        Field(16, "u8[112]", "reserved"),
    ),
)

COUNTERS: Final = Struct(
    "counters",
    128,
    (
        Field(0, "u64", "total_bytes"),
        Field(8, "u64", "padding_bytes"),
        Field(16, "u64", "largest_frame"),
        Field(24, "u64", "keyframes"),
        Field(32, "u64", "longest_gop_frames"),
        Field(40, "u64", "longest_gop_bytes"),
        Field(48, "u64", "key_interval_ns"),
        Field(56, "u8[72]", "reserved"),
    ),
)

TRACK: Final = Struct(
    "track",
    256,
    (
        Field(0, "u64", "word"),
        Field(8, "u32", "kind"),
        Field(12, "u32", "codec"),
        Field(16, "u32", "time_base_num"),
        Field(20, "u32", "time_base_den"),
        Field(24, "u32", "width"),
        Field(28, "u32", "height"),
        Field(32, "u32", "sample_rate"),
        Field(36, "u32", "channels"),
        Field(40, "u32", "config_gen"),
        Field(44, "u8[84]", "reserved"),
        Field(128, "u64", "frames"),
        Field(136, "u64", "bytes"),
        Field(144, "u64", "keyframes"),
        Field(152, "u64", "configs"),
        Field(160, "u64", "last_publish_ns"),
        Field(168, "i64", "last_pts"),
        Field(176, "i64", "last_dts"),
        Field(184, "u8[72]", "reserved2"),
    ),
)

CONFIG: Final = Struct(
    "config",
    4096,
    (
        Field(0, "u64", "word"),
        Field(8, "u64", "seq"),
        Field(16, "u32", "track"),
        Field(20, "u32", "size"),
        Field(24, "u8[40]", "reserved"),
        Field(64, "u8[4032]", "data"),
    ),
)

GOP: Final = Struct(
    "gop",
    128,
    (
        Field(0, "u64", "word"),
        Field(8, "u64", "key_seq"),
        Field(16, "u64", "join_seq"),
        Field(24, "u64", "join_pos"),
        Field(32, "i64", "pts"),
        Field(40, "u64", "bytes_before"),
        Field(48, "u64", "publish_ns"),
        Field(56, "u32", "track"),
        Field(60, "u32", "epoch"),
        Field(64, "u8[64]", "reserved"),
    ),
)

SLOT: Final = Struct(
    "slot",
    128,
    (
        Field(0, "u64", "word"),
        Field(8, "u64", "pos"),
        Field(16, "u32", "size"),
        Field(20, "u16", "track"),
        Field(22, "u16", "flags"),
        Field(24, "i64", "pts"),
        Field(32, "i64", "dts"),
        Field(40, "i64", "duration"),
        Field(48, "u64", "capture_ns"),
        Field(56, "u64", "publish_ns"),
        Field(64, "u64", "join_seq"),
        Field(72, "u64", "bytes_before"),
        Field(80, "u32", "epoch"),
        Field(84, "u32", "config_gen"),
        Field(88, "u32", "crc"),
        Field(92, "u8[36]", "reserved"),
    ),
)

STRUCTS: Final = (GEOMETRY, HOT, WAKE, DAEMON, COUNTERS, TRACK, CONFIG, GOP, SLOT)

HEADER_PARTS: Final = ((0, GEOMETRY), (512, HOT), (640, WAKE), (768, DAEMON), (896, COUNTERS))
"""Where each part of the header starts, from the start of the region."""
