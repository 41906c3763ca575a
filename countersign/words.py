"""Importing this module declares every word, fold and effect of all floors, and how model servers are reached."""

import audit.vocabulary
import core.access.effects
import core.access.projections
import core.arrival.projections
import core.cohort.projections
import core.corrections.effects
import core.corrections.projections
import core.data_lock.projections
import core.drift.projections
import core.gates.effects
import core.gates.projections
import core.incidents.effects
import core.incidents.projections
import core.passkeys
import core.persons
import core.privacy.effects
import core.privacy.projections
import core.reads.effects
import core.reads.projections
import core.reads.seal_effects
import core.reads.seal_projections
import core.reviews.periodic_projections
import core.reviews.projections
import core.trials.projections
import countersign.adapters.model_server
import models_registry.effects
import models_registry.projections
import models_registry.server_projections
import reports.projections
import sops.projections
import validation.effects
import validation.projections

__all__ = ["audit", "core", "countersign", "models_registry", "reports", "sops", "validation"]
