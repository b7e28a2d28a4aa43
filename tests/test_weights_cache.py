"""Where fetched weights are kept, and what is said where they cannot be fetched or kept."""

from pathlib import Path

import pytest

from facedepth.checks import InputError
from facedepth.models import MODELS, load_model
from facedepth.models.downloads import cache_folder, fetch


def test_the_place(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEDEPTH_CACHE", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("FACEDEPTH_CACHE", "~/weights")
    assert cache_folder() == Path.home() / "weights"
    monkeypatch.delenv("FACEDEPTH_CACHE")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert cache_folder() == tmp_path / "torch" / "hub" / "checkpoints"


def test_offline_the_error_names_address_and_place(monkeypatch, tmp_path):
    monkeypatch.setenv("FACEDEPTH_CACHE", str(tmp_path))
    url = "http://127.0.0.1:9/nowhere.pt"  # nobody listens there
    with pytest.raises(InputError) as caught:
        fetch(url)
    assert url in str(caught.value)
    assert str(tmp_path / "nowhere.pt") in str(caught.value)
    assert "refused" in str(caught.value)


def test_what_can_be_fetched_says_its_licence_and_its_address():
    fetched = {name: entry for name, entry in MODELS.items() if entry.url}
    assert len(fetched) == 6
    for entry in fetched.values():
        assert entry.url.startswith("https://")
        assert entry.url.endswith((".pt", ".pth"))
        assert entry.licence.split(" ")[0] in ("MIT", "Apache-2.0", "CC-BY-NC-4.0")


def test_a_cache_that_cannot_be_written_to_is_named_with_the_setting_that_moves_it(monkeypatch, tmp_path):
    (tmp_path / "full").touch()  # no folder: nobody can write into it, not even root
    monkeypatch.setenv("FACEDEPTH_CACHE", str(tmp_path / "full" / "cache"))
    said = rf"^{tmp_path}/full/cache: cannot be written to \(.*\); .* the environment variable FACEDEPTH_CACHE$"
    with pytest.raises(InputError, match=said):
        load_model("midas_small")
