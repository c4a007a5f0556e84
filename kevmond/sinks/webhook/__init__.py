"""The `webhook` sink: each event, or batch of events, is POSTed to a URL (docs/webhooks.md).

    settings     what can be set, and what of it is refused
    body         records -> the bytes of a request, in one of three formats, and its webhook-id
    signing      secrets, and the signature of a request (Standard Webhooks)
    hostname     hosts that can never be looked up
    target       which addresses may be connected to, looked at when they are
    credentials  what is read from files and the environment when the sink opens
    client       the requests themselves, on aiohttp
    resolver     look-ups of names, in a thread of the sink's own
    failures     requests that got no answer, in words
    handshake    asking the receiver first, and keeping to the rate it allows
    answer       what a receiver's answer means
    sink         the sink, and one delivery by hand (`probe`)

Nothing here costs an import of aiohttp before the first sink of this type is opened.
"""
