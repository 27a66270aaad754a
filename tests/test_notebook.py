"""docs/notebooks/quickstart.ipynb runs from top to bottom, with few steps."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "notebooks" / "quickstart.ipynb"


@pytest.mark.filterwarnings("ignore")
def test_quickstart_runs(model_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scenewright.scene import Record

    monkeypatch.setenv("SCENEWRIGHT_QUICKSTART_MODEL", model_name)
    monkeypatch.setenv("SCENEWRIGHT_QUICKSTART_STEPS", "3")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 4
    record = Record.load(tmp_path / "quickstart" / "moved.png")
    assert [instance.id for instance in record.scene.instances] == ["car", "tree"]
    assert record.scene.seed == 7


def test_quickstart_is_stored_without_results() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type != "code" or (not cell.outputs and cell.execution_count is None)
