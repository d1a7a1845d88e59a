"""One source's content system, as a worker asks it: its adapter, its settings, and what comes of each answer."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from service.intake.adapters.adapter import (
    Adapter,
    ApiAnswer,
    ApiRequest,
    Fetch,
    Fetched,
    Gone,
    StoryRead,
    Unreadable,
)
from service.intake.hook_reading import settings_of
from service.intake.story_intake import Stamp, StoryIntake, StoryResult, StorySource
from service.store.articles import standings
from service.store.errors import ChangedMeanwhile
from workers.fetch import backoff
from workers.net.api_client import ApiClient, ApiUnreachable

ANSWERS_MOST = 4  # that may lead to one story
_LOOK_UP = 0.2  # seconds between two looks whether the worker is to end
LOOKS = 3  # at a story that changes here while it is looked up there


class SystemFailed(Exception):
    """The system cannot be asked now. `answer` is its own, if it gave one."""

    def __init__(self, words: str, answer: ApiAnswer | None = None) -> None:
        super().__init__(words)
        self.answer = answer


class StoryUnclear(Exception):
    """The system's answer about one story proves nothing. The text says why."""


@dataclass(frozen=True)
class Look:
    """A system's present word on a story, and the revision here when it was asked (None: under another id)."""

    story_id: str
    event: StoryRead | Gone
    of_revision: int | None
    asked_at: datetime


class System:
    """Asks and takes in. For one thread."""

    def __init__(
        self,
        of: StorySource,
        adapter: Adapter,
        client: ApiClient,
        stories: StoryIntake,
        clock: Callable[[], datetime],
    ) -> None:
        self.of = of
        self.adapter = adapter
        self.settings = settings_of(of.options)
        self.requests = 0
        self._client = client
        self._stories = stories
        self._clock = clock
        self._patience = 0.0
        self._stopping: Callable[[], bool] = lambda: False

    def wait_up_to(self, seconds: float, stopping: Callable[[], bool]) -> None:
        """From now on, a system that asks to wait for some seconds is asked again then; so many seconds in all."""
        self._patience, self._stopping = seconds, stopping

    def ask(self, request: ApiRequest) -> ApiAnswer:
        """The answer to one request. Raises SystemFailed."""
        while True:
            try:
                return self._ask_once(request)
            except SystemFailed as error:
                wait = backoff.seconds_to_wait(error.answer, self._clock())
                if wait is None or wait > self._patience:
                    raise
                self._patience -= wait
                if not self._waited(wait):
                    raise

    def _waited(self, seconds: float) -> bool:
        """Waits; False if the worker is to end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._stopping():
            time.sleep(min(left, _LOOK_UP))
        return not self._stopping()

    def _ask_once(self, request: ApiRequest) -> ApiAnswer:
        self.requests += 1
        try:
            answer = self._client.ask(request, self.of.options.base_url, self.of.options.api_token)
        except ApiUnreachable as error:
            raise SystemFailed(str(error)) from None
        if answer.status not in request.expected and backoff.is_the_systems(answer):
            raise SystemFailed(f"answered {answer.status}{_hint(answer.status)}", answer)
        if elsewhere := _moved(request, answer):
            raise SystemFailed(elsewhere, answer)
        return answer

    def fetch(self, story_id: str) -> StoryResult:
        """Looks a story up and takes in what is said. Raises SystemFailed, StoryUnclear."""
        for _ in range(LOOKS):
            try:
                return self.take(self.look(story_id))
            except ChangedMeanwhile:
                continue
        raise StoryUnclear(f"the story {story_id!r} changes all the time: it is looked up again later")

    def look(self, story_id: str) -> Look:
        """The system's word on a story. Raises SystemFailed, StoryUnclear."""
        adapter = self.adapter
        assert adapter.fetch is not None
        assert adapter.fetched is not None
        asked_at = self._clock()
        revision = standings.revision_of(self._stories.record, self.of.source.id, story_id)
        try:
            event = self._answered(adapter.fetch, adapter.fetched, story_id)
        except Unreadable as error:
            raise StoryUnclear(str(error)) from None
        except (SystemFailed, StoryUnclear):
            raise
        except Exception as error:  # a fault of the adapter's: other stories go on
            raise StoryUnclear(f"the adapter {adapter.name} has a fault: {type(error).__name__}") from error
        said = str(event.id if isinstance(event, Gone) else event.fields.get("id"))
        return Look(story_id, event, revision if said == story_id else None, asked_at)

    def _answered(self, fetch: Fetch, fetched: Fetched, story_id: str) -> StoryRead | Gone:
        """The story of the last of the answers that lead to it."""
        request = fetch(story_id, self.settings)
        for _ in range(ANSWERS_MOST):
            event = fetched(self.ask(request), story_id, self.settings)
            if not isinstance(event, ApiRequest):
                return event
            request = event
        raise StoryUnclear(f"{ANSWERS_MOST} answers did not lead to the story {story_id!r}")

    def take(self, look: Look) -> StoryResult:
        """Takes in what was said. Raises ChangedMeanwhile if the story has changed here since it was asked for."""
        return self._stories.take(self.of, look.event, self._stamp(look))

    def take_from_list(self, event: StoryRead | Gone, asked_at: datetime) -> StoryResult:
        """Takes in what a list said, which may be older than what came since it was asked for."""
        return self._stories.take(self.of, event, Stamp(None, "", received_at=asked_at))

    def _stamp(self, look: Look) -> Stamp:
        digest = hashlib.sha256(repr(look.event).encode("utf-8", "backslashreplace")).hexdigest()
        if look.of_revision is None:
            return Stamp(None, digest, received_at=look.asked_at)
        # A takedown of what is not here makes no revision: its time alone says that it came meanwhile.
        asked_at = look.asked_at if look.of_revision == 0 else None
        return Stamp(None, digest, received_at=asked_at, of_revision=look.of_revision)


def _hint(status: int) -> str:
    if status in (401, 403):
        return ": its API token is not accepted there (dateline source set SLUG --api-token T)"
    return ": it asks to wait" if status == 429 else ""


def _moved(request: ApiRequest, answer: ApiAnswer) -> str | None:
    """Says that a system is at another address now, where it redirects to one. Redirects are not followed: they would
    take the token along."""
    if not 300 <= answer.status < 400 or answer.status == 304 or answer.status in request.expected:
        return None
    try:
        there = urlsplit(answer.headers.get("location", ""))
    except ValueError:
        return None
    here = urlsplit(request.url)
    if not there.netloc or (there.scheme, there.netloc) == (here.scheme, here.netloc):
        return None
    origin = f"{there.scheme or here.scheme}://{there.netloc}"[:200]
    return (
        f"answered {answer.status}: it is at {origin} now, and redirects are not followed"
        f" (dateline source set SLUG --base-url {origin}…)"
    )
