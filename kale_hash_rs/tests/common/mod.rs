//! What the tests share.
#![allow(dead_code, reason = "every test file uses its own part")]

use std::path::Path;

use kale_hash_rs::{Message, Sink};
use serde::Deserialize;

/// A known hash.
pub struct Vector {
    pub name: String,
    pub message: Message,
    pub nonce: u64,
    pub digest: [u8; 32],
    pub zeros: u32,
}

#[derive(Deserialize)]
struct VectorFile {
    vectors: Vec<VectorText>,
}

#[derive(Deserialize)]
struct VectorText {
    name: String,
    block_index: u32,
    nonce: u64,
    entropy: String,
    farmer: String,
    digest: String,
    zeros: u32,
}

fn bytes32(hex: &str) -> [u8; 32] {
    std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal digits"))
}

impl From<VectorText> for Vector {
    fn from(text: VectorText) -> Self {
        let (entropy, farmer) = (bytes32(&text.entropy), bytes32(&text.farmer));
        Self {
            name: text.name,
            message: Message { block_index: text.block_index, entropy, farmer },
            nonce: text.nonce,
            digest: bytes32(&text.digest),
            zeros: text.zeros,
        }
    }
}

/// The vectors that the Rust and the Python tests share.
pub fn vectors() -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/work_hashes.json");
    let text = std::fs::read_to_string(path).expect("the vectors are part of the repository");
    let file: VectorFile = serde_json::from_str(&text).expect("the vectors are well-formed");
    file.vectors.into_iter().map(Vector::from).collect()
}

/// A message unlike any vector's.
pub fn message() -> Message {
    Message { block_index: 0x0102_0304, entropy: [0x5a; 32], farmer: [0xc3; 32] }
}

/// A sink that wants a fixed number of zeros and keeps what it is offered.
pub struct Collector {
    zeros: u32,
    nonces: Vec<u64>,
}

impl Collector {
    pub fn new(zeros: u32) -> Self {
        Self { zeros, nonces: Vec::new() }
    }

    /// What was offered, in rising order; a nonce offered twice is there twice.
    pub fn sorted(mut self) -> Vec<u64> {
        self.nonces.sort_unstable();
        self.nonces
    }
}

impl Sink for Collector {
    fn zeros(&self) -> u32 {
        self.zeros
    }

    fn offer(&mut self, nonce: u64) {
        self.nonces.push(nonce);
    }
}
