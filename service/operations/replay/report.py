"""The report: what became of the rows, how soon, and how that compares with their labels.

The one rule: every figure says what it was counted over.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from service.operations.replay.outcomes import Outcomes
from service.operations.replay.posting import Posting
from service.pure.policy import Status

_KEPT_BACK = (Status.SPAM, Status.PENDING, Status.REJECTED)
_MEASURED = "from before the POST to the decision's own time"


@dataclass(frozen=True, slots=True)
class Labelled:
    """How decided comments with a label were decided.

    Attributes:
        spam: how many are spam by their label, by status.
        ham: how many are not, by status.
    """

    spam: Counter[str]
    ham: Counter[str]

    @property
    def precision(self) -> float | None:
        """Share of spam, by label, among what was marked as spam."""
        marked = self.spam[Status.SPAM] + self.ham[Status.SPAM]
        return _share(self.spam[Status.SPAM], marked)

    @property
    def recall(self) -> float | None:
        """Share of the spam that was not published: marked, held or rejected."""
        return _share(sum(self.spam[status] for status in _KEPT_BACK), self.spam.total())

    @property
    def recall_marked(self) -> float | None:
        """Share of the spam that was marked as spam."""
        return _share(self.spam[Status.SPAM], self.spam.total())

    @property
    def ham_held(self) -> float | None:
        """Share of the ham that waits for a person."""
        return _share(self.ham[Status.PENDING], self.ham.total())

    @property
    def ham_marked(self) -> float | None:
        """Share of the ham that was marked as spam."""
        return _share(self.ham[Status.SPAM], self.ham.total())


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the rows.

    Attributes:
        rows: posted, or tried to.
        accepted: stored by the server.
        refused: rows refused, by reason.
        repeats: requests that were sent again, because the server asked for patience or was away.
        statuses: decided comments by status.
        rules: decided comments by the rule that answered, or the actor if it was no rule.
        models: versions of the models that gave the scores.
        seconds: from the first POST until the last decision was known.
        posting_seconds: until the last row was answered.
        delays_ms: time to decision of each decided comment, ascending; see `_MEASURED`.
        labelled: against the labels.
    """

    rows: int
    accepted: int
    refused: Counter[str]
    repeats: int
    statuses: Counter[str]
    rules: Counter[str]
    models: tuple[str, ...]
    seconds: float
    posting_seconds: float
    delays_ms: Sequence[float]
    labelled: Labelled

    @property
    def decided(self) -> int:
        """How many accepted comments have a decision."""
        return self.statuses.total()

    @property
    def undecided(self) -> int:
        """How many accepted comments have none."""
        return self.accepted - self.decided

    def as_dict(self) -> dict[str, Any]:
        """Give the report as JSON has it: shares from 0 to 1, `null` over nothing."""
        return {
            "rows": self.rows,
            "accepted": self.accepted,
            "refused": {"count": self.refused.total(), "reasons": dict(self.refused)},
            "repeated_requests": self.repeats,
            "decided": self.decided,
            "undecided": self.undecided,
            "statuses": dict(sorted(self.statuses.items())),
            "rules": dict(sorted(self.rules.items())),
            "model_versions": list(self.models),
            "seconds": round(self.seconds, 2),
            "accepted_per_second": round(self.accepted / self.posting_seconds, 1)
            if self.posting_seconds
            else None,
            "time_to_decision_ms": {
                "p50": percentile(self.delays_ms, 0.5),
                "p99": percentile(self.delays_ms, 0.99),
                "max": percentile(self.delays_ms, 1),
                "measured": _MEASURED,
            },
            "labels": {
                "spam": self.labelled.spam.total(),
                "ham": self.labelled.ham.total(),
                "precision": _rounded(self.labelled.precision),
                "recall": _rounded(self.labelled.recall),
                "recall_marked_only": _rounded(self.labelled.recall_marked),
                "ham_held": _rounded(self.labelled.ham_held),
                "ham_marked_spam": _rounded(self.labelled.ham_marked),
            },
        }


def make(posting: Posting, outcomes: Outcomes, *, seconds: float) -> Report:
    """Count what was posted and what was decided."""
    accepted = posting.accepted()
    labelled = Labelled(spam=Counter(), ham=Counter())
    delays = []
    for comment_id, outcome in outcomes.decided.items():
        sent = accepted[comment_id]
        delays.append((outcome.decided_at - sent.sent_at).total_seconds() * 1000)
        if sent.spam is not None:
            (labelled.spam if sent.spam else labelled.ham)[outcome.status] += 1
    decided = outcomes.decided.values()
    return Report(
        rows=posting.rows,
        accepted=len(accepted),
        refused=posting.refused,
        repeats=posting.repeats,
        statuses=Counter(outcome.status for outcome in decided),
        rules=Counter(outcome.rule for outcome in decided),
        models=tuple(sorted({o.model_version for o in decided if o.model_version})),
        seconds=seconds,
        posting_seconds=posting.seconds,
        delays_ms=sorted(delays),
        labelled=labelled,
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """Give the smallest of the ascending values that at least this share does not exceed."""
    if not values:
        return None
    return round(values[max(0, math.ceil(share * len(values)) - 1)], 1)


def show(report: Report, console: Console, title: str) -> None:
    """Print the report as a table."""
    table = Table(title=title, box=box.SIMPLE, show_header=False, title_justify="left")
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(style="dim")
    _show_counts(report, table)
    table.add_section()
    _show_times(report, table)
    if report.labelled.spam or report.labelled.ham:
        table.add_section()
        _show_labels(report.labelled, table)
    console.print(table)


def _show_counts(report: Report, table: Table) -> None:
    table.add_row("rows", f"{report.rows:,}")
    table.add_row("accepted", f"{report.accepted:,}")
    for reason, count in report.refused.most_common():
        table.add_row("refused", f"{count:,}", reason)
    table.add_row("decided", f"{report.decided:,}", ", ".join(report.models))
    if report.undecided:
        table.add_row("undecided", f"[bold red]{report.undecided:,}[/]")
    for status, count in report.statuses.most_common():
        table.add_row(f"  {status}", f"{count:,}", f"{count / report.decided:.1%} of the decided")


def _show_times(report: Report, table: Table) -> None:
    rate = report.accepted / report.posting_seconds if report.posting_seconds else 0
    table.add_row("accepted per second", f"{rate:,.0f}", "this program's own work included")
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        value = percentile(report.delays_ms, share)
        figure = "-" if value is None else f"{value:,.0f} ms"
        table.add_row(f"time to decision {name}", figure, _MEASURED)
    if report.repeats:
        table.add_row("requests repeated", f"{report.repeats:,}", "after 429, 503 or no answer")


def _show_labels(labelled: Labelled, table: Table) -> None:
    spam, ham = labelled.spam.total(), labelled.ham.total()
    rows = (
        ("spam: precision", labelled.precision, "of what was marked as spam"),
        ("spam: recall", labelled.recall, f"of {spam:,} spam, marked, held or rejected"),
        ("spam: marked", labelled.recall_marked, f"of {spam:,} spam, marked as spam"),
        ("ham held", labelled.ham_held, f"of {ham:,} ham, held for a person"),
        ("ham marked spam", labelled.ham_marked, f"of {ham:,} ham"),
    )
    for name, share, note in rows:
        table.add_row(name, "-" if share is None else f"{share:.2%}", note)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
