"""The real command in real processes: a project laid down, checked, filled, asked, and steered."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from email import message_from_bytes
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import create_engine, make_url

YANSHU = str(Path(sys.executable).parent / "yanshu")
CUSTOMERS = """\
id,name,email,phone,city,email_consent
00001,李雷,li@example.com,13800138000,上海,yes
00002,韩梅梅,han@example.com,,杭州,yes
00003,Jim,,,北京,
"""
ORDERS = """\
id,customer_id,placed_at,amount,status
o1,00001,2026-09-20T10:00,300,received
o2,00001,2026-09-21T10:00,300,received
o3,00001,2026-09-22T10:00,300,received
o4,00001,2026-09-23T10:00,300,received
o5,00001,2026-09-24T10:00,300,received
o6,00002,2026-01-05T10:00,88,received
"""
NOW = ("--now", "2026-11-24T10:00")


def yanshu(
    *arguments: str,
    cwd: Path,
    check: int | None = 0,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal; `check`: the exit code that it must have, None for any."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("YANSHU_")
    }
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # or every process compiles the program anew
    done = subprocess.run(
        [YANSHU, *arguments],
        cwd=cwd,
        env={**inherited, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert check is None or done.returncode == check, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def answer(*arguments: str, cwd: Path, check: int | None = 0) -> dict[str, Any]:
    """The JSON document that the command answers with."""
    found = json.loads(yanshu(*arguments, "-o", "json", cwd=cwd, check=check).stdout)
    assert found["schema_version"] == 1
    return dict(found)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example shop with three customers and six orders."""
    folder = tmp_path_factory.mktemp("cli")
    yanshu("init", "shop", cwd=folder)
    project = folder / "shop"
    (folder / "customers.csv").write_text(CUSTOMERS)
    (folder / "orders.csv").write_text(ORDERS)
    yanshu("import", "customers", "../customers.csv", *NOW, cwd=project)
    yanshu("import", "orders", "../orders.csv", *NOW, cwd=project)
    return project


def test_init_lays_down_a_shop_without_a_problem(tmp_path: Path) -> None:
    found = answer("init", "shop", cwd=tmp_path)
    project = tmp_path / "shop"
    assert found["project"] == str(project)
    assert (project / ".gitignore").read_text() == "var/\n"
    for name in ("yanshu.toml", "policy.yaml", "campaigns", "care", "segments", "templates/email"):
        assert (project / name).exists()
    assert answer("lint", cwd=project)["errors"] == 0


def test_init_leaves_a_directory_that_is_in_use_alone(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mine.txt").write_text("mine")
    assert "not empty" in yanshu("init", "shop", cwd=tmp_path, check=1).stderr
    assert [path.name for path in (tmp_path / "shop").iterdir()] == ["mine.txt"]


def test_the_project_is_found_from_a_folder_inside_it(shop: Path) -> None:
    assert answer("status", cwd=shop / "campaigns")["runs"] == []
    elsewhere = yanshu(
        "status", "-o", "json", cwd=shop.parent, environment={"YANSHU_PROJECT": str(shop)}
    )
    assert json.loads(elsewhere.stdout)["runs"] == []


def test_secrets_are_readable_by_their_owner_alone(shop: Path) -> None:
    for name in ("address_key",):
        assert stat.S_IMODE((shop / "var" / name).stat().st_mode) == 0o600


def test_grade_gives_the_worked_case_of_the_trade(shop: Path) -> None:
    graded = {row["customer_id"]: row for row in answer("grade", *NOW, cwd=shop)["customers"]}
    assert set(graded) == {"00001", "00002", "00003"}
    first = graded["00001"]
    assert (first["r"], first["f"], first["m"], first["value"], first["grade"]) == (4, 4, 2, 24, "S")  # fmt: skip
    assert graded["00003"]["grade"] is None
    assert graded["00003"]["class"] == "prospect"


def test_grade_shows_people_how_the_grades_are_spread(shop: Path) -> None:
    shown = yanshu("grade", *NOW, cwd=shop).stdout
    assert "prospect" in shown
    assert "%" in shown


def test_a_customers_orders_are_shown_in_the_money_of_people(shop: Path) -> None:
    shown = yanshu("customer", "show", "00001", cwd=shop).stdout
    assert " 300.00   CNY" in shown
    assert "30000" not in shown


def test_segments_are_counted_listed_and_explained(shop: Path) -> None:
    (shop / "segments" / "test-shanghai.yaml").write_text(
        "kind: segment\nall:\n  - {city: {in: [上海, 杭州]}}\n  - {orders: {gte: 2}}\n"
    )
    assert answer("segment", "count", "test-shanghai", *NOW, cwd=shop)["count"] == 1
    listed = answer("segment", "list", "test-shanghai", *NOW, cwd=shop)["customers"]
    assert [row["customer_id"] for row in listed] == ["00001"]
    tree = answer("segment", "explain", "test-shanghai", *NOW, cwd=shop)["tree"]
    assert [child["count"] for child in tree["children"]] == [2, 1]
    assert tree["children"][0]["place"] == "segments/test-shanghai.yaml:3"
    one = answer("segment", "explain", "test-shanghai", "00002", *NOW, cwd=shop)
    assert (one["holds"], [child["holds"] for child in one["tree"]["children"]]) == (False, [True, False])  # fmt: skip
    assert "no customer" in yanshu("segment", "explain", "test-shanghai", "9", *NOW, cwd=shop, check=1).stderr  # fmt: skip
    assert "SELECT" in yanshu("segment", "sql", "test-shanghai", *NOW, cwd=shop).stdout


def test_a_misspelt_segment_is_answered_with_the_nearest_one(shop: Path) -> None:
    assert "dormant-vip" in yanshu("segment", "count", "dormnt-vip", cwd=shop, check=1).stderr


def test_a_bad_row_is_rejected_and_the_good_ones_land(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("id,name,email\n00009,Good,good@example.com\n00010,Bad,not-an-address\n")
    found = answer("import", "customers", str(file), cwd=shop, check=1)
    assert "not-an-address" in Path(f"{file}.rejected.csv").read_text()
    assert found["rejected"] == 1
    assert yanshu("explain", "customer", "00009", cwd=shop).returncode == 0


def test_two_records_of_one_person_become_one_when_that_is_confirmed(
    shop: Path, tmp_path: Path
) -> None:
    file = tmp_path / "twice.csv"
    file.write_text("id,name,email\n00021,Wu,\n00022,,wu@example.com\n")
    yanshu("import", "customers", str(file), *NOW, cwd=shop)
    asked = yanshu("customer", "merge", "00022", "00021", *NOW, cwd=shop, check=1)
    assert "say --yes" in asked.stderr
    wrong = yanshu("customer", "merge", "00022", "0002", "--yes", *NOW, cwd=shop, check=1)
    assert "no customer '0002'; did you mean" in wrong.stderr
    merged = yanshu("customer", "merge", "00022", "00021", "--yes", *NOW, cwd=shop).stdout
    assert "customer 00022 is part of 00021 now" in merged
    assert "wu@example.com" in yanshu("customer", "show", "00021", cwd=shop).stdout


def test_a_dry_run_keeps_nothing(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "dry.csv"
    file.write_text("id,name\n00077,Dry\n")
    yanshu("import", "customers", str(file), "--dry-run", cwd=shop)
    assert "no customer" in yanshu("explain", "customer", "00077", cwd=shop, check=1).stderr


def test_a_kind_that_is_not_there_yet_says_so(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id\n")
    shown = yanshu("import", "coupons", str(tmp_path / "x.csv"), cwd=shop, check=1).stderr
    assert "not supported yet" in shown


def test_a_folder_is_no_file_to_import_and_a_word_no_address_to_send_to(shop: Path) -> None:
    done = yanshu("import", "customers", str(shop), cwd=shop, check=1)
    assert f"{shop}: is not a regular file" in done.stderr
    done = yanshu("send-test", "birthday", "--to", "nonsense", cwd=shop, check=1)
    assert "'nonsense' is neither an e-mail address nor a phone number" in done.stderr


def test_broken_files_are_told_with_their_place_and_nothing_happens(shop: Path) -> None:
    broken = shop / "care" / "test-broken.yaml"
    broken.write_text("kind: care\nclass: car\ntrigger: {event: order.received, delay: 7w}\n")
    try:
        shown = yanshu("lint", cwd=shop, check=1).stdout
        assert "care/test-broken.yaml:2:8: " in shown
        assert "care/test-broken.yaml:3:" in shown
        stopped = yanshu("segment", "count", "dormant-vip", cwd=shop, check=1)
        assert "care/test-broken.yaml:2:8: " in stopped.stderr
        assert stopped.stdout == ""
    finally:
        broken.unlink()


def test_a_suppressed_address_is_listed_explained_and_released(shop: Path) -> None:
    found = answer("suppress", "add", " LI@example.com", "--note", "by phone", cwd=shop)
    assert (found["channel"], found["new"]) == ("email", True)
    (row,) = answer("suppress", "list", cwd=shop)["suppressions"]
    assert (row["address"], row["customer_id"], row["reason"]) == ("li@example.com", "00001", "operator")  # fmt: skip
    explained = answer("explain", "customer", "--email", "li@example.com", cwd=shop)
    assert explained["customers"][0]["channels"][0]["suppressed"]["note"] == "by phone"
    assert answer("suppress", "remove", "li@example.com", cwd=shop)["removed"]
    assert not answer("suppress", "remove", "li@example.com", cwd=shop, check=1)["removed"]
    told = yanshu("suppress", "add", "foo", cwd=shop, check=1).stderr
    assert "'foo' is neither an email address nor a phone number" in told
    assert "is masked" in yanshu("suppress", "add", "l***@qq.com", cwd=shop, check=1).stderr


def test_what_changes_much_is_refused_without_a_terminal_and_without_yes(shop: Path) -> None:
    shown = yanshu("cancel", "all", cwd=shop, check=1)
    assert "--yes" in shown.stderr
    assert answer("cancel", "all", "--yes", cwd=shop)["count"] == 0


def test_on_a_terminal_a_no_changes_nothing(shop: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [YANSHU, "cancel", "all"], cwd=shop, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, b"n\n")
    assert process.wait(timeout=60) == 1
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert "Withdraw everything of all" in shown
    assert "nothing was changed" in shown


def test_a_reader_that_goes_away_is_no_error_worth_a_word(shop: Path) -> None:
    process = subprocess.Popen(
        [YANSHU, "schema"], cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)
    assert told == b""


@pytest.fixture
def empty_postgresql(postgresql_server: str) -> Iterator[str]:
    """A PostgreSQL database without a single table."""
    administer = create_engine(
        make_url(postgresql_server).set(drivername="postgresql+psycopg", database="postgres"),
        isolation_level="AUTOCOMMIT",
    )
    with administer.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE cli_empty")
        url = make_url(postgresql_server).set(database="cli_empty")
        yield url.render_as_string(hide_password=False)
        connection.exec_driver_sql("DROP DATABASE cli_empty WITH (FORCE)")
    administer.dispose()


def test_postgresql_is_brought_up_to_date_by_hand_alone(shop: Path, empty_postgresql: str) -> None:
    where = {"YANSHU_DATABASE_URL": empty_postgresql}
    assert "yanshu db upgrade" in yanshu("status", cwd=shop, check=1, environment=where).stderr
    assert "empty" in yanshu("db", "status", cwd=shop, check=1, environment=where).stdout
    yanshu("db", "upgrade", cwd=shop, environment=where)
    yanshu("db", "status", cwd=shop, environment=where)
    yanshu("status", cwd=shop, environment=where)


class Mailbox:
    """Keeps what an SMTP server was given."""

    def __init__(self) -> None:
        self.letters: list[tuple[list[str], bytes]] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.letters.append((envelope.rcpt_tos, envelope.content))
        return "250 kept"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    kept = Mailbox()
    controller = Controller(kept, hostname="127.0.0.1", port=_free_port())
    controller.start()
    yield kept, controller.port
    controller.stop()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_test_message_is_marked_and_goes_to_its_sender_alone(
    shop: Path, mailbox: tuple[Mailbox, int]
) -> None:
    kept, port = mailbox
    where = {"YANSHU_SMTP__HOST": "127.0.0.1", "YANSHU_SMTP__PORT": str(port)}
    done = yanshu(
        "send-test", "double11-winback", "--to", "me@shop.example", "--customer", "00001",
        cwd=shop, environment=where,
    )  # fmt: skip
    assert "sent" in done.stdout
    ((recipients, content),) = kept.letters
    letter = message_from_bytes(content)
    assert recipients == ["me@shop.example"]
    assert str(make_header(decode_header(letter["Subject"]))).startswith("[test] ")
    assert b"/c/" not in content
    assert sum(answer("status", cwd=shop)["states"].values()) == 0


def test_a_test_message_that_cannot_go_exits_1(shop: Path) -> None:
    where = {"YANSHU_SMTP__HOST": "127.0.0.1", "YANSHU_SMTP__PORT": str(_free_port())}
    done = yanshu(
        "send-test",
        "double11-winback",
        "--to",
        "me@shop.example",
        cwd=shop,
        check=1,
        environment=where,
    )
    assert f"not sent: 127.0.0.1:{where['YANSHU_SMTP__PORT']}: Connection refused" in done.stdout


def test_a_test_message_to_the_inbox_that_is_not_there_says_what_starts_it(shop: Path) -> None:
    port = str(_free_port())
    ports = {"YANSHU_SMTP__PORT": port, "YANSHU_INBOX__SMTP_PORT": port}
    words = ("send-test", "double11-winback", "--to", "me@shop.example")
    done = yanshu(*words, cwd=shop, check=1, environment=ports)
    assert f"127.0.0.1:{port} (`yanshu inbox` starts it): Connection refused" in done.stdout


def test_preview_writes_the_message_as_files(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = answer(
        "preview", "double11-winback", "--customer", "00001", "--channel", "email", "--out", str(out), cwd=shop
    )  # fmt: skip
    names = {Path(path).suffix for path in found["files"]}
    assert names == {".eml", ".html", ".txt"}
    letter = message_from_bytes(next(out.glob("*.eml")).read_bytes())
    assert letter["To"]
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "李雷" in found["email"]["subject"] + found["email"]["text"]


def test_a_dormant_preview_shows_the_order_that_the_sender_would(shop: Path) -> None:
    closed = shop.parent / "closed.csv"
    closed.write_text(
        "id,customer_id,placed_at,amount,status\no7,00002,2026-03-05T10:00,99,closed\n"
    )
    yanshu("import", "orders", str(closed), *NOW, cwd=shop)
    rule = shop / "care" / "test-asleep.yaml"
    rule.write_text(
        "kind: care\nclass: care\ntrigger: {dormant: {after: 90d}}\n"
        "steps: [{email: {subject: '{{ order.id }}', template: winback}}]\n"
    )
    try:
        found = answer("preview", "test-asleep", "--customer", "00002", *NOW, cwd=shop)
    finally:
        rule.unlink()
    assert found["email"]["subject"] == "o6"


def test_the_doctor_sees_the_mail_server(shop: Path, mailbox: tuple[Mailbox, int]) -> None:
    _, port = mailbox
    where = {"YANSHU_SMTP__HOST": "127.0.0.1", "YANSHU_SMTP__PORT": str(port)}
    found = json.loads(yanshu("doctor", "-o", "json", cwd=shop, environment=where).stdout)
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert found["healthy"]
    assert states["database"] == states["schema"] == states["zones"] == "ok"
    assert states["smtp"] == "warning"  # aiosmtpd does not offer PIPELINING


def test_the_doctor_says_what_is_wrong_and_exits_1(shop: Path) -> None:
    loose = shop / "var" / "address_key"
    loose.chmod(0o644)
    try:
        found = answer("doctor", cwd=shop, check=1)
    finally:
        loose.chmod(0o600)
    (secrets,) = [check for check in found["checks"] if check["name"] == "secrets"]
    assert secrets["state"] == "error"
    assert "chmod 600" in secrets["detail"]
    assert not found["healthy"]


def test_the_report_of_a_shop_that_sent_nothing_is_empty(shop: Path) -> None:
    assert answer("report", cwd=shop)["definitions"] == []
    assert "was ever applied" in yanshu("report", "nonsense", cwd=shop, check=1).stderr


@pytest.fixture
def small_shop(tmp_path: Path) -> Path:
    """A project with one campaign by SMS, to nobody yet."""
    files = {
        "yanshu.toml": '[sms]\ngateway = "development"\nurl = "http://127.0.0.1:9/sms"\n',
        "campaigns/hello.yaml": (
            "kind: campaign\nclass: marketing\nschedule: {at: '2026-12-01T10:00'}\n"
            "audience: {all: []}\nsteps: [{sms: {template: hello}}]\n"
        ),
        "templates/sms/hello.txt.j2": "{{ customer.name }}，您好\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_plan_shows_times_as_the_shop_reads_them(small_shop: Path) -> None:
    (small_shop / "policy.yaml").write_text("timezone: Asia/Shanghai\n")
    people = small_shop / "people.csv"
    people.write_text("id,phone\n1,13800138000\n")
    yanshu("import", "customers", str(people), *NOW, cwd=small_shop)
    shown = yanshu("plan", *NOW, cwd=small_shop).stdout
    assert "1 people, 2026-12-01 10:00 to 2026-12-01 10:00 Asia/Shanghai" in shown


def test_a_kept_plan_is_applied_once_and_its_run_can_be_steered(small_shop: Path) -> None:
    where = small_shop
    yanshu("plan", "--out", "plan.json", "--detailed-exitcode", *NOW, cwd=where, check=2)
    assert "--yes" in yanshu("apply", "plan.json", *NOW, cwd=where, check=1).stderr
    yanshu("apply", "plan.json", "--yes", *NOW, cwd=where)
    yanshu("plan", "--detailed-exitcode", *NOW, cwd=where)
    again = yanshu("apply", *NOW, cwd=where).stderr  # nothing to change, so nothing to ask
    assert "nothing to change" in again
    assert "plan again" in yanshu("apply", "plan.json", "--yes", *NOW, cwd=where, check=1).stderr
    for name, told in (("plan.json", "plan again"), ("plam.json", "plam.json: No such file")):
        refused = yanshu("apply", name, *NOW, cwd=where, check=1).stderr
        assert told in refused
        assert "Put this in force?" not in refused  # it is told before anything is asked
    (run,) = answer("status", *NOW, cwd=where)["runs"]
    assert (run["definition"], run["state"]) == ("hello", "open")
    assert answer("pause", "hello", cwd=where)["target"] == "campaign:hello"
    (pause,) = answer("status", cwd=where)["pauses"]
    assert "@" in pause["by"]
    answer("resume", "campaign:hello", "--overdue", "drop", cwd=where)
    relay = {"YANSHU_SMTP__NAME": "aliyun"}
    paused = yanshu("pause", "provider:aliyun", cwd=where, environment=relay).stdout
    assert paused.startswith("paused channel:email")
    told = yanshu("resume", "provider:aliyum", cwd=where, environment=relay, check=64).stderr
    assert "unknown provider 'aliyum'; did you mean 'aliyun'?" in told
    yanshu("resume", "channel:email", "--overdue", "drop", cwd=where)
    assert "did you mean 'hello'?" in yanshu("pause", "helo", cwd=where, check=64).stderr
    for words in (("cancel",), ("retry",), ("settle", "--as", "sent")):  # before anything is asked
        told = yanshu(*words, "campaign:helo", cwd=where, check=64).stderr
        assert "no campaign 'helo' was ever applied; did you mean 'campaign:hello'?" in told
    other_kind = yanshu("pause", "care:hello", cwd=where, check=64).stderr
    assert "no care 'hello' was ever applied; did you mean 'campaign:hello'?" in other_kind


@pytest.mark.parametrize("name", ["", "foo bar", "qq", "me@qq.com", "qq.com."])
def test_what_is_no_domain_cannot_be_paused(shop: Path, name: str) -> None:
    told = yanshu("pause", f"domain:{name}", cwd=shop, check=64).stderr
    assert f"{name!r} is not a domain; write what follows the @, such as domain:qq.com" in told
    assert answer("status", cwd=shop)["pauses"] == []


@pytest.mark.parametrize("number", ["9" * 20, "²", "-1"])
def test_a_number_that_nothing_has_is_told(shop: Path, number: str) -> None:
    told = yanshu("cancel", f"run:{number}", cwd=shop, check=64).stderr
    assert f"there is no run {number!r}; `yanshu status` lists them" in told
    assert "TASK" in yanshu("tasks", "done", "--", number, cwd=shop, check=64).stderr


@pytest.mark.parametrize("moment", ["0001-01-01", "9999-12-31T23:59-10:00"])
def test_a_moment_beyond_the_calendar_is_told(shop: Path, moment: str) -> None:
    told = yanshu("grade", "--now", moment, cwd=shop, check=64).stderr
    assert f"{moment!r} is not of the years 1900 to 2199" in told


def test_up_without_a_mail_server_says_what_to_set(shop: Path) -> None:
    for mode in ((), ("--until-idle",)):
        done = yanshu("up", *mode, cwd=shop, check=1, environment={"YANSHU_SMTP__HOST": ""})
        assert "smtp.host" in done.stderr
        assert done.stdout == ""
