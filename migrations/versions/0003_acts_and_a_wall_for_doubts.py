"""Who decided what, and a wall for the money that doubts may cost a batch."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "acts",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False, comment="user@host, IMAGEMILL_OPERATOR, or the id of a worker"),
        sa.Column("verb", sa.Text(), nullable=False, comment="the command: retry, pause, resolve, ..."),
        sa.Column("batch_id", sa.Text(), nullable=True, comment="NULL: no single batch"),
        sa.Column("what", sa.Text(), nullable=False, comment="JSON: arguments, counts, money"),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acts")),
    )
    op.create_index("ix_acts_batch", "acts", ["batch_id", "id"])
    op.add_column(
        "batches",
        sa.Column(
            "max_possible_nano",
            sa.BigInteger(),
            nullable=True,
            comment="no unknown call is repeated above it; NULL: no such wall",
        ),
    )


def downgrade() -> None:
    op.drop_column("batches", "max_possible_nano")
    op.drop_index("ix_acts_batch", table_name="acts")
    op.drop_table("acts")
