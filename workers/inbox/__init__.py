"""The development inbox: takes every mail and SMS that a shop under development sends, and shows them."""
