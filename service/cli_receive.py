"""`dateline receive`: a partner's receiver for trying things out. It verifies what comes, and prints it."""

from __future__ import annotations

from pathlib import Path

import click

from service import receive as receiving
from service.cli_output import Desk, Failed, operation


@click.command()
@click.option("--listen", default="127.0.0.1:8700", show_default=True, metavar="HOST:PORT")
@click.option("--secret", "secrets", multiple=True, help="The endpoint's signing secret; several while one is rotated.")
@click.option("--secret-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Reads it from a file.")
@click.option("--name", default="receiver", show_default=True, help="What its lines are headed with.")
@click.option("--flaky", is_flag=True, help="Answer 503 now and then, as some receivers do.")
@operation
def receive(
    desk: Desk, listen: str, secrets: tuple[str, ...], secret_file: Path | None, name: str, flaky: bool
) -> None:
    """Receive pushes: verify each signature, print what came. The reference for partners."""
