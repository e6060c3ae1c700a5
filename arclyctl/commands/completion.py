"""`arclyctl completion`: the script that makes a shell complete verbs, options, live keys and subscriber ids."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from arclyctl.context import Context

COMPLETE_VARIABLE: Final = "_ARCLYCTL_COMPLETE"
"""Environment variable by which the script asks for completions: the name click gives it."""


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash:  eval "$(arclyctl completion bash)"                         in ~/.bashrc
    zsh:   eval "$(arclyctl completion zsh)"                          in ~/.zshrc
    fish:  arclyctl completion fish > ~/.config/fish/completions/arclyctl.fish
    """
    completer = get_completion_class(shell)
    assert completer is not None, shell
    script = completer(ctx.find_root().command, {}, "arclyctl", COMPLETE_VARIABLE).source()
    context = ctx.obj
    assert isinstance(context, Context)
    if context.json:
        context.emit({"shell": shell, "script": script})
    else:
        click.echo(script)
