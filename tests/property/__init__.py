"""Random sagas in random worlds."""
