"""The membership (会员): levels, evaluation, the tasks on the way to a card, and what it comes to."""
