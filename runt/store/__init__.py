"""Durable I/O: journal, blobs, atomic files, safe directories. The only package that writes files."""
