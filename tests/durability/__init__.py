"""Crashes, faults and losses of power while pipes are written: what was acknowledged stays. docs/durability.md."""
