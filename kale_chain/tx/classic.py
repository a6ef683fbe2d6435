"""Classic operations: accounts with sponsored reserves, accounts of our own, payments."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from stellar_sdk import (
    AccountMerge,
    Asset,
    BeginSponsoringFutureReserves,
    ChangeTrust,
    CreateAccount,
    EndSponsoringFutureReserves,
    HashMemo,
    IdMemo,
    Operation,
    Payment,
    ReturnHashMemo,
    TextMemo,
)
from stellar_sdk import Memo as SdkMemo

from kale_chain.model import FarmIdentity, Memo, MemoKind
from kale_chain.tx.envelope import MIN_FEE, Bounds, Transaction, build

MAX_SPONSORED = 19
"""Farmers in one onboarding transaction: it may carry 20 signatures, and the sponsor signs too."""

MAX_OPERATIONS = 100
_STROOPS = Decimal(10_000_000)
_MEMOS: Mapping[MemoKind, Callable[[str], SdkMemo]] = {
    MemoKind.TEXT: TextMemo,
    MemoKind.ID: lambda value: IdMemo(int(value)),
    MemoKind.HASH: HashMemo,
    MemoKind.RETURN: ReturnHashMemo,
}


def _decimal(stroops: int) -> str:
    return str(Decimal(stroops) / _STROOPS)


class ClassicCalls:
    """Builds unsigned classic transactions on one network, with one farm's KALE as their asset.

    `sequence` is the transaction's own number: one more than the source account's on the ledger. `fee` is what is
    offered for each operation, in stroops. They pay for themselves unless wrapped in a fee bump.
    """

    def __init__(self, identity: FarmIdentity) -> None:
        self._passphrase = identity.passphrase
        self._kale = Asset(identity.asset_code, identity.asset_issuer)

    def sponsored_accounts(
        self, *, sponsor: str, addresses: Sequence[str], sequence: int, bounds: Bounds, fee: int = MIN_FEE
    ) -> Transaction:
        """Accounts with 0 XLM and a KALE trustline, whose reserves `sponsor` carries. All or none are created.

        To be signed by the sponsor and by every address.

        Args:
            sponsor: Source of the transaction.
            addresses: 1 to 19 new accounts.
            sequence: See the class.
            bounds: See the class.
            fee: See the class.
        """
        if not 1 <= len(addresses) <= MAX_SPONSORED:
            raise ValueError(f"{len(addresses)} accounts in one transaction; 1 to {MAX_SPONSORED} can be sponsored")
        operations: list[Operation] = []
        for address in addresses:
            operations += [
                BeginSponsoringFutureReserves(address, source=sponsor),
                CreateAccount(address, "0", source=sponsor),
                ChangeTrust(self._kale, source=address),
                EndSponsoringFutureReserves(source=address),
            ]
        return self._build(sponsor, operations, sequence=sequence, bounds=bounds, fee=fee)

    def create_accounts(
        self, *, source: str, accounts: Sequence[tuple[str, int]], sequence: int, bounds: Bounds, fee: int = MIN_FEE
    ) -> Transaction:
        """Plain accounts, each with its stroops of XLM out of `source`. All or none are created; 1 to 100 of them."""
        if not 1 <= len(accounts) <= MAX_OPERATIONS:
            raise ValueError(f"{len(accounts)} accounts in one transaction; 1 to {MAX_OPERATIONS} are possible")
        operations = [CreateAccount(address, _decimal(stroops)) for address, stroops in accounts]
        return self._build(source, operations, sequence=sequence, bounds=bounds, fee=fee)

    def payment(
        self,
        *,
        source: str,
        destination: str,
        stroops: int,
        sequence: int,
        bounds: Bounds,
        native: bool = False,
        memo_hash: bytes | None = None,
        fee: int = MIN_FEE,
    ) -> Transaction:
        """A payment of KALE, or of XLM if `native`.

        Args:
            source: Pays.
            destination: An existing account; for KALE with a trustline.
            stroops: Amount, above 0.
            sequence: See the class.
            bounds: See the class.
            native: XLM instead of KALE.
            memo_hash: 32 bytes the payment is known again by, or None.
            fee: See the class.
        """
        asset = Asset.native() if native else self._kale
        operations = [Payment(destination, asset, _decimal(stroops))]
        memo = HashMemo(memo_hash) if memo_hash is not None else None
        return self._build(source, operations, sequence=sequence, bounds=bounds, fee=fee, memo=memo)

    def payout(
        self,
        *,
        source: str,
        payments: Sequence[tuple[str, int, bool]],
        close_into: str | None = None,
        memo: Memo | None = None,
        sequence: int,
        bounds: Bounds,
        fee: int = MIN_FEE,
    ) -> Transaction:
        """Payments out of one account, and perhaps the account's end; all of it happens or nothing does.

        Args:
            source: Pays.
            payments: Destinations (G… or M…), stroops above 0, and whether of XLM instead of KALE.
            close_into: Remove the KALE trustline, which must be empty by then, and merge the account into this one.
            memo: The memo.
            sequence: See the class.
            bounds: See the class.
            fee: See the class.
        """
        operations: list[Operation] = [
            Payment(destination, Asset.native() if native else self._kale, _decimal(stroops))
            for destination, stroops, native in payments
        ]
        if close_into is not None:
            operations += [ChangeTrust(self._kale, "0"), AccountMerge(close_into)]
        if not operations:
            raise ValueError("nothing to pay and nothing to close")
        sdk_memo = None if memo is None else _MEMOS[memo.kind](memo.value)
        return self._build(source, operations, sequence=sequence, bounds=bounds, fee=fee, memo=sdk_memo)

    def _build(
        self,
        source: str,
        operations: Sequence[Operation],
        *,
        sequence: int,
        bounds: Bounds,
        fee: int,
        memo: SdkMemo | None = None,
    ) -> Transaction:
        return build(
            passphrase=self._passphrase,
            source=source,
            sequence=sequence,
            bounds=bounds,
            fee=fee * len(operations),
            operations=operations,
            memo=memo,
        )
