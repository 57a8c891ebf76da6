"""Reading: how many times a second a thread can be read, and what each time costs."""

from dataclasses import dataclass, replace
from urllib.parse import quote

from service.base.jobs import Doorbell
from service.core import comments, moderation, sites
from service.core.moderation import Ballot
from service.ledger.db import Database
from service.pure.policy import Status
from tests.bench import texts
from tests.bench.intake import loaded
from tests.bench.load import Target
from tests.bench.servers import SITE, DatabaseKind, Installation, Stage
from tests.cast import PAGE, make_submission

CONNECTIONS = 16
_PATH = f"/api/v1/sites/{SITE}/thread?page_url={quote(PAGE, safe='')}"


@dataclass(frozen=True, slots=True)
class ReadingReference:
    """A bare Flask route under the same load."""

    name: str = "reading-reference"
    table: str = "reading"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Load it for so many seconds."""
        with stage.reference() as here:
            figures, _ = loaded(here, thread(here), seconds)
            return figures


@dataclass(frozen=True, slots=True)
class Reading:
    """Reading one thread again and again, as its page's readers do.

    Attributes:
        kind: the database.
        comments: how many are public.
        known: whether readers have it already and ask whether it has changed.
    """

    kind: DatabaseKind
    comments: int
    known: bool = False
    table: str = "reading"

    @property
    def name(self) -> str:
        """The row's name."""
        return f"reading-{self.kind}-{self.comments}{'-known' if self.known else ''}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Load it for so many seconds."""
        with stage.parts(self.kind) as here:
            publish(here, self.comments)
            target = thread(here)
            if self.known:
                target = replace(target, headers={**target.headers, "If-None-Match": tag(target)})
            figures, _ = loaded(here, target, seconds)
            return figures


def thread(here: Installation) -> Target:
    """Give what to aim at: a thread, as a page of the site reads it."""
    return replace(
        here.target,
        path=_PATH,
        method="GET",
        connections=CONNECTIONS,
        headers={"Origin": here.target.origin},
    )


def tag(target: Target) -> str:
    """Ask for the thread, and give its tag."""
    found = target.fetch()[0]["ETag"]
    if found is None:
        raise RuntimeError("the thread was answered without a tag")
    return found


def publish(here: Installation, count: int, *, page_url: str = PAGE) -> None:
    """Put public comments on a page."""
    database = Database(here.settings, Doorbell(here.settings))
    with database.reading() as session:
        site = sites.find(session, SITE)
    bodies = [one.body for one in texts.generate(0, count)]
    with database.writing() as connection:
        stored = comments.submit(
            connection, [make_submission(site, body=body, page_url=page_url) for body in bodies]
        )
    with database.transaction() as session:
        ballots = [
            Ballot(
                comment_id=one.id,
                seen_version=1,
                status=Status.APPROVED,
                actor="moderator:bench",
                reason="",
            )
            for one in stored
            if isinstance(one, comments.Accepted)
        ]
        moderation.record(session, ballots)
    database.close()
