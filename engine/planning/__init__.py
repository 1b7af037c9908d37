"""From definitions to deliveries: which occurrence is due for whom, expanded inside the database."""
