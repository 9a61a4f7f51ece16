"""Who is measured: an adapter of one file each, which is imported only in the process that measures it."""
