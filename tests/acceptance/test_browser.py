"""A person with a real browser: reads the mail there, follows a link, and leaves the list."""

from __future__ import annotations

import http.server
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait
from sqlalchemy import select

from engine.clock import Clock
from engine.store.migrate import upgrade
from engine.store.session import Store
from engine.store.tables import consents, engagements
from engine.tokens import Purpose
from tests.conftest import missing
from tests.mailing import NOW, SETTINGS, SIGNER, rendered_message
from workers.web.app import create_app
from workers.web.server import listen

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PATIENCE = 15


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    driver = shutil.which("chromedriver")
    if driver is None:
        missing("Chromium", "no chromedriver on PATH")
    options = webdriver.ChromeOptions()
    folder = tempfile.mkdtemp(prefix="yanshu-chromium-")
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    try:
        opened = webdriver.Chrome(options=options, service=Service(driver))
    except Exception as error:
        missing("Chromium", str(error).splitlines()[0])
        raise
    # Without a window it calls itself HeadlessChrome, as robots do: a person's browser does not.
    agent = opened.execute_script("return navigator.userAgent").replace("Headless", "")
    opened.execute_cdp_cmd("Network.setUserAgentOverride", {"userAgent": agent})
    yield opened
    opened.quit()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def shop() -> Iterator[str]:
    """The shop's own site, where links lead."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            referrer = self.headers.get("referer", "none")
            self.wfile.write(f"<title>shop</title><p id=from>{referrer}</p>".encode())

        def log_message(self, *args: Any) -> None:
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def serving(store: Store) -> Iterator[str]:
    """The public web on a port of its own."""
    with listen("127.0.0.1", 0) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = SETTINGS.model_copy(update={"public_url": base})
        app = create_app(store, settings, SIGNER, Clock.starting_at(NOW))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        deadline = time.monotonic() + PATIENCE
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        try:
            yield base
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'yanshu.db'}")
    upgrade(opened)
    yield opened
    opened.close()


def events(store: Store) -> list[tuple[Any, ...]]:
    table = engagements.c
    with store.read() as connection:
        rows = connection.execute(select(table.kind, table.link, table.scanner).order_by(table.id))
        return [tuple(row) for row in rows]


def test_a_link_of_the_viewed_mail_lands_in_the_shop_and_counts_as_a_persons(
    browser: webdriver.Chrome, store: Store, shop: str
) -> None:
    with store.write() as connection:
        delivery = rendered_message(connection, page=f"{shop}/mine?size=110")
    with serving(store) as base:
        browser.get(f"{base}/v/{SIGNER.sign(Purpose.VIEW, delivery)}")
        assert "李梅1，您好" in browser.find_element(By.TAG_NAME, "h1").text
        assert "双十一" in browser.title
        browser.find_element(By.LINK_TEXT, "您的专页").click()
        WebDriverWait(browser, PATIENCE).until(lambda b: b.current_url == f"{shop}/mine?size=110")
        assert browser.find_element(By.ID, "from").text == "none"  # the token is told to nobody
    assert events(store) == [("viewed", None, None), ("clicked", 2, None)]


def test_the_unsubscribe_button_works_and_says_so(browser: webdriver.Chrome, store: Store) -> None:
    with store.write() as connection:
        delivery = rendered_message(connection)
    with serving(store) as base:
        browser.get(f"{base}/v/{SIGNER.sign(Purpose.VIEW, delivery)}")
        browser.find_element(By.LINK_TEXT, "退订").click()
        WebDriverWait(browser, PATIENCE).until(lambda b: "/u/" in b.current_url)
        assert events(store) == [("viewed", None, None)]
        browser.find_element(By.TAG_NAME, "button").click()
        WebDriverWait(browser, PATIENCE).until(lambda b: "已为您退订" in b.title)
        assert "立即生效" in browser.find_element(By.TAG_NAME, "main").text
        assert browser.get_cookies() == []
    with store.read() as connection:
        rows = connection.execute(select(consents.c["class"], consents.c.granted))
        assert {tuple(row) for row in rows} == {("marketing", False), ("care", False)}
    assert [kind for kind, *_ in events(store)] == ["viewed", "unsubscribed"]


def test_one_may_keep_the_care_messages(browser: webdriver.Chrome, store: Store) -> None:
    with store.write() as connection:
        delivery = rendered_message(connection)
    with serving(store) as base:
        browser.get(f"{base}/u/{SIGNER.sign(Purpose.UNSUBSCRIBE, delivery)}")
        browser.find_element(By.CSS_SELECTOR, "input[value=marketing]").click()
        browser.find_element(By.TAG_NAME, "button").click()
        WebDriverWait(browser, PATIENCE).until(lambda b: "已为您退订" in b.title)
        browser.find_element(By.LINK_TEXT, "关怀也不要了？").click()
        WebDriverWait(browser, PATIENCE).until(
            lambda b: "优惠信息。" in b.find_element(By.TAG_NAME, "main").text
        )
    with store.read() as connection:
        assert connection.execute(select(consents.c["class"])).scalars().all() == ["marketing"]
