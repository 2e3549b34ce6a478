"""docker-compose.yml and Dockerfile keep their promises, as far as that shows without Docker."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types
import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from jobs.settings import PREFIX, Settings

CHECKOUT = Path(__file__).parents[2]
SCHEMA = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text(encoding="utf-8"))
SECRETS = {"IMAGEMILL_API_KEY", "POSTGRES_PASSWORD", "PGPASSWORD"}


@pytest.fixture
def text() -> str:
    return (CHECKOUT / "docker-compose.yml").read_text(encoding="utf-8")


@pytest.fixture
def compose(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def schema_errors(document: object) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def long_running(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: service for name, service in compose["services"].items() if service.get("restart") != "no"}


def test_the_file_follows_the_compose_specification(compose: dict[str, Any]) -> None:
    assert schema_errors(compose) == []


def test_a_misspelt_key_would_be_noticed(compose: dict[str, Any]) -> None:
    compose["services"]["worker"]["stop_grace_perriod"] = "600s"
    assert "stop_grace_perriod" in "".join(schema_errors(compose))


def test_the_services_are_the_ones_the_design_names(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", "redis", "migrate", "worker", "api", "simulator"}


def test_every_long_running_service_has_a_health_check(compose: dict[str, Any]) -> None:
    without = [name for name, service in long_running(compose).items() if not service.get("healthcheck")]
    assert without == []


def test_the_worker_waits_for_the_schema_and_the_broker(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["worker"]["depends_on"] == {
        "migrate": {"condition": "service_completed_successfully"},
        "redis": {"condition": "service_healthy"},
    }
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["migrate"]["restart"] == "no"


def test_the_worker_may_be_scaled_and_is_given_time_to_finish(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert worker["stop_grace_period"] == "600s"
    assert not {"container_name", "ports", "hostname"} & set(worker)


def test_spool_and_images_outlive_the_container(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    volume, mount = worker["volumes"][0].split(":")
    assert volume in compose["volumes"]
    assert worker["environment"]["IMAGEMILL_DATA_DIR"] == mount
    assert worker["environment"]["IMAGEMILL_STORAGE_URL"].startswith(f"file://{mount}/")
    assert f"IMAGEMILL_DATA_DIR={mount}" in (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")


def test_redis_keeps_its_messages_and_evicts_none(compose: dict[str, Any]) -> None:
    command = " ".join(compose["services"]["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_no_server_is_reachable_from_outside(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert published == {"api": ["127.0.0.1:8080:8080"]}


def test_the_api_asks_everybody_for_a_token_and_works_on_the_workers_ledger_and_store(
    compose: dict[str, Any],
) -> None:
    api, worker = compose["services"]["api"], compose["services"]["worker"]
    assert "--public" in api["command"]
    assert api["profiles"] == ["api"], "it would not start before there is a token"
    assert api["volumes"] == worker["volumes"]
    assert api["depends_on"] == worker["depends_on"]
    assert api["environment"].items() <= worker["environment"].items()
    assert "IMAGEMILL_API_KEY" not in api["environment"]


def test_metrics_are_served_inside_the_network_alone(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]
    assert worker["expose"] == [worker["environment"]["IMAGEMILL_METRICS_PORT"]]
    assert "ports" not in worker


def test_every_secret_must_be_given_and_has_no_default(compose: dict[str, Any]) -> None:
    given = [
        (name, value)
        for service in compose["services"].values()
        for name, value in service.get("environment", {}).items()
        if name in SECRETS
    ]
    assert {name for name, _ in given} == SECRETS
    assert [name for name, value in given if not re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value)] == []


def test_every_image_names_its_version(compose: dict[str, Any]) -> None:
    versions = {service["image"].partition(":")[2] for service in compose["services"].values()}
    assert not versions & {"", "latest"}


def test_every_variable_is_a_setting(text: str) -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(rf"\b{PREFIX}[A-Z_]+", text)) <= known


def test_the_image_is_built_of_the_packages_in_the_wheel() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    needed = packages | {"pyproject.toml", "requirements.lock", project["project"]["readme"]}
    lines = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    }
    allowed = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"}
    assert copied == needed
    assert allowed == needed


def test_the_image_runs_as_an_ordinary_user() -> None:
    lines = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    last_stage = lines[max(number for number, line in enumerate(lines) if line.startswith("FROM ")) :]
    users = [line.split()[1] for line in last_stage if line.startswith("USER ")]
    assert users and users[-1] not in {"root", "0"}
