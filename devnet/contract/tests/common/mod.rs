//! A test ledger with a farm on it, and farmers who hold KALE.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this one")]

use kale_farm::{Block, DataKey, Farm, FarmClient, Pail};
use sha3::{Digest, Keccak256};
use soroban_sdk::{
    Address, BytesN, Env,
    testutils::{Address as _, EnvTestConfig, Ledger as _},
    token::{StellarAssetClient, TokenClient},
    xdr::ToXdr,
};

/// The compiled contract as committed.
pub const WASM: &[u8] = include_bytes!("../../kale_farm.wasm");
/// What every farmer starts with: 1,000,000 KALE in stroops.
pub const START_BALANCE: i128 = 10_000_000_000_000;
/// Longest life of an entry, in ledgers, as the public networks set it.
pub const MAX_TTL: u32 = 3_110_400;

/// Which build of the contract a test runs.
#[derive(Clone, Copy, Debug)]
pub enum Build {
    /// Compiled into the test.
    Native,
    /// The committed wasm.
    Wasm,
}

/// A farm, its token and six farmers.
pub struct World {
    pub env: Env,
    pub farm: FarmClient<'static>,
    pub token: TokenClient<'static>,
    pub homesteader: Address,
    pub farmers: Vec<Address>,
}

impl World {
    /// Founds the farm at the given ledger; temporary entries then live for `temporary_ttl` ledgers.
    pub fn new(build: Build, time: u64, sequence: u32, temporary_ttl: u32) -> Self {
        let env = Env::new_with_config(EnvTestConfig { capture_snapshot_at_drop: false });
        // The constructor asks the homesteader, who does not deploy here.
        env.mock_all_auths_allowing_non_root_auth();
        env.ledger().with_mut(|ledger| {
            ledger.timestamp = time;
            ledger.sequence_number = sequence;
            ledger.min_temp_entry_ttl = temporary_ttl;
            ledger.min_persistent_entry_ttl = MAX_TTL;
            ledger.max_entry_ttl = MAX_TTL;
        });
        let issuer = Address::generate(&env);
        let asset = env.register_stellar_asset_contract_v2(issuer).address();
        let homesteader = Address::generate(&env);
        let arguments = (homesteader.clone(), asset.clone());
        let id = match build {
            Build::Native => env.register(Farm, arguments),
            Build::Wasm => env.register(WASM, arguments),
        };
        let farmers: Vec<_> = (0..6).map(|_| Address::generate(&env)).collect();
        let admin = StellarAssetClient::new(&env, &asset);
        for farmer in &farmers {
            admin.mint(farmer, &START_BALANCE);
        }
        admin.set_admin(&id);
        env.mock_all_auths();
        let (farm, token) = (FarmClient::new(&env, &id), TokenClient::new(&env, &asset));
        Self { env, farm, token, homesteader, farmers }
    }

    /// Moves the ledger to this sequence and time.
    pub fn at(&self, sequence: u32, time: u64) {
        self.env.ledger().set_sequence_number(sequence);
        self.env.ledger().set_timestamp(time);
    }

    /// Moves the ledger on by some ledgers of five seconds.
    pub fn pass(&self, ledgers: u32) {
        let now = self.env.ledger().get();
        self.at(now.sequence_number + ledgers, now.timestamp + 5 * u64::from(ledgers));
    }

    pub fn index(&self) -> u32 {
        self.inside(|env| env.storage().instance().get(&DataKey::FarmIndex).unwrap_or(0))
    }

    pub fn farm_block(&self) -> Block {
        self.inside(|env| env.storage().instance().get(&DataKey::FarmBlock).expect("the farm is founded"))
    }

    pub fn block(&self, index: u32) -> Option<Block> {
        self.inside(|env| env.storage().temporary().get(&DataKey::Block(index)))
    }

    pub fn pail(&self, farmer: &Address, index: u32) -> Option<Pail> {
        self.inside(|env| env.storage().temporary().get(&DataKey::Pail(farmer.clone(), index)))
    }

    /// Runs a closure inside the farm, where its storage is.
    pub fn inside<T>(&self, read: impl FnOnce(&Env) -> T) -> T {
        self.env.as_contract(&self.farm.address, || read(&self.env))
    }

    /// A hash for the farmer in the current block with exactly this many zeros, and its nonce.
    pub fn search(&self, farmer: &Address, zeros: u32) -> (BytesN<32>, u64) {
        let index = self.index();
        let entropy = self.block(index).map_or([0; 32], |block| block.entropy.to_array());
        let (nonce, digest) = search(index, &entropy, &key(&self.env, farmer), zeros);
        (BytesN::from_array(&self.env, &digest), nonce)
    }
}

/// The 32 bytes of an address that go into a work's hash.
fn key(env: &Env, address: &Address) -> [u8; 32] {
    let xdr: Vec<u8> = address.to_xdr(env).iter().collect();
    xdr[xdr.len() - 32..].try_into().expect("an address ends with 32 bytes")
}

fn search(index: u32, entropy: &[u8; 32], key: &[u8; 32], zeros: u32) -> (u64, [u8; 32]) {
    let digest = |nonce: u64| -> [u8; 32] {
        let message = [&index.to_be_bytes()[..], &nonce.to_be_bytes(), entropy, key].concat();
        Keccak256::digest(message).into()
    };
    let leading = |digest: &[u8; 32]| {
        let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        nibbles.take_while(|nibble| *nibble == 0).count()
    };
    (0..=u64::MAX)
        .map(|nonce| (nonce, digest(nonce)))
        .find(|(_, digest)| leading(digest) == zeros as usize)
        .expect("there are nonces enough")
}
