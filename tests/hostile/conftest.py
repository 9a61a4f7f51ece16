from container.conftest import prefix, scratch

__all__ = ["prefix", "scratch"]
