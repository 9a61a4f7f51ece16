"""Of one pipe: verify, recover, rebuild the index. docs/durability.md."""
