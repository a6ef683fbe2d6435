//! Events that say in words why a contract transaction failed outside of any contract.

use stellar_xdr::{
    ContractEvent, ContractEventBody, ContractEventType, ContractEventV0, DiagnosticEvent, ExtensionPoint, ScError,
    ScErrorCode, ScErrorType, ScString, ScSymbol, ScVal,
};

/// A diagnostic event in the form in which the network's nodes report such errors.
pub fn error_event(kind: ScErrorType, code: ScErrorCode, message: &str) -> DiagnosticEvent {
    let error = match kind {
        ScErrorType::Storage => ScError::Storage(code),
        ScErrorType::Budget => ScError::Budget(code),
        _ => ScError::Context(code),
    };
    let topics = vec![ScVal::Symbol(ScSymbol("error".try_into().unwrap_or_default())), ScVal::Error(error)];
    let text = ScVal::String(ScString(message.try_into().unwrap_or_default()));
    DiagnosticEvent {
        in_successful_contract_call: false,
        event: ContractEvent {
            ext: ExtensionPoint::V0,
            contract_id: None,
            type_: ContractEventType::Diagnostic,
            body: ContractEventBody::V0(ContractEventV0 { topics: topics.try_into().unwrap_or_default(), data: text }),
        },
    }
}
