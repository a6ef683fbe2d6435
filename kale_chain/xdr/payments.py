"""Who paid whom in a transaction that changed an account's KALE."""

from collections.abc import Iterator

from stellar_sdk import Address, Asset, MuxedAccount, scval
from stellar_sdk import xdr as stellar_xdr

from kale_chain.model import NOBODY, Counterparty, FarmIdentity, Memo, MemoKind
from kale_chain.xdr.entries import decoded

_TRANSFER = b"transfer"
_TRANSFER_ARGUMENTS = 3


def read_counterparty(envelope_xdr: str, identity: FarmIdentity, address: str, *, received: bool) -> Counterparty:
    """The other side of the first payment of KALE to (`received`) or from an address in a transaction, and its memo.

    Payments, path payments and the token contract's own `transfer` name both sides. What other contracts move names
    nobody.

    Args:
        envelope_xdr: The transaction's envelope, base64, plain or fee bump.
        identity: Whose KALE.
        address: Our account (G…).
        received: Whether it was paid to rather than by the address.

    Raises:
        MalformedXdrError: it is no envelope.
    """
    return decoded("a transaction envelope", lambda: _read(envelope_xdr, identity, address, received=received))


def _read(envelope_xdr: str, identity: FarmIdentity, address: str, *, received: bool) -> Counterparty:
    envelope = stellar_xdr.TransactionEnvelope.from_xdr(envelope_xdr)
    plain = envelope.v1 or (envelope.fee_bump.tx.inner_tx.v1 if envelope.fee_bump else None)
    if plain is None:
        return NOBODY
    for payer, receiver in _payments(plain.tx, identity):
        if received and _base(receiver) == address:
            return Counterparty(payer, _memo(plain.tx.memo))
        if not received and _base(payer) == address:
            return Counterparty(receiver, _memo(plain.tx.memo))
    return Counterparty(None, _memo(plain.tx.memo))


def _payments(transaction: stellar_xdr.Transaction, identity: FarmIdentity) -> Iterator[tuple[str, str]]:
    """Payer and receiver of each payment in which KALE is sent or arrives."""
    kale = Asset(identity.asset_code, identity.asset_issuer).to_xdr_object()
    for operation in transaction.operations:
        payer = _text(operation.source_account or transaction.source_account)
        body = operation.body
        paths = body.path_payment_strict_receive_op or body.path_payment_strict_send_op
        if body.payment_op is not None and body.payment_op.asset == kale:
            yield payer, _text(body.payment_op.destination)
        elif paths is not None and kale in (paths.send_asset, paths.dest_asset):
            yield payer, _text(paths.destination)
        elif body.invoke_host_function_op is not None:
            yield from _transfers(body.invoke_host_function_op.host_function, identity)


def _transfers(function: stellar_xdr.HostFunction, identity: FarmIdentity) -> Iterator[tuple[str, str]]:
    call = function.invoke_contract
    if call is None or call.function_name.sc_symbol != _TRANSFER or len(call.args) != _TRANSFER_ARGUMENTS:
        return
    if Address.from_xdr_sc_address(call.contract_address).address == identity.token_id:
        yield scval.from_address(call.args[0]).address, scval.from_address(call.args[1]).address


def _text(account: stellar_xdr.MuxedAccount) -> str:
    muxed = MuxedAccount.from_xdr_object(account)
    return muxed.account_muxed or muxed.account_id


def _base(address: str) -> str:
    return MuxedAccount.from_account(address).account_id if address.startswith("M") else address


def _memo(memo: stellar_xdr.Memo) -> Memo | None:
    if memo.text is not None:
        # A memo is bytes: what is no text, and the zero byte that databases refuse, is written as an escape.
        text = memo.text.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
        return Memo(MemoKind.TEXT, text)
    if memo.id is not None:
        return Memo(MemoKind.ID, str(memo.id.uint64))
    if memo.hash is not None:
        return Memo(MemoKind.HASH, memo.hash.hash.hex())
    if memo.ret_hash is not None:
        return Memo(MemoKind.RETURN, memo.ret_hash.hash.hex())
    return None
