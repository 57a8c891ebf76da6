"""Error budgets: thresholds from a site's own comments, the queue to expect, nothing before."""

import pytest

from service.base.config import Settings
from service.core.sites import SiteView
from service.judgement import budgets, judging
from service.judgement.shelf import Shelf
from service.ledger.db import Database
from service.pure.policy import Policy, Status
from service.pure.scoring import Budget, Scorer, Thresholds
from tests.cast import SPAM, decide, make_comments, make_site, odd_talk, status_of
from workers import classification


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


def test_a_site_without_comments_gets_the_shipped_models_thresholds(
    database: Database, scorer: Scorer, site: SiteView
) -> None:
    expected = budgets.choose(database, scorer, Shelf(), site.id)

    assert expected.comments == 0
    assert expected.thresholds == scorer.thresholds(Budget())


def test_a_smaller_budget_means_higher_thresholds(scorer: Scorer) -> None:
    generous = scorer.thresholds(Budget(held=0.1, lost=0.01))
    strict = scorer.thresholds(Budget(held=0.005, lost=0.0001))

    assert strict.hold > generous.hold
    assert strict.spam >= generous.spam
    assert generous.hold <= generous.spam


def test_good_comments_of_a_site_move_its_thresholds(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    before = budgets.expect(database, scorer, Shelf(), site.id).thresholds
    ids = make_comments(database, site, [*odd_talk(60, spam=False), SPAM])
    classification.drain(database, scorer, settings)
    decide(database, ids, Status.APPROVED)

    after = budgets.expect(database, scorer, Shelf(), site.id)

    assert after.thresholds.spam > before.spam
    assert after.outlook.good_held + after.outlook.good_lost <= 0.02
    assert after.comments == 61


def test_chosen_thresholds_rule_the_next_comment(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    (first,) = make_comments(database, site, [SPAM])
    classification.drain(database, scorer, settings)
    assert status_of(database, first) is Status.SPAM
    with database.transaction() as session:
        book = budgets.current(session, scorer, Shelf(), site.id)
        budgets.store(session, site.id, book, Thresholds(1.0, 1.0))

    (second,) = make_comments(database, site, [SPAM])
    classification.drain(database, scorer, settings)

    assert status_of(database, second) is Status.APPROVED


def test_thresholds_of_another_budget_or_model_do_not_count(
    database: Database, scorer: Scorer, site: SiteView
) -> None:
    budgets.choose(database, scorer, Shelf(), site.id)
    with database.transaction() as session:
        book = budgets.current(session, scorer, Shelf(), site.id)
        budgets.store(session, site.id, book, Thresholds(0.4, 0.95))
        other = Policy(hold_at_most=0.05)

        assert budgets.current(session, scorer, Shelf(), site.id).thresholds.hold == 0.4
        assert budgets.current(session, scorer, Shelf(), site.id, other).thresholds.hold != 0.4


def test_a_policy_is_saved_with_what_its_budget_leads_to(
    database: Database, scorer: Scorer, site: SiteView
) -> None:
    policy = Policy(hold_at_most=0.1, mark_at_most=0.01, premoderation=True)

    expected = budgets.set_policy(database, scorer, Shelf(), site.id, policy)

    with database.reading() as session:
        book = judging.rulebooks(session, scorer, Shelf(), {site.id})[site.id]
    assert book.policy == policy
    assert (book.thresholds.hold, book.thresholds.spam) == (
        expected.thresholds.hold,
        expected.thresholds.spam,
    )


def test_a_held_comment_nobody_has_read_counts_by_its_score() -> None:
    def hold(undecided: int) -> float:
        scores = [0.1] * 100 + [0.6] * undecided
        decided: list[bool | None] = [False] * 100 + [None] * undecided
        approved = [True] * 100 + [False] * undecided
        people = budgets.Population([], [], decided, approved, [None] * len(scores), 1.0)
        return budgets.expect_of(people, Budget(held=0.02), Scorer(), scores).thresholds.hold

    # Each of them is good with a chance of .4: five are 2 of 102, six are more than 2 %.
    assert hold(5) <= 0.6
    assert hold(6) > 0.6


def test_thresholds_fall_below_the_shipped_ones_only_with_people_behind_them() -> None:
    scores = [0.01] * 3000
    default = Scorer().thresholds(Budget())

    def chosen(decided: int) -> float:
        said: list[bool | None] = [False] * decided + [None] * (3000 - decided)
        people = budgets.Population([], [], said, [True] * 3000, [None] * 3000, 1.0)
        return budgets.expect_of(people, Budget(), Scorer(), scores).thresholds.spam

    assert chosen(99) == default.spam
    assert chosen(100) == 0.9
