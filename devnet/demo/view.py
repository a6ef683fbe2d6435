"""What the demonstration shows: a live picture on a terminal, lines elsewhere, and the closing tables."""

from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from devnet.demo.books import STROOPS_PER_KALE, Account, BlockSummary
from kalepool.v1 import status_pb2

BLOCK_SECONDS = 300
SHOWN_FARMERS = 20
BARS = "▁▂▃▄▅▆▇█"


@dataclass
class Picture:
    """Everything on the screen, as last heard."""

    backend: status_pb2.Status = field(default_factory=status_pb2.Status)
    pooler: status_pb2.Status = field(default_factory=status_pb2.Status)
    blocks: list[BlockSummary] = field(default_factory=list)
    wallets: dict[str, str] = field(default_factory=dict)

    def __rich__(self) -> RenderableType:
        """The live view."""
        return Group(self._header(), self._searches(), block_table(self.blocks[-6:]))

    def _header(self) -> RenderableType:
        chain = self.backend.chain
        age = max(0, chain.ledger_time - chain.block_opened_ledger_time)
        grid = Table.grid(padding=(0, 2))
        grid.add_row(f"block [bold]{chain.block_index}[/]", f"ledger {chain.ledger_sequence}", f"{age:>3} s")
        grid.add_row(
            f"planted {self.backend.backend.planted}/{self.backend.backend.active_farmers}",
            f"{self.pooler.pooler.hashes_per_second / 1e6:.1f} MH/s",
            self.pooler.pooler.phase,
        )
        bar = ProgressBar(total=BLOCK_SECONDS, completed=min(age, BLOCK_SECONDS), width=60)
        return Panel(Group(grid, bar), title="KALE Pool", width=78)

    def _searches(self) -> RenderableType:
        table = Table(box=None, padding=(0, 1))
        for column in ("farmer", "best", "accepted", "hashes"):
            table.add_column(column, justify="left" if column == "farmer" else "right")
        for search in list(self.pooler.pooler.searches)[:SHOWN_FARMERS]:
            accepted = str(search.accepted_zeros) if search.HasField("accepted_zeros") else "–"
            wallet = self.wallets.get(search.farmer_id, search.farmer_id)
            table.add_row(short(wallet), str(search.best_zeros), accepted, f"{search.hashes:,}")
        hidden = len(self.pooler.pooler.searches) - SHOWN_FARMERS
        if hidden > 0:
            table.add_row(f"and {hidden} more", "", "", "")
        return table

    def line(self) -> str:
        """The same for a log: one line whenever something moved."""
        return (
            f"block {self.backend.chain.block_index}: planted {self.backend.backend.planted}"
            f"/{self.backend.backend.active_farmers}, {self.pooler.pooler.phase or 'starting'}, "
            f"{self.backend.backend.open_pails} Pails open"
        )


def short(address: str) -> str:
    """An address that fits a table and is still recognised."""
    return f"{address[:6]}…{address[-4:]}"


def kale(stroops: int) -> str:
    """Stroops as KALE with all seven decimals."""
    sign = "-" if stroops < 0 else ""
    return f"{sign}{abs(stroops) // STROOPS_PER_KALE:,}.{abs(stroops) % STROOPS_PER_KALE:07d}"


def block_table(blocks: list[BlockSummary]) -> Table:
    """One line per block: how many planted, zeros, gaps, stake and reward."""
    table = Table(title="blocks")
    for column in (
        "block",
        "planted",
        "in ledgers",
        "worked",
        "harvested",
        "zeros",
        "gap",
        "stake KALE",
        "reward KALE",
    ):
        table.add_column(column, justify="right")
    for block in blocks:
        table.add_row(
            str(block.block_index),
            f"{block.planted}/{block.farmers}",
            str(block.plant_ledgers),
            f"{block.worked}/{block.farmers}",
            f"{block.harvested}/{block.farmers}",
            _spread(block.zeros),
            _spread(block.gaps, histogram=False),
            kale(block.stake_stroops),
            kale(block.reward_stroops),
        )
    return table


def _spread(values: tuple[int, ...], *, histogram: bool = True) -> str:
    """Smallest to largest, with a bar for how often each value came."""
    if not values:
        return "–"
    low, high = min(values), max(values)
    counts = [values.count(value) for value in range(low, high + 1)]
    bars = "".join(BARS[(count * (len(BARS) - 1)) // max(counts)] for count in counts)
    span = str(low) if low == high else f"{low}–{high}"
    return f"{span} {bars}" if histogram else span


def account_table(accounts: list[Account]) -> Table:
    """Every farmer's account, to the stroop: what the books expect and what the ledger holds."""
    table = Table(title="farmers (KALE)")
    for column in ("farmer", "start", "+ deposits", "+ rewards", "− stakes out", "= expected", "ledger", ""):
        table.add_column(column, justify="left" if column == "farmer" else "right")
    for account in accounts:
        table.add_row(
            short(account.farmer),
            kale(account.start_stroops),
            kale(account.deposit_stroops),
            kale(account.reward_stroops),
            kale(account.out_stroops),
            kale(account.expected_stroops),
            kale(account.ledger_stroops),
            Text("✓", style="green") if account.balanced else Text("differs", style="bold red"),
        )
    return table


def console() -> Console:
    """The console; wide enough for the tables where output is no terminal."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=140)
