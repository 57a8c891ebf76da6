"""Couriers in threads and processes of their own, and one that is killed where a test says.

`python -m tests.couriers SEED` is the second: for each line of its standard input it has a courier
work until SIGKILL ends it at some step, and says which. It has one thread, so it may fork.
"""

import asyncio
import contextlib
import os
import random
import signal
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

from sqlalchemy.orm import Session

from service.base.config import Settings, from_environ
from service.base.errors import Unavailable
from service.core.webhooks.deliveries import Claim, Outcome
from tests.cast import open_ledger
from workers.delivery import Courier
from workers.outbound import Outbound

T = TypeVar("T")
OPEN = {
    "HAMGATE_WEBHOOK_NETWORKS": "127.0.0.0/8",
    "HAMGATE_WEBHOOK_PORTS": "1-65535",
    "HAMGATE_WEBHOOK_HTTP": "true",
}
STEPS = ("claim", "claimed", "posted", "noted")
TLS = ssl.create_default_context()


@contextlib.contextmanager
def courier(
    settings: Settings,
    *,
    seconds: float = 10,
    lease: float = 30,
    kind: type[Courier] = Courier,
) -> Iterator[Courier]:
    """Have a courier at work in a thread of its own for the length of a block."""
    started = threading.Event()
    made: list[tuple[asyncio.AbstractEventLoop, Courier]] = []

    async def work() -> None:
        own = open_ledger(settings)
        async with Outbound(settings, tls=TLS, most_seconds=seconds) as outbound:
            made.append((asyncio.get_running_loop(), kind(own, outbound, lease_seconds=lease)))
            started.set()
            await made[0][1].run()
        own.close()

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    started.wait()
    loop, at_work = made[0]
    try:
        yield at_work
    finally:
        loop.call_soon_threadsafe(at_work.stop)
        thread.join()


class Forsaken(Courier):
    """A courier whose ledger is away at every third write, before it or after it was committed."""

    writes = 0

    async def _write(self, act: Callable[[Session], T]) -> T:
        self.writes += 1
        if self.writes % 6 == 3:
            raise Unavailable("the database does not answer")
        done = await super()._write(act)
        if self.writes % 6 == 0:
            raise Unavailable("the database went away: nobody knows whether it has committed")
        return done


class Mortal(Courier):
    """A courier that is killed at one step of some delivery.

    `claim`: before the claim; `claimed`: after it, before the POST; `posted`: after the answer,
    before it is noted; `noted`: after that. And `midst`: at any moment, by a timer.
    """

    step = ""
    after = 0

    def _reached(self, step: str) -> None:
        if step == self.step:
            self.after -= 1
            if self.after < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    async def _claim(self, endpoint_id: str) -> Claim | None:
        self._reached("claim")
        claim = await super()._claim(endpoint_id)
        if claim is not None:
            self._reached("claimed")
        return claim

    async def _attempt(self, claim: Claim) -> Outcome:
        outcome = await super()._attempt(claim)
        self._reached("posted")
        return outcome

    async def _note(self, claim: Claim, outcome: Outcome) -> None:
        await super()._note(claim, outcome)
        self._reached("noted")


def _live_and_die(settings: Settings, step: str, dice: random.Random) -> NoReturn:
    """Deliver until killed."""

    async def deliver() -> None:
        async with Outbound(settings, tls=TLS) as outbound:
            courier = Mortal(open_ledger(settings), outbound, lease_seconds=0.5)
            courier.step, courier.after = step, dice.randrange(3)
            if step == "midst":
                kill = (os.kill, os.getpid(), signal.SIGKILL)
                threading.Timer(dice.uniform(0.005, 0.15), kill[0], kill[1:]).start()
            await courier.run()

    try:
        asyncio.run(deliver())
    finally:
        os._exit(1)


def main() -> None:
    """Have a courier live and die for each line; say how each ended."""
    settings = from_environ(os.environ)
    dice = random.Random(int(sys.argv[1]))
    for _ in sys.stdin:
        step = dice.choice([*STEPS, "midst"])
        child = os.fork()
        if child == 0:
            _live_and_die(settings, step, dice)
        _, status = os.waitpid(child, 0)
        print(step, os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
