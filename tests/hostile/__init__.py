"""Files that are damaged, or made to do harm: nothing wrong is returned, nothing crashes. docs/durability.md."""
