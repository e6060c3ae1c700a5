"""Who may view a stream over HTTP: everybody, or whoever comes with a token."""

from __future__ import annotations

import time

from arclyd.control.tokens import is_valid


def admits(secret: bytes | None, key: str, token: str) -> bool:
    """True: who comes with ``token`` may view ``key`` now; without a secret everybody may."""
    return secret is None or is_valid(secret, key, token, time.time())
