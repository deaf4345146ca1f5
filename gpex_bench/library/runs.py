"""A run of the benchmark from a notebook: how far it is, its tables and its report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any, TextIO

import pandas as pd
from tqdm.auto import tqdm

from gpex_bench.run import artefacts
from gpex_bench.run.alone import LOG
from gpex_bench.tables.order import control_ids, records
from gpex_bench.tables.words import FINE, number, wording

MARKER = (
    "evaluate.json"  # what is in the folder of an evaluation: which one, and whether it is whole
)
N_CONCLUSIONS = 4  # sentences of the summary that a notebook shows
N_LINES = 12  # of the log, in the message about a process that died
# of the ranking, in this order
SHOWN = (
    "method",
    "mean",
    "low",
    "high",
    "place",
    "place_best",
    "place_worst",
    "answer",
    "is_control",
    "n_samples",
)


class EvaluationFailed(RuntimeError):
    """An evaluation ended without a report; what was computed is there for the next attempt."""


class Tables(Mapping[str, pd.DataFrame]):
    """The tables of a run by name, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> pd.DataFrame:
        """Return a table; raises KeyError with the names that there are."""
        if name not in set(self):
            raise KeyError(f"{name!r}; tables: {', '.join(self)}")
        return artefacts.read_table(self.folder / f"{name}.parquet")

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        yield from sorted(path.stem for path in self.folder.glob("*.parquet"))

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(1 for _ in self)  # `list` would ask for the length

    def __repr__(self) -> str:
        """Return the names."""
        return f"tables: {', '.join(self)}"


class Run:
    """A run in a folder: finished, under way or failed.

    Attributes:
        folder: which has the files that a run of the workflow writes.
        headline: the metric that the ranking is by.
    """

    def __init__(self, folder: str | Path, headline: str = "srg") -> None:
        self.folder = Path(folder)
        self.headline = headline
        self.error = ""  # why it failed
        self._process: subprocess.Popen[bytes] | None = None
        self._n_made = 0
        self._n_jobs = 0
        self._last = ""
        self._ended = threading.Event()
        self._is_cancelled = False
        if self.is_done:
            self._ended.set()

    # --- how far it is ---

    @property
    def is_done(self) -> bool:
        """Whether the report is there."""
        return self.report.is_file() and not self._is_marked_unfinished()

    def _is_marked_unfinished(self) -> bool:
        marker = read_marker(self.folder)
        return marker is not None and not marker.get("finished", False)

    @property
    def progress(self) -> str:
        """How far it is, in words."""
        if self.error:
            return f"failed: {self.error}"
        if self.is_done:
            return "finished"
        if self._is_cancelled:
            return "cancelled"
        if self._process is None:
            return "not started"
        jobs = f"{self._n_made} of {self._n_jobs} jobs" if self._n_jobs else "starting"
        return f"{jobs}; last: {self._last}" if self._last else jobs

    def wait(self, timeout: float | None = None) -> Run:
        """Wait for the end, and return the run.

        Args:
            timeout: seconds to wait at most; None: as long as it takes.

        Raises:
            EvaluationFailed: it failed or was cancelled.
            TimeoutError: it is not done by then.
        """
        if not self._ended.wait(timeout):
            raise TimeoutError(f"The evaluation is not done after {timeout:g} s: {self.progress}.")
        self._check()
        return self

    def cancel(self) -> None:
        """End it now. What was computed stays, and the same evaluation goes on from there."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._is_cancelled = True
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._ended.wait(10)

    def _check(self) -> None:
        """Raise EvaluationFailed unless the report is there."""
        if self.error:
            raise EvaluationFailed(
                f"{self.error} What was computed is kept: the same call goes on from there. The "
                f"log is {self.folder / LOG}."
            )

        if self._is_cancelled:
            raise EvaluationFailed("The evaluation was cancelled; the same call goes on.")
        if not self.is_done:
            raise EvaluationFailed(f"There is no report in {self.folder}: {self.progress}.")

    # --- what it found ---

    @property
    def report(self) -> Path:
        """The report, a web page without other files."""
        return self.folder / "report.html"

    @property
    def tables(self) -> Tables:
        """All tables by name: scores, outcomes, ranking, pairs, cells, skipped, ..."""
        self._check()
        return Tables(self.folder / "tables")

    @property
    def scores(self) -> pd.DataFrame:
        """One row for each method, metric and sample."""
        return self.tables["scores"]

    @property
    def ranking(self) -> pd.DataFrame:
        """The methods by the headline metric: mean, 95 % interval, place and what is said of each.

        `place` is by the mean over all fills and outputs of the metric, `place_best` and
        `place_worst` are under single ones. Controls are marked.
        """
        outcomes = self._of_headline("outcomes")
        places = self._of_headline("headline").drop(columns=["low", "high", "is_control"])
        scored = outcomes[outcomes["state"] == "ok"]
        found = scored.merge(places, how="left", on=["dataset", "model", "metric", "method"])

        cards = artefacts.read_json(self.folder / "tables" / "cards.json")
        controls = control_ids(cards["methods"])
        found["is_control"] = found["method"].isin(controls)

        (headline,) = [card for card in cards["metrics"] if card["metric"] == self.headline]
        found = found.sort_values("mean", ascending=not headline["higher_is_better"])
        return found[list(SHOWN)].reset_index(drop=True)

    @property
    def missing(self) -> pd.DataFrame:
        """Why methods have no score of a metric: what does not apply and what failed."""
        columns = ["method", "metric", "status", "reason"]
        return self.tables["skipped"][columns].reset_index(drop=True)

    @property
    def summary(self) -> str:
        """What can be concluded, in Markdown."""
        self._check()
        return (self.folder / "summary.md").read_text()

    def _of_headline(self, name: str) -> pd.DataFrame:
        """Return the rows of a table that are about the headline metric."""
        table = self.tables[name]
        return table[table["metric"] == self.headline]

    def _failures(self) -> list[str]:
        """Return a line on each cell that failed."""
        cells = self.tables["cells"]
        failed = records(cells[~cells["status"].isin(FINE)])
        return [f"{row['method']}: {wording(row['status'], row['reason'])}" for row in failed]

    def __repr__(self) -> str:
        """Return how far it is and where."""
        return f"Run in {self.folder}: {self.progress}"

    def _repr_html_(self) -> str:
        """Return the conclusions, the ranking and a link to the report; or how far it is."""
        if not self.is_done:
            name = f"Run in {self.folder}"
            return f"<p><strong>{escape(name)}</strong>: {escape(self.progress)}</p>"

        failures = "".join(f"<li>{escape(line)}</li>" for line in self._failures())
        failed = f"<p>Failed:</p><ul>{failures}</ul>" if failures else ""
        link = escape(self.report.as_posix(), quote=True)
        return (
            f"{_conclusions(self.summary)}{_table(self.ranking, self.headline)}{failed}"
            f'<p><a href="{link}" target="_blank">Report</a> with all tables, figures and tests</p>'
        )

    # --- the process that makes it ---

    def follow(self, process: subprocess.Popen[bytes], answers: TextIO, is_shown: bool) -> None:
        """Read what the process says until it ends, in a thread; see `run.alone`."""
        self._process = process
        self._ended.clear()
        arguments = (process, answers, is_shown)
        threading.Thread(target=self._follow, args=arguments, daemon=True).start()

    def _follow(self, process: subprocess.Popen[bytes], answers: TextIO, is_shown: bool) -> None:
        is_finished = False

        bar = tqdm(desc=str(self.folder), unit="job", disable=not is_shown)
        try:
            for line in answers:
                message = json.loads(line)
                if "total" in message:
                    self._n_jobs = bar.total = message["total"]
                    bar.refresh()
                if "made" in message:
                    self._n_made += 1
                    self._last = message["made"]
                    bar.set_postfix_str(self._last, refresh=False)
                    bar.update()

                self.error = message.get("failed", self.error)
                is_finished = is_finished or message.get("finished", False)
        finally:
            answers.close()
            process.wait()
            bar.close()

            if is_finished:
                write_marker(self.folder, finished=True)
            elif not self.error and not self._is_cancelled:
                self.error = f"The process of the evaluation died ({_end(process)}).{self._tail()}"
            self._ended.set()

    def _tail(self) -> str:
        """Return the end of the log."""
        path = self.folder / LOG
        lines = path.read_text().splitlines()[-N_LINES:] if path.is_file() else []
        return " Its last lines: " + " | ".join(lines) if lines else ""


def _end(process: subprocess.Popen[bytes]) -> str:
    """Return how a process ended, in words."""
    code = process.returncode
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def read_marker(folder: Path) -> dict[str, Any] | None:
    """Return what the folder of an evaluation says of it, or None if there is no such file."""
    path = folder / MARKER
    return dict(artefacts.read_json(path)) if path.is_file() else None


def write_marker(folder: Path, **entries: Any) -> None:
    """Write what the folder of an evaluation says of it; other entries stay."""
    known = read_marker(folder) or {}
    artefacts.write_json(folder / MARKER, known | entries)


def _conclusions(summary: str) -> str:
    """Return the paragraphs of a summary about the networks, without its title and tables."""
    lines = [line for line in summary.splitlines() if line and not line.startswith(("|", "#"))]
    kept = [escape(line.removeprefix("- ")) for line in lines if not line.startswith("**")]
    return "".join(f"<p>{line}</p>" for line in kept[:N_CONCLUSIONS])


def _table(ranking: pd.DataFrame, headline: str) -> str:
    """Return the ranking as a table of people's numbers."""
    heads = ("method", "mean", "95 % interval", "place")
    rows = [_row(heads, "th")]
    for row in records(ranking):
        name = f"{row['method']} (control)" if row["is_control"] else row["method"]
        interval = f"{number(row['low'])} to {number(row['high'])}"
        place = "" if pd.isna(row["place"]) else f"{row['place']:.0f}"
        rows.append(_row((name, number(row["mean"]), interval, place), "td"))
    return f"<table><caption>{escape(headline)}</caption>{''.join(rows)}</table>"


def _row(cells: Sequence[str], tag: str) -> str:
    """Return one row of a table."""
    inside = "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{inside}</tr>"
