"""What `kale-pooler check` looks at."""

from kale_common.command import Finding
from pooler.app import Ledger, identity_of, ledger
from pooler.config import PoolerSettings
from pooler.errors import BackendError
from pooler.link.backend import GrpcBackend
from pooler.link.endpoint import Line
from pooler.search.engine import NativeEngine


async def findings(settings: PoolerSettings) -> list[Finding]:
    """Looks at everything a pooler needs; nothing is changed anywhere.

    Raises:
        ConfigError, IdentityError, RpcError, SearchError: What must be right before anything else can be looked at.
    """
    with NativeEngine(cores=settings.machine_cpu_cores, kernel=settings.hash_kernel) as engine:
        search = Finding("hash engine", ok=True, detail=f"{engine.kernel} on {engine.threads} threads")
    async with ledger(settings) as chain:
        farm = Finding(
            "farm", ok=True, detail=f"{chain.identity.farm_id}, KALE issued by {chain.identity.asset_issuer}"
        )
        account = await _account(chain)
    return [search, farm, account, await _backend(settings)]


async def _account(chain: Ledger) -> Finding:
    survey = await chain.account.survey()
    if survey.balance_stroops is None:
        return Finding("fee account", ok=False, detail=f"{survey.address} does not exist: kale-pooler accounts fund")
    detail = f"{survey.address}, {survey.balance_stroops / 1e7:.7f} XLM, {len(survey.existing)} channel accounts"
    if survey.missing:
        detail += f", {len(survey.missing)} missing: kale-pooler accounts create"
    return Finding("fee account", ok=bool(survey.existing), detail=detail)


async def _backend(settings: PoolerSettings) -> Finding:
    async with Line(settings.backend_api_url, identity_of(settings)) as line:
        backend = GrpcBackend(
            line,
            pooler_id=settings.pooler_id,
            timeout=settings.api_timeout_ms / 1000,
            token=settings.token(),
        )
        try:
            await backend.check()
        except BackendError as error:
            return Finding("backend", ok=False, detail=f"{settings.backend_api_url}: {error}")
    return Finding("backend", ok=backend.problem is None, detail=f"{settings.backend_api_url} {backend.problem or ''}")
