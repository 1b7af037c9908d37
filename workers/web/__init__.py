"""The public web: clicks, opens, the mail in the browser, unsubscribing; and the push API (`api/`). Handlers parse, call, answer."""
