"""The order of the ring's memory accesses as the C source has it.

`accesses` lists what a function does through the names of ``atomic.h``, with
the functions it calls put in their places. Text is enough for that: the core
is written so that each access stands on a line of its own, in program order.
"""

import re
from collections.abc import Iterator
from pathlib import Path

CORE = Path(__file__).parents[2] / "arclyd" / "ring" / "core"
ATOMIC = (
    "load store acquire_u64 acquire_u32 publish_u64 publish_u32 bump_u32 announce_fence check_fence clock_fence now "
    "copy_in copy_out"
)
CALL = re.compile(r"\b([a-z_][a-z0-9_]*)\s*\(")
DEFINITION = r"^[a-z][^;{}()]*?\b%s\([^;{]*?\)\s*\{"


def without_mutants(text: str) -> str:
    """The source as it is built for use: no mutant defined, other conditionals left alone."""
    kept: list[str] = []
    stack: list[bool | None] = []  # None: not a mutant's conditional
    for line in text.splitlines():
        words = line.split()
        directive = words[0] if words and words[0].startswith("#") else ""
        if directive in {"#if", "#ifdef", "#ifndef"}:
            mutant = len(words) > 1 and words[1].startswith("ARCLY_MUTANT")
            stack.append(directive == "#ifndef" if mutant else None)
        elif directive == "#else" and stack[-1] is not None:
            stack[-1] = not stack[-1]
        elif directive == "#endif":
            stack.pop()
        elif False not in stack:
            kept.append(line)
    return "\n".join(kept)


def source(*names: str) -> str:
    """The C text of those files of the core, without comments."""
    text = "\n".join(without_mutants((CORE / name).read_text(encoding="utf-8")) for name in names)
    return re.sub(r"//[^\n]*", "", re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))


def _closing(text: str, start: int, pair: str) -> int:
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == pair[0]) - (text[place] == pair[1])
        if depth == 0:
            return place
    raise ValueError(f"unbalanced {pair}")


def body(text: str, function: str) -> str:
    found = re.search(DEFINITION % re.escape(function), text, flags=re.MULTILINE)
    if found is None:
        raise LookupError(f"no function {function} in the core")
    start = found.end() - 1
    return text[start : _closing(text, start, "{}") + 1]


def place(argument: str) -> str:
    """``&w->region->slots[i].word`` as ``slots.word``: the last two names of an access path."""
    path = re.sub(r"\[.*\]", "", argument.strip().lstrip("&")).replace("->", ".")
    return ".".join(path.split(".")[-2:])


def _first_argument(text: str, opening: int) -> str:
    inside = text[opening + 1 : _closing(text, opening, "()")]
    depth = 0
    for number, character in enumerate(inside):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            return inside[:number]
    return inside


def accesses(text: str, function: str, inline: frozenset[str]) -> Iterator[str]:
    """``store slot.pos``, ``announce_fence`` …: what ``function`` does, in order; calls to ``inline`` are followed."""
    inside = body(text, function)
    for call in CALL.finditer(inside):
        name = call.group(1)
        short = name.removeprefix("arcly_")
        if name in inline:
            yield from accesses(text, name, inline)
        elif name.startswith("arcly_") and short in ATOMIC:
            argument = _first_argument(inside, call.end() - 1)
            yield f"{short} {place(argument)}" if argument else short
