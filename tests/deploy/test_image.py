"""The Dockerfile: linted, and held to what it says of itself.

There is no engine here to build it; that the steps work is shown by whoever builds it.
"""

import re

from tests.deploy.files import DEPLOY, ROOT, run

TEXT = (DEPLOY / "Dockerfile").read_text()
# Instructions, each on one line and without comments.
LINES = [
    line
    for line in re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", TEXT, flags=re.M)).splitlines()
    if line
]
LAST_STAGE = LINES[[n for n, line in enumerate(LINES) if line.startswith("FROM")][-1] :]


def test_the_linter_has_nothing_to_say() -> None:
    assert run("hadolint", "--failure-threshold", "style", DEPLOY / "Dockerfile") == ""


def test_everything_is_installed_by_hash_or_from_the_build_itself() -> None:
    installs = re.findall(r"pip [^&]*install[^&]*", "\n".join(LINES))

    assert installs
    assert all("--require-hashes" in one or "--no-index" in one for one in installs)


def test_the_last_stage_is_nobody_with_an_environment_and_no_means_to_build_one() -> None:
    assert LAST_STAGE.count("USER 10001:10001") == 1
    assert LAST_STAGE.index("USER 10001:10001") > max(
        n for n, line in enumerate(LAST_STAGE) if line.startswith(("RUN", "COPY"))
    )
    assert [line for line in LAST_STAGE if line.startswith("COPY")] == [
        "COPY --from=build /opt/hamgate /opt/hamgate"
    ]
    assert "STOPSIGNAL SIGTERM" in LAST_STAGE
    assert any(line.startswith("HEALTHCHECK") for line in LAST_STAGE)


def test_the_context_is_what_the_image_is_built_from_and_nothing_else() -> None:
    """Whatever lies about in a clone, such as .hamgate with its data, stays out."""
    patterns = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in "# "
    ]
    allowed = {line.removeprefix("!") for line in patterns if line.startswith("!")}
    copied = {
        source
        for line in LINES
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    }

    assert patterns[0] == "*"
    assert allowed == copied
    assert all((ROOT / source).exists() for source in copied)
