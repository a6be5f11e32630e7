"""The app over an in-memory notebook: what keys do, what is asked of the daemon, what the lines say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import Context

import pytest
from textual.pilot import Pilot

from runt.errors import NotebookFileError, RequestError
from runt.notebook.notebook_document import NewCell
from runt.peer.events import Notice
from runt.tui.app import NotebookApp
from runt.tui.commands import BY_ID
from runt.tui.decision import Decision
from runt.tui.editor.area import CrdtArea
from runt.tui.help_panel import HelpPanel
from runt.tui.palette import Palette
from runt.tui.question import QuestionLine
from runt.tui.session import NotebookSession
from runt.tui.situation import Mode
from runt.tui.status_line import StatusLine
from runt.tui.title_line import TitleLine
from tests.tui import grids
from tests.tui.memory_session import MemorySession, Somebody, memory_session

CELLS = ["a = 1", "b = 2", "c = 3"]


class Screen:
    """The running app and its session, with words for what tests look at."""

    def __init__(self, app: NotebookApp, session: MemorySession, pilot: Pilot[object]) -> None:
        self.app, self.session, self.pilot = app, session, pilot

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
        await self.app.errands.idle()
        await self.pilot.pause()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition; the test's own time limit ends it."""
        for _ in range(400):
            if condition():
                return
            await self.pilot.pause(0.01)
        raise AssertionError(f"waited in vain; status: {self.status!r}")

    @property
    def sources(self) -> list[str]:
        document = self.session.document
        return [document.cell(key).source for key in list(document.keys())]

    @property
    def focused(self) -> int:
        assert self.app.desk is not None
        return self.app.desk.index

    @property
    def mode(self) -> Mode:
        assert self.app.desk is not None
        return self.app.desk.mode

    @property
    def editor(self) -> CrdtArea:
        assert self.app.desk is not None
        assert self.app.desk.editor is not None
        return self.app.desk.editor

    @property
    def status(self) -> str:
        return self.app.screen_stack[0].query_one(StatusLine).plain

    @property
    def title(self) -> str:
        return self.app.screen_stack[0].query_one(TitleLine).plain


@asynccontextmanager
async def opened(
    cells: Sequence[NewCell | str] = CELLS, size: tuple[int, int] = (100, 30), **options: object
) -> AsyncIterator[Screen]:
    """The app with a notebook open and its kernel started."""
    session = memory_session(cells, **options)

    async def opening() -> NotebookSession:
        return session

    app = NotebookApp(opening(), file_name="analysis.ipynb", own_name="me")
    async with app.run_test(size=size) as pilot:
        screen = Screen(app, session, pilot)
        await screen.until(lambda: app.desk is not None and "opening" not in screen.status)
        await screen.press()
        session.requests.clear()
        yield screen


# -- opening ---------------------------------------------------------------


async def test_a_notebook_opens_in_command_mode_with_the_first_cell_focused() -> None:
    """Nothing is being edited, a letter typed edits nothing."""
    async with opened() as screen:
        assert screen.mode is Mode.COMMAND
        assert screen.focused == 0
        await screen.press("q", "w", "1", "$")
        assert screen.sources == CELLS
        assert "cell 1 of 3" in screen.status


async def test_the_frame_is_painted_before_the_notebook_is_there() -> None:
    """Title and status stand while the notebook is on its way."""
    arrived: asyncio.Future[NotebookSession] = asyncio.get_running_loop().create_future()
    app = NotebookApp(arrived, file_name="analysis.ipynb")
    async with app.run_test() as pilot:
        await pilot.pause()
        assert "analysis.ipynb" in app.query_one(TitleLine).plain
        assert "opening" in app.query_one(StatusLine).plain
        arrived.set_result(memory_session(CELLS))
        screen = Screen(app, arrived.result(), pilot)  # type: ignore[arg-type]
        await screen.until(lambda: "cell 1 of 3" in screen.status)


async def test_a_notebook_that_cannot_be_opened_ends_the_app_with_its_error() -> None:
    """The app is left with status 2 and keeps the error for the shell."""

    async def opening() -> NotebookSession:
        raise NotebookFileError("x.ipynb", "not a notebook")

    app = NotebookApp(opening())
    async with app.run_test() as pilot:
        await pilot.pause()
    assert isinstance(app.failure, NotebookFileError)
    assert app.return_code == 2


async def test_a_kernel_is_started_when_there_is_none() -> None:
    """Opening asks for a kernel in the background, once."""
    async with opened() as screen:
        assert screen.session.runtime.kernel.state == "ready"
        assert "python3 · idle" in screen.title


# -- editing ---------------------------------------------------------------


async def test_enter_edits_and_escape_returns() -> None:
    """What is typed is in the document at once; Escape leaves the cell focused."""
    async with opened() as screen:
        await screen.press("j", "enter", "x", "escape", "y")
        assert screen.sources == ["a = 1", "xb = 2", "c = 3"]
        assert screen.mode is Mode.COMMAND
        assert screen.focused == 1


async def test_keys_typed_in_one_burst_are_dealt_with_in_order() -> None:
    """Text before Escape is in the cell, commands after it are commands, text after Enter is text."""
    async with opened() as screen:
        for key in ("enter", "h", "i", "escape", "j", "j", "enter", "z", "escape", "d", "d"):
            screen.app.simulate_key(key)
        await screen.until(lambda: screen.sources == ["hia = 1", "b = 2"])


async def test_arrows_leave_the_editor_at_its_ends() -> None:
    """Down on the last row edits the next cell, Up on the first row the one before."""
    async with opened(["one", "two\nthree"]) as screen:
        await screen.press("enter", "right", "down")
        assert screen.editor.key == screen.session.document.keys()[1]
        assert screen.editor.cursor_location == (0, 1)
        await screen.press("down", "up", "up")
        assert screen.editor.key == screen.session.document.keys()[0]


async def test_a_click_into_the_source_edits_there() -> None:
    """The caret is where the mouse was; Escape gives the keys back to the notebook."""
    async with opened(["alpha = 1", "beta = 2\ngamma = 3"]) as screen:
        rows = grids.screen_lines(screen.app)
        y = next(at for at, row in enumerate(rows) if "gamma" in row)
        await screen.pilot.click(offset=(rows[y].index("gamma") + 2, y))
        await screen.until(lambda: screen.mode is Mode.EDIT)
        assert screen.editor.key == screen.session.document.keys()[1]
        assert screen.editor.cursor_location == (1, 2)
        await screen.press("X", "escape", "k")
        assert screen.sources[1] == "beta = 2\ngaXmma = 3"
        assert screen.focused == 0


async def test_a_paste_goes_into_the_editor_and_nowhere_else() -> None:
    """In command mode a paste changes nothing and says how to paste."""
    from textual.events import Paste

    async with opened() as screen:
        await screen.app.on_event(Paste("dd\nx"))
        assert screen.sources == CELLS
        await screen.pilot.pause()
        assert "Enter edits" in screen.status
        await screen.press("enter")
        await screen.app.on_event(Paste("x = 0\r\n\x1b"))
        assert screen.sources[0] == "x = 0\na = 1"


async def test_a_peers_edit_appears_in_the_open_editor() -> None:
    """Remote text is in the editor and the caret keeps its place."""
    async with opened() as screen:
        await screen.press("enter", "end")
        screen.session.document.cell(screen.editor.key).splice(0, 0, "# ann\n", "remote")
        assert screen.editor.text == "# ann\na = 1"
        assert screen.editor.cursor_location == (1, 5)


async def test_a_cell_deleted_by_somebody_else_closes_its_editor() -> None:
    """The editor does not stay over nothing."""
    async with opened() as screen:
        await screen.press("enter")
        screen.session.document.delete_cell(screen.editor.key, "remote")
        await screen.press()
        assert screen.mode is Mode.COMMAND
        assert "somebody deleted the cell" in screen.status


async def test_split_and_merge_are_each_undone_at_once() -> None:
    """F6 splits at the caret, M merges, z takes either back whole."""
    async with opened(["ab\ncd", "end"]) as screen:
        await screen.press("enter", "down", "f6", "escape")
        assert screen.sources == ["ab", "cd", "end"]
        await screen.press("k", "M")
        assert screen.sources == ["ab\ncd", "end"]
        await screen.press("z")
        assert screen.sources == ["ab", "cd", "end"]
        await screen.press("z")
        assert screen.sources == ["ab\ncd", "end"]


# -- commands on cells -----------------------------------------------------


async def test_cells_are_inserted_moved_retyped_and_deleted_by_their_keys() -> None:
    """a, b, J, K, m, y, r, dd do what they do in JupyterLab."""
    async with opened() as screen:
        await screen.press("b")
        assert screen.sources == ["a = 1", "", "b = 2", "c = 3"]
        assert screen.focused == 1
        await screen.press("J")
        assert screen.sources == ["a = 1", "b = 2", "", "c = 3"]
        await screen.press("K", "K", "m")
        assert screen.sources == ["", "a = 1", "b = 2", "c = 3"]
        key = screen.session.document.keys()[0]
        assert screen.session.document.cell(key).type == "markdown"
        await screen.press("r")
        assert screen.session.document.cell(key).type == "raw"
        await screen.press("y", "d", "d", "a")
        assert screen.sources == ["", "a = 1", "b = 2", "c = 3"]
        assert screen.focused == 0


async def test_z_undoes_everything_in_order() -> None:
    """Cell commands and typing come back last to first; Z does them again."""
    async with opened() as screen:
        await screen.press("enter", "X", "escape", "j", "d", "d", "J")
        assert screen.sources == ["Xa = 1", "c = 3"]
        await screen.press("z")
        assert screen.sources == ["Xa = 1", "b = 2", "c = 3"]
        assert screen.focused == 1
        await screen.press("z")
        assert screen.sources == CELLS
        await screen.press("Z", "Z")
        assert screen.sources == ["Xa = 1", "c = 3"]


async def test_cut_copy_and_paste() -> None:
    """x and c fill the clipboard, v and V insert it as new cells."""
    async with opened() as screen:
        await screen.press("x", "v", "V")
        assert screen.sources == ["b = 2", "a = 1", "a = 1", "c = 3"]
        keys = screen.session.document.keys()
        assert len(set(keys)) == 4


async def test_a_pending_key_is_shown_and_escape_drops_it() -> None:
    """After d the line says what dd would do; after Escape it is as before."""
    async with opened() as screen:
        await screen.press("d")
        assert "d … " in screen.status
        assert "delete cell" in screen.status
        await screen.press("escape", "d")
        assert screen.sources == CELLS


async def test_an_empty_notebook_can_be_begun() -> None:
    """Enter makes the first cell and edits it."""
    async with opened([]) as screen:
        assert "no cells" in screen.status
        await screen.press("enter", "h", "i")
        assert screen.sources == ["hi"]


# -- running ---------------------------------------------------------------


async def test_run_and_advance_makes_a_cell_at_the_end() -> None:
    """F5 runs and goes on; at the end a new cell is there to type in."""
    async with opened(["a = 1"]) as screen:
        await screen.press("f5")
        [request] = screen.session.requests
        assert request == ("execute", (screen.session.document.keys()[0],))
        assert screen.sources == ["a = 1", ""]
        assert screen.mode is Mode.EDIT


async def test_ctrl_j_runs_in_place_from_the_editor() -> None:
    """What was typed runs; the cell stays focused, in command mode."""
    async with opened() as screen:
        await screen.press("enter", "x", "ctrl+j")
        assert screen.session.names() == ["execute"]
        assert screen.mode is Mode.COMMAND
        assert screen.focused == 0
        assert screen.sources[0] == "xa = 1"


async def test_a_markdown_cell_only_advances() -> None:
    """Running text asks nothing of the daemon."""
    async with opened([NewCell("markdown", "# Title"), "a = 1"]) as screen:
        await screen.press("f5")
        assert screen.session.requests == []
        assert screen.focused == 1


async def test_run_all_interrupt_and_restart_ask_the_daemon() -> None:
    """F9, ii and 00; a single i or 0 does nothing."""
    async with opened() as screen:
        await screen.press("f9")
        assert screen.session.requests[0] == ("execute", tuple(screen.session.document.keys()))
        await screen.press("i", "j", "0", "k")
        assert screen.session.names() == ["execute"]
        await screen.press("i", "i", "0", "0")
        assert screen.session.names() == ["execute", "interrupt", "restart"]


async def test_a_run_whose_source_changed_says_so_calmly() -> None:
    """The refusal is one line, nothing runs, nothing blocks."""
    async with opened() as screen:
        screen.session.refuse = RequestError("source_changed", "the source is another one")
        await screen.press("ctrl+j")
        assert "edited by somebody else" in screen.status
        await screen.press("j")
        assert screen.focused == 1


async def test_output_that_arrives_outside_the_apps_context_is_painted() -> None:
    """What the daemon sends comes in the connection's context, older than the app: it still reaches the
    screen."""
    async with opened() as screen:
        view = screen.app.desk.view  # type: ignore[union-attr]
        key = screen.session.document.keys()[0]
        for number in range(3):
            Context().run(screen.session.run, key, f"output number {number}\n")
            await screen.until(
                lambda number=number: any(f"number {number}" in row for row in view.transcript())
            )


# -- lines, help, palette --------------------------------------------------


async def test_the_status_line_speaks_of_edits_when_the_daemon_goes_and_comes() -> None:
    """Gone, kept, back: in words, in the bottom line."""
    async with opened() as screen:
        screen.session.connection("reconnecting", 3)
        await screen.press()
        assert "daemon gone, restarting … your edits are kept (3 waiting)" in screen.status
        screen.session.connection("connected", 0)
        await screen.press()
        assert "back · kernel still running · all edits synced" in screen.status
        screen.session.connection("stopped", 1)
        await screen.press()
        assert "the daemon was stopped · your edits are kept (1 waiting)" in screen.status
        await screen.press("R")
        assert screen.session.names() == ["reconnect"]


async def test_a_change_marks_the_file_unsaved_until_it_is_saved() -> None:
    """The mark in the title and the word in the status line come and go."""
    async with opened() as screen:
        assert "●" not in screen.title
        await screen.press("enter", "x")
        assert "●" in screen.title
        assert "unsaved · synced" in screen.status
        await screen.press("ctrl+s")
        assert screen.session.names() == ["save"]
        assert "●" not in screen.title
        assert "saved" in screen.status


async def test_people_are_named_and_safe() -> None:
    """A peer's name is in the title without anything a terminal would obey, their caret in the editor."""
    async with opened() as screen:
        key = screen.session.document.keys()[0]
        screen.session.join("p", Somebody("a\x1b[31mnn" + "n" * 30, "not a colour", key, 5, 5))
        await screen.press("enter")
        assert "a␛[31mnn" in screen.title
        assert "\x1b" not in screen.title
        assert screen.editor.carets
        screen.session.join("p", None)
        await screen.press()
        assert "nn" not in screen.title
        assert not screen.editor.carets


async def test_a_hostile_notice_is_shown_harmless() -> None:
    """Text from the daemon is sanitised before the line."""
    async with opened() as screen:
        screen.session.tell(Notice("file changed \x1b]0;owned\x07"))
        await screen.press()
        assert "file changed ␛]0;owned␇" in screen.status


async def test_where_we_are_is_told_to_the_others() -> None:
    """Presence carries cell, caret in code points, and mode; the last of a burst arrives."""
    async with opened(["é漢 = 1"]) as screen:
        await screen.press("enter", "right", "right")
        key = screen.session.document.keys()[0]
        await screen.until(lambda: screen.session.places and screen.session.places[-1] == (key, 2, 2, "edit"))


async def test_help_follows_the_mode_and_leaves_the_notebook_visible() -> None:
    """F1 opens a panel beside the notebook, with the keys of the mode, and closes it."""
    async with opened() as screen:
        await screen.press("f1")
        panel = screen.app.query_one(HelpPanel)
        assert panel.mode is Mode.COMMAND
        assert screen.app.desk is not None
        assert screen.app.desk.view.size.width > 40
        await screen.press("enter")
        assert panel.mode is Mode.EDIT
        await screen.press("f1")
        assert not screen.app.query(HelpPanel)
        assert screen.mode is Mode.EDIT


async def test_the_palette_runs_what_is_found() -> None:
    """Ctrl+P, some words, Enter; Escape changes nothing."""
    async with opened() as screen:
        await screen.press("ctrl+p")
        assert isinstance(screen.app.screen, Palette)
        await screen.press(*"below insert", "enter")
        await screen.until(lambda: len(screen.sources) == 4)
        await screen.press("ctrl+p", *"delete", "escape")
        assert len(screen.sources) == 4


async def test_every_command_can_be_run_from_the_palette() -> None:
    """No command fails for want of a handler or in an ordinary situation."""
    async with opened(["a", "b", "c"]) as screen:
        for id_ in BY_ID:
            if id_ in ("app.leave", "app.palette"):
                continue
            await screen.app.run_command(BY_ID[id_])
            await screen.pilot.pause()
            if isinstance(screen.app.screen, QuestionLine):
                await screen.pilot.press("escape")
            await screen.press()
            assert screen.app.is_running, id_


# -- before the notebook is there -------------------------------------------


async def test_what_is_typed_before_the_notebook_is_there_is_not_lost() -> None:
    """Keys and pastes wait for the notebook and are dealt with in their order."""
    session = memory_session(["a"])
    there = asyncio.get_running_loop().create_future()

    async def opening() -> NotebookSession:
        await there
        return session

    app = NotebookApp(opening(), file_name="late.ipynb")
    async with app.run_test(size=(100, 30)) as pilot:
        screen = Screen(app, session, pilot)
        for key in ("b", "enter", "x", "y", "escape", "k"):
            await pilot.press(key)
        assert screen.sources == ["a"]
        there.set_result(None)
        await screen.until(lambda: screen.sources == ["a", "xy"] and screen.focused == 0)
        assert screen.mode is Mode.COMMAND


# -- files -----------------------------------------------------------------


async def answer(screen: Screen, key: str, *typed: str) -> None:
    """Press a key that asks, then answer."""
    await screen.pilot.press(key)
    await screen.until(lambda: isinstance(screen.app.screen, QuestionLine))
    await screen.press(*typed)


async def test_an_untitled_notebook_is_asked_for_a_name_when_it_is_saved() -> None:
    """Save asks, adds the suffix, goes on with the new name; Escape asks nothing of the daemon."""
    async with opened() as screen:
        screen.session.path = None
        await answer(screen, "ctrl+s", "escape")
        assert screen.session.names() == []
        await answer(screen, "ctrl+s", *"/made", "enter")
        assert screen.session.requests == [("save_as", "/made.ipynb")]
        assert "saved as /made.ipynb" in screen.status
        assert "made.ipynb" in screen.title
        await screen.press("ctrl+s")
        assert screen.session.names() == ["save_as", "save"]
        assert screen.mode is Mode.COMMAND


async def test_saving_under_another_name_starts_from_the_present_one() -> None:
    """S shows the present path, to be changed."""
    async with opened() as screen:
        await answer(screen, "S", *["backspace"] * 6, *"-2.ipynb", "enter")
        assert screen.session.requests == [("save_as", "/home/ann/analysis-2.ipynb")]


# -- leaving ---------------------------------------------------------------


async def test_leaving_is_at_once_when_everything_is_acknowledged() -> None:
    """No question; the farewell says what goes on."""
    async with opened() as screen:
        await screen.press("ctrl+q")
    farewell = screen.app.return_value
    assert farewell is not None
    assert farewell.kernel_state == "ready"
    assert not screen.session.spilled


async def test_leaving_while_the_daemon_is_away_keeps_the_edits() -> None:
    """What waits is kept on disk, without a question."""
    async with opened() as screen:
        screen.session.connection("reconnecting", 2)
        await screen.press("ctrl+q")
    assert screen.session.spilled
    assert screen.app.return_value is not None
    assert screen.app.return_value.waiting == 2


async def test_leaving_asks_only_when_edits_would_be_lost() -> None:
    """If they cannot even be kept on disk, a person decides; Escape stays."""
    async with opened() as screen:
        screen.session.spill_error = "the disk is full"
        screen.session.connection("reconnecting", 2)
        await screen.press("ctrl+q")
        assert isinstance(screen.app.screen, Decision)
        await screen.press("escape")
        assert screen.app.is_running
        assert not isinstance(screen.app.screen, Decision)
        screen.session.connection("reconnecting", 2)
        await screen.press("ctrl+q", "q")
    assert screen.app.return_value is not None


# -- size ------------------------------------------------------------------


async def test_a_big_notebook_has_few_widgets() -> None:
    """The number of widgets does not grow with the cells: under 100 at 1000, the editor open."""
    async with opened([f"cell_{number} = {number}" for number in range(1000)]) as screen:
        await screen.press("enter", "f1")
        assert len(list(screen.app.screen.walk_children())) < 100
        await screen.press("escape", "G")
        assert screen.focused == 999
        assert "cell 1000 of 1000" in screen.status


@pytest.mark.parametrize(("size", "title_shown"), [((100, 30), True), ((60, 15), False)])
async def test_a_short_screen_gives_its_rows_to_the_notebook(
    size: tuple[int, int], title_shown: bool
) -> None:
    """Below 20 rows title and rules go; one can still edit and read the status."""
    async with opened(size=size) as screen:
        assert screen.app.query_one(TitleLine).display is title_shown
        await screen.press("enter", "x")
        assert screen.sources[0] == "xa = 1"
        assert "Esc done" in screen.status
