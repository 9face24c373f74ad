"""What CONTRIBUTING says of every source file."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
MAX_LINES = 400


def test_no_file_is_too_long() -> None:
    files = [
        path
        for folder in ("backend", "gimp_plugin", "install")
        for path in (REPOSITORY / folder).rglob("*.py")
        if "vendor" not in path.parts
    ]
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in files}
    too_long = {str(path): count for path, count in lines.items() if count > MAX_LINES}
    assert len(files) > 100
    assert too_long == {}
