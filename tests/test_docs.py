"""The guides are run: code blocks execute, commands exist, names are current, generated pages are up to date."""

import re
import runpy
from pathlib import Path

import pytest
import typer

import gpex_bench
from gpex_bench import cli, config
from gpex_bench.contract import checks
from gpex_bench.plugins import cards, registry
from tests.vocabulary import pages
from tests.vocabulary.pages import blocks

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("config/*.md"),
        *ROOT.glob("methods/*.md"),
        *ROOT.glob("examples/*.md"),
    ]
)


def script(page: Path) -> str:
    """Return the Python of a page as one script, without files of the package that it adds."""
    given = pages.files(page).items()
    ours = {text for name, text in given if name.startswith("gpex_bench/")}
    return "\n".join(block for block in blocks(page, "python") if block not in ours)


@pytest.mark.filterwarnings("ignore:.torch.jit.script:FutureWarning")  # by gpytorch
@pytest.mark.parametrize(
    "page", [page for page in PAGES if script(page)], ids=lambda page: page.name
)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    """The blocks of a page are one script."""
    path = tmp_path / "page.py"
    path.write_text(script(page))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="page")


def test_the_reference_has_every_public_name():
    named = re.findall(r"^\.\. auto\w+:: (\w+)$", (ROOT / "docs/reference.md").read_text(), re.M)
    assert sorted(named) == sorted(set(gpex_bench.__all__) - {"Explanation", "__version__"})


def test_the_recipe_for_a_method_keeps_every_promise_and_is_short(tmp_path):
    (text,) = pages.files(ROOT / "docs/add-a-method.md").values()
    assert len(text.splitlines()) <= 40
    path = tmp_path / "column_occlusion.py"
    path.write_text(text)
    module = registry.load(path, "column_occlusion_of_the_recipe")
    cls = registry.only_class(module, registry.KINDS["method"].contract)
    checks.check_explainer(cls())
    assert len((ROOT / "methods/_template.py").read_text().splitlines()) <= 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_links_exist(page):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    for name in re.findall(r"config/[a-z_]+\.yaml", text):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize(
    "page", [page for page in PAGES if pages.commands(page)], ids=lambda page: page.name
)
def test_commands_of_the_shell_blocks_are_understood(page):
    group = typer.main.get_command(cli.app)
    for name, *arguments in pages.commands(page):
        assert name in group.commands, name
        group.commands[name].make_context(name, arguments)  # raises for what it does not know


@pytest.mark.parametrize("kind", cards.PAGES)
def test_generated_pages_are_current(kind):
    path = ROOT / cards.PAGES[kind]
    assert path.read_text() == cards.page(kind), (
        f"run: gpex-bench list {kind} --markdown > {path.name}"
    )


def test_every_metric_says_what_it_costs_and_why_an_order_does_not_show():
    text = (ROOT / cards.PAGES["metric"]).read_text()
    for name, plugin in registry.plugins("metric").items():
        assert plugin.cls.cost, name
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        assert f"\nCost: {plugin.cls.cost}.\n" in section, name
        assert (plugin.cls.caveat is None) == ("\nCaveat: " not in section), name


def test_the_list_says_what_the_page_says(capsys):
    assert cli.main(["list"]) == 0
    listed = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    page = (ROOT / cards.PAGES["method"]).read_text()
    rows = [
        re.split(r" (?<!\\)\| ", line.strip("| "))
        for line in page.splitlines()
        if line.startswith("| `")
    ]
    assert {row[0].strip("`") for row in rows} <= set(listed)
    for name, what, kind, _, point, needs, cost, settings, reference in rows:
        line = listed[name.strip("`")]
        assert line.startswith(f"{what} ({settings.replace('–', 'no hyperparameters')})"), name
        assert line.endswith(
            f"Kind: {kind}. Relative to: {point}. Needs: {needs}. "
            f"Reference: {reference.strip('`')}. Cost: {cost}."
        ), name
    assert "`budget` forward and backward rows per sample" in listed["integrated_gradients"]


def test_every_reference_is_in_the_bibliography():
    known = set(
        re.findall(r"^@\w+\{([\w:-]+),", (ROOT / "docs/references.bib").read_text(), re.MULTILINE)
    )
    for kind in ("method", "metric"):
        for plugin in registry.plugins(kind).values():
            assert plugin.cls.reference in known, plugin.name
    for path in [*ROOT.glob("methods/*.py"), *ROOT.glob("gpex_bench/**/*.py")]:
        for key in re.findall(r"\(([a-z]+(?:19|20)\d\d[a-z]+)\)", path.read_text()):
            assert key in known, f"{path.name}: {key}"


def test_yaml_blocks_of_the_config_guide_pass():
    import yaml

    raw = yaml.safe_load((ROOT / "config/default.yaml").read_text())
    for block in blocks(ROOT / "config/README.md", "yaml"):
        config.parse(raw | yaml.safe_load(block))


def test_every_word_of_the_design_is_in_the_glossary():
    text = (ROOT / "docs/glossary.md").read_text()
    for word in (
        "attribution",
        "target",
        "baseline",
        "head",
        "embedding",
        "inducing points",
        "surrogate",
        "agreement",
    ):
        assert word in text


def test_numbers_of_the_readme_are_those_of_the_published_run():
    folder = ROOT / "results/published/default"
    tables = [
        folder / f"scores_{name}.md"
        for name in ("mnist5k_cnn", "breast_cancer_mlp", "shapes_resnet")
    ]
    text = (ROOT / "README.md").read_text()
    rows = re.findall(
        r"^\| (?:control: )?`(\w+)` \| (.*?) \| (.*?) \| (.*?) \| [^|]* \|$", text, re.MULTILINE
    )
    assert len(rows) >= 6
    for method, *shown in rows:
        for table, cell in zip(tables, shown, strict=True):
            (line,) = re.findall(rf"^\| {method} .*", table.read_text(), re.MULTILINE)
            assert cell == line.split("|")[2].strip(), (method, table.name)


def test_agreement_of_the_readme_is_that_of_the_published_run():
    import pandas as pd

    table = pd.read_csv(ROOT / "results/published/default/agreement.csv")
    gpex = table[(table["surrogate"] == "gpex") & (table["head"] == "all")]
    found = gpex.set_index(["dataset", "model", "statistic", "split"])["mean"]
    rows = re.findall(
        r"^\| [^|(]*\(`(\w+)`, `(\w+)`\) \| (.*) \|$",
        (ROOT / "README.md").read_text(),
        re.MULTILINE,
    )
    assert len(rows) == 4
    splits = ("test", "mixed", "ood")
    for dataset, model, cells in rows:
        r2 = [f"{found[dataset, model, 'mean_r2', split]:.4f}" for split in splits]
        inside = [
            f"{100 * found[dataset, model, 'mean_coverage_90', split]:.1f} %" for split in splits
        ]
        assert cells.split(" | ") == [*r2, *inside], (dataset, model)
