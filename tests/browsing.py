"""A browser without JavaScript: keeps cookies, sends forms as a page of ours would."""

import re
from typing import Any

import flask
from werkzeug.test import TestResponse

from service.core import moderators
from service.core.moderators import Role
from service.core.sites import SiteView
from service.ledger.db import Database

PASSWORD = "correct horse battery staple"


def make_moderator(
    database: Database,
    site: SiteView | None = None,
    role: Role = Role.MODERATOR,
    *,
    email: str = "ada@example.org",
    password: str = PASSWORD,
) -> str:
    """Make a moderator who has chosen a password, and give the id."""
    with database.transaction() as session:
        made = moderators.create(session, email, site_id=site.id if site else None, role=role)
        token = moderators.first_link(session, made)
    assert token is not None
    cookie = moderators.accept(database, token, password=password, name=email.partition("@")[0])
    with database.transaction() as session:
        moderators.sign_out(session, cookie)
    return made


class Browser:
    """One browser; `page` is what it shows."""

    def __init__(self, app: flask.Flask, *, origin: str = "http://localhost:8000") -> None:
        self._client = app.test_client()
        self._origin = origin
        self.page: TestResponse

    @property
    def cookies(self) -> dict[str, str]:
        """What it keeps."""
        found: Any = self._client._cookies
        return {cookie.key: cookie.value for cookie in found.values()}

    def keep(self, name: str, value: str) -> None:
        """Put a cookie into it."""
        self._client.set_cookie(name, value, domain="localhost", secure=name.startswith("__"))

    def get(self, path: str, **headers: str) -> TestResponse:
        """Look at a page."""
        self.page = self._client.get(path, base_url=self._origin, headers=headers)
        return self.page

    def post(self, path: str, headers: dict[str, str] | None = None, **form: str) -> TestResponse:
        """Send a form of the page it shows, and go where the answer leads."""
        answer = self.send(path, headers, **form)
        if answer.status_code == 303:
            self.get(answer.headers["Location"])
        else:
            self.page = answer
        return answer

    def send(self, path: str, headers: dict[str, str] | None = None, **form: str) -> TestResponse:
        """Send a form of the page it shows, and stay there."""
        said = {"Origin": self._origin, "Sec-Fetch-Site": "same-origin", **(headers or {})}
        return self._client.post(
            path, base_url=self._origin, data={"csrf_token": self.csrf(), **form}, headers=said
        )

    def csrf(self) -> str:
        """Give the token in the page it shows."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.page.text)
        assert found is not None, self.page.text
        return found[1]

    def sign_in(self, email: str = "ada@example.org", password: str = PASSWORD) -> TestResponse:
        """Sign in as a person would."""
        self.get("/dashboard/sign-in")
        return self.post("/dashboard/sign-in", email=email, password=password)
