"""Run every benchmark of this folder and print one table."""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks import __path__, table

names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "__main__")
print(table([row for name in names for row in importlib.import_module(f"benchmarks.{name}").main()]))
