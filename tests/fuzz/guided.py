"""Coverage-guided runs of a Python target, by Atheris: ``python -m tests.fuzz.guided TARGET [libFuzzer options]``.

Needs the extra ``fuzz``. Runs in a process of its own: libFuzzer ends it, and what is imported is instrumented.
"""

from __future__ import annotations

import sys
from importlib import import_module, util


def is_available() -> bool:
    """Atheris is installed."""
    return util.find_spec("atheris") is not None


def main(name: str, *options: str) -> None:
    """Fuzz target ``name`` until libFuzzer's options say enough."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(
        include=["arclyd.control", "arclyd.media", "arclyd.daemon.config", "arclyd.errors"]
    ):
        target = import_module("tests.fuzz.targets").TARGETS[name]

    def one(data: bytes) -> None:
        target(data)

    atheris.Setup([sys.argv[0], *options], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
