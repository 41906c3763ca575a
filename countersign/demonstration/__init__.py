"""The demonstration: one trial lived through by its people, as a script of the ordinary use cases."""
