"""A system that may die, clients that insist, a receiver that refuses now and then."""

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from service.pure.policy import Status
from tests.cast import HAM, ORIGIN, PAGE, SPAM
from tests.chaos.doomed import ARMED, POISON
from tests.chaos.invariants import Seen
from tests.system import System

# One comment in so many kills whoever scores it, the seventh for the first time.
_POISONED = 1000, 7
_JUDGED = 0.1
_REFUSED = 0.01


class Doomed(System):
    """A system whose processes die at armed points, and which is started again when all of it died.

    Args:
        environ: as for `System`.
        points: the folder of the armed points.
        log: where what it says is kept.
    """

    def __init__(self, environ: Mapping[str, str], points: Path, log: BinaryIO) -> None:
        super().__init__({**environ, ARMED: str(points)}, output=log)

    def start(self, name: str) -> None:
        """Start `web` or `worker`; it may die at once."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HAMGATE_")}
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.doomed", name],
            env={**clean, **self.environ, "HAMGATE_PORT": str(self.port)},
            stdout=self.output,
            stderr=self.output,
            start_new_session=True,
        )

    def revive(self) -> None:
        """Start again what has died."""
        for name in self._bury():
            self.start(name)

    def stop(self) -> None:
        """Stop everything, and what is left of what died."""
        self._bury()
        super().stop()

    def _bury(self) -> list[str]:
        """End what the dead have left, as a service manager does, and give their names."""
        dead = [name for name, process in self.processes.items() if process.poll() is not None]
        for name in dead:
            with contextlib.suppress(ProcessLookupError):  # it has left nothing
                os.killpg(self.processes[name].pid, signal.SIGKILL)
        return dead

    def members(self) -> list[psutil.Process]:
        """Give every process of it that lives."""
        found: list[psutil.Process] = []
        for process in self.processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                root = psutil.Process(process.pid)
                found += [root, *root.children(recursive=True)]
        return found


class Receiver(ThreadingHTTPServer):
    """A receiver of webhooks that keeps what it said yes to, and says no now and then."""

    daemon_threads = True

    def __init__(self, seen: Seen, dice: random.Random) -> None:
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                body = self.rfile.read(size)
                if len(body) < size:  # whoever sent it was killed half-way
                    return
                event_id = self.headers["webhook-id"]
                with lock:
                    # Never twice: a second no would have it wait for five minutes.
                    refuse = event_id not in refused and dice.random() < _REFUSED
                    if refuse:
                        refused.add(event_id)
                    else:
                        seen.received.setdefault(event_id, set()).add(body)
                self.send_response(503 if refuse else 204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        refused: set[str] = set()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


@dataclass
class Load:
    """Clients that submit until each comment is accepted, and people who decide on some.

    They begin no more than they are allowed to, so that load and faults go along together.

    Attributes:
        submits: how often each status was answered to a submission, 0 for no answer at all.
        answers: the same for all that was asked.
    """

    system: Doomed
    key: str
    seen: Seen
    dice: random.Random
    submits: Counter[int] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _may_begin: threading.Condition = field(default_factory=threading.Condition)
    _begun: int = 0
    _allowed: int = 0
    _ends: bool = False
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, clients: int) -> None:
        """Start that many clients."""
        for number in range(clients):
            dice = random.Random(f"{self.dice.random()} {number}")
            thread = threading.Thread(target=self._submit_all, args=(dice,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def allow(self, count: int) -> None:
        """Let so many comments in all be begun."""
        with self._may_begin:
            self._allowed = count
            self._may_begin.notify_all()

    def allow_more(self) -> None:
        """Let one more be begun if all that were allowed have."""
        with self._may_begin:
            self._allowed = max(self._allowed, self._begun + 1)
            self._may_begin.notify()

    def finish(self) -> None:
        """Have the clients end when what they may begin is accepted."""
        with self._may_begin:
            self._ends = True
            self._may_begin.notify_all()

    @property
    def accepted(self) -> int:
        """How many comments were accepted."""
        return len(self.seen.accepted)

    @property
    def is_over(self) -> bool:
        """Whether all clients have ended."""
        return not any(thread.is_alive() for thread in self._threads)

    def _begin(self) -> int:
        """Give the number of the comment to begin, from 1; 0 if there is to be no other."""
        with self._may_begin:
            self._may_begin.wait_for(lambda: self._ends or self._begun < self._allowed)
            if self._begun >= self._allowed:
                return 0
            self._begun += 1
            return self._begun

    def _submit_all(self, dice: random.Random) -> None:
        while number := self._begin():
            key = str(uuid.UUID(int=dice.getrandbits(128)))
            body = {
                "page_url": PAGE,
                "name": f"Ada {dice.randrange(1000)}",
                "email": f"ada{dice.randrange(1000)}@example.org",
                "body": f"{_text(number, dice)} ({key})",
            }
            comment_id = self._submit(body, key)
            if dice.random() < _JUDGED:
                self._judge(comment_id, dice)

    def _submit(self, body: Any, key: str) -> str:
        headers = {"Origin": ORIGIN, "Idempotency-Key": f'"{key}"'}
        while True:
            status, answer = self._ask("POST", "/api/v1/sites/blog/comments", body, headers)
            with self._lock:
                self.submits[status] += 1
                if 200 <= status < 300:
                    comment_id = str(answer["id"])
                    self.seen.accepted.setdefault(key, set()).add(comment_id)
                    return comment_id
            time.sleep(0.1)

    def _judge(self, comment_id: str, dice: random.Random) -> None:
        """Decide as a person with a key would, who looks again when it changed meanwhile."""
        headers = {"Authorization": f"Bearer {self.key}"}
        path = f"/api/v1/comments/{comment_id}"
        wanted = dice.choice((Status.APPROVED, Status.REJECTED, Status.SPAM))
        while True:
            status, shown = self._ask("GET", path, None, headers)
            if status == 200:
                # A decision whose answer was lost stands as well.
                if (shown.get("decision") or {}).get("actor", "").startswith("key:"):
                    break
                decision = {"status": wanted, "seen_version": shown["version"]}
                status, _ = self._ask("POST", f"{path}/decisions", decision, headers)
                if status == 201:
                    break
            time.sleep(0.1)
        with self._lock:
            self.seen.judged[comment_id] = wanted

    def _ask(
        self, method: str, path: str, body: Any, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        try:
            answer = self.system.request(method, path, body, headers)
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            status, found = 0, None
        else:
            status, found = answer.status, answer.json
        with self._lock:
            self.answers[status] += 1
        return status, found


def _text(number: int, dice: random.Random) -> str:
    every, first = _POISONED
    if number % every == first:
        return POISON
    return HAM if dice.random() < 0.7 else SPAM
