"""The settings channel: what peers see and change, and what reaches settings.json."""

from __future__ import annotations

import json

from runt.notebook.settings_document import SettingsDocument
from runt.protocol.events import SyncReceived
from runt.protocol.ysync import EMPTY_STATE, SyncKind
from tests.daemon.daemon_in_loop import DaemonInLoop, until
from tests.daemon.raw_client import RawClient


class SettingsClient(RawClient):
    """A raw client with a settings document."""

    def __init__(self) -> None:
        super().__init__()
        self.settings = SettingsDocument()
        self.settings.observe_updates(
            lambda update, origin: None if origin == "remote" else self.sync("s", SyncKind.UPDATE, update)
        )

    def _event(self, event: object) -> None:
        if isinstance(event, SyncReceived):
            if event.kind is SyncKind.STEP1:
                self.sync("s", SyncKind.STEP2, self.settings.update_since(event.data))
            else:
                self.settings.apply(event.data, "remote")
        else:
            super()._event(event)


async def join(here: DaemonInLoop) -> SettingsClient:
    client = await SettingsClient.connect(here.places.socket, channel="settings")
    assert isinstance(client, SettingsClient)
    client.sync("s", SyncKind.STEP1, EMPTY_STATE)
    await client.until(lambda: client.settings.all(), "the settings")
    return client


async def test_a_change_reaches_the_file_and_the_other_peers(here: DaemonInLoop) -> None:
    """Defaults are shown; what one peer sets, the others see, the daemon uses and the file keeps."""
    one, two = await join(here), await join(here)
    assert one.settings.get("theme") == "system"
    one.settings.set("stop_on_error", False, "me")
    await two.until(lambda: two.settings.get("stop_on_error") is False, "the change")
    await until(here.places.settings_json.exists, "the file")
    await until(
        lambda: json.loads(here.places.settings_json.read_text()) == {"stop_on_error": False}, "the value"
    )
    assert here.daemon.settings.current.stop_on_error is False
    one.close()
    two.close()


async def test_a_value_that_is_not_valid_is_set_back(here: DaemonInLoop) -> None:
    """The peer sees the old value again; the file is not written."""
    client = await join(here)
    client.settings.set("theme", "plaid", "me")
    await client.until(lambda: client.settings.get("theme") == "system", "the old value")
    assert not here.places.settings_json.exists()
    client.close()


async def test_settings_survive_an_update_that_breaks_their_document(here: DaemonInLoop) -> None:
    """Its sender is dropped; the others connect again, find the values, and can change them."""
    good, bad = await join(here), await join(here)
    good.settings.set("theme", "light", "me")
    await bad.until(lambda: bad.settings.get("theme") == "light", "the change")
    here.daemon.settings.document.poisoned = True  # what pycrdt's panic leaves behind
    bad.settings.set("theme", "dark", "me")
    await bad.until(lambda: bad.lost, "the end of the sender")
    await good.until(lambda: good.lost, "the end of the other connection")
    again = await join(here)
    assert again.settings.get("theme") == "light"
    again.settings.set("stop_on_error", False, "me")
    await until(lambda: not here.daemon.settings.current.stop_on_error, "the new change")
