"""Frozen selections: what a person saw before sending jobs again."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "selections",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("filter", sa.Text(), nullable=False, comment="JSON: state, cause, model"),
        sa.Column("upper_row", sa.BigInteger(), nullable=False, comment="jobs behind it do not belong to it"),
        sa.Column("jobs", sa.BigInteger(), nullable=False),
        sa.Column("worst_nano", sa.BigInteger(), nullable=False, comment="sum of the jobs' ceilings"),
        sa.Column("held", sa.BigInteger(), nullable=False, comment="of the jobs, those maybe paid for already"),
        sa.Column("sample", sa.Text(), nullable=False, comment="JSON: the first custom_ids"),
        sa.Column("digest", sa.Text(), nullable=False, comment="sha256 over row, state and attempts of each job"),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True, comment="NULL: not yet sent"),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.id"], name=op.f("fk_selections_batch_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_selections")),
    )


def downgrade() -> None:
    op.drop_table("selections")
