"""The commands of the checklist, and how a document's commands are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Step:
    """One command as typed, `number` in the order of its document."""

    number: int
    stage: str
    command: str

    @property
    def name(self) -> str:
        """For people."""
        first = self.command.splitlines()[0].removesuffix(" \\")
        return f"{self.number}-{self.stage}-{first}".replace("/", "-")[:80]


def read_steps(text: str) -> list[Step]:
    """Blocks between empty lines; comment lines name the stage."""
    steps: list[Step] = []
    stage = ""
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        comments = [line for line in lines if line.startswith("#")]
        command = "\n".join(line for line in lines if not line.startswith("#"))
        stage = comments[-1].lstrip("# ") if comments else stage
        if command:
            steps.append(Step(len(steps), stage, command))
    return steps


def checklist() -> list[Step]:
    """The whole checklist."""
    return read_steps((HERE / "commands.txt").read_text(encoding="utf-8"))


def operator_pages() -> list[Path]:
    """The pages that operators follow, in the order in which their commands make sense."""
    folder = HERE.parents[1] / "docs" / "PROD"
    first = ["Rollout_48hr_Runbook.md", "Nprobe_Tuning.md"]
    others = sorted(page.name for page in folder.glob("*.md") if page.name not in first)
    return [folder / name for name in (*first, *others)]


def command_lines(page: Path) -> list[str]:
    """Every line of every block of the page that is fenced and of no other language."""
    blocks = re.findall(r"^```\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)
    return [line for block in blocks for line in block.strip().splitlines()]
