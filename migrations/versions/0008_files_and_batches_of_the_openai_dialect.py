"""Files, batches and single requests of the OpenAI dialect."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column(
            "purpose",
            sa.Text(),
            nullable=False,
            comment="batch: uploaded; batch_output: made of a batch's rows when read",
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="the client's; only ever shown"),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), comment="of an uploaded file"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), comment="NULL: never"),
        sa.Column("deleted_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_index("ix_files_created", "files", ["created_at", "id"])
    op.create_table(
        "openai_batches",
        sa.Column("id", sa.Text(), nullable=False, comment="of the batch; of none where its file was not valid"),
        sa.Column("input_file_id", sa.Text(), nullable=False),
        sa.Column("told", sa.Text(), nullable=False, comment="JSON: metadata, as the client gave it"),
        sa.Column("errors", sa.Text(), comment="JSON: why nothing was recorded"),
        sa.Column(
            "outputs_live_s", sa.Integer(), comment="how long its output files are kept; NULL: as long as the batch"
        ),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("cancelling_at", sa.BigInteger()),
        sa.Column("collected_at", sa.BigInteger(), comment="ended_at of the batch that its output files are of"),
        sa.Column("output_file_id", sa.Text()),
        sa.Column("error_file_id", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_openai_batches"),
    )
    op.create_index("ix_openai_batches_created", "openai_batches", ["created_at", "id"])
    op.create_table(
        "openai_requests",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the request's body"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("answered_at", sa.BigInteger(), comment="NULL: no answer went out whole"),
        sa.Column(
            "repeats",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="retries that were given this job",
        ),
        sa.PrimaryKeyConstraint("batch_id", name="pk_openai_requests"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="fk_openai_requests_batch_id"),
    )
    op.create_index("ix_openai_requests_body", "openai_requests", ["caller", "sha256", "created_at"])


def downgrade() -> None:
    op.drop_table("openai_requests")
    op.drop_table("openai_batches")
    op.drop_table("files")
