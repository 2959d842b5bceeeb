"""`sim2real completion`: have a shell complete commands and options by the Tab key; click's own scripts."""

import click

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that has SHELL complete commands and options.

    \b
    bash:  sim2real completion bash > ~/.local/share/bash-completion/completions/sim2real
    zsh:   sim2real completion zsh > a folder of $fpath/_sim2real
    fish:  sim2real completion fish > ~/.config/fish/completions/sim2real.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, f"click completes {', '.join(SHELLS)}"
    script = kind(context.find_root().command, {}, "sim2real", "_SIM2REAL_COMPLETE")
    # ShellComplete's own: bash's starts a bash to ask its version, where the script may well be for another machine.
    click.echo(ShellComplete.source(script))
