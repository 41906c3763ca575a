"""Papers: what the record says, told to a reader who was not there."""
