"""Letters: what mail says, and the pages its links lead to, in the languages of `messages/`.

The one rule: nothing that a stranger wrote stands in a letter, so that nobody can have us carry
their words to whom they like. What it says of a comment is when it came, and on which site.
"""

import functools
import json
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from importlib import resources

FALLBACK = "en"


@dataclass(frozen=True, slots=True)
class Words:
    """The messages of one language."""

    language: str
    messages: dict[str, str]

    def say(self, key: str, **values: object) -> str:
        """Give a message with its places filled in."""
        return self.messages[key].format(**values)


@dataclass(frozen=True, slots=True)
class Request:
    """What a letter that asks for a confirmation is about.

    Attributes:
        id: of the confirmation; the same at every attempt, and so is the Message-ID.
        to: the address, in a form that stands in an envelope.
        language: one of ours.
        site: what the site calls itself.
        asked_at: when.
        days: how long the link is good.
        confirm_url: the link.
        silence_url: the link that says: never again.
    """

    id: str
    to: str
    language: str
    site: str
    asked_at: datetime
    days: int
    confirm_url: str
    silence_url: str


def nearest(wanted: str) -> str:
    """Give the language of ours that comes nearest to a tag (BCP 47); English if none does."""
    tag = wanted.lower()
    while tag:
        if tag in languages():
            return tag
        tag = tag.rpartition("-")[0]
    return FALLBACK


@functools.cache
def languages() -> dict[str, Words]:
    """Give the words of all languages, by tag."""
    folder = resources.files(__name__) / "messages"
    return {
        path.name.removesuffix(".json"): Words(
            path.name.removesuffix(".json"), json.loads(path.read_text("utf-8"))
        )
        for path in sorted(folder.iterdir(), key=lambda path: path.name)
        if path.name.endswith(".json")
    }


def request(asked: Request, sender: Address, now: datetime) -> EmailMessage:
    """Write the letter that asks whether an address is somebody's own.

    Args:
        asked: what it is about.
        sender: whom it comes from.
        now: its date.
    """
    words = languages()[asked.language]
    local, _, domain = asked.to.rpartition("@")
    site = " ".join(asked.site.split())
    paragraphs = (
        words.say("asked", site=site, date=asked.asked_at.date().isoformat()),
        words.say("confirm", days=asked.days),
        asked.confirm_url,
        words.say("not-you"),
        words.say("never"),
        asked.silence_url,
    )
    # The policy refuses line breaks in headers, so none can begin a header of its own.
    letter = EmailMessage(policy.SMTP)
    letter["From"] = sender
    letter["To"] = Address(username=local, domain=domain)
    letter["Subject"] = words.say("subject", site=site)
    letter["Date"] = format_datetime(now)
    letter["Message-ID"] = f"<{asked.id}@{sender.domain}>"
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: let no holiday notice answer
    letter["List-Unsubscribe"] = f"<{asked.silence_url}>"
    letter["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    letter.set_content("\n\n".join(paragraphs) + "\n", cte="quoted-printable")
    letter["Content-Language"] = words.language
    return letter
