"""Rows about reads (F-5nn forbids, P-5nn permits). The doors of AI stand with the gates (F-61n to F-63n)."""

from core.policy.state import Actor, Facts, Rule, Stage, allow, forbid, related, use_closed

LIVE = frozenset({Stage.LIVE})


def _by_a_service(actor: Actor, facts: Facts) -> bool:
    """the actor is a service, not a person"""
    return actor.service


def _primary_closed(actor: Actor, facts: Facts) -> bool:
    """AI use not open: primary, and the read is not in shadow"""
    return "shadow" not in facts.relations and use_closed("primary")(actor, facts)


def _too_late(actor: Actor, facts: Facts) -> bool:
    """opened, and this read replaces none that was sealed in time by the lock before"""
    return "opened" in facts.relations and "measures_again" not in facts.relations


ROWS: tuple[Rule, ...] = (
    forbid("F-556", "read.begin read.sign read.adjudicate reread.order", "Images of this time point were corrected; "
           "what that means for its locked reads is decided first.", when=related("impact_awaited")),
    # Who reads whom.
    forbid("F-501", "read.assign", "This person has not passed the reference set of this trial.",
           when=related("not_qualified")),
    forbid("F-502", "read.assign", "Nobody holds two of the parts of one subject: reader 1, reader 2, adjudicator.",
           when=related("other_part")),
    forbid("F-503", "read.assign", "This slot has its reader; a replacement is assigned with its reason.",
           when=related("slot_taken")),
    forbid("F-504", "read.assign", "Only somebody with the role of reader in this trial can be given a slot.",
           when=related("no_reader")),
    forbid("F-505", "read.assign reader.qualify", "Nobody assigns or qualifies themself.", when=related("self")),
    forbid("F-506", "reader.qualify", "The score is below the limit of the reference set.", when=related("failed")),
    # Opening images to a slot.
    forbid("F-510", "read.begin", "You hold no slot of this subject.", when=related("not_yours")),
    forbid("F-511", "read.begin", "The images of this time point are not ready for reading.",
           when=related("not_ready")),
    forbid("F-512", "read.begin", "You have begun this read already.", when=related("begun")),
    forbid("F-513", "read.begin", "An earlier time point of this subject is not locked by you yet.",
           when=related("earlier_pending")),
    forbid("F-514", "read.begin", "You have locked a later time point of this subject; there is no return.",
           when=related("later_locked")),
    forbid("F-515", "read.begin", "Your earlier read of this subject is still under seal: the other read is awaited.",
           when=related("earlier_sealed")),
    forbid("F-516", "read.begin", "The charter's paradigm is not one this release can show; it reads in sequence.",
           when=related("other_paradigm")),
    forbid("F-518", "read.begin", "The charter asks for one shared list of lesions, which this release cannot give.",
           when=related("shared_list")),
    forbid("F-517", "read.begin read.seal read.mark", "You have not passed the reference set of this trial.",
           when=related("not_qualified")),
    # Answering.
    forbid("F-520", "read.seal read.mark", "This read was not begun by you, or your slot was given to somebody else.",
           when=related("not_yours")),
    forbid("F-521", "read.seal read.mark", "This read is locked already.", when=related("locked")),
    forbid("F-522", "read.mark", "An AI value was shown before; these would not be your own marks.",
           when=related("ai_seen")),
    forbid("F-523", "read.seal", "The answer uses an AI value that was not shown to you for this read.",
           when=related("ai_not_shown")),
    forbid("F-524", "read.mark", "Your own marks are locked already.", when=related("marked")),
    forbid("F-525", "read.mark", "No endpoint of this charter shows AI after the reader's own marks.",
           when=related("nothing_after_own")),
    # AI as the sealed third reader.
    forbid("F-532", "ai.seal_read", "AI use for the primary endpoint is not open.", when=_primary_closed),
    forbid("F-533", "ai.seal_read", "The human reads of this time point are open; an AI read comes too late.",
           when=_too_late),
    forbid("F-534", "ai.seal_read", "The AI read of this time point is locked already.", when=related("locked")),
    # Adjudication.
    forbid("F-540", "read.adjudicate", "You read this subject; somebody else adjudicates it.",
           when=related("reader_of_subject")),
    forbid("F-541", "read.adjudicate", "No trigger of the charter fired; there is nothing to adjudicate.",
           when=related("nothing_fired")),
    forbid("F-542", "read.adjudicate", "This difference is adjudicated already.", when=related("adjudicated")),
    forbid("F-543", "read.adjudicate", "You have not passed the reference set of this trial.",
           when=related("not_qualified")),
    forbid("F-544", "read.adjudicate", "The charter asks the adjudicator to read anew, which this release cannot show.",
           when=related("re_read")),
    forbid("F-545", "reread.order", "This slot has not locked this time point; there is nothing to read again.",
           when=related("nothing_read")),
    forbid("F-546", "reread.order impact.decide",
           "Later reads are measured against the baseline: read again from here.",
           when=related("baseline_alone")),
    forbid("F-547", "reread.order impact.decide",
           "You read this subject; somebody else decides that it is read again.",
           when=related("reader_of_subject")),
    # Seals: opening before all are in, and the recovery key.
    forbid("F-536", "seal.open_early", "You have signed this already; it needs another person.",
           when=related("signed_already")),
    forbid("F-537", "seal.open_early", "You have a part in reading this subject; somebody else decides.",
           when=related("reader_of_subject")),
    forbid("F-538", "seal.open_early", "QA and imaging lead sign, each in their own role; this role has signed.",
           when=related("same_role")),
    forbid("F-539", "seals.renew seals.recover", "Owner and QA sign, each in their own role; this role has signed.",
           when=related("same_role")),
    forbid("F-548", "seals.renew seals.recover", "Somebody else began anew in the meantime; begin again.",
           when=related("overtaken")),
    # The human final.
    # Corrections of images that were read.
    forbid("F-557", "impact.decide", "You may see values of this subject's reads; somebody blind to them decides.",
           when=related("sees_values")),
    forbid("F-558", "impact.decide", "You made this correction; another person decides what it means.",
           when=related("corrector")),
    forbid("F-559", "impact.decide", "Corrected images of this time point are not through quality control yet.",
           when=related("images_undisposed")),
    forbid("F-560", "impact.decide", "No accepted image of this time point is left; its reads cannot stand.",
           when=related("nothing_left")),
    forbid("F-550", "read.sign read.adjudicate read.mark impact.decide",
           "A person signs this; no service and no model can.",
           when=_by_a_service),
    forbid("F-551", "read.sign", "The accepted read is another person's; its reader or adjudicator signs.",
           when=related("not_accepted")),
    forbid("F-552", "read.sign", "The reads differ and await the adjudicator.", when=related("awaits_adjudication")),
    forbid("F-553", "read.sign", "The final of this time point is signed already.", when=related("signed")),
    forbid("F-554", "read.sign read.adjudicate", "An AI read is never the accepted one; choose a person's read.",
           when=related("ai_read")),
    forbid("F-555", "seed.place", "You read this subject blind; another person places the seeds for the model.",
           when=related("reader_of_subject")),
    allow("P-501", "reader.qualify read.assign", "imaging_lead", "You answer for the readers of this trial.",
          stages=LIVE | {Stage.SET_UP}),
    allow("P-502", "read.begin read.seal read.mark", "reader", "This case is yours.", stages=LIVE),
    allow("P-503", "read.adjudicate", "adjudicator", "You decide between reads that differ.", stages=LIVE),
    allow("P-504", "read.sign", "reader adjudicator", "The accepted read is yours to sign.", stages=LIVE),
    allow("P-506", "reread.order", "imaging_lead data_manager", "You decide what a correction means for locked reads.",
          stages=LIVE),
    allow("P-510", "impact.decide", "qc_technologist imaging_lead",
          "You decide what a correction means for locked reads.", stages=LIVE),
    allow("P-507", "seal.open_early", "imaging_lead qa_auditor", "Two of you decide that seals open early.",
          stages=LIVE),
    allow("P-509", "read.withdraw", "imaging_lead", "You decide that no AI read is awaited any more.", stages=LIVE),
    allow("P-508", "seals.renew seals.recover", "system_owner qa_auditor",
          "You hold a share of the key that restores seals."),
    allow("P-505", "seed.place", "qc_technologist imaging_lead", "You point the model at lesions.", stages=LIVE),
)
