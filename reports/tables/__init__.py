"""The tables A0 to A14 of the CSR imaging appendix (research/validation.md 8), one file a subject."""
