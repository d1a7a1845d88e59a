"""Checks of one machine: settings, data directory, disk, clock, keys, Redis, the servers. Each gives findings."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import requests

from service import settings, times
from service.runtime import embedded_redis, files, key_files, supervise
from service.runtime.broker_check import BROKER_UP, BrokerCheck
from service.settings import TOKEN_LENGTH, Settings
from service.times import span

GOOD, WARNING, WRONG = "good", "warning", "wrong"
DISK_WRONG, DISK_LOW = 200 * 2**20, 2 * 2**30  # bytes
SKEW_MAX = timedelta(seconds=60)
# No clock of a machine that runs this is older than this program.
EARLIEST_YEAR = 2026
UP = "dateline up"


@dataclass(frozen=True)
class Finding:
    """One check's result: `state` is good, warning or wrong; `words` say how it is, `remedy` what to do about it."""

    check: str
    state: str
    words: str
    remedy: str = ""


def of_machine(chosen: Settings, at: datetime) -> Iterator[Finding]:
    """The findings about the settings and what they name on this machine. Changes nothing."""
    yield _settings(chosen)
    yield from _identity(chosen)
    yield from _data_dir(chosen)
    yield _clock(at)
    yield from _keys(chosen)
    yield _broker(chosen)


def of_servers(chosen: Settings, url: str) -> Iterator[Finding]:
    """The findings about the web at `url` and the feeds server, asked over HTTP."""
    yield from _web(chosen, url)
    yield from _feeds(chosen)


def record_kind(chosen: Settings) -> str:
    return "SQLite" if chosen.on_sqlite else "PostgreSQL"


def _settings(chosen: Settings) -> Finding:
    token = chosen.operator_token
    if token and len(token) < TOKEN_LENGTH:
        remedy = "set a longer one, such as what 'openssl rand -hex 24' prints"
        words = "DATELINE_OPERATOR_TOKEN is short enough to be guessed: no part starts with it"
        return Finding("settings", WRONG, words, remedy)
    open_to_all = chosen.host not in {"127.0.0.1", "::1", "localhost"}
    if open_to_all and chosen.public_url.startswith("http://"):
        remedy = "put a proxy with https before it, and set DATELINE_PUBLIC_URL=https://…"
        return Finding("settings", WARNING, f"{chosen.listen} is open to the network without https", remedy)
    return Finding("settings", GOOD, f"record {record_kind(chosen)}, DATELINE_LISTEN is {chosen.listen}")


def _identity(chosen: Settings) -> Iterator[Finding]:
    """The desk's name, which readers see, and its address, of which its ids are made."""
    if "public_url" not in chosen.model_fields_set:
        words = f"DATELINE_PUBLIC_URL is not set: {chosen.public_url} is in the ids of stories for ever"
        yield Finding(
            "identity", WARNING, words, "set it to the desk's public address before the first story"
        )
    if not chosen.desk_name:
        words = "DATELINE_DESK_NAME is not set: the feeds name no publisher"
        yield Finding("identity", WARNING, words, "set it to the desk's name, as readers are to see it")
    elif "public_url" in chosen.model_fields_set:
        yield Finding("identity", GOOD, f"{chosen.desk_name} at {chosen.public_url}")


def _data_dir(chosen: Settings) -> Iterator[Finding]:
    folder = chosen.data_dir
    if not folder.is_dir() and not _needs_data_dir(chosen):
        yield Finding(
            "data", GOOD, f"there is no {folder}, and nothing is kept there: all of it is elsewhere"
        )
        return
    if not folder.is_dir():
        yield Finding(
            "data", WRONG, f"there is no {folder}", f"start Dateline once: {UP}; or set DATELINE_DATA_DIR"
        )
        return
    try:
        probe = folder / ".doctor"
        files.write_whole(probe, b"written by dateline doctor")
        probe.unlink()
    except OSError as error:
        yield Finding(
            "data",
            WRONG,
            files.disk_trouble(error),
            "make room or mend the disk; Dateline goes on by itself"
            if files.is_disk_trouble(error)
            else f"chown {folder} to the user that runs '{UP}'",
        )
        return
    if folder.stat().st_mode & 0o077:
        yield Finding("data", WARNING, f"other users can look into {folder}", f"chmod 700 {folder}")
    else:
        yield Finding("data", GOOD, f"{folder} can be written")
    yield _disk(folder)


def _needs_data_dir(chosen: Settings) -> bool:
    """Whether the record, a key or the embedded Redis is in the data directory."""
    keys = bool(chosen.operator_token and chosen.secret_key)
    notices = bool(chosen.notice_secret or not chosen.notice_url)
    return chosen.on_sqlite or not chosen.redis_url or not (keys and notices)


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
    for name, value, file in (
        ("secret key", chosen.secret_key, chosen.data_dir / key_files.KEY_FILE),
        ("operator token", chosen.operator_token, chosen.data_dir / key_files.TOKEN_FILE),
    ):
        variable = f"DATELINE_{name.replace(' ', '_').upper()}"
        if value:
            yield Finding("keys", GOOD, f"{name} from {variable}")
        elif not file.is_file():
            yield Finding("keys", WRONG, f"there is no {name} yet", f"'{UP}' makes one; or set {variable}")
        elif file.stat().st_mode & 0o077:
            yield Finding("keys", WRONG, f"other users can read {file}", f"chmod 600 {file}")
        else:
            yield Finding("keys", GOOD, f"{name} in {file}")


def _broker(chosen: Settings) -> Finding:
    embedded = "" if chosen.redis_url else "the embedded "
    words = BrokerCheck(embedded_redis.redis_url_of(chosen), seconds=2)()
    if words == BROKER_UP:
        return Finding("redis", GOOD, f"{embedded}Redis answers, and takes hints".lstrip())
    if embedded and not embedded_redis.answers(embedded_redis.socket_path(chosen)):
        remedy = f"start it with '{UP}'. Until then everything waits for the sweep; nothing is lost"
        return Finding("redis", WRONG, "the embedded Redis does not answer", remedy)
    remedy = "check DATELINE_REDIS_URL, and Redis itself. Deliveries go on meanwhile, a second slower"
    return Finding("redis", WRONG, words, remedy)


def _web(chosen: Settings, url: str) -> Iterator[Finding]:
    running = supervise.read_state(chosen.data_dir)
    remedy = (
        f"'{UP}' runs but its web does not answer: look at its log"
        if running
        else f"start it: {UP}; if it runs at another address: dateline doctor --url http://HOST:PORT"
    )
    verdict, answer = _ask(
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
    verdict, _ = _ask(
        url,
        good=f"the feeds server is ready on {url}",
        away=(f"the feeds server does not answer on {url}", remedy),
        otherwise="see the line on record; if that is well, another program has that port",
    )
    yield Finding("feeds", *verdict)


def _ask(
    url: str, *, good: str, away: tuple[str, str], otherwise: str
) -> tuple[tuple[str, ...], requests.Response | None]:
    """A finding about a server, without the check's name, and the server's answer; None if it is away."""
    try:
        answer = requests.get(f"{url}/readyz", timeout=5)
    except requests.RequestException:
        return (WRONG, *away), None
    if answer.status_code == 200:
        return (GOOD, good), answer
    words = f"{url}/readyz answers {answer.status_code}: {answer.text[:200].strip()}"
    return (WRONG, words, otherwise), answer


def _skew(answer: requests.Response, at: datetime) -> Iterator[Finding]:
    theirs = times.from_http(answer.headers.get("Date", ""))
    if theirs is None:
        return
    if abs(at - theirs) > SKEW_MAX:
        words = f"this machine's clock and the web's differ by {span(abs(at - theirs))}"
        yield Finding(
            "clock", WRONG, words, "signatures more than 5 minutes off are refused: run an NTP service"
        )
