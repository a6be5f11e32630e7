"""The pictures of the README, made from a real run: the app over a real daemon and kernel.

Run from the root of the repository: uv run --all-groups python docs/make_pictures.py
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import matplotlib
import resvg_py

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.harness.house import House  # noqa: E402

COLUMNS, ROWS = 104, 42


async def screenshot(path: Path) -> str:
    """Run the notebook in the app, go to its outputs, and return what is on the screen as SVG."""
    from runt.peer.client import Client
    from runt.tui.app import NotebookApp
    from runt.tui.run import TEXTUAL_ENVIRONMENT

    os.environ.update(TEXTUAL_ENVIRONMENT)
    async with Client(name="ann") as client:
        opening = asyncio.ensure_future(client.open_notebook(str(path)))
        app = NotebookApp(opening, file_name=path.name, own_name="ann")
        async with Client(name="bob") as other, app.run_test(size=(COLUMNS, ROWS)) as pilot:
            session = await opening
            while session.runtime.kernel.activity != "idle":
                await pilot.pause(0.05)
            guest = await other.open_notebook(str(path))
            guest.set_presence(guest.document.keys()[6], None, None, "command", "#d6b06f")
            await pilot.press("f9")
            while session.runtime.queue or session.runtime.kernel.activity != "idle":
                await pilot.pause(0.1)
            await pilot.press("G", "k", "k", "k")
            await pilot.pause(6.0)  # notices and names have gone
            return app.export_screenshot()


def write_png(svg: str, target: Path) -> None:
    """Draw the SVG, which names a font of the web, with the one that matplotlib brings to every machine."""
    fonts = str(Path(matplotlib.get_data_path()) / "fonts" / "ttf")
    family = "DejaVu Sans Mono"
    png = resvg_py.svg_to_bytes(
        svg_string=svg.replace("Fira Code", family), font_dirs=[fonts], monospace_family=family
    )
    target.write_bytes(bytes(png))


def main() -> None:
    with House() as house:
        os.environ.update(
            {name: value for name, value in house.environment.items() if name.startswith("RUNT_")}
        )
        notebook = house.path("tour.ipynb")
        shutil.copy(ROOT / "examples" / "tour.ipynb", notebook)
        write_png(asyncio.run(screenshot(notebook)), ROOT / "docs" / "images" / "tour.png")


if __name__ == "__main__":
    main()
