"""What connections to servers elsewhere have in common: their TLS, and their errors."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING

from arclyd.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator


def client_tls(*, verify: bool) -> ssl.SSLContext:
    """What TLS is spoken with; ``verify``: the server's certificate."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextlib.contextmanager
def translated(protocol: str) -> Iterator[None]:
    """What the system says of a connection, as a `WireError` of ``protocol``."""
    try:
        yield
    except TimeoutError:
        raise WireError(protocol, "no answer in time") from None
    except OSError as error:
        raise WireError(protocol, error.strerror or str(error)) from error
