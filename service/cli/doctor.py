"""`dateline doctor`: checks every part, and says in words what is wrong and what to do about it."""

from __future__ import annotations

import email.utils
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import click
import redis
import requests
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from service import settings, times
from service.cli.command import CommandContext, CommandResult, with_context
from service.runtime import embedded_redis, key_files, supervise
from service.settings import Settings
from service.store import migrations
from service.store.articles import sources
from service.store.database.record import Record, open_record
from service.store.errors import StoreError
from service.store.feeds import sections
from service.store.views import checkup

GOOD, WARNING, WRONG = "good", "warning", "wrong"
DISK_WRONG, DISK_LOW = 200 * 2**20, 2 * 2**30
SILENT = timedelta(seconds=10)
LATE = timedelta(seconds=30)
SKEW = timedelta(seconds=60)
# No clock of a machine that runs this is older than this program.
EARLIEST_YEAR = 2026
UP = "dateline up"
_FAILING = "it is tried again by itself; should it go on, tell the partner what it answers"


@dataclass(frozen=True)
class Finding:
    """One check: `state` is good, warning or wrong; `words` say what is so, `remedy` what to do about it."""

    check: str
    state: str
    words: str
    remedy: str = ""


@click.command()
@with_context
def doctor(desk: CommandContext) -> CommandResult:
    """Check every part; say what is wrong and what to do. Exit status 1 if something is wrong."""
    findings = examine(desk.settings, desk.url, times.now())
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


def _sum(wrong: int, warnings: int) -> str:
    looks = f"{warnings} {'thing' if warnings == 1 else 'things'} to look at" if warnings else ""
    if wrong:
        told = f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong"
        return f"{told}, {looks}." if looks else f"{told}."
    return f"Nothing is wrong; {looks}." if looks else "All is well."


def examine(chosen: Settings, url: str, at: datetime) -> list[Finding]:
    """Every check's finding, in the order in which parts depend on each other. Changes nothing."""
    findings = [_settings(chosen), *_data_dir(chosen), _clock(at), *_keys(chosen), _broker(chosen)]
    findings += _record(chosen, at)
    return [*findings, *_web(chosen, url), *_feeds(chosen)]


def _lines(finding: Finding) -> Iterator[str]:
    mark = {GOOD: "ok", WARNING: "look", WRONG: "WRONG"}[finding.state]
    yield f"{mark:<6} {finding.check:<10} {finding.words}"
    if finding.remedy:
        yield f"{'':<17} → {finding.remedy}"


def _settings(chosen: Settings) -> Finding:
    token = chosen.operator_token
    if token and len(token) < 16:
        remedy = "set a longer one, such as what 'openssl rand -hex 24' prints"
        return Finding("settings", WARNING, "DATELINE_OPERATOR_TOKEN is short enough to be guessed", remedy)
    open_to_all = chosen.host not in {"127.0.0.1", "::1", "localhost"}
    if open_to_all and chosen.public_url.startswith("http://"):
        remedy = "put a proxy with https before it, and set DATELINE_PUBLIC_URL=https://…"
        return Finding("settings", WARNING, f"{chosen.listen} is open to the network without https", remedy)
    return Finding("settings", GOOD, f"record {_kind(chosen)}, listening on {chosen.listen}")


def _kind(chosen: Settings) -> str:
    return "SQLite" if chosen.on_sqlite else "PostgreSQL"


def _data_dir(chosen: Settings) -> Iterator[Finding]:
    folder = chosen.data_dir
    if not folder.is_dir():
        yield Finding(
            "data", WRONG, f"there is no {folder}", f"start Dateline once: {UP}; or set DATELINE_DATA_DIR"
        )
        return
    try:
        probe = folder / ".doctor"
        probe.write_text("written by dateline doctor")
        probe.unlink()
    except OSError as error:
        yield Finding(
            "data",
            WRONG,
            f"{folder} cannot be written: {error.strerror}",
            f"chown it to the user that runs '{UP}'",
        )
        return
    if folder.stat().st_mode & 0o077:
        yield Finding("data", WARNING, f"other users can look into {folder}", f"chmod 700 {folder}")
    else:
        yield Finding("data", GOOD, f"{folder} can be written")
    yield _disk(folder)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    words = f"{free / 2**30:.1f} GiB free under {folder}"
    if free < DISK_LOW:
        remedy = "make room: when the disk is full, no article can be accepted"
        return Finding("disk", WRONG if free < DISK_WRONG else WARNING, words, remedy)
    return Finding("disk", GOOD, words)


def _clock(at: datetime) -> Finding:
    if at.year < EARLIEST_YEAR:
        return Finding(
            "clock", WRONG, f"this machine believes it is {at:%Y-%m-%d}", "set its clock; run an NTP service"
        )
    return Finding("clock", GOOD, f"{at:%Y-%m-%d %H:%M:%S} UTC")


def _keys(chosen: Settings) -> Iterator[Finding]:
    for name, given, file in (
        ("secret key", chosen.secret_key, chosen.data_dir / key_files.KEY_FILE),
        ("operator token", chosen.operator_token, chosen.data_dir / key_files.TOKEN_FILE),
    ):
        variable = f"DATELINE_{name.replace(' ', '_').upper()}"
        if given:
            yield Finding("keys", GOOD, f"{name} from {variable}")
        elif not file.is_file():
            yield Finding("keys", WRONG, f"there is no {name} yet", f"'{UP}' makes one; or set {variable}")
        elif file.stat().st_mode & 0o077:
            yield Finding("keys", WRONG, f"other users can read {file}", f"chmod 600 {file}")
        else:
            yield Finding("keys", GOOD, f"{name} in {file}")


def _broker(chosen: Settings) -> Finding:
    if not chosen.redis_url:
        if embedded_redis.answers(embedded_redis.socket_path(chosen)):
            return Finding("redis", GOOD, "the embedded Redis answers")
        remedy = f"start it with '{UP}'. Until then everything waits for the sweep; nothing is lost"
        return Finding("redis", WRONG, "the embedded Redis does not answer", remedy)
    try:
        patience = {"socket_timeout": 2, "socket_connect_timeout": 2}
        with Connection(chosen.redis_url, transport_options=patience) as line:  # type: ignore[no-untyped-call]
            line.ensure_connection(max_retries=1, interval_start=0.1, timeout=3)
    except (OSError, redis.RedisError, OperationalError, ValueError) as error:
        remedy = "check DATELINE_REDIS_URL and that Redis runs. Deliveries go on meanwhile, a second slower"
        return Finding("redis", WRONG, f"Redis does not answer: {error}", remedy)
    return Finding("redis", GOOD, "Redis answers")


def _record(chosen: Settings, at: datetime) -> list[Finding]:
    if chosen.on_sqlite and not Path(chosen.database_url.removeprefix("sqlite:///")).exists():
        return [Finding("record", WRONG, "there is no record yet", f"make it: dateline migrate, or {UP}")]
    if not (chosen.secret_key or (chosen.data_dir / key_files.KEY_FILE).is_file()):
        return []  # the line on keys says what to do
    try:
        keyed = key_files.ensure_keys(chosen)
        record = open_record(keyed.database_url, keyed.secret_key)
    except (OSError, ValueError, settings.SettingsError) as error:
        return [
            Finding("record", WRONG, f"the record cannot be opened: {error}", "check DATELINE_DATABASE_URL")
        ]
    try:
        return [*_schema(record, chosen, at)]
    except Exception as error:  # whatever a database driver finds to complain about
        first = (str(error).splitlines() or [""])[0]
        remedy = "check DATELINE_DATABASE_URL, and that the database runs"
        return [Finding("record", WRONG, f"the record does not answer: {first}", remedy)]
    finally:
        record.close()


def _schema(record: Record, chosen: Settings, at: datetime) -> Iterator[Finding]:
    current, head = migrations.schema_state(record)
    if current != head:
        words = f"the record is at schema {current or 'none'}, this version needs {head}"
        yield Finding("record", WRONG, words, "dateline migrate")
        return
    yield Finding("record", GOOD, f"{_kind(chosen)} answers, schema {current}")
    yield from _sealing(record)
    if not sections.all_sections(record):
        yield Finding("sections", WARNING, "there is no section", "dateline section add world --title World")
    yield _workers(checkup.beats(record), at)
    yield from _backlog(checkup.backlog(record, at), at)
    yield from map(_trouble, checkup.troubles(record))


def _sealing(record: Record) -> Iterator[Finding]:
    try:
        sources.active(record)
    except StoreError as error:
        yield Finding("keys", WRONG, str(error), "bring the old key back from a backup of the data directory")


def _workers(beats: list[checkup.Beat], at: datetime) -> Finding:
    alive = [beat for beat in beats if at - beat.seen_at < SILENT]
    if not alive:
        last = f"the last was seen {_ago(at - beats[0].seen_at)} ago" if beats else "none was ever seen"
        return Finding("workers", WRONG, f"no worker runs; {last}", f"{UP}, or: dateline worker")
    cut_off = [beat for beat in alive if beat.broker != "up"]
    if cut_off:
        words = f"{cut_off[0].name} cannot use Redis: {cut_off[0].broker}"
        return Finding("workers", WARNING, words, "deliveries go on, a second slower; see the line on redis")
    return Finding("workers", GOOD, f"{len(alive)} at work: {', '.join(sorted(beat.name for beat in alive))}")


def _backlog(waiting: checkup.Backlog, at: datetime) -> Iterator[Finding]:
    for what, count, since in (
        ("events not routed", waiting.unrouted, waiting.unrouted_since),
        ("deliveries due and not sent", waiting.overdue, waiting.overdue_since),
    ):
        age = at - since if since else timedelta(0)
        if age > LATE:
            remedy = (
                "see the line on workers and their log; if they only do not keep up, raise DATELINE_WORKERS"
            )
            yield Finding("backlog", WRONG, f"{_count(count, what)}, the oldest for {_ago(age)}", remedy)
        else:
            yield Finding("backlog", GOOD, _count(count, what))


def _count(number: int, what: str) -> str:
    """`what` begins with a noun in the plural."""
    noun, _, rest = what.partition(" ")
    one = {"events": "event", "deliveries": "delivery"}[noun]
    return f"{number} {one if number == 1 else noun} {rest}"


def _trouble(one: checkup.Trouble) -> Finding:
    name = f"endpoint {one.endpoint} of {one.partner}"
    if one.state != "live":
        state = "switched off" if one.state == "off" else one.state
        words = f"{name} is {state}: {one.reason or 'no reason given'}"
        remedy = f"dateline endpoint resume {one.endpoint}"
        return Finding("endpoints", WRONG if one.state == "off" else WARNING, words, remedy)
    if not one.dead:
        words = f"{name} failed {one.failures} times in a row, last: {one.last_failure}"
        return Finding("endpoints", WARNING, words.replace(" 1 times in a row", ""), _FAILING)
    words = f"{name} has {one.dead} {'delivery' if one.dead == 1 else 'deliveries'} given up"
    remedy = f"see the status page for why; then: dateline replay --endpoint {one.endpoint} --since 7d"
    return Finding("endpoints", WARNING, words, remedy)


def _web(chosen: Settings, url: str) -> Iterator[Finding]:
    running = supervise.read_state(chosen.data_dir)
    remedy = f"'{UP}' runs but its web does not answer: look at its log" if running else f"start it: {UP}"
    verdict, answer = _asked(
        url,
        good=f"{url} is ready",
        away=(f"nothing answers on {url}", remedy),
        otherwise="the lines above say why; if none does, another program has that port",
    )
    yield Finding("web", *verdict)
    if answer is not None:
        yield from _skew(answer, times.now())


def _feeds(chosen: Settings) -> Iterator[Finding]:
    """The feeds server, where there is to be one on this machine."""
    running = supervise.read_state(chosen.data_dir) or {}
    url = running.get("feeds_url") or (settings.url_of(chosen.feeds_listen) if chosen.feeds_listen else "")
    if not url:
        return
    remedy = "start it: dateline feeds serve; until then the web serves the feeds, at the web's address"
    verdict, _ = _asked(
        url,
        good=f"the feeds server is ready on {url}",
        away=(f"the feeds server does not answer on {url}", remedy),
        otherwise="see the line on record; if that is well, another program has that port",
    )
    yield Finding("feeds", *verdict)


def _asked(
    url: str, *, good: str, away: tuple[str, str], otherwise: str
) -> tuple[tuple[str, ...], requests.Response | None]:
    """A finding of whether this server is ready, without its name, and what it answered; None if it is away."""
    try:
        answer = requests.get(f"{url}/readyz", timeout=5)
    except requests.RequestException:
        return (WRONG, *away), None
    if answer.status_code == 200:
        return (GOOD, good), answer
    words = f"{url}/readyz answers {answer.status_code}: {answer.text[:200].strip()}"
    return (WRONG, words, otherwise), answer


def _skew(answer: requests.Response, at: datetime) -> Iterator[Finding]:
    try:
        told = email.utils.parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError):
        return
    if abs(at - told) > SKEW:
        words = f"this machine's clock and the web's differ by {_ago(abs(at - told))}"
        yield Finding(
            "clock", WRONG, words, "signatures more than 5 minutes off are refused: run an NTP service"
        )


def _ago(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count != 1 else ''}"
    return f"{seconds} second{'s' if seconds != 1 else ''}"
