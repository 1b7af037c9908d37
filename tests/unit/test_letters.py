"""What a worker makes of a claimed row."""

from __future__ import annotations

from dataclasses import replace

from engine.delivery.letters import Letter, Row, Writer
from engine.rendering.context import customer_context
from engine.store.catalog import Version
from tests.rendering_kit import NOW, SETTINGS, SIGNER, campaign, page


def test_each_step_goes_out_under_its_own_sender() -> None:
    """What MAIL FROM says is where bounces come back to."""
    (first,) = campaign().steps
    (second,) = campaign(sender="年货 <new-year@tea.example>").steps
    definition = replace(campaign(), steps=(first, replace(second, id="later")))
    files = {"templates/email/news.html.j2": page("")}
    version = Version("d", "campaigns/news.yaml", files, definition, {}, NOW)
    customer = customer_context({"ref": "1", "email": "a@mail.example"})
    writer = Writer(SETTINGS, SIGNER, "Asia/Shanghai")

    def sender(step: str) -> str:
        row = Row(1, "0" * 20, 1, 1, None, "d", "email", 0, None, 0, NOW, NOW, step, None)
        return writer.render(Letter(row, version, customer, None, ()), NOW).envelope.sender

    assert [sender("mail"), sender("later")] == ["hi@tea.example", "new-year@tea.example"]
