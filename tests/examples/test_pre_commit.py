"""The hook for pre-commit does what the documentation says, in the real pre-commit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import documents

CLI = documents.ROOT / "target" / "debug" / "tse-route"
FILES = {
    "sound.yaml": "rules: [{upstream: [{name: a}]}]\n",
    "other.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: x}\n",
    "broken.yaml": "rules: [{upstream: [{name: a}], weight: 101}]\n",
}


def test_the_hook_judges_the_files_of_a_commit(tmp_path: Path) -> None:
    commits, hooks = tmp_path / "commits", tmp_path / "hooks"
    for folder in (commits, hooks):
        folder.mkdir()
    # The hook as it is here, committed or not.
    (hooks / ".pre-commit-hooks.yaml").write_bytes((documents.ROOT / ".pre-commit-hooks.yaml").read_bytes())
    for name, text in FILES.items():
        (commits / name).write_text(text)
    environment = {
        **os.environ,
        "PATH": f"{CLI.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PRE_COMMIT_HOME": str(tmp_path / "home"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.com",
    }

    def run(*command: str, folder: Path = commits) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

    for folder in (commits, hooks):
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "All"]):
            done = run("git", *command, folder=folder)
            assert done.returncode == 0, done.stdout

    def judge(*names: str) -> subprocess.CompletedProcess[str]:
        return run("pre-commit", "try-repo", str(hooks), "tse-route-check", "--files", *names)

    passed = judge("sound.yaml", "other.yaml")
    assert passed.returncode == 0 and "Passed" in passed.stdout, passed.stdout
    failed = judge(*FILES)
    assert failed.returncode == 1, failed.stdout
    assert "broken.yaml:1:41" in failed.stdout and "found the number 101" in failed.stdout
