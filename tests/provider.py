"""An OpenID provider in real HTTP, which checks its client, and can be told to misbehave.

Written here because the test providers on PyPI do not check PKCE and cannot be made to lie; by
Flask and joserfc alone, so that Authlib does not talk to itself.
"""

import base64
import contextlib
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import flask
import httpx2
import pytest
from flask import Response
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT_ID = "hamgate"
CLIENT_SECRET = "a secret of client & provider"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
Claims = dict[str, Any]


def sign(claims: Claims, key: RSAKey = KEY, alg: str = "RS256") -> str:
    """Sign an ID token as a provider should."""
    return jwt.encode({"alg": alg, "kid": "one"}, claims, key, algorithms=[alg])


@dataclass
class TestProvider:
    """A provider at which one person is always signed in.

    Attributes:
        person: what it knows of them.
        lie: changes the claims of the next ID tokens.
        signed: makes the ID token of the claims.
        answers: by path, what it answers instead of what it should; called in the request.
        metadata: changes of the discovery document.
        token: changes of what it answers to a code.
        back: changes of what the browser comes back with; `None` for what is left out.
        kept: whether the ID token has the e-mail address; else only userinfo has.
    """

    __test__ = False  # a name for pytest to leave alone

    issuer: str
    person: Claims = field(default_factory=dict)
    lie: Callable[[Claims], Claims] = lambda claims: claims
    signed: Callable[[Claims], str] = sign
    answers: dict[str, Callable[[], Response]] = field(default_factory=dict)
    metadata: Claims = field(default_factory=dict)
    token: Claims = field(default_factory=dict)
    back: dict[str, str | None] = field(default_factory=dict)
    kept: bool = True
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def environ(self) -> dict[str, str]:
        """Give the settings of a Hamgate that signs in here."""
        return {
            "HAMGATE_OIDC_ISSUER": self.issuer,
            "HAMGATE_OIDC_CLIENT_ID": CLIENT_ID,
            "HAMGATE_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "HAMGATE_OIDC_NAME": "Parish ID",
        }

    def visit(self, address: str) -> str:
        """Go where a browser is sent, and give where it is sent back to."""
        answer = httpx2.get(address, verify=False)  # plain HTTP: no authorities to be read
        assert answer.status_code == 302, answer.text
        return answer.headers["Location"]


def make_provider_app(provider: TestProvider) -> flask.Flask:
    app = flask.Flask("provider")

    @app.before_request
    def misbehave() -> Response | None:
        provider.asked.append(flask.request.path)
        answer = provider.answers.get(flask.request.path)
        return answer() if answer else None

    @app.get("/.well-known/openid-configuration")
    def discovery() -> Claims:
        return {
            "issuer": provider.issuer,
            "authorization_endpoint": f"{provider.issuer}/authorize?realm=parish",
            "token_endpoint": f"{provider.issuer}/token",
            "userinfo_endpoint": f"{provider.issuer}/userinfo",
            "jwks_uri": f"{provider.issuer}/keys",
            "authorization_response_iss_parameter_supported": True,
            **provider.metadata,
        }

    @app.get("/keys")
    def keys() -> Claims:
        unknown = {"kty": "AKP", "kid": "of-tomorrow"}
        return {"keys": [unknown, KEY.as_dict(private=False)]}

    @app.get("/authorize")
    def authorize() -> Response:
        asked = flask.request.args
        assert asked["realm"] == "parish"
        assert (asked["client_id"], asked["response_type"]) == (CLIENT_ID, "code")
        assert {"openid", "email"} <= set(asked["scope"].split())
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        provider.codes[code] = asked.to_dict()
        back = {"code": code, "state": asked["state"], "iss": provider.issuer, **provider.back}
        told = {name: value for name, value in back.items() if value is not None}
        return Response("", 302, {"Location": f"{asked['redirect_uri']}?{urlencode(told)}"})

    @app.post("/token")
    def token() -> tuple[Claims, int]:
        form, given = flask.request.form, flask.request.authorization
        in_header = (given.username, given.password) if given else (None, None)
        in_body = (form.get("client_id"), form.get("client_secret"))
        posts = "token_endpoint_auth_methods_supported" in provider.metadata
        assert (in_body if posts else in_header) == (CLIENT_ID, CLIENT_SECRET)
        asked = provider.codes.pop(form["code"], None)
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if (
            asked is None
            or asked["redirect_uri"] != form["redirect_uri"]
            or asked["code_challenge"] != proof.decode().rstrip("=")
        ):
            return {"error": "invalid_grant"}, 400
        now = int(time.time())
        claims = {
            "iss": provider.issuer,
            "aud": CLIENT_ID,
            "nonce": asked["nonce"],
            "iat": now,
            "exp": now + 300,
            **(provider.person if provider.kept else {"sub": provider.person["sub"]}),
        }
        id_token = provider.signed(provider.lie(claims))
        return {
            "access_token": "an-access-token",
            "token_type": "Bearer",
            "id_token": id_token,
            **provider.token,
        }, 200

    @app.get("/userinfo")
    def userinfo() -> Claims:
        assert flask.request.headers["Authorization"] == "Bearer an-access-token"
        return provider.person

    return app


@contextlib.contextmanager
def running_provider() -> Iterator[TestProvider]:
    """Run a provider on a port of its own.

    It speaks plain HTTP. Meanwhile who looks for the system's authorities finds none: to read them
    takes 70 ms, and each application that knows a provider does.
    """
    provider = TestProvider("")
    server = make_server("127.0.0.1", 0, make_provider_app(provider), threaded=True)
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", os.devnull)
        yield provider
    server.shutdown()
    server.server_close()


def query_of(address: str) -> dict[str, str]:
    """Give the parameters of an address."""
    return dict(parse_qsl(urlsplit(address).query))
