"""Run every benchmark of this folder that is a single script; print a table of the comparisons, and one of what work
needs.

The packages beside them need more, or longer, and are run by themselves.
"""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks import Need, Row, __path__, needs_table, table

if __name__ == "__main__":  # not in the processes that benchmarks start
    found = pkgutil.iter_modules(__path__)
    names = sorted(module.name for module in found if module.name != "__main__" and not module.ispkg)
    measured = [row for name in names for row in importlib.import_module(f"benchmarks.{name}").main()]
    print(table([row for row in measured if isinstance(row, Row)]))
    print()
    print(needs_table([row for row in measured if isinstance(row, Need)]))
