"""What is computed of customers: profiles, grades, habits and affinities, of everybody in sets or of few at once."""
