"""The dashboard: where a site's people sign in and work. Pages for a browser, forms back.

Every page works without JavaScript. What holds for all of them (who may come in, forged requests,
headers, errors) is in `guard`, `session` and `refusals`, so that the pages need not think of it.
"""

import flask

from service.dashboard import (
    account,
    authors,
    guard,
    history,
    landing,
    links,
    model,
    overview,
    people,
    policy,
    queue,
    refusals,
    search,
    second_looks,
    sign_on,
    signing,
    storms,
    template,
    webhooks,
)

# For the templates and static files of all pages; each module of pages has one of its own below.
blueprint = flask.Blueprint(
    "dashboard",
    __name__,
    url_prefix="/dashboard",
    template_folder="templates",
    static_folder="static",
    static_url_path="/static",
)
PAGES = (
    landing,
    signing,
    sign_on,
    links,
    account,
    people,
    overview,
    queue,
    authors,
    storms,
    search,
    second_looks,
    history,
    policy,
    model,
    webhooks,
)
for _module in PAGES:
    blueprint.register_blueprint(_module.blueprint)
guard.protect(blueprint)
refusals.show(blueprint)
template.equip(blueprint)


def register(app: flask.Flask) -> None:
    """Add the dashboard to an application."""
    app.register_blueprint(blueprint)
