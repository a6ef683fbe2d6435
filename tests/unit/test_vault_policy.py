"""What farmers' keys sign: exactly what an intent says, on the pool's farm, and nothing else."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from stellar_sdk import (
    AccountMerge,
    Asset,
    BeginSponsoringFutureReserves,
    ChangeTrust,
    HashMemo,
    InvokeHostFunction,
    LiquidityPoolAsset,
    Memo,
    MuxedAccount,
    Operation,
    Payment,
    SetOptions,
    StrKey,
    TextMemo,
)
from stellar_sdk import xdr as stellar_xdr

from backend.domain.farmer import FarmerKey
from backend.domain.signing import (
    Intent,
    MemoKind,
    OnboardingIntent,
    PaymentLeg,
    PayoutIntent,
    PayoutMemo,
    PlantIntent,
    SigningRules,
)
from backend.errors import PolicyRefusedError
from backend.vault.journal import SigningJournal
from backend.vault.policy import Policy
from kale_chain.model import FarmIdentity
from kale_chain.tx import Bounds, ClassicCalls, FarmCalls, Signer, Transaction, fee_bump
from kale_chain.tx.calls import plant_operation
from kale_chain.tx.envelope import build

PASSPHRASE = "Standalone Network ; February 2017"
FARMER, SPONSOR, OTHER, ISSUER = (Signer.from_seed(bytes([number]) * 32) for number in range(1, 5))
IDENTITY = FarmIdentity(
    farm_id=StrKey.encode_contract(b"f" * 32),
    token_id=StrKey.encode_contract(b"t" * 32),
    asset_code="KALE",
    asset_issuer=ISSUER.address,
    wasm_hash=bytes(32),
    homesteader=ISSUER.address,
    passphrase=PASSPHRASE,
)
KEY = FarmerKey(uuid4(), FARMER.address, StrKey.decode_ed25519_public_key(FARMER.address).hex(), b"", 1)
BOUNDS = Bounds(max_ledger=100)
KALE = Asset("KALE", ISSUER.address)
WITHDRAWAL = UUID(int=7)
NO_MEMO = PayoutMemo(MemoKind.NONE)
HASH = PayoutMemo(MemoKind.HASH, hashlib.sha256(WITHDRAWAL.bytes).hexdigest())
PAYOUT = PayoutIntent(WITHDRAWAL, (PaymentLeg(OTHER.address, 25_000_000),), HASH)


@pytest.fixture
def policy() -> Policy:
    return Policy(SigningRules.of(IDENTITY, SPONSOR.address, stake_cap_stroops=1000), SigningJournal(None, 0))


def plant(stake: int, farmer: str = FARMER.address, identity: FarmIdentity = IDENTITY) -> Transaction:
    return FarmCalls(identity).plant(farmer=farmer, stake=stake, block_index=5, sequence=3, bounds=BOUNDS)


def classic(operations: Sequence[Operation], memo: Memo | None = None, source: str = FARMER.address) -> Transaction:
    return build(
        passphrase=PASSPHRASE,
        source=source,
        sequence=9,
        bounds=BOUNDS,
        fee=100,
        operations=operations,
        memo=memo,
    )


def payment(amount: str = "2.5", destination: str = OTHER.address, asset: Asset = KALE) -> Payment:
    return Payment(destination, asset, amount)


def paid(*operations: Operation) -> Transaction:
    return classic(operations, HashMemo(HASH.value))


def onboarding(*addresses: str) -> Transaction:
    calls = ClassicCalls(IDENTITY)
    return calls.sponsored_accounts(sponsor=SPONSOR.address, addresses=addresses, sequence=1, bounds=BOUNDS)


CLOSING = [
    payment(),
    ChangeTrust(KALE, limit="0", source=FARMER.address),
    AccountMerge(SPONSOR.address, source=FARMER.address),
]


@pytest.mark.parametrize(
    ("transaction", "intent"),
    [
        (plant(0), PlantIntent(0)),
        (plant(1000), PlantIntent(1000)),
        (onboarding(OTHER.address, FARMER.address), OnboardingIntent()),
        (paid(payment()), PAYOUT),
        (paid(*CLOSING), replace(PAYOUT, closes_account=True)),
        (
            paid(payment(asset=Asset.native())),
            replace(PAYOUT, payments=(PaymentLeg(OTHER.address, 25_000_000, native=True),)),
        ),
        (classic([payment()], TextMemo("for me")), replace(PAYOUT, memo=PayoutMemo(MemoKind.TEXT, "for me"))),
        (classic([payment()]), replace(PAYOUT, memo=NO_MEMO)),
        (
            classic(
                [Payment(OTHER.address, KALE, "2.5", source=FARMER.address)], HashMemo(HASH.value), SPONSOR.address
            ),
            PAYOUT,
        ),
    ],
)
def test_what_the_intent_says_is_signed(policy: Policy, transaction: Transaction, intent: Intent) -> None:
    assert policy.digest(KEY, transaction.envelope_bytes, intent) == transaction.digest


def call_of(farm_id: str, token_id: str, authorized: int = 5, source: str = FARMER.address) -> Transaction:
    """A plant of 5 stroops on some farm, with the authorisation of some burn."""
    invocation, _ = plant_operation(farm_id, token_id, FARMER.address, 5)
    _, authorization = plant_operation(farm_id, token_id, FARMER.address, authorized)
    kind = stellar_xdr.HostFunctionType.HOST_FUNCTION_TYPE_INVOKE_CONTRACT
    function = stellar_xdr.HostFunction(kind, invoke_contract=invocation)
    return classic([InvokeHostFunction(function, [authorization])], source=source)


def endless() -> Transaction:
    """A plant whose bounds have no end."""
    envelope = bytearray(plant(5).envelope_bytes)
    bounds = (0).to_bytes(4) + BOUNDS.max_ledger.to_bytes(4)
    at = envelope.index(bounds)
    envelope[at : at + 8] = bytes(8)
    return Transaction.from_envelope(base64.b64encode(envelope).decode(), PASSPHRASE)


FARM, TOKEN = IDENTITY.farm_id, IDENTITY.token_id
STRANGE = StrKey.encode_contract(b"x" * 32)
POOL_SHARES = LiquidityPoolAsset(Asset.native(), KALE)


@pytest.mark.parametrize(
    ("transaction", "intent", "problem"),
    [
        (plant(1001), PlantIntent(1001), "cap of 1000"),
        (plant(5), PlantIntent(-1), "not within 0"),
        (plant(5), PlantIntent(6), "not a plant of 6 stroops"),
        (plant(5, farmer=OTHER.address), PlantIntent(5), "source must be the farmer"),
        (call_of(FARM, TOKEN, source=OTHER.address), PlantIntent(5), "source must be the farmer"),
        (call_of(STRANGE, TOKEN), PlantIntent(5), "on the farm"),
        (call_of(FARM, STRANGE), PlantIntent(5), "other than the burn"),
        (call_of(FARM, TOKEN, authorized=6), PlantIntent(5), "other than the burn"),
        (endless(), PlantIntent(5), "never end"),
        (paid(payment()), PlantIntent(5), "not one call of a contract"),
        (plant(5), PAYOUT, "not those approved"),
        (plant(5), OnboardingIntent(), "source of an onboarding"),
        (onboarding(OTHER.address), OnboardingIntent(), "farmer's part"),
        (
            classic([ChangeTrust(POOL_SHARES, source=FARMER.address)], source=SPONSOR.address),
            OnboardingIntent(),
            "farmer's part",
        ),
        (
            classic([payment(), BeginSponsoringFutureReserves(FARMER.address)], source=SPONSOR.address),
            OnboardingIntent(),
            "farmer's part",
        ),
        (paid(payment("2.6")), PAYOUT, "not those approved"),
        (paid(payment(destination=SPONSOR.address)), PAYOUT, "not those approved"),
        (paid(payment(asset=Asset.native())), PAYOUT, "not those approved"),
        (paid(payment(asset=Asset("KALE", OTHER.address))), PAYOUT, "not those approved"),
        (paid(payment(), payment()), PAYOUT, "not those approved"),
        (paid(payment(), SetOptions(master_weight=0)), PAYOUT, "not those approved"),
        (paid(*CLOSING), PAYOUT, "not those approved"),
        (paid(payment()), replace(PAYOUT, closes_account=True), "not those approved"),
        (
            paid(*CLOSING[:2], AccountMerge(OTHER.address, source=FARMER.address)),
            replace(PAYOUT, closes_account=True),
            "not those approved",
        ),
        (classic([payment()]), PAYOUT, "memo is not the one"),
        (classic([payment()], TextMemo("another")), PAYOUT, "memo is not the one"),
        (classic([payment()], HashMemo(HASH.value), OTHER.address), PAYOUT, "source of a payout"),
        (paid(payment()), replace(PAYOUT, payments=()), "not those approved"),
        (paid(payment()), replace(PAYOUT, payments=(PaymentLeg(OTHER.address, 0),)), "0 stroops cannot be paid"),
        (paid(payment()), replace(PAYOUT, payments=(PaymentLeg("nobody", 1),)), "not an account's address"),
        (paid(payment()), replace(PAYOUT, payments=(PaymentLeg(STRANGE, 1),)), "not an account's address"),
        (paid(payment()), replace(PAYOUT, payments=(PaymentLeg(FARMER.address, 1),)), "another account than"),
        (
            paid(payment()),
            replace(PAYOUT, payments=(PaymentLeg(MuxedAccount(FARMER.address, 3).account_muxed or "", 1),)),
            "another account than",
        ),
        (paid(payment()), replace(PAYOUT, memo=PayoutMemo(MemoKind.ID, "many")), "not a memo of the kind id"),
    ],
)
def test_anything_else_is_refused_and_says_why(
    policy: Policy, transaction: Transaction, intent: Intent, problem: str
) -> None:
    with pytest.raises(PolicyRefusedError, match=problem) as caught:
        policy.digest(KEY, transaction.envelope_bytes, intent)
    assert caught.value.farmer_id == str(KEY.farmer_id)


@pytest.mark.parametrize(
    ("envelope", "problem"),
    [
        (plant(5).signed_by(FARMER).envelope_bytes, "carries signatures|cannot be decoded"),
        (fee_bump(plant(5).signed_by(FARMER), SPONSOR).envelope_bytes, "not a plain transaction"),
        (plant(5).envelope_bytes[:60] + bytes(4), "cannot be decoded"),
        (b"", "not a plain transaction"),
    ],
)
def test_what_is_no_unsigned_plain_transaction_is_refused(policy: Policy, envelope: bytes, problem: str) -> None:
    with pytest.raises(PolicyRefusedError, match=problem):
        policy.digest(KEY, envelope, PlantIntent(5))


def test_withdrawal_is_signed_again_with_the_same_terms_only(policy: Policy) -> None:
    policy.digest(KEY, paid(payment()).envelope_bytes, PAYOUT)
    policy.digest(KEY, paid(payment()).envelope_bytes, PAYOUT)
    other = replace(PAYOUT, payments=(PaymentLeg(SPONSOR.address, 25_000_000),))
    with pytest.raises(PolicyRefusedError, match="signed before with other terms"):
        policy.digest(KEY, paid(payment(destination=SPONSOR.address)).envelope_bytes, other)


def test_xlm_that_came_between_two_tries_leaves_with_the_same_withdrawal(policy: Policy) -> None:
    policy.digest(KEY, paid(payment()).envelope_bytes, PAYOUT)
    legs = (*PAYOUT.payments, PaymentLeg(OTHER.address, 10_000_000, native=True))
    both = paid(payment(), payment("1", asset=Asset.native()))
    assert policy.digest(KEY, both.envelope_bytes, replace(PAYOUT, payments=legs)) == both.digest


def test_refused_payout_binds_nothing(policy: Policy) -> None:
    with pytest.raises(PolicyRefusedError):
        policy.digest(KEY, paid(payment("9")).envelope_bytes, PAYOUT)
    other = replace(PAYOUT, payments=(PaymentLeg(OTHER.address, 90_000_000),))
    assert policy.digest(KEY, paid(payment("9")).envelope_bytes, other)
