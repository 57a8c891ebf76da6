"""The courier: sends what the outbox holds, and notes what became of it.

One process with one event loop: a hundred receivers that hang cost a hundred waits and no more.
The one rule: no transaction is open while a receiver is waited for. A claim is committed, then
sent, then noted; whatever happens between, the delivery is due again when its lease ends.
"""

import asyncio
import logging
import signal
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from sqlalchemy.orm import Session

from service.db import Database
from service.errors import Unavailable
from service.webhooks import deliveries, signing
from service.webhooks.deliveries import Claim, Outcome
from workers import context
from workers.outbound import Outbound

log = logging.getLogger(__name__)

# Longer than an attempt may take, and than it may take to note it.
LEASE_SECONDS = 30.0
AT_ONCE = 128
# So that one receiver that hangs holds neither all places nor, by its backlog, all claims.
AT_ONCE_EACH = 8
_LOOK_SECONDS = 0.25
_TIDY_SECONDS = 10.0
_PAUSE_SECONDS = 1.0
# Less than the supervisor's grace: what is not done by then is tried again after its lease.
_FINISH_SECONDS = 8.0
_LEDGER_THREADS = 4

_T = TypeVar("_T")


class Courier:
    """Claims, sends and notes deliveries until it is told to stop.

    Args:
        database: the ledger.
        outbound: makes the attempts.
        lease_seconds: how long a claim holds.
    """

    def __init__(
        self, database: Database, outbound: Outbound, *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._database = database
        self._outbound = outbound
        self._lease_seconds = lease_seconds
        self._under_way: set[asyncio.Task[None]] = set()
        self._by_endpoint: Counter[str] = Counter()
        self._place_is_free = asyncio.Event()
        self._stopping = asyncio.Event()
        # The ledger's driver waits for the disk; the loop must not.
        self._ledger = ThreadPoolExecutor(_LEDGER_THREADS, thread_name_prefix="ledger")

    def stop(self) -> None:
        """Claim nothing more."""
        self._stopping.set()
        self._place_is_free.set()

    async def run(self) -> None:
        """Work until `stop`, then give what is under way some time to end."""
        tidy_at = time.monotonic()
        while not self._stopping.is_set():
            try:
                if time.monotonic() >= tidy_at:
                    tidy_at = time.monotonic() + _TIDY_SECONDS
                    await self._write(deliveries.tidy)
                if not await self._send_some():
                    await self._wait(_LOOK_SECONDS)
            except Unavailable as error:
                log.warning("the courier cannot look: %s", error)
                await self._wait(_PAUSE_SECONDS)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=_FINISH_SECONDS)
        for task in self._under_way:
            task.cancel()
        self._ledger.shutdown(wait=False, cancel_futures=True)

    async def _send_some(self) -> int:
        """Begin attempts, one endpoint after another, while there are places; give how many."""
        begun = 0
        turns = deque(await self._read(deliveries.busy))
        while turns and len(self._under_way) < AT_ONCE and not self._stopping.is_set():
            endpoint_id = turns.popleft()
            if self._by_endpoint[endpoint_id] >= AT_ONCE_EACH:
                continue
            claim = await self._write(
                partial(
                    deliveries.claim, endpoint_id=endpoint_id, lease_seconds=self._lease_seconds
                )
            )
            if claim is not None:
                self._begin(claim)
                turns.append(endpoint_id)
                begun += 1
        return begun

    def _begin(self, claim: Claim) -> None:
        self._by_endpoint[claim.endpoint_id] += 1
        task = asyncio.create_task(self._deliver(claim))
        self._under_way.add(task)

        def end(ended: asyncio.Task[None]) -> None:
            self._under_way.discard(ended)
            self._by_endpoint[claim.endpoint_id] -= 1
            if not self._by_endpoint[claim.endpoint_id]:
                del self._by_endpoint[claim.endpoint_id]
            self._place_is_free.set()
            if not ended.cancelled() and (error := ended.exception()) is not None:
                log.error("delivery %s was left to its lease", claim.delivery_id, exc_info=error)

        task.add_done_callback(end)

    async def _deliver(self, claim: Claim) -> None:
        headers = signing.headers(claim.event_id, int(time.time()), claim.body, claim.secrets)
        answer = await self._outbound.post(claim.url, claim.body, headers)
        outcome = Outcome(
            status=answer.status,
            failure=None if answer.failure is None else str(answer.failure),
            excerpt=answer.excerpt,
            retry_after_seconds=answer.retry_after_seconds,
            duration_ms=answer.duration_ms,
        )
        # What a receiver has said is not forgotten because the ledger is away for a moment.
        while True:
            try:
                stands = await self._write(partial(deliveries.note, claim=claim, outcome=outcome))
                break
            except Unavailable as error:
                log.warning("cannot note delivery %s yet: %s", claim.delivery_id, error)
                await asyncio.sleep(_PAUSE_SECONDS)
        log.info(
            "%s to %s, attempt %d: %s in %d ms, now %s",
            claim.event_id,
            claim.endpoint_id,
            claim.number,
            outcome.told,
            outcome.duration_ms,
            stands or "somebody else's",
        )

    async def _wait(self, seconds: float) -> None:
        """Wait for a place to become free, or for some time."""
        self._place_is_free.clear()
        if self._stopping.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._place_is_free.wait()
        except TimeoutError:
            return

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


def run() -> None:
    """Be the courier of this process until SIGTERM."""
    asyncio.run(_run())


async def _run() -> None:
    here = context.current()
    async with Outbound(here.settings) as outbound:
        courier = Courier(here.database, outbound)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, courier.stop)
        await courier.run()
