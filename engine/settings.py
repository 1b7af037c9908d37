"""Settings: `yanshu.toml` < `YANSHU_*` environment (`__` nests) < credentials directory. Secrets never come from YAML."""

from __future__ import annotations

import os
import secrets as random_secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from engine import toml_places
from engine.errors import A_LETTER_OR_TWO, ConfigurationError, did_you_mean, nearest

PROJECT_FILE = "yanshu.toml"
_PREFIX, _FLAT = "YANSHU_", "YANSHU"
SHORTEST_TOKEN = 24
"""Of the push API: what `openssl rand` or a password manager makes is longer; a word that somebody thought of is not."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none
        return False
    return is_whole and text.isprintable() and " " not in text


class ShopSettings(_Section):
    """How the shop calls itself; templates see it as `shop`."""

    name: str = "Yanshu"
    url: str = ""
    address: str = ""  # the postal address in the footer, as many laws ask for
    language: str = "zh"


class SmtpSettings(_Section):
    """The relay. `connections` is the total over all processes that one `up` or `worker` starts. `name`: what volume
    rules of the policy call it (`provider: smtp`)."""

    name: str = "smtp"
    host: str = ""
    port: int = Field(default=25, ge=1, le=65535)
    security: Literal["none", "starttls", "tls"] = "none"
    username: str = ""
    password: str = ""
    connections: int = Field(default=8, ge=1, le=500)
    sender: str = ""  # the default From: `店铺 <hi@shop.example>`
    helo: str = ""  # default: this machine's name
    verify_certificate: bool = True


class SmsSettings(_Section):
    """The SMS gateway. `development` is the one that `yanshu inbox` runs. `name`: what volume rules call it; by default
    as the gateway."""

    name: str = ""
    gateway: Literal["none", "development"] = "none"
    url: str = ""
    signature: str = ""  # 【shop】; default: the shop's name
    opt_out: str = "拒收请回复R"
    timeout: float = Field(default=10.0, gt=0, le=120)

    @model_validator(mode="after")
    def _has_a_way(self) -> Self:
        if self.gateway != "none" and not _is_web_address(self.url):
            raise ValueError(f"url: {self.url!r} is not an http(s) address")
        return self


class WebSettings(_Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8025, ge=1, le=65535)


class ApiSettings(_Section):
    """The push API; off without a token. `token`: one, or several with blanks between, each for a system of its own."""

    token: str = Field(default="", repr=False)
    requests_per_minute: int = Field(default=600, ge=1, le=1_000_000)

    @field_validator("token")
    @classmethod
    def _is_strong(cls, given: str) -> str:
        for token in given.split():
            if len(token) < SHORTEST_TOKEN:
                raise ValueError(f"a token has {SHORTEST_TOKEN} characters at least")
            if not (token.isascii() and token.isprintable()):
                raise ValueError("a token is of visible ASCII characters")
        return given

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(self.token.split())


class InboxSettings(_Section):
    """The development inbox: an SMTP server and an SMS gateway that keep what they get and show it in the browser."""

    host: str = "127.0.0.1"
    smtp_port: int = Field(default=1025, ge=1, le=65535)
    http_port: int = Field(default=8026, ge=1, le=65535)


class WorkerSettings(_Section):
    processes: int = Field(default=0, ge=0, le=64)  # 0 = one per core


class _Credentials(EnvSettingsSource):
    """The files of the credentials directory (systemd's `LoadCredential=`): `yanshu_smtp__password` is read as the
    variable of that name would be, whatever its case."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        """What the files say, by their names in lower case. Raises ConfigurationError.

        Files of others are not opened: they need not be text.
        """
        folder = Path(str(self.config.get("secrets_dir") or ""))
        return {
            path.name.lower(): _read_credential(path)
            for path in sorted(folder.iterdir() if self.config.get("secrets_dir") else ())
            if path.name.lower().startswith(_PREFIX.lower()) and path.is_file()
        }


def _read_credential(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: is not UTF-8") from None


class Settings(BaseSettings):
    """Everything that is not a rule of the trade: where things are and how to reach them."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    project: Path = Path()
    database_url: str = ""
    redis_url: str = ""
    public_url: str = ""
    secret_key: str = ""
    old_secret_keys: tuple[str, ...] = ()
    address_key: str = ""
    shop: ShopSettings = ShopSettings()
    smtp: SmtpSettings = SmtpSettings()
    sms: SmsSettings = SmsSettings()
    web: WebSettings = WebSettings()
    api: ApiSettings = ApiSettings()
    inbox: InboxSettings = InboxSettings()
    worker: WorkerSettings = WorkerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # there is no .env file
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # it does not nest
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = settings_cls.model_config.get("toml_file")
        file = TomlConfigSettingsSource(settings_cls, toml_file=toml)
        return init_settings, _Credentials(settings_cls), env_settings, file

    @field_validator("public_url")
    @classmethod
    def _is_reached(cls, given: str) -> str:
        """Every link of every message begins with it."""
        if given and not _is_web_address(given):
            raise ValueError(f"{given!r} is not a web address; write https://mail.shop.example")
        return given

    @property
    def var(self) -> Path:
        """The project's working files: database, secrets, inbox, demo (git-ignored)."""
        return self.project / "var"

    @property
    def database(self) -> str:
        """The database's address; a relative SQLite file lies in the project, wherever a command is given."""
        url = self.database_url or "sqlite:///var/yanshu.db"
        file = url.removeprefix("sqlite:///")
        if file in ("", url) or file.startswith((":memory:", "/")):
            return url
        return f"sqlite:///{self.project / file}"

    @property
    def web_url(self) -> str:
        """The address in front of every link."""
        return (self.public_url or f"http://{self.web.host}:{self.web.port}").rstrip("/")

    def require_smtp(self) -> None:
        """Raise ConfigurationError where there is no relay to send through."""
        if not self.smtp.host:
            raise ConfigurationError(
                "no SMTP host: set smtp.host in yanshu.toml, or YANSHU_SMTP__HOST;"
                " for a rehearsal name the development inbox (host 127.0.0.1, port 1025)"
            )

    def channels(self) -> frozenset[Literal["email", "sms"]]:
        """The channels that are set up: email always (without a host nothing starts), SMS with a gateway."""
        return frozenset({"email"} if self.sms.gateway == "none" else {"email", "sms"})

    def providers(self) -> dict[Literal["email", "sms"], str]:
        """What each channel goes out by, as rules of the policy name it."""
        return {"email": self.smtp.name, "sms": self.sms.name or self.sms.gateway}

    def signing_keys(self) -> tuple[str, ...]:
        """The token key and the old ones that still verify; made in `var/secret` (0600) at first use."""
        return (self.secret_key or _kept(self.var / "secret"), *self.old_secret_keys)

    def hashing_key(self) -> str:
        """The key of address hashes, never rotated; made in `var/address_key` (0600) at first use."""
        return self.address_key or _kept(self.var / "address_key")


def find_project(given: Path | None) -> Path:
    """The project directory: `--project`, `YANSHU_PROJECT`, or from the current directory upward.

    Raises ConfigurationError where none holds a `yanshu.toml`.
    """
    named = given or (
        Path(os.environ["YANSHU_PROJECT"]) if os.environ.get("YANSHU_PROJECT") else None
    )
    if named is not None:
        if not (named / PROJECT_FILE).is_file():
            raise ConfigurationError(
                f"{named}: no {PROJECT_FILE} here; `yanshu init {named}` makes one"
            )
        return named.resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise ConfigurationError(
        f"no {PROJECT_FILE} in {here} or above; use --project DIR, or `yanshu init DIR` to make a project"
    )


def load_settings(project: Path) -> Settings:
    """Read the settings of a project. Raises ConfigurationError naming file, line and key, or the variable."""
    _refuse_misspelt(os.environ)
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")

    class Loaded(Settings):
        model_config = SettingsConfigDict(
            toml_file=project / PROJECT_FILE,
            secrets_dir=credentials if credentials and Path(credentials).is_dir() else None,
        )

    try:
        return Loaded(project=project)
    except ValidationError as error:
        raise ConfigurationError(_explain(error, project / PROJECT_FILE)) from None
    except SettingsError as error:  # a section that is no JSON; its text may hold a secret
        raise ConfigurationError(f"environment or credentials: {error}; write JSON") from None
    except ValueError as error:  # TOML that does not parse
        said = toml_places.fault(PROJECT_FILE, (project / PROJECT_FILE).read_bytes())
        raise ConfigurationError(said or f"{PROJECT_FILE}: {error}") from None


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """A variable of ours that is nearly a setting: `YANSHU_SMTP_HOST` would be ignored without a word. What is near none
    is left alone: other programs may have variables of that beginning.

    Raises ConfigurationError.
    """
    known = _variables(Settings, _PREFIX)
    flat = {one.replace("_", "").removeprefix(_FLAT): one for one in known}
    for name in environment:
        given = name.upper()
        # What is wrong below a section says the section itself.
        if not given.startswith(_PREFIX) or given.split("__")[0] in known:
            continue
        bare = given.replace("_", "").removeprefix(_FLAT)
        meant = nearest(bare, flat, A_LETTER_OR_TWO)
        if meant:
            hint = f"did you mean {flat[meant]}?"
            raise ConfigurationError(f"environment: {name} is no setting; {hint}")


def _variables(model: type[BaseModel], prefix: str) -> list[str]:
    names = []
    for key, field in model.model_fields.items():
        name, kind = prefix + key.upper(), field.annotation
        names.append(name)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += _variables(kind, f"{name}__")
    return names


def _explain(error: ValidationError, file: Path) -> str:
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    lines = []
    for problem in error.errors():
        loc = problem["loc"]
        what, hint = problem["msg"].removeprefix("Value error, "), ""
        if problem["type"] == "extra_forbidden":
            what, hint = "unknown key", did_you_mean(str(loc[-1]), _keys(loc[:-1]))
        place = toml_places.position(PROJECT_FILE, text, loc, problem["input"])
        where = place or f"{PROJECT_FILE}, environment or credentials"
        lines.append(f"{where}: {'.'.join(map(str, loc))}: {what}{hint}")
    return "\n".join(lines)


def _keys(path: tuple[Any, ...]) -> list[str]:
    model: Any = Settings
    for part in path:
        field = model.model_fields.get(part)
        model = field.annotation if field else None
        if model is None or not hasattr(model, "model_fields"):
            return []
    return list(model.model_fields)


def _kept(path: Path) -> str:
    """A secret that is made once and kept in a file only its owner can read. Raises ConfigurationError."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _make_secret(path)
        found = path.read_text().strip()
    except OSError as error:
        raise ConfigurationError(f"{error.filename or path}: {error.strerror}") from error
    if not found:
        raise ConfigurationError(
            f"{path}: is empty; put the key back from a backup, or remove the file if none was ever used"
        )
    return found


def _make_secret(path: Path) -> None:
    """Write a new secret whole or not at all: a full disk, or a process that looks in between, must never find an
    empty key. Where another process was faster its secret is the one."""
    draft = path.with_name(f".{path.name}.{random_secrets.token_hex(8)}")
    handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(random_secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(handle)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
