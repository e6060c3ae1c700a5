"""Two readers, the C core and the plain one, find in the golden region what its description says."""

from __future__ import annotations

from typing import Any

import pytest

from arclyd.errors import LayoutMismatch
from arclyd.ring import _ring
from tests.layout import make_golden
from tests.layout.golden_region import descriptor, expected, image
from tests.layout.header_edit import edited
from tests.layout.plain_reader import PlainReader, Refused


def described_by_plain(reader: PlainReader) -> dict[str, Any]:
    """The region as the plain reader sees it, in the words of the golden description."""
    g = reader.geometry
    return {
        "key": reader.key,
        "region_id": g.region_id.hex(),
        "head": reader.head,
        "epoch": reader.epoch,
        "state": reader.state,
        "base_seq": g.base_seq,
        "ring_bytes": g.payload_size,
        "slots": g.slot_count,
        "max_frame": g.max_frame,
        "gop_limits": [g.gop_limit_frames, g.gop_limit_bytes, g.gop_limit_ms],
        "configs": [
            {"generation": c.generation, "track": c.track, "seq": c.seq, "data": c.data.hex()}
            for c in reversed(list(reader.configs()))
        ],
        "tracks": [
            {"id": t.id, "kind": t.kind, "codec": t.codec, "time_base": list(t.time_base), "width": t.width}
            | {"height": t.height, "sample_rate": t.sample_rate, "channels": t.channels, "frames": t.frames}
            | {"bytes": t.bytes, "keyframes": t.keyframes, "config_generation": t.config_gen}
            for t in reader.tracks()
        ],
        "gops": [
            {"number": p.number, "key_seq": p.key_seq, "join_seq": p.join_seq, "pts": p.pts, "epoch": p.epoch}
            | {"frames": p.frames, "bytes": p.bytes, "intact": p.intact, "joinable": p.joinable}
            for p in reader.join_points()
        ],
        "frames": [
            {"seq": f.seq, "track": f.track, "flags": f.flags, "pts": f.pts, "dts": f.dts}
            | {"duration": f.duration or None, "capture_ns": f.capture_ns, "publish_ns": f.publish_ns}
            | {"epoch": f.epoch, "join_seq": f.join_seq, "config_generation": f.config_gen, "size": f.size}
            | {"crc32c": f.crc}
            for f in map(reader.frame, range(reader.oldest(), reader.head))
        ],
    }


def test_plain_reader_finds_what_is_described() -> None:
    with descriptor(image()) as fd:
        assert described_by_plain(PlainReader(fd)) == expected()


def test_core_finds_what_is_described() -> None:
    facts = expected()
    assert make_golden.expectation(image(), facts["configs"]) == facts
    with descriptor(image()) as fd:
        configs = _ring.Region(fd).configs()
    found = [{"generation": c.generation, "track": c.track, "seq": c.seq, "data": c.data.hex()} for c in configs]
    assert found == facts["configs"]


def test_payloads() -> None:
    configs = {config["seq"]: bytes.fromhex(config["data"]) for config in expected()["configs"]}
    with descriptor(image()) as fd:
        plain, core = PlainReader(fd), _ring.Region(fd)
    for fact in expected()["frames"]:
        payload = configs.get(fact["seq"], make_golden.payload(fact["seq"], fact["size"]))
        assert plain.frame(fact["seq"]).data == payload
        frame = core.frame(fact["seq"])
        assert frame is not None
        assert frame.tobytes() == payload


def test_golden_region_has_wrapped() -> None:
    """What makes it worth keeping: slots and payload have wrapped, there are two epochs and some lead-in."""
    facts = expected()
    with descriptor(image()) as fd:
        reader = PlainReader(fd)
        positions = [reader.frame(fact["seq"]).pos for fact in facts["frames"]]
        assert min(positions) > reader.geometry.payload_size
    assert facts["head"] - facts["base_seq"] > 3 * facts["slots"]
    assert {fact["epoch"] for fact in facts["frames"]} == {1, 2}
    assert any(gop["join_seq"] < gop["key_seq"] for gop in facts["gops"])


def test_both_join_at_the_newest_keyframe() -> None:
    wanted = [1044, 1045, 1053, 1054, 1055, 1056]  # two configurations, sound ahead of the picture, the picture
    with descriptor(image()) as fd:
        plain, region = PlainReader(fd), _ring.Region(fd)
    joined = plain.join()
    assert joined is not None
    configs, point = joined
    started: set[int] = set()
    frames = (plain.frame(seq) for seq in range(point.start, plain.head))
    assert [c.seq for c in configs] + [f.seq for f in frames if plain.wanted(f, point, started)] == wanted
    reader = _ring.Reader(region)
    received = []
    while isinstance(item := reader.recv(0), _ring.Frame):
        received.append((item.seq, item.is_config, bytes(item)))
    assert [seq for seq, _, _ in received] == wanted
    assert [data for _, is_config, data in received if is_config] == [config.data for config in configs]


def test_another_major_version_is_refused() -> None:
    with descriptor(edited(image(), major=2)) as fd:
        with pytest.raises(Refused, match="major"):
            PlainReader(fd)
        with pytest.raises(LayoutMismatch):
            _ring.Region(fd)


def test_an_unknown_incompatible_feature_is_refused() -> None:
    with descriptor(edited(image(), features_incompat=1 << 40)) as fd:
        with pytest.raises(Refused, match="features"):
            PlainReader(fd)
        with pytest.raises(LayoutMismatch):
            _ring.Region(fd)


def test_a_newer_minor_version_and_unknown_compatible_features_are_read() -> None:
    with descriptor(edited(image(), minor=7, features_compat=1 << 40 | 1)) as fd:
        plain, core = PlainReader(fd), _ring.Region(fd)
    assert core.layout == (1, 7)
    assert plain.frame(plain.head - 1).data == bytes(core.frame(core.head - 1) or b"?")
