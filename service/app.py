"""The web application: the routes of interface.md, put together. Nothing here is global."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

from flask import Flask, Response, redirect

from service import api, api_partner, feeds, openapi, pages, problems, status
from service.intake import endpoint
from service.intake.authenticate import Gate
from service.settings import Settings
from service.store.record import Record


def create_app(settings: Settings, record: Record, wake: Callable[[], None]) -> Flask:
    """`wake` is told of every accepted article; it must return at once and may fail without harm."""
    app = Flask("service", static_url_path="/static", static_folder="static", template_folder="templates")
    app.config["MAX_CONTENT_LENGTH"] = endpoint.MAX_BYTES + 1
    gate = Gate(record, _now)
    authority = urlsplit(settings.public_url).hostname or "localhost"
    intake = endpoint.create_blueprint(record, gate, authority=authority, wake=wake, clock=_now)
    app.register_blueprint(intake)
    app.register_blueprint(feeds.create_blueprint(record, settings.public_url))
    app.register_blueprint(api.create_blueprint(record, settings.operator_token))
    app.register_blueprint(api_partner.create_blueprint(record, settings.public_url, _now))
    app.register_blueprint(openapi.create_blueprint(settings.public_url))
    app.register_blueprint(status.create_blueprint(settings, record))
    app.register_blueprint(pages.create_blueprint(settings, record))
    problems.register(app)
    app.after_request(_careful)

    @app.get("/")
    def home() -> Response:
        """The desk's front page is its status page."""
        return redirect("/status")  # type: ignore[return-value]

    return app


def _careful(response: Response) -> Response:
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    return response


def _now() -> datetime:
    return datetime.now(UTC)
