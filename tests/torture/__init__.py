"""What breaks pipes on purpose, very many times, and counts what came of it.

A *row* is one way to break them: a module of tests/durability or tests/hostile. `harness.run` makes its cases in
several processes; the tests run a small number of each row, `make torture` as many as the time allows.
"""
