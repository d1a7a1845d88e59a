"""`dateline receive`: a partner's receiver for trying things out. It verifies pushes and prints them."""

from __future__ import annotations

from typing import IO

import click

from service.cli.command import CommandContext, with_context
from service.cli.parameter_types import HostPort
from service.webhooks import receiver, signatures

FLAKY_EVERY = 4  # --flaky answers 503 to each fourth push


@click.command()
@click.option(
    "--listen", type=HostPort(), default="127.0.0.1:8700", show_default=True, metavar="HOST:PORT",
    help="Where it answers (port 0: any free one).",
)  # fmt: skip
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    help="The endpoint's signing secret (whsec_…) or its public key (whpk_…); several in a rotation.",
)
@click.option("--secret-file", type=click.File(), help="Read the secret from a file, one a line.")
@click.option("--name", default="", help="A name at the head of its lines.")
@click.option("--flaky", is_flag=True, help="Answer 503 now and then, as some receivers do.")
@with_context
def receive(
    context: CommandContext,
    listen: str,
    secrets: tuple[str, ...],
    secret_file: IO[str] | None,
    name: str,
    flaky: bool,
) -> None:
    """Receive pushes: verify each signature, print each push. With --json: an object a line.

    The reference for partners; docs/partners.md says what a receiver must do.
    """
    known = [*secrets, *(secret_file.read().split() if secret_file else ())]
    if not known:
        raise click.UsageError(
            "name the signing secret that 'dateline endpoint add' printed: --secret whsec_…"
        )
    for secret in known:
        _check(secret)
    try:
        receiver.serve(
            listen, known, name=name, fail_every=FLAKY_EVERY if flaky else 0, as_json=context.as_json
        )
    except OSError as error:
        raise click.ClickException(
            f"cannot listen on {listen}: {error.strerror or error}; choose another with --listen"
        ) from None


def _check(secret: str) -> None:
    try:
        signatures.check_secret(secret)
    except signatures.BadSecret as error:
        raise click.UsageError(f"--secret is neither a signing secret nor a public key: {error}") from None
