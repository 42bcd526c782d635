"""Long proofs: what becomes of a grant under load, failures, kills and saves. ``make soak`` runs them all."""
