"""Campaigns: comments that say nearly the same, across threads, authors and sites.

The one rule: looking up costs the same for the hundredth member of a campaign as for the
hundred-thousandth. A comment is compared with the first of a campaign only, and the distinct
sources are counted as they come, never again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, delete, select, tuple_
from sqlalchemy.orm import Session

from service.ledger.bulk import any_of, inserting, updating
from service.ledger.db import new_id, utc_now
from service.ledger.models import BANDS, CAMPAIGNS, COMMENTS
from service.pure.scoring import Sketch, bands_of, is_echo

Source = tuple[str, str]


@dataclass(slots=True)
class Group:
    """A campaign as one batch sees it.

    Attributes:
        id: of the campaign.
        sketch: of its first comment.
        sources: how many distinct pairs of e-mail and thread it came from, this batch included.
        is_new: whether this batch holds its first comment.
        seen: the pairs that are known to be among its sources.
        added: how many of its sources this batch brought.
    """

    id: str
    sketch: Sketch
    sources: int
    is_new: bool
    seen: set[Source] = field(default_factory=set)
    added: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a comment belongs.

    Attributes:
        group: its campaign; `None` for a text too short to tell.
        echoes: in how many other places, or under how many other e-mail addresses, nearly the
            same was said before.
    """

    group: Group | None
    echoes: int


def look_up(session: Session, rows: Sequence[Row[Any]], sketches: Sequence[Sketch]) -> list[Place]:
    """Find the campaign of each comment, among those stored and those of the batch itself.

    Args:
        session: for reading; nothing is written.
        rows: with `id`, `email_normalised`, `thread_id`.
        sketches: of their bodies.
    """
    by_band = _stored(session, {band for sketch in sketches for band in sketch.bands})
    found: list[Group | None] = []
    for sketch in sketches:
        near = (by_band[band] for band in sketch.bands if band in by_band)
        group = next((group for group in near if is_echo(sketch, group.sketch)), None)
        if group is None and sketch.bands:
            group = Group(new_id("cpn"), sketch, 0, is_new=True)
            for band in sketch.bands:
                by_band.setdefault(band, group)
        found.append(group)
    _mark_known(session, rows, found)
    places = []
    for row, group in zip(rows, found, strict=True):
        if group is None:
            places.append(Place(None, 0))
            continue
        source = (row.email_normalised, row.thread_id)
        if source not in group.seen:
            group.seen.add(source)
            group.sources += 1
            group.added += 1
        places.append(Place(group, group.sources - 1))
    return places


def keep(session: Session, places: Sequence[Place]) -> None:
    """Store the campaigns that `look_up` found, in the transaction that records the decisions.

    Which of them a comment belongs to stands on its ballot.
    """
    connection = session.connection()
    groups = {place.group.id: place.group for place in places if place.group is not None}
    fresh = [group for group in groups.values() if group.is_new]
    now = utc_now()
    _BEGIN(
        connection,
        [
            {"id": group.id, "mins": group.sketch.mins, "sources": group.sources, "first_at": now}
            for group in fresh
        ],
    )
    # In the order of the bands: two workers then wait for each other one way only.
    bands = sorted((band, group.id) for group in fresh for band in group.sketch.bands)
    _MAKE_FOUND(connection, [{"band": band, "campaign_id": of} for band, of in bands])
    grown = sorted(group.id for group in groups.values() if not group.is_new and group.added)
    _GROW(connection, [{"id": key, "sources": groups[key].added} for key in grown])


def forget(session: Session, campaign_ids: Sequence[str]) -> None:
    """Delete campaigns, and what they are found by."""
    connection = session.connection()
    gone = connection.execute(
        delete(CAMPAIGNS)
        .where(any_of(connection, CAMPAIGNS.c.id, campaign_ids))
        .returning(CAMPAIGNS.c.id, CAMPAIGNS.c.mins)
    ).all()
    bands = {band for row in gone for band in bands_of(bytes(row.mins))}
    connection.execute(
        delete(BANDS).where(
            any_of(connection, BANDS.c.band, bands), BANDS.c.campaign_id.in_([r.id for r in gone])
        )
    )


_BEGIN = inserting(CAMPAIGNS)
_MAKE_FOUND = inserting(BANDS, where_missing=True)
_GROW = updating(
    CAMPAIGNS, ("sources",), lambda given: {"sources": CAMPAIGNS.c.sources + given["sources"]}
)


def _stored(session: Session, bands: set[int]) -> dict[int, Group]:
    """Give the campaigns that have any of these bands, by band."""
    if not bands:
        return {}
    connection = session.connection()
    rows = connection.execute(
        select(BANDS.c.band, CAMPAIGNS.c.id, CAMPAIGNS.c.mins, CAMPAIGNS.c.sources)
        .join(CAMPAIGNS, CAMPAIGNS.c.id == BANDS.c.campaign_id)
        .where(any_of(connection, BANDS.c.band, bands))
    )
    groups: dict[str, Group] = {}
    by_band: dict[int, Group] = {}
    for band, campaign_id, mins, sources in rows:
        if campaign_id not in groups:
            groups[campaign_id] = Group(campaign_id, Sketch(bytes(mins), ()), sources, is_new=False)
        by_band[band] = groups[campaign_id]
    return by_band


def _mark_known(session: Session, rows: Sequence[Row[Any]], groups: Sequence[Group | None]) -> None:
    """Note which of the batch's own sources are among a stored campaign's already."""
    stored = {group.id: group for group in groups if group is not None and not group.is_new}
    if not stored:
        return
    wanted = {
        (group.id, row.email_normalised, row.thread_id)
        for row, group in zip(rows, groups, strict=True)
        if group is not None and not group.is_new
    }
    columns = (COMMENTS.c.campaign_id, COMMENTS.c.email_normalised, COMMENTS.c.thread_id)
    for campaign_id, email, thread_id in session.execute(
        select(*columns).where(tuple_(*columns).in_(wanted)).distinct()
    ):
        stored[campaign_id].seen.add((email, thread_id))
