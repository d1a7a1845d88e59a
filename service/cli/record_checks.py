"""Checks of the record: whether it answers, and whether the desk in it is well. The judgement is the status page's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from service import settings
from service.cli.checks import GOOD, UP, WARNING, WRONG, Finding, record_kind
from service.console import words_desk
from service.console.words import Word, count
from service.runtime import key_files
from service.settings import Settings
from service.store import migrations
from service.store.articles import sources
from service.store.database import wal
from service.store.database.record import Record, open_record
from service.store.errors import StoreError
from service.store.feeds import sections
from service.store.views import trouble
from service.store.views.feeds import FeedNow
from service.store.views.partners import EndpointNow, PartnerNow, partners_now
from service.store.views.pipeline import PipelineNow, pipeline_now
from service.store.views.thresholds import BEHIND_AFTER
from service.store.views.trouble import StalledPartner
from service.times import span

# The status page shows these levels; what it shows as neither bad nor a warning is well.
_STATES = {"bad": WRONG, "warn": WARNING}
_KEEP_UP = "see the line on workers and their log; if they only do not keep up, raise DATELINE_WORKERS"
_FAILING = "it is tried again by itself; should it go on, tell the partner what it answers"


def of_record(chosen: Settings, at: datetime) -> list[Finding]:
    """The findings about the record and the desk in it. Changes nothing."""
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
    schema = migrations.schema_state(record)
    if not schema.is_usable:
        words, _, remedy = schema.words.rpartition(": ")
        yield Finding("record", WRONG, words, remedy.removeprefix("run "))
        return
    if schema.is_newer:
        words, _, remedy = schema.words.rpartition(": ")
        yield Finding("record", WARNING, words, remedy)
    elif faults := migrations.faults(record):
        words = f"the record is not as schema {schema.current} makes it: {'; '.join(faults[:5])}"
        remedy = (
            "restore it from a backup, or add what is missing by hand; the migrations of this version say how"
        )
        yield Finding("record", WRONG, words, remedy)
    else:
        yield Finding("record", GOOD, f"{record_kind(chosen)} answers, schema {schema.current}")
    yield from _log(record)
    yield from _sealing(record)
    if not sections.all_sections(record):
        yield Finding("sections", WARNING, "there is no section", "dateline section add world --title World")
    yield from _desk(record, at)


def _log(record: Record) -> Iterator[Finding]:
    """SQLite's write-ahead log."""
    if (size := wal.wal_bytes(record)) > wal.WAL_LONG:
        words = f"the record's log (…-wal) has {size / 2**20:,.0f} MiB: a program keeps the record open for reading"
        remedy = (
            "end what reads the file for long, such as a copy or a shell; to back up: dateline backup FILE"
        )
        yield Finding("record", WARNING, words, remedy)


def _sealing(record: Record) -> Iterator[Finding]:
    try:
        sources.active(record)
    except StoreError as error:
        yield Finding("keys", WRONG, str(error), "bring the old key back from a backup of the data directory")


def _desk(record: Record, at: datetime) -> Iterator[Finding]:
    pipeline, partners = pipeline_now(record), partners_now(record, at)
    yield _workers(pipeline, at)
    yield _routing(pipeline, at)
    yield _building(pipeline, at)
    yield _sending(partners, trouble.stalled(record, at - BEHIND_AFTER), at)
    endpoints = [(one, partner) for partner in partners for one in partner.endpoints]
    for endpoint, partner in sorted(endpoints, key=lambda each: each[0].id):
        yield from _endpoint(endpoint, partner)
    for partner in partners:
        yield from (_unfetched(feed, at) for feed in partner.feeds if feed.is_unfetched(at))


def _state(word: Word) -> str:
    return _STATES.get(word.level, GOOD)


def _workers(pipeline: PipelineNow, at: datetime) -> Finding:
    running, known = pipeline.running(at), pipeline.workers
    state = _state(words_desk.workers_word(pipeline, at))
    if not running:
        last = f"the last was seen {span(at - known[0].seen_at)} ago" if known else "none was ever seen"
        return Finding("workers", state, f"no worker runs; {last}", f"{UP}, or: dateline worker")
    if state != GOOD:
        silent = count(len(known) - len(running), "worker")
        remedy = "it may have died: see its log. After an hour it is forgotten"
        return Finding("workers", state, f"{len(running)} at work, and {silent} fell silent", remedy)
    cut_off = [each for each in running if each.broker != "up"]
    if cut_off:
        words = f"{cut_off[0].name} cannot use Redis: {cut_off[0].broker}"
        remedy = "deliveries go on, a second slower; see the line on redis"
        return Finding("workers", _state(words_desk.redis_word(pipeline, at)), words, remedy)
    return Finding(
        "workers", GOOD, f"{len(running)} at work: {', '.join(sorted(one.name for one in running))}"
    )


def _routing(pipeline: PipelineNow, at: datetime) -> Finding:
    state = _state(words_desk.routing_word(pipeline, at))
    words = f"{count(pipeline.unrouted, 'event')} not routed"
    if state == GOOD or pipeline.unrouted_since is None:
        return Finding("backlog", GOOD, words)
    return Finding(
        "backlog", state, f"{words}, the oldest for {span(at - pipeline.unrouted_since)}", _KEEP_UP
    )


def _building(pipeline: PipelineNow, at: datetime) -> Finding:
    state = _state(words_desk.feeds_word(pipeline, at))
    words = f"{count(len(pipeline.feeds_behind), 'feed')} not built"
    if state == GOOD or pipeline.feeds_behind_since is None:
        return Finding("backlog", GOOD, words)
    age = span(at - pipeline.feeds_behind_since)
    return Finding(
        "backlog", state, f"{words}, asked for {age} ago: {', '.join(pipeline.feeds_behind)}", _KEEP_UP
    )


def _sending(partners: Sequence[PartnerNow], stalled: Sequence[StalledPartner], at: datetime) -> Finding:
    undelivered = sum(each.undelivered for each in partners)
    words = f"{count(undelivered, 'delivery', 'deliveries')} undelivered"
    if stalled:
        name, since = stalled[0]
        words += f"; one to {name} has been due for {span(at - since)}, and nobody sends it"
        return Finding("backlog", WRONG, words, _KEEP_UP)
    late = [(each.oldest_since, each.name) for each in partners if each.oldest_since and each.is_late(at)]
    if late:
        since, name = min(late)
        words += f", the oldest for {span(at - since)} ({name})"
        return Finding("backlog", WARNING, words, f"see {name} on the status page; {_KEEP_UP}")
    return Finding("backlog", GOOD, words)


def _endpoint(endpoint: EndpointNow, partner: PartnerNow) -> Iterator[Finding]:
    name = f"endpoint {endpoint.id} of {partner.slug}"
    if endpoint.state != "live":
        state = "switched off" if endpoint.state == "off" else endpoint.state
        words = f"{name} is {state}: {endpoint.state_reason or 'no reason given'}"
        remedy = f"dateline endpoint resume {endpoint.id}"
        yield Finding("endpoints", WRONG if endpoint.state == "off" else WARNING, words, remedy)
    elif endpoint.missing:
        words = f"{name} has {count(endpoint.missing, 'delivery', 'deliveries')} given up"
        remedy = f"see the status page for why; then: {words_desk.replay_command(endpoint.id)}"
        yield Finding("endpoints", WARNING, words, remedy)
    elif endpoint.failures:
        times = f" {endpoint.failures} times in a row" if endpoint.failures > 1 else ""
        words = f"{name} failed{times}, last: {endpoint.last_failure}"
        yield Finding("endpoints", WARNING, words, _FAILING)
    elif endpoint.is_failing:
        words = f"{name} failed to take {count(endpoint.retrying, 'delivery', 'deliveries')}"
        yield Finding("endpoints", WARNING, words, _FAILING)


def _unfetched(feed: FeedNow, at: datetime) -> Finding:
    word = words_desk.feed_state(feed, at)
    words = f"feed {feed.id} of {feed.partner}: {word.word[:1].lower()}{word.word[1:]}, {word.detail}"
    return Finding("feeds", _state(word), words, "ask the partner whether it has the address, and uses it")
