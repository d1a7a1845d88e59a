"""`dateline doctor`: checks every part, and says in words what is wrong and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime

import click

from service import times
from service.cli import checks, record_checks
from service.cli.checks import GOOD, WARNING, WRONG, Finding
from service.cli.command import CommandContext, CommandResult, with_context
from service.plain_text import printable
from service.settings import Settings


@click.command()
@click.option(
    "--url",
    help="The web's address (default: that of the running 'dateline up' or 'dateline web', else the public one).",
)
@with_context
def doctor(desk: CommandContext, url: str | None) -> CommandResult:
    """Check every part; say what is wrong and what to do. Exit status 1 if something is wrong."""
    findings = examine(desk.settings, (url or desk.url).rstrip("/"), times.now())
    wrong = sum(finding.state == WRONG for finding in findings)
    warnings = sum(finding.state == WARNING for finding in findings)
    return CommandResult(
        {
            "ok": not wrong,
            "wrong": wrong,
            "warnings": warnings,
            "findings": [asdict(one) for one in findings],
        },
        [*(line for one in findings for line in _lines(one)), _sum(wrong, warnings)],
        status=1 if wrong else 0,
    )


def examine(chosen: Settings, url: str, at: datetime) -> list[Finding]:
    """Every check's finding, in the order in which parts depend on each other. Changes nothing.

    Some words are of partners, databases and servers that answered: all are safe to print.
    """
    findings = [
        *checks.of_machine(chosen, at),
        *record_checks.of_record(chosen, at),
        *checks.of_servers(chosen, url),
    ]
    return [replace(one, words=printable(one.words), remedy=printable(one.remedy)) for one in findings]


def _sum(wrong: int, warnings: int) -> str:
    looks = f"{warnings} {'thing' if warnings == 1 else 'things'} to look at" if warnings else ""
    if wrong:
        faults = f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong"
        return f"{faults}, {looks}." if looks else f"{faults}."
    return f"Nothing is wrong; {looks}." if looks else "All is well."


def _lines(finding: Finding) -> Iterator[str]:
    mark = {GOOD: "ok", WARNING: "look", WRONG: "WRONG"}[finding.state]
    yield f"{mark:<6} {finding.check:<10} {finding.words}"
    if finding.remedy:
        yield f"{'':<17} → {finding.remedy}"
