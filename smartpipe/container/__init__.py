"""One pipe: its writer, its reader, its index."""
