"""The HTTP face of imagemill: one process over the ledger, three applications side by side.

    app.py        create_app(service): the whole, as `imagemill serve` runs it and tests drive it
    service.py    Service: what a serving process has (ledger, settings, prices, image store, how to wake workers);
                  a route gets it as `service: Serving`
    guard.py      outermost: Host allow-list, security headers, caps on size and time of request bodies
    access.py     who calls: token, session cookie or this machine; 401 before a body is read; `needs(scope)`
    problems.py   Problem and its answers; each application words refusals its own way
    rest.py       /api: the application of batches.py, rows.py, images.py, money.py, events.py, system.py
    live.py       one publisher per process: what changes, fanned out to whoever listens
    openai/       /v1: the OpenAI dialect; its app.py has make_app()
    dashboard/    /: pages; its app.py has make_app()

Routes that touch the ledger or the disk are plain `def`: they run in the thread pool. Nothing here holds state
that a restart would lose.
"""
