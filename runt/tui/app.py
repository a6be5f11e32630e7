"""The app: puts the screen together and brings each key, event and change to the place that deals with it.

It decides nothing about notebooks: ``commands`` says what there is, ``actions`` what it does, ``desk`` what
is open. The invariant:
keys and pastes are dealt with one at a time, in the order they came, so that text typed before Escape is in
the cell before it closes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.filter import LineFilter

from runt.errors import ConnectionLost, RuntError
from runt.notebook.notebook_document import CellKey
from runt.peer.events import DaemonEvent, DocumentReplaced, Notice, PeerEvent, StatusChanged
from runt.terminal.sanitise import display_text
from runt.tui.actions.handlers import HANDLERS
from runt.tui.bar_line import RuleLine
from runt.tui.commands import BY_ID, Command, why_not
from runt.tui.desk import Desk
from runt.tui.errands import Errands
from runt.tui.guard import Guard
from runt.tui.help_panel import HelpPanel
from runt.tui.images.modes import DEFAULT_CELL_PIXELS, ImageMode
from runt.tui.key_routing import KeyRouting
from runt.tui.key_screen import KeyScreen
from runt.tui.leaving import Farewell, cannot_keep, keep_edits
from runt.tui.palette import Palette
from runt.tui.presence_reporter import PresenceReporter
from runt.tui.question import Question, QuestionLine
from runt.tui.session import NotebookSession, Opening
from runt.tui.situation import Situation
from runt.tui.situation_tracker import SituationTracker
from runt.tui.status_line import StatusLine
from runt.tui.textual_compat import TerminalApp
from runt.tui.theme import DARK, THEMES, next_theme
from runt.tui.title_line import TitleLine
from runt.tui.view.messages import CellActivated, CellFocused
from runt.tui.view.notebook_view import NotebookView

# A notice stays until the next one, or this long (seconds): time to read a line twice.
NOTICE_S = 5.0
# Below this many rows the title and the rules go.
SHORT_ROWS = 20
# Below this many columns the help lies over the notebook, which has no room beside it.
NARROW_COLUMNS = 90
# Commands that page the help while it is shown and there is more of it.
HELP_PAGES = {"view.page_down": 1, "view.page_up": -1}


class NotebookApp(TerminalApp[Farewell]):
    """One notebook on the screen. ``opening`` is awaited after the frame is painted; ``file_name`` is
    display-safe."""

    TITLE = "runt"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #body { height: 1fr; background: $background; layers: default over; }
    NotebookView { width: 1fr; height: 1fr; }
    .short #title, .short RuleLine { display: none; }
    .narrow HelpPanel { layer: over; width: 100%; border: none; }
    """

    def __init__(
        self,
        opening: Opening,
        *,
        file_name: str = "",
        theme: str = DARK.name,
        images: ImageMode = ImageMode.HALF,
        cell_pixels: tuple[int, int] = DEFAULT_CELL_PIXELS,
        own_name: str = "",
        start_kernel: bool = True,
    ) -> None:
        super().__init__()
        for each in THEMES:
            self.register_theme(each)
        self.theme = theme
        self._opening = opening
        self._file_name = file_name
        self._images = images
        self._cell_pixels = cell_pixels
        self._own_name = own_name
        self._start_kernel = start_kernel
        self._carets_shown_in: object = None
        self._guard = Guard()
        self._routing = KeyRouting(self, self._changed)
        self._notice = ""
        self._notice_number = 0
        self._lines_due = False
        self._was_away = False
        self.errands = Errands(self._refused)
        self.session: NotebookSession | None = None
        self.desk: Desk | None = None
        self.tracker: SituationTracker | None = None
        self.presence: PresenceReporter | None = None
        self.failure: RuntError | None = None

    # -- composition -------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Title, rule, notebook, rule, status."""
        yield TitleLine(id="title")
        yield RuleLine()
        yield Horizontal(id="body")
        yield RuleLine()
        yield StatusLine(id="status")

    def get_line_filters(self) -> Sequence[LineFilter]:
        """The guard first: nothing after it adds text."""
        return [self._guard, *super().get_line_filters()]

    def on_mount(self) -> None:
        """Paint the frame, then wait for the notebook; one that is here already is painted with the frame."""
        self._show_lines()
        self.app_resume_signal.subscribe(self, lambda _app: self.forget_screen())
        if isinstance(self._opening, asyncio.Future) and self._opening.done():
            self._wait_for_notebook()
        else:
            self.call_after_refresh(self._wait_for_notebook)

    def _wait_for_notebook(self) -> None:
        self.errands.start(self._open(), "open")

    async def _open(self) -> None:
        try:
            session = await self._opening
        except RuntError as error:
            self.failure = error
            self.exit(return_code=2)
            return
        self.session = session
        view = NotebookView(
            session,
            images=self._images,
            send_graphics=self.write_graphics,
            cell_pixels=self._cell_pixels,
        )
        self.desk = Desk(
            session,
            view,
            self.errands,
            say=self.say,
            changed=self._changed,
            focus=self._focus_view,
            ask=self.ask,
        )
        self.tracker = SituationTracker(session, self._changed, self._session_event)
        self.presence = PresenceReporter(self.desk, self.set_timer)
        view.own_name = self._own_name
        await self.query_one("#body").mount(view)
        view.focus(scroll_visible=False)
        if view.focused is None and len(session.document):
            view.focus_cell(session.document.keys()[0], visible=False)
        self._changed()
        self.presence.show_peers()
        await self.desk.answering.look()
        if self._start_kernel and session.runtime.kernel.state == "none":
            self.errands.start(session.start_kernel(), "start kernel")
        await self._routing.catch_up()

    def _focus_view(self) -> None:
        if self.desk is not None:
            self.desk.view.focus(scroll_visible=False)

    # -- what is shown -----------------------------------------------------

    @property
    def situation(self) -> Situation:
        """The situation now."""
        if self.desk is None or self.tracker is None:
            return Situation(
                opening=True, file_name=self._file_name, theme=self.theme, help_shown=self.help_shown
            )
        desk = self.desk
        return self.tracker.now(
            mode=desk.mode,
            focused=desk.focused,
            undoable=desk.history.undoable,
            redoable=desk.history.redoable,
            clipboard=len(desk.clipboard),
            theme=self.theme,
            help_shown=self.help_shown,
        )

    def _changed(self) -> None:
        """Something shown in the lines may differ: paint them once, after what is going on now."""
        if not self._lines_due and self.is_running:
            self._lines_due = True
            self.call_later(self._show_lines)
        if self.presence is not None:
            self.presence.moved()

    def _show_lines(self) -> None:
        self._lines_due = False
        now = self.situation
        self.query_one(TitleLine).show(now)
        asking = self.desk.answering.asking if self.desk is not None else None
        self.query_one(StatusLine).show(now, self._notice, self._routing.pending, asking)
        if self.help_shown:
            self.query_one(HelpPanel).show(now.mode)
        if (
            self.desk is not None
            and self.presence is not None
            and self.desk.editor is not self._carets_shown_in
        ):
            self._carets_shown_in = self.desk.editor
            self.presence.show_peers()

    def say(self, text: str) -> None:
        """Show a notice (display-safe) in the status line; empty takes the present one away."""
        self._notice = text
        self._notice_number += 1
        number = self._notice_number
        if text:
            self.set_timer(NOTICE_S, lambda: self._forget_notice(number))
        self._changed()

    async def ask(self, question: Question) -> str | None:
        """Ask for one line of text at the bottom of the screen."""
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.push_screen(QuestionLine(question), answer.set_result)
        return await answer

    def _forget_notice(self, number: int) -> None:
        if number == self._notice_number:
            self.say("")

    def _refused(self, error: RuntError) -> None:
        # A lost connection is in the status line already.
        if not isinstance(error, ConnectionLost):
            self.say(display_text(str(error)))

    def on_resize(self, event: events.Resize) -> None:
        """Leave out lines on a short screen."""
        # Those below a palette or dialog are seen again.
        for screen in self.screen_stack:
            screen.set_class(event.size.height < SHORT_ROWS, "short")
            screen.set_class(event.size.width < NARROW_COLUMNS, "narrow")
        self._changed()

    def write_graphics(self, data: bytes) -> None:
        """Send bytes of ours (kitty graphics) to the terminal, in order with the frames."""
        if self._driver is not None and not self.is_headless:
            self._driver.write(data.decode("ascii"))

    # -- events of the session ---------------------------------------------

    def _session_event(self, event: PeerEvent) -> None:
        if isinstance(event, Notice):
            self.say(display_text(event.text))
        elif isinstance(event, DocumentReplaced) and self.desk is not None and self.tracker is not None:
            self.tracker.replaced()
            self.desk.replaced()
        elif isinstance(event, StatusChanged):
            self._connection_changed(event)
        elif isinstance(event, DaemonEvent) and event.name == "cancelled":
            count = len(event.data.get("executions", ()))
            cells = "1 cell" if count == 1 else f"{count} cells"
            self.say(f"{cells} cancelled: {display_text(str(event.data.get('reason', '')))}")
        if self.presence is not None:
            self.presence.show_peers()

    def _connection_changed(self, event: StatusChanged) -> None:
        status = event.status
        if status.state != "connected":
            self._was_away = True
        elif self._was_away:
            self._was_away = False
            kernel = self.session.runtime.kernel.state if self.session is not None else ""
            running = "kernel still running · " if kernel == "ready" else ""
            edits = f"{status.waiting} edits on their way" if status.waiting else "all edits synced"
            self.say(f"back · {running}{edits}")

    def on_cell_focused(self, message: CellFocused) -> None:
        """The focus bar moved."""
        self._changed()

    async def on_cell_activated(self, message: CellActivated) -> None:
        """A click into a cell's source opens its editor."""
        if self.desk is not None and message.key in self.desk.document:
            await self.desk.edit(CellKey(message.key), message.location)

    # -- keys --------------------------------------------------------------

    @property
    def _on_notebook(self) -> bool:
        """Whether keys are the notebook's, not those of a palette or dialog above it."""
        return len(self.screen_stack) == 1

    async def route_key(self, event: events.Key) -> bool:
        """Give a key to its place, unless a palette or dialog has the screen."""
        if isinstance(self.screen, KeyScreen):
            return await self.screen.take_key(event)
        # Asked before: the key may open a palette, which must not get it, too.
        ours = self._on_notebook
        if ours:
            await self._routing.key(event)
        return ours

    async def route_paste(self, event: events.Paste) -> bool:
        """Give a paste to its place, unless a palette or dialog has the screen."""
        if isinstance(self.screen, KeyScreen):
            return await self.screen.take_paste(event)
        ours = self._on_notebook
        if ours:
            await self._routing.paste(event)
        return ours

    async def run_command(self, command: Command) -> None:
        """Carry out a command if it is available now."""
        # What was said of the last command is over.
        self.say("")
        now = self.situation
        if not command.available(now):
            self.say(f"{command.title.lower()}: {why_not(now)}")
            return
        pages = HELP_PAGES.get(command.id, 0)
        if pages and self.help_shown and self.query_one(HelpPanel).page(pages):
            return
        handler = HANDLERS.get(command.id)
        if handler is None:
            await getattr(self, f"action_{command.id.replace('.', '_')}")()
        elif self.desk is not None:
            try:
                await handler(self.desk)
            except RuntError as error:
                self._refused(error)
        self._changed()

    # -- commands of the app itself ----------------------------------------

    @property
    def help_shown(self) -> bool:
        """Whether the panel with the keys is on the screen."""
        return self.is_running and bool(self.query(HelpPanel))

    async def close_help(self) -> None:
        """Take the panel with the keys away if it is there."""
        if self.help_shown:
            await self.action_app_help()

    async def action_app_help(self) -> None:
        """Show or hide the keys of the present mode."""
        if self.help_shown:
            await self.query_one(HelpPanel).remove()
        else:
            await self.query_one("#body").mount(HelpPanel())
        self._changed()

    async def action_app_palette(self) -> None:
        """List all commands."""

        def chosen(id_: str | None) -> None:
            if id_ is not None:
                self.call_later(self.run_command, BY_ID[id_])

        self.push_screen(Palette(self.situation), chosen)

    async def action_app_theme(self) -> None:
        """Take the next theme."""
        self.theme = next_theme(self.theme)
        if self.desk is not None and self.desk.editor is not None:
            self.call_after_refresh(self.desk.editor.retheme)
        self.say(f"theme {self.theme}")

    async def action_app_repaint(self) -> None:
        """Send the whole screen again."""
        self.forget_screen()

    async def action_app_leave(self) -> None:
        """Leave; the kernel and the edits stay."""
        self.errands.start(self._leave(), "leave")

    async def action_quit(self) -> None:
        """Textual's own way out takes ours."""
        await self.action_app_leave()

    async def _leave(self) -> None:
        if self.session is not None and (problem := await keep_edits(self.session)):
            self.push_screen(cannot_keep(self.session.status.waiting, problem), self._decided)
            return
        self.exit(self.farewell())

    def _decided(self, key: str | None) -> None:
        if key == "q":
            self.exit(self.farewell())

    def farewell(self) -> Farewell | None:
        """Return what the shell should be told; None when nothing was opened."""
        session = self.session
        if session is None or self.tracker is None:
            return None
        return Farewell(
            session.path,
            session.room,
            session.runtime.kernel.state,
            self.tracker.running_cell(),
            session.status.waiting,
        )

    async def on_unmount(self) -> None:
        """Stop listening and end what runs."""
        if self.desk is not None:
            self.desk.close()
        if self.tracker is not None:
            self.tracker.close()
        await self.errands.close()
