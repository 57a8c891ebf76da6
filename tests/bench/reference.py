"""The fixed reference that other figures are stated against: the least a Flask route can do.

It takes the same requests as Hamgate, parses their JSON, and answers as small a document with
the same status. Nothing is checked, limited or stored. gunicorn serves it with threads: 2
processes of 8, without an access log.
"""

import flask

app = flask.Flask(__name__)


@app.get("/api/v1/sites/<site>/thread")
def show(site: str) -> flask.Response:
    """Answer with as little as a 304 has."""
    return flask.jsonify(site=site)


@app.post("/api/v1/sites/<site>/comments")
def create(site: str) -> tuple[flask.Response, int]:
    """Answer that it was accepted, which it was not."""
    given = flask.request.get_json()
    return flask.jsonify(id=f"cmt_{len(given['body'])}", status="pending", receipt=site), 202
