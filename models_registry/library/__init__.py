"""Bundles that ship with a release; each is a folder of tensors and text."""

from pathlib import Path

SHIPPED = Path(__file__).with_name("lesion-at-seed")
