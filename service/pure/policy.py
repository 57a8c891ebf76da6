"""What happens to a comment: the rules, in order, and nothing else.

Pure: no clock, no database, no classifier. Read `RULES` from top to bottom and you know what
Hamgate does with a comment. The one rule: the first rule that answers decides, and the last
one always answers.
"""

import hashlib
import ipaddress
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.pure import patterns
from service.pure.patterns import Patterns


class Status(StrEnum):
    """Where a comment stands; only `approved` is ever public."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    SPAM = "spam"
    DELETED = "deleted"


class Challenge(StrEnum):
    """What became of the challenge that a form was given (`service.serving.challenges`)."""

    MISSING = "missing"
    BROKEN = "broken"
    EXPIRED = "expired"
    USED = "used"
    SIGNED = "signed"
    SOLVED = "solved"


class ProofOfWork(StrEnum):
    """When a site's form has to solve its challenge."""

    NEVER = "never"
    STORM = "storm"
    ALWAYS = "always"


_DIGEST = "sha256:"
# As `text.words` cuts a comment, or a blocked "free-money" would never be found in one.
_WORD = re.compile(r"\w+")

Phrase = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(patterns.check)]
Phrases = Annotated[tuple[Phrase, ...], Field(max_length=1000)]


class Policy(BaseModel):
    """One site's settings for the rules; the defaults are those of a fresh install.

    Of the classifier an operator says which errors are tolerable: of all good comments at most
    the share `hold_at_most` may wait for a person, and at most `mark_at_most` be marked as
    spam. The thresholds follow from that (`Thresholds`). In the lists of phrases an entry
    between slashes is a pattern (`service.pure.patterns`). A verified author is trusted after
    `trust_after` approved comments. With `storm_mode` the site looks at every comment first
    while too much is odd at once (`service.core.storms`). What a person decided is told to webhooks
    after `undo_seconds`, and an author's e-mail and network address only with `share_personal`.
    Of the decisions of people the share `second_looks` is asked of another moderator as well
    (`service.judgement.second_looks`); it is for no rule.

    Of a form's challenge: what was written in less than `write_seconds` is held, so is what
    shows none of `proof_of_work` while that is asked for, and with `forms_only` what shows no
    challenge at all. Programs with a key have no form and are asked nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    banned_emails: Phrases = ()
    banned_names: Phrases = ()
    banned_networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = Field(
        (), max_length=1000
    )
    blocked_words: Phrases = ()
    blocked_domains: Phrases = ()
    max_links: int = Field(3, ge=0, le=1000)
    trust_approved_authors: bool = True
    trust_after: int = Field(1, ge=1, le=100)
    hold_at_most: float = Field(0.02, ge=0, le=1)
    mark_at_most: float = Field(0.001, ge=0, le=1)
    premoderation: bool = False
    storm_mode: bool = True
    write_seconds: int = Field(2, ge=0, le=60)
    forms_only: bool = False
    proof_of_work: ProofOfWork = ProofOfWork.NEVER
    undo_seconds: int = Field(5, ge=0, le=300)
    share_personal: bool = False
    second_looks: float = Field(0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> "Policy":
        if self.mark_at_most > self.hold_at_most:
            raise ValueError("mark_at_most must not be greater than hold_at_most")
        patterns.check_together(
            (self._email_patterns, self._name_patterns, self._word_patterns, self._domain_patterns)
        )
        return self

    def asks_proof(self, *, storm: bool) -> bool:
        """Whether forms have to solve their challenge now.

        Args:
            storm: whether a storm is on.
        """
        return self.proof_of_work is ProofOfWork.ALWAYS or (
            self.proof_of_work is ProofOfWork.STORM and storm
        )

    @cached_property
    def _email_patterns(self) -> Patterns:
        return Patterns(self.banned_emails)

    @cached_property
    def _name_patterns(self) -> Patterns:
        return Patterns(self.banned_names)

    @cached_property
    def _word_patterns(self) -> Patterns:
        return Patterns(self.blocked_words)

    @cached_property
    def _domain_patterns(self) -> Patterns:
        return Patterns(self.blocked_domains)

    @cached_property
    def _emails(self) -> frozenset[str]:
        return frozenset(email.casefold() for email in self.banned_emails)

    @cached_property
    def _bans_by_digest(self) -> bool:
        return any(email.startswith(_DIGEST) for email in self._emails)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(_folded(name) for name in self.banned_names)

    @cached_property
    def _words(self) -> tuple[str, ...]:
        plain = (word for word in self.blocked_words if not patterns.is_pattern(word))
        return tuple(filter(None, (" ".join(_WORD.findall(_folded(word))) for word in plain)))

    @cached_property
    def _domains(self) -> tuple[str, ...]:
        plain = (domain for domain in self.blocked_domains if not patterns.is_pattern(domain))
        return tuple(domain.casefold().strip(".") for domain in plain)


def ban_digest(email: str) -> str:
    """Give what stands in `banned_emails` for an address that is not to be kept."""
    return _DIGEST + hashlib.sha256(email.casefold().encode()).hexdigest()


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Where a score's consequences begin, chosen for a site's model and error budget.

    Attributes:
        hold: scores from here on are held for a person, 0-1.
        spam: scores from here on are marked as spam; never below `hold`.
    """

    hold: float = 0.5
    spam: float = 0.98


@dataclass(frozen=True, slots=True)
class Signals:
    """The facts about one comment that a rule may look at.

    Attributes:
        email: the normalised e-mail address.
        address: the client's IP address, or the network that was kept of it; `None` if unknown.
        name: the author's, as written.
        text: name and body, as written.
        words: the casefolded words of them, single spaces between and around, where the policy
            blocks any.
        link_hosts: host of every link in body and author URL, in order, repeats included.
        honeypot_filled: whether the field that people do not see was filled in.
        challenge: what became of the form's; `None` of a program with a key.
        written_ms: how long the form was open, if its challenge says so.
        approved: how many approved comments this e-mail has on the site, as far as it matters.
        email_verified: whether the e-mail is verified on the site, and this comment comes from a
            browser that proved it; to type a verified address is not enough.
        storm: whether a storm is on.
        score: probability of spam, 0-1, or `None` without a verdict.
        thresholds: of the site and of the model that gave the score.
    """

    email: str
    address: str | None = None
    name: str = ""
    text: str = ""
    words: str = " "
    link_hosts: tuple[str, ...] = field(default=())
    honeypot_filled: bool = False
    challenge: Challenge | None = None
    written_ms: int | None = None
    approved: int = 0
    email_verified: bool = False
    storm: bool = False
    score: float | None = None
    thresholds: Thresholds = Thresholds()


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the rules propose: a status, the rule that answered, and why, for people."""

    status: Status
    rule: str
    reason: str


Rule = Callable[[Signals, Policy], Ruling | None]


def banned(signals: Signals, policy: Policy) -> Ruling | None:
    """Reject an author or an address the site has banned."""
    email = signals.email.casefold()
    if email in policy._emails or policy._email_patterns.first(signals.email):
        return Ruling(Status.REJECTED, "banned", "this e-mail address is banned on the site")
    if policy._bans_by_digest and ban_digest(email) in policy._emails:
        return Ruling(Status.REJECTED, "banned", "this e-mail address is banned on the site")
    if _folded(signals.name) in policy._names or policy._name_patterns.first(signals.name):
        return Ruling(Status.REJECTED, "banned", "this author's name is banned on the site")
    if policy.banned_networks and signals.address is not None:
        # Of a comment that is judged again later, only its network may be known.
        known = ipaddress.ip_network(signals.address)
        if any(
            known.network_address in network and known.prefixlen >= network.prefixlen
            for network in policy.banned_networks
        ):
            return Ruling(Status.REJECTED, "banned", "this network address is banned on the site")
    return None


def blocked(signals: Signals, policy: Policy) -> Ruling | None:
    """Reject a comment with a word or a link the site has blocked."""
    for word in policy._words:
        if f" {word} " in signals.words:
            return Ruling(Status.REJECTED, "blocked", f"contains the blocked word “{word}”")
    if found := policy._word_patterns.first(signals.text):
        return Ruling(Status.REJECTED, "blocked", f"contains what the pattern {found} blocks")
    for host in signals.link_hosts:
        if found := policy._domain_patterns.first(host):
            return Ruling(Status.REJECTED, "blocked", f"links to what the pattern {found} blocks")
        for domain in policy._domains:
            if host == domain or host.endswith(f".{domain}"):
                return Ruling(Status.REJECTED, "blocked", f"links to the blocked site {domain}")
    return None


def honeypot(signals: Signals, policy: Policy) -> Ruling | None:
    """Hold a comment whose invisible field was filled in; a password manager may do that too."""
    if signals.honeypot_filled:
        return Ruling(Status.PENDING, "honeypot", "a field that people do not see was filled in")
    return None


def too_fast(signals: Signals, policy: Policy) -> Ruling | None:
    """Hold a comment that was sent sooner after its form was there than people write."""
    if signals.written_ms is not None and signals.written_ms < policy.write_seconds * 1000:
        seconds = signals.written_ms / 1000
        return Ruling(Status.PENDING, "too_fast", f"written in {seconds:.1f} seconds")
    return None


_FORM_FAULTS = {
    Challenge.BROKEN: "the form's signature is not ours",
    Challenge.EXPIRED: "the form was older than a day",
    Challenge.USED: "the form was used for another comment",
}


def bad_form(signals: Signals, policy: Policy) -> Ruling | None:
    """Hold a comment whose form is forged, stale or used, or where forms are a must, missing."""
    if policy.forms_only and signals.challenge is Challenge.MISSING:
        return Ruling(Status.PENDING, "bad_form", "it came past the form")
    fault = _FORM_FAULTS.get(signals.challenge) if signals.challenge else None
    return None if fault is None else Ruling(Status.PENDING, "bad_form", fault)


def no_proof(signals: Signals, policy: Policy) -> Ruling | None:
    """Hold a comment without a proof of work while the site asks for one."""
    missing = signals.challenge not in (None, Challenge.SOLVED)
    if missing and policy.asks_proof(storm=signals.storm):
        return Ruling(Status.PENDING, "no_proof", "it came without a proof of work")
    return None


def too_many_links(signals: Signals, policy: Policy) -> Ruling | None:
    """Hold a comment with more links than the site takes."""
    count = len(signals.link_hosts)
    if count > policy.max_links:
        return Ruling(
            Status.PENDING, "too_many_links", f"{count} links, more than {policy.max_links}"
        )
    return None


def known_author(signals: Signals, policy: Policy) -> Ruling | None:
    """Approve an author with approved comments, only if the e-mail is proven to be theirs."""
    enough = signals.approved >= policy.trust_after
    if policy.trust_approved_authors and enough and signals.email_verified:
        return Ruling(
            Status.APPROVED, "known_author", "the author's verified e-mail was approved before"
        )
    return None


def spam_score(signals: Signals, policy: Policy) -> Ruling | None:
    """Mark as spam what the classifier is all but certain of."""
    spam = signals.thresholds.spam
    if signals.score is not None and signals.score >= spam:
        return Ruling(Status.SPAM, "spam_score", f"spam score above {spam:.4g}: spam beyond doubt")
    return None


def hold_score(signals: Signals, policy: Policy) -> Ruling | None:
    """Hold what the classifier is unsure of."""
    hold = signals.thresholds.hold
    if signals.score is not None and signals.score >= hold:
        return Ruling(Status.PENDING, "hold_score", f"spam score above {hold:.4g}: may be spam")
    return None


def no_verdict(signals: Signals, policy: Policy) -> Ruling | None:
    """Hold what the classifier could not judge."""
    if signals.score is None:
        return Ruling(Status.PENDING, "no_verdict", "the classifier gave no verdict")
    return None


def storm(signals: Signals, policy: Policy) -> Ruling | None:
    """Hold everything while too much is odd at once, but for authors who are trusted."""
    if signals.storm:
        return Ruling(Status.PENDING, "storm", "too much is odd at once; a person looks first")
    return None


def premoderation(signals: Signals, policy: Policy) -> Ruling | None:
    """Hold everything on a site that looks at each comment first."""
    if policy.premoderation:
        return Ruling(Status.PENDING, "premoderation", "the site looks at every comment first")
    return None


def otherwise(signals: Signals, policy: Policy) -> Ruling:
    """Approve what no rule objected to."""
    return Ruling(Status.APPROVED, "otherwise", "no rule objected")


RULES: tuple[Rule, ...] = (
    banned,
    blocked,
    honeypot,
    too_fast,
    bad_form,
    no_proof,
    too_many_links,
    known_author,
    spam_score,
    hold_score,
    no_verdict,
    storm,
    premoderation,
    otherwise,
)

CLASSIFIER_ERROR = Ruling(
    Status.PENDING, "classifier_error", "classifying it failed three times; a person decides"
)
"""The ruling of a comment that broke the classifier three times; never again automatic."""


def decide(signals: Signals, policy: Policy) -> Ruling:
    """Give the ruling of the first rule that answers."""
    for rule in RULES:
        ruling = rule(signals, policy)
        if ruling is not None:
            return ruling
    raise AssertionError("the last rule always answers")
