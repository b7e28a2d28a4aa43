"""A stand-in for photographs with known depth: path-traced heads that no network of this project was trained on.

``python -m benchmarks.standin -n 200 -o data/standin`` rebuilds the set (see ``benchmarks/README.md``).
"""
