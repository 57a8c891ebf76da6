"""Presence: colleagues are seen for half a minute, at one comment each."""

from datetime import timedelta

from sqlalchemy import update

from service.core import moderators
from service.core.moderators import Role, presence
from service.core.moderators.tables import Presence
from service.ledger.db import Database, utc_now
from tests.cast import make_site


def test_colleagues_are_seen_where_they_look_last_and_not_for_long(database: Database) -> None:
    site = make_site(database)
    with database.transaction() as session:
        ann = moderators.create(session, "ann@x.org", site_id=site.id, role=Role.MODERATOR)
        ben = moderators.create(session, "ben@x.org", site_id=site.id, role=Role.VIEWER)
        presence.look(session, site.id, ann, "cmt_1")
        presence.look(session, site.id, ben, "cmt_1")
        presence.look(session, site.id, ann, "cmt_2")

        assert presence.others(session, site.id, ben) == {"cmt_2": ["ann"]}
        assert presence.others(session, site.id, ann) == {"cmt_1": ["ben"]}
        assert presence.others(session, "sit_other", ann) == {}

        late = utc_now() - timedelta(seconds=presence.SECONDS)
        session.execute(update(Presence).values(seen_at=late))
        assert presence.others(session, site.id, ann) == {}
