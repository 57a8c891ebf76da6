"""`python -m tests.guided`, behind `make fuzz`: atheris on what reads strangers' bytes.

Each target is a test of properties that `make test` runs on some hundred examples. Here libFuzzer
chooses the bytes from which Hypothesis makes them, by which lines of ours the ones before came to.
It needs an environment that has atheris besides what the tests need. What failed is kept in
`build/fuzz`, and Hypothesis tries it again with the next run of the test.
"""

import importlib
import subprocess
import sys
from pathlib import Path

# target → module and test
TARGETS = {
    "json": (
        "security.test_any_input",
        "test_a_body_is_refused_or_read_as_another_parser_reads_it",
    ),
    "email": ("security.test_any_input", "test_an_address_is_refused_or_one_mailbox_in_one_form"),
    "markdown": (
        "service.pure.test_markdown",
        "test_whatever_is_written_only_allowed_markup_comes_out",
    ),
    "address": (
        "service.pure.test_destinations",
        "test_pieces_of_addresses_are_refused_or_read_alike",
    ),
    "url": (
        "service.pure.test_destinations",
        "test_whatever_is_written_is_refused_or_read_alike_by_other_parsers",
    ),
    "fold": ("classifier.test_normalise", "test_fold_takes_any_text"),
}
SECONDS_EACH = 30
_FOUND = Path("build/fuzz")
# What is worth a look at where a text got to: our code, and what it leaves to others in Python.
_WATCHED = ["service", "classifier", "markdown_it", "linkify_it", "email_validator", "idna"]


def main() -> int:
    """Fuzz each target in a process of its own; give 1 if one of them found something."""
    _FOUND.mkdir(parents=True, exist_ok=True)
    failed = []
    for target in TARGETS:
        print(f"{target}: {SECONDS_EACH} s", flush=True)
        ended = subprocess.run(
            [sys.executable, "-m", "tests.guided", target, f"-max_total_time={SECONDS_EACH}",
             f"-artifact_prefix={_FOUND}/{target}-", "-max_len=2000", "-len_control=0",
             "-print_final_stats=1", "-verbosity=0"],
            check=False,
        )  # fmt: skip
        if ended.returncode:
            failed.append(target)
    print(f"found something: {', '.join(failed)}" if failed else "found nothing")
    return 1 if failed else 0


def fuzz(target: str, options: list[str]) -> None:
    """Fuzz one target until libFuzzer's options end it, or it fails."""
    import atheris  # it is in the environment of `make fuzz` alone

    module, name = TARGETS[target]
    with atheris.instrument_imports(include=_WATCHED):
        test = getattr(importlib.import_module(f"tests.{module}"), name)
    atheris.Setup([target, *options], test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        fuzz(sys.argv[1], sys.argv[2:])
    else:
        sys.exit(main())
