"""The fetching of one process: hooks that wait and comparisons that are due, some at a time, no source in all threads.

Redis only wakes; the record is the schedule. A hook or a comparison whose worker dies is due again by itself.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime

from service import logs
from service.intake.adapters import registry
from service.intake.hook_intake import HookIntake
from service.intake.story_intake import StoryIntake
from service.store.articles import hooks, source_sync, sources
from service.store.articles.hooks import Hook
from service.store.articles.source_sync import DueComparison
from service.store.articles.sources import Source
from service.store.database.record import Record
from workers.fetch.jobs import ComparisonJob, HookJob
from workers.fetch.system import System, SystemFailed
from workers.net.api_client import ApiClient
from workers.single_flight import SingleFlight

log = logs.get("fetch")

FETCH_THREADS = 6
OF_ONE_SOURCE = 2  # threads at the most: a slow system keeps no other waiting
COMPARISONS_AT_ONCE = 3
LOOK_AGAIN = 0.5  # seconds, while something runs


class FetchTask:
    """`drain` may be called from any thread: one works, the others leave a wish and return."""

    def __init__(
        self,
        record: Record,
        stories: StoryIntake,
        clock: Callable[[], datetime],
        new_client: Callable[[], ApiClient],
    ) -> None:
        self._record = record
        self._stories = stories
        self._hooks = HookIntake(stories)
        self._clock = clock
        self._new_client = new_client
        self._own = threading.local()
        self._flight = SingleFlight(self._run)

    def drain(self) -> int:
        """Works until nothing is due; returns how many hooks and comparisons were worked on."""
        return self._flight.run()

    def request(self) -> bool:
        return self._flight.request()

    def stop(self) -> None:
        self._flight.stop()

    def close(self, seconds: float) -> None:
        self._flight.close(seconds)

    def _run(self) -> int:
        done = 0
        running: dict[Future[None], tuple[str, bool]] = {}
        with ThreadPoolExecutor(FETCH_THREADS, thread_name_prefix="fetch") as pool:
            while not self._flight.stopped():
                self._flight.take_wish()
                started = self._start(pool, running)
                done += started
                if not running:
                    break
                wait(running, timeout=LOOK_AGAIN, return_when=FIRST_COMPLETED)
                for each in [future for future in running if future.done()]:
                    del running[each]
        return done

    def _start(self, pool: ThreadPoolExecutor, running: dict[Future[None], tuple[str, bool]]) -> int:
        """Begins what is due and has a thread; returns how much."""
        now = self._clock()
        started = 0
        of_each = Counter(slug for slug, _ in running.values())
        busy = [slug for slug, count in of_each.items() if count >= OF_ONE_SOURCE]
        compared = [slug for slug, comparison in running.values() if comparison]
        room = min(FETCH_THREADS - len(running), COMPARISONS_AT_ONCE - len(compared))
        if room > 0:
            for due in source_sync.claim(self._record, room, now, [*busy, *compared]):
                running[pool.submit(self._compare, due)] = due.slug, True
                of_each[due.slug] += 1
                started += 1
        # One at a time: two hooks of one source may follow each other in the list.
        while len(running) < FETCH_THREADS:
            busy = [slug for slug, count in of_each.items() if count >= OF_ONE_SOURCE]
            claimed = hooks.claim_due(self._record, 1, now, busy)
            if not claimed:
                break
            running[pool.submit(self._fetch, claimed[0])] = claimed[0].source, False
            of_each[claimed[0].source] += 1
            started += 1
        return started

    def _fetch(self, hook: Hook) -> None:
        try:
            source = sources.by_slug(self._record, hook.source)
            HookJob(self._record, self._hooks, self._clock, self._flight.stopped).run(
                source, hook, self._system(source)
            )
        except Exception:  # it is due again after its claim
            log.exception("hook.failed", source=hook.source, hook=hook.claim.id)

    def _compare(self, due: DueComparison) -> None:
        try:
            source = sources.by_slug(self._record, due.slug)
            ComparisonJob(self._record, self._clock, self._flight.stopped).run(due, self._system(source))
        except SystemFailed:
            pass  # it is noted, and the system is left alone for a while
        except Exception:
            log.exception("source.comparison_failed", source=due.slug)

    def _system(self, source: Source) -> System | None:
        """The source's system, as this thread asks it; None if this version has no adapter for it."""
        adapter = registry.ADAPTERS.get(source.adapter)
        if adapter is None:
            return None
        of = self._stories.source_now(source)
        return System(of, adapter, self._client(), self._stories, self._clock)

    def _client(self) -> ApiClient:
        client: ApiClient | None = getattr(self._own, "client", None)
        if client is None:
            client = self._own.client = self._new_client()
        return client
