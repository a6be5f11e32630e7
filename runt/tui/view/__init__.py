"""The notebook on the screen: one view that paints all cells. Not the editor, not the commands."""
