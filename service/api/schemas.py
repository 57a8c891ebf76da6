"""The shapes of requests and answers; validation and the OpenAPI document both come from here.

The one rule: unknown fields are refused, so that a typo is an error and nothing can be set that
is not listed.
"""

import ipaddress
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import email_validator
from email_validator import EmailNotValidError, ValidatedEmail
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from service.core.moderation import BULK_MOST
from service.pure import text
from service.pure.policy import Challenge, Status

EMAIL_MOST = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
NAME_MOST = 80
BODY_MOST = 10_000
URL_MOST = 2_000
# Room for the combining marks of scripts that need several on each letter, and no more.
_NAME_CODE_POINTS = 4 * NAME_MOST
_ALTCHA_MOST = 2_000  # ours take some 600
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d")
_EXAMPLE_BODY = "Thank you, the second step was what I had missed."


class Request(BaseModel):
    """Base of what callers send."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Answer(BaseModel):
    """Base of what is sent to callers."""

    model_config = ConfigDict(frozen=True)


def _storable(value: str) -> str:
    fault = text.unstorable(value)
    if fault is not None:
        raise ValueError(fault)
    return value


def _line(value: str) -> str:
    if text.has_control(value):
        raise ValueError("must be one line without control characters")
    return value


def _name(value: str) -> str:
    visible = text.visible_length(value)
    if not 1 <= visible <= NAME_MOST:
        raise ValueError(f"must have 1 to {NAME_MOST} visible characters")
    return value


def _body(value: str) -> str:
    if not text.has_visible(value):
        raise ValueError(f"must have 1 to {BODY_MOST} characters, one of them visible")
    return value


def _page_url(value: str) -> str:
    try:
        return text.page_url(value)
    except ValueError:
        raise ValueError("must be an absolute http or https URL") from None


def _link(value: str) -> str:
    _page_url(value)
    return value


def _ip(value: str) -> str:
    try:
        parsed = ipaddress.ip_address(value)
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None
    if parsed.version == 4:
        return str(parsed)
    if parsed.scope_id is not None:
        raise ValueError("must be an IPv4 or IPv6 address, without a zone")
    # Else all of IPv4 would be one /64 to the limits, and no IPv4 network could be banned.
    return str(parsed.ipv4_mapped or parsed)


def _written_time(value: Any) -> Any:
    """Refuse the numbers that pydantic would take for seconds since 1970, or milliseconds."""
    if not isinstance(value, str) or not _TIME.match(value):
        raise PydanticCustomError("datetime_type", "must be a time")
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time between the years 1 and 9999 in UTC") from None


def strip(value: Any) -> Any:
    """Take what stands around a text for a slip."""
    return value.strip() if isinstance(value, str) else value


def _nothing(value: Any) -> Any:
    """Take an empty form field for an absent one."""
    return None if isinstance(value, str) and not value.strip() else value


def _email(value: Any) -> ValidatedEmail:
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "must be text")
    value = _storable(value.strip())
    if len(value) > EMAIL_MOST:  # first: the cost of taking it apart grows with the length
        raise ValueError(f"must have at most {EMAIL_MOST} characters")
    try:
        return email_validator.validate_email(value, check_deliverability=False, strict=True)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None


Text = Annotated[str, AfterValidator(_storable)]
Line = Annotated[Text, AfterValidator(_line)]


T = TypeVar("T")
Blank = Annotated[T | None, BeforeValidator(_nothing)]

Name = Annotated[
    Line, BeforeValidator(strip), Field(max_length=_NAME_CODE_POINTS), AfterValidator(_name)
]
Email = Annotated[
    ValidatedEmail,
    BeforeValidator(_email),
    WithJsonSchema({"type": "string", "format": "email", "maxLength": EMAIL_MOST}),
]
Body = Annotated[Text, Field(max_length=BODY_MOST), AfterValidator(_body)]
PageUrl = Annotated[Text, Field(max_length=URL_MOST), AfterValidator(_page_url)]
Link = Annotated[Line, BeforeValidator(strip), Field(max_length=URL_MOST), AfterValidator(_link)]
Ip = Annotated[str, BeforeValidator(strip), Field(max_length=45), AfterValidator(_ip)]
Time = Annotated[AwareDatetime, BeforeValidator(_written_time), AfterValidator(_utc)]


class Submission(Request):
    """A comment, as a page of the site submits it."""

    page_url: PageUrl = Field(
        description="Address of the page; fragment and tracking parameters do not count.",
        examples=["https://example.org/first-post"],
    )
    name: Name = Field(
        description="The author's name, 1 to 80 visible characters.", examples=["Ada"]
    )
    email: Email = Field(
        description="The author's e-mail address; never published.",
        examples=["ada@example.org"],
    )
    body: Body = Field(description="The comment, 1 to 10,000 characters.", examples=[_EXAMPLE_BODY])
    page_title: Blank[Annotated[Line, Field(max_length=300)]] = Field(
        None, description="Title of the page."
    )
    url: Blank[Link] = Field(None, description="The author's own site, http or https.")
    parent_id: Blank[Annotated[Line, Field(max_length=30)]] = Field(
        None, description="Id of the comment on the same page that this one replies to."
    )
    external_id: Blank[Annotated[Line, Field(max_length=200)]] = Field(
        None, description="The site's own id: a second submission with it is the same comment."
    )
    author_token: Blank[Annotated[Line, Field(max_length=100)]] = Field(
        None,
        description="What a browser was given in which the author confirmed this e-mail; one that"
        " is not for it changes nothing.",
    )
    honeypot: Blank[Annotated[Text, Field(max_length=1000)]] = Field(
        None, description="A field that people do not see; filled in, the comment is held."
    )
    altcha: Blank[Annotated[Line, Field(max_length=_ALTCHA_MOST)]] = Field(
        None,
        description="The form's challenge: Base64 of JSON, `challenge` and where it was solved"
        " `solution`, as ALTCHA's own scripts give it.",
    )


class KeySubmission(Submission):
    """A comment, as a program with a key submits it: with what it knows of the author's visit."""

    ip: Blank[Ip] = Field(
        None, description="The author's address; given, limits by address and e-mail apply."
    )
    user_agent: Blank[Annotated[Line, Field(max_length=1000)]] = Field(
        None, description="The author's browser."
    )
    referrer: Blank[Annotated[Line, Field(max_length=URL_MOST)]] = Field(
        None, description="Where the author came from."
    )
    submitted_at: Blank[Time] = Field(
        None, description="When it was written, with time zone; default now."
    )


class Clue(Answer):
    """What spoke for spam (positive weight, in log-odds) or against it."""

    label: str
    weight: float
    kind: str


class Decision(Answer):
    """A recorded decision, as its author may see it."""

    status: Status
    actor: str = Field(description="`policy`, `moderator`, `key` or `author`.")
    rule: str | None = Field(description="The rule that answered, for `policy`.")
    reason: str
    decided_at: datetime


class FullDecision(Decision):
    """A recorded decision, as keys see it."""

    actor: str = Field(description="`policy`, `moderator:<id>`, `key:<id>` or `author`.")
    id: str
    old_status: Status
    score: float | None = Field(description="Probability of spam, 0-1.")
    model_version: str | None
    clues: list[Clue]
    act_id: str | None = Field(description="What can be undone in one go; `null` for a machine's.")
    undoes: str | None = Field(description="The decision that this one takes back.")


class Accepted(Answer):
    """A stored comment; it is decided in a moment."""

    id: str
    status: Status
    receipt: str = Field(description="Lets the author see this comment: keep it.")


class OwnComment(Answer):
    """A comment, as its author sees it with the receipt."""

    id: str
    status: Status
    version: int
    page_url: str
    parent_id: str | None
    name: str
    url: str | None
    body: str
    html: str = Field(description="The text, safe to put into a page.")
    created_at: datetime
    edited_at: datetime | None
    editable_until: datetime | None = Field(description="By its author; `null` for never.")
    appealed_at: datetime | None = Field(description="By its author; `null` if never.")
    confirmable: bool = Field(description="Whether a mail to confirm the e-mail may be asked for.")
    decision: Decision | None = Field(description="`null` until one is recorded.")


class DecidedComment(OwnComment):
    """A comment decided in time, with its receipt."""

    receipt: str


class Signals(Answer):
    """Facts about the submission that the rules looked at."""

    honeypot_filled: bool
    disposable_email: bool
    email_proven: bool = Field(description="Whether the browser that sent it proved the e-mail.")
    challenge: Challenge | None = Field(
        description="What became of the form's; `null` of a program without."
    )
    written_ms: int | None = Field(description="How long the form was open, as far as known.")


class Comment(OwnComment):
    """A comment, as keys see it."""

    page_title: str | None
    external_id: str | None
    email: str
    ip: str | None
    user_agent: str | None
    referrer: str | None
    submitted_at: datetime
    signals: Signals
    decision: FullDecision | None = Field(description="`null` until one is recorded.")


class CommentPage(Answer):
    """One page of comments, newest first."""

    comments: list[Comment]
    next_cursor: str | None = Field(description="Send as `cursor` for the page after; or null.")


class CommentQuery(Request):
    """What to list."""

    status: Blank[Status] = Field(None, description="Only comments with this status.")
    page_url: Blank[PageUrl] = Field(None, description="Only comments of this page.")
    cursor: Blank[Annotated[Line, Field(max_length=30)]] = Field(
        None, description="`next_cursor` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=100)] = Field(50, description="Comments a page.")


class NewDecision(Request):
    """A decision to record."""

    status: Literal["approved", "rejected", "spam", "pending"] = Field(
        description="`pending` puts the comment back into the queue."
    )
    reason: Blank[Annotated[Text, Field(max_length=1000)]] = Field(
        None, description="Why; the author may see it."
    )
    seen_version: int = Field(
        ge=1,
        strict=True,
        description="`version` of the comment you looked at; another one is refused.",
    )


class NamedDecision(NewDecision):
    """A decision on one of many comments."""

    comment_id: Annotated[Line, Field(max_length=30)]


class BulkDecisions(Request):
    """Decisions on many comments; each stands or falls by itself."""

    decisions: Annotated[list[NamedDecision], Field(min_length=1, max_length=BULK_MOST)]


class Problem(Answer):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str | None = None
    instance: str | None = Field(None, description="The request's id, to find it in the log.")
    errors: list["FieldProblem"] | None = None
    version: int | None = Field(None, description="With `stale`: the version it is at now.")


class FieldProblem(Answer):
    """One thing wrong with one field."""

    pointer: str = Field(description="JSON Pointer into the body.")
    message: str


class BulkResult(Answer):
    """What became of one decision of many."""

    comment_id: str
    decision: FullDecision | None = None
    problem: Problem | None = None


class BulkResults(Answer):
    """What became of each, in the order they were sent."""

    results: list[BulkResult]


class Decisions(Answer):
    """All decisions on a comment, oldest first."""

    decisions: list[FullDecision]
