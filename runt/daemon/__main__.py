"""``python -m runt.daemon``: what a client starts when no daemon runs."""

import sys

from runt.daemon.main import main

sys.exit(main(sys.argv[1:]))
