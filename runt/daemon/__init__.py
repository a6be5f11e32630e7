"""Rooms, the execution queue, folding of kernel messages, files, settings, lifecycle."""
