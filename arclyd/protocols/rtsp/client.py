"""The client's side of a session: requests one after the other, who we are when that is asked, and packets between."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from arclyd.errors import WireError
from arclyd.protocols.digest import Challenge
from arclyd.protocols.rtsp.messages import Interleaved, MessageReader, Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

    from arclyd.protocols.rtsp.address import Address
    from arclyd.protocols.rtsp.messages import Fields

AGENT: Final = "arclyd"
_UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, with the request that it is to."""

    request: Request
    response: Response


class ClientSession:
    """`ask` for something, send what `data_to_send` gives, `receive` what comes: `Answer` and `Interleaved`.

    A server that wants to know who asks is told so at once, where that is known, and asked again.

    Args:
        address: of the server, with who we are.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._reader = MessageReader(strict=False)
        self._out: list[bytes] = []
        self._sequence = 0
        self._asked: dict[str, tuple[Request, bool]] = {}
        self._challenge: Challenge | None = None
        self._basic = False
        self._count = 0
        self.id = ""
        """The session's identifier, once the server gave one."""
        self.timeout = 60
        """Seconds after which the server forgets a session of which it hears nothing."""

    @property
    def held(self) -> int:
        """Bytes kept of a message that is not complete."""
        return self._reader.held

    def ask(self, method: str, url: str, fields: Fields = (), body: bytes = b"") -> None:
        """Queue a request."""
        self._ask(Request(method, url, fields, body), again=False)

    def _ask(self, request: Request, *, again: bool) -> None:
        self._sequence += 1
        head = [("CSeq", str(self._sequence)), ("User-Agent", AGENT)]
        if self.id:
            head.append(("Session", self.id))
        if authorization := self._authorization(request):
            head.append(("Authorization", authorization))
        self._asked[str(self._sequence)] = request, again
        whole = Request(request.method, request.url, (*head, *request.fields), request.body)
        self._out.append(whole.serialize())

    def data_to_send(self) -> bytes:
        """What is to be sent; it is handed out once."""
        out, self._out = self._out, []
        return b"".join(out)

    def send_packet(self, channel: int, payload: bytes) -> None:
        """Queue a packet among the messages."""
        self._out.append(Interleaved(channel, payload).serialize())

    def receive(self, data: bytes) -> Iterator[Answer | Interleaved]:
        """Events out of ``data``; to be iterated to the end before more is received. Raises `WireError`."""
        for message in self._reader.receive(data):
            if isinstance(message, Interleaved):
                yield message
            elif isinstance(message, Request):
                self._serve(message)
            else:
                yield from self._response(message)

    def _serve(self, request: Request) -> None:
        """A server may ask, too, whether we are still there (10)."""
        status = 200 if request.method in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER") else 501
        fields = (("CSeq", request.get("CSeq")[:32]),)
        self._out.append(Response(status, fields).serialize())

    def _response(self, response: Response) -> Iterator[Answer]:
        sequence = response.get("CSeq").strip()
        if sequence not in self._asked and len(self._asked) == 1:
            sequence = next(iter(self._asked))  # some cameras leave it out, or count by themselves
        found = self._asked.pop(sequence, None)
        if found is None or 100 <= response.status < 200:
            if found is not None:
                self._asked[sequence] = found
            return
        request, again = found
        if response.status == _UNAUTHORIZED and self._takes(response) and (not again or self._stale):
            self._ask(request, again=True)
            return
        if session := response.get("Session"):
            self._remember(session)
        yield Answer(request, response)

    def _remember(self, text: str) -> None:
        self.id, _, rest = text.partition(";")
        self.id = self.id.strip()
        name, _, value = rest.partition("=")
        if name.strip().lower() == "timeout" and value.strip().isascii() and value.strip().isdigit():
            self.timeout = max(5, min(int(value.strip()[:6]), 3600))

    # ------------------------------------------------------------ who we are

    @property
    def _stale(self) -> bool:
        """The server knows us, and only wants a new nonce answered."""
        return self._challenge is not None and self._challenge.stale

    def _takes(self, response: Response) -> bool:
        """The server's way to ask is one that can be answered: the strongest is."""
        if not self._address.user:
            return False
        asked = response.all("WWW-Authenticate")
        found = [Challenge.parse(text[7:]) for text in asked if text[:7].lower() == "digest "]
        known = [challenge for challenge in found if challenge is not None]
        before, self._challenge = self._challenge, max(known, key=lambda each: each.algorithm, default=None)
        self._basic = not known and any(text.lower().startswith("basic") for text in asked)
        if self._challenge is not None and (before is None or before.nonce != self._challenge.nonce):
            self._count = 0
        return self._challenge is not None or self._basic

    def _authorization(self, request: Request) -> str:
        user, password = self._address.user, self._address.password
        if self._challenge is not None:
            self._count += 1
            return self._challenge.answer(
                user,
                password,
                method=request.method,
                uri=request.url,
                count=self._count,
                cnonce=os.urandom(8).hex(),
            )
        return _basic_answer(user, password) if self._basic else ""


def _basic_answer(user: str, password: str) -> str:
    """An ``Authorization`` field in the clear (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def problem(answer: Answer) -> WireError:
    """What a refusal says."""
    response = answer.response
    return WireError("RTSP", f"{answer.request.method} refused: {response.status} {response.reason[:100]}".rstrip())
