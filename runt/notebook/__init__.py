"""What a notebook is: documents, cells, order keys, text edits, manifests, ipynb in and out. Pure."""
