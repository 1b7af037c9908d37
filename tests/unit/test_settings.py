"""Where settings come from, and which of several places counts."""

from __future__ import annotations

import errno
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.errors import ConfigurationError
from engine.settings import Settings, load_settings

TOML = '[smtp]\nhost = "relay.example"\nusername = "yanshu"\npassword = "toml"\nport = 2525\n'


class Places:
    """A project, an environment and a credentials directory."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.project, self.credentials = folder / "shop", folder / "credentials"
        self.project.mkdir()
        self.credentials.mkdir()
        (self.project / "yanshu.toml").write_text(TOML)
        self.environment = monkeypatch
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(self.credentials))

    def credential(self, name: str, content: str | bytes) -> Path:
        path = self.credentials / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def load(self) -> Settings:
        return load_settings(self.project)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    return Places(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["yanshu_smtp__password", "YANSHU_SMTP__PASSWORD"])
def test_a_nested_secret_comes_from_a_file_of_the_credentials_directory(
    places: Places, name: str
) -> None:
    places.credential(name, "s3cret 密\n")
    smtp = places.load().smtp
    assert (smtp.password, smtp.host, smtp.username, smtp.port) == ("s3cret 密", "relay.example", "yanshu", 2525)  # fmt: skip


def test_credentials_count_more_than_the_environment_and_that_more_than_the_file(
    places: Places,
) -> None:
    assert places.load().smtp.password == "toml"
    places.environment.setenv("YANSHU_SMTP__PASSWORD", "environment")
    places.environment.setenv("YANSHU_SMTP__USERNAME", "environment")
    assert places.load().smtp.password == "environment"
    places.credential("yanshu_smtp__password", "credential")
    smtp = places.load().smtp
    assert (smtp.password, smtp.username, smtp.port) == ("credential", "environment", 2525)


def test_top_level_secrets_a_section_as_json_and_a_list_are_read_too(places: Places) -> None:
    places.credential("yanshu_secret_key", "k\n")
    places.credential("yanshu_old_secret_keys", '["a", "b"]')
    places.credential("yanshu_smtp", json.dumps({"password": "p"}))
    found = places.load()
    assert (found.secret_key, found.old_secret_keys) == ("k", ("a", "b"))
    assert (found.smtp.password, found.smtp.username) == ("p", "yanshu")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("YANSHU_SMTP_HOST", "YANSHU_SMTP__HOST"),
        ("yanshu_smtp_password", "YANSHU_SMTP__PASSWORD"),
        ("YANSHU_DATABSE_URL", "YANSHU_DATABASE_URL"),
        ("YANSHU_API_TOKEN", "YANSHU_API__TOKEN"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_refused_without_its_content(
    places: Places, given: str, meant: str
) -> None:
    places.environment.setenv(given, "s3cret")
    with pytest.raises(ConfigurationError) as error:
        places.load()
    assert str(error.value) == f"environment: {given} is no setting; did you mean {meant}?"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('[smtp]\nhost = "relay', "2:14: Unterminated string"),
        ("[smtp]\nhost relay\n", "2:6: Expected '=' after a key in a key/value pair"),
        ("[smtp\n", "1:6: Expected ']' at the end of a table declaration"),
        ('[shop]\nname = "caf\xe9"\n', "2:12: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("[smtp]\n# prot = 1\n  prot = 25\n", "3:3: smtp.prot: unknown key; did you mean 'port'?"),
        ('[smtp]\nhost = """\nprot = 1\n"""\n"prot" = 1\n', "5:2: smtp.prot: unknown key; did you mean 'port'?"),
        ("[web]\nport = 1\n\n[smpt]\nport = 25\n", "4:2: smpt: unknown key; did you mean 'smtp'?"),
        ("web.port = 70000\n", "1:5: web.port: Input should be less than or equal to 65535"),
        ('[web]\nport = 1\n[smtp]\nport = "x"\n', "4:1: smtp.port: Input should be a valid integer"),
        ('public_url = "shop.example"\n', "1:1: public_url: 'shop.example' is not a web address"),
        ('[sms]\ngateway = "development"\n', "1:2: sms: url: '' is not an http(s) address"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_told_with_its_place(
    places: Places, written: str, said: str
) -> None:
    (places.project / "yanshu.toml").write_bytes(written.encode("latin-1"))
    with pytest.raises(ConfigurationError) as error:
        places.load()
    assert str(error.value).startswith(f"yanshu.toml:{said}")


def test_what_a_variable_says_has_no_place_in_the_file(places: Places) -> None:
    places.environment.setenv("YANSHU_SMTP__PORT", "70000")
    with pytest.raises(ConfigurationError) as error:
        places.load()
    where = "yanshu.toml, environment or credentials"
    assert str(error.value).startswith(f"{where}: smtp.port: Input should be less than")


def test_variables_of_others_are_left_alone(places: Places) -> None:
    for name in ("YANSHU_STOPS", "YANSHU_TEST_SEED", "YANSHU_CLOCK_OFFSET", "YANSHUI"):
        places.environment.setenv(name, "1")
    assert places.load().smtp.port == 2525


@pytest.mark.parametrize(
    "given",
    ["shop.example", "ftp://a.example", "https://", "https://a.example:x", "http://a.example/ b"],
)
def test_what_is_no_web_address_is_refused(places: Places, given: str) -> None:
    """It would stand in front of every link of every message."""
    places.environment.setenv("YANSHU_PUBLIC_URL", given)
    with pytest.raises(ConfigurationError, match=r"public_url.* is not a web address"):
        places.load()
    places.environment.delenv("YANSHU_PUBLIC_URL")
    places.environment.setenv("YANSHU_SMS__URL", given)
    assert places.load().sms.url == given  # without a gateway nobody asks there
    places.environment.setenv("YANSHU_SMS__GATEWAY", "development")
    with pytest.raises(ConfigurationError, match=r"sms: .*is not an http"):
        places.load()


def test_files_of_others_are_left_alone(places: Places) -> None:
    places.credential("tls.key", b"\xff\xfe\x00")
    (places.credentials / "yanshu_folder").mkdir()
    assert places.load().smtp.password == "toml"


def test_a_credentials_directory_that_is_not_there_is_no_matter(places: Places) -> None:
    places.environment.setenv("CREDENTIALS_DIRECTORY", str(places.credentials / "none"))
    assert places.load().smtp.password == "toml"


def test_what_is_wrong_with_a_credential_is_told_without_its_content(places: Places) -> None:
    wrong: list[tuple[str, str | bytes, str]] = [
        ("yanshu_smtp__pasword", "s3cret", "smtp.pasword: unknown key; did you mean 'password'?"),
        ("yanshu_smtp", "s3cret", 'error parsing value for field "smtp"'),
        ("yanshu_secret_key", b"s3cret\xff", "yanshu_secret_key: is not UTF-8"),
    ]
    for name, content, said in wrong:
        path = places.credential(name, content)
        with pytest.raises(ConfigurationError) as error:
            places.load()
        assert said in str(error.value)
        assert "s3cret" not in str(error.value)
        path.unlink()


def test_a_secret_is_made_once_however_many_ask_for_it_at_once(tmp_path: Path) -> None:
    settings = Settings(project=tmp_path)
    with ThreadPoolExecutor(16) as many:
        found = set(many.map(lambda _: settings.hashing_key(), range(64)))
    assert len(found) == 1
    assert len(found.pop()) > 30
    assert [path.name for path in settings.var.iterdir()] == ["address_key"]
    assert stat.S_IMODE((settings.var / "address_key").stat().st_mode) == 0o600


def test_a_full_disk_leaves_no_empty_secret_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    settings = Settings(project=tmp_path)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigurationError, match="var/secret: No space left on device"):
        settings.signing_keys()
    assert list(settings.var.iterdir()) == []


def test_an_empty_secret_is_refused(tmp_path: Path) -> None:
    settings = Settings(project=tmp_path)
    settings.var.mkdir()
    (settings.var / "address_key").write_text("\n")
    with pytest.raises(ConfigurationError, match="address_key: is empty"):
        settings.hashing_key()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("", "sqlite:////shop/var/yanshu.db"),
        ("sqlite:///data/x.db", "sqlite:////shop/data/x.db"),
        ("sqlite:////data/x.db", "sqlite:////data/x.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql://me@host/name", "postgresql://me@host/name"),
    ],
)
def test_a_relative_database_file_lies_in_the_project(given: str, wanted: str) -> None:
    assert Settings(project=Path("/shop"), database_url=given).database == wanted
