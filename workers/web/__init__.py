"""The public web: clicks, opens, the mail in the browser, unsubscribing. Handlers parse, call, answer."""
