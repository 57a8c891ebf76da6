"""A site that has been in use for a week, as people see it: for the pictures, and for axe-core.

All of it is made up. The running worker decides; then the week is spread over its days.
"""

import random
from datetime import timedelta

from sqlalchemy import select, update

from service.base.config import Settings
from service.base.jobs import Job
from service.core import comments, moderation, moderators, objections, queue, sites, storms
from service.core.moderation import Ballot
from service.core.moderators import Role
from service.core.sites import SiteView
from service.core.storms import Evidence
from service.core.webhooks import deliveries, endpoints, outbox
from service.core.webhooks.deliveries import Outcome
from service.judgement import learning, second_looks
from service.ledger.db import Database, utc_now
from service.ledger.models import COMMENTS, DECISIONS, DELIVERIES
from service.pure.events import EventType
from service.pure.policy import Policy, Status
from service.pure.scoring import Scorer
from tests.cast import make_submission, wait_until

SLUG = "allotment"
_AGAIN = 0.5
_ORIGIN = "https://allotment.example.org"
_PAGES = (
    ("sowing-broad-beans", "Sowing broad beans in October"),
    ("compost-in-a-small-yard", "Compost in a small yard"),
    ("slugs", "What finally worked against slugs"),
)
_GOOD = (
    "I sow mine two weeks later and they still stand the winter. Wind kills them, not frost.",
    "Does this work in heavy clay as well? Ours is under water until March.",
    "The part about turning the heap only once was new to me. Thank you for that.",
    "We tried copper tape for two summers and it did nothing at all. Beer traps did.",
    "Small correction: the variety in the second picture is Aquadulce, not Sutton.",
    "My grandmother put a handful of soot in every row. No idea whether it helped.",
    "How do you keep rats out of an open heap? We are next to a canal.",
    "I disagree about the cardboard. It takes years to rot in our soil and the ants love it.",
    "Could you say which sieve you use? Mine clogs with anything damp.",
    "Planted forty last autumn after reading this, thirty-one came up. Good enough for me!",
    "Is it too late to start now, in the first week of December?",
    "Nice pictures. The one with the frost on the netting is my favourite.",
    "You forgot to mention mice. They dug out every single bean of ours.",
    "The council gives compost bins away in spring, worth asking before buying one.",
    "I grow them under fleece and pick in May, three weeks before the neighbours.",
    "What do you do about blackfly? Pinching out the tops was not enough this year.",
    "Hedgehogs did it here. Leave a gap under the fence and wait.",
    "That is how my father did it too, down to the string and the two sticks.",
    "Coffee grounds made it worse, the heap went sour within a week.",
    "Thanks for writing this down so plainly, most guides make it a science.",
    "Do you water them at all once they are up?",
    "The link to the seed swap does not work any more, it moved to the parish site.",
)
_SPAM = (
    "CHECK OUT MY CHANNEL http://spam.example/win and subscribe now!!! Free money, click here",
    "Earn $5000 a week from home, no experience needed, visit http://quick.example today!!!",
    "Best casino bonus online, 200 free spins, sign up at http://spins.example/bonus",
    "Buy followers and likes cheap, real accounts, instant delivery http://likes.example",
    "Cheap viagra and cialis without prescription, fast shipping http://pills.example",
    "Work from home and earn 300 per day, click the link in my profile now",
    "Hot singles in your area are waiting, join free http://meet.example",
    "Lose 20 pounds in two weeks with this one pill http://slim.example order today",
    "Replica watches 90% off, worldwide delivery http://watches.example",
    "Get a loan today, bad credit accepted, apply at http://loans.example",
    "Subscribe to my channel and win an iPhone, link below http://win.example/phone",
    "I made 10,000 dollars with bitcoin in one month, ask me how on WhatsApp +1 555 0100",
)
_CAMPAIGN = (
    "What a great article about {}, I will come back for more. Visit my page for roof repair"
)
_PRAISED = ("beans", "compost", "slugs", "gardens", "frost", "seeds")
_DOUBTFUL = (
    "Great post! My site has more tips like these, www.tips.example, have a look",
    "Check p\u0430ypal.example/login for the refund of the seed order, they sent me there too",
    "Subscribe to my channel for more gardening videos please",
    "Compare https://seeds.example/a and https://seeds.example/b, the first is a week earlier",
    "Photos of ours: https://pics.example/1 https://pics.example/2 https://pics.example/3",
    "I sell beans, write me: beans@post.example, best price for all sorts",
)
_TOLD = (
    ("Last spring", "Two winters ago", "On our north slope", "Behind the greenhouse", "This year"),
    ("the leeks", "our runner beans", "the kale", "forty garlic cloves", "the early peas"),
    ("stood under water for weeks", "went to seed by June", "came up twice as thick as before",
     "were eaten to the ground", "ripened before the first frost"),
    ("and I still do not know why.", "so I dug the bed over.", "thanks to the fleece.",
     "which my neighbour had foretold.", "and the soup was worth it."),
)  # fmt: skip
_SOLD = (
    ("Click here for", "Order now:", "Visit my profile for", "Last chance,", "Join today,"),
    (
        "cheap sneakers",
        "instant loans",
        "free casino spins",
        "miracle diet drops",
        "fake passports",
    ),
    ("at http://{}.example/a", "with 80% off at http://{}.example", "delivered by {}.example"),
    ("!!! Limited offer", "no questions asked", "earn money while you sleep", "100% guaranteed"),
)
_NAMES = ("Ada", "Grace", "Linus", "Mary", "Otto", "Rosa", "Samir", "Tove", "Uma", "Wen", "Yara")


_WELL = Outcome(status=200, excerpt='{"taken": true}', duration_ms=84)
_BADLY = Outcome(
    status=503, excerpt="<h1>503</h1> down for maintenance, back in a minute", duration_ms=1_240
)


def move_in(database: Database, settings: Settings) -> SiteView:
    """Make the site with its people and its week; some of it waits in the queue."""
    with database.transaction() as session:
        site = sites.create(session, SLUG, name="The Allotment", origins=[_ORIGIN])
        policy = Policy(max_links=1, storm_mode=False, second_looks=_AGAIN)
        sites.set_policy(session, site.id, policy)
        people = [
            moderators.create(session, f"{name.lower()}@example.org", name=name, site_id=site.id,
                              role=role)
            for name, role in (("Nora", Role.OWNER), ("Bo", Role.MODERATOR))
        ]  # fmt: skip
    alike = [_CAMPAIGN.format(word) for word in _PRAISED]
    actors = [f"moderator:{one}" for one in people]
    dice = random.Random(7)
    good = [*_GOOD, *_combined(_TOLD, 46, dice)]
    spam = [*_combined(_SOLD, 30, dice), *_SPAM]
    bodies = [*good, *spam]
    dice.shuffle(bodies)
    # People are not of one mind: some of what they call spam reads like the rest.
    called_spam = {*spam, *dice.sample(good[len(_GOOD) :], 5)}
    first = _submit(database, site, bodies)
    _decide_some(database, site, first, [body in called_spam for body in bodies], actors)
    learning.train(database, Scorer(settings.model), site.id, settings)
    by_body = dict(zip(bodies, first, strict=True))
    _object(database, by_body[_GOOD[5]], by_body[_SPAM[9]])
    last = _submit(database, site, [*_DOUBTFUL, *alike])
    _spread(database, first, hours=160)
    _spread(database, last, hours=12)
    _look_again(database, site, actors)
    with database.transaction() as session:
        began = utc_now() - timedelta(hours=30)
        evidence = Evidence(comments=64, usual=3, strangers=0.97, alike=0.12)
        storms.begin(session, site.id, evidence, actor=storms.WATCH, now=began)
        storms.end(session, site.id, actor=storms.WATCH, now=began + timedelta(minutes=50))
    _tell(database, site, first[:4])
    with database.reading() as session:
        assert queue.count(session, site.id) >= 3, "too little waits for a picture"
    return site


def _combined(parts: tuple[tuple[str, ...], ...], count: int, dice: random.Random) -> list[str]:
    """Put sentences together, none twice."""
    found: dict[str, None] = {}
    while len(found) < count:
        words = " ".join(dice.choice(part) for part in parts)
        found[words.format("".join(dice.choices("abcdefgh", k=6)))] = None
    return list(found)


def _submit(database: Database, site: SiteView, bodies: list[str]) -> list[str]:
    """Store comments on several pages by several people, and wait until all are decided."""
    ids = []
    for place, body in enumerate(bodies):
        path, title = _PAGES[place % len(_PAGES)]
        name = _NAMES[place % len(_NAMES)]
        submission = make_submission(
            site,
            page_url=f"{_ORIGIN}/{path}",
            page_title=title,
            name=name,
            email=f"{name.lower()}@post.example",
            email_normalised=f"{name.lower()}@post.example",
            address=f"203.0.113.{place % 200 + 1}",
            body=body,
        )
        with database.writing() as connection:
            (accepted,) = comments.submit(connection, [submission])
        assert isinstance(accepted, comments.Accepted)
        ids.append(accepted.id)
    database.doorbell.ring(Job.CLASSIFY)
    waiting = select(COMMENTS.c.id).where(
        COMMENTS.c.id.in_(ids), COMMENTS.c.classify_at.is_not(None)
    )

    def decided() -> bool:
        with database.reading() as session:
            return session.scalars(waiting).first() is None

    wait_until(decided, otherwise="the worker did not decide in time")
    return ids


def _decide_some(
    database: Database, site: SiteView, ids: list[str], spam: list[bool], actors: list[str]
) -> None:
    """Have people say of each comment what it is; one is taken back."""
    for place, comment_id in enumerate(ids):
        status = Status.SPAM if spam[place] else Status.APPROVED
        with database.transaction() as session:
            ballot = Ballot(
                comment_id=comment_id,
                seen_version=comments.get(session, comment_id).version,
                status=status,
                actor=actors[place % len(actors)],
                reason="decided in the queue",
                act_id=f"act_{place}",
            )
            moderation.record(session, [ballot], site_id=site.id)
    with database.transaction() as session:
        moderation.undo(session, site.id, "act_3", actors[0])


def _look_again(database: Database, site: SiteView, actors: list[str]) -> None:
    """Have each look at what the other decided, mostly of the same mind; some is left to do."""

    for actor in actors:
        with database.transaction() as session:
            asked = second_looks.waiting(session, site.id, _AGAIN, actor)
            for place, one in enumerate(asked[3:]):
                decided = comments.get(session, one.comment_id).status
                said = Status.REJECTED if place % 6 == 5 else decided
                second_looks.answer(session, site.id, _AGAIN, one.decision_id, said, actor)


def _object(database: Database, good: str, loans: str) -> None:
    """Have readers report a comment that was approved, and an author appeal."""
    with database.transaction() as session:
        objections.report(session, good, "That is not how one speaks of neighbours.", "one")
        objections.report(session, good, "Rude.", "another")
        objections.appeal(session, loans, "I only wanted to warn others of these loans.")


def _tell(database: Database, site: SiteView, ids: list[str]) -> None:
    """Have two endpoints told of comments and a storm; one of them had a bad minute.

    In one transaction, so that nothing is due that the running courier would send.
    """
    with database.transaction() as session:
        shop, archive = (
            endpoints.create(
                session, site.id, url, check=str, actor="operator", description=description
            )[0]
            for url, description in (
                ("https://shop.allotment.example.org/hooks", "The shop"),
                ("https://archive.example.net/in/allotment", "The parish archive"),
            )
        )
        outbox.submitted(session.connection(), dict.fromkeys(ids, site.id), utc_now())
        for one in (shop, archive):
            while (claim := deliveries.claim(session, one.id, 30)) is not None:
                is_good = one is shop or claim.number > 1
                deliveries.note(session, claim, _WELL if is_good else _BADLY)
                session.execute(
                    update(DELIVERIES)
                    .where(DELIVERIES.c.id == claim.delivery_id, DELIVERIES.c.due_at.is_not(None))
                    .values(due_at=utc_now())
                )
        for one in (shop, archive):  # nothing else, which the running courier would send
            endpoints.change(
                session,
                site.id,
                one.id,
                check=str,
                actor="operator",
                events=[EventType.STORM_STARTED, EventType.STORM_ENDED],
            )


def _spread(database: Database, ids: list[str], *, hours: int) -> None:
    """Move what happened to times of the last hours."""
    dice = random.Random(5)
    with database.transaction() as session:
        for comment_id in ids:
            came = utc_now() - timedelta(minutes=dice.randrange(60, hours * 60))
            session.execute(
                update(COMMENTS).where(COMMENTS.c.id == comment_id).values(created_at=came)
            )
            decided = came + timedelta(minutes=dice.randrange(2, 300))
            session.execute(
                update(DECISIONS)
                .where(DECISIONS.c.comment_id == comment_id, DECISIONS.c.actor.like("moderator:%"))
                .values(decided_at=min(decided, utc_now()))
            )
