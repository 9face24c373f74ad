import pytest

from plugin.edit_model import EditError
from plugin.presets import Presets, apply


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


def test_what_is_missing_or_cannot_be_stays_as_it_is():
    class Config(dict):
        get_property, set_property = dict.__getitem__, dict.__setitem__

    config = Config(prompt=None, seed=3, mode="fast", steps=9)
    apply(config, {"prompt": "a dog", "seed": "7", "mode": None, "steps": 5}, config)
    assert config == {"prompt": "a dog", "seed": 3, "mode": "fast", "steps": 5}
    apply(config, {"prompt": "a cat", "seed": 1}, ["seed"])
    assert config == {"prompt": "a dog", "seed": 1, "mode": "fast", "steps": 5}
