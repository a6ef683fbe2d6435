//! Which signatures a transaction carries, whose they are and whether they weigh enough.

use crate::codec::sha256;
use ed25519_dalek::{Signature, VerifyingKey};
use stellar_xdr::{
    AccountEntry, AccountId, DecoratedSignature, PublicKey, Signer, SignerKey, SignerKeyEd25519SignedPayload, Uint256,
};

/// The weight an operation needs of its account's signers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threshold {
    /// Using a sequence number, paying a fee.
    Low,
    /// Most operations.
    Medium,
    /// Changing signers, merging the account.
    High,
}

/// A transaction's signatures over one hash; remembers which were of use.
pub struct SignatureChecker<'a> {
    hash: [u8; 32],
    signatures: &'a [DecoratedSignature],
    used: Vec<bool>,
}

impl<'a> SignatureChecker<'a> {
    /// Signatures over `hash`.
    pub fn new(hash: [u8; 32], signatures: &'a [DecoratedSignature]) -> Self {
        Self { hash, signatures, used: vec![false; signatures.len()] }
    }

    /// Whether the account's signers weigh enough for the threshold; one is needed even if the threshold is 0.
    pub fn account_signed(&mut self, account: &AccountEntry, threshold: Threshold) -> bool {
        let [_, low, medium, high] = account.thresholds.0;
        let needed = match threshold {
            Threshold::Low => low,
            Threshold::Medium => medium,
            Threshold::High => high,
        };
        self.weigh(&account_signers(account), needed.into())
    }

    /// Whether the account's own key signed: what an account needs that does not exist yet.
    pub fn key_signed(&mut self, account: &AccountId) -> bool {
        self.weigh(&[master_signer(account, 1)], 0)
    }

    /// Whether a signer that the transaction asks for beyond its accounts' signed.
    pub fn extra_signed(&mut self, key: &SignerKey) -> bool {
        self.weigh(&[Signer { key: key.clone(), weight: 1 }], 1)
    }

    /// Whether every signature was of use.
    pub fn all_used(&self) -> bool {
        self.used.iter().all(|used| *used)
    }

    /// Adds up the weight of the signers who signed, until it is enough; each signer counts once.
    fn weigh(&mut self, signers: &[Signer], needed: u32) -> bool {
        let mut total = 0_u32;
        for signer in signers {
            if !self.find(&signer.key) {
                continue;
            }
            total = total.saturating_add(signer.weight.min(255));
            if total >= needed {
                return true;
            }
        }
        false
    }

    fn find(&mut self, key: &SignerKey) -> bool {
        if let SignerKey::PreAuthTx(Uint256(hash)) = key {
            return *hash == self.hash;
        }
        let found = self.signatures.iter().position(|signature| matches(key, signature, &self.hash));
        if let Some(index) = found {
            self.used[index] = true;
        }
        found.is_some()
    }
}

/// All signers of an account, its own key included unless its weight is 0.
fn account_signers(account: &AccountEntry) -> Vec<Signer> {
    let [master_weight, ..] = account.thresholds.0;
    let master = (master_weight > 0).then(|| master_signer(&account.account_id, master_weight.into()));
    master.into_iter().chain(account.signers.iter().cloned()).collect()
}

fn master_signer(account: &AccountId, weight: u32) -> Signer {
    let AccountId(PublicKey::PublicKeyTypeEd25519(key)) = account;
    Signer { key: SignerKey::Ed25519(key.clone()), weight }
}

fn matches(key: &SignerKey, decorated: &DecoratedSignature, hash: &[u8; 32]) -> bool {
    let signature = decorated.signature.0.as_slice();
    match key {
        SignerKey::Ed25519(Uint256(key)) => decorated.hint.0 == key[28..] && verifies(key, hash, signature),
        SignerKey::HashX(Uint256(hash_x)) => decorated.hint.0 == hash_x[28..] && sha256(signature) == *hash_x,
        SignerKey::Ed25519SignedPayload(signed) => {
            decorated.hint.0 == payload_hint(signed) && verifies(&signed.ed25519.0, &signed.payload, signature)
        }
        SignerKey::PreAuthTx(_) => false,
    }
}

/// CAP-40: the key's last four bytes, each xor-ed with the payload's last four (padded with zeros).
fn payload_hint(signed: &SignerKeyEd25519SignedPayload) -> [u8; 4] {
    let payload = signed.payload.as_slice();
    let tail = &payload[payload.len().saturating_sub(4)..];
    std::array::from_fn(|index| signed.ed25519.0[28 + index] ^ tail.get(index).copied().unwrap_or(0))
}

fn verifies(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let key = VerifyingKey::from_bytes(key).ok();
    let signature = Signature::from_slice(signature).ok();
    key.zip(signature).is_some_and(|(key, signature)| key.verify_strict(message, &signature).is_ok())
}
