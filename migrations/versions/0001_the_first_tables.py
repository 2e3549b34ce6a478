"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attempt_tallies",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False, comment="UTC, YYYY-MM-DD"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tag_set", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("images", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("charged_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("possible_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unpriced", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "day", "model", "tag_set", "outcome", name=op.f("pk_attempt_tallies")),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "fingerprint", sa.Text(), nullable=False, comment="sha256 over manifest and settings: same = same batch"
        ),
        sa.Column("edition", sa.Integer(), nullable=False, comment="1, and one more for each --again"),
        sa.Column("manifest_sha256", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False, comment="JSON, as submitted"),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column(
            "retry_unknown", sa.Integer(), nullable=False, comment="repeats allowed after unknown attempts, per job"
        ),
        sa.Column(
            "time_limit_s", sa.Integer(), nullable=False, comment="from a job's first admission to giving up"
        ),
        sa.Column("jobs", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("pause_reason", sa.Text(), nullable=True, comment="operator, budget, or what happened"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('loading', 'open', 'paused', 'done', 'cancelled')", name=op.f("ck_batches_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    with op.batch_alter_table("batches", schema=None) as batch_op:
        batch_op.create_index(
            "uq_batches_fingerprint_edition",
            ["fingerprint", "edition"],
            unique=True,
            sqlite_where=sa.text("state <> 'loading'"),
            postgresql_where=sa.text("state <> 'loading'"),
        )

    op.create_table(
        "budgets",
        sa.Column("scope", sa.Text(), nullable=False, comment="batch"),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("cap_nano", sa.BigInteger(), nullable=True, comment="NULL: no cap, sums are kept all the same"),
        sa.Column("confirmed_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("possible_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reserved_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_budgets")),
    )
    op.create_table(
        "charge_tallies",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False, comment="UTC, YYYY-MM-DD"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tag_set", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("meter", sa.Text(), nullable=False),
        sa.Column("charges", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("quantity", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("amount_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unpriced", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint(
            "batch_id", "day", "model", "tag_set", "outcome", "meter", name=op.f("pk_charge_tallies")
        ),
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.Text(), nullable=False, comment="sweep"),
        sa.Column("done_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_duties")),
    )
    op.create_table(
        "endpoints",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.Column("pause_kind", sa.Text(), nullable=True),
        sa.Column("pause_message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_endpoints")),
    )
    op.create_table(
        "job_tallies",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "model", "state", name=op.f("pk_job_tallies")),
    )
    op.create_table(
        "progress",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False, comment="minutes since 1970 UTC"),
        sa.Column("jobs_ended", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("images", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "minute", name=op.f("pk_progress")),
    )
    op.create_table(
        "rate_limits",
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("requests_per_min", sa.Integer(), nullable=True, comment="NULL: no limit known"),
        sa.Column("images_per_min", sa.Integer(), nullable=True),
        sa.Column("tokens_per_min", sa.Integer(), nullable=True),
        sa.Column(
            "pace_per_min",
            sa.Integer(),
            nullable=True,
            comment="requests a minute learned from 429 answers; NULL: none needed",
        ),
        sa.Column("pace_changed_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("requests_full_us", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("images_full_us", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("tokens_full_us", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("pace_full_us", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("blocked_until", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "strikes",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="429s without a success between",
        ),
        sa.Column("window_at", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("window_requests", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("paused_at", sa.BigInteger(), nullable=True),
        sa.Column("pause_kind", sa.Text(), nullable=True),
        sa.Column("pause_message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("endpoint", "model", name=op.f("pk_rate_limits")),
    )
    op.create_table(
        "tag_sets",
        sa.Column(
            "id", sa.BigInteger(), autoincrement=False, nullable=False, comment="first 63 bits of sha256(tags)"
        ),
        sa.Column("tags", sa.Text(), nullable=False, comment="JSON object, keys sorted"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tag_sets")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("spool", sa.Text(), nullable=False, comment="folder its unsettled answers are in"),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("beat_at", sa.BigInteger(), nullable=False),
        sa.Column("steady_since", sa.BigInteger(), nullable=False, comment="beats without a gap since then"),
        sa.Column("in_flight", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "ended_at",
            sa.BigInteger(),
            nullable=True,
            comment="stopped by itself or swept; such a row admits nothing",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.create_index(
            "ix_workers_live",
            ["beat_at"],
            unique=False,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )

    op.create_table(
        "jobs",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column(
            "row", sa.BigInteger(), autoincrement=False, nullable=False, comment="1-based row of the manifest"
        ),
        sa.Column("custom_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False, comment="the JSON body as it goes on the wire"),
        sa.Column("tag_set", sa.BigInteger(), nullable=False),
        sa.Column(
            "ceiling_nano",
            sa.BigInteger(),
            nullable=False,
            comment="worst price of one call, reserved at admission",
        ),
        sa.Column(
            "tokens",
            sa.Integer(),
            nullable=False,
            comment="expected tokens of one call, for tokens-per-minute limits",
        ),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "counted",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="attempts that used up the limit",
        ),
        sa.Column(
            "unknowns",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="attempts that ended unknown",
        ),
        sa.Column(
            "key_number",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="Idempotency-Key generation",
        ),
        sa.Column("first_admitted_at", sa.BigInteger(), nullable=True),
        sa.Column("images", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("charged_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("possible_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'refused', 'held', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_jobs_batch_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tag_set"], ["tag_sets.id"], name=op.f("fk_jobs_tag_set")),
        sa.PrimaryKeyConstraint("batch_id", "row", name=op.f("pk_jobs")),
        sa.UniqueConstraint("batch_id", "custom_id", name=op.f("uq_jobs_batch_id_custom_id")),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index(
            "ix_jobs_due",
            ["batch_id", "model", "due_at", "row"],
            unique=False,
            sqlite_where=sa.text("state = 'queued'"),
            postgresql_where=sa.text("state = 'queued'"),
        )
        batch_op.create_index(
            "ix_jobs_trouble",
            ["batch_id", "state", "row"],
            unique=False,
            sqlite_where=sa.text("state IN ('failed', 'refused', 'held')"),
            postgresql_where=sa.text("state IN ('failed', 'refused', 'held')"),
        )

    op.create_table(
        "attempts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("admitted_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), nullable=False, comment="after this the sweep calls it unknown"),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True, comment="NULL: open, its ceiling reserved"),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("usage", sa.Text(), nullable=True, comment="the answer's usage object, raw JSON"),
        sa.Column("text_in", sa.BigInteger(), nullable=True),
        sa.Column("image_in", sa.BigInteger(), nullable=True),
        sa.Column("text_out", sa.BigInteger(), nullable=True),
        sa.Column("image_out", sa.BigInteger(), nullable=True),
        sa.Column("facts", sa.Text(), nullable=True, comment="JSON: the small rest of the answer"),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("ceiling_nano", sa.BigInteger(), nullable=False),
        sa.Column("charged_nano", sa.BigInteger(), nullable=True, comment="NULL: not charged, or unpriced"),
        sa.Column("possible_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("priced_by", sa.Text(), nullable=True, comment="usage, table or none"),
        sa.Column("price_book", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('succeeded', 'refused', 'rejected', 'throttled', 'errored', 'unknown', 'image_lost', 'not_sent', 'billed_lost', 'not_billed')",
            name=op.f("ck_attempts_outcome"),
        ),
        sa.CheckConstraint("priced_by IN ('usage', 'table', 'none')", name=op.f("ck_attempts_priced_by")),
        sa.ForeignKeyConstraint(
            ["batch_id", "row"], ["jobs.batch_id", "jobs.row"], name=op.f("fk_attempts_batch_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("batch_id", "row", "number", name=op.f("uq_attempts_batch_id_row_number")),
    )
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.create_index(
            "ix_attempts_open",
            ["worker_id"],
            unique=False,
            sqlite_where=sa.text("outcome IS NULL"),
            postgresql_where=sa.text("outcome IS NULL"),
        )
        batch_op.create_index(
            "ix_attempts_unknown",
            ["batch_id", "row"],
            unique=False,
            sqlite_where=sa.text("outcome = 'unknown'"),
            postgresql_where=sa.text("outcome = 'unknown'"),
        )

    op.create_table(
        "charges",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("meter", sa.Text(), nullable=False),
        sa.Column("correction", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False, comment="token or image"),
        sa.Column("rate_nano_per_million", sa.BigInteger(), nullable=True),
        sa.Column("amount_nano", sa.BigInteger(), nullable=True, comment="NULL: unpriced, never 0"),
        sa.Column("price_book", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False, comment="usage or table"),
        sa.Column("charged_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_charges_attempt_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charges")),
        sa.UniqueConstraint(
            "attempt_id", "meter", "correction", name=op.f("uq_charges_attempt_id_meter_correction")
        ),
    )
    op.create_table(
        "images",
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="name inside the image store"),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("revised_prompt", sa.Text(), nullable=True),
        sa.Column(
            "surplus", sa.Boolean(), nullable=False, comment="paid a second time: the job had its result already"
        ),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_images_attempt_id")),
        sa.PrimaryKeyConstraint("attempt_id", "index", name=op.f("pk_images")),
    )
    with op.batch_alter_table("images", schema=None) as batch_op:
        batch_op.create_index("ix_images_job", ["batch_id", "row", "index"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("images", schema=None) as batch_op:
        batch_op.drop_index("ix_images_job")

    op.drop_table("images")
    op.drop_table("charges")
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_attempts_unknown",
            sqlite_where=sa.text("outcome = 'unknown'"),
            postgresql_where=sa.text("outcome = 'unknown'"),
        )
        batch_op.drop_index(
            "ix_attempts_open", sqlite_where=sa.text("outcome IS NULL"), postgresql_where=sa.text("outcome IS NULL")
        )

    op.drop_table("attempts")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_jobs_trouble",
            sqlite_where=sa.text("state IN ('failed', 'refused', 'held')"),
            postgresql_where=sa.text("state IN ('failed', 'refused', 'held')"),
        )
        batch_op.drop_index(
            "ix_jobs_due", sqlite_where=sa.text("state = 'queued'"), postgresql_where=sa.text("state = 'queued'")
        )

    op.drop_table("jobs")
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_workers_live",
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )

    op.drop_table("workers")
    op.drop_table("tag_sets")
    op.drop_table("rate_limits")
    op.drop_table("progress")
    op.drop_table("job_tallies")
    op.drop_table("endpoints")
    op.drop_table("duties")
    op.drop_table("charge_tallies")
    op.drop_table("budgets")
    with op.batch_alter_table("batches", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_batches_fingerprint_edition",
            sqlite_where=sa.text("state <> 'loading'"),
            postgresql_where=sa.text("state <> 'loading'"),
        )

    op.drop_table("batches")
    op.drop_table("attempt_tallies")
