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
#: Words that say where in an organ, or which node. With those of ORGANS they are all that a location is made of: a
#: location is opened with its read and stays in the record, so no free text about a subject can stand in it (RECORD 6).
_PLACES = """
    left right both bilateral upper lower middle mid lateral medial anterior posterior superior inferior central
    peripheral proximal distal dorsal ventral apical basal ascending descending transverse external internal
    common deep superficial lobe lobes segment segments apex base hilum hilar head body tail neck pole wall tip
    dome crest cortex lingula fissure caudate quadrate side and of the in near at to with subcarinal
    paratracheal para aortic paraaortic caval paracaval aortocaval interaortocaval aortopulmonary window
    retrocrural retrocaval axilla axillary cervical supraclavicular infraclavicular clavicular inguinal iliac
    obturator pelvic pelvis femoral mesenteric portal porta hepatis celiac coeliac splenic perigastric
    periportal peripancreatic pancreatic mediastinal pulmonary abdominal abdomen thoracic thorax chest lumbar
    sacral sacrum coccyx ilium ischium acetabulum humerus ulna radius tibia fibula scapula clavicle skull
    mandible maxilla frontal parietal temporal occipital insula thalamus pons brainstem ventricle mammary
    popliteal submandibular submental jugular parotid retropharyngeal level station mass lesion nodule deposit
    foot hand shoulder knee elbow hip ankle wrist leg forearm buttock gluteal back trunk scalp face cavity space
    region quadrant gland duct vessel muscle psoas iliopsoas quadriceps hamstring biceps triceps deltoid
    pectoral paraspinal c l t s i ii iii iv v vi vii viii ix x xi xii cm mm th
"""
PLACES = frozenset(_PLACES.split())
NODES = "lymph_nodes"
#: How the AI names the place of a lesion that a person pointed at: a place of its own, no organ is known.
_SEED = re.compile(r"seed [A-Za-z0-9_-]{1,64}")
_NODE_WORDS = ("node", "nodes", "lymph node", "lymph nodes", "nodal")
_PLACE_WORDS = PLACES | {
    part for word in (*_NODE_WORDS, *(one for words in ORGANS.values() for one in words)) for part in word.split()
}
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


def words_of_no_place(location: str) -> tuple[str, ...]:
    """Words of a location that name no place of the body; letters and numbers of levels and segments do."""
    if is_seed(location):
        return ()
    words = re.findall(r"[^\W\d_]+", location.lower())
    digits = re.findall(r"\d+", location)
    return (
        *(one for one in words if len(one) > 1 and one not in _PLACE_WORDS), *(one for one in digits if len(one) > 2)
    )


def is_seed(location: str) -> bool:
    """Whether a location is the AI's name of a seed, which no reader may use for a lesion."""
    return _SEED.fullmatch(location) is not None
