"""The words of the ledger, one page per noun; importing this package declares them all."""

from audit.vocabulary import ledger as ledger
