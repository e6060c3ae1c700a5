"""Any stream id is read or refused; what is put into one comes back; no text of a stranger is taken for another's."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from arclyd.errors import WireError
from arclyd.ingest.srt.server import asked_in
from arclyd.protocols.srt.address import Address
from arclyd.protocols.srt.stream_id import MAX_BYTES, Asked, Mode, parse

PART = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)
KEYS = st.builds("{}/{}".format, PART, PART)
ANY = st.text(st.characters(codec="utf-8"), max_size=40)
NEAR = st.lists(
    st.sampled_from(["#!::", "#!", "r=", "m=publish", "m=", ",", ":", "publish", "read", "live/cam1", "?", "&", "s=x"])
    | ANY,
    max_size=12,
).map("".join)  # fmt: skip


@given(NEAR | ANY)
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(WireError):
        asked = parse(text)
        assert asked.key
        assert set(asked.shown) <= {"user", "pass", "secret", "token"}
        assert len(text.encode()) <= MAX_BYTES


@given(st.binary(max_size=600))
def test_any_bytes_are_read_or_refused(stream_id: bytes) -> None:
    with suppress(WireError):
        asked_in(stream_id)


@given(NEAR | ANY)
def test_any_url_is_read_or_refused(text: str) -> None:
    for url in (text, f"srt://{text}", f"srt://host:1?{text}"):
        with suppress(WireError):
            assert Address.parse(url).port


@given(KEYS, st.sampled_from(Mode), ANY.filter(lambda text: "," not in text), ANY.filter(lambda text: "," not in text))
def test_what_the_standard_syntax_says_comes_back(key: str, mode: Mode, user: str, password: str) -> None:
    word = {Mode.PLAY: "request"}.get(mode, mode.value)
    text = f"#!::u={user},s={password},m={word},r={key}"
    assert parse(text) == Asked(key, mode, {"user": user, "pass": password})


@given(KEYS, ANY.filter(lambda text: ":" not in text and "=" not in text), ANY)
def test_what_the_short_syntax_says_comes_back(key: str, user: str, password: str) -> None:
    assert parse(f"publish:{key}:{user}:{password}") == Asked(key, Mode.PUBLISH, {"user": user, "pass": password})
