"""The ``Transport`` field (RFC 2326, 12.39): how packets of one medium travel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Ports = tuple[int, int]

_LONGEST: Final = 2048


@dataclass(frozen=True, slots=True)
class Transport:
    """One way. ``interleaved``: channels of RTP and RTCP in the connection; ports likewise; None: not said."""

    tcp: bool
    unicast: bool = True
    interleaved: Ports | None = None
    client_port: Ports | None = None
    server_port: Ports | None = None
    source: str = ""
    ssrc: int | None = None
    mode: str = ""
    secure: bool = False

    @property
    def records(self) -> bool:
        """The client sends."""
        return self.mode.lower() in ("record", "receive")

    @classmethod
    def parse_all(cls, text: str) -> list[Transport]:
        """The ways that a field offers, in order of preference; those that can't be read are left out."""
        found = []
        for part in text[:_LONGEST].split(","):
            words = [word.strip() for word in part.split(";")]
            protocol = words[0].upper().split("/")
            if protocol[:1] != ["RTP"] or len(protocol) < 2 or protocol[1] not in ("AVP", "AVPF", "SAVP", "SAVPF"):
                continue
            said = {name.strip().lower(): value.strip().strip('"') for name, _, value in
                    (word.partition("=") for word in words[1:])}  # fmt: skip
            found.append(
                cls(
                    tcp="TCP" in protocol[2:],
                    unicast="multicast" not in said,
                    interleaved=_pair(said.get("interleaved", ""), 255),
                    client_port=_pair(said.get("client_port", ""), 65535),
                    server_port=_pair(said.get("server_port", ""), 65535),
                    source=said.get("source", ""),
                    ssrc=_ssrc(said.get("ssrc", "")),
                    mode=said.get("mode", ""),
                    secure=protocol[1].startswith("S"),
                )
            )
        return found

    def serialize(self) -> str:
        """The way as it is told."""
        words = ["RTP/AVP/TCP" if self.tcp else "RTP/AVP", "unicast" if self.unicast else "multicast"]
        for name, ports in (
            ("interleaved", self.interleaved),
            ("client_port", self.client_port),
            ("server_port", self.server_port),
        ):
            if ports is not None:
                words.append(f"{name}={ports[0]}-{ports[1]}")
        if self.source:
            words.append(f"source={self.source}")
        if self.ssrc is not None:
            words.append(f"ssrc={self.ssrc:08X}")
        if self.mode:
            words.append(f"mode={self.mode}")
        return ";".join(words)


def _pair(text: str, most: int) -> Ports | None:
    """Two numbers, of which the second may be left out."""
    first, _, second = text.partition("-")
    if not (first.isascii() and first.isdigit() and len(first) <= 5):
        return None
    number = int(first)
    other = int(second) if second.isascii() and second.isdigit() and len(second) <= 5 else number + 1
    return (number, other) if number <= most and other <= most else None


def _ssrc(text: str) -> int | None:
    try:
        return int(text, 16) if 0 < len(text) <= 8 else None
    except ValueError:
        return None
