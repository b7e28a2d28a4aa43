"""Run every benchmark of this folder that is a single script and print one table.

The packages beside them, ``standin`` and ``face_baselines``, need more and are run by themselves.
"""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks import __path__, table

found = pkgutil.iter_modules(__path__)
names = sorted(module.name for module in found if module.name != "__main__" and not module.ispkg)
print(table([row for name in names for row in importlib.import_module(f"benchmarks.{name}").main()]))
