"""`hamgate webhook …`: who is told what happens on a site, what was sent, and a receiver to try."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from service.base.config import Settings
from service.cli.opening import open_database, with_settings

if TYPE_CHECKING:
    from service.core.webhooks.endpoints import EndpointView
    from service.ledger.models import DeliveryStatus
    from service.pure.events import EventType

_SITE = click.argument("slug", metavar="SITE")
_ENDPOINT = click.argument("endpoint_id", metavar="ENDPOINT")
_STATUSES = ("waiting", "delivered", "dead", "recalled")


class _Type(click.ParamType["EventType"]):
    name = "event"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "EventType":
        from service.pure.events import EventType

        if value not in set(EventType):
            self.fail(f"{value} is no type of event; choose from {', '.join(EventType)}")
        return EventType(value)


@click.group(short_help="Have programs told what happens on a site.")
def webhook() -> None:
    """Have programs told what happens on a site, and see what was sent.

    An endpoint is a URL that is sent a signed message for each event (Standard Webhooks). ENDPOINT
    is its id, whe_…, as `hamgate webhook list SITE` shows it.
    """


@webhook.command("create", short_help="Make an endpoint and print its secret, once.")
@_SITE
@click.argument("url")
@click.option(
    "--event",
    "events",
    type=_Type(),
    multiple=True,
    metavar="TYPE",
    help="What it is told, such as comment.approved; repeat for more; default everything.",
)
@click.option("--name", default="", help="For people.")
@click.option(
    "--personal",
    is_flag=True,
    help="Tell authors' e-mail and network addresses too, if the site's policy allows it.",
)
@with_settings
def webhook_create(
    settings: Settings,
    slug: str,
    url: str,
    events: "tuple[EventType, ...]",
    name: str,
    personal: bool,
) -> None:
    """Have URL told what happens on SITE; prints its secret, once, alone on standard output."""
    from service.core import sites
    from service.core.changes import OPERATOR
    from service.core.webhooks import addresses, endpoints

    with open_database(settings).transaction() as session:
        made, secret = endpoints.create(
            session,
            sites.find(session, slug).id,
            url,
            check=addresses.check(settings),
            actor=OPERATOR,
            events=events,
            description=name,
            wants_personal=personal,
        )
    click.echo(secret)
    click.echo(f"made {made.id}; keep its secret: it is not shown again", err=True)


@webhook.command("list", short_help="List a site's endpoints.")
@_SITE
@with_settings
def webhook_list(settings: Settings, slug: str) -> None:
    """List the endpoints of SITE: id, URL, types of events and state, separated by tabs."""
    from service.core import sites
    from service.core.webhooks import endpoints

    with open_database(settings).reading() as session:
        found = endpoints.listing(session, sites.find(session, slug).id)
    for one in found:
        wanted = ",".join(one.events) or "(everything)"
        click.echo(f"{one.id}\t{one.url}\t{wanted}\t{_state(one)}")
    if not found:
        click.echo(f"no endpoints yet: hamgate webhook create {slug} URL", err=True)


@webhook.command("test", short_help="Send an endpoint a message of its own.")
@_SITE
@_ENDPOINT
@with_settings
def webhook_test(settings: Settings, slug: str, endpoint_id: str) -> None:
    """Send ENDPOINT of SITE an endpoint.tested; `hamgate webhook log` tells what became of it."""
    from service.core import sites
    from service.core.webhooks import endpoints

    with open_database(settings).transaction() as session:
        endpoints.test(session, sites.find(session, slug).id, endpoint_id)
    click.echo("on its way")


@webhook.command("rotate", short_help="Make another secret and print it, once.")
@_SITE
@_ENDPOINT
@with_settings
def webhook_rotate(settings: Settings, slug: str, endpoint_id: str) -> None:
    """Give ENDPOINT of SITE another secret, and print it, alone on standard output.

    For a day everything is signed with the one before as well.
    """
    from service.core import sites
    from service.core.changes import OPERATOR
    from service.core.webhooks import endpoints

    with open_database(settings).transaction() as session:
        site = sites.find(session, slug)
        secret = endpoints.rotate(session, site.id, endpoint_id, actor=OPERATOR)
        until = endpoints.get(session, site.id, endpoint_id).old_secret_until
    click.echo(secret)
    click.echo(f"the one before signs beside it until {until:%Y-%m-%d %H:%M} UTC", err=True)


@webhook.command("enable", short_help="Serve an endpoint again.")
@_SITE
@_ENDPOINT
@with_settings
def webhook_enable(settings: Settings, slug: str, endpoint_id: str) -> None:
    """Tell ENDPOINT of SITE again what happens; what died meanwhile can be replayed."""
    _switch(settings, slug, endpoint_id, on=True)


@webhook.command("disable", short_help="Serve an endpoint no more.")
@_SITE
@_ENDPOINT
@with_settings
def webhook_disable(settings: Settings, slug: str, endpoint_id: str) -> None:
    """Tell ENDPOINT of SITE nothing any more; what waits for it is dead, and can be replayed."""
    _switch(settings, slug, endpoint_id, on=False)


@webhook.command("delete", short_help="Delete an endpoint with its log.")
@_SITE
@_ENDPOINT
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings
def webhook_delete(settings: Settings, slug: str, endpoint_id: str, yes: bool) -> None:
    """Delete ENDPOINT of SITE with all that waits for it and the log of what was sent."""
    from service.core import sites
    from service.core.changes import OPERATOR
    from service.core.webhooks import endpoints

    database = open_database(settings)
    with database.reading() as session:
        site = sites.find(session, slug)
        url = endpoints.get(session, site.id, endpoint_id).url
    if not yes:
        click.confirm(f"Delete {url} and its log?", abort=True, err=True)
    with database.transaction() as session:
        endpoints.delete(session, site.id, endpoint_id, actor=OPERATOR)
    click.echo(f"deleted {endpoint_id}")


@webhook.command("log", short_help="List what was sent, and what became of it.")
@_SITE
@click.option("--endpoint", "endpoint_id", metavar="ENDPOINT", help="To this one only.")
@click.option("--status", type=click.Choice(_STATUSES), help="Only what stands so.")
@click.option("--event", type=_Type(), metavar="TYPE", help="Only events of this type.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
@with_settings
def webhook_log(
    settings: Settings,
    slug: str,
    endpoint_id: str | None,
    status: "DeliveryStatus | None",
    event: "EventType | None",
    limit: int,
) -> None:
    """List what SITE sent, newest first: id, time, event, URL, state, attempts, why, by tabs."""
    from service.core import sites
    from service.core.webhooks import log

    with open_database(settings).reading() as session:
        found = log.listing(
            session,
            sites.find(session, slug).id,
            endpoint_id=endpoint_id,
            status=status,
            event_type=event,
            most=limit,
        )
    for one in found:
        click.echo(
            f"{one.id}\t{one.created_at:%Y-%m-%dT%H:%M:%SZ}\t{one.event_type}\t{one.url}\t"
            f"{one.status}\t{one.attempts}\t{one.reason or ''}"
        )
    if not found:
        click.echo("nothing was sent", err=True)


@webhook.command("replay", short_help="Send again what was sent.")
@_SITE
@click.argument("delivery_ids", metavar="[DELIVERY]...", nargs=-1)
@click.option("--endpoint", "endpoint_id", metavar="ENDPOINT", help="With --since: to which.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="TIME",
    help="All since then, in UTC, such as 2026-01-31T12:00; the oldest 5,000 of it.",
)
@click.option("--dead-only", is_flag=True, help="With --since: only what did not get there.")
@with_settings
def webhook_replay(
    settings: Settings,
    slug: str,
    delivery_ids: tuple[str, ...],
    endpoint_id: str | None,
    since: datetime | None,
    dead_only: bool,
) -> None:
    """Send deliveries of SITE again, with the same id and body: these, or all since a time.

    DELIVERY is an id, dlv_…, as `hamgate webhook log SITE` shows it.
    """
    from service.core import sites
    from service.core.webhooks import endpoints, log

    if bool(delivery_ids) == (since is not None) or (since is None) != (endpoint_id is None):
        raise click.UsageError("name deliveries, or --endpoint and --since")
    with open_database(settings).transaction() as session:
        site = sites.find(session, slug)
        if since is None or endpoint_id is None:
            for one in delivery_ids:
                log.get(session, site.id, one)
            count = log.replay(session, site.id, delivery_ids)
        else:
            endpoints.get(session, site.id, endpoint_id)
            moment = since.replace(tzinfo=UTC)
            count = log.replay_since(session, site.id, endpoint_id, moment, dead_only=dead_only)
    click.echo(f"{count} on the way again")
    if count < len(delivery_ids):
        click.echo(
            "the others are being tried, wait for their first attempt, were recalled, or their"
            " endpoint is disabled",
            err=True,
        )


@webhook.command("listen", short_help="Receive, verify and show webhooks, to try them.")
@click.option(
    "--secret",
    prompt="Secret (whsec_…)",
    hide_input=True,
    help="Of the endpoint; asked for if it is not given.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=9000, show_default=True)
@click.option(
    "--status",
    type=click.IntRange(200, 599),
    default=204,
    show_default=True,
    help="What to answer, such as 500, to see what failures do.",
)
def webhook_listen(secret: str, port: int, status: int) -> None:
    """Receive webhooks on this machine until Ctrl-C: verify each, show it, and answer.

    A Hamgate on the same machine may send here if HAMGATE_WEBHOOK_NETWORKS=127.0.0.0/8,
    HAMGATE_WEBHOOK_PORTS=9000 and HAMGATE_WEBHOOK_HTTP=true.
    """
    from service.cli import listening

    def ready(url: str) -> None:
        click.echo(f"listening on {url}, Ctrl-C ends it", err=True)

    listening.listen(port, secret, status, ready)


def _switch(settings: Settings, slug: str, endpoint_id: str, *, on: bool) -> None:
    from service.core import sites
    from service.core.changes import OPERATOR
    from service.core.webhooks import addresses, endpoints

    with open_database(settings).transaction() as session:
        changed = endpoints.change(
            session,
            sites.find(session, slug).id,
            endpoint_id,
            check=addresses.check(settings),
            actor=OPERATOR,
            enabled=on,
        )
    click.echo(_state(changed))


def _state(one: "EndpointView") -> str:
    if one.disabled_at is not None:
        return f"disabled {one.disabled_at:%Y-%m-%d}: {one.disabled_reason}"
    if one.failing_since is not None:
        return f"failing since {one.failing_since:%Y-%m-%d %H:%M} UTC"
    return "works"
