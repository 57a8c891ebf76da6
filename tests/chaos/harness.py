"""Clients that insist, a receiver that refuses now and then, and what breaks things."""

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import redis

from service.policy import Status
from tests.cast import HAM, ORIGIN, PAGE, SPAM
from tests.chaos.doomed import POISON, VARIABLE
from tests.chaos.invariants import Seen
from tests.conftest import Valkey
from tests.system import System

_POISONED = 0.004
_JUDGED = 0.1
_REFUSED = 0.05


class Doomed(System):
    """A system whose processes die at named points, and which is started again when all of it died.

    Args:
        environ: as for `System`.
        chances: how probably a process dies at which point.
    """

    def __init__(self, environ: Mapping[str, str], chances: Mapping[str, float]) -> None:
        told = ",".join(f"{name}={chance}" for name, chance in chances.items())
        super().__init__({**environ, VARIABLE: told})

    def start(self, name: str) -> None:
        """Start `web` or `worker`; it may die at once."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("HAMGATE_")}
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.doomed", name],
            env={**clean, **self.environ, "HAMGATE_PORT": str(self.port)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def revive(self) -> None:
        """Start again what has died whole."""
        for name, process in list(self.processes.items()):
            if process.poll() is not None:
                self.start(name)

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
                body = self.rfile.read(int(self.headers["Content-Length"]))
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

    Attributes:
        answers: how often each status was answered, 0 for no answer at all.
    """

    system: Doomed
    key: str
    seen: Seen
    count: int
    dice: random.Random
    answers: Counter[int] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _left: int = field(default=0)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, clients: int) -> None:
        """Start that many clients."""
        self._left = self.count
        for number in range(clients):
            dice = random.Random(f"{self.dice.random()} {number}")
            self._threads.append(threading.Thread(target=self._submit_all, args=(dice,)))
        for thread in self._threads:
            thread.start()

    @property
    def is_over(self) -> bool:
        """Whether all was accepted."""
        return not any(thread.is_alive() for thread in self._threads)

    def wait(self) -> None:
        """Wait until all was accepted."""
        for thread in self._threads:
            thread.join()

    def _submit_all(self, dice: random.Random) -> None:
        while True:
            with self._lock:
                if not self._left:
                    return
                self._left -= 1
            key = str(uuid.UUID(int=dice.getrandbits(128)))
            body = {
                "page_url": PAGE,
                "name": f"Ada {dice.randrange(1000)}",
                "email": f"ada{dice.randrange(1000)}@example.org",
                "body": f"{_text(dice)} ({key})",
            }
            comment_id = self._insist(
                "POST",
                "/api/v1/sites/blog/comments",
                body,
                {"Origin": ORIGIN, "Idempotency-Key": f'"{key}"'},
                key,
            )
            if dice.random() < _JUDGED:
                self._judge(comment_id, dice)

    def _insist(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], key: str
    ) -> str:
        while True:
            status, answer = self._ask(method, path, body, headers)
            if 200 <= status < 300:
                comment_id = str(answer["id"])
                with self._lock:
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


def _text(dice: random.Random) -> str:
    if dice.random() < _POISONED:
        return POISON
    return HAM if dice.random() < 0.7 else SPAM


@dataclass
class Faults:
    """What breaks a system, one thing after another, by the dice.

    Attributes:
        also: what breaks the database at hand.
        done: how often each was done.
    """

    system: Doomed
    valkey: Valkey
    dice: random.Random
    also: Sequence[Callable[[], None]] = ()
    done: Counter[str] = field(default_factory=Counter)

    def one(self) -> None:
        """Do one of them."""
        often = [self.kill_one] * 6
        fault = self.dice.choice(
            [*often, self.kill_all, self.stop_one, self.lose_redis, self.flush_redis, *self.also]
        )
        fault()
        self.done[fault.__name__] += 1

    def kill_one(self) -> None:
        """Kill -9 some process."""
        if members := self.system.members():
            with contextlib.suppress(psutil.NoSuchProcess):
                self.dice.choice(members).send_signal(signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill -9 the web server or the worker with all that belongs to it."""
        name = self.dice.choice(("web", "worker"))
        if self.system.processes[name].poll() is None:
            self.system.kill(name)
            self.system.start(name)

    def stop_one(self) -> None:
        """Stop some process for longer than a lease, and let it go on."""
        if members := self.system.members():
            victim = self.dice.choice(members)
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGSTOP)
                time.sleep(self.dice.uniform(0.5, 3))
                victim.send_signal(signal.SIGCONT)

    def lose_redis(self) -> None:
        """Kill -9 Valkey, with all it held, and start it again later."""
        self.valkey.kill()
        time.sleep(self.dice.uniform(0.2, 2))
        self.valkey.start()

    def flush_redis(self) -> None:
        """Empty Valkey."""
        with contextlib.suppress(redis.RedisError):
            self.valkey.flush()
