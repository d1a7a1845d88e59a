"""The commands about keys: an endpoint's signing keys, and the key that all stored secrets are sealed with."""

from __future__ import annotations

from datetime import timedelta

import click

from service import times
from service.cli.command import CommandContext, CommandResult, with_context
from service.store import operations
from service.store.database.record import Record
from service.store.operations import OPERATOR
from service.store.partners import signing_keys
from service.store.partners.signing_keys import Rotation
from service.webhooks import signatures

KEEP_KEY_NOW = "Keep it now: it is shown this once and cannot be shown again."


@click.command("rotate-secret")
@click.argument("endpoint_id", metavar="ID", type=int)
@click.option(
    "--only", type=click.Choice(signing_keys.KINDS), help="Only the shared secret (v1) or the key pair (v1a)."
)
@click.option("--at-once", is_flag=True, help="The old one leaked: it signs nothing any more.")
@with_context
def rotate_secret(
    context: CommandContext, endpoint_id: int, only: str | None, at_once: bool
) -> CommandResult:
    """Give an endpoint new signing keys; for two days the old ones sign along."""
    rotation = Rotation(
        kinds=(only,) if only else signing_keys.KINDS,
        overlap=timedelta(0) if at_once else signing_keys.KEY_OVERLAP,
    )
    with context.record() as record:
        rotated = operations.rotate_keys(
            record, endpoint_id, signatures.new_key, rotation, actor=OPERATOR, now=times.now()
        )
    keys = {signing_keys.kind_of(each): each for each in rotated.secrets}
    secret, private = keys.get("v1"), keys.get("v1a")
    public = signatures.public_key(private) if private else None
    until = rotated.old_until
    end = (
        "The old secret no longer verifies."
        if at_once
        else f"Until {until:%Y-%m-%d %H:%M} UTC pushes carry both signatures, old and new."
    )
    lines = [
        f"Endpoint {endpoint_id} has new signing keys:",
        *([f"  signing secret  {secret}", KEEP_KEY_NOW] if secret else []),
        *public_key_lines(public),
        end,
    ]
    facts = {"endpoint": endpoint_id, "secret": secret, "public_key": public, "old_until": until.isoformat()}
    return CommandResult(facts, lines)


@click.command()
@with_context
def reseal(context: CommandContext) -> CommandResult:
    """Seal every stored secret with the first key of DATELINE_SECRET_KEY; then the old ones may go."""
    with context.record() as record:
        counts = operations.reseal(record, actor=OPERATOR, now=times.now())
    number = sum(counts.values())
    lines = [
        f"{number} stored {'secret is' if number == 1 else 'secrets are'} sealed with the first key.",
        "Restart every process with the new key first; then the old ones may be removed from the setting.",
    ]
    return CommandResult({"resealed": counts}, lines)


def switch_ed25519(record: Record, endpoint_id: int, *, on: bool | None) -> str | None:
    """Switches ed25519 signatures on or off; returns the public key when they are on. None changes nothing."""
    if on is None:
        return None
    if not on:
        operations.stop_ed25519(record, endpoint_id, actor=OPERATOR, now=times.now())
        return None
    private = operations.sign_with_ed25519(
        record, endpoint_id, signatures.new_key, actor=OPERATOR, now=times.now()
    )
    return signatures.public_key(private)


def public_key_lines(public: str | None) -> list[str]:
    if public is None:
        return []
    return [
        f"  public key      {public}",
        "The public key is no secret: it only verifies, and may be shown to anyone.",
    ]
