"""Campaigns: near-duplicates are recognised, counted once for each source, across sites."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select

from service.base.config import Settings
from service.base.errors import Stale
from service.core import campaigns, moderation
from service.core.moderation import Ballot
from service.ledger.db import Database
from service.ledger.models import BANDS, CAMPAIGNS, POLICY_ACTOR, Comment
from service.pure.policy import Status
from service.pure.scoring import Scorer
from tests.cast import decide, make_comment, make_comments, make_site, odd_talk
from workers import classification

PRAISE = "what a wonderful article about gardens, I will come back and read more of your posts"


def members(database: Database) -> list[tuple[str | None, int]]:
    """Give campaign and echoes of all comments, in the order they came."""
    with database.reading() as session:
        rows = session.execute(select(Comment.campaign_id, Comment.echoes).order_by(Comment.id))
        return [(row[0], row[1]) for row in rows]


def sources(database: Database) -> list[int]:
    with database.reading() as session:
        return sorted(session.scalars(select(CAMPAIGNS.c.sources)))


def test_the_same_praise_by_others_is_one_campaign_that_grows(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site, other = make_site(database), make_site(database, "other")
    for number, where in enumerate((site, site, other, other)):
        make_comment(
            database,
            where,
            body=f"{PRAISE} http://shop{number}.example",
            email_normalised=f"{number}@example.org",
        )
        classification.drain(database, scorer, settings)

    found = members(database)

    assert len({campaign for campaign, _ in found}) == 1
    assert found[0][0] is not None
    assert [echoes for _, echoes in found] == [0, 1, 2, 3]
    assert sources(database) == [4]


def test_a_batch_knows_its_own_members(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    make_comments(database, site, [PRAISE, PRAISE.upper(), f"{PRAISE} 3"])

    classification.drain(database, scorer, settings)

    assert sorted(echoes for _, echoes in members(database)) == [0, 1, 2]
    assert sources(database) == [3]


def test_one_author_on_one_page_does_not_echo(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    for _ in range(3):
        make_comment(database, site, body=PRAISE)
        classification.drain(database, scorer, settings)

    assert [echoes for _, echoes in members(database)] == [0, 0, 0]
    assert sources(database) == [1]


def test_one_author_on_many_pages_echoes(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    for number in range(3):
        make_comment(database, site, body=PRAISE, page_url=f"https://blog.example.org/{number}")
        classification.drain(database, scorer, settings)

    assert [echoes for _, echoes in members(database)] == [0, 1, 2]


def test_other_texts_are_campaigns_of_their_own_and_short_ones_of_none(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    make_comments(database, site, [*odd_talk(20, spam=False), "thanks for sharing", "👍"])
    classification.drain(database, scorer, settings)

    campaigns = [campaign for campaign, _ in members(database)]

    assert campaigns.count(None) == 2
    assert len(set(campaigns) - {None}) == 20


def test_echoes_reach_the_score(make_settings: Callable[..., Settings], scorer: Scorer) -> None:
    from tests.cast import decisions_by_comment, open_ledger

    settings = make_settings()
    database = open_ledger(settings)
    site = make_site(database)
    for number in range(6):
        make_comments(database, site, [PRAISE], email_normalised=f"{number}@example.org")
        classification.drain(database, scorer, settings)

    scores: list[Any] = [d[0].score for _, d in sorted(decisions_by_comment(database).items())]

    assert scores[-1] > scores[0]
    database.close()


def test_a_campaign_that_is_forgotten_is_not_found_again(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    for body in (PRAISE, *odd_talk(1, spam=False)):
        make_comments(database, site, [body])
        classification.drain(database, scorer, settings)
    forgotten, other = (campaign for campaign, _ in members(database))
    assert forgotten is not None

    with database.transaction() as session:
        campaigns.forget(session, [forgotten, "cpn_unknown"])

    with database.reading() as session:
        assert session.scalars(select(CAMPAIGNS.c.id)).all() == [other]
        assert set(session.scalars(select(BANDS.c.campaign_id))) == {other}
    make_comments(database, site, [PRAISE], email_normalised="other@example.org")
    classification.drain(database, scorer, settings)
    assert members(database)[-1][0] not in (forgotten, None)
    assert members(database)[-1][1] == 0


def test_a_comment_that_a_person_decided_meanwhile_joins_nothing(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    make_comments(database, site, [PRAISE])
    with database.transaction() as session:
        (row,) = classification.claim(session, 1, 10)
        sketches = scorer.sketches(scorer.fold([row.body]))
        (place,) = campaigns.look_up(session, [row], sketches)
    decide(database, [row.id], Status.REJECTED)

    with database.transaction() as session:
        assert place.group is not None
        ballot = Ballot(
            *(row.id, row.version, Status.APPROVED, POLICY_ACTOR, ""), campaign_id=place.group.id
        )
        (outcome,) = moderation.record(session, [ballot])

    assert isinstance(outcome, Stale)
    assert members(database) == [(None, 0)]


def test_a_campaign_costs_no_more_rows_as_it_grows(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    for _ in range(3):
        make_comments(database, site, [PRAISE] * 50)
        classification.drain(database, scorer, settings)

    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(CAMPAIGNS)) == 1
        assert session.scalar(select(func.count()).select_from(BANDS)) == 6
