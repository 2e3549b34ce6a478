"""/v1/files and /v1/models through the official SDK: uploads on the disk, lists, lifetimes, scopes, refusals."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from sqlalchemy import update

from jobs.ledger import schema
from jobs.ledger.engine import Ledger
from tests.integration.dialects import DAY_S, Dialect, batch_lines, client_of, dialect_over
from tests.integration.mills import QUICK
from worker.simulator import Simulator, start_in_thread


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with start_in_thread(QUICK) as running:
        yield running


@pytest.fixture
def dialect(sqlite_ledger: Ledger, simulator: Simulator, tmp_path: Path) -> Iterator[Dialect]:
    with dialect_over(sqlite_ledger, simulator, tmp_path, most_upload_bytes=100_000) as made:
        yield made


def kept(dialect: Dialect) -> list[str]:
    folder = dialect.mill.folder / "data" / "files"
    return sorted(path.name for path in folder.iterdir())


def test_an_upload_comes_back_as_it_was(dialect: Dialect) -> None:
    file = dialect.upload("{}\n", name="../../etc/prompts.jsonl")
    assert (file.bytes, file.filename, file.purpose, file.status) == (3, "prompts.jsonl", "batch", "processed")
    assert file.expires_at == file.created_at + 30 * DAY_S
    assert dialect.client.files.retrieve(file.id) == file
    assert dialect.client.files.content(file.id).content == b"{}\n"
    assert kept(dialect) == [file.id]


def test_a_lifetime_that_was_asked_for_is_kept(dialect: Dialect) -> None:
    file = dialect.client.files.create(
        file=b"{}", purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert file.expires_at == file.created_at + 3600


def test_an_expired_file_is_gone_and_its_bytes_with_the_next_upload(dialect: Dialect) -> None:
    file = dialect.upload("{}")
    dialect.api.ledger.write(lambda tx: tx.execute(update(schema.files).values(expires_at=1)))
    with pytest.raises(openai.NotFoundError):
        dialect.client.files.retrieve(file.id)
    assert dialect.client.files.list().data == []
    past = time.time() - DAY_S
    os.utime(dialect.mill.folder / "data" / "files" / file.id, (past, past))
    other = dialect.upload("{}")
    assert kept(dialect) == [other.id]


def test_what_a_killed_upload_left_is_swept_but_not_while_it_may_be_under_way(dialect: Dialect) -> None:
    first = dialect.upload("{}")
    folder = dialect.mill.folder / "data" / "files"
    (folder / "file-fresh").write_bytes(b"")
    (folder / "file-old").write_bytes(b"")
    past = time.time() - DAY_S
    os.utime(folder / "file-old", (past, past))
    os.utime(folder / first.id, (past, past))
    second = dialect.upload("{}")
    assert kept(dialect) == sorted([first.id, second.id, "file-fresh"])


def test_a_deleted_file_is_gone_and_its_batch_goes_on(dialect: Dialect) -> None:
    file = dialect.upload(batch_lines("a fox"))
    made = dialect.create_of(file)
    gone = dialect.client.files.delete(file.id)
    assert (gone.id, gone.deleted) == (file.id, True)
    assert kept(dialect) == []
    with pytest.raises(openai.NotFoundError):
        dialect.client.files.delete(file.id)
    assert dialect.run(made).status == "completed"


def test_a_deleted_output_stays_away_and_its_images_stay(dialect: Dialect) -> None:
    done = dialect.run(dialect.create("a fox"))
    assert done.output_file_id is not None
    dialect.client.files.delete(done.output_file_id)
    with pytest.raises(openai.NotFoundError):
        dialect.client.files.content(done.output_file_id)
    dialect.client.batches.retrieve(done.id)
    assert [file.purpose for file in dialect.client.files.list()] == ["batch"]
    assert len(dialect.mill.images()) == 1


def test_outputs_live_as_long_as_was_asked(dialect: Dialect) -> None:
    made = dialect.create("a fox", output_expires_after={"anchor": "created_at", "seconds": 7200})
    done = dialect.run(made)
    assert done.output_file_id is not None
    file = dialect.client.files.retrieve(done.output_file_id)
    assert file.expires_at == file.created_at + 7200


def test_files_are_listed_by_purpose_order_and_page(dialect: Dialect) -> None:
    made = dialect.create("a fox")
    uploads = [made.input_file_id, dialect.upload("{}").id, dialect.upload("{}").id]
    dialect.mill.run(made.id)
    files = dialect.client.files
    assert [file.id for file in files.list(purpose="batch", order="asc", limit=1)] == uploads
    assert [file.id for file in files.list(purpose="batch", limit=2)] == uploads[::-1]
    (output,) = files.list(purpose="batch_output")
    assert output.id == dialect.client.batches.retrieve(made.id).output_file_id
    page = files.list(purpose="batch", limit=1)
    assert (page.has_more, len(page.data)) == (True, 1)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"purpose": "fine-tune"}, "purpose"),
        ({"purpose": "batch", "expires_after": {"anchor": "created_at", "seconds": 60}}, "expires_after.seconds"),
        ({"purpose": "batch", "extra_body": {"more": "x"}}, "more"),
    ],
)
def test_an_upload_for_something_else_is_refused_and_not_kept(
    dialect: Dialect, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        dialect.client.files.create(file=b"{}", **options)
    assert (caught.value.param, caught.value.type) == (param, "invalid_request_error")
    assert not (dialect.mill.folder / "data" / "files").exists()
    assert list(dialect.api.service.uploads.iterdir()) == []


def test_a_file_over_the_cap_is_refused_in_the_dialects_shape(dialect: Dialect) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        dialect.upload(b"x" * 200_000)
    assert (caught.value.status_code, caught.value.code) == (413, "too_large")


def test_a_body_that_is_no_form_is_refused(dialect: Dialect) -> None:
    header = dialect.api.token("submit")
    answer = dialect.api.post("/v1/files", content=b"{}", headers=header | {"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_form")


def test_a_wrong_key_is_an_authentication_error(dialect: Dialect) -> None:
    wrong = dialect.client.with_options(api_key="sk-wrong")
    for call in (wrong.models.list, wrong.files.list, wrong.batches.list):
        with pytest.raises(openai.AuthenticationError) as caught:
            call()
        assert caught.value.code == "token_invalid"


def test_c15_a_token_that_may_only_read_makes_and_deletes_nothing(dialect: Dialect) -> None:
    file = dialect.upload(batch_lines("a fox"))
    made = dialect.create_of(file)
    with client_of(dialect.api, "read") as reader:
        assert reader.batches.retrieve(made.id).id == made.id
        assert reader.files.content(file.id).text == batch_lines("a fox")
        forbidden = (
            lambda: reader.files.create(file=b"{}", purpose="batch"),
            lambda: reader.files.delete(file.id),
            lambda: reader.batches.cancel(made.id),
            lambda: reader.batches.create(
                input_file_id=file.id, endpoint="/v1/images/generations", completion_window="24h"
            ),
        )
        for call in forbidden:
            with pytest.raises(openai.PermissionDeniedError) as caught:
                call()
            assert caught.value.code == "scope_missing"


def test_c15_without_a_token_a_public_server_answers_nothing_in_the_dialect(
    sqlite_ledger: Ledger, simulator: Simulator, tmp_path: Path
) -> None:
    with dialect_over(sqlite_ledger, simulator, tmp_path, public=True) as dialect:
        for path in ("models", "files", "batches", "files/file-x/content", "nowhere"):
            answer = dialect.api.get(f"/v1/{path}")
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token_needed")


def test_the_models_are_those_of_the_catalogue(dialect: Dialect) -> None:
    listed = {model.id: model for model in dialect.client.models.list()}
    assert {"gpt-image-1", "gpt-image-2"} <= listed.keys()
    assert dialect.client.models.retrieve("gpt-image-2") == listed["gpt-image-2"]
    with pytest.raises(openai.NotFoundError) as caught:
        dialect.client.models.retrieve("gpt-4")
    assert caught.value.code == "model_not_found"


def test_what_the_dialect_has_not_is_told_in_its_shape(dialect: Dialect) -> None:
    client: OpenAI = dialect.client
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="x", input="y")
    assert caught.value.type == "invalid_request_error"
