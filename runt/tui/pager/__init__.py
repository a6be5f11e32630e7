"""The whole text of a cell's outputs, on a screen of its own: ``text`` reads it, ``screen`` shows it."""
