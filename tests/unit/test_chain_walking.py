"""Stepping over XDR: every kind of entry, key and contract value, against decoding by the library."""

from collections.abc import Sequence

import pytest
from stellar_sdk import Asset, Keypair, scval
from stellar_sdk import xdr as x

from kale_chain.xdr import keys
from kale_chain.xdr.walking import Change, ChangeKind, UnusualXdrError, meta_parts

ADDRESS = Keypair.from_raw_ed25519_seed(b"\7" * 32).public_key
ACCOUNT = keys.account_id(ADDRESS)
HASH = x.Hash(b"\3" * 32)
KEY256 = x.Uint256(b"\4" * 32)
POINT = x.ExtensionPoint(0)
LIABILITIES = x.Liabilities(x.Int64(1), x.Int64(2))
ASSETS = [
    x.TrustLineAsset(x.AssetType.ASSET_TYPE_NATIVE),
    Asset("KALE", ADDRESS).to_trust_line_asset_xdr_object(),
    Asset("LONGERCODE", ADDRESS).to_trust_line_asset_xdr_object(),
    x.TrustLineAsset(x.AssetType.ASSET_TYPE_POOL_SHARE, liquidity_pool_id=x.PoolID(HASH)),
]
SIGNERS = [
    x.SignerKey(x.SignerKeyType.SIGNER_KEY_TYPE_ED25519, ed25519=KEY256),
    x.SignerKey(x.SignerKeyType.SIGNER_KEY_TYPE_PRE_AUTH_TX, pre_auth_tx=KEY256),
    x.SignerKey(x.SignerKeyType.SIGNER_KEY_TYPE_HASH_X, hash_x=KEY256),
    x.SignerKey(
        x.SignerKeyType.SIGNER_KEY_TYPE_ED25519_SIGNED_PAYLOAD,
        ed25519_signed_payload=x.SignerKeyEd25519SignedPayload(KEY256, b"seven77"),
    ),
]
ADDRESSES = [
    keys.sc_address(ADDRESS),
    x.SCAddress(x.SCAddressType.SC_ADDRESS_TYPE_CONTRACT, contract_id=x.ContractID(HASH)),
    x.SCAddress(
        x.SCAddressType.SC_ADDRESS_TYPE_MUXED_ACCOUNT, muxed_account=x.MuxedEd25519Account(x.Uint64(5), KEY256)
    ),
    x.SCAddress(
        x.SCAddressType.SC_ADDRESS_TYPE_CLAIMABLE_BALANCE,
        claimable_balance_id=x.ClaimableBalanceID(x.ClaimableBalanceIDType.CLAIMABLE_BALANCE_ID_TYPE_V0, v0=HASH),
    ),
    x.SCAddress(x.SCAddressType.SC_ADDRESS_TYPE_LIQUIDITY_POOL, liquidity_pool_id=x.PoolID(HASH)),
]
EXECUTABLES = [
    x.ContractExecutable(x.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=HASH),
    x.ContractExecutable(x.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET),
]
STORAGE = x.SCMap([x.SCMapEntry(scval.to_symbol("Paused"), scval.to_bool(data=True))])
Kind = x.SCValType
VALUES = [
    scval.to_bool(data=True),
    scval.to_void(),
    x.SCVal(Kind.SCV_ERROR, error=x.SCError(x.SCErrorType.SCE_CONTRACT, contract_code=x.Uint32(7))),
    x.SCVal(Kind.SCV_ERROR, error=x.SCError(x.SCErrorType.SCE_BUDGET, code=x.SCErrorCode.SCEC_EXCEEDED_LIMIT)),
    scval.to_uint32(1),
    scval.to_int32(-1),
    scval.to_uint64(2**63),
    scval.to_int64(-2),
    scval.to_timepoint(3),
    scval.to_duration(4),
    scval.to_uint128(2**100),
    scval.to_int128(-(2**100)),
    scval.to_uint256(2**200),
    scval.to_int256(-(2**200)),
    *(scval.to_bytes(bytes(length)) for length in range(6)),
    scval.to_string("a text"),
    scval.to_symbol("Pail"),
    scval.to_vec([scval.to_uint32(1), scval.to_vec([scval.to_bool(data=False)])]),
    x.SCVal(Kind.SCV_VEC),
    scval.to_map({scval.to_symbol("a"): scval.to_uint64(1), scval.to_symbol("b"): scval.to_void()}),
    x.SCVal(Kind.SCV_MAP),
    *(x.SCVal(Kind.SCV_ADDRESS, address=address) for address in ADDRESSES),
    *(x.SCVal(Kind.SCV_CONTRACT_INSTANCE, instance=x.SCContractInstance(one, STORAGE)) for one in EXECUTABLES),
    x.SCVal(Kind.SCV_CONTRACT_INSTANCE, instance=x.SCContractInstance(EXECUTABLES[1], None)),
    x.SCVal(Kind.SCV_LEDGER_KEY_CONTRACT_INSTANCE),
    x.SCVal(Kind.SCV_LEDGER_KEY_NONCE, nonce_key=x.SCNonceKey(x.Int64(9))),
]
Entry = x.LedgerEntryType


def account(extension: x.AccountEntryExt, *, inflation: x.AccountID | None = None, home: bytes = b"") -> x.AccountEntry:
    return x.AccountEntry(
        ACCOUNT,
        x.Int64(10),
        x.SequenceNumber(x.Int64(11)),
        x.Uint32(1),
        inflation,
        x.Uint32(0),
        x.String32(home),
        x.Thresholds(b"\1\0\0\0"),
        [x.Signer(one, x.Uint32(1)) for one in SIGNERS],
        extension,
    )


def account_extension(second: int | None, third: int | None) -> x.AccountEntryExt:
    if second is None:
        inner = x.AccountEntryExtensionV1Ext(0)
    else:
        last = x.AccountEntryExtensionV2Ext(0)
        if third is not None:
            v3 = x.AccountEntryExtensionV3(POINT, x.Uint32(third), x.TimePoint(x.Uint64(1)))
            last = x.AccountEntryExtensionV2Ext(3, v3=v3)
        sponsors = [x.SponsorshipDescriptor(ACCOUNT), x.SponsorshipDescriptor(None)]
        inner = x.AccountEntryExtensionV1Ext(
            2, v2=x.AccountEntryExtensionV2(x.Uint32(second), x.Uint32(0), sponsors, last)
        )
    return x.AccountEntryExt(1, v1=x.AccountEntryExtensionV1(LIABILITIES, inner))


def trust_line(asset: x.TrustLineAsset, extension: x.TrustLineEntryExt) -> x.LedgerEntryData:
    line = x.TrustLineEntry(ACCOUNT, asset, x.Int64(1), x.Int64(2), x.Uint32(1), extension)
    return x.LedgerEntryData(Entry.TRUSTLINE, trust_line=line)


def code(extension: x.ContractCodeEntryExt) -> x.LedgerEntryData:
    return x.LedgerEntryData(Entry.CONTRACT_CODE, contract_code=x.ContractCodeEntry(extension, HASH, b"\0asm!"))


def line_extension(uses: int | None) -> x.TrustLineEntryExt:
    inner = x.TrustLineEntryV1Ext(0)
    if uses is not None:
        v2 = x.TrustLineEntryExtensionV2(x.Int32(uses), x.TrustLineEntryExtensionV2Ext(0))
        inner = x.TrustLineEntryV1Ext(2, v2=v2)
    return x.TrustLineEntryExt(1, v1=x.TrustLineEntryV1(LIABILITIES, inner))


def contract_data(key: x.SCVal, value: x.SCVal) -> x.LedgerEntryData:
    data = x.ContractDataEntry(POINT, ADDRESSES[1], key, x.ContractDataDurability.TEMPORARY, value)
    return x.LedgerEntryData(Entry.CONTRACT_DATA, contract_data=data)


ENTRIES = [
    *(
        x.LedgerEntryData(Entry.ACCOUNT, account=one)
        for one in (
            account(x.AccountEntryExt(0)),
            account(account_extension(None, None), inflation=ACCOUNT),
            account(account_extension(2, None), home=b"kale.example"),
            account(account_extension(2, 7)),
        )
    ),
    *(trust_line(asset, x.TrustLineEntryExt(0)) for asset in ASSETS),
    trust_line(ASSETS[1], line_extension(None)),
    trust_line(ASSETS[1], line_extension(3)),
    x.LedgerEntryData(
        Entry.DATA,
        data=x.DataEntry(ACCOUNT, x.String64(b"config.memo_required"), x.DataValue(b"1"), x.DataEntryExt(0)),
    ),
    *(contract_data(value, value) for value in VALUES),
    code(x.ContractCodeEntryExt(0)),
    code(
        x.ContractCodeEntryExt(
            1, v1=x.ContractCodeEntryV1(POINT, x.ContractCodeCostInputs(POINT, *(x.Uint32(n) for n in range(10))))
        )
    ),
    x.LedgerEntryData(Entry.TTL, ttl=x.TTLEntry(HASH, x.Uint32(9))),
]
KEYS = [
    keys.account(ADDRESS),
    keys.trustline(ADDRESS, "KALE", ADDRESS),
    keys.data(ADDRESS, "config.memo_required"),
    x.LedgerKey(
        Entry.CONTRACT_DATA,
        contract_data=x.LedgerKeyContractData(ADDRESSES[1], VALUES[-4], x.ContractDataDurability.PERSISTENT),
    ),
    keys.code(HASH.hash),
    x.LedgerKey(Entry.TTL, ttl=x.LedgerKeyTtl(HASH)),
]


def updated(data: x.LedgerEntryData, *, sponsored: bool = False) -> x.LedgerEntryChange:
    extension = x.LedgerEntryExt(0)
    if sponsored:
        sponsor = x.LedgerEntryExtensionV1(x.SponsorshipDescriptor(ACCOUNT), x.LedgerEntryExtensionV1Ext(0))
        extension = x.LedgerEntryExt(1, v1=sponsor)
    return x.LedgerEntryChange(
        x.LedgerEntryChangeType.LEDGER_ENTRY_UPDATED, updated=x.LedgerEntry(x.Uint32(5), data, extension)
    )


def removed(key: x.LedgerKey) -> x.LedgerEntryChange:
    return x.LedgerEntryChange(x.LedgerEntryChangeType.LEDGER_ENTRY_REMOVED, removed=key)


def event(*topics: x.SCVal, contract: x.ContractID | None = None) -> x.ContractEvent:
    body = x.ContractEventBody(0, v0=x.ContractEventV0(list(topics), scval.to_void()))
    return x.ContractEvent(POINT, contract, x.ContractEventType.CONTRACT, body)


def meta(changes: Sequence[x.LedgerEntryChange], value: x.SCVal | None = None) -> bytes:
    inside = x.OperationMetaV2(POINT, x.LedgerEntryChanges(list(changes)), [event(VALUES[4])])
    nothing = x.LedgerEntryChanges([])
    fees = x.SorobanTransactionMetaExtV1(POINT, x.Int64(1), x.Int64(2), x.Int64(3))
    soroban = value and x.SorobanTransactionMetaV2(x.SorobanTransactionMetaExt(1, v1=fees), value)
    newest = x.TransactionMetaV4(
        POINT,
        nothing,
        [inside, x.OperationMetaV2(POINT, nothing, [])],
        nothing,
        soroban,
        [x.TransactionEvent(x.TransactionEventStage.TRANSACTION_EVENT_STAGE_AFTER_TX, event(VALUES[4]))],
        [x.DiagnosticEvent(in_successful_contract_call=True, event=event(*VALUES, contract=ADDRESSES[1].contract_id))],
    )
    return x.TransactionMeta(4, v4=newest).to_xdr_bytes()


@pytest.mark.parametrize("sponsored", [False, True])
@pytest.mark.parametrize("number", range(len(ENTRIES)))
def test_entries_are_stepped_over(number: int, sponsored: bool) -> None:
    data = ENTRIES[number]
    change = Change(ChangeKind.UPDATED, data.to_xdr_bytes())
    assert meta_parts(meta([updated(data, sponsored=sponsored)] * 2)).changes == (change, change)


@pytest.mark.parametrize("number", range(len(KEYS)))
def test_keys_of_removed_entries_are_stepped_over(number: int) -> None:
    change = Change(ChangeKind.REMOVED, KEYS[number].to_xdr_bytes())
    assert meta_parts(meta([removed(KEYS[number])] * 2)).changes == (change, change)


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_return_value_is_found_after_whatever_was_changed(number: int) -> None:
    found = meta_parts(meta([updated(data) for data in ENTRIES], VALUES[number]))
    assert found.return_value == VALUES[number].to_xdr_bytes()


def test_every_shortening_is_noticed() -> None:
    raw = meta([updated(ENTRIES[0]), removed(KEYS[3])], VALUES[4])
    for length in range(0, len(raw), 4):
        with pytest.raises(ValueError, match=r"."):
            meta_parts(raw[:length])


def test_other_versions_are_left_to_the_library() -> None:
    with pytest.raises(UnusualXdrError, match="a meta of version 2"):
        meta_parts(bytes([0, 0, 0, 2]))
