"""Settings: flags over environment over file over defaults, secrets hidden, mistakes named in a sentence."""

from pathlib import Path

import pytest

from jobs.errors import UsageError
from jobs.settings import Settings, load_settings, origins


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"IMAGEMILL_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_said_it_is_embedded_in_the_current_folder(folder: Path) -> None:
    settings = load_settings()
    assert settings.ledger_url == f"sqlite:///{folder}/imagemill-data/ledger.db"
    assert settings.spool_dir == folder / "imagemill-data" / "spool"
    assert settings.images_url == f"{folder}/imagemill-data/images"
    assert (settings.broker_url, settings.in_flight) == (None, 32)


def test_metrics_are_served_to_this_machine_alone_and_only_where_a_port_is_named() -> None:
    settings = load_settings()
    assert (settings.metrics_port, settings.metrics_host) == (None, "127.0.0.1")
    assert load_settings(metrics_port=0).metrics_port == 0
    with pytest.raises(UsageError, match="IMAGEMILL_METRICS_PORT"):
        load_settings(metrics_port=65536)


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "imagemill.toml").write_text('in_flight = 1\nshare = 1\nlog_level = "debug"\n')
    monkeypatch.setenv("IMAGEMILL_IN_FLIGHT", "2")
    monkeypatch.setenv("IMAGEMILL_SHARE", "2")
    settings = load_settings(in_flight=3, read_timeout_s=None)
    assert (settings.in_flight, settings.share, settings.log_level) == (3, 2, "debug")
    assert settings.read_timeout_s == 600
    found = origins(in_flight=3, read_timeout_s=None)
    assert found["in_flight"] == "flag"
    assert found["share"] == "environment IMAGEMILL_SHARE"
    assert found["log_level"] == "imagemill.toml"
    assert found["read_timeout_s"] == "default"
    assert found.keys() == Settings.model_fields.keys()


def test_secrets_show_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    canary = "canary-4711"
    monkeypatch.setenv("IMAGEMILL_API_KEY", canary)
    monkeypatch.setenv("IMAGEMILL_DATABASE_URL", f"postgresql://user:{canary}@127.0.0.1/x")
    monkeypatch.setenv("IMAGEMILL_BROKER_URL", f"redis://:{canary}@127.0.0.1/0")
    settings = load_settings()
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert canary not in text
    assert settings.ledger_url == f"postgresql://user:{canary}@127.0.0.1/x"


def test_hosts_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEMILL_ALLOW_PRIVATE_HOSTS", "images.local, 127.0.0.1:8080,")
    assert load_settings().allow_private_hosts == ("images.local", "127.0.0.1:8080")
    assert load_settings(allow_private_hosts=("a", "b")).allow_private_hosts == ("a", "b")


def test_hosts_may_be_a_list_in_the_file(folder: Path) -> None:
    (folder / "imagemill.toml").write_text('allow_private_hosts = ["images.local"]\n')
    assert load_settings().allow_private_hosts == ("images.local",)


def test_the_endpoint_url_loses_its_last_slash() -> None:
    assert load_settings(endpoint_url="http://127.0.0.1:8000/v1/").endpoint_url == "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"in_flight": 0}, r"in_flight \(IMAGEMILL_IN_FLIGHT\) 0: .*greater than or equal to 1"),
        ({"in_flight": "many"}, r"in_flight .*'many'.*integer"),
        ({"endpoint_url": "api.openai.com/v1"}, r"endpoint_url .*must be an http\(s\) URL"),
        ({"endpoint_url": "https://user:pw@host/v1"}, r"endpoint_url .*no user or password.*IMAGEMILL_API_KEY"),
        ({"log_level": "loud"}, r"log_level .*'loud'"),
        ({"in_fligth": 3}, r"in_fligth is not a setting; known are: .*in_flight"),
    ],
)
def test_a_wrong_setting_is_named_with_its_variable_and_what_is_wrong(
    flags: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load_settings(**flags)


def test_a_wrong_secret_is_not_repeated_in_the_message() -> None:
    with pytest.raises(UsageError) as told:
        load_settings(endpoint_url="https://user:canary-4711@host/v1", api_key=["canary-4711"])
    assert "canary-4711" not in str(told.value)
    assert "api_key" in str(told.value)


def test_several_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageError) as told:
        load_settings(in_flight=0, share=0)
    assert len(str(told.value).splitlines()) == 2


def test_an_unknown_setting_in_the_file_is_a_mistake(folder: Path) -> None:
    (folder / "imagemill.toml").write_text("inflight = 3\n")
    with pytest.raises(UsageError, match="inflight is not a setting"):
        load_settings()


def test_a_file_that_is_no_toml_is_a_mistake_with_its_name(folder: Path) -> None:
    (folder / "imagemill.toml").write_text("in_flight: 3\n")
    with pytest.raises(UsageError, match=r"imagemill\.toml"):
        load_settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().in_flight = 3


@pytest.mark.parametrize(
    ("said", "statuses"), [("off", set()), ("on", {200, 408, 409, *range(500, 600)}), ("400,500", {400, 500})]
)
def test_errors_that_may_be_billed_are_said_by_a_word_or_by_their_statuses(said: str, statuses: set[int]) -> None:
    assert load_settings(billed_errors=said).billed_statuses == statuses


@pytest.mark.parametrize("said", ["", "yes", "600", "500;501", "500,"])
def test_other_words_for_errors_that_may_be_billed_are_refused(said: str) -> None:
    with pytest.raises(UsageError, match="IMAGEMILL_BILLED_ERRORS"):
        load_settings(billed_errors=said)
