"""The operator's login: the session that opens the pages, the form, and the headers of every answer below /status.

A session is a signed cookie. It ends after twelve hours, when the operator logs out, and, everywhere at once, when
the operator token or the secret key is changed. Routes that do not ask for it never set it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
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
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from werkzeug.wrappers import Response as AnyResponse

from service.settings import Settings
from service.times import span

SESSION_LASTS = timedelta(hours=12)
WRONG_TOKENS = 5  # from one address before it must wait
LIMITER_WINDOW = timedelta(minutes=1)
ADDRESSES = 1000  # that the limiter remembers
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class OperatorSession:
    """Lets the operator in by token: a form for people, a bearer header for programs."""

    def __init__(self, settings: Settings) -> None:
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
        session.clear()
        session.permanent = True
        session["operator"] = self._stamp
        session["csrf"] = secrets.token_urlsafe(24)

    def log_out(self) -> None:
        session.clear()

    def is_logged_in(self) -> bool:
        """Whether this request comes with a session of the operator."""
        stamp = session.get("operator")
        return isinstance(stamp, str) and hmac.compare_digest(stamp, self._stamp)

    def admits(self, request: Request) -> bool:
        """Whether this request is the operator's, by session or by bearer token."""
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return self.accepts(token.strip())
        return self.is_logged_in()


class LoginLimiter:
    """Slows guessing: after five wrong tokens within a minute an address waits until the minute is over."""

    def __init__(self) -> None:
        self._failures: dict[str, list[datetime]] = {}
        self._lock = threading.Lock()

    def wait(self, address: str, now: datetime) -> timedelta | None:
        """The time that this address must wait, or None."""
        with self._lock:
            recent = [each for each in self._failures.get(address, ()) if now - each < LIMITER_WINDOW]
        return LIMITER_WINDOW - (now - recent[-WRONG_TOKENS]) if len(recent) >= WRONG_TOKENS else None

    def note_failure(self, address: str, now: datetime) -> None:
        with self._lock:
            recent = [each for each in self._failures.pop(address, ()) if now - each < LIMITER_WINDOW]
            while len(self._failures) >= ADDRESSES:
                self._failures.pop(next(iter(self._failures)))
            self._failures[address] = [*recent, now]

    def reset(self, address: str) -> None:
        with self._lock:
            self._failures.pop(address, None)


def add_routes(pages: Blueprint, operator: OperatorSession, clock: Callable[[], datetime]) -> None:
    """Adds the form, its answer and the logout."""
    limiter = LoginLimiter()

    def login() -> str | AnyResponse:
        target = own_path(request.args.get("next", "/status"))
        return redirect(target) if operator.is_logged_in() else _form(target)

    def log_in() -> Any:
        refuse_foreign(request)
        target, address, now = own_path(request.form.get("next", "")), request.remote_addr or "", clock()
        if wait := limiter.wait(address, now):
            seconds = timedelta(seconds=int(wait.total_seconds()) + 1)
            fault = f"Too many wrong tokens. Wait {span(seconds)}, then try again."
            return _form(target, fault), 429, {"Retry-After": f"{seconds.total_seconds():.0f}"}
        if not operator.accepts(request.form.get("token", "").strip()):
            limiter.note_failure(address, now)
            return _form(target, "That is not the operator's token."), 403
        limiter.reset(address)
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
    plain = path.isascii() and path.isprintable() and "\\" not in path and "//" not in path
    return path if below and plain else "/status"


class _CookieSessions(SecureCookieSessionInterface):
    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        # No post and no feed reader comes with the cookie: for them the keys need not be made ready.
        if self.get_cookie_name(app) not in request.cookies:
            return SecureCookieSession()
        return super().open_session(app, request)


def _derived(secret_key: str, purpose: bytes, more: bytes = b"") -> str:
    first = secret_key.partition(",")[0].encode()
    return hmac.new(first, b"dateline " + purpose + more, hashlib.sha256).hexdigest()
