"""Many pipes as one store."""
