"""Submitting: from what a visitor or a program sent to a stored comment, and its first decision.

The one rule: every way in passes here, so none of them is without limits.
"""

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import flask

from service.api import mailboxes, schemas
from service.base.errors import FieldError, Forbidden, Invalid, Malformed, Unavailable
from service.core import authors, comments, confirmations, moderation
from service.core.comments import Accepted, CommentView, Submission
from service.core.moderation import DecisionView
from service.ledger.db import utc_now
from service.pure import letters, text
from service.serving import access
from service.serving.access import Caller
from service.serving.here import Here, here
from service.serving.intake import Arrival
from service.serving.limits import Counter

# A poll of the primary key costs 0.2 ms. An idle system decides within 20 to 100 ms: then looks are
# frequent, and later ever fewer, so that five seconds of waiting cost some seventy.
_POLL_AFTER_SECONDS = 0.02
_POLL_OFTEN_SECONDS = 0.006
_POLLS_OFTEN = 14
_POLL_MOST_SECONDS = 0.1
_IDEMPOTENCY_KEY_MOST = 255


def schema_of(caller: Caller) -> type[schemas.Submission]:
    """Give what a caller may send."""
    return schemas.KeySubmission if caller.key is not None else schemas.Submission


def describe(
    parts: Here,
    caller: Caller,
    sent: schemas.Submission,
    idempotency_key: str | None,
    environ: Mapping[str, Any],
) -> Submission:
    """Give what is to be stored: what was sent, and what is known of the visit.

    Args:
        parts: of this process.
        caller: who submits.
        sent: with a key, a `KeySubmission`, which says what the program knows of the visit.
        idempotency_key: already the caller's own.
        environ: of the request.
    """
    if isinstance(sent, schemas.KeySubmission):
        visit = (sent.ip, sent.user_agent, sent.referrer, sent.submitted_at)
    else:
        visit = (
            parts.access.address_of(environ),
            text.one_line(environ.get("HTTP_USER_AGENT"), 1000),
            text.one_line(environ.get("HTTP_REFERER"), schemas.URL_MOST),
            None,
        )
    address, user_agent, referrer, submitted_at = visit
    return Submission(
        site_id=caller.site.id,
        page_url=sent.page_url,
        page_title=sent.page_title,
        name=sent.name,
        email=sent.email.original,
        email_normalised=sent.email.normalized,
        disposable_email=mailboxes.is_disposable(sent.email),
        proven_at=_proven_at(parts, caller, sent),
        url=sent.url,
        body=sent.body,
        parent_id=sent.parent_id,
        external_id=sent.external_id,
        idempotency_key=idempotency_key,
        honeypot_filled=sent.honeypot is not None,
        address=address,
        user_agent=user_agent,
        referrer=referrer,
        submitted_at=submitted_at,
    )


def accept(caller: Caller, submission: Submission, altcha: str | None = None) -> Accepted:
    """Count and store a submission.

    Args:
        caller: who submits.
        submission: what `describe` gave.
        altcha: the form's challenge, as it was sent.

    Raises:
        HamgateError: it is one too many, undeliverable, or what `Intake` raises.
    """
    parts = here()
    arrived = arrival(parts, caller, submission, altcha, flask.request.environ)
    if parts.settings.email_deliverability:
        parts.limits.hit(arrived.counters)  # first, for a look-up may take seconds
        _check_deliverable(submission)
        arrived = replace(arrived, counters=())
    accepted = parts.intake(arrived)
    flask.g.comment_id = accepted.id  # for the request's line in the log
    return accepted


def arrival(
    parts: Here,
    caller: Caller,
    submission: Submission,
    altcha: str | None,
    environ: Mapping[str, Any],
) -> Arrival:
    """Give a submission with all that is to be looked at before it is stored.

    Args:
        parts: of this process.
        caller: who submits; without a key it is a form, and a challenge is expected.
        submission: what `describe` gave.
        altcha: the form's challenge, as it was sent.
        environ: of the request.
    """
    return Arrival(
        submission,
        _counters(parts, caller, submission, environ),
        formed=caller.key is None or altcha is not None,
        altcha=altcha,
    )


def count_refused(caller: Caller) -> None:
    """Count a submission that nothing could be made of.

    Raises:
        RateLimited: it is one too many.
    """
    here().limits.hit(_counters(here(), caller, None, flask.request.environ))


def await_decision(accepted: Accepted, seconds: float) -> tuple[CommentView, DecisionView] | None:
    """Wait for a decision, if asked to and if not too many others wait already."""
    if seconds <= 0 or not here().waiting.acquire(blocking=False):
        return None
    try:
        deadline = time.monotonic() + seconds
        for pause in _pauses():
            view, decision = load(accepted.id)
            if decision is not None:
                return view, decision
            if time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        return None
    except Unavailable:  # it is stored: a 503 would say the opposite
        return None
    finally:
        here().waiting.release()


def _pauses() -> Iterator[float]:
    yield _POLL_AFTER_SECONDS
    yield from itertools.repeat(_POLL_OFTEN_SECONDS, _POLLS_OFTEN)
    pause = _POLL_OFTEN_SECONDS
    while True:
        pause = min(pause * 1.3, _POLL_MOST_SECONDS)
        yield pause


def load(comment_id: str, site_id: str | None = None) -> tuple[CommentView, DecisionView | None]:
    """Give a comment with its latest decision.

    Raises:
        NotFound: there is no such comment, or not on this site.
    """
    with here().database.reading() as session:
        view = comments.get(session, comment_id, site_id=site_id)
        if view.decision_id is None:
            return view, None
        return view, moderation.latest(session, [view.decision_id])[view.decision_id]


def ask_for_mail(view: CommentView, language: str) -> None:
    """Have a mail sent by which the author of a comment can confirm the address.

    Args:
        view: of the comment, whose author asks.
        language: a tag (BCP 47); the nearest of ours is taken.

    Raises:
        Forbidden: none is offered for it.
        RateLimited: too many were asked for from this address.
    """
    settings = here().settings
    if not confirmations.is_offered(view, here().access.site_by_id(view.site_id), settings):
        raise Forbidden("a mail is not offered for this comment")
    subject = access.limit_subject(here().access.client_address())
    here().limits.hit([Counter("mail", subject, settings.limit_confirm)])
    with here().database.transaction() as session:
        confirmations.ask(session, view, letters.nearest(language))


def _proven_at(parts: Here, caller: Caller, sent: schemas.Submission) -> datetime | None:
    if sent.author_token is None:
        return None
    seals = parts.access.seals
    found = seals.proven_at(sent.author_token, caller.site.id, sent.email.normalized)
    return found if found is not None and utc_now() - found < authors.PROOF_LASTS else None


def _check_deliverable(submission: Submission) -> None:
    fault = mailboxes.undeliverable(submission.email_normalised)
    if fault is not None:
        raise Invalid([FieldError("/email", fault)])


def _counters(
    parts: Here, caller: Caller, submission: Submission | None, environ: Mapping[str, Any]
) -> list[Counter]:
    """Give the limits a submission is subject to; without a valid body, those of the caller.

    A key's holder is trusted to open the door only for its own visitors, so there are no limits
    by thread and site with a key, and those of a visitor only where the visitor is named.

    Args:
        parts: of this process.
        caller: who submits.
        submission: what `describe` gave, if anything could be made of the body.
        environ: of the request.
    """
    settings = parts.settings
    found = []
    address = submission.address if submission is not None else None
    if caller.key is not None:
        found.append(Counter("key", caller.key.id, settings.limit_key))
    elif submission is None:
        address = parts.access.address_of(environ)
    if address is not None:
        found.append(Counter("address", access.limit_subject(address), settings.limit_address))
    if submission is None:
        return found
    if address is not None:
        email = text.digest(submission.email_normalised.casefold())
        found.append(Counter("e-mail", f"{caller.site.id}:{email}", settings.limit_email))
    if caller.key is None:
        found.append(Counter("thread", submission.thread_id, settings.limit_thread))
        found.append(Counter("site", caller.site.id, settings.limit_site))
    return found


def idempotency_key(caller: Caller, environ: Mapping[str, Any]) -> str | None:
    """Give the Idempotency-Key of a request, made the caller's own; `None` without one.

    Raises:
        Malformed: it is none.
    """
    # draft-ietf-httpapi-idempotency-key-header-07: a structured-field string, so the quotes are
    # part of the syntax and not of the key; unquoted keys are common and taken as they are.
    key: str | None = environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        return None
    key = key.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 1 <= len(key) <= _IDEMPOTENCY_KEY_MOST or not key.isascii() or text.has_control(key):
        raise Malformed(f"Idempotency-Key must be 1 to {_IDEMPOTENCY_KEY_MOST} ASCII characters")
    return f"{caller.name}:{key}"
