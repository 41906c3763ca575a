"""The pages and the API: they parse, ask who it is, call, and answer."""
