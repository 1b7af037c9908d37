"""`yanshu demo`: the whole thing on sample data, over a few days of a made-up clock, with real mails to a local inbox."""
