"""Golden screens of the app, as text: the sketches of what the screen should feel like, kept."""

from __future__ import annotations

import asyncio

import pytest
from textual.events import MouseScrollDown
from textual.strip import Strip

from runt.notebook.notebook_document import NewCell
from runt.tui.app import NotebookApp
from runt.tui.bar_line import Piece, total_width
from runt.tui.commands import BY_ID
from runt.tui.keymap import Keymap, Pending
from runt.tui.session import NotebookSession
from runt.tui.situation import Mode, Person, Situation
from runt.tui.status_line import StatusLine, state_words, status_pieces
from runt.tui.title_line import title_pieces
from tests.tui import grids
from tests.tui.memory_session import MemorySession, Somebody
from tests.tui.test_app import Screen, opened

CELLS = [
    NewCell("markdown", "# Rainfall, 1950–2020\n\nMonthly totals from the station network. **Units: mm.**"),
    'import polars as pl\ndf = pl.read_csv("rain.csv")',
    'df.group_by("year").agg(pl.col("mm").sum()).tail(3)',
    "for epoch in range(50):\n    train(epoch)",
    "plot(df)",
]
TABLE = "year │   mm\n─────┼───────\n2018 │  612.4\n2019 │  588.0\n2020 │  701.9\n"


@pytest.fixture(autouse=True)
def app_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the app's screens apart from the view's."""
    monkeypatch.setattr(grids, "SNAPSHOTS", grids.SNAPSHOTS.parent / "app")


async def scene(screen: Screen) -> None:
    """The notebook of the sketch: some cells ran, somebody else is here, the file is saved."""
    session: MemorySession = screen.session
    keys = session.document.keys()
    session.run(keys[1], "read 840 rows\n")
    session.run(keys[2], TABLE)
    session.kernel(state="ready", activity="idle", name="python3", env_source=".venv")
    session.join("p", Somebody("ann", "#c08040", keys[3], 3, 3))
    await session.save()
    await screen.press()


async def check(screen: Screen, name: str) -> None:
    await screen.pilot.pause(0.1)
    grids.check_grid(name, grids.screen_lines(screen.app))


async def test_command_mode() -> None:
    """The notebook, at rest."""
    async with opened(CELLS) as screen:
        await scene(screen)
        await screen.press("j", "j")
        await check(screen, "command")


async def test_edit_mode() -> None:
    """The focused cell does not move when its editor opens; the keys at the bottom are others."""
    async with opened(CELLS) as screen:
        await scene(screen)
        await screen.press("j", "j", "j", "enter", "end")
        await check(screen, "edit")


async def test_help() -> None:
    """The keys beside the notebook."""
    async with opened(CELLS, size=(110, 58)) as screen:
        await scene(screen)
        await screen.press("f1")
        await check(screen, "help")


async def test_palette() -> None:
    """All commands that have to do with cells, over the notebook."""
    async with opened(CELLS) as screen:
        await scene(screen)
        await screen.press("ctrl+p", *"kernel")
        await check(screen, "palette")


async def test_daemon_gone() -> None:
    """The bottom line says that edits are kept."""
    async with opened(CELLS) as screen:
        await scene(screen)
        screen.session.connection("reconnecting", 3)
        await screen.press()
        await check(screen, "daemon-gone")


async def test_small() -> None:
    """At 60 by 15 the rows belong to the notebook."""
    async with opened(CELLS, size=(60, 15)) as screen:
        await scene(screen)
        await screen.press("j", "enter")
        await check(screen, "small")


# -- the two lines, without an app ----------------------------------------------

NOW = Situation(
    file_name="analysis.ipynb",
    cells=41,
    position=3,
    kernel_name="python3",
    kernel_state="ready",
    activity="idle",
    environment=".venv",
    people=(Person("ann", "#c08040"),),
)


def plain(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize("width", [30, 45, 60, 69, 70, 80, 100, 200])
@pytest.mark.parametrize("mode", Mode)
def test_the_lines_fit_every_width(width: int, mode: Mode) -> None:
    """Neither line is ever wider than the screen; file and save state are always there."""
    now = Situation(file_name="a_rather_long_name_of_a_notebook.ipynb", cells=1000, position=999, mode=mode,
                    kernel_state="ready", activity="busy", kernel_name="python3", environment="uv:pyproject",
                    people=tuple(Person(f"person {n}", "#c08040") for n in range(5)))  # fmt: skip
    title, status = title_pieces(now, width), status_pieces(now, "", None, width)
    assert total_width(title) <= width
    assert total_width(status) <= width
    assert plain(title).startswith(" a_rath")
    assert "saved" in plain(status)


def test_narrow_titles_drop_names_of_kernel_and_environment() -> None:
    """Below 70 columns the state of the kernel stays, its name goes."""
    assert "python3 · .venv · idle   ann" in plain(title_pieces(NOW, 100))
    narrow = plain(title_pieces(NOW, 60))
    assert "python3" not in narrow
    assert narrow.rstrip().endswith("idle   a")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "saved · synced"),
        ({"unsaved": True}, "unsaved · synced"),
        ({"waiting": 1}, "unsaved · 1 change waiting"),
        ({"waiting": 3}, "unsaved · 3 changes waiting"),
        ({"connection": "reconnecting"}, "daemon gone, restarting … your edits are kept"),
        (
            {"connection": "failed", "connection_detail": "no space"},
            "no daemon · no space · your edits are kept",
        ),
        ({"file_error": "the disk is full"}, "not saved: the disk is full"),
        ({"opening": True}, "opening …"),
    ],
)
def test_the_state_is_said_in_words(changes: dict[str, object], words: str) -> None:
    """What holds for the edits, in the words of the sketch."""
    assert state_words(Situation(**changes)).text == words  # type: ignore[arg-type]


def test_a_lost_connection_is_never_hidden_by_a_notice() -> None:
    """A notice shows in quiet times only."""
    gone = Situation(connection="reconnecting")
    assert "daemon gone" in state_words(gone, "copied a cell").text
    assert state_words(NOW, "copied a cell").text == "copied a cell"


def test_the_keys_at_the_bottom_are_those_that_matter_now() -> None:
    """They change with the mode and with what the kernel does."""
    assert plain(status_pieces(NOW, "", None, 100)).endswith("Enter edit   ^J run   F1 help ")
    from msgspec.structs import replace

    assert "ii interrupt" in plain(status_pieces(replace(NOW, activity="busy"), "", None, 100))
    assert "Esc done" in plain(status_pieces(replace(NOW, mode=Mode.EDIT), "", None, 100))
    assert "R connect" in plain(status_pieces(replace(NOW, connection="stopped"), "", None, 120))


def test_a_pending_sequence_says_what_can_follow() -> None:
    """After g: gg."""
    pending = Keymap().feed(Mode.COMMAND, "g")
    assert isinstance(pending, Pending)
    assert plain(status_pieces(NOW, "", pending, 100)).startswith(" g …   g first cell")


def colours(screen: Screen) -> list[list[tuple[str, object, object, object]]]:
    """Each cell of the screen with what it looks like."""
    rows = []
    for strip in screen.app.screen._compositor.render_strips():
        row: list[tuple[str, object, object, object]] = []
        for text, style, _ in strip:
            look = (None, None, None) if style is None else (style.color, style.bold, style.italic)
            row += [(character, *look) if character != " " else (" ", None, None, None) for character in text]
        rows.append(row)
    return rows


async def test_opening_the_editor_moves_and_recolours_nothing() -> None:
    """Every character of the notebook stays where it is, in its colour, but for the caret and the notes
    beside it."""
    source = (
        'import os\n\ndef f(x: int, *, name="é漢") -> str:\n    # comment\n'
        '\treturn f"{x!r}" + str(1.5)  # \\n\n\nclass A(B): pass'
    )
    async with opened([source, "x = 1"]) as screen:
        before = colours(screen)
        await screen.press("enter")
        after = colours(screen)
        row, column = 2, 6
        assert before[row][column][0] == "i"
        before[row][column] = after[row][column]
        assert after[1:-1] == before[1:-1]


async def test_the_lines_take_the_width_of_the_screen_from_the_first_frame_on() -> None:
    """Each frame has them laid out for the width it has: the first one, and those after each resize, without
    a key."""
    async with opened(CELLS, size=(120, 30)) as screen:
        await scene(screen)
        for width in (120, 72, 100):
            await screen.pilot.resize_terminal(width, 30)
            await screen.pilot.pause()
            rows = grids.screen_lines(screen.app)
            assert rows[0].endswith("ann")
            assert len(rows[0]) == width - 1
            assert rows[-1].endswith("help")
            assert len(rows[-1]) == width - 1


async def test_the_first_frame_is_as_wide_as_the_screen() -> None:
    """Before the notebook is there, the keys stand at the right edge already."""
    arrived: asyncio.Future[NotebookSession] = asyncio.get_running_loop().create_future()
    app = NotebookApp(arrived, file_name="analysis.ipynb")
    frames: list[str] = []
    line = StatusLine.render_line

    def painted(self: StatusLine, y: int) -> Strip:
        strip = line(self, y)
        frames.append(strip.text)
        return strip

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StatusLine, "render_line", painted)
        async with app.run_test(size=(120, 30)) as pilot:
            await pilot.pause()
    assert frames[0].rstrip() == frames[0][:-1]
    assert all(len(frame) == 120 for frame in frames)
    arrived.cancel()


async def test_a_short_screen_says_the_kernels_state_in_the_bottom_line() -> None:
    """The title is gone there; what the kernel does is still to be seen, at the right end."""
    async with opened(CELLS, size=(60, 15)) as screen:
        await scene(screen)
        assert screen.status.rstrip().endswith("idle")
        screen.session.kernel(activity="busy")
        await screen.press()
        assert screen.status.rstrip().endswith("busy")
        assert "Enter edit" in screen.status
        await screen.pilot.resize_terminal(60, 30)
        await screen.press()
        assert not screen.status.rstrip().endswith("busy")


# -- help and palette on small screens -------------------------------------------


def on_screen(screen: Screen) -> list[str]:
    return grids.screen_lines(screen.app)


async def test_help_that_does_not_fit_says_so_and_is_paged() -> None:
    """At 40 rows the last row tells that there is more; PgDn shows it; the notebook beside it stays."""
    async with opened(CELLS, size=(120, 40)) as screen:
        await scene(screen)
        await screen.press("f1")
        notebook = [row[:60] for row in on_screen(screen)]
        assert on_screen(screen)[-3].endswith("… more: PgDn · ^P lists every command")
        assert not any("Paint the screen again" in row for row in on_screen(screen))
        await screen.press("pagedown")
        assert any("Paint the screen again" in row for row in on_screen(screen))
        assert on_screen(screen)[-3].endswith("… more: PgUp · ^P lists every command")
        await screen.press("pageup")
        assert any("Run cell and go to the next" in row for row in on_screen(screen))
        assert [row[:60] for row in on_screen(screen)] == notebook
        await screen.pilot._post_mouse_events([MouseScrollDown], offset=(110, 10))
        await screen.press()
        assert not any("Command mode" in row for row in on_screen(screen))
        await screen.press("escape")
        assert not screen.app.help_shown
        await screen.press("enter", "f1", "escape")
        assert screen.mode is Mode.COMMAND
        assert screen.app.help_shown


async def test_pages_are_the_notebooks_when_all_of_the_help_fits() -> None:
    """PgDn scrolls what has more to show."""
    async with opened(["x = 1\n" * 100], size=(120, 70)) as screen:
        await screen.press("f1", "pagedown")
        assert screen.app.desk is not None
        assert screen.app.desk.view.scroll_y > 0


async def test_help_on_a_narrow_screen_lies_over_the_notebook() -> None:
    """It has the whole width, no word is cut, and the notebook below it keeps its rows."""
    async with opened(CELLS, size=(60, 15)) as screen:
        await scene(screen)
        before = on_screen(screen)
        await screen.press("f1")
        assert on_screen(screen)[0].strip().startswith("Command mode")
        assert screen.app.desk is not None
        assert screen.app.desk.view.size.width == 60
        await screen.pilot.resize_terminal(40, 15)
        await screen.press()
        assert " F5    Shift+Enter  Run cell and go …" in [row.rstrip() for row in on_screen(screen)]
        await screen.pilot.resize_terminal(60, 15)
        await screen.press("escape")
        assert on_screen(screen) == before


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (100, "│ Run cell and go to the next                   Shift+Enter  F5        │"),
        (60, "│ Run cell and go to the next       Shift+Enter  F5        │"),
        (45, "│ Run cell and go to the next      F5       │"),
        (30, "│ Run cell and go … F5       │"),
    ],
)
async def test_palette_rows_never_wrap(width: int, row: str) -> None:
    """Where it is narrow the state goes first, then all keys but one."""
    async with opened(CELLS, size=(width, 30)) as screen:
        await screen.press("ctrl+p")
        shown = [line.strip() for line in on_screen(screen) if line.strip().startswith("│ ")]
        assert row in shown
        beginnings = {command.title[:10].strip() for command in BY_ID.values()}
        assert len(shown) > 10
        assert {line[2:12].strip() for line in shown[2:]} <= beginnings


async def test_a_palette_without_a_match_says_so() -> None:
    """One dim row, which cannot be chosen."""
    async with opened(CELLS) as screen:
        await screen.press("ctrl+p", *"zzzz")
        assert any("no command matches" in row for row in on_screen(screen))
        await screen.press("enter")
        assert len(screen.app.screen_stack) == 1


async def test_a_resize_below_the_palette_is_not_forgotten() -> None:
    """The title comes back on a taller screen although the palette was open."""
    async with opened(CELLS, size=(60, 15)) as screen:
        await screen.press("ctrl+p")
        await screen.pilot.resize_terminal(100, 30)
        await screen.press("escape")
        assert "analysis.ipynb" in on_screen(screen)[0]
