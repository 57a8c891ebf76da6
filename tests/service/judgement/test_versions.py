"""Versions: kept with their reports, promoted, rolled back, never overwritten."""

import numpy as np
import pytest

from service.base.errors import NotFound
from service.core.changes import OPERATOR
from service.core.sites import SiteView
from service.judgement import versions
from service.judgement.shelf import Shelf
from service.judgement.versions import TRAINING, Overtaken
from service.ledger.db import Database, utc_now
from service.pure.scoring import Tuning
from tests.cast import make_site


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


def tuning(offset: float = 0.0) -> Tuning:
    from classifier.structure import FACTS

    return Tuning(
        columns=np.array([1, 5], dtype=np.int64),
        weights=np.array([0.5, -0.5], dtype=np.float32),
        facts=np.zeros(len(FACTS)),
        base=1.0,
        offset=offset,
        ham=8,
        spam=8,
        model_version="shipped",
    )


def add(database: Database, site: SiteView, count: int = 1) -> None:
    for _ in range(count):
        with database.transaction() as session:
            versions.add(session, site.id, tuning(), {"unseen": 3}, utc_now())


def promote(database: Database, site: SiteView, number: int, actor: str = OPERATOR) -> None:
    with database.transaction() as session:
        versions.promote(session, site.id, number, actor=actor, reason="better")


def roll_back(database: Database, site: SiteView) -> tuple[int, int]:
    with database.transaction() as session:
        return versions.roll_back(session, site.id, actor=OPERATOR)


def scoring(database: Database, site: SiteView) -> int:
    with database.reading() as session:
        return versions.standing(session, site.id).model


def test_versions_are_numbered_for_each_site(database: Database, site: SiteView) -> None:
    add(database, site, 2)
    add(database, make_site(database, "other"))

    with database.reading() as session:
        views = versions.listing(session, site.id)

    assert [(view.number, view.base, view.report) for view in views] == [
        (1, "shipped", {"unseen": 3}),
        (2, "shipped", {"unseen": 3}),
    ]


def test_a_version_scores_only_once_it_is_promoted(database: Database, site: SiteView) -> None:
    add(database, site)
    assert scoring(database, site) == 0

    promote(database, site, 1)

    assert scoring(database, site) == 1
    with database.reading() as session:
        (change,) = versions.changes(session, site.id)
    assert (change.old_number, change.number, change.actor) == (0, 1, OPERATOR)


def test_a_version_that_is_not_there_cannot_be_promoted_shown_or_shadowed(
    database: Database, site: SiteView
) -> None:
    with pytest.raises(NotFound, match="no version 4"):
        promote(database, site, 4)
    with pytest.raises(NotFound, match="no version 4"), database.transaction() as session:
        versions.set_shadow(session, site.id, 4)
    with pytest.raises(NotFound), database.reading() as session:
        versions.get(session, site.id, 1)


def test_going_back_retraces_the_steps(database: Database, site: SiteView) -> None:
    add(database, site, 3)
    for number in (1, 3, 2):
        promote(database, site, number)

    assert roll_back(database, site) == (2, 3)
    assert roll_back(database, site) == (3, 1)
    promote(database, site, 2)
    assert roll_back(database, site) == (2, 1)
    assert roll_back(database, site) == (1, 0)
    with pytest.raises(NotFound, match="nothing to go back to"):
        roll_back(database, site)


def test_no_machine_brings_back_what_a_person_has_put_away(
    database: Database, site: SiteView
) -> None:
    add(database, site, 2)
    promote(database, site, 1, TRAINING)
    roll_back(database, site)

    with pytest.raises(Overtaken, match="a person has stopped"):
        promote(database, site, 2, TRAINING)
    promote(database, site, 1)
    promote(database, site, 2, TRAINING)

    assert scoring(database, site) == 2


def test_a_candidate_replaces_only_what_it_was_compared_with(
    database: Database, site: SiteView
) -> None:
    add(database, site, 2)
    promote(database, site, 1)

    with pytest.raises(Overtaken, match="version 1 scores"), database.transaction() as session:
        versions.promote(session, site.id, 2, actor=TRAINING, reason="", instead_of=0)

    assert scoring(database, site) == 1


def test_a_shelf_reads_each_layer_once_and_passes_over_a_broken_one(
    database: Database, site: SiteView
) -> None:
    add(database, site, 2)
    with database.transaction() as session:
        from sqlalchemy import update

        from service.ledger.models import ModelVersion

        session.execute(
            update(ModelVersion).where(ModelVersion.number == 2).values(tuning=b"broken")
        )
    shelf = Shelf()

    with database.reading() as session:
        first = shelf.tuning(session, site.id, 1)
        assert first is not None
        assert shelf.tuning(session, site.id, 1) is first
        assert shelf.tuning(session, site.id, 0) is None
        assert shelf.tuning(session, site.id, 2) is None
        assert shelf.tuning(session, site.id, 3) is None
