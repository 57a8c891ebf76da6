"""Events: facts that sites are told of, in the past tense, and the shape of what is told.

Pure. The one rule: an event's body follows from what the ledger keeps of it and from nothing
else, so that it is the same to the byte at every attempt (Standard Webhooks 1.0.0).
"""

import bisect
import json
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from service.pure.policy import Status

SCHEMA_VERSION = 1
# Standard Webhooks asks for less than 20 kB; the rest is room for what surrounds the data.
BODY_MOST_BYTES = 20_000
_DATA_MOST_BYTES = BODY_MOST_BYTES - 1_000
_CLUES_MOST = 20
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class EventType(StrEnum):
    """What can happen; each value is the `type` of a body."""

    COMMENT_SUBMITTED = "comment.submitted"
    COMMENT_APPROVED = "comment.approved"
    COMMENT_HELD = "comment.held"
    COMMENT_MARKED_SPAM = "comment.marked_spam"
    COMMENT_REJECTED = "comment.rejected"
    COMMENT_EDITED = "comment.edited"
    COMMENT_WITHDRAWN = "comment.withdrawn"
    COMMENT_DELETED = "comment.deleted"
    COMMENT_RESTORED = "comment.restored"
    COMMENT_REPORTED = "comment.reported"
    COMMENT_APPEALED = "comment.appealed"
    AUTHOR_VERIFIED = "author.verified"
    AUTHOR_ERASED = "author.erased"
    MODEL_PROMOTED = "model.promoted"
    MODEL_ROLLED_BACK = "model.rolled_back"
    STORM_STARTED = "storm.started"
    STORM_ENDED = "storm.ended"
    ENDPOINT_DISABLED = "endpoint.disabled"
    ENDPOINT_TESTED = "endpoint.tested"


class _Shape(BaseModel):
    """Base of what is told: nothing but what is listed, and never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(_Shape):
    """Where it happened."""

    id: str
    slug: str


class Author(_Shape):
    """Who wrote a comment, as far as everybody may know."""

    name: str
    url: str | None


class Comment(_Shape):
    """A comment as it stands after what happened."""

    id: str
    external_id: str | None = Field(description="your own id, if you gave one")
    status: Status
    version: int = Field(ge=1, description="send it back as `seen_version` to decide on it")
    page_url: str
    page_title: str | None
    parent_id: str | None
    author: Author
    body: str = Field(description="Markdown as written")
    body_truncated: bool = Field(description="whether `body` was cut to fit into 20 kB")
    created_at: datetime
    edited_at: datetime | None


class Clue(_Shape):
    """What spoke for spam (above 0) or against it (below)."""

    label: str
    weight: float
    kind: str


class Decision(_Shape):
    """Why the status is what it is."""

    id: str
    status: Status
    old_status: Status
    actor: str = Field(description="`policy`, `moderator:<id>`, `key:<id>` or `author`")
    rule: str | None
    reason: str
    score: float | None = Field(ge=0, le=1, description="probability of spam")
    model_version: str | None
    clues: Annotated[list[Clue], Field(max_length=_CLUES_MOST)]
    decided_at: datetime
    act_id: str | None = Field(description="the same for all that was decided in one go")
    undoes: str | None = Field(description="the decision that this one takes back")


class Objection(_Shape):
    """What a reader or the author has to say."""

    id: str
    reason: str
    created_at: datetime


class CommentTold(_Shape):
    """A comment came, and nobody has decided yet."""

    site: Site
    comment: Comment


class DecisionTold(_Shape):
    """A comment was decided."""

    site: Site
    comment: Comment
    decision: Decision


class ObjectionTold(_Shape):
    """Somebody asks a person to look at a comment again."""

    site: Site
    comment: Comment
    objection: Objection


class AuthorTold(_Shape):
    """Something about an author; whose it is, is told only where personal data may be told."""

    site: Site
    comment_ids: Annotated[list[str], Field(max_length=100)]


class ModelTold(_Shape):
    """Another version of the classifier scores the site's comments."""

    site: Site
    old_version: int = Field(ge=0, description="0 is the shipped model alone")
    version: int = Field(ge=0)
    actor: str
    reason: str


class StormTold(_Shape):
    """Too much is odd at once on the site, or no longer."""

    site: Site
    storm_id: str
    told: str = Field(description="what was seen at its beginning, for people")
    actor: str
    started_at: datetime
    ended_at: datetime | None


class EndpointTold(_Shape):
    """An endpoint is no longer served, or was tried."""

    site: Site
    endpoint_id: str
    url: str
    reason: str


class Personal(_Shape):
    """Of the author; only where the endpoint asked for it and the site's policy allows it."""

    email: str
    address: str | None


Told = (
    CommentTold | DecisionTold | ObjectionTold | AuthorTold | ModelTold | StormTold | EndpointTold
)

SHAPES: dict[EventType, type[Told]] = {
    EventType.COMMENT_SUBMITTED: CommentTold,
    EventType.COMMENT_APPROVED: DecisionTold,
    EventType.COMMENT_HELD: DecisionTold,
    EventType.COMMENT_MARKED_SPAM: DecisionTold,
    EventType.COMMENT_REJECTED: DecisionTold,
    EventType.COMMENT_EDITED: DecisionTold,
    EventType.COMMENT_WITHDRAWN: DecisionTold,
    EventType.COMMENT_DELETED: DecisionTold,
    EventType.COMMENT_RESTORED: DecisionTold,
    EventType.COMMENT_REPORTED: ObjectionTold,
    EventType.COMMENT_APPEALED: ObjectionTold,
    EventType.AUTHOR_VERIFIED: AuthorTold,
    EventType.AUTHOR_ERASED: AuthorTold,
    EventType.MODEL_PROMOTED: ModelTold,
    EventType.MODEL_ROLLED_BACK: ModelTold,
    EventType.STORM_STARTED: StormTold,
    EventType.STORM_ENDED: StormTold,
    EventType.ENDPOINT_DISABLED: EndpointTold,
    EventType.ENDPOINT_TESTED: EndpointTold,
}

# What each means, for people who choose.
MEANINGS: dict[EventType, str] = {
    EventType.COMMENT_SUBMITTED: "a comment came; nobody has decided yet",
    EventType.COMMENT_APPROVED: "a comment is public from now on",
    EventType.COMMENT_HELD: "a comment waits for a person",
    EventType.COMMENT_MARKED_SPAM: "a comment was marked as spam",
    EventType.COMMENT_REJECTED: "a comment was rejected",
    EventType.COMMENT_EDITED: "its author changed a comment; it is decided anew",
    EventType.COMMENT_WITHDRAWN: "its author took a comment back",
    EventType.COMMENT_DELETED: "a comment was deleted",
    EventType.COMMENT_RESTORED: "a decision was undone; the comment is where it was before",
    EventType.COMMENT_REPORTED: "a reader reported a comment",
    EventType.COMMENT_APPEALED: "its author appealed against a refusal",
    EventType.AUTHOR_VERIFIED: "an author proved that an e-mail address is theirs",
    EventType.AUTHOR_ERASED: "an author's data was erased; so should yours be",
    EventType.MODEL_PROMOTED: "a new version of the classifier scores the site's comments",
    EventType.MODEL_ROLLED_BACK: "the version before scores them again",
    EventType.STORM_STARTED: "too much is odd at once: every comment waits for a person",
    EventType.STORM_ENDED: "a storm is over",
    EventType.ENDPOINT_DISABLED: "an endpoint is not served any more; the others are told",
    EventType.ENDPOINT_TESTED: "somebody pressed the button that tries an endpoint",
}

_DECIDED = {
    Status.APPROVED: EventType.COMMENT_APPROVED,
    Status.PENDING: EventType.COMMENT_HELD,
    Status.SPAM: EventType.COMMENT_MARKED_SPAM,
    Status.REJECTED: EventType.COMMENT_REJECTED,
    Status.DELETED: EventType.COMMENT_DELETED,
}
_DECIDED_BY_AUTHOR = {
    Status.PENDING: EventType.COMMENT_EDITED,
    Status.DELETED: EventType.COMMENT_WITHDRAWN,
}


def of_decision(status: Status, *, by_author: bool, is_undo: bool) -> EventType:
    """Give what a decision is called to receivers.

    Args:
        status: that it set.
        by_author: whether the comment's author made it.
        is_undo: whether it takes another back.
    """
    if is_undo:
        return EventType.COMMENT_RESTORED
    return _DECIDED_BY_AUTHOR[status] if by_author else _DECIDED[status]


def cut_clues(clues: Sequence[Any]) -> list[Any]:
    """Give the clues that are told: the most telling ones, which come first."""
    return list(clues[:_CLUES_MOST])


def data_of(told: Told) -> str:
    """Give an event's data as JSON of less than 20 kB; a comment's text is cut to fit, and says so.

    Raises:
        ValueError: what surrounds the text is too long by itself.
    """
    written = told.model_dump_json()
    if len(written.encode()) <= _DATA_MOST_BYTES:
        return written
    if not isinstance(told, CommentTold | DecisionTold | ObjectionTold):
        raise ValueError(f"an event of {len(written)} characters cannot be told")
    text = told.comment.body
    fits = bisect.bisect_right(
        range(1, len(text) + 1), _DATA_MOST_BYTES, key=lambda most: len(_cut(told, most).encode())
    )
    shorter = _cut(told, fits)
    if len(shorter.encode()) > _DATA_MOST_BYTES:
        raise ValueError("an event whose text was left out cannot be told either")
    return shorter


def _cut(told: CommentTold | DecisionTold | ObjectionTold, most: int) -> str:
    body = {"body": told.comment.body[:most], "body_truncated": True}
    comment = told.comment.model_copy(update=body)
    return told.model_copy(update={"comment": comment}).model_dump_json()


def personal_of(email: str, address: str | None) -> str:
    """Give what an event knows of its author that not everybody may know, as JSON."""
    return Personal(email=email, address=address).model_dump_json()


def body(
    event_type: str, occurred_at: datetime, sequence: int, data: str, personal: str | None
) -> bytes:
    """Give the body to send.

    Put together as text, so that the same columns always give the same bytes.

    Args:
        event_type: of `EventType`.
        occurred_at: when it happened.
        sequence: grows with every event of a comment, so that a receiver can sort.
        data: of `data_of`.
        personal: of `personal_of`, to be told beside the data; `None` to leave it out.
    """
    told = data if personal is None else f'{data[:-1]},"personal":{personal}}}'
    head = json.dumps(
        {"type": event_type, "timestamp": occurred_at.isoformat(), "sequence": sequence},
        separators=(",", ":"),
    )
    return f'{head[:-1]},"data":{told}}}'.encode()


def schema(event_type: EventType, base_url: str) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of an event's body.

    Args:
        event_type: which.
        base_url: where schemas are served, without a slash at the end.
    """
    shape = SHAPES[event_type]
    data = create_model(
        shape.__name__,
        __base__=shape,
        __doc__=shape.__doc__,
        personal=(Personal, Field(None, description=Personal.__doc__)),
    )
    envelope = create_model(
        "Event",
        __config__=ConfigDict(extra="forbid"),
        __doc__=f"{event_type}: {MEANINGS[event_type]}",
        timestamp=(datetime, Field(description="when it happened")),
        sequence=(int, Field(ge=1, description="grows with every event of a comment: sort by it")),
        data=(data, ...),
    )
    found = envelope.model_json_schema(mode="serialization")
    found["properties"] = {"type": {"const": str(event_type)}, **found["properties"]}
    found["required"] = ["type", *found["required"]]
    return {
        "$schema": _DIALECT,
        "$id": f"{base_url}/v{SCHEMA_VERSION}/{event_type}.json",
        **found,
    }
