"""How images come in: identity, de-identification, protocol and quality checks, and the technologist's disposition."""
