"""What happened, and how to prove it: words, entries, proofs, signatures, bundles, verifier."""
