"""The far side of the signing port: where private keys live."""
