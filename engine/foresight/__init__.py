"""What would happen, before it does: the plan, and making it so."""
