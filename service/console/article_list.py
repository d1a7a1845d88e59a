"""The page of articles: those that changed last, or those that a search finds."""

from __future__ import annotations

from datetime import datetime

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from service import times
from service.http.problems import Problem
from service.store import names
from service.store.articles import search_index
from service.store.database.record import Record
from service.store.views.articles import LIST_LENGTH, latest_articles
from service.store.views.search import search_articles, search_outlets

SEARCH_MAX = 200  # characters


def articles(record: Record, now: datetime) -> str | AnyResponse:
    """The page that the address asks for; the id of a delivery or an event leads to its own page."""
    words = request.args.get("q", "").strip()[:SEARCH_MAX].replace("\0", "")
    for name, elsewhere in (("after", not words), ("before", bool(words))):
        if elsewhere and name in request.args:
            fits = "goes with the words of a search, ?q=" if name == "after" else "goes without a search, ?q="
            raise Problem(400, "query", f"?{name}= {fits}")
    if names.read_delivery_id(words):
        return redirect(url_for("pages.delivery", name=words))
    if names.read_event_id(words):
        return redirect(url_for("pages.event", name=words))
    return _found(record, now, words) if words else _latest(record, now)


def _found(record: Record, now: datetime, words: str) -> str:
    after = request.args.get("after")
    found = search_articles(record, now, words, after=after)
    return render_template(
        "status/articles.html",
        articles=found,
        words=words,
        older={"q": words, "after": names.last_part(found[-1].id)} if len(found) == LIST_LENGTH else None,
        outlets=[] if after else search_outlets(record, words),
        incomplete=search_index.is_behind(record),
    )


def _latest(record: Record, now: datetime) -> str:
    text = request.args.get("before")
    found = latest_articles(record, now, before=None if text is None else times.from_iso(text))
    older = {"before": found[-1].changed_at.isoformat()} if len(found) == LIST_LENGTH else None
    return render_template("status/articles.html", articles=found, words="", older=older)
