"""The doorbell: tells the workers that there is work, once, however much there is.

The only module on this side that knows Redis and RQ. The one rule: nothing here is ever needed
for correctness. A bell that cannot be rung is logged and forgotten; the sweeper finds the work
in the ledger.
"""

import logging
import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, parse_url
from redis.driver_info import DriverInfo
from redis.retry import Retry
from redis.sentinel import Sentinel
from rq import Queue, Worker

from service.base import sentinels
from service.base.config import Settings

log = logging.getLogger(__name__)

# Longer than any drain waits for its first batch; a bell that outlives its job rings again.
_BELL_MS = 5000
# After a failure the bell is left alone this long, so that a dead Redis costs one time-out
# every two seconds instead of one per comment.
_QUIET_SECONDS = 2.0
# What each connection tells of itself: with none given, each looked its version up among all
# installed packages, 2 ms of every job.
_DRIVER = DriverInfo()


class Job(StrEnum):
    """The jobs, by the name of their queue."""

    CLASSIFY = "classify"
    TRAIN = "train"
    MAIL = "mail"


_TALLIES = "hamgate:tallies"
_FUNCTIONS = {
    Job.CLASSIFY: "workers.classification.classify",
    Job.TRAIN: "workers.training.train",
    Job.MAIL: "workers.mailing.send_mail",
}


def connect(settings: Settings) -> redis.Redis:
    """Give a client whose every call ends within half a second, without opening a connection."""
    return _client(
        settings,
        socket_timeout=0.5,
        socket_connect_timeout=0.5,
        # Again on a connection that had gone stale; not on silence, which would only take longer.
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        health_check_interval=0,
    )


def connect_blocking(settings: Settings) -> redis.Redis:
    """Give a client for a worker, which waits for jobs for as long as it likes."""
    return _client(settings, socket_connect_timeout=2)


def _client(settings: Settings, **options: Any) -> redis.Redis:
    watched = sentinels.read(settings.redis_address)
    options["driver_info"] = _DRIVER
    client: redis.Redis
    if watched is None:
        client = redis.Redis.from_url(settings.redis_address, **options)
        return client
    given: dict[str, Any] = parse_url(watched.primary)
    del given["host"]
    # Sentinels are asked with the same certificates; they have logins of their own.
    shared = {"ssl": given.pop("connection_class", None) is SSLConnection}
    shared |= {name: value for name, value in given.items() if name.startswith("ssl_")}
    for name in ("username", "password"):
        shared[name] = given.pop(f"sentinel_{name}", None)
    asked = {"socket_timeout": 0.5, "socket_connect_timeout": 0.5, **shared}
    given = {**given, "ssl": shared["ssl"], **options}
    client = Sentinel(watched.hosts, sentinel_kwargs=asked).master_for(watched.service, **given)
    return client


def queue(job: Job, connection: redis.Redis) -> Queue:
    """Give the job queue; JSON, because unpickling runs what whoever reaches Redis wrote."""
    return Queue(job.value, connection=connection, serializer="json")


class Doorbell:
    """Wakes the workers; safe to share between threads, and to use while Redis is down."""

    def __init__(self, settings: Settings) -> None:
        self._redis = connect(settings)
        self._quiet_until = 0.0
        self._lock = threading.Lock()

    def ring(self, job: Job) -> bool:
        """Ask for a run of `job`, unless one was asked for that has not yet begun.

        Returns:
            Whether a run is on its way; `False` when Redis did not answer.
        """
        if time.monotonic() < self._quiet_until:
            return False
        try:
            if self._redis.set(_bell(job), 1, nx=True, px=_BELL_MS):
                queue(job, self._redis).enqueue_call(
                    _FUNCTIONS[job], timeout=-1, result_ttl=0, ttl=60, failure_ttl=300
                )
        except redis.RedisError as error:
            with self._lock:
                self._quiet_until = time.monotonic() + _QUIET_SECONDS
            log.warning("could not ring for %s (%s); the sweeper will find it", job, error)
            return False
        return True

    def answer(self, job: Job) -> None:
        """Take the bell down, before the work begins: what comes from now on rings anew."""
        try:
            self._redis.delete(_bell(job))
        except redis.RedisError as error:
            log.warning("could not take down the bell for %s: %s", job, error)

    def claim(self, name: str, holder: str, lasts: timedelta) -> bool:
        """Whether nobody else has claimed a name, or Redis did not answer.

        Args:
            name: what is claimed.
            holder: who claims it; may do so again.
            lasts: how long nobody else can.
        """
        if time.monotonic() < self._quiet_until:
            return True
        key = f"hamgate:{name}"
        try:
            if self._redis.set(key, holder, nx=True, ex=lasts):
                return True
            return self._redis.get(key) in (holder.encode(), None)
        except redis.RedisError as error:
            with self._lock:
                self._quiet_until = time.monotonic() + _QUIET_SECONDS
            log.warning("could not claim %s (%s); it is let through", name, error)
            return True

    def ping(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(self._redis.ping())
        except redis.RedisError:
            return False

    def tally(self, counts: Mapping[str, int]) -> None:
        """Add to counters that outlive the process; lost with Redis, as counters may be."""
        if not counts or time.monotonic() < self._quiet_until:
            return
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                for name, count in counts.items():
                    pipeline.hincrby(_TALLIES, name, count)
                pipeline.execute()
        except redis.RedisError as error:
            with self._lock:
                self._quiet_until = time.monotonic() + _QUIET_SECONDS
            log.warning("could not count %s: %s", dict(counts), error)

    def tallies(self) -> dict[str, int]:
        """Give the counters; empty when Redis does not answer."""
        try:
            found = cast(dict[bytes, bytes], self._redis.hgetall(_TALLIES))
        except redis.RedisError:
            return {}
        return {name.decode(): int(count) for name, count in found.items()}

    def worker_count(self, job: Job = Job.CLASSIFY) -> int:
        """How many RQ workers are registered for a job; 0 when Redis does not answer."""
        try:
            return Worker.count(queue=queue(job, self._redis))
        except redis.RedisError:
            return 0

    def backlog(self, job: Job) -> int | None:
        """How many runs wait in the job queue, or `None` when Redis does not answer."""
        try:
            return queue(job, self._redis).count
        except redis.RedisError:
            return None


def _bell(job: Job) -> str:
    return f"hamgate:bell:{job}"
