"""What the end-to-end tests drive the real program with: a house of its own per test, and a terminal."""
