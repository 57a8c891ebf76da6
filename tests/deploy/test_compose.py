"""The Compose file: as the schema has it, and as closed as it says it is."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.base import config
from tests.deploy.files import DEPLOY, VARIABLES, load_yaml, run

FOLDER = DEPLOY / "compose"
FILE = load_yaml(FOLDER / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = ("web", "worker", "migrate")

every_service = pytest.mark.parametrize("name", SERVICES)


def test_it_is_as_the_specification_says() -> None:
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml")


@every_service
def test_a_service_can_write_only_where_it_must_and_become_nobody_else(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service


@every_service
def test_a_service_has_bounds_and_its_log_too(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]

    assert set(limits) == {"cpus", "memory", "pids"}
    assert SERVICES[name]["logging"]["options"]["max-size"]


def test_only_the_proxy_can_be_reached_from_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["proxy"]
    inside = {name for name, network in FILE["networks"].items() if (network or {}).get("internal")}
    for name in ("web", "migrate", "postgres", "valkey"):
        assert set(SERVICES[name]["networks"]) <= inside, name
    assert set(SERVICES["worker"]["networks"]) - inside == {"out"}


def test_whom_the_web_server_believes_is_the_network_of_the_proxy() -> None:
    (front,) = FILE["networks"]["front"]["ipam"]["config"]
    sharing = {name for name, service in SERVICES.items() if "front" in service["networks"]}

    assert SERVICES["web"]["environment"]["TRUSTED_PROXIES"] == front["subnet"]
    assert sharing == {"proxy", "web"}


@every_service
def test_what_a_service_names_is_there(name: str) -> None:
    service = SERVICES[name]

    assert set(service["networks"]) <= set(FILE["networks"])
    assert set(service.get("secrets", [])) <= set(FILE["secrets"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert source in FILE["volumes"] or (FOLDER / source).is_file(), source


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_one_image_with_settings_that_exist(name: str) -> None:
    environment = SERVICES[name]["environment"]
    files = {value for key, value in environment.items() if key.endswith("_FILE")}

    assert SERVICES[name]["image"] == SERVICES["web"]["image"]
    assert set(environment) <= VARIABLES
    assert files == {f"/run/secrets/{secret}" for secret in SERVICES[name]["secrets"]}


def test_nobody_starts_before_what_it_cannot_do_without() -> None:
    for name in ("web", "worker"):
        needs = {key: value["condition"] for key, value in SERVICES[name]["depends_on"].items()}
        assert needs["postgres"] == "service_healthy"
        assert needs["migrate"] == "service_completed_successfully"
    for name in ("proxy", "worker", "postgres", "valkey"):
        assert "test" in SERVICES[name]["healthcheck"]


def test_no_secret_stands_in_the_file_or_is_kept_by_git() -> None:
    assert all(list(secret) == ["file"] for secret in FILE["secrets"].values())
    assert (FOLDER / ".gitignore").read_text().split() == ["secrets/"]
    for service in SERVICES.values():
        assert not {"DATABASE_URL", "REDIS_URL", "HAMGATE_SECRET"} & set(
            service.get("environment", {})
        )


def test_the_commands_of_the_readme_make_the_secrets_it_wants(tmp_path: Path) -> None:
    """Run as they stand there, but for the owners, whom only root can give them to."""
    commands = (DEPLOY / "README.md").read_text().split("```sh secrets\n")[1].split("```")[0]
    kept = [line for line in commands.splitlines() if not line.startswith("sudo ")]
    (tmp_path / "deploy" / "compose").mkdir(parents=True)
    (tmp_path / "deploy" / "compose" / "users.acl").write_bytes((FOLDER / "users.acl").read_bytes())

    subprocess.run(["bash", "-euc", "\n".join(kept)], cwd=tmp_path, check=True)

    made = tmp_path / "deploy" / "compose" / "secrets"
    assert {path.name for path in made.iterdir()} == set(FILE["secrets"])
    settings = config.from_environ(
        {
            "DATABASE_URL_FILE": str(made / "database_url"),
            "REDIS_URL_FILE": str(made / "redis_url"),
            "HAMGATE_SECRET_FILE": str(made / "hamgate_secret"),
        }
    )
    password = (made / "postgres_password").read_text().strip()
    assert settings.database_url == f"postgresql://hamgate:{password}@postgres/hamgate"
    users = (made / "valkey_users").read_text()
    assert f">{settings.redis_url.split(':')[2].split('@')[0]} " in users
    assert "PASSWORD" not in users
    assert all(path.stat().st_mode & 0o077 == 0 for path in [made, *made.iterdir()])
