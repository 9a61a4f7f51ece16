from typing_extensions import disjoint_base

@disjoint_base
class Catalog:
    def __init__(self, hash_key: bytes) -> None: ...
