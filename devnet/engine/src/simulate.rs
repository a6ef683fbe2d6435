//! Simulation: what a contract transaction would do and cost, in the form in which Stellar RPC answers.

use crate::codec::{decode_base64, encode_base64};
use crate::error::EngineError;
use crate::ledger::LedgerEngine;
use crate::store::HostSnapshot;
use serde_json::{Map, Value, json};
use soroban_env_host::e2e_invoke::RecordingInvocationAuthMode;
use soroban_simulation::AutoRestoringSnapshotSource;
use soroban_simulation::simulation::{
    InvokeHostFunctionSimulationResult, LedgerEntryDiff, SimulationAdjustmentConfig, simulate_extend_ttl_op,
    simulate_invoke_host_function_op, simulate_restore_op,
};
use std::rc::Rc;
use std::sync::Arc;
use stellar_xdr::{
    AccountId, FeeBumpTransactionInnerTx, InvokeHostFunctionOp, LedgerFootprint, LedgerKey, OperationBody,
    SorobanTransactionData, Transaction, TransactionEnvelope, TransactionExt,
};

impl LedgerEngine {
    /// Simulates a base64 envelope with one contract operation on the last closed ledger; JSON as Stellar RPC's
    /// `simulateTransaction` answers, `error` included where the call itself fails.
    ///
    /// `auth_mode`: `record`, `record_allow_nonroot` or `enforce`; `None` enforces if the call carries authorisations
    /// and records them if not.
    ///
    /// # Errors
    /// When the envelope is no valid XDR or not a single contract operation, or the mode is unknown.
    pub fn simulate(&self, envelope_xdr: &str, auth_mode: Option<&str>) -> Result<String, EngineError> {
        let transaction = inner_transaction(decode_base64(envelope_xdr, "transaction envelope")?)?;
        let [operation] = transaction.operations.as_slice() else {
            return Err(EngineError::InvalidSimulation("transaction must have exactly one operation".to_owned()));
        };
        let source = operation.source_account.as_ref().unwrap_or(&transaction.source_account).clone().account_id();
        let footprint = match &transaction.ext {
            TransactionExt::V1(data) => data.resources.footprint.clone(),
            TransactionExt::V0 => LedgerFootprint::default(),
        };
        let mut answer = match &operation.body {
            OperationBody::InvokeHostFunction(invoke) => self.simulate_invoke(invoke, &source, auth_mode)?,
            OperationBody::ExtendFootprintTtl(extend) => self.simulate_extend(&footprint.read_only, extend.extend_to),
            OperationBody::RestoreFootprint(_) => self.simulate_restore(&footprint.read_write),
            _ => return Err(EngineError::InvalidSimulation("operation is not one of a contract".to_owned())),
        };
        answer.insert("latestLedger".to_owned(), json!(self.sequence()));
        Ok(Value::Object(answer).to_string())
    }

    fn simulate_invoke(
        &self,
        invoke: &InvokeHostFunctionOp,
        source: &AccountId,
        auth_mode: Option<&str>,
    ) -> Result<Map<String, Value>, EngineError> {
        let context = self.last_context();
        let snapshot = HostSnapshot::new(Arc::clone(self.state.shared_store()), context.ledger);
        let simulated = simulate_invoke_host_function_op(
            Rc::new(snapshot),
            &context.config.network,
            &SimulationAdjustmentConfig::default_adjustment(),
            &context.ledger_info(),
            invoke.host_function.clone(),
            recording_mode(auth_mode, invoke)?,
            source,
            fresh_seed()?,
            true,
        );
        Ok(match simulated {
            Ok(result) => invoke_answer(&result),
            Err(error) => failure(&format!("{error:#}")),
        })
    }

    fn simulate_extend(&self, keys: &[LedgerKey], extend_to: u32) -> Map<String, Value> {
        let context = self.last_context();
        let info = context.ledger_info();
        let network = &context.config.network;
        let adjustment = SimulationAdjustmentConfig::default_adjustment();
        let snapshot = Rc::new(HostSnapshot::new(Arc::clone(self.state.shared_store()), context.ledger));
        let simulated = AutoRestoringSnapshotSource::new(snapshot, &info).and_then(|restoring| {
            let extended = simulate_extend_ttl_op(&restoring, network, &adjustment, &info, keys, extend_to)?;
            let restored = restoring.simulate_restore_keys_op(network, &adjustment, &info)?;
            Ok((extended.transaction_data, restored.map(|restored| restored.transaction_data)))
        });
        match simulated {
            Ok((data, preamble)) => {
                let mut answer = resources(&data);
                if let Some(preamble) = preamble {
                    answer.insert("restorePreamble".to_owned(), Value::Object(resources(&preamble)));
                }
                answer
            }
            Err(error) => failure(&format!("{error:#}")),
        }
    }

    fn simulate_restore(&self, keys: &[LedgerKey]) -> Map<String, Value> {
        let context = self.last_context();
        let snapshot = HostSnapshot::new(Arc::clone(self.state.shared_store()), context.ledger);
        let adjustment = SimulationAdjustmentConfig::default_adjustment();
        match simulate_restore_op(&snapshot, &context.config.network, &adjustment, &context.ledger_info(), keys) {
            Ok(result) => resources(&result.transaction_data),
            Err(error) => failure(&format!("{error:#}")),
        }
    }
}

fn inner_transaction(envelope: TransactionEnvelope) -> Result<Transaction, EngineError> {
    match envelope {
        TransactionEnvelope::Tx(envelope) => Ok(envelope.tx),
        TransactionEnvelope::TxFeeBump(bump) => {
            let FeeBumpTransactionInnerTx::Tx(inner) = bump.tx.inner_tx;
            Ok(inner.tx)
        }
        TransactionEnvelope::TxV0(_) => {
            Err(EngineError::InvalidSimulation("envelopes of the first version have no contract calls".to_owned()))
        }
    }
}

fn recording_mode(
    auth_mode: Option<&str>,
    invoke: &InvokeHostFunctionOp,
) -> Result<RecordingInvocationAuthMode, EngineError> {
    let enforcing = || RecordingInvocationAuthMode::Enforcing(invoke.auth.to_vec());
    match auth_mode {
        None | Some("") if invoke.auth.is_empty() => Ok(RecordingInvocationAuthMode::recording(true, false)),
        None | Some("" | "enforce") => Ok(enforcing()),
        Some("record") => Ok(RecordingInvocationAuthMode::recording(true, false)),
        Some("record_allow_nonroot") => Ok(RecordingInvocationAuthMode::recording(false, false)),
        Some(other) => Err(EngineError::InvalidSimulation(format!(
            "authorisation mode {other:?} is not one of enforce, record, record_allow_nonroot"
        ))),
    }
}

/// Authorisation nonces are drawn from the seed: they must not repeat from one simulation to the next.
fn fresh_seed() -> Result<[u8; 32], EngineError> {
    let mut seed = [0; 32];
    getrandom::getrandom(&mut seed).map_err(|error| EngineError::Host(error.to_string()))?;
    Ok(seed)
}

fn invoke_answer(result: &InvokeHostFunctionSimulationResult) -> Map<String, Value> {
    let events: Vec<String> = result.diagnostic_events.iter().map(encode_base64).collect();
    let (mut answer, value) = match (&result.invoke_result, &result.transaction_data) {
        (Ok(value), Some(data)) => (resources(data), value),
        (Err(error), _) => {
            let mut answer = failure(&format!("{error:?}"));
            answer.insert("events".to_owned(), json!(events));
            return answer;
        }
        (Ok(_), None) => return failure("the contract engine gave no resources"),
    };
    let auth: Vec<String> = result.auth.iter().map(encode_base64).collect();
    answer.insert("events".to_owned(), json!(events));
    answer.insert("results".to_owned(), json!([{"auth": auth, "xdr": encode_base64(value)}]));
    let changes: Vec<Value> = result.modified_entries.iter().filter_map(state_change).collect();
    answer.insert("stateChanges".to_owned(), Value::Array(changes));
    answer
}

fn state_change(diff: &LedgerEntryDiff) -> Option<Value> {
    let kind = match (&diff.state_before, &diff.state_after) {
        (None, _) => "created",
        (Some(_), Some(_)) => "updated",
        (Some(_), None) => "deleted",
    };
    let key = diff.state_after.as_ref().or(diff.state_before.as_ref())?.to_key();
    Some(json!({
        "type": kind,
        "key": encode_base64(&key),
        "before": diff.state_before.as_ref().map(encode_base64),
        "after": diff.state_after.as_ref().map(encode_base64),
    }))
}

fn resources(data: &SorobanTransactionData) -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("transactionData".to_owned(), json!(encode_base64(data)));
    answer.insert("minResourceFee".to_owned(), json!(data.resource_fee.to_string()));
    answer
}

fn failure(message: &str) -> Map<String, Value> {
    let mut answer = Map::new();
    answer.insert("error".to_owned(), json!(message));
    answer
}
