"""The ring's protocol as litmus programs: two frames, a ring so small that the second overwrites the first.

The steps carry the names of ``atomic.h`` as they stand in the C source, so that
`test_litmus_source` can compare the two word by word. What a step does to the
model's memory is one table for the writer, one for the readers. Fields that
change together under one word are one place, ``fields``.

Frame n has position n and payload n + 1; the payload ring holds one position,
so that frame 1's announcement (watermark 2) takes frame 0's bytes away. Payload
is relaxed: the model has no plain accesses, and a plain racing access on real
machines is at best that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.litmus.rc11 import ACQ, ACQ_REL, REL, RLX, Op, executions, fence, fetch_add, load, store

Steps = tuple[str, ...]
Registers = Mapping[str, int]

# The writer. "payload" is the caller's copy between reserve and commit.
RESERVE: Steps = ("store hot.reserved_pos", "store slots.word", "announce_fence")
COPY: Steps = ("payload",)
SLOT: Steps = ("store slot.fields", "publish_u64 slot.word")
JOIN_POINT: Steps = (
    "store entry.word",
    "announce_fence",
    "store entry.fields",
    "publish_u64 entry.word",
    "publish_u64 hot.gop_head",
)
WAKE: Steps = ("bump_u32 wake.word", "clock_fence", "now")
PROMISE: Steps = ("store wake.brisk_until_ns",)
HEAD: Steps = ("publish_u64 hot.head", *PROMISE, *WAKE)
COMMIT: Steps = SLOT + JOIN_POINT + HEAD
PUBLISH: Steps = RESERVE + COPY + COMMIT
STORE_CONFIG: Steps = (
    "store record.word",
    "announce_fence",
    "store record.fields",
    "publish_u64 record.word",
    "publish_u64 hot.config_head",
)
RENEW: Steps = ("publish_u64 configs.word", "publish_u64 hot.config_head")
PUBLISH_CONFIG: Steps = RESERVE + COPY + STORE_CONFIG + SLOT + HEAD
STORE_TRACK: Steps = ("store track.word", "announce_fence", "store track.fields", "publish_u64 track.word")
SETTLE_TRACK: Steps = ("store track.word", "announce_fence", "store track.kind", "publish_u64 track.word")
END: Steps = ("publish_u32 hot.state", "bump_u32 wake.word")

# The reader. "copy" is what the caller does with the view, "compare" what the kernel does before it lets it sleep.
SLEEP: Steps = ("load wake.brisk_until_ns", "now", "clock_fence", "compare wake.word")
LOOK: Steps = ("acquire_u64 slot.word",)
LOOK_AGAIN: Steps = ("acquire_u64 hot.head", "acquire_u64 slot.word")
TAKE: Steps = ("load slot.fields", "check_fence", "load slot.word", "load hot.reserved_pos")
INTACT: Steps = ("check_fence", "load hot.reserved_pos")
READ: Steps = (*LOOK, *TAKE, "copy", *INTACT)
READ_GOP: Steps = ("acquire_u64 entry.word", "load entry.fields", "check_fence", "load entry.word")
READ_CONFIG: Steps = ("acquire_u64 record.word", "load record.fields", "check_fence", "load record.word")
READ_TRACK: Steps = (
    "acquire_u32 hot.state",
    "acquire_u64 track.word",
    "load track.fields",
    "check_fence",
    "load track.word",
)


@dataclass(frozen=True, slots=True)
class Program:
    """One writer, one reader, and what no execution may show (``bad``) and some must (``good``)."""

    name: str
    writer: tuple[Steps, ...]  # steps of frame 0, of frame 1, …
    reader: Steps
    bad: Callable[[Registers], bool]
    good: Callable[[Registers], bool]
    slots: int = 1


# The checker has no sequentially consistent fences. Read-modify-writes of one word that nothing else touches are
# ordered among one another as those are, and give no more than they do where this is asked. A clock is a word, too:
# whoever looks at it later finds a later time, and to look orders nothing else.
FULL_FENCE = fetch_add("fence", 1, ACQ_REL)


def writer_op(step: str, number: int, slots: int) -> Op:
    """What a step of frame ``number`` does. Words: 2n + 1 busy, 2n + 2 published."""
    slot = f"slot{number % slots}"
    return {
        "announce_fence": fence(REL),
        "payload": store("payload", number + 1),
        "store hot.reserved_pos": store("reserved", number + 1),
        "publish_u64 hot.reserved_pos": store("reserved", number + 1, REL),
        "store slots.word": store(slot, 2 * number + 1),
        "store slot.fields": store(f"{slot}.fields", number),
        "publish_u64 slot.word": store(slot, 2 * number + 2, REL),
        "store slot.word": store(slot, 2 * number + 2),
        "store entry.word": store("entry", 2 * number + 1),
        "store entry.fields": store("entry.fields", number),
        "publish_u64 entry.word": store("entry", 2 * number + 2, REL),
        "store record.word": store("record", 2 * number + 1),
        "store record.fields": store("record.fields", number),
        "publish_u64 record.word": store("record", 2 * number + 2, REL),
        "publish_u64 configs.word": store("record", 2 * number + 2, REL),
        "store track.word": store("track", 2 * number + 1),
        "store track.fields": store("track.fields", number),
        "store track.kind": store("track.kind", 1),
        "publish_u64 track.word": store("track", 2 * number + 2, REL),
        "publish_u64 hot.gop_head": store("gop_head", number + 1, REL),
        "publish_u64 hot.config_head": store("config_head", number + 1, REL),
        "publish_u64 hot.head": store("head", number + 1, REL),
        "store hot.head": store("head", number + 1),
        "store wake.brisk_until_ns": store("brisk", number + 1),
        "bump_u32 wake.word": fetch_add("wake", 1, REL),
        "clock_fence": FULL_FENCE,
        "now": fetch_add("clock", 1, register=f"clock of frame {number}"),
        "publish_u32 hot.state": store("state", 2, REL),
        "store hot.state": store("state", 2),
    }[step]


def reader_op(step: str, count: int) -> Op:
    """What a step does that reads frame 0; the count-th load of a place goes to register ``place/count``."""
    verb, _, name = step.partition(" ")
    place = {
        "hot.reserved_pos": "reserved",
        "slot.word": "slot0",
        "slot.fields": "slot0.fields",
        "entry.word": "entry",
        "record.word": "record",
        "track.word": "track",
        "wake.word": "wake",
        "wake.brisk_until_ns": "brisk",
    }.get(name, name.removeprefix("hot."))
    if verb == "check_fence":
        return fence(ACQ)
    if verb == "clock_fence":
        return FULL_FENCE
    if verb == "now":
        return fetch_add("clock", 1, register="clock")
    if verb == "copy":
        return load("payload", "payload/0")
    return load(place, f"{place}/{count}", ACQ if verb.startswith("acquire") else RLX)


def threads(program: Program) -> tuple[list[Op], list[Op]]:
    reader: list[Op] = []
    counts: dict[str, int] = {}
    for step in program.reader:
        op = reader_op(step, 0)
        count = counts[op.place] = counts.get(op.place, -1) + 1
        reader.append(reader_op(step, count))
    seen = {op.place for op in reader}
    writer = [
        op
        for number, steps in enumerate(program.writer)
        for op in (writer_op(step, number, program.slots) for step in steps)
        if not op.place or op.place in seen  # a store nobody reads orders nothing
    ]
    return writer, reader


def run(program: Program, *, cxx20: bool) -> tuple[int, int, int]:
    """Executions: all, those that are bad, those that are good."""
    total = bad = good = 0
    initial = {"slot0.fields": -1, "slot1.fields": -1, "entry.fields": -1, "record.fields": -1, "track.fields": -1}
    for registers in executions(*threads(program), initial=initial, cxx20=cxx20):
        total += 1
        bad += program.bad(registers)
        good += program.good(registers)
    return total, bad, good


def accepted(number: int) -> Callable[[Registers], bool]:
    """R3, R4: the reader took what it has for an intact frame ``number``."""
    here = 2 * number + 2

    def decide(r: Registers) -> bool:
        word, again, position = r["slot0/0"], r.get("slot0/1", here), r["slot0.fields/0"]
        marks = [value for name, value in r.items() if name.startswith("reserved/")]
        return word == again == here and all(0 <= mark - position <= 1 for mark in marks)

    return decide


def corrupt(r: Registers) -> bool:
    return any(
        accepted(number)(r) and (r["slot0.fields/0"] != number or r["payload/0"] != number + 1) for number in (0, 1)
    )


def locked(place: str) -> tuple[Callable[[Registers], bool], Callable[[Registers], bool]]:
    """A record under its own word: accepted with another one's fields; accepted at all."""

    def good(r: Registers) -> bool:
        return r[f"{place}/0"] == r.get(f"{place}/1", r[f"{place}/0"]) and r[f"{place}/0"] in {2, 4}

    def bad(r: Registers) -> bool:
        return good(r) and r[f"{place}.fields/0"] != r[f"{place}/0"] // 2 - 1

    return bad, good


def missing(cause: str, effect: str, *, scale: int) -> Callable[[Registers], bool]:
    """``cause`` says that n things are there, ``effect`` does not show the last of them."""
    return lambda r: r[f"{cause}/0"] > 0 and r[f"{effect}/0"] < scale * r[f"{cause}/0"]


TWO = (PUBLISH, PUBLISH)
TWO_CONFIGS = (PUBLISH_CONFIG, PUBLISH_CONFIG)
PROGRAMS = (
    Program("a frame, its slot and bytes overwritten", TWO, READ, corrupt, accepted(0)),
    Program("a frame, its bytes alone overwritten", TWO, READ, corrupt, accepted(0), slots=2),
    Program("the frame that overwrites", TWO, READ, corrupt, accepted(1)),
    Program(
        "head shows the slot",
        TWO,
        LOOK_AGAIN,
        missing("head", "slot0", scale=2),
        lambda r: r["head/0"] == 2,
    ),
    Program(
        "head shows the join point",
        TWO,
        ("acquire_u64 hot.head", "acquire_u64 hot.gop_head"),
        missing("head", "gop_head", scale=1),
        lambda r: r["head/0"] == 2,
    ),
    Program("a join point, overwritten", TWO, READ_GOP, *locked("entry")),
    Program(
        "GOP head shows the join point",
        TWO,
        ("acquire_u64 hot.gop_head", "acquire_u64 entry.word"),
        missing("gop_head", "entry", scale=2),
        lambda r: r["gop_head/0"] == 2,
    ),
    Program(
        "a join point shows its slot",
        TWO,
        (*READ_GOP, *LOOK),
        lambda r: locked("entry")[1](r) and r["slot0/0"] < 2 * r["entry.fields/0"] + 2,
        locked("entry")[1],
    ),
    Program("a configuration, overwritten", TWO_CONFIGS, READ_CONFIG, *locked("record")),
    Program(
        "a configuration, renewed where it stands",
        (STORE_CONFIG, RENEW),
        ("acquire_u64 hot.config_head", *READ_CONFIG),
        lambda r: locked("record")[1](r) and (r["record.fields/0"] != 0 or r["record/0"] < 2 * r["config_head/0"]),
        lambda r: r["config_head/0"] == 2 and locked("record")[1](r),
    ),
    Program(
        "a CONFIG frame shows its record",
        TWO_CONFIGS,
        ("acquire_u64 slot.word", "acquire_u64 hot.config_head", "acquire_u64 record.word"),
        lambda r: r["slot0/0"] in {2, 4} and (r["config_head/0"] < r["slot0/0"] // 2 or r["record/0"] < r["slot0/0"]),
        lambda r: r["slot0/0"] == 4,
    ),
    Program("a track's entry, overwritten", (STORE_TRACK, STORE_TRACK), READ_TRACK, *locked("track")),
    Program(
        "a torn entry of a track, after the first claim",
        ((*SETTLE_TRACK, "publish_u32 hot.state"), SETTLE_TRACK),
        ("acquire_u32 hot.state", "load track.kind", "load track.word"),
        lambda r: r["state/0"] == 2 and r["track.kind/0"] != 1,
        lambda r: r["state/0"] == 2 and r["track/0"] == 3,
    ),
    Program(
        "the wake word shows the slot",
        TWO,
        ("acquire_u32 wake.word", "acquire_u64 slot.word"),
        missing("wake", "slot0", scale=2),
        lambda r: r["wake/0"] == 2,
    ),
    Program(
        "who sleeps later than the writer looked at the clock finds the word changed",
        (WAKE,),
        ("now", "clock_fence", "compare wake.word"),
        lambda r: r["clock"] > r["clock of frame 0"] and r["wake/0"] == 0,
        lambda r: r["clock"] < r["clock of frame 0"] and r["wake/0"] == 0,
    ),
    Program(
        "who sampled a frame sees what was promised before it",
        (PROMISE + WAKE[:1], WAKE[:1]),
        ("acquire_u32 wake.word", "load wake.brisk_until_ns"),
        lambda r: r["wake/0"] > 0 and r["brisk/0"] == 0,
        lambda r: r["wake/0"] == 1 and r["brisk/0"] == 1,
    ),
    Program(
        "the end shows the last frame",
        (PUBLISH, PUBLISH + END),
        ("acquire_u32 hot.state", "acquire_u64 slot.word"),
        lambda r: r["state/0"] == 2 and r["slot0/0"] < 4,
        lambda r: r["state/0"] == 2,
    ),
)


def without(steps: Steps, dropped: str, nth: int = 0) -> Steps:
    places = [number for number, step in enumerate(steps) if step == dropped]
    return steps[: places[nth]] + steps[places[nth] + 1 :]


def swapped(steps: Steps, old: str, new: str) -> Steps:
    if old not in steps:
        raise LookupError(f"the mutant changes {old}, which is not in the program")
    return tuple(new if step == old else step for step in steps)


def writing(*frame: Steps) -> Callable[[Program], Program]:
    steps = sum(frame, ())
    return lambda program: replace(program, writer=(steps, steps))


def reading(change: Callable[[Steps], Steps]) -> Callable[[Program], Program]:
    return lambda program: replace(program, reader=change(program.reader))


def _watermark_without_fences(program: Program) -> Program:
    """The bug of known projects: store-release and load-acquire of the watermark, no fence."""
    writer = without(swapped(PUBLISH, "store hot.reserved_pos", "publish_u64 hot.reserved_pos"), "announce_fence")
    reader = swapped(program.reader, "load hot.reserved_pos", "acquire_u64 hot.reserved_pos")
    return replace(program, writer=(writer, writer), reader=without(reader, "check_fence", -1))


def _named(steps: Sequence[str]) -> Sequence[Program]:
    return [program for program in PROGRAMS if program.name in steps]


def _live_relaxed(program: Program) -> Program:
    """The first claim is over before its tracks can be seen to be there."""
    first = without(swapped(program.writer[0], "publish_u32 hot.state", "store hot.state"), "publish_u64 track.word")
    return replace(program, writer=(first, program.writer[1]))


FRAMES = [program.name for program in PROGRAMS[:3]]
MUTANTS: Mapping[str, tuple[Callable[[Program], Program], Sequence[Program]]] = {
    "announce fence dropped": (writing(without(RESERVE, "announce_fence"), COPY, COMMIT), _named(FRAMES)),
    "announced after the copy": (writing(COPY, RESERVE, COMMIT), _named(FRAMES)),
    "busy mark dropped": (writing(without(RESERVE, "store slots.word"), COPY, COMMIT), _named(FRAMES)),
    "watermark announced after the fence": (
        writing(("store slots.word", "announce_fence", "store hot.reserved_pos"), COPY, COMMIT),
        _named(FRAMES),
    ),
    "slot word relaxed": (writing(swapped(PUBLISH, "publish_u64 slot.word", "store slot.word")), _named(FRAMES)),
    "head before the slot word": (
        writing(RESERVE, COPY, HEAD, SLOT, JOIN_POINT),
        _named(["head shows the slot"]),
    ),
    "head before the join point": (
        writing(RESERVE, COPY, SLOT, HEAD, JOIN_POINT),
        _named(["head shows the join point"]),
    ),
    "head relaxed, and no fence before it": (
        writing(without(swapped(PUBLISH, "publish_u64 hot.head", "store hot.head"), "announce_fence", 1)),
        _named(["head shows the slot"]),
    ),
    "join point before the slot word": (
        writing(RESERVE, COPY, JOIN_POINT, SLOT, HEAD),
        _named(["a join point shows its slot"]),
    ),
    "join point's fence dropped": (
        writing(without(PUBLISH, "announce_fence", 1)),
        _named(["a join point, overwritten"]),
    ),
    "check of the slot dropped": (reading(lambda steps: without(steps, "load slot.word")), _named(FRAMES)),
    "check fence of the slot dropped": (reading(lambda steps: without(steps, "check_fence", 0)), _named(FRAMES)),
    "check fence of the payload dropped": (reading(lambda steps: without(steps, "check_fence", 1)), _named(FRAMES)),
    "check of the payload dropped": (reading(lambda steps: steps[: steps.index("copy") + 1]), _named(FRAMES)),
    "release and acquire of the watermark in place of fences": (_watermark_without_fences, _named(FRAMES)),
    "clock fence of the writer dropped": (
        lambda program: replace(program, writer=(without(WAKE, "clock_fence"),)),
        _named(["who sleeps later than the writer looked at the clock finds the word changed"]),
    ),
    "clock fence of the reader dropped": (
        reading(lambda steps: without(steps, "clock_fence")),
        _named(["who sleeps later than the writer looked at the clock finds the word changed"]),
    ),
    "clock before the bump": (
        lambda program: replace(program, writer=(("now", "clock_fence", "bump_u32 wake.word"),)),
        _named(["who sleeps later than the writer looked at the clock finds the word changed"]),
    ),
    "promised after the bump": (
        lambda program: replace(program, writer=(WAKE[:1] + PROMISE, WAKE[:1])),
        _named(["who sampled a frame sees what was promised before it"]),
    ),
    "wake before the slot word": (
        writing(RESERVE, COPY, ("bump_u32 wake.word",), SLOT, JOIN_POINT),
        _named(["the wake word shows the slot"]),
    ),
    "the first claim's state relaxed": (_live_relaxed, _named(["a torn entry of a track, after the first claim"])),
}
