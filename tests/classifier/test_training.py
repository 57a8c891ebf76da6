from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from classifier import Content, Example, Label, Model, TrainingDataError, train
from classifier.__main__ import main
from classifier.examples import distinct, read_contents, read_examples
from classifier.features import N_GRAMS
from classifier.model import HAM_SHARES
from classifier.pipeline import LOCAL, RAISING, regress
from tests.classifier.conftest import small_set


def test_a_trained_model_separates_what_it_was_taught(small_model: Model) -> None:
    spam, ham = small_model.log_odds(
        [Content("cheap viagra http://best-viagra.example"), Content("I liked the ending")]
    )
    assert spam > 0 > ham


def test_training_twice_gives_the_same_model(small_model: Model) -> None:
    assert train(small_set(), folds=3).version.split("-")[1] == small_model.version.split("-")[1]


def test_a_fit_keeps_to_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []
    fit = LogisticRegression.fit

    def watched(*arguments: Any, **options: Any) -> LogisticRegression:
        seen.append({library["num_threads"] for library in threadpool_info()})
        return fit(*arguments, **options)

    monkeypatch.setattr(LogisticRegression, "fit", watched)
    with threadpool_limits(2):
        regress(csr_matrix(np.eye(4)), np.array([True, False, True, False]), np.ones(4), 1.0)

    assert seen == [{1}]


def test_raising_features_get_no_negative_weight(small_model: Model) -> None:
    assert (small_model.parameters.facts[RAISING - N_GRAMS] >= 0).all()


def test_what_is_for_sites_alone_has_no_weight(small_model: Model) -> None:
    assert (small_model.parameters.facts[LOCAL - N_GRAMS] == 0).all()


@pytest.mark.parametrize("label", list(Label))
def test_one_label_alone_is_refused(label: Label) -> None:
    examples = [Example(Content(f"text {place}"), label) for place in range(20)]
    with pytest.raises(TrainingDataError, match="both ham and spam"):
        train(examples)


def test_no_examples_are_refused() -> None:
    with pytest.raises(TrainingDataError, match="nothing"):
        train([])


def test_one_group_is_refused() -> None:
    examples = [
        Example(Content(f"text {place}"), Label.SPAM if place % 2 else Label.HAM, group="page")
        for place in range(20)
    ]
    with pytest.raises(TrainingDataError, match="groups"):
        train(examples)


def test_csv_and_jsonl_are_read(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text('text,label,author,group\n"hello, you",ham,Ann,1\nbuy,1,,2\n')
    lines = tmp_path / "b.jsonl"
    lines.write_text('{"body": "hello", "label": 0, "author_url": null}\n\n')
    first, second = read_examples(table)
    assert (first.content.body, first.content.author_name, first.group) == (
        "hello, you",
        "Ann",
        "a/1",
    )
    assert second.is_spam
    assert [example.content.body for example in read_examples(lines)] == ["hello"]
    assert [content.body for content in read_contents(table)] == ["hello, you", "buy"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "text,label\nhello,maybe\n", "label must be"),
        ("a.csv", "words,label\nhello,1\n", "'body' or 'text'"),
        ("a.jsonl", "{\n", "not JSON"),
        ("a.jsonl", "[1]\n", "object"),
    ],
)
def test_a_bad_file_says_what_and_where(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(TrainingDataError, match=message):
        list(read_examples(file))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="cannot be read"):
        list(read_examples(tmp_path / "none.csv"))


def test_distinct_keeps_the_first() -> None:
    same = Example(Content("a"), Label.HAM)
    assert distinct([same, same, Example(Content("a"), Label.SPAM)])[0] is same


def test_the_command_line_trains_scores_and_explains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "rows.csv"
    rows = [
        f'"{example.content.body.replace(chr(34), "")}",{example.label}' for example in small_set()
    ]
    table.write_text("body,label\n" + "\n".join(row.replace("\n", " ") for row in rows) + "\n")
    out = str(tmp_path / "model")
    assert main(["train", str(table), "--out", out]) == 0
    assert main(["score", "cheap pills http://x.example", "--model", out]) == 0
    assert main(["explain", "cheap pills http://x.example", "--model", out]) == 0
    said = capsys.readouterr().out
    assert '"score"' in said
    assert "log-odds" in said


def test_the_command_line_reports_a_missing_model(tmp_path: Path) -> None:
    assert main(["score", "hello", "--model", str(tmp_path)]) == 1


def test_linear_scores_are_finite(small_model: Model) -> None:
    assert np.isfinite(small_model.log_odds([Content(""), Content("x")])).all()


def test_the_tail_rises_and_what_cannot_be_measured_is_cautious(small_model: Model) -> None:
    tail = small_model.parameters.tail
    assert len(tail) == len(HAM_SHARES)
    assert list(tail) == sorted(tail)
    ham = sum(not example.is_spam for example in distinct(small_set()))
    for share, odds in zip(HAM_SHARES, tail, strict=True):
        if share * ham < 1.0:
            assert odds >= np.log(1.0 / share - 1.0) - 1e-3
