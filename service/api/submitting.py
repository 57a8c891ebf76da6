"""Submitting: from what a visitor or a program sent to a stored comment, and its first decision.

The one rule: every way in passes here, so none of them is without limits.
"""

import time
from dataclasses import replace
from datetime import datetime

import flask

from service import access, authors, comments, confirmations, letters, moderation, text
from service.access import Caller
from service.api import mailboxes, schemas
from service.comments import Accepted, CommentView, Submission
from service.db import utc_now
from service.errors import FieldError, Forbidden, Invalid, Unavailable
from service.here import here
from service.limits import Counter
from service.moderation import DecisionView

# A poll of the primary key costs 0.2 ms; the pauses grow from 10 ms, so that a decision is seen
# soon after it is made and five seconds of waiting cost some fifty polls.
_POLL_FIRST_SECONDS = 0.01
_POLL_MOST_SECONDS = 0.1


def describe(caller: Caller, sent: schemas.Submission, idempotency_key: str | None) -> Submission:
    """Give what is to be stored: what was sent, and what is known of the visit.

    Args:
        caller: who submits.
        sent: with a key, a `KeySubmission`, which says what the program knows of the visit.
        idempotency_key: already the caller's own.
    """
    request = flask.request
    if isinstance(sent, schemas.KeySubmission):
        visit = (sent.ip, sent.user_agent, sent.referrer, sent.submitted_at)
    else:
        visit = (
            here().access.client_address(),
            text.one_line(request.user_agent.string, 1000),
            text.one_line(request.referrer, schemas.URL_MOST),
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
        proven_at=_proven_at(caller, sent),
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
    counters = _counters(caller, submission)
    if here().settings.email_deliverability:
        here().limits.hit(counters)  # first, for a look-up may take seconds
        _check_deliverable(submission)
        counters = []
    if caller.key is None or altcha is not None:
        # Last, for it uses the challenge up.
        shown = here().challenges.examine(caller.site.id, altcha, submission.digest, utc_now())
        submission = replace(submission, challenge=shown.challenge, written_ms=shown.written_ms)
    accepted = here().intake(submission, counters)
    flask.g.comment_id = accepted.id  # for the request's line in the log
    return accepted


def count_refused(caller: Caller) -> None:
    """Count a submission that nothing could be made of.

    Raises:
        RateLimited: it is one too many.
    """
    here().limits.hit(_counters(caller, None))


def await_decision(accepted: Accepted, seconds: float) -> tuple[CommentView, DecisionView] | None:
    """Wait for a decision, if asked to and if not too many others wait already."""
    if seconds <= 0 or not here().waiting.acquire(blocking=False):
        return None
    try:
        deadline = time.monotonic() + seconds
        pause = _POLL_FIRST_SECONDS
        while True:
            view, decision = load(accepted.id)
            if decision is not None:
                return view, decision
            if time.monotonic() + pause > deadline:
                return None
            time.sleep(pause)
            pause = min(pause * 1.3, _POLL_MOST_SECONDS)
    except Unavailable:  # it is stored: a 503 would say the opposite
        return None
    finally:
        here().waiting.release()


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


def _proven_at(caller: Caller, sent: schemas.Submission) -> datetime | None:
    if sent.author_token is None:
        return None
    seals = here().access.seals
    found = seals.proven_at(sent.author_token, caller.site.id, sent.email.normalized)
    return found if found is not None and utc_now() - found < authors.PROOF_LASTS else None


def _check_deliverable(submission: Submission) -> None:
    fault = mailboxes.undeliverable(submission.email_normalised)
    if fault is not None:
        raise Invalid([FieldError("/email", fault)])


def _counters(caller: Caller, submission: Submission | None) -> list[Counter]:
    """Give the limits a submission is subject to; without a valid body, those of the caller.

    A key's holder is trusted to open the door only for its own visitors, so there are no limits
    by thread and site with a key, and those of a visitor only where the visitor is named.
    """
    settings = here().settings
    counters = []
    address = here().access.client_address()
    if caller.key is not None:
        counters.append(Counter("key", caller.key.id, settings.limit_key))
        address = submission.address if submission is not None else None
    if address is not None:
        counters.append(Counter("address", access.limit_subject(address), settings.limit_address))
    if submission is None:
        return counters
    if address is not None:
        email = text.digest(submission.email_normalised.casefold())
        counters.append(Counter("e-mail", f"{caller.site.id}:{email}", settings.limit_email))
    if caller.key is None:
        counters.append(Counter("thread", submission.thread_id, settings.limit_thread))
        counters.append(Counter("site", caller.site.id, settings.limit_site))
    return counters
