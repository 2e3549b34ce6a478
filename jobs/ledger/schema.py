"""Every table of the ledger. The migrations build exactly this; a test finds them in agreement.

Conventions: money in integer nano-dollars (`_nano`); moments in milliseconds since 1970 UTC by the database's
clock (`_at`), because both engines store and compare integers exactly; JSON as text, written once, read whole.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from jobs.states import BatchState, JobState, Outcome

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite counts rows by itself only in a column of exactly this type.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _one_of(column: str, words: type[BatchState] | type[JobState] | type[Outcome]) -> CheckConstraint:
    listed = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def _amount(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


batches = Table(
    "batches",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("fingerprint", Text, nullable=False, comment="sha256 over manifest and settings: same = same batch"),
    Column("edition", Integer, nullable=False, comment="1, and one more for each --again"),
    Column("manifest_sha256", Text, nullable=False),
    Column("settings", Text, nullable=False, comment="JSON, as submitted"),
    Column("max_attempts", Integer, nullable=False),
    Column("retry_unknown", Integer, nullable=False, comment="repeats allowed after unknown attempts, per job"),
    Column("max_possible_nano", BigInteger, comment="no unknown call is repeated above it; NULL: no such wall"),
    Column("time_limit_s", Integer, nullable=False, comment="from a job's first admission to giving up"),
    Column("jobs", BigInteger, nullable=False, server_default=text("0")),
    Column("pause_reason", Text, comment="operator, budget, or what happened"),
    Column("created_at", BigInteger, nullable=False),
    Column("opened_at", BigInteger),
    Column("ended_at", BigInteger),
    _one_of("state", BatchState),
    # "Submitting the same file with the same settings twice is one batch": decided here, not by a check before.
    Index(
        "uq_batches_fingerprint_edition",
        "fingerprint",
        "edition",
        unique=True,
        sqlite_where=text("state <> 'loading'"),
        postgresql_where=text("state <> 'loading'"),
    ),
)

tag_sets = Table(
    "tag_sets",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="first 63 bits of sha256(tags)"),
    Column("tags", Text, nullable=False, comment="JSON object, keys sorted"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("batch_id", Text, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    Column("row", BigInteger, primary_key=True, autoincrement=False, comment="1-based row of the manifest"),
    Column("custom_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("n", Integer, nullable=False),
    Column("request", Text, nullable=False, comment="the JSON body as it goes on the wire"),
    Column("tag_set", BigInteger, ForeignKey("tag_sets.id"), nullable=False),
    Column("ceiling_nano", BigInteger, nullable=False, comment="worst price of one call, reserved at admission"),
    Column("tokens", Integer, nullable=False, comment="expected tokens of one call, for tokens-per-minute limits"),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column(
        "counted",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="attempts that used up the limit",
    ),
    Column("unknowns", Integer, nullable=False, server_default=text("0"), comment="attempts that ended unknown"),
    Column("key_number", Integer, nullable=False, server_default=text("0"), comment="Idempotency-Key generation"),
    Column("first_admitted_at", BigInteger),
    Column("images", Integer, nullable=False, server_default=text("0")),
    _amount("charged_nano"),
    _amount("possible_nano"),
    Column("error_kind", Text),
    Column("error_message", Text),
    _one_of("state", JobState),
    UniqueConstraint("batch_id", "custom_id"),
    # Serves admission: the next due jobs of one batch and model, in manifest order.
    Index(
        "ix_jobs_due",
        "batch_id",
        "model",
        "due_at",
        "row",
        sqlite_where=text("state = 'queued'"),
        postgresql_where=text("state = 'queued'"),
    ),
    # Serves failures, retry and the list of held jobs.
    Index(
        "ix_jobs_trouble",
        "batch_id",
        "state",
        "row",
        sqlite_where=text("state IN ('failed', 'refused', 'held')"),
        postgresql_where=text("state IN ('failed', 'refused', 'held')"),
    ),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("batch_id", Text, nullable=False),
    Column("row", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("worker_id", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("admitted_at", BigInteger, nullable=False),
    Column("deadline_at", BigInteger, nullable=False, comment="after this the sweep calls it unknown"),
    Column("ended_at", BigInteger),
    Column("outcome", Text, comment="NULL: open, its ceiling reserved"),
    Column("http_status", Integer),
    Column("request_id", Text),
    Column("error_kind", Text),
    Column("error_message", Text),
    Column("usage", Text, comment="the answer's usage object, raw JSON"),
    Column("text_in", BigInteger),
    Column("image_in", BigInteger),
    Column("text_out", BigInteger),
    Column("image_out", BigInteger),
    Column("facts", Text, comment="JSON: the small rest of the answer"),
    Column("duration_ms", Integer),
    Column("ceiling_nano", BigInteger, nullable=False),
    Column("charged_nano", BigInteger, comment="NULL: not charged, or unpriced"),
    _amount("possible_nano"),
    Column("priced_by", Text, comment="usage, table or none"),
    Column("price_book", Text),
    ForeignKeyConstraint(["batch_id", "row"], ["jobs.batch_id", "jobs.row"]),
    UniqueConstraint("batch_id", "row", "number"),
    CheckConstraint("priced_by IN ('usage', 'table', 'none')", name="priced_by"),
    _one_of("outcome", Outcome),
    # Serves the sweep: what a dead worker left open.
    Index(
        "ix_attempts_open",
        "worker_id",
        sqlite_where=text("outcome IS NULL"),
        postgresql_where=text("outcome IS NULL"),
    ),
    # Serves the list of doubts.
    Index(
        "ix_attempts_unknown",
        "batch_id",
        "row",
        sqlite_where=text("outcome = 'unknown'"),
        postgresql_where=text("outcome = 'unknown'"),
    ),
    # Serves the budgets of a day and of a month: what they cover is counted when they begin.
    Index("ix_attempts_admitted", "admitted_at"),
)

images = Table(
    "images",
    metadata,
    Column("attempt_id", Text, ForeignKey("attempts.id"), primary_key=True),
    Column("index", Integer, primary_key=True, autoincrement=False),
    Column("batch_id", Text, nullable=False),
    Column("row", BigInteger, nullable=False),
    Column("path", Text, nullable=False, comment="name inside the image store"),
    Column("sha256", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("format", Text, nullable=False),
    Column("width", Integer),
    Column("height", Integer),
    Column("revised_prompt", Text),
    Column("surplus", Boolean, nullable=False, comment="paid a second time: the job had its result already"),
    Column("stored_at", BigInteger, nullable=False),
    # Serves `images BATCH` and the galleries.
    Index("ix_images_job", "batch_id", "row", "index"),
)

charges = Table(
    "charges",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("attempt_id", Text, ForeignKey("attempts.id"), nullable=False),
    Column("meter", Text, nullable=False),
    Column("correction", Integer, nullable=False, server_default=text("0")),
    Column("quantity", BigInteger, nullable=False),
    Column("unit", Text, nullable=False, comment="token or image"),
    Column("rate_nano_per_million", BigInteger),
    Column("amount_nano", BigInteger, comment="NULL: unpriced, never 0"),
    Column("price_book", Text, nullable=False),
    Column("basis", Text, nullable=False, comment="usage or table"),
    Column("charged_at", BigInteger, nullable=False),
    UniqueConstraint("attempt_id", "meter", "correction"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("spool", Text, nullable=False, comment="folder its unsettled answers are in"),
    Column("started_at", BigInteger, nullable=False),
    Column("beat_at", BigInteger, nullable=False),
    Column("steady_since", BigInteger, nullable=False, comment="beats without a gap since then"),
    Column("in_flight", Integer, nullable=False, server_default=text("0")),
    Column("ended_at", BigInteger, comment="stopped by itself or swept; such a row admits nothing"),
    # Serves the sweep and `status`: the workers that may be alive.
    Index(
        "ix_workers_live",
        "beat_at",
        sqlite_where=text("ended_at IS NULL"),
        postgresql_where=text("ended_at IS NULL"),
    ),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("url", Text, primary_key=True),
    Column("paused_at", BigInteger),
    Column("pause_kind", Text),
    Column("pause_message", Text),
)

rate_limits = Table(
    "rate_limits",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("requests_per_min", Integer, comment="NULL: no limit known"),
    Column("images_per_min", Integer),
    Column("tokens_per_min", Integer),
    # Written by workers of before migration 0007, and read by nobody, like window_requests.
    Column("pace_per_min", Integer, comment="requests a minute learned from 429 answers; NULL: none needed"),
    Column("ceiling_per_min", Double, comment="images a minute at which the last 429 came; NULL: none came"),
    Column("slowed_per_min", Double, nullable=False, server_default=text("0")),
    Column("tried_at", BigInteger, nullable=False, server_default=text("0")),
    Column("tried_images", BigInteger, nullable=False, server_default=text("0")),
    Column("grows_from", BigInteger, nullable=False, server_default=text("0")),
    Column("pace_changed_at", BigInteger, nullable=False, server_default=text("0")),
    # When each bucket is full again, in microseconds: the one number a token bucket needs (GCRA).
    Column("requests_full_us", BigInteger, nullable=False, server_default=text("0")),
    Column("images_full_us", BigInteger, nullable=False, server_default=text("0")),
    Column("tokens_full_us", BigInteger, nullable=False, server_default=text("0")),
    Column("pace_full_us", BigInteger, nullable=False, server_default=text("0")),
    Column("blocked_until", BigInteger, nullable=False, server_default=text("0")),
    Column("strikes", Integer, nullable=False, server_default=text("0"), comment="429s without a success between"),
    Column("window_at", BigInteger, nullable=False, server_default=text("0")),
    Column("window_requests", Integer, nullable=False, server_default=text("0")),
    Column("window_images", BigInteger, nullable=False, server_default=text("0")),
    Column("window_before", BigInteger, nullable=False, server_default=text("0")),
    Column("paused_at", BigInteger),
    Column("pause_kind", Text),
    Column("pause_message", Text),
)

budgets = Table(
    "budgets",
    metadata,
    Column("scope", Text, primary_key=True, comment="overall, month, day, tag or batch"),
    # '' for overall, YYYY-MM, YYYY-MM-DD (UTC, of the admission), KEY=VALUE, a batch's id. A month or day '*' holds
    # the cap of every month or day, and no sums.
    Column("key", Text, primary_key=True),
    Column("cap_nano", BigInteger, comment="NULL: no cap, sums are kept all the same"),
    _amount("confirmed_nano"),
    _amount("possible_nano"),
    _amount("reserved_nano"),
)

job_tallies = Table(
    "job_tallies",
    metadata,
    Column("batch_id", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("jobs", BigInteger, nullable=False),
)

ALL_TAGS = 0
"""Tag set of a tally that is of all of them: tags are many, and a row for each of them with each model and outcome
could be as many rows as there are attempts."""

attempt_tallies = Table(
    "attempt_tallies",
    metadata,
    Column("batch_id", Text, primary_key=True),
    Column("day", Text, primary_key=True, comment="UTC, YYYY-MM-DD"),
    Column("model", Text, primary_key=True),
    # ALL_TAGS. Before there were tag_tallies each set had rows of its own; they still count, here and by tag.
    Column("tag_set", BigInteger, primary_key=True, autoincrement=False),
    Column("outcome", Text, primary_key=True),
    _amount("attempts"),
    _amount("images"),
    _amount("charged_nano"),
    _amount("possible_nano"),
    _amount("unpriced"),
)

tag_tallies = Table(
    "tag_tallies",
    metadata,
    Column("batch_id", Text, primary_key=True),
    Column("day", Text, primary_key=True, comment="UTC, YYYY-MM-DD"),
    Column("tag_set", BigInteger, primary_key=True, autoincrement=False),
    _amount("attempts"),
    _amount("images"),
    _amount("charged_nano"),
    _amount("possible_nano"),
    _amount("unpriced"),
)

charge_tallies = Table(
    "charge_tallies",
    metadata,
    Column("batch_id", Text, primary_key=True),
    Column("day", Text, primary_key=True, comment="UTC, YYYY-MM-DD"),
    Column("model", Text, primary_key=True),
    Column("tag_set", BigInteger, primary_key=True, autoincrement=False),
    Column("outcome", Text, primary_key=True),
    Column("meter", Text, primary_key=True),
    _amount("charges"),
    _amount("quantity"),
    _amount("amount_nano"),
    _amount("unpriced"),
)

progress = Table(
    "progress",
    metadata,
    Column("batch_id", Text, primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False, comment="minutes since 1970 UTC"),
    _amount("jobs_ended"),
    _amount("images"),
    # Serves `status` of all batches: the rate is that of the last minutes.
    Index("ix_progress_minute", "minute"),
)

duties = Table(
    "duties",
    metadata,
    Column("name", Text, primary_key=True, comment="sweep"),
    Column("done_at", BigInteger, nullable=False),
)

acts = Table(
    "acts",
    metadata,
    Column("id", _Serial, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", Text, nullable=False, comment="user@host, IMAGEMILL_OPERATOR, or the id of a worker"),
    Column("verb", Text, nullable=False, comment="the command: retry, pause, resolve, ..."),
    Column("batch_id", Text, comment="NULL: no single batch"),
    Column("what", Text, nullable=False, comment="JSON: arguments, counts, money"),
    Column("evidence", Text),
    # Serves `acts BATCH`, the newest first.
    Index("ix_acts_batch", "batch_id", "id"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, comment="who it is in the record of acts; never given to another"),
    Column("sha256", Text, nullable=False, comment="of the whole token, which is shown once and kept nowhere"),
    Column("scopes", Text, nullable=False, comment="words of TokenScope, sorted, with blanks between"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, comment="NULL: never"),
    Column("revoked_at", BigInteger),
    UniqueConstraint("name"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("sha256", Text, primary_key=True, comment="of the cookie's value"),
    Column("token_id", Text, ForeignKey("tokens.id"), nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", Text, primary_key=True, comment="name of the token, or the operator"),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False, comment="sha256 of the request it came with first"),
    Column("batch_id", Text, ForeignKey("batches.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

selections = Table(
    "selections",
    metadata,
    Column("id", Text, primary_key=True),
    Column("batch_id", Text, ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
    Column("who", Text, nullable=False),
    Column("filter", Text, nullable=False, comment="JSON: state, cause, model"),
    Column("upper_row", BigInteger, nullable=False, comment="jobs behind it do not belong to it"),
    Column("jobs", BigInteger, nullable=False),
    Column("worst_nano", BigInteger, nullable=False, comment="sum of the jobs' ceilings"),
    Column("held", BigInteger, nullable=False, comment="of the jobs, those maybe paid for already"),
    Column("sample", Text, nullable=False, comment="JSON: the first custom_ids"),
    Column("digest", Text, nullable=False, comment="sha256 over row, state and attempts of each job"),
    Column("created_at", BigInteger, nullable=False),
    Column("used_at", BigInteger, comment="NULL: not yet sent"),
)

files = Table(
    "files",
    metadata,
    Column("id", Text, primary_key=True),
    Column(
        "purpose", Text, nullable=False, comment="batch: uploaded; batch_output: made of a batch's rows when read"
    ),
    Column("name", Text, nullable=False, comment="the client's; only ever shown"),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, comment="of an uploaded file"),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, comment="NULL: never"),
    Column("deleted_at", BigInteger),
    # Serves the list of files.
    Index("ix_files_created", "created_at", "id"),
)

openai_batches = Table(
    "openai_batches",
    metadata,
    Column("id", Text, primary_key=True, comment="of the batch; of none where its file was not valid"),
    Column("input_file_id", Text, nullable=False),
    Column("told", Text, nullable=False, comment="JSON: metadata, as the client gave it"),
    Column("errors", Text, comment="JSON: why nothing was recorded"),
    Column("outputs_live_s", Integer, comment="how long its output files are kept; NULL: as long as the batch"),
    Column("created_at", BigInteger, nullable=False),
    Column("cancelling_at", BigInteger),
    Column("collected_at", BigInteger, comment="ended_at of the batch that its output files are of"),
    Column("output_file_id", Text),
    Column("error_file_id", Text),
    # Serves the list of batches.
    Index("ix_openai_batches_created", "created_at", "id"),
)

openai_requests = Table(
    "openai_requests",
    metadata,
    Column("batch_id", Text, ForeignKey("batches.id"), primary_key=True),
    Column("caller", Text, nullable=False),
    Column("sha256", Text, nullable=False, comment="of the request's body"),
    Column("created_at", BigInteger, nullable=False),
    Column("answered_at", BigInteger, comment="NULL: no answer went out whole"),
    Column(
        "repeats", Integer, nullable=False, server_default=text("0"), comment="retries that were given this job"
    ),
    # Serves the retries of clients that send no Idempotency-Key.
    Index("ix_openai_requests_body", "caller", "sha256", "created_at"),
)
