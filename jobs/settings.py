"""Settings: read once into a frozen object, from flags, then environment, then imagemill.toml, then defaults.

Secrets are SecretStr: they show in no repr, log or message. `origins` says where each value came from.
"""

from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from jobs.errors import UsageError

SETTINGS_FILE = "imagemill.toml"
PREFIX = "IMAGEMILL_"


class Settings(BaseSettings):
    """One field per setting; its environment variable is IMAGEMILL_ and the name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", toml_file=SETTINGS_FILE)

    data_dir: Path = Field(Path("imagemill-data"), description="folder for the embedded database, spool and images")
    database_url: SecretStr | None = Field(None, description="ledger; default: SQLite in the data folder")
    broker_url: SecretStr | None = Field(
        None, description="Redis or RabbitMQ for Celery; default: none, embedded only"
    )
    endpoint_url: str = Field("https://api.openai.com/v1", description="base URL of the image API, ends in /v1")
    api_key: SecretStr | None = Field(None, description="key of the image API; environment or file only")
    storage_url: str | None = Field(None, description="where images go; default: images/ in the data folder")
    in_flight: int = Field(32, ge=1, le=5000, description="calls in flight per worker process")
    share: int = Field(250, ge=1, description="jobs per ticket: how many workers a submission wakes")
    read_timeout_s: float = Field(600, gt=0, description="longest silence of the endpoint within a call")
    deadline_s: float = Field(900, gt=0, description="longest duration of a whole call, downloads included")
    allow_private_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="hosts that image URLs may name although they are private or plain http, comma-separated"
    )
    billed_errors: str = Field(
        "off",
        pattern=r"^(off|on|[1-5]\d\d(,[1-5]\d\d)*)$",
        description="error answers that may have been billed: off, on (408, 409, 5xx, stream errors) or statuses",
    )
    operator: str | None = Field(None, min_length=1, max_length=200, description="who you are in `imagemill acts`")
    prices: Path | None = Field(None, description="price file laid over the built-in price book")
    requests_per_minute: int | None = Field(
        None, ge=1, description="stated limit, per model, for all workers together"
    )
    images_per_minute: int | None = Field(
        None, ge=1, description="stated limit, per model, for all workers together"
    )
    tokens_per_minute: int | None = Field(
        None, ge=1, description="stated limit, per model, for all workers together"
    )
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="where a worker serves Prometheus metrics; 0: any free port; default: not"
    )
    metrics_host: str = Field("127.0.0.1", description="address that the metrics are served at")
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="debug, info, warning or error"
    )

    @field_validator("allow_private_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: Any) -> Any:
        return tuple(host.strip() for host in value.split(",") if host.strip()) if isinstance(value, str) else value

    @field_validator("endpoint_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http(s) URL such as https://api.openai.com/v1")
        if parts.username or parts.password:
            raise ValueError("must hold no user or password: put the key into IMAGEMILL_API_KEY")
        return value.rstrip("/")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def billed_statuses(self) -> frozenset[int]:
        """Statuses whose errors may have been billed; 200 stands for an error event within a stream."""
        if self.billed_errors == "on":
            return frozenset({200, 408, 409, *range(500, 600)})
        return frozenset(map(int, self.billed_errors.split(","))) if self.billed_errors != "off" else frozenset()

    @property
    def ledger_url(self) -> str:
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'ledger.db'}"

    @property
    def spool_dir(self) -> Path:
        return self.data_dir.absolute() / "spool"

    @property
    def images_url(self) -> str:
        return self.storage_url or str(self.data_dir.absolute() / "images")


def load_settings(**flags: Any) -> Settings:
    """Settings with the given flags on top; flags that are None count as not given. Raises UsageError."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise UsageError("\n".join(_sentence(problem) for problem in error.errors())) from None
    except (TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"{SETTINGS_FILE} in this folder cannot be read: {error}") from None


def origins(**flags: Any) -> dict[str, str]:
    """Where each setting comes from: flag, environment, imagemill.toml or default."""
    given = {name for name, value in flags.items() if value is not None}
    environment = EnvSettingsSource(Settings)()
    in_file = TomlConfigSettingsSource(Settings)()
    found = {}
    for name in Settings.model_fields:
        if name in given:
            found[name] = "flag"
        elif name in environment:
            found[name] = f"environment {PREFIX}{name.upper()}"
        else:
            found[name] = SETTINGS_FILE if name in in_file else "default"
    return found


def _sentence(problem: Any) -> str:
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return f"{name} is not a setting; known are: {', '.join(Settings.model_fields)}"
    shown = "" if "key" in name or "url" in name else f" {problem['input']!r}"
    return f"setting {name} ({PREFIX}{name.upper()}){shown}: {problem['msg'].removeprefix('Value error, ')}"
