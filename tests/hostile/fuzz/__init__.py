"""Coverage-guided fuzzing: the C of csrc by libFuzzer, the public API by atheris.

A target is a C file here, or `api`. Its seeds lie in corpus/<target>/ and are made by make_corpus.py; an input that
brought an error to light is put into crashers/<target>/ and run by the tests for ever.
"""
