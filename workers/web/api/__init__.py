"""`/v1`: the push API. Handlers parse, call, answer; what rows mean is `engine/customers/push`."""
