"""The operator's pages below /status: server-rendered, without JavaScript, read-only.

Facts come from `service.store.views`, words from `service.console.words*`; the templates put them side by side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from flask import Blueprint, Flask, Response, abort, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from service import times
from service.console import words as wording
from service.console import words_delivery, words_desk, words_request
from service.console.login import Door, Throttle, csrf_token, guarded, own_path, refuse_foreign, refuse_forged
from service.http import problems
from service.settings import Settings
from service.store import notices
from service.store.database.record import Record
from service.store.deliveries import push_content
from service.store.errors import RecordUnavailable
from service.store.views import articles as article_views
from service.store.views import deliveries, events, feeds, trouble
from service.store.views import partners as overview
from service.store.views.pipeline import PipelineNow, pipeline_now
from service.webhooks import push_body

REFRESH_SECONDS = 10
SEARCH_MAX = 200
LATELY = 20
FETCHES = 10
_OPEN = {"pages.login", "pages.log_in", "pages.style"}


def create_blueprint(
    settings: Settings, record: Record, *, clock: Callable[[], datetime] = times.now
) -> Blueprint:
    """The pages; the operator's token opens them. `clock` gives aware UTC times.

    Sets the application's secret key and how its session cookie is made.
    """
    pages = Blueprint("pages", __name__, template_folder="templates")
    door, desk = Door(settings), Desk(record, clock)
    pages.record_once(lambda state: door.prepare(cast(Flask, state.app)))
    pages.before_request(lambda: _ask_for_login(door))
    pages.after_request(guarded)
    pages.register_error_handler(HTTPException, _trouble)
    pages.register_error_handler(RecordUnavailable, _record_away)
    pages.register_error_handler(Exception, _unexpected)
    pages.app_template_filter("sentence")(wording.sentence)
    pages.context_processor(lambda: _words(clock()))
    _add_login(pages, door, clock)
    _add_style(pages)
    pages.add_url_rule("/status", "overview", desk.overview)
    pages.add_url_rule("/status/partners/<slug>", "partner", desk.partner)
    pages.add_url_rule("/status/articles", "articles", desk.articles)
    pages.add_url_rule("/status/articles/<path:name>", "article", desk.article)
    pages.add_url_rule("/status/events/<name>", "event", desk.event)
    pages.add_url_rule("/status/deliveries/<name>", "delivery", desk.delivery)
    pages.add_url_rule("/status/dead", "dead", desk.dead)
    pages.add_url_rule("/status/", "home", lambda: redirect(url_for("pages.overview")))
    pages.add_url_rule("/status/<path:name>", "nothing", lambda **_: abort(404))
    return pages


def _ask_for_login(door: Door) -> AnyResponse | None:
    if request.endpoint in _OPEN or door.is_inside():
        return None
    target = request.full_path.rstrip("?") if request.method == "GET" else "/status"
    return redirect(url_for("pages.login", next=None if target == "/status" else target))


def _add_login(pages: Blueprint, door: Door, clock: Callable[[], datetime]) -> None:
    throttle = Throttle()

    def login() -> str | AnyResponse:
        target = own_path(request.args.get("next", "/status"))
        return redirect(target) if door.is_inside() else render_template("status/login.html", next=target)

    def log_in() -> Any:
        refuse_foreign(request)
        target, address, now = own_path(request.form.get("next", "")), request.remote_addr or "", clock()
        if wait := throttle.wait(address, now):
            words = f"Too many wrong tokens. Wait {times.span(wait + timedelta(seconds=1))}, then try again."
            seconds = str(int(wait.total_seconds()) + 1)
            return (
                render_template("status/login.html", next=target, fault=words),
                429,
                {"Retry-After": seconds},
            )
        if not door.opens_with(request.form.get("token", "").strip()):
            throttle.failed(address, now)
            return render_template(
                "status/login.html", next=target, fault="That is not the operator's token."
            ), 403
        throttle.forgive(address)
        door.enter()
        return redirect(target, 303)

    def logout() -> AnyResponse:
        refuse_foreign(request)
        refuse_forged(request)
        door.leave()
        return redirect(url_for("pages.login"), 303)

    pages.add_url_rule("/status/login", "login", login)
    pages.add_url_rule("/status/login", "log_in", log_in, methods=["POST"])
    pages.add_url_rule("/status/logout", "logout", logout, methods=["POST"])


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


def _trouble(error: HTTPException) -> tuple[str, int]:
    words = {
        403: "The form was too old, or was not sent from this site. Go back, load the page again and repeat it.",
        404: "There is nothing here. It may have been mistyped; articles can be searched by their ids.",
    }
    code = error.code or 500
    return _trouble_page(error.name, words.get(code, error.description or "")), code


def _record_away(error: RecordUnavailable) -> tuple[str, int, dict[str, str]]:
    problems.note_record_away(error)
    said = (
        "The record is away or busy. Load this page again in a moment; if it stays so, run: dateline doctor"
    )
    retry = {"Retry-After": str(problems.RETRY_SECONDS)}
    return _trouble_page("The record does not answer", said), 503, retry


def _unexpected(error: Exception) -> tuple[str, int]:
    number = problems.note_unexpected(error)
    return _trouble_page("A fault of ours", f"It stands in the log with the number {number}."), 500


def _trouble_page(title: str, words: str) -> str:
    return render_template("status/trouble.html", title=title, words=words)


def _words(now: datetime) -> dict[str, Any]:
    """What templates may call: the words of facts, as of this request's moment."""
    return {
        "now": now,
        "csrf": csrf_token,
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
        "shown_text": wording.shown_text,
        "last_part": lambda public_id: public_id.rpartition("/")[2],
    }


class Desk:
    """The views. Each reads what it shows, once, and renders it."""

    def __init__(self, record: Record, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._clock = clock

    def overview(self) -> str:
        now = self._clock()
        partners = overview.partners_now(self._record, now)
        pipeline = pipeline_now(self._record)
        return render_template(
            "status/overview.html",
            refresh=None if request.args.get("refresh") == "off" else REFRESH_SECONDS,
            summary=words_desk.summary(partners, pipeline, now),
            partners=words_desk.worst_first(partners, now),
            pipeline=pipeline,
            pipeline_words=pipeline_words(pipeline, now),
            given_up=sum(each.given_up for partner in partners for each in partner.endpoints),
            missing=sum(map(words_desk.missing, partners)),
            events=events.latest_events(self._record, now),
            notices=notices.latest(self._record, LATELY),
            desk=words_desk,
        )

    def partner(self, slug: str) -> str:
        now = self._clock()
        found = overview.partners_now(self._record, now, slug)
        if not found:
            abort(404)
        ids = [each.id for each in found[0].endpoints]
        return render_template(
            "status/partner.html",
            partner=found[0],
            notices=notices.latest(self._record, LATELY, slug),
            fetches={
                each.id: feeds.latest_fetches(self._record, each.id, FETCHES) for each in found[0].feeds
            },
            waiting={each: deliveries.undelivered(self._record, each) for each in ids},
            latest={each: deliveries.latest_deliveries(self._record, each) for each in ids},
        )

    def articles(self) -> str | AnyResponse:
        now, words = self._clock(), request.args.get("q", "").strip()[:SEARCH_MAX].replace("\0", "")
        if words.startswith("dlv_"):
            return redirect(url_for("pages.delivery", name=words))
        if words.startswith("evt_"):
            return redirect(url_for("pages.event", name=words))
        if words:
            found = article_views.search_articles(self._record, now, words)
            return render_template("status/articles.html", articles=found, words=words, older=None)
        found = article_views.latest_articles(self._record, now, before=_moment(request.args.get("before")))
        older = found[-1].changed_at.isoformat() if len(found) == 50 else None
        return render_template("status/articles.html", articles=found, words="", older=older)

    def article(self, name: str) -> str:
        page = article_views.article_page(self._record, name)
        if page is None:
            abort(404)
        return render_template("status/article.html", article=page, matrix=matrix(page))

    def event(self, name: str) -> str:
        page = deliveries.event_page(self._record, name)
        if page is None:
            abort(404)
        return render_template("status/event.html", event=page)

    def delivery(self, name: str) -> str:
        now = self._clock()
        page = deliveries.delivery_page(self._record, name)
        if page is None:
            abort(404)
        owner = overview.partners_now(self._record, now, page.delivery.partner)[0]
        endpoint = next(each for each in owner.endpoints if each.id == page.delivery.endpoint_id)
        alive = words_desk.alive(pipeline_now(self._record), now)
        why = words_delivery.why(page, endpoint, alive, now)
        sent = words_request.requests_of(page, self._body(page.delivery, now))
        return render_template(
            "status/delivery.html", page=page, delivery=page.delivery, endpoint=endpoint, why=why, sent=sent
        )

    def _body(self, delivery: deliveries.DeliveryNow, now: datetime) -> bytes | None:
        """What the push says; None for what is under embargo, and for the text of a story taken down since."""
        secret = delivery.embargo_until is not None and delivery.embargo_until > now
        withdrawn = delivery.article_status != "usable" and delivery.revision < delivery.newest
        if secret or withdrawn:
            return None
        return push_body.body(push_content.told(self._record, [delivery.event_id])[delivery.event_id])

    def dead(self) -> str:
        chosen = request.args.get("endpoint", type=int)
        known = chosen is not None and 0 < chosen < 2**63
        return render_template(
            "status/dead.html",
            groups=trouble.given_up(self._record),
            chosen=chosen,
            deliveries=deliveries.dead_of(self._record, chosen or 0) if known else [],
        )


def pipeline_words(pipeline: PipelineNow, now: datetime) -> list[tuple[str, wording.Word]]:
    """The parts of the pipeline with their state, in the order in which an article goes through them."""
    return [
        ("Routing of new articles", words_desk.routing_word(pipeline, now)),
        ("Feeds", words_desk.feeds_word(pipeline, now)),
        ("Workers", words_desk.workers_word(pipeline, now)),
        ("Redis", words_desk.redis_word(pipeline, now)),
    ]


Row = tuple[deliveries.DeliveryNow, dict[int, deliveries.DeliveryNow]]


def matrix(page: article_views.ArticlePage) -> list[Row]:
    """Per endpoint its deliveries by revision: of a revision sent again, the last one counts."""
    rows: dict[int, Row] = {}
    for each in page.deliveries:
        rows.setdefault(each.endpoint_id, (each, {}))[1][each.revision] = each
    return list(rows.values())


def _moment(text: str | None) -> datetime | None:
    try:
        return times.from_iso(text) if text else None
    except ValueError:
        return None
