"""`python -m edgemon` is the command `edgemon`."""

import sys

from edgemon.cli import main

sys.exit(main())
