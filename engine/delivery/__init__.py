"""Getting deliveries out: dispatch (admit through the gate), send (claim, render, hand over, record), recover."""
