"""Sums by tag set apart from those by model and outcome, which no longer multiply with them; the rate of all batches.

Tallies of before keep their tag set and count on: old workers may add to them until they end.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tag_tallies",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False, comment="UTC, YYYY-MM-DD"),
        sa.Column("tag_set", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("images", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("charged_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("possible_nano", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("unpriced", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "day", "tag_set", name=op.f("pk_tag_tallies")),
    )
    op.create_index("ix_progress_minute", "progress", ["minute"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_progress_minute", table_name="progress")
    op.drop_table("tag_tallies")
