"""What the kernel asks is answered under the cell that asks, on every screen, and no key of it is a command."""

from __future__ import annotations

import pytest
from textual.events import Paste

from runt.notebook.notebook_document import CellKey
from runt.tui.answer_field import AnswerField
from runt.tui.outputs.looks import PLAIN_LOOKS
from runt.tui.outputs.prompt import MIN_FIELD_CELLS, prompt_block
from tests.tui import grids
from tests.tui.test_app import Screen, opened

SOURCES = ['name = input("Station? ")', "b = 2", "c = 3"]


def key(screen: Screen, index: int = 0) -> CellKey:
    return screen.session.document.keys()[index]


def fields(screen: Screen) -> list[AnswerField]:
    return list(screen.app.query(AnswerField))


def rows(screen: Screen) -> list[str]:
    return grids.screen_lines(screen.app)


def answers(screen: Screen) -> list[str]:
    return [request[2] for request in screen.session.requests if request[0] == "answer"]


async def asked(screen: Screen, prompt: str = "Station? ", index: int = 0, **options: object) -> str:
    request = screen.session.question(key(screen, index), prompt, **options)  # type: ignore[arg-type]
    await screen.until(lambda: fields(screen))
    await screen.press()
    return request


async def test_a_question_takes_the_keys_and_enter_answers() -> None:
    """The prompt stands under the cell with a field at its end; what is typed is the answer, no command."""
    async with opened(SOURCES) as screen:
        await screen.press("j")
        await asked(screen)
        assert screen.focused == 0
        assert "Enter answers" in screen.status
        await screen.press(*"dd j")
        assert any(row.lstrip("▌ ").startswith("Station? dd j") for row in rows(screen))
        await screen.press("backspace", "x", "enter")
        assert answers(screen) == ["dd x"]
        await screen.until(lambda: not fields(screen))
        assert not any("Station?" in row for row in rows(screen)[3:])
        assert screen.sources == SOURCES


async def test_after_the_answer_the_focus_bar_goes_back() -> None:
    """The question took the focus bar; when no other comes, keys are commands again where one was."""
    async with opened(SOURCES) as screen:
        await screen.press("j")
        await asked(screen)
        await screen.press("1", "enter")
        screen.session.kernel(activity="idle")
        await screen.until(lambda: screen.focused == 1)
        await screen.press("j")
        assert screen.focused == 2


async def test_escape_gives_the_keys_back_and_enter_takes_them_again() -> None:
    """Without an answer nothing is sent; what was typed is still there."""
    async with opened(SOURCES) as screen:
        await asked(screen)
        await screen.press("A", "escape")
        assert "waiting for input · Enter answers · ii interrupts" in screen.status
        assert "Enter edit" not in screen.status
        await screen.press("j")
        assert screen.focused == 1
        assert "cell 1 waits for input · . goes there" in screen.status
        assert answers(screen) == []
        await screen.press("k", "enter", "d", "enter")
        assert answers(screen) == ["Ad"]


async def test_keys_before_the_next_question_are_its_answer() -> None:
    """Whoever types ahead answers the next question; none of the keys is a command."""
    async with opened(SOURCES) as screen:
        await asked(screen)
        for pressed in ("1", "enter", "d", "d", "enter", "x"):
            screen.app.simulate_key(pressed)
        await screen.until(lambda: answers(screen) == ["1"])
        screen.session.question(key(screen), "Next? ")
        await screen.until(lambda: answers(screen) == ["1", "dd"])
        screen.session.question(key(screen), "Last? ")
        await screen.until(lambda: fields(screen) and fields(screen)[0].value == "x")
        assert screen.sources == SOURCES


async def test_a_password_is_not_shown() -> None:
    """Only dots are on the screen; the kernel gets the text."""
    async with opened(SOURCES) as screen:
        await asked(screen, "Password: ", password=True)
        await screen.press(*"hunter2")
        assert any("Password: •••••••" in row for row in rows(screen))
        assert not any("hunter2" in row for row in rows(screen))
        await screen.press("enter")
        assert answers(screen) == ["hunter2"]


async def test_somebody_else_answers_first() -> None:
    """The field goes away, the keys that were on their way are dropped, and the person is told."""
    async with opened(SOURCES) as screen:
        await asked(screen)
        await screen.press("a")
        screen.session.kernel(question=None)
        for pressed in ("d", "d"):
            screen.app.simulate_key(pressed)
        await screen.until(lambda: not fields(screen))
        assert "was not sent" in screen.status
        screen.session.kernel(activity="idle")
        await screen.press("j")
        assert screen.sources == SOURCES
        assert answers(screen) == []


async def test_a_question_of_somebody_elses_run_is_shown_and_takes_no_key() -> None:
    """Everybody sees it; who did not run the cell goes there first."""
    async with opened(SOURCES) as screen:
        await screen.press("j")
        await asked(screen, by="ann")
        assert screen.focused == 1
        assert "cell 1 waits for input" in screen.status
        await screen.press(".", "enter", "x", "enter")
        assert answers(screen) == ["x"]


async def test_a_question_waits_while_a_cell_is_edited() -> None:
    """Typing goes on into the cell."""
    async with opened(SOURCES) as screen:
        await screen.press("j", "enter")
        await asked(screen)
        await screen.press("x")
        assert screen.sources[1] == "xb = 2"
        await screen.press("escape", "k", "enter", "y", "enter")
        assert answers(screen) == ["y"]


async def test_a_terminal_that_comes_later_sees_the_question() -> None:
    """The question is there when the notebook opens, and takes no key by itself."""
    from runt.tui.app import NotebookApp
    from tests.tui.memory_session import memory_session

    session = memory_session(SOURCES)
    session.kernel(state="ready", activity="busy", name="python3")
    session.question(session.document.keys()[0], "Station? ")

    async def opening():  # type: ignore[no-untyped-def]
        return session

    app = NotebookApp(opening(), own_name="me")
    async with app.run_test() as pilot:
        screen = Screen(app, session, pilot)
        await screen.until(lambda: app.query(AnswerField))
        await screen.press("j")
        assert screen.focused == 1


async def test_who_may_only_look_sees_the_question_and_cannot_answer() -> None:
    """Enter says that the notebook was opened for reading."""
    async with opened(SOURCES, role="view") as screen:
        await asked(screen)
        await screen.press("enter", "x", "enter")
        assert answers(screen) == []


async def test_the_question_goes_with_its_cell() -> None:
    """A deleted cell takes its field with it; the keys are the notebook's."""
    async with opened(SOURCES) as screen:
        await asked(screen)
        screen.session.document.delete_cell(key(screen), "other")
        await screen.until(lambda: not fields(screen))
        screen.session.kernel(activity="idle")
        await screen.press("j")
        assert screen.sources == SOURCES[1:]


async def test_a_refused_answer_can_be_given_again() -> None:
    """The reason is said, and Enter goes back into the field."""
    from runt.errors import RequestError

    async with opened(SOURCES) as screen:
        await asked(screen)
        screen.session.refuse = RequestError("unsafe", "the disk is full")
        await screen.press("1", "enter")
        assert "the disk is full" in screen.status
        screen.session.refuse = None
        await screen.press("enter", "2", "enter")
        assert answers(screen) == ["1", "12"]


async def test_a_paste_is_one_line_and_harmless() -> None:
    """The first line is taken as it is; what could act on the terminal is shown as a picture."""
    async with opened(SOURCES) as screen:
        await asked(screen)
        await screen.app.on_event(Paste("a\tb\x1b[31mc\nsecond"))
        await screen.press()
        assert any("Station? a␉b␛[31mc" in row for row in rows(screen))
        await screen.press("enter")
        assert answers(screen) == ["a\tb\x1b[31mc"]


async def test_output_above_the_field_moves_it_down() -> None:
    """The field stays at the end of its prompt when the cell prints more."""
    async with opened(SOURCES) as screen:
        await asked(screen)
        before = fields(screen)[0].region.y
        with screen.session.runtime.transaction("daemon"):
            index = screen.session.writer.open_stream(key(screen), "stdout")
            screen.session.writer.edit_tail(key(screen), index, 0, "one\ntwo\n")
        await screen.until(lambda: fields(screen)[0].region.y == before + 2)
        await screen.press("z")
        assert rows(screen)[before + 2].lstrip("▌ ").startswith("Station? z")


@pytest.mark.parametrize("width", [25, 40, 80])
@pytest.mark.parametrize(
    "prompt", ["", "? ", "a long question " * 9, "two\nlines? ", "\x1b[1mbold\x1b[0m ", "漢字? "]
)
def test_a_prompt_leaves_room_for_the_answer(prompt: str, width: int) -> None:
    """Whatever is asked, the field has its cells, and nothing raw is in the rows."""
    block, column = prompt_block(prompt, password=False, width=width, looks=PLAIN_LOOKS)
    assert column + MIN_FIELD_CELLS <= max(width, MIN_FIELD_CELLS) or column == 0
    assert "\x1b" not in "".join(segment.text for line in block.lines for segment in line)
