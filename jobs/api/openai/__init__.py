"""/v1: the OpenAI dialect, for official SDKs pointed at this server.

    app.py           make_app(): the application of the routers below
    errors.py        refusals in the dialect's shape
    bodies.py        JSON bodies, judged field by field
    files.py         /v1/files: uploads, and the outputs of batches
    batches.py       /v1/batches: an ordinary batch of imagemill in the dialect's words
    wishes.py        what a batch's metadata says about how it is treated
    collecting.py    output files get their ids and sizes once a batch has ended
    lines.py         a job's result as a line of an output file, made while it is read
    generations.py   /v1/images/generations: one job, waited for
    models.py        /v1/models

Nothing is paid for here that the ledger does not know: every image is a job of a batch, under the same budgets.
"""
