import pytest

from plugin.edit_model import EditError
from plugin.presets import Presets


def test_presets_are_there_the_next_time(tmp_path):
    file = tmp_path / "config" / "presets.json"
    presets = Presets(file)
    presets.save(" Gesichter ", {"prompt": "a face", "seed": 3})
    presets.save("animals", {"prompt": "a dog"})
    presets.save("animals", {"prompt": "a cat"})
    again = Presets(file)
    assert again.names == ["animals", "Gesichter"]
    assert again.get("Gesichter") == {"prompt": "a face", "seed": 3}
    assert again.get("animals") == {"prompt": "a cat"}
    again.delete("animals")
    assert Presets(file).names == ["Gesichter"]
    assert [path.name for path in file.parent.iterdir()] == ["presets.json"]


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"presets": 3}', '{"presets": {"a": 1}}'])
def test_a_file_without_sense_is_no_presets(tmp_path, text):
    file = tmp_path / "presets.json"
    file.write_text(text)
    assert Presets(file).names == []


def test_a_preset_needs_a_name(tmp_path):
    with pytest.raises(EditError, match="needs a name"):
        Presets(tmp_path / "presets.json").save("  ", {})


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EditError, match=r"could not be saved in .*presets\.json"):
        Presets(tmp_path / "file" / "presets.json").save("a", {})
