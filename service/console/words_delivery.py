"""The reason why a delivery is where it is, and what an operator can do about it, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.store.views.deliveries import Before, DeliveryNow, DeliveryPage
from service.store.views.partners import EndpointNow
from service.times import ago, clock, span, until


@dataclass(frozen=True)
class Why:
    """`sentences` in the order of reading; `command` is what an operator may run, or nothing."""

    sentences: tuple[str, ...]
    command: str = ""


def why(page: DeliveryPage, endpoint: EndpointNow, workers_running: int, now: datetime) -> Why:
    """The reason for a delivery's state; of several things that hold it back, the decisive one first."""
    settled = {
        "delivered": _delivered,
        "superseded": _superseded,
        "cancelled": _cancelled,
        "dead": _dead,
        "sending": _sending,
    }.get(page.delivery.state)
    if settled is not None:
        return settled(page.delivery, now)
    return _unsent(page, endpoint, workers_running, now)


def _delivered(delivery: DeliveryNow, now: datetime) -> Why:
    at = f" at {clock(delivery.settled_at, now)} UTC" if delivery.settled_at else ""
    tries = "the first attempt" if delivery.attempts == 1 else f"attempt {delivery.attempts}"
    words = [f"The partner {delivery.last_words or 'confirmed it'}{at}, on {tries}."]
    if delivery.settled_at and delivery.settled_at >= delivery.created_at:
        words.append(f"That was {span(delivery.settled_at - delivery.created_at)} after it was made.")
    words.append("If the partner has lost it, this shows what sending it again would do:")
    return Why(tuple(words), f"dateline replay --delivery {delivery.id} --dry-run")


def _superseded(delivery: DeliveryNow, _now: datetime) -> Why:
    newer = f"revision {delivery.superseded_by}" if delivery.superseded_by else "a newer revision"
    return Why((
        f"It was not sent to its end, because {newer} of the article took its place.",
        "An outlet never gets an older version after a newer one.",
    ))  # fmt: skip


def _cancelled(_delivery: DeliveryNow, _now: datetime) -> Why:
    return Why(
        ("The article was taken down before this outlet had got any of it, so there was nothing to send.",)
    )


def _dead(delivery: DeliveryNow, now: datetime) -> Why:
    at = f" at {clock(delivery.settled_at, now)} UTC" if delivery.settled_at else ""
    tries = "one attempt" if delivery.attempts == 1 else f"{delivery.attempts} attempts"
    last = f": {delivery.last_words}" if delivery.last_words else ""
    words = [f"It was given up{at} after {tries}{last}."]
    if delivery.newest > delivery.revision:
        words.append(f"Revision {delivery.newest} came after it; this one will not be sent again.")
        return Why(tuple(words))
    words.append("Once the partner has mended it, send it again:")
    return Why(tuple(words), f"dateline replay --delivery {delivery.id}")


def _sending(delivery: DeliveryNow, now: datetime) -> Why:
    words = [f"Attempt {delivery.attempts} is on its way."]
    if delivery.lease_until and delivery.lease_until > now:
        words.append(
            f"Should its worker die, another takes over at {clock(delivery.lease_until, now)} UTC at the latest."
        )
    else:
        words.append("Its worker has not reported back in time; another takes over within seconds.")
    return Why(tuple(words))


def _unsent(page: DeliveryPage, endpoint: EndpointNow, workers_running: int, now: datetime) -> Why:
    delivery = page.delivery
    past = [f"Attempt {delivery.attempts} failed: {delivery.last_words}."] if delivery.last_words else []
    hold = _endpoint_hold(delivery, endpoint, now)
    if hold is not None:
        return Why((*hold.sentences, *past), hold.command)
    if page.before:
        return Why((_order(page.before[0], delivery), *past))
    if delivery.due_at > now:
        return Why((*past, _when(delivery, now)))
    if not workers_running:
        return Why(("It is due, but no worker is running.", *past), "dateline doctor")
    if endpoint.in_flight >= endpoint.max_in_flight:
        flying = f"{endpoint.in_flight} of {endpoint.max_in_flight} requests there are under way"
        return Why((f"It is due and waits for its turn: {flying}.", *past))
    return Why((f"It was due {ago(delivery.due_at, now)} and will be sent within seconds.", *past))


def _endpoint_hold(delivery: DeliveryNow, endpoint: EndpointNow, now: datetime) -> Why | None:
    """The hold of the whole endpoint, if there is one. A takedown waits only for one that is switched off."""
    resume = f"dateline endpoint resume {endpoint.id}"
    since = f"{clock(endpoint.state_since, now)} UTC"
    reason = f" ({endpoint.state_reason})" if endpoint.state_reason else ""
    waits = "It is kept, and goes when the endpoint is back, unless a newer revision takes its place."
    if endpoint.state == "off":
        return Why((f"The endpoint is switched off since {since}{reason}.", waits), resume)
    if delivery.priority == 0:
        return None
    if endpoint.state == "paused":
        return Why((f"An operator paused the endpoint at {since}{reason}.", waits), resume)
    if endpoint.breaker == "open" and endpoint.breaker_until and endpoint.breaker_until > now:
        tried = f"The endpoint failed {endpoint.failures} times in a row, so it is left alone until"
        return Why(
            (f"{tried} {until(endpoint.breaker_until, now)} UTC; then one push tries whether it is back.",)
        )
    if endpoint.not_before and endpoint.not_before > now:
        return Why((f"The partner asked to wait until {until(endpoint.not_before, now)} UTC (Retry-After).",))
    return None


def _order(before: Before, delivery: DeliveryNow) -> str:
    if before.state == "sending":
        return f"It waits for revision {before.revision}, which is on its way to the same endpoint."
    if before.revision < delivery.revision:
        return f"It waits for revision {before.revision}: this endpoint wants every revision, in order."
    return f"Revision {before.revision} waits too and is newer: it goes instead."


def _when(delivery: DeliveryNow, now: datetime) -> str:
    embargoed = delivery.embargo_until and delivery.embargo_until > now
    if delivery.embargo_until and embargoed and delivery.attempts == 0 and delivery.priority != 0:
        moment = delivery.embargo_until
        return f"It is under embargo and goes out at {clock(moment, now)} UTC, {ago(moment, now)}."
    return f"The next attempt is due at {clock(delivery.due_at, now)} UTC, {ago(delivery.due_at, now)}."
