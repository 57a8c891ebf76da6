"""Where deploy/ is, and how its files are read."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from service.base import config

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
# What may stand in an environment of ours.
VARIABLES = set(config.VARIABLES) | {
    f"{variable}_FILE" for variable, name in config.VARIABLES.items() if name in config.SECRETS
}


def load_yaml(path: Path) -> Any:
    """Read one YAML document."""
    return yaml.safe_load(path.read_text())


def tool(name: str) -> str:
    """Give the path of a program that came with the packages of the tests."""
    return str(Path(sys.executable).parent / name)


def run(name: str, *arguments: str | Path) -> str:
    """Run such a program and give what it printed; the test fails if it does."""
    done = subprocess.run([tool(name), *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
