"""The operator's pages below /status, server-rendered: facts of `service.store.views`, words of `console.words*`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

from flask import Blueprint, Flask, Response, abort, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import NotFound as NotFoundPage
from werkzeug.urls import iri_to_uri
from werkzeug.wrappers import Response as AnyResponse

from service import times
from service.console import (
    article_list,
    history_pages,
    login,
    page_parameters,
    source_pages,
    words_delivery,
    words_desk,
    words_request,
)
from service.console import words as wording
from service.console.list_page import list_page
from service.console.login import OperatorSession
from service.http import problems
from service.http.guess_limits import GuessLimits
from service.http.problems import Problem
from service.plain_text import printable
from service.settings import Settings
from service.store import names, notices
from service.store.database.record import Record
from service.store.deliveries import push_content
from service.store.errors import NotFound, RecordUnavailable
from service.store.views import deliveries, events, feeds, trouble
from service.store.views.deliveries import DeliveryNow
from service.store.views.partners import partners_now
from service.store.views.pipeline import PipelineNow, pipeline_now
from service.webhooks import push_body

REFRESH_SECONDS = 10
NOTICES_SHOWN = 20
FETCHES_SHOWN = 10
PARTNERS_SHOWN = 50
_OPEN = {"pages.login", "pages.log_in", "pages.style"}


def create_blueprint(
    settings: Settings,
    record: Record,
    *,
    clock: Callable[[], datetime] = times.now,
    feeds: Callable[[], str],
) -> Blueprint:
    """The pages; the operator's token opens them. `clock` gives aware UTC times.

    `feeds` says how old the documents are that this process serves.

    Sets the application's secret key and how its session cookie is made.
    """
    pages = Blueprint("pages", __name__, template_folder="templates")
    operator, views = OperatorSession(settings, record, clock), StatusViews(record, clock, feeds)
    pages.record_once(lambda state: operator.prepare(cast(Flask, state.app)))
    pages.before_request(lambda: _ask_for_login(operator))
    pages.before_request(page_parameters.refuse_wrong)
    pages.after_request(login.harden)
    pages.register_error_handler(HTTPException, _refusal)
    pages.register_error_handler(Problem, _query_refusal)
    pages.register_error_handler(NotFound, lambda _: _refusal(NotFoundPage()))
    pages.register_error_handler(RecordUnavailable, _record_away)
    pages.register_error_handler(Exception, _unexpected)
    pages.app_template_filter("sentence")(wording.sentence)
    pages.app_template_filter("printable")(printable)
    pages.context_processor(lambda: _words(clock()))
    login.add_routes(pages, operator, GuessLimits(record, clock, settings.trusted_proxies))
    _add_style(pages)
    source_pages.add_routes(pages, record, clock)
    pages.add_url_rule("/status", "overview", views.overview)
    pages.add_url_rule("/status/partners/<slug>", "partner", views.partner)
    pages.add_url_rule("/status/articles", "articles", views.articles)
    pages.add_url_rule("/status/articles/<path:name>", "article", views.article)
    pages.add_url_rule("/status/events/<name>", "event", views.event)
    pages.add_url_rule("/status/deliveries/<name>", "delivery", views.delivery)
    pages.add_url_rule("/status/dead", "dead", views.dead)
    pages.add_url_rule("/status/", "home", lambda: redirect(url_for("pages.overview")))
    pages.add_url_rule("/status/<path:name>", "nothing", lambda **_: abort(404))
    return pages


def _ask_for_login(operator: OperatorSession) -> AnyResponse | None:
    if request.endpoint in _OPEN or operator.is_logged_in():
        return None
    asked = iri_to_uri(request.full_path.rstrip("?")) if request.method == "GET" else "/status"
    target = login.own_path(asked)
    return redirect(url_for("pages.login", next=None if target == "/status" else target))


def _add_style(pages: Blueprint) -> None:
    """The style sheet, under an address that changes with its bytes."""
    sheet = (Path(__file__).parents[1] / "static" / "status.css").read_bytes()
    stamp = hashlib.sha256(sheet).hexdigest()[:12]

    def style() -> Response:
        answer = Response(sheet, mimetype="text/css")
        answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return answer

    pages.add_url_rule("/status/style.css", "style", style)
    pages.context_processor(lambda: {"style_url": url_for("pages.style", v=stamp)})


def _refusal(error: HTTPException) -> tuple[str, int]:
    words = {
        403: "The form was too old, or was not sent from this site. Go back, load the page again and repeat it.",
        404: "There is nothing here. The address may have been mistyped; articles can be searched by their ids.",
    }
    code = error.code or 500
    return _trouble_page(error.name, words.get(code, error.description or "")), code


def _query_refusal(refusal: Problem) -> tuple[str, int]:
    words = f"{wording.sentence(refusal.detail)}. Take it out of the address, or go back."
    return _trouble_page(HTTPStatus(refusal.status).phrase, words), refusal.status


def _record_away(error: RecordUnavailable) -> tuple[str, int, dict[str, str]]:
    problems.note_record_away(error)
    words = (
        "The record is away or busy. Load this page again in a moment; if it stays so, run: dateline doctor"
    )
    retry = {"Retry-After": str(problems.RETRY_SECONDS)}
    return _trouble_page("The record does not answer", words), 503, retry


def _unexpected(error: Exception) -> tuple[str, int]:
    number = problems.note_unexpected(error)
    return _trouble_page("A fault of ours", f"It stands in the log with the number {number}."), 500


def _trouble_page(title: str, words: str) -> str:
    return render_template("status/trouble.html", title=title, words=words)


def _words(now: datetime) -> dict[str, Any]:
    """The functions that templates may call: the words of facts, as of this request's moment."""
    return {
        "now": now,
        "csrf": login.csrf_token,
        "ago": lambda moment: times.ago(moment, now),
        "clock": lambda moment: times.clock(moment, now),
        "span": times.span,
        "count": wording.count,
        "actor_words": wording.actor_words,
        "status_words": wording.STATUS_WORDS,
        "event_words": wording.EVENT_WORDS,
        "notice_words": wording.NOTICE_WORDS,
        "delivery_word": lambda each: wording.delivery_word(each.state, each.due_at, now),
        "delivery_counts": wording.delivery_counts,
        "feed_state": lambda each: words_desk.feed_state(each, now),
        "token_words": lambda each: words_desk.token_words(each, now),
        "endpoint_state": lambda each: words_desk.endpoint_state(each, now),
        "partner_state": lambda each: words_desk.partner_state(each, now),
        "replay_command": words_desk.replay_command,
        "cause_word": words_desk.cause_word,
        "shown_text": wording.shown_text,
        "last_part": names.last_part,
    }


class StatusViews:
    """Each view reads what it shows, once, and renders it."""

    def __init__(self, record: Record, clock: Callable[[], datetime], served: Callable[[], str]) -> None:
        self._record = record
        self._clock = clock
        self._served = served

    def overview(self) -> str:
        now = self._clock()
        partners = partners_now(self._record, now)
        pipeline = pipeline_now(self._record)
        ranked = words_desk.worst_first(partners, now)
        return render_template(
            "status/overview.html",
            refresh=None if "refresh" in request.args else REFRESH_SECONDS,
            summary=words_desk.summary(partners, pipeline, now),
            partners=list_page(ranked, lambda each: each.slug, "after", PARTNERS_SHOWN),
            pipeline=pipeline,
            pipeline_words=pipeline_words(pipeline, now),
            served=self._served(),
            given_up=sum(each.given_up for each in partners),
            missing=sum(each.missing for each in partners),
            events=events.latest_events(self._record, now),
            notices=notices.latest(self._record, NOTICES_SHOWN),
        )

    def partner(self, slug: str) -> str:
        partners = partners_now(self._record, self._clock(), slug)
        if not partners:
            abort(404)
        [partner] = partners
        endpoints = list_page(partner.endpoints, lambda each: each.id, "after")
        own_feeds = list_page(partner.feeds, lambda each: each.id, "feeds_after")
        ids = [each.id for each in endpoints.shown]
        return render_template(
            "status/partner.html",
            partner=partner,
            endpoints=endpoints,
            own_feeds=own_feeds,
            notices=notices.latest(self._record, NOTICES_SHOWN, slug),
            fetches={
                each.id: feeds.latest_fetches(self._record, each.id, FETCHES_SHOWN)
                for each in own_feeds.shown
            },
            waiting={each: deliveries.undelivered(self._record, each) for each in ids},
            latest={each: deliveries.latest_deliveries(self._record, each) for each in ids},
        )

    def articles(self) -> str | AnyResponse:
        return article_list.articles(self._record, self._clock())

    def article(self, name: str) -> str:
        return history_pages.article(self._record, name)

    def event(self, name: str) -> str:
        return history_pages.event(self._record, name)

    def delivery(self, name: str) -> str:
        now = self._clock()
        page = deliveries.delivery_page(self._record, name)
        delivery = page.delivery
        [owner] = partners_now(self._record, now, delivery.partner)
        endpoint = next(each for each in owner.endpoints if each.id == delivery.endpoint_id)
        running = len(pipeline_now(self._record).running(now))
        return render_template(
            "status/delivery.html",
            page=page,
            delivery=delivery,
            endpoint=endpoint,
            why=words_delivery.why(page, endpoint, running, now),
            sent=words_request.requests_of(page, self._body(delivery, now)),
        )

    def _body(self, delivery: DeliveryNow, now: datetime) -> bytes | None:
        """The push's body; None for what is under embargo, and for the text of a story taken down since."""
        secret = delivery.embargo_until is not None and delivery.embargo_until > now
        withdrawn = delivery.article_status != "usable" and delivery.revision < delivery.newest
        if secret or withdrawn:
            return None
        return push_body.body(
            push_content.push_contents(self._record, [delivery.event_row])[delivery.event_row]
        )

    def dead(self) -> str:
        chosen = request.args.get("endpoint", type=int)
        return render_template(
            "status/dead.html",
            groups=trouble.dead_groups(self._record),
            looked_at=trouble.LOOKED_AT,
            chosen=chosen,
            deliveries=deliveries.dead_of(self._record, chosen) if chosen else [],
        )


def pipeline_words(pipeline: PipelineNow, now: datetime) -> list[tuple[str, wording.Word]]:
    """The parts of the pipeline with their state, in the order in which an article goes through them."""
    return [
        ("Routing of new articles", words_desk.routing_word(pipeline, now)),
        ("Feeds", words_desk.feeds_word(pipeline, now)),
        ("Workers", words_desk.workers_word(pipeline, now)),
        ("Redis", words_desk.redis_word(pipeline, now)),
    ]
