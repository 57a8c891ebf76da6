"""The widget's files: small, up to date, complete in each language, and kept by caches for long."""

import gzip
import hashlib
import json
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from service import embed
from service.embed.assets import Bundle
from service.pure.policy import CLASSIFIER_ERROR, RULES
from tests.cast import make_site
from tests.conftest import Door

FOLDER = Path(embed.__file__).parent
LANGUAGES = sorted(path.stem for path in (FOLDER / "messages").glob("*.json"))
BUNDLE = Bundle.read(resources.files(embed))
GZIP = {"Accept-Encoding": "br, gzip"}


def messages(language: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "messages" / f"{language}.json").read_text())
    return found


def places(message: Any) -> set[str]:
    return set(re.findall(r"{\w+}", message["other"] if isinstance(message, dict) else message))


def test_what_is_built_is_of_these_sources() -> None:
    digest = hashlib.sha256()
    for path in sorted((FOLDER / "source").iterdir()):
        digest.update(path.read_bytes())

    assert (FOLDER / "built" / "SOURCE_SHA256").read_text().strip() == digest.hexdigest(), (
        "run `npm ci && npm run build` in service/embed"
    )


@pytest.mark.skipif(
    not (FOLDER / "node_modules").exists(), reason="needs `npm ci` in service/embed"
)
def test_building_again_gives_the_same(tmp_path: Path) -> None:
    copy = tmp_path / "embed"
    shutil.copytree(FOLDER, copy, symlinks=True)

    subprocess.run(["npm", "run", "build"], cwd=copy, check=True, timeout=60)

    for path in (FOLDER / "built").iterdir():
        assert (copy / "built" / path.name).read_bytes() == path.read_bytes()


def test_thread_and_form_take_at_most_10_kb_with_script_and_style(door: Door) -> None:
    parts = ["/embed.js", f"/embed/{BUNDLE.version}/app.js"]

    sizes = [len(door.client.get(part, headers=GZIP).data) for part in parts]

    assert sum(sizes) <= 10_000


def test_counts_take_at_most_1_kb(door: Door) -> None:
    assert len(door.client.get("/count.js", headers=GZIP).data) <= 1_000


def test_what_solves_challenges_takes_at_most_1_kb_and_is_no_part_of_the_rest(door: Door) -> None:
    solver = door.client.get(f"/embed/{BUNDLE.version}/proof.js", headers=GZIP).data

    assert len(solver) <= 1_000
    assert b'"proof.js"' in BUNDLE.assets["app.js"].content  # asked for by name, when needed


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_says_everything_with_the_same_places(language: str) -> None:
    english, other = messages("en"), messages(language)

    assert list(other) == list(english)
    assert other["language"] == language
    assert {key: places(words) for key, words in other.items()} == {
        key: places(words) for key, words in english.items()
    }


def test_there_are_ten_languages_one_from_right_to_left_and_one_without_spaces() -> None:
    assert len(LANGUAGES) >= 10
    assert [name for name in LANGUAGES if messages(name)["direction"] == "rtl"] == ["ar"]
    assert " " not in messages("zh")["write"]


def test_the_scripts_say_no_message_that_is_not_there_and_none_is_left_over() -> None:
    known = messages("en").keys() - {"language", "direction"}
    scripts = "".join(path.read_text() for path in (FOLDER / "source").glob("*.js"))
    said = set(re.findall(r"say\(\s*\"([\w-]+)\"", scripts))
    prefixes = tuple(re.findall(r"`([a-z]+-)\$", scripts))

    assert said <= known
    assert [
        key for key in known if f'"{key}"' not in scripts and not key.startswith(prefixes)
    ] == []


def test_every_rule_that_keeps_a_comment_from_readers_has_words_for_its_author() -> None:
    rules = {rule.__name__ for rule in RULES} | {CLASSIFIER_ERROR.rule}

    assert rules - {"known_author", "otherwise"} == {
        key.removeprefix("rule-") for key in messages("en") if key.startswith("rule-")
    }


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("PT-br", "pt"),
        ("zh-Hant-TW", "zh"),
        ("xx", "en"),
        ("-", "en"),
    ],
)
def test_the_nearest_language_is_given(door: Door, wanted: str, given: str) -> None:
    answer = door.client.get(f"/embed/{BUNDLE.version}/messages/{wanted}.json")

    assert answer.json is not None
    assert answer.json["language"] == given


def test_under_its_version_a_file_is_kept_for_ever_else_for_minutes(door: Door) -> None:
    now = door.client.get(f"/embed/{BUNDLE.version}/app.js")
    later = door.client.get("/embed/000000000000/app.js")
    entry = door.client.get("/embed.js")

    assert "immutable" in now.headers["Cache-Control"]
    assert later.data == now.data  # a page that was open during an upgrade
    for answer in (later, entry):
        assert answer.headers["Cache-Control"] == "public, max-age=300"


def test_the_entry_names_the_version(door: Door) -> None:
    script = door.client.get("/embed.js").text

    assert BUNDLE.version in script
    assert "__VERSION__" not in script


@pytest.mark.parametrize("path", ["/embed.js", "/count.js", "/embed/1/app.js"])
def test_a_script_is_compressed_where_that_is_understood_and_not_sent_twice(
    door: Door, path: str
) -> None:
    plain = door.client.get(path)
    packed = door.client.get(path, headers=GZIP)
    tag = packed.headers["ETag"]
    again = door.client.get(path, headers={**GZIP, "If-None-Match": tag})

    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert plain.headers["ETag"] != tag
    assert (again.status_code, again.data) == (304, b"")
    for answer in (plain, packed, again):
        assert "Accept-Encoding" in answer.headers["Vary"]


def test_every_page_may_import_the_scripts(door: Door) -> None:
    answer = door.client.get("/embed/1/app.js", headers={"Origin": "https://anywhere.example"})

    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.mimetype == "text/javascript"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["none.js", "package.json", "build.mjs", "..%2Fassets.py"])
def test_nothing_else_of_the_package_is_served(door: Door, name: str) -> None:
    assert door.client.get(f"/embed/1/{name}").status_code == 404


def test_the_demo_is_there_with_its_site_and_allows_nothing_inline(door: Door) -> None:
    before = door.client.get("/demo")
    make_site(door.database, "demo", origins=[])
    after = door.client.get("/demo")

    assert (before.status_code, after.status_code) == (404, 200)
    policy = after.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(
        r"<script(?![^>]*src=)|<style|\sstyle=|\son(click|load|error)=", after.text
    )
