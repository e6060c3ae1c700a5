"""Numbers as people read them: sizes, rates, times. JSON output never passes here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

SIZE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")
RATE_UNITS: Final = ("b/s", "kb/s", "Mb/s", "Gb/s")


def size(count: int) -> str:
    """Bytes, in powers of 1,024: ``812 B``, ``12.3 KiB``, ``32 MiB``."""
    return _scaled(count, 1024, SIZE_UNITS)


def rate(bits_per_second: float) -> str:
    """Bits a second, in powers of 1,000: ``64.2 kb/s``, ``2.31 Mb/s``; nothing is ``0``."""
    return _scaled(bits_per_second, 1000, RATE_UNITS) if bits_per_second else "0"


def _scaled(value: float, base: int, units: tuple[str, ...]) -> str:
    scaled = float(value)
    unit = units[0]
    for larger in units[1:]:
        if abs(scaled) < base - 0.5:
            break
        scaled /= base
        unit = larger
    return f"{_three_digits(scaled)} {unit}" if unit != units[0] else f"{scaled:.0f} {unit}"


def _three_digits(value: float) -> str:
    """Three significant digits, no trailing zeros: ``1.2``, ``12.3``, ``123``."""
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits else text


def seconds(value: float) -> str:
    """A duration: ``20 ns``, ``850 µs``, ``35 ms``, ``1.2 s``, ``2 min 3 s``, ``3 h 12 min``, ``2 d 4 h``."""
    if value < 0:
        return f"-{seconds(-value)}"
    if value == 0:
        return "0 s"
    if value < 0.0000009995:
        return f"{value * 1e9:.0f} ns"
    if value < 0.0009995:
        return f"{value * 1e6:.0f} µs"
    if value < 0.9995:
        return f"{_three_digits(value * 1e3) if value < 0.01 else f'{value * 1e3:.0f}'} ms"
    if value < 59.95:
        return f"{value:.1f} s"
    return _long_time(round(value))


def every(value: float) -> str:
    """A period; ``-`` where there is none yet."""
    return seconds(value) if value else "-"


def _long_time(total: int) -> str:
    minutes, left = divmod(total, 60)
    if minutes < 60:
        return f"{minutes} min {left} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def fps(value: float) -> str:
    """Frames a second with two digits, ``29.97``; nothing is ``0``."""
    return f"{value:.2f}" if value else "0"


def count(value: int) -> str:
    """A count with thousands apart: ``1,234,567``."""
    return f"{value:,}"


def clock(time_ms: int) -> str:
    """Unix milliseconds as local wall-clock time, ``14:03:07.123``; ``-`` for none."""
    return _local(time_ms).strftime("%H:%M:%S.") + f"{time_ms % 1000:03d}" if time_ms else "-"


def date(time_ms: int) -> str:
    """Unix milliseconds as local date and time, ``2026-03-01 14:03:07``; ``-`` for none."""
    return _local(time_ms).strftime("%Y-%m-%d %H:%M:%S") if time_ms else "-"


def _local(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).astimezone()
