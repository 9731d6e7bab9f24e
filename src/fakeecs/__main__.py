"""`python -m fakeecs`, and the console script."""

import sys

from fakeecs.cli import main

if __name__ == "__main__":
    sys.exit(main())
