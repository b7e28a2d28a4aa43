"""How much a network notices when one feature of a face comes forward and nothing else changes."""
