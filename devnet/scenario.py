"""What a new ledger starts with: accounts with known keys, the KALE token, a farm that mints it.

All of it is made by ordinary transactions, before anybody else can reach the ledger.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stellar_sdk import Asset, Keypair, StrKey, TransactionEnvelope, scval, xdr

from devnet.accounts import named_keypair, root_keypair
from devnet.engine_client import EngineClient
from devnet.errors import ScenarioError
from devnet.ledger import close_ledger, last_ledger
from devnet.records import LedgerRecord

PROTOCOL_VERSION = 28
DEFAULT_PASSPHRASE = "KALE Local Ledger ; 2026"  # noqa: S105 - a network's name, no secret
FARM_WASM = Path(__file__).parent / "contract" / "kale_farm.wasm"
ASSET_CODE = "KALE"
MASTER_XLM = 100_000_000
ACTOR_XLM = 10_000
FAUCET_KALE = 10_000_000
NEIGHBOUR_KALE = 1_000
_SALT = bytes(32)


@dataclass(frozen=True)
class Scenario:
    """The accounts and contracts of a local ledger; nothing in it but depends on passphrase and neighbours.

    Attributes:
        passphrase: The network's.
        neighbour_count: How many other farmers there are.
    """

    passphrase: str
    neighbour_count: int = 0

    @cached_property
    def root(self) -> Keypair:
        """Holds the XLM that nobody else does; friendbot gives away from it."""
        return root_keypair(self.passphrase)

    @cached_property
    def master(self) -> Keypair:
        """Rich in XLM: for the backend's master wallet."""
        return named_keypair(self.passphrase, "master")

    @cached_property
    def issuer(self) -> Keypair:
        """Issues KALE."""
        return named_keypair(self.passphrase, "issuer")

    @cached_property
    def homesteader(self) -> Keypair:
        """Administers the farm."""
        return named_keypair(self.passphrase, "homesteader")

    @cached_property
    def faucet(self) -> Keypair:
        """Holds KALE to hand out as deposits."""
        return named_keypair(self.passphrase, "faucet")

    @cached_property
    def neighbours(self) -> tuple[Keypair, ...]:
        """The other farmers."""
        return tuple(named_keypair(self.passphrase, f"neighbour {number}") for number in range(self.neighbour_count))

    @cached_property
    def asset(self) -> Asset:
        """KALE."""
        return Asset(ASSET_CODE, self.issuer.public_key)

    @cached_property
    def token_id(self) -> str:
        """KALE's contract."""
        return self.asset.contract_id(self.passphrase)

    @cached_property
    def farm_id(self) -> str:
        """The farm's contract: deployed by the homesteader, with a salt of zeros."""
        address = scval.to_address(self.homesteader.public_key).address
        assert address
        preimage = xdr.HashIDPreimage(
            xdr.EnvelopeType.ENVELOPE_TYPE_CONTRACT_ID,
            contract_id=xdr.HashIDPreimageContractID(
                xdr.Hash(_sha256(self.passphrase.encode())),
                xdr.ContractIDPreimage(
                    xdr.ContractIDPreimageType.CONTRACT_ID_PREIMAGE_FROM_ADDRESS,
                    from_address=xdr.ContractIDPreimageFromAddress(address, xdr.Uint256(_SALT)),
                ),
            ),
        )
        return StrKey.encode_contract(_sha256(preimage.to_xdr_bytes()))


def found(client: EngineClient, scenario: Scenario, farm_wasm: Path, *, ledger_seconds: int) -> list[LedgerRecord]:
    """Makes the scenario on a new engine; returns the ledgers that took, the genesis ledger first.

    Raises:
        ScenarioError: If the wasm cannot be read, or the ledger refuses a step.
    """
    return _Founding(client, scenario, farm_wasm, ledger_seconds).run()


class _Founding:
    def __init__(self, client: EngineClient, scenario: Scenario, farm_wasm: Path, ledger_seconds: int) -> None:
        self._client = client
        self._scenario = scenario
        self._ledger_seconds = ledger_seconds
        self._ledgers = [last_ledger(client)]
        try:
            self._wasm = farm_wasm.read_bytes()
        except OSError as error:
            raise ScenarioError(f"cannot read the farm contract: {error}") from error

    def run(self) -> list[LedgerRecord]:
        self._close("create the accounts", self._accounts())
        self._close("open trustlines and upload the contracts", [*self._trustlines(), self._token(), self._upload()])
        self._close("issue KALE and deploy the farm", [self._issue(), self._farm()])
        self._close("let the farm mint KALE", [self._hand_over()])
        return self._ledgers

    def _accounts(self) -> list[TransactionEnvelope]:
        scenario = self._scenario
        amounts = {scenario.master: MASTER_XLM, scenario.issuer: ACTOR_XLM}
        amounts |= dict.fromkeys([scenario.homesteader, scenario.faucet, *scenario.neighbours], ACTOR_XLM)
        builder = self._client.builder(scenario.root)
        for account, xlm in amounts.items():
            builder.append_create_account_op(account.public_key, str(xlm))
        return [self._signed(builder.build(), scenario.root)]

    def _trustlines(self) -> list[TransactionEnvelope]:
        holders = [self._scenario.faucet, *self._scenario.neighbours]
        return [
            self._signed(self._client.builder(one).append_change_trust_op(self._scenario.asset).build(), one)
            for one in holders
        ]

    def _token(self) -> TransactionEnvelope:
        issuer = self._scenario.issuer
        builder = self._client.builder(issuer)
        builder.append_create_stellar_asset_contract_from_asset_op(self._scenario.asset)
        return self._prepared("deploy the token", builder.build(), issuer)

    def _upload(self) -> TransactionEnvelope:
        homesteader = self._scenario.homesteader
        builder = self._client.builder(homesteader).append_upload_contract_wasm_op(self._wasm)
        return self._prepared("upload the farm contract", builder.build(), homesteader)

    def _issue(self) -> TransactionEnvelope:
        scenario = self._scenario
        builder = self._client.builder(scenario.issuer)
        builder.append_payment_op(scenario.faucet.public_key, scenario.asset, str(FAUCET_KALE))
        for neighbour in scenario.neighbours:
            builder.append_payment_op(neighbour.public_key, scenario.asset, str(NEIGHBOUR_KALE))
        return self._signed(builder.build(), scenario.issuer)

    def _farm(self) -> TransactionEnvelope:
        scenario = self._scenario
        builder = self._client.builder(scenario.homesteader).append_create_contract_op(
            _sha256(self._wasm),
            scenario.homesteader.public_key,
            [scval.to_address(scenario.homesteader.public_key), scval.to_address(scenario.token_id)],
            salt=_SALT,
        )
        return self._prepared("deploy the farm", builder.build(), scenario.homesteader)

    def _hand_over(self) -> TransactionEnvelope:
        scenario = self._scenario
        builder = self._client.builder(scenario.issuer).append_invoke_contract_function_op(
            scenario.token_id, "set_admin", [scval.to_address(scenario.farm_id)]
        )
        return self._prepared("make the farm the token's administrator", builder.build(), scenario.issuer)

    def _signed(self, transaction: TransactionEnvelope, signer: Keypair) -> TransactionEnvelope:
        transaction.sign(signer)
        return transaction

    def _prepared(self, step: str, transaction: TransactionEnvelope, signer: Keypair) -> TransactionEnvelope:
        try:
            return self._signed(self._client.prepare(transaction), signer)
        except ValueError as error:
            raise ScenarioError(f"cannot {step}: {error}") from error

    def _close(self, step: str, transactions: list[TransactionEnvelope]) -> None:
        for transaction in transactions:
            submission = self._client.send(transaction)
            if submission.status != "PENDING":
                raise ScenarioError(f"cannot {step}: {submission.status}, {submission.error_result_xdr}")
        ledger = close_ledger(self._client, seconds=self._ledger_seconds)
        self._ledgers.append(ledger)
        failed = [record for record in ledger.transactions if not record.successful]
        if failed or len(ledger.transactions) != len(transactions):
            results = ", ".join(record.result_xdr for record in failed)
            raise ScenarioError(f"cannot {step}: {len(ledger.transactions)} transactions applied, failed: {results}")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
