"""What happened, and how to prove it: words, entries, proofs, signatures, bundles, verifier."""

#: How a sentence names a text that only the subject's key opens; here, where asking the record loads nothing heavy.
CONCEALED = "(text under the subject's key)"
