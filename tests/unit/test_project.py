r"""project.toml.example is generated. After a change of a key, write it again with

python -c "from engine.project import example_toml; print(example_toml(), end='')" \
    > project.toml.example
"""

import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ProjectError
from engine.project import (
    Project,
    apply_overrides,
    example_toml,
    find_project,
    load_project,
    update_project,
    write_project,
)
from engine.settings import KEYS

ROOT = Path(__file__).parents[2]


def written(folder, text):
    path = folder / "project.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def sections(project):
    return msgspec.structs.replace(project, file=None)


def test_the_example_at_the_root_is_the_generated_one():
    assert (ROOT / "project.toml.example").read_text(encoding="utf-8") == example_toml()


def test_the_example_holds_every_key_at_its_default(tmp_path):
    project = load_project(written(tmp_path, example_toml()))
    assert sections(project) == sections(Project.defaults(tmp_path))
    data = tomllib.loads(example_toml())
    assert {f"{s}.{k}" for s, keys in data.items() for k in keys} == set(KEYS)


def test_every_key_has_one_line_of_explanation():
    lines = example_toml().splitlines()
    for key in KEYS.values():
        assert "\n" not in key.description
        assert len(key.description) > 10
        assert any(line.startswith(f"# {key.description}") for line in lines)


def test_paths_are_relative_to_the_project(tmp_path):
    path = written(
        tmp_path,
        '[dataset]\npath = "data/set.csv"\n[models]\ncheckpoint = "/m/x.safetensors"\n'
        'text_encoder = "gemma"\n',
    )
    project = load_project(path)
    assert project.file == path
    assert project.root == tmp_path
    assert project.dataset_path == tmp_path / "data/set.csv"
    assert project.output_dir == tmp_path / "data/.precomputed"
    assert project.checkpoint_path == Path("/m/x.safetensors")
    assert project.text_encoder_path == tmp_path / "gemma"
    assert project.video_vae_path is None
    assert project.audio_vae_path is None
    assert project.state_dir == tmp_path / ".ltx-tui"
    moved = apply_overrides(project, {"dataset.output_dir": "out"})
    assert moved.output_dir == tmp_path / "out"


def test_a_relative_project_path_still_gives_an_absolute_root(tmp_path, monkeypatch):
    written(tmp_path, "")
    monkeypatch.chdir(tmp_path)
    assert load_project(Path("project.toml")).root == tmp_path
    assert Project.defaults(Path()).root.is_absolute()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[video]\nbucket = "960x544x49"\n', ["video.bucket", "video.buckets?"]),
        ('[video]\ntrigger = "TOK"\n', ["video.trigger", "text.trigger"]),
        ('buckets = "960x544x49"\n', ["'buckets'", "video.buckets"]),
        ("[vidio]\nfps = 1\n", ["'vidio'", "[video]"]),
        ("video = 3\n", ["is a section", "write [video]"]),
        ("clips = 3\n", ["is a section", "write [clips]"]),
        ("[clip]\n'a.mp4' = '64x64x9'\n", ["'clip'", "[clips]"]),
        ("[clips]\n'a.mp4' = 3\n", ["clips.a.mp4", "got int", "in quotes"]),
        ("[clips]\na.mp4 = '64x64x9'\n", ["clips.a", "got dict", "path with dots"]),
        ('[video]\nseed = "1"\n', ["video.seed", "expected int, got str", "default is 42"]),
        ("[video]\nseed = true\n", ["video.seed", "got bool"]),
        ("[video]\nfps = nan\n", ["video.fps"]),
        ("[video]\nfps = inf\n", ["video.fps"]),
        ("[video]\nchunk = 7\n", ["video.chunk", "multiple of 8"]),
        ('[video]\nreshape = "centre"\n', ["video.reshape", "'center' or 'random'"]),
        ("[run]\nbatch_size = 0\n", ["run.batch_size", ">= 1"]),
        ('[dataset]\npath = "a\\u0000b"\n', ["dataset.path", "NUL"]),
        ("[dataset\n", ["not valid TOML", "line 1"]),
        (b"[dataset]\npath = '\xff'\n", ["not UTF-8"]),
    ],
)
def test_a_bad_file_is_refused_with_its_name_the_key_and_a_remedy(tmp_path, text, named):
    path = written(tmp_path, text)
    with pytest.raises(ProjectError) as caught:
        load_project(path)
    for words in [str(path), *named]:
        assert words in str(caught.value)
    assert caught.value.remedy


def test_a_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(ProjectError, match="cannot be read"):
        load_project(tmp_path / "project.toml")


def test_a_bom_crlf_and_whole_numbers_for_fractions_are_read(tmp_path):
    project = load_project(written(tmp_path, b"\xef\xbb\xbf[video]\r\nfps = 24\r\n"))
    assert project.video.fps == 24.0
    assert isinstance(project.video.fps, float)


def test_find_project_looks_upwards(tmp_path):
    path = written(tmp_path, "")
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "dataset.json").write_text("[]")
    assert find_project(deep) == path
    assert find_project(deep / "dataset.json") == path
    assert find_project(path) == path
    inner = written(deep, "")
    assert find_project(deep) == inner


def test_overrides_replace_and_none_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    project = Project.defaults(tmp_path / "p")
    changed = apply_overrides(
        project,
        {"video.buckets": "64x64x9", "text.trigger": None, "dataset.path": Path("here.csv")},
    )
    assert changed.video.buckets == "64x64x9"
    assert changed.text.trigger == ""
    assert changed.dataset_path == tmp_path / "here.csv"
    assert project.video.buckets == "960x544x49"
    with pytest.raises(ProjectError, match=r"video\.buckets"):
        apply_overrides(project, {"video.bucketz": "x"})
    with pytest.raises(ProjectError, match=r"video\.seed"):
        apply_overrides(project, {"video.seed": "x"})


def test_an_update_changes_its_key_and_keeps_everything_else(tmp_path):
    text = (
        "# my project\r\n\r\n[video]   # sizes\r\n"
        "buckets   =  \"960x544x49\" # start small\r\nseed = 7\r\n\r\n[text]\r\ntrigger = 'A'\r\n"
    )
    path = written(tmp_path, b"\xef\xbb\xbf" + text.encode())
    project = update_project(path, {"video.buckets": "512x512x1", "video.seed": None})
    assert project.video.buckets == "512x512x1"
    expected = text.replace("960x544x49", "512x512x1")
    assert path.read_bytes() == b"\xef\xbb\xbf" + expected.encode()


def test_an_update_adds_keys_and_sections(tmp_path):
    path = written(tmp_path, "# top\n[video]\nseed = 7\n# end\n")
    update_project(path, {"video.fps": 24, "text.trigger": 'say "hi"\\'})
    text = path.read_text()
    assert text.startswith("# top\n[video]\nseed = 7\n")
    assert "# end" in text
    project = load_project(path)
    assert (project.video.seed, project.video.fps) == (7, 24.0)
    assert project.text.trigger == 'say "hi"\\'


def test_an_update_of_dotted_keys(tmp_path):
    path = written(tmp_path, "video.seed = 7 # seven\nvideo.fps = 24.0\n")
    update_project(path, {"video.seed": 8})
    assert path.read_text() == "video.seed = 8 # seven\nvideo.fps = 24.0\n"


NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=20)


@given(NAMES)
def test_a_clip_of_any_name_gets_a_bucket_of_its_own_and_loses_it_again(name):
    with TemporaryDirectory() as folder:
        text = "# top\n[clips]  # takes\n'a' = '64x64x1' # a\n# end\n[text]\ntrigger = 'T'\n"
        path = written(Path(folder), text)
        before = load_project(path).clips
        assert update_project(path, {}, clips={name: "64x64x9"}).clips == before | {name: "64x64x9"}
        assert load_project(path).clips[name] == "64x64x9"
        for words in ("# top", "# takes", "# end", "trigger = 'T'"):
            assert words in path.read_text(encoding="utf-8")
        update_project(path, {}, clips={name: None})
        assert name not in load_project(path).clips
        if name != "a":
            assert path.read_text(encoding="utf-8") == text


def test_a_clip_without_a_bucket_of_its_own_can_be_told_so_again(tmp_path):
    path = written(tmp_path, "[video]\nseed = 7\n")
    update_project(path, {}, clips={"a.mp4": None})
    assert path.read_text() == "[video]\nseed = 7\n"


def test_a_refused_update_writes_nothing(tmp_path):
    path = written(tmp_path, "[video]\nseed = 7\n")
    for values in ({"video.seed": "x"}, {"video.sed": 1}, {"text.trigger": "\udcff"}):
        with pytest.raises(ProjectError):
            update_project(path, values)
    assert path.read_text() == "[video]\nseed = 7\n"
    assert [p.name for p in tmp_path.iterdir()] == ["project.toml"]


def test_a_new_project_explains_every_key(tmp_path):
    path = tmp_path / "new" / "project.toml"
    project = write_project(path, {"video.buckets": "512x512x25"})
    assert project.video.buckets == "512x512x25"
    assert path.read_text() == example_toml().replace("960x544x49", "512x512x25")
    with pytest.raises(ProjectError, match="exists already"):
        write_project(path, {})


def test_a_read_only_project_keeps_its_state_beside_the_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = apply_overrides(Project.defaults(tmp_path), {"dataset.output_dir": tmp_path / "out"})
    assert project.state_dir == tmp_path / ".ltx-tui"
    monkeypatch.setattr("os.access", lambda *_: False)
    assert project.state_dir == tmp_path / "out" / ".ltx-tui"
