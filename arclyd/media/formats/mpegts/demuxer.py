"""A transport stream as it comes from a network: bytes at any split in, programs and packets of their streams out.

One program is followed. Nothing of a stream is kept longer than its next packet takes to begin, and the largest
packet has a bound, so that whatever comes, memory does not grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import MediaError
from arclyd.media.codecs import TrackKind
from arclyd.media.formats.mpegts import psi
from arclyd.media.formats.mpegts.content import Content, content_of
from arclyd.media.formats.mpegts.pes import Assembler, Packet
from arclyd.media.timebase import MPEGTS_BITS, TimestampUnwrapper

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Buffer

PACKET: Final = 188
SYNC: Final = 0x47
_CONFIRMED: Final = 3
"""Packets in a row that must begin with the sync byte before it is believed again."""

MAX_STREAMS: Final = 32
"""Elementary streams that are followed of one program."""
MAX_PROGRAMS: Final = 64
"""Programs whose maps are looked at until one has something in it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of the largest packet of each kind of stream; a larger one is dropped."""

    video: int = 8 << 20
    audio: int = 1 << 20
    data: int = 1 << 20

    def of(self, kind: TrackKind) -> int:
        """The bound for that kind."""
        return {TrackKind.VIDEO: self.video, TrackKind.AUDIO: self.audio}.get(kind, self.data)


@dataclass(frozen=True, slots=True)
class ElementaryStream:
    """One stream of the program that is followed."""

    pid: int
    content: Content
    descriptors: tuple[psi.Descriptor, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """From here on the program that is followed has these streams."""

    number: int
    streams: tuple[ElementaryStream, ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """One PES packet or section of a stream; times at 90 kHz on a line without wraps, None: not said.

    A section has the time of the program's clock when it came. ``random_access``: the multiplexer says that decoding
    can start here. ``lost``: something of the stream is missing before it. ``damaged``: bytes of it are missing.
    """

    pid: int
    payload: bytes
    pts: int | None
    dts: int | None
    random_access: bool = False
    lost: bool = False
    damaged: bool = False


@dataclass(slots=True)
class Counts:
    """What went wrong so far: transport packets (``continuity``: breaks in their numbering), and what they carry."""

    packets: int = 0
    skipped_bytes: int = 0
    continuity: int = 0
    duplicates: int = 0
    transport_errors: int = 0
    scrambled: int = 0
    tables: int = 0
    oversize: int = 0
    malformed: int = 0


@dataclass(slots=True)
class _Pipe:
    """What is followed of one PID: numbering, and what its payloads are put together by."""

    stream: ElementaryStream | None = None
    sections: psi.SectionReader | None = None
    packets: Assembler | None = None
    counter: int | None = None
    last: bytes = b""
    lost: bool = False
    program: int | None = None


class Demuxer:
    """Follows one program of a transport stream.

    Args:
        program: its number; None: the first whose map has a stream in it.
        limits: of packets.
    """

    def __init__(self, program: int | None = None, limits: Limits | None = None) -> None:
        self._wanted = program
        self._limits = limits or Limits()
        self._rest = b""
        self._synced = True
        self._pipes: dict[int, _Pipe] = {psi.PAT_PID: _Pipe(sections=psi.SectionReader())}
        self._streams: tuple[ElementaryStream, ...] = ()
        self._followed: int | None = None
        self._map_pid: int | None = None
        self._clock_pid: int | None = None
        self._line = TimestampUnwrapper(MPEGTS_BITS)
        self._clock: int | None = None
        self.counts = Counts()

    @property
    def clock(self) -> int | None:
        """The program's clock as it was said last, at 90 kHz on a line without wraps."""
        return self._clock

    def receive(self, data: Buffer) -> list[Program | Unit]:
        """The next bytes of the stream, any number of them; gives what is complete now."""
        view = self._rest + bytes(data) if self._rest else bytes(data)
        events: list[Program | Unit] = []
        at, end = 0, len(view)
        while end - at >= PACKET:
            if view[at] != SYNC or not self._synced:
                found = self._resync(view, at)
                self.counts.skipped_bytes += found - at
                at = found
                if not self._synced:
                    break
            else:
                self._packet(view[at : at + PACKET], events)
                at += PACKET
        self._rest = view[at:]
        return events

    def finish(self) -> list[Program | Unit]:
        """The stream is over: gives what was begun and has no end of its own."""
        events: list[Program | Unit] = []
        for pipe in self._pipes.values():
            if pipe.packets is not None:
                self._units(pipe, pipe.packets.flush(), events)
        return events

    # --------------------------------------------------------------- packets

    def _resync(self, view: bytes, at: int) -> int:
        """The place of the next packet, `_synced` if it is one beyond doubt; else what to keep until more is there."""
        self._synced = False
        while (found := view.find(SYNC, at)) >= 0:
            marks = view[found : found + _CONFIRMED * PACKET : PACKET]
            if marks.count(SYNC) == len(marks):
                self._synced = len(marks) == _CONFIRMED
                return found
            at = found + 1
        return len(view)

    def _packet(self, packet: bytes, events: list[Program | Unit]) -> None:
        self.counts.packets += 1
        pid, control = (packet[1] & 0x1F) << 8 | packet[2], packet[3]
        pipe = self._pipes.get(pid)
        if pipe is None:
            return
        if packet[1] & 0x80:  # what is in it, its PID included, is not to be relied on (2.4.3.3)
            self.counts.transport_errors += 1
            return
        start, flags = 4, 0
        if control & 0x20:
            start = 5 + packet[4]
            flags = packet[5] if packet[4] else 0
            if flags:
                self._adaptation(pid, pipe, flags, packet)
        if control & 0xC0:
            self.counts.scrambled += 1
        elif control & 0x10 and start < PACKET:
            payload = packet[start:]
            if self._is_next(pipe, control & 0x0F, payload, events):
                unit_start, random_access = bool(packet[1] & 0x40), bool(flags & 0x40)
                self._payload(pipe, payload, events, unit_start=unit_start, random_access=random_access)

    def _adaptation(self, pid: int, pipe: _Pipe, flags: int, packet: bytes) -> None:
        """What an adaptation field says: a break by intention, and the program's clock (2.4.3.4)."""
        if flags & 0x80:
            pipe.counter = None
            if pipe.packets is not None:
                pipe.packets.mark()
        if flags & 0x10 and packet[4] >= 7 and pid == self._clock_pid:
            self._clock = self._line.unwrap(int.from_bytes(packet[6:12], "big") >> 15)

    def _is_next(self, pipe: _Pipe, counter: int, payload: bytes, events: list[Program | Unit]) -> bool:
        """Check the numbering; False: a packet sent twice (2.4.3.3)."""
        before, pipe.counter = pipe.counter, counter
        if before is not None and counter != (before + 1) & 15:
            if counter == before and payload == pipe.last:
                self.counts.duplicates += 1
                return False
            self.counts.continuity += 1
            pipe.lost = True
            if pipe.sections is not None:
                pipe.sections.lose()
            if pipe.packets is not None:
                self._units(pipe, pipe.packets.lose(), events)
        pipe.last = payload
        return True

    def _payload(
        self, pipe: _Pipe, payload: bytes, events: list[Program | Unit], *, unit_start: bool, random_access: bool
    ) -> None:
        if pipe.packets is not None:
            self._units(pipe, pipe.packets.push(payload, unit_start=unit_start, random_access=random_access), events)
        elif pipe.sections is not None:
            for section in pipe.sections.push(payload, unit_start=unit_start):
                self._section(pipe, section, events)

    # ---------------------------------------------------------------- events

    def _units(self, pipe: _Pipe, packets: Iterable[Packet], events: list[Program | Unit]) -> None:
        assert pipe.stream is not None
        for packet in packets:
            dts = None if packet.dts is None else self._line.unwrap(packet.dts)
            pts = None if packet.pts is None else self._line.unwrap(packet.pts)
            facts = packet.random_access, packet.lost, packet.damaged
            events.append(Unit(pipe.stream.pid, packet.payload, pts, dts, *facts))

    def _section(self, pipe: _Pipe, section: bytes, events: list[Program | Unit]) -> None:
        if pipe.stream is not None:
            if psi.crc32(section):
                self.counts.tables += 1
                return
            events.append(Unit(pipe.stream.pid, section, self._clock, self._clock, lost=pipe.lost))
            pipe.lost = False
            return
        try:
            if pipe.program is None:
                self._programs(psi.read_pat(section))
            else:
                self._map(pipe, psi.read_pmt(section), events)
        except MediaError:
            self.counts.tables += 1

    def _programs(self, programs: dict[int, int] | None) -> None:
        """Look at the maps of the programs there are now."""
        if programs is None:
            return
        if self._followed is not None and programs.get(self._followed) != self._map_pid:
            self._followed = self._map_pid = None
        wanted = self._followed if self._wanted is None else self._wanted
        if wanted is not None:
            programs = {number: pid for number, pid in programs.items() if number == wanted}
        kept = dict(list(programs.items())[:MAX_PROGRAMS])
        for pid in [pid for pid, pipe in self._pipes.items() if pipe.program is not None]:
            if self._pipes[pid].program not in kept or kept[self._pipes[pid].program or 0] != pid:
                del self._pipes[pid]
        for number, pid in kept.items():
            if pid not in self._pipes:
                self._pipes[pid] = _Pipe(sections=psi.SectionReader(), program=number)

    def _map(self, pipe: _Pipe, program: psi.ProgramMap | None, events: list[Program | Unit]) -> None:
        if program is None or program.program != pipe.program or self._followed not in {None, program.program}:
            return
        streams = tuple(_known(program.streams, reserved={psi.PAT_PID, *self._map_pids()}))
        if not streams and self._followed is None:
            return
        self._followed = program.program
        self._map_pid = next(pid for pid, each in self._pipes.items() if each is pipe)
        self._clock_by(program.clock_pid)
        if streams == self._streams:
            return
        for stream in self._streams:
            if stream not in streams:
                gone = self._pipes.pop(stream.pid, None)
                if gone is not None and gone.packets is not None:
                    self._units(gone, gone.packets.flush(), events)
        for stream in streams:
            if stream not in self._streams:
                self._pipes[stream.pid] = self._follow(stream)
        self._streams = streams
        events.append(Program(program.program, streams))

    def _clock_by(self, pid: int) -> None:
        before, self._clock_pid = self._clock_pid, pid
        if before is not None and (pipe := self._pipes.get(before)) and pipe.sections is None and pipe.packets is None:
            del self._pipes[before]
        self._pipes.setdefault(pid, _Pipe())

    def _map_pids(self) -> list[int]:
        return [pid for pid, pipe in self._pipes.items() if pipe.program is not None]

    def _follow(self, stream: ElementaryStream) -> _Pipe:
        if stream.content.in_sections:
            return _Pipe(stream, sections=psi.SectionReader())
        return _Pipe(stream, packets=Assembler(self._limits.of(stream.content.codec.kind), self.counts))


def _known(entries: Iterable[psi.StreamEntry], reserved: set[int]) -> Iterator[ElementaryStream]:
    """The streams that carry something that is kept, each PID once."""
    found = 0
    for entry in entries:
        content = content_of(entry)
        if content is None or entry.pid in reserved or found == MAX_STREAMS:
            continue
        reserved.add(entry.pid)
        found += 1
        yield ElementaryStream(entry.pid, content, entry.descriptors)
