"""Checks whether Redis can be used as the broker: it answers, takes what is written, and its queues are queues."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from service.runtime.celery_app import KEY_PREFIX, QUEUES

BROKER_UP = "up"
_PROBE = f"{KEY_PREFIX}probe"
_PROBE_SECONDS = 60
_NO_PERMISSION = "NoPermissionError"
_UNUSABLE = {  # by the name of what the client raises
    "OutOfMemoryError": "it is full (maxmemory)",
    "ReadOnlyError": "it is a replica, which takes no writes",
    _NO_PERMISSION: "its user lacks a permission",
    "AuthenticationError": "it refuses the password",
}


class BrokerCheck:
    """Answers 'up', or in words why Redis cannot be used."""

    def __init__(self, broker_url: str, seconds: float = 0.5) -> None:
        """`seconds`: the longest that it waits for an answer."""
        self._url = broker_url.replace("redis+socket://", "unix://")
        self._seconds = seconds
        self._client: Any = None

    def __call__(self) -> str:
        import redis  # noqa: PLC0415 - it takes long to load, and a worker is at work before

        if self._client is None:
            patience = {"socket_timeout": self._seconds, "socket_connect_timeout": self._seconds}
            self._client = redis.Redis.from_url(self._url, **patience)
        try:
            with self._client.pipeline(transaction=False) as pipe:
                pipe.ping()
                pipe.set(_PROBE, "1", ex=_PROBE_SECONDS)
                for queue in QUEUES.values():
                    pipe.llen(KEY_PREFIX + queue)
                answers = pipe.execute(raise_on_error=False)
        except (redis.RedisError, OSError) as error:
            return unusable_words(error)
        return next((unusable_words(error) for error in _faults(answers)), BROKER_UP)


def unusable_words(error: Exception) -> str:
    """Says in words what is wrong, from what a client of Redis raised."""
    known = next((words for name, words in _UNUSABLE.items() if name in _kinds(error)), "")
    if "WRONGTYPE" in str(error):
        known = f"a key that begins with {KEY_PREFIX} is another program's: delete it"
    said = " ".join(str(error).split()) or type(error).__name__
    return f"Redis cannot be used: {known}: {said}"[:200] if known else f"Redis cannot be used: {said}"[:200]


def _faults(answers: Iterable[object]) -> Iterable[Exception]:
    """A permission that this check alone would need is no fault: those that hints need are seen when they are sent."""
    for each in answers:
        if isinstance(each, Exception) and _NO_PERMISSION not in _kinds(each):
            yield each


def _kinds(error: Exception) -> set[str]:
    return {each.__name__ for each in type(error).__mro__}
