"""What is installed: exact versions with hashes, none with a hole that is known to be mended.

A table and not a scanner, since a scanner that reaches no database of advisories finds nothing.
It holds what we are certain of, by the first version that is mended; no lock may go below.
"""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent.parent
LOCKS = sorted(ROOT.glob("requirements*.lock"))

# Package, first version without the hole, the hole.
MENDED = [
    ("authlib", "1.6.5", "CVE-2025-61920: headers of tokens were read without bound"),
    ("authlib", "1.6.9", "CVE-2026-27962: a token's own header could bring its key"),
    ("certifi", "2024.7.4", "CVE-2024-39689: authorities that are no longer trusted"),
    ("cryptography", "44.0.1", "CVE-2024-12797: its OpenSSL took unauthenticated raw public keys"),
    ("flask", "3.1.1", "CVE-2025-47278: the wrong key signed when keys were rotated"),
    ("gunicorn", "22.0.0", "CVE-2024-1135: request smuggling by Transfer-Encoding"),
    ("gunicorn", "23.0.0", "CVE-2024-6827: request smuggling by Transfer-Encoding, again"),
    ("h11", "0.16.0", "CVE-2025-43859: bad chunk ends were taken, request smuggling"),
    ("idna", "3.7", "CVE-2024-3651: quadratic time for long names"),
    ("jinja2", "3.1.6", "CVE-2025-27516: a way out of the sandbox by |attr"),
    ("joblib", "1.2.0", "CVE-2022-21797: pre_dispatch was evaluated as code"),
    ("mako", "1.2.2", "CVE-2022-40023: ReDoS in the lexer"),
    ("markdown-it-py", "2.2.0", "CVE-2023-26303: crafted input made the parser fail"),
    ("protobuf", "6.31.1", "CVE-2025-4565: nested groups without end exhausted the stack"),
    ("pygments", "2.15.1", "CVE-2022-40896: ReDoS in a lexer"),
    ("pyyaml", "5.4", "CVE-2020-14343: full_load ran code"),
    ("redis", "4.5.4", "CVE-2023-28859: answers of one async client reached another"),
    ("requests", "2.32.4", "CVE-2024-47081: .netrc went to another host"),
    ("scikit-learn", "1.5.0", "CVE-2024-5206: words of the training set in stop_words_"),
    ("urllib3", "2.5.0", "CVE-2025-50181: redirects could not be turned off for a pool"),
    ("werkzeug", "3.0.3", "CVE-2024-34069: the debugger could be reached from elsewhere"),
    ("werkzeug", "3.0.6", "CVE-2024-49767: forms without files used memory without bound"),
]


def requirements(lock: Path) -> list[tuple[Requirement, list[str]]]:
    """Give what a lock names, each with its hashes."""
    entries = lock.read_text().replace("\\\n", " ").splitlines()
    found = []
    for entry in filter(None, map(str.strip, entries)):
        named, *hashes = re.split(r"\s+--hash=", entry)
        found.append((Requirement(named), [one.strip() for one in hashes]))
    return found


def test_every_lock_is_there() -> None:
    assert [lock.name for lock in LOCKS] == [
        "requirements-build.lock",
        "requirements-dev.lock",
        "requirements-tracing.lock",
        "requirements.lock",
    ]


def test_tracing_adds_to_what_is_installed_and_changes_nothing_of_it() -> None:
    plain, traced = (
        {str(requirement) for requirement, _ in requirements(ROOT / name)}
        for name in ("requirements.lock", "requirements-tracing.lock")
    )

    assert plain < traced


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_everything_is_one_version_with_its_hashes_from_the_index(lock: Path) -> None:
    for requirement, hashes in requirements(lock):
        operators = [specifier.operator for specifier in requirement.specifier]
        assert operators == ["=="], requirement
        assert "*" not in str(requirement.specifier), requirement
        assert requirement.url is None, requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in hashes), requirement


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
@pytest.mark.parametrize(
    ("name", "first", "hole"), MENDED, ids=[hole.partition(":")[0] for _, _, hole in MENDED]
)
def test_no_version_has_a_hole_that_is_mended(lock: Path, name: str, first: str, hole: str) -> None:
    for requirement, _ in requirements(lock):
        if requirement.name == name:
            (pinned,) = requirement.specifier
            assert Version(pinned.version) >= Version(first), hole


def test_every_row_of_the_table_is_about_something_that_is_installed() -> None:
    installed = {requirement.name for lock in LOCKS for requirement, _ in requirements(lock)}

    assert {name for name, _, _ in MENDED} <= installed
