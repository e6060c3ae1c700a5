"""Arguments that complete from the live daemon: stream keys, applications, subscriber ids."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from arclyctl.context import Context
from arclyd.control.keys import check_part, parse_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from arclyd.client import Control

COMPLETION_TIMEOUT: Final = 0.5
"""Seconds a shell waits for the daemon at most: what feels immediate to somebody who pressed Tab."""


class StreamKey(click.ParamType[str, str]):
    """A stream key; anything else is `InvalidKey`, as from every other entry."""

    name = "key"

    def convert(self, value: str, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        """Check the key by the one rule."""
        parse_key(value)
        return value

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The keys of the live streams."""

        def keys(control: Control) -> list[CompletionItem]:
            return [CompletionItem(stream.key, help=" ".join(stream.state)) for stream in control.list_streams()]

        return ask_daemon(ctx, incomplete, keys)


class AppName(click.ParamType[str, str]):
    """The name of an application: what stands before the ``/`` of a key."""

    name = "app"

    def convert(self, value: str, _param: click.Parameter | None, _ctx: click.Context | None) -> str:
        """Check it by the rule for keys."""
        check_part(value, "application", value)
        return value

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The applications that have streams."""

        def apps(control: Control) -> list[CompletionItem]:
            names = {stream.key.partition("/")[0] for stream in control.list_streams()}
            return [CompletionItem(name) for name in sorted(names)]

        return ask_daemon(ctx, incomplete, apps)


class SubscriberId(click.ParamType[int, str]):
    """A subscriber's number; 0 is the publisher."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """A number from 0 on."""
        if not value.isascii() or not value.isdigit():
            self.fail(f"{value!r} is not a subscriber's number (0: the publisher)", param, ctx)
        return int(value)

    def shell_complete(self, ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The subscribers of the stream named before, and its publisher."""
        key = ctx.params.get("key")

        def ids(control: Control) -> list[CompletionItem]:
            found = [CompletionItem(str(one.id), help=f"{one.name} {one.pid}") for one in control.subscribers(key)]
            return [CompletionItem("0", help="the publisher"), *found]

        return ask_daemon(ctx, incomplete, ids)


def ask_daemon(
    ctx: click.Context, incomplete: str, question: Callable[[Control], list[CompletionItem]]
) -> list[CompletionItem]:
    """The daemon's answers that begin with ``incomplete``; none where it does not answer in time."""
    try:
        with completing_context(ctx).connect(timeout=COMPLETION_TIMEOUT) as control:
            items = question(control)
    except Exception:  # whatever is wrong, a shell's prompt is no place to print it
        return []
    return [item for item in items if str(item.value).startswith(incomplete)]


def completing_context(ctx: click.Context) -> Context:
    """The context of a command line that is being completed: click runs no callbacks then."""
    root = ctx.find_root()
    given = _given_socket(ctx.params) or _given_socket(root.params)
    context = root.obj if isinstance(root.obj, Context) else Context()
    return replace(context, socket=given or context.socket or os.environ.get("ARCLYD_SOCKET"))


def _given_socket(params: dict[str, object]) -> str | None:
    socket = params.get("socket")
    return socket if isinstance(socket, str) else None
