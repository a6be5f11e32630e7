"""The editor of one cell: a TextArea bound to the cell's CRDT text."""
