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


_DAY_OF = {
    "sqlite": "strftime('%Y-%m-%d', a.ended_at / 1000, 'unixepoch')",
    "postgresql": "to_char(to_timestamp(a.ended_at / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}
_RECOUNT = """
    INSERT INTO attempt_tallies
        (batch_id, day, model, tag_set, outcome, attempts, images, charged_nano, possible_nano, unpriced)
    SELECT a.batch_id, {day}, a.model, j.tag_set, a.outcome, count(*),
        sum((SELECT count(*) FROM images i WHERE i.attempt_id = a.id)),
        sum(coalesce(a.charged_nano, 0)),
        sum(a.possible_nano),
        sum(CASE WHEN a.priced_by IS NULL OR a.charged_nano IS NOT NULL THEN 0 ELSE 1 END)
    FROM attempts a JOIN jobs j ON j.batch_id = a.batch_id AND j."row" = a."row"
    WHERE a.outcome IS NOT NULL
    GROUP BY 1, 2, 3, 4, 5
"""


def downgrade() -> None:
    """Sums by tag set together with model and outcome are in no table here: they are counted again."""
    op.execute("DELETE FROM attempt_tallies")
    op.execute(_RECOUNT.format(day=_DAY_OF[op.get_bind().dialect.name]))
    op.drop_index("ix_progress_minute", table_name="progress")
    op.drop_table("tag_tallies")
