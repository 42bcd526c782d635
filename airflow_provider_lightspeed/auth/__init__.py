"""OAuth 2.0 as Lightspeed speaks it: pure protocol, frozen tokens, the rules of the ledger."""
