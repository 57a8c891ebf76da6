"""The command line: `python -m classifier train|evaluate|score|explain`.

Owns arguments, progress and printing; the work is done elsewhere.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from classifier import (
    BUILTIN,
    ClassifierError,
    Content,
    TrainingDataError,
    load,
    save,
    train,
)
from classifier.examples import read_contents, read_examples

_OUT = Console(highlight=False, markup=False)
_NOTES = Console(stderr=True, highlight=False, markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after the program's name; those of the process if not given.

    Returns:
        The exit status: 0, or 1 for bad data or a bad model.
    """
    chosen = _parser().parse_args(arguments)
    try:
        _COMMANDS[chosen.command](chosen)
    except ClassifierError as error:
        _NOTES.print(f"error: {error}", style="red")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m classifier", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train_ = commands.add_parser("train", help="train a model on CSV or JSONL files")
    train_.add_argument("files", nargs="*", type=Path, help="labelled .csv or .jsonl files")
    train_.add_argument(
        "--data", type=Path, help="directory of the public corpora of the built-in model"
    )
    train_.add_argument("--out", type=Path, required=True, help="model directory to write")
    train_.add_argument("--seed", type=int, default=0)
    evaluate = commands.add_parser("evaluate", help="print how good models trained here are")
    evaluate.add_argument("--data", type=Path, required=True, help="directory of the corpora")
    evaluate.add_argument("--protocol", action="append", help="general, youtube or language")
    evaluate.add_argument("--out", type=Path, help="directory for the report and its plots")
    evaluate.add_argument("--seed", type=int, default=0)
    score = commands.add_parser("score", help="print P(spam) of texts or of the rows of a file")
    explain = commands.add_parser("explain", help="print P(spam) and the clues of texts")
    for command in (score, explain):
        command.add_argument("texts", nargs="*", help="comments; - reads one from standard input")
        command.add_argument("--file", type=Path, help=".csv or .jsonl file with a body column")
        command.add_argument("--model", type=Path, default=BUILTIN)
        command.add_argument("--author-name", default="")
        command.add_argument("--author-url", default="")
        command.add_argument("--email", default="")
        command.add_argument("--page-title", default="")
    return parser


def _contents(chosen: argparse.Namespace) -> list[Content]:
    given = [
        Content(
            body=sys.stdin.read() if text == "-" else text,
            author_name=chosen.author_name,
            author_url=chosen.author_url,
            email=chosen.email,
            page_title=chosen.page_title,
        )
        for text in chosen.texts
    ]
    return given + (list(read_contents(chosen.file)) if chosen.file else [])


def _score(chosen: argparse.Namespace) -> None:
    contents = _contents(chosen)
    for content, verdict in zip(contents, load(chosen.model).score(contents), strict=True):
        _OUT.print(
            json.dumps(
                {"score": round(verdict.score, 6), "body": content.body[:200]}, ensure_ascii=True
            ),
            soft_wrap=True,
        )


def _explain(chosen: argparse.Namespace) -> None:
    contents = _contents(chosen)
    for content, verdict in zip(contents, load(chosen.model).score(contents), strict=True):
        shown = content.body[:70].encode("utf-8", "replace").decode()
        table = Table(title=f"{verdict.score:.4f}  {shown}", title_justify="left")
        for heading in ("log-odds", "kind", "clue"):
            table.add_column(heading)
        for clue in verdict.clues:
            table.add_row(f"{clue.weight:+.2f}", clue.kind, clue.label)
        _OUT.print(table)


def _evaluate(chosen: argparse.Namespace) -> None:
    from classifier.protocols import PROTOCOLS, evaluate

    names = tuple(chosen.protocol or PROTOCOLS)
    unknown = [name for name in names if name not in PROTOCOLS]
    if unknown:
        raise TrainingDataError(f"no protocol {unknown[0]!r}; there are: {', '.join(PROTOCOLS)}")
    with _progress() as progress:
        task = progress.add_task("", total=None)
        report = evaluate(
            chosen.data, names, lambda step: progress.update(task, description=step), chosen.seed
        )
    _OUT.print(report.markdown(), soft_wrap=True)
    if chosen.out:
        report.write(chosen.out)


def _train(chosen: argparse.Namespace) -> None:
    from classifier.corpora import mixture

    examples = list(mixture(chosen.data, chosen.seed)) if chosen.data else []
    for file in chosen.files:
        examples += read_examples(file)
    sources: dict[str, dict[str, int]] = {}
    for example in examples:
        counts = sources.setdefault(example.source, {"ham": 0, "spam": 0})
        counts[example.label.value] += 1
    with _progress() as progress:
        task = progress.add_task("", total=_STEPS)

        def step(name: str) -> None:
            progress.update(task, advance=1, description=name)

        model = train(examples, seed=chosen.seed, progress=step)
    save(model, chosen.out, sources=sources)
    _NOTES.print(f"model {model.version} of {len(examples)} examples written to {chosen.out}")


def _progress() -> Progress:
    return Progress(
        *(SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn()),
        console=_NOTES,
    )


_STEPS: Final = 7
_COMMANDS: Final = {
    "train": _train,
    "evaluate": _evaluate,
    "score": _score,
    "explain": _explain,
}


if __name__ == "__main__":
    sys.exit(main())
