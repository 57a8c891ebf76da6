"""`hamgate moderator …`: the people who may sign in to the dashboard."""

import click

from service.base.config import Settings
from service.cli.opening import open_database, with_settings

_EMAIL = click.argument("email")
_ROLES = ("owner", "moderator", "viewer")


@click.group(short_help="Make, list and remove moderators.")
def moderator() -> None:
    """Make, list and remove moderators, the people who sign in at /dashboard.

    What one may do is said for each site: a viewer looks, a moderator decides, an owner also
    changes settings and invites others. Passwords are never set here: a link that works once
    lets the person choose one.
    """


@moderator.command("create", short_help="Give somebody a role on a site, and print a link.")
@_EMAIL
@click.option("--site", "slug", required=True, metavar="SITE", help="Where the role is.")
@click.option(
    "--role", required=True, type=click.Choice(_ROLES), help="What they may do on that site."
)
@click.option("--name", default="", help="For colleagues; default what stands before the @.")
@with_settings
def moderator_create(settings: Settings, email: str, slug: str, role: str, name: str) -> None:
    """Give EMAIL a role on SITE, and print a link alone on standard output.

    A newcomer chooses a name and a password there; it works once, for 7 days. Who has an
    account keeps it, and the link is that of the sign-in page.
    """
    from service.core import moderators, sites
    from service.core.moderators import Role

    with open_database(settings).transaction() as session:
        site = sites.find(session, slug)
        made = moderators.create(session, email, name=name, site_id=site.id, role=Role(role))
        token = moderators.first_link(session, made)
    click.echo(
        f"{settings.public_url}/dashboard/sign-in"
        if token is None
        else moderators.link_url(settings.public_url, token)
    )
    has = "has an account" if token is None else "chooses a password there, once, within 7 days"
    click.echo(f"{email} is {role} of {slug} and {has}", err=True)


@moderator.command("list", short_help="List all moderators.")
@with_settings
def moderator_list(settings: Settings) -> None:
    """List all moderators: e-mail, name, roles and last sign-in, separated by tabs."""
    from service.core import moderators

    with open_database(settings).reading() as session:
        found = moderators.listing(session)
    for one in found:
        roles = ",".join(f"{slug}:{role}" for slug, role in one.roles.items()) or "(no site)"
        seen = "not yet" if one.signed_in_at is None else f"{one.signed_in_at:%Y-%m-%d}"
        state = seen if one.disabled_at is None else f"removed {one.disabled_at:%Y-%m-%d}"
        click.echo(f"{one.email}\t{one.name}\t{roles}\t{state}")
    if not found:
        click.echo("no moderators yet: hamgate moderator create EMAIL --site … --role …", err=True)


@moderator.command("reset", short_help="Print a link to choose a new password.")
@_EMAIL
@with_settings
def moderator_reset(settings: Settings, email: str) -> None:
    """Print a link, alone on standard output, with which EMAIL can choose a new password.

    It works once, for a day. Until it is used the old password works; then all sessions end.
    """
    from service.core import moderators

    with open_database(settings).transaction() as session:
        token = moderators.reset(session, email)
    click.echo(moderators.link_url(settings.public_url, token))
    click.echo(f"whoever has this link becomes {email}: send it to nobody else", err=True)


@moderator.command("remove", short_help="Take somebody off a site, or close the account.")
@_EMAIL
@click.option("--site", "slug", metavar="SITE", help="Off this site only.")
@with_settings
def moderator_remove(settings: Settings, email: str, slug: str | None) -> None:
    """Take EMAIL off SITE or, without --site, off all sites, and end the account.

    It counts at once. What they decided stays and still bears their name. The last owner of a
    site cannot go before there is another.
    """
    from service.core import moderators, sites
    from service.core.changes import OPERATOR

    with open_database(settings).transaction() as session:
        found = moderators.find(session, email)
        if slug is None:
            moderators.close(session, found.id)
        else:
            moderators.remove(session, sites.find(session, slug).id, found.id, actor=OPERATOR)
    click.echo(f"removed {found.email}" + (f" from {slug}" if slug else ""))
