"""Ledger keys, entries and results against stellar_sdk's own encoding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stellar_sdk import Address, Asset, Keypair, StrKey, scval
from stellar_sdk import xdr as stellar_xdr

from kale_chain.errors import FarmError, FarmErrorCode, MalformedXdrError, TokenError, TokenErrorCode
from kale_chain.model import Account, Block, FarmIdentity, Pail
from kale_chain.xdr import keys
from kale_chain.xdr.entries import (
    farm_state,
    read_account,
    read_block,
    read_instance,
    read_pail,
    read_trustline_balance,
)
from kale_chain.xdr.results import ContractFailure, read_contract_failure, read_result, read_return_value

FARM = StrKey.encode_contract(b"\2" * 32)
TOKEN = StrKey.encode_contract(b"\3" * 32)
FARMER = Keypair.from_raw_ed25519_seed(b"\4" * 32).public_key
IDENTITY = FarmIdentity(FARM, TOKEN, "KALE", FARMER, bytes(32), FARMER, "tests")
I128 = st.integers(-(2**127), 2**127 - 1)
U32 = st.integers(0, 2**32 - 1)

Code = stellar_xdr.TransactionResultCode


def block_value(block: Block) -> stellar_xdr.SCVal:
    return scval.to_struct(
        {
            "timestamp": scval.to_uint64(block.timestamp),
            "entropy": scval.to_bytes(block.entropy),
            **{
                name: scval.to_uint32(getattr(block, name)) for name in ("min_gap", "max_gap", "min_zeros", "max_zeros")
            },
            **{
                name: scval.to_int128(getattr(block, name))
                for name in ("min_stake", "max_stake", "staked_total", "normalized_total")
            },
        }
    )


def contract_entry(value: stellar_xdr.SCVal) -> str:
    data = stellar_xdr.ContractDataEntry(
        ext=stellar_xdr.ExtensionPoint(0),
        contract=Address(FARM).to_xdr_sc_address(),
        key=scval.to_symbol("Any"),
        durability=stellar_xdr.ContractDataDurability.TEMPORARY,
        val=value,
    )
    return stellar_xdr.LedgerEntryData(stellar_xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr()


def instance_entry(storage: dict[str, stellar_xdr.SCVal], wasm_hash: bytes | None = b"\7" * 32) -> str:
    if wasm_hash is None:
        executable = stellar_xdr.ContractExecutable(
            stellar_xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET
        )
    else:
        executable = stellar_xdr.ContractExecutable(
            stellar_xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, stellar_xdr.Hash(wasm_hash)
        )
    pairs = [stellar_xdr.SCMapEntry(scval.to_vec([scval.to_symbol(name)]), value) for name, value in storage.items()]
    instance = stellar_xdr.SCContractInstance(executable, stellar_xdr.SCMap(pairs))
    kind = stellar_xdr.SCValType.SCV_CONTRACT_INSTANCE
    return contract_entry(stellar_xdr.SCVal(kind, instance=instance))


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    return Block(
        timestamp=draw(st.integers(0, 2**64 - 1)),
        min_gap=draw(U32),
        min_stake=draw(I128),
        min_zeros=draw(U32),
        max_gap=draw(U32),
        max_stake=draw(I128),
        max_zeros=draw(U32),
        entropy=draw(st.binary(min_size=32, max_size=32)),
        staked_total=draw(I128),
        normalized_total=draw(I128),
    )


@given(blocks())
def test_blocks_are_read_field_by_field(block: Block) -> None:
    assert read_block(contract_entry(block_value(block))) == block


@given(U32, st.none() | U32, I128, st.none() | U32)
def test_pails_are_read_with_and_without_work(sequence: int, gap: int | None, stake: int, zeros: int | None) -> None:
    def option(value: int | None) -> stellar_xdr.SCVal:
        return scval.to_void() if value is None else scval.to_uint32(value)

    value = scval.to_struct(
        {
            "sequence": scval.to_uint32(sequence),
            "gap": option(gap),
            "stake": scval.to_int128(stake),
            "zeros": option(zeros),
        }
    )
    pail = read_pail(contract_entry(value))
    assert pail == Pail(sequence, gap, stake, zeros)
    assert pail.worked == (zeros is not None)


def test_index_and_pause_absent_mean_zero_and_false() -> None:
    block = Block.unseen(1_000)
    storage = {
        "Homesteader": scval.to_address(FARMER),
        "HomesteadAsset": scval.to_address(TOKEN),
        "FarmBlock": block_value(block),
    }
    fresh = read_instance(instance_entry(storage))
    assert farm_state(fresh.storage) == (0, block, False)
    assert fresh.wasm_hash == b"\7" * 32
    later = read_instance(
        instance_entry({**storage, "FarmIndex": scval.to_uint32(7), "FarmPaused": scval.to_bool(data=True)})
    )
    assert farm_state(later.storage) == (7, block, True)


def test_an_instance_without_a_farm_block_is_malformed() -> None:
    with pytest.raises(MalformedXdrError, match="a block"):
        farm_state(read_instance(instance_entry({})).storage)


def test_storage_of_other_contracts_may_hold_maps_that_no_dict_can_be() -> None:
    pair = stellar_xdr.SCMapEntry(scval.to_vec([scval.to_uint32(1)]), scval.to_uint32(2))
    odd = stellar_xdr.SCVal(stellar_xdr.SCValType.SCV_MAP, map=stellar_xdr.SCMap([pair]))
    assert read_instance(instance_entry({"Odd": odd})).storage == {"Odd": odd}


def test_a_trustline_and_an_account_are_read_to_the_stroop() -> None:
    line = stellar_xdr.TrustLineEntry(
        account_id=keys.account_id(FARMER),
        asset=Asset("KALE", FARMER).to_trust_line_asset_xdr_object(),
        balance=stellar_xdr.Int64(2**63 - 1),
        limit=stellar_xdr.Int64(2**63 - 1),
        flags=stellar_xdr.Uint32(1),
        ext=stellar_xdr.TrustLineEntryExt(0),
    )
    data = stellar_xdr.LedgerEntryData(stellar_xdr.LedgerEntryType.TRUSTLINE, trust_line=line)
    assert read_trustline_balance(data.to_xdr()) == 2**63 - 1
    account = stellar_xdr.AccountEntry(
        account_id=keys.account_id(FARMER),
        balance=stellar_xdr.Int64(5),
        seq_num=stellar_xdr.SequenceNumber(stellar_xdr.Int64(2**40)),
        num_sub_entries=stellar_xdr.Uint32(0),
        inflation_dest=None,
        flags=stellar_xdr.Uint32(0),
        home_domain=stellar_xdr.String32(b""),
        thresholds=stellar_xdr.Thresholds(b"\1\0\0\0"),
        signers=[],
        ext=stellar_xdr.AccountEntryExt(0),
    )
    entry = stellar_xdr.LedgerEntryData(stellar_xdr.LedgerEntryType.ACCOUNT, account=account).to_xdr()
    assert read_account(entry) == Account(sequence=2**40, balance_stroops=5, reserved_stroops=10_000_000)
    for read in (read_block, read_pail, read_instance, read_trustline_balance):
        with pytest.raises(MalformedXdrError):
            read(entry)


@given(st.text(max_size=60))
def test_what_is_no_xdr_is_malformed(text: str) -> None:
    for read in (read_block, read_pail, read_instance, read_account, read_result, read_return_value):
        with pytest.raises(MalformedXdrError):
            read(text)


def test_keys_name_contract_block_and_farmer() -> None:
    key = keys.pail(FARM, FARMER, 12).contract_data
    assert key is not None
    assert scval.to_native(key.key) == ["Pail", Address(FARMER), 12]
    assert key.durability == stellar_xdr.ContractDataDurability.TEMPORARY
    block = keys.block(FARM, 12).contract_data
    assert block is not None
    assert scval.to_native(block.key) == ["Block", 12]
    assert keys.is_contract_id(FARM)
    assert not keys.is_contract_id(FARMER)
    assert keys.token_id("KALE", FARMER, "tests") == Asset("KALE", FARMER).contract_id("tests")


def invoke_result(code: stellar_xdr.InvokeHostFunctionResultCode) -> stellar_xdr.OperationResult:
    inner = stellar_xdr.InvokeHostFunctionResult(code, success=stellar_xdr.Hash(bytes(32)) if code.value == 0 else None)
    tr = stellar_xdr.OperationResultTr(
        stellar_xdr.OperationType.INVOKE_HOST_FUNCTION, invoke_host_function_result=inner
    )
    return stellar_xdr.OperationResult(stellar_xdr.OperationResultCode.opINNER, tr)


def plain_result(code: Code, results: list[stellar_xdr.OperationResult] | None = None) -> str:
    return stellar_xdr.TransactionResult(
        stellar_xdr.Int64(77),
        stellar_xdr.TransactionResultResult(code, results=results),
        stellar_xdr.TransactionResultExt(0),
    ).to_xdr()


def bumped_result(code: Code, results: list[stellar_xdr.OperationResult] | None) -> str:
    inner = stellar_xdr.InnerTransactionResult(
        stellar_xdr.Int64(0),
        stellar_xdr.InnerTransactionResultResult(code, results),
        stellar_xdr.InnerTransactionResultExt(0),
    )
    pair = stellar_xdr.InnerTransactionResultPair(stellar_xdr.Hash(bytes(32)), inner)
    outer = Code.txFEE_BUMP_INNER_SUCCESS if code == Code.txSUCCESS else Code.txFEE_BUMP_INNER_FAILED
    return stellar_xdr.TransactionResult(
        stellar_xdr.Int64(99),
        stellar_xdr.TransactionResultResult(outer, inner_result_pair=pair),
        stellar_xdr.TransactionResultExt(0),
    ).to_xdr()


def test_results_tell_the_inner_codes_of_a_fee_bump() -> None:
    host = stellar_xdr.InvokeHostFunctionResultCode
    trapped = [invoke_result(host.INVOKE_HOST_FUNCTION_TRAPPED)]
    codes = read_result(bumped_result(Code.txFAILED, trapped))
    assert (codes.transaction, codes.operation, codes.fee_charged) == ("txFAILED", "trapped", 99)
    short = [invoke_result(host.INVOKE_HOST_FUNCTION_INSUFFICIENT_REFUNDABLE_FEE)]
    assert read_result(plain_result(Code.txFAILED, short)).operation == "insufficient_refundable_fee"
    done = [invoke_result(host.INVOKE_HOST_FUNCTION_SUCCESS)]
    assert read_result(bumped_result(Code.txSUCCESS, done)).operation is None
    assert read_result(bumped_result(Code.txBAD_SEQ, None)).transaction == "txBAD_SEQ"
    assert read_result(plain_result(Code.txINSUFFICIENT_FEE)).transaction == "txINSUFFICIENT_FEE"


def test_classic_results_tell_the_first_failing_operation() -> None:
    exists = stellar_xdr.OperationResult(
        stellar_xdr.OperationResultCode.opINNER,
        stellar_xdr.OperationResultTr(
            stellar_xdr.OperationType.CREATE_ACCOUNT,
            create_account_result=stellar_xdr.CreateAccountResult(
                stellar_xdr.CreateAccountResultCode.CREATE_ACCOUNT_ALREADY_EXIST
            ),
        ),
    )
    unsigned = stellar_xdr.OperationResult(stellar_xdr.OperationResultCode.opBAD_AUTH)
    assert read_result(plain_result(Code.txFAILED, [exists, unsigned])).operation == "already_exist"
    assert read_result(plain_result(Code.txFAILED, [unsigned, exists])).operation == "bad_auth"


def error_event(contract_id: str, code: int) -> str:
    error = stellar_xdr.SCError(stellar_xdr.SCErrorType.SCE_CONTRACT, contract_code=stellar_xdr.Uint32(code))
    topics = [scval.to_symbol("error"), stellar_xdr.SCVal(stellar_xdr.SCValType.SCV_ERROR, error=error)]
    event = stellar_xdr.ContractEvent(
        ext=stellar_xdr.ExtensionPoint(0),
        contract_id=stellar_xdr.ContractID(stellar_xdr.Hash(StrKey.decode_contract(contract_id))),
        type=stellar_xdr.ContractEventType.DIAGNOSTIC,
        body=stellar_xdr.ContractEventBody(0, stellar_xdr.ContractEventV0(topics=topics, data=scval.to_string("text"))),
    )
    return stellar_xdr.DiagnosticEvent(in_successful_contract_call=False, event=event).to_xdr()


def test_the_same_number_is_told_apart_by_the_contract_it_came_from() -> None:
    from_token = read_contract_failure([error_event(TOKEN, 10), error_event(FARM, 10)])
    assert from_token == ContractFailure(TOKEN, 10)
    error = from_token.error(IDENTITY)
    assert isinstance(error, TokenError)
    assert error.code == TokenErrorCode.BALANCE
    from_farm = read_contract_failure([error_event(FARM, 10), error_event(FARM, 10)])
    assert from_farm == ContractFailure(FARM, 10)
    error = from_farm.error(IDENTITY)
    assert isinstance(error, FarmError)
    assert error.code == FarmErrorCode.WORK_MISSING


def test_an_error_that_was_caught_is_not_the_failure() -> None:
    assert read_contract_failure([error_event(TOKEN, 13), error_event(FARM, 9)]) == ContractFailure(FARM, 9)


def test_other_contracts_and_unknown_numbers_are_no_known_error() -> None:
    other = StrKey.encode_contract(b"\x08" * 32)
    assert ContractFailure(other, 8).error(IDENTITY) is None
    assert ContractFailure(FARM, 99).error(IDENTITY) is None
    assert read_contract_failure([]) is None
