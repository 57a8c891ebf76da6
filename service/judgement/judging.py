"""Judging: what rules and classifier are told of a comment, and what they say.

Workers judge what is due; a back-test judges again what was decided long ago; both come here,
so that a back-test cannot differ from what happens. Nothing is written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import and_, func, select, tuple_
from sqlalchemy.orm import Session

from service.judgement.shelf import Shelf
from service.judgement.versions import SHIPPED
from service.ledger.bulk import any_of
from service.ledger.models import COMMENTS, SITES, STORMS, THREADS, Comment, VerifiedAuthor
from service.pure import policy, text
from service.pure.policy import Challenge, Policy, Ruling, Signals, Status, Thresholds
from service.pure.scoring import Budget, Content, Folded, Scorer, Tuning, Verdict

# The columns of a comment that rules and classifier look at.
COLUMNS = (
    COMMENTS.c.id,
    COMMENTS.c.site_id,
    COMMENTS.c.thread_id,
    COMMENTS.c.name,
    COMMENTS.c.email_normalised,
    COMMENTS.c.url,
    COMMENTS.c.body,
    COMMENTS.c.address,
    COMMENTS.c.honeypot_filled,
    COMMENTS.c.proven_at,
    COMMENTS.c.challenge,
    COMMENTS.c.written_ms,
    COMMENTS.c.echoes,
)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """How a site's comments are judged.

    Attributes:
        policy: the rules' settings.
        thresholds: where this model's scores have consequences.
        version: of the model, such as `20261123-33b11000+3`; `None` without a model.
        number: of the site's own version, 0 for the shipped model alone.
        tuning: the site's layer.
        shadow: a second rulebook, to be asked and not followed.
        storm: whether a storm is on.
    """

    policy: Policy
    thresholds: Thresholds
    version: str | None = None
    number: int = SHIPPED
    tuning: Tuning | None = None
    shadow: "Rulebook | None" = None
    storm: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One comment with all that is looked at, but for the score.

    Attributes:
        comment_id: the comment.
        site_id: whose.
        content: what the classifier sees.
        row: of a statement with `COLUMNS`, among others.
        author: the author, if verified and trusted.
        folded: the body, if it is folded already.
    """

    comment_id: str
    site_id: str
    content: Content
    row: Any
    author: "_Verified | None" = None
    folded: Folded | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was said of one comment.

    Attributes:
        ruling: what the rules propose.
        verdict: what the classifier thinks; `None` where it had nothing to say.
        version: of the model that gave the verdict.
    """

    ruling: Ruling
    verdict: Verdict | None
    version: str | None

    @property
    def score(self) -> float | None:
        """Probability of spam, 0-1, if there is a verdict."""
        return None if self.verdict is None else self.verdict.score


class _Verified(NamedTuple):
    """Since when an author is verified, and how many approved comments they have."""

    since: datetime
    approved: int


def rulebooks(
    session: Session, scorer: Scorer, shelf: Shelf, site_ids: set[str]
) -> dict[str, Rulebook]:
    """Give how each of these sites judges now, by id; read anew each time.

    A promotion or a changed policy so counts from the next batch on.
    """
    rows = session.execute(
        select(
            SITES.c.id,
            SITES.c.policy,
            SITES.c.model,
            SITES.c.shadow,
            SITES.c.thresholds,
            STORMS.c.id.is_not(None).label("storm"),
        )
        .outerjoin(STORMS, and_(STORMS.c.site_id == SITES.c.id, STORMS.c.ended_at.is_(None)))
        .where(SITES.c.id.in_(site_ids))
    )
    found = {}
    for row in rows:
        settings = Policy.model_validate(row.policy)
        book = rulebook(session, scorer, shelf, row.id, settings, row.model, row.thresholds)
        if row.shadow is not None:
            # With the thresholds of the shipped model: a shadow's own are not chosen yet.
            shadow = rulebook(session, scorer, shelf, row.id, settings, row.shadow)
            book = replace(book, shadow=replace(shadow, storm=row.storm))
        found[row.id] = replace(book, storm=row.storm)
    return found


def rulebook(
    session: Session,
    scorer: Scorer,
    shelf: Shelf,
    site_id: str,
    settings: Policy,
    number: int,
    chosen: Mapping[str, Any] | None = None,
) -> Rulebook:
    """Give how a site judges, or would with another policy or version.

    Args:
        session: for reading.
        scorer: the classifier.
        shelf: the layers already read.
        site_id: whose.
        settings: the policy.
        number: the version; one that belongs to another shipped model is passed over.
        chosen: the thresholds in the site's row; they count if they were chosen for this
            version and this budget.
    """
    tuning = shelf.tuning(session, site_id, number)
    if tuning is None or tuning.model_version != scorer.version:
        tuning, number = None, SHIPPED
    version = scorer.version if tuning is None else f"{scorer.version}+{number}"
    if chosen is not None and chosen["for"] == [version, *budget_of(settings)]:
        thresholds = Thresholds(chosen["hold"], chosen["spam"])
    else:
        default = scorer.thresholds(Budget(*budget_of(settings)))
        thresholds = Thresholds(default.hold, default.spam)
    return Rulebook(settings, thresholds, version, number, tuning)


def budget_of(settings: Policy) -> tuple[float, float]:
    """Give a policy's error budget: the shares of good comments held, and marked as spam."""
    return settings.hold_at_most, settings.mark_at_most


def cases(
    session: Session,
    rows: Sequence[Any],
    echoes: Sequence[int],
    folded: Sequence[Folded | None] | None = None,
) -> list[Case]:
    """Gather all that is looked at, but for the score.

    Args:
        session: for reading.
        rows: of a statement with `COLUMNS`, among others.
        echoes: how often nearly the same was said elsewhere, for each.
        folded: their bodies, if they are folded already.
    """
    known = _verified(session, rows)
    titles = _titles(session, rows)
    return [
        Case(
            comment_id=row.id,
            site_id=row.site_id,
            content=content(row, titles.get(row.thread_id), count),
            row=row,
            author=known.get((row.site_id, row.email_normalised)),
            folded=body,
        )
        for row, count, body in zip(rows, echoes, folded or [None] * len(rows), strict=True)
    ]


def content(row: Any, page_title: str | None, echoes: int) -> Content:
    """Give what the classifier sees of a comment; the same for scoring and for learning."""
    return Content(
        body=row.body,
        author_name=row.name,
        author_url=row.url or "",
        email=row.email_normalised,
        page_title=page_title or "",
        echoes=echoes,
    )


def judge(scorer: Scorer, asked: Sequence[Case], books: Mapping[str, Rulebook]) -> list[Judgement]:
    """Score and rule on comments; the classifier is called once for each layer in use.

    Args:
        scorer: the classifier.
        asked: the comments.
        books: how their sites judge; a site without a book is gone, and gets the defaults.
    """
    verdicts: dict[str, Verdict | None] = {}
    for tuning, alike in _by_tuning(asked, books):
        scored = scorer.score(
            [case.content for case in alike], tuning, [case.folded for case in alike]
        )
        verdicts.update((c.comment_id, v) for c, v in zip(alike, scored, strict=True))
    return [
        _judgement(case, verdicts[case.comment_id], books.get(case.site_id, _DEFAULT))
        for case in asked
    ]


_DEFAULT = Rulebook(Policy(), Thresholds())


def _by_tuning(
    asked: Sequence[Case], books: Mapping[str, Rulebook]
) -> list[tuple[Tuning | None, list[Case]]]:
    parts: dict[int, tuple[Tuning | None, list[Case]]] = {}
    for case in asked:
        tuning = books.get(case.site_id, _DEFAULT).tuning
        parts.setdefault(id(tuning), (tuning, []))[1].append(case)
    return list(parts.values())


def _judgement(case: Case, verdict: Verdict | None, book: Rulebook) -> Judgement:
    ruling = policy.decide(_signals(case, verdict, book), book.policy)
    return Judgement(ruling, verdict, book.version if verdict else None)


def _signals(case: Case, verdict: Verdict | None, book: Rulebook) -> Signals:
    row, known = case.row, case.author
    written = f"{row.name} {row.body}"
    return Signals(
        email=row.email_normalised,
        address=row.address,
        name=row.name,
        text=written,
        words=text.words(written) if book.policy.blocked_words else " ",
        link_hosts=text.link_hosts(row.body, row.url),
        honeypot_filled=row.honeypot_filled,
        approved=known.approved if known else 0,
        email_verified=known is not None and _has_proven(row, known),
        challenge=None if row.challenge is None else Challenge(row.challenge),
        written_ms=row.written_ms,
        storm=book.storm,
        score=None if verdict is None else verdict.score,
        thresholds=book.thresholds,
    )


def _has_proven(row: Any, known: _Verified) -> bool:
    """Whether a comment comes from a browser of the address's owner, or only names the address.

    Anybody can type it. What was proven before the present verification (one that a moderator
    ended) does not count either.
    """
    return row.proven_at is not None and row.proven_at >= known.since


def _titles(session: Session, rows: Sequence[Any]) -> dict[str, str]:
    wanted = {row.thread_id for row in rows}
    connection = session.connection()
    found = connection.execute(
        select(THREADS.c.id, THREADS.c.page_title).where(
            any_of(connection, THREADS.c.id, wanted), THREADS.c.page_title.is_not(None)
        )
    )
    return {row[0]: row[1] for row in found}


def _verified(session: Session, rows: Sequence[Any]) -> dict[tuple[str, str], _Verified]:
    """Give the authors of comments who are verified and trusted, by site and e-mail."""
    count = (
        select(func.count())
        .where(
            Comment.site_id == VerifiedAuthor.site_id,
            Comment.email_normalised == VerifiedAuthor.email,
            Comment.status == Status.APPROVED,
        )
        .scalar_subquery()
    )
    # Whoever has not proven an address need not be looked up: most comments never have.
    pairs = {(row.site_id, row.email_normalised) for row in rows if row.proven_at is not None}
    if not pairs:
        return {}
    found = session.execute(
        select(VerifiedAuthor.site_id, VerifiedAuthor.email, VerifiedAuthor.verified_at, count)
        .where(tuple_(VerifiedAuthor.site_id, VerifiedAuthor.email).in_(pairs))
        .where(VerifiedAuthor.distrusted_at.is_(None))
    )
    return {(row[0], row[1]): _Verified(row[2], row[3]) for row in found}
