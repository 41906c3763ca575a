"""Audit-trail review: who looked at which part of the record, at which samples, and what they found."""
