"""An exhaustive checker of small programs under RC11, the repaired C11 memory model.

A program is a set of threads, each a straight line of loads, stores, fences and
`fetch_add`. `executions` builds every execution graph the model allows and
yields the values the loads returned. The model is that of

    O. Lahav, V. Vafeiadis, J. Kang, C.-K. Hur, D. Dreyer: Repairing Sequential
    Consistency in C/C++11. PLDI 2017, doi:10.1145/3062341.3062352

without seq_cst accesses, which the ring does not use. Names are the paper's:

    sb   sequenced before      rf   reads from       mo   modification order
    rb   reads before (rf⁻¹;mo, "from-reads")        eco  (rf ∪ mo ∪ rb)⁺
    rs   release sequence: [W]; sb|loc?; [W]; (rf; rmw)*
    sw   synchronizes with: [rel]; ([F]; sb)?; rs; rf; [R]; (sb; [F])?; [acq]
    hb   happens before: (sb ∪ sw)⁺

and the axioms: COHERENCE, hb; eco? is irreflexive; ATOMICITY, no write comes
between a read-modify-write and what it read (rmw ∩ (rb; mo) = ∅); NO-THIN-AIR,
sb ∪ rf is acyclic. C++20 and C23 drop ``sb|loc?`` from the release sequence;
with ``cxx20=True`` so does the checker, which allows more executions.

Every axiom is monotone in rf, so that a partial graph that breaks one is given
up at once. Relations are lists of bit masks: bit b of ``r[a]`` says (a, b) ∈ r.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import product

NA = RLX = 0  # the model knows no plain accesses: a racing one is at best relaxed
ACQ = 1
REL = 2
ACQ_REL = 3


class Kind(Enum):
    """What an operation does."""

    STORE = auto()
    LOAD = auto()
    FENCE = auto()
    ADD = auto()


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of a thread."""

    kind: Kind
    order: int
    place: str = ""
    value: int = 0
    register: str = ""


def store(place: str, value: int, order: int = RLX) -> Op:
    return Op(Kind.STORE, order, place, value)


def load(place: str, register: str, order: int = RLX) -> Op:
    return Op(Kind.LOAD, order, place, register=register)


def fence(order: int) -> Op:
    return Op(Kind.FENCE, order)


def fetch_add(place: str, value: int, order: int = RLX, register: str = "") -> Op:
    return Op(Kind.ADD, order, place, value, register)


Thread = Sequence[Op]
Relation = list[int]
INIT = -1


@dataclass(frozen=True, slots=True)
class Event:
    """An operation in its thread; the initial writes are of thread `INIT`."""

    thread: int
    op: Op

    @property
    def writes(self) -> bool:
        return self.op.kind in {Kind.STORE, Kind.ADD}

    @property
    def reads(self) -> bool:
        return self.op.kind in {Kind.LOAD, Kind.ADD}

    def has(self, order: int) -> bool:
        return self.op.order & order == order


def _events(threads: Sequence[Thread], initial: Mapping[str, int]) -> list[Event]:
    places = sorted({op.place for thread in threads for op in thread if op.place})
    events = [Event(INIT, store(place, initial.get(place, 0))) for place in places]
    return events + [Event(number, op) for number, thread in enumerate(threads) for op in thread]


def _interleavings(lines: list[list[int]]) -> Iterator[tuple[int, ...]]:
    lines = [line for line in lines if line]
    if not lines:
        yield ()
    for chosen, line in enumerate(lines):
        rest = [*lines[:chosen], line[1:], *lines[chosen + 1 :]]
        for tail in _interleavings(rest):
            yield (line[0], *tail)


def _orders(events: list[Event]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Every mo: one total order for each place, the initial write first, each thread's writes in its own order."""
    choices: list[list[tuple[int, ...]]] = []
    for first, event in enumerate(events):
        if event.thread != INIT:
            break
        lines: dict[int, list[int]] = {}
        for number, other in enumerate(events):
            if other.writes and other.thread != INIT and other.op.place == event.op.place:
                lines.setdefault(other.thread, []).append(number)
        choices.append([(first, *order) for order in _interleavings(list(lines.values()))])
    yield from product(*choices)


def _close(relation: Relation) -> Relation:
    closed = relation.copy()
    for middle in range(len(closed)):
        reach = closed[middle]
        bit = 1 << middle
        for start, row in enumerate(closed):
            if row & bit:
                closed[start] = row | reach
    return closed


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class Explorer:
    """One program's search; `executions` is its face."""

    def __init__(self, threads: Sequence[Thread], initial: Mapping[str, int], *, cxx20: bool) -> None:
        self.events = _events(threads, initial)
        self.cxx20 = cxx20
        self.size = len(self.events)
        self.sb = self._sequenced()
        self.reads = [number for number, event in enumerate(self.events) if event.reads]

    def _sequenced(self) -> Relation:
        relation = [0] * self.size
        for a, first in enumerate(self.events):
            for b, second in enumerate(self.events):
                if (first.thread == INIT != second.thread) or (first.thread == second.thread != INIT and a < b):
                    relation[a] |= 1 << b
        return relation

    def run(self) -> Iterator[dict[str, int]]:
        for order in _orders(self.events):
            mo = [0] * self.size
            for line in order:
                for place, write in enumerate(line):
                    for later in line[place + 1 :]:
                        mo[write] |= 1 << later
            yield from self._extend(mo, {}, 0)

    def _extend(self, mo: Relation, rf: dict[int, int], depth: int) -> Iterator[dict[str, int]]:
        if depth == len(self.reads):
            yield self._registers(rf)
            return
        read = self.reads[depth]
        for write, event in enumerate(self.events):
            if event.writes and write != read and event.op.place == self.events[read].op.place:
                rf[read] = write
                if self._consistent(mo, rf):
                    yield from self._extend(mo, rf, depth + 1)
                del rf[read]

    def _consistent(self, mo: Relation, rf: dict[int, int]) -> bool:
        reads_from = [0] * self.size
        for read, write in rf.items():
            reads_from[write] |= 1 << read
        thin_air = _close([a | b for a, b in zip(self.sb, reads_from, strict=True)])
        if any(row >> number & 1 for number, row in enumerate(thin_air)):
            return False
        before = [0] * self.size
        for read, write in rf.items():
            before[read] |= mo[write] & ~(1 << read)
            if self.events[read].writes and any(mo[middle] >> read & 1 for middle in _bits(mo[write])):
                return False
        eco = _close([a | b | c for a, b, c in zip(reads_from, mo, before, strict=True)])
        hb = _close([a | b for a, b in zip(self.sb, self._synchronized(rf), strict=True)])
        for a, row in enumerate(hb):
            if row >> a & 1 or any(eco[b] >> a & 1 for b in _bits(row)):
                return False
        return not any(row >> number & 1 for number, row in enumerate(eco))

    def _heads(self, write: int, rf: dict[int, int]) -> set[int]:
        """The writes whose release sequence ``write`` belongs to."""
        chain = [write]
        while self.events[chain[-1]].reads and chain[-1] in rf:  # an RMW continues what it read
            chain.append(rf[chain[-1]])
        heads = set(chain)
        if not self.cxx20:
            for link in chain:
                place = self.events[link].op.place
                heads |= {
                    number
                    for number, event in enumerate(self.events)
                    if event.writes and event.op.place == place and self.sb[number] >> link & 1
                }
        return heads

    def _synchronized(self, rf: dict[int, int]) -> Relation:
        relation = [0] * self.size
        for read, write in rf.items():
            targets = self._ends(read, ACQ)
            for head in self._heads(write, rf):
                for source in _bits(self._ends(head, REL)):
                    relation[source] |= targets & ~(1 << source)
        return relation

    def _ends(self, access: int, order: int) -> int:
        """The events that release (acquire) on behalf of ``access``: itself, and fences before (after) it."""
        mask = 1 << access if self.events[access].has(order) else 0
        for number, event in enumerate(self.events):
            if event.op.kind is Kind.FENCE and event.has(order) and event.thread == self.events[access].thread:
                ordered = (number, access) if order == REL else (access, number)
                if self.sb[ordered[0]] >> ordered[1] & 1:
                    mask |= 1 << number
        return mask

    def _registers(self, rf: dict[int, int]) -> dict[str, int]:
        def written(number: int) -> int:
            op = self.events[number].op
            return op.value if op.kind is Kind.STORE else op.value + written(rf[number])

        return {
            self.events[read].op.register: written(write) for read, write in rf.items() if self.events[read].op.register
        }


def executions(
    *threads: Thread, initial: Mapping[str, int] | None = None, cxx20: bool = False
) -> Iterator[dict[str, int]]:
    """The registers of every consistent execution; places start at 0 unless ``initial`` says otherwise."""
    yield from Explorer(threads, initial or {}, cxx20=cxx20).run()


def outcomes(
    *threads: Thread, initial: Mapping[str, int] | None = None, cxx20: bool = False
) -> set[tuple[tuple[str, int], ...]]:
    """The different results of `executions`, each as sorted (register, value) pairs."""
    return {tuple(sorted(result.items())) for result in executions(*threads, initial=initial, cxx20=cxx20)}
