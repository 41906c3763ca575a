"""Rows about corrections and incidents (F-32n, F-33n forbid, P-32n, P-33n permit).

What they mean for locked reads stands with the reads."""

from core.policy.state import Rule, Stage, allow, forbid, related

LIVE = frozenset({Stage.LIVE})

ROWS: tuple[Rule, ...] = (
    forbid("F-320", "study.reassign", "This is a person's act; a service cannot do it.", roles="service"),
    forbid("F-321", "study.reassign", "You sent this series yourself; another person corrects it.",
           when=related("own_upload")),
    forbid("F-322", "study.reassign", "You read one of these subjects; somebody else corrects its images.",
           when=related("reader_of_subject")),
    forbid("F-323", "study.reassign", "The series stand there already.", when=related("same_place")),
    forbid("F-324", "study.reassign", "A correction took one of these series out of its place already.",
           when=related("corrected")),
    forbid("F-325", "study.reassign", "The site of the other subject is closed; it takes no images any more.",
           when=related("site_closed")),
    forbid("F-326", "study.reassign", "The consent of the other subject does not cover images of that day.",
           when=related("no_consent")),
    forbid("F-327", "study.reassign", "The other time point takes no images any more.", when=related("point_settled")),
    forbid("F-328", "study.reassign", "Data of one of these subjects are restricted or erased; nothing is written for "
           "it.", when=related("data_barred")),
    forbid("F-330", "incident.open", "These series are closed off by an incident already.", when=related("closed_off")),
    forbid("F-331", "incident.open", "You read this subject; somebody else looks after its images.",
           when=related("reader_of_subject")),
    forbid("F-332", "destruction.order destruction.certify", "This is a person's act; a service cannot do it.",
           roles="service"),
    forbid("F-333", "destruction.certify", "You ordered this destruction; another person certifies it.",
           when=related("orderer")),
    forbid("F-334", "destruction.certify", "A holder of a copy has not answered yet; each copy is answered for.",
           when=related("unanswered")),
    forbid("F-335", "destruction.certify", "A search still finds the identifier; it is destroyed there first.",
           when=related("still_found")),
    forbid("F-336", "destruction.certify", "This identifier can be searched for, and was not.",
           when=related("not_searched")),
    allow("P-330", "incident.open", "qc_technologist imaging_lead data_manager coordinator",
          "Whoever sees an identifier closes the images off."),
    allow("P-331", "destruction.order", "privacy_officer", "You decide on incidents with people's data."),
    allow("P-332", "destruction.certify", "qa_auditor", "You certify a destruction as the second person."),
    allow("P-320", "study.reassign", "data_manager imaging_lead qc_technologist",
          "You answer for images in this trial.", stages=LIVE),
    allow("P-321", "correction.deliver", "data_manager imaging_lead", "You tell those who hold copies of images."),
)
