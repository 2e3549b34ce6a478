"""Results on stdout, everything else on stderr: what a script reads is never mixed with remarks or logs."""

import json
import os
import subprocess
import sys
from pathlib import Path

IMAGEMILL = Path(sys.executable).with_name("imagemill")
ROW = {"prompt": "a cup", "model": "gpt-image-2", "size": "1024x1024", "quality": "low"}


def test_a_submission_s_json_is_alone_on_stdout_also_when_the_broker_is_away(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps(ROW) + "\n")
    away = {"IMAGEMILL_BROKER_URL": "redis://127.0.0.1:1/0", "IMAGEMILL_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run(
        [IMAGEMILL, "submit", "m.jsonl", "--json"],
        cwd=tmp_path,
        env=os.environ | away,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["jobs"] == 1
    assert "ticket_not_published" in done.stderr
