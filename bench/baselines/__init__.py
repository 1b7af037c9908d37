"""What the engine is measured against. Making one of these slower needs a decision note."""
