"""The courier: sends what the outbox holds, and notes what became of it.

One process with one event loop: a hundred receivers that hang cost a hundred waits and no more.
The one rule: no transaction is open while a receiver is waited for. A claim is committed, then
sent, then noted; whatever happens between, the delivery is due again when its lease ends.
"""

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sqlalchemy.orm import Session

from service.base import logs
from service.base.errors import ConfigError, Unavailable
from service.core.webhooks import deliveries, signing
from service.core.webhooks.deliveries import Claim, Outcome
from service.ledger import tallies
from service.ledger.db import Database
from service.ledger.models import DeliveryStatus
from service.ledger.tallies import Tally
from service.operations import traces
from workers import context
from workers.outbound import Outbound

log = logging.getLogger(__name__)

AT_ONCE = 128
# So that one receiver holds neither all places nor, by its backlog, all claims.
AT_ONCE_EACH = 8
# Slower than this, or without success, an endpoint has one place, and all such together half of
# them: however many hang, there are places for those that do not.
_SLOW_MS = 2000
_SUSPECTS_MOST = AT_ONCE // 2
_LOOK_SECONDS = 0.25
_TIDY_SECONDS = 10.0
_PAUSE_SECONDS = 1.0
# Less than the supervisor's grace: what is not done by then is tried again after its lease.
_FINISH_SECONDS = 8.0
_LEDGER_THREADS = 4

_T = TypeVar("_T")


@dataclass(slots=True)
class _Route:
    """What this process knows of an endpoint.

    Attributes:
        lanes: how many serve it now, each one delivery after another.
        allowed: how many may: twice as many after each success, one after a failure.
        is_suspect: whether its last attempt failed or was slow.
    """

    lanes: int = 0
    allowed: int = 1
    is_suspect: bool = False

    def learn(self, outcome: Outcome) -> None:
        """Take into account how an attempt went."""
        self.is_suspect = not outcome.is_success or outcome.duration_ms > _SLOW_MS
        self.allowed = 1 if self.is_suspect else min(2 * self.allowed, AT_ONCE_EACH)


class Courier:
    """Claims, sends and notes deliveries until it is told to stop.

    Args:
        database: the ledger.
        outbound: makes the attempts.
        lease_seconds: how long a claim holds: longer than an attempt may take.
    """

    def __init__(self, database: Database, outbound: Outbound, *, lease_seconds: float) -> None:
        self._database = database
        self._outbound = outbound
        self._lease_seconds = lease_seconds
        self._routes: dict[str, _Route] = {}
        self._lanes: set[asyncio.Task[None]] = set()
        self._tally = Tally()
        self._stopping = asyncio.Event()
        # The ledger's driver waits for the disk; the loop must not.
        self._ledger = ThreadPoolExecutor(_LEDGER_THREADS, thread_name_prefix="ledger")

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`, then give what is under way some time to end."""
        tidy_at = time.monotonic()
        while not self._stopping.is_set():
            pause = _LOOK_SECONDS
            try:
                if time.monotonic() >= tidy_at:
                    tidy_at = time.monotonic() + _TIDY_SECONDS
                    await self._write(deliveries.tidy)
                self._serve_all(await self._read(deliveries.busy))
                await self._count()
            except Unavailable as error:
                log.warning("the courier cannot look: %s", error)
                pause = _PAUSE_SECONDS
            with contextlib.suppress(TimeoutError):  # nobody told it to stop meanwhile
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
        if self._lanes:
            await asyncio.wait(self._lanes, timeout=_FINISH_SECONDS)
        for lane in self._lanes:
            lane.cancel()
        await self._count()
        self._ledger.shutdown(wait=False, cancel_futures=True)

    def _serve_all(self, busy: Sequence[str]) -> None:
        """Give every endpoint to which something is due another lane, the least served first."""
        for endpoint_id in self._routes.keys() - set(busy):
            route = self._routes[endpoint_id]
            if route.lanes == 0 and not route.is_suspect:
                del self._routes[endpoint_id]
        for endpoint_id in busy:
            self._routes.setdefault(endpoint_id, _Route())
        for endpoint_id in sorted(busy, key=lambda one: self._routes[one].lanes):
            self._open_lane(endpoint_id)

    def _open_lane(self, endpoint_id: str) -> None:
        route = self._routes[endpoint_id]
        if self._stopping.is_set() or self._is_full() or route.lanes >= route.allowed:
            return
        suspects = sum(one.lanes for one in self._routes.values() if one.is_suspect)
        if route.is_suspect and suspects >= _SUSPECTS_MOST:
            return
        route.lanes += 1
        lane = asyncio.create_task(self._serve(endpoint_id, route))
        self._lanes.add(lane)
        lane.add_done_callback(self._lanes.discard)

    def _is_full(self) -> bool:
        return len(self._lanes) >= AT_ONCE

    async def _serve(self, endpoint_id: str, route: _Route) -> None:
        """Deliver to one endpoint, one after another, until nothing is due or others wait."""
        try:
            while not self._stopping.is_set():
                claim = await self._claim(endpoint_id)
                if claim is None:
                    return
                self._open_lane(endpoint_id)  # where one was due, another may be
                outcome = await self._attempt(claim)
                route.learn(outcome)
                await self._note(claim, outcome)
                if self._is_full() or route.lanes > route.allowed:
                    return  # the next round gives the place to the least served
        except Unavailable as error:
            log.warning("the courier cannot claim: %s", error)
        except Exception:
            log.exception("the courier failed at endpoint %s", endpoint_id)
            await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            route.lanes -= 1

    async def _claim(self, endpoint_id: str) -> Claim | None:
        return await self._write(
            partial(deliveries.claim, endpoint_id=endpoint_id, lease_seconds=self._lease_seconds)
        )

    async def _attempt(self, claim: Claim) -> Outcome:
        try:
            headers = signing.headers(claim.event_id, int(time.time()), claim.body, claim.secrets)
            answer = await self._outbound.post(claim.url, claim.body, headers)
        except Exception:
            # Noted like any other failure, so that it ends in the dead letter and not never.
            log.exception("delivery %s failed through a fault of ours", claim.delivery_id)
            return Outcome(None, "internal")
        return Outcome(
            status=answer.status,
            failure=None if answer.failure is None else str(answer.failure),
            excerpt=answer.excerpt if answer.failure is None else answer.reason,
            retry_after_seconds=answer.retry_after_seconds,
            duration_ms=answer.duration_ms,
        )

    async def _note(self, claim: Claim, outcome: Outcome) -> None:
        """Note what a receiver has said: not forgotten because the ledger is away for a moment."""
        while True:
            try:
                stands = await self._write(partial(deliveries.note, claim=claim, outcome=outcome))
                break
            except Unavailable as error:
                log.warning("cannot note delivery %s yet: %s", claim.delivery_id, error)
                await asyncio.sleep(_PAUSE_SECONDS)
        self._tally.count(tallies.ATTEMPTS, _short(outcome))
        self._tally.observe(tallies.ATTEMPT_SECONDS, outcome.duration_ms / 1000)
        if stands is DeliveryStatus.DEAD:
            self._tally.count(tallies.DEAD)
        log.info(
            "%s%s to %s, attempt %d: %s in %d ms, now %s",
            claim.event_id,
            f" of {claim.comment_id}" if claim.comment_id else "",
            claim.endpoint_id,
            claim.number,
            outcome.told,
            outcome.duration_ms,
            stands or "somebody else's",
            extra=logs.fields(
                event=claim.event_id,
                comment=claim.comment_id,
                endpoint=claim.endpoint_id,
                delivery=claim.delivery_id,
                attempt=claim.number,
                outcome=outcome.told,
                ms=outcome.duration_ms,
            ),
        )
        if (spans := traces.current()) is not None:
            spans.attempt(claim, outcome)

    async def _count(self) -> None:
        """Tell Redis what was counted; in a thread, since Redis may not answer."""
        counts = self._tally.take()
        if counts:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._ledger, self._database.doorbell.tally, counts)

    async def _read(self, ask: Callable[[Session], _T]) -> _T:
        def work() -> _T:
            with self._database.reading() as session:
                return ask(session)

        return await asyncio.get_running_loop().run_in_executor(self._ledger, work)

    async def _write(self, act: Callable[[Session], _T]) -> _T:
        def work() -> _T:
            with self._database.transaction() as session:
                return act(session)

        return await asyncio.get_running_loop().run_in_executor(self._ledger, work)


def _short(outcome: Outcome) -> str:
    """Give how an attempt ended, in one of few words."""
    if outcome.status is None:
        return outcome.failure or "none"
    return "delivered" if outcome.is_success else f"{outcome.status // 100}xx"


def run() -> None:
    """Be the courier of this process until SIGTERM."""
    try:
        asyncio.run(_run())
    except ConfigError as error:
        log.error("the courier cannot work: %s", error)
        sys.exit(1)


async def _run() -> None:
    here = context.current()
    traces.begin(here.settings, "courier")
    async with Outbound(here.settings) as outbound:
        courier = Courier(
            here.database, outbound, lease_seconds=here.settings.deliver_lease_seconds
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, courier.stop)
        await courier.run()
    traces.end()
