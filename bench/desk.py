"""A desk to measure: an empty record, its processes, articles to send, and the balance of each round."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

from redis import Redis
from sqlalchemy import text

from bench.balance import Balance, imbalance
from bench.content import SECTION, article
from bench.load import Load
from bench.processes import Failed, Processes, answers, free_port, module
from service import settings
from service.cli.up import processes
from service.http import credentials
from service.intake.adapters import native
from service.runtime import celery_app, embedded_redis, key_files
from service.runtime.programs import dateline
from service.settings import Settings
from service.store import migrations, operations
from service.store.articles import accept as articles
from service.store.articles import sources
from service.store.articles.posts import Post
from service.store.coordination import leases
from service.store.database.record import Record, open_record
from service.store.deliveries import push_content
from service.store.partners import endpoints, partners
from service.store.schema.base import to_micros
from service.store.views.pipeline import workers_now
from service.webhooks import push_body, signatures

SOURCE = "wire"
_HOLDER = "bench"
_HOLD_FOR = timedelta(minutes=1)
_HOLD_AGAIN = 1.0  # seconds: a lease that is not renewed is taken over after four

_PARTNER = text(
    "INSERT INTO partner (slug, name, key_id, key_hash, created_at)"
    " SELECT :slug, :slug, :slug, key_hash, created_at FROM partner WHERE slug = 'p0'"
)
_ENDPOINT = text(
    "INSERT INTO endpoint (partner_id, url, secret_sealed, all_sections, max_in_flight, state_since, created_at)"
    " SELECT p.id, :url, e.secret_sealed, e.all_sections, e.max_in_flight, e.state_since, e.created_at"
    " FROM endpoint e, partner p WHERE e.id = :like AND p.slug = :slug"
)


class BenchDesk:
    """One source, one section, and any number of endpoints. `close()` when done."""

    def __init__(self, processes: Processes, folder: Path, database_url: str) -> None:
        self._processes = processes
        port = free_port()
        self.settings: Settings = key_files.ensure_keys(
            settings.load(
                None,
                data_dir=folder,
                listen=f"127.0.0.1:{port}",
                database_url=database_url,
                allow_networks="127.0.0.0/8",
                allow_http=True,
            )
        )
        self.record: Record = open_record(self.settings.database_url, self.settings.secret_key)
        migrations.migrate(self.record)
        operations.add_section(self.record, SECTION, "World", "en", actor="operator", now=_now())
        key = credentials.new_api_key()
        secret = signatures.new_secret()
        self.source = operations.add_source(
            self.record,
            sources.NewSource(SOURCE, "Wire", "native", key_id=key.key_id, key_hash=key.hash, secret=secret),
            actor="operator",
            now=_now(),
        )
        self.api_key = key.text
        self.secret = signatures.new_secret()  # of every endpoint
        self._seen = 0  # events of earlier rounds
        self._released = Event()
        self._holding: Thread | None = None

    def close(self) -> None:
        self._let_go()
        self.record.close()

    def start(self, *, workers: bool = True) -> None:
        """Starts Redis, the web and, if `workers`, the default number of workers; returns when all answer."""
        shared = settings.environment(self.settings)
        self._processes.start("redis", embedded_redis.command(self.settings))
        embedded_redis.wait_until_answers(embedded_redis.socket_path(self.settings), seconds=10)
        self._processes.start("web", dateline("web").command_line(), shared)
        self._processes.wait("web", lambda: answers(self.settings.port))
        if not workers:
            return
        started = processes(self.settings)
        for name, tasks in started:
            self._start_worker(name, tasks)
        self._processes.wait(_part(name, tasks), lambda: len(workers_now(self.record)) == len(started))
        # Until they take hints they look for work by themselves, whoever holds the sweep.
        self._processes.wait(_part(name, tasks), lambda: self._hint_takers() >= len(started))

    def _hint_takers(self) -> int:
        """How many processes wait for a hint at Redis."""
        with Redis(unix_socket_path=str(embedded_redis.socket_path(self.settings))) as redis:
            return sum(each["cmd"] == "brpop" for each in redis.client_list())

    def replace_workers(self) -> float:
        """Kills all workers that deliver, and starts them again at once; returns the Unix time of the kill."""
        at = time.time()
        killed = self._processes.kill("worker-")
        for name, tasks in processes(self.settings):
            if _part(name, tasks) in killed:
                self._start_worker(name, tasks)
        return at

    def _start_worker(self, name: str, tasks: str) -> None:
        command = module("workers", "--name", name, "--tasks", tasks)
        self._processes.start(_part(name, tasks), command, settings.environment(self.settings))

    def add_endpoints(self, urls: Iterable[str], max_in_flight: int = 4) -> None:
        """Adds endpoints, each with its own partner, that take everything: the first by the store, others as copies."""
        first, *others = urls
        operations.add_partner(
            self.record,
            partners.NewPartner("p0", "p0", key_id="p0", key_hash="0" * 64),
            actor="operator",
            now=_now(),
        )
        added = operations.add_endpoint(
            self.record,
            endpoints.NewEndpoint("p0", first, secret=self.secret, max_in_flight=max_in_flight),
            actor="operator",
            now=_now(),
        )
        values = [
            {"slug": f"p{number}", "url": url, "like": added.id} for number, url in enumerate(others, 1)
        ]
        with self.record.writing() as connection:
            for statement in (_PARTNER, _ENDPOINT) if values else ():
                connection.execute(statement, values)

    def load(self, name: str, count: int, size: int, **options: float | None) -> Load:
        url = f"http://{self.settings.listen}/v1/articles"
        return Load(url, self.api_key, name, count, size, **options)  # type: ignore[arg-type]

    def hold(self) -> None:
        """Keeps the workers from looking for work until `release`, so that a round can be prepared.

        It holds the sweep's lease and renews it, as a live worker would.
        """
        if self._holding is None:
            self._released.clear()
            self._renew()
            self._holding = Thread(target=self._go_on_holding, name="hold", daemon=True)
            self._holding.start()

    def _go_on_holding(self) -> None:
        while not self._released.wait(_HOLD_AGAIN):
            self._renew()

    def _renew(self) -> None:
        values = {"until": to_micros(_now() + _HOLD_FOR), "holder": _HOLDER}
        with self.record.writing() as connection:
            connection.execute(
                text(
                    "INSERT INTO lease (name, holder, until) VALUES ('sweep', :holder, :until)"
                    " ON CONFLICT (name) DO UPDATE SET holder = :holder, until = :until"
                ),
                values,
            )

    def _let_go(self) -> None:
        if self._holding is not None:
            self._released.set()
            self._holding.join()
            self._holding = None
            leases.release(self.record, "sweep", _HOLDER)

    def feed(self, name: str, count: int, size: int) -> None:
        """Passes articles through intake's reader and the store, without HTTP and without a wake-up."""

        def accept(number: int) -> None:
            body = article(f"{name}-{number}", size)
            digest = hashlib.sha256(body).hexdigest()
            post = Post(self.source, native.read(body).posted, None, digest, "bench.example", _now())
            articles.accept(self.record, post)

        with ThreadPoolExecutor(1 if self.settings.on_sqlite else 4) as threads:
            list(threads.map(accept, range(count)))

    def release(self) -> float:
        """Lets the workers go and wakes them as intake does; returns the Unix time."""
        self._let_go()
        app = celery_app.make_celery(embedded_redis.redis_url_of(self.settings), worker=False)
        at = time.time()
        celery_app.send_hint(app, celery_app.ROUTE)
        app.close()
        return at

    def wait_settled(self, seconds: float = 120) -> None:
        """Returns when no event is unrouted and no delivery is due or on the wire; raises Failed if that lasts."""
        deadline = time.monotonic() + seconds
        while self._unfinished():
            if time.monotonic() > deadline:
                raise Failed(f"not settled after {seconds:g} s: {self._unfinished()} deliveries or events")
            time.sleep(0.25)

    def wait_delivered(self, count: int, seconds: float = 120) -> None:
        """Returns when so many deliveries are delivered; raises Failed if that takes longer."""
        deadline = time.monotonic() + seconds
        query = text("SELECT count(*) FROM delivery WHERE state = 'delivered'")
        while True:
            with self.record.reading() as connection:
                delivered = int(connection.execute(query).scalar_one())
            if delivered >= count:
                return
            if time.monotonic() > deadline:
                raise Failed(f"{delivered} of {count} were delivered after {seconds:g} s")
            time.sleep(0.2)

    def bodies(self) -> list[str]:
        """The bodies of this round's pushes, as they went out."""
        with self.record.reading() as connection:
            query = text("SELECT id FROM event WHERE id > :seen ORDER BY id")
            ids = connection.execute(query, {"seen": self._seen}).scalars().all()
            told: dict[int, push_content.PushContent] = {}
            for first in range(0, len(ids), 500):
                told |= push_content.push_contents_within(connection, ids[first : first + 500])
        return [push_body.body(told[number]).decode() for number in ids]

    def balance(
        self,
        accepted: int,
        endpoints: int,
        arrivals: Sequence[tuple[float, str, int]],
        *,
        all_delivered: bool = True,
    ) -> Balance:
        """Ends the round. The record is checked against the posts accepted and the pushes arrived outside."""
        with self.record.reading() as connection:
            values = {"seen": self._seen}
            events, last = connection.execute(
                text("SELECT count(*), max(id) FROM event WHERE id > :seen"), values
            ).one()
            rows = connection.execute(
                text(
                    "SELECT state, count(*), min(created_at), max(settled_at) FROM delivery"
                    " WHERE event_id > :seen GROUP BY state"
                ),
                values,
            ).all()
        self._seen = int(last or self._seen)
        states = {state: int(count) for state, count, _, _ in rows}
        taken = {name for _, name, status in arrivals if status == 200}
        void = imbalance(int(events), states, accepted, endpoints, len(taken), all_delivered=all_delivered)
        return Balance(
            events=int(events),
            states=states,
            started=min((int(row[2]) for row in rows), default=0) / 1e6,
            settled=max((int(row[3] or 0) for row in rows), default=0) / 1e6,
            void=void,
        )

    def _unfinished(self) -> int:
        with self.record.reading() as connection:
            query = text(
                "SELECT (SELECT count(*) FROM event WHERE routed_at IS NULL)"
                " + (SELECT count(*) FROM delivery WHERE state IN ('pending', 'waiting'))"
                " + (SELECT count(*) FROM delivery WHERE state = 'sending')"
            )
            return int(connection.execute(query).scalar_one())


def _part(name: str, tasks: str) -> str:
    return f"worker-{name}" if "deliver" in tasks else name


def _now() -> datetime:
    return datetime.now(UTC)
