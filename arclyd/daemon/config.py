"""The configuration file: what an operator may set, with what defaults, and precise complaints.

TOML; sizes are bytes or ``"64MiB"``, times are seconds. Every key is optional, and so is
the file. An application's section inherits from ``[apps."*"]``, that from the defaults.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from arclyd.control.keys import check_part
from arclyd.control.tokens import MIN_SECRET
from arclyd.daemon.access import Access, Open
from arclyd.errors import ConfigError, InvalidKey

T = TypeVar("T")

_UNITS: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
_BITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_QUANTITY: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z/]*)\s*")

Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
Frames = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=(1 << 31) - 1)]
OnTaken = Literal["reject", "replace"]
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]

ANY_APP: Final = "*"
MAX_RING: Final = 1 << 38
MIN_RING: Final = 16 << 10
MAX_QUANTITY: Final = (1 << 63) - 1
"""Largest size or rate: what a region's header and the control protocol can say."""


@dataclass(frozen=True, slots=True)
class AppConfig:
    """Settings of one application. 0 stands for "no bound", as does an idle_timeout of 0 for "never"."""

    ring_bytes: int = 32 << 20
    slots: int = 8192
    gop_frames: int = 0
    gop_bytes: int = 0
    gop_ms: int = 0
    max_lag: int | None = None
    idle_timeout: float = 0.0
    grace: float = 10.0
    on_taken: OnTaken = "reject"
    crc: bool = False
    hardened: bool = False
    publish: Access | None = None
    play: Access | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """What the file says, with the defaults filled in."""

    max_publishers: int = 1024
    memory_budget: int = 0
    max_connections: int = 4096
    socket: str | None = None
    audit: str | None = None
    default: AppConfig = field(default_factory=AppConfig)
    apps: dict[str, AppConfig] = field(default_factory=dict)
    file: str = ""

    def app(self, name: str) -> AppConfig:
        """The settings of application ``name``."""
        return self.apps.get(name, self.default)


class _Server(msgspec.Struct, forbid_unknown_fields=True):
    max_publishers: Limit = 1024
    memory_budget: int | str = 0
    max_connections: Limit = 4096
    socket: Annotated[str, msgspec.Meta(pattern="^[^\x00]+$")] | None = None
    audit: Annotated[str, msgspec.Meta(pattern="^/[^\x00]*$")] | None = None


class _Access(msgspec.Struct, forbid_unknown_fields=True):
    open: Open | None = None
    users: dict[str, Secret] = {}
    secret: Secret | None = None
    token_secret_file: Annotated[str, msgspec.Meta(pattern="^/[^\x00]*$")] | None = None


class _App(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    ring_bytes: int | str | None = None
    slots: Annotated[int, msgspec.Meta(ge=2, le=1 << 22)] | None = None
    retention: Seconds | None = None
    bitrate: int | str | None = None
    gop_frames: Count | None = None
    gop_bytes: int | str | None = None
    gop_ms: Count | None = None
    max_lag: Frames | None = None
    idle_timeout: Seconds | None = None
    grace: Seconds | None = None
    on_taken: OnTaken | None = None
    crc: bool | None = None
    hardened: bool | None = None
    publish: _Access | None = None
    play: _Access | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    server: _Server = msgspec.field(default_factory=_Server)
    apps: dict[str, _App] = {}


def load(path: str | None) -> Config:
    """Read the configuration file; without one, the defaults.

    Raises:
        ConfigError: unreadable, no TOML, an unknown key or an unfit value; it names the file and the place.
    """
    if path is None:
        return Config()
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problem = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError("$", problem, path) from None
    return parse(text, path)


def parse(text: str, file: str = "") -> Config:
    """The configuration a text describes; ``file`` is named in complaints."""
    try:
        raw: dict[str, Any] = tomllib.loads(text)  # tomllib gives no narrower type
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("$", str(error), file) from None
    except (ValueError, RecursionError) as error:  # what the parser lets through: a number's length, nesting
        problem = "nested too deeply" if isinstance(error, RecursionError) else "a number of too many digits"
        raise ConfigError("$", problem, file) from None
    said = _convert(raw, file)
    default = _app(said.apps.get(ANY_APP, _App()), AppConfig(), ANY_APP, file)
    return Config(
        max_publishers=said.server.max_publishers,
        memory_budget=_size(said.server.memory_budget, "$.server.memory_budget", file),
        max_connections=said.server.max_connections,
        socket=said.server.socket,
        audit=said.server.audit,
        default=default,
        apps={name: _app(app, default, name, file) for name, app in said.apps.items() if name != ANY_APP},
        file=file,
    )


def _convert(raw: dict[str, Any], file: str) -> _File:
    """Convert section by section: msgspec names a place below a map as ``[...]``, an operator wants the name."""
    apps = raw.pop("apps", {})
    said = _section(raw, _File, "$", file)
    if not isinstance(apps, dict):
        raise ConfigError("$.apps", "Expected a table of applications", file)
    for name, section in apps.items():
        _check_app_name(name, file)
        said.apps[name] = _section(section, _App, f"$.apps.{_quoted(name)}", file)
    return said


def _section(raw: object, cls: type[T], path: str, file: str) -> T:
    try:
        return msgspec.convert(raw, type=cls, strict=True)
    except msgspec.ValidationError as error:
        problem, _, below = str(error).partition(" - at `$")
        below = below.rstrip("`")
        if unknown := re.search(r"unknown field `(.*)`", problem):
            problem, below = f"unknown key {unknown[1]!r}", f"{below}.{unknown[1]}"
        raise ConfigError(path + below, problem, file) from None


def _check_app_name(name: str, file: str) -> None:
    if name == ANY_APP:
        return
    try:
        check_part(name, "application", name)
    except InvalidKey as error:
        raise ConfigError(f"$.apps.{_quoted(name)}", error.problem, file) from None


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{name}"'


def _app(said: _App, base: AppConfig, name: str, file: str) -> AppConfig:
    path = f"$.apps.{_quoted(name)}"
    plain = ("slots", "gop_frames", "gop_ms", "max_lag", "idle_timeout", "grace", "on_taken", "crc", "hardened")
    changes: dict[str, Any] = {key: value for key in plain if (value := getattr(said, key)) is not None}
    if said.gop_bytes is not None:
        changes["gop_bytes"] = _size(said.gop_bytes, f"{path}.gop_bytes", file)
    ring = _ring_bytes(said, path, file)
    if ring is not None:
        changes["ring_bytes"] = ring
    for action in ("publish", "play"):
        if (access := getattr(said, action)) is not None:
            changes[action] = _access(access, f"{path}.{action}", file)
    return dataclasses.replace(base, **changes)


def _access(said: _Access, path: str, file: str) -> Access:
    """What the section says, with its secret read; unless told otherwise nobody is let in without credentials."""
    token_secret = None
    if said.token_secret_file is not None:
        place = f"{path}.token_secret_file"
        try:
            token_secret = Path(said.token_secret_file).read_bytes().strip()
        except OSError as error:
            raise ConfigError(place, f"{said.token_secret_file}: {error.strerror}", file) from None
        if len(token_secret) < MIN_SECRET:
            raise ConfigError(place, f"a secret of {len(token_secret)} bytes, at least {MIN_SECRET} are needed", file)
    credentials = bool(said.users or said.secret or token_secret)
    return Access(said.open or ("none" if credentials else "loopback"), dict(said.users), said.secret, token_secret)


def _ring_bytes(said: _App, path: str, file: str) -> int | None:
    """``ring_bytes``, or ``retention`` seconds at ``bitrate`` bits a second with a quarter to spare for peaks."""
    if said.retention is None and said.bitrate is None:
        size = None if said.ring_bytes is None else _size(said.ring_bytes, f"{path}.ring_bytes", file)
    elif said.ring_bytes is not None:
        raise ConfigError(path, "a ring is sized by ring_bytes or by retention and bitrate, not both", file)
    elif said.retention is None or said.bitrate is None:
        missing = "bitrate" if said.bitrate is None else "retention"
        raise ConfigError(path, f"retention and bitrate go together: {missing} is missing", file)
    else:
        size = int(said.retention * _bits(said.bitrate, f"{path}.bitrate", file) / 8 * 1.25)
    if size is not None and not MIN_RING <= size <= MAX_RING:
        raise ConfigError(f"{path}.ring_bytes", f"a ring of {size} bytes ({MIN_RING} to {MAX_RING} are possible)", file)
    return size


def _size(value: int | str, path: str, file: str) -> int:
    return _quantity(value, _UNITS, path, 'bytes or a size as "64MiB"', file)


def _bits(value: int | str, path: str, file: str) -> int:
    text = value if isinstance(value, int) else re.sub(r"(bit/s|bps|bit)$", "", value.strip(), flags=re.IGNORECASE)
    return _quantity(text, _BITS, path, 'bits a second or a rate as "6M"', file)


def _quantity(value: int | str, units: dict[str, int], path: str, expected: str, file: str) -> int:
    amount: float = 0
    if isinstance(value, int):
        amount = value
    elif (match := _QUANTITY.fullmatch(value)) and match[2].upper() in units:
        amount = float(match[1]) * units[match[2].upper()]  # of many digits: infinity
    else:
        raise ConfigError(path, f"Expected {expected}, got {value[:64]!r}", file)
    if not 0 <= amount <= MAX_QUANTITY:
        shown = f"more than {MAX_QUANTITY}" if amount > 0 else str(max(amount, -MAX_QUANTITY))
        raise ConfigError(path, f"Expected {expected}, got {shown}", file)
    return int(amount)
