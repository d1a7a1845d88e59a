"""The state of the desk in words: endpoints, partners, pipeline, and the sentence at the top. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from service.console import words_intake
from service.console.words import LEVELS, Summary, Word, count
from service.console.words_sources import remedy, source_word
from service.store.views.feeds import FeedNow, TokenNow
from service.store.views.partners import EndpointNow, PartnerNow
from service.store.views.pipeline import PipelineNow
from service.store.views.thresholds import BEHIND_AFTER, LAGGING_AFTER, UNFETCHED_AFTER
from service.times import ago, span, until


def endpoint_state(endpoint: EndpointNow, now: datetime) -> Word:
    """The one word for an endpoint, the gravest that is true."""
    return (
        _stopped_endpoint(endpoint)
        or _on_hold(endpoint, now)
        or _in_trouble(endpoint, now)
        or Word("good", "good", "Healthy")
    )


def _stopped_endpoint(endpoint: EndpointNow) -> Word | None:
    if endpoint.state == "off":
        return Word("bad", "off", "Switched off", endpoint.state_reason or "")
    if endpoint.state == "paused":
        return Word("warn", "paused", "Paused by an operator", endpoint.state_reason or "")
    return None


def _on_hold(endpoint: EndpointNow, now: datetime) -> Word | None:
    if endpoint.breaker == "open" and endpoint.breaker_until and endpoint.breaker_until > now:
        moment = until(endpoint.breaker_until, now)
        return Word("bad", "open", f"Circuit open until {moment}")
    if endpoint.breaker != "closed":
        return Word("warn", "open", "Circuit open, being tried again")
    if endpoint.not_before and endpoint.not_before > now:
        moment = until(endpoint.not_before, now)
        return Word("warn", "paused", f"Asked to wait until {moment}")
    return None


def _in_trouble(endpoint: EndpointNow, now: datetime) -> Word | None:
    if endpoint.is_failing:
        return Word("warn", "retry", "Retrying")
    if endpoint.oldest_since and endpoint.is_slow(now):
        return Word("warn", "slow", "Slow", f"the oldest has waited {span(now - endpoint.oldest_since)}")
    return None


def replay_command(endpoint_id: int, cause: str | None = None) -> str:
    """The command that sends again what was given up at an endpoint, of one cause if it is named; nothing else."""
    of_cause = f" --cause {cause_word(cause)}" if cause else ""
    return f"dateline replay --endpoint {endpoint_id} --dead{of_cause}"


def cause_word(cause: str) -> str:
    """The cause as it is written on a command line."""
    return cause.replace("_", "-")


def partner_state(partner: PartnerNow, now: datetime) -> Word:
    """The word of its worst endpoint or feed."""
    words = [endpoint_state(each, now) for each in partner.endpoints]
    words += [feed_state(each, now) for each in partner.open_feeds]
    if not words:
        return Word("quiet", "none", "No endpoint", "it is pushed nothing; the public feeds are not affected")
    return max(words, key=lambda word: LEVELS.index(word.level))


def feed_state(feed: FeedNow, now: datetime) -> Word:
    """Whether a partner fetches its own feed."""
    if feed.revoked_at is not None:
        return Word("quiet", "off", "Revoked", f"on {until(feed.revoked_at, now)}")
    if feed.fetched_at is None:
        waited = now - feed.created_at
        words = f"its feed was made {span(waited)} ago"
        return (
            Word("warn", "slow", "Never fetched", words)
            if feed.is_unfetched(now)
            else Word("quiet", "pending", "Never fetched", words)
        )
    if feed.is_unfetched(now):
        return Word(
            "warn", "slow", "Has stopped fetching", f"has not fetched since {until(feed.fetched_at, now)}"
        )
    return Word("good", "good", "Fetches", f"last {ago(feed.fetched_at, now)}")


def token_words(token: TokenNow, now: datetime) -> str:
    """The state of a feed's token: until when it works, and whether it is used."""
    used = f"used {ago(token.fetched_at, now)}" if token.fetched_at else None
    tried = f"tried {ago(token.refused_at, now)}" if token.refused_at else None
    if token.until is None:
        return (used or "not used yet") + (f"; {tried} after it was revoked" if tried else "")
    if token.until <= now:
        return f"replaced, ended {until(token.until, now)}" + (f"; still {tried}" if tried else "")
    lately = token.fetched_at is not None and now - token.fetched_at <= UNFETCHED_AFTER
    use = f"{'still' if lately else 'last'} {used}" if used else "never used"
    return f"replaced, works until {until(token.until, now)}; {use}"


def worst_first(partners: Iterable[PartnerNow], now: datetime) -> list[PartnerNow]:
    """Those behind first, by age; then by how grave their state is; then by name."""

    def rank(partner: PartnerNow) -> tuple[bool, int, datetime, str]:
        gravity = LEVELS.index(partner_state(partner, now).level)
        return (not partner.is_behind(now), -gravity, partner.oldest_since or now, partner.name.casefold())

    return sorted(partners, key=rank)


def summary(partners: Sequence[PartnerNow], pipeline: PipelineNow, now: datetime) -> Summary:
    """One sentence for the whole desk. A stop of everything comes before a partner's trouble."""
    if stop := _pipeline_stop(pipeline, now) or _takedown_missing(pipeline, now):
        return stop
    if not partners:
        return Summary("quiet", "There are no partners yet", "dateline partner add SLUG --name NAME")
    behind = [each for each in partners if each.is_behind(now)]
    if behind:
        return _behind(behind, now)
    stopped = [
        each for each in partners if each.endpoints and all(one.state != "live" for one in each.endpoints)
    ]
    if stopped:
        names = _names([each.name for each in stopped])
        verb = "is" if len(stopped) == 1 else "are"
        current = len(partners) - len(stopped)
        return Summary(
            "warn", f"{current} of {count(len(partners), 'partner')} current; {names} {verb} pushed nothing"
        )
    silent = [each for each in partners if any(one.is_unfetched(now) for one in each.feeds)]
    return (
        words_intake.refused(pipeline, now)
        or _not_current(partners)
        or (_unfetched(silent) if silent else None)
        or words_intake.silence(pipeline, now)
        or words_intake.nothing_came(pipeline, now)
        or Summary(
            "good",
            "The one partner is current"
            if len(partners) == 1
            else f"All {len(partners)} partners are current",
        )
    )


def _takedown_missing(pipeline: PipelineNow, now: datetime) -> Summary | None:
    """A takedown that is held, waits for the operator, or was refused: its story is still everywhere."""
    if held := [each for each in pipeline.sources if source_word(each, now).level == "bad"]:
        words = source_word(held[0], now)
        return Summary("bad", f"{words.word}: {held[0].name}", remedy(held[0]))
    return words_intake.refused_takedown(pipeline, now)


def _not_current(partners: Sequence[PartnerNow]) -> Summary | None:
    """Not all are current from the first failure on, and for as long as anything due waits or is on the wire."""
    failing, waiting = [], []
    for each in partners:
        if any(map(_fails, each.endpoints)):
            failing.append(each)
        elif each.undelivered:
            waiting.append(each)
    current = len(partners) - len(failing) - len(waiting)
    rest = f"; {current} of {count(len(partners), 'partner')} current"
    if failing:
        return Summary("warn", f"Pushes to {_names([each.name for each in failing])} fail{rest}")
    if not waiting:
        return None
    names = _names([each.name for each in waiting])
    stands = [
        each for each in waiting if all(one.state != "live" or not one.undelivered for one in each.endpoints)
    ]
    if stands:
        return Summary("warn", f"Pushes to {_names([each.name for each in stands])} are held back{rest}")
    return Summary("busy", f"Sending to {names}{rest}")


def _fails(endpoint: EndpointNow) -> bool:
    return endpoint.state == "live" and (endpoint.is_failing or endpoint.breaker != "closed")


def _unfetched(silent: Sequence[PartnerNow]) -> Summary:
    have = "has not fetched its feed" if len(silent) == 1 else "have not fetched their feeds"
    return Summary("warn", f"{_names([each.name for each in silent])} {have} for more than a day")


def _pipeline_stop(pipeline: PipelineNow, now: datetime) -> Summary | None:
    if not pipeline.running(now):
        words = "No worker is running: articles are accepted and kept, but nothing is sent or built"
        return Summary("bad", words, "dateline doctor")
    if pipeline.unrouted_since and now - pipeline.unrouted_since > BEHIND_AFTER:
        waited = span(now - pipeline.unrouted_since)
        words = (
            f"New articles are stuck: {count(pipeline.unrouted, 'event')} not routed, the oldest for {waited}"
        )
        return Summary("bad", words, "dateline doctor")
    return None


def _behind(behind: Sequence[PartnerNow], now: datetime) -> Summary:
    subject = "1 partner is behind" if len(behind) == 1 else f"{len(behind)} partners are behind"
    late = [(each.oldest_since, each.name) for each in behind if each.oldest_since and each.is_late(now)]
    if late:
        moment, name = min(late)
        return Summary("bad", f"{subject}: oldest undelivered {span(now - moment)} ({name})")
    worst = max(behind, key=lambda each: each.missing)
    missing = sum(each.missing for each in behind)
    verb = "was" if missing == 1 else "were"
    return Summary(
        "bad", f"{subject}: {count(missing, 'delivery', 'deliveries')} {verb} given up ({worst.name})"
    )


def _names(names: Sequence[str]) -> str:
    shown = list(names[:3]) + ([f"{len(names) - 3} more"] if len(names) > 3 else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def workers_word(pipeline: PipelineNow, now: datetime) -> Word:
    running, known = len(pipeline.running(now)), len(pipeline.workers)
    if not running:
        last = f"the last was seen {ago(pipeline.workers[0].seen_at, now)}" if known else "none was ever seen"
        return Word("bad", "off", "None running", f"{last}; start one: dateline worker")
    silent = known - running
    if silent:
        return Word("warn", "slow", f"{running} running", f"{count(silent, 'worker')} fell silent")
    return Word("good", "good", f"{running} running")


def redis_word(pipeline: PipelineNow, now: datetime) -> Word:
    """Redis as the workers see it: it carries hints only, so its loss costs time and nothing else."""
    brokers = [each.broker for each in pipeline.running(now)]
    if not brokers:
        return Word("quiet", "none", "Not known", "only workers can tell, and none is running")
    down = [each for each in brokers if each != "up"]
    if not down:
        return Word("good", "good", "Up")
    some = "" if len(down) == len(brokers) else f" for {len(down)} of {count(len(brokers), 'worker')}"
    return Word("warn", "slow", f"Down{some}", f"{down[0]}; deliveries continue, about a second slower")


def routing_word(pipeline: PipelineNow, now: datetime) -> Word:
    if not pipeline.unrouted or pipeline.unrouted_since is None:
        return Word("good", "good", "Nothing waits")
    waited = now - pipeline.unrouted_since
    level = "bad" if waited > BEHIND_AFTER else "warn" if waited > LAGGING_AFTER else "busy"
    return Word(
        level,
        "slow" if level != "busy" else "sending",
        f"{pipeline.unrouted:,} waiting",
        f"the oldest for {span(waited)}",
    )


def feeds_word(pipeline: PipelineNow, now: datetime) -> Word:
    if not pipeline.feeds:
        return Word("quiet", "none", "No feeds yet", "dateline section add SLUG --title TITLE")
    since = pipeline.feeds_behind_since
    if since is None:
        return Word(
            "good", "good", f"All {pipeline.feeds} up to date" if pipeline.feeds > 1 else "Up to date"
        )
    waited = now - since
    level = "warn" if waited > LAGGING_AFTER else "busy"
    names = _names(list(pipeline.feeds_behind))
    return Word(
        level,
        "slow" if level == "warn" else "sending",
        f"{len(pipeline.feeds_behind)} of {pipeline.feeds} being built",
        f"{names}; asked for {span(waited)} ago",
    )
