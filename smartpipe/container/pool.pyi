from typing_extensions import disjoint_base

@disjoint_base
class Pool: ...

@disjoint_base
class Stock: ...

@disjoint_base
class Lent: ...
