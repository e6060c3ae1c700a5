"""Fragments of descriptions with candidates that come later."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arclyd.errors import WireError
from arclyd.ingest.webrtc.trickle import MOST_BYTES, Fragment

FRAGMENT = (
    "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n"
    "a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host\r\na=end-of-candidates\r\n"
)


def test_the_example_of_the_standard_is_read() -> None:
    """RFC 9725, figure 5."""
    read = Fragment.parse(FRAGMENT)
    assert (read.user, read.password) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert [candidate.split()[4] for candidate in read.candidates] == ["192.0.2.1", "198.51.100.2"]


@pytest.mark.parametrize("text", ["", "\n\n", "nonsense", "a=ice-ufrag:x\nnonsense", "a" * (MOST_BYTES + 1)])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        Fragment.parse(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        read = Fragment.parse(text)
    except WireError:
        return
    assert read.candidates or read.user or read.password or text
