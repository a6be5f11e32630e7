"""Outputs as lines of styled text: each function turns one manifest into a block. No widgets, no terminal."""
