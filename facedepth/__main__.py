"""``python -m facedepth`` is the ``facedepth`` command."""

import sys

from .cli import main

sys.exit(main())
