"""The web application, the routes of interface.md put together, and that of the feeds server. Nothing is global."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from flask import Flask, Response, abort, jsonify, redirect, request
from werkzeug.exceptions import NotFound

from feeds import Masthead
from service import times
from service.api import articles, openapi, partner_events
from service.api import sections as api_sections
from service.console import pages, probes
from service.http import guess_limits, impossible_dates, problems
from service.http.credentials import hide_feed_tokens
from service.http.guess_limits import GuessLimits
from service.intake import refusal_counter, routes
from service.intake.authenticate import SourceAuthenticator
from service.intake.refusal_counter import RefusalCounter
from service.serving import discovery, partner_feeds
from service.serving import pages as feed_pages
from service.serving.document_cache import DocumentCache
from service.serving.middleware import FeedMiddleware
from service.settings import Settings
from service.store.database.record import Record


def create_app(
    settings: Settings,
    record: Record,
    wake: Callable[[], None],
    *,
    documents: DocumentCache | None = None,
    clock: Callable[[], datetime] = times.now,
) -> Flask:
    """`wake` is called after every accepted article; it must return at once and may fail without harm.

    `documents` has the documents of the feeds; without one that is watched the record is asked at each request.
    `clock` gives aware UTC times.
    """
    app = Flask("service", static_url_path="/static", static_folder="static", template_folder="templates")
    app.config["MAX_CONTENT_LENGTH"] = routes.REQUEST_BYTES + 1
    masthead = Masthead(settings.desk_name, settings.logo_url)
    authenticator = SourceAuthenticator(record, clock)
    authority = urlsplit(settings.public_url).hostname or "localhost"
    intake = routes.create_blueprint(record, authenticator, authority=authority, wake=wake, clock=clock)
    app.register_blueprint(intake)
    app.register_blueprint(feed_pages.create_blueprint(record, settings.public_url, masthead))
    app.register_blueprint(partner_feeds.create_blueprint(record, settings.public_url, clock))
    app.register_blueprint(discovery.create_blueprint(record, settings.public_url, clock, masthead))
    app.register_blueprint(articles.create_blueprint(record, settings.operator_token, clock))
    app.register_blueprint(partner_events.create_blueprint(record, settings.public_url, clock))
    app.register_blueprint(api_sections.create_blueprint(record, settings.operator_token, clock))
    app.register_blueprint(openapi.create_blueprint(settings.public_url))
    documents = documents or DocumentCache(record, settings.public_url)
    app.register_blueprint(probes.create_blueprint(settings, record, clock=clock, feeds=documents.describe))
    app.register_blueprint(pages.create_blueprint(settings, record, clock=clock, feeds=documents.describe))
    problems.register(app)
    # Functions that run after a request do so in the reverse order: counted is the answer that goes out.
    refusal_counter.register(app, RefusalCounter(record, clock))
    guess_limits.register(app, GuessLimits(record, clock, settings.trusted_proxies))
    impossible_dates.register(app)
    app.before_request(_no_nul)
    app.after_request(_harden)
    app.wsgi_app = FeedMiddleware(app.wsgi_app, documents)  # type: ignore[assignment, method-assign]

    @app.get("/")
    def home() -> Response:
        """The desk's front page is its status page."""
        return redirect("/status")  # type: ignore[return-value]

    return app


def create_feeds_app(
    settings: Settings, record: Record, documents: DocumentCache, *, clock: Callable[[], datetime] = times.now
) -> Flask:
    """The feeds server's application behind its middleware: all that is public to read, and nothing else.

    Not the partners' own feeds: each fetch of one is written into the record, and this server only reads.
    """
    app = Flask("service", static_folder=None)
    masthead = Masthead(settings.desk_name, settings.logo_url)
    app.register_blueprint(feed_pages.create_blueprint(record, settings.public_url, masthead))
    app.register_blueprint(discovery.create_blueprint(record, settings.public_url, clock, masthead))
    problems.register(app)
    app.register_error_handler(404, _elsewhere)
    app.before_request(_no_nul)
    app.after_request(_harden)

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("alive\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        """Ready once it has looked at the record. That being away later makes it no less so: it serves what it has.

        `feeds` says how old that may be.
        """
        ready, words = documents.refreshes > 0, documents.describe()
        answer = jsonify(ready=ready, because="" if ready else words, feeds=words)
        answer.status_code = 200 if ready else 503
        answer.headers["Cache-Control"] = "no-store"
        return answer

    return app


def _elsewhere(_error: NotFound) -> Response:
    words = "is not here: this is the feeds server, which has /feeds, /feeds.opml and /sitemaps; the web has the rest"
    return problems.Problem(404, "not-found", f"{hide_feed_tokens(request.path)} {words}").response()


def _no_nul() -> None:
    # Nothing here has one in its name, and PostgreSQL does not even let it be asked for.
    if "\0" in request.path:
        abort(404)


_HARDENING = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))


def _harden(response: Response) -> Response:
    for name, value in _HARDENING:
        if name not in response.headers:
            response.headers.add(name, value)
    return response
