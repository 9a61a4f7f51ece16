from .places import location, shared

__all__ = ["location", "shared"]
