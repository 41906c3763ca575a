"""Incidents: identifiers that were left in images, from the finding to the signed certificate of destruction."""
