"""`arclyctl token`: a token for one stream, made with the secret that the servers have."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arclyctl.types import StreamKey
from arclyd.command_line import seconds
from arclyd.control import tokens

if TYPE_CHECKING:
    from fractions import Fraction

    from arclyctl.context import Context


@click.command
@click.argument("key", type=StreamKey())
@click.option(
    "--secret-file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The secret."
)
@click.option("--expires", type=seconds, default="24h", show_default=True, metavar="TIME", help="How long it holds.")
@click.pass_obj
def token(context: Context, key: str, secret_file: Path, expires: Fraction) -> None:
    """Print a token with which the stream KEY may be had until it expires.

    It is put into the URL, as in rtmp://HOST/app/name?token=TOKEN or http://HOST:8888/app/name/index.m3u8?token=TOKEN.
    """
    secret = secret_file.read_bytes().strip()
    if len(secret) < tokens.MIN_SECRET:
        problem = f"{secret_file} has {len(secret)} bytes, at least {tokens.MIN_SECRET} are needed"
        raise click.BadParameter(problem, param_hint="--secret-file")
    until = int(time.time() + expires)
    made = tokens.issue(secret, key, until)
    if context.json:
        context.emit({"key": key, "expires": until, "token": made})
    else:
        click.echo(made)
