"""Intake: how many comments a second are taken in, and what each costs.

Every answer that counts is a comment that was validated, counted against all limits in Valkey,
and committed with an fsync before it was acknowledged. That as many rows are in the ledger as
were acknowledged is checked after each measurement.
"""

from dataclasses import dataclass, replace

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.ledger.models import COMMENTS, DECISIONS
from tests.bench import accounting
from tests.bench.load import Generator, Load, Target
from tests.bench.servers import DatabaseKind, Installation, Stage

_WARM_UP_SECONDS = 1.0


def suffix_of(connections: int) -> str:
    """Give what rows with so many connections, and their table, are called besides."""
    return "" if connections == 64 else f"-{connections}"


@dataclass(frozen=True, slots=True)
class Reference:
    """The fixed reference under the same load.

    Attributes:
        connections: how many.
    """

    connections: int = 64

    @property
    def name(self) -> str:
        """The row's name."""
        return f"reference{suffix_of(self.connections)}"

    @property
    def table(self) -> str:
        """The table of its connections."""
        return f"intake{suffix_of(self.connections)}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Load it for so many seconds."""
        with stage.reference() as here:
            target = replace(here.target, connections=self.connections)
            figures, _ = loaded(here, target, seconds)
            return figures


@dataclass(frozen=True, slots=True)
class Intake:
    """Hamgate's intake.

    Attributes:
        kind: the database.
        worker: whether a worker decides the comments at the same time. Without one, the bell is
            still rung.
        keyed: whether each request has an Idempotency-Key, as the widget will send it.
        connections: how many.
    """

    kind: DatabaseKind
    worker: bool = False
    keyed: bool = False
    connections: int = 64

    @property
    def name(self) -> str:
        """The row's name."""
        variant = "-worker" if self.worker else "-keyed" if self.keyed else ""
        return f"intake-{self.kind}{variant}{suffix_of(self.connections)}"

    @property
    def table(self) -> str:
        """The table of its connections."""
        return f"intake{suffix_of(self.connections)}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Load it for so many seconds over an empty ledger."""
        with stage.parts(self.kind, worker=self.worker) as here:
            target = replace(here.target, keyed=self.keyed, connections=self.connections)
            figures, accepted = loaded(here, target, seconds)
            with here.ledger() as session:
                stored = session.scalar(select(func.count()).select_from(COMMENTS))
            if stored != accepted:
                raise RuntimeError(f"{accepted} were accepted, but {stored} are stored")
            return figures


def loaded(here: Installation, target: Target, seconds: float) -> tuple[dict[str, float], int]:
    """Give the figures, and how many requests were accepted with those of the warm-up."""
    warm_up_seconds = min(_WARM_UP_SECONDS, seconds)
    decides = "worker" in here.roots
    with Generator(target, seconds=warm_up_seconds + seconds) as generator:
        warm_up = generator.run(seconds=warm_up_seconds)
        decided = _decided(here) if decides else 0
        before = accounting.cpu_seconds(here.roots)
        load = generator.run(seconds=seconds)
        after = accounting.cpu_seconds(here.roots)
        if decides:
            decided = _decided(here) - decided
    if not load.accepted:
        raise RuntimeError(f"nothing was accepted: {load.statuses}")
    figures = _figures(load, {name: after[name] - before[name] for name in after})
    if decides:
        figures["decided_per_second"] = decided / load.elapsed_seconds
    return figures, warm_up.accepted + load.accepted


def _figures(load: Load, cpu_seconds: dict[str, float]) -> dict[str, float]:
    def ms(seconds: float) -> float:
        return seconds * 1e3 / load.accepted

    return {
        "requests_per_second": load.accepted / load.elapsed_seconds,
        **{f"{name}_ms": ms(seconds) for name, seconds in cpu_seconds.items()},
        "all_ms": ms(sum(cpu_seconds.values())),
        "generator_ms": ms(load.cpu_seconds),
        "p50_ms": load.p50_ms,
        "p99_ms": load.p99_ms,
        "refused": load.refused,
    }


def _decided(here: Installation) -> int:
    with here.ledger() as session:
        return count_decided(session)


def count_decided(session: Session) -> int:
    """Give how many decisions are in the ledger."""
    return session.scalar(select(func.count()).select_from(DECISIONS)) or 0
