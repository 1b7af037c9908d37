"""Yanshu: the campaign engine. Knows definitions, customers, deliveries; never imports `workers`."""
