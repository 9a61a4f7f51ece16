"""The tests of the container: one pipe, its writer, its reader, its index.

What is expected comes from docs/FORMAT.md and the public contract, never from what the code answered. Damaged and
foreign files are planted with tests/reference, which shares no code with smartpipe.
"""
