"""From the shell to the screen and back: connects to the daemon while Textual is being imported, runs the
app, says goodbye.

It holds no app logic and imports Textual only when called. The invariant: whatever happens, the terminal is
restored before anything is printed or raised.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runt.peer.client import Client
    from runt.peer.notebook import Notebook
    from runt.tui.app import NotebookApp

# Read by Textual when it is imported. A frame may follow a key after 8 ms, not 17; Escape is a key after 25
# ms without more, not 100; nothing is animated.
TEXTUAL_ENVIRONMENT: Mapping[str, str] = {
    "TEXTUAL_FPS": "120",
    "ESCDELAY": "25",
    "TEXTUAL_ANIMATIONS": "none",
    "TEXTUAL_SMOOTH_SCROLL": "0",
}

# Garbage is not collected before the first paint is surely over.
COLLECT_AFTER_S = 1.0


def run_notebook(path: str | None, *, new: bool = False, room: str | None = None) -> int:
    """Show a notebook until the person leaves; returns the exit status.

    ``path`` is absolute; None makes an untitled notebook, ``new`` makes one at ``path``, ``room`` opens that room.

    Raises:
        RuntError: it could not be opened, or no daemon could be reached. The terminal is as it was.
    """
    for name, value in TEXTUAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Imports make many objects and no garbage: collecting meanwhile costs a sixth of the time to first paint.
    gc.disable()
    return asyncio.run(_run(path, new, room))


async def _run(path: str | None, new: bool, room: str | None) -> int:
    loop = asyncio.get_running_loop()
    leaving = asyncio.Event()
    hung_up = asyncio.Event()

    def ended(number: int) -> None:
        if number == signal.SIGHUP:
            hung_up.set()
        leaving.set()

    # Before the client, which would otherwise end the process itself on these.
    for number in (signal.SIGHUP, signal.SIGTERM):
        loop.add_signal_handler(number, ended, number)
    from runt.peer.client import Client
    from runt.peer.own_process import own_name
    from runt.store.places import Places
    from runt.store.settings_file import read_settings
    from runt.tui.images.detection import detect_images
    from runt.tui.images.modes import ImageMode

    places = Places.from_environment()
    settings, _ = read_settings(places.settings_json)
    name = os.environ.get("RUNT_NAME") or settings.name or own_name()
    async with Client(name=name, places=places) as client:
        opening = asyncio.ensure_future(_open(client, path, new, room))
        # The terminal answers while we import.
        images = asyncio.ensure_future(asyncio.to_thread(detect_images, os.environ, settings.images))
        try:
            # The import holds the interpreter for most of its 200 ms, but not while it reads files: the
            # daemon's answers come in between.
            module = await asyncio.to_thread(import_module, "runt.tui.app")
            from runt.tui.situation_tracker import file_name
            from runt.tui.theme import initial_theme

            if opening.done() and (error := opening.exception()) is not None:
                raise error
            support = await images
            if support.mode is ImageMode.KITTY:
                # The number of a picture travels as a colour of 24 bits.
                os.environ["COLORTERM"] = "truecolor"
            app = module.NotebookApp(
                opening,
                file_name=file_name(path),
                theme=initial_theme(os.environ, settings.theme),
                images=support.mode,
                cell_pixels=support.cell_pixels,
                own_name=name,
            )
            return await _show(app, leaving, hung_up)
        finally:
            # It has put the terminal into another mode, and puts it back.
            await asyncio.gather(images, return_exceptions=True)
            if not opening.done():
                opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)


async def _open(client: Client, path: str | None, new: bool, room: str | None) -> Notebook:
    if room is not None:
        return await client.join_notebook(room)
    if path is None or new:
        return await client.create_notebook(path)
    return await client.open_notebook(path)


async def _show(app: NotebookApp, leaving: asyncio.Event, hung_up: asyncio.Event) -> int:
    from runt.tui.leaving import farewell_line

    async def watch() -> None:
        await leaving.wait()
        if hung_up.is_set():
            app.abandon_terminal()
        app.exit(app.farewell())

    # What was imported stays: no later collection needs to look at it.
    asyncio.get_running_loop().call_later(COLLECT_AFTER_S, _collect_from_now_on)
    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(watch(), name="signals")
        farewell = await app.run_async()
        watcher.cancel()
    if app.failure is not None:
        raise app.failure
    if farewell is not None and not hung_up.is_set():
        sys.stdout.write(farewell_line(farewell) + "\n")
        sys.stdout.flush()
    return app.return_code or 0


def _collect_from_now_on() -> None:
    gc.freeze()
    gc.enable()
