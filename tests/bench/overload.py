"""Overload: what is still taken in when ten times as many clients come as usual.

Clients that are told 503 come again when `Retry-After` says, as the widget does; `stubborn` ones
come again at once, which no server enjoys. As elsewhere, what was acknowledged has to be stored.
"""

import time
from dataclasses import dataclass, replace

from sqlalchemy import func, select

from service.ledger.models import COMMENTS
from tests.bench.load import Generator, Load
from tests.bench.servers import DatabaseKind, Stage

_TIMES = 10
_SLICE_SECONDS = 0.25
_PATIENCE_SECONDS = 15.0
# The generator prepares several times as many requests a second as there will be.
_SPARE_SECONDS = 3.0
# What has to hold again when it is over.
_SOON_MS = 1000


@dataclass(frozen=True, slots=True)
class Overload:
    """Intake with ten times its usual connections.

    Attributes:
        kind: the database.
        stubborn: whether clients come again at once.
    """

    kind: DatabaseKind
    stubborn: bool = False
    table: str = "overload"

    @property
    def name(self) -> str:
        """The row's name."""
        return f"overload-{self.kind}{'-stubborn' if self.stubborn else ''}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Load it as usual, then too much, both for so many seconds, then as usual again."""
        with stage.parts(self.kind) as here:
            usual = here.target
            many = replace(usual, connections=_TIMES * usual.connections)
            with (
                Generator(usual, seconds=2 * seconds + _SPARE_SECONDS) as calm,
                Generator(many, seconds=seconds) as crowd,
            ):
                warm_up = calm.run(seconds=min(1.0, seconds))
                peak = calm.run(seconds=seconds)
                flood = crowd.run(seconds=seconds, patient=not self.stubborn)
                recovery_seconds, after = _recover(calm)
            accepted = sum(load.accepted for load in (warm_up, peak, flood, *after))
            with here.ledger() as session:
                stored = session.scalar(select(func.count()).select_from(COMMENTS))
        if stored != accepted:
            raise RuntimeError(f"{accepted} were accepted, but {stored} are stored")
        peak_a_second = peak.accepted / peak.elapsed_seconds
        goodput = flood.accepted / flood.elapsed_seconds
        return {
            "peak_per_second": peak_a_second,
            "goodput_per_second": goodput,
            "of_peak": goodput / peak_a_second,
            "refused_per_second": flood.refused / flood.elapsed_seconds,
            "p50_ms": flood.p50_ms,
            "p99_ms": flood.p99_ms,
            "recovery_seconds": recovery_seconds,
        }


def _recover(calm: Generator) -> tuple[float, list[Load]]:
    """Give how long the usual load has to come until none of it is refused or late."""
    began = time.perf_counter()
    slices: list[Load] = []
    while time.perf_counter() - began < _PATIENCE_SECONDS:
        load = calm.run(seconds=_SLICE_SECONDS)
        slices.append(load)
        if load.accepted and not load.refused and load.p99_ms < _SOON_MS:
            return time.perf_counter() - began - load.elapsed_seconds, slices
    raise RuntimeError(f"it does not recover within {_PATIENCE_SECONDS:g} s")
