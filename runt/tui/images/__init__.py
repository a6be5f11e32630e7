"""Pictures in a terminal: finding out what it can show, and turning pixels into cells."""
