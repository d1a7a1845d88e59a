"""The operator's login: the session that opens the pages, the form, and the headers of every answer below /status.

A session is a signed cookie and a row of the record. It ends after twelve hours, when the operator logs out, and when
the operator token or the secret key is changed: everywhere at once. Routes that do not ask for it never set it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Request,
    Response,
    abort,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from werkzeug.wrappers import Response as AnyResponse

from service.http import guess_limits
from service.http.guess_limits import LOGIN, GuessLimits
from service.settings import Settings
from service.store.access import operator_sessions
from service.store.database.record import Record
from service.times import span

SESSION_LASTS = timedelta(hours=12)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class OperatorSession:
    """Lets the operator in by token: a form for people, a bearer header for programs.

    A session is a row of the record, so that a logout ends it in every process and for every copy of the cookie.
    """

    def __init__(self, settings: Settings, record: Record, clock: Callable[[], datetime]) -> None:
        self._record = record
        self._clock = clock
        self._token = settings.operator_token.encode()
        # A session names the token it was opened with, so that a new token closes all sessions.
        self._stamp = _derived(settings.secret_key, b"session of ", self._token)
        self._keys = [_derived(each, b"cookie") for each in settings.secret_key.split(",")]  # the first signs
        self._secure = settings.public_url.startswith("https://")

    def prepare(self, app: Flask) -> None:
        """Makes an application sign, name and read its session cookie as ours."""
        app.session_interface = _CookieSessions()
        app.config.update(
            SECRET_KEY=self._keys[0],
            SECRET_KEY_FALLBACKS=self._keys[1:],
            SESSION_COOKIE_NAME="dateline_session",
            SESSION_COOKIE_HTTPONLY=True,
            SESSION_COOKIE_SAMESITE="Lax",
            SESSION_COOKIE_SECURE=self._secure,
            SESSION_REFRESH_EACH_REQUEST=False,
            PERMANENT_SESSION_LIFETIME=SESSION_LASTS,
        )

    def accepts(self, token: str) -> bool:
        return bool(self._token) and hmac.compare_digest(token.encode(), self._token)

    def log_in(self) -> None:
        """Opens a session. Raises RecordUnavailable; then nobody is logged in."""
        secret, now = secrets.token_urlsafe(24), self._clock()
        operator_sessions.open_session(self._record, secret, now, now + SESSION_LASTS)
        session.clear()
        session.permanent = True
        session["operator"] = self._stamp
        session["secret"] = secret
        session["csrf"] = secrets.token_urlsafe(24)

    def log_out(self) -> None:
        """Ends the session. Raises RecordUnavailable; then it goes on, and the operator is told."""
        operator_sessions.end_session(self._record, str(session.get("secret", "")))
        session.clear()

    def is_logged_in(self) -> bool:
        """Whether this request comes with a session of the operator that goes on. Raises RecordUnavailable."""
        stamp, secret = session.get("operator"), session.get("secret")
        if not isinstance(stamp, str) or not isinstance(secret, str):
            return False
        signed = hmac.compare_digest(stamp, self._stamp)
        return signed and operator_sessions.is_open(self._record, secret, self._clock())

    def admits(self, request: Request) -> bool:
        """Whether this request is the operator's, by session or by bearer token."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "bearer":
            return self.is_logged_in()
        if not self.accepts(token.strip()):
            return False
        guess_limits.refuse_guesser()
        return True


def add_routes(pages: Blueprint, operator: OperatorSession, limits: GuessLimits) -> None:
    """Adds the form, its answer and the logout."""

    def login() -> str | AnyResponse:
        target = own_path(request.args.get("next", "/status"))
        return redirect(target) if operator.is_logged_in() else _form(target)

    def log_in() -> Any:
        refuse_foreign(request)
        target = own_path(request.form.get("next", ""))
        right = operator.accepts(request.form.get("token", "").strip())
        if wait := limits.admit_operator(LOGIN) if right else limits.wait(LOGIN):
            seconds = timedelta(seconds=int(wait.total_seconds()) + 1)
            fault = f"Too many wrong tokens. Wait {span(seconds)}, then try again."
            return _form(target, fault), 429, {"Retry-After": f"{seconds.total_seconds():.0f}"}
        if not right:
            limits.note_failure(LOGIN)
            return _form(target, "That is not the operator's token."), 403
        operator.log_in()
        return redirect(target, 303)

    def logout() -> AnyResponse:
        refuse_foreign(request)
        refuse_forged(request)
        operator.log_out()
        return redirect(url_for("pages.login"), 303)

    pages.add_url_rule("/status/login", "login", login)
    pages.add_url_rule("/status/login", "log_in", log_in, methods=["POST"])
    pages.add_url_rule("/status/logout", "logout", logout, methods=["POST"])


def _form(target: str, fault: str = "") -> str:
    return render_template("status/login.html", next=target, fault=fault)


def csrf_token() -> str:
    return str(session.get("csrf", ""))


def refuse_forged(request: Request) -> None:
    """Aborts with 403 unless a form of ours, in this very session, was sent."""
    sent = request.form.get("csrf", "")
    if not csrf_token() or not hmac.compare_digest(sent.encode(), csrf_token().encode()):
        abort(403)


def refuse_foreign(request: Request) -> None:
    """Aborts with 403 when the browser says that another site sent this."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        abort(403)


def harden(response: Response) -> Response:
    """Adds the headers of every page. An answer that set its own caching keeps it."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def own_path(path: str) -> str:
    """A path below /status to go on to after the login; anything else becomes /status."""
    below = path == "/status" or path.startswith(("/status/", "/status?"))
    plain = path.isascii() and path.isprintable() and "\\" not in path and "//" not in path.partition("?")[0]
    return path if below and plain else "/status"


class _CookieSessions(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        # No post and no feed reader comes with the cookie: for them the keys need not be made ready.
        if "HTTP_COOKIE" not in request.environ or self.get_cookie_name(app) not in request.cookies:
            return SecureCookieSession()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        # Of a session that nobody asked for there is nothing to say.
        if session.accessed or session.modified:
            super().save_session(app, session, response)


def _derived(secret_key: str, purpose: bytes, more: bytes = b"") -> str:
    first = secret_key.partition(",")[0].encode()
    return hmac.new(first, b"dateline " + purpose + more, hashlib.sha256).hexdigest()
