"""SRT's stream ids in both syntaxes, addresses, and reasons for a refusal."""

from __future__ import annotations

import pytest

from arclyd.errors import (
    AlreadyPublishing,
    ConnectionLimit,
    DaemonUnavailable,
    InvalidKey,
    StreamNotFound,
    Unauthorized,
    WireError,
)
from arclyd.protocols.srt.address import Address
from arclyd.protocols.srt.rejection import Reject, in_words, rejection
from arclyd.protocols.srt.stream_id import Asked, Mode, parse

KEY = "live/cam1"


@pytest.mark.parametrize(
    ("text", "mode", "shown"),
    [
        ("#!::r=live/cam1,m=publish", Mode.PUBLISH, {}),
        ("#!::m=publish,r=/live/cam1", Mode.PUBLISH, {}),
        ("#!::r=live/cam1", Mode.PLAY, {}),
        ("#!::r=live/cam1,m=request,t=stream,h=example.org,x=y,junk", Mode.PLAY, {}),
        ("#!::r=live/cam1,m=bidirectional", Mode.BOTH, {}),
        ("#!::u=studio,r=live/cam1,m=publish,s=a=b c", Mode.PUBLISH, {"user": "studio", "pass": "a=b c"}),
        ("#!::r=live/cam1,s=sesame", Mode.PLAY, {"secret": "sesame"}),
        ("#!::r=live/cam1,token=5:abc", Mode.PLAY, {"token": "5:abc"}),
        ("#!::r=live/cam1?secret=x&y=z,m=publish", Mode.PUBLISH, {"secret": "x"}),
        ("publish:live/cam1", Mode.PUBLISH, {}),
        ("publish:/live/cam1:studio:pass:word", Mode.PUBLISH, {"user": "studio", "pass": "pass:word"}),
        ("publish:live/cam1:token=5:ab", Mode.PUBLISH, {"token": "5:ab"}),
        ("publish:live/cam1?token=5", Mode.PUBLISH, {"token": "5"}),
        ("read:live/cam1", Mode.PLAY, {}),
        ("play:live/cam1:studio:", Mode.PLAY, {"user": "studio", "pass": ""}),
        ("request:live/cam1", Mode.PLAY, {}),
        ("live/cam1", Mode.PLAY, {}),
        ("/live/cam1?user=a&pass=b", Mode.PLAY, {"user": "a", "pass": "b"}),
    ],
)
def test_a_stream_id_says_what_is_wanted(text: str, mode: Mode, shown: dict[str, str]) -> None:
    assert parse(text) == Asked(KEY, mode, shown)


@pytest.mark.parametrize(
    "text",
    ["", "/", "#!::", "#!::m=publish", "#!::r=/,m=publish", "#!::r=a/b,m=steal", "#!::r=a/b,t=file", "#!{r=a/b}",
     "publish:", "publish::user:pass", "write:live/cam1", "%23!::r=live/cam1,m=publish", "read:" + "x" * 508],
)  # fmt: skip
def test_what_names_no_stream_is_refused(text: str) -> None:
    with pytest.raises(WireError):
        parse(text)


def test_credentials_are_not_shown() -> None:
    assert "sesame" not in repr(parse("publish:live/cam1:studio:sesame"))
    url = "srt://h:1?streamid=publish:live/cam1:studio:sesame&passphrase=sesamesesame"
    assert "sesame" not in repr(Address.parse(url)) + str(Address.parse(url))


def test_an_address_takes_a_stream_id_as_it_is_or_encoded() -> None:
    plain = Address.parse("srt://example.org:8890?streamid=#!::r=live/cam1,m=publish&latency=500")
    encoded = Address.parse("srt://example.org:8890/?latency=500&streamid=%23!::r%3Dlive/cam1%2Cm=publish&mode=caller")
    assert plain == encoded == Address("example.org", 8890, "#!::r=live/cam1,m=publish", 500)
    assert str(plain) == "srt://example.org:8890"
    v6 = Address.parse("srt://[::1]:9?passphrase=a%20secret%20one&pbkeylen=32")
    assert (v6.where, v6.passphrase, v6.key_bytes, v6.latency) == ("[::1]:9", b"a secret one", 32, 120)
    assert Address.parse("srt://h:9?passphrase_file=/etc/p").passphrase_file == "/etc/p"


@pytest.mark.parametrize(
    "url",
    ["srt://host", "rtmp://host:1", "srt://:1", "srt://h:x", "srt://h:1/app/name", "srt://h:1#x", "srt://h:1?mode=listener",
     "srt://h:1?latency=1s", "srt://h:1?latency=", "srt://h:1?latency=90000", "srt://h:1?pbkeylen=8", "srt://h:1?x=y",
     "srt://h:1?passphrase=short", "srt://h:1?passphrase=longenough1&passphrase_file=/p", "srt://[::1:9",
     "srt://h:1?streamid=" + "x" * 513],
)  # fmt: skip
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(WireError):
        Address.parse(url)


def test_a_refusal_has_the_code_of_its_reason() -> None:
    assert rejection(Unauthorized("publish", KEY), shown=False) is Reject.UNAUTHORIZED
    assert rejection(Unauthorized("publish", KEY), shown=True) is Reject.FORBIDDEN
    assert rejection(StreamNotFound(KEY), shown=True) is Reject.NOT_FOUND
    assert rejection(AlreadyPublishing(KEY), shown=False) is Reject.CONFLICT
    assert rejection(ConnectionLimit(3), shown=False) is Reject.OVERLOAD
    assert rejection(DaemonUnavailable("/s", "gone"), shown=False) is Reject.DOWN
    assert rejection(InvalidKey("x"), shown=False) is Reject.BAD_REQUEST


def test_every_code_that_is_given_has_words() -> None:
    assert in_words(1404) == "the server has no such stream (1404)"
    assert in_words(2001) == "refused (2001)"
    assert not [code for code in Reject if in_words(code).startswith("refused")]
