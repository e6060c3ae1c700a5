"""The programs that were proved are those that are built: the C source has the model's steps, in its order."""

from __future__ import annotations

import re

import pytest

from tests.litmus import ring_model as model
from tests.litmus.source import accesses, body, place, source, without_mutants

FILES = ("region.c", "writer.c", "reader.c", "wait.c", "wait.h", "ring.h")
INLINE = frozenset(
    {
        "reserve",
        "announce",
        "commit",
        "publish_slot",
        "publish_join_point",
        "renew_configs",
        "store_config",
        "store_track",
        "wake",
        "arcly_wake",
        "arcly_wake_unless_brisk",
        "change_word",
    }
)
# Where a step of the model stands for several accesses, or the source says it by another name.
WORDS = ("slot.word", "slots.word", "entry.word", "record.word", "track.word")
# Single words that no other is ordered against: each is read for itself.
UNORDERED = ("hot.gop_last_pts", "hot.last_publish_ns", "counters.", "c.", "region.")
TRACK_COUNTERS = ("frames", "bytes", "keyframes", "configs", "last_publish_ns", "last_pts", "last_dts")


def steps(function: str) -> tuple[str, ...]:
    """The accesses of a function in the model's terms."""
    found: list[str] = []
    for access in accesses(source(*FILES), function, INLINE):
        verb, _, name = access.partition(" ")
        record, _, field = name.partition(".")
        if name.startswith(UNORDERED) or (record == "track" and field in TRACK_COUNTERS):
            continue
        if verb in {"copy_in", "copy_out"}:
            verb, record = ("store", record) if verb == "copy_in" else ("load", "record")
        if record in {"slot", "entry", "record", "track"} and name not in WORDS:
            step = f"{verb} {record}.fields"
        else:
            step = access
        if not found or found[-1] != step or not step.endswith(".fields"):
            found.append(step)
    return tuple(found)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("arcly_writer_reserve", model.RESERVE),
        ("arcly_writer_commit", model.COMMIT),
        ("store_config", model.STORE_CONFIG),
        ("store_track", ("load track.word", *model.STORE_TRACK)),
        (
            "arcly_writer_set_config",
            (
                *model.RESERVE,
                *(*model.RENEW, "load track.word", *model.STORE_TRACK),
                *model.STORE_CONFIG,
                *("load track.word", *model.STORE_TRACK),
                *model.COMMIT,
            ),
        ),
        ("arcly_writer_end", model.END),
        ("arcly_read", (*model.LOOK, *model.LOOK_AGAIN, *model.TAKE)),
        ("arcly_intact", model.INTACT),
        ("gop_entry", model.READ_GOP),
        ("arcly_config_read", model.READ_CONFIG),
        ("arcly_track_read", model.READ_TRACK),
        ("arcly_wake", ("bump_u32 wake.word",)),
        ("arcly_wake_unless_brisk", model.WAKE),
        ("brisk", model.SLEEP[:-1]),
        ("arcly_wake_sample", ("acquire_u32 wake.word",)),
    ],
)
def test_source_has_the_steps_that_were_checked(function: str, expected: tuple[str, ...]) -> None:
    assert steps(function) == expected


def test_no_atomic_access_goes_past_atomic_h() -> None:
    text = source("region.c", "writer.c", "reader.c", "wait.c", "wait.h", "ring.h", "layout.h")
    assert "atomic_" not in text
    assert "__atomic" not in text
    assert "volatile" not in text


def test_mutants_are_left_out() -> None:
    text = """a
#ifdef ARCLY_MUTANT_X
b
#if Y
c
#endif
#else
d
#endif
#ifndef ARCLY_MUTANT_X
e
#endif
#ifdef Z
f
#endif"""
    assert without_mutants(text).split() == ["a", "d", "e", "f"]


def test_place_of_an_access_path() -> None:
    assert place("w->region->header->hot.reserved_pos") == "hot.reserved_pos"
    assert place("&w->region->slots[w->head % w->region->slot_count].word") == "slots.word"


@pytest.mark.parametrize(
    ("function", "order"),
    [
        ("arcly_acquire_u64", "acquire"),
        ("arcly_acquire_u32", "acquire"),
        ("arcly_publish_u64", "release"),
        ("arcly_publish_u32", "release"),
        ("arcly_bump_u32", "release"),
        ("arcly_announce_fence", "release"),
        ("arcly_check_fence", "acquire"),
        ("arcly_clock_fence", "seq_cst"),
    ],
)
def test_names_have_the_orders_of_the_model(function: str, order: str) -> None:
    inside = body(source("atomic.h"), function)
    assert set(re.findall(r"memory_order_(\w+)", inside)) == {order}
    assert ("atomic_thread_fence" in inside) is function.endswith("fence")
