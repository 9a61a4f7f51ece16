"""One pipe: its writer, its reader, its index.

By which rules threads share these objects: docs/threads.md, «How it is done».
"""
