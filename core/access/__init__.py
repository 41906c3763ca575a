"""People, keys, roles, founding: who somebody is and what they were granted."""
