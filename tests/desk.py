"""A whole Dateline as users run it: `dateline up` in a process of its own, reached by HTTP and by commands."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import requests
from standardwebhooks import Webhook

from service.runtime import supervise
from tests.outlet import Outlet

START_SECONDS = 60.0
END_SECONDS = supervise.GRACE + 5
COMMAND_SECONDS = 60.0
STEP = 0.02
FORMATS = ("rss", "atom", "json")

T = TypeVar("T")


def eventually(check: Callable[[], T], *, within: float, what: str) -> T:
    """Returns the first true value that `check` returns; fails, naming `what`, after `within` seconds."""
    deadline = time.monotonic() + within
    while not (found := check()):
        assert time.monotonic() < deadline, f"{what}: not within {within:g} s"
        time.sleep(STEP)
    return found


class RunningDesk:
    """Runs within `with`, at whose end it must end cleanly by SIGTERM. `settings` are DATELINE_<NAME>=value."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.data_dir = folder / "desk"
        self.log_file, self._out_file = folder / "log", folder / "out"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DATELINE_")},
            "DATELINE_DATA_DIR": str(self.data_dir),
            "DATELINE_ALLOW_NETWORKS": "127.0.0.0/8",
            "DATELINE_ALLOW_HTTP": "true",
            **{f"DATELINE_{name.upper()}": value for name, value in settings.items()},
        }
        self.folder = folder
        self.url = ""
        self.source: dict[str, Any] = {}
        self.endpoints: dict[str, int] = {}  # by the outlet's path
        self._listen = "127.0.0.1:0"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> RunningDesk:
        with self._out_file.open("wb") as out, self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [*_DATELINE, "up", "--listen", self._listen],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=log,
            )
        try:
            self.url = eventually(self._ready, within=START_SECONDS, what="the line 'ready http://…'")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def _ready(self) -> str:
        assert self._process
        assert self._process.poll() is None, f"it ended: {self.output()}\n{self.log()}"
        lines = [line for line in self.output().splitlines() if line.startswith("ready http://")]
        return lines[0].removeprefix("ready ") if lines else ""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        children = self.children()
        status = self._end()
        if error is None:
            assert status == 0, f"ended with {status}\n{self.log()}"
            assert "did not end by itself" not in self.output() + self.log()
            assert [name for name, pid in children.items() if _runs(pid)] == []
            assert not (self.data_dir / supervise.SUPERVISOR_STATE_FILE).exists()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """The desk does not run within `with`; afterwards it does again, at the same address."""
        self._listen = self.url.removeprefix("http://")
        self._end()
        try:
            yield
        finally:
            self.__enter__()

    def _end(self) -> int:
        assert self._process
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def output(self) -> str:
        return self._out_file.read_text() if self._out_file.exists() else ""

    def log(self) -> str:
        return self.log_file.read_text()

    def children(self) -> dict[str, int]:
        """The parts' names and process ids, as `up` reports them now."""
        state = supervise.read_state(self.data_dir)
        return dict(state["children"]) if state else {}

    @property
    def feeds_url(self) -> str:
        """The address of the feeds server; empty if the desk has none."""
        state = supervise.read_state(self.data_dir)
        return str(state["feeds_url"]) if state else ""

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal to a part by its name; returns its process id."""
        pid = self.children()[name]
        os.kill(pid, number)
        return pid

    def dateline(self, *words: str) -> dict[str, Any]:
        """Runs `dateline WORDS --json` beside the desk and returns its answer. Fails unless the command succeeds."""
        [answer] = self._answers([*_DATELINE, *words, "--json"])
        return answer

    def commands(self, *commands: Sequence[str]) -> list[dict[str, Any]]:
        """The answers of several commands, given to one interpreter: it loads once what they need."""
        return self._answers([sys.executable, "-P", "-c", COMMANDS, json.dumps(commands)])

    def _answers(self, command: list[str]) -> list[dict[str, Any]]:
        ran = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, f"{command[3:]}: {ran.stdout}\n{ran.stderr}"
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def furnish(self, outlet: Outlet, *paths: str, max_in_flight: int = 4) -> None:
        """Adds a section, a source, and a partner with an endpoint at each path; no other desk may push to these."""
        room = ("--max-in-flight", str(max_in_flight))
        _, self.source, _, *added = self.commands(
            ("section", "add", "world", "--title", "World", "--language", "en"),
            ("source", "add", "wire", "--name", "Wire Service"),
            ("partner", "add", "harbour", "--name", "Harbour Herald"),
            *(("endpoint", "add", "harbour", outlet.url(path), *room) for path in paths),
        )
        for path, endpoint in zip(paths, added, strict=True):
            outlet.secrets[path] = endpoint["secret"]
            self.endpoints[path] = int(endpoint["endpoint"])

    def post(
        self,
        article: dict[str, Any],
        *,
        message_id: str | None = None,
        session: requests.Session | None = None,
    ) -> requests.Response:
        """Posts an article as the source does, signed with the library that its developers would use."""
        message_id = message_id or f"msg_{secrets.token_hex(12)}"
        body, at = json.dumps(article), datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self.source["secret"]).sign(message_id, at, body),
        }
        send = session.post if session else requests.post
        return send(self.source["intake_url"], data=body.encode(), headers=headers, timeout=20)

    def operator(self) -> dict[str, str]:
        """The header that the operator's programs send."""
        token = (self.data_dir / "operator-token").read_text().strip()
        return {"Authorization": f"Bearer {token}"}

    def get(self, path: str, session: requests.Session | None = None) -> requests.Response:
        """Sends a GET as the operator's programs do."""
        return (session.get if session else requests.get)(
            f"{self.url}{path}", headers=self.operator(), timeout=20
        )

    def browse(self) -> requests.Session:
        """A session that has logged in by the form, as a browser does."""
        session = requests.Session()
        token = self.operator()["Authorization"].partition(" ")[2]
        entered = session.post(
            f"{self.url}/status/login", data={"token": token, "next": "/status"}, timeout=20
        )
        assert entered.url == f"{self.url}/status"
        return session

    def feeds(self, slug: str) -> dict[str, str]:
        """A section's feeds as any reader gets them: format → text, empty while the feed is not built yet."""
        got = {fmt: requests.get(f"{self.url}/feeds/{slug}.{fmt}", timeout=20) for fmt in FORMATS}
        return {fmt: each.text if each.status_code == 200 else "" for fmt, each in got.items()}


# A program that runs several commands, whose words it is given as JSON; each answers with a line of JSON.
COMMANDS = """
import json, sys
from service.cli import main
for words in json.loads(sys.argv[1]):
    try:
        main.main([*words, "--json"])
    except SystemExit as ended:
        if ended.code:
            raise
"""
# -P and -m run this very installation, whatever the PATH and the folder are.
_DATELINE = [sys.executable, "-P", "-m", "service.cli.main"]


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
