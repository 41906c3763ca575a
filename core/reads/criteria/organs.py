"""The organ that a location belongs to, so that "two per organ" is counted on organs, not on words.

All lymph nodes are one organ; both sides of a paired organ are one organ (RECIST 1.1, 4.2.1; EORTC).
"""

from __future__ import annotations

import re

from core.errors import UnusableInput
from core.reads.criteria.answer import Kind

#: organ: the words by which a location may name it.
ORGANS: dict[str, tuple[str, ...]] = {
    "adrenal": ("adrenal", "adrenals", "suprarenal"),
    "bladder": ("bladder",),
    "bone": ("bone", "skeleton", "vertebra", "vertebral", "spine", "rib", "pelvic bone", "femur", "sternum"),
    "bowel": ("bowel", "colon", "rectum", "intestine", "caecum", "sigmoid", "ileum", "jejunum", "duodenum"),
    "brain": ("brain", "cerebral", "cerebrum", "cerebellum"),
    "breast": ("breast", "breasts"),
    "heart": ("heart", "pericardium"),
    "kidney": ("kidney", "kidneys", "renal"),
    "liver": ("liver", "hepatic"),
    "lung": ("lung", "lungs", "pulmonary"),
    "mediastinum": ("mediastinum", "mediastinal mass"),
    "muscle": ("muscle", "muscles"),
    "oesophagus": ("oesophagus", "esophagus"),
    "ovary": ("ovary", "ovaries", "ovarian", "adnexa"),
    "pancreas": ("pancreas", "pancreatic"),
    "peritoneum": ("peritoneum", "peritoneal", "omentum", "mesentery"),
    "pleura": ("pleura", "pleural"),
    "prostate": ("prostate",),
    "retroperitoneum": ("retroperitoneum", "retroperitoneal mass"),
    "skin": ("skin", "subcutaneous"),
    "soft_tissue": ("soft tissue", "soft tissues", "extremity", "thigh", "buttock", "arm", "calf"),
    "spleen": ("spleen", "splenic"),
    "stomach": ("stomach", "gastric"),
    "testis": ("testis", "testes", "testicle"),
    "thyroid": ("thyroid",),
    "uterus": ("uterus", "uterine", "cervix"),
}
NODES = "lymph_nodes"
#: How the AI names the place of a lesion that a person pointed at: a place of its own, no organ is known.
_SEED = re.compile(r"seed [A-Za-z0-9_-]{1,64}")
_NODE_WORDS = ("node", "nodes", "lymph node", "lymph nodes", "nodal")
_BY_WORD = {word: organ for organ, words in ORGANS.items() for word in words}


def organ_of(location: str, kind: Kind) -> str:
    """The organ key of a location such as "left lung, upper lobe".

    Raises:
        UnusableInput: no organ or more than one is named, or an extranodal lesion is said to be a node.
    """
    if is_seed(location) and kind == "extranodal":
        return location
    plain = " ".join(re.findall(r"[a-z]+", location.lower().replace("_", " ")))
    named_node = any(re.search(rf"\b{word}\b", plain) for word in _NODE_WORDS)
    if kind == "nodal":
        return NODES
    if named_node:
        raise UnusableInput(f"{location!r} names a lymph node, but the lesion is said to be extranodal.")
    found = {organ for word, organ in _BY_WORD.items() if re.search(rf"\b{word}\b", plain)}
    if len(found) != 1:
        what = "no known organ" if not found else " and ".join(sorted(found))
        raise UnusableInput(
            f"{location!r} names {what}; one organ is needed.",
            next_step=f"Name one of: {', '.join(sorted(ORGANS))}.",
        )
    return found.pop()


def is_seed(location: str) -> bool:
    """Whether a location is the AI's name of a seed, which no reader may use for a lesion."""
    return _SEED.fullmatch(location) is not None
