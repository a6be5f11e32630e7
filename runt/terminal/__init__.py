"""Text that came from outside: the stream reducer, SGR runs, sanitising, cell widths. Pure."""
