"""A session description, read as tolerantly as cameras need it, and written by the book (RFC 8866)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_BYTES: Final = 64 << 10
"""Of a description: parameter sets in base64 make the largest that were seen, and they take a few kilobytes."""

MOST_MEDIA: Final = 32
MOST_FORMATS: Final = 128
"""There are no more payload types (RFC 3550, 5.1)."""

Attributes = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One ``m=`` section (5.14). ``attributes`` are pairs of name and value, a property's value is empty."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    connection: str = ""
    attributes: Attributes = ()

    def attribute(self, name: str) -> str | None:
        """The first attribute of that name; None: there is none."""
        return _first(self.attributes, name)

    def mapping(self, name: str, format: str) -> str:
        """What the attribute ``name`` (rtpmap, fmtp) says of a payload type; empty where it says nothing.

        Where there is one payload type and one such attribute they belong together, even if its number is another.
        """
        found = [value.strip().partition(" ") for attribute, value in self.attributes if attribute == name]
        for number, _, rest in found:
            if number == format or len(found) == len(self.formats) == 1:
                return rest.strip()
        return ""

    def parameters(self, format: str) -> dict[str, str]:
        """The parameters that ``a=fmtp`` has for a payload type, by their names in lower case."""
        found: dict[str, str] = {}
        for part in self.mapping("fmtp", format).split(";"):
            name, _, value = part.strip().partition("=")
            if name:
                found.setdefault(name.strip().lower(), value.strip())
        return found

    def lines(self) -> Iterator[str]:
        """The section, line by line."""
        yield f"m={self.kind} {self.port} {self.protocol} {' '.join(self.formats)}"
        if self.connection:
            yield f"c={self.connection}"
        yield from _written(self.attributes)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description; of the lines before the first medium, those that matter here."""

    media: tuple[MediaDescription, ...]
    name: str = "-"
    origin: str = "- 0 0 IN IP4 127.0.0.1"
    connection: str = ""
    attributes: Attributes = ()

    def attribute(self, name: str) -> str | None:
        """The session's first attribute of that name; None: there is none."""
        return _first(self.attributes, name)

    def serialize(self) -> bytes:
        """The description as it is sent."""
        head = ["v=0", f"o={self.origin}", f"s={self.name}"]
        if self.connection:
            head.append(f"c={self.connection}")
        head.append("t=0 0")
        lines = [*head, *_written(self.attributes), *(line for medium in self.media for line in medium.lines())]
        return "".join(f"{line}\r\n" for line in lines).encode()

    @classmethod
    def parse(cls, data: bytes) -> SessionDescription:
        """Read a description.

        Cameras end lines as they like, leave out lines that have to be there, and put others in the wrong order; what
        can't be read is passed over as long as the media can be told.

        Raises:
            WireError: too large, or no medium in it that can be read.
        """
        if len(data) > MOST_BYTES:
            raise WireError("SDP", f"a description of {len(data)} bytes")
        reader = _Reader()
        for line in data.decode("utf-8", "replace").replace("\r", "\n").split("\n"):
            reader.line(line.strip(" \t\0\ufeff"))
        return reader.done()


class _Reader:
    """Takes a description line by line."""

    def __init__(self) -> None:
        self._session = {"o": "- 0 0 IN IP4 127.0.0.1", "s": "-", "c": ""}
        self._attributes: list[tuple[str, str]] = []
        self._media: list[_Section] = []
        self._skipping = False

    def line(self, line: str) -> None:
        kind, equals, value = line.partition("=")
        kind, value = kind.strip(), value.strip()
        if not equals or len(kind) != 1:
            return
        if kind == "m":
            self._medium(value)
        elif self._skipping:
            return
        elif kind == "a":
            name, _, rest = value.partition(":")
            if name.strip():
                attributes = self._media[-1].attributes if self._media else self._attributes
                attributes.append((name.strip(), rest.strip()))
        elif kind == "c" and self._media:
            self._media[-1].connection = value
        elif kind in self._session and not self._media:
            self._session[kind] = value or self._session[kind]

    def _medium(self, value: str) -> None:
        words = value.split()
        self._skipping = len(words) < 4
        if self._skipping:
            return
        if len(self._media) >= MOST_MEDIA:
            raise WireError("SDP", f"more than {MOST_MEDIA} media")
        port = words[1].partition("/")[0]
        number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
        self._media.append(_Section(words[0].lower(), number, words[2].upper(), tuple(words[3 : 3 + MOST_FORMATS])))

    def done(self) -> SessionDescription:
        if not self._media:
            raise WireError("SDP", "no medium is described")
        return SessionDescription(
            tuple(section.done() for section in self._media),
            self._session["s"],
            self._session["o"],
            self._session["c"],
            tuple(self._attributes),
        )


class _Section:
    """A medium that is being read."""

    def __init__(self, kind: str, port: int, protocol: str, formats: tuple[str, ...]) -> None:
        self._head = kind, port, protocol, formats
        self.connection = ""
        self.attributes: list[tuple[str, str]] = []

    def done(self) -> MediaDescription:
        return MediaDescription(*self._head, self.connection, tuple(self.attributes))


def _first(attributes: Sequence[tuple[str, str]], name: str) -> str | None:
    return next((value for found, value in attributes if found == name), None)


def _written(attributes: Attributes) -> Iterator[str]:
    for name, value in attributes:
        yield f"a={name}:{value}" if value else f"a={name}"
