"""Which model, and is it still that one."""
