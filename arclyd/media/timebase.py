"""Exact time: integers in a time base, moved to another one without floats, and wrapped ones made endless.

A time base is the length of one tick in seconds, as a `Fraction`: 1/90000, 1/48000, 1001/30000.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

NANOSECOND: Final = Fraction(1, 1_000_000_000)
"""The time base of clocks."""

MPEGTS_BITS: Final = 33
"""Bits of an MPEG-TS timestamp, at 90 kHz: it wraps every 26.5 hours (ISO/IEC 13818-1, 2.4.3.7)."""

RTMP_BITS: Final = 32
"""Bits of an RTMP timestamp, in milliseconds: it wraps every 49.7 days (RTMP 1.0, 5.3.1)."""


def rescale(value: int, source: Fraction, target: Fraction) -> int:
    """``value`` ticks of ``source`` in ticks of ``target``: to the nearest, ties away from zero.

    That is FFmpeg's AV_ROUND_NEAR_INF, the rule of its `av_rescale_q`, so that a timestamp that went
    through FFmpeg and one that went through here agree. A positive ``source`` and ``target`` are assumed.
    """
    over = source.numerator * target.denominator
    under = source.denominator * target.numerator
    scaled = (2 * abs(value) * over + under) // (2 * under)
    return scaled if value >= 0 else -scaled


def rescale_floor(value: int, source: Fraction, target: Fraction) -> int:
    """As `rescale`, but towards minus infinity: the last tick of ``target`` not after ``value``."""
    return value * source.numerator * target.denominator // (source.denominator * target.numerator)


def to_ns(value: int, time_base: Fraction) -> int:
    """``value`` ticks of ``time_base`` in nanoseconds, to the nearest."""
    return rescale(value, time_base, NANOSECOND)


def from_ns(ns: int, time_base: Fraction) -> int:
    """Nanoseconds in ticks of ``time_base``, to the nearest."""
    return rescale(ns, NANOSECOND, time_base)


class TimestampUnwrapper:
    """Makes timestamps of ``bits`` bits endless: each is taken to lie within half a turn of the one before.

    One of them serves all timestamps of one clock, pts and dts of all tracks in the order of arrival.
    Results may be negative: a dts just before a first pts of 0 is one.
    """

    __slots__ = ("_last", "_period")

    def __init__(self, bits: int) -> None:
        self._period = 1 << bits
        self._last: int | None = None

    def unwrap(self, value: int) -> int:
        """The endless form of ``value``, whose bits above the period are ignored; the first one is itself."""
        wrapped = value % self._period
        if self._last is None:
            self._last = wrapped
        else:
            half = self._period // 2
            self._last += (wrapped - self._last + half) % self._period - half
        return self._last

    def reset(self) -> None:
        """Forget the past: the next timestamp stands for itself (after a discontinuity)."""
        self._last = None
