"""Hostile text in sources, outputs, file names and names of peers never reaches the terminal as an escape sequence."""

from __future__ import annotations

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tests.harness.escape_audit import unexpected
from tests.harness.house import House
from tests.harness.terminal import Terminal

# Each one did harm in some terminal: titles typed back, clipboard writes, query answers, mode changes, downloads,
# hidden text, C1 forms, strings without an end, bidirectional overrides.
ATTACKS = [
    "\x1b]0;PWNED\x07", "\x1b]2;PWNED\x1b\\", "\x1b[21t", "\x1b]52;c;cHduZWQ=\x07", "\x1b]8;;file:///etc/passwd\x07x\x1b]8;;\x07",
    "\x1bP$qm\x1b\\", "\x1bP+q544e\x1b\\", "\x1b_Gi=1,a=T;AAAA\x1b\\", "\x1b]1337;File=inline=1:AAAA\x07", "\x1b^PWNED\x1b\\",
    "\x1bXPWNED\x1b\\", "\x1b[?1049l", "\x1b[?1000h", "\x1b[2J\x1b[H", "\x1b[c", "\x1b[>c", "\x1b[6n", "\x1b[?2026h", "\x1bc", "\x1b[!p",
    "\x1b]50;?\x07", "\x1b]4;1;?\x07", "\x1b]10;?\x07", "\x1b]777;notify;a;b\x07", "\x1bGQ", "\x1b#8", "\x1b(0", "\x0e\x0f", "\x07",
    "\x08\x08\x08", "\x7f", "\x9b31m", "\x9d0;PWNED\x9c", "\x90+q\x9c", "\x9b2J", "\x85", "\x1b[5i", "\x1b[99999999999999999999m",
    "\x1b[" + "1;" * 60 + "m", "\x1b[1@", "\x1b[3g", "\u202e PWNED \u202c", "\u2066\u2069\u200f\u061c", "\x1b]0;no end", "\x00", "\x1b",
    "a\rb\x1b[Kc", "\x1b[1;1HPWNED", "\x1b[10AUP",
]  # fmt: skip
# Sequences that must not appear although a driver might use their kind: they come only from the attacks above.
MARKS = [b"PWNED", b"\x1b[21t", b"\x1b[5i", b"\x1b[99999"]


def hostile_notebook(path: object) -> None:
    """A notebook with every attack in every place that is shown."""
    text = "\n".join(f"attack {number}: {attack} end" for number, attack in enumerate(ATTACKS))
    source = "# " + text.replace("\n", "\n# ").replace("\r", " ")
    cells = [
        new_code_cell(f"attacks = {ATTACKS!r}\nfor attack in attacks:\n    print('live', attack, 'end')"),
        new_code_cell("class Odd:\n    def __repr__(self): return '\\n'.join(attacks)\nOdd()"),
        new_code_cell("raise ValueError(''.join(attacks))"),
        new_code_cell(
            "1",
            outputs=[
                new_output("stream", name="stdout", text=text),
                new_output(
                    "execute_result",
                    data={"text/plain": text, "text/html": f"<table><tr><td>{text}</td></tr></table>"},
                ),
                new_output("display_data", data={"text/markdown": text}),
                new_output("display_data", data={"application/json": {"key\x1b]0;PWNED\x07": text}}),
                new_output("display_data", data={"x\x1b]0;PWNED\x07/y": text}),
                new_output("error", ename="E\x1b]0;PWNED\x07", evalue=text, traceback=text.split("\n")),
            ],
        ),
        new_markdown_cell(text),
        new_code_cell(source),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"c{number}"
    nbformat.write(new_notebook(cells=cells), path)


def test_no_attack_reaches_the_terminal(house: House) -> None:
    """Scrolling through, editing and running a hostile notebook sends only sequences that are our own."""
    name = "evil\x1b]0;PWNED\x07\x9b31m\u202ename.ipynb"
    path = house.path(name)
    hostile_notebook(path)
    with (
        Terminal(house, str(path), RUNT_NAME="ann\x1b]0;PWNED\x07") as terminal,
        Terminal(house, str(path), RUNT_NAME="bob\x9d0;PWNED\x9c\u202e") as second,
    ):
        terminal.wait_for("attacks =")
        terminal.wait_for("idle")
        terminal.wait_for("bob")
        terminal.press("ctrl+j", "j", "ctrl+j", "j", "ctrl+j")
        terminal.wait_for("ValueError")
        for _ in range(60):
            terminal.press(" ")
            terminal.pump(0.05)
        for _ in range(8):
            terminal.press("k", "enter")
            terminal.pump(0.05)
            terminal.press("escape")
            terminal.pump(0.1)
        terminal.press("f1")
        terminal.settle()
        terminal.press("ctrl+q")
        terminal.wait_exit()
        second.pump()
        for one in (terminal, second):
            raw = bytes(one.raw)
            assert unexpected(raw) == []
            inside = [
                mark
                for mark in MARKS
                if any(mark in piece for piece in raw.split(b"\x1b")[1:] if piece[:1] in b"]P_^X")
            ]
            assert inside == []
            assert not any(mark in raw for mark in MARKS[1:])


def test_commands_print_no_attack(house: House) -> None:
    """`cat`, `ls`, `run` and error lines show control characters instead of sending them, on a terminal too."""
    name = "evil\x1b]0;PWNED\x07.ipynb"
    path = house.path(name)
    hostile_notebook(path)
    for arguments in (
        ("cat", str(path)),
        ("run", "--allow-errors", str(path)),
        ("ls",),
        ("cat", str(path) + "\x1b[21t"),
    ):
        with Terminal(house, *arguments) as terminal:
            terminal.wait_exit()
            found = unexpected(bytes(terminal.raw))
            assert found == [], (arguments, found)
            assert b"\x1b]0" not in terminal.raw
