"""Makes the golden region: ``python -m tests.layout.make_golden``.

It was made once, by the first build of layout 1.0, and stays as it is: regions
of that layout must go on attaching. A new minor version adds a region beside
it. What a clock or the system would put in (process id, times) is set to fixed
values, so that the file depends on this script and the writer alone.

The stream: an H.264-like track 0 and an AAC-like track 1, 64 KiB of payload
and 16 slots, checksums on. A first publisher writes a configuration for each
track and six groups of pictures, and goes; a second one (epoch 2) brings new
configurations and two more, so that payload ring and slots have both wrapped.
The last keyframe has sound published ahead of it.
"""

from __future__ import annotations

import gzip
import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

from arclyd.ring import _ring, layout

FOLDER = Path(__file__).parent / "golden"
REGION = FOLDER / "region-1.0.bin.gz"
EXPECTED = FOLDER / "region-1.0.json"

KEY = "live/golden"
REGION_ID = bytes(range(16))
RING_BYTES, SLOTS, BASE_SEQ = 65536, 16, 1000
CREATED_NS = 1_700_000_000_000_000_000
CAPTURE_NS = 1_700_000_001_000_000_000
PUBLISH_NS = 5_000_000_000
WRITER_PID = 4242
TRACKS = [(0, 0, (1, 90000), 320, 240, 0, 0), (1, 5, (1, 48000), 0, 0, 48000, 2)]


def payload(seq: int, size: int) -> bytes:
    """``size`` bytes that tell their frame: the sequence, little-endian, over and over."""
    return (struct.pack("<Q", seq) * (size // 8 + 1))[:size]


class Script:
    """The publisher: frames with media times, sizes and contents that follow from their number."""

    def __init__(self, region: _ring.Region) -> None:
        self.region = region
        self.writer = _ring.Writer(region, TRACKS)
        self.configs: list[dict[str, Any]] = []

    def config(self, track: int, data: bytes) -> None:
        seq = self.region.head
        generation = self.writer.set_config(track, data)
        self.configs.append({"generation": generation, "track": track, "seq": seq, "data": data.hex()})

    def frame(self, track: int, milliseconds: int, size: int, **flags: bool) -> None:
        pts = milliseconds * (90 if track == 0 else 48)
        late = 90 * 80 if track == 0 and flags.get("droppable") else 0
        self.writer.publish(
            track,
            payload(self.region.head, size),
            pts=pts + late,
            dts=pts,
            duration=40 * 90 if track == 0 else 1024,
            capture_ns=CAPTURE_NS + milliseconds * 1_000_000,
            **flags,
        )

    def group(self, start: int, size: int) -> None:
        """A keyframe and three pictures 40 ms apart, with sound between them."""
        self.frame(0, start, size, keyframe=True)
        for number in range(1, 4):
            self.frame(1, start + number * 40 - 20, 300 + number)
            self.frame(0, start + number * 40, size // 8 + number, droppable=number == 2)


def build(fd: int) -> list[dict[str, Any]]:
    """Format the object behind ``fd`` and publish the script into it; returns the configurations."""
    os.ftruncate(fd, _ring.region_size(ring_bytes=RING_BYTES, slots=SLOTS))
    _ring.format_region(
        fd,
        key=KEY,
        ring_bytes=RING_BYTES,
        slots=SLOTS,
        base_seq=BASE_SEQ,
        gop_frames=100,
        gop_bytes=1 << 20,
        gop_ms=10_000,
        crc=True,
        region_id=REGION_ID,
    )
    region = _ring.Region(fd, writable=True)
    first = Script(region)
    first.config(0, bytes.fromhex("0142c01effe100086742c01e") + b"first")
    first.config(1, bytes.fromhex("1190"))
    for start in range(0, 960, 160):
        first.group(start, 8000)
    first.writer.detach()

    second = Script(region)
    second.config(0, bytes.fromhex("0142c01effe100086742c01e") + b"second")
    second.config(1, bytes.fromhex("1188"))
    second.group(1000, 4000)
    second.frame(1, 1170, 333)  # sound that belongs to the keyframe after it
    second.frame(0, 1160, 4096, keyframe=True)
    second.frame(0, 1200, 0)
    second.frame(1, 1200, 128, corrupt=True)
    return first.configs + second.configs


def freeze(image: bytearray) -> None:
    """Put fixed values where the clock and the process id stand, and the header's checksum right."""
    geometry = layout.GEOMETRY.unpack(bytes(image))

    def put(struct_: layout.Struct, base: int, name: str, value: int) -> None:
        field = next(field for field in struct_.fields if field.name == name)
        struct.pack_into("<" + field.format, image, base + field.offset, value)

    def number(name: str) -> int:
        value = geometry[name]
        assert isinstance(value, int)
        return value

    put(layout.GEOMETRY, 0, "created_ns", CREATED_NS)
    put(layout.GEOMETRY, 0, "crc", _ring.crc32c(bytes(image[8:384])))
    put(layout.HOT, 512, "writer_pid", WRITER_PID)
    newest = 0
    for index in range(number("slot_count")):
        base = number("slot_offset") + index * number("slot_stride")
        word = struct.unpack_from("<Q", image, base)[0]
        if word and word % 2 == 0:
            publish_ns = PUBLISH_NS + (word // 2 - 1) * 1_000_000
            put(layout.SLOT, base, "publish_ns", publish_ns)
            flags = layout.SLOT.unpack(bytes(image), base)["flags"]
            assert isinstance(flags, int)
            if flags & layout.Flag.CONFIG:  # the writer stamps these itself
                put(layout.SLOT, base, "capture_ns", CAPTURE_NS)
            newest = max(newest, publish_ns)
    for index in range(number("gop_count")):
        base = number("gop_offset") + index * number("gop_stride")
        word, key_seq = struct.unpack_from("<QQ", image, base)
        if word:
            put(layout.GOP, base, "publish_ns", PUBLISH_NS + key_seq * 1_000_000)
    put(layout.HOT, 512, "last_publish_ns", newest)
    for index in range(len(TRACKS)):
        put(layout.TRACK, number("track_offset") + index * number("track_stride"), "last_publish_ns", newest - index)


def expectation(image: bytes, configs: list[dict[str, Any]]) -> dict[str, Any]:
    """What a reader must find in ``image``, as the C core reads it."""
    fd = os.memfd_create("golden")
    try:
        os.write(fd, image)
        region = _ring.Region(fd)
    finally:
        os.close(fd)
    frames = [region.frame(seq) for seq in range(BASE_SEQ, region.head)]
    return {
        "key": region.key,
        "region_id": region.region_id.hex(),
        "head": region.head,
        "epoch": region.epoch,
        "state": region.state,
        "base_seq": region.base_seq,
        "ring_bytes": region.ring_bytes,
        "slots": region.slots,
        "max_frame": region.max_frame,
        "gop_limits": list(region.gop_limits),
        "configs": configs,
        "tracks": [
            {"id": t.id, "kind": t.kind, "codec": t.codec, "time_base": list(t.time_base), "width": t.width}
            | {"height": t.height, "sample_rate": t.sample_rate, "channels": t.channels, "frames": t.frames}
            | {"bytes": t.bytes, "keyframes": t.keyframes, "config_generation": t.config_generation}
            for t in region.tracks()
        ],
        "gops": [
            {"number": g.number, "key_seq": g.key_seq, "join_seq": g.join_seq, "pts": g.pts, "epoch": g.epoch}
            | {"frames": g.frames, "bytes": g.bytes, "intact": g.intact, "joinable": g.joinable}
            for g in region.gops()
        ],
        "frames": [
            {"seq": f.seq, "track": f.track, "flags": f.flags, "pts": f.pts, "dts": f.dts, "duration": f.duration}
            | {"capture_ns": f.capture_ns, "publish_ns": f.publish_ns, "epoch": f.epoch, "join_seq": f.join_seq}
            | {"config_generation": f.config_generation, "size": f.size, "crc32c": f.crc32c}
            for f in frames
            if f is not None
        ],
    }


def make() -> tuple[bytes, dict[str, Any]]:
    """The golden region and what a reader must find in it."""
    fd = os.memfd_create("golden")
    try:
        configs = build(fd)
        image = bytearray(os.pread(fd, os.fstat(fd).st_size, 0))
    finally:
        os.close(fd)
    freeze(image)
    return bytes(image), expectation(bytes(image), configs)


def main() -> None:
    """Write the golden region, if there is none yet."""
    image, expected = make()
    if REGION.exists() and "--force" not in sys.argv:
        raise SystemExit(f"{REGION.name} is there and is not made anew: that is what makes it golden")
    FOLDER.mkdir(exist_ok=True)
    REGION.write_bytes(gzip.compress(image, 9, mtime=0))
    EXPECTED.write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
