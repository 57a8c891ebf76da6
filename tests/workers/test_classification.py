"""Draining: claims, leases, strikes, and decisions that are recorded once."""

from service import comments
from service.config import Settings
from service.db import Database
from service.policy import Status
from service.scoring import Scorer
from tests.cast import HAM, SPAM, make_comment, make_site
from workers import classification


def test_drain_decides_everything_that_is_due(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    ham = make_comment(database, site, body=HAM)
    spam = make_comment(database, site, body=SPAM)

    assert classification.drain(database, scorer, settings) == 2

    with database.reading() as session:
        assert comments.get(session, ham).status is Status.APPROVED
        assert comments.get(session, spam).status is Status.SPAM
