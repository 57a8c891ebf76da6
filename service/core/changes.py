"""Changes of a site's settings, keys and people, noted for good.

The one rule: they are only ever added, in the transaction of what they tell of.
"""

from typing import Any

from sqlalchemy.orm import Session

from service.ledger.db import new_id, utc_now
from service.ledger.models import SettingChange

OPERATOR = "operator"


def note(
    session: Session, site_id: str, setting: str, before: Any, after: Any, *, actor: str
) -> None:
    """Note what a setting was and is; nothing if that is the same.

    Args:
        session: a transaction's.
        site_id: whose.
        setting: such as `max_links`, `role of moderator:<id>` or `key <id>`; no e-mail address,
            since this is kept when a person is forgotten.
        before: as JSON; `None` for what was not there.
        after: as JSON; `None` for what is not there any more.
        actor: `operator` for the command line, or `moderator:<id>`.
    """
    if before == after:
        return
    session.add(
        SettingChange(
            id=new_id("set"),
            site_id=site_id,
            actor=actor,
            setting=setting,
            before=before,
            after=after,
            changed_at=utc_now(),
        )
    )
