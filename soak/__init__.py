"""Long proofs: what becomes of a grant under load, failures, kills and saves; busy weeks. ``make soak`` runs them all."""
