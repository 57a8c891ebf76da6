"""Second looks: asked of somebody else, later, blindly; an answer changes the figure alone."""

import re
from collections.abc import Iterable
from datetime import timedelta

import flask
import pytest
from sqlalchemy import select, update

from service.base.config import Settings
from service.base.errors import NotFound
from service.core import comments, moderation, sites
from service.core.moderators import Role
from service.core.sites import SiteView
from service.judgement import labels, second_looks
from service.judgement.second_looks import AFTER, WITHIN
from service.ledger.db import Database, utc_now
from service.ledger.models import DECISIONS, Decision
from service.pure.policy import Policy, Status
from service.pure.scoring import Scorer
from tests.browsing import Browser, make_moderator
from tests.cast import decide, make_comments, make_site, odd_talk, status_of
from tests.plans import listening, plan_of
from workers import classification

ANN, BO = "moderator:ann", "moderator:bo"
LOOKS = "/dashboard/sites/blog/second-looks"


@pytest.fixture
def site(database: Database) -> SiteView:
    """A site where a person looks at everything, and a colleague at all of it again."""
    made = make_site(database)
    with database.transaction() as session:
        policy = Policy(premoderation=True, storm_mode=False, second_looks=1.0)
        sites.set_policy(session, made.id, policy)
    return made


@pytest.fixture
def decided(database: Database, scorer: Scorer, settings: Settings, site: SiteView) -> list[str]:
    """Four comments on which Ann decided two hours ago, the last as spam."""
    ids = make_comments(database, site, odd_talk(4, spam=False))
    classification.drain(database, scorer, settings)
    decide(database, ids[:3], Status.APPROVED, ANN, act_id="act_1")
    decide(database, ids[3:], Status.SPAM, ANN, act_id="act_2")
    age(database, ids)
    return ids


def age(database: Database, ids: Iterable[str], ago: timedelta = timedelta(hours=2)) -> None:
    """Move what people decided on comments into the past."""
    with database.transaction() as session:
        session.execute(
            update(Decision)
            .where(Decision.comment_id.in_(list(ids)), Decision.actor != "policy")
            .values(decided_at=utc_now() - ago)
        )


def asked(database: Database, site: SiteView, actor: str = BO, share: float = 1.0) -> set[str]:
    """Give the comments that somebody is asked about."""
    with database.reading() as session:
        return {one.comment_id for one in second_looks.waiting(session, site.id, share, actor)}


def say(
    database: Database, site: SiteView, comment_id: str, status: Status, actor: str = BO
) -> bool:
    with database.reading() as session:
        (question,) = [
            one.decision_id
            for one in second_looks.waiting(session, site.id, 1.0, BO)
            if one.comment_id == comment_id
        ]
    with database.transaction() as session:
        return second_looks.answer(session, site.id, 1.0, question, status, actor)


def test_somebody_else_is_asked_and_never_who_decided(
    database: Database, site: SiteView, decided: list[str]
) -> None:
    assert asked(database, site) == set(decided)
    assert asked(database, site, ANN) == set()
    assert asked(database, make_site(database, "other")) == set()


def test_it_is_asked_later_and_not_for_ever(
    database: Database, site: SiteView, decided: list[str]
) -> None:
    age(database, decided[:1], AFTER - timedelta(minutes=1))
    age(database, decided[1:2], WITHIN + timedelta(minutes=1))

    assert asked(database, site) == set(decided[2:])


def test_rules_keys_and_what_was_undone_are_not_asked_about(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView, decided: list[str]
) -> None:
    by_key, again, alone = make_comments(database, site, odd_talk(3, spam=False, seed=5))
    classification.drain(database, scorer, settings)
    decide(database, [by_key], Status.APPROVED)
    decide(database, [again], Status.APPROVED, ANN)
    decide(database, [again], Status.SPAM, BO)
    age(database, [by_key, again])
    with database.transaction() as session:
        moderation.undo(session, site.id, "act_2", ANN)
    age(database, decided)

    assert asked(database, site) == set(decided[:3])
    assert asked(database, site, "moderator:cy") == {*decided[:3], again}
    assert alone not in asked(database, site)


def test_of_near_duplicates_one_is_asked_about(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    praise = "what a wonderful article about gardens, I will come back and read more of your posts"
    ids = make_comments(database, site, [f"{praise} {number}" for number in range(4)])
    classification.drain(database, scorer, settings)
    decide(database, ids, Status.SPAM, ANN)
    age(database, ids)

    (one,) = asked(database, site)
    assert say(database, site, one, Status.SPAM)

    assert asked(database, site) == set()


def test_a_larger_sample_adds_to_the_smaller_one(
    database: Database, site: SiteView, decided: list[str]
) -> None:
    places = {}
    with database.reading() as session:
        for one in second_looks.waiting(session, site.id, 1.0, BO):
            places[one.comment_id] = int(one.decision_id[-4:], 16) / 0x10000

    for share in (0.0, 0.25, 0.5, 0.75, 0.999):
        expected = {comment for comment, place in places.items() if place < share}
        assert asked(database, site, share=share) == expected


def test_an_answer_changes_nothing_but_the_figure(
    database: Database, site: SiteView, decided: list[str]
) -> None:
    with database.reading() as session:
        before = comments.get(session, decided[0])
        taught = labels.of_site(session, site.id, 30)

    assert say(database, site, decided[0], Status.SPAM)
    assert say(database, site, decided[3], Status.SPAM)

    with database.reading() as session:
        assert comments.get(session, decided[0]) == before
        assert labels.of_site(session, site.id, 30) == taught
        assert len(moderation.history(session, site.id, decided[0])) == 2
        counts = second_looks.counts(session, site.id)
        (pair,) = second_looks.apart(session, site.id)
        (same,) = second_looks.of_comment(session, decided[3])
    assert counts == {
        (Status.APPROVED, Status.SPAM): 1,
        (Status.SPAM, Status.SPAM): 1,
    }
    assert (pair.comment_id, pair.decided, pair.said) == (decided[0], Status.APPROVED, Status.SPAM)
    assert (pair.decided_by, pair.said_by) == (ANN, BO)
    assert (same.decided, same.said) == (Status.SPAM, Status.SPAM)
    assert asked(database, site, "moderator:cy") == set(decided[1:3])


def test_a_pair_stays_when_the_decision_is_corrected_because_of_it(
    database: Database, site: SiteView, decided: list[str]
) -> None:
    say(database, site, decided[0], Status.SPAM)

    with database.transaction() as session:
        moderation.undo(session, site.id, "act_1", ANN)

    with database.reading() as session:
        assert second_looks.counts(session, site.id) == {(Status.APPROVED, Status.SPAM): 1}


def test_who_comes_second_or_was_not_asked_is_told_so(
    database: Database, site: SiteView, decided: list[str]
) -> None:
    with database.reading() as session:
        question = second_looks.waiting(session, site.id, 1.0, BO)[0].decision_id

    def answer(actor: str) -> bool:
        with database.transaction() as session:
            return second_looks.answer(session, site.id, 1.0, question, Status.SPAM, actor)

    assert not answer(ANN)
    assert answer(BO)
    assert not answer(BO)
    assert not answer("moderator:cy")


def test_an_answer_is_taken_back_by_its_giver_while_it_is_fresh(
    database: Database, site: SiteView, decided: list[str]
) -> None:
    say(database, site, decided[0], Status.SPAM)
    with database.reading() as session:
        (question,) = session.scalars(
            select(DECISIONS.c.id).where(
                DECISIONS.c.comment_id == decided[0], DECISIONS.c.actor == ANN
            )
        )

    with pytest.raises(NotFound), database.transaction() as session:
        second_looks.withdraw(session, site.id, question, ANN)
    with database.transaction() as session:
        second_looks.withdraw(session, site.id, question, BO)

    assert asked(database, site) == set(decided)
    with pytest.raises(NotFound), database.transaction() as session:
        second_looks.withdraw(session, site.id, question, BO)


def test_the_sample_is_read_by_its_index(
    database: Database, site: SiteView, decided: list[str]
) -> None:
    with listening(database.engine) as statements:
        asked(database, site, share=0.05)

    (sample,) = [one for one in statements if "second_looks" in one[0]]
    with database.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")
        plan = plan_of(connection, *sample)
    assert "ix_decisions_human" in plan


@pytest.fixture
def bo(app: flask.Flask, database: Database, site: SiteView) -> Browser:
    make_moderator(database, site, Role.MODERATOR, email="bo@example.org")
    browser = Browser(app)
    browser.sign_in("bo@example.org")
    return browser


def question(page: str) -> str:
    found = re.search(r'name="question" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def test_the_page_tells_nothing_of_what_was_decided(
    database: Database, site: SiteView, decided: list[str], bo: Browser
) -> None:
    for comment in decided[1:]:
        say(database, site, comment, Status.APPROVED, "moderator:cy")
    page = bo.get(LOOKS).text

    main = page[page.index("<main") : page.index("</main>")].lower()
    told = re.sub(r'<button name="status".*?</button>|<p class="quiet">.*?</p>', "", main)

    assert decided[0] in main
    assert "first comment here" in told
    for word in ("approved", "ann", "act_1", "moderator:", "/comments/"):
        assert word not in told, word


def test_the_page_goes_from_one_to_the_next(
    database: Database, site: SiteView, decided: list[str], bo: Browser
) -> None:
    first = question(bo.get(LOOKS).text)
    second = question(bo.get(f"{LOOKS}?after={first}").text)
    assert second != first

    bo.post(LOOKS, question=second, after=first, status="rejected")

    assert "Noted." in bo.page.text
    assert question(bo.page.text) not in (first, second)
    bo.post(f"{LOOKS}/{second}/withdraw", after=first)
    assert question(bo.page.text) == second
    bo.post(LOOKS, question="dec_none", after="", status="spam")
    assert "Not kept" in bo.page.text
    assert bo.send(LOOKS, question=first, status="deleted").status_code == 422
    assert {status_of(database, one) for one in decided} == {Status.APPROVED, Status.SPAM}


def test_the_pages_lead_there_and_show_the_agreement(
    database: Database, site: SiteView, decided: list[str], bo: Browser
) -> None:
    assert "Second looks: 4" in bo.get("/dashboard/sites/blog/queue").text
    for comment, status in zip(
        decided,
        (Status.APPROVED, Status.APPROVED, Status.SPAM, Status.SPAM),
        strict=True,
    ):
        say(database, site, comment, status)

    model = bo.get("/dashboard/sites/blog/model").text

    assert "Second looks" not in bo.get("/dashboard/sites/blog/queue").text
    assert "both said the same of 3" in model
    # .75 alike; chance .75 * .5 + .25 * .5.
    assert "κ is <b>0.50</b>" in model
    assert "moderate agreement" in model
    assert "few pairs" in model
    assert f"/comments/{decided[2]}" in model
    assert "would have decided" in bo.get(f"/dashboard/sites/blog/comments/{decided[2]}").text


def test_nothing_is_asked_where_they_are_off(
    database: Database, site: SiteView, decided: list[str], bo: Browser
) -> None:
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(second_looks=0))

    assert "Second looks are off" in bo.get(LOOKS).text
    assert "Second looks" not in bo.get("/dashboard/sites/blog/queue").text
