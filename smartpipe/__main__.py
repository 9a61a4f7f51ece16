"""`python -m smartpipe`: the command line."""

import sys

from smartpipe.cli import main

# The workers of `map` import this module again under another name.
if __name__ == "__main__":
    sys.exit(main())
