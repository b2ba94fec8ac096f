"""``python -m eqgat COMMAND ...`` is the command ``eqgat``."""

import sys

from eqgat.cli import main

if __name__ == "__main__":
    sys.exit(main())
