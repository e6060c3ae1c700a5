"""Runs a target of `tests.fuzz.targets` on bytes made up from its corpus: a mutation engine without a compiler.

Where Atheris is installed (extra ``fuzz``), `tests.fuzz.guided` does the same with coverage to guide it.
"""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE: Final = Path(__file__).resolve().parent
CORPUS: Final = HERE / "corpus"
CRASHES: Final = HERE / "crashes"
"""Where inputs that failed are saved; not under version control."""

MOST_BYTES: Final = 2048
TOKENS: Final = tuple(
    text.encode()
    for text in (
        *(
            "[",
            "]",
            "[[",
            "]]",
            "{",
            "}",
            "=",
            '"',
            "'''",
            '"""',
            "\n",
            "#",
            ".",
            ",",
            "\\u0000",
            "\\U0010FFFF",
            "\ufeff",
        ),
        *("nan", "inf", "-inf", "1e400", "-0", "0x" + "f" * 40, "9" * 400, "1979-05-27T07:32:00Z", "true", "GiB", "M"),
        *("[server]", "[apps]", '[apps."*"]', "[apps.live]", "max_connections=", "memory_budget=", "socket=", "slots="),
        *("ring_bytes=", "retention=", "bitrate=", "gop_bytes=", "gop_ms=", "max_lag=", "grace=", "on_taken=", "crc="),
        *("live/cam1", "/", "~", "..", "\x00", "é", "\u202e", "A" * 64),
    )
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did: inputs run, what they held (messages, files, keys), and the inputs that failed, saved."""

    target: str
    executions: int
    fed: int
    seconds: float
    crashes: tuple[Path, ...] = ()


def seeds(name: str) -> list[bytes]:
    """The checked-in inputs of a target, in a fixed order."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


def replay(name: str) -> int:
    """Run every checked-in input of a target; returns how many there were."""
    inputs = seeds(name)
    for data in inputs:
        TARGETS[name](data)
    return len(inputs)


def run(name: str, seconds: float, seed: int = 0) -> Outcome:
    """Feed a target for that long; an input that fails is saved, and the run goes on."""
    target, dice, start = TARGETS[name], random.Random(seed), time.monotonic()
    executions = fed = 0
    crashes: dict[str, Path] = {}
    for data in _inputs(seeds(name), dice):
        try:
            fed += target(data)
        except Exception as error:  # whatever it is, it is what we look for
            crashes.setdefault(_where(error), save(name, data, error))
        executions += 1
        if time.monotonic() - start >= seconds:
            break
    return Outcome(name, executions, fed, time.monotonic() - start, tuple(crashes.values()))


def save(name: str, data: bytes, error: BaseException) -> Path:
    """Keep an input that failed, with why beside it."""
    CRASHES.mkdir(exist_ok=True)
    path = CRASHES / f"{name}-{hashlib.sha256(data).hexdigest()[:16]}"
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(f"{type(error).__name__}: {error} ({_where(error)})\n", errors="replace")
    return path


def _where(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "nowhere"
    return f"{type(error).__name__} at {place}"


def _inputs(known: Sequence[bytes], dice: random.Random) -> Iterator[bytes]:
    while True:
        base = dice.choice(known) if known and dice.random() < 0.7 else dice.randbytes(dice.choice((8, 64, 400)))
        data = bytearray(base)
        for _ in range(dice.choice((0, 1, 2, 8))):
            _mutate(data, known, dice)
        yield bytes(data[:MOST_BYTES])


def _mutate(data: bytearray, known: Sequence[bytes], dice: random.Random) -> None:
    at = dice.randrange(len(data) + 1)
    match dice.randrange(6):
        case 0 if at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        case 1 if at < len(data):
            data[at] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
        case 2:
            data[at:at] = dice.randbytes(dice.randrange(1, 9))
        case 3:
            del data[at : at + dice.randrange(1, 17)]
        case 4:
            data[at:at] = dice.choice(TOKENS)
        case 5 if known:
            other = dice.choice(known)
            data[at:] = other[dice.randrange(len(other) + 1) :]
